"""What is found by one rule of a check: the words that all judgements share."""

from collections.abc import Sequence
from enum import StrEnum

from bars_gateway.frozen import frozen


class EprResult(StrEnum):
    """How an EPR did, by one rule."""

    RIGHT = "right"
    WRONG = "wrong"
    LOOK = "look"  # the doors cannot show it: somebody has to look at a screen
    UNTRIED = "untried"


@frozen(kw_only=True)
class EprFinding:
    """What was found by one rule."""

    rule: str
    clause: str  # of docs/epr-contract.md
    title: str
    result: EprResult
    says: str  # what was seen
    look: tuple[str, ...] = ()  # what to look for on a screen


@frozen(kw_only=True)
class CheckTerms:
    """What is expected of the EPR."""

    by_socket: bool  # notices and questions
    asks: bool  # questions are put to it
    patience_seconds: float  # for a notice to be collected


Judgement = tuple[EprResult, str] | tuple[EprResult, str, tuple[str, ...]]


def right_or(wrong: Sequence[str], right: str) -> Judgement:
    """Return that it is wrong for these reasons, or *right* where there are none."""
    return (EprResult.WRONG, "; ".join(wrong)) if wrong else (EprResult.RIGHT, right)


def some(values: Sequence[object]) -> str:
    """Return the first few of *values* in words."""
    shown = ", ".join(str(each) for each in values[:5])
    return shown + (", …" if len(values) > 5 else "")  # noqa: PLR2004
