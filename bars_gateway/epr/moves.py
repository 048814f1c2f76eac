"""
Moves that the EPR asks for in a few words; the gateway composes the message and shows it.

    {"submission_id", "in_reply_to", "move", …} ──read──► Asked ─┐
    the conversation so far ─────────────────────────────────────┴─compose─► Bundle ─► intake

The composed Bundle goes through the same door as any other: the same strict rules, the
same guards, the same receipt. `submission_id` is the EPR's own key, for two moves may
say the very same words (D-same-bytes): the same words under the same key are one message, and
other words under it are refused.
"""

import hashlib
from dataclasses import dataclass, replace

from bars_gateway.epr.asked_moves import Asked, problem, read_asked
from bars_gateway.epr.envelope import Envelope
from bars_gateway.epr.intake import Intake, SubmissionRefused
from bars_gateway.model.messages import Accepted, Part, Submission
from bars_gateway.standard.acknowledgement import bundle_about
from bars_gateway.standard.bundle import said_by
from bars_gateway.standard.composition import compose
from bars_gateway.standard.composition_parts import Exchanged, Wanted
from bars_gateway.standard.formats import Format, format_of, to_bytes, to_tree
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.workflow import role_of
from bars_gateway.store.conversations import Conversation, Said
from bars_gateway.store.store import Store


@dataclass(frozen=True, slots=True)
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
        if not isinstance(asked, Asked):
            raise self._refused(asked)
        asked_as = hashlib.sha256(content).hexdigest()
        before = await self._store.conversations.handed_in(self._provider, asked.submission_id)
        if before is not None:
            return await self._made(before, asked_as, is_new=False)
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
        return await self._made(accepted, submission.asked_as, is_new=is_new)

    async def _made(self, accepted: Accepted, asked_as: str | None, *, is_new: bool) -> Made:
        if accepted.asked_as != asked_as:
            raise self._refused([_REUSED], http_status=409)
        kept = await self._store.messages.payload(accepted.message_id, Part.REQUEST)
        return Made(accepted, kept.body if kept else b"null", is_new)

    async def _composed(self, asked: Asked) -> tuple[bytes, str]:
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
            subject=found.workflow.subject,
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


def _one_of(said: Said) -> Exchanged:
    bundle = to_tree(said.request.body, format_of(said.request.media_type) or Format.JSON)
    kept = said.answer
    answer = bundle_about(said_by(bundle), kept.body, kept.media_type) if kept else {}
    return Exchanged(move=said.move, bundle=bundle, answer=answer)


_UNKNOWN = problem(
    "in_reply_to",
    "names no workflow in which this organisation makes such a move; take workflow_id or"
    " request_id from the notice or the receipt",
)
_REUSED = problem("submission_id", "was used for another move; a new move needs a new one")
