"""
What a read asks for: the query of a GET, parsed, or everything that is wrong with it.

    query ──slots────► SlotSearch         GET /Slot                               (K09)
          ──patient──► PatientSearch      GET /Appointment, GET /ServiceRequest   (X02)
    id    ──known_id─► the id             GET /Appointment/{id}, …                (X01)

A service that is not here is 404, whatever else is wrong: nobody here can answer the search.
A required parameter that is missing is answered with `required`, one that cannot be
read with `value`, a range that is too wide with 422 `too-costly`, as the guide's tables
have it. All problems are said at once. A text never holds what was sent: an NHS number
may stand in any parameter.

Parameters that the guide does not have are no error: they reach the EPR in the query as
it came. Lenient where published tests and samples are: `end=le…`, an offset of `+00`, a
plus sign that was not encoded, `patient.identifier`, an NHS number without its system. The
tests' third `_include` (Practitioner) is optional in the guide, so that a Sender without it is
served.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from urllib.parse import parse_qsl

from bars_gateway.standard.headers import is_uuid
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.patients import NHS_NUMBER_SYSTEM, is_nhs_system

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

Values = Mapping[str, Sequence[str]]


class SearchProblem(ValueError):
    """The search cannot be answered; `issues` says why, without values."""

    def __init__(self, issues: Sequence[Issue]) -> None:
        super().__init__("; ".join(issue.text for issue in issues))
        self.issues = tuple(issues)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotSearch:
    """What `GET /Slot` asks for."""

    service: str  # the id of the service, without its system
    begins_from: datetime  # UTC
    begins_until: datetime
    statuses: Sequence[str]  # free, busy
    includes: Sequence[str]  # as they were asked for; the EPR may leave out what it has not


@dataclass(frozen=True, slots=True, kw_only=True)
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
