"""
What is asked of another organisation beside messages, what comes back, and what that proves.

    Enquiry(method, path, query, headers) ──outbound──► BarsAnswer │ Unanswered

Reads, and the preview operations (D-preview), go through the proxy as they were asked: the
answer is handed on with its status and its bytes, whoever in between it came from.

An answer proves only what says itself that it is what was asked for.

    Enquiry + BarsAnswer ──shown──► the resource or the searchset, or None: it proves nothing

Connections get mixed up, caches lie, and a Receiver may look up the wrong record. A booking
that stands would not be cancelled because another one is over. So an answer is believed if it
came with 200, names both ids of the request that it answers, and is of the type, and under
the id, that was asked for. A searchset holds nothing, or at least one of what was searched for:
what else came along is none of our business. Definitions are of the service that was asked, and
records of the patient, as far as they say whose they are. What does not prove itself is handed
on to whoever asked, and decides nothing.

Decisions: D-reads-prove.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from urllib.parse import parse_qs, unquote_plus

from bars_gateway.standard.bundle import (
    MalformedBundle,
    Resource,
    map_of,
    maps_of,
    said_by,
    text_of,
)
from bars_gateway.standard.formats import Format, format_of, to_tree
from bars_gateway.standard.headers import CORRELATION_ID, REQUEST_ID, TargetIdentifier
from bars_gateway.standard.patients import Patient, Sameness, numbered, sameness_of
from bars_gateway.standard.publications import of_service
from bars_gateway.standard.searches import number_asked_for

# What a Receiver answers, and which of it may be asked for with an id.
READABLE = frozenset({"metadata", "MessageDefinition", "Slot", "Appointment", "ServiceRequest"})
WITH_ID = frozenset({"Appointment", "ServiceRequest"})
# What changes so rarely that an answer may be kept; slots never (CS-172).
KEPT = frozenset({"metadata", "MessageDefinition"})
# The preview operations: requests written one by one, pointers, the catalogue.
_POINTERS = "DocumentReference"
_CATALOGUE = frozenset({"Endpoint", "HealthcareService", "Organization"})
PREVIEW = frozenset({"Appointment", "ServiceRequest", _POINTERS, *_CATALOGUE})
TEMPLATE = "$template"  # of an Endpoint
# What the API has, below each resource: of all of them, of one, and their templates.
_OF_ALL, _OF_ONE = ("GET", "POST"), ("GET", "PUT", "DELETE")
_METHODS: Mapping[tuple[str, bool, bool], tuple[str, ...]] = {
    **{(name, False, False): ("GET",) for name in READABLE},
    **{(name, False, False): _OF_ALL for name in PREVIEW},
    **{(name, True, False): _OF_ONE for name in PREVIEW},
    **{(name, True, False): ("GET", "PUT", "PATCH", "DELETE") for name in WITH_ID},
    ("Endpoint", False, True): _OF_ALL,
    ("Endpoint", True, True): ("PUT", "DELETE"),
}
WITHOUT_TARGET = frozenset({_POINTERS, *_CATALOGUE})
_OK, _OTHERWISE = 200, 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Enquiry:
    """One request to the proxy that is no message."""

    provider: str
    method: str
    resource: str  # the first part of the path
    resource_id: str | None
    query: str  # as it was written, without what was meant for the gateway
    target: TargetIdentifier | None  # None: the proxy needs none
    headers: Mapping[str, str]  # every header but Authorization
    body: bytes = b""
    is_template: bool = False  # whether its template is asked for, and not the resource itself
    urgent: bool = True  # somebody waits for the answer, at a screen or to send a message

    @property
    def path(self) -> str:
        """The path and query below the proxy's address."""
        path = f"/{self.resource}" + (f"/{self.resource_id}" if self.resource_id else "")
        path += f"/{TEMPLATE}" if self.is_template else ""
        return f"{path}?{self.query}" if self.query else path

    @property
    def is_kept(self) -> bool:
        """Whether an answer to it may be kept and given again."""
        return self.method == "GET" and self.resource in KEPT


@dataclass(frozen=True, slots=True, kw_only=True)
class BarsAnswer:
    """What came back, as it came."""

    http_status: int
    media_type: str
    body: bytes
    headers: Mapping[str, str]
    kept_since: datetime | None = None  # None: it is new


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """Nothing came back: a value, because a read may simply be asked again."""

    reason: str
    cure: str
    http_status: int  # how the gateway says it: 502, 503 or 504


class Reads(Protocol):
    """Whoever asks the proxy."""

    async def ask(
        self, enquiry: Enquiry, seconds: float | None = None, *, fresh: bool = False
    ) -> BarsAnswer | Unanswered:
        """Return the answer within *seconds*; *fresh*: not one that was kept."""


def methods_of(resource: str, *, has_id: bool, is_template: bool = False) -> tuple[str, ...]:
    """Return what the API has at that path; nothing: it has no such path."""
    return _METHODS.get((resource, has_id, is_template), ())


def is_preview(method: str, resource: str) -> bool:
    """Tell whether the guide only previews that operation."""
    return method != "GET" or resource not in READABLE


def accept_of(asked: str, core_version: str) -> str:
    """Return what to accept: what was asked for, JSON by default, in our version of Core."""
    first = asked.partition(",")[0].strip()
    if "version=" in first.lower():
        return first
    return f"{format_of(first) or Format.JSON}; version={core_version}"


def without(query: str, name: str) -> tuple[str, list[str]]:
    """Return *query* as it was written but for parameter *name*, and the values of that."""
    kept, values = [], []
    for part in filter(None, query.split("&")):
        key, _, value = part.partition("=")
        if unquote_plus(key) == name:
            values.append(unquote_plus(value))
        else:
            kept.append(part)
    return "&".join(kept), values


def shown(enquiry: Enquiry, answer: BarsAnswer) -> Resource | None:
    """Return what was asked for, or None where *answer* does not prove that it is that."""
    # What was kept was proved when it came.
    if answer.http_status != _OK or not (answer.kept_since or echoed(enquiry, answer)):
        return None
    try:
        found = to_tree(answer.body, format_of(answer.media_type) or Format.JSON)
    except MalformedBundle:
        return None
    return found if _is_asked_for(enquiry, found) else None


def proves_itself(enquiry: Enquiry, answer: BarsAnswer) -> bool:
    """Tell whether *answer* is one to *enquiry*: a read that went well, by what it shows too."""
    if enquiry.method != "GET" or not _OK <= answer.http_status < _OTHERWISE:
        return echoed(enquiry, answer)
    found = shown(enquiry, answer)
    if found is None or enquiry.resource_id is not None:
        return found is not None
    number = number_asked_for(enquiry.query)
    return not number or not of_another(numbered(number), found, enquiry.resource)


def echoed(enquiry: Enquiry, answer: BarsAnswer) -> bool:
    """Tell whether both ids of the request came back, in whatever case."""
    return all(
        _plain(answer.headers, name) == _plain(enquiry.headers, name) != ""
        for name in (REQUEST_ID, CORRELATION_ID)
    )


def _plain(headers: Mapping[str, str], name: str) -> str:
    return headers.get(name, "").strip().lower()


def _is_asked_for(enquiry: Enquiry, found: Resource) -> bool:
    kind = text_of(found, "resourceType")
    if enquiry.resource_id is not None:
        same_id = text_of(found, "id").lower() == enquiry.resource_id.lower()
        return kind == enquiry.resource and same_id
    if enquiry.resource == "metadata":
        return kind == "CapabilityStatement"
    if (kind, text_of(found, "type")) != ("Bundle", "searchset"):
        return False
    if enquiry.resource == "MessageDefinition":
        # Whoever takes nothing at all would not be in BaRS: an empty list is no answer to that.
        return bool(of_service(found, _services(enquiry)))
    return answers_search(found, enquiry.resource)


def _services(enquiry: Enquiry) -> list[str]:
    """Return whose definitions are asked for: its `context` may name another than the target."""
    target = enquiry.target
    named = parse_qs(enquiry.query).get("context", [])
    if target is None:
        return named
    whole = [each if "|" in each else f"{target.system}|{each}" for each in named]
    return [*whole, target.text]


def answers_search(searchset: Resource, kind: str) -> bool:
    """Tell whether it holds nothing, which is an answer, or at least one of *kind*."""
    held = (map_of(entry, "resource") for entry in maps_of(searchset, "entry"))
    types = {text_of(each, "resourceType") for each in held} - {"OperationOutcome"}
    return not types or kind in types


def of_another(asked: Patient, searchset: Resource, kind: str) -> bool:
    """Tell whether one of the records of *kind* names another patient than was *asked* for."""
    try:
        found = said_by(searchset)
    except MalformedBundle:
        return True  # nobody can tell whose they are
    sameness = (sameness_of(asked, each, found.entries) for _, each in found.all(kind))
    return Sameness.OTHER_PATIENT in sameness
