"""
What one look at something brings: a grade, what was seen, and the cure.

    certificate_rules · doctor ──► passed │ warned │ failed │ skipped ──► Seen
"""

from collections.abc import Iterable
from enum import StrEnum

from bars_gateway.frozen import frozen
from bars_gateway.onboarding.contacts import Contact


class Grade(StrEnum):
    """How well things are; the order is that of severity."""

    SKIP = "skip"  # not looked at, and why
    PASS = "pass"  # nothing is wrong with it  # noqa: S105
    WARN = "warn"  # it works, and a person should look
    FAIL = "fail"  # it has to be mended

    @property
    def severity(self) -> int:
        """Its place in the order."""
        return list(Grade).index(self)


@frozen(kw_only=True)
class Seen:
    """What one look brought."""

    grade: Grade
    text: str
    cure: str = ""
    ask: Contact | None = None  # who can help, where it is another than for the rest of its kind


def passed(text: str) -> Seen:
    """Return that nothing is wrong."""
    return Seen(grade=Grade.PASS, text=text)


def warned(text: str, cure: str) -> Seen:
    """Return what will hurt later."""
    return Seen(grade=Grade.WARN, text=text, cure=cure)


def failed(text: str, cure: str, ask: Contact | None = None) -> Seen:
    """Return what keeps us from working; *ask*: who else can help than its kind says."""
    return Seen(grade=Grade.FAIL, text=text, cure=cure, ask=ask)


def skipped(text: str) -> Seen:
    """Return why nobody looked."""
    return Seen(grade=Grade.SKIP, text=text)


def worst(grades: Iterable[Grade]) -> Grade:
    """Return the most severe of *grades*; PASS where there is none."""
    return max(grades, key=lambda grade: grade.severity, default=Grade.PASS)
