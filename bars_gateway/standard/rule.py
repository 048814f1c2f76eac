"""
What a rule is, of any table: what is wrong, who asks for it, and what it is answered with.

    rule ──severity(side, agreed)──► how severely it is taken ──at(path)──► Issue

Each table adds to the row what it compares: one message (`rules`), a move with what began the
workflow (`guards`), or a new request with what it names (`links`).

Single counterparties are let through, or refused, by agreement: it gives rules other severities.

    rule table ──► severity ◄── everybody's ◄── the ODS code's ◄── the service's

Who the other side is stands in the message itself: its endpoint, and the ODS code of
the Organization beside it. That is a claim and no proof, which is good enough for what
can be switched off: how a message is written. Rules without which nobody could tell
what a message is, or whose, are *fixed*, and no agreement changes them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Required, TypedDict, Unpack

from bars_gateway.standard.applications import Offer
from bars_gateway.standard.bundle import Message, map_of, maps_of, text_of
from bars_gateway.standard.headers import ODS, normalised
from bars_gateway.standard.issues import Issue, Severity

EVERYBODY = "*"


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
_SEVERITIES = {Taken.ERROR: Severity.ERROR, Taken.WARNING: Severity.WARNING, Taken.OFF: None}


_NOTHING: Agreement = {}


Broken = Callable[[Message, Offer], Iterator[str]]  # yields the FHIR paths


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


@dataclass(frozen=True, slots=True)
class Overrides:
    """What is agreed, by service (`system|value`, normalised), ODS code, or EVERYBODY."""

    agreements: Mapping[str, Agreement] = field(default_factory=dict)

    def with_the_other_side(self, message: Message, side: Side) -> Agreement:
        """Return what is agreed with who sent *message*, or is to get it; services win."""
        agreed: dict[str, Taken] = {}
        for name in (EVERYBODY, *_names(message, side)) if self.agreements else ():
            agreed |= self.agreements.get(name, {})
        return agreed


NOTHING_AGREED = Overrides()

# What never leaves for production: a number that is nobody's, or somebody else's. Elsewhere it
# is a warning: the numbers that are given out for tests fail these rules (D-strict-on-send).
IN_PRODUCTION: Agreement = {"P02": Taken.ERROR, "P02P": Taken.ERROR}
PRODUCTION = Overrides({EVERYBODY: IN_PRODUCTION})


def in_production(issues: Iterable[Issue], message: Message, production: Overrides) -> list[Issue]:
    """Return *issues*, with a mark on each warning that is an error where *production* holds."""
    agreed = production.with_the_other_side(message, Side.SENDING)
    return [
        replace(issue, refused_in_production=True)
        if issue.severity is Severity.WARNING and agreed.get(issue.rule) is Taken.ERROR
        else issue
        for issue in issues
    ]


def _names(message: Message, side: Side) -> Iterator[str]:
    """Yield what the other side may be agreed with as, the most particular last."""
    receiving = side is Side.RECEIVING
    destination = next(iter(maps_of(message.header, "destination")), {})
    reference = map_of(message.header, "sender") if receiving else map_of(destination, "receiver")
    yield from _codes(message, reference)
    yield from map(normalised, (message.source,) if receiving else message.destinations)


def sender_codes(message: Message) -> frozenset[str]:
    """Return the ODS codes of the organisation that a message says it is from; none: unsaid."""
    return frozenset(_codes(message, map_of(message.header, "sender")))


def _codes(message: Message, reference: Mapping[str, Any]) -> Iterator[str]:
    entry = message.resolve(text_of(reference, "reference"))
    for identifier in maps_of(entry.resource if entry else {}, "identifier"):
        if text_of(identifier, "system") == ODS:
            yield text_of(identifier, "value").upper()
