"""
The BaRS proxy: checks a call, forwards it over mutual TLS, and answers as the live one.

    Sender ─► checks ─► fault? ─► forwarding ─► fault? ─► its answer, or what replaces it

Path, query, headers and bytes go on as they came, whatever the verb: the live proxy has
no list of what it forwards. Only Authorization stays behind.

Documents are the exception: the live proxy sends them to a record locator of its own, and
there is none here, so they get what the platform says of a service that is down.

Before it forwards, it checks in the live one's order (proxy page, 1.2).

    token ─► version ─► ids ─► version of documents ─► target: Base64 ─► JSON ─► known?

Each check returns the body of its refusal, or None. The look-up is exact, letter by
letter, and an unknown *system* makes the live script fail with a 500 that looks
transient and is not; so does Base64 of something that is not JSON. What is decoded, the
live script reads byte for byte, and looks things up as JavaScript does: a byte order mark
is not JSON, UTF-8 is not understood, and the number 2000099999 is as good as the text.

Then it calls the Receiver, and turns what happens into an answer.

    request ─► Receiver ─► its answer, byte for byte
                     └───► 403, 500, 503, 504 ─► the proxy's own words in place of the body
                     └───► silence, a broken connection, nobody there ─► 408, 502, 503

After 408 and 502 the Receiver may have processed the message: that is the doubt that a
Sender has to live with. Calls leave this machine never, whatever the targets file says.

Headers pass as they were written, names included, in both directions; nothing is added to
a request but X-Forwarded-*, and nothing to an answer, not even a media type.
"""

import asyncio
import base64
import binascii
import io
import json
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import aiohttp
from aiohttp import hdrs, web
from multidict import CIMultiDict
from yarl import URL

from bars_gateway.frozen import frozen
from bars_gateway.sandbox import bodies
from bars_gateway.sandbox.bodies import Body, as_json, capability_statement
from bars_gateway.sandbox.calls import Call, CallLog
from bars_gateway.sandbox.faults import ArmedFault, FaultKind, Faults
from bars_gateway.sandbox.registry import Registered, Registry, Targets, is_local
from bars_gateway.sandbox.token_service import TokenService, no_json
from bars_gateway.standard.headers import CORRELATION_ID, REQUEST_ID, TARGET, echo

BASE = "/booking-and-referral/FHIR/R4"
_OPEN_PATHS = frozenset({"/_ping", "/_status", "/_cache"})  # looked at by no check of the token
BUFFER_BYTES = 10 * 1024 * 1024
_FAULT_BODIES = {
    401: bodies.BAD_TOKEN,
    408: bodies.TIMEOUT,
    429: bodies.QUOTA,
    500: bodies.SCRIPT_FAILED,
    503: bodies.UNAVAILABLE,
    504: bodies.TIMEOUT,  # of a Receiver: the proxy never says 504 itself
}
_OK = 200
_OF_BODIES = ("Content-Length", "Content-Type", "Content-Encoding")
_BEFORE = (FaultKind.DROP_BEFORE, FaultKind.STATUS, FaultKind.PAGE)
_AFTER = (FaultKind.DROP_AFTER, FaultKind.STATUS, FaultKind.PAGE)
_ALPHABET = re.compile(rb"[^A-Za-z0-9+/=]")
_DOCUMENT_VERSION = 1_01_00
_FLOOR = 1_00_00
_OF_ONE_CONNECTION = frozenset(
    "connection content-length expect host keep-alive proxy-connection te trailer"
    " transfer-encoding upgrade".split()
)
_FORWARDED_FOR = "X-Forwarded-For"
_ADDED = frozenset({_FORWARDED_FOR.lower(), "x-forwarded-proto", "x-forwarded-port"})
_RawHeaders = Sequence[tuple[bytes, bytes]]


# What the client library would add where a Sender sent none: the Receiver sees what was sent.
_NEVER_ADDED = (hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE, hdrs.USER_AGENT)


@dataclass(slots=True, kw_only=True)
class _Passage:
    """What is known of one call while it passes."""

    method: str
    suffix: str
    target: str | None = None
    receiver_status: int | None = None
    fault: ArmedFault | None = None
    dropped: bool = False


class SandboxProxy:
    """Answers everything below the base path."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        registry: Registry,
        tokens: TokenService,
        faults: Faults,
        calls: CallLog,
        now: Callable[[], datetime],
    ) -> None:
        self._session = session
        self._registry = registry
        self._tokens = tokens
        self._faults = faults
        self._calls = calls
        self._now = now
        self._before: web.Response | None = None  # the last 200 to a message, as it came

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Return the answer to one call; close the connection where a fault says so."""
        begun = asyncio.get_running_loop().time()
        passage = _Passage(method=request.method, suffix=request.raw_path.removeprefix(BASE))
        response = await self._answer(request, passage)
        if passage.fault is not None:
            self._spoil_ids(passage.fault.kind, response)
        seconds = asyncio.get_running_loop().time() - begun
        self._calls.add(self._called(request, passage, response), seconds=seconds)
        if passage.dropped and request.transport is not None:
            request.transport.abort()
        return response

    def _spoil_ids(self, kind: FaultKind, response: web.StreamResponse) -> None:
        if kind not in {FaultKind.NO_IDS, FaultKind.WRONG_IDS}:
            return
        for name in (REQUEST_ID, CORRELATION_ID):
            response.headers.popall(name, None)
            if kind is FaultKind.WRONG_IDS:
                response.headers[name] = self._faults.another_id()

    async def _answer(self, request: web.Request, passage: _Passage) -> web.Response:
        own = self._own(request, passage.suffix)
        if own is not None:
            return own
        path = passage.suffix.partition("?")[0]
        if path not in _OPEN_PATHS:
            problem = token_problem(request, self._tokens.owner) or header_problem(request, path)
            if problem is not None:
                return _refused(problem)
        if path.startswith("/DocumentReference"):
            return as_json(503, bodies.NO_DOCUMENTS)
        target = target_of(request.headers.get(TARGET), self._registry.targets)
        if isinstance(target, Body):
            return _refused(target)
        passage.target, url = target
        return await self._forward_or_fail(request, passage, url)

    def _own(self, request: web.Request, suffix: str) -> web.Response | None:
        """Return what the proxy answers itself, without a token."""
        path = suffix.partition("?")[0]
        asks_first = {"Origin", "Access-Control-Request-Method"} <= request.headers.keys()
        if request.method == "OPTIONS" and asks_first:
            origin = {"Access-Control-Allow-Origin": request.headers["Origin"]}
            return web.Response(headers={**bodies.PREFLIGHT, **origin})
        if path == "/_ping" and request.method in {"GET", "HEAD"}:
            return as_json(200, bodies.PING)
        if path == "/metadata" and request.method == "GET" and TARGET not in request.headers:
            return as_json(200, capability_statement(str(request.url.origin()) + BASE))
        return None

    async def _forward_or_fail(
        self, request: web.Request, passage: _Passage, url: str
    ) -> web.Response:
        delay = self._met(passage, FaultKind.DELAY)
        if delay is not None:
            passage.fault = delay
            await asyncio.sleep(delay.seconds)
        failed = self._struck(passage, *_BEFORE, after=False)
        if failed is not None:
            return failed
        forwarded = await forward(self._session, request, url + passage.suffix)
        passage.receiver_status = forwarded.receiver_status
        failed = self._struck(passage, *_AFTER, after=True)
        if failed is not None:
            return failed
        spoilt = self._met(passage, FaultKind.NO_IDS, FaultKind.WRONG_IDS, FaultKind.OTHER_BODY)
        passage.fault = spoilt or passage.fault
        return self._mixed_up(passage, forwarded.response)

    def _mixed_up(self, passage: _Passage, response: web.Response) -> web.Response:
        """Return the answer, with the body of the one before it where a fault says so."""
        if passage.method != "POST" or response.status != _OK:
            return response
        before, self._before = self._before, response
        mixes = passage.fault is not None and passage.fault.kind is FaultKind.OTHER_BODY
        if before is None or not mixes:
            return response
        headers = {n: v for n, v in response.headers.items() if n not in _OF_BODIES}
        headers |= {n: v for n, v in before.headers.items() if n in _OF_BODIES[1:]}
        return web.Response(status=response.status, headers=headers, body=before.body)

    def _met(self, passage: _Passage, *kinds: FaultKind, after: bool = False) -> ArmedFault | None:
        """Return the armed fault of those kinds that the call meets."""
        return self._faults.strikes(
            *kinds, target=passage.target, method=passage.method, after=after
        )

    def _struck(self, passage: _Passage, *kinds: FaultKind, after: bool) -> web.Response | None:
        fault = self._met(passage, *kinds, after=after)
        if fault is None:
            return None
        passage.fault = fault
        passage.dropped = fault.kind in {FaultKind.DROP_BEFORE, FaultKind.DROP_AFTER}
        return web.Response() if passage.dropped else _fault_answer(fault)

    def _called(
        self, request: web.Request, passage: _Passage, response: web.StreamResponse
    ) -> Call:
        ids = echo({name.lower(): value for name, value in request.headers.items()})
        return Call(
            number=self._calls.next_number(),
            at=self._now().isoformat(timespec="milliseconds"),
            method=request.method,
            path=passage.suffix.partition("?")[0],
            target=passage.target,
            request_id=ids.get(REQUEST_ID),
            correlation_id=ids.get(CORRELATION_ID),
            receiver_status=passage.receiver_status,
            answered_status=None if passage.dropped else response.status,
            fault=passage.fault.kind if passage.fault else None,
        )


def _refused(body: Body) -> web.Response:
    return as_json(body.status, body.encoded())


def _fault_answer(fault: ArmedFault) -> web.Response:
    if fault.kind is FaultKind.PAGE:
        return bodies.intermediary(fault.status)
    if fault.status in _FAULT_BODIES:
        return _refused(_FAULT_BODIES[fault.status])
    return as_json(fault.status, bodies.UNEXPECTED_EOF)


def token_problem(request: web.Request, owner: Callable[[str], Registered | None]) -> Body | None:
    """Make checks 1 to 4: a token is there, was issued here, lives, and is good for BaRS."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or len(token.split()) != 1:  # two words are no token, either
        return bodies.NO_TOKEN
    found = owner(token.strip())
    if found is None:
        return bodies.BAD_TOKEN
    return None if found.enabled else bodies.NOT_ENABLED


def header_problem(request: web.Request, suffix: str) -> Body | None:
    """Make checks 5 to 7: the version parameter, the two ids, the version for documents."""
    try:
        version = accepted_version(request.headers.get("Accept", ""))
    except ValueError:
        return bodies.SCRIPT_FAILED
    if "X-Request-Id" not in request.headers or "X-Correlation-Id" not in request.headers:
        return bodies.NO_IDS
    documents = suffix.startswith("/DocumentReference")
    if documents and ("Accept" not in request.headers or version < _DOCUMENT_VERSION):
        return bodies.NOT_ACCEPTABLE
    return None


def accepted_version(accept: str) -> int:
    """
    Return the highest version that Accept names, as X*10000 + Y*100 + Z; at least 1.0.0.

    Anything but three numbers counts as none. Raises ValueError for a parameter `version`
    without `=`, on which the live script fails.
    """
    found = [_FLOOR]
    for parameter in accept.partition(",")[0].split(";")[1:]:
        name, equals, value = parameter.strip().partition("=")
        if not name.lower().startswith("version"):
            continue
        if not equals:
            raise ValueError("version without a value")
        numbers = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", value.strip())
        if numbers:
            found.append(int(numbers[1]) * 10000 + int(numbers[2]) * 100 + int(numbers[3]))
    return max(found)


def target_of(header: str | None, targets: Callable[[], Targets]) -> tuple[str, str] | Body:
    """Make checks 8 to 12: return the service's value and its base URL, or the refusal."""
    decoded = _decoded(header)
    if decoded is None:
        return bodies.BAD_BASE64
    try:
        found = json.loads(decoded.decode("latin-1"), parse_constant=no_json)
    except (ValueError, RecursionError):
        return bodies.SCRIPT_FAILED
    if not isinstance(found, dict) or not (_holds(found, "system") and _holds(found, "value")):
        return bodies.BAD_SCHEMA
    try:
        services = targets()[_as_key(found["system"])]
    except (KeyError, ValueError, OSError):
        return bodies.SCRIPT_FAILED
    return _place_of(_as_key(found["value"]), services)


def _holds(found: Mapping[str, object], name: str) -> bool:
    """Tell whether JavaScript takes the member for true: an empty list is, an empty text is not."""
    return bool(found.get(name)) or isinstance(found.get(name), list | dict)


def _as_key(value: object) -> str:
    """Return *value* as JavaScript looks it up: a number, or a list of one, finds what it holds."""
    match value:
        case bool():
            return str(value).lower()
        case float() if value.is_integer():
            return str(int(value))
        case list():
            return ",".join("" if each is None else _as_key(each) for each in value)
        case dict():
            return "[object Object]"
        case _:
            return str(value)


def _place_of(value: str, services: Mapping[str, str | list[str]]) -> tuple[str, str] | Body:
    match services.get(value):
        case None:
            return bodies.NO_TARGET
        case str(url) | [url]:
            return value, url.removesuffix("/")
        case _:
            return bodies.TWO_TARGETS


def _decoded(header: str | None) -> bytes | None:
    """Decode as the live script does: foreign characters are skipped, padding is needed."""
    if header is None:
        return None
    try:
        return base64.b64decode(_ALPHABET.sub(b"", header.encode("utf-8", "surrogateescape")))
    except binascii.Error:
        return None


def replaced(status: int, body: bytes) -> Body | None:
    """Return the body that the proxy puts in place of a Receiver's error, if it does (1.5)."""
    if status == 403:  # noqa: PLR2004
        return bodies.FORBIDDEN
    if status == 503:  # noqa: PLR2004
        return bodies.UNAVAILABLE
    if status == 504:  # noqa: PLR2004
        return bodies.TIMEOUT
    if status == 500:  # noqa: PLR2004
        return _in_place_of_500(_issue_code(body))
    return None


def _in_place_of_500(code: object) -> Body | None:
    if code in {None, ""}:
        return bodies.SCRIPT_FAILED
    return bodies.NO_STORE if code == "no-store" else None


def _issue_code(body: bytes) -> object:
    """Return the code of the first issue, of whatever type: the live script asks no further."""
    try:
        code = json.loads(body)["issue"][0]["code"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return None
    return json.dumps(code) if isinstance(code, list | dict) else code


class AsSent(aiohttp.ClientRequest):
    """A request that has a length where it has a body: DELETE, and any other, may have none."""

    GET_METHODS = aiohttp.ClientRequest.ALL_METHODS


class Untyped(web.Response):
    """What a Receiver answered without a media type: it stays without."""


async def leave_untyped(_request: web.Request, response: web.StreamResponse) -> None:
    """Take away the media type that the library has added: for `on_response_prepare`."""
    if isinstance(response, Untyped):
        response.headers.popall(hdrs.CONTENT_TYPE, None)


@frozen(kw_only=True)
class Forwarded:
    """What became of a call that was passed on."""

    receiver_status: int | None  # None: no answer came
    response: web.Response


def open_session(
    own: Path, receivers: Path, *, connect_seconds: float, answer_seconds: float
) -> aiohttp.ClientSession:
    """Return the session that is, to Receivers, the proxy: its certificate is in *own*."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(receivers)
    context.load_cert_chain(own / "proxy-client.pem", own / "proxy-client.key")
    session = aiohttp.ClientSession(
        # The live proxy keeps an idle connection to a Receiver for 60 s.
        connector=aiohttp.TCPConnector(ssl=context, limit=0, keepalive_timeout=60),
        # Both count silence: a Receiver that goes on talking is listened to.
        timeout=aiohttp.ClientTimeout(
            total=None, sock_connect=connect_seconds, sock_read=answer_seconds
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        request_class=AsSent,
        skip_auto_headers=_NEVER_ADDED,
        auto_decompress=False,
        trust_env=False,
    )
    # Or a GET, PUT or DELETE would be sent again, unseen, where a Receiver hangs up.
    session._retry_connection = False  # noqa: SLF001 # it has no public name
    return session


async def forward(session: aiohttp.ClientSession, request: web.Request, url: str) -> Forwarded:
    """Pass *request* on to *url*, which holds path and query as they came, and answer for it."""
    if not is_local(url):
        return _unanswered(bodies.UNAVAILABLE)
    try:
        return await _exchange(session, request, url, await request.read())
    except web.HTTPRequestEntityTooLarge:
        return Forwarded(receiver_status=None, response=as_json(413, bodies.TOO_BIG))
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        return _unanswered(bodies.UNAVAILABLE)
    except TimeoutError:
        return _unanswered(bodies.TIMEOUT)
    except aiohttp.ClientError as error:
        return _broken_off(error)


async def _exchange(
    session: aiohttp.ClientSession, request: web.Request, url: str, body: bytes
) -> Forwarded:
    has_length = request.body_exists or hdrs.CONTENT_LENGTH in request.headers
    async with session.request(
        request.method,
        URL(url, encoded=True),
        data=io.BytesIO(body) if has_length else None,
        headers=_forwarded(request),
        allow_redirects=False,
    ) as answer:
        content = bytearray()
        async for chunk in answer.content.iter_any():
            content += chunk
            if len(content) > BUFFER_BYTES:
                too_big = as_json(502, bodies.TOO_BIG)
                return Forwarded(receiver_status=answer.status, response=too_big)
        return Forwarded(receiver_status=answer.status, response=_passed(answer, bytes(content)))


def _passed(answer: aiohttp.ClientResponse, body: bytes) -> web.Response:
    headers = _without(answer.raw_headers, _OF_ONE_CONNECTION)
    replacement = replaced(answer.status, body)
    if replacement is None:
        kind = web.Response if hdrs.CONTENT_TYPE in headers else Untyped
        return kind(status=answer.status, body=body, headers=headers)
    headers["Content-Type"] = "application/json"
    headers.popall("Content-Encoding", None)  # it described the body that is gone
    return web.Response(status=replacement.status, body=replacement.encoded(), headers=headers)


def _forwarded(request: web.Request) -> CIMultiDict[str]:
    headers = _without(request.raw_headers, _OF_ONE_CONNECTION | _ADDED | {"authorization"})
    before = request.headers.getall(_FORWARDED_FOR, [])
    headers[_FORWARDED_FOR] = ", ".join([*before, request.remote or "127.0.0.1"])
    headers["X-Forwarded-Proto"] = "https"
    headers["X-Forwarded-Port"] = "443"
    return headers


def _without(headers: _RawHeaders, names: frozenset[str]) -> CIMultiDict[str]:
    """Return all but *names*, spelt as they came: the library's own mapping respells some."""
    read = ((_text(name), _text(value)) for name, value in headers)
    return CIMultiDict((name, value) for name, value in read if name.lower() not in names)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _broken_off(error: aiohttp.ClientError) -> Forwarded:
    # In TLS 1.3 a Receiver refuses our certificate after the handshake ended for us. Where a
    # reset overtakes its alert, that cannot be told from any other connection that broke off.
    if "[SSL" in str(error):
        return _unanswered(bodies.UNAVAILABLE)
    return Forwarded(receiver_status=None, response=as_json(502, bodies.UNEXPECTED_EOF))


def _unanswered(body: Body) -> Forwarded:
    return Forwarded(receiver_status=None, response=_refused(body))
