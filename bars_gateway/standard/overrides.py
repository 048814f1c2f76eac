"""
What single counterparties are let through with, or refused for: severities by agreement.

    rule table ──► severity ◄── everybody's ◄── the ODS code's ◄── the service's

Who the other side is stands in the message itself: its endpoint, and the ODS code of
the Organization beside it. That is a claim and no proof, which is good enough for what
can be switched off: how a message is written. Rules without which nobody could tell
what a message is, or whose, are *fixed*, and no agreement changes them.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bars_gateway.standard.bundle import Message, map_of, maps_of, text_of
from bars_gateway.standard.headers import normalised
from bars_gateway.standard.issues import Issue, Severity
from bars_gateway.standard.rule import Agreement, Side, Taken

_ODS = "https://fhir.nhs.uk/Id/ods-organization-code"


EVERYBODY = "*"


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
        if text_of(identifier, "system") == _ODS:
            yield text_of(identifier, "value").upper()
