"""
A message from another organisation, in a sentence: what it asks of us, or what it answers.

    request, update, cancel ──ASKED[move][matter]──► what this service has to do now
    the same, as a question ─QUESTIONS[move][matter]► what somebody wants, and when to say no
    response ──SAID[what it says][matter]──────────► where the patient is, and whose

A rejection is never said in the words of a message that merely came, and what does not add
up says so: nobody has to guess from a move. To a question the other side waits for the answer
while its user looks at the screen.
"""

from collections.abc import Mapping

from bars_gateway.standard.sentences.words import (
    HELP,
    ByMove,
    Matter,
    Rows,
    act,
    check,
    nothing,
    telephone,
    work,
)
from bars_gateway.standard.workflow import Move

_STOP = " Stop what was begun for it, and see that nobody is still on the way."

ASKED: ByMove = {
    Move.REQUEST: {
        None: work(
            "Another service asks this one to see to a patient, and may count on it. Read the"
            " request now."
        ),
        Matter.TRANSFER: work(
            "A patient has been referred to this service, which is now responsible. See to the"
            " patient."
        ),
        Matter.VALIDATION: work(
            "A validation is asked for; {asker} stays responsible. Answer{by}."
        ),
        Matter.OUT_OF_AREA: work(
            "Another control room has passed on an incident in this area: this control room is now"
            " responsible. Send somebody, and report each change of status."
        ),
        Matter.CALL_ASSIST: work(
            "Another control room asks you to take a call on. It stays responsible until you agree."
            " Say yes or no{by}."
        ),
        Matter.MUTUAL_AID: work(
            "Another control room asks for a resource. It stays responsible even when you agree."
            " Say yes or no{by}."
        ),
        Matter.BOOKING: nothing("An appointment was booked with this service, as its EPR agreed."),
    },
    Move.UPDATE: {
        None: work(
            "{Asker} has changed its {it}: what you had before is out of date. Read the change"
            " before you go on."
        ),
        Matter.VALIDATION: work(
            "{Asker} has changed its {it}: what you had before is out of date. Read the change"
            " before you go on, and answer{by}."
        ),
        Matter.BOOKING: work(
            "{Asker} has changed the appointment. See that the patient is expected as it is now."
        ),
    },
    Move.CANCEL: {
        None: check("{Asker} has cancelled its {it}." + _STOP),
        Matter.VALIDATION: check(
            "{Asker} has cancelled its {it}: no answer is owed. Stop the validation; telephone if"
            " the patient needs something that was found in it."
        ),
        Matter.BOOKING: work("{Asker} has cancelled the appointment: do not expect the patient."),
    },
}

_REJECTED = "{They} has turned this down. The patient is your responsibility again: act now."
_OWED = " The final answer is still owed{by}."
_DOES_NOT_FIT = " Telephone the other service: the standard knows no such answer here."


def _status(text: str) -> Rows:
    """Return a status of another control room, as it reads to each sort of asker."""
    return {
        None: telephone(text + _DOES_NOT_FIT),
        Matter.OUT_OF_AREA: nothing(text),
        Matter.CALL_ASSIST: nothing(text),
        Matter.MUTUAL_AID: nothing(text + " You remain responsible."),
    }


SAID: Mapping[str, Rows] = {
    "accepted": {
        **_status("{They} has accepted this. No resource is assigned yet."),
        Matter.CALL_ASSIST: nothing(
            "{They} has agreed to help, and takes the call on. No resource is assigned yet."
        ),
        Matter.MUTUAL_AID: nothing(
            "{They} has agreed to help. No resource is assigned yet, and you remain responsible."
        ),
    },
    "assigned": _status("A resource has been assigned; it is not with the patient yet."),
    "on_scene": _status("A resource is with the patient."),
    "stood_down": {
        None: telephone(
            "The resource has been stood down. Nobody is on the way now. Telephone: ask who goes"
            " now."
        ),
        **dict.fromkeys(
            HELP,
            act(
                "The resource has been stood down. Nobody is on the way now, and you remain"
                " responsible. Act now, and telephone."
            ),
        ),
    },
    "finished": {
        None: check(
            "{They} says that it has finished. Check what was done before you close the case."
        ),
        **dict.fromkeys(
            (Matter.OUT_OF_AREA, *HELP),
            check(
                "The other control room's resource has finished. Check what was done before you"
                " close the case."
            ),
        ),
    },
    "validation_started": {
        None: telephone("{They} says that it has started a validation." + _DOES_NOT_FIT),
        Matter.VALIDATION: nothing("The clinician has started. You remain responsible." + _OWED),
    },
    "validation_acts": {
        None: act("The validation is finished and asks you to act. Read the care plan now."),
    },
    "validation_closes": {
        None: work(
            "The validation is finished and asks nothing more of you. Read it before you close the"
            " case."
        ),
    },
    "rejected": {None: act(_REJECTED + "{reason}")},
    "not_attended": {
        None: act(
            "The patient did not come to the receiving service. The patient is your responsibility"
            " again: find out now whether the patient is safe.{reason}"
        )
    },
    "unclear": {
        None: telephone(
            "{They} has answered, and its answer does not add up. Do not guess from it whether"
            " anybody is on the way: telephone {they} now."
        ),
        Matter.VALIDATION: telephone(
            "{They} has answered, and its answer does not add up. Do not guess from it whether to"
            " act or to close: telephone {they} now. You remain responsible."
        ),
    },
}
# What a response is taken to say where only its move is known.
BY_MOVE: Mapping[Move, str] = {
    Move.WAIT: "accepted",
    Move.PROGRESS: "assigned",
    Move.DECLINE: "rejected",
    Move.CONCLUDE: "finished",
    Move.UNCLEAR: "unclear",
}

# The EPR said yes after its Sender had been told that no answer came.
DECIDED_LATE: Mapping[Move, Rows] = {
    Move.REQUEST: {
        None: telephone(
            "You accepted the {it} after {asker} had been told that no answer came: it may believe"
            " that you have not taken it. Telephone."
        ),
        Matter.BOOKING: telephone(
            "You accepted the booking after {asker} had been told that no answer came: the patient"
            " may have been booked elsewhere. Telephone."
        ),
    },
    Move.UPDATE: {
        None: telephone(
            "You accepted a change to the {it} after {asker} had been told that no answer came: it"
            " may believe that you work from the old information. Telephone."
        )
    },
    Move.CANCEL: {
        None: telephone(
            "You accepted the cancellation after {asker} had been told that no answer came: it may"
            " believe that the {it} still stands. Telephone."
        )
    },
}
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
# Said after what the response says itself, which is as true as if it had been decided in time.
RESPONSE_DECIDED_LATE = telephone(
    "You took this after {they} had been told that you did not: it may believe that you do not know"
    " it. Telephone."
)


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
RESPONSE_QUESTION = work(
    "This answers your {it}, and waits for your yes or no. Say no if it is not yours."
)
_READ = "Another organisation asks what this EPR has: {operation}. Answer at once."
_WRITE = (
    "Another organisation wants to change a record: {operation}. Say no if it must stay as it is."
)


def enquiry(operation: str) -> str:
    """Return what is asked by a request that is no message."""
    return (_READ if operation.startswith("GET ") else _WRITE).format(operation=operation)


DECIDED = "The other side waited for this answer and gets it. There is nothing to do now."
DECIDED_TOO_LATE = (
    "The other side had been told that no answer came, and learns of this one only if it tries"
    " again. If it matters to the patient, telephone."
)
