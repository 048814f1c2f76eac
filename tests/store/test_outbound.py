"""What the store promises for an outbound message."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from store_values import ANSWER, NEW, NOW, SILENCE, THEIRS, attempt, claim_next, payload, submission

from bars_gateway.epr import documents
from bars_gateway.errors import StaleState
from bars_gateway.model.interventions import Verb
from bars_gateway.model.messages import (
    Actor,
    Claim,
    NoticeKind,
    OutboundState,
    Part,
    Settled,
    TryAgain,
    Warned,
)
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.timing import Limits
from bars_gateway.standard.verdict import UNFIT, ProxyAnswer, Verdict
from bars_gateway.standard.workflow import Move, RequestType, State
from bars_gateway.store.sqlite.database import SqliteDatabase
from bars_gateway.store.store import Store

PROVIDERS = ("trust",)
ACKNOWLEDGED = Settled(state=OutboundState.ACKNOWLEDGED, focus_id="minted-there")


async def claimed(store: Store, **changes: object) -> Claim:
    await store.outbound.submit(submission(**changes), NOW)
    claim = await claim_next(store, NOW, PROVIDERS)
    assert claim is not None
    return claim


async def acknowledge(store: Store, claim: Claim, settlement: Settled = ACKNOWLEDGED) -> None:
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=settlement)


async def test_the_same_bytes_are_queued_once(store: Store) -> None:
    """An EPR that submits the same bytes twice gets the same receipt, and one message."""
    first = await store.outbound.submit(submission(body=b"same"), NOW)
    second = await store.outbound.submit(submission(body=b"same"), NOW + timedelta(hours=1))

    assert first == second
    assert 1 == (await store.overview(NOW)).outbound[OutboundState.QUEUED]


async def test_nothing_is_looked_for_that_was_not_seen_before(
    store: Store, statements: list[str]
) -> None:
    """The same bytes, then one question for all that it may belong to; and it is kept."""
    await store.outbound.submit(submission(ties=NEW), NOW)

    assert ["same_submission", "seen_before"] == statements[:2]
    assert ["open_workflow", "queue_message", "keep_payload"] == statements[2:]


async def test_a_settlement_that_names_a_new_id_looks_for_nothing(
    store: Store, statements: list[str]
) -> None:
    """That nobody has the id is told with the message, and the rest is written."""
    claim = await claimed(store)
    statements.clear()

    await acknowledge(store, claim, Settled(state=OutboundState.ACKNOWLEDGED, focus_id="a-new-one"))

    assert ["settle_for_good", "record_attempt", "keep_payload"] == statements[:3]
    assert ["lead_workflow_on", "name_focus", "write_notice"] == statements[3:]


async def test_the_receipt_of_a_new_message_is_the_one_that_is_found_again(store: Store) -> None:
    """With all that it warns of, and what nobody could check."""
    warned = Warned(rule="R", path="Bundle", problem="p", refused_in_production=True)
    values = {"warnings": [warned], "target_unchecked": "silent", "asked_as": "said"}
    first = await store.outbound.submit(submission(body=b"same", **values), NOW)

    assert first == await store.outbound.submitted("trust", first.fingerprint)
    assert ((warned,), "silent", "said") == (first.warnings, first.target_unchecked, first.asked_as)


async def test_the_same_bytes_of_another_provider_are_another_message(store: Store) -> None:
    """Providers share a database and nothing else."""
    first = await store.outbound.submit(submission(body=b"same"), NOW)
    second = await store.outbound.submit(submission(body=b"same", provider="other"), NOW)

    assert first.request_id != second.request_id


async def test_a_claim_carries_the_bytes_and_headers_that_were_handed_in(
    store: Store,
) -> None:
    """A retry is the same bytes under the same headers."""
    body = b'{"value":1.10,"at":"2026-03-02T09:00:00.1234567+00:00"}' * 40
    claim = await claimed(store, body=body)

    assert payload(body) == claim.request


async def test_a_message_that_is_claimed_is_claimed_once(store: Store) -> None:
    """Many senders ask at the same moment; one of them gets it."""
    await store.outbound.submit(submission(), NOW)
    claims = await asyncio.gather(*(claim_next(store, NOW, PROVIDERS) for _ in range(20)))

    assert 1 == sum(claim is not None for claim in claims)


async def test_a_provider_without_a_token_keeps_its_place(store: Store) -> None:
    """A message of a provider that is not asked for is not claimed."""
    await store.outbound.submit(submission(), NOW)

    assert await claim_next(store, NOW, ("other",)) is None


async def test_nothing_overtakes_within_a_conversation(store: Store) -> None:
    """The second message to the same Receiver waits until the first is settled."""
    first = await claimed(store, correlation_id="c")
    await store.outbound.submit(submission(correlation_id="c"), NOW)
    early = await claim_next(store, NOW, PROVIDERS)
    await acknowledge(store, first)
    late = await claim_next(store, NOW, PROVIDERS)

    assert early is None
    assert late is not None


async def test_a_retry_does_not_let_the_next_message_overtake(store: Store) -> None:
    """While the first waits for its retry, the second waits too."""
    first = await claimed(store, correlation_id="c")
    await store.outbound.submit(submission(correlation_id="c"), NOW)
    await store.outbound.settle(
        first,
        SILENCE,
        attempt=attempt(first, Verdict.RETRY),
        settlement=TryAgain(at=NOW + timedelta(seconds=30)),
    )

    assert await claim_next(store, NOW + timedelta(seconds=1), PROVIDERS) is None


async def test_a_sick_receiver_does_not_take_every_sender(store: Store) -> None:
    """At most four are in flight to one Receiver; another one's message goes out at once."""
    for _ in range(6):
        await store.outbound.submit(submission(), NOW)
    await store.outbound.submit(submission(receiver="system|other"), NOW)
    receivers = []
    while (claim := await claim_next(store, NOW, PROVIDERS)) is not None:
        receivers.append(claim.receiver)

    assert [THEIRS] * 4 + ["system|other"] == receivers


async def test_a_settled_message_tells_the_epr_once(store: Store) -> None:
    """One final notice, with the Receiver's answer to read."""
    claim = await claimed(store)
    await acknowledge(store, claim)
    (notice,) = await store.notices.pending("trust", 10)
    answer = await store.messages.payload(notice.message_id, Part.ANSWER)

    assert (NoticeKind.OUTCOME, "acknowledged") == (notice.kind, notice.state)
    assert answer is not None
    assert ANSWER.body == answer.body


async def test_an_acknowledged_request_makes_its_workflow_active(store: Store) -> None:
    """The workflow knows the id that the Receiver minted."""
    claim = await claimed(store)
    await acknowledge(store, claim)
    (history,) = await store.messages.history("trust", claim.request_id)

    assert State.ACTIVE == history.workflow.state
    assert claim.correlation_id == await store.outbound.correlation_of("trust", "minted-there")


async def test_a_claim_that_lapsed_cannot_settle_its_successor(store: Store) -> None:
    """The claim number fences: the slow sender gets StaleState and changes nothing."""
    slow = await claimed(store)
    await store.outbound.release_lapsed(NOW + timedelta(minutes=2))
    successor = await claim_next(store, NOW + timedelta(minutes=2), PROVIDERS)
    with pytest.raises(StaleState):
        await acknowledge(store, slow)

    assert successor is not None
    assert slow.claim + 1 == successor.claim
    assert [] == list(await store.notices.pending("trust", 10))


async def test_a_restart_sends_again_what_was_in_flight(store: Store) -> None:
    """What this node was sending when it died is due at once, under the same ids."""
    before = await claimed(store)
    released = await store.outbound.release_own(NOW)
    after = await claim_next(store, NOW, PROVIDERS)

    assert 1 == released
    assert after is not None
    assert (before.request_id, before.request, 2) == (
        after.request_id,
        after.request,
        after.attempt,
    )


async def test_putting_back_is_no_attempt(store: Store) -> None:
    """Without a token no POST begins: attempts stay at none, claims still grow."""
    claim = await claimed(store)
    await store.outbound.put_back(claim, NOW)
    again = await claim_next(store, NOW, PROVIDERS)

    assert again is not None
    assert (1, 2) == (again.attempt, again.claim)


async def test_a_message_that_never_left_is_not_sent(store: Store) -> None:
    """Past its time without a POST: not_sent, said in a notice; its workflow is abandoned."""
    claim = await claimed(store)
    await store.outbound.put_back(claim, NOW)
    given_up = await store.outbound.give_up(NOW + timedelta(hours=1))
    (notice,) = await store.notices.pending("trust", 10)
    (history,) = await store.messages.history("trust", claim.request_id)

    assert (1, "not_sent", 0) == (given_up, notice.state, notice.attempts)
    assert State.ABANDONED == history.workflow.state


async def test_a_message_that_was_tried_is_unconfirmed(store: Store) -> None:
    """Past its time after a POST: we do not know, and say so."""
    claim = await claimed(store)
    await store.outbound.settle(
        claim, SILENCE, attempt=attempt(claim, Verdict.RETRY), settlement=TryAgain(at=NOW)
    )
    await store.outbound.give_up(NOW + timedelta(hours=1))
    (notice,) = await store.notices.pending("trust", 10)
    (history,) = await store.messages.history("trust", claim.request_id)

    assert "unconfirmed" == notice.state
    assert State.UNCONFIRMED == history.workflow.state


async def test_what_is_past_its_time_is_not_claimed(store: Store) -> None:
    """Between its deadline and the next look of housekeeping, a message does not leave."""
    await store.outbound.submit(submission(give_up_at=NOW), NOW)

    assert await claim_next(store, NOW, PROVIDERS) is None


async def test_a_late_message_is_reported_once(store: Store) -> None:
    """A delayed notice comes once, and the message goes on."""
    await store.outbound.submit(submission(), NOW)
    told = [await store.outbound.tell_delays(NOW + timedelta(minutes=m)) for m in (0, 2, 3)]
    (notice,) = await store.notices.pending("trust", 10)

    assert [0, 1, 0] == told
    assert (NoticeKind.DELAYED, "queued") == (notice.kind, notice.state)


async def test_what_is_told_as_late_and_read_after_its_end_says_that_it_has_ended(
    store: Store,
) -> None:
    """An EPR that was away reads both together: one must not say what the other denies."""
    await store.outbound.submit(submission(), NOW)
    await store.outbound.tell_delays(NOW + timedelta(minutes=2))
    await store.outbound.give_up(NOW + timedelta(hours=3))
    read = [documents.notice(each) for each in await store.notices.pending("trust", 10)]
    (late, ended) = (str(each["means"]) for each in read)

    assert ["delayed", "outcome"] == [each["kind"] for each in read]
    assert "has been settled since" in late
    assert "never left this organisation" in ended


async def test_a_message_whose_epr_was_told_is_late_to_the_operator_too(store: Store) -> None:
    """Until it is settled: on the page, and by whom alerts are sent."""
    other = f"{THEIRS}3"
    routine = submission(receiver=other, delayed_at=NOW + timedelta(hours=2))
    await store.outbound.submit(routine, NOW - timedelta(seconds=30))
    await store.outbound.submit(submission(), NOW)
    late = []
    for minutes in (0, 2):
        at = NOW + timedelta(minutes=minutes)
        await store.outbound.tell_delays(at)
        told = {each.receiver: each.told for each in await store.figures.waiting()}
        late.append(((await store.overview(at)).oldest_late_at, told))
    await store.outbound.give_up(NOW + timedelta(hours=3))

    nobody = {THEIRS: False, other: False}
    assert [(None, nobody), (NOW, nobody | {THEIRS: True})] == late
    assert (await store.overview(NOW + timedelta(hours=3))).oldest_late_at is None


async def test_what_is_late_already_is_told_once_more_where_it_does_not_pass(store: Store) -> None:
    """It was told as late, and nobody waits for what may never get there as it is."""
    await store.outbound.submit(submission(), NOW)
    told = [await store.outbound.tell_delays(NOW + timedelta(minutes=2))]
    for minutes in (3, 4):
        at = NOW + timedelta(minutes=minutes)
        claim = await claim_next(store, at, PROVIDERS)
        assert claim is not None
        met = attempt(claim, Verdict.RETRY, row=UNFIT, http_status=413, ended_at=at)
        answer = ProxyAnswer(status=413, body=b"")
        await store.outbound.settle(claim, answer, attempt=met, settlement=TryAgain(at=at))
        told += [await store.outbound.tell_delays(at), await store.outbound.tell_delays(at)]
    notices = await store.notices.pending("trust", 10)

    assert [1, 1, 0, 0, 0] == told
    assert [[], [Remark.UNFIT]] == [notice.remarks for notice in notices]


@pytest.mark.parametrize("move", [Move.REQUEST, Move.CONCLUDE, Move.CANCEL])
async def test_what_goes_on_past_its_time_is_told_then(store: Store, move: Move) -> None:
    """Once when it is late, and once more when its clinical time passes; then no more."""
    await store.outbound.submit(submission(move=move, needed_by=NOW + timedelta(minutes=10)), NOW)
    told = [await store.outbound.tell_delays(NOW + timedelta(minutes=m)) for m in (2, 3, 10, 11)]
    notices = await store.notices.pending("trust", 10)

    assert [1, 0, 1, 0] == told
    assert [[], [Remark.PAST_ITS_TIME]] == [notice.remarks for notice in notices]


async def test_a_clock_that_was_set_tells_of_no_time_before_it_passes(store: Store) -> None:
    """A clinical time lies further ahead than any pause, and is an instant all the same."""
    await store.outbound.submit(submission(needed_by=NOW + timedelta(minutes=10)), NOW)
    await store.outbound.tell_delays(NOW + timedelta(minutes=2))
    await store.waiting.recall(NOW, timedelta(minutes=5))
    await store.waiting.reschedule(timedelta(minutes=-3))

    assert [0, 1] == [await store.outbound.tell_delays(NOW + timedelta(minutes=m)) for m in (9, 10)]


async def test_what_is_held_and_late_says_so(store: Store) -> None:
    """Also when it was released before anybody read of it."""
    accepted = await store.outbound.submit(submission(), NOW)
    actor = Actor(role="epr", who="jo (uid 1000)", why="INC-7")
    for verb in (Verb.HOLD, Verb.RELEASE):
        await store.interventions.intervene(verb, accepted.message_id, actor, schedule, NOW)
        await store.outbound.tell_delays(NOW + timedelta(minutes=2))
    (notice,) = await store.notices.pending("trust", 10)

    assert ("queued", [Remark.HELD]) == (notice.state, notice.remarks)
    assert "stopped here" in documents.notice(notice)["means"]


async def test_what_arrived_after_its_time_says_so(store: Store) -> None:
    """The EPR's own fallback may be running by then."""
    late, early = NOW - timedelta(minutes=1), NOW + timedelta(hours=1)
    for needed_by in (late, early):
        claim = await claimed(store, needed_by=needed_by)
        await acknowledge(store, claim, replace(ACKNOWLEDGED, focus_id=claim.request_id))
    notices = await store.notices.pending("trust", 10)

    assert [[Remark.PAST_ITS_TIME], []] == [notice.remarks for notice in notices]


def schedule(
    _use_case: str, _move: Move, _request_type: RequestType, _needed_by: datetime | None
) -> Limits:
    return Limits(give_up_at=NOW + timedelta(hours=1), delayed_at=NOW + timedelta(minutes=5))


async def test_a_duplicate_gets_its_ids_from_the_answer_that_lacked_ours(
    store: Store,
) -> None:
    """D-duplicate: a 200 without our ids is kept, and the duplicate that follows proves it."""
    claim = await claimed(store)
    unproven = ProxyAnswer(status=200, media_type="application/fhir+json", body=b'{"id":"first"}')
    await store.outbound.settle(
        claim,
        unproven,
        attempt=attempt(claim, Verdict.RETRY, row="ok-without-our-ids"),
        settlement=TryAgain(at=NOW),
    )
    again = await claim_next(store, NOW, PROVIDERS)
    assert again is not None
    duplicate = ProxyAnswer(status=409, body=b'{"resourceType":"OperationOutcome"}')
    await store.outbound.settle(
        again,
        duplicate,
        attempt=attempt(again, row="duplicate"),
        settlement=replace(ACKNOWLEDGED, by_earlier=True),
    )
    answer = await store.messages.payload(claim.message_id, Part.ANSWER)

    assert answer is not None
    assert b'{"id":"first"}' == answer.body


async def test_a_refused_update_leaves_its_workflow_alone(store: Store) -> None:
    """Only the fate of the request is the fate of the workflow."""
    first = await claimed(store)
    await acknowledge(store, first)
    update = await claimed(store, move=Move.UPDATE, focus_id="minted-there")
    await store.outbound.settle(
        update,
        ANSWER,
        attempt=attempt(update, Verdict.REFUSED, row="refused"),
        settlement=Settled(state=OutboundState.REFUSED),
    )
    (history,) = await store.messages.history("trust", update.request_id)

    assert State.ACTIVE == history.workflow.state


async def test_an_update_joins_the_workflow_of_its_request(store: Store) -> None:
    """The Receiver's id names the workflow."""
    first = await claimed(store)
    await acknowledge(store, first)
    accepted = await store.outbound.submit(
        submission(move=Move.UPDATE, focus_id="minted-there"), NOW
    )
    (history,) = await store.messages.history("trust", first.request_id)

    assert history.workflow.workflow_id == accepted.workflow_id


async def test_bytes_that_were_refused_say_so_when_handed_in_again(store: Store) -> None:
    """D-same-bytes: the same bytes, the same refusal, with the Receiver's code."""
    claim = await claimed(store, body=b"refused")
    await store.outbound.settle(
        claim,
        ANSWER,
        attempt=attempt(claim, Verdict.REFUSED, row="refused", code="REC_BAD_REQUEST"),
        settlement=Settled(state=OutboundState.REFUSED),
    )
    again = await store.outbound.submit(submission(body=b"refused"), NOW)

    assert (OutboundState.REFUSED, "REC_BAD_REQUEST") == (again.state, again.code)


async def test_five_hundreds_are_counted(store: Store) -> None:
    """A claim knows how many server errors came before it."""
    claim = await claimed(store)
    await store.outbound.settle(
        claim,
        SILENCE,
        attempt=attempt(claim, Verdict.RETRY_LIMITED, row="server-error"),
        settlement=TryAgain(at=NOW),
    )
    again = await claim_next(store, NOW, PROVIDERS)

    assert again is not None
    assert 1 == again.server_errors


async def test_a_claim_knows_since_when_it_has_met_500s(store: Store) -> None:
    """Also those that did not count: after long enough, they do."""
    claim = await claimed(store)
    first = attempt(claim, Verdict.RETRY, row="server-error", started_at=NOW)
    await store.outbound.settle(claim, SILENCE, attempt=first, settlement=TryAgain(at=NOW))
    second = await claim_next(store, NOW, PROVIDERS)
    assert second is not None
    then = attempt(second, Verdict.RETRY, started_at=NOW + timedelta(seconds=9))
    await store.outbound.settle(second, SILENCE, attempt=then, settlement=TryAgain(at=NOW))
    third = await claim_next(store, NOW, PROVIDERS)
    assert third is not None

    assert (NOW, None, None) == (claim.created_at, claim.previous_at, claim.first_error_at)
    assert (0, NOW) == (third.server_errors, third.first_error_at)
    assert NOW + timedelta(seconds=9) == third.previous_at


async def test_after_a_break_what_was_tried_least_goes_first(store: Store) -> None:
    """And what was tried last goes after all the others: it may be the cause itself."""
    tried = await claimed(store)
    await store.outbound.settle(
        tried, SILENCE, attempt=attempt(tried, Verdict.RETRY), settlement=TryAgain(at=NOW)
    )
    last = await store.outbound.submit(submission(), NOW)
    fresh = await store.outbound.submit(submission(), NOW)
    until = NOW + timedelta(seconds=2)
    await store.waiting.put_off(until, receiver=tried.receiver, last=last.message_id)
    claims = [await claim_next(store, until + timedelta(seconds=s), PROVIDERS) for s in (0, 0.5, 1)]

    expected = [fresh.message_id, tried.message_id, last.message_id]
    assert expected == [claim.message_id for claim in claims if claim is not None]


async def test_the_next_due_time_leaves_out_what_is_blocked(store: Store) -> None:
    """What is due and waits for another message wakes somebody later; it is no due time."""
    first = await claimed(store, correlation_id="c")
    await store.outbound.submit(submission(correlation_id="c"), NOW)
    retry_at = NOW + timedelta(seconds=30)
    await store.outbound.settle(
        first, SILENCE, attempt=attempt(first, Verdict.RETRY), settlement=TryAgain(at=retry_at)
    )

    assert retry_at == await store.outbound.next_due(NOW, PROVIDERS)


async def test_every_change_of_state_is_in_the_history(store: Store) -> None:
    """The database writes the audit trail, so that no code path forgets it."""
    claim = await claimed(store)
    await acknowledge(store, claim)
    (history,) = await store.messages.history("trust", claim.request_id)

    assert ["message.queued", "message.sending", "message.acknowledged"] == [
        event.kind for event in history.events
    ]


async def test_the_bell_that_nobody_heard_is_remembered(store: Store) -> None:
    """Work that arrives between looking and waiting does not wait for the timeout."""
    await store.outbound.submit(submission(), NOW)
    async with asyncio.timeout(1):
        await store.outbound.wait_for_work(60)

    assert await claim_next(store, NOW, PROVIDERS) is not None


@pytest.mark.impure  # the others are numbered anew without it
async def test_a_refused_work_undoes_itself_alone(store: Store, database: SqliteDatabase) -> None:
    """Of works that share a transaction, the one that fails leaves the others whole."""
    claim = await claimed(store)
    await store.outbound.release_own(NOW)
    outcomes = await asyncio.gather(
        store.outbound.submit(submission(), NOW),
        acknowledge(store, claim),
        store.outbound.submit(submission(), NOW),
        return_exceptions=True,
    )

    assert isinstance(outcomes[1], StaleState)
    assert 3 == (await store.overview(NOW)).outbound[OutboundState.QUEUED]


async def test_what_is_urgent_goes_out_first(store: Store) -> None:
    """However long the others have waited; and when there is nothing urgent they go."""
    routine = await store.outbound.submit(submission(receiver="a"), NOW)
    urgent = await store.outbound.submit(
        submission(receiver="b", urgent=True), NOW + timedelta(seconds=1)
    )
    later = NOW + timedelta(seconds=2)
    claims = [await claim_next(store, later, ["trust"]) for _ in range(3)]

    assert [urgent.request_id, routine.request_id, None] == [
        claim and claim.request_id for claim in claims
    ]
