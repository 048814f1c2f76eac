"""
What is asked beside messages, what comes back, and what that proves.

    BarsRequest(method, path, query, headers) ──outbound──► BarsAnswer │ Unanswered

Reads, and the preview operations (D-preview), go through the proxy as they were asked: the
answer is handed on with its status and its bytes, whoever in between it came from.

An answer proves only what says itself that it is what was asked for.

    BarsRequest + BarsAnswer ──shown──► the resource or the searchset, or None: it proves nothing

Connections get mixed up, caches lie, and a Receiver may look up the wrong record. A booking that
stands would not be cancelled because another one is over. So an answer is believed if it came with
200, names both ids of the request that it answers, and is of the type, and under the id, that was
asked for. A searchset holds nothing, or at least one of what was searched for: what else came along
is none of our business. One that holds an error, a page of several, less than it counts, or what
nobody can read, does not say what there is (`shortcomings`), whoever gave it. Definitions are of
the service that was asked, and records of the patient, as far as they say whose they are. What does
not prove itself is handed on to whoever asked, and decides nothing.

What others ask of us is a query, parsed, or everything that is wrong with it:

    query ──slots────► SlotSearch         GET /Slot                               (K09)
          ──patient──► PatientSearch      GET /Appointment, GET /ServiceRequest   (X02)
    id    ──known_id─► the id             GET /Appointment/{id}, …                (X01)

A service that is not here is 404, whatever else is wrong: nobody here can answer the search. A
required parameter that is missing is answered with `required`, one that cannot be read with
`value`, a range that is too wide with 422 `too-costly`, as the guide's tables have it. All problems
are said at once. A text never holds what was sent: an NHS number may stand in any parameter.

Parameters that the guide does not have are no error: they reach the EPR in the query as it came.
Lenient where published tests and samples are: `end=le…`, an offset of `+00`, a plus sign that was
not encoded, `patient.identifier`, an NHS number without its system. The tests' third `_include`
(Practitioner) is optional in the guide, so that a Sender without it is served.

Decisions: D-reads-prove.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Protocol
from urllib.parse import parse_qs, parse_qsl, unquote_plus

from bars_gateway.frozen import frozen
from bars_gateway.standard.answers import tells_error
from bars_gateway.standard.bundle import (
    MalformedBundle,
    Number,
    Resource,
    map_of,
    maps_of,
    said_by,
    text_of,
)
from bars_gateway.standard.formats import Format, answered, format_of
from bars_gateway.standard.headers import CORRELATION_ID, REQUEST_ID, TargetIdentifier, is_uuid
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.patients import (
    NHS_NUMBER_SYSTEM,
    Patient,
    Sameness,
    is_nhs_system,
    numbered,
    sameness_of,
)
from bars_gateway.standard.publications import of_service
from bars_gateway.standard.r4 import members
from bars_gateway.standard.tree import Json

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
MOST_PARAMETERS = 100
_NOT_FOUND = 404
STATUSES = frozenset({"free", "busy"})
INCLUDES = ("Slot:schedule", "Schedule:actor:HealthcareService")  # at least; CS-163
# The parameters of the guide, and other spellings that are in use.
_SPELLINGS: Mapping[str, str] = {
    "Schedule:actor:HealthcareService": "Schedule.actor:HealthcareService",
    "patient.identifier": "patient:identifier",
    "patient.name": "patient:name",
    "patient.birthdate": "patient:birthdate",
    "patient.address-postalcode": "patient:address-postalcode",
}
_SERVICE = "Schedule.actor:HealthcareService"
_IDENTIFIER = "patient:identifier"
_NAME, _BIRTHDATE, _POSTCODE = "patient:name", "patient:birthdate", "patient:address-postalcode"
_LOWER, _UPPER = frozenset({"ge", "gt"}), frozenset({"le", "lt"})
_DATE_TIME = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d)(:\d\d)?(?:\.\d+)?(Z|[+-]\d\d)(?::?(\d\d))?", re.ASCII
)
# What an answer holds in place of what was asked for, and what it should have said.
AN_ERROR = (
    'holds an error: say {"refuse": one word} instead, such as not-allowed, not-supported,'
    " too-costly or, where it failed here, not-done"
)
_TOO_MANY = 'say {"refuse": "too-costly"}'
_GIVE_IT = "give what was searched for (search.mode match), or no entry if there is none"
_COUNT = re.compile(r"[0-9]{1,10}")
Values = Mapping[str, Sequence[str]]


@frozen(kw_only=True)
class BarsRequest:
    """One request to the proxy that is not a message."""

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


@frozen(kw_only=True)
class BarsAnswer:
    """What came back, as it came."""

    http_status: int
    media_type: str
    body: bytes
    headers: Mapping[str, str]
    kept_since: datetime | None = None  # None: it is new


@frozen(kw_only=True)
class Unanswered:
    """Nothing came back: a value, because a read may simply be asked again."""

    reason: str
    cure: str
    http_status: int  # how the gateway says it: 502, 503 or 504


class Reads(Protocol):
    """Whoever asks the proxy."""

    async def ask(
        self, request: BarsRequest, seconds: float | None = None, *, fresh: bool = False
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


def shown(request: BarsRequest, answer: BarsAnswer) -> Resource | None:
    """Return what was asked for, or None where *answer* does not prove that it is that."""
    # What was kept was proved when it came.
    if answer.http_status != _OK or not (answer.kept_since or echoed(request, answer)):
        return None
    try:
        found = answered(answer.body)
    except MalformedBundle:
        return None
    return found if _is_asked_for(request, found) else None


def proves_itself(request: BarsRequest, answer: BarsAnswer) -> bool:
    """Tell whether *answer* is one to *request*: a read that went well, by what it shows too."""
    if request.method != "GET" or not _OK <= answer.http_status < _OTHERWISE:
        return echoed(request, answer)
    found = shown(request, answer)
    if found is None or request.resource_id is not None:
        return found is not None
    number = number_asked_for(request.query)
    return not number or not of_another(numbered(number), found, request.resource)


def echoed(request: BarsRequest, answer: BarsAnswer) -> bool:
    """Tell whether both ids of the request came back, in whatever case."""
    return all(
        _plain(answer.headers, name) == _plain(request.headers, name) != ""
        for name in (REQUEST_ID, CORRELATION_ID)
    )


def _plain(headers: Mapping[str, str], name: str) -> str:
    return headers.get(name, "").strip().lower()


def _is_asked_for(request: BarsRequest, found: Resource) -> bool:
    if tells_error(found):
        return False
    kind = text_of(found, "resourceType")
    if request.resource_id is not None:
        same_id = text_of(found, "id").lower() == request.resource_id.lower()
        return kind == request.resource and same_id
    if request.resource == "metadata":
        return kind == "CapabilityStatement"
    if (kind, text_of(found, "type")) != ("Bundle", "searchset"):
        return False
    if request.resource == "MessageDefinition":
        # Whoever takes nothing at all would not be in BaRS: an empty list is no answer to that.
        return bool(of_service(found, _services(request)))
    return not shortcomings(found, request.resource)


def _services(request: BarsRequest) -> list[str]:
    """Return whose definitions are asked for: its `context` may name another than the target."""
    target = request.target
    named = parse_qs(request.query).get("context", [])
    if target is None:
        return named
    whole = [each if "|" in each else f"{target.system}|{each}" for each in named]
    return [*whole, target.text]


def shortcomings(searchset: Resource, kind: str) -> list[Issue]:
    """
    Return by what a searchset does not tell what there is of *kind*; nothing: it does.

    It holds nothing, which is an answer, or at least one of *kind* that was found. The guide's own
    do not say of an entry how it came to be there, and count what came along, or do not.
    """
    entries = maps_of(searchset, "entry")
    issues = list(_unreadable(searchset))
    if tells_error(searchset):
        issues.append(_of_list("entry", AN_ERROR))
    if any(text_of(each, "relation") == "next" for each in maps_of(searchset, "link")):
        text = "names a further page, and nobody can ask for it: give all at once, or " + _TOO_MANY
        issues.append(_of_list("link", text))
    records = [entry for entry in entries if _type_in(entry) not in {"", "OperationOutcome"}]
    found = [each for each in records if text_of(map_of(each, "search"), "mode") in {"", "match"}]
    matches = sum(_type_in(each) == kind for each in found)
    if records and not matches:
        issues.append(_of_list("entry", f"holds no {kind} that matches: {_GIVE_IT}"))
    if "total" in searchset and not issues:
        issues += _miscounted(searchset["total"], matches, len(found))
    return issues


def _unreadable(searchset: Resource) -> Iterator[Issue]:
    """Yield by what nobody can read in a searchset what is in it; to a reader it may look empty."""
    known = members("Bundle").keys() | {"resourceType"}
    if any(name.removeprefix("_") not in known for name in searchset):
        yield _of_list("", "has a member that R4 does not know: what is in it would not be seen")
    for name in ("entry", "link"):
        given = searchset.get(name, [])
        if not isinstance(given, list) or len(maps_of(searchset, name)) != len(given):
            yield _of_list(name, "must be a list, and each in it an object")
    entries = maps_of(searchset, "entry")
    if not all(map(_type_in, entries)):
        yield _of_list("entry", "has one without a resource and its type: give the resource, too")
    ways = [each["search"] for each in entries if "search" in each]
    if not all(isinstance(each, dict) and isinstance(each.get("mode", ""), str) for each in ways):
        yield _of_list("entry", "does not say in words how one came to be in it (search.mode)")


def _type_in(entry: Resource) -> str:
    return text_of(map_of(entry, "resource"), "resourceType")


def _miscounted(total: Json, matches: int, entries: int) -> Iterator[Issue]:
    """Yield what is wrong with *total*, where so many match, or with what came along, are there."""
    count = _COUNT.fullmatch(total.text) if isinstance(total, Number) else None
    if count is None:
        yield _of_list("total", "must be a whole number, and not negative")
    elif int(count[0]) > entries:
        yield _of_list(
            "total", f"says that there are more than are here: give them all, or {_TOO_MANY}"
        )
    elif int(count[0]) < matches:
        yield _of_list(
            "total", "says that there are fewer than are here: count them, or leave it out"
        )


def _of_list(name: str, text: str) -> Issue:
    return Issue(rule="Q01", path=f"Bundle.{name}".rstrip("."), text=text, issue="value")


def of_another(asked: Patient, searchset: Resource, kind: str) -> bool:
    """Tell whether one of the records of *kind* names another patient than was *asked* for."""
    try:
        found = said_by(searchset)
    except MalformedBundle:
        return True  # nobody can tell whose they are
    sameness = (sameness_of(asked, each, found.entries) for _, each in found.all(kind))
    return Sameness.OTHER_PATIENT in sameness


class SearchProblem(ValueError):
    """The search cannot be answered; `issues` says why, without values."""

    def __init__(self, issues: Sequence[Issue]) -> None:
        super().__init__("; ".join(issue.text for issue in issues))
        self.issues = tuple(issues)


@frozen(kw_only=True)
class SlotSearch:
    """What `GET /Slot` asks for."""

    service: str  # the id of the service, without its system
    begins_from: datetime  # UTC
    begins_until: datetime
    statuses: Sequence[str]  # free, busy
    includes: Sequence[str]  # as they were asked for; the EPR may leave out what it has not


@frozen(kw_only=True)
class PatientSearch:
    """Whose Appointments or ServiceRequests are asked for: by number, or by the other three."""

    identifier_system: str | None
    identifier_value: str | None
    name: str | None
    birth_date: date | None
    postcode: str | None
    reference: str | None  # ServiceRequest.identifier, as it came


def parameters(query: str) -> Values:
    """Return the values of each parameter of a raw query, by the guide's spelling of its name."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
    except ValueError:
        text = f"a query has at most {MOST_PARAMETERS} parameters"
        raise SearchProblem([_problem("X02", "query", text, "value")]) from None
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(_SPELLINGS.get(name, name), []).append(value.strip())
    return found


def slots(query: str, *, services: Iterable[str], longest: timedelta) -> SlotSearch:
    """
    Return what a query for slots asks for, or raise SearchProblem with all that is wrong.

    *services* are the ids that may be asked for; a search may span *longest*.
    """
    values = parameters(query)
    issues: list[Issue] = []
    service = _service(values, frozenset(services), issues)
    elsewhere = [issue for issue in issues if issue.http_status == _NOT_FOUND]
    if elsewhere:
        raise SearchProblem(elsewhere)
    begins = _range(values, longest, issues)
    statuses = _statuses(values, issues)
    includes = [each for each in values.get("_include", ()) if each]
    issues += [
        _required("_include", f"_include={minimum} is missing")
        for minimum in INCLUDES
        if minimum not in includes
    ]
    if issues or begins is None:
        raise SearchProblem(issues)
    return SlotSearch(
        service=service,
        begins_from=begins[0],
        begins_until=begins[1],
        statuses=statuses,
        includes=includes,
    )


def _service(values: Values, known: frozenset[str], issues: list[Issue]) -> str:
    given = [each for each in values.get(_SERVICE, ()) if each]
    service = given[0].rpartition("|")[2] if given else ""
    if not given:
        issues.append(_required(_SERVICE, "the service is missing"))
    elif len(given) > 1:
        issues.append(_value(_SERVICE, "one service may be asked for"))
    elif service not in known and not (service.isascii() and service.isdigit()):
        issues.append(_value(_SERVICE, "this is not the id of a service"))
    elif service not in known:
        issues.append(_not_found("K09", _SERVICE, "no such service here"))
    return service


def _range(
    values: Values, longest: timedelta, issues: list[Issue]
) -> tuple[datetime, datetime] | None:
    given = [*values.get("start", ()), *_ends(values)]
    if len(given) != 2:  # noqa: PLR2004 - a lower and an upper bound
        issues.append(_required("start", "start is needed twice: ge… and le…"))
        return None
    bounds = {text[:2]: _date_time(text[2:]) for text in given}
    lower = next((bounds[prefix] for prefix in bounds if prefix in _LOWER), None)
    upper = next((bounds[prefix] for prefix in bounds if prefix in _UPPER), None)
    if lower is None or upper is None or lower > upper:
        text = "start is ge and le with a date, a time and an offset each, the earlier one first"
        issues.append(_value("start", text))
        return None
    if upper - lower > longest:
        issues.append(_too_wide(longest))
    return lower, upper


def _ends(values: Values) -> Sequence[str]:
    """Return the upper bound where it was written as an end, as the official tests do."""
    return values.get("end", ()) if len(values.get("start", ())) == 1 else ()


def _date_time(text: str) -> datetime | None:
    match = _DATE_TIME.fullmatch(text.replace(" ", "+"))  # a plus that was not encoded
    if match is None:
        return None
    minutes, seconds, zone, zone_minutes = match.groups()
    offset = zone if zone == "Z" else f"{zone}:{zone_minutes or '00'}"
    try:
        return datetime.fromisoformat(f"{minutes}{seconds or ':00'}{offset}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _statuses(values: Values, issues: list[Issue]) -> list[str]:
    given = [
        word.strip()
        for text in values.get("status", ())
        for word in text.split(",")
        if word.strip()
    ]
    if not given:
        issues.append(_required("status", "status is missing: free, busy or both"))
    elif not STATUSES.issuperset(given):
        issues.append(_value("status", "status is free, busy or both, with a comma between"))
    return given


def patient(query: str) -> PatientSearch:
    """Return whose resources a query asks for, or raise SearchProblem with all that is wrong."""
    values = parameters(query)
    issues: list[Issue] = []
    system, value = _identifier(values, issues)
    demographics = {name: _first(values, name) for name in (_NAME, _BIRTHDATE, _POSTCODE)}
    born = _birth_date(demographics[_BIRTHDATE], issues)
    if _IDENTIFIER not in values:
        issues += _wanting(demographics)
    if issues:
        raise SearchProblem(issues)
    return PatientSearch(
        identifier_system=system,
        identifier_value=value,
        name=demographics[_NAME],
        birth_date=born,
        postcode=demographics[_POSTCODE],
        reference=_first(values, "ServiceRequest.identifier"),
    )


def number_asked_for(query: str) -> str | None:
    """Return the NHS number that a query asks for; None: it asks by none, or by several."""
    try:
        system, number = _identifier(parameters(query), [])
    except SearchProblem:
        return None
    return number if system and is_nhs_system(system) else None


def _wanting(demographics: Mapping[str, str | None]) -> list[Issue]:
    """Return what is missing of a search without an identifier."""
    if not any(demographics.values()):
        text = f"{_IDENTIFIER} is missing; or ask by name, birth date and postcode"
        return [_required(_IDENTIFIER, text, rule="X02")]
    return [
        _required(name, "name, birth date and postcode go together", rule="X02")
        for name, value in demographics.items()
        if not value
    ]


def _identifier(values: Values, issues: list[Issue]) -> tuple[str | None, str | None]:
    given = values.get(_IDENTIFIER, ())
    if not given:
        return None, None
    system, bar, value = given[0].partition("|")
    if not bar:  # an NHS number is all that is written without its system
        system, bar, value = NHS_NUMBER_SYSTEM, "|", system
    system = NHS_NUMBER_SYSTEM if is_nhs_system(system) else system
    number = len(value) == 10 and value.isascii() and value.isdigit()  # noqa: PLR2004
    if len(given) > 1 or not (system and bar and value):
        text = "write it once, as system|value"
        issues.append(_value(_IDENTIFIER, text, rule="X02"))
    elif system == NHS_NUMBER_SYSTEM and not number:
        issues.append(_value(_IDENTIFIER, "an NHS number has ten digits", rule="X02"))
    return system, value


def _birth_date(text: str | None, issues: list[Issue]) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text.removeprefix("eq"))
    except ValueError:
        issues.append(_value(_BIRTHDATE, "write it as 1995-01-20", rule="X02"))
        return None


def _first(values: Values, name: str) -> str | None:
    return next((value for value in values.get(name, ()) if value), None)


def known_id(text: str) -> str:
    """Return the id of a path, or raise SearchProblem where it is none, or no UUID (CS-177)."""
    if not text.strip():
        raise SearchProblem([_required("id", "the path ends where its id should be", rule="X01")])
    if not is_uuid(text):
        raise SearchProblem([_value("id", "the id in the path is not a UUID", rule="X01")])
    return text.strip()


def _required(name: str, text: str, rule: str = "K09") -> Issue:
    return _problem(rule, name, text, "required")


def _value(name: str, text: str, rule: str = "K09") -> Issue:
    return _problem(rule, name, text, "value")


def _problem(rule: str, name: str, text: str, issue: str) -> Issue:
    return Issue(rule=rule, path=f"parameter {name}", text=text, issue=issue)


def _not_found(rule: str, name: str, text: str) -> Issue:
    return Issue(
        rule=rule,
        path=f"parameter {name}",
        text=text,
        http_status=_NOT_FOUND,
        code="REC_NOT_FOUND",
        issue="not-found",
    )


def _too_wide(longest: timedelta) -> Issue:
    return Issue(
        rule="K09",
        path="parameter start",
        text=f"a search may span {longest.days} days; ask for less",
        http_status=422,
        code="REC_UNPROCESSABLE_ENTITY",
        issue="too-costly",
    )
