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

The words that rules are written in stand here, too: which kind of message it is, and the like.
"""

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import field, replace
from enum import StrEnum
from typing import Any, Required, TypedDict, Unpack

from bars_gateway.frozen import frozen
from bars_gateway.standard.applications import Offer
from bars_gateway.standard.bundle import Json, Message, Resource, map_of, maps_of, text_of
from bars_gateway.standard.headers import ODS, normalised
from bars_gateway.standard.issues import Issue, Severity
from bars_gateway.standard.timing import application_of

EVERYBODY = "*"
Broken = Callable[[Message, Offer], Iterator["str | Found"]]  # yields the FHIR paths
When = Callable[[Message], bool]
URN = "urn:uuid:"
HEADER = "Bundle.entry[0].resource"  # where the MessageHeader stands
CODES = "https://fhir.nhs.uk/CodeSystem/"
REQUEST = "servicerequest-request"
RESPONSE = "servicerequest-response"
BOOKING = "booking-request"
_CHANGES = frozenset({"update", "delete"})
TAKEN_BACK = frozenset({"revoked", "entered-in-error"})  # a ServiceRequest
CALLED_OFF = frozenset({"cancelled", "entered-in-error"})  # an Appointment
# How the MessageDefinitions of cancellations and of answers to a validation end.
CANCELLED, INTERIM, FULL = "-cancelled", "-validation-interim", "-validation-full"


class Side(StrEnum):
    """Which way the message goes."""

    SENDING = "sending"  # what our EPR submits, before it leaves
    RECEIVING = "receiving"  # what others send


class AgreedSeverity(StrEnum):
    """How severely a rule is taken, by agreement."""

    ERROR = "error"
    WARNING = "warning"
    OFF = "off"


Agreement = Mapping[str, AgreedSeverity]  # by rule
_SEVERITIES = {
    AgreedSeverity.ERROR: Severity.ERROR,
    AgreedSeverity.WARNING: Severity.WARNING,
    AgreedSeverity.OFF: None,
}
_NOTHING: Agreement = {}


@frozen
class Found:
    """Where a row is broken that says more of each place than the row does of all."""

    path: str
    wanted: str  # what should be there; nothing of what is there


@frozen(kw_only=True)
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

    def at(self, found: str | Found, severity: Severity = Severity.ERROR) -> Issue:
        """Return the row as an issue, broken at that path."""
        path, text = (
            (found, self.text)
            if isinstance(found, str)
            else (found.path, f"{self.text}: {found.wanted}")
        )
        return Issue(
            rule=self.rule,
            path=path,
            text=text,
            severity=severity,
            http_status=self.http_status,
            code=self.code,
            issue=self.issue,
        )


@frozen(kw_only=True)
class MessageRule(Rule):
    """
    One row about a message alone, and the function that looks whether it is broken.

    Only messages of which *when* is true, and that hold a resource *of* that type, can break it:
    what is the same for many rows is asked once for all of them.
    """

    broken: Broken
    when: When | None = None  # None: of any message
    of: str = ""  # empty: of what may be missing, or is no one resource


class _Row(TypedDict, total=False):
    source: Required[str]
    sending: Severity | None
    receiving: Severity | None
    http_status: int
    code: str
    issue: str
    fixed: bool
    when: When
    of: str


def rule(rule: str, text: str, **row: Unpack[_Row]) -> Callable[[Broken], MessageRule]:
    """Make a function the row that it looks for; its name is then the row's."""
    return lambda broken: MessageRule(rule=rule, text=text, broken=broken, **row)


@frozen
class Overrides:
    """What is agreed, by service (`system|value`, normalised), ODS code, or EVERYBODY."""

    agreements: Mapping[str, Agreement] = field(default_factory=dict)

    def with_the_other_side(self, message: Message, side: Side) -> Agreement:
        """Return what is agreed with who sent *message*, or is to get it; services win."""
        agreed = self.agreements.get(EVERYBODY, _NOTHING)
        if self.agreements.keys() <= {EVERYBODY}:  # as nearly everywhere: who it is does not matter
            return agreed
        agreed = dict(agreed)
        for name in _names(message, side):
            agreed |= self.agreements.get(name, {})
        return agreed


NOTHING_AGREED = Overrides()

# What never leaves for production: a number that is nobody's, or somebody else's. Elsewhere it
# is a warning: the numbers that are given out for tests fail these rules (D-strict-on-send).
IN_PRODUCTION: Agreement = {"P02": AgreedSeverity.ERROR, "P02P": AgreedSeverity.ERROR}
PRODUCTION = Overrides({EVERYBODY: IN_PRODUCTION})


def in_production(issues: Iterable[Issue], message: Message, production: Overrides) -> list[Issue]:
    """Return *issues*, with a mark on each warning that is an error where *production* holds."""
    agreed = production.with_the_other_side(message, Side.SENDING)
    return [
        replace(issue, refused_in_production=True)
        if issue.severity is Severity.WARNING and agreed.get(issue.rule) is AgreedSeverity.ERROR
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


def is_new_request(message: Message, category: str | None = None) -> bool:
    """Tell whether somebody asks for the first time, for *category* where given."""
    return (
        message.event == REQUEST
        and message.reason == "new"
        and category in {None, message.category}
    )


def is_new_referral(message: Message) -> bool:
    """Tell whether somebody refers for the first time."""
    return is_new_request(message, "referral")


def is_new_validation(message: Message) -> bool:
    """Tell whether somebody asks for the first time to have something validated."""
    return is_new_request(message, "validation")


def is_new_transfer(message: Message) -> bool:
    """Tell whether one control room asks another for the first time."""
    return is_new_referral(message) and is_of(message, "a6")


def is_change(message: Message) -> bool:
    """Tell whether a request is changed or taken back."""
    return message.event == REQUEST and message.reason in _CHANGES


def cites_cancellation(message: Message) -> bool:
    """Tell whether the MessageDefinition is that of a cancellation."""
    return message.definition.endswith(CANCELLED)


def request_status(message: Message) -> str | None:
    """
    Return the status of the request that it is about; None for none, or where nobody can tell.

    Where the focus points to nothing, or to another type, rules of their own say so (M12N, M13),
    and a ServiceRequest is judged by what it says itself.
    """
    if message.focus_type == "ServiceRequest":
        return message.focus_status
    found = [status for _, status in statuses(message, "ServiceRequest")]
    return found[0] if len(found) == 1 else None


def is_cancelled_request(message: Message) -> bool:
    """Tell whether a request is taken back."""
    return is_change(message) and request_status(message) in TAKEN_BACK


def asks(message: Message, category: str | None = None) -> bool:
    """
    Tell whether something is asked for, for the first time or otherwise than before.

    An update takes the place of the whole request: what has to be in the one has to be in the
    other.
    """
    changed = (
        is_change(message)
        and request_status(message) not in TAKEN_BACK
        and not cites_cancellation(message)
        and category in {None, message.category}
    )
    return is_new_request(message, category) or changed


def asks_to_refer(message: Message) -> bool:
    """Tell whether a referral is asked for, or changed."""
    return asks(message, "referral")


def asks_to_validate(message: Message) -> bool:
    """Tell whether a validation is asked for, or changed."""
    return asks(message, "validation")


def has_request_event(message: Message) -> bool:
    """Tell whether its event is about a ServiceRequest: asked for, or answered."""
    return message.event.startswith("servicerequest")


def is_answer(message: Message) -> bool:
    """Tell whether it answers a request."""
    return message.event == RESPONSE


def is_full_answer(message: Message) -> bool:
    """Tell whether it is the last word on a validation."""
    return is_answer(message) and message.definition.endswith(FULL)


def has_booking_event(message: Message) -> bool:
    """Tell whether its event is about an Appointment."""
    return message.event == BOOKING


def is_booked(message: Message) -> bool:
    """Tell whether an Appointment is made, or changed."""
    return is_booking(message, called_off=False)


def is_called_off(message: Message) -> bool:
    """Tell whether an Appointment is called off."""
    return is_booking(message, called_off=True)


def is_booking(message: Message, *, called_off: bool) -> bool:
    """Tell whether it is about an Appointment that is, or is not, called off."""
    return (
        message.event == BOOKING
        and message.focus_type == "Appointment"
        and (message.focus_status in CALLED_OFF) is called_off
    )


def is_of(message: Message, application: str) -> bool:
    """Tell whether the use case belongs to *application*, such as a6."""
    return application_of(message.use_case) == application


def objects_at(node: Json, path: str) -> Iterator[tuple[str, Resource]]:
    """Yield every object in *node* with its path: slow, for when something is wrong."""
    if isinstance(node, dict):
        yield path, node
        for name, value in node.items():
            yield from objects_at(value, f"{path}.{name}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from objects_at(value, f"{path}[{index}]")


def resources_at(message: Message) -> Iterator[tuple[str, Resource]]:
    """Yield the path and the resource of every entry."""
    for index, entry in enumerate(message.entries):
        yield f"Bundle.entry[{index}].resource", entry.resource


def extensions(resource: Resource, url: str) -> list[Resource]:
    """Return the extensions of *resource* of that URL."""
    return [each for each in maps_of(resource, "extension") if text_of(each, "url") == url]


def codings(concepts: Sequence[Resource]) -> list[Resource]:
    """Return the codings of all *concepts*."""
    return [coding for concept in concepts for coding in maps_of(concept, "coding")]


def is_coded(
    concepts: Sequence[Resource], system: str, codes: AbstractSet[str] | None = None
) -> bool:
    """Tell whether one of *concepts* has a coding of *system*, and of *codes* where given."""
    return any(
        text_of(coding, "system") == system and (codes is None or text_of(coding, "code") in codes)
        for coding in codings(concepts)
    )


def concept_of(resource: Resource, element: str) -> list[Resource]:
    """Return the one concept at *element*, as a list."""
    concept = map_of(resource, element)
    return [concept] if concept else []


def references_of(resource: Resource, element: str) -> list[tuple[str, str]]:
    """Return the references at *element*, one or a list, each with where it stands in it."""
    value = resource.get(element)
    if isinstance(value, Mapping):
        return [(element, text_of(value, "reference"))]
    return [
        (f"{element}[{index}]", text_of(each, "reference"))
        for index, each in enumerate(maps_of(resource, element))
    ]


def statuses(message: Message, resource_type: str) -> list[tuple[str, str]]:
    """Return the status of each resource of that type, with its path."""
    return [
        (f"{path}.status", text_of(each, "status")) for path, each in message.all(resource_type)
    ]


def has_words(text: str) -> bool:
    """Tell whether there is anything to read: a mark, or what nobody can see, is nothing."""
    return any(each.isalnum() and _is_seen(each) for each in text)


def _is_seen(letter: str) -> bool:
    """Tell whether a letter is there to be seen: Unicode has some that only fill a place."""
    return {"FILLER", "BLANK"}.isdisjoint(unicodedata.name(letter, "").split())


def missing(resource_type: str) -> str:
    """Return the FHIRPath of a resource that should be in the Bundle and is not."""
    return f"Bundle.entry.resource.ofType({resource_type})"


def not_in(message: Message, resource_type: str, allowed: AbstractSet[str]) -> Iterator[str]:
    """Yield where no resource of that type has one of these statuses: the first, if any."""
    found = statuses(message, resource_type)
    if not any(status in allowed for _, status in found):
        yield found[0][0] if found else missing(resource_type)
