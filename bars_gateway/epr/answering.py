"""
Takes the EPR's answer to a question: checks it, composes what the Sender gets, decides.

    {"accept": true}          ─┐                            ┌─► store: decide ─► Decided
    {"refuse": "slot-taken"}  ─┼─► understood? R4? fits? ───┤
    a resource or a Bundle    ─┘                            └─► AnswerRefused(every issue)

An answer that cannot be used is refused with all that is wrong, and the question stays
open: the EPR may correct itself while the proxy still waits. The same answer given again
gets the same receipt, so that an EPR may repeat what it is not sure of; another answer is
refused, because the first is what the Sender was told.

A yes is no answer to a read or a search: what was asked for is data. Where the EPR only says
yes to a message, the acknowledgement is the message with the ids that the
gateway minted, as for every referral; an EPR that has ids of its own names them.

Decisions: D-reads-prove.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime

import structlog

from bars_gateway.epr.composing import Answer, composed
from bars_gateway.model.messages import Payload
from bars_gateway.model.questions import Decided, Decision, Question
from bars_gateway.standard.answers import problem_outcome
from bars_gateway.standard.decisions import REFUSALS
from bars_gateway.standard.formats import LONG, Format
from bars_gateway.standard.issues import Issue
from bars_gateway.store.questions import Questions

log = structlog.get_logger(__name__)


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
        said = hashlib.sha256(body).hexdigest()
        if question.decided_at is None:
            decision = await self._decision(question, body, media_type, said)
        else:
            decision = _refusal("not-done", said)  # it changes nothing: the first answer stands
        decided = await self._questions.decide(self._provider, question_id, decision, self._now())
        if decided is None:
            raise AnswerRefused([_UNKNOWN], http_status=404)
        if decided.other:
            raise AnswerRefused([_OTHER], http_status=409)
        self._log(decided)
        return decided

    async def _decision(
        self, question: Question, body: bytes, media_type: str, said: str
    ) -> Decision:
        arguments = (question, body, media_type, self._new_id, self._now())
        if len(body) + len(question.request.body if question.request else b"") >= LONG:
            found = await asyncio.to_thread(composed, *arguments)
        else:
            found = composed(*arguments)
        if isinstance(found, list):
            raise AnswerRefused(found)
        return _refusal(found, said) if isinstance(found, str) else _acceptance(found, said)

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


def _acceptance(answer: Answer, said: str) -> Decision:
    return Decision(
        accepted=True,
        word=None,
        http_status=answer.http_status,
        code=None,
        answer=Payload(media_type=answer.media_type, headers={}, body=answer.body),
        focus_id=answer.focus_id,
        reference=answer.reference,
        answered_with=said,
    )


def _refusal(word: str, said: str) -> Decision:
    problem = REFUSALS[word]
    return Decision(
        accepted=False,
        word=word,
        http_status=problem.http_status,
        code=problem.code,
        answer=Payload(media_type=Format.JSON, headers={}, body=problem_outcome(problem)),
        focus_id=None,
        reference=None,
        answered_with=said,
    )


def _problem(path: str, text: str) -> Issue:
    return Issue(rule="Q01", path=path, text=text, issue="value")


_UNKNOWN = _problem("question", "no question has that number, or it was a read that is over")
_OTHER = _problem("answer", "the question was answered before in other words, which stand")


def _too_large(max_bytes: int) -> Issue:
    return _problem("answer", f"is larger than {max_bytes} bytes")
