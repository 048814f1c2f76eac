"""
What we answer, and how to read what others answer.

    Message ──acknowledge──► the 200 Bundle: theirs, with the ids that we minted
    Issues  ──outcome──────► OperationOutcome
    nothing ──no_matches───► a searchset without matches
    bytes   ──read_outcome─► Outcome(code, issue), whatever the bytes are

The acknowledgement mirrors the request (Core, section 4): the same Bundle.id and
fullUrls, the MessageHeader untouched, an id of ours for each resource, and a
`planned` Encounter with a case number that a person can read out on the telephone.
Numbers and instants go back as they came (D-lossless).
"""

import codecs
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import orjson

from bars_gateway.standard.bundle import (
    Entry,
    Json,
    MalformedBundle,
    Message,
    Resource,
    map_of,
    maps_of,
    read,
    text_of,
)
from bars_gateway.standard.formats import Format, to_bytes, to_tree
from bars_gateway.standard.issues import Issue

ERROR_CODES = "https://fhir.nhs.uk/Codesystem/http-error-codes"  # spelt so wherever it is used
PROFILE = "https://fhir.hl7.org.uk/StructureDefinition/UKCore-OperationOutcome"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A refusal that no rule of the message decided: the transport's, or our own trouble."""

    http_status: int
    code: str  # REC_TIMEOUT, …
    issue: str  # FHIR IssueType
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What somebody's error body says, as far as it can be read."""

    is_outcome: bool
    code: str | None = None
    issue: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Minted:
    """The ids and the reference that we give to a new workflow."""

    focus_id: str
    encounter_id: str
    reference: str  # the case number that people see
    reference_system: str  # whose numbers these are


def acknowledge(
    message: Message, minted: Minted, new_id: Callable[[], str], now: datetime
) -> Resource:
    """
    Return the 200 Bundle for a new request; a booking gets no Encounter.

    What a referral calls its resources is forgotten (R06); a booking names slots of ours.
    """
    focus_url = message.focus_url
    is_booking = message.focus_type == "Appointment"
    entries: list[Json] = [
        _mirrored(
            entry if is_booking else _nameless(entry),
            minted.focus_id if entry.full_url == focus_url else None,
            new_id,
            now,
        )
        for entry in message.entries
    ]
    if not is_booking:
        entries.append(_planned_encounter(message, minted, now))
    return {**message.root, "entry": entries}


def _nameless(entry: Entry) -> Entry:
    resource = {name: value for name, value in entry.resource.items() if name != "id"}
    return replace(entry, resource=resource) if entry.type != "MessageHeader" else entry


def acknowledge_change(message: Message, new_id: Callable[[], str], now: datetime) -> Resource:
    """Return the 200 Bundle for an update or a cancellation: what it names keeps its ids."""
    entries: list[Json] = [_mirrored(entry, None, new_id, now) for entry in message.entries]
    return {**message.root, "entry": entries}


def acknowledge_response(message: Message, written: bytes, written_in: Format) -> bytes:
    """Return the 200 Bundle for a response: itself, without what is no id (D-ignored-ids)."""
    pairs = list(zip(maps_of(message.root, "entry"), message.entries, strict=True))
    if all(each["resource"] is entry.resource for each, entry in pairs):
        return written
    entries: list[Json] = [{**each, "resource": entry.resource} for each, entry in pairs]
    return to_bytes({**message.root, "entry": entries}, written_in)


def _mirrored(
    entry: Entry, focus_id: str | None, new_id: Callable[[], str], now: datetime
) -> dict[str, Json]:
    resource = entry.resource
    if focus_id is not None:
        resource = _with_id(resource, focus_id)
        if entry.type == "Appointment":  # when it was made is the Receiver's to say
            resource = {**resource, "created": now.isoformat(timespec="milliseconds")}
    elif "id" not in resource and entry.type != "MessageHeader":
        resource = _with_id(resource, new_id())
    return {"fullUrl": entry.full_url, "resource": resource}


def with_id(resource: Resource, minted: str) -> bytes:
    """Return the resource with that id, as JSON."""
    return to_bytes(_with_id(resource, minted), Format.JSON)


def no_matches(new_id: Callable[[], str]) -> bytes:
    """Return the searchset for a search that found nothing, which says so (CS-173)."""
    issue = {"severity": "information", "code": "not-found", "diagnostics": "Nothing was found."}
    outcome = {"resourceType": "OperationOutcome", "meta": {"profile": [PROFILE]}, "issue": [issue]}
    entry = {
        "fullUrl": f"urn:uuid:{new_id()}",
        "resource": outcome,
        "search": {"mode": "outcome"},
    }
    return orjson.dumps(
        {"resourceType": "Bundle", "type": "searchset", "total": 0, "entry": [entry]}
    )


def removed() -> bytes:
    """Return the OperationOutcome for a resource that was taken away."""
    return _outcome([_issue("information", "informational", 200, "OK", "It was removed.", "")])


def _with_id(resource: Resource, minted: str) -> dict[str, Json]:
    rest = {name: value for name, value in resource.items() if name not in {"resourceType", "id"}}
    return {"resourceType": resource["resourceType"], "id": minted, **rest}


def _planned_encounter(message: Message, minted: Minted, now: datetime) -> dict[str, Json]:
    theirs = next((e.resource for e in message.entries if e.type == "Encounter"), {})
    kept = {name: theirs[name] for name in ("class", "subject", "episodeOfCare") if name in theirs}
    resource: dict[str, Json] = {
        "resourceType": "Encounter",
        "id": minted.encounter_id,
        "meta": {
            "lastUpdated": now.isoformat(timespec="milliseconds"),
            "profile": ["https://fhir.hl7.org.uk/StructureDefinition/UKCore-Encounter"],
        },
        "identifier": [{"system": minted.reference_system, "value": minted.reference}],
        "status": "planned",
        **kept,
    }
    return {"fullUrl": f"urn:uuid:{minted.encounter_id}", "resource": resource}


def focus_id_of(body: bytes, media_type: str) -> str | None:
    """Return the id that an acknowledgement gives to the focus of its message, or None."""
    try:
        return read(body, media_type).focus_id
    except MalformedBundle:
        return None


def outcome(issues: Sequence[Issue]) -> bytes:
    """Return an OperationOutcome, as JSON, that names every one of *issues*."""
    return _outcome(
        _issue(i.severity, i.issue, i.http_status, i.code, _diagnostics(i), i.path) for i in issues
    )


def _diagnostics(issue: Issue) -> str:
    line = f" (line {issue.line})" if issue.line else ""
    return f"{issue.rule} {issue.path}: {issue.text}{line}"


def problem_outcome(problem: Problem) -> bytes:
    """Return an OperationOutcome, as JSON, for *problem*."""
    return _outcome(
        [_issue("error", problem.issue, problem.http_status, problem.code, problem.text, "")]
    )


def _outcome(issues: Iterator[dict[str, object]] | list[dict[str, object]]) -> bytes:
    return orjson.dumps(
        {
            "resourceType": "OperationOutcome",
            "meta": {"profile": [PROFILE]},
            "issue": list(issues),
        }
    )


def _issue(  # noqa: PLR0917
    severity: str, issue: str, status: int, code: str, text: str, path: str
) -> dict[str, object]:
    known = path.partition(".?")[0]  # what R4 has no name for, no FHIRPath can name
    expression = {"expression": [known]} if known.startswith("Bundle") else {}
    return {
        "severity": severity,
        "code": issue,
        "details": {
            "coding": [{"system": ERROR_CODES, "code": code, "display": f"{status} - {code}"}]
        },
        "diagnostics": text,
        **expression,
    }


def read_outcome(body: bytes) -> Outcome:
    """
    Return what an error body says: an OperationOutcome's first codes, or a platform's fault.

    Never raises: error bodies come from anywhere, in either format, with issue codes that
    FHIR does not know and in either spelling of the code system.
    """
    # Platforms say application/json of whatever they pass on, and pad it: the bytes decide.
    said = body.removeprefix(codecs.BOM_UTF8).strip()
    try:
        found = to_tree(said, Format.XML) if said.startswith(b"<") else json.loads(said)
    except (ValueError, RecursionError):
        return Outcome(is_outcome=False)
    if text_of(found, "resourceType") == "OperationOutcome":
        first: Mapping[str, Json] = next(iter(maps_of(found, "issue")), {})
        coding = next(iter(maps_of(map_of(first, "details"), "coding")), {})
        return Outcome(
            is_outcome=bool(first),
            code=_token(text_of(coding, "code").upper()),
            issue=_token(text_of(first, "code")),
        )
    detail = map_of(map_of(found, "fault"), "detail")
    return Outcome(is_outcome=False, code=_token(text_of(detail, "errorcode")))


_LONGEST_CODE = 80


def _token(text: str) -> str | None:
    """Return a code that can be stored, logged and shown: a word, and nobody's prose."""
    plain = text.isascii() and text.isprintable() and not set(text) & set(" <>\"'")
    return text if text and plain and len(text) <= _LONGEST_CODE else None
