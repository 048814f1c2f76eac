"""What time does to a message: late, never sent, unconfirmed."""

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web
from bookings import booking
from messages import referral, validation_request
from moving import made, move, requested
from scripted import another_make, fine
from scripted import outcome as saying
from world import World, eventually, in_time, world_in

from bars_gateway.model.messages import OutboundState
from bars_gateway.standard.workflow import State

pytestmark = pytest.mark.both_engines

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
        told = kinds(world, receipt["request_id"])
        assert told[0] in {("delayed", "queued"), ("delayed", "sending")}  # claimed, for a token
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


async def test_what_is_not_let_pass_is_told_at_once_and_once(tmp_path: Path) -> None:
    """A middle box that minds its size will mind it each time: nobody waits until it is late."""
    patient = IMPATIENT.replace("delayed_after_seconds = 0.3", "delayed_after_seconds = 600")
    patient = patient.replace("give_up_after_minutes = 0.05", "give_up_after_minutes = 30")
    async with world_in(tmp_path, ambulance=patient) as world:
        world.sandbox.faults.arm({"kind": "page", "status": 413})
        receipt = await world.ambulance.sent("r.json", referral(use_case="a3t1"))
        await eventually(lambda: world.ambulance.files("inbox/new/*.delayed.json"))
        before = await world.ambulance.history(receipt["request_id"])

        async def went_on() -> bool:
            history = await world.ambulance.history(receipt["request_id"])
            assert before is not None
            assert history is not None
            return len(history.attempts) > len(before.attempts) + 1

        await in_time(went_on)
        (file,) = world.ambulance.files("inbox/new/*.delayed.json")
        notice = json.loads(file.read_bytes())

        assert ["unfit"] == notice["remarks"]
        assert "Something in between does not let it pass" in notice["means"]


QUICK = """
[timing.a3]
first_retry_seconds = 0.1
longest_retry_seconds = 0.3
"""
SERVICE = "https://fhir.nhs.uk/Id/dos-service-id|2000000909"
FAILING = saying(500, "REC_SERVER_ERROR", "exception")
YES_WITH_ERROR = saying(200, "REC_UNPROCESSABLE_ENTITY", "processing")


async def test_a_message_that_alone_meets_500s_is_unconfirmed_after_five(tmp_path: Path) -> None:
    """The Receiver answers the others, so it is about this one: never refused, and soon told."""
    poison = referral(use_case="a3t1", receiver=SERVICE)

    def answer(body: bytes) -> web.Response:
        return FAILING() if body == poison else fine()

    async with world_in(tmp_path, ambulance=QUICK) as world:
        async with another_make(world, SERVICE, *[answer] * 400):
            receipt = await world.ambulance.sent("poison.json", poison)
            fates = []
            while not kinds(world, receipt["request_id"]):
                body = referral(use_case="a3t1", receiver=SERVICE)
                other = await world.ambulance.sent(f"{len(fates)}.json", body)
                fates.append((await world.ambulance.outcome(other["request_id"]))["state"])
        history = await world.ambulance.history(receipt["request_id"])
        assert history is not None

        assert [("outcome", "unconfirmed")] == kinds(world, receipt["request_id"])
        assert 5 == [attempt.verdict for attempt in history.attempts].count("retry_limited")
        assert {"acknowledged"} == set(fates)


async def test_an_outage_of_500s_makes_nobody_telephone(tmp_path: Path) -> None:
    """The proxy says it of everything: what waits goes out once it is over."""
    async with world_in(tmp_path, ambulance=QUICK) as world:
        world.sandbox.faults.arm({"kind": "status", "status": 500, "count": 30})
        bodies = [referral(use_case="a3t1") for _ in range(4)]
        receipts = [await world.ambulance.sent(f"{n}.json", b) for n, b in enumerate(bodies)]
        outcomes = [await world.ambulance.outcome(each["request_id"]) for each in receipts]

        assert {"acknowledged"} == {each["state"] for each in outcomes}
        assert 34 == sum(each["attempts"] for each in outcomes)


async def test_a_yes_with_an_error_to_everything_makes_nobody_telephone(tmp_path: Path) -> None:
    """The Receiver says it of every message, as a 500: none of its queue is given up for that."""
    async with world_in(tmp_path, ambulance=QUICK) as world:
        answers = [lambda _: YES_WITH_ERROR()] * 24 + [lambda _: fine()] * 4
        async with another_make(world, SERVICE, *answers) as scripted:
            bodies = [referral(use_case="a3t1", receiver=SERVICE) for _ in range(4)]
            receipts = [await world.ambulance.sent(f"{n}.json", b) for n, b in enumerate(bodies)]
            outcomes = [await world.ambulance.outcome(each["request_id"]) for each in receipts]

    assert {"acknowledged"} == {each["state"] for each in outcomes}
    assert 28 == len(scripted.posted)


async def test_what_comes_for_a_dead_receiver_costs_it_no_call_each(tmp_path: Path) -> None:
    """Sixty new messages wait with the first ones; each look is one call."""
    async with world_in(tmp_path) as world:
        world.sandbox.faults.arm({"kind": "status", "status": 503})
        for number in range(60):
            await world.ambulance.sent(f"{number}.json", referral(use_case="a3t1"))

        async def waiting() -> bool:
            return (await world.ambulance.overview()).outbound[OutboundState.QUEUED] == 60

        await in_time(waiting)

        assert 60 / 3 > await world.ambulance.rows("attempts")


async def test_a_token_outage_costs_no_attempt(tmp_path: Path) -> None:
    """The message waits in the queue, and leaves when there is a token again."""
    async with world_in(tmp_path) as world:
        world.sandbox.faults.arm({"kind": "token_outage", "count": 1})
        receipt = await world.ambulance.sent("r.json", referral())
        outcome = await world.ambulance.outcome(receipt["request_id"])

        assert ("acknowledged", 1) == (outcome["state"], outcome["attempts"])
        await eventually(lambda: world.hospital.files("inbox/new/*.message.json"))


UNAVAILABLE = {"kind": "status", "status": 503, "count": 1000}


async def test_a_validation_does_not_leave_after_its_breach(world: World) -> None:
    """Whatever the other side's trouble: the last attempt begins before, and people are told."""
    world.sandbox.faults.arm(UNAVAILABLE)
    breach = datetime.now(UTC) + timedelta(seconds=8)
    receipt = await world.ambulance.sent("v.json", validation_request(needed_by=breach))
    outcome = await world.ambulance.outcome(receipt["request_id"])
    history = await world.ambulance.history(receipt["request_id"])
    assert history is not None

    assert "unconfirmed" == outcome["state"]
    assert max(attempt.started_at for attempt in history.attempts) < breach
    assert history.message.settled_at is not None
    assert history.message.settled_at < breach


@pytest.mark.parametrize(
    ("fault", "tried", "told"),
    [
        ({"kind": "token_outage", "count": 1000}, 0, [("outcome", "not_sent")]),
        (UNAVAILABLE, 1, [("outcome", "unconfirmed"), ("overdue", "unconfirmed")]),
    ],
    ids=["it never left", "it was tried"],
)
async def test_what_ends_while_no_gateway_runs_is_told_of_its_end(
    world: World, fault: dict[str, object], tried: int, told: list[tuple[str, str]]
) -> None:
    """Not that it is late and goes on, nor of what never left that it may have arrived."""
    world.sandbox.faults.arm(fault)
    breach = datetime.now(UTC) + timedelta(seconds=5)
    receipt = await world.ambulance.sent("v.json", validation_request(needed_by=breach))

    async def begun() -> bool:
        return await world.ambulance.rows("attempts") >= tried

    await in_time(begun)
    await world.ambulance.stop()
    await in_time(partial(_is_over, breach))
    await world.ambulance.restart()
    await world.ambulance.outcome(receipt["request_id"])
    await eventually(lambda: len(world.ambulance.files("inbox/new/*.json")) >= len(told))
    await world.ambulance.stop()
    notices = [json.loads(f.read_bytes()) for f in world.ambulance.files("inbox/new/*.json")]

    assert told == [(each["kind"], each["state"]) for each in notices if "kind" in each]
    assert not any("goes on trying" in each.get("means", "") for each in notices)
    assert tried or not any("may " in each.get("means", "") for each in notices)


async def _is_over(at: datetime) -> bool:
    return datetime.now(UTC) > at


async def test_a_validation_that_comes_after_its_breach_is_refused(world: World) -> None:
    """At our own door, in words that tell what to do; nothing leaves."""
    over = datetime.now(UTC) - timedelta(hours=1)
    world.ambulance.drop("v.json", validation_request(needed_by=over))
    reason = await world.ambulance.document("outbox/refused/v.reason.json")

    assert ["E06"] == [issue["rule"] for issue in reason["issues"]]
    assert [] == list(world.forwarded())


async def test_a_booking_is_not_tried_for_days(world: World) -> None:
    """Somebody waits to tell the patient: after a quarter of an hour, it ends."""
    world.sandbox.faults.arm(UNAVAILABLE)
    start = datetime.now(UTC) + timedelta(days=5)
    receipt = await world.ambulance.sent("b.json", booking(begin=start))
    history = await world.ambulance.history(receipt["request_id"])
    assert history is not None
    assert history.message.give_up_at is not None

    tried_for = history.message.give_up_at - history.message.created_at
    assert abs(tried_for - timedelta(minutes=15)) < timedelta(seconds=1)


async def test_an_update_to_a_nearer_time_is_overdue_though_nobody_has_it(world: World) -> None:
    """It counts from its hand-in: what nobody acknowledges must not hide that time passes."""
    receipt, _ = await requested(world, validation_request())
    world.sandbox.faults.arm(UNAVAILABLE)
    start = datetime.now(UTC)
    period = {"start": start.isoformat(), "end": (start + timedelta(seconds=4)).isoformat()}
    changed = {"resourceType": "ServiceRequest", "occurrencePeriod": period}
    status, update = await made(
        world.ambulance, move(receipt["request_id"], "update", resources=[changed])
    )
    assert 201 == status
    await eventually(lambda: world.ambulance.files("inbox/new/*.overdue.json"))
    history = await world.ambulance.history(receipt["request_id"])
    assert history is not None

    assert State.ACTIVE == history.workflow.state
    assert "acknowledged" != (await world.ambulance.outcome(update["request_id"]))["state"]


async def test_a_rejection_after_its_time_goes_out_and_says_so(world: World) -> None:
    """A late answer is the truth about the patient; both sides are told that it is late."""
    breach = datetime.now(UTC) + timedelta(seconds=6)
    receipt, notice = await requested(world, validation_request(needed_by=breach))
    await in_time(partial(_is_over, breach))
    _, document = await made(world.hospital, move(notice["request_id"], "decline", outcome="RRNA"))
    outcome = await world.hospital.outcome(document["request_id"])
    (heard,) = await eventually(lambda: world.ambulance.files("inbox/new/*.notice.json"))
    history = await world.ambulance.history(receipt["request_id"])
    assert history is not None

    assert ("acknowledged", ["past_its_time"]) == (outcome["state"], outcome["remarks"])
    assert ["late"] == json.loads(heard.read_bytes())["remarks"]
    assert State.DECLINED == history.workflow.state
