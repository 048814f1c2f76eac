"""A Receiver of another make: over mutual TLS, behind the sandbox, and it says what a test says."""

import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import orjson
from aiohttp import web
from world import JSON, Node, World

Script = Callable[[web.BaseRequest], Awaitable[web.Response]]
IDS = ("X-Request-Id", "X-Correlation-Id")


def outcome(status: int, code: str, issue: str, **headers: str) -> Callable[[], web.Response]:
    """Make answers of a Receiver that says *code* and *issue*."""
    coding = {"system": "https://fhir.nhs.uk/CodeSystem/http-error-codes", "code": code}
    said = {"severity": "error", "code": issue, "details": {"coding": [coding]}}
    body = orjson.dumps({"resourceType": "OperationOutcome", "issue": [said]})
    return partial(web.Response, status=status, body=body, content_type=JSON, headers=headers)


def fine(body: bytes = b'{"resourceType": "Bundle"}') -> web.Response:
    return web.Response(body=body, content_type=JSON)


def nothing() -> web.Response:
    return outcome(404, "REC_NOT_FOUND", "not-found")()


@asynccontextmanager
async def receiver(node: Node, script: Script) -> AsyncIterator[str]:
    """Answer as *script* does, with the ids of each request; yield the address."""

    async def answer(request: web.BaseRequest) -> web.Response:
        response = await script(request)
        for name in IDS:
            response.headers[name] = request.headers[name]
        return response

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    folder = node.registered.folder
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@dataclass
class Scripted:
    """What the Receiver says to each message, one after the other, and what it shows to reads."""

    answers: deque[Callable[[bytes], web.Response]]
    shows: Callable[[], web.Response] = nothing
    posted: list[bytes] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def say(self, request: web.BaseRequest) -> web.Response:
        if request.method == "GET":
            self.asked.append(request.path_qs)
            return self.shows()
        body = await request.read()
        self.posted.append(body)
        return self.answers.popleft()(body) if self.answers else outcome(503, "REC_X", "x")()


@asynccontextmanager
async def another_make(
    world: World, service: str, *answers: Callable[[bytes], web.Response]
) -> AsyncIterator[Scripted]:
    """Put a Receiver behind *service* that says these, and is unavailable after that."""
    scripted = Scripted(deque(answers))
    async with receiver(world.hospital, scripted.say) as url:
        register = world.sandbox.registry.register
        await register("hospital", [service], url, datetime.now(UTC))
        yield scripted
