"""
Whether a service takes a message, by the MessageDefinitions that it publishes.

    Message + searchset ──objection──► Issue: that kind, version or use case is not taken
                             └───────► None: it is, or they do not say

A definition is matched by its `url` and never by its id, for the guide's own share one
(CS-044). What a definition leaves open counts as taken: to refuse what a Receiver would
have taken does a patient more harm than to let it refuse by itself.
"""

import re
from collections.abc import Iterator

from bars_gateway.standard.bundle import USE_CASES, Message, map_of, maps_of, text_of
from bars_gateway.standard.definitions import cited
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.tree import Resource

_VERSION = re.compile(r"[0-9A-Za-z.-]{1,20}", re.ASCII)  # it is others' text, and is shown


def question(service: str) -> str:
    """Return the query that asks for everything that *service* takes."""
    system, _, value = service.partition("|")
    return f"context={system}%7C{value}"


def objection(message: Message, published: Resource) -> Issue | None:
    """Return what the service does not take of *message*, or None."""
    definitions = list(_definitions(published))
    if not definitions:
        return None
    same = [each for each in definitions if _is(text_of(each, "url"), message.definition)]
    if not same:
        return _refusal("MessageHeader.definition", "does not take messages of that definition")
    versions = sorted({text_of(each, "version") for each in same} - {""})
    if versions and message.version not in versions:
        taken = ", ".join(filter(_VERSION.fullmatch, versions)) or "another"
        return _refusal("Bundle.meta.versionId", f"takes that definition in version {taken}")
    meant = [each for each in same if text_of(each, "version") in {"", message.version}]
    cases = [_use_cases(each) for each in meant]
    if all(cases) and not any(message.use_case in each for each in cases):
        return _refusal("ServiceRequest.category", "does not take that use case")
    return None


def _is(published: str, named: str) -> bool:
    known = cited(named)
    return published == named or (known is not None and cited(published) is known)


def _definitions(published: Resource) -> Iterator[Resource]:
    for entry in maps_of(published, "entry"):
        resource = map_of(entry, "resource")
        if resource.get("resourceType") == "MessageDefinition":
            yield resource


def _use_cases(definition: Resource) -> set[str]:
    """Return the use cases that it names; none: it leaves them open."""
    return {
        text_of(coding, "code").lower()
        for context in maps_of(definition, "useContext")
        for coding in maps_of(map_of(context, "valueCodeableConcept"), "coding")
        if text_of(coding, "system") == USE_CASES
    }


def _refusal(path: str, what: str) -> Issue:
    text = f"cannot go there: the service, by what it publishes, {what}; refer by other means"
    return Issue(rule="E05", path=path, text=text, issue="not-supported")


def unknown_target() -> Issue:
    """Return the issue for a service that BaRS has no address of."""
    text = "is not known to BaRS: look at the identifier, and whether the service is connected"
    return Issue(
        rule="E05", path="MessageHeader.destination.endpoint", text=text, issue="not-found"
    )
