"""
The way out of our own network: the connections, and what is said where nothing gets out.

    token, message, read ──► sending ──► egress proxy ─┬─► passes: as if it were not there
                                                       └─► blocked ─► reason, cure, a pause
                                                                      that all share

It answers before anything of ours has left, so that no message is tried by it, no Receiver has
kept silent, and none can say that it has it: messages wait, and where their time passes they are
*not sent*. Each of its answers has a row here, and each way to give none; neither user nor
password stands in any text.

An error looks the same on either side of it: a connection that broke off is its doing before
there is a way through, and may be a lost answer after it. So each request has a `Crossing`, which
knows whether the way through is still being asked for. Only then is anything told as blocked.
Without an egress proxy, a name that this machine cannot resolve is the same kind of trouble.
"""

import asyncio
import base64
import contextlib
import email.utils
import errno
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp
import structlog
from yarl import URL

from bars_gateway.errors import EgressBlocked, IdentityError
from bars_gateway.frozen import frozen

log = structlog.get_logger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 60.0  # seconds
_MAX_DOUBLINGS = 10
_PORTAL = (
    "wants somebody to log in on a page of its own",
    "No gateway can fill that in. Have this machine let out without it, or through another proxy.",
)
_LOGIN = 407
_BY_STATUS: Mapping[int, tuple[str, str]] = {
    _LOGIN: (
        "asks for a user and a password, or does not take ours",
        "Set outbound.egress_user and egress_password_file, or mend them (basic authentication).",
    ),
    403: (
        "does not let this machine out to that address",
        "Have the hosts of token_url and proxy_url allowed there, port 443, and not opened.",
    ),
    405: (
        "passes no TLS on",
        "See that outbound.egress_proxy names a proxy that takes CONNECT, and its port.",
    ),
    511: _PORTAL,
}
_OTHER_LOGIN = (
    "asks for a login by {schemes}, and the gateway has only basic",
    "No user helps: only basic authentication is supported. Have it offer that, or ask for none.",
)
# What a 407 asks for is named from here; nothing of its own text is repeated.
_SCHEMES = ("Negotiate", "NTLM", "Kerberos", "Digest")
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"')
# A scheme is the first word after a comma, if no = follows: then it is a parameter of the last.
_SCHEME = re.compile(r"(?:^|,)\s*([^\s,=]+)(?![^\s,=]|\s*=)")
_NOT_THROUGH = (
    "is there, and cannot reach that address itself",
    "Ask whoever runs it: its own DNS, its own firewall, or the national services may be down.",
)
_OTHERWISE = (
    "refuses to let us out",
    "Ask whoever runs it what that answer means; its log has this machine's address.",
)
_NAMELESS = (
    "has a name that leads nowhere",
    "See how outbound.egress_proxy is written, and this machine's DNS: resolvectl query",
)
_NOBODY = (
    "does not answer: nothing listens there, or a firewall is in between",
    "See host and port of outbound.egress_proxy, and whether the proxy runs.",
)
_CLOSES = (
    "closes the connection without an answer",
    "See host and port of outbound.egress_proxy; if it turns us away, its log says why.",
)
_NO_HTTP = (
    "answers something that is not HTTP",
    "See host and port of outbound.egress_proxy: what listens there is not a web proxy.",
)
_NO_TLS = (
    "says yes to CONNECT, and passes no TLS on",
    "Have the hosts of token_url and proxy_url let through there, without a page of its own.",
)
_UNTRUSTED = (
    "leads to a certificate that is not trusted: it may open TLS, and read along",
    "Have those hosts left unopened there; if they are, outbound.ca_file lacks their authority.",
)
_HANGS = (
    "leads to no connection in time",
    "See outbound.egress_proxy, and whether a firewall is in between; or ask whoever runs it.",
)
_NO_DESCRIPTOR = (
    "this machine has no file descriptor left for a connection",
    "Look for what holds files open; raise LimitNOFILE= of the unit.",
)
_NOT_THEIRS = (
    "See whether outbound.ca_file names the authorities that the national side's certificates are"
    " of, whether something on the way opens TLS (bars-gateway doctor), and whether the clock is"
    " right. If it has expired at their side, ask the national service desk."
)
_UNRESOLVED = (
    "Look at this machine's DNS (resolvectl query), and at how the address is written in the"
    " settings; where there is a web proxy to go through, set outbound.egress_proxy."
)
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE})
_SERVER_ERROR, _REDIRECT = 500, 300
# In that order: the first that the error is of.
_BY_ERROR: Sequence[tuple[type[BaseException], tuple[str, str]]] = (
    (aiohttp.ClientConnectorDNSError, _NAMELESS),
    (aiohttp.ClientProxyConnectionError, _NOBODY),
    (aiohttp.ClientConnectorCertificateError, _UNTRUSTED),
    (aiohttp.ClientConnectorError, _NO_TLS),  # the TLS that CONNECT is for
    (aiohttp.ClientResponseError, _NO_HTTP),
    (TimeoutError, _HANGS),
)
_CHUNK = 64 * 1024
_LONGEST_HEADER = 64 * 1024
_MOST_HEADERS = 1000
LONGEST_RETRY_AFTER = 600.0


@frozen(kw_only=True)
class EgressProxy:
    """The way out, where there is but one."""

    url: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def login(self) -> Mapping[str, str] | None:
        """As whom we ask it: a header for it alone, which the other side never sees."""
        if self.user is None:
            return None
        text = f"{self.user}:{self.password or ''}".encode()
        return {"Proxy-Authorization": f"Basic {base64.b64encode(text).decode()}"}

    @property
    def place(self) -> str:
        """Its host and port, for people."""
        return urlsplit(self.url).netloc


class _Ways(Protocol):
    @property
    def egress_proxy(self) -> str | None: ...
    @property
    def egress_user(self) -> str | None: ...
    @property
    def egress_password_file(self) -> Path | None: ...


def egress_proxy_of(outbound: _Ways) -> EgressProxy | None:
    """Return the egress proxy of the settings; raise IdentityError where its password is not."""
    if outbound.egress_proxy is None:
        return None
    file = outbound.egress_password_file
    try:
        password = None if file is None else file.read_text("utf-8-sig").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise IdentityError(f"the egress proxy's password: {file}: {why}") from error
    return EgressProxy(url=outbound.egress_proxy, user=outbound.egress_user, password=password)


@dataclass(slots=True)
class Crossing:
    """One request on its way out of our own network."""

    is_at_the_proxy: bool = False  # a way through is being asked for: nothing of it has left


def told_crossings() -> aiohttp.TraceConfig:
    """Return what lets the `Crossing` of each request of a session know how far it is."""

    async def begins(_session: object, context: SimpleNamespace, _about: object) -> None:
        _note(context, is_at_the_proxy=True)

    async def is_through(_session: object, context: SimpleNamespace, _about: object) -> None:
        _note(context, is_at_the_proxy=False)

    told = aiohttp.TraceConfig()
    told.on_connection_create_start.append(begins)
    told.on_connection_create_end.append(is_through)
    return told


def _note(context: SimpleNamespace, *, is_at_the_proxy: bool) -> None:
    if isinstance(context.trace_request_ctx, Crossing):
        context.trace_request_ctx.is_at_the_proxy = is_at_the_proxy


def blocked_by(
    error: BaseException, way: EgressProxy | None, crossing: Crossing
) -> EgressBlocked | None:
    """Return what *error* says of the way out, by *way* where one is set; None: it says nothing."""
    if isinstance(error, aiohttp.ClientConnectorError) and error.errno in _EXHAUSTED:
        return EgressBlocked(*_NO_DESCRIPTOR)  # no socket was made: nothing has left
    if way is None and isinstance(error, aiohttp.ClientConnectorDNSError):
        # There was nowhere to send it to.
        return EgressBlocked(f"the name {error.host} leads nowhere on this machine", _UNRESOLVED)
    if way is None:
        return _not_trusted(error)
    if not crossing.is_at_the_proxy:
        return None
    reason, advice = _said_by(error)
    return EgressBlocked(f"the egress proxy {way.place} (outbound.egress_proxy) {reason}", advice)


def _not_trusted(error: BaseException) -> EgressBlocked | None:
    """Return that the other end is not who it has to be: nothing was said to it."""
    if not isinstance(error, aiohttp.ClientConnectorCertificateError):
        return None
    why = getattr(error.certificate_error, "verify_message", None) or "it does not fit the name"
    return EgressBlocked(f"the certificate of {error.host} is not trusted: {why}", _NOT_THEIRS)


def _said_by(error: BaseException) -> tuple[str, str]:
    if isinstance(error, aiohttp.ClientHttpProxyError):
        reason, advice = _login_of(error) or _by_status(error.status)
        return f"answered {error.status}: it {reason}", advice
    return next((row for kind, row in _BY_ERROR if isinstance(error, kind)), _CLOSES)


def _login_of(error: aiohttp.ClientHttpProxyError) -> tuple[str, str] | None:
    """Return what is said of a login that we cannot give; None: none is asked for."""
    offered = error.headers.getall("Proxy-Authenticate", []) if error.headers else []
    asked = set(_SCHEME.findall(_QUOTED.sub("", ",".join(offered)).lower()))
    if error.status != _LOGIN or not asked or "basic" in asked:
        return None
    named = [scheme for scheme in _SCHEMES if scheme.lower() in asked]
    reason, advice = _OTHER_LOGIN
    return reason.format(schemes=" or ".join(named) or "another scheme"), advice


def _by_status(status: int) -> tuple[str, str]:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= _SERVER_ERROR:
        return _NOT_THROUGH
    return _PORTAL if status >= _REDIRECT and status < 400 else _OTHERWISE  # noqa: PLR2004


class Egress:
    """Whether anything gets out, as all of the gateway meets it."""

    def __init__(
        self,
        way: EgressProxy | None,
        *,
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
        known_since: datetime | None = None,
    ) -> None:
        """*known_since*: when the trouble began that was there before a restart, if any."""
        self.way = way
        self.now, self._monotonic = now, monotonic
        self._failures, self._reopens_at = 0, 0.0
        self.trouble: EgressBlocked | None = None
        self.since = known_since  # of the trouble; kept until something comes back

    @property
    def seconds_left(self) -> float:
        """Return how long nothing is to be tried; 0: it may be."""
        return max(0.0, self._reopens_at - self._monotonic()) if self.trouble else 0.0

    def blocked(self, error: BaseException, crossing: Crossing) -> EgressBlocked | None:
        """Note *error* if it is the egress proxy's, and return it in our words."""
        found = blocked_by(error, self.way, crossing)
        if found is None:
            return None
        if self._monotonic() >= self._reopens_at:  # those under way together are one failure
            self._failures += 1
        doublings: int = 2 ** min(self._failures - 1, _MAX_DOUBLINGS)
        self._reopens_at = self._monotonic() + min(_LONGEST_PAUSE, _FIRST_PAUSE * doublings)
        if str(found) != str(self.trouble):
            log.error("outbound.egress_blocked", reason=str(found), advice=found.advice)
        self.trouble, self.since = found, self.since or self.now()
        return found

    @property
    def login(self) -> Mapping[str, str] | None:
        """What every request has for the egress proxy alone."""
        return self.way.login if self.way else None

    def passed(self) -> None:
        """Note that something came back from the other side."""
        if self.trouble is not None:
            log.info("outbound.egress_open")
        self.trouble, self.since, self._failures, self._reopens_at = None, None, 0, 0.0


def open_session(
    context: ssl.SSLContext,
    *,
    connections: int,
    connect_seconds: float,
    egress: EgressProxy | None = None,
) -> aiohttp.ClientSession:
    """
    Return a warm pool to the token service and the proxy.

    It goes through *egress* where one is set, whatever the environment's variables say.
    """
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=connections, limit_per_host=connections, ssl=context, keepalive_timeout=50
        ),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        proxy=egress.url if egress else None,
        trace_configs=[told_crossings()] if egress else None,
        skip_auto_headers=("User-Agent",),
        # An answer with long headers, or many, is an answer: each hop adds its own.
        max_line_size=_LONGEST_HEADER,
        max_field_size=_LONGEST_HEADER,
        max_headers=_MOST_HEADERS,
    )
    # Or a GET whose warm connection breaks would be sent twice, unseen and beyond the budget. The
    # library has no public name for it; a test sees that it is off.
    session._retry_connection = False  # noqa: SLF001
    return session


@contextlib.asynccontextmanager
async def sending(
    session: aiohttp.ClientSession,
    egress: Egress | None,
    method: str,
    url: str | URL,
    *,
    seconds: float | None = None,
    **request: Any,
) -> AsyncIterator[aiohttp.ClientResponse]:
    """
    Send a request once, and yield what comes back; no redirect is followed.

    Raises EgressBlocked where it has not left our own network.
    """
    crossing = Crossing()
    try:
        async with (
            asyncio.timeout(seconds),
            session.request(
                method,
                url,
                proxy_headers=egress.login if egress else None,
                trace_request_ctx=crossing,
                allow_redirects=False,
                **request,
            ) as response,
        ):
            if egress is not None:
                egress.passed()
            yield response
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        blocked = egress.blocked(error, crossing) if egress else None
        if blocked is not None:
            raise blocked from None
        raise


async def body_within(response: aiohttp.ClientResponse, limit: int) -> bytes | None:
    """Return the whole body, inflated, or None where it is longer than *limit* bytes."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > limit:
            response.close()
            return None
    return bytes(body)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait; a date counts from the answer's own, whatever our clock says."""
    text = headers.get("Retry-After", "")
    try:
        seconds = float(text)
    except ValueError:
        until, now = moment_of(text), moment_of(headers.get("Date"))
        if until is None or now is None:
            return None
        seconds = (until - now).total_seconds()
    return min(LONGEST_RETRY_AFTER, max(0.0, seconds))


def moment_of(date: str | None) -> datetime | None:
    """Return the moment that a date of HTTP names, or None where it is none."""
    try:
        moment = email.utils.parsedate_to_datetime(date or "")
    except (ValueError, OverflowError):
        return None
    # A zone of -0000 is read as none; HTTP's dates are in UTC whatever they say.
    return moment.replace(tzinfo=moment.tzinfo or UTC)
