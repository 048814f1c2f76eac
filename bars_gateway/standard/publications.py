"""
What a service publishes of itself: what is said of ours, and what others' say of a message.

What a provider can do is its CapabilityStatement, at `/metadata`.

    Offer + About ──capability_statement──► CapabilityStatement, as a tree for JSON or XML

Every line of it comes from what is enforced: the messages are those of the Applications
that are switched on, the operations those that are answered. A date is not made up
either: it is when the settings took effect.

Decisions: D-metadata.

Which messages it takes, for which use cases and in which version: that is `/MessageDefinition`.

    context=… ──asked_for──► PublicationRequest │ Issue ──searchset──► Bundle │ Issue

What is published is what rule B22 counts (`definitions.py`), and the Applications and
versions are those of the Offer that B08 and R03R enforce. A definition is published
once for each version that is switched on, because Senders choose by it, and always as a
whole: a use case that was asked for chooses among them, and takes nothing out of them.
Use cases that were withdrawn (R03W) are named to those only who ask for them: the official
tests do.

A `context` may say the service, the use case, or both in one value that was encoded
twice, as the specification prints and the official tests send it.

Whether another service takes a message is judged by the definitions that it publishes.

    Message + searchset ──objection──► Issue: that kind, version or use case is not taken
                             └───────► None: it is, or they do not say

Only what the service itself publishes counts: a definition names the services that it is of in
`useContext` (CS-043), and one that names others alone says nothing of this one (`of_service`).

A definition is matched by its `url` and never by its id, for the guide's own share one
(CS-044). What a definition leaves open counts as taken: to refuse what a Receiver would
have taken does a patient more harm than to let it refuse by itself.

Versions are compared on the major number, as a Receiver does (B08): it ignores what a newer
minor version has added, and a Sender picks the closest that it can write (CS-045).
"""

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from urllib.parse import quote

from bars_gateway.frozen import frozen
from bars_gateway.standard.answers import Outcome
from bars_gateway.standard.applications import USE_CASE_NAMES, Offer, is_withdrawn
from bars_gateway.standard.bundle import USE_CASES, Message, map_of, maps_of, text_of
from bars_gateway.standard.definitions import (
    DEFINITIONS,
    ENDPOINT_SYSTEMS,
    EVENTS_SYSTEM,
    Definition,
    Focus,
    cited,
)
from bars_gateway.standard.headers import normalised
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.timing import application_of
from bars_gateway.standard.tree import Json, Number, Resource

PROCESS_MESSAGE = "http://hl7.org/fhir/OperationDefinition/MessageHeader-process-message"
_SECURITY = "http://terminology.hl7.org/CodeSystem/restful-security-service"
_SEARCH, _READ = "search-type", "read"
_PATIENT = (
    ("patient:identifier", "token"),
    ("patient:name", "string"),
    ("patient:birthdate", "date"),
    ("patient:address-postalcode", "string"),
)
_CONTEXT = "http://terminology.hl7.org/CodeSystem/usage-context-type"
_PARAMETER = "context"
_JOINT = "&context="
_OPEN = tuple(case for case in USE_CASE_NAMES if not is_withdrawn(case))
_VERSION = re.compile(r"[0-9A-Za-z.-]{1,20}", re.ASCII)  # it is others' text, and is shown
_OF_A_SERVICE = re.compile(r"service-id/?$", re.IGNORECASE)
_RESOURCES = frozenset(focus.type for each in DEFINITIONS.values() for focus in each.focuses)
_UNKNOWN, _TWICE = "PROXY_NOT_FOUND", "multiple-matches"


@frozen(kw_only=True)
class About:
    """What the statement says of the gateway itself."""

    url: str  # the base address that others reach it at
    publisher: str  # the organisation
    software: str
    software_version: str
    core_version: str
    since: datetime  # when these settings took effect
    asks: bool = True  # whether the EPR is asked: without it no bookings, and no reads


@frozen
class _Row:
    type: str
    interactions: tuple[str, ...]
    parameters: tuple[tuple[str, str], ...] = ()
    includes: tuple[str, ...] = ()
    bookings_only: bool = False
    asked: bool = False  # of the EPR


_ROWS = (
    _Row("CapabilityStatement", (_READ,)),
    _Row("MessageDefinition", (_SEARCH,), (("context", "token"),)),
    _Row("Appointment", (_READ, _SEARCH), _PATIENT, bookings_only=True, asked=True),
    _Row("ServiceRequest", (_READ, _SEARCH), _PATIENT, asked=True),
    _Row(
        "Slot",
        (_SEARCH,),
        (("start", "date"), ("status", "token"), ("Schedule.actor:HealthcareService", "token")),
        ("Slot:schedule", "Schedule:actor:HealthcareService"),
        bookings_only=True,
        asked=True,
    ),
)


def capability_statement(offer: Offer, about: About) -> Mapping[str, Json]:
    """Return the CapabilityStatement of a provider that offers *offer*."""
    used = offered(offer)
    bookings = any(each.event == "booking-request" for each in used)
    served = [row for row in _ROWS if about.asks or not row.asked]
    return {
        "resourceType": "CapabilityStatement",
        "url": about.url,
        "version": about.core_version,
        "name": "BarsGateway",
        "status": "active",
        "experimental": False,
        "date": about.since.isoformat(timespec="seconds"),
        "publisher": about.publisher,
        "kind": "instance",
        "software": {"name": about.software, "version": about.software_version},
        "implementation": {"description": about.publisher, "url": about.url},
        "fhirVersion": "4.0.1",
        "format": ["json", "xml"],
        "rest": [
            _rest("server", "Certificates", [r for r in served if bookings or not r.bookings_only]),
            _rest("client", "OAuth", [row for row in _ROWS if row.type == "ServiceRequest"]),
        ],
        "messaging": [_messaging(offer, used, about)],
    }


def offered(offer: Offer) -> list[Definition]:
    """Return the definitions of the messages that the Applications of *offer* know."""
    on = offer.applications.keys()
    return [each for each in DEFINITIONS.values() if not each.applications.isdisjoint(on)]


def _rest(mode: str, security: str, rows: Sequence[_Row]) -> dict[str, Json]:
    return {
        "mode": mode,
        "security": {"service": [{"coding": [{"system": _SECURITY, "code": security}]}]},
        "resource": [_resource(row) for row in rows],
        "operation": [{"name": "process-message", "definition": PROCESS_MESSAGE}],
    }


def _resource(row: _Row) -> dict[str, Json]:
    made: dict[str, Json] = {
        "type": row.type,
        "interaction": [{"code": code} for code in row.interactions],
        "versioning": "no-version",
    }
    if row.includes:
        made["searchInclude"] = list(row.includes)
    if row.parameters:
        made["searchParam"] = [{"name": name, "type": kind} for name, kind in row.parameters]
    return made


def _messaging(offer: Offer, used: Sequence[Definition], about: About) -> dict[str, Json]:
    protocol = {"system": "http://terminology.hl7.org/CodeSystem/message-transport", "code": "http"}
    made: dict[str, Json] = {"endpoint": [{"protocol": protocol, "address": about.url}]}
    if offer.booking_required:
        made["documentation"] = (
            "A new referral is taken only with its booking: make that first, and name it in"
            " ServiceRequest.supportingInfo as Appointment/id."
        )
    made["supportedMessage"] = [
        {"mode": mode, "definition": each.url}
        for each in used
        for mode in ("receiver", "sender")
        if mode == "sender" or about.asks or not _needs_epr(each)
    ]
    return made


def _needs_epr(definition: Definition) -> bool:
    """Tell whether only the EPR can say what becomes of such a message (D-who-answers)."""
    return definition.event == "booking-request" or definition.url.endswith("-cancelled")


@frozen
class PublicationRequest:
    """What is to be published: of one service, and of some use cases or of all."""

    service: str  # system|value, as the provider writes it
    use_cases: frozenset[str]  # empty: all


def asked_for(contexts: Sequence[str], offer: Offer) -> PublicationRequest | Issue:
    """
    Return what the values of `context` ask for, or what is wrong with them (CS-040 to CS-042).

    Without a service among them, the one of the provider is meant if it has only one.
    """
    written = [part.strip() for each in contexts for part in each.split(_JOINT) if part.strip()]
    if not written:
        return _wrong("is missing: name the service as system|value", issue="required")
    services: set[str] = set()
    use_cases: set[str] = set()
    for text in written:
        if (case := text.removeprefix(f"{USE_CASES}|").lower()) in USE_CASE_NAMES:
            use_cases.add(case)
        elif (service := _service(text, offer)) is not None:
            services.add(service)
        elif text.startswith(f"{USE_CASES}|"):
            return _nothing()
        else:
            return _wrong("must be a service or a use case, as system|value", issue="value")
    return _matching(services or set(offer.services), use_cases, offer)


def _service(text: str, offer: Offer) -> str | None:
    """Return the service that *text* names, in full or by its value alone."""
    system, bar, value = normalised(text).partition("|")
    if bar:
        return f"{system}|{value}" if value and system in ENDPOINT_SYSTEMS else None
    return next((each for each in offer.services if each.partition("|")[2] == text), None)


def _matching(services: set[str], use_cases: set[str], offer: Offer) -> PublicationRequest | Issue:
    held = services & offer.services
    offered = set(filter(offer.takes, use_cases))
    if len(services) != 1 or not held or (use_cases and not offered):
        return _nothing()
    return PublicationRequest(held.pop(), frozenset(offered))


def _nothing() -> Issue:
    return Issue(
        rule="X03",
        path=f"parameter {_PARAMETER}",
        text="matches no service, or no use case that the service is open for",
        http_status=404,
        code="REC_NOT_FOUND",
        issue="not-found",
    )


def _wrong(text: str, *, issue: str) -> Issue:
    return Issue(rule="X03", path=f"parameter {_PARAMETER}", text=text, issue=issue)


def searchset(
    asked: PublicationRequest, offer: Offer, url: str, since: datetime
) -> Mapping[str, Json]:
    """Return the Bundle of definitions; *since* is when the settings took effect."""
    made = list(_definitions(asked, offer, since))
    moment = since.isoformat(timespec="seconds")
    return {
        "resourceType": "Bundle",
        "id": _id(url, asked.service, *sorted(asked.use_cases)),
        "meta": {"lastUpdated": moment},
        "type": "searchset",
        "timestamp": moment,
        "total": Number(str(len(made))),
        "link": [{"relation": "self", "url": url}],
        "entry": [
            {
                "fullUrl": f"urn:uuid:{each['id']}",
                "resource": each,
                "search": {"mode": "match"},
            }
            for each in made
        ],
    }


def _definitions(
    asked: PublicationRequest, offer: Offer, since: datetime
) -> Iterator[dict[str, Json]]:
    for definition in offered(offer):
        if not definition.from_requester:
            continue  # a service receives requests; responses are for who asked
        for version, cases in _versions(definition, asked, offer).items():
            yield _definition(definition, asked.service, version, cases, since)


def _versions(
    definition: Definition, asked: PublicationRequest, offer: Offer
) -> dict[str, list[str]]:
    """Return all use cases of each version that is switched on and has one that was asked for."""
    found: dict[str, list[str]] = {}
    for case in asked.use_cases.union(_OPEN):
        application = application_of(case)
        if application in definition.applications and offer.takes(case):
            for version in offer.applications.get(application, ()):
                found.setdefault(version, []).append(case)
    wanted = asked.use_cases.union(() if asked.use_cases else _OPEN)
    return {version: cases for version, cases in found.items() if not wanted.isdisjoint(cases)}


def _definition(
    definition: Definition, service: str, version: str, cases: list[str], since: datetime
) -> dict[str, Json]:
    system, _, value = service.partition("|")
    displayed = [
        {"system": USE_CASES, "code": case, "display": USE_CASE_NAMES[case]}
        for case in sorted(cases)
    ]
    name = f"BARS Message Definition {definition.title}"
    return {
        "resourceType": "MessageDefinition",
        "id": _id(definition.url, service, version),
        "url": definition.url,
        "version": version,
        "name": name,
        "title": name,
        "status": "active",
        "date": since.date().isoformat(),
        "useContext": [
            {"code": {"system": system, "code": value}, "valueCodeableConcept": _positive()},
            _workflow({"system": system, "code": value}),
            *(_workflow(each) for each in displayed),
        ],
        "eventCoding": {"system": EVENTS_SYSTEM, "code": definition.event},
        "focus": [_focus(each) for each in definition.focuses],
    }


def _positive() -> dict[str, Json]:
    system = "http://terminology.hl7.org/CodeSystem/variant-state"
    return {"coding": [{"system": system, "code": "positive"}]}


def _workflow(coding: Mapping[str, Json]) -> dict[str, Json]:
    return {
        "code": {"system": _CONTEXT, "code": "workflow"},
        "valueCodeableConcept": {"coding": [coding]},
    }


def _focus(focus: Focus) -> dict[str, Json]:
    return {
        "code": focus.type,
        "profile": focus.profile,
        "min": Number(str(focus.least)),
        "max": "*" if focus.most is None else str(focus.most),
    }


def _id(*names: str) -> str:
    """Return the same id for the same document, at every start and on every node."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, " ".join(names)))


def question(service: str) -> str:
    """Return the query that asks for everything that *service* takes."""
    return f"context={quote(service, safe=':/')}"


def of_service(published: Resource, services: Iterable[str]) -> list[Resource]:
    """Return the definitions that are of one of *services*, or do not say of which they are."""
    wanted = frozenset(map(normalised, services))
    return [
        each
        for each in _definitions_in(published)
        if not (named := _services(each)) or not wanted.isdisjoint(named)
    ]


def are_believable(definitions: Iterable[Resource]) -> bool:
    """Tell whether no definition asks for a resource that no message of BaRS has (CS-033)."""
    asked = (
        text_of(focus, "code")
        for definition in definitions
        for focus in maps_of(definition, "focus")
    )
    return all(kind in _RESOURCES for kind in asked)


def objection(message: Message, definitions: Sequence[Resource]) -> Issue | None:
    """Return what the service that publishes *definitions* does not take of *message*, or None."""
    if not definitions:
        return None
    same = [each for each in definitions if _is(text_of(each, "url"), message.definition)]
    if not same:
        return _refusal("MessageHeader.definition", "does not take messages of that definition")
    meant = [each for each in same if _is_compatible(text_of(each, "version"), message.version)]
    if not meant:
        versions = sorted({text_of(each, "version") for each in same})
        taken = ", ".join(filter(_VERSION.fullmatch, versions)) or "another"
        return _refusal("Bundle.meta.versionId", f"takes that definition in version {taken}")
    cases = [_use_cases(each) for each in meant]
    if all(cases) and not any(message.use_case in each for each in cases):
        return _refusal("ServiceRequest.category", "does not take that use case")
    return None


def _is(published: str, named: str) -> bool:
    known = cited(named)
    return published == named or (known is not None and cited(published) is known)


def _is_compatible(published: str, written: str) -> bool:
    return not published or _major(published) == _major(written)


def _major(version: str) -> str:
    return version.partition(".")[0]


def _definitions_in(published: Resource) -> Iterator[Resource]:
    for entry in maps_of(published, "entry"):
        resource = map_of(entry, "resource")
        if resource.get("resourceType") == "MessageDefinition":
            yield resource


def _use_cases(definition: Resource) -> set[str]:
    """Return the use cases that it names; none: it leaves them open."""
    codings = _contexts(definition)
    return {text_of(each, "code").lower() for each in codings if _system(each) == USE_CASES}


def _services(definition: Resource) -> set[str]:
    """Return the services that it is of, as `system|value`; none: it does not say."""
    return {
        normalised(f"{_system(each)}|{text_of(each, 'code')}")
        for each in _contexts(definition)
        if _OF_A_SERVICE.search(_system(each))
    }


def _contexts(definition: Resource) -> Iterator[Resource]:
    """Yield what it is for; some name it in the code, most in the value."""
    for context in maps_of(definition, "useContext"):
        yield map_of(context, "code")
        yield from maps_of(map_of(context, "valueCodeableConcept"), "coding")


def _system(coding: Resource) -> str:
    return text_of(coding, "system")


def _refusal(path: str, what: str) -> Issue:
    text = f"cannot go there: the service, by what it publishes, {what}; refer by other means"
    return Issue(rule="E05", path=path, text=text, issue="not-supported")


def unreachable(said: Outcome) -> Issue | None:
    """Return the issue for a service that BaRS has not one address of, by what the proxy *said*."""
    if said.issue == _TWICE and not (said.code or "").startswith("REC_"):
        text = (
            "has two addresses in BaRS, which sends nothing there until one of them is taken out:"
            " report it to NHS England, and refer by other means"
        )
    elif said.code == _UNKNOWN:
        text = "is not known to BaRS: look at the identifier, and whether the service is connected"
    else:
        return None
    path = "Bundle.entry[0].resource.destination[0].endpoint"
    return Issue(rule="E05", path=path, text=text, issue=said.issue or "not-found")
