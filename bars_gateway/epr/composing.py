"""
What the Sender gets when the EPR says yes: composed from the question, or the EPR's own.

    question + {"accept": true, …} ──► an acknowledgement, or the resource that was written
    question + a resource          ──► that resource, if it is R4 and fits what was asked

A mere yes is no answer to a read or a search: "this patient has nothing" is a fact about a
patient, and only the EPR can state it, by a searchset without entries.

Nothing here stores or sends. What is wrong is a list of issues that names places and never
values, for the EPR's log is not the place for patients' data either.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from bars_gateway.model.questions import Question
from bars_gateway.standard import answers, structure, xml
from bars_gateway.standard.bundle import (
    MalformedBundle,
    Message,
    Resource,
    from_json,
    map_of,
    maps_of,
    read,
    said_by,
    text_of,
)
from bars_gateway.standard.decisions import REFUSALS
from bars_gateway.standard.elements import resources
from bars_gateway.standard.formats import Format, to_bytes, to_tree
from bars_gateway.standard.headers import is_uuid
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.patients import is_nhs_system, numbered
from bars_gateway.standard.proving import answers_search, of_another
from bars_gateway.standard.workflow import Move

_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/-]{0,63}", re.ASCII)
_KEYS = frozenset({"accept", "refuse", "focus_id", "reference"})
_NO_YES_TO_A_QUESTION = (
    "must be what was asked for, or a refusal: a read or PATCH is answered with the resource, a"
    " search with a searchset Bundle, without entries where nothing was found"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the Sender gets, and what is remembered of it."""

    http_status: int
    body: bytes
    media_type: str = Format.JSON
    focus_id: str | None = None
    reference: str | None = None


def composed(
    question: Question,
    body: bytes,
    media_type: str,
    new_id: Callable[[], str],
    now: datetime,
) -> Answer | str | list[Issue]:
    """Return the answer, or the word of a refusal, or everything that is wrong with *body*."""
    try:
        tree = xml.to_tree(body).tree if "xml" in media_type else from_json(body)
    except MalformedBundle as malformed:
        return [replace(malformed.issue, path="answer")]
    if "resourceType" in tree:
        return _issues(tree, question) or _own(tree, question, new_id)
    issues = list(_misunderstood(tree, question))
    if issues:
        return issues
    word = text_of(tree, "refuse")
    return word or _made(tree, question, new_id, now)


def _misunderstood(tree: Resource, question: Question) -> list[Issue]:
    """Return what is wrong with words of the EPR's that are no resource."""
    issues = [
        _problem("answer", f"has a member that is none of {', '.join(sorted(_KEYS))}")
        for name in tree
        if name not in _KEYS
    ]
    if (tree.get("accept") is True) == ("refuse" in tree):
        text = 'says neither yes nor no, or both: {"accept": true}, or {"refuse": one word}'
        issues.append(_problem("answer", text))
    if "refuse" in tree and text_of(tree, "refuse") not in REFUSALS:
        issues.append(_problem("answer.refuse", f"is none of {', '.join(REFUSALS)}"))
    issues += _misnamed(tree, question)
    if tree.get("accept") is True and _needs_resource(question):
        issues.append(_problem("answer", _NO_YES_TO_A_QUESTION))
    return issues


def _misnamed(tree: Resource, question: Question) -> list[Issue]:
    issues = []
    named = {"focus_id", "reference"} & tree.keys()
    if named and question.minted is None and question.operation[:5] != "POST ":
        issues += [_problem(f"answer.{each}", "goes with what is new only") for each in named]
    if "focus_id" in tree and not is_uuid(text_of(tree, "focus_id")):
        issues.append(_problem("answer.focus_id", "must be a UUID: Senders ask for it by that"))
    if "reference" in tree and not _REFERENCE.fullmatch(text_of(tree, "reference")):
        text = "must be letters, digits, spaces and . _ / - only: people read it out"
        issues.append(_problem("answer.reference", text))
    return issues


def _needs_resource(question: Question) -> bool:
    """Tell whether a mere yes leaves open what the Sender is to get."""
    method, _, _ = question.operation.partition(" ")
    return method in {"PATCH", "GET"}


def _made(tree: Resource, question: Question, new_id: Callable[[], str], now: datetime) -> Answer:
    """Return the answer for a mere yes."""
    method, _, _ = question.operation.partition(" ")
    if question.is_message:
        return _acknowledgement(tree, question, new_id, now)
    if question.request is None:
        return Answer(http_status=200, body=answers.removed())
    resource = to_tree(question.request.body, Format(question.request.media_type))
    if method == "POST":
        focus_id = text_of(tree, "focus_id") or new_id()
        return Answer(http_status=201, body=answers.with_id(resource, focus_id), focus_id=focus_id)
    return Answer(
        http_status=200, body=answers.with_id(resource, str(question.about["resource_id"]))
    )


def _acknowledgement(
    tree: Resource, question: Question, new_id: Callable[[], str], now: datetime
) -> Answer:
    assert question.request is not None
    if question.is_response:
        # Every id in a response was given by its sender: its mirror image acknowledges it.
        return Answer(
            http_status=200, body=question.request.body, media_type=question.request.media_type
        )
    message = read(question.request.body, question.request.media_type)
    if question.minted is None:
        changed = answers.acknowledge_change(message, new_id, now)
        return Answer(http_status=200, body=to_bytes(changed, Format.JSON))
    minted = replace(
        question.minted,
        focus_id=text_of(tree, "focus_id") or question.minted.focus_id,
        reference=text_of(tree, "reference") or question.minted.reference,
    )
    return Answer(
        http_status=200,
        body=to_bytes(answers.acknowledge(message, minted, new_id, now), Format.JSON),
        focus_id=minted.focus_id,
        reference=minted.reference,
    )


def _issues(tree: Resource, question: Question) -> list[Issue]:
    """Return by what the EPR's resource is no R4, or no answer to what was asked."""
    said = text_of(tree, "resourceType")
    kind = said if said in resources() else "resource"  # whatever else was written is content
    return [*structure.check(tree, path=kind), *_unfitting(tree, kind, question)]


def _unfitting(tree: Resource, kind: str, question: Question) -> list[Issue]:
    method, _, name = question.operation.partition(" ")
    if question.is_message:
        return _unfitting_message(tree, kind, question)
    wanted = question.about["resource_id"]
    if method == "DELETE":
        return [_problem(kind, 'a removal is answered with {"accept": true}, or a refusal')]
    if method == "GET" and wanted is None:
        return _unfitting_searchset(tree, kind, question, name)
    if kind != name:
        return [_problem(kind, f"a {name} was asked for")]
    given = text_of(tree, "id")
    if not is_uuid(given) or (wanted is not None and given.lower() != str(wanted).lower()):
        return [
            _problem(f"{kind}.id", "must be the id that was asked for, or a UUID for a new one")
        ]
    return []


def _unfitting_searchset(tree: Resource, kind: str, question: Question, name: str) -> list[Issue]:
    if (kind, text_of(tree, "type")) != ("Bundle", "searchset"):
        return [_problem(kind, "a search is answered with a searchset Bundle")]
    if not answers_search(tree, name):
        text = f"holds no {name}, which was searched for: give that, or no entry if there is none"
        return [_problem("Bundle.entry", text)]
    number = _number_asked_for(question)
    if number and of_another(numbered(number), tree, name):
        text = "names another patient than was asked for: give that patient's alone, or no entry"
        return [_problem("Bundle.entry", text)]
    return []


def _number_asked_for(question: Question) -> str | None:
    asked = map_of(dict(question.about), "parameters")
    found = is_nhs_system(text_of(asked, "identifier_system"))
    return text_of(asked, "identifier_value") if found else None


def _unfitting_message(tree: Resource, kind: str, question: Question) -> list[Issue]:
    if (kind, text_of(tree, "type")) != ("Bundle", "message"):
        return [_problem(kind, "a message is answered with its own Bundle and the new ids in it")]
    try:
        message = said_by(tree)
    except MalformedBundle as malformed:
        return [malformed.issue]
    issues = []
    if message.bundle_id != question.about["bundle_id"]:
        issues.append(_problem("Bundle.id", "must be that of the message"))
    if question.about["move"] == Move.REQUEST and not is_uuid(message.focus_id or ""):
        text = "the resource that MessageHeader.focus names must have an id, a UUID"
        issues.append(_problem("Bundle.entry", text))
    return issues


def _own(tree: Resource, question: Question, new_id: Callable[[], str]) -> Answer:
    """Return the answer that the EPR composed itself; that nothing was found is said in words."""
    found_nothing = text_of(tree, "type") == "searchset" and not maps_of(tree, "entry")
    body = answers.no_matches(new_id) if found_nothing else to_bytes(tree, Format.JSON)
    if not question.is_message:
        status = 201 if question.operation.startswith("POST ") else 200
        return Answer(http_status=status, body=body, focus_id=text_of(tree, "id") or None)
    message = said_by(tree)
    return Answer(
        http_status=200,
        body=body,
        focus_id=message.focus_id if question.minted else None,
        reference=_reference(message) if question.minted else None,
    )


def _reference(message: Message) -> str | None:
    """Return the case number in the planned Encounter, where it can be shown."""
    planned: list[Mapping[str, object]] = [
        identifier
        for _, encounter in message.all("Encounter")
        if text_of(encounter, "status") == "planned"
        for identifier in maps_of(encounter, "identifier")
    ]
    found = text_of(planned[-1], "value") if planned else ""
    return found if _REFERENCE.fullmatch(found) else None


def _problem(path: str, text: str) -> Issue:
    return Issue(rule="Q01", path=path, text=text, issue="value")
