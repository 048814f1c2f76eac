"""
Composes the message that a move needs from what was exchanged, and what the EPR adds to it.

    request + answer + later messages ──known──► entries with their ids ─┐
    what the EPR gives (resources) ──────────────────────────────────────┴─compose──► Bundle

The EPR says what has happened; the envelope follows from the conversation: endpoints
swapped, response.identifier, focus, definition, reason, and every id and Encounter that
the other side must find again. Nothing clinical is made up: what only the EPR can know
and has not given is a list of issues that name it. Pure: ids and the time are arguments.

    Wanted + row ──► C03: what only the EPR knows, and has not said
                 ──► C05: what the message has no place for, or only one
                 ──► C06: what would be lost, or says otherwise than the move

Whoever gets the composed message acts upon what it says. So it is not enough that a resource
of the right type is given: the CarePlan of a final response has to name an outcome. And what
is given may not turn the move into another: with an Encounter `finished` among the resources,
*arrived* would read as *finished*. Every issue names the member, and the cure.

A composed message is put together of entries, by fullUrl. A fullUrl is how the entries of one
Bundle name each other, and no id: only an answer to the same Bundle may be read by it. Resources
of other messages are the same thing where type and id are the same.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count

from bars_gateway.frozen import frozen
from bars_gateway.standard.bundle import is_id, map_of, maps_of, said_by, text_of
from bars_gateway.standard.compositions import Composition, Need, chosen, known_for
from bars_gateway.standard.definitions import DEFINITIONS, cited
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.meaning import MOVES, ours_in, read_as, wording_of
from bars_gateway.standard.rule import has_words
from bars_gateway.standard.rules.substance import around, says_what_was_found
from bars_gateway.standard.tree import Json, Resource
from bars_gateway.standard.workflow import REQUESTER_MOVES, Move, RequestType

Fields = dict[str, Json]
Entries = dict[str, Resource]
_NHS = "https://fhir.nhs.uk"
PROFILES = f"{_NHS}/StructureDefinition/BARS"
_UK_CORE = "https://fhir.hl7.org.uk/StructureDefinition/UKCore-"


@frozen(kw_only=True)
class Wanted:
    """What the EPR says has happened, or wants."""

    move: Move
    outcome: str | None  # arrived, RRNA, no_action, … of the table
    text: str | None  # the reason in words, for a rejection or cancellation
    resources: tuple[Resource, ...]


@frozen(kw_only=True)
class Exchanged:
    """One message of the conversation."""

    move: Move
    bundle: Resource
    answer: Resource  # empty where there is none
    arrived: bool = True  # the other side has it, and no doubt about it


def compose(
    wanted: Wanted,
    *,
    use_case: str,
    request_type: RequestType,
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
    rows = known_for(use_case, request_type, wanted.move)
    row = chosen(rows, wanted.outcome)
    if row is None:
        return [_no_such_outcome(rows)]
    asked = [each for each in exchanged if each.move in {Move.REQUEST, Move.UPDATE}]
    if not asked:
        return [_issue("C02", "in_reply_to", "nothing is kept of its request (any more)")]
    wanted = _without_blanks(wanted)
    standing = _standing(asked, exchanged, row, focus_id)
    counts = _counts(row, asked[-1].bundle)
    issues = _unfit(wanted, row, asked, standing, counts)
    if issues:
        return issues
    entries = standing[-1]
    own = respond(entries, exchanged, wanted, row, new_id) if row.is_response else None
    given = add(entries, wanted.resources, _once(counts), new_id)
    issues = list(_contradicted(wanted, given, entries, row, own))
    if issues:
        return issues
    focus = own or focus_of(asked[-1].bundle, entries)
    finish(entries, given, focus, row, wanted.text)
    header = _header(asked, exchanged, row, focus)
    made = _bundle(asked[-1].bundle, header, entries, {focus, *given}, new_id=new_id, now=now)
    return list(_misread(made, asked, row, use_case)) or made


def _without_blanks(wanted: Wanted) -> Wanted:
    """Take a blank for no reason: a cancellation goes without one rather than not at all."""
    return wanted if has_words(wanted.text or "") else replace(wanted, text=None)


def _unfit(
    wanted: Wanted,
    row: Composition,
    asked: Sequence[Exchanged],
    standing: Sequence[Entries],
    counts: Mapping[str, int | None],
) -> list[Issue]:
    """Return why nothing can be composed of what the EPR has said."""
    return [
        *_missing(wanted, row, standing[-1], _requesters(asked)),
        *_out_of_place(wanted, row, counts),
        *_unchanged(wanted, row, standing, _once(counts)),
    ]


def _standing(
    asked: Sequence[Exchanged],
    exchanged: Sequence[Exchanged],
    row: Composition,
    focus_id: str | None,
) -> list[Entries]:
    """Return all that the Receiver may have of the request by now, the newest last."""
    arrived = (place for place, each in enumerate(asked) if each.arrived)
    sure = max(arrived, default=0)
    return [
        known(asked[: place + 1], exchanged, row, focus_id) for place in range(sure, len(asked))
    ]


def _requesters(asked: Sequence[Exchanged]) -> frozenset[str]:
    """Return what the Requester's Encounter is known by."""
    ours: frozenset[str] = frozenset()
    for each in asked:
        ours = ours_in(said_by(each.bundle), ours)
    return ours


def known(
    asked: Sequence[Exchanged],
    exchanged: Sequence[Exchanged],
    row: Composition,
    focus_id: str | None,
) -> Entries:
    """Return what the newest request holds, with the ids that its Receiver gave, by fullUrl."""
    entries = with_ids(asked[-1].bundle, asked[-1].answer)
    if asked[-1] is not asked[0]:
        take_ids(entries, with_ids(asked[0].bundle, asked[0].answer))
    if row.echoes:
        entries |= responders_encounter(exchanged)
    if not row.is_response:
        name(entries, focus_of(asked[-1].bundle, entries), focus_id)
    kept = row.repeats
    return {
        url: resource
        for url, resource in entries.items()
        if resource["resourceType"] != "MessageHeader"
        and (kept is None or resource["resourceType"] in kept)
    }


def _counts(row: Composition, request: Resource) -> Mapping[str, int | None]:
    """Return how often each type may be in the message; None: as often as one likes."""
    header = header_of(request)
    definition = DEFINITIONS.get(row.definition or "") or cited(text_of(header, "definition"))
    if definition is None:
        return {}
    return {focus.type: focus.most for focus in definition.focuses[2:]}


def _once(counts: Mapping[str, int | None]) -> frozenset[str]:
    return frozenset(name for name, most in counts.items() if most == 1)


def _header(
    asked: Sequence[Exchanged], exchanged: Sequence[Exchanged], row: Composition, focus: str
) -> Fields:
    request = header_of(asked[-1].bundle)
    begun = any(each.move is Move.PROGRESS for each in exchanged)
    reason = (row.after_interim if begun else "new") if row.is_response else "update"
    definition = DEFINITIONS[row.definition].url if row.definition else request.get("definition")
    header: Fields = {
        **request,
        "reason": {"coding": [coding("message-reason-bars", reason)]},
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
        "meta": {"profile": [f"{PROFILES}MessageHeader-servicerequest-response"]},
        "eventCoding": coding("message-events-bars", "servicerequest-response"),
        "source": {"endpoint": text_of(destination, "endpoint")},
        "destination": [back],
        "sender": destination.get("receiver"),
        "response": {"identifier": text_of(first, "id"), "code": "ok"},
    }


def _bundle(
    request: Resource,
    header: Resource,
    entries: Entries,
    changed: AbstractSet[str],
    *,
    new_id: Callable[[], str],
    now: datetime,
) -> Resource:
    """Return the message; what is *changed* is stamped with the time."""
    stamp = _stamp(now)
    first: Fields = {"fullUrl": f"urn:uuid:{new_id()}", "resource": stamped(header, stamp)}
    rest: list[Json] = [
        {"fullUrl": url, "resource": stamped(resource, stamp if url in changed else None)}
        for url, resource in without_dangling(entries).items()
    ]
    meta = {**map_of(request, "meta"), "lastUpdated": stamp}
    return {**request, "id": new_id(), "meta": meta, "timestamp": stamp, "entry": [first, *rest]}


def _stamp(now: datetime) -> str:
    """Return the moment as BaRS writes an instant: seven decimals, in UTC (rules B11 and B12)."""
    written = now.astimezone(UTC).isoformat(timespec="microseconds")
    return f"{written[:-6]}0{written[-6:]}"


def _no_such_outcome(rows: tuple[Composition, ...]) -> Issue:
    if not rows:
        text = "cannot be composed for this use case; submit a Bundle instead"
        return _issue("C01", "move", text)
    words = ", ".join(row.outcome for row in rows if row.outcome)
    return _issue("C01", "outcome", f"must be one of {words}" if words else "must be left out")


def _missing(
    wanted: Wanted, row: Composition, entries: Entries, requesters: Collection[str]
) -> Iterator[Issue]:
    """Yield what only the EPR can know, or look up, and has not said."""
    if row.need is Need.WORDS and not wanted.text:
        yield _issue("C03", "text", "must say why, for this outcome has no code for it")
    if row.need is Need.FINDINGS:
        yield from _findings(wanted, entries, requesters)
    if row.need is Need.CHANGE and not wanted.resources:
        text = "must hold what has changed, such as the ServiceRequest with the changed members"
        yield _issue("C03", "resources", text)
    if not row.is_response:
        focus = next(iter(of_type(entries, "Appointment", "ServiceRequest").values()), {})
        if "id" not in focus:
            text = (
                "no id is known that the Receiver has told for this, and for nothing else: look it"
                " up with a read first, or telephone; then submit a whole message of the EPR's own"
                " that names it"
            )
            yield _issue("C04", "in_reply_to", text)


def _findings(wanted: Wanted, entries: Entries, requesters: Collection[str]) -> Iterator[Issue]:
    given = [("", each) for each in wanted.resources]
    beside = around([*entries.items(), *given], requesters)
    plans = _given(wanted, "CarePlan")
    if not plans:
        text = "must hold the CarePlan with what was found: nobody else knows it"
        yield _issue("C03", "resources", text)
    for index, plan in plans:
        if not says_what_was_found(plan, beside):
            text = (
                "must say what was found: write it in outcomeCodeableConcept of an activity, in"
                " text or as a code, or name the case that came of it in outcomeReference, and"
                " give that with it, with its number. Neither the patient nor the case that you"
                " were asked about is an outcome"
            )
            yield _issue("C03", f"resources[{index}].activity", text)


def _unchanged(
    wanted: Wanted, row: Composition, standing: Sequence[Entries], once: Collection[str]
) -> Iterator[Issue]:
    """Yield that an update says nothing new: its Receiver would look for a change in vain."""
    if row.need is not Need.CHANGE or not wanted.resources:
        return
    if not any(_changes(before, wanted.resources, once) for before in standing):
        text = (
            "change nothing: what they hold is so already. Give the members that have changed, with"
            " their new values; if nothing has, send no update"
        )
        yield _issue("C03", "resources", text)


def _changes(before: Entries, resources: Sequence[Resource], once: Collection[str]) -> bool:
    """Tell whether *resources* make what was sent *before* say anything else."""
    after, numbers = dict(before), count()
    given = add(after, resources, once, lambda: str(next(numbers)))
    return any(_said(after[url]) != _said(before.get(url, {})) for url in given)


def _said(resource: Resource) -> Fields:
    """Return what a resource says; what tells it from others says nothing."""
    rest = {"resourceType", "id", "meta"}
    return {name: value for name, value in resource.items() if name not in rest}


def _out_of_place(
    wanted: Wanted, row: Composition, counts: Mapping[str, int | None]
) -> list[Issue]:
    """Return what the message has no place for: it would be dropped, or written over."""
    issues = [
        _issue("C05", f"resources[{index}]", "is of a type that this message may not hold")
        for index, resource in enumerate(wanted.resources)
        if text_of(resource, "resourceType") not in counts
    ]
    # A request has one Encounter, but its update repeats the Responder's, too.
    for kind in (kind for kind, most in counts.items() if most == 1 and kind != "Encounter"):
        text = f"is another {kind}, and this message holds one: write both into one"
        issues += [_issue("C05", f"resources[{i}]", text) for i, _ in _given(wanted, kind)[1:]]
    if wanted.text and not row.takes_words:
        text = (
            "must be left out: only a rejection or a cancellation sends it. Write it into a"
            " resource, such as the CarePlan of a final response"
        )
        issues.append(_issue("C06", "text", text))
    return issues


def _contradicted(
    wanted: Wanted, given: Sequence[str], entries: Entries, row: Composition, own: str | None
) -> Iterator[Issue]:
    """Yield what is given with another status, or reason, than the move means; *own* is ours."""
    for index, (resource, url) in enumerate(zip(wanted.resources, given, strict=True)):
        expected = row.encounter if url == own else _status(row, entries[url])
        if expected and text_of(resource, "status") not in {"", expected}:
            text = (
                f"speaks against the move, which writes {expected}: leave it out, or choose the"
                " move and outcome that mean it"
            )
            yield _issue("C06", f"resources[{index}].status", text)
        if url == own and row.move is Move.DECLINE and "reasonCode" in resource:
            text = "must be left out: outcome and text say why"
            yield _issue("C06", f"resources[{index}].reasonCode", text)


def _status(row: Composition, resource: Resource) -> str | None:
    kind = text_of(resource, "resourceType")
    if kind in {"ServiceRequest", "Appointment"}:
        return row.status
    return row.plan if kind == "CarePlan" else None


def _misread(
    made: Resource, asked: Sequence[Exchanged], row: Composition, use_case: str
) -> Iterator[Issue]:
    """Yield why a composed response would be read otherwise than the move was meant."""
    wording = wording_of(said_by(made))
    if wording is None:
        return
    reading = read_as(wording, _requesters(asked), use_case=use_case)
    if reading.said not in row.says and MOVES[reading.said] is not Move.UNCLEAR:
        text = f"make it read as {reading.said}, which is not what the move means: correct them"
        yield _issue("C06", "resources", text)


def _given(wanted: Wanted, kind: str) -> list[tuple[int, Resource]]:
    return [
        (index, resource)
        for index, resource in enumerate(wanted.resources)
        if text_of(resource, "resourceType") == kind
    ]


def _issue(rule: str, path: str, text: str) -> Issue:
    """Return what is wrong with a move, by the member of it."""
    return Issue(rule=rule, path=path, text=text, issue="required")


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
