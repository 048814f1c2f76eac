"""
A message of ours that is not settled, in a sentence: on its way, late, stopped, sent again.

Until an acknowledgement has come nobody can count on it. What the sentence adds is whether
the gateway still tries, and until when.
"""

from collections.abc import Mapping

from bars_gateway.standard.findings import Reading
from bars_gateway.standard.sentences.words import (
    Asks,
    ByMove,
    Matter,
    Rows,
    Sentence,
    check,
    nothing,
    of_each_move,
    telephone,
)
from bars_gateway.standard.workflow import Move


def _unsettled(begins: str, ends: str, asks: Asks) -> ByMove:
    """Return, between *begins* and *ends*, what to reckon with for each move."""
    asked: Rows = {None: Sentence(f"{begins} Until then {{until_then}}.{ends}", asks)}
    return {**of_each_move(f"{begins} Assume that {{so}}.{ends}", asks), Move.REQUEST: asked}


_STOPPED = "{What} was stopped here: it will not go until somebody releases it."
_TRYING = "the gateway goes on trying{until}."
_WAIT = "Wait: you will be told how it ends."

ON_ITS_WAY = _unsettled("{What} is on its way, and not confirmed yet.", " " + _WAIT, Asks.WAIT)
STOPPED = _unsettled(
    _STOPPED,
    " The clock runs on: {after} it ends unsent. Have it released or withdrawn.",
    Asks.CHECK,
)
# Some of its attempts may have arrived, so nobody can say that it ends unsent.
STOPPED_AFTER_ATTEMPTS = _unsettled(
    _STOPPED,
    " An earlier attempt may have arrived. The clock runs on: {after} nobody tries any more."
    " Have it released, or telephone.",
    Asks.CHECK,
)
LATE_AND_STOPPED = _unsettled(
    "{What} is late and was stopped here: it will not go until somebody releases it.",
    " Have it released or telephone, now.",
    Asks.TELEPHONE,
)

# By the state of the message, for whoever looks at it; each is told in a notice, too.
OPEN: Mapping[str, ByMove] = {"queued": ON_ITS_WAY, "sending": ON_ITS_WAY, "held": STOPPED}
TOLD: Mapping[str, ByMove] = {
    "delayed": _unsettled(
        "{What} is not confirmed yet; " + _TRYING, " Telephone if it cannot wait.", Asks.CHECK
    ),
    "held": STOPPED,
    "released": _unsettled(
        "{What} was released here, and is on its way again: " + _TRYING, " " + _WAIT, Asks.WAIT
    ),
    "retried": _unsettled(
        "{What} is sent once more, as the same message: how it ended before no longer counts, and "
        + _TRYING,
        " " + _WAIT,
        Asks.WAIT,
    ),
    "resent": _unsettled(
        "{What} is sent again, as another message: " + _TRYING,
        " If the earlier one arrived after all, two records of it are there: ask which stands.",
        Asks.CHECK,
    ),
}
# A cancellation that waits until somebody has read what stands there.
NOT_GONE: Mapping[Reading, Rows] = {
    Reading.WAITS: {
        None: Sentence(
            "The cancellation has not gone yet: {they} is asked first what stands there. Until then"
            " the {it} stands, and {stands}. " + _WAIT,
            Asks.WAIT,
        )
    },
    Reading.UNREAD: {
        None: telephone(
            "The cancellation has not gone yet: {they}, asked what stands there, gives no answer,"
            " and " + _TRYING + " Until then the {it} stands, and {stands}. Telephone now."
        )
    },
    Reading.OTHER_PATIENT: {
        None: telephone(
            "The cancellation has not gone: what {they} shows under that number is the record of"
            " another patient, and nothing was cancelled. The {it} stands, and {stands}; two"
            " patients may have been mixed up there. Telephone now."
        )
    },
}

# After a duplicate, or an acknowledgement without ids: whether the record was found there.
RECONCILED: Mapping[str, Rows] = {
    "found": {
        None: nothing(
            "{They} has {what}, and what it calls the record is known now: it can be changed and"
            " cancelled."
        )
    },
    "over": {
        None: telephone(
            "{They} has had {what}, and what it calls the record is known now; but the record is"
            " over.{shown} Telephone: ask who sees to this patient now."
        ),
        Matter.BOOKING: telephone(
            "{They} has had {what}, and what it calls the record is known now; but the record is"
            " over.{shown} Telephone: ask whether the patient has an appointment."
        ),
    },
    "none": {
        None: telephone(
            "{They} says that it has {what}, but we cannot find it there. Telephone: nobody there"
            " may know of it."
        )
    },
    "several": {
        None: telephone(
            "{They} has {what}, and several of its records fit. Telephone: ask which one it is"
            " before you change or cancel anything, and whether the patient is there twice."
        )
    },
    # Of what nobody could confirm, too: it shows nothing of whose the record is.
    "unnamed": {
        None: telephone(
            "{They} says that it has {what}, and shows a record that may be it, but not whose it"
            " is. Telephone: ask whether it is this patient's, and before you change or cancel"
            " anything what it is called."
        )
    },
    "unread": {
        None: check(
            "{They} has {what}, but would not tell us what it calls the record. Ask before you"
            " change or cancel anything."
        )
    },
}
