"""
Every HTTP listener of ours: the body of a request, and what is answered to what is not HTTP.

    bytes ──aiohttp──► request │ not HTTP ──► 400 with a sentence and a cure; the connection ends
    chunks ──(gzip)──► bytes │ BodyTooLong │ BrokenPacking

aiohttp's own answer quotes what it could not read. Where an EPR counts characters in its
Content-Length, or forgets it, that is half a referral, in an answer that programs log.

There is a limit on the connections of this machine, too: whoever leaves them open would take the
file descriptors that the database and the other side need. Whoever closes its own half after the
request, as small clients do, still gets its answer.

A stop lets nobody else in, waits for answers, and hangs up on everybody (`Listening`): asyncio's
own server forgets whom it lets in while it is closed, and they would wait for as long as we live.

A body is read by `body_of`, in its time and within its limit; what is wrong with it is a
BodyRefused, which holds its answer. The limit counts what comes out of the inflating as well as
what goes into it, and inflating stops at the limit: a few kilobytes cannot become gigabytes here.
A body may be packed in several gzip members (RFC 1952), as whoever packs piece by piece does. One
whose last bytes are missing is none: what was cut off nobody can know.

Decisions: D-gzip, D-hostile-bodies.
"""

import asyncio
import contextlib
import select
import socket
import ssl
import zlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, cast

import orjson
import structlog
from aiohttp import StreamReader, web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong

from bars_gateway.errors import AddressUnusable

log = structlog.get_logger(__name__)
Telling = Callable[[Exception], Awaitable[None]]
_Answering = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
_NO_LOG: Any = None  # so aiohttp spells it

MAX_CONNECTIONS: Final = 64
# Of every listener of ours. The first two differ, so that the parser's words tell which was met.
LONGEST_LINE: Final = 8190  # bytes of a request line
LONGEST_FIELD: Final = 16380  # bytes of one header
MOST_HEADERS: Final = 128
BODY_SECONDS: Final = 30.0  # for a body to arrive
_CURES = {
    400: (
        "this is not a well-formed HTTP request",
        "a Content-Length counts bytes, not characters, and a body needs one (or chunks)",
    ),
    408: ("the body did not arrive in time", "send it again"),
    417: ("what is expected is not met here", "send Expect: 100-continue, or nothing"),
    431: (
        "the headers are too long, or too many",
        f"{LONGEST_FIELD} bytes of one header are read, and {MOST_HEADERS} headers",
    ),
    414: ("the request line is too long", f"ask for less at once; {LONGEST_LINE} bytes are read"),
    415: ("the body has a Content-Encoding that cannot be read", "send it as it is, or as gzip"),
}
_NOT_PACKED = (
    "the body is not the whole gzip stream that its Content-Encoding promises",
    "pack it again, all of it, or send it as it is",
)
_BAD_REQUEST, _UNSUPPORTED, _SERVER_ERROR = 400, 415, 500
_TOO_MANY_HEADERS = "Too many headers received"  # as aiohttp says it
_CONTINUE = "100-continue"
_CROWDED_SECONDS = 5.0  # for a connection too many to say something
_GOODBYE_SECONDS = 1.0  # for a caller to take what was written, and to say goodbye
ENCODING: Final = "gzip"  # that is read, and may be called x-gzip
_GZIP = zlib.MAX_WBITS | 16
_MOST_MEMBERS = 1000  # each costs time, and may be empty
_ENCODINGS = frozenset({"identity", ENCODING, "x-gzip"})


def opened(setting: str, host: str, port: int, backlog: int | None = None) -> socket.socket:
    """Return a socket that listens there, or raise AddressUnusable, which names *setting*."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=backlog)
    except OSError as error:
        raise AddressUnusable(setting, host, port, error) from error


class Listening:
    """
    A listener, and whoever has come in by it: closed, it leaves nobody standing inside.

    asyncio lets a caller in over two turns of its loop. Whoever stands between them when its server
    is closed is neither served nor hung up on, so the first turn is called off before that.
    """

    def __init__(self, runner: web.AppRunner, listener: socket.socket) -> None:
        self._runner, self._listener = runner, listener
        self._server: asyncio.Server | None = None
        self._inside: dict[QuietConnection, asyncio.Transport] = {}
        self._all_left = asyncio.Event()
        self._all_left.set()
        self._closing = False

    async def begin(
        self, connection: Callable[[], "QuietConnection"], tls: ssl.SSLContext | None
    ) -> None:
        """Let callers in, each as a new *connection*."""
        self._server = await asyncio.get_running_loop().create_server(
            connection,
            sock=self._listener,
            ssl=tls,
            ssl_shutdown_timeout=None if tls is None else _GOODBYE_SECONDS,
        )

    def came(self, connection: "QuietConnection", transport: asyncio.Transport) -> None:
        """Note who is inside; hang up on whoever comes too late."""
        self._inside[connection] = transport
        self._all_left.clear()
        if self._closing:
            transport.abort()

    def left(self, connection: "QuietConnection") -> None:
        """Note that somebody has left."""
        del self._inside[connection]
        if not self._inside:
            self._all_left.set()

    async def close(self) -> None:
        """Let nobody else in, finish what is in hand, and hang up on who is still inside."""
        if self._server is None or self._closing:
            return
        self._closing = True
        asyncio.get_running_loop().remove_reader(self._listener)
        await asyncio.sleep(0)  # the second turn of whoever had the first
        self._server.close()
        await self._runner.cleanup()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_SECONDS):
                await self._all_left.wait()
        for transport in list(self._inside.values()):
            transport.abort()
        await self._all_left.wait()


async def serve(
    runner: web.AppRunner,
    listener: socket.socket,
    *,
    connection: type["QuietConnection"] | None = None,
    tls: ssl.SSLContext | None = None,
    tells: Telling | None = None,
) -> Listening:
    """
    Serve the application of *runner*, which is set up, on *listener*, until that is closed.

    *connection*: another kind than LocalConnection, which is for few callers, without TLS.
    *tells*: a person, of an answer that could not be written; None: the log has it.
    """
    manager = runner.server
    assert manager is not None
    listening = Listening(runner, listener)
    made = partial(
        connection or LocalConnection,
        manager,
        listening,
        tells=tells,
        loop=asyncio.get_running_loop(),
        access_log=_NO_LOG,
        max_line_size=LONGEST_LINE,
        max_field_size=LONGEST_FIELD,
        max_headers=MOST_HEADERS,
        auto_decompress=False,  # aiohttp does not see where the end is missing
    )
    await listening.begin(made, tls)
    return listening


def unreadable(exc: BaseException | None) -> int:
    """Return the status for what aiohttp could not read as a request: 400, 414 or 431."""
    if isinstance(exc, LineTooLong):
        _, limit, *_ = exc.args
        return 414 if limit == LONGEST_LINE else 431
    return 431 if isinstance(exc, BadHttpMessage) and exc.message == _TOO_MANY_HEADERS else 400


def has_left(request: web.BaseRequest, exc: BaseException | None) -> bool:
    """Tell whether *exc* is only that the caller hung up, which is not a failure of ours."""
    return isinstance(exc, ConnectionError) and request.transport is None


def allow_of(error: web.HTTPException) -> dict[str, str]:
    """Return the header that a 405 has to say, in an answer of ours in the place of aiohttp's."""
    return {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}


def refused_encoding(request: web.BaseRequest) -> web.Response | None:
    """Return the answer to a body that is packed in a way that is not read here, if it is."""
    return None if is_known(encoding_of(request)) else _answer(415)


class BodyRefused(Exception):
    """The body is not what was promised, or is not there in time; `answer` says so."""

    def __init__(self, answer: web.Response) -> None:
        super().__init__(str(answer.status))
        self.answer = answer


async def body_of(request: web.Request) -> bytes:
    """
    Return the whole body, inflated, or raise BodyRefused.

    Raises HTTPRequestEntityTooLarge beyond the limit of the application.
    """
    if not request.body_exists:
        return b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await unpacked(request, request.client_max_size)
    except TimeoutError:
        raise BodyRefused(_answer(408)) from None
    except web.RequestPayloadError:
        raise BodyRefused(_answer(400)) from None
    except BrokenPacking:
        raise BodyRefused(_said(400, *_NOT_PACKED)) from None
    except BodyTooLong:
        raise web.HTTPRequestEntityTooLarge(request.client_max_size) from None


async def _as_expected(answer: _Answering, request: web.BaseRequest) -> web.StreamResponse:
    """Let *answer* have the request, unless it expects what is not met: whatever it is for."""
    if request.headers.get("Expect", _CONTINUE).lower() != _CONTINUE:
        return _answer(417)  # aiohttp's own answer quotes it
    return await answer(request)


class QuietConnection(web.RequestHandler):
    """One connection, on which nothing of what came is ever sent back, or logged."""

    __slots__ = ("_listening", "_tells")

    def __init__(
        self,
        manager: web.Server,
        listening: Listening,
        *,
        tells: Telling | None = None,
        **named: Any,
    ) -> None:
        super().__init__(manager, **named)
        self._listening, self._tells = listening, tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; whatever came by is known by the listener from here on."""
        super().connection_made(transport)
        self._listening.came(self, cast("asyncio.Transport", transport))

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        super().connection_lost(exc)
        self._listening.left(self)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write the answer; where it is one that cannot be written, tell of it, and write 500."""
        try:
            return await super().finish_response(request, resp, start_time)
        except ConnectionError:
            raise  # the caller has left
        except Exception as error:  # unit of work
            if self._tells is not None:
                await self._tells(error)
            other = self.handle_error(request, _SERVER_ERROR, error)
            return await super().finish_response(request, other, start_time)

    async def _handle_request(
        self, request: web.BaseRequest, start_time: float | None, request_handler: _Answering
    ) -> tuple[web.StreamResponse, bool]:
        answering = partial(_as_expected, request_handler)
        return await super()._handle_request(request, start_time, answering)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - of aiohttp, and it may quote the request
    ) -> web.StreamResponse:
        """Answer what is not HTTP, and what nobody expected; then close."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun, and no other can follow it")
        if status == _BAD_REQUEST:
            return _answer(unreadable(exc))
        if has_left(request, exc):
            log.debug("http.caller_left")
        else:
            log.error("http.request_failed", exception=type(exc).__name__)
        return _answer(status)

    def log_exception(self, *args: Any, **kw: Any) -> None:  # noqa: ARG002
        """Say nothing: the text of aiohttp's own may quote the request."""
        failure = kw.get("exc_info")
        if not isinstance(failure, web.RequestPayloadError):  # a broken body has had its answer
            log.error("http.connection_failed", exception=type(failure).__name__)


class LocalConnection(QuietConnection):
    """One connection to a local listener, one of not too many."""

    __slots__ = ("_answered", "_crowded", "_last_body", "_said_all")

    _answered: int  # requests with an answer, of the _request_count that came
    _crowded: bool
    _last_body: StreamReader | None
    _said_all: bool  # it has closed its own half, and waits for what it asked for

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Serve the connection, or wait for what it wants, to say that there are too many."""
        super().connection_made(transport)
        self._answered, self._last_body, self._said_all = 0, None, False
        assert self._manager is not None
        self._crowded = len(self._manager.connections) > MAX_CONNECTIONS
        if self._crowded:
            log.warning("http.connections_full", count=MAX_CONNECTIONS)
            self._loop.call_later(_CROWDED_SECONDS, self.force_close)

    def data_received(self, data: bytes) -> None:
        """Take what came, or say that there are too many connections."""
        if not self._crowded:
            requests = self._request_count
            super().data_received(data)
            if self._request_count > requests:
                self._last_body = self._messages[-1][1]
        elif isinstance(self.transport, asyncio.WriteTransport) and not self.transport.is_closing():
            self.transport.write(_TOO_MANY)
            self.force_close()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio asks whether to stay
        """Stay for what was asked for, where only the caller's own half of it is closed."""
        self._said_all = self._is_asked and not self._is_deserted
        return self._said_all

    @property
    def _is_asked(self) -> bool:
        """Whether a request is in hand, and the last has come with its whole body."""
        in_hand = self._request_count > self._answered
        return in_hand and self._last_body is not None and self._last_body.is_eof()

    @property
    def _is_deserted(self) -> bool:
        """Whether nobody is there any more to read an answer; on TCP that cannot be seen."""
        assert self.transport is not None
        other_end = select.poll()
        other_end.register(self.transport.get_extra_info("socket").fileno(), select.POLLRDHUP)
        return any(event & select.POLLHUP for _, event in other_end.poll(0))

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write the answer, and close after the last to a caller who has said all."""
        written, reset = await super().finish_response(request, resp, start_time)
        self._answered += 1
        if self._said_all and self._answered == self._request_count:
            self.close()
        return written, reset


def _answer(status: int) -> web.Response:
    """Return an answer after which nothing can be read any more."""
    error, cure = _CURES.get(
        status, ("the gateway failed in a way that it did not foresee", "see its log")
    )
    return _said(status, error, cure)


def _said(status: int, error: str, cure: str) -> web.Response:
    response = web.Response(
        body=_document(error, cure), status=status, content_type="application/json"
    )
    if status == _UNSUPPORTED:
        response.headers["Accept-Encoding"] = ENCODING
    response.force_close()
    return response


def _document(error: str, cure: str) -> bytes:
    return orjson.dumps({"error": error, "cure": cure}) + b"\n"


_TOO_MANY = b"\r\n".join(
    (
        b"HTTP/1.1 503 Service Unavailable",
        b"Content-Type: application/json",
        b"Retry-After: 1",
        b"Connection: close",
        b"",
        _document(
            "too many connections are open", "close those that are no longer used, and ask again"
        ),
    )
)


class BodyTooLong(Exception):
    """The body is longer than is read here, packed or not."""


class BrokenPacking(Exception):
    """The body is not the whole stream that its Content-Encoding promises."""


def encoding_of(request: web.BaseRequest) -> str:
    """Return the Content-Encoding in lower case, `identity` where there is none."""
    return request.headers.get("Content-Encoding", "").strip().lower() or "identity"


def is_known(encoding: str) -> bool:
    """Tell whether a body of that Content-Encoding can be read."""
    return encoding in _ENCODINGS


async def unpacked(request: web.BaseRequest, max_bytes: int) -> bytes:
    """Return the whole body, or raise BodyTooLong or BrokenPacking; never more than *max_bytes*."""
    inflating = None if encoding_of(request) == "identity" else _Inflating(max_bytes)
    body = bytearray()
    while chunk := await request.content.readany():
        body += chunk if inflating is None else inflating.inflated(chunk)
        if len(body) > max_bytes or (inflating and inflating.taken > max_bytes):
            raise BodyTooLong
    if inflating is not None and not inflating.ended:
        raise BrokenPacking
    return bytes(body)


class _Inflating:
    """Members of gzip that are inflated as they come, to one byte beyond the limit at most."""

    def __init__(self, max_bytes: int) -> None:
        self._member = zlib.decompressobj(_GZIP)
        self._members = 1
        self._room = max_bytes + 1
        self.taken = 0  # bytes, before inflating

    @property
    def ended(self) -> bool:
        """Whether the last member is complete."""
        return self._member.eof

    def inflated(self, chunk: bytes) -> bytes:
        """Return what *chunk* adds to the body, cut off one byte beyond the limit."""
        self.taken += len(chunk)
        found = bytearray()
        while chunk and self._room:  # 0, zlib would read as no limit
            if self._member.eof:
                self._begin_another()
            found += self._more(chunk)
            chunk = self._member.unused_data
        return bytes(found)

    def _more(self, chunk: bytes) -> bytes:
        try:
            more = self._member.decompress(chunk, self._room)
        except zlib.error:
            raise BrokenPacking from None
        self._room -= len(more)
        return more

    def _begin_another(self) -> None:
        if self._members == _MOST_MEMBERS:
            raise BrokenPacking
        self._members += 1
        self._member = zlib.decompressobj(_GZIP)
