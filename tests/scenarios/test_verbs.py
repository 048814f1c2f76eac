"""An operator's verbs, typed beside a running gateway, and what the Receiver and the EPR see."""

import asyncio
import subprocess
from collections.abc import Sequence

import messages
from world import World, in_time

WHY = ("--reason", "a drill")


async def typed(world: World, verb: str, *arguments: str) -> tuple[int, str]:
    """Type a verb of the ambulance's gateway; return its exit code and all that it printed."""
    command: Sequence[str] = world.ambulance.command(verb, *arguments, *WHY)
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout + done.stderr


async def waiting(world: World) -> str:
    """Let the far side be down, and a message wait for its next attempt; return its id."""
    world.sandbox.faults.arm({"kind": "status", "status": 503})
    receipt = await world.ambulance.sent("referral.json", messages.referral())

    async def tried() -> bool:
        history = await world.ambulance.history(receipt["request_id"])
        return history is not None and bool(history.attempts)

    await in_time(tried)
    return str(receipt["request_id"])


async def held(world: World, request_id: str) -> None:
    """Hold it by filter: between two attempts, for what is being sent cannot be held."""

    async def taken() -> bool:
        code, _ = await typed(world, "hold", "--receiver", "2000000202", "--yes")
        return code == 0

    await in_time(taken)
    found = await world.ambulance.history(request_id)
    assert found is not None
    assert "held" == found.message.state


async def test_what_is_held_goes_out_once_it_is_released(world: World) -> None:
    """Under its old ids, and the EPR hears of both, and of its outcome."""
    request_id = await waiting(world)
    await held(world, request_id)
    world.sandbox.faults.clear()
    code, said = await typed(world, "release", request_id)
    outcome = await world.ambulance.outcome(request_id)
    told = [file.name.split(".")[1] for file in world.ambulance.files("inbox/new/*.json")]

    assert (0, "acknowledged") == (code, outcome["state"])
    assert "release was done to 1; 0 left as they are." in said
    assert ["held", "released", "outcome"] == [kind for kind in told if kind != "answer"]


async def test_a_filter_is_counted_before_it_is_used(world: World) -> None:
    """Whoever does not say yes has changed nothing."""
    request_id = await waiting(world)
    await held(world, request_id)
    code, said = await typed(world, "release", "--all", "--dry-run")
    found = await world.ambulance.history(request_id)

    assert found is not None
    assert (0, "held") == (code, found.message.state)
    assert "release would be done to 1; 0 left as they are." in said


async def test_what_was_posted_is_not_withdrawn(world: World) -> None:
    """The command says so, and ends with 1."""
    request_id = await waiting(world)
    await held(world, request_id)
    code, said = await typed(world, "withdraw", request_id)

    assert 1 == code
    assert "it was posted before, and may have arrived: send its cancellation instead" in said


async def test_nobody_is_meant_by_nothing(world: World) -> None:
    """A verb without ids and filters is a slip: exit code 2, and the cure."""
    code, said = await typed(world, "hold")

    assert 2 == code
    assert "   try: name request_ids, or filters, or say all = true" in said
