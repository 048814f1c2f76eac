"""What is owed has a time: a warning before it, an alarm at it, a word about what comes after."""

from datetime import datetime, timedelta

from store_values import ANSWER, NOW, arrival, attempt, payload, submission

from bars_gateway.epr import documents
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.workflow import Move, Role, Subject
from bars_gateway.store.port import NoticeKind, OutboundState, Settled, Store

DUE = NOW + timedelta(minutes=20)
OWED = {"subject": Subject.VALIDATION, "use_case": "a4t1", "answer_due_at": DUE}


VALIDATION = {"subject": Subject.VALIDATION, "use_case": "a4t1"}


async def kinds(store: Store) -> list[NoticeKind]:
    return [notice.kind for notice in await store.pending_notices("trust", 10)]


async def test_an_answer_is_warned_of_and_then_overdue(store: Store) -> None:
    """Scenario 80: with a quarter of the time left, and at its end; each is said once."""
    await store.submit(submission(**OWED), NOW)
    told = [
        await store.conversations.tell_due(NOW + timedelta(minutes=m)) for m in (14, 15, 16, 20, 21)
    ]
    overview = await store.overview(NOW + timedelta(minutes=21))

    assert [(0, 0), (1, 0), (0, 0), (0, 1), (0, 0)] == told
    assert [NoticeKind.DUE_SOON, NoticeKind.OVERDUE] == await kinds(store)
    assert [("workflow.overdue", Role.REQUESTER)] == [(a.kind, a.role) for a in overview.alarms]


async def test_after_a_long_stop_only_the_alarm_is_told(store: Store) -> None:
    """Nobody is warned of what has come already."""
    await store.submit(submission(**OWED), NOW)

    assert (0, 1) == await store.conversations.tell_due(NOW + timedelta(hours=3))


async def test_the_clock_runs_though_the_request_is_unconfirmed(store: Store) -> None:
    """Then most of all: it may never have arrived."""
    await store.submit(submission(give_up_at=NOW + timedelta(minutes=5), **OWED), NOW)
    claim = await store.claim_next(NOW, {"trust"})
    assert claim is not None
    await store.release_own(NOW)
    await store.give_up(NOW + timedelta(minutes=6))

    assert (0, 1) == await store.conversations.tell_due(DUE)


async def test_what_never_left_has_no_clock(store: Store) -> None:
    """Its workflow is over, and its outcome has said so: act now."""
    await store.submit(submission(give_up_at=NOW + timedelta(minutes=5), **OWED), NOW)
    await store.give_up(NOW + timedelta(minutes=6))

    assert (0, 0) == await store.conversations.tell_due(DUE)
    assert [NoticeKind.OUTCOME] == await kinds(store)


async def answered(store: Store, at: datetime, move: Move = Move.CONCLUDE) -> None:
    came = arrival(move=move, responds_to="b1", focus_id="sr-1", **VALIDATION)
    await store.respond(came, payload(), at)


async def test_a_final_response_stops_the_clock(store: Store) -> None:
    """Nothing is owed any more."""
    await store.submit(submission(bundle_id="b1", **OWED), NOW)
    await answered(store, NOW)

    assert (0, 0) == await store.conversations.tell_due(NOW + timedelta(hours=1))


async def test_an_interim_response_does_not_stop_the_clock(store: Store) -> None:
    """V2 may breach as V1 may."""
    await store.submit(submission(bundle_id="b1", **OWED), NOW)
    await answered(store, NOW, Move.PROGRESS)

    assert (0, 1) == await store.conversations.tell_due(NOW + timedelta(hours=1))


async def test_what_comes_late_is_delivered_and_says_so(store: Store) -> None:
    """Scenario 81: it is the patient's answer all the same."""
    await store.submit(submission(bundle_id="b1", **OWED), NOW)
    late = NOW + timedelta(minutes=25)
    await store.conversations.tell_due(late)
    await answered(store, late)
    notice = list(await store.pending_notices("trust", 10))[-1]

    assert (Move.CONCLUDE, [Remark.LATE]) == (notice.move, notice.remarks)
    assert 0 == (await store.overview(late)).alarmed("workflow.overdue")


async def test_an_update_moves_the_clock_once_the_receiver_has_it(store: Store) -> None:
    """Scenario 66: before that, the other side still works to the old time."""
    await store.submit(submission(bundle_id="b1", **OWED), NOW)
    await acknowledged(store)
    later = DUE + timedelta(minutes=20)
    await store.submit(
        submission(move=Move.UPDATE, focus_id="sr-1", needed_by=later, **VALIDATION), NOW
    )
    await store.conversations.tell_due(DUE)
    before = (await store.overview(DUE)).alarmed("workflow.overdue")
    await acknowledged(store)

    assert (1, 0) == (before, (await store.overview(DUE)).alarmed("workflow.overdue"))
    assert (0, 1) == await store.conversations.tell_due(later)


async def acknowledged(store: Store) -> None:
    claim = await store.claim_next(NOW, {"trust"})
    assert claim is not None
    settled = Settled(state=OutboundState.ACKNOWLEDGED, focus_id="sr-1")
    await store.settle(claim, ANSWER, attempt=attempt(claim), settlement=settled)


async def test_what_we_owe_is_told_to_us(store: Store) -> None:
    """The Responder's EPR is warned, too: its user can still answer."""
    await store.receive(arrival(**OWED), NOW)
    await store.conversations.tell_due(NOW + timedelta(minutes=16))
    notices = await store.pending_notices("trust", 10)

    assert [("inbound", "message"), ("inbound", "due_soon")] == [
        (notice.direction, notice.kind) for notice in notices
    ]
    assert "waits for your" in str(documents.notice(notices[1])["means"])
