"""
What only the EPR can decide: it is asked while the proxy waits, and the Sender gets what it said.

    ask ─► on disk ─► the EPR's door … decision ─► on disk ─► the Sender
            │ met before: 409 · 425 · its refusal    │ 4.5 s are over: 408, cancelled
            └ no EPR there: 503; none that is ever asked: 501. A cancellation leaves word of itself

Nothing here holds anything: a question is a row, and whoever waits for it may be cancelled
at any time. The server does that when the time is over. The question stays; a retry meets
425 until the EPR has answered, and then that answer (D-asked-once). An answer of the last
milliseconds may be in time on disk and too late for the Sender: that is the same case.
"""

from datetime import datetime, timedelta

import structlog

from bars_gateway.frozen import frozen
from bars_gateway.inbound.exchange import (
    NOT_OFFERED,
    UNATTENDED,
    Reply,
    met_reply,
    problem_reply,
)
from bars_gateway.model.messages import Arrival, Met, Payload
from bars_gateway.model.questions import (
    Answered,
    QuestionOpen,
    ResourceRequest,
    Terms,
    Unattended,
)
from bars_gateway.standard.answers import Minted
from bars_gateway.standard.formats import Format
from bars_gateway.store.questions import Questions

log = structlog.get_logger(__name__)


@frozen(kw_only=True)
class Patience:
    """How long who waits for an EPR."""

    proxy: timedelta  # then it gets 408
    operator: timedelta  # then an alarm says that a question is still open


class Asking:
    """Puts questions to the EPRs, and waits for their answers."""

    def __init__(self, questions: Questions, patience: Patience) -> None:
        self._questions = questions
        self._patience = patience

    async def about(
        self, arrival: Arrival, minted: Minted | None, received_at: datetime, now: datetime
    ) -> Reply:
        """Return the EPR's answer to a message; it is on disk by then, with all that it does."""
        terms = self._terms(received_at)
        met = await self._questions.ask_about(arrival, minted, terms, now)
        return await self._reply(met, arrival.request_id)

    async def about_response(
        self, arrival: Arrival, not_found: Payload, received_at: datetime, now: datetime
    ) -> Reply:
        """Return the EPR's answer to a response, or the 404 of one that answers nothing."""
        terms = self._terms(received_at)
        met = await self._questions.ask_about_response(arrival, not_found, terms, now)
        return await self._reply(met, arrival.request_id)

    async def turn_away(self, arrival: Arrival, now: datetime) -> Reply:
        """Refuse a cancellation whose EPR is never asked; it and the operator hear that it came."""
        await self._questions.turn_away(arrival, now)
        log.warning("inbound.cancel_turned_away", request_id=arrival.request_id)
        return problem_reply(NOT_OFFERED)

    async def ask_for_resource(
        self, request: ResourceRequest, received_at: datetime, now: datetime
    ) -> Reply:
        """Return the EPR's answer to a read or a preview write."""
        met = await self._questions.ask(request, self._terms(received_at), now)
        return await self._reply(met, request.request_id)

    def _terms(self, received_at: datetime) -> Terms:
        return Terms(
            answer_by=received_at + self._patience.proxy,
            alarm_at=received_at + self._patience.operator,
        )

    async def _reply(
        self, met: Met | QuestionOpen | Answered | Unattended, request_id: str
    ) -> Reply:
        match met:
            case QuestionOpen(question_id=question_id):
                log.info("inbound.question_asked", question_id=question_id, request_id=request_id)
                return _answer(await self._questions.answer_to(question_id))
            case Answered():
                return _answer(met)
            case Unattended():
                return problem_reply(UNATTENDED)
        return met_reply(met)


def _answer(answered: Answered) -> Reply:
    return Reply(
        http_status=answered.http_status,
        written_in=Format(answered.answer.media_type),
        body=answered.answer.body,
        code=answered.code,
    )
