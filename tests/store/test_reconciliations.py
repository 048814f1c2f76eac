"""What is told of looking for the Receiver's id, once the case has gone on."""

import pytest
from messages import referral
from store_values import ANSWER, NOW, arrival, attempt, claim_next, payload, submission

from bars_gateway.model.messages import NoticeKind, OutboundState, Received, Settled
from bars_gateway.standard.bundle import read
from bars_gateway.standard.consistency import case_details_of
from bars_gateway.standard.findings import Matched, Reconciliation
from bars_gateway.standard.workflow import Move
from bars_gateway.store.store import Store


async def taken(
    store: Store, move: Move = Move.REQUEST, bundle_id: str = "b-1", **changes: object
) -> int:
    """Return a message that is acknowledged, without an id of its record."""
    values = {"focus_id": "theirs", "correlation_id": "talk"} if move is Move.CANCEL else {}
    said = submission(move=move, bundle_id=bundle_id, use_case="a6t2", **(values | changes))
    number = (await store.outbound.submit(said, NOW)).message_id
    claim = await claim_next(store, NOW, ("trust",))
    assert claim is not None
    acknowledged = Settled(state=OutboundState.ACKNOWLEDGED, focus_id=None)
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=acknowledged)
    return number


async def answered(store: Store, move: Move) -> int:
    """Return a request that is acknowledged so, and answered."""
    number = await taken(store)
    await respond(store, move)
    return number


async def respond(store: Store, move: Move, **changes: object) -> None:
    values = {"responds_to": "b-1", "use_case": "a6t2", "focus_id": "theirs", **changes}
    came = arrival(move=move, **values)
    assert isinstance(await store.responses.respond(came, payload(b"{}"), NOW), Received)


async def told(store: Store) -> tuple[int, int]:
    """Return how many notices and alarms tell of what came of looking."""
    notices = await store.notices.pending("trust", 9)
    alarms = (await store.overview(NOW)).alarms
    return (
        sum(each.kind is NoticeKind.RECONCILED for each in notices),
        sum(each.kind == "message.unreconciled" for each in alarms),
    )


def over(status: str) -> Matched:
    return Matched(result=Reconciliation.OVER, focus_id="theirs", status=status)


NONE = Matched(result=Reconciliation.NONE)
FOUND = Matched(result=Reconciliation.FOUND, focus_id="theirs")
SEVERAL = Matched(result=Reconciliation.SEVERAL)
UNNAMED = Matched(result=Reconciliation.UNNAMED)
UNREAD = Matched(result=Reconciliation.UNREAD)
NAMELESS = {"focus_id": None}


@pytest.mark.parametrize(
    ("move", "matched"),
    [
        (Move.CONCLUDE, over("completed")),
        (Move.CONCLUDE, NONE),
        (Move.CONCLUDE, FOUND),
        (Move.DECLINE, over("revoked")),
        (Move.DECLINE, over("completed")),
        (Move.DECLINE, NONE),
    ],
)
async def test_a_record_that_is_over_as_was_told_is_no_news(
    store: Store, move: Move, matched: Matched
) -> None:
    """The case has ended rightly: nobody has to ask who sees to the patient now."""
    number = await answered(store, move)
    await store.reconciliations.settle(number, matched, NOW)

    assert (0, 0) == await told(store)


@pytest.mark.parametrize(
    ("move", "matched"),
    [
        (Move.CONCLUDE, over("entered-in-error")),
        (Move.CONCLUDE, over("revoked")),
        (Move.CONCLUDE, SEVERAL),
        (Move.DECLINE, SEVERAL),
        (Move.PROGRESS, over("completed")),
    ],
)
async def test_what_disagrees_with_what_was_told_alarms(
    store: Store, move: Move, matched: Matched
) -> None:
    """It ended otherwise than they said, or is there twice, or ended without a word."""
    number = await answered(store, move)
    await store.reconciliations.settle(number, matched, NOW)

    assert (1, 1) == await told(store)


@pytest.mark.parametrize("matched", [over("revoked"), NONE, SEVERAL])
async def test_of_a_case_that_nobody_has_answered_everything_is_told(
    store: Store, matched: Matched
) -> None:
    """Nobody there may know of it."""
    await store.reconciliations.settle(await taken(store), matched, NOW)

    assert (1, 1) == await told(store)


@pytest.mark.parametrize(
    ("matched", "move", "how", "left"),
    [
        pytest.param(NONE, Move.PROGRESS, {}, 0, id="they-have-it"),
        pytest.param(NONE, Move.WAIT, NAMELESS, 0, id="they-have-it-by-whatever-name"),
        pytest.param(NONE, Move.DECLINE, {}, 0, id="they-had-it"),
        pytest.param(UNNAMED, Move.PROGRESS, {}, 0, id="it-is-known-which-it-is"),
        pytest.param(UNNAMED, Move.WAIT, NAMELESS, 1, id="nobody-says-which-it-is"),
        pytest.param(over("completed"), Move.CONCLUDE, {}, 0, id="it-is-over-and-they-say-so"),
        pytest.param(over("completed"), Move.PROGRESS, {}, 1, id="over-there-and-at-work"),
        pytest.param(over("revoked"), Move.CONCLUDE, {}, 1, id="it-ended-otherwise"),
        pytest.param(SEVERAL, Move.PROGRESS, {}, 1, id="there-may-be-two"),
    ],
)
async def test_a_response_ends_the_alarm_whose_question_it_answers(
    store: Store, matched: Matched, move: Move, how: dict[str, object], left: int
) -> None:
    """Nobody has to telephone any more; where it leaves the question open, somebody has to."""
    await store.reconciliations.settle(await taken(store), matched, NOW)
    before = await told(store)
    await respond(store, move, **how)

    assert (1, 1) == before
    assert (1, left) == await told(store)


@pytest.mark.parametrize("matched", [NONE, UNNAMED, UNREAD], ids=["none", "unnamed", "unread"])
async def test_what_was_answered_before_is_not_asked_about(store: Store, matched: Matched) -> None:
    """They said how far they are, and by which name: that nobody may know of it is not so."""
    number = await answered(store, Move.PROGRESS)
    await store.reconciliations.settle(number, matched, NOW)

    assert (0, 0) == await told(store)


async def test_a_response_about_another_patient_answers_nothing(store: Store) -> None:
    """It is somebody else's: whether they know of ours is as unknown as before."""
    await store.reconciliations.settle(await taken(store, body=referral()), NONE, NOW)
    others = case_details_of(read(referral(nhs_number="9990000026")))
    await respond(store, Move.PROGRESS, case_details=others)

    assert (1, 1) == await told(store)
