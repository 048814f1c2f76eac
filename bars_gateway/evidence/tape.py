"""
Every request of a run with its answer: as they went over the wire, but for what opens a door.

    national side ──witness──┐
    calls as the proxy ─ask──┴─► Tape ──► exchanges/SCENE/N.request.http, N.response.http

A token, a signed JWT and an API key are left out of what is kept, in both directions: they are
of a sandbox that is gone, but whoever reads the files need not know that. A body that went
compressed is kept as a person can read it; its headers say that it was.
"""

import asyncio
import gzip
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum

import aiohttp
from aiohttp import web
from yarl import URL

from bars_gateway.frozen import frozen
from bars_gateway.standard.answers import read_outcome

Headers = Sequence[tuple[str, str]]
NOT_SHOWN = "(not shown)"
NO_ANSWER = "none"
_ERRORS = 400  # and above: the statuses that come with an outcome
_SECRET_HEADERS = frozenset({"authorization", "apikey"})
_SECRET_MEMBERS = re.compile(rb'("access_token"\s*:\s*)"[^"]*"|(client_assertion=)[^&]*')


class Leg(StrEnum):
    """Which part of the way an exchange is of."""

    NATIONAL = "a Sender asks the token service or the proxy"
    RECEIVER = "the proxy asks the gateway's Receiver"


@frozen(kw_only=True)
class RecordedExchange:
    """One request and what came of it."""

    scene: str
    leg: Leg
    at: str  # UTC, when it began
    seconds: float
    method: str
    path: str  # with its query
    request_headers: Headers
    request: bytes
    status: int | None  # None: no answer came back
    response_headers: Headers = ()
    response: bytes = b""
    why_none: str = ""  # why no answer came, where that is known

    @property
    def answered(self) -> str:
        """Return the answer in short: `409 REC_CONFLICT duplicate`, `200`, `none`."""
        if self.status is None:
            return NO_ANSWER
        if self.status < _ERRORS:
            return str(self.status)
        outcome = read_outcome(self.response)
        return " ".join(filter(None, (str(self.status), outcome.code, outcome.issue)))

    def asked_file(self) -> bytes:
        """Return the request as a file: a line, the headers, the body as it went."""
        return _file(f"{self.method} {self.path} HTTP/1.1", self.request_headers, self.request)

    def answer_file(self) -> bytes:
        """Return the answer as a file; where none came, that is what it says."""
        if self.status is None:
            return f"No answer came back. {self.why_none}\n".encode()
        return _file(f"HTTP/1.1 {self.status}", self.response_headers, self.response)


class Tape:
    """What was recorded, in the order in which it ended."""

    def __init__(self) -> None:
        self.exchanges: list[RecordedExchange] = []
        self.scene = ""  # the one that is played

    def of(self, scene: str) -> Sequence[RecordedExchange]:
        """Return what belongs to a scene."""
        return [each for each in self.exchanges if each.scene == scene]

    @web.middleware
    async def witness(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Keep a call to the national side, and what it answered."""
        began, clock = datetime.now(UTC), asyncio.get_running_loop().time
        scene, since = self.scene, clock()
        body = await request.read()
        response = await handler(request)
        lost = request.transport is None or request.transport.is_closing()
        said = response.body if isinstance(response, web.Response) else b""
        self.exchanges.append(
            RecordedExchange(
                scene=scene,
                leg=Leg.NATIONAL,
                at=began.isoformat(timespec="milliseconds"),
                seconds=clock() - since,
                method=request.method,
                path=request.raw_path,
                request_headers=_kept(request.headers),
                request=_without_secrets(body),
                status=None if lost else response.status,
                response_headers=_kept(response.headers),
                response=_without_secrets(_plain(response.headers, said)),
                why_none="The connection was closed: a fault of the sandbox that was asked for.",
            )
        )
        return response

    async def ask(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
    ) -> RecordedExchange:
        """Ask a Receiver over *session*, and keep the exchange."""
        began, clock = datetime.now(UTC), asyncio.get_running_loop().time
        scene, since, where = self.scene, clock(), URL(url, encoded=True)
        status, said, why = None, b"", ""
        answered: Headers = ()
        sent: Headers = list(headers.items())
        try:
            async with session.request(method, where, headers=headers, data=body) as response:
                said = _plain(response.headers, await response.read())
                status, answered = response.status, _kept(response.headers)
                sent = _kept(response.request_info.headers)
        except aiohttp.ClientError as error:
            why = f"The connection ended in the handshake or before an answer: {error}"
        kept = RecordedExchange(
            scene=scene,
            leg=Leg.RECEIVER,
            at=began.isoformat(timespec="milliseconds"),
            seconds=clock() - since,
            method=method,
            path=where.raw_path_qs,
            request_headers=sent,
            request=body or b"",
            status=status,
            response_headers=answered,
            response=said,
            why_none=why,
        )
        self.exchanges.append(kept)
        return kept


def _kept(headers: Mapping[str, str]) -> Headers:
    return [
        (name, NOT_SHOWN if name.lower() in _SECRET_HEADERS else value)
        for name, value in headers.items()
    ]


def _plain(headers: Mapping[str, str], body: object) -> bytes:
    """Return a body as a person can read it."""
    if not isinstance(body, bytes):
        return b""
    return gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body


def _without_secrets(body: bytes) -> bytes:
    def hidden(found: re.Match[bytes]) -> bytes:
        if found[1]:
            return found[1] + f'"{NOT_SHOWN}"'.encode()
        return found[2] + NOT_SHOWN.encode()

    return _SECRET_MEMBERS.sub(hidden, body)


def _file(first: str, headers: Headers, body: bytes) -> bytes:
    lines = [first, *(f"{name}: {value}" for name, value in headers)]
    return "\n".join(lines).encode("utf-8", "backslashreplace") + b"\n\n" + body
