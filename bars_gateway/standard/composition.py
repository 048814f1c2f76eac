"""
Composes the message that a move needs from what was exchanged, and what the EPR adds to it.

    request + answer + later messages ──known──► entries with their ids ─┐
    what the EPR gives (resources) ──────────────────────────────────────┴─compose──► Bundle

The EPR says what has happened; the envelope follows from the conversation: endpoints
swapped, response.identifier, focus, definition, reason, and every id and Encounter that
the other side must find again. Nothing clinical is made up: what only the EPR can know
and has not given is a list of issues that name it. Pure: ids and the time are arguments.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime

from bars_gateway.standard import composition_needs as needs
from bars_gateway.standard import composition_parts as parts
from bars_gateway.standard.bundle import map_of, maps_of, text_of
from bars_gateway.standard.composition_parts import Entries, Exchanged, Fields, Wanted
from bars_gateway.standard.compositions import Composition, chosen, known_for
from bars_gateway.standard.definitions import DEFINITIONS, cited
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.tree import Json, Resource
from bars_gateway.standard.workflow import Move, Subject


def compose(
    wanted: Wanted,
    *,
    use_case: str,
    subject: Subject,
    exchanged: Sequence[Exchanged],
    focus_id: str | None,
    new_id: Callable[[], str],
    now: datetime,
) -> Resource | list[Issue]:
    """
    Return the Bundle, or everything that is missing or wrong in what the EPR has said.

    *focus_id*: what the Receiver is known to call the record, by an answer, a response or a
    search. A change names that id, and never one that an answer holds and that was not taken.
    """
    rows = known_for(use_case, subject, wanted.move)
    row = chosen(rows, wanted.outcome)
    if row is None:
        return [_no_such_outcome(rows)]
    asked = [each for each in exchanged if each.move in {Move.REQUEST, Move.UPDATE}]
    if not asked:
        return [needs.issue("C02", "in_reply_to", "nothing is kept of its request (any more)")]
    entries = known(asked, exchanged, row, focus_id)
    counts = _counts(row, asked[-1].bundle)
    issues = [*needs.missing(wanted, row, entries), *needs.out_of_place(wanted, row, counts)]
    if issues:
        return issues
    own = parts.respond(entries, exchanged, wanted, row, new_id) if row.is_response else None
    once = frozenset(name for name, most in counts.items() if most == 1)
    given = parts.add(entries, wanted.resources, once, new_id)
    issues = list(needs.contradicted(wanted, given, entries, row, own))
    if issues:
        return issues
    focus = own or parts.focus_of(asked[-1].bundle, entries)
    parts.finish(entries, given, focus, row, wanted.text)
    header = _header(asked, exchanged, row, focus)
    made = _bundle(asked[-1].bundle, header, entries, {focus, *given}, new_id, now)
    return list(needs.misread(made, asked, row, use_case)) or made


def known(
    asked: Sequence[Exchanged],
    exchanged: Sequence[Exchanged],
    row: Composition,
    focus_id: str | None,
) -> Entries:
    """Return what the newest request holds, with the ids that its Receiver gave, by fullUrl."""
    entries = parts.with_ids(asked[-1].bundle, asked[-1].answer)
    if asked[-1] is not asked[0]:
        parts.take_ids(entries, parts.with_ids(asked[0].bundle, asked[0].answer))
    if row.echoes:
        entries |= parts.responders_encounter(exchanged)
    if not row.is_response:
        parts.name(entries, parts.focus_of(asked[-1].bundle, entries), focus_id)
    kept = row.repeats
    return {
        url: resource
        for url, resource in entries.items()
        if resource["resourceType"] != "MessageHeader"
        and (kept is None or resource["resourceType"] in kept)
    }


def _counts(row: Composition, request: Resource) -> Mapping[str, int | None]:
    """Return how often each type may be in the message; None: as often as one likes."""
    header = parts.header_of(request)
    definition = DEFINITIONS.get(row.definition or "") or cited(text_of(header, "definition"))
    if definition is None:
        return {}
    return {focus.type: focus.most for focus in definition.focuses[2:]}


def _header(
    asked: Sequence[Exchanged], exchanged: Sequence[Exchanged], row: Composition, focus: str
) -> Fields:
    request = parts.header_of(asked[-1].bundle)
    begun = any(each.move is Move.PROGRESS for each in exchanged)
    reason = (row.after_interim if begun else "new") if row.is_response else "update"
    definition = DEFINITIONS[row.definition].url if row.definition else request.get("definition")
    header: Fields = {
        **request,
        "reason": {"coding": [parts.coding("message-reason-bars", reason)]},
        "focus": [{"reference": focus}],
        "definition": definition,
    }
    header.pop("id", None)
    return header | _swapped(request, asked[0].bundle) if row.is_response else header


def _swapped(request: Resource, first: Resource) -> Fields:
    """Return what turns the header of a request into that of a response to it."""
    destination = next(iter(maps_of(request, "destination")), {})
    back: dict[str, Json] = {"endpoint": text_of(map_of(request, "source"), "endpoint")}
    if "sender" in request:
        back["receiver"] = request["sender"]
    return {
        "meta": {"profile": [f"{parts.PROFILES}MessageHeader-servicerequest-response"]},
        "eventCoding": parts.coding("message-events-bars", "servicerequest-response"),
        "source": {"endpoint": text_of(destination, "endpoint")},
        "destination": [back],
        "sender": destination.get("receiver"),
        "response": {"identifier": text_of(first, "id"), "code": "ok"},
    }


def _bundle(  # noqa: PLR0917 - the parts of one message
    request: Resource,
    header: Resource,
    entries: Entries,
    changed: AbstractSet[str],
    new_id: Callable[[], str],
    now: datetime,
) -> Resource:
    """Return the message; what is *changed* is stamped with the time."""
    stamp = now.isoformat(timespec="milliseconds")
    first: Fields = {"fullUrl": f"urn:uuid:{new_id()}", "resource": parts.stamped(header, stamp)}
    rest: list[Json] = [
        {"fullUrl": url, "resource": parts.stamped(resource, stamp if url in changed else None)}
        for url, resource in parts.without_dangling(entries).items()
    ]
    meta = {**map_of(request, "meta"), "lastUpdated": stamp}
    return {**request, "id": new_id(), "meta": meta, "timestamp": stamp, "entry": [first, *rest]}


def _no_such_outcome(rows: tuple[Composition, ...]) -> Issue:
    if not rows:
        text = "is no move that can be composed for this use case; hand in a Bundle instead"
        return needs.issue("C01", "move", text)
    words = ", ".join(row.outcome for row in rows if row.outcome)
    return needs.issue("C01", "outcome", f"must be one of {words}" if words else "must be left out")
