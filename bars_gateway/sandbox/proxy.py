"""
The BaRS proxy: checks a call, forwards it over mutual TLS, and answers as the live one.

    Sender ─► checks ─► fault? ─► Receiver ─► fault? ─► its answer, or what replaces it

Path, query, headers and bytes go on as they came, whatever the verb: the live proxy has
no list of what it forwards. Only Authorization stays behind.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from bars_gateway.sandbox import bodies, checks
from bars_gateway.sandbox.bodies import Body
from bars_gateway.sandbox.faults import Call, Calls, Fault, FaultKind, Faults
from bars_gateway.sandbox.registry import Registry
from bars_gateway.sandbox.token_service import TokenService
from bars_gateway.standard.headers import CORRELATION_ID, REQUEST_ID, TARGET, echo

BASE = "/booking-and-referral/FHIR/R4"
BUFFER_BYTES = 10 * 1024 * 1024
_NOT_FORWARDED = frozenset(
    "authorization connection host keep-alive te trailer transfer-encoding upgrade".split()
)
_OPEN_PATHS = frozenset({"/_ping", "/_status", "/_cache"})  # looked at by no check of the token
_FAULT_BODIES = {401: bodies.BAD_TOKEN, 429: bodies.QUOTA, 500: bodies.SCRIPT_FAILED}


@dataclass(slots=True, kw_only=True)
class _Passage:
    """What is known of one call while it passes."""

    suffix: str
    target: str | None = None
    receiver_status: int | None = None
    fault: Fault | None = None
    dropped: bool = False
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)


class SandboxProxy:
    """Answers everything below the base path."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        registry: Registry,
        tokens: TokenService,
        faults: Faults,
        calls: Calls,
        now: Callable[[], datetime],
        answer_seconds: float,
    ) -> None:
        self._session = session
        self._registry = registry
        self._tokens = tokens
        self._faults = faults
        self._calls = calls
        self._now = now
        self._answer_seconds = answer_seconds

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Return the answer to one call; close the connection where a fault says so."""
        passage = _Passage(suffix=request.raw_path.removeprefix(BASE))
        response = await self._answer(request, passage)
        struck = passage.fault is not None and passage.fault.kind is FaultKind.NO_IDS
        if struck:
            for name in (REQUEST_ID, CORRELATION_ID):
                response.headers.popall(name, None)
        self._remember(request, passage, response)
        if passage.dropped and request.transport is not None:
            request.transport.abort()
        return response

    async def _answer(self, request: web.Request, passage: _Passage) -> web.Response:
        own = self._own(request, passage.suffix)
        if own is not None:
            return own
        path = passage.suffix.partition("?")[0]
        if path not in _OPEN_PATHS:
            problem = checks.token_problem(request, self._tokens.knows) or checks.header_problem(
                request, path
            )
            if problem is not None:
                return _refused(problem)
        target = checks.target_of(request.headers.get(TARGET), self._registry.targets)
        if isinstance(target, Body):
            return _refused(target)
        passage.target, url = target
        return await self._forward_or_fail(request, passage, url)

    def _own(self, request: web.Request, suffix: str) -> web.Response | None:
        """Return what the proxy answers itself, without a token."""
        path = suffix.partition("?")[0]
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return web.Response(headers={"Access-Control-Allow-Methods": "GET, PUT, POST, DELETE"})
        if path == "/_ping" and request.method in {"GET", "HEAD"}:
            return web.json_response(
                {"version": "sandbox", "revision": "1", "releaseId": "sandbox", "commitId": "-"}
            )
        if path == "/metadata" and request.method == "GET" and TARGET not in request.headers:
            return web.json_response(
                {
                    "resourceType": "CapabilityStatement",
                    "status": "active",
                    "kind": "instance",
                    "fhirVersion": "4.0.1",
                    "format": ["json", "xml"],
                    "rest": [{"mode": "server"}],
                }
            )
        return None

    async def _forward_or_fail(
        self, request: web.Request, passage: _Passage, url: str
    ) -> web.Response:
        delay = self._faults.strikes(FaultKind.DELAY, target=passage.target)
        if delay is not None:
            passage.fault = delay
            await asyncio.sleep(delay.seconds)
        failed = self._struck(passage, FaultKind.DROP_BEFORE, FaultKind.STATUS, after=False)
        if failed is not None:
            return failed
        response = await self._forward(request, passage, url)
        failed = self._struck(passage, FaultKind.DROP_AFTER, FaultKind.STATUS, after=True)
        if failed is not None:
            return failed
        no_ids = self._faults.strikes(FaultKind.NO_IDS, target=passage.target)
        passage.fault = no_ids or passage.fault
        return response

    def _struck(self, passage: _Passage, *kinds: FaultKind, after: bool) -> web.Response | None:
        fault = self._faults.strikes(*kinds, target=passage.target, after=after)
        if fault is None:
            return None
        passage.fault = fault
        passage.dropped = fault.kind is not FaultKind.STATUS
        return web.Response() if passage.dropped else _fault_answer(fault.status)

    async def _forward(self, request: web.Request, passage: _Passage, url: str) -> web.Response:
        try:
            async with (
                asyncio.timeout(self._answer_seconds),
                self._session.request(
                    request.method,
                    URL(url + passage.suffix, encoded=True),
                    data=await request.read(),
                    headers=_forwarded(request),
                    allow_redirects=False,
                ) as answer,
            ):
                passage.receiver_status = answer.status
                body = await answer.read()
        except TimeoutError:
            return _refused(bodies.TIMEOUT)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, ConnectionError):
            return _json(502, bodies.UNEXPECTED_EOF)
        except (aiohttp.ClientError, OSError, ssl.SSLError):
            return _refused(bodies.UNAVAILABLE)
        headers = CIMultiDict(
            (name, value)
            for name, value in answer.headers.items()
            if name.lower() not in {*_NOT_FORWARDED, "content-length"}
        )
        replacement = checks.replaced(answer.status, body)
        if replacement is not None:
            headers["Content-Type"] = "application/json"
            return web.Response(
                status=replacement.status, body=replacement.encoded(), headers=headers
            )
        return web.Response(status=answer.status, body=body, headers=headers)

    def _remember(
        self, request: web.Request, passage: _Passage, response: web.StreamResponse
    ) -> None:
        ids = echo({name.lower(): value for name, value in request.headers.items()})
        self._calls.add(
            Call(
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
        )


def _forwarded(request: web.Request) -> CIMultiDict[str]:
    headers = CIMultiDict(
        (name, value)
        for name, value in request.headers.items()
        if name.lower() not in {*_NOT_FORWARDED, "content-length"}
    )
    headers["X-Forwarded-For"] = request.remote or "127.0.0.1"
    headers["X-Forwarded-Proto"] = "https"
    headers["X-Forwarded-Port"] = "443"
    return headers


def _refused(body: Body) -> web.Response:
    return _json(body.status, body.encoded())


def _json(status: int, body: bytes) -> web.Response:
    return web.Response(status=status, body=body, headers={"Content-Type": "application/json"})


def _fault_answer(status: int) -> web.Response:
    if status == 503:  # noqa: PLR2004
        return _refused(bodies.UNAVAILABLE)
    if status in _FAULT_BODIES:
        return _refused(_FAULT_BODIES[status])
    return web.Response(status=status, body=bodies.intermediary(status), content_type="text/html")
