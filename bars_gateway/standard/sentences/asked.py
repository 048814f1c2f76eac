"""
A question to the EPR, in a sentence: what somebody wants, and when to say no.

The other side waits for the answer while its user looks at the screen.
"""

from bars_gateway.standard.sentences.tables import ByMove, work
from bars_gateway.standard.sentences.words import Matter
from bars_gateway.standard.workflow import Move

QUESTIONS: ByMove = {
    Move.REQUEST: {
        None: work("{Asker} asks whether you take this {it}. Say yes or no at once."),
        Matter.BOOKING: work(
            "Another service wants to book an appointment. Say no if the slot is not free any more."
        ),
    },
    Move.UPDATE: {
        None: work(
            "{Asker} wants to change its {it}. Say no if the change comes too late to be heeded."
        ),
        Matter.BOOKING: work(
            "{Asker} wants to change the appointment. Say no if it cannot be kept as it is wanted."
        ),
    },
    Move.CANCEL: {
        None: work(
            "{Asker} wants to cancel its {it}. Say no if somebody is already with the patient."
        ),
        Matter.BOOKING: work(
            "{Asker} wants to cancel the appointment. Say no if the patient has been seen already."
        ),
    },
}
RESPONSE = work("This answers your {it}, and waits for your yes or no. Say no if it is not yours.")
READ = "Another organisation asks what this EPR has: {operation}. Answer at once."
WRITE = (
    "Another organisation wants to change a record: {operation}. Say no if it must stay as it is."
)

_READS = "GET "


def enquiry(operation: str) -> str:
    """Return what is asked by a request that is no message."""
    return (READ if operation.startswith(_READS) else WRITE).format(operation=operation)


DECIDED = "The other side waited for this answer and gets it. There is nothing to do now."
DECIDED_TOO_LATE = (
    "The other side had been told that no answer came, and hears of this one only if it tries"
    " again. If it matters to the patient, telephone."
)
