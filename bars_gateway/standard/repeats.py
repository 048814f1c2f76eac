"""
Whether two messages under one X-Request-Id say the same (D-same-request-id).

    Message, target, correlation id ──said──► one digest, whatever was only numbered again

A Sender that lost our answer should repeat its bytes. Some make the message again: with
another Bundle.id and MessageHeader.id, other fullUrls, and in a new request other resource
ids. Then nothing else was said, and *duplicate* is the truth. All else counts as it is
written: identifiers, `response.identifier`, the ids of an update, a cancellation or a response,
the slot of a booking, the service and the correlation id. What was not processed is
never called a duplicate.

When it was written counts in a response only: there it says which of two is newer.
"""

import hashlib
from collections.abc import Mapping

import orjson

from bars_gateway.standard.bundle import Entry, Json, Message, Number, map_of, maps_of, text_of
from bars_gateway.standard.workflow import REQUESTER_MOVES, Move

# What a Receiver's search gave to a booking, which says by it what it books.
_GIVEN = frozenset("HealthcareService Location Practitioner PractitionerRole Schedule Slot".split())
_WRITTEN_ON = {"ServiceRequest": "authoredOn", "Appointment": "created"}


def said(message: Message, move: Move, target: str, correlation_id: str) -> str:
    """Return what tells what *message* says to *target* from all else, in hex."""
    places = _places(message, move)
    entries = [
        _renumbered(_without(entry, message, move, first=index == 0), places)
        for index, entry in enumerate(message.entries)
    ]
    root = {
        name: value
        for name, value in message.root.items()
        if name not in {"id", "timestamp", "entry"}
    }
    beside = [_beside(each) for each in maps_of(message.root, "entry")]
    whole = [target, correlation_id.lower(), _stamped(root, move), beside, entries]
    written = orjson.dumps(whole, default=_number, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(written).hexdigest()


def _beside(entry: Mapping[str, Json]) -> Json:
    """Return what an entry has but its url and its resource."""
    return {name: value for name, value in entry.items() if name not in {"fullUrl", "resource"}}


def _places(message: Message, move: Move) -> dict[str, int]:
    """Return where each reference into the Bundle leads: of several with one url, to the first."""
    found: dict[str, int] = {}
    for index, entry in enumerate(message.entries):
        if entry.full_url:
            found.setdefault(entry.full_url, index)
        if _is_numbered_anew(entry, message, move) and "id" in entry.resource:
            found.setdefault(f"{entry.type}/{text_of(entry.resource, 'id')}", index)
    return found


def _is_numbered_anew(entry: Entry, message: Message, move: Move) -> bool:
    """Tell whether the id of the entry's resource says nothing."""
    is_given = message.focus_type == "Appointment" and entry.type in _GIVEN
    return move is Move.REQUEST and not is_given


def _without(entry: Entry, message: Message, move: Move, *, first: bool) -> Mapping[str, Json]:
    """Return the resource without what says nothing."""
    dropped = set()
    if first or _is_numbered_anew(entry, message, move):
        dropped.add("id")
    if move is Move.REQUEST and entry.type in _WRITTEN_ON:
        dropped.add(_WRITTEN_ON[entry.type])
    kept = {name: value for name, value in entry.resource.items() if name not in dropped}
    return _stamped(kept, move)


def _stamped(resource: Mapping[str, Json], move: Move) -> Mapping[str, Json]:
    """Return the resource without its stamp, but for a response."""
    if move not in REQUESTER_MOVES or "meta" not in resource:
        return resource
    meta = {name: each for name, each in map_of(resource, "meta").items() if name != "lastUpdated"}
    return {**resource, "meta": meta}


def _renumbered(node: Json, places: Mapping[str, int]) -> object:
    if isinstance(node, Mapping):
        return {
            name: places.get(value, value)
            if name == "reference" and isinstance(value, str)
            else _renumbered(value, places)
            for name, value in node.items()
        }
    return [_renumbered(each, places) for each in node] if isinstance(node, list) else node


def _number(value: object) -> list[str]:
    assert isinstance(value, Number)
    return ["number", value.text]
