"""
The socket door: HTTP on a Unix socket, for an EPR that wants to be told at once.

    POST /moves                         a message that is composed here: `moves`
    POST /messages                      201 receipt · 200 the same receipt again · 422 issues
    GET  /openapi.json                  all of this, for programs
    GET  /contract                      which contract is kept: docs/epr-contract.md
    GET  /messages/{request_id}         state, attempts, workflow
    GET  /queue                         what is not settled yet
    GET  /notices?wait=30&limit=50      oldest first; waits until there is one
    GET  /notices/{id}                  one notice, collected or not
    GET  /notices/{id}/message          the Bundle, byte for byte
    GET  /notices/{id}/answer           what was answered to it
    POST /notices/{id}/collected        204: the EPR has it, and is not told again
    …    /questions                     what the EPR decides: `questions`
    POST /messages/{id}/{verb}          hold, withdraw, retry, …: `intervention_requests`
    …    /alarms                        what a person has to see: `intervention_requests`
    …    /alerts                        who sees to what is told of: `intervention_requests`
    GET  /bars/…?to=system|value        what others are asked: `read_requests`

One socket per provider. Whoever may open the file may speak for that provider, and for
no other: every question to the store carries the provider's name. The caller's uid
goes into the log. The EPR connects to us, and we never connect to the EPR (D-epr-connects).

The file's owner, group and mode (0660) are the authorisation. The mode is set between
bind and listen, when nobody can connect yet. What a crash left behind is removed, but
only if it is a socket that nobody listens on.
"""

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Protocol

import structlog
from aiohttp import web

from bars_gateway import listeners, permissions
from bars_gateway.epr import contract, documents
from bars_gateway.epr.documents import Document, EprWays
from bars_gateway.epr.envelope import EnvelopeProblem, envelope_from_headers
from bars_gateway.epr.inbox import Attendance, log_collected
from bars_gateway.epr.intake import Intake, SubmissionRefused, too_large
from bars_gateway.epr.intervention_requests import refused_order, uid_of
from bars_gateway.epr.moves import MoveRequests, Moves
from bars_gateway.epr.openapi import OPERATIONS
from bars_gateway.epr.orders import OrderProblem
from bars_gateway.epr.questions import QuestionRequests
from bars_gateway.errors import ConfigurationError, GatewayError, PayloadDamaged
from bars_gateway.model.messages import Accepted, Part
from bars_gateway.model.numbers import number_in
from bars_gateway.model.readings import Notice
from bars_gateway.standard.headers import is_uuid
from bars_gateway.standard.issues import Issue
from bars_gateway.stopping import unless_stopped
from bars_gateway.store.asides import Aside
from bars_gateway.store.store import Store

log = structlog.get_logger(__name__)

MODE = 0o660
LONGEST_WAIT = 60.0  # seconds that a question for notices may wait
MOST_NOTICES = 500  # in one answer
_ASK_AGAIN_SECONDS = 30  # Retry-After where nothing can be taken
_AFTER_FAILURE = (
    "its operator has been told. Ask again: what was taken already is never sent twice. If it fails"
    " again, use other means"
)
_STOP_SECONDS = 5.0  # for answers in hand, once the gateway stops
# What nobody but an EPR asks for here; an operator's command line asks for other things.
_OF_AN_EPR = ("/notices", "/questions", "/moves", "/bars")
_PACKED = Issue(
    rule="E03",
    path="Content-Encoding",
    text="is none that is read here: send the message packed with gzip, or as it is",
    http_status=415,
    issue="not-supported",
)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def bound(path: Path) -> socket.socket:
    """Return a socket bound to *path*; raise ConfigurationError where that is not ours to take."""
    _make_way(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(os.fspath(path))
        path.chmod(MODE)
    except OSError as error:
        listener.close()
        permissions.require_making(path)
        raise ConfigurationError(f"no socket at {path}: {error.strerror or error}") from None
    return listener


def _make_way(path: Path) -> None:
    """Remove a socket that a crash left over; raise ConfigurationError for all else."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConfigurationError(f"{path} exists and is not a socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            probe.connect(os.fspath(path))
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        path.unlink(missing_ok=True)
    except OSError as error:
        permissions.require(path, write=True)
        raise ConfigurationError(f"no socket at {path}: {error.strerror or error}") from None
    else:
        raise ConfigurationError(f"another process listens on {path}")


class Routes(Protocol):
    """Whatever else the socket serves."""

    def routes(self) -> list[web.RouteDef]:
        """Return what the socket has to serve."""


class EprSocket:
    """Serves one provider's EPR on one Unix socket."""

    def __init__(
        self,
        store: Store,
        intake: Intake,
        questions: QuestionRequests,
        *further: Routes,
        attendance: Attendance,
        ways: EprWays,
        path: Path,
        now: Callable[[], datetime],
    ) -> None:
        self.attendance = attendance
        self._store = store
        self._intake = intake
        self._questions = questions
        self._further = further
        self._ways = ways
        self._provider = ways.provider
        self._moves = MoveRequests(Moves(store, intake, provider=ways.provider))
        self._path = path
        self._now = now
        self._stopping = asyncio.Event()
        self._listening: listeners.Listening | None = None
        self._inode = 0

    async def open(self) -> None:
        """Listen; raise ConfigurationError where the path is not ours to take."""
        listener = bound(self._path)
        self._inode = self._path.stat().st_ino
        runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=_STOP_SECONDS)
        await runner.setup()
        self._listening = await listeners.serve(runner, listener, tells=self._tell)
        log.info("epr.socket_opened", provider=self._provider, path=str(self._path))

    async def run(self) -> None:
        """Serve until stopped, listening first if `open` has not been called."""
        if self._listening is None:
            await self.open()
        try:
            await self._stopping.wait()
        finally:
            await self.close()

    def stop(self) -> None:
        """End every wait for notices and questions at once, and with them `run`."""
        self._stopping.set()
        self._questions.stop()

    async def close(self) -> None:
        """Finish what is in hand, and take the socket away."""
        self.stop()
        if self._listening is None:
            return
        listening, self._listening = self._listening, None
        await listening.close()
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()

    def _application(self) -> web.Application:
        application = web.Application(
            middlewares=[self._answer_troubles], client_max_size=self._intake.max_bytes
        )
        routes = [
            web.get("/", self._describe),
            web.get("/openapi.json", self._describe_to_programs),
            web.get("/contract", self._tell_contract),
            web.post("/messages", self._take_message),
            web.get("/messages/{request_id}", self._show_message),
            web.get("/queue", self._show_queue),
            web.get("/notices", self._list_notices),
            web.get("/notices/{id}", self._show_notice),
            web.get("/notices/{id}/message", self._show_request),
            web.get("/notices/{id}/answer", self._show_answer),
            web.post("/notices/{id}/collected", self._collect_notice),
            *self._moves.routes(),
            *self._questions.routes(),
            *(route for each in self._further for route in each.routes()),
        ]
        application.router.add_routes(routes)
        application.on_response_prepare.append(_keep_from_caches)
        return application

    @web.middleware
    async def _answer_troubles(  # noqa: PLR0911 (one for each kind of trouble)
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        with structlog.contextvars.bound_contextvars(uid=None, method=request.method):
            try:
                self._note(request)
                return self._packed(request) or await handler(request)
            except listeners.BodyRefused as refused_body:
                return refused_body.answer
            except SubmissionRefused as refused:
                return documents.json_answer(_refusal(refused), refused.http_status)
            except OrderProblem as problem:
                return refused_order(problem)
            except web.HTTPRequestEntityTooLarge:
                limit = self._intake.max_bytes
                return _problem(413, "the body is too large", f"send at most {limit} bytes")
            except web.HTTPException as error:
                cure = "GET / lists what there is to ask for"
                answer = _problem(error.status, error.reason, cure)
                answer.headers.update(listeners.allow_of(error))
                return answer
            except PayloadDamaged as error:
                return await self._failed(request, error, error.advice)
            except GatewayError as error:
                return self._unavailable(error)
            except Exception as error:  # unit of work
                return await self._failed(request, error, _AFTER_FAILURE)

    def _packed(self, request: web.Request) -> web.Response | None:
        """Return the answer to a body that cannot be unpacked; to a message, as any refusal."""
        answer = listeners.refused_encoding(request)
        if answer is None or (request.method, request.path) != ("POST", "/messages"):
            return answer
        refused = self._intake.refusal([_PACKED], http_status=answer.status)
        told = documents.json_answer(_refusal(refused), refused.http_status)
        told.headers["Accept-Encoding"] = answer.headers["Accept-Encoding"]
        return told

    def _note(self, request: web.Request) -> None:
        """Let the log know who asks, and the page that somebody does."""
        structlog.contextvars.bind_contextvars(uid=uid_of(request))
        if request.path.startswith(_OF_AN_EPR):
            self.attendance.seen()
        if request.path == "/questions":
            self.attendance.asked()

    def _unavailable(self, error: GatewayError) -> web.Response:
        log.warning("epr.request_failed", reason=str(error), advice=error.advice)
        answer = _problem(503, "the gateway can take nothing now", error.advice)
        answer.headers["Retry-After"] = str(_ASK_AGAIN_SECONDS)
        return answer

    async def _failed(self, request: web.Request, error: Exception, cure: str) -> web.Response:
        if listeners.has_left(request, error):
            raise error  # nobody waits for an answer, and nothing of ours failed
        await self._tell(error)
        return _problem(500, "the gateway hit an internal error with this request", cure)

    async def _tell(self, error: Exception) -> None:
        now = self._now()
        await self._store.asides.tell(Aside.REQUEST, error, now, provider=self._provider)

    async def _describe(self, _request: web.Request) -> web.Response:
        requests = {f"{m.upper()} {path}": one["summary"] for (m, path), one in OPERATIONS.items()}
        return documents.json_answer({"provider": self._provider, "requests": requests})

    async def _describe_to_programs(self, _request: web.Request) -> web.Response:
        return documents.json_answer(contract.described())

    async def _tell_contract(self, _request: web.Request) -> web.Response:
        return documents.json_answer(documents.contract(self._ways))

    async def _take_message(self, request: web.Request) -> web.Response:
        try:
            body = await listeners.body_of(request)
        except web.HTTPRequestEntityTooLarge:
            issue = too_large(self._intake.max_bytes)
            raise self._intake.refusal([issue], http_status=issue.http_status) from None
        try:
            envelope = envelope_from_headers(request.headers)
        except EnvelopeProblem as problem:
            raise self._intake.refusal(problem.issues) from None
        media_type = request.headers.get("Content-Type", "")
        found = await self._intake.found_or_prepared(body, media_type, envelope)
        if isinstance(found, Accepted):
            return documents.json_answer(documents.receipt(found), 200)
        accepted = await self._intake.commit(found)
        is_new = accepted.request_id == found.request_id
        return documents.json_answer(documents.receipt(accepted), 201 if is_new else 200)

    async def _show_message(self, request: web.Request) -> web.Response:
        request_id = request.match_info["request_id"]
        found = (
            await self._store.messages.history(self._provider, request_id)
            if is_uuid(request_id)
            else ()
        )
        # A message between two services of one provider is there twice: the EPR asks for its own.
        ours = [history for history in found if history.message.direction == "outbound"]
        if not found:
            return _problem(404, "no message has that request id", "see request_id in the receipt")
        return documents.json_answer(documents.state([*ours, *found][0], self._now()))

    async def _show_queue(self, _request: web.Request) -> web.Response:
        rows = await self._store.messages.queue(self._provider, MOST_NOTICES)
        now = self._now()
        return documents.json_answer({"messages": [documents.row(row, now) for row in rows]})

    async def _list_notices(self, request: web.Request) -> web.Response:
        try:
            wait = min(float(request.query.get("wait", "0")), LONGEST_WAIT)
            limit = max(1, min(int(request.query.get("limit", "50")), MOST_NOTICES))
        except ValueError:
            return _problem(400, "wait and limit are numbers", "ask /notices?wait=30&limit=50")
        notices = await self._notices(wait, limit)
        found = [await self._composed(notice) for notice in notices]
        composed = [document for document in found if document is not None]
        return documents.json_answer(documents.told(composed, self._ways))

    async def _composed(self, notice: Notice) -> Document | None:
        """Return what the EPR is told; None after an internal error: it is kept back, and told."""
        try:
            document = documents.notice(notice)
            documents.encode(document)
        except Exception as error:  # unit of work
            await self._store.asides.keep_back(self._provider, notice.notice_id, error)
            return None
        return document

    async def _notices(self, wait: float, limit: int) -> list[Notice]:
        """Return what is pending, or what comes within *wait* seconds."""
        clock = asyncio.get_running_loop().time
        until = clock() + wait
        while True:
            notices = list(await self._store.notices.pending(self._provider, limit))
            left = until - clock()
            if notices or not left > 0 or self._stopping.is_set():
                return notices
            waking = self._store.notices.wait_for_work(self._provider, left)
            await unless_stopped(self._stopping, waking)

    async def _show_notice(self, request: web.Request) -> web.Response:
        return documents.json_answer(documents.notice(await self._notice(request)))

    async def _show_request(self, request: web.Request) -> web.Response:
        return await self._bytes(request, Part.REQUEST)

    async def _show_answer(self, request: web.Request) -> web.Response:
        return await self._bytes(request, Part.ANSWER)

    async def _bytes(self, request: web.Request, part: Part) -> web.Response:
        notice = await self._notice(request)
        try:
            payload = await self._store.messages.payload(notice.message_id, part)
        except PayloadDamaged as error:
            about = {"provider": self._provider, "request_id": notice.request_id}
            now, number = self._now(), notice.message_id
            await self._store.asides.tell(Aside.DAMAGED, error, now, message_id=number, **about)
            return _problem(500, f"the stored bytes of this {part} are damaged", error.advice)
        if payload is None:
            return _problem(404, f"there is no {part} to this notice (any more)", "see the notice")
        return web.Response(body=payload.body, headers={"Content-Type": payload.media_type})

    async def _collect_notice(self, request: web.Request) -> web.Response:
        notice = await self._notice(request)
        if await self._store.notices.collect(self._provider, [notice.notice_id], self._now()):
            log_collected(notice, self._now())
        return web.Response(status=204)

    async def _notice(self, request: web.Request) -> Notice:
        number = number_in(request.match_info["id"])
        if number is not None:
            notice = await self._store.notices.notice(self._provider, number)
            if notice is not None:
                return notice
        raise web.HTTPNotFound(reason="no notice has that number")


async def _keep_from_caches(_request: web.Request, answer: web.StreamResponse) -> None:
    answer.headers["Cache-Control"] = "no-store"


def _refusal(refused: SubmissionRefused) -> Document:
    return documents.refusal(refused.issues, request_id=refused.request_id, code=refused.code)


def _problem(status: int, error: str, cure: str) -> web.Response:
    return documents.json_answer(documents.problem(error, cure), status)
