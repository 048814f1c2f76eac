"""
Moves that the EPR asks for in a few words; the gateway composes the message and shows it.

    {"submission_id", "in_reply_to", "move", …} ─read─► AskedMove ─┐
    the conversation so far ───────────────────────────────────────┴─compose─► Bundle ─► intake

    POST /moves     201 receipt and message · 200 the same again · 404, 409, 422 issues

The composed Bundle goes through the same door as any other: the same strict rules, the
same guards, the same receipt. `submission_id` is the EPR's own key, for two moves may
say the very same words (D-same-bytes): the same words under the same key are one message, however
their JSON is written, and other words under it are refused. A member that nobody knows is refused
by its name, as in an envelope: a misspelt `outcome` would otherwise say something that nobody
meant.

`docs/moves.md` says what each member is for.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields, replace
from typing import Any

from aiohttp import web

from bars_gateway.epr import documents
from bars_gateway.epr.envelope import Envelope
from bars_gateway.epr.intake import Intake, SubmissionRefused
from bars_gateway.frozen import frozen
from bars_gateway.listeners import body_of
from bars_gateway.model.messages import Accepted, Part, Submission
from bars_gateway.standard.answers import bundle_about
from bars_gateway.standard.bundle import MalformedBundle, Number, Resource, from_json, said_by
from bars_gateway.standard.composition import Exchanged, Wanted, compose
from bars_gateway.standard.compositions import COMPOSITIONS
from bars_gateway.standard.formats import Format, digest, format_of, to_bytes, to_tree
from bars_gateway.standard.headers import is_uuid
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.workflow import Move, role_of
from bars_gateway.store.conversations import Conversation, SharedMessage
from bars_gateway.store.store import Store

_LONGEST_KEY = 200
_LONGEST_TEXT = 4000
_LONGEST_NUMBER = 18  # digits: 63 bits
_MOVES = sorted({row.move.value for row in COMPOSITIONS})
_REQUIRED = frozenset({"submission_id", "in_reply_to", "move"})


@frozen(kw_only=True)
class AskedMove:
    """A move as the EPR asks for it."""

    submission_id: str  # the EPR's own key
    in_reply_to: str  # a workflow_id, or the request_id of a message in the workflow
    move: Move
    outcome: str | None = None
    text: str | None = None  # the reason in words
    resources: tuple[Resource, ...] = ()
    patient_changed: bool = False  # it names the patient otherwise than before, and that is right


def read_asked(content: bytes) -> AskedMove | list[Issue]:
    """Return what *content* asks for, or everything that is wrong with it."""
    try:
        found = from_json(content)
    except MalformedBundle as error:
        below = error.issue.path.removeprefix("Bundle")
        return [problem(f"move{below}", str(error))]
    issues = [_unknown(key) for key in found if key not in _READERS]
    values: dict[str, Any] = {}
    for key, (reader, wanted) in _READERS.items():
        if key in found and found[key] is not None:
            values[key] = reader(found[key])
            if values[key] is None:
                issues.append(problem(key, f"must be {wanted}"))
        elif key in _REQUIRED:
            issues.append(problem(key, f"is missing: it must be {wanted}"))
    return issues or AskedMove(**values)


def said(asked: AskedMove) -> str:
    """Return the digest of what *asked* says; what it does not say is no part of it."""
    given = {each.name: value for each in fields(asked) if (value := getattr(asked, each.name))}
    return digest(given)


def _key(value: object) -> str | None:
    good = isinstance(value, str) and 0 < len(value) <= _LONGEST_KEY and value.isprintable()
    return str(value) if good else None


def _reference(value: object) -> str | None:
    if isinstance(value, Number):
        value = value.text
    if not isinstance(value, str):
        return None
    numbers = value.isascii() and value.isdigit() and len(value) <= _LONGEST_NUMBER
    return value.strip().lower() if numbers or is_uuid(value) else None  # as it is kept


def _move(value: object) -> Move | None:
    return Move(value) if isinstance(value, str) and value in _MOVES else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST_TEXT else None


def _resources(value: object) -> tuple[Resource, ...] | None:
    if not isinstance(value, list):
        return None
    good = all(
        isinstance(each, dict) and isinstance(each.get("resourceType"), str) for each in value
    )
    return tuple(value) if good else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


_READERS: Mapping[str, tuple[Callable[[object], object], str]] = {
    "submission_id": (_key, f"a text of your own, {_LONGEST_KEY} characters at most"),
    "in_reply_to": (_reference, "a workflow_id, or the request_id of a message in it"),
    "move": (_move, f"one of {', '.join(_MOVES)}"),
    "outcome": (_text, "a word of the documentation of moves"),
    "text": (_text, f"the reason in words, {_LONGEST_TEXT} characters at most"),
    "resources": (_resources, "a list of FHIR resources"),
    "patient_changed": (_flag, "true or false"),
}


def _unknown(key: str) -> Issue:
    # The key is shown as far as it can be one; a long or odd one might be content.
    shown = key if key.isidentifier() and key.isascii() and len(key) <= 40 else "…"  # noqa: PLR2004
    return problem(shown, f"is not a member of a move; there are {', '.join(_READERS)}")


def problem(path: str, text: str) -> Issue:
    """Return an issue about what the EPR has asked for."""
    return Issue(rule="E10", path=path, text=text, issue="value")


@frozen
class Made:
    """What was composed and taken, with the Bundle as it is sent."""

    accepted: Accepted
    message: bytes
    is_new: bool


class MoveNotMade(SubmissionRefused):
    """The move is not made; `message` is what was composed for it, if it came so far."""

    def __init__(self, refused: SubmissionRefused, message: bytes | None) -> None:
        super().__init__(
            refused.issues,
            http_status=refused.http_status,
            request_id=refused.request_id,
            code=refused.code,
        )
        self.message = message


class Moves:
    """Takes one provider's moves. Both of its doors share the intake behind it."""

    def __init__(self, store: Store, intake: Intake, *, provider: str) -> None:
        self._store = store
        self._intake = intake
        self._provider = provider

    async def make(self, content: bytes) -> Made:
        """Return the receipt and the message once it is on disk, or raise MoveNotMade."""
        prepared = await self.prepare(content)
        return prepared if isinstance(prepared, Made) else await self.commit(prepared)

    async def prepare(self, content: bytes) -> Submission | Made:
        """Compose the message and check it, or return what was made of the same words before."""
        asked = read_asked(content)
        if not isinstance(asked, AskedMove):
            raise self._refused(asked)
        asked_as = said(asked)
        before = await self._store.conversations.submitted_as(self._provider, asked.submission_id)
        if before is not None:
            of_bytes = hashlib.sha256(content).hexdigest()  # which is what 1.0.0 kept
            return await self._again(before, {asked_as, of_bytes})
        body, correlation_id = await self._composed(asked)
        try:
            envelope = Envelope(
                correlation_id=correlation_id, patient_changed=asked.patient_changed
            )
            submission = await self._intake.prepare(body, Format.JSON, envelope)
        except SubmissionRefused as refused:
            raise MoveNotMade(refused, body) from None
        return replace(submission, submission_id=asked.submission_id, asked_as=asked_as)

    async def commit(self, submission: Submission) -> Made:
        """Queue what `prepare` made; raise MoveNotMade where the workflow is past it."""
        try:
            accepted = await self._intake.commit(submission)
        except SubmissionRefused as refused:
            raise MoveNotMade(refused, submission.request.body) from None
        is_new = accepted.request_id == submission.request_id
        return await self._made(accepted, {submission.asked_as}, is_new=is_new)

    async def _again(self, before: Accepted, asked_as: Collection[str | None]) -> Made:
        """Return what the same words have, as the same bytes do: no receipt where it is void."""
        made = await self._made(before, asked_as, is_new=False)
        try:
            return replace(made, accepted=self._intake.again(before))
        except SubmissionRefused as refused:
            raise MoveNotMade(refused, made.message) from None

    async def _made(
        self, accepted: Accepted, asked_as: Collection[str | None], *, is_new: bool
    ) -> Made:
        if accepted.asked_as not in asked_as:
            refused = self._intake.refusal([_REUSED], http_status=409, before=accepted.request_id)
            raise MoveNotMade(refused, None)
        kept = await self._store.messages.payload(accepted.message_id, Part.REQUEST)
        return Made(accepted, kept.body if kept else b"null", is_new)

    async def _composed(self, asked: AskedMove) -> tuple[bytes, str]:
        found = await self._store.conversations.about(
            self._provider, asked.in_reply_to, role_of(asked.move)
        )
        if found is None:
            raise self._refused([_UNKNOWN], http_status=404)
        wanted = Wanted(
            move=asked.move, outcome=asked.outcome, text=asked.text, resources=asked.resources
        )
        composed = compose(
            wanted,
            use_case=found.workflow.use_case,
            request_type=found.workflow.request_type,
            exchanged=_exchanged(found),
            focus_id=found.focus_id,
            new_id=self._intake.new_id,
            now=self._intake.now(),
        )
        if isinstance(composed, list):
            raise self._refused(composed)
        return to_bytes(composed, Format.JSON), found.workflow.correlation_id

    def _refused(self, issues: list[Issue], *, http_status: int = 422) -> MoveNotMade:
        return MoveNotMade(self._intake.refusal(issues, http_status=http_status), None)


def _exchanged(conversation: Conversation) -> list[Exchanged]:
    """Return what was said; an answer in odd bytes, or about another message, as none."""
    return [_one_of(said) for said in conversation.said]


def _one_of(said: SharedMessage) -> Exchanged:
    bundle = to_tree(said.request.body, format_of(said.request.media_type) or Format.JSON)
    kept = said.answer
    answer = bundle_about(said_by(bundle), kept.body) if kept else {}
    return Exchanged(move=said.move, bundle=bundle, answer=answer, arrived=said.arrived)


_UNKNOWN = problem(
    "in_reply_to",
    "names no workflow in which this organisation makes such a move; take workflow_id or"
    " request_id from the notice or the receipt",
)
_REUSED = Issue(
    rule="E11",
    path="submission_id",
    text="was used for a move that said something else, and was taken",
    issue="duplicate",
)


class MoveRequests:
    """Serves moves on one provider's socket."""

    def __init__(self, moves: Moves) -> None:
        self._moves = moves

    def routes(self) -> list[web.RouteDef]:
        """Return what is served."""
        return [web.post("/moves", self._make)]

    async def _make(self, request: web.Request) -> web.Response:
        content = await body_of(request)
        try:
            made = await self._moves.make(content)
        except MoveNotMade as refused:
            return documents.json_answer(
                documents.move_refusal(
                    refused.issues,
                    refused.message,
                    request_id=refused.request_id,
                    code=refused.code,
                ),
                refused.http_status,
            )
        document = documents.made(made.accepted, made.message)
        return documents.json_answer(document, 201 if made.is_new else 200)
