"""
Takes the EPR's answer to a question: checks it, composes what the Sender gets, decides.

    {"accept": true, …}       ─┐                 ┌─► an acknowledgement, or the resource itself
    {"refuse": "slot-taken"}  ─┼─► understood? ──┤                └─► store: decide ─► Decided
    a resource or a Bundle    ─┘   R4? fits?     └─► AnswerRefused(every issue)

An answer that cannot be used is refused with all that is wrong, and the question stays
open: the EPR may correct itself while the proxy still waits. The issues name places and never
values, for the EPR's log is not the place for patients' data either. The same answer given again
gets the same receipt, however it is written, so that an EPR may repeat what it is not sure of;
another answer is refused, because the first is what the Sender was told.

A yes is no answer to a read or a search: "this patient has nothing" is a fact about a patient, and
only the EPR can state it, by a searchset without entries. One that counts more than it holds, is a
page of several (BaRS has no way to ask for the next), or holds an error does not state it, and no
message that holds an error is a yes. Nor is one that names another patient than what was sent: its
Sender could not believe it, or would take somebody else's ids from it. Where the EPR only says yes
to a message, the acknowledgement is the message with the ids that the gateway minted, as for every
referral; an EPR that has ids of its own names them.

Decisions: D-reads-prove.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import structlog

from bars_gateway.frozen import frozen
from bars_gateway.model.messages import Payload
from bars_gateway.model.questions import Decided, Decision, Question
from bars_gateway.standard import answers, structure, xml
from bars_gateway.standard.answers import REFUSALS, problem_outcome
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
from bars_gateway.standard.formats import LONG, Format, digest, to_bytes, to_tree
from bars_gateway.standard.headers import is_uuid
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.patients import is_nhs_system, numbered
from bars_gateway.standard.r4 import resources
from bars_gateway.standard.reads import AN_ERROR, of_another, shortcomings
from bars_gateway.standard.workflow import Move
from bars_gateway.store.questions import Questions

log = structlog.get_logger(__name__)

_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/-]{0,63}", re.ASCII)
_KEYS = frozenset({"accept", "refuse", "focus_id", "reference"})
_NO_YES_TO_A_QUESTION = (
    "must be what was asked for, or a refusal: a read or PATCH is answered with the resource, a"
    " search with a searchset Bundle, without entries where nothing was found"
)

_OF_ANOTHER = (
    "names another patient, case number or event than what it answers (by NHS number or, where"
    " either side has none, by name and birth date): give that back with your ids in it, or refuse"
    " it. Where two NHS numbers are one person's, write both as identifier of the Patient; where a"
    " name or birth date was put right, write it as it came"
)


@frozen(kw_only=True)
class ComposedAnswer:
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
) -> ComposedAnswer | str | list[Issue]:
    """Return the answer, or the word of a refusal, or everything that is wrong with *body*."""
    try:
        tree = _tree(body, media_type)
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


def _made(
    tree: Resource, question: Question, new_id: Callable[[], str], now: datetime
) -> ComposedAnswer:
    """Return the answer for a mere yes."""
    method, _, _ = question.operation.partition(" ")
    if question.is_message:
        return _acknowledgement(tree, question, new_id, now)
    if question.request is None:
        return ComposedAnswer(http_status=200, body=answers.removed())
    resource = to_tree(question.request.body, Format(question.request.media_type))
    if method == "POST":
        focus_id = text_of(tree, "focus_id") or new_id()
        return ComposedAnswer(
            http_status=201, body=answers.with_id(resource, focus_id), focus_id=focus_id
        )
    return ComposedAnswer(
        http_status=200, body=answers.with_id(resource, str(question.about["resource_id"]))
    )


def _acknowledgement(
    tree: Resource, question: Question, new_id: Callable[[], str], now: datetime
) -> ComposedAnswer:
    assert question.request is not None
    if question.is_response:
        # Every id in a response was given by its sender: its mirror image acknowledges it.
        return ComposedAnswer(
            http_status=200, body=question.request.body, media_type=question.request.media_type
        )
    message = read(question.request.body, question.request.media_type)
    if question.minted is None:
        changed = answers.acknowledge_change(message, new_id, now)
        return ComposedAnswer(http_status=200, body=to_bytes(changed, Format.JSON))
    minted = replace(
        question.minted,
        focus_id=text_of(tree, "focus_id") or question.minted.focus_id,
        reference=text_of(tree, "reference") or question.minted.reference,
    )
    return ComposedAnswer(
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
    sent = _sent(question)
    if answers.tells_error(tree, sent.root if sent else answers.NOTHING):
        return [_problem("Bundle.entry" if kind == "Bundle" else kind, AN_ERROR)]
    if sent is not None and question.is_message:
        return _unfitting_message(tree, kind, question, sent)
    if method == "DELETE":
        return [_problem(kind, 'a removal is answered with {"accept": true}, or a refusal')]
    if method == "GET" and question.about["resource_id"] is None:
        return _unfitting_searchset(tree, kind, question, name)
    issues = _unfitting_resource(tree, kind, question, name)
    if sent is not None and answers.is_about_another(sent, tree):
        issues.append(_problem(kind, _OF_ANOTHER))
    return issues


def _unfitting_resource(tree: Resource, kind: str, question: Question, name: str) -> list[Issue]:
    if kind != name:
        return [_problem(kind, f"the {name} was asked for, and this is something else")]
    wanted, given = question.about["resource_id"], text_of(tree, "id")
    if not is_uuid(given) or (wanted is not None and given.lower() != str(wanted).lower()):
        text = "must be the id that was asked for, or a UUID for a new one"
        return [_problem(f"{kind}.id", text)]
    return []


def _unfitting_searchset(tree: Resource, kind: str, question: Question, name: str) -> list[Issue]:
    if (kind, text_of(tree, "type")) != ("Bundle", "searchset"):
        return [_problem(kind, "a search is answered with a searchset Bundle")]
    short = shortcomings(tree, name)
    if short:
        return short
    number = _number_asked_for(question)
    if number and of_another(numbered(number), tree, name):
        text = "names another patient than was asked for: give that patient's alone, or no entry"
        return [_problem("Bundle.entry", text)]
    return []


def _number_asked_for(question: Question) -> str | None:
    asked = map_of(dict(question.about), "parameters")
    found = is_nhs_system(text_of(asked, "identifier_system"))
    return text_of(asked, "identifier_value") if found else None


def _unfitting_message(tree: Resource, kind: str, question: Question, sent: Message) -> list[Issue]:
    if (kind, text_of(tree, "type")) != ("Bundle", "message"):
        return [_problem(kind, "a message is answered with its own Bundle and the new ids in it")]
    try:
        message = said_by(tree)
    except MalformedBundle as malformed:
        return [malformed.issue]
    issues = []
    if message.bundle_id != question.about["bundle_id"]:
        issues.append(_problem("Bundle.id", "must be that of the message"))
    if answers.is_about_another(sent, tree):
        issues.append(_problem("Bundle.entry", _OF_ANOTHER))
    if question.about["move"] == Move.REQUEST and not is_uuid(message.focus_id or ""):
        text = "the resource that MessageHeader.focus names must have an id, a UUID"
        issues.append(_problem("Bundle.entry", text))
    return issues


def _sent(question: Question) -> Message | None:
    """Return what is asked about, a record as if it came in a Bundle; None: nothing was sent."""
    sent = question.request
    return None if sent is None else answers.as_message(_tree(sent.body, sent.media_type))


def _tree(body: bytes, media_type: str) -> Resource:
    return xml.to_tree(body).tree if "xml" in media_type else from_json(body)


def _own(tree: Resource, question: Question, new_id: Callable[[], str]) -> ComposedAnswer:
    """Return the answer that the EPR composed itself; that nothing was found is said in words."""
    found_nothing = text_of(tree, "type") == "searchset" and not maps_of(tree, "entry")
    body = answers.no_matches(new_id) if found_nothing else to_bytes(tree, Format.JSON)
    if not question.is_message:
        status = 201 if question.operation.startswith("POST ") else 200
        return ComposedAnswer(http_status=status, body=body, focus_id=text_of(tree, "id") or None)
    message = said_by(tree)
    return ComposedAnswer(
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


class AnswerRefused(Exception):
    """The EPR's answer is not taken; the question is as it was."""

    def __init__(self, issues: Sequence[Issue], *, http_status: int = 422) -> None:
        super().__init__(", ".join(issue.text for issue in issues))
        self.issues = tuple(issues)
        self.http_status = http_status  # how the socket says it


class Answering:
    """Takes the answers of one provider's EPR. Both of its doors share one of these."""

    def __init__(
        self,
        questions: Questions,
        *,
        provider: str,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
        max_bytes: int,
    ) -> None:
        self._questions = questions
        self._provider = provider
        self._now = now
        self._new_id = new_id
        self.max_bytes = max_bytes  # of one answer

    async def answer(self, question_id: int, body: bytes, media_type: str) -> Decided:
        """Return how the question stands once that is on disk, or raise AnswerRefused."""
        question = await self._questions.question(self._provider, question_id)
        if question is None:
            raise AnswerRefused([_UNKNOWN], http_status=404)
        if len(body) > self.max_bytes:
            raise AnswerRefused([_too_large(self.max_bytes)], http_status=413)
        if len(body) + len(question.request.body if question.request else b"") >= LONG:
            decision = await asyncio.to_thread(self._decision, question, body, media_type)
        else:
            decision = self._decision(question, body, media_type)
        decided = await self._questions.decide(self._provider, question_id, decision, self._now())
        if decided is None:
            raise AnswerRefused([_UNKNOWN], http_status=404)
        if decided.other:
            raise AnswerRefused([_OTHER], http_status=409)
        self._log(decided)
        return decided

    def _decision(self, question: Question, body: bytes, media_type: str) -> Decision:
        words = _words_of(body, media_type)
        if question.decided_at is not None:
            return _refusal("not-done", words)  # it changes nothing: the first answer stands
        found = composed(question, body, media_type, self._new_id, self._now())
        if isinstance(found, list):
            raise AnswerRefused(found)
        return _refusal(found, words) if isinstance(found, str) else _acceptance(found, words)

    def _log(self, decided: Decided) -> None:
        question = decided.question
        decided_at = question.decided_at or question.asked_at
        log.info(
            "epr.question_answered",
            provider=self._provider,
            question_id=question.question_id,
            operation=question.operation,
            request_id=question.request_id,
            correlation_id=question.correlation_id,
            state="accepted" if question.accepted else "refused",
            reason="late" if decided.late else "in time",
            http_status=question.http_status,
            seconds=round((decided_at - question.asked_at).total_seconds(), 3),
        )


@frozen
class _Words:
    """What tells one answer of the EPR's from another."""

    said: str  # however it is written
    written: str


def _words_of(body: bytes, media_type: str) -> _Words:
    written = hashlib.sha256(body).hexdigest()
    try:
        return _Words(said=digest(_tree(body, media_type)), written=written)
    except MalformedBundle:
        return _Words(said=written, written=written)


def _acceptance(answer: ComposedAnswer, words: _Words) -> Decision:
    return Decision(
        accepted=True,
        word=None,
        http_status=answer.http_status,
        code=None,
        answer=Payload(media_type=answer.media_type, headers={}, body=answer.body),
        focus_id=answer.focus_id,
        reference=answer.reference,
        answered_with=words.said,
        answered_in=words.written,
    )


def _refusal(word: str, words: _Words) -> Decision:
    problem = REFUSALS[word]
    return Decision(
        accepted=False,
        word=word,
        http_status=problem.http_status,
        code=problem.code,
        answer=Payload(media_type=Format.JSON, headers={}, body=problem_outcome(problem)),
        focus_id=None,
        reference=None,
        answered_with=words.said,
        answered_in=words.written,
    )


_UNKNOWN = _problem("question", "no question has that number, or it was a read that is over")
_OTHER = _problem("answer", "the question was answered before in other words, which stand")


def _too_large(max_bytes: int) -> Issue:
    return _problem("answer", f"is larger than {max_bytes} bytes")
