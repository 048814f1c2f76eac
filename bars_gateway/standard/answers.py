"""
What we answer, the words in which an EPR says no, and how to read what others answer.

    Message ──acknowledge──► the 200 Bundle: theirs, with the ids that we minted
    Issues  ──outcome──────► OperationOutcome
    nothing ──no_matches───► a searchset without matches
    bytes   ──read_outcome─► Outcome(code, issue), whatever the bytes are
            └──own_words───► OwnWords, which may name a patient: for whoever may have that shown
    our Bundle + the body of a 2xx ──read_acknowledgement──► Acknowledgement(said, focus_id)
    whatever was answered ──tells_error──► whether an error stands anywhere in it

The acknowledgement mirrors the request (Core, section 4): the same Bundle.id and
fullUrls, the MessageHeader untouched, an id of ours for each resource, and a
`planned` Encounter with a case number that a person can read out on the telephone.
Numbers and instants go back as they came (D-lossless).

The words in which an EPR says no are a table (`REFUSALS`), so that an EPR needs no knowledge of
HTTP statuses and codes, and cannot give a Sender one that means something else: 409 with
`duplicate` would tell it that the message was taken, and 403 and 503 lose their bodies on the way
(D-lost-statuses).

The body of a 2xx speaks of our message, of another, or of nobody. Core does not describe it, and
Receivers fill it as they like: with our Bundle and their ids, with ids of their own alone, with
nothing. So the body decides what is *taken* from it, and only a contradiction decides what is
*believed*: whoever answers with another patient, case or event has mixed up two requests, and an
id from there would cancel somebody else's referral. Nor is an error a yes, whatever its status and
wherever in the body it stands.

Decisions: D-foreign-answer.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from itertools import chain, islice
from typing import Protocol

import orjson

from bars_gateway.frozen import frozen
from bars_gateway.standard.bundle import (
    Entry,
    Message,
    map_of,
    maps_of,
    objects_in,
    read,
    said_by,
    text_of,
)
from bars_gateway.standard.consistency import case_numbers_of
from bars_gateway.standard.formats import Format, answered, in_utf8, to_bytes, to_tree
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.patients import (
    NOBODY,
    Sameness,
    compare,
    compare_with,
    numbered_in,
    patient_of,
    sameness_among,
)
from bars_gateway.standard.tree import Json, MalformedBundle, Number, Resource

ERROR_CODES = "https://fhir.nhs.uk/Codesystem/http-error-codes"  # spelt so wherever it is used
PROFILE = "https://fhir.hl7.org.uk/StructureDefinition/UKCore-OperationOutcome"
_LONGEST_CODE = 80
_ERRORS = frozenset({"error", "fatal"})
# What an issue that is no error says of itself: as its severity or, where it has none, as its code.
_HINTS = frozenset({"information", "informational", "success", "warning"})
_FAILED = frozenset({"transient-error", "fatal-error"})  # MessageHeader.response.code
_REFUSED = frozenset("45")  # how the status of a refused Bundle.entry begins
_MOST_ECHOED = 16
NOTHING: Resource = {}


@frozen(kw_only=True)
class Problem:
    """A refusal that no rule of the message decided: the transport's, or our own trouble."""

    http_status: int
    code: str  # REC_TIMEOUT, …
    issue: str  # FHIR IssueType
    text: str


@frozen(kw_only=True)
class Outcome:
    """What somebody's error body says, as far as it can be read."""

    is_outcome: bool
    code: str | None = None
    issue: str | None = None


@frozen(kw_only=True)
class OwnWords:
    """One issue of an OperationOutcome as it was written: it may hold anything about anybody."""

    severity: str
    issue: str  # FHIR IssueType, or what stands in its place
    code: str
    says: Sequence[str]  # its texts, in order: display, text, diagnostics


@frozen(kw_only=True)
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
    focus = message.resolve(message.focus_url)
    is_booking = message.focus_type == "Appointment"
    entries: list[Json] = [
        _mirrored(
            entry,
            minted.focus_id if entry is focus else None,
            new_id,
            now,
            nameless=not is_booking,
        )
        for entry in message.entries
    ]
    if not is_booking:
        entries.append(_planned_encounter(message, minted, now))
    return {**message.root, "entry": entries}


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
    entry: Entry,
    focus_id: str | None,
    new_id: Callable[[], str],
    now: datetime,
    *,
    nameless: bool = False,
) -> dict[str, Json]:
    """Return an entry as it was read; *nameless*: what its resource was called is forgotten."""
    resource = entry.resource
    if focus_id is not None:
        resource = _with_id(resource, focus_id)
        if entry.type == "Appointment":  # when it was made is the Receiver's to say
            resource = {**resource, "created": now.isoformat(timespec="milliseconds")}
    elif (nameless or "id" not in resource) and entry.type != "MessageHeader":
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
    told = Problem(http_status=200, code="OK", issue="informational", text="It was removed.")
    return _outcome([_issue(told, "information")])


def _with_id(resource: Resource, minted: str) -> dict[str, Json]:
    named = {"resourceType": resource["resourceType"], "id": minted, **resource}
    named["id"] = minted
    return named


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
    return _outcome([_issue(_problem_with(each), each.severity, each.path) for each in issues])


def _problem_with(issue: Issue) -> Problem:
    line = f" (line {issue.line})" if issue.line else ""
    text = f"{issue.rule} {issue.path}: {issue.text}{line}"
    return Problem(http_status=issue.http_status, code=issue.code, issue=issue.issue, text=text)


def problem_outcome(problem: Problem) -> bytes:
    """Return an OperationOutcome, as JSON, for *problem*."""
    return _outcome([_issue(problem)])


def _outcome(issues: Sequence[Mapping[str, object]]) -> bytes:
    return orjson.dumps(
        {
            "resourceType": "OperationOutcome",
            "meta": {"profile": [PROFILE]},
            "issue": issues,
        }
    )


def _issue(problem: Problem, severity: str = "error", path: str = "") -> dict[str, object]:
    known = path.partition(".?")[0]  # what R4 has no name for, no FHIRPath can name
    expression = {"expression": [known]} if known.startswith("Bundle") else {}
    return {
        "severity": severity,
        "code": problem.issue,
        "details": {
            "coding": [
                {
                    "system": ERROR_CODES,
                    "code": problem.code,
                    "display": f"{problem.http_status} - {problem.code}",
                }
            ]
        },
        "diagnostics": problem.text,
        **expression,
    }


def read_outcome(body: bytes) -> Outcome:
    """
    Return what an error body says: an OperationOutcome's first error, or a platform's fault.

    Never raises: error bodies come from anywhere, in either format, with issue codes that
    FHIR does not know and in either spelling of the code system.
    """
    found = _readable(body)
    if found is None:
        return Outcome(is_outcome=False)
    if text_of(found, "resourceType") == "OperationOutcome":
        issues = maps_of(found, "issue")  # some begin with a warning
        errors = (each for each in issues if text_of(each, "severity").lower() in _ERRORS)
        first: Mapping[str, Json] = next(chain(errors, issues), {})
        codings = maps_of(map_of(first, "details"), "coding")
        of_bars = (
            each for each in codings if text_of(each, "system").lower() == ERROR_CODES.lower()
        )
        coding = next(chain(of_bars, codings), {})  # some begin with one of their own
        return Outcome(
            is_outcome=bool(first),
            code=_token(text_of(coding, "code").upper()),
            issue=_token(text_of(first, "code").lower()),
        )
    detail = map_of(map_of(found, "fault"), "detail")
    return Outcome(is_outcome=False, code=_token(text_of(detail, "errorcode")))


def own_words(body: bytes) -> Sequence[OwnWords]:
    """Return the issues of an OperationOutcome as they were written; none where it is none."""
    found = _readable(body)
    if found is None or text_of(found, "resourceType") != "OperationOutcome":
        return ()
    return [_own_words(issue) for issue in maps_of(found, "issue")]


def _own_words(issue: Mapping[str, Json]) -> OwnWords:
    details = map_of(issue, "details")
    coding = next(iter(maps_of(details, "coding")), {})
    texts = (
        text_of(coding, "display"),
        text_of(details, "text"),
        text_of(issue, "diagnostics"),
    )
    return OwnWords(
        severity=text_of(issue, "severity"),
        issue=text_of(issue, "code"),
        code=text_of(coding, "code"),
        says=[text for text in dict.fromkeys(texts) if text],
    )


def _readable(body: bytes) -> Mapping[str, Json] | None:
    """Return what an error body holds, in either format; None: nothing that can be read."""
    # Platforms say application/json of whatever they pass on, and pad it: the bytes decide.
    said = in_utf8(body)
    try:
        found = to_tree(said, Format.XML) if said.startswith(b"<") else json.loads(said)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, Mapping) else {}


def tells_error(tree: Resource, echoed: Resource = NOTHING) -> bool:
    """
    Tell whether anything within *tree* says that something went wrong, wherever that stands.

    Makes wrap it differently: in a Bundle within a Bundle, in Parameters, in a record, or in what
    they say of each entry. *echoed*: a message that comes back in it, and may say so itself.
    """
    return _tells_error(tree, lambda: echoed)


def _tells_error(tree: Resource, echoed: Callable[[], Resource]) -> bool:
    errors = _errors(tree)
    first = next(errors, None)
    if first is None:
        return False
    known = list(islice(_errors(echoed()), _MOST_ECHOED))
    return any(each not in known for each in chain((first,), errors))


def _errors(tree: Resource) -> Iterator[Resource]:
    """Yield each issue, and each response to a message or to an entry, that is an error."""
    for node in objects_in(tree):
        if "issue" in node:  # most have neither
            yield from _issues_of_errors(node)
        if "response" in node and _is_of_an_error(response := map_of(node, "response")):
            yield response


def _issues_of_errors(node: Resource) -> Iterator[Resource]:
    is_outcome = text_of(node, "resourceType") == "OperationOutcome"
    for issue in filter(None, (*maps_of(node, "issue"), map_of(node, "issue"))):
        said = (text_of(issue, "severity") or text_of(issue, "code")).strip().lower()
        if said in _ERRORS or (is_outcome and said not in _HINTS):
            yield issue


def _is_of_an_error(response: Resource) -> bool:
    written = response.get("status")
    status = written.text if isinstance(written, Number) else text_of(response, "status")
    return text_of(response, "code").lower() in _FAILED or status.strip()[:1] in _REFUSED


def _token(text: str) -> str | None:
    """Return a code that can be stored, logged and shown: a word, and nobody's prose."""
    plain = text.isascii() and text.isprintable() and not set(text) & set(" <>\"'")
    return text if text and plain and len(text) <= _LONGEST_CODE else None


def _problem(http_status: int, code: str, issue: str, text: str) -> Problem:
    return Problem(http_status=http_status, code=code, issue=issue, text=text)


REFUSALS: Mapping[str, Problem] = {
    "slot-taken": _problem(409, "REC_CONFLICT", "conflict", "The slot is no longer free."),
    "exists": _problem(409, "REC_CONFLICT", "conflict", "The patient has one already."),
    "not-current": _problem(
        409, "REC_CONFLICT", "conflict", "It is no longer current and cannot be changed."
    ),
    "changed-here": _problem(
        409, "REC_CONFLICT", "conflict", "It was changed at the Receiver since: read it first."
    ),
    "not-found": _problem(404, "REC_NOT_FOUND", "not-found", "The Receiver has no such resource."),
    "invalid": _problem(
        400, "REC_BAD_REQUEST", "invariant", "The content does not go together at the Receiver."
    ),
    "differs": _problem(
        422,
        "REC_UNPROCESSABLE_ENTITY",
        "processing",
        "A cancellation may change nothing but the status and its reason.",
    ),
    "too-costly": _problem(
        422, "REC_UNPROCESSABLE_ENTITY", "too-costly", "Too much was asked for: narrow it down."
    ),
    "not-supported": _problem(
        422, "REC_UNPROCESSABLE_ENTITY", "not-supported", "The service does not take this."
    ),
    "not-allowed": _problem(
        401, "REC_UNAUTHORIZED", "forbidden", "The Receiver does not let this Sender do this."
    ),
    # What ends a question that nobody could answer: it was looked into, and nothing was done.
    "not-done": _problem(
        422, "REC_UNPROCESSABLE_ENTITY", "processing", "It was not done. Send a new message."
    ),
}


class AnswerSubject(StrEnum):
    """Of whom the body of a 2xx speaks."""

    NOTHING = "nothing"  # of nobody: there is none, or it is no Bundle, or one without a message
    OURS = "ours"  # it has our focus, or our Bundle.id
    OTHER = "other"  # it does not say that it is about our message, nor anything against it
    FOREIGN = "foreign"  # it names another patient, case number or event than ours
    ERROR = "error"  # of ours, as far as it shows: that something went wrong


MEANINGS: Mapping[AnswerSubject, str] = {
    AnswerSubject.NOTHING: "no message",
    AnswerSubject.OURS: "our focus or our Bundle.id",
    AnswerSubject.OTHER: "another Bundle, which contradicts nothing",
    AnswerSubject.FOREIGN: "another NHS number, case number or event than ours",
    AnswerSubject.ERROR: "an error: an OperationOutcome or a response that says so, anywhere in it",
}


@frozen(kw_only=True)
class Acknowledgement:
    """What is to be believed of the body of a 2xx, and what may be taken from it."""

    said: AnswerSubject
    focus_id: str | None = None  # what the Receiver calls the record; of ours alone


NO_BODY = Acknowledgement(said=AnswerSubject.NOTHING)


class _SentMessage(Protocol):
    """What an answer is compared with, as far as it asks for that."""

    @property
    def message(self) -> Message: ...
    @property
    def names(self) -> tuple[str, str]: ...


class _ReadBefore:
    """A message that was read before."""

    def __init__(self, message: Message) -> None:
        self.message, self.names = message, (message.bundle_id, message.focus_url)


def read_acknowledgement(ours: _SentMessage, body: bytes) -> Acknowledgement:
    """
    Return what *body* says as an answer to *ours*; it raises nothing, wherever it came from.

    *ours*, an `OurMessage`, is read only where the answer holds something to be compared with it.
    """
    tree = _tree(body)
    if tree is not None:
        return _judged(ours, tree)
    # An outcome of which nobody can tell whether anything went wrong is no yes: cut off, in UTF-16.
    names_one = b"OperationOutcome" in body.replace(b"\0", b"")
    return Acknowledgement(said=AnswerSubject.ERROR) if names_one else NO_BODY


def bundle_about(ours: Message, body: bytes) -> Resource:
    """
    Return the Bundle in *body* where it speaks of *ours*, or else an empty one.

    Whatever is made of an answer later rests on this: bytes that are none, whatever their header
    says, and what is about another message, are as no answer at all.
    """
    tree = _tree(body)
    return tree if tree is not None and judged(ours, tree).said is AnswerSubject.OURS else {}


def judged(ours: Message, tree: Resource) -> Acknowledgement:
    """Return what *tree* says as an answer to *ours*, whoever of the two sides has written it."""
    return _judged(_ReadBefore(ours), tree)


def _judged(ours: _SentMessage, tree: Resource) -> Acknowledgement:
    found = as_message(tree)
    if _names_another(ours, tree) or (found is not None and _contradicts(ours, found)):
        return Acknowledgement(said=AnswerSubject.FOREIGN)
    if _tells_error(tree, lambda: ours.message.root):
        return Acknowledgement(said=AnswerSubject.ERROR)
    if found is None or found.root is not tree or _is_without_message(found):
        return NO_BODY
    return _taken(ours, found)


def _tree(body: bytes) -> Resource | None:
    """Return what *body* holds, whichever of the two formats its header gives it out for."""
    try:
        return answered(body)
    except MalformedBundle:
        return None


def is_about_another(sent: Message, tree: Resource) -> bool:
    """
    Tell whether *tree*, our own EPR's answer to *sent*, is about another patient, case or event.

    Name and birth date count here as well, where a number is missing (D-same-patient): our EPR can
    be told so at once, while a Receiver that spells a name otherwise has the message all the same.
    """
    found = as_message(tree)
    if found is not None:
        whose = sameness_among(patient_of(found), [patient_of(sent)])
        if whose is Sameness.OTHER_PATIENT:
            return True
    return judged(sent, tree).said is AnswerSubject.FOREIGN


def as_message(tree: Resource) -> Message | None:
    """Return a Bundle, or a record as if it came in one; None where neither can be read."""
    alone: Resource = {"resourceType": "Bundle", "entry": [{"resource": tree}]}
    try:
        return said_by(tree if text_of(tree, "resourceType") == "Bundle" else alone)
    except MalformedBundle:
        return None


def _is_without_message(found: Message) -> bool:
    return all(entry.type == "OperationOutcome" for entry in found.entries)


def _taken(ours: _SentMessage, found: Message) -> Acknowledgement:
    """Return what may be taken of an answer that contradicts nothing."""
    theirs = patient_of(found)
    if theirs != NOBODY and compare(patient_of(ours.message), theirs) is Sameness.OTHER_PATIENT:
        # By the name alone, which may be spelt otherwise.
        return Acknowledgement(said=AnswerSubject.OTHER)
    bundle_id, focus_url = ours.names
    entry = found.resolve(focus_url)
    if entry is not None:
        return Acknowledgement(
            said=AnswerSubject.OURS, focus_id=text_of(entry.resource, "id") or None
        )
    if bundle_id and found.bundle_id == bundle_id:
        return Acknowledgement(said=AnswerSubject.OURS, focus_id=found.focus_id)
    return Acknowledgement(said=AnswerSubject.OTHER)


def _contradicts(ours: _SentMessage, found: Message) -> bool:
    if found.event and ours.message.event and ours.message.event != found.event:
        return True
    return _is_other_case(ours, found)


def _names_another(ours: _SentMessage, tree: Resource) -> bool:
    """Tell whether any number in it is of nobody whom ours names, in a Patient or in a record."""
    theirs = numbered_in(tree)
    if not theirs:
        return False  # as nearly always, and then whose ours is need not be found out
    here = patient_of(ours.message).everybody
    return any(each.nhs_numbers for each in here) and any(
        compare_with(each, here) is Sameness.OTHER_PATIENT for each in theirs
    )


def _is_other_case(ours: _SentMessage, found: Message) -> bool:
    """
    Tell whether what comes back as our Encounter has another case number.

    A Receiver adds a `planned` Encounter with a number of its own: that contradicts nothing.
    """
    is_numbered = any(
        text_of(each, "value")
        for _, encounter in found.all("Encounter")
        if text_of(encounter, "status") != "planned"
        for each in maps_of(encounter, "identifier")
    )
    if not is_numbered:
        return False
    here = case_numbers_of(ours.message)
    return bool(here) and here.isdisjoint(case_numbers_of(found))
