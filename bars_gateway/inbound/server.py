"""
HTTP for those who bring messages: routes, limits and deadlines, and an answer to everything.

    CallerConnection ──request──► name? path? method? type? ──body──► Answerer ──Reply──► answer
                                  401   404   405     415    413 408     408 after 4.5 s

The routes, and what all others are answered:

    POST $process-message                       GET Slot · Appointment · ServiceRequest
    GET metadata · MessageDefinition            GET Appointment/{id} · ServiceRequest/{id}
    preview (D-preview): POST Appointment · ServiceRequest, PUT · PATCH · DELETE with {id}

The proxy may call below any base path, so what counts is the end of the path. A preview write
is 501 where it is switched off, and so is what the API has at the proxy alone: pointers and the
catalogue of Endpoints with its templates. Any other method that a path has not is 405
and names those that it has. Everything else is 404, the proxy's own health paths
included, for they are nobody's business without a token.

Bodies come in either format, gzipped or not, and answers go as they were asked for.
Whatever goes wrong is answered with an OperationOutcome that repeats the caller's two
ids, because the proxy replaces what it cannot read, and then nobody learns the cause.
Nothing of a request is in a log line but its two ids, and those only as UUIDs.

The 4.5 s of the Answerer run from the last byte of the body. When they are over the
Sender gets 408 and comes again; if the message was stored all the same, the retry
gets *duplicate*, which is true both times. An exception that nobody foresaw ends one request:
its Sender gets 500 and comes again, and an alarm names type and place; it is taken once.
An error even in that is left to aiohttp, which asks `_failed` for the answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import cast

import structlog
from aiohttp import web
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy
from prometheus_client import CollectorRegistry

from bars_gateway.errors import (
    ConfigurationError,
    GatewayError,
    StoreError,
    StoreUnavailable,
    unforeseen,
)
from bars_gateway.frozen import frozen
from bars_gateway.inbound.acceptor import Acceptor, InboundMetrics
from bars_gateway.inbound.connection import (
    Admission,
    CallerConnection,
    Callers,
    Dealings,
    InboundLimits,
)
from bars_gateway.inbound.exchange import (
    ANSWER_LATE,
    BODY_LATE,
    ENCODED,
    HEADERS_TOO_LONG,
    LINE_TOO_LONG,
    NO_FHIR,
    NO_GZIP,
    NO_HTTP,
    NOT_ALLOWED,
    STORE_TROUBLE,
    TOO_LARGE,
    UNAVAILABLE,
    UNEXPECTED,
    Answerer,
    InboundRequest,
    Reply,
    problem_reply,
    rendered,
    rendered_at_once,
)
from bars_gateway.listeners import (
    ENCODING,
    BodyTooLong,
    BrokenPacking,
    encoding_of,
    has_left,
    is_known,
    unpacked,
    unreadable,
)
from bars_gateway.standard.answers import Problem
from bars_gateway.standard.formats import Format, format_of, negotiate
from bars_gateway.standard.headers import (
    CORRELATION_ID,
    ORGANISATION,
    REQUEST_ID,
    echo,
    organisation_code,
)
from bars_gateway.standard.issues import Issue
from bars_gateway.tls.contexts import CurrentIdentity
from bars_gateway.tls.sightings import Sightings

log = structlog.get_logger(__name__)

_STARTED = web.RequestKey("started", float)
_HEADERS = web.RequestKey("headers", dict[str, str])
_BAD_REQUEST = 400
_UNREADABLE = {414: LINE_TOO_LONG, 431: HEADERS_TOO_LONG}
PROCESS_MESSAGE = "$process-message"
_OTHER = "other"

_COLLECTIONS: Mapping[str, tuple[str, ...]] = {
    PROCESS_MESSAGE: ("POST",),
    "metadata": ("GET",),
    "MessageDefinition": ("GET",),
    "Slot": ("GET",),
    "Appointment": ("GET",),
    "ServiceRequest": ("GET",),
}
_MEMBERS: Mapping[str, tuple[str, ...]] = {"Appointment": ("GET",), "ServiceRequest": ("GET",)}
_WRITTEN = frozenset(_MEMBERS)  # what preview writes are about
_PREVIEWS: Mapping[bool, tuple[str, ...]] = {True: ("PUT", "PATCH", "DELETE"), False: ("POST",)}
_AT_THE_PROXY = frozenset({"DocumentReference", "Endpoint", "HealthcareService", "Organization"})
_TEMPLATE = "$template"
_ALIASES = {"Slots": "Slot"}  # the guide's prose
_METHODS = frozenset("GET HEAD POST PUT PATCH DELETE OPTIONS".split())
_WITH_BODY = frozenset(["POST", "PUT", "PATCH"])
_NOT_IMPLEMENTED = Problem(
    http_status=501,
    code="REC_NOT_IMPLEMENTED",
    issue="not-supported",
    text="this Receiver has nothing of that function: it is a preview, and switched off here",
)
_NOT_FOUND = Problem(
    http_status=404,
    code="REC_NOT_FOUND",
    issue="not-found",
    text="There is nothing at this path. Messages are posted to $process-message.",
)


@frozen(kw_only=True)
class Route:
    """What a request asks for, in words of ours that may be logged."""

    name: str  # $process-message, Slot, …, or other
    method: str  # one of HTTP's usual ones, or other
    problem: Problem | None  # None: the request is to be answered by whoever has that name
    resource_id: str | None = None  # of the path, as it came: it is not for the log
    allow: str | None = None  # the methods that there are, for a 405

    @property
    def takes_body(self) -> bool:
        """Whether there must be a body, and a media type that says what it is."""
        return self.method in _WITH_BODY


def route(method: str, path: str, *, writes: bool = False) -> Route:
    """Return what *method* on the decoded *path* leads to; *writes*: with the preview ones."""
    known = method if method in _METHODS else _OTHER
    name, resource_id = _name_of(path)
    if name in _AT_THE_PROXY:
        return Route(name=name, method=known, problem=_NOT_IMPLEMENTED)
    methods = _methods(name, has_id=resource_id is not None, writes=writes)
    if not methods:
        return Route(name=_OTHER, method=known, problem=_NOT_FOUND)
    if name in _WRITTEN and not writes and method in _PREVIEWS[resource_id is not None]:
        return Route(name=name, method=known, problem=_NOT_IMPLEMENTED)
    if method not in methods:
        allow = ", ".join(methods)
        return Route(name=name, method=known, problem=_wrong_method(name, allow), allow=allow)
    return Route(name=name, method=known, problem=None, resource_id=resource_id)


def _methods(name: str, *, has_id: bool, writes: bool) -> tuple[str, ...]:
    table = _MEMBERS if has_id else _COLLECTIONS
    return table.get(name, ()) + (_PREVIEWS[has_id] if writes and name in _WRITTEN else ())


def _name_of(path: str) -> tuple[str, str | None]:
    """Return the name that *path* ends with, and the id behind it if there is one."""
    *before, last = path.split("/")
    last = _ALIASES.get(last, last)
    if last in _COLLECTIONS:
        return last, None
    if before and before[-1] in _MEMBERS:  # an empty id is one that will not do
        return before[-1], last
    ends = [*before, last] if last != _TEMPLATE else before
    return next((each for each in ends[-2:] if each in _AT_THE_PROXY), _OTHER), None


def _wrong_method(name: str, allow: str) -> Problem:
    return Problem(
        http_status=405,
        code="REC_METHOD_NOT_ALLOWED",
        issue="not-supported",
        text=f"{name} takes {allow} and nothing else here.",
    )


async def body_of(request: web.BaseRequest, *, max_bytes: int, seconds: float) -> bytes | Problem:
    """Return the whole body, inflated, or what is wrong with it; never more than *max_bytes*."""
    try:
        async with asyncio.timeout(seconds):
            await _invite(request)
            return await unpacked(request, max_bytes)
    except TimeoutError:
        return BODY_LATE
    except BodyTooLong:
        return TOO_LARGE
    except web.RequestPayloadError:
        return NO_HTTP
    except BrokenPacking:
        return NO_GZIP


async def _invite(request: web.BaseRequest) -> None:
    """Tell a caller who asks before sending a body that it may."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun


async def _nobody_told(_error: BaseException) -> None:
    """Leave it at the log."""


def _nothing_known() -> None:
    """Know of nothing that keeps messages from being stored."""


class InboundServer:
    """The listener for messages from others, from `start` to `stop`."""

    def __init__(
        self,
        answer: Answerer,
        identity: CurrentIdentity,
        *,
        host: str,
        port: int,
        callers: Callers,
        registry: CollectorRegistry,
        now: Callable[[], datetime],
        limits: InboundLimits | None = None,
        writes: bool = False,
        tell: Callable[[BaseException], Awaitable[None]] = _nobody_told,
        callers_file: Path | None = None,
        unavailable: Callable[[], object] = _nothing_known,
    ) -> None:
        """
        Make a listener; *writes*: with the preview writes of resources.

        *tell* is called with what nobody foresaw, so that a person hears of it. Who was let in
        is kept in *callers_file*, for the judgement of new authorities. *unavailable* says why
        nothing can be stored at this moment: then an answer is not late, but cannot be given.
        """
        self._tell, self._unavailable, self._writes = tell, unavailable, writes
        self.identity = identity  # replace what it holds, and new connections meet that
        self.admission = Admission(callers, identity, now)
        self.sightings = Sightings(callers_file, now)
        self.metrics = InboundMetrics(registry)
        self._answer, self._now = answer, now
        self._limits = limits or InboundLimits()
        self._address = (host, port)
        self._manager: web.Server | None = None
        self._acceptor = Acceptor(
            identity=identity,
            admission=self.admission,
            connection=self._connection,
            limits=self._limits,
            metrics=self.metrics,
            sightings=self.sightings,
        )

    @property
    def port(self) -> int:
        """The port that is listened on; after `start`, never 0."""
        return self._address[1]

    @property
    def answered(self) -> Mapping[int, int]:
        """How many requests were answered, by HTTP status."""
        return self.metrics.answered

    @property
    def failures(self) -> Mapping[str, int]:
        """How many connections brought no request, by reason."""
        return self.metrics.failures

    @property
    def connections(self) -> Collection[CallerConnection]:
        """The connections that are open, handshakes included."""
        return self._acceptor.connections

    def start(self) -> None:
        """Listen; raise ConfigurationError if the address cannot be used."""
        if HttpRequestParser is HttpRequestParserPy:
            # Most of the known request smuggling was in the other one.
            raise ConfigurationError("aiohttp's compiled parser is missing")
        self._manager = web.Server(self._handle)
        host, port = self._address
        self._address = (host, self._acceptor.listen(host, port))
        log.info("inbound.listening_started", address=host, port=self.port)

    async def run(self, beat: Callable[[], None] = lambda: None) -> None:
        """Serve until `stop`, with a *beat* for each caller; return once all have their answer."""
        await self._acceptor.run(beat)

    def rests(self) -> bool:
        """Tell whether no caller waits to be let in, or there is no room for one."""
        return self._acceptor.rests()

    def stop(self) -> None:
        """Accept nobody else, and let the requests under way have their answers."""
        self._acceptor.stop()

    def _connection(self) -> CallerConnection:
        assert self._manager is not None, "start() comes first"
        dealings = Dealings(
            manager=self._manager,
            judge=self.admission.judge,
            fails=self._failed,
            tells=self._tell_unless_left,
        )
        return CallerConnection(dealings, self._limits)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        request[_STARTED] = asyncio.get_running_loop().time()
        try:
            way = route(request.method, request.path, writes=self._writes)
            reply = await self._reply(request, way)
            packed_as = request.headers.get("Accept-Encoding", "")
            return self._ended(request, way, await rendered(reply, _preferred(request), packed_as))
        except web.HTTPException:
            raise  # aiohttp has an answer of its own
        except Exception as error:  # unit of work
            await self._tell_unless_left(request, error)
            return self._failed(request, web.HTTPInternalServerError.status_code, error)

    async def _tell_unless_left(self, request: web.BaseRequest, error: Exception) -> None:
        """Let a person hear of what nobody foresaw, and not of callers who hang up."""
        if not has_left(request, error):
            await self._tell(error)

    async def _reply(self, request: web.BaseRequest, way: Route) -> Reply:
        problem = self._refusal(request, way)
        if problem is not None:
            headers = {} if way.allow is None else {"Allow": way.allow}
            if problem is ENCODED:
                headers["Accept-Encoding"] = ENCODING
            return replace(problem_reply(problem), headers=headers)
        limits = self._limits
        body = await body_of(request, max_bytes=limits.max_body_bytes, seconds=limits.body_seconds)
        if isinstance(body, Problem):
            return problem_reply(body)
        return await self._answered(request, way, body)

    def _refusal(self, request: web.BaseRequest, way: Route) -> Problem | None:
        """Return what can be said without the body."""
        if self.admission.judge(_connection(request).caller).refusal is not None:
            return NOT_ALLOWED  # taken off the list, or revoked, since it connected
        if way.problem is not None:
            return way.problem
        if not is_known(encoding_of(request)):
            return ENCODED
        if way.takes_body and format_of(request.content_type) is None:
            return NO_FHIR
        if (request.content_length or 0) > self._limits.max_body_bytes:
            return TOO_LARGE
        return None

    async def _answered(self, request: web.BaseRequest, way: Route, body: bytes) -> Reply:
        arrived = InboundRequest(
            headers=_headers(request),
            written_in=format_of(request.content_type) or Format.JSON,
            answer_in=_negotiated(request),
            body=body,
            received_at=self._now(),
            peer=_connection(request).peer,
            name=way.name,
            method=way.method,
            resource_id=way.resource_id,
            query=request.rel_url.raw_query_string,
        )
        try:
            async with asyncio.timeout(self._limits.answer_within_seconds):  # D-who-answers
                return await self._answer(arrived)
        except TimeoutError:
            return problem_reply(UNAVAILABLE if self._unavailable() else ANSWER_LATE)
        except GatewayError as error:  # each has an answer; the Sender is to come again
            self._log_failure(request, error, error.advice)
            if not isinstance(error, StoreUnavailable):
                await self._tell(error)
            return problem_reply(_trouble(error))

    def _failed(
        self, request: web.BaseRequest, status: int, exc: BaseException | None
    ) -> web.StreamResponse:
        """Answer what is no HTTP (400), or an exception that nobody caught (500)."""
        if status == _BAD_REQUEST:
            reply = problem_reply(_UNREADABLE.get(unreadable(exc), NO_HTTP))
            return self._ended(request, route("", ""), reply)
        if has_left(request, exc):
            log.info("inbound.caller_left", peer=_connection(request).peer, **_named(request))
            return web.Response(status=_BAD_REQUEST)  # which nobody hears
        self._log_failure(request, exc, GatewayError.advice)
        way = route(request.method, request.path)
        reply = rendered_at_once(problem_reply(UNEXPECTED), _preferred(request))
        return self._ended(request, way, reply)

    def _ended(self, request: web.BaseRequest, way: Route, reply: Reply) -> web.StreamResponse:
        """Count and log the request, and return its answer."""
        now = asyncio.get_running_loop().time()
        seconds = now - request.get(_STARTED, now)
        self.metrics.note_answer(reply.http_status, seconds)
        log.info(
            "inbound.request_ended",
            method=way.method,
            route=way.name,
            http_status=reply.http_status,
            code=reply.code,
            seconds=round(seconds, 3),
            peer=_connection(request).peer,
            **_named(request),
        )
        return _response(request, reply)

    def _log_failure(
        self, request: web.BaseRequest, error: BaseException | None, advice: str
    ) -> None:
        # The type alone: an exception's text may hold what it stumbled over.
        log.error(
            "inbound.request_failed",
            exception=type(error).__name__,
            place=unforeseen(error).place if error is not None else None,
            advice=advice,
            peer=_connection(request).peer,
            **_named(request),
        )


def _connection(request: web.BaseRequest) -> CallerConnection:
    return cast("CallerConnection", request.protocol)


def _negotiated(request: web.BaseRequest) -> Format | Issue:
    headers = _headers(request)
    return negotiate(headers.get("accept"), request.query.get("_format"))


def _preferred(request: web.BaseRequest) -> Format:
    """Return the format of the answer, whatever is wrong with the request."""
    choice = _negotiated(request)
    return choice if isinstance(choice, Format) else Format.JSON


def _trouble(error: GatewayError) -> Problem:
    match error:
        case StoreUnavailable():
            return UNAVAILABLE
        case StoreError():
            return STORE_TROUBLE
    return UNEXPECTED


def _headers(request: web.BaseRequest) -> dict[str, str]:
    """Return the headers by lower-case name, as they were read at first."""
    if _HEADERS not in request:
        request[_HEADERS] = _read(request.headers)
    return request[_HEADERS]


def _read(headers: Mapping[str, str]) -> dict[str, str]:
    """
    Return headers by lower-case name: repeated ones joined, the token left out.

    A line that is there twice, as a hop in between may write it, says no more than once.
    """
    found: dict[str, str] = {}
    for name, value in headers.items():
        key, text = name.lower(), value
        if not text.isascii():
            text = text.encode("ascii", "replace").decode("ascii")
        if found.get(key) != text:
            found[key] = f"{found[key]}, {text}" if key in found else text
    found.pop("authorization", None)
    return found


def _named(request: web.BaseRequest) -> dict[str, str]:
    """Return what the request names itself by: its ids, and the organisation that sends it."""
    headers = _headers(request)
    echoed = echo(headers)
    fields = {"request_id": REQUEST_ID, "correlation_id": CORRELATION_ID}
    found = {field: echoed[name] for field, name in fields.items() if name in echoed}
    if "request_id" in found:
        found["request_id"] = found["request_id"].lower()  # as it is kept
    sender = organisation_code(headers.get(ORGANISATION.lower(), ""))
    return found if sender is None else {**found, "sender": sender}


def _response(request: web.BaseRequest, reply: Reply) -> web.Response:
    """Return *reply* for aiohttp to send, with the two ids of the caller."""
    fields = {
        "Content-Type": reply.written_in.value,
        "Cache-Control": "no-store",
        "Vary": "Accept, Accept-Encoding",
        **reply.headers,
        **echo(_headers(request)),
    }
    answer = _Answer(status=reply.http_status, body=reply.body, headers=fields)
    if not request.content.is_eof():
        answer.force_close()  # what is still to come of the body belongs to nothing
    return answer


class _Answer(web.Response):
    """A response that does not say which software wrote it (core page, 1.2)."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall("Server", None)
