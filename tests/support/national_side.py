"""Token service and proxy on loopback: they answer as told, and keep what they heard."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import orjson
from aiohttp import web
from multidict import CIMultiDictProxy

from bars_gateway.model.messages import Claim, Payload
from bars_gateway.standard.verdict import Before
from bars_gateway.standard.workflow import Move

REQUEST_ID = "5b0a7a3e-4f0e-4b0c-9a1d-2f6f3c1d7e01"
CORRELATION_ID = "c2a6a0c4-93b1-4c77-8c55-0d1b6e0f9a02"
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
FHIR = "application/fhir+json"

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One request as it came."""

    target: str  # as it stood on the wire
    headers: CIMultiDictProxy[str]
    body: bytes
    peer_port: int  # tells connections apart


@dataclass(slots=True)
class Clock:
    """A wall clock and a monotonic one that move when a test says so."""

    wall: datetime = NOW
    seconds: float = 1000.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.seconds += seconds


@dataclass(slots=True)
class Service:
    """One listener: what was heard, what to answer next, and what to answer otherwise."""

    otherwise: Answering
    url: str = ""
    heard: list[Heard] = field(default_factory=list)
    answers: deque[Answering] = field(default_factory=deque)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        peer = request.transport.get_extra_info("peername") if request.transport else ("", 0)
        self.heard.append(
            Heard(target=request.raw_path, headers=request.headers, body=body, peer_port=peer[1])
        )
        answering = self.answers.popleft() if self.answers else self.otherwise
        return await answering(request)


@asynccontextmanager
async def served(otherwise: Answering, **site: object) -> AsyncIterator[Service]:
    """Yield a listener on a free port of loopback; *site* may hold an `ssl_context`."""
    service = Service(otherwise)
    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{tail:.*}", service.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, **site).start()  # type: ignore[arg-type]
        scheme = "https" if site.get("ssl_context") else "http"
        service.url = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}"
        yield service
    finally:
        await runner.cleanup()


@asynccontextmanager
async def wired(said: bytes) -> AsyncIterator[str]:
    """Yield the URL of a listener that says *said*, whatever it hears, and hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def saying(
    status: int, body: bytes = b"", media_type: str = "application/json", **headers: str
) -> Answering:
    """Return an answering with these; underscores in header names become hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, body=body, content_type=media_type, headers=named)

    return answer


def granting(expires_in: object = "599") -> Answering:
    """Return an answering with a new token each time: token-1, token-2 and so on."""
    count = 0

    async def answer(_request: web.Request) -> web.Response:
        nonlocal count
        count += 1
        granted = {"access_token": f"token-{count}", "token_type": "Bearer"}
        body = granted if expires_in is None else {**granted, "expires_in": expires_in}
        return web.Response(body=orjson.dumps(body), content_type="application/json")

    return answer


def refusing(status: int, error: str, description: str) -> Answering:
    """Return the token service's own form of a refusal."""
    body = {"error": error, "error_description": description, "message_id": "rrt-1"}
    return saying(status, orjson.dumps(body))


async def acknowledging(request: web.Request) -> web.StreamResponse:
    """Answer as a Receiver that took the message: our ids, and the Bundle with its own."""
    body = acknowledgement_of(await request.read())
    return web.Response(body=body, content_type=FHIR, headers=ids_of(request))


def acknowledgement_of(sent: bytes) -> bytes:
    """Return the Bundle that acknowledges *sent*: it has its id, where that has one."""
    own = orjson.loads(sent).get("id", "") if sent.startswith(b"{") else ""
    return ACKNOWLEDGEMENT.replace(BUNDLE_ID.encode(), own.encode()) if own else ACKNOWLEDGEMENT


def ids_of(request: web.Request) -> dict[str, str]:
    return {name: request.headers[name] for name in ("X-Request-Id", "X-Correlation-Id")}


def outcome(code: str, issue: str) -> bytes:
    """Return an OperationOutcome with one issue."""
    return orjson.dumps(
        {
            "resourceType": "OperationOutcome",
            "issue": [
                {"severity": "error", "code": issue, "details": {"coding": [{"code": code}]}}
            ],
        }
    )


def declining(status: int, code: str, issue: str) -> Answering:
    """Return an answering with that OperationOutcome."""
    return saying(status, outcome(code, issue), FHIR)


def after(event: asyncio.Event, answering: Answering) -> Answering:
    """Return *answering*, held back until *event*."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await event.wait()
        return await answering(request)

    return answer


async def hanging_up(request: web.Request) -> web.StreamResponse:
    """Close the connection without a word: the answer is lost."""
    assert request.transport is not None
    request.transport.close()
    return web.Response()


def a_claim(body: bytes = b'{"resourceType":"Bundle"}', **headers: str) -> Claim:
    """Return a claim that the proxy may be given without a store."""
    frozen = {
        "X-Request-Id": REQUEST_ID,
        "X-Correlation-Id": CORRELATION_ID,
        "Content-Type": f"{FHIR}; version=1.5.0",
        "Accept": f"{FHIR}; version=1.5.0",
        **headers,
    }
    return Claim(
        message_id=1,
        provider="trust",
        request_id=REQUEST_ID,
        correlation_id=CORRELATION_ID,
        receiver="https://fhir.nhs.uk/Id/dos-service-id|2000000202",
        move=Move.REQUEST,
        use_case="a3t1",
        claim=1,
        attempt=1,
        before=Before.NOTHING,
        server_errors=0,
        created_at=NOW,
        give_up_at=NOW + timedelta(minutes=15),
        request=Payload(media_type=FHIR, headers=MappingProxyType(frozen), body=body),
    )


FOCUS_ID = "8f9f3c1e-1f57-4f55-8a52-6f1f3a3d5b03"
BUNDLE_ID = "a0c1b1d2-7a1c-4a0e-8d0b-9b9a1d1c2e04"
ACKNOWLEDGEMENT = orjson.dumps(
    {
        "resourceType": "Bundle",
        "id": BUNDLE_ID,
        "type": "message",
        "entry": [
            {
                "fullUrl": "urn:uuid:1",
                "resource": {
                    "resourceType": "MessageHeader",
                    "id": "1",
                    "eventCoding": {"code": "servicerequest-request"},
                    "reason": {"coding": [{"code": "new"}]},
                    "focus": [{"reference": "urn:uuid:2"}],
                },
            },
            {
                "fullUrl": "urn:uuid:2",
                "resource": {"resourceType": "ServiceRequest", "id": FOCUS_ID, "status": "active"},
            },
        ],
    }
)
