"""What an operator types about messages, with whole gateways around it."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from messages import referral, validation_request
from world import SYSTEM, World, eventually, in_time

from bars_gateway.demo.messages import response

pytestmark = pytest.mark.both_engines

UNAVAILABLE = {"kind": "status", "status": 503, "count": 1000}


async def typed(world: World, *arguments: str) -> tuple[int, list[str]]:
    """Run a verb for the ambulance service; return how it exits, and its lines."""
    verb, *rest = arguments
    done = await world.ambulance.typed(verb, "--why", "INC-7", "--by", "jo", *rest)
    return done.code, (done.out + done.err).splitlines()


async def tried(world: World, request_id: str) -> bool:
    found = await world.ambulance.history(request_id)
    return found is not None and found.message.attempts > 0 and found.message.state == "queued"


async def test_a_message_waits_for_an_operator_and_then_arrives(world: World) -> None:
    """Held while the Receiver is sick, released when it is well; the EPR hears of both."""
    world.sandbox.faults.arm(UNAVAILABLE)
    receipt = await world.ambulance.sent("r.json", referral())
    name = receipt["request_id"]
    await in_time(lambda: tried(world, name))
    held = (1, [""])
    while held[0]:  # it may be on its way at the moment
        held = await typed(world, "hold", name)
    world.sandbox.faults.clear()
    released = await typed(world, "release", "--all", "--use-case", "a1t1")
    outcome = await world.ambulance.outcome(name)

    assert (0, [f"{name}: held"]) == held
    assert (0, [f"{name}: queued", "done: 1"]) == released
    assert "acknowledged" == outcome["state"]
    assert ["held", "released"] == [
        file.name.split(".")[1]
        for file in await eventually(
            lambda: (
                world.ambulance.files("inbox/new/*.held.json")
                + world.ambulance.files("inbox/new/*.released.json")
            )
        )
    ]


async def test_a_retry_past_its_time_is_asked_for_in_so_many_words(world: World) -> None:
    """A fallback may be running: nobody sets off a second one by clearing up."""
    world.sandbox.faults.arm(UNAVAILABLE)
    breach = datetime.now(UTC) + timedelta(seconds=4)
    receipt = await world.ambulance.sent("v.json", validation_request(needed_by=breach))
    name = receipt["request_id"]
    await world.ambulance.outcome(name)

    async def over() -> bool:
        return datetime.now(UTC) > breach

    await in_time(over)
    world.sandbox.faults.clear()
    refused = await typed(world, "retry", name)
    in_bulk = await typed(world, "retry", "--all", "--dry-run")
    done = await typed(world, "retry", "--all", "--after-its-time")
    await eventually(lambda: world.hospital.files("inbox/new/*.message.json"))
    history = await world.ambulance.history(name)
    assert history is not None
    (retried,) = [event for event in history.events if event.kind == "operator.retried"]

    assert (1, True) == (refused[0], "its clinical time has passed" in refused[1][0])
    assert (1, "would be: 0, 1 not (past_its_time)") == (in_bulk[0], in_bulk[1][-1])
    assert (0, [f"{name}: queued", "done: 1"]) == done
    assert {"after_its_time": "yes", "why": "INC-7"}.items() <= json.loads(retried.detail).items()


async def test_what_the_receiver_has_is_not_resent_while_it_stands(world: World) -> None:
    """It would be a second record of one patient; turned down, it is asked for again."""
    receipt = await world.ambulance.sent("r.json", validation_request())
    name = receipt["request_id"]
    await world.ambulance.outcome(name)
    standing = await typed(world, "resend", name, "--yes")
    (answer,) = await eventually(lambda: world.hospital.files("inbox/new/*.answer.json"))
    rejection = ("RRNA", "Invented.")
    decline = response(answer.read_bytes(), encounter="cancelled", rejection=rejection)
    declined = await world.hospital.sent("d.json", decline)
    await world.hospital.outcome(declined["request_id"])
    dry = await typed(world, "resend", name, "--dry-run")
    unread = await typed(world, "resend", name)
    code, (line,) = await typed(world, "resend", name, "--yes")
    again = await world.ambulance.outcome(line.split()[-1])

    assert (1, True) == (standing[0], "it stands" in standing[1][0])
    assert "would be done (acknowledged); then the Receiver has had the message" in dry[1][0]
    assert (0, 1, 0) == (dry[0], unread[0], code)
    assert "acknowledged" == again["state"]
    assert receipt["workflow_id"] != again["workflow_id"]


async def test_a_dead_letter_that_may_have_arrived_keeps_its_ids(world: World) -> None:
    """Scenario 122: the Receiver has it and knows the ids again, so there is one record."""
    world.sandbox.faults.arm({"kind": "status", "status": 500, "after": True})
    receipt = await world.ambulance.sent("r.json", referral())
    name = receipt["request_id"]
    await world.ambulance.lapses(name)
    dead = await world.ambulance.outcome(name)
    for file in world.ambulance.files("inbox/new/*.outcome.json"):
        file.unlink()
    world.sandbox.faults.clear()
    retried = await typed(world, "retry", name)
    revived = await world.ambulance.outcome(name)

    assert (0, [f"{name}: queued"]) == retried
    assert ["unconfirmed", "acknowledged"] == [dead["state"], revived["state"]]
    assert 1 == (await world.hospital.overview()).inbound


async def test_a_dead_letter_that_was_refused_gets_new_ids(world: World) -> None:
    """Scenario 122: a refusal proves that nothing was stored; what was wrong is put right."""
    service = "2000000303"
    receipt = await world.ambulance.sent("r.json", referral(receiver=f"{SYSTEM}|{service}"))
    name = receipt["request_id"]
    dead = await world.ambulance.outcome(name)
    world.hospital.more = (f"{SYSTEM}|{service}",)
    await world.hospital.restart()
    code, (line,) = await typed(world, "resend", name, "--yes")
    renewed = line.split()[-1]
    revived = await world.ambulance.outcome(renewed)

    assert (0, False) == (code, renewed == name)
    assert ["refused", "acknowledged"] == [dead["state"], revived["state"]]
    assert 1 == (await world.hospital.overview()).inbound


async def test_what_was_done_and_why_is_shown(world: World) -> None:
    """The audit trail answers who asked for it."""
    world.sandbox.faults.arm({"kind": "status", "status": 500, "count": 1000})
    receipt = await world.ambulance.sent("r.json", referral())
    await world.ambulance.lapses(receipt["request_id"])
    await world.ambulance.outcome(receipt["request_id"])
    world.sandbox.faults.clear()
    await typed(world, "resend", receipt["request_id"], "--yes")
    out = await world.ambulance.ran("show", receipt["request_id"], "--provider", "ambulance")

    assert "operator.resent by jo (uid " in out
    assert ": INC-7" in out


async def test_a_verb_needs_to_know_which_messages(world: World) -> None:
    """Neither none nor both: a filter without --all was meant to be something else."""
    found = [
        await typed(world, "hold"),
        await typed(world, "hold", "some", "--all"),
        await typed(world, "hold", "some", "--receiver", "x"),
    ]

    assert [2, 2, 2] == [code for code, _ in found]


async def listed(world: World) -> list[str]:
    """Return what `alarms` prints for the ambulance service, which needs no gateway for it."""
    return (await world.ambulance.ran("alarms")).splitlines()


async def test_what_an_operator_has_dealt_with_is_listed_no_more(world: World) -> None:
    """By the number that the list shows; marked twice, the second is told so."""
    nobody = f"{SYSTEM}|2000000303"
    receipt = await world.ambulance.sent("r.json", referral(receiver=nobody))
    name = receipt["request_id"]
    await world.ambulance.outcome(name)
    (line,) = await listed(world)
    number = line.split()[0]
    dry = await typed(world, "mark-handled", number, "--dry-run")
    done = await typed(world, "mark-handled", number)
    again = await typed(world, "mark-handled", number)

    assert name in line
    assert (0, [f"{number} message.refused: would be marked as handled"]) == dry
    assert (0, [f"{number} message.refused: handled"]) == done
    assert 1 == again[0]
    assert ["No alarm stands."] == await listed(world)


async def test_in_bulk_the_highest_number_that_was_seen_is_asked_for(world: World) -> None:
    """Nobody clears what he has not read; the old name of the verb is still known."""
    code, _ = await typed(world, "mark-handled", "--all")
    old, lines = await typed(world, "see", "--all", "--up-to", "9", "--kind", "message.refused")

    assert (2, 0, []) == (code, old, lines)
