"""
What an answer to a read proves: only what says itself that it is what was asked for.

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
from urllib.parse import parse_qs

from bars_gateway.standard.bundle import (
    MalformedBundle,
    Resource,
    map_of,
    maps_of,
    said_by,
    text_of,
)
from bars_gateway.standard.formats import Format, format_of, to_tree
from bars_gateway.standard.headers import CORRELATION_ID, REQUEST_ID
from bars_gateway.standard.patients import Patient, Sameness, numbered
from bars_gateway.standard.reads import BarsAnswer, Enquiry
from bars_gateway.standard.searches import number_asked_for
from bars_gateway.standard.targets import of_service
from bars_gateway.standard.whose import sameness_of

_OK, _OTHERWISE = 200, 300


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
