"""What the store promises for a cancellation that waits for its read."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

import pytest
from messages import referral
from store_values import (
    ANSWER,
    NOW,
    OURS,
    THEIRS,
    arrival,
    attempt,
    claim_next,
    payload,
    submission,
)

from bars_gateway.model.interventions import Done, Verb
from bars_gateway.model.messages import Actor, NoticeKind, OutboundState, Settled
from bars_gateway.model.readings import Notice
from bars_gateway.standard.bundle import read
from bars_gateway.standard.findings import ReadProgress
from bars_gateway.standard.patients import numbers_written
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.sentences import means
from bars_gateway.standard.timing import Limits
from bars_gateway.standard.workflow import Move
from bars_gateway.store.store import Store

AGAIN = timedelta(seconds=10)


async def cancellation(store: Store, focus_id: str = "theirs") -> int:
    cap = NOW + timedelta(minutes=15)
    handed_in = submission(move=Move.CANCEL, focus_id=focus_id, read_first=True, give_up_at=cap)
    return (await store.outbound.submit(handed_in, NOW)).message_id


async def may_leave(store: Store, seconds: float) -> bool:
    return await claim_next(store, NOW + timedelta(seconds=seconds), ("trust",)) is not None


async def by_hand(store: Store, message_id: int, verb: Verb) -> None:
    """Have an operator do it."""
    actor = Actor(role="operator", who="jo", why="INC-1")

    def schedule(*_: object) -> Limits:
        return Limits(give_up_at=NOW + timedelta(hours=1), delayed_at=NOW + timedelta(minutes=5))

    done = await store.interventions.intervene(verb, message_id, actor, schedule, NOW)
    assert isinstance(done, Done)


async def told(store: Store) -> list[Notice]:
    notices = await store.notices.pending("trust", 10)
    return [each for each in notices if each.kind is NoticeKind.CANCEL_NOT_SENT]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        pytest.param([0], False, id="once"),
        pytest.param([0, 10], True, id="twice"),
        pytest.param([0, 60], True, id="just-within-the-minute"),
        pytest.param([0, 61], False, id="too-long-between"),
        pytest.param([0, 61, 71], True, id="the-last-two-count"),
    ],
)
async def test_it_may_leave_once_nothing_was_shown_twice_within_a_minute(
    store: Store,
    seconds: list[float],
    expected: bool,  # noqa: FBT001
) -> None:
    """The Receiver has had its chance to say that it is over, and judges by itself."""
    message_id = await cancellation(store)
    for each in seconds:
        now = NOW + timedelta(seconds=each)
        await store.cancellations.unshown(message_id, now + AGAIN, now)

    assert expected == await may_leave(store, 100)


async def test_a_read_in_vain_between_them_changes_nothing(store: Store) -> None:
    """Twice within the minute is twice, whatever came between."""
    message_id = await cancellation(store)
    await store.cancellations.unshown(message_id, NOW + AGAIN, NOW)
    await store.cancellations.postpone(message_id, NOW + 2 * AGAIN, NOW + AGAIN, alike=True)

    assert await store.cancellations.unshown(message_id, NOW + 3 * AGAIN, NOW + 2 * AGAIN)


@pytest.mark.parametrize(
    ("seconds", "expected"), [([59], [0]), ([60], [1]), ([60, 61, 600], [1, 0, 0])]
)
async def test_the_epr_is_told_at_the_end_of_a_minute_and_once(
    store: Store, seconds: list[float], expected: list[int]
) -> None:
    """So that its user telephones; it goes on being read for."""
    message_id = await cancellation(store)
    await store.cancellations.postpone(message_id, NOW + AGAIN, NOW, alike=True)
    counts = [await store.cancellations.tell_unread(NOW + timedelta(seconds=s)) for s in seconds]

    assert expected == counts
    assert sum(expected) == len(await told(store))
    assert not await may_leave(store, 600)


async def test_what_was_not_read_for_is_not_said_to_be_unreadable(store: Store) -> None:
    """It waits behind the request that it is about, and is told to be late like any other."""
    await cancellation(store)

    assert 0 == await store.cancellations.tell_unread(NOW + timedelta(minutes=5))


async def test_what_may_leave_is_not_said_to_wait(store: Store) -> None:
    """Its read is over."""
    message_id = await cancellation(store)
    await store.cancellations.postpone(message_id, NOW + AGAIN, NOW, alike=True)
    await store.cancellations.confirm(message_id, NOW)

    assert 0 == await store.cancellations.tell_unread(NOW + timedelta(minutes=5))


@pytest.mark.parametrize(
    "then",
    [
        lambda store, it: store.cancellations.confirm(it, NOW),
        lambda store, it: store.cancellations.refuse(it, "completed", NOW),
        lambda store, _: store.outbound.give_up(NOW + timedelta(minutes=15)),
    ],
    ids=["may-go", "is-over", "given-up"],
)
async def test_one_that_does_not_go_stands_on_the_page_until_it_goes_or_ends(
    store: Store, then: Callable[[Store, int], Awaitable[object]]
) -> None:
    """Its EPR was told to telephone; the operator sees that somebody has to."""
    message_id = await cancellation(store)
    later = NOW + timedelta(minutes=2)
    await store.cancellations.postpone(message_id, later, NOW, alike=False)
    before = [alarm.kind for alarm in (await store.overview(later)).alarms]
    await store.cancellations.tell_unread(later)
    told_of = [alarm.kind for alarm in (await store.overview(later)).alarms]
    await then(store, message_id)
    after = [alarm.kind for alarm in (await store.overview(later)).alarms]

    assert ([], ["cancel.not_sent"]) == (before, told_of)
    assert "cancel.not_sent" not in after


async def test_at_its_cap_it_was_never_sent(store: Store) -> None:
    """The last word is what is known: nothing left, so nobody was told."""
    message_id = await cancellation(store)
    await store.cancellations.postpone(message_id, NOW + AGAIN, NOW, alike=True)
    await store.outbound.give_up(NOW + timedelta(minutes=15))
    (outcome,) = [n for n in await store.notices.pending("trust", 9) if n.kind == "outcome"]

    assert (OutboundState.NOT_SENT, 0) == (outcome.state, outcome.attempts)


REFERRAL = referral()
NUMBER = next(iter(numbers_written(read(REFERRAL)))).encode()
STRANGER = REFERRAL.replace(NUMBER, b"9434765919")


@pytest.mark.parametrize(
    ("body", "receiver", "focus_id", "expected"),
    [
        pytest.param(STRANGER, THEIRS, "theirs", True, id="another-patient"),
        pytest.param(REFERRAL, THEIRS, "theirs", False, id="the-same-patient"),
        pytest.param(STRANGER, OURS, "theirs", False, id="another-receiver"),
        pytest.param(STRANGER, THEIRS, "another", False, id="another-id"),
        pytest.param(b'{"resourceType":"Bundle"}', THEIRS, "theirs", True, id="who-knows-whose"),
    ],
)
async def test_an_id_is_contested_where_another_patients_workflow_has_it(
    store: Store, body: bytes, receiver: str, focus_id: str, *, expected: bool
) -> None:
    """An id is unique to its Receiver; two claims to it cannot both be true."""
    await store.outbound.submit(submission(body=body, receiver=receiver), NOW)
    claim = await claim_next(store, NOW, ("trust",))
    assert claim is not None
    settled = Settled(state=OutboundState.ACKNOWLEDGED, focus_id=focus_id)
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=settled)
    mine = submission(
        move=Move.CANCEL, bundle_id="b", read_first=True, body=REFERRAL + b" ", focus_id=None
    )
    receipt = await store.outbound.submit(mine, NOW)

    assert expected == await store.cancellations.is_contested(receipt.message_id, "theirs")


async def test_that_it_is_another_patients_is_told_at_once_and_once(store: Store) -> None:
    """The user telephones; it goes on being read for, and is not sent."""
    message_id = await cancellation(store)
    for each in (0, 10, 20):
        now = NOW + timedelta(seconds=each)
        await store.cancellations.belongs_to_another(message_id, now + AGAIN, now)
    await store.cancellations.tell_unread(NOW + timedelta(minutes=2))
    alarms = (await store.overview(NOW)).alarms

    assert (1, [1]) == (len(await told(store)), [alarm.times for alarm in alarms])
    assert not await may_leave(store, 100)


async def test_how_what_is_over_ended_is_kept_for_its_notice(store: Store) -> None:
    """A person on the telephone needs to know it."""
    message_id = await cancellation(store)
    await store.cancellations.refuse(message_id, "completed", NOW)
    (outcome,) = await store.notices.pending("trust", 9)

    assert (OutboundState.REFUSED, "completed") == (outcome.state, outcome.shown)


async def looked_at(store: Store) -> str:
    (message,) = await store.messages.queue("trust", 10)
    return means(message.seen_at(NOW))


async def test_whoever_looks_at_one_that_waits_is_told_for_what(store: Store) -> None:
    """That it has not gone; then that nobody answers; in the end that it may go."""
    message_id = await cancellation(store)
    at_first = await looked_at(store)
    later = NOW + timedelta(minutes=2)
    await store.cancellations.postpone(message_id, later, NOW, alike=False)
    await store.cancellations.tell_unread(later)
    unread = await looked_at(store)
    await store.cancellations.confirm(message_id, NOW)

    assert "is asked first what stands there" in at_first
    assert "gives no answer" in unread
    assert "has not left yet" in await looked_at(store)


async def test_one_to_another_patients_record_says_so(store: Store) -> None:
    """In a sentence of its own, to whoever is told and to whoever looks; told before or not."""
    message_id = await cancellation(store)
    later = NOW + timedelta(minutes=2)
    await store.cancellations.postpone(message_id, later, NOW, alike=False)
    await store.cancellations.tell_unread(later)
    for _ in range(2):
        await store.cancellations.belongs_to_another(message_id, later, later)
    said = [means(notice.situation) for notice in await told(store)]

    assert 2 == len(said)
    assert "is the record of another patient" in said[1]
    assert said[1] == await looked_at(store)


async def test_the_page_counts_what_waits_for_its_read(store: Store) -> None:
    """And shows under an alarm what the EPR was told of that message."""
    first, second = [await cancellation(store, focus_id) for focus_id in ("one", "other")]
    await store.cancellations.belongs_to_another(second, NOW + AGAIN, NOW)
    seen = await store.overview(NOW)
    (alarm,) = seen.alarms

    assert first < second
    assert {ReadProgress.WAITS: 1, ReadProgress.OTHER_PATIENT: 1} == seen.cancels_waiting
    assert "is the record of another patient" in str(alarm.told)


@pytest.mark.parametrize(
    "then",
    [
        lambda store, it: store.cancellations.refuse(it, "completed", NOW),
        lambda store, _: store.outbound.give_up(NOW + timedelta(minutes=15)),
        lambda store, _: store.outbound.tell_delays(NOW + timedelta(minutes=5)),
        lambda store, _: store.cancellations.tell_unread(NOW + timedelta(minutes=2)),
        lambda store, it: store.asides.hold(it, ValueError(), NOW),
        *(partial(by_hand, verb=verb) for verb in (Verb.HOLD, Verb.WITHDRAW)),
    ],
    ids=["refused", "given-up", "delayed", "unread", "set-aside", "held", "withdrawn"],
)
async def test_what_the_other_side_has_ended_is_not_said_to_stand(
    store: Store, then: Callable[[Store, int], Awaitable[object]]
) -> None:
    """Its last word crosses our cancellation; whatever becomes of that, nobody is on the way."""
    await store.outbound.submit(submission(bundle_id="b-1", use_case="a6t2"), NOW)
    claim = await claim_next(store, NOW, ("trust",))
    assert claim is not None
    settlement = Settled(state=OutboundState.ACKNOWLEDGED, focus_id="theirs")
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=settlement)
    message_id = await cancellation(store)
    await store.cancellations.postpone(message_id, NOW + AGAIN, NOW, alike=False)
    came = arrival(move=Move.DECLINE, responds_to="b-1", use_case="a6t2")
    await store.responses.respond(came, payload(b"{}"), NOW)
    await then(store, message_id)
    *_, last = [n for n in await store.notices.pending("trust", 9) if n.message_id == message_id]

    assert Remark.CANCEL_AFTER_END in last.remarks
    assert "the final response has come already" in means(last.situation)
    assert "stands" not in means(last.situation)


async def test_nobody_looks_for_a_cancellation_because_something_else_was_handed_in(
    store: Store,
) -> None:
    """What is to be read for wakes who reads; every other message costs no look."""
    woken = asyncio.create_task(store.cancellations.cancel_work(60))
    await store.outbound.submit(submission(bundle_id="b-1"), NOW)
    await asyncio.sleep(0)  # whoever was woken has run

    assert not woken.done()
    await cancellation(store)
    await woken
