"""
What a remark adds to a sentence, and what it turns it into.

Most remarks are said after the sentence of the message. One that came out of its order is
told in other words altogether: what it says was overtaken, and nobody must act upon it as
if it were new.
"""

from collections.abc import Mapping

from bars_gateway.standard.meaning import Said
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.sentences.tables import check, nothing, telephone
from bars_gateway.standard.sentences.words import Sentence

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
        "Their clock is wrong: this is marked with a time that has not come yet. If it disagrees"
        " with another of their messages, telephone."
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
        "But the final response had come before that: the cancellation changes nothing of it."
        " Read that response, and telephone if somebody may still be acting on it."
    ),
    Remark.HEARD: nothing(
        "It was decided after its Sender had stopped waiting; the Sender has asked again since, and"
        " has heard how."
    ),
    Remark.SET_ASIDE: telephone(
        "Nobody has stopped this on purpose: the gateway itself failed over it. Telephone, and do"
        " not wait for it to go."
    ),
    Remark.ARRIVED_AFTER_ALL: check(
        "You were told that nobody knew whether the request had arrived: it had, and the call about"
        " that is no longer needed. If you asked again meanwhile, or sent somebody else, telephone,"
        " so that nothing is done twice."
    ),
    Remark.ANSWERS_REFUSED: telephone(
        "This answers a request that was said to have been refused, or never sent: the other"
        " service acts on it all the same. Telephone, and stop what was begun in its place."
    ),
    Remark.CANCEL_OPEN: telephone(
        "You have cancelled this, and nobody knows whether that arrived: the other service goes on."
        " Telephone."
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
    Remark.OTHER_RECORD: telephone(
        "There may be two records of this patient's request. Telephone: ask which of the two"
        " stands, and have the other one cancelled."
    ),
    Remark.RESTORED: check(
        "This gateway's database was restored from a backup, so you may have had this before, under"
        " the same number. Check before you act on it."
    ),
    Remark.FATE_UNKNOWN: telephone(
        "This gateway's database was restored from a backup, and nobody here knows whether this was"
        " sent before that. Ask the other side by telephone whether they have it."
    ),
    Remark.UNREPLACED: telephone(
        "What was cancelled for it stays cancelled: the patient has neither. Ask anew, or"
        " telephone."
    ),
}
_OLD = (
    "A message came late and out of its order. It says that {it_says}; but what you had already"
    " is marked with a later time, and holds unless a clock is wrong."
)
_IF = " If the two disagree, telephone."
_NOW = " Telephone now: do not act on this one, nor pass over it, until you have."

# By what an older message says, in place of what a new one would be told by.
OLD: Mapping[str, Sentence] = {
    Said.ACCEPTED: check(_OLD.format(it_says="the other side accepted this") + _IF),
    Said.ASSIGNED: check(_OLD.format(it_says="a resource was assigned") + _IF),
    Said.ON_SCENE: check(_OLD.format(it_says="a resource was with the patient") + _IF),
    Said.STOOD_DOWN: telephone(_OLD.format(it_says="the resource was stood down") + _NOW),
    Said.FINISHED: check(_OLD.format(it_says="the other side had finished") + _IF),
    Said.VALIDATION_STARTED: check(_OLD.format(it_says="the clinician had started") + _IF),
    Said.VALIDATION_ACTS: telephone(_OLD.format(it_says="the validation asked you to act") + _NOW),
    Said.VALIDATION_CLOSES: check(
        _OLD.format(it_says="the validation asked nothing more of you") + _IF
    ),
    Said.REJECTED: telephone(_OLD.format(it_says="the other side turned this down") + _NOW),
    Said.NOT_ATTENDED: telephone(_OLD.format(it_says="the patient did not come") + _NOW),
    Said.UNCLEAR: telephone(
        _OLD.format(it_says="something happened, in words that do not add up") + _NOW
    ),
}
