"""
What came out of its order, in a sentence: a newer one holds, unless a clock is wrong.

It is told in other words than what is new: nobody must act upon it as if it were.
"""

from collections.abc import Mapping

from bars_gateway.standard.meaning import Said
from bars_gateway.standard.sentences.words import Sentence, check, telephone

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
