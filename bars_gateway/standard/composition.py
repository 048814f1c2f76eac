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
from datetime import datetime

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
    new_id: Callable[[], str],
    now: datetime,
) -> Resource | list[Issue]:
    """Return the Bundle, or everything that is missing or wrong in what the EPR has said."""
    rows = known_for(use_case, subject, wanted.move)
    row = chosen(rows, wanted.outcome)
    if row is None:
        return [_no_such_outcome(rows)]
    asked = [each for each in exchanged if each.move in {Move.REQUEST, Move.UPDATE}]
    if not asked:
        return [_issue("C02", "in_reply_to", "nothing is kept of its request (any more)")]
    entries = known(asked, exchanged, row)
    stamp = now.isoformat(timespec="milliseconds")
    issues = [*_missing(wanted, row, entries), *_unlisted(wanted, row, asked[-1].bundle)]
    if issues:
        return issues
    own = None
    if row.is_response:
        own = parts.respond(entries, exchanged, wanted, row, new_id)
    given = parts.add(entries, wanted.resources, _once(row, asked[-1].bundle), new_id)
    focus = own or parts.focus_of(asked[-1].bundle, entries)
    parts.finish(entries, given, focus, row, wanted.text)
    header = _header(asked, exchanged, row, focus)
    changed = {focus, *given}
    written: list[Json] = [
        {"fullUrl": url, "resource": parts.stamped(resource, stamp if url in changed else None)}
        for url, resource in parts.without_dangling(entries).items()
    ]
    first: Fields = {"fullUrl": f"urn:uuid:{new_id()}", "resource": parts.stamped(header, stamp)}
    return _bundle(asked[-1].bundle, [first, *written], new_id(), stamp)


def known(asked: Sequence[Exchanged], exchanged: Sequence[Exchanged], row: Composition) -> Entries:
    """Return what the newest request holds, with the ids that its Receiver gave, by fullUrl."""
    entries = parts.with_ids(asked[-1].bundle, asked[-1].answer)
    if asked[-1] is not asked[0]:
        parts.take_ids(entries, parts.with_ids(asked[0].bundle, asked[0].answer))
    if row.echoes:
        entries |= parts.responders_encounter(exchanged)
    kept = row.repeats
    return {
        url: resource
        for url, resource in entries.items()
        if resource["resourceType"] != "MessageHeader"
        and (kept is None or resource["resourceType"] in kept)
    }


def _missing(wanted: Wanted, row: Composition, entries: Entries) -> list[Issue]:
    issues = []
    if row.asks and not wanted.text:
        issues.append(_issue("C03", "text", "must say why, for this outcome has no code for it"))
    types = {text_of(resource, "resourceType") for resource in wanted.resources}
    if row.plan and "CarePlan" not in types:
        text = "must hold the CarePlan with what was found: nobody else knows it"
        issues.append(_issue("C03", "resources", text))
    if not row.is_response:
        focus = next(iter(parts.of_type(entries, "Appointment", "ServiceRequest").values()), {})
        if "id" not in focus:
            text = "the Receiver has not told its id of this yet: look it up with a read first"
            issues.append(_issue("C04", "in_reply_to", text))
    return issues


def _unlisted(wanted: Wanted, row: Composition, request: Resource) -> list[Issue]:
    allowed = set(_counts(row, request))
    return [
        _issue("C05", f"resources[{index}]", "is of a type that this message may not hold")
        for index, resource in enumerate(wanted.resources)
        if text_of(resource, "resourceType") not in allowed
    ]


def _counts(row: Composition, request: Resource) -> Mapping[str, int | None]:
    """Return how often each type may be in the message; None: as often as one likes."""
    header = parts.header_of(request)
    definition = DEFINITIONS.get(row.definition or "") or cited(text_of(header, "definition"))
    if definition is None:
        return {}
    return {focus.type: focus.most for focus in definition.focuses[2:]}


def _once(row: Composition, request: Resource) -> frozenset[str]:
    return frozenset(name for name, most in _counts(row, request).items() if most == 1)


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


def _bundle(request: Resource, entries: Sequence[Json], own_id: str, stamp: str) -> Resource:
    meta = {**map_of(request, "meta"), "lastUpdated": stamp}
    return {**request, "id": own_id, "meta": meta, "timestamp": stamp, "entry": entries}


def _no_such_outcome(rows: tuple[Composition, ...]) -> Issue:
    if not rows:
        text = "is no move that can be composed for this use case; hand in a Bundle instead"
        return _issue("C01", "move", text)
    words = ", ".join(row.outcome for row in rows if row.outcome)
    return _issue("C01", "outcome", f"must be one of {words}" if words else "must be left out")


def _issue(rule: str, path: str, text: str) -> Issue:
    return Issue(rule=rule, path=path, text=text, issue="required")
