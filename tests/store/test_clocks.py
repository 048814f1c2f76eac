"""What is owed has a time: a warning before it, an alarm at it, a word about what comes after."""

from datetime import datetime, timedelta

import pytest
from store_values import (
    ANSWER,
    NOW,
    TERMS,
    arrival,
    attempt,
    claim_next,
    decision,
    owed,
    payload,
    submission,
)

from bars_gateway.epr import documents
from bars_gateway.model.interventions import Verb
from bars_gateway.model.messages import Accepted, Actor, NoticeKind, OutboundState, Settled
from bars_gateway.model.questions import QuestionOpen
from bars_gateway.standard.applications import Owed
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.timing import Limits
from bars_gateway.standard.workflow import Move, RequestType, Role
from bars_gateway.store.store import Store

DUE = NOW + timedelta(minutes=20)
EPR = Actor(role="epr", who="the EPR", why="a test")
OWED = {"request_type": RequestType.VALIDATION, "use_case": "a4t1", "owed": owed(DUE)}


VALIDATION = {"request_type": RequestType.VALIDATION, "use_case": "a4t1"}


async def kinds(store: Store) -> list[NoticeKind]:
    return [notice.kind for notice in await store.notices.pending("trust", 10)]


async def test_an_answer_is_warned_of_and_then_overdue(store: Store) -> None:
    """Scenario 80: with a quarter of the time left, and at its end; each is said once."""
    await store.outbound.submit(submission(**OWED), NOW)
    told = [
        await store.conversations.tell_due(NOW + timedelta(minutes=m)) for m in (14, 15, 16, 20, 21)
    ]
    overview = await store.overview(NOW + timedelta(minutes=21))

    assert [(0, 0), (1, 0), (0, 0), (0, 1), (0, 0)] == told
    assert [NoticeKind.DUE_SOON, NoticeKind.OVERDUE] == await kinds(store)
    assert [("workflow.overdue", Role.REQUESTER)] == [(a.kind, a.role) for a in overview.alarms]


async def test_after_a_long_stop_only_the_alarm_is_told(store: Store) -> None:
    """Nobody is warned of what has come already."""
    await store.outbound.submit(submission(**OWED), NOW)

    assert (0, 1) == await store.conversations.tell_due(NOW + timedelta(hours=3))


async def test_the_clock_runs_though_the_request_is_unconfirmed(store: Store) -> None:
    """Then most of all: it may never have arrived."""
    await store.outbound.submit(submission(give_up_at=NOW + timedelta(minutes=5), **OWED), NOW)
    claim = await claim_next(store, NOW, {"trust"})
    assert claim is not None
    await store.outbound.release_own(NOW)
    await store.outbound.give_up(NOW + timedelta(minutes=6))

    assert (0, 1) == await store.conversations.tell_due(DUE)


async def test_what_never_left_has_no_clock(store: Store) -> None:
    """Its workflow is over, and its outcome has said so: act now."""
    await store.outbound.submit(submission(give_up_at=NOW + timedelta(minutes=5), **OWED), NOW)
    await store.outbound.give_up(NOW + timedelta(minutes=6))

    assert (0, 0) == await store.conversations.tell_due(DUE)
    assert [NoticeKind.OUTCOME] == await kinds(store)


async def answered(store: Store, at: datetime, move: Move = Move.CONCLUDE) -> None:
    came = arrival(move=move, responds_to="b1", focus_id="sr-1", **VALIDATION)
    await store.responses.respond(came, payload(), at)


async def test_a_final_response_stops_the_clock(store: Store) -> None:
    """Nothing is owed any more."""
    await store.outbound.submit(submission(bundle_id="b1", **OWED), NOW)
    await answered(store, NOW)

    assert (0, 0) == await store.conversations.tell_due(NOW + timedelta(hours=1))


async def test_an_interim_response_does_not_stop_the_clock(store: Store) -> None:
    """A validation that was begun may breach as one that was not."""
    await store.outbound.submit(submission(bundle_id="b1", **OWED), NOW)
    await answered(store, NOW, Move.PROGRESS)

    assert (0, 1) == await store.conversations.tell_due(NOW + timedelta(hours=1))


async def test_what_comes_late_is_delivered_and_says_so(store: Store) -> None:
    """Scenario 81: it is the patient's answer all the same."""
    await store.outbound.submit(submission(bundle_id="b1", **OWED), NOW)
    late = NOW + timedelta(minutes=25)
    await store.conversations.tell_due(late)
    await answered(store, late)
    notice = list(await store.notices.pending("trust", 10))[-1]

    assert (Move.CONCLUDE, [Remark.LATE]) == (notice.move, notice.remarks)
    assert 0 == (await store.overview(late)).alarmed("workflow.overdue")


async def test_an_update_moves_the_clock_once_the_receiver_has_it(store: Store) -> None:
    """Scenario 66: before that, the other side still works to the old time."""
    await store.outbound.submit(submission(bundle_id="b1", **OWED), NOW)
    await acknowledged(store)
    later = DUE + timedelta(minutes=20)
    await store.outbound.submit(
        submission(move=Move.UPDATE, focus_id="sr-1", owed=owed(later), **VALIDATION), NOW
    )
    await store.conversations.tell_due(DUE)
    before = (await store.overview(DUE)).alarmed("workflow.overdue")
    await acknowledged(store)

    assert (1, 0) == (before, (await store.overview(DUE)).alarmed("workflow.overdue"))
    assert (0, 1) == await store.conversations.tell_due(later)


@pytest.mark.parametrize("first", [owed(DUE), None], ids=["later", "none"])
async def test_an_update_to_a_nearer_time_counts_at_once(store: Store, first: Owed | None) -> None:
    """Nobody waits for its acknowledgement to be told that the answer is overdue."""
    await store.outbound.submit(submission(bundle_id="b1", owed=first, **VALIDATION), NOW)
    await acknowledged(store)
    sooner = NOW + timedelta(minutes=5)
    await store.outbound.submit(
        submission(move=Move.UPDATE, focus_id="sr-1", owed=owed(sooner), **VALIDATION), NOW
    )

    assert (0, 1) == await store.conversations.tell_due(sooner)


async def updated(store: Store, due: datetime) -> Accepted:
    return await store.outbound.submit(
        submission(move=Move.UPDATE, focus_id="sr-1", owed=owed(due), **VALIDATION), NOW
    )


NEARER, PUT_BACK = NOW + timedelta(minutes=5), DUE + timedelta(hours=9)


async def test_what_is_put_back_does_not_undo_a_nearer_time_that_came_after_it(
    store: Store,
) -> None:
    """Both on their way: that the first has arrived says nothing against the second."""
    await store.outbound.submit(submission(bundle_id="b1", **OWED), NOW)
    await acknowledged(store)
    await updated(store, PUT_BACK)
    await updated(store, NEARER)
    await acknowledged(store)

    assert (0, 1) == await store.conversations.tell_due(NEARER)


async def test_a_nearer_time_that_was_taken_back_counts_no_more(store: Store) -> None:
    """Nobody is to wait for what the EPR itself withdrew."""
    await store.outbound.submit(submission(bundle_id="b1", **OWED), NOW)
    await acknowledged(store)
    await updated(store, PUT_BACK)
    nearer = await updated(store, NEARER)
    await withdrawn(store, nearer)
    await acknowledged(store)

    assert (0, 0) == await store.conversations.tell_due(NEARER)
    assert (0, 1) == await store.conversations.tell_due(PUT_BACK)


async def test_what_is_put_back_after_a_nearer_time_holds_once_it_has_arrived(store: Store) -> None:
    """It was submitted after it, and is the newer word."""
    await store.outbound.submit(submission(bundle_id="b1", **OWED), NOW)
    await acknowledged(store)
    await updated(store, NEARER)
    await updated(store, PUT_BACK)
    await acknowledged(store)
    await acknowledged(store)

    assert (0, 0) == await store.conversations.tell_due(NEARER)
    assert (0, 1) == await store.conversations.tell_due(PUT_BACK)


async def test_what_was_told_of_a_time_is_told_once(store: Store) -> None:
    """That the update has arrived at last makes the same time no news."""
    await store.outbound.submit(submission(bundle_id="b1", **OWED), NOW)
    await acknowledged(store)
    await updated(store, NEARER)
    told = await store.conversations.tell_due(NEARER)
    await acknowledged(store)

    assert ((0, 1), (0, 0)) == (told, await store.conversations.tell_due(NEARER))


async def test_an_update_that_is_decided_after_a_newer_one_puts_nothing_back(store: Store) -> None:
    """Our EPR was slow to say yes to the first: what it owes by the second is owed still."""
    store.questions.attend("trust", NOW)
    await store.inbound.receive(arrival(focus_id="sr-1", **OWED), NOW)
    asked = []
    for due in (PUT_BACK, NEARER):
        came = arrival(move=Move.UPDATE, focus_id="sr-1", owed=owed(due), **VALIDATION)
        question = await store.questions.ask_about(came, None, TERMS, NOW)
        assert isinstance(question, QuestionOpen)
        asked.append(question.question_id)
    for number in reversed(asked):
        await store.questions.decide("trust", number, decision(), NOW)

    assert (0, 1) == await store.conversations.tell_due(NEARER)


async def withdrawn(store: Store, accepted: Accepted, at: datetime = NOW) -> None:
    await store.interventions.intervene(Verb.WITHDRAW, accepted.message_id, EPR, no_schedule, at)


def no_schedule(*_of: object) -> Limits:
    raise AssertionError("nothing is sent again")


async def due_of(store: Store, accepted: Accepted) -> datetime | None:
    (found,) = await store.messages.history("trust", accepted.request_id)
    return found.workflow.answer_due_at


async def test_a_nearer_time_that_was_withdrawn_counts_no_more(store: Store) -> None:
    """It never left: the Receiver has the time of the request, and is overdue by that."""
    request = await store.outbound.submit(submission(bundle_id="b1", **OWED), NOW)
    await acknowledged(store)
    await withdrawn(store, await updated(store, NEARER))

    assert DUE == await due_of(store, request)
    assert (0, 0) == await store.conversations.tell_due(NEARER)
    assert (0, 1) == await store.conversations.tell_due(DUE)


async def test_the_next_nearest_counts_then(store: Store) -> None:
    """Of what the Receiver has last, and of what waits to be sent."""
    request = await store.outbound.submit(submission(bundle_id="b1", **OWED), NOW)
    await acknowledged(store)
    await updated(store, DUE - timedelta(minutes=5))
    await acknowledged(store)
    waits = await updated(store, DUE - timedelta(minutes=8))
    nearest = await updated(store, NEARER)
    found = []
    for each in (nearest, waits):
        await withdrawn(store, each)
        found.append(await due_of(store, request))

    assert [DUE - timedelta(minutes=8), DUE - timedelta(minutes=5)] == found


async def test_a_request_without_a_time_has_none_again(store: Store) -> None:
    """Only the update had one."""
    request = await store.outbound.submit(submission(bundle_id="b1", **VALIDATION), NOW)
    await acknowledged(store)
    await withdrawn(store, await updated(store, NEARER))

    assert await due_of(store, request) is None


async def test_what_is_overdue_by_then_stays_so(store: Store) -> None:
    """It was told, and is not told a second time for the time of the request."""
    request = await store.outbound.submit(submission(bundle_id="b1", **OWED), NOW)
    await acknowledged(store)
    update = await updated(store, NEARER)
    await store.conversations.tell_due(DUE)
    await withdrawn(store, update, DUE)

    assert NEARER == await due_of(store, request)
    assert (0, 0) == await store.conversations.tell_due(DUE + timedelta(minutes=1))


async def test_one_that_moves_the_time_back_is_withdrawn_without_a_trace(store: Store) -> None:
    """It did not count yet."""
    request = await store.outbound.submit(submission(bundle_id="b1", **OWED), NOW)
    await acknowledged(store)
    await withdrawn(store, await updated(store, DUE + timedelta(hours=1)))

    assert DUE == await due_of(store, request)


async def test_what_waits_is_needed_as_soon_as_its_update_says(store: Store) -> None:
    """It goes out as urgently, and stops as early: the old time is nobody's any more."""
    sooner = NOW + timedelta(minutes=5)
    asked = await store.outbound.submit(submission(bundle_id="b1", **VALIDATION), NOW)
    await store.outbound.submit(
        submission(
            move=Move.UPDATE,
            bundle_id="b1",
            correlation_id=asked.correlation_id,
            needed_by=sooner,
            give_up_at=sooner,
            by_its_time=True,
            urgent=True,
            **VALIDATION,
        ),
        NOW,
    )
    await store.outbound.submit(submission(), NOW - timedelta(minutes=1))
    claim = await claim_next(store, NOW, {"trust"})
    assert claim is not None

    assert (asked.message_id, sooner) == (claim.message_id, claim.give_up_at)


async def test_an_update_to_a_later_time_leaves_what_waits_as_it_is(store: Store) -> None:
    """Until the Receiver has it, the earlier time is the true one."""
    asked = await store.outbound.submit(submission(bundle_id="b1", **VALIDATION), NOW)
    later = NOW + timedelta(hours=3)
    await store.outbound.submit(
        submission(
            move=Move.UPDATE,
            bundle_id="b1",
            correlation_id=asked.correlation_id,
            needed_by=later,
            give_up_at=later,
            by_its_time=True,
            **VALIDATION,
        ),
        NOW,
    )
    claim = await claim_next(store, NOW, {"trust"})
    assert claim is not None

    assert NOW + timedelta(minutes=15) == claim.give_up_at


TRANSFER = {"use_case": "a6t2", "bundle_id": "b1"}


@pytest.mark.parametrize("move", [Move.WAIT, Move.PROGRESS])
async def test_the_first_of_many_responses_ends_the_silence(store: Store, move: Move) -> None:
    """A6: what is owed is a word; there is no final response to be late for."""
    await store.outbound.submit(submission(owed=owed(DUE), **TRANSFER), NOW)
    came = arrival(move=move, responds_to="b1", focus_id="sr-1", use_case="a6t2")
    await store.responses.respond(came, payload(), NOW)

    assert (0, 0) == await store.conversations.tell_due(DUE)


@pytest.mark.parametrize(
    ("use_case", "request_type"), [("a6t2", "referral"), ("a4t1", "validation")]
)
async def test_what_does_not_add_up_ends_no_silence(
    store: Store, use_case: str, request_type: str
) -> None:
    """Nobody knows what was answered, so the answer is still owed."""
    about = {"use_case": use_case, "request_type": RequestType(request_type)}
    await store.outbound.submit(submission(owed=owed(DUE), bundle_id="b1", **about), NOW)
    came = arrival(move=Move.UNCLEAR, responds_to="b1", focus_id="sr-1", **about)
    await store.responses.respond(came, payload(), NOW)

    assert (0, 1) == await store.conversations.tell_due(DUE)


async def test_silence_about_a_transfer_is_told(store: Store) -> None:
    """A6: nobody may believe that a resource is on its way because nothing was said."""
    await store.outbound.submit(submission(owed=owed(DUE), **TRANSFER), NOW)

    assert (0, 1) == await store.conversations.tell_due(DUE)


async def acknowledged(store: Store) -> None:
    claim = await claim_next(store, NOW, {"trust"})
    assert claim is not None
    settled = Settled(state=OutboundState.ACKNOWLEDGED, focus_id="sr-1")
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=settled)


async def test_what_we_owe_is_told_to_us(store: Store) -> None:
    """The Responder's EPR is warned, too: its user can still answer."""
    await store.inbound.receive(arrival(**OWED), NOW)
    await store.conversations.tell_due(NOW + timedelta(minutes=16))
    notices = await store.notices.pending("trust", 10)

    assert [("inbound", "message"), ("inbound", "due_soon")] == [
        (notice.direction, notice.kind) for notice in notices
    ]
    assert "waits for your" in str(documents.notice(notices[1])["means"])
