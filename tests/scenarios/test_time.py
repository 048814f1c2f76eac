"""What time does to a message: late, never sent, unconfirmed."""

import json
from datetime import UTC, datetime
from pathlib import Path

from messages import referral
from world import World, eventually, world_in

# A clinical time that is over cannot end the retries: the Application's own limit does.
PAST = datetime(2026, 1, 1, tzinfo=UTC)
IMPATIENT = """
[timing.a3]
first_retry_seconds = 0.1
longest_retry_seconds = 0.2
delayed_after_seconds = 0.3
give_up_after_minutes = 0.05
lead_minutes = 0
"""


def kinds(world: World, request_id: str) -> list[tuple[str, str]]:
    """Return kind and state of each notice about one message, in order."""
    notices = (
        json.loads(file.read_bytes())
        for pattern in ("*.outcome.json", "*.delayed.json")
        for file in world.ambulance.files(f"inbox/new/{pattern}")
    )
    mine = [notice for notice in notices if notice["request_id"] == request_id]
    return [(n["kind"], n["state"]) for n in sorted(mine, key=lambda n: n["notice_id"])]


async def test_a_message_that_never_left_is_reported_in_those_words(tmp_path: Path) -> None:
    """No token until its time was over: not_sent, after a notice of the delay."""
    async with world_in(tmp_path, ambulance=IMPATIENT) as world:
        world.sandbox.faults.arm({"kind": "token_outage"})
        body = referral(use_case="a3t1", needed_by=PAST)
        receipt = await world.ambulance.sent("r.json", body)
        outcome = await world.ambulance.outcome(receipt["request_id"])

        assert ("not_sent", 0) == (outcome["state"], outcome["attempts"])
        assert "never left this organisation" in outcome["means"]
        assert ("delayed", "queued") in kinds(world, receipt["request_id"])
        assert [] == list(world.forwarded())


async def test_a_message_that_was_tried_in_vain_is_unconfirmed(tmp_path: Path) -> None:
    """Nobody answered: we do not know, and say so; the Receiver may have it."""
    async with world_in(tmp_path, ambulance=IMPATIENT) as world:
        world.sandbox.faults.arm({"kind": "drop_before"})
        body = referral(use_case="a3t1", needed_by=PAST)
        receipt = await world.ambulance.sent("r.json", body)
        outcome = await world.ambulance.outcome(receipt["request_id"])

        assert "unconfirmed" == outcome["state"]
        assert outcome["attempts"] > 1
        assert "do not know whether" in outcome["means"]


async def test_a_server_error_is_asked_again_five_times_at_most(tmp_path: Path) -> None:
    """The proxy turns what it cannot read into a 500: unconfirmed, and never refused."""
    async with world_in(tmp_path) as world:
        world.sandbox.faults.arm({"kind": "status", "status": 500})
        receipt = await world.ambulance.sent("r.json", referral())
        outcome = await world.ambulance.outcome(receipt["request_id"])

        assert ("unconfirmed", 5) == (outcome["state"], outcome["attempts"])


async def test_a_token_outage_costs_no_attempt(tmp_path: Path) -> None:
    """The message waits in the queue, and leaves when there is a token again."""
    async with world_in(tmp_path) as world:
        world.sandbox.faults.arm({"kind": "token_outage", "count": 1})
        receipt = await world.ambulance.sent("r.json", referral())
        outcome = await world.ambulance.outcome(receipt["request_id"])

        assert ("acknowledged", 1) == (outcome["state"], outcome["attempts"])
        await eventually(lambda: world.hospital.files("inbox/new/*.message.json"))
