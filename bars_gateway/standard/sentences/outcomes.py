"""
How a message of ours ended, in a sentence: state, move, matter.

What it says of responsibility is the Application's: an acknowledged referral has passed it
on, an acknowledged validation has not. *Unconfirmed* never says that something did not
arrive, and *acknowledged* never that somebody has read it.
"""

from collections.abc import Mapping

from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.sentences.remarked import REMARKED
from bars_gateway.standard.sentences.words import (
    CONTROL_ROOMS,
    Asks,
    ByMove,
    Matter,
    Rows,
    Sentence,
    act,
    check,
    nothing,
    of_each_move,
    telephone,
    work,
)
from bars_gateway.standard.workflow import Move

_UNREAD = "this does not mean that anybody has read it"
_HAS = "{They} has {what} on its system; " + _UNREAD + "."
_TOLD = "{Asker} has {what} on its system; " + _UNREAD + "."
_FINAL = " You remain responsible until the final answer{owed}."
_CANCELLED = "The cancellation has been received: the {it} is cancelled."

_REQUEST_TAKEN: Rows = {
    None: nothing(
        _HAS + " You remain responsible until you hear that somebody has taken the patient on."
    ),
    Matter.TRANSFER: nothing(_HAS + " Responsibility has passed to it."),
    Matter.VALIDATION: nothing(_HAS + _FINAL),
    Matter.OUT_OF_AREA: nothing(
        _HAS + " Responsibility has passed to it, but no resource is assigned yet."
    ),
    Matter.CALL_ASSIST: nothing(
        _HAS + " It has not agreed yet: you remain responsible until it has."
    ),
    Matter.MUTUAL_AID: nothing(
        _HAS + " It has not agreed yet, and you remain responsible even when it has."
    ),
    Matter.BOOKING: nothing("{They} has made the appointment on its system; " + _UNREAD + "."),
}
_CANCEL_TAKEN: Rows = {
    None: check(
        _CANCELLED + " The patient is yours again. Telephone if somebody there had already begun."
    ),
    Matter.VALIDATION: nothing(_CANCELLED + " You remain responsible, and no answer will come."),
    Matter.BOOKING: nothing("The cancellation has been received: the appointment is cancelled."),
    **dict.fromkeys(
        CONTROL_ROOMS,
        check(
            _CANCELLED + " The patient is yours again. If a resource was on its way, telephone to"
            " hear that it has been stopped."
        ),
    ),
}
_ACKNOWLEDGED: ByMove = {
    Move.REQUEST: _REQUEST_TAKEN,
    Move.UPDATE: {None: nothing(_HAS), Matter.VALIDATION: nothing(_HAS + _FINAL)},
    Move.CANCEL: _CANCEL_TAKEN,
    Move.WAIT: {None: nothing(_TOLD)},
    Move.UNCLEAR: {None: check(_TOLD + " Say by telephone what is so.")},
    Move.PROGRESS: {
        None: nothing(_TOLD),
        Matter.VALIDATION: work(_TOLD + " You still owe the final answer{by}."),
    },
    Move.DECLINE: {
        None: check(
            _TOLD + " The patient is not yours any more. Telephone if it could do harm that nobody"
            " reads it at once."
        )
    },
    Move.CONCLUDE: {
        None: nothing(_TOLD),
        Matter.VALIDATION: check(_TOLD + " Telephone if you asked for something urgent in it."),
    },
}

_NOT_AGAIN = " Do not send it again as new before you have telephoned."
_UNCONFIRMED: ByMove = {
    **of_each_move(
        "We stopped trying, and do not know whether {what} arrived: assume that {so}. {do}"
        + _NOT_AGAIN
    ),
    Move.REQUEST: {
        None: act(
            "We stopped trying, and do not know whether {they} has {what}: perhaps {nobody}."
            " Telephone now." + _NOT_AGAIN
        )
    },
}

_TAKEN_BACK = "{What} was withdrawn here before it left: {so}."
_WITHDRAWN: ByMove = {
    **of_each_move(_TAKEN_BACK + " If that is wrong, send it again.", Asks.CHECK),
    Move.REQUEST: {
        None: check(_TAKEN_BACK + " If the patient still needs it, send a new request."),
    },
}

# Refused before the first attempt: a read has shown that nothing stands any more.
NOTHING_TO_CANCEL: Rows = {
    None: telephone(
        "The cancellation was not sent: {they} shows no current record under that number.{shown}"
        " Somebody may have acted on it already. Telephone."
    ),
    Matter.BOOKING: telephone(
        "The cancellation was not sent: {they} shows no current appointment under that"
        " number.{shown} Telephone to hear what happened."
    ),
}

# Of a cancellation, by its state, where the final response had come before: whatever becomes of
# it, nothing stands.
_IN_VAIN = (
    " but the final response has come already, and nothing is left to cancel. Read that response,"
    " and telephone if somebody may still be acting on it."
)
_NOT_CONFIRMED = telephone("The cancellation is on its way, and not confirmed yet;" + _IN_VAIN)
_NEVER_LEFT = telephone("The cancellation never left this organisation;" + _IN_VAIN)
_CANCELLED_IN_VAIN: Mapping[str, Sentence] = {
    "queued": _NOT_CONFIRMED,
    "sending": _NOT_CONFIRMED,
    "held": telephone("The cancellation was stopped here;" + _IN_VAIN),
    "acknowledged": REMARKED[Remark.CANCEL_AFTER_END],
    "refused": telephone("The cancellation was refused;" + _IN_VAIN),
    "unconfirmed": telephone(
        "We stopped trying, and do not know whether the cancellation arrived;" + _IN_VAIN
    ),
    "not_sent": _NEVER_LEFT,
    "withdrawn": telephone("The cancellation was withdrawn here before it left;" + _IN_VAIN),
}

# Acknowledged, and a read has shown since that the record has ended there.
OVER_THERE: Rows = {
    None: telephone(
        "{What} has arrived, but {they} shows it as over.{shown} Nobody there may be acting on it"
        " any more. Telephone: ask who sees to this patient now."
    ),
    Matter.BOOKING: telephone(
        "{What} has arrived, but {they} shows the appointment as over.{shown} Telephone: ask"
        " whether the patient has one."
    ),
}

SETTLED: Mapping[str, ByMove] = {
    "acknowledged": _ACKNOWLEDGED,
    "refused": of_each_move("{What} was refused: {so}. {do}"),
    "unconfirmed": _UNCONFIRMED,
    "not_sent": of_each_move(
        "{What} never left this organisation, and its time has passed: {so}. {do}"
    ),
    "withdrawn": _WITHDRAWN,
}


def cancelled_in_vain(state: str, attempts: int) -> Sentence:
    """Return what is said of a cancellation that came after the final response."""
    refused_here = state == "refused" and not attempts
    return _NEVER_LEFT if refused_here else _CANCELLED_IN_VAIN[state]
