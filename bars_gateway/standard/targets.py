"""
Whether a service takes a message, by the MessageDefinitions that it publishes.

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
from collections.abc import Iterable, Iterator, Sequence

from bars_gateway.standard.answers import Outcome
from bars_gateway.standard.bundle import USE_CASES, Message, map_of, maps_of, text_of
from bars_gateway.standard.definitions import DEFINITIONS, cited
from bars_gateway.standard.headers import normalised
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.tree import Resource

_VERSION = re.compile(r"[0-9A-Za-z.-]{1,20}", re.ASCII)  # it is others' text, and is shown
_OF_A_SERVICE = re.compile(r"service-id/?$", re.IGNORECASE)
_UNKNOWN, _TWICE = "PROXY_NOT_FOUND", "multiple-matches"
_RESOURCES = frozenset(focus.type for each in DEFINITIONS.values() for focus in each.focuses)


def question(service: str) -> str:
    """Return the query that asks for everything that *service* takes."""
    system, _, value = service.partition("|")
    return f"context={system}%7C{value}"


def of_service(published: Resource, services: Iterable[str]) -> list[Resource]:
    """Return the definitions that are of one of *services*, or do not say of which they are."""
    wanted = frozenset(map(normalised, services))
    return [
        each
        for each in _definitions(published)
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


def _definitions(published: Resource) -> Iterator[Resource]:
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
    path = "MessageHeader.destination.endpoint"
    return Issue(rule="E05", path=path, text=text, issue=said.issue or "not-found")
