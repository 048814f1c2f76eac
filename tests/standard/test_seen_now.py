"""What is said of a message when somebody looks at it: by how its case stands by then."""

from dataclasses import dataclass
from typing import Any

import pytest
from situations import DUE, ENDS

from bars_gateway.standard.findings import ReadProgress
from bars_gateway.standard.meaning import Said
from bars_gateway.standard.remarks import (
    Remark,
    beside_a_cancelled,
    beside_a_lost,
    beside_an_ended,
    goes_on_beside_an_end,
    seen_beside,
)
from bars_gateway.standard.sentences import Situation, means, sentences
from bars_gateway.standard.sentences.words import Asks
from bars_gateway.standard.workflow import Move, RequestType, State

VALIDATION = {"use_case": "a4t1", "request_type": RequestType.VALIDATION}
CAME = {"direction": "inbound", "state": "received"}
CANCELS = {"move": Move.CANCEL}


def seen(**changes: Any) -> Situation:
    """Return a referral of ours that was acknowledged, with changes."""
    values: dict[str, Any] = {
        "direction": "outbound",
        "state": "acknowledged",
        "move": Move.REQUEST,
        "request_type": RequestType.REFERRAL,
        "use_case": "a3t1",
        "due_at": DUE,
        "ends_at": ENDS,
    }
    return Situation(**(values | changes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is so, how severe that is, and a word that somebody must not miss."""

    so: Situation
    asks: Asks
    word: str


FINISHED = {"stands": State.COMPLETED, **VALIDATION}
CASES = {
    "decided late, and asked again since": Told(
        so=seen(kind="decided_late", remarks=(Remark.HEARD,), **CAME),
        asks=Asks.NOTHING,
        word="asked again since",
    ),
    "a plan that says nothing, and asks to act": Told(
        so=seen(newest=Said.VALIDATION_ACTS, newest_plan=Remark.EMPTY_PLAN, **FINISHED),
        asks=Asks.ACT,
        word="says nothing of what was found",
    ),
    "a plan that says nothing, and closes": Told(
        so=seen(newest=Said.VALIDATION_CLOSES, newest_plan=Remark.EMPTY_PLAN, **FINISHED),
        asks=Asks.TELEPHONE,
        word="Do not close the case on this",
    ),
    "our own plan sent back": Told(
        so=seen(newest=Said.VALIDATION_ACTS, newest_plan=Remark.PLAN_SENT_BACK, **FINISHED),
        asks=Asks.ACT,
        word="nothing of theirs",
    ),
    "a cancellation of what nobody knows, whatever has come since": Told(
        so=seen(stands=State.COMPLETED, remarks=(Remark.NO_RECORD,), **CANCELS),
        asks=Asks.TELEPHONE,
        word="No request here is known",
    ),
    "a cancellation that has cancelled": Told(
        so=seen(stands=State.CANCELLED, **CANCELS), asks=Asks.CHECK, word="is cancelled"
    ),
    "a refusal": Told(
        so=seen(state="refused", stands=State.REFUSED), asks=Asks.ACT, word="was refused"
    ),
    "a change, while its case goes on": Told(
        so=seen(move=Move.UPDATE, stands=State.ACTIVE), asks=Asks.NOTHING, word="has the change"
    ),
    "what nobody knew to have arrived, and has": Told(
        so=seen(state="unconfirmed", stands=State.ACTIVE, attempts=1),
        asks=Asks.CHECK,
        word="not known to have begun",
    ),
    "one of two is over, and this one is not answered": Told(
        so=seen(stands=State.ACTIVE, one_over=True), asks=Asks.TELEPHONE, word="is over"
    ),
    "one of two is cancelled": Told(
        so=seen(stands=State.CANCELLED, remarks=(Remark.OTHER_STANDS,)),
        asks=Asks.TELEPHONE,
        word="Another one stands there",
    ),
    "one of two is turned down": Told(
        so=seen(stands=State.DECLINED, newest=Said.REJECTED, remarks=(Remark.OTHER_STANDS,)),
        asks=Asks.ACT,
        word="do not rely on that",
    ),
    "a word that came late": Told(
        so=seen(
            move=Move.PROGRESS,
            says=Said.ASSIGNED,
            newest=Said.VALIDATION_CLOSES,
            stands=State.COMPLETED,
            remarks=(Remark.OUT_OF_ORDER,),
            **CAME,
        ),
        asks=Asks.CHECK,
        word="came late",
    ),
    "a word that speaks against the end": Told(
        so=seen(
            move=Move.CONCLUDE,
            says=Said.VALIDATION_CLOSES,
            stands=State.CONTRADICTED,
            remarks=(Remark.CONTRADICTS,),
            **CAME,
        ),
        asks=Asks.TELEPHONE,
        word="says otherwise",
    ),
    "an answer that is owed": Told(
        so=seen(owed="overdue", stands=State.ACTIVE), asks=Asks.ACT, word="has not come in time"
    ),
    "an answer that is owed, after an interim one": Told(
        so=seen(kind="overdue", remarks=(Remark.INTERIM_ONLY,)), asks=Asks.ACT, word="have started"
    ),
    "a cancellation in vain": Told(
        so=seen(state="refused", attempts=1, remarks=(Remark.CANCEL_AFTER_END,), **CANCELS),
        asks=Asks.TELEPHONE,
        word="nothing is left to cancel",
    ),
    "a cancellation that is behind its read": Told(
        so=seen(state="queued", reading=ReadProgress.WAITS, **CANCELS),
        asks=Asks.WAIT,
        word="has not gone yet",
    ),
    "a cancellation of another patient's record, and its case is over": Told(
        so=seen(
            state="held", reading=ReadProgress.OTHER_PATIENT, stands=State.COMPLETED, **CANCELS
        ),
        asks=Asks.TELEPHONE,
        word="another patient",
    ),
    "looked for, and not proved to be there": Told(
        so=seen(kind="reconciled", state="unconfirmed", reconciled="named", attempts=1),
        asks=Asks.TELEPHONE,
        word="cannot find it there",
    ),
    "looked for, and not found": Told(
        so=seen(reconciled="none"), asks=Asks.TELEPHONE, word="cannot find it there"
    ),
    "shown as over": Told(so=seen(shown="revoked"), asks=Asks.TELEPHONE, word="as over"),
    "a cancellation of one of two": Told(
        so=seen(remarks=(Remark.OTHER_STANDS,), **CANCELS),
        asks=Asks.TELEPHONE,
        word="Another one stands there",
    ),
    "refused, and another one may be there": Told(
        so=seen(state="refused", attempts=1, remarks=(Remark.OTHER_RECORD,)),
        asks=Asks.TELEPHONE,
        word="Another one with the same request",
    ),
    "nothing to cancel": Told(
        so=seen(state="refused", attempts=1, shown="completed", **CANCELS),
        asks=Asks.TELEPHONE,
        word="no current record",
    ),
    "held, and late": Told(
        so=seen(kind="delayed", state="held"), asks=Asks.TELEPHONE, word="was stopped here"
    ),
    "a cancellation that could not cancel": Told(
        so=seen(kind="cancel_turned_away", remarks=(Remark.CANCEL_AFTER_END,), **CANCELS, **CAME),
        asks=Asks.CHECK,
        word="it is over here",
    ),
    "arrived after all, in vain": Told(
        so=seen(kind="outcome", shown="revoked", remarks=(Remark.ARRIVED_AFTER_ALL,)),
        asks=Asks.TELEPHONE,
        word="it had",
    ),
    "turned down, beside another record": Told(
        so=seen(stands=State.DECLINED, newest=Said.ASSIGNED, remarks=(Remark.OTHER_RECORD,)),
        asks=Asks.ACT,
        word="another record",
    ),
    "an alarm that nobody has seen": Told(
        so=seen(stands=State.ACTIVE, alarmed=True), asks=Asks.TELEPHONE, word="asks for a person"
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_so_now_is_said_as_severely_as_it_is(name: str) -> None:
    """Whoever looks later than the notice acts by how it stands, and not by how it stood."""
    case = CASES[name]

    assert case.word in means(case.so)
    assert case.asks is max(each.asks for each in sentences(case.so))


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([State.IN_PROGRESS], (Remark.OTHER_STANDS,)),
        ([State.UNCONFIRMED], (Remark.OTHER_RECORD,)),
        ([State.COMPLETED], ()),
        ([State.CANCELLED], ()),
        ([], ()),
    ],
)
def test_a_cancelled_record_says_what_of_others_stands(
    others: list[State], said: tuple[Remark, ...]
) -> None:
    """That another one stands is said only where somebody is proved to act on it."""
    assert said == beside_a_cancelled(others)


@pytest.mark.parametrize(
    ("others", "agreed", "said"),
    [
        ([State.ACTIVE], True, (Remark.OTHER_STANDS,)),
        ([State.ACTIVE], False, (Remark.OTHER_RECORD,)),
        ([State.DECLINED, State.CANCELLED], False, ()),
    ],
)
def test_an_end_says_what_of_others_stands(
    others: list[State], said: tuple[Remark, ...], *, agreed: bool
) -> None:
    """It keeps somebody from acting, so that it takes somebody's yes."""
    assert said == beside_an_ended(others, agreed=agreed)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (State.UNCONFIRMED, (Remark.OTHER_RECORD,)),
        (State.COMPLETED, (Remark.OTHER_RECORD,)),
        (State.DECLINED, ()),
        (State.ABANDONED, ()),
    ],
)
def test_what_came_to_nothing_says_what_may_be_there(
    other: State, said: tuple[Remark, ...]
) -> None:
    """What was never sent, or was turned down before, is none of them."""
    assert said == beside_a_lost([other])


ONE, TWO = (Remark.OTHER_RECORD,), (Remark.OTHER_STANDS,)


@pytest.mark.parametrize(
    ("own", "others", "how", "said"),
    [
        (State.ACTIVE, {State.ACTIVE}, {}, ONE),
        (State.ACTIVE, {State.COMPLETED}, {}, ONE),  # it was told so, and somebody acts on this one
        (State.COMPLETED, {State.ACTIVE}, {}, ONE),
        (State.COMPLETED, {State.ACTIVE}, {"agreed": True}, TWO),
        (State.CANCELLED, {State.IN_PROGRESS}, {}, TWO),
        (State.CANCELLED, {State.CANCELLED}, {}, ()),
        (State.REFUSED, {State.UNCONFIRMED}, {"lost": True}, ONE),
        (State.ACTIVE, {State.ACTIVE}, {"settled": False}, ()),
    ],
)
def test_of_other_records_what_is_so_now_is_said(
    own: State, others: set[State], how: dict[str, bool], said: tuple[Remark, ...]
) -> None:
    """In place of what was told when the message came; what else was told stays."""
    told = [Remark.CLOCK_AHEAD, Remark.OTHER_RECORD]
    given = {"settled": True, "agreed": False} | how

    assert [Remark.CLOCK_AHEAD, *said] == list(seen_beside(told, own, others, **given))


@pytest.mark.parametrize(
    ("own", "newest", "over", "goes_on"),
    [
        (State.ACTIVE, None, {State.DECLINED}, True),
        (State.ACTIVE, Said.ASSIGNED, {State.DECLINED}, False),
        (State.IN_PROGRESS, Said.ASSIGNED, {State.COMPLETED}, True),
        (State.COMPLETED, None, {State.DECLINED}, False),
        (None, None, {State.COMPLETED}, False),
    ],
)
def test_a_record_that_goes_on_beside_an_end_is_told_of(
    own: State | None, newest: Said | None, over: set[State], *, goes_on: bool
) -> None:
    """That another was turned down is no news where somebody is at work on this one."""
    assert goes_on == goes_on_beside_an_end(own, newest, over)
