"""
Questions on the socket: what another organisation waits to hear from the EPR.

    GET  /questions?wait=30&after=17    open ones beyond number 17, oldest first
    GET  /questions/{id}                one question, open or answered
    GET  /questions/{id}/request        the Bundle or resource that it is about, as it came
    POST /questions/{id}/answer         200 receipt · 422 issues, and it is still open

The EPR asks again as soon as it has read the answer, with the highest number that it has
seen; without `after` it gets all that is open, which is what it wants after a restart. For
as long as it keeps asking it counts as connected, and thirty seconds longer. `asks` says where
questions are put by the settings. With `none` all of these are 501 and name the setting, or an
EPR would wait for ever; but what is left of a time when it was asked can still be answered.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Literal

from aiohttp import web

from bars_gateway.epr import documents, question_documents
from bars_gateway.epr.answering import Answering, AnswerRefused
from bars_gateway.epr.documents import Document
from bars_gateway.epr.stopping import unless_stopped
from bars_gateway.listeners import body_of
from bars_gateway.model.questions import Question
from bars_gateway.store.questions import Questions

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Asks = Literal["none", "socket", "folder"]  # the setting `questions`

LONGEST_WAIT = 60.0  # seconds that a poll may wait
MOST_QUESTIONS = 100  # in one answer
_SHOW_UP = 5.0  # seconds after which a poll that waits looks whether its EPR is still there


class _NobodyIsAsked(Exception):
    """There is nothing here, and never will be: it is not for the EPR to decide."""


class QuestionRequests:
    """Serves one provider's questions on its socket."""

    def __init__(
        self,
        questions: Questions,
        answering: Answering,
        *,
        provider: str,
        asks: Asks,
        now: Callable[[], datetime],
    ) -> None:
        """Serve; where it *asks* on the socket, whoever polls here is the EPR that answers."""
        self._questions = questions
        self._answering = answering
        self._provider = provider
        self._asks = asks
        self._now = now
        self._stopping = asyncio.Event()

    def routes(self) -> list[web.RouteDef]:
        """Return what the socket has to serve."""
        return [
            web.get("/questions", self._if_asked(self._list)),
            web.get("/questions/{id}", self._if_asked(self._show)),
            web.get("/questions/{id}/request", self._if_asked(self._show_request)),
            web.post("/questions/{id}/answer", self._if_asked(self._take_answer)),
        ]

    def _if_asked(self, handler: Handler) -> Handler:
        """Answer 501, naming the setting, where by the settings nobody is asked."""

        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except _NobodyIsAsked:
                return _json(question_documents.not_asked(self._provider), 501)

        return handle

    def stop(self) -> None:
        """End every wait for questions at once."""
        self._stopping.set()

    async def _list(self, request: web.Request) -> web.Response:
        try:
            wait = min(float(request.query.get("wait", "0")), LONGEST_WAIT)
            after = int(request.query.get("after", "0"))
        except ValueError:
            cure = "ask /questions?wait=30&after=0"
            return _json(documents.problem("wait and after are numbers", cure), 400)
        wait = 0 if self._asks == "none" else wait
        found = await self._waited_for(request, wait, max(0, after))
        if self._asks == "none" and not found:
            raise _NobodyIsAsked
        return _json(question_documents.listed(found, self._asks))

    async def _waited_for(self, request: web.Request, wait: float, after: int) -> list[Question]:
        """Return what is open, or what comes within *wait* seconds."""
        clock = asyncio.get_running_loop().time
        until = clock() + wait
        while True:
            if self._asks == "socket" and _is_there(request):
                self._questions.attend(self._provider, self._now())
            found = list(
                await self._questions.open_questions(
                    self._provider, after=min(after, 2**62), limit=MOST_QUESTIONS
                )
            )
            left = min(until - clock(), _SHOW_UP)
            if found or not left > 0 or self._stopping.is_set() or not _is_there(request):
                return found
            bell = self._questions.question_work(self._provider, left)
            await unless_stopped(self._stopping, bell)

    async def _show(self, request: web.Request) -> web.Response:
        return _json(question_documents.question(await self._question(request)))

    async def _show_request(self, request: web.Request) -> web.Response:
        question = await self._question(request)
        if question.request is None:
            error = "there is no body to this question (any more)"
            return _json(documents.problem(error, "see the question"), 404)
        headers = {"Content-Type": question.request.media_type}
        return web.Response(body=question.request.body, headers=headers)

    async def _take_answer(self, request: web.Request) -> web.Response:
        question = await self._question(request)
        body = await body_of(request)
        try:
            decided = await self._answering.answer(
                question.question_id, body, request.headers.get("Content-Type", "")
            )
        except AnswerRefused as refused:
            return _json(question_documents.refusal(refused.issues), refused.http_status)
        return _json(question_documents.decided(decided))

    async def _question(self, request: web.Request) -> Question:
        number = request.match_info["id"]
        if number.isascii() and number.isdigit() and len(number) < 19:  # noqa: PLR2004 (63 bits)
            question = await self._questions.question(self._provider, int(number))
            if question is not None:
                return question
        if self._asks == "none":
            raise _NobodyIsAsked
        raise web.HTTPNotFound(reason="no question has that number")


def _is_there(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()


def _json(document: Document, status: int = 200) -> web.Response:
    body = documents.encode(document)
    return web.Response(body=body, status=status, content_type="application/json")
