"""
What a rule is, of any table: what is wrong, who asks for it, and what it is answered with.

    rule ──severity(side, agreed)──► how severely it is taken ──at(path)──► Issue

Each table adds to the row what it compares: one message (`rules`), a move with what began the
workflow (`guards`), or a new request with what it names (`link_rules`).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Required, TypedDict, Unpack

from bars_gateway.standard.bundle import Message
from bars_gateway.standard.issues import Issue, Severity
from bars_gateway.standard.offer import Offer


class Side(StrEnum):
    """Which way the message goes."""

    SENDING = "sending"
    RECEIVING = "receiving"


class Taken(StrEnum):
    """How severely a rule is taken, by agreement."""

    ERROR = "error"
    WARNING = "warning"
    OFF = "off"


Agreement = Mapping[str, Taken]  # by rule
_NOTHING: Agreement = {}
_SEVERITIES = {Taken.ERROR: Severity.ERROR, Taken.WARNING: Severity.WARNING, Taken.OFF: None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row, of any table."""

    rule: str
    text: str  # what is wrong, and what to do instead
    source: str  # who asks for it: the guide's page, the official tests, R4, or this project
    sending: Severity | None = Severity.ERROR  # None: not looked at on that side
    receiving: Severity | None = Severity.ERROR
    http_status: int = 400
    code: str = "REC_BAD_REQUEST"
    issue: str = "invariant"
    fixed: bool = False  # without it nobody could tell what a message is, or whose

    def severity(self, side: Side, agreed: Agreement = _NOTHING) -> Severity | None:
        """Return how severely it is taken; an agreement counts on both sides, if not fixed."""
        if self.rule in agreed and not self.fixed:
            return _SEVERITIES[agreed[self.rule]]
        return self.sending if side is Side.SENDING else self.receiving

    def at(self, path: str, severity: Severity = Severity.ERROR) -> Issue:
        """Return the row as an issue, broken at *path*."""
        return Issue(
            rule=self.rule,
            path=path,
            text=self.text,
            severity=severity,
            http_status=self.http_status,
            code=self.code,
            issue=self.issue,
        )


Broken = Callable[[Message, Offer], Iterator[str]]  # yields the FHIR paths


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRule(Rule):
    """One row about a message alone, and the function that looks whether it is broken."""

    broken: Broken


class _Row(TypedDict, total=False):
    source: Required[str]
    sending: Severity | None
    receiving: Severity | None
    http_status: int
    code: str
    issue: str
    fixed: bool


def rule(rule: str, text: str, **row: Unpack[_Row]) -> Callable[[Broken], MessageRule]:
    """Make a function the row that it looks for; its name is then the row's."""
    return lambda broken: MessageRule(rule=rule, text=text, broken=broken, **row)
