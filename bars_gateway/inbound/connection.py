"""
One connection of a caller, and how long each of its phases may take.

    accepted ─► handshake ─► name ─► header ─► body ─► answer ─► idle ─► header ─► …
                10 s                 15 s      10 s    4.5 s     75 s    15 s

aiohttp alone has one limit, for idling, and lets a caller who sends a byte now and then
live as long; it must be above the 60 s after which the proxy drops a connection itself.
Here a header has a deadline of its own, from the connection or from the first byte of
the next request, and so has a caller who does not take its answer (D-slow-callers).

The caller's name is looked at before a single byte of HTTP is. The surprising part: a
byte that arrives in one segment with the end of a request cannot be told from it, so a
header that starts so has its deadline from its second segment, or else ends as idling.

A caller that closes its own half of a TLS connection before it has its answer loses the answer:
asyncio ends both halves then, whatever the protocol says. The proxy does not do that; where
somebody does, the retry hears what became of the first attempt.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

import structlog
from aiohttp import StreamReader, web

from bars_gateway.inbound.admission import Failure, Judgement
from bars_gateway.listeners import LONGEST_FIELD, LONGEST_LINE, MOST_HEADERS
from bars_gateway.tls.contexts import NOBODY, Caller, caller_of

log = structlog.get_logger(__name__)
_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much, how many and how long, on the inbound side; times in seconds."""

    max_connections: int = 256  # handshakes included
    max_body_bytes: int = 5 * 2**20
    handshake_seconds: float = 10
    header_seconds: float = 15  # from the connection, or the first byte of the next request
    body_seconds: float = 10  # from the header to the last byte
    answer_within_seconds: float = 4.5  # from the last byte; the standard gives 5 s
    write_seconds: float = 10  # for the caller to take what waits to be written
    shutdown_seconds: float = 1  # from our last byte to the end, for the caller to say goodbye
    idle_seconds: float = 75  # the proxy drops its connections after 60 s
    connection_seconds: float = 600  # then it ends with an answer, and is begun again
    linger_seconds: float = 2  # for a caller still sending what we refused, to read why
    accept_pause_seconds: float = 1  # when the system has no room for another connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealings:
    """What a connection leaves to others."""

    manager: web.Server
    judge: Callable[[Caller], Judgement]  # whether this caller may call
    fails: Callable[[web.BaseRequest, int, BaseException | None], web.StreamResponse]
    tells: Callable[[web.BaseRequest, Exception], Awaitable[None]]  # a person, of what failed


class Connection(web.RequestHandler):
    """aiohttp's protocol with a door, deadlines, and an OperationOutcome for every error."""

    __slots__ = (
        "_answered",
        "_dealings",
        "_finishing",
        "_header_deadline",
        "_last_body",
        "_limits",
        "_until",
        "caller",
        "judgement",
        "lost",
        "peer",
    )

    def __init__(self, dealings: Dealings, limits: Limits) -> None:
        self._dealings = dealings
        self._limits = limits
        self._finishing = False
        self._answered = 0  # requests with an answer, of the _request_count that came
        self._header_deadline: asyncio.TimerHandle | None = None
        self._last_body: StreamReader | None = None
        self.peer = ""  # the caller's address, also behind a load balancer
        self.caller: Caller = NOBODY
        self.judgement: Judgement | None = None  # None: the handshake has not come to its end
        loop = asyncio.get_running_loop()
        self._until = loop.time() + limits.connection_seconds
        self.lost: asyncio.Future[None] = loop.create_future()  # done when it has ended
        super().__init__(
            dealings.manager,
            loop=loop,
            keepalive_timeout=limits.idle_seconds,
            lingering_time=limits.linger_seconds,
            auto_decompress=False,  # a Content-Encoding is answered, not inflated
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_FIELD,
            max_headers=MOST_HEADERS,
            access_log=None,  # type: ignore[arg-type]  # so aiohttp spells: none
        )

    def finish(self) -> None:
        """End now if nothing is under way, or else after the answer."""
        self._finishing = True
        if self._is_idle:
            self.force_close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the caller in, or go: called when the handshake is over."""
        try:
            self.caller = caller_of(transport.get_extra_info("ssl_object"))
            self.judgement = self._dealings.judge(self.caller)
        except ValueError:  # OpenSSL has taken what cannot be read all the same
            self.judgement = Judgement(Failure.UNREADABLE)
        if self.judgement.refusal is not None:
            cast("asyncio.Transport", transport).abort()
            return
        super().connection_made(transport)
        self._expect_header()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell who waits for the end."""
        super().connection_lost(exc)
        self._header_came()
        if not self.lost.done():
            self.lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Take bytes, and watch over those that belong to no complete header yet."""
        within_body = self._last_body is not None and not self._last_body.is_eof()
        requests = self._request_count
        super().data_received(data)
        if self._request_count > requests:
            self._last_body = self._messages[-1][1]
            self._header_came()
        elif data and not within_body:
            self._expect_header()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """
        Write the answer, as long as the caller takes its answers.

        The first that it does not take waits in the transport, and ends with the idling;
        behind that one, the next would wait here for ever.
        """
        if self._finishing or self._loop.time() > self._until:
            resp.force_close()
        try:
            async with asyncio.timeout(self._limits.write_seconds):
                written, reset = await self._write(request, resp, start_time)
        except TimeoutError:
            log.warning("inbound.answer_not_taken", peer=self.peer)
            self.abort()
            return resp, True
        self._answered += 1
        if self._finishing:  # meanwhile
            written.force_close()
        return written, reset

    async def _write(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write the answer; where it is one that cannot be written, tell of it, and write 500."""
        try:
            return await super().finish_response(request, resp, start_time)
        except (TimeoutError, ConnectionError):
            raise  # the caller does not take it, or has left
        except Exception as error:  # unit of work
            await self._dealings.tells(request, error)
            other = self.handle_error(request, _SERVER_ERROR, error)
            return await super().finish_response(request, other, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - of aiohttp, and it may quote the request
    ) -> web.StreamResponse:
        """Answer what is no HTTP, and what nobody expected, in the guide's form; then close."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun, and no other can follow it")
        response = self._dealings.fails(request, status, exc)
        response.force_close()
        return response

    def abort(self) -> None:
        """End at once, without waiting for what is still to be written."""
        transport = self.transport
        self.force_close()
        if transport is not None:
            transport.abort()

    def log_exception(self, *args: Any, **kw: Any) -> None:  # noqa: ARG002
        """Say nothing: the text of aiohttp's own may quote the request."""
        failure = kw.get("exc_info")
        if not isinstance(failure, web.RequestPayloadError):  # a broken body has had its answer
            log.error("inbound.connection_failed", exception=_name_of(failure))

    @property
    def _is_idle(self) -> bool:
        # aiohttp's own mark, a waiter, is missing for a moment after each answer.
        return self._request_count == self._answered

    def _expect_header(self) -> None:
        if self._header_deadline is not None:
            return
        seconds = self._limits.header_seconds
        self._header_deadline = self._loop.call_later(seconds, self._header_late)
        # A request has begun: idling no longer counts.
        until = self._loop.time() + seconds + 1
        self._next_keepalive_close_time = max(self._next_keepalive_close_time, until)

    def _header_came(self) -> None:
        if self._header_deadline is not None:
            self._header_deadline.cancel()
            self._header_deadline = None

    def _header_late(self) -> None:
        self._header_deadline = None
        log.info("inbound.header_late", peer=self.peer)
        if self._is_idle:
            self.abort()
        else:
            self.close()  # after the answer to the request before, whose body is complete


def _name_of(failure: object) -> str:
    return type(failure).__name__ if isinstance(failure, BaseException) else "unknown"
