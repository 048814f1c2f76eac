"""
What an answer to a read proves: only what says itself that it is what was asked for.

    Enquiry + BarsAnswer ──shown──► the resource or the searchset, or None: it proves nothing

Connections get mixed up, caches lie, and a Receiver may look up the wrong record. A booking
that stands would not be cancelled because another one is over. So an answer is believed if it
came with 200, names both ids of the request that it answers, and is of the type, and under
the id, that was asked for. What does not is handed on to whoever asked, and decides nothing.

Decisions: D-reads-prove.
"""

from collections.abc import Mapping

from bars_gateway.standard.bundle import MalformedBundle, Resource, map_of, maps_of, text_of
from bars_gateway.standard.formats import Format, format_of, to_tree
from bars_gateway.standard.headers import CORRELATION_ID, REQUEST_ID
from bars_gateway.standard.reads import BarsAnswer, Enquiry

_OK = 200


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
    """Tell whether *answer* is one to *enquiry*: to a read with 200, by what it shows as well."""
    if enquiry.method == "GET" and answer.http_status == _OK:
        return shown(enquiry, answer) is not None
    return echoed(enquiry, answer)


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
    # Whoever takes nothing at all would not be in BaRS: an empty list is no answer to that.
    return enquiry.resource != "MessageDefinition" or _holds(found, "MessageDefinition")


def _holds(searchset: Resource, kind: str) -> bool:
    entries = maps_of(searchset, "entry")
    return any(text_of(map_of(entry, "resource"), "resourceType") == kind for entry in entries)
