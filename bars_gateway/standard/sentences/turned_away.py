"""
What is said of a cancellation that could not be put to anybody, or came when it was over.

Nobody here has it, so its notice is about the request. What was remarkable about the cancellation
(whose it is, and its numbers) is said of that by name: the request's own number may be right.
"""

from collections.abc import Mapping

from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.sentences.words import (
    ByMove,
    Matter,
    Rows,
    Sentence,
    check,
    telephone,
)
from bars_gateway.standard.workflow import Move

# Its Sender tried to cancel, and was refused or told to try again: no EPR could be asked.
_TURNED_AWAY: Rows = {
    None: telephone(
        "{Asker} has tried to cancel the {it} and could not, for nobody here could be asked: it"
        " goes on here, and may not be wanted any more. Telephone now."
    ),
    Matter.BOOKING: telephone(
        "{Asker} has tried to cancel the appointment and could not, for nobody here could be asked:"
        " it still stands here. Telephone."
    ),
}
# It is told of the message that began the workflow; the EPR may know the request from before.
CANCEL_TURNED_AWAY: ByMove = dict.fromkeys((Move.REQUEST, Move.UPDATE, Move.CANCEL), _TURNED_AWAY)
# The same of what is over here, where it names another patient, which is said after it.
CANCELLED_IN_VAIN: Rows = {
    None: check(
        "{Asker} has tried to cancel the {it} and could not: it is over here. What was meant may be"
        " another patient's, which goes on here."
    ),
    Matter.BOOKING: check(
        "{Asker} has tried to cancel the appointment and could not: it is over here. What was meant"
        " may be another patient's, which still stands here."
    ),
}
_ASK = " Ask which patient is meant before you stop anything."
OF_CANCELLATIONS: Mapping[Remark, Sentence] = {
    Remark.OTHER_PATIENT: telephone(
        "The cancellation names another patient than this." + _ASK + " Telephone."
    ),
    Remark.UNKNOWN_PATIENT: check(
        "The cancellation says too little to tell whether it is about the same patient." + _ASK
    ),
    Remark.PLACEHOLDER_NUMBER: check(
        "An NHS number in the cancellation is a placeholder, and nobody's." + _ASK
    ),
    Remark.WRONG_NUMBER: check(
        "An NHS number in the cancellation cannot be right, for its digits do not check." + _ASK
    ),
    Remark.TWO_PATIENTS: telephone("The cancellation names two patients." + _ASK + " Telephone."),
}
