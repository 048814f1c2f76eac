"""
An answer that is owed and has not come, in a sentence: kind, who owes it, matter.

The clock runs whatever became of the request. So the sentence says what is known of it:
whether they have begun, and whether it ever arrived.
"""

from collections.abc import Mapping
from enum import StrEnum

from bars_gateway.standard.sentences.words import HELP, Matter, Rows, act, check, telephone, work


class Known(StrEnum):
    """What is known of the request while its answer is awaited."""

    NOTHING = "nothing"  # acknowledged, and no more
    BEGUN = "begun"  # an interim response came
    UNCLEAR = "unclear"  # they have answered, and it does not add up
    NOT_EVEN_ARRIVED = "not even that it arrived"


_LATE = "Start your fallback now; then telephone."
_AWAITED: Mapping[tuple[str, Known], Rows] = {
    ("due_soon", Known.NOTHING): {
        None: check(
            "The {answer} to the {it} is {due}, and has not come. Be ready to start your fallback."
        )
    },
    ("due_soon", Known.BEGUN): {
        None: check(
            "They have started, but the {answer} to the {it} has not come, and is {due}. Be"
            " ready to start your fallback."
        )
    },
    ("due_soon", Known.NOT_EVEN_ARRIVED): {
        None: telephone(
            "The {answer} to the {it} is {due}, and has not come, and the request may never"
            " have arrived. Telephone now."
        )
    },
    ("due_soon", Known.UNCLEAR): {
        None: telephone(
            "What they answered to the {it} does not add up, and a clear {answer} is {due}."
            " Telephone now."
        )
    },
    ("overdue", Known.NOTHING): {
        None: act("The {answer} to the {it} has not come in time. " + _LATE),
        **dict.fromkeys(
            HELP,
            act(
                "{They} has not said whether it helps. Reckon with no help from there: act now, and"
                " telephone."
            ),
        ),
        Matter.OUT_OF_AREA: act(
            "{They} has not said what it does about the {it}: perhaps nobody was sent. Telephone"
            " now."
        ),
    },
    ("overdue", Known.BEGUN): {
        None: act("They have started, but the {answer} to the {it} has not come in time. " + _LATE)
    },
    ("overdue", Known.UNCLEAR): {
        None: act(
            "What they answered to the {it} does not add up, and no clear {answer} has come in"
            " time. " + _LATE
        )
    },
    ("overdue", Known.NOT_EVEN_ARRIVED): {
        None: act(
            "The {answer} to the {it} has not come in time, and the request may never have"
            " arrived. " + _LATE
        )
    },
}
_OWED: Mapping[str, Rows] = {
    "due_soon": {
        None: work("{Asker} waits for your {answer} to its {it}{by}. Give it."),
    },
    "overdue": {
        None: telephone(
            "You have not given your {answer} in time: {asker} may act without it. Give it, and"
            " telephone."
        ),
    },
}


def awaited(kind: str, known: Known) -> Rows:
    """Return what is said of an answer that others owe."""
    return _AWAITED[kind, known]


def owed(kind: str) -> Rows:
    """Return what is said of an answer that this organisation owes."""
    return _OWED[kind]
