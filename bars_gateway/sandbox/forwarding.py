"""
The proxy's other side: calls a Receiver over mutual TLS, and turns what happens into an answer.

    request ─► Receiver ─► its answer, byte for byte
                     └───► 403, 500, 503, 504 ─► the proxy's own words in place of the body
                     └───► silence, a broken connection, nobody there ─► 408, 502, 503

After 408 and 502 the Receiver may have processed the message: that is the doubt that a
Sender has to live with. Calls leave this machine never, whatever the targets file says.

Headers pass as they were written, names included, in both directions; nothing is added to
a request but X-Forwarded-*, and nothing to an answer, not even a media type.
"""

import io
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import hdrs, web
from multidict import CIMultiDict
from yarl import URL

from bars_gateway.sandbox import bodies, checks
from bars_gateway.sandbox.bodies import Body, as_json
from bars_gateway.sandbox.registry import is_local

BUFFER_BYTES = 10 * 1024 * 1024
_OF_ONE_CONNECTION = frozenset(
    "connection content-length expect host keep-alive proxy-connection te trailer"
    " transfer-encoding upgrade".split()
)
_FORWARDED_FOR = "X-Forwarded-For"
_ADDED = frozenset({_FORWARDED_FOR.lower(), "x-forwarded-proto", "x-forwarded-port"})
_RawHeaders = Sequence[tuple[bytes, bytes]]
# What the client library would add where a Sender sent none: the Receiver sees what was sent.
_NEVER_ADDED = (hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE, hdrs.USER_AGENT)


class AsSent(aiohttp.ClientRequest):
    """A request that has a length where it has a body: DELETE, and any other, may have none."""

    GET_METHODS = aiohttp.ClientRequest.ALL_METHODS


class Untyped(web.Response):
    """What a Receiver answered without a media type: it stays without."""


async def leave_untyped(_request: web.Request, response: web.StreamResponse) -> None:
    """Take away the media type that the library has added: for `on_response_prepare`."""
    if isinstance(response, Untyped):
        response.headers.popall(hdrs.CONTENT_TYPE, None)


@dataclass(frozen=True, slots=True, kw_only=True)
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
    return aiohttp.ClientSession(
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
    replacement = checks.replaced(answer.status, body)
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
    return Forwarded(receiver_status=None, response=as_json(body.status, body.encoded()))
