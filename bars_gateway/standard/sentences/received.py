"""
What came from another organisation, in a sentence: what it asks, or answers, and what is odd.

    request, update, cancel ──ASKED[move][matter]──► what this service has to do now
    the same, as a question ─QUESTIONS[move][matter]► what somebody wants, and when to say no
    response ──SAID[what it says][matter]──────────► where the patient is, and whose

A rejection is never said in the words of a message that merely came, and what does not add
up says so: nobody has to guess from a move. To a question the other side waits for the answer
while its user looks at the screen.

A remark adds to the sentence, or turns it into another. Most remarks are said after the sentence
of the message, and some in words that fit what it says: a service that has turned a patient down
acts on nothing, and nobody is on the way of a validation. One that came out of its order is told
in other words altogether: what it says was overtaken, and nobody must act upon it as if it were
new.
"""

from collections.abc import Mapping

from bars_gateway.standard.meaning import Said
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.sentences.words import (
    HELP,
    ByMove,
    Matter,
    Rows,
    Sentence,
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
_DOES_NOT_FIT = " Telephone the other service: the standard has no such answer here."


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
# In place of these, where the care plan says nothing: nobody is sent to read it.
EMPTY: Mapping[str, Rows] = {
    "validation_acts": {
        None: act(
            "The validation is finished and asks you to act, but its care plan says nothing of what"
            " was found. Act now: telephone {they}, and ask what is to be done."
        ),
    },
    "validation_closes": {
        None: telephone(
            "The validation is finished, and is marked as asking nothing more of you; but its care"
            " plan says nothing of what was found. Do not close the case on this: telephone {they}"
            " now."
        ),
    },
}
# Likewise, where it says only what the one says that was sent: it may be no more than that.
SENT_BACK: Mapping[str, Rows] = {
    "validation_acts": {
        None: act(
            "The validation is finished and asks you to act, but its care plan says only what yours"
            " says: it may be the one that you sent, and nothing of theirs. Act now: telephone"
            " {they}, and ask what was found and what is to be done."
        ),
    },
    "validation_closes": {
        None: telephone(
            "The validation is finished, and is marked as asking nothing more of you; but its care"
            " plan says only what yours says: it may be the one that you sent, and nothing of"
            " theirs. Do not close the case on this: telephone {they} now."
        ),
    },
}
# By what is remarkable about the care plan.
OF_PLANS: Mapping[Remark, Mapping[str, Rows]] = {
    Remark.EMPTY_PLAN: EMPTY,
    Remark.PLAN_SENT_BACK: SENT_BACK,
}
# Where somebody has agreed to another record of the request: nothing has come back by this alone.
ONE_TURNED_DOWN: Rows = {
    None: act(
        "{They} has turned this record of the {it} down.{reason} Another one stands there, and"
        " {stands}; but do not rely on that before you have asked. Telephone now: if it is turned"
        " down as well, the patient is your responsibility again."
    ),
    **dict.fromkeys(
        (Matter.VALIDATION, Matter.MUTUAL_AID),
        act(
            "{They} has turned this record of the {it} down.{reason} You remain responsible: act"
            " now. Another one stands there, but do not rely on it before you have asked."
        ),
    ),
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


def resource_request(operation: str) -> str:
    """Return what is asked by a request that is not a message."""
    return (_READ if operation.startswith("GET ") else _WRITE).format(operation=operation)


DECIDED = "The other side waited for this answer and gets it. There is nothing to do now."
DECIDED_TOO_LATE = (
    "The other side had been told that no answer came, and learns of this one only if it tries"
    " again. If it matters to the patient, telephone."
)


REMARKED: Mapping[Remark, Sentence] = {
    Remark.LATE: telephone(
        "This came after its time: your fallback may already be running. Avoid sending twice;"
        " telephone."
    ),
    Remark.AFTER_END: check(
        "This came after the final response. If help is on its way after all, telephone."
    ),
    Remark.AFTER_CANCEL: telephone(
        "This came although you had cancelled: the other side may still be acting on it. Telephone."
    ),
    Remark.AMENDED: check(
        "This is not the first final response: compare the two, and telephone if they disagree."
    ),
    Remark.CLOCK_AHEAD: check(
        "A clock is wrong, theirs or ours: this, or what had come before it, is marked with a time"
        " that has not come yet. If two of their messages disagree, telephone."
    ),
    Remark.CONTRADICTS: telephone(
        "This is newer than what had ended the case, and says otherwise: somebody may be on the way"
        " after all, or nobody. Telephone the other service now."
    ),
    Remark.IN_DOUBT: telephone(
        "This case is in doubt: two of their messages contradict each other, and nobody here has"
        " said which holds. Do not rely on this one alone: telephone the other service."
    ),
    Remark.STOOD_DOWN: telephone("Nobody is on the way now. Telephone: ask who goes now."),
    Remark.EMPTY_PLAN: telephone(
        "Its care plan says nothing of what was found: telephone the other service, and ask."
    ),
    Remark.PLAN_SENT_BACK: telephone(
        "Its care plan says only what yours says: it may be the one that you sent, and nothing of"
        " theirs. Telephone the other service, and ask what was found."
    ),
    Remark.INTERIM_MISSED: nothing(
        "An earlier message of theirs, that they had started, never came here: this one is whole"
        " without it."
    ),
    Remark.UNFORESEEN: telephone(
        "This is unusual at this point. The status shown may be wrong: telephone the other service."
    ),
    Remark.ATTACHED: check(
        "This was set aside at first, for nothing here had asked for it; a person said that it"
        " belongs to this patient. See that it does before you file it."
    ),
    Remark.PARTNER_STANDS: check(
        "The booking or referral that it belonged to still stands: it was not cancelled along."
        " Cancel that, too, if it must not stand."
    ),
    Remark.PAST_ITS_TIME: telephone(
        "Its clinical time has passed: your fallback may already be running. Avoid doing things"
        " twice; telephone."
    ),
    Remark.UNFIT: telephone(
        "Something in between does not let it pass, most likely for its size: it may never get"
        " there as it is. Telephone the other service, and do not wait for it."
    ),
    Remark.NO_IDS_TAKEN: check(
        "The answer to it does not say that it is about this message. Telephone before you use a"
        " number from it."
    ),
    Remark.FOREIGN_ACK: telephone(
        "The receiving service answered it with the record of another patient or case: two patients"
        " may have been mixed up there. Telephone, and use nothing from that answer."
    ),
    Remark.DUPLICATE_AT_FIRST: telephone(
        "The receiving service says that it had this already, though it was sent only once."
        " Telephone."
    ),
    Remark.SHARED_ID: telephone(
        "The receiving service calls it by the number of another patient's record, which stands:"
        " that number was not taken. Telephone before you change or cancel anything."
    ),
    Remark.ID_USED_BEFORE: check(
        "The receiving service calls it by a number that an earlier record had, which is over:"
        " telephone if you have to change or cancel it."
    ),
    Remark.CANCEL_AFTER_END: telephone(
        "The cancellation has been received, but the final response had come before that: it"
        " changes nothing of it. Read that response, and telephone if somebody may still be acting"
        " on it."
    ),
    Remark.UPDATE_AFTER_END: telephone(
        "The change has been received, but the case was over before that: nobody there may act on"
        " it. Read how the case ended, and telephone if what was changed still matters."
    ),
    Remark.NO_RECORD: telephone(
        "No request here is known by the number in it: each that is open for this patient stays as"
        " it was. Telephone if one of these was meant, and name the number that it has there."
    ),
    Remark.HEARD: nothing(
        "It was decided after its Sender had stopped waiting; the Sender has asked again since, and"
        " has been answered."
    ),
    Remark.SET_ASIDE: telephone(
        "Nobody has stopped this on purpose: the gateway hit an internal error with it. Telephone,"
        " and do not wait for it to go."
    ),
    Remark.ARRIVED_AFTER_ALL: check(
        "You were told that nobody knew whether the request had arrived: it had, and the call about"
        " that is no longer needed. If you asked again meanwhile, or sent somebody else, telephone,"
        " so that nothing is done twice."
    ),
    Remark.ANSWERS_REFUSED: telephone(
        "This answers a request that was said to have been refused, or never sent: the other"
        " service acts on it all the same. Telephone, and stop what was begun in its place once you"
        " have heard that they go on."
    ),
    Remark.CANCEL_OPEN: telephone(
        "You have cancelled this, and nobody knows whether that arrived: the other service goes on."
        " Telephone."
    ),
    Remark.CANCEL_UNSENT: telephone(
        "You wanted to cancel this, and the cancellation never left this organisation: the other"
        " service does not know of it. Telephone, and say whether it is still wanted."
    ),
    Remark.OTHER_PATIENT: telephone(
        "This names another patient than what it belongs to: check whose this is before you file it"
        " or act upon it. Telephone."
    ),
    Remark.NEWLY_TRACED: check(
        "One side has an NHS number for this patient and the other had none; by name and birth date"
        " it is the same patient. Check the number in your record."
    ),
    Remark.UNKNOWN_PATIENT: check(
        "This says too little to tell whether it is about the same patient. Check whose it is"
        " before you file it."
    ),
    Remark.PLACEHOLDER_NUMBER: check(
        "An NHS number in this is a placeholder, and nobody's. Check whose this is before you file"
        " it."
    ),
    Remark.WRONG_NUMBER: check(
        "An NHS number in this cannot be right, for its digits do not check. Check whose this is"
        " before you file it."
    ),
    Remark.TWO_PATIENTS: telephone(
        "This names two patients: a part of it may be about somebody else. Check whose it is before"
        " you file it or act upon it. Telephone."
    ),
    Remark.NOT_TO_BE_DONE: telephone(
        "This says of itself that what it asks for is not to be done: the rest may be the opposite"
        " of what is meant. Telephone the other service now, and ask; until you have, leave nobody"
        " unseen because of it."
    ),
    Remark.MEANING_CHANGED: telephone(
        "This carries something that can change its meaning, and this gateway cannot tell how. Read"
        " the whole message before you act on it, now; if that does not tell, telephone the other"
        " service."
    ),
    Remark.PARTS_DENIED: check(
        "Something in this says of itself that it does not hold: entered in error, refuted, not"
        " done or not to be done, no longer in force, or of somebody who has died. Check which,"
        " before you file it or act on it."
    ),
    Remark.OTHER_RECORD: telephone(
        "There may be two records of this patient's request. Telephone: ask which of the two"
        " stands, and have the other one cancelled."
    ),
    Remark.OTHER_STANDS: telephone(
        "Another record of this patient's request stands, and is not cancelled with this one."
        " Telephone if you cannot tell which of the two is meant."
    ),
    Remark.RESTORED: check(
        "This gateway's database was restored from a backup, so you may have had this before. Check"
        " before you act on it."
    ),
    Remark.FATE_UNKNOWN: telephone(
        "This gateway's database was restored from a backup, and nobody here knows whether this was"
        " sent before that. Ask the other side by telephone whether they have it."
    ),
    Remark.UNREPLACED: telephone(
        "What was cancelled for it stays cancelled: the patient has neither. Send a new request, or"
        " telephone."
    ),
}
# By what a response says, where that makes the words above untrue.
_HAD_IT = "This answers a request that was said to have been refused, or never sent: they had it."
_GIVEN_BACK = telephone(
    _HAD_IT + " Nobody there acts on it now. Let what was begun in its place go on; telephone if"
    " nothing was."
)
_HAS_ENDED = telephone(
    _HAD_IT + " Telephone about what was done, and go on with what was begun in its place until"
    " you have heard that it is not needed."
)
_CANCELLED_BEFORE = check(
    "You had cancelled this already, and nobody there acts on it now. See that the patient has what"
    " you meant to do instead."
)
ARRIVED_IN_VAIN = check(
    "You were told that nobody knew whether the request had arrived: it had. If you asked again"
    " meanwhile, or sent somebody else, see that it is not stopped for this."
)
_CANCEL_NOT_NEEDED = telephone(
    "You have cancelled this, too, and nobody knows whether that arrived. Ask about both when you"
    " telephone."
)
# Of one of two records that is over, whose end has been said before.
_ANOTHER_STANDS = telephone(
    "Another record of this patient's request stands. Telephone: agree whether that one goes on."
)
_ANOTHER_MAY_STAND = telephone(
    "There may be another record of this patient's request. Telephone: ask how that one stands."
)
_GIVES_BACK = (Said.REJECTED, Said.NOT_ATTENDED, Said.STOOD_DOWN)
_ENDS = (Said.FINISHED, Said.VALIDATION_ACTS, Said.VALIDATION_CLOSES)
_OVER = (Said.REJECTED, Said.NOT_ATTENDED, *_ENDS)
BY_WORD: Mapping[tuple[Remark, Said], Sentence] = {
    **{(Remark.OTHER_STANDS, said): _ANOTHER_STANDS for said in _OVER},
    **{(Remark.OTHER_RECORD, said): _ANOTHER_MAY_STAND for said in _OVER},
    **{(Remark.ANSWERS_REFUSED, said): _GIVEN_BACK for said in _GIVES_BACK},
    **{(Remark.ANSWERS_REFUSED, said): _HAS_ENDED for said in _ENDS},
    (Remark.ANSWERS_REFUSED, Said.UNCLEAR): telephone(
        _HAD_IT + " Telephone before you stop what was begun in its place."
    ),
    **{(Remark.AFTER_CANCEL, said): _CANCELLED_BEFORE for said in _GIVES_BACK},
    **{(Remark.ARRIVED_AFTER_ALL, said): ARRIVED_IN_VAIN for said in _GIVES_BACK},
    **{(Remark.CANCEL_OPEN, said): _CANCEL_NOT_NEEDED for said in _GIVES_BACK},
    **{
        (Remark.CANCEL_OPEN, said): telephone(
            "You had cancelled this, and nobody knows whether that arrived: the other service has"
            " acted on it. Telephone."
        )
        for said in _ENDS
    },
}
# Of a validation nobody drives anywhere.
OF_VALIDATIONS: Mapping[Remark, Sentence] = {
    Remark.AFTER_END: check(
        "This came after the final response. If a clinician may still be at work on it, telephone."
    ),
    Remark.STOOD_DOWN: telephone("Nobody is at work on it now. Telephone: ask who is to be asked."),
    Remark.CONTRADICTS: telephone(
        "This is newer than what had ended the case, and says otherwise: nobody here can tell which"
        " of the two holds. Telephone the other service now."
    ),
}

# With an answer of ours: the fallback is that of whoever asked.
OF_ANSWERS: Mapping[Remark, Sentence] = {
    Remark.PAST_ITS_TIME: telephone(
        "Its clinical time has passed: whoever asked may have acted without it. Telephone, so that"
        " nothing is done twice."
    ),
}


def added_by(remark: Remark, says: str | None, matter: Matter) -> Sentence:
    """Return what *remark* adds to a message that *says* this, about such a matter."""
    by_word = BY_WORD.get((remark, Said(says))) if says else None
    if by_word is None and matter is Matter.VALIDATION:
        by_word = OF_VALIDATIONS.get(remark)
    return by_word or REMARKED[remark]
