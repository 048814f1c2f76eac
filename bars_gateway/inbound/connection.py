"""
One connection of a caller: who may call, and how long each of its phases may take.

    address ──► on the list? not too many? ──TLS──► issuer? name? revoked? ──► let in
                        │                    │                  └─► let in, with a remark
                        └────────────────────┴─► Failure ──► log, status page, metrics

An NHS chain proves membership and no more: thousands of systems have one. So the list
of names is the access control, the issuer is pinned beside it, and the address list
keeps strangers away from TLS itself.

While connecting for the first time nobody knows what name the proxy will show. Until
`observe_until` a name that is not on the list is let in with a remark that tells it;
chain and issuer are required all the same.

OpenSSL and asyncio tell why a handshake failed in codes and in a dozen kinds of exception; an
operator who waits for the proxy to get through needs the one sentence behind each. Some, as
Node.js, look at our certificate when the handshake is over, and only leave if it will not do.

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

Decisions: D-who-may-call.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, cast

import structlog
from aiohttp import StreamReader, web

from bars_gateway.frozen import frozen
from bars_gateway.listeners import LONGEST_FIELD, LONGEST_LINE, MOST_HEADERS
from bars_gateway.tls.certificates import RevocationStatus
from bars_gateway.tls.contexts import (
    EXPIRED,
    NOBODY,
    NOT_YET_VALID,
    AuthorityOutOfForce,
    Caller,
    CurrentIdentity,
    allowed,
    caller_of,
)

log = structlog.get_logger(__name__)
_SERVER_ERROR = 500
Network = IPv4Network | IPv6Network


class Failure(StrEnum):
    """Why a connection brought no request, in the operator's words."""

    EXPIRED = "client certificate expired"
    NOT_YET_VALID = "client certificate not yet valid"
    AUTHORITY_EXPIRED = "client certificate of an authority that has expired"
    AUTHORITY_NOT_YET_VALID = "client certificate of an authority that is not yet valid"
    UNKNOWN_ISSUER = "client certificate of an unknown issuer"
    REVOKED = "client certificate revoked"
    WRONG_PURPOSE = "client certificate not meant for clients"
    MAY_NOT_ISSUE = "client certificate of an authority that may not issue it"
    TOO_WEAK = "client certificate too weak: a short key, or SHA-1, in it or above it"
    UNREADABLE = "client certificate unreadable"
    NO_CERTIFICATE = "no client certificate"
    NOT_TRUSTED = "the client did not accept our certificate"
    PLAIN_HTTP = "plain HTTP instead of TLS"
    NO_AGREEMENT = "no TLS version or cipher in common"
    NO_TLS = "no TLS"
    TIMEOUT = "the handshake took too long"
    GONE = "the client closed the connection"
    LEFT = "let in, and left without a request: it may not accept our certificate"
    REFUSED = "client name not on the list"
    WRONG_ISSUER = "client certificate of an authority that issues no callers"
    REVOCATION_UNKNOWN = "no current revocation list for the client certificate"
    ADDRESS = "address not on the list"
    CROWDED = "too many connections from one address"
    NO_ADDRESS = "the load balancer did not say for whom"
    OLD_PROXY_PROTOCOL = (
        "the load balancer speaks version 1 of the PROXY protocol; version 2 is needed"
    )
    PROBE = "a load balancer's own check"
    FULL = "all connections in use"
    NO_RESOURCES = "no file descriptor or memory for another connection"


# X509_V_ERR_… of OpenSSL
_BY_VERIFY_CODE = {
    2: Failure.UNKNOWN_ISSUER,
    NOT_YET_VALID: Failure.NOT_YET_VALID,
    EXPIRED: Failure.EXPIRED,
    18: Failure.UNKNOWN_ISSUER,
    19: Failure.UNKNOWN_ISSUER,
    20: Failure.UNKNOWN_ISSUER,
    21: Failure.UNKNOWN_ISSUER,
    23: Failure.REVOKED,
    25: Failure.MAY_NOT_ISSUE,  # it stands too low for that
    26: Failure.WRONG_PURPOSE,
    32: Failure.MAY_NOT_ISSUE,  # its key is for something else
    47: Failure.MAY_NOT_ISSUE,  # it may issue other names, or has to leave this one out
    48: Failure.MAY_NOT_ISSUE,
    66: Failure.TOO_WEAK,
    67: Failure.TOO_WEAK,
    68: Failure.TOO_WEAK,
    79: Failure.MAY_NOT_ISSUE,  # it is no authority
}

# The same, where it is not the caller's own certificate.
_OF_AUTHORITIES = {
    NOT_YET_VALID: Failure.AUTHORITY_NOT_YET_VALID,
    EXPIRED: Failure.AUTHORITY_EXPIRED,
}

_BY_REASON = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": Failure.NO_CERTIFICATE,
    "HTTP_REQUEST": Failure.PLAIN_HTTP,
    "HTTPS_PROXY_REQUEST": Failure.PLAIN_HTTP,
    "UNSUPPORTED_PROTOCOL": Failure.NO_AGREEMENT,
    "NO_SHARED_CIPHER": Failure.NO_AGREEMENT,
    "NO_SHARED_SIGNATURE_ALGORITHMS": Failure.NO_AGREEMENT,
    "TLSV1_ALERT_UNKNOWN_CA": Failure.NOT_TRUSTED,
    "SSLV3_ALERT_BAD_CERTIFICATE": Failure.NOT_TRUSTED,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": Failure.NOT_TRUSTED,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": Failure.NOT_TRUSTED,
    "TLSV1_ALERT_PROTOCOL_VERSION": Failure.NO_AGREEMENT,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": Failure.NO_AGREEMENT,
}


def reason_of(error: Exception) -> Failure:
    """Return what a handshake failed of."""
    match error:
        case ssl.SSLCertVerificationError():
            above = isinstance(error, AuthorityOutOfForce)
            rows = _BY_VERIFY_CODE | (_OF_AUTHORITIES if above else {})
            return rows.get(error.verify_code, Failure.UNREADABLE)
        case ssl.SSLEOFError():
            return Failure.GONE
        case ssl.SSLError():
            return _BY_REASON.get(error.reason or "", Failure.NO_TLS)
        case ConnectionAbortedError():
            return Failure.TIMEOUT  # asyncio's word for it
        case ValueError():
            return Failure.UNREADABLE
    return Failure.GONE


class CallerRefused(Exception):
    """A caller is not let in before TLS has begun; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.value)
        self.failure = failure


@frozen(kw_only=True)
class Callers:
    """Who may call, as the settings have it."""

    names: tuple[str, ...]
    issuers: frozenset[str] = frozenset()  # common names; empty: every one of the chain file
    addresses: tuple[Network, ...] = ()  # empty: every one
    load_balancers: tuple[Network, ...] = ()  # who must say for whom they call
    connections_per_address: int = 128
    observe_until: datetime | None = None  # UTC
    revocation_is_required: bool = False  # whether an unknown standing keeps a caller out


@frozen
class CallerJudgement:
    """Whether a caller is let in."""

    refusal: Failure | None = None
    remark: Failure | None = None  # what would keep it out under stricter settings


class Admission:
    """Judges callers by the settings and by the identity of the moment."""

    def __init__(
        self, callers: Callers, identity: CurrentIdentity, now: Callable[[], datetime]
    ) -> None:
        self.callers = callers  # looked at again for each request
        self._identity = identity
        self._now = now

    def admits_address(self, address: str) -> bool:
        """Tell whether connections from *address* get as far as TLS."""
        return not self.callers.addresses or _is_within(address, self.callers.addresses)

    def speaks_for_others(self, address: str) -> bool:
        """Tell whether *address* is a load balancer's, which must say for whom it calls."""
        return _is_within(address, self.callers.load_balancers)

    def judge(self, caller: Caller) -> CallerJudgement:
        """Return whether the holder of this certificate, whose chain is good, is let in."""
        callers, now = self.callers, self._now()
        if callers.issuers and caller.issuer_name not in callers.issuers:
            return CallerJudgement(Failure.WRONG_ISSUER)
        revocations = self._identity.identity.revocations
        status = revocations.status_of(caller.issuer, caller.serial, caller.points, now)
        if status is RevocationStatus.REVOKED:
            return CallerJudgement(Failure.REVOKED)
        if status is RevocationStatus.UNKNOWN and callers.revocation_is_required:
            return CallerJudgement(Failure.REVOCATION_UNKNOWN)
        if not allowed(caller.names, callers.names):
            observed = callers.observe_until is not None and now < callers.observe_until
            return (
                CallerJudgement(remark=Failure.REFUSED)
                if observed
                else CallerJudgement(Failure.REFUSED)
            )
        unknown = status is RevocationStatus.UNKNOWN and revocations.lists
        return CallerJudgement(remark=Failure.REVOCATION_UNKNOWN if unknown else None)


def _is_within(address: str, networks: tuple[Network, ...]) -> bool:
    found = ip_address(address.partition("%")[0])  # a link-local address names its interface
    found = getattr(found, "ipv4_mapped", None) or found
    return any(found in network for network in networks)


@frozen(kw_only=True)
class InboundLimits:
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


@frozen(kw_only=True)
class Dealings:
    """What a connection leaves to others."""

    manager: web.Server
    judge: Callable[[Caller], CallerJudgement]  # whether this caller may call
    fails: Callable[[web.BaseRequest, int, BaseException | None], web.StreamResponse]
    tells: Callable[[web.BaseRequest, Exception], Awaitable[None]]  # a person, of what failed


class CallerConnection(web.RequestHandler):
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

    def __init__(self, dealings: Dealings, limits: InboundLimits) -> None:
        self._dealings = dealings
        self._limits = limits
        self._finishing = False
        self._answered = 0  # requests with an answer, of the _request_count that came
        self._header_deadline: asyncio.TimerHandle | None = None
        self._last_body: StreamReader | None = None
        self.peer = ""  # the caller's address, also behind a load balancer
        self.caller: Caller = NOBODY
        self.judgement: CallerJudgement | None = None  # None: the handshake has not come to its end
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
            self.judgement = CallerJudgement(Failure.UNREADABLE)
        if self.judgement.refusal is not None:
            cast("asyncio.Transport", transport).abort()
            return
        super().connection_made(transport)
        self._expect_header()

    @property
    def has_left(self) -> bool:
        """Whether the caller has ended it before it has asked for anything."""
        return self.lost.done() and self._request_count == 0 and not self._finishing

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
        if self.transport is not None:
            self.transport.abort()  # first: after two closes asyncio does not hear it
        self.force_close()

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
        self._finishing = True
        if self._is_idle:
            self.abort()
        else:
            self.close()  # after the answer to the request before, whose body is complete


def _name_of(failure: object) -> str:
    return type(failure).__name__ if isinstance(failure, BaseException) else "unknown"
