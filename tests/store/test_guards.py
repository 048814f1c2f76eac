"""Impossible moves are refused inside the transaction, in both directions; responses never are."""

from datetime import timedelta

import pytest
from store_values import (
    ANSWER,
    NOW,
    OURS,
    TERMS,
    THEIRS,
    arrival,
    attempt,
    claim_next,
    decision,
    payload,
    submission,
    wording,
)

from bars_gateway.model.messages import (
    Accepted,
    Arrival,
    NoticeKind,
    OutboundState,
    Received,
    RefusedBefore,
    Settled,
)
from bars_gateway.model.questions import QuestionOpen
from bars_gateway.standard.guards import MoveRefused
from bars_gateway.standard.meaning import Said
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.workflow import Move, RequestType, State
from bars_gateway.store.store import Store

TRANSFER = {"request_type": RequestType.REFERRAL, "use_case": "a6t2"}
VALIDATION = {"request_type": RequestType.VALIDATION, "use_case": "a4t1"}
NOT_FOUND = payload(b'{"resourceType":"OperationOutcome"}')


async def asked_for(store: Store, **changes: object) -> Accepted:
    """Send a request, and have it acknowledged; return its receipt."""
    receipt = await store.outbound.submit(submission(**(VALIDATION | changes)), NOW)
    claim = await claim_next(store, NOW, {"trust"})
    assert claim is not None
    settled = Settled(state=OutboundState.ACKNOWLEDGED, focus_id="sr-1")
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=settled)
    return receipt


async def sent_about(store: Store, move: Move, **changes: object) -> Accepted:
    """Submit a change of what was asked for."""
    return await store.outbound.submit(
        submission(move=move, focus_id="sr-1", **(VALIDATION | changes)), NOW
    )


async def come_back(store: Store, to: str, move: Move, **changes: object) -> Received:
    """Receive a response to the Bundle with the id *to*."""
    came = arrival(move=move, responds_to=to, focus_id="sr-1", **(VALIDATION | changes))
    fate = await store.responses.respond(came, NOT_FOUND, NOW)
    assert isinstance(fate, Received)
    return fate


async def state_of(store: Store, receipt: Accepted) -> State:
    (history,) = await store.messages.history("trust", receipt.request_id)
    return history.workflow.state


@pytest.mark.parametrize(("move", "rule"), [(Move.UPDATE, "G01"), (Move.CANCEL, "G02")])
async def test_what_is_over_is_not_changed(store: Store, move: Move, rule: str) -> None:
    """The final response came; nothing is queued that the Receiver could only refuse."""
    await asked_for(store, bundle_id="b1")
    await come_back(store, "b1", Move.CONCLUDE)

    with pytest.raises(MoveRefused) as refused:
        await sent_about(store, move)
    assert [rule] == [issue.rule for issue in refused.value.issues]
    assert [] == list(await store.messages.queue("trust", 10))


async def test_what_is_being_cancelled_is_not_changed(store: Store) -> None:
    """The cancellation still waits to be sent, and nothing will follow it."""
    await asked_for(store)
    await sent_about(store, Move.CANCEL)

    with pytest.raises(MoveRefused):
        await sent_about(store, Move.UPDATE)


async def test_a_change_may_wait_behind_its_request(store: Store) -> None:
    """Scenario 52: the request is still on its way; order is kept by the queue."""
    await store.outbound.submit(submission(bundle_id="b1", **VALIDATION), NOW)
    receipt = await store.outbound.submit(
        submission(move=Move.CANCEL, bundle_id="b1", **VALIDATION), NOW
    )

    assert OutboundState.QUEUED is receipt.state


async def test_an_agreement_lets_a_change_through(store: Store) -> None:
    """Scenario 67: what is strict here may be let through for a counterparty."""
    receipt = await asked_for(store, bundle_id="b1")
    await come_back(store, "b1", Move.PROGRESS)
    with pytest.raises(MoveRefused):
        await sent_about(store, Move.UPDATE)
    agreed = await sent_about(store, Move.UPDATE, enforced=frozenset({"G01"}))

    assert receipt.workflow_id == agreed.workflow_id


async def taken(store: Store, **changes: object) -> Arrival:
    came = arrival(**(VALIDATION | {"focus_id": "sr-2"} | changes))
    assert isinstance(await store.inbound.receive(came, NOW), Received)
    return came


async def test_nothing_is_answered_to_what_was_cancelled(store: Store) -> None:
    """Scenario 68: the Requester has taken it back; its own gateway would be surprised."""
    request = await taken(store)
    store.questions.attend("trust", NOW)
    asked = await store.questions.ask_about(
        arrival(move=Move.CANCEL, focus_id="sr-2", **VALIDATION), None, TERMS, NOW
    )
    assert isinstance(asked, QuestionOpen)
    await store.questions.decide("trust", asked.question_id, decision(), NOW)

    with pytest.raises(MoveRefused) as refused:
        await answered(store, request, Move.CONCLUDE)
    assert ["G03"] == [issue.rule for issue in refused.value.issues]


async def answered(store: Store, request: Arrival, move: Move) -> Accepted:
    response = submission(move=move, responds_to=request.bundle_id, **VALIDATION)
    return await store.outbound.submit(response, NOW)


async def test_a_final_response_may_be_amended_and_an_interim_one_not(store: Store) -> None:
    """Scenario 74, from the Responder's side; projected over what still waits to be sent."""
    request = await taken(store)
    first = await answered(store, request, Move.CONCLUDE)
    second = await answered(store, request, Move.CONCLUDE)

    assert first.workflow_id == second.workflow_id
    with pytest.raises(MoveRefused):
        await answered(store, request, Move.PROGRESS)


async def test_a_cancellation_of_what_is_over_is_answered_without_asking(store: Store) -> None:
    """Scenario 70: 409, remembered for the retry; the EPR need not even be there."""
    request = await taken(store)
    await answered(store, request, Move.CONCLUDE)
    claim = await claim_next(store, NOW, {"trust"})
    assert claim is not None
    settled = Settled(state=OutboundState.ACKNOWLEDGED)
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=settled)

    cancel = arrival(move=Move.CANCEL, focus_id="sr-2", **VALIDATION)
    first = await store.questions.ask_about(cancel, None, TERMS, NOW)
    again = await store.questions.ask_about(cancel, None, TERMS, NOW)

    assert isinstance(first, RefusedBefore)
    assert (409, first) == (first.http_status, again)
    assert b'"conflict"' in first.answer.body


async def test_a_cancellation_by_a_stranger_meets_no_workflow(store: Store) -> None:
    """Another service that names our id is not the counterparty: the EPR decides."""
    await taken(store)
    store.questions.attend("trust", NOW)
    stranger = OURS.replace("2000000101", "2000000909")
    asked = await store.questions.ask_about(
        arrival(move=Move.CANCEL, focus_id="sr-2", sender=stranger, **VALIDATION), None, TERMS, NOW
    )

    assert isinstance(asked, QuestionOpen)


@pytest.mark.parametrize(
    ("told", "state", "kind", "remarks"),
    [
        pytest.param(
            ["finished", "in-progress"],
            State.CONTRADICTED,
            NoticeKind.MESSAGE,
            [Remark.CONTRADICTS],
            id="interim-after-final",
        ),
        pytest.param(
            ["finished", "finished"],
            State.COMPLETED,
            NoticeKind.AMENDED,
            [Remark.AMENDED],
            id="74-second-final",
        ),
        pytest.param(
            ["in-progress", "planned"],
            State.ACTIVE,
            NoticeKind.MESSAGE,
            [Remark.STOOD_DOWN],
            id="89-stood-down",
        ),
        pytest.param(
            ["in-progress", "cancelled"],
            State.DECLINED,
            NoticeKind.MESSAGE,
            [Remark.UNFORESEEN],
            id="declined-after-all",
        ),
    ],
)
async def test_a_response_out_of_turn_is_taken_and_remarked_upon(
    store: Store, told: list[str], state: State, kind: NoticeKind, remarks: list[Remark]
) -> None:
    """It is stored and delivered; the notice says what is odd about it."""
    receipt = await asked_for(store, bundle_id="b1", **TRANSFER)
    for encounter in told:
        await come_back(store, "b1", Move.UNCLEAR, wording=wording(encounter), **TRANSFER)
    notice = list(await store.notices.pending("trust", 10))[-1]

    assert (state, kind, remarks) == (await state_of(store, receipt), notice.kind, notice.remarks)


async def test_a_response_that_is_older_than_the_last_changes_nothing(store: Store) -> None:
    """Scenario 90: the newest by Encounter.meta.lastUpdated holds; the other is delivered."""
    receipt = await asked_for(store, bundle_id="b1", **TRANSFER)
    for encounter, ago in (("arrived", 0), ("in-progress", 3)):
        words = wording(encounter, NOW - timedelta(minutes=ago))
        await come_back(store, "b1", Move.UNCLEAR, wording=words, **TRANSFER)
    (history,) = await store.messages.history("trust", receipt.request_id)
    notice = list(await store.notices.pending("trust", 10))[-1]

    assert "arrived" == history.workflow.told_status
    assert (Said.ASSIGNED, [Remark.OUT_OF_ORDER]) == (notice.says, notice.remarks)


async def test_an_update_goes_to_the_workflow_with_its_receiver(store: Store) -> None:
    """Scenario 108: two Receivers may mint the same id; it is theirs, not the world's."""
    other = THEIRS.replace("2000000202", "2000000303")
    first = await asked_for(store)
    second = await asked_for(store, receiver=other)
    update = await sent_about(store, Move.UPDATE, receiver=THEIRS)

    assert first.workflow_id != second.workflow_id
    assert first.workflow_id == update.workflow_id


async def test_the_id_that_the_receiver_gave_stays(store: Store) -> None:
    """An acknowledgement of a response or cancellation may name another; test kits do."""
    request = await taken(store)
    await answered(store, request, Move.PROGRESS)
    claim = await claim_next(store, NOW, {"trust"})
    assert claim is not None
    settled = Settled(state=OutboundState.ACKNOWLEDGED, focus_id="their-encounter")
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=settled)
    store.questions.attend("trust", NOW)
    again = await answered(store, request, Move.CONCLUDE)
    update = arrival(move=Move.UPDATE, focus_id="sr-2", **VALIDATION)
    asked = await store.questions.ask_about(update, None, TERMS, NOW)
    assert isinstance(asked, QuestionOpen)
    await store.questions.decide("trust", asked.question_id, decision(), NOW)
    (history,) = await store.messages.history("trust", update.request_id)

    assert again.workflow_id == history.workflow.workflow_id
