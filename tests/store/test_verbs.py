"""What people may do to outbound messages, and what nobody may."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from store_values import ANSWER, NOW, SILENCE, THEIRS, attempt, payload, submission

from bars_gateway.errors import StoreError
from bars_gateway.standard.verdict import Verdict
from bars_gateway.standard.workflow import Move, State
from bars_gateway.store.database import Database
from bars_gateway.store.port import (
    Claim,
    NoticeKind,
    OutboundState,
    Part,
    Settled,
    TryAgain,
)
from bars_gateway.store.sqlite import SqliteStore
from bars_gateway.store.verbs import Candidate, Order, Resent, Selection, Verb

LATER = NOW + timedelta(hours=1)
NEW_ID, NEW_BUNDLE = "c2a6a0c4-93b1-4c77-8c55-0d1b6e0f9a02", "5b0a7a3e-4f0e-4b0c-9a1d-2f6f3c1d7e01"


def order(verb: Verb, *, by_operator: bool = True, provider: str = "trust") -> Order:
    return Order(
        verb=verb, provider=provider, by_operator=by_operator, who="ada (uid 7)", reason="a drill"
    )


def until(_use_case: str, _needed_by: datetime | None) -> datetime:
    return LATER + timedelta(minutes=15)


async def taken(store: SqliteStore, **changes: object) -> str:
    return (await store.submit(submission(**changes), NOW)).request_id


async def ended(store: SqliteStore, state: OutboundState, **changes: object) -> str:
    """Let a message end like that after one attempt, or none; return its X-Request-Id."""
    request_id = await taken(store, **changes)
    if state is OutboundState.NOT_SENT:
        assert await store.give_up(NOW + timedelta(days=1))
        return request_id
    claim = await store.claim_next(NOW, ("trust",))
    assert claim is not None
    await settle(store, claim, state)
    return request_id


async def settle(store: SqliteStore, claim: Claim, state: OutboundState) -> None:
    good = state is OutboundState.ACKNOWLEDGED
    verdict = Verdict.ACKNOWLEDGED if good else Verdict.REFUSED
    await store.settle(
        claim, ANSWER, attempt=attempt(claim, verdict), settlement=Settled(state=state)
    )


async def act(
    store: SqliteStore, verb: Verb, *request_ids: str, **of: object
) -> Sequence[Candidate]:
    found = await meant(store, verb, *request_ids)
    ids = [each.message_id for each in found]
    return await store.verbs.act(order(verb, **of), ids, until, LATER)  # type: ignore[arg-type]


async def meant(store: SqliteStore, verb: Verb, *request_ids: str) -> Sequence[Candidate]:
    selection = Selection(provider="trust", request_ids=request_ids)
    return await store.verbs.candidates(verb, selection, 100)


async def resend(store: SqliteStore, request_id: str) -> Candidate:
    (found,) = await meant(store, Verb.RESEND, request_id)
    resent = Resent(
        request_id=NEW_ID,
        bundle_id=NEW_BUNDLE,
        fingerprint="another",
        request=payload(b"the same, under another id"),
        give_up_at=LATER + timedelta(minutes=15),
        delayed_at=LATER + timedelta(minutes=1),
    )
    return await store.verbs.resend(order(Verb.RESEND), found.message_id, resent, LATER)


async def state_of(store: SqliteStore, request_id: str) -> tuple[str, State]:
    (found,) = await store.history("trust", request_id)
    return found.message.state, found.workflow.state


async def notices(store: SqliteStore) -> list[tuple[NoticeKind, str]]:
    return [(n.kind, n.request_id) for n in await store.pending_notices("trust", 100)]


async def test_what_is_held_is_not_claimed(store: SqliteStore) -> None:
    """Until somebody releases it."""
    request_id = await taken(store, give_up_at=LATER + timedelta(minutes=1))
    await act(store, Verb.HOLD, request_id)
    held = await store.claim_next(NOW, ("trust",))
    await act(store, Verb.RELEASE, request_id)
    released = await store.claim_next(LATER, ("trust",))

    assert held is None
    assert released is not None


async def test_nothing_overtakes_what_is_held(store: SqliteStore) -> None:
    """The next message of its conversation waits behind it."""
    first = await taken(store, correlation_id="c")
    await act(store, Verb.HOLD, first)
    await taken(store, correlation_id="c")

    assert await store.claim_next(NOW, ("trust",)) is None


async def test_to_hold_a_message_stops_no_clock(store: SqliteStore) -> None:
    """Its clinical time passes all the same, and the EPR hears that it never left."""
    request_id = await taken(store)
    await act(store, Verb.HOLD, request_id)
    await store.give_up(NOW + timedelta(days=1))

    assert (OutboundState.NOT_SENT, State.ABANDONED) == await state_of(store, request_id)


async def test_what_is_withdrawn_never_leaves(store: SqliteStore) -> None:
    """Its workflow is abandoned, and the EPR has its outcome."""
    request_id = await taken(store)
    await act(store, Verb.WITHDRAW, request_id, by_operator=False)

    assert (OutboundState.WITHDRAWN, State.ABANDONED) == await state_of(store, request_id)
    assert [(NoticeKind.OUTCOME, request_id)] == await notices(store)
    assert await store.claim_next(NOW, ("trust",)) is None


async def test_what_is_withdrawn_lets_the_next_go(store: SqliteStore) -> None:
    """It no longer keeps the place of its conversation."""
    first = await taken(store, correlation_id="c")
    second = await taken(store, correlation_id="c")
    await act(store, Verb.WITHDRAW, first)
    claim = await store.claim_next(NOW, ("trust",))

    assert claim is not None
    assert second == claim.request_id


async def test_a_retry_is_the_same_message(store: SqliteStore) -> None:
    """Same ids, same bytes: a Receiver that has it can only call it a duplicate."""
    request_id = await ended(store, OutboundState.UNCONFIRMED, body=b"the bytes")
    await act(store, Verb.RETRY, request_id)
    claim = await store.claim_next(LATER, ("trust",))

    assert claim is not None
    assert (request_id, payload(b"the bytes"), 2) == (
        claim.request_id,
        claim.request,
        claim.attempt,
    )


async def test_a_retry_has_as_much_time_as_a_new_message(store: SqliteStore) -> None:
    """Its own time was over, or it would not be unconfirmed."""
    request_id = await ended(store, OutboundState.UNCONFIRMED)
    await act(store, Verb.RETRY, request_id)
    (found,) = await store.history("trust", request_id)

    assert until("", None) == found.message.give_up_at


async def test_a_retry_of_what_waits_leaves_its_time_alone(store: SqliteStore) -> None:
    """It is sent at once, and ends when it would have ended."""
    request_id = await taken(store)
    claim = await store.claim_next(NOW, ("trust",))
    assert claim is not None
    again = TryAgain(at=LATER + timedelta(hours=1))
    await store.settle(claim, SILENCE, attempt=attempt(claim, Verdict.RETRY), settlement=again)
    await act(store, Verb.RETRY, request_id)
    (found,) = await store.history("trust", request_id)

    assert (LATER, NOW + timedelta(minutes=15)) == (
        found.message.next_attempt_at,
        found.message.give_up_at,
    )


async def test_an_acknowledgement_revives_the_workflow_of_a_retry(store: SqliteStore) -> None:
    """What was unconfirmed is active once the Receiver says that it has it."""
    request_id = await ended(store, OutboundState.UNCONFIRMED)
    await act(store, Verb.RETRY, request_id)
    claim = await store.claim_next(LATER, ("trust",))
    assert claim is not None
    await settle(store, claim, OutboundState.ACKNOWLEDGED)

    assert (OutboundState.ACKNOWLEDGED, State.ACTIVE) == await state_of(store, request_id)


async def test_what_was_cancelled_must_not_arrive(store: SqliteStore) -> None:
    """M5a: neither verb revives a message once a later one of its workflow has left."""
    bundle_id = "17e2f9d6-2e5b-4a5e-8f6d-6c1a4f4f2b10"
    first = await ended(store, OutboundState.UNCONFIRMED, bundle_id=bundle_id)
    await ended(store, OutboundState.ACKNOWLEDGED, bundle_id=bundle_id, move=Move.CANCEL)
    (retried,) = await act(store, Verb.RETRY, first)
    resent = await resend(store, first)

    assert "a later message of its workflow has left" in (retried.obstacle or "")
    assert retried.obstacle == resent.obstacle
    assert OutboundState.UNCONFIRMED == (await state_of(store, first))[0]


async def test_a_resend_does_not_follow_what_it_came_before(store: SqliteStore) -> None:
    """An update that still waits would be overtaken by the older one."""
    bundle_id = "17e2f9d6-2e5b-4a5e-8f6d-6c1a4f4f2b10"
    first = await ended(store, OutboundState.REFUSED, bundle_id=bundle_id, move=Move.UPDATE)
    await taken(store, bundle_id=bundle_id, move=Move.UPDATE)

    assert "waits: withdraw" in ((await resend(store, first)).obstacle or "")


async def test_a_resend_is_another_message(store: SqliteStore) -> None:
    """New ids, a workflow of its own, and the old one stays as it ended."""
    first = await ended(store, OutboundState.REFUSED)
    await resend(store, first)
    claim = await store.claim_next(LATER, ("trust",))

    assert claim is not None
    assert (NEW_ID, 1) == (claim.request_id, claim.attempt)
    assert b"the same, under another id" == claim.request.body
    assert (OutboundState.REFUSED, State.REFUSED) == await state_of(store, first)
    assert (OutboundState.SENDING, State.REQUESTED) == await state_of(store, NEW_ID)
    assert first == (await store.history("trust", NEW_ID))[0].message.resend_of


async def test_a_change_that_is_resent_stays_in_its_workflow(store: SqliteStore) -> None:
    """Only a request opens one."""
    bundle_id = "17e2f9d6-2e5b-4a5e-8f6d-6c1a4f4f2b10"
    await ended(store, OutboundState.ACKNOWLEDGED, bundle_id=bundle_id)
    change = await ended(store, OutboundState.REFUSED, bundle_id=bundle_id, move=Move.UPDATE)
    await resend(store, change)
    (old,) = await store.history("trust", change)
    (new,) = await store.history("trust", NEW_ID)

    assert old.workflow.workflow_id == new.workflow.workflow_id


async def test_nothing_is_resent_twice(store: SqliteStore) -> None:
    """Whoever wants it once more is sent to the copy, and the original cannot be retried."""
    first = await ended(store, OutboundState.UNCONFIRMED)
    await resend(store, first)
    again = await resend(store, first)
    (retried,) = await act(store, Verb.RETRY, first)

    assert f"it was sent again as {NEW_ID}: see to that one" == again.obstacle
    assert again.obstacle == retried.obstacle


FITTING = {
    OutboundState.QUEUED: {Verb.HOLD, Verb.WITHDRAW, Verb.RETRY},
    OutboundState.HELD: {Verb.RELEASE, Verb.WITHDRAW},
    OutboundState.SENDING: set(),
    OutboundState.ACKNOWLEDGED: set(),
    OutboundState.REFUSED: {Verb.RESEND, Verb.SEEN},
    OutboundState.UNCONFIRMED: {Verb.RETRY, Verb.RESEND, Verb.SEEN},
    OutboundState.NOT_SENT: {Verb.RESEND, Verb.SEEN},
    OutboundState.WITHDRAWN: {Verb.RESEND},
}


@pytest.mark.parametrize("state", OutboundState)
async def test_each_state_has_its_verbs(store: SqliteStore, state: OutboundState) -> None:
    """Whatever does not fit is left alone, and says what would."""
    if state in {OutboundState.QUEUED, OutboundState.HELD, OutboundState.WITHDRAWN}:
        request_id = await taken(store)
        verbs = {OutboundState.HELD: Verb.HOLD, OutboundState.WITHDRAWN: Verb.WITHDRAW}
        if state in verbs:
            await act(store, verbs[state], request_id)
    elif state is OutboundState.SENDING:
        request_id = await taken(store)
        await store.claim_next(NOW, ("trust",))
    else:
        request_id = await ended(store, state)
    judged = {verb: (await meant(store, verb, request_id))[0] for verb in Verb}

    assert FITTING[state] == {verb for verb, each in judged.items() if each.obstacle is None}
    assert {state} == {each.state for each in judged.values()}


async def test_what_was_posted_cannot_be_withdrawn(store: SqliteStore) -> None:
    """It may have arrived, whatever came back."""
    request_id = await taken(store)
    claim = await store.claim_next(NOW, ("trust",))
    assert claim is not None
    await store.settle(
        claim, SILENCE, attempt=attempt(claim, Verdict.RETRY), settlement=TryAgain(at=LATER)
    )
    (found,) = await act(store, Verb.WITHDRAW, request_id)

    assert "cancellation" in (found.obstacle or "")
    assert OutboundState.QUEUED == (await state_of(store, request_id))[0]


@pytest.mark.parametrize(
    ("verb", "kind"),
    [(Verb.HOLD, NoticeKind.HELD), (Verb.RETRY, NoticeKind.RETRIED)],
)
async def test_the_epr_is_told_what_an_operator_did(
    store: SqliteStore, verb: Verb, kind: NoticeKind
) -> None:
    """What it did itself it knows."""
    theirs, own = await taken(store), await taken(store)
    await act(store, verb, theirs)
    await act(store, verb, own, by_operator=False)

    assert [(kind, theirs)] == await notices(store)


async def test_the_epr_is_told_of_the_copy(store: SqliteStore) -> None:
    """Its outcome will come under ids that the EPR has never seen."""
    first = await ended(store, OutboundState.REFUSED)
    await resend(store, first)
    told = (await store.pending_notices("trust", 100))[-1]

    assert (NoticeKind.RESENT, NEW_ID, first) == (told.kind, told.request_id, told.resend_of)


async def test_who_and_why_are_kept(store: SqliteStore) -> None:
    """In the audit trail, which nobody can change."""
    request_id = await taken(store)
    await act(store, Verb.HOLD, request_id)
    (found,) = await store.history("trust", request_id)
    event = next(each for each in found.events if each.kind == "operator.held")

    assert {"who": "ada (uid 7)", "why": "a drill"} == json.loads(event.detail)


async def test_what_was_seen_to_is_no_concern(store: SqliteStore) -> None:
    """It is neither counted as lately ended badly nor listed as an alarm."""
    request_id = await ended(store, OutboundState.UNCONFIRMED)
    before = await store.overview(NOW)
    await act(store, Verb.SEEN, request_id)
    after = await store.overview(NOW)

    assert (1, 0) == tuple(o.lately[OutboundState.UNCONFIRMED] for o in (before, after))
    assert (1, 0) == tuple(len(o.alarms) for o in (before, after))


async def test_what_ends_badly_again_is_a_concern_again(store: SqliteStore) -> None:
    """A mark is about how it ended that time."""
    request_id = await ended(store, OutboundState.UNCONFIRMED)
    await act(store, Verb.SEEN, request_id)
    await act(store, Verb.RETRY, request_id)
    claim = await store.claim_next(LATER, ("trust",))
    assert claim is not None
    await settle(store, claim, OutboundState.UNCONFIRMED)

    assert 1 == (await store.overview(NOW)).lately[OutboundState.UNCONFIRMED]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"receiver": THEIRS}, 2),
        ({"receiver": "2000000202"}, 2),
        ({"receiver": "2000000999"}, 1),
        ({"use_case": "a4t1"}, 1),
        ({"correlation_id": "c"}, 1),
        ({"taken_before": NOW}, 0),
        ({"taken_before": LATER}, 3),
        ({"state": OutboundState.HELD}, 0),
        ({}, 3),
    ],
)
async def test_filters_say_which_are_meant(
    store: SqliteStore, filters: dict[str, object], expected: int
) -> None:
    """Each narrows the choice; without any, all that the verb is for are meant."""
    await taken(store)
    await taken(store, receiver="https://fhir.nhs.uk/Id/dos-service-id|2000000999")
    await taken(store, use_case="a4t1", correlation_id="c")
    selection = Selection(provider="trust", **filters)  # type: ignore[arg-type]

    assert expected == len(await store.verbs.candidates(Verb.HOLD, selection, 100))


async def test_many_are_gone_through_page_by_page(store: SqliteStore) -> None:
    """Each page begins where the one before it ended."""
    request_ids = [await taken(store) for _ in range(5)]
    found, after = [], 0
    while page := await store.verbs.candidates(
        Verb.HOLD, Selection(provider="trust", after=after), 2
    ):
        found += [each.request_id for each in page]
        after = page[-1].message_id

    assert request_ids == found


async def test_nobody_acts_on_what_belongs_to_others(store: SqliteStore) -> None:
    """A provider's socket speaks for that provider alone."""
    request_id = await taken(store)
    (found,) = await meant(store, Verb.HOLD, request_id)
    foreign = order(Verb.HOLD, provider="other")

    assert [] == await store.verbs.act(foreign, [found.message_id], until, LATER)
    assert OutboundState.QUEUED == (await state_of(store, request_id))[0]


async def test_a_page_is_all_or_nothing(store: SqliteStore, database: Database) -> None:
    """A failure in the middle leaves every message as it was."""
    first, second = await taken(store), await taken(store)
    await database.write(
        lambda connection: connection.execute(
            "CREATE TEMP TRIGGER fails BEFORE UPDATE OF state ON messages"
            f" WHEN NEW.request_id = '{second}' BEGIN SELECT RAISE(ABORT, 'broken'); END"
        )
    )
    with pytest.raises(StoreError, match="broken"):
        await act(store, Verb.HOLD, first, second)

    assert OutboundState.QUEUED == (await state_of(store, first))[0]


async def test_the_bytes_of_the_original_stay(store: SqliteStore) -> None:
    """A resend copies; the record of what was sent first is not touched."""
    first = await ended(store, OutboundState.REFUSED, body=b"first")
    await resend(store, first)
    (found,) = await store.history("trust", first)

    assert payload(b"first") == await store.payload(found.message.message_id, Part.REQUEST)
