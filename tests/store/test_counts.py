"""What a period is counted as: from the audit trail, the attempts and the alarms, afterwards."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from store_values import ANSWER, NOW, SILENCE, arrival, attempt, claim_next, submission

from bars_gateway.model.counts import AlarmEnd, AlarmSpan, Counts
from bars_gateway.model.messages import Accepted, Actor, OutboundState, Settled, TryAgain
from bars_gateway.model.standing_alarms import Chosen
from bars_gateway.standard.verdict import Verdict
from bars_gateway.store.counts import counted
from bars_gateway.store.store import Store

JO = Actor(role="operator", who="jo (uid 1000)", why="INC-7")
MINUTE = timedelta(minutes=1)
EVER = NOW - timedelta(days=1), NOW + timedelta(days=1)


async def counts(
    store: Store, since: datetime, until: datetime, provider: str | None = None
) -> Counts:
    return await store._database.read(lambda c: counted(c, provider, since, until))


async def unconfirmed(store: Store, **changes: object) -> Accepted:
    accepted = await store.outbound.submit(submission(**changes), NOW)
    claim = await claim_next(store, NOW, [accepted_by(changes)])
    assert claim is not None
    fate = Settled(state=OutboundState.UNCONFIRMED)
    tried = attempt(claim, Verdict.RETRY)
    await store.outbound.settle(claim, SILENCE, attempt=tried, settlement=fate)
    return accepted


def accepted_by(changes: dict[str, object]) -> str:
    return str(changes.get("provider", "trust"))


async def test_what_happened_is_counted_by_its_kind(store: Store) -> None:
    """In the period, and not before it or after."""
    await unconfirmed(store)
    before = await counts(store, NOW - 2 * MINUTE, NOW - MINUTE)
    found = await counts(store, *EVER)

    assert ({}, {}, []) == (before.events, before.judged, before.alarms)
    assert 1 == found.events["message.unconfirmed"]
    assert {"silence": 1} == found.judged


async def test_another_providers_is_left_out(store: Store) -> None:
    """Of events, attempts and alarms alike."""
    await unconfirmed(store)
    ours, theirs = [await counts(store, *EVER, name) for name in ("trust", "other")]

    assert (1, {"silence": 1}, 1) == (
        ours.events["message.unconfirmed"],
        ours.judged,
        len(ours.alarms),
    )
    assert ({}, {}, []) == (theirs.events, theirs.judged, theirs.alarms)


async def test_a_repeat_that_was_known_again_is_counted(store: Store) -> None:
    """A control that works is seen to work."""
    first = arrival()
    await store.inbound.receive(first, NOW)
    await store.inbound.receive(first, NOW + MINUTE)
    found = await counts(store, *EVER)

    assert (1, 1) == (found.events["message.received"], found.events["inbound.repeated"])


async def test_a_repeat_of_ours_is_counted_by_its_verdict(store: Store) -> None:
    """The Receiver's word for it is kept with the attempt."""
    await store.outbound.submit(submission(), NOW)
    for number, row in enumerate(("silence", "duplicate")):
        claim = await claim_next(store, NOW + number * MINUTE, ["trust"])
        assert claim is not None
        tried = attempt(claim, Verdict.ACKNOWLEDGED if number else Verdict.RETRY, row=row)
        fate = Settled(state=OutboundState.ACKNOWLEDGED) if number else TryAgain(at=NOW + MINUTE)
        await store.outbound.settle(
            claim, ANSWER if number else SILENCE, attempt=tried, settlement=fate
        )

    assert {"duplicate": 1, "silence": 1} == (await counts(store, *EVER)).judged


@pytest.mark.parametrize("handled", [False, True])
async def test_an_alarm_is_told_with_its_end(store: Store, *, handled: bool) -> None:
    """Since when it stood, until when, and by whom it was ended: a person, or what came after."""
    await unconfirmed(store)
    (raised,) = (await counts(store, *EVER)).alarms
    if handled:
        chosen = Chosen(numbers=[1])
        await store.alarms.handle("trust", chosen, JO, raised.since + MINUTE, dry_run=False)
    (span,) = (await counts(store, *EVER)).alarms

    assert (
        AlarmSpan(
            kind="message.unconfirmed",
            since=raised.since,
            ended_at=raised.since + MINUTE if handled else None,
            ended_how=AlarmEnd.HANDLED if handled else None,
        )
        == span
    )


async def test_an_alarm_that_was_raised_again_is_one(store: Store) -> None:
    """Whoever waited for somebody to see it waited once, from its beginning."""
    first = arrival()
    other = replace(first, fingerprint="f" * 64, said="otherwise")
    await store.inbound.receive(first, NOW)
    for number in (1, 2):
        await store.inbound.receive(other, NOW + number * MINUTE)
    found = await counts(store, *EVER)

    assert 2 == found.events["inbound.request_id_reused"]
    assert [(NOW + MINUTE, None)] == [(each.since, each.ended_how) for each in found.alarms]
