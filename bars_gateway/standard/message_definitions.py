"""
Which messages a service takes, for which use cases and in which version: `/MessageDefinition`.

    context=… ──asked_for──► Asked(services, use cases) │ Issue ──searchset──► Bundle │ Issue

What is published is what rule B22 counts (`definitions.py`), and the Applications and
versions are those of the Offer that B08 and R03R enforce. A definition is published
once for each version that is switched on, because Senders choose by it, and always as a
whole: a use case that was asked for chooses among them, and takes nothing out of them.
Use cases that were withdrawn (R03W) are named to those only who ask for them: the official
tests do.

A `context` may say the service, the use case, or both in one value that was encoded
twice, as the specification prints and the official tests send it.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bars_gateway.standard import capability
from bars_gateway.standard.applications import is_withdrawn
from bars_gateway.standard.bundle import USE_CASES
from bars_gateway.standard.definitions import Definition, Focus
from bars_gateway.standard.headers import normalised
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.offer import Offer
from bars_gateway.standard.rules.header import ENDPOINT_SYSTEMS, EVENTS_SYSTEM
from bars_gateway.standard.timing import application_of
from bars_gateway.standard.tree import Json, Number
from bars_gateway.standard.use_cases import USE_CASE_NAMES

_CONTEXT = "http://terminology.hl7.org/CodeSystem/usage-context-type"
_PARAMETER = "context"
_JOINT = "&context="
_OPEN = tuple(case for case in USE_CASE_NAMES if not is_withdrawn(case))


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be published: of one service, and of some use cases or of all."""

    service: str  # system|value, as the provider writes it
    use_cases: frozenset[str]  # empty: all


def asked_for(contexts: Sequence[str], offer: Offer) -> Asked | Issue:
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


def _matching(services: set[str], use_cases: set[str], offer: Offer) -> Asked | Issue:
    held = services & offer.services
    offered = set(filter(offer.takes, use_cases))
    if len(services) != 1 or not held or (use_cases and not offered):
        return _nothing()
    return Asked(held.pop(), frozenset(offered))


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


def searchset(asked: Asked, offer: Offer, url: str, since: datetime) -> Mapping[str, Json]:
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


def _definitions(asked: Asked, offer: Offer, since: datetime) -> Iterator[dict[str, Json]]:
    for definition in capability.offered(offer):
        if not definition.from_requester:
            continue  # a service receives requests; responses are for who asked
        for version, cases in _versions(definition, asked, offer).items():
            yield _definition(definition, asked.service, version, cases, since)


def _versions(definition: Definition, asked: Asked, offer: Offer) -> dict[str, list[str]]:
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
