"""
The parts of a composed message: entries by fullUrl, their ids, Encounters and references.

A fullUrl is how the entries of one Bundle name each other, and no id: only an answer to
the same Bundle may be read by it. Resources of other messages are the same thing where
type and id are the same.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from bars_gateway.standard.bundle import is_id, map_of, maps_of, text_of
from bars_gateway.standard.compositions import Composition
from bars_gateway.standard.tree import Json, Resource
from bars_gateway.standard.workflow import REQUESTER_MOVES, Move

Fields = dict[str, Json]
Entries = dict[str, Resource]

_NHS = "https://fhir.nhs.uk"
PROFILES = f"{_NHS}/StructureDefinition/BARS"
_UK_CORE = "https://fhir.hl7.org.uk/StructureDefinition/UKCore-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the EPR says has happened, or wants."""

    move: Move
    outcome: str | None  # arrived, RRNA, no_action, … of the table
    text: str | None  # the reason in words, for a rejection or cancellation
    resources: tuple[Resource, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanged:
    """One message of the conversation."""

    move: Move
    bundle: Resource
    answer: Resource  # empty where there is none


def coding(system: str, code: str) -> Fields:
    """Return a coding of one of BaRS's own systems."""
    return {"system": f"{_NHS}/CodeSystem/{system}", "code": code, "display": code}


def entries_of(bundle: Resource) -> Entries:
    """Return the resources of a Bundle by fullUrl."""
    return {text_of(e, "fullUrl"): map_of(e, "resource") for e in maps_of(bundle, "entry")}


def header_of(bundle: Resource) -> Resource:
    """Return the MessageHeader of a Bundle."""
    return next(iter(of_type(entries_of(bundle), "MessageHeader").values()), {})


def of_type(entries: Mapping[str, Resource], *types: str) -> Entries:
    """Return the entries of those types."""
    return {url: each for url, each in entries.items() if each.get("resourceType") in types}


def with_ids(bundle: Resource, answer: Resource) -> Entries:
    """Return the entries of a message with the ids that its answer gave to them."""
    given = {url: each["id"] for url, each in entries_of(answer).items() if is_id(each.get("id"))}
    return {
        url: {**resource, "id": given[url]} if url in given else resource
        for url, resource in entries_of(bundle).items()
    }


def take_ids(entries: Entries, earlier: Mapping[str, Resource]) -> None:
    """Give the focus and the Patient of a later message the ids of the first one."""
    for kind in ("ServiceRequest", "Appointment", "Patient"):
        known = next(iter(of_type(earlier, kind).values()), {})
        for url, resource in of_type(entries, kind).items():
            if "id" not in resource and "id" in known:
                entries[url] = {**resource, "id": known["id"]}


def responders_encounter(exchanged: Sequence[Exchanged]) -> Entries:
    """Return the Encounter that the Responder added, as it was last told; empty if it did not."""
    first = exchanged[0]
    asked = {url for url, each in entries_of(first.bundle).items() if each}
    added = of_type(entries_of(first.answer), "Encounter")
    found = {url: each for url, each in added.items() if url not in asked}
    for message in exchanged:
        if message.move not in REQUESTER_MOVES:
            focus = text_of(
                next(iter(maps_of(header_of(message.bundle), "focus")), {}), "reference"
            )
            told = of_type(entries_of(message.bundle), "Encounter").get(focus)
            found = {focus: told} if told else found
    return found


def respond(
    entries: Entries,
    exchanged: Sequence[Exchanged],
    wanted: Wanted,
    row: Composition,
    new_id: Callable[[], str],
) -> str:
    """Put the Responder's Encounter among *entries*, with its new status; return its fullUrl."""
    found = responders_encounter(exchanged)
    url, told = next(iter(found.items()), (f"urn:uuid:{new_id()}", None))
    theirs = _requesters_encounter(entries, told)
    if told is None:
        kept = {
            name: theirs[name] for name in ("class", "subject", "episodeOfCare") if name in theirs
        }
        meta = {"profile": [f"{_UK_CORE}Encounter"]}
        told = {"resourceType": "Encounter", "id": new_id(), "meta": meta, **kept}
    for known, resource in of_type(entries, "Encounter").items():
        if resource is not theirs:
            del entries[known]  # our own, as an update echoed it
    rest = {name: value for name, value in told.items() if name != "reasonCode"}
    links: Fields = {"subject": theirs["subject"]} if "subject" in theirs else {}
    entries[url] = {
        **rest,
        **links,
        "status": row.encounter,
        **({"reasonCode": [_reason(row, wanted.text)]} if row.code else {}),
    }
    for known, resource in of_type(entries, "ServiceRequest").items():
        entries[url] = {**entries[url], "basedOn": [{"reference": known}]}
        entries[known] = {**resource, "status": row.status}
    return url


def _requesters_encounter(entries: Entries, told: Resource | None) -> Resource:
    own = told.get("id") if told else None
    encounters = of_type(entries, "Encounter").values()
    return next((each for each in encounters if own is None or each.get("id") != own), {})


def _reason(row: Composition, text: str | None) -> Fields:
    assert row.code is not None
    system, code, display = row.code
    reason: Fields = {"coding": [{"system": system, "code": code, "display": display}]}
    return reason | ({"text": text} if text else {})


def add(
    entries: Entries,
    resources: Sequence[Resource],
    once: Collection[str],
    new_id: Callable[[], str],
) -> list[str]:
    """Put what the EPR gives among *entries*, over what it replaces; return the fullUrls."""
    urls = []
    for resource in resources:
        url = _replaced(entries, resource, once) or f"urn:uuid:{new_id()}"
        meta = {"profile": [f"{_UK_CORE}{text_of(resource, 'resourceType')}"]}
        entries[url] = {"meta": meta, **entries.get(url, {}), **resource}
        urls.append(url)
    known = {f"{e['resourceType']}/{e['id']}": url for url, e in entries.items() if "id" in e}
    for url in urls:
        entries[url] = _pointing(entries[url], known)  # type: ignore[assignment]
    return urls


def _replaced(entries: Entries, resource: Resource, once: Collection[str]) -> str | None:
    same = of_type(entries, text_of(resource, "resourceType"))
    if "id" in resource:
        by_id = next((url for url, each in same.items() if each.get("id") == resource["id"]), None)
        if by_id is not None:
            return by_id
    return next(iter(same), None) if resource["resourceType"] in once else None


def _pointing(value: Json, known: Mapping[str, str]) -> Json:
    """Return *value* with `Type/id` turned into the fullUrl of that resource."""
    if isinstance(value, Mapping):
        return {
            name: known.get(item, item)
            if name == "reference" and isinstance(item, str)
            else _pointing(item, known)
            for name, item in value.items()
        }
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_pointing(item, known) for item in value]
    return value


def focus_of(request: Resource, entries: Entries) -> str:
    """Return the fullUrl of what a request is about."""
    focus = text_of(next(iter(maps_of(header_of(request), "focus")), {}), "reference")
    return focus if focus in entries else next(iter(entries))


def name(entries: Entries, focus: str, focus_id: str | None) -> None:
    """Give what a change is about the id that is known of it, or none."""
    rest = {key: value for key, value in entries[focus].items() if key != "id"}
    entries[focus] = {**rest, "id": focus_id} if focus_id else rest


def finish(
    entries: Entries, given: Sequence[str], focus: str, row: Composition, text: str | None
) -> None:
    """Set what follows from the move: statuses, and what a CarePlan is about."""
    patient = next(iter(of_type(entries, "Patient")), None)
    for url, plan in of_type(entries, "CarePlan").items():
        if row.plan and url in given:
            subject: Fields = {"subject": {"reference": patient}} if patient else {}
            about: Fields = {
                "status": row.plan,
                "intent": "plan",
                "encounter": {"reference": focus},
            }
            entries[url] = {**subject, **plan, **about}
    if not row.is_response:
        why: Fields = {"reasonCode": [{"text": text}]} if text else {}
        if entries[focus]["resourceType"] == "Appointment" and text:
            why = {"cancelationReason": {"text": text}}
        entries[focus] = {**entries[focus], **why, "status": row.status}


def without_dangling(entries: Entries) -> Entries:
    """Return the entries without references to what is not among them."""
    return {
        url: cut
        for url, resource in entries.items()
        if isinstance(cut := _cut(resource, entries), dict)
    }


def _cut(value: Json, known: Collection[str]) -> Json:
    if isinstance(value, Mapping):
        reference = value.get("reference")
        if isinstance(reference, str) and reference.startswith("urn:") and reference not in known:
            return None
        cut = {name: _cut(item, known) for name, item in value.items()}
        return {name: item for name, item in cut.items() if item is not None} or None
    if isinstance(value, Sequence) and not isinstance(value, str):
        pairs = [(each, _cut(each, known)) for each in value]  # a null keeps two lists in step
        return [item for each, item in pairs if each is None or item is not None] or None
    return value


def stamped(resource: Resource, at: str | None) -> Fields:
    """Return the resource as changed at that time; as it was, where it is None."""
    fields = dict(resource)
    if at is not None:
        fields["meta"] = {**map_of(resource, "meta"), "lastUpdated": at}
    return fields
