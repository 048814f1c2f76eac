"""
The BaRS proxy: checks a call, forwards it over mutual TLS, and answers as the live one.

    Sender ─► checks ─► fault? ─► forwarding ─► fault? ─► its answer, or what replaces it

Path, query, headers and bytes go on as they came, whatever the verb: the live proxy has
no list of what it forwards. Only Authorization stays behind.

Documents are the exception: the live proxy sends them to a record locator of its own, and
there is none here, so they get what the platform says of a service that is down.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import aiohttp
from aiohttp import web

from bars_gateway.sandbox import bodies, checks
from bars_gateway.sandbox.bodies import Body, as_json
from bars_gateway.sandbox.calls import Call, Calls
from bars_gateway.sandbox.capabilities import statement
from bars_gateway.sandbox.faults import Fault, FaultKind, Faults
from bars_gateway.sandbox.forwarding import forward
from bars_gateway.sandbox.registry import Registry
from bars_gateway.sandbox.token_service import TokenService
from bars_gateway.standard.headers import CORRELATION_ID, REQUEST_ID, TARGET, echo

BASE = "/booking-and-referral/FHIR/R4"
_OPEN_PATHS = frozenset({"/_ping", "/_status", "/_cache"})  # looked at by no check of the token
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


@dataclass(slots=True, kw_only=True)
class _Passage:
    """What is known of one call while it passes."""

    method: str
    suffix: str
    target: str | None = None
    receiver_status: int | None = None
    fault: Fault | None = None
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
        calls: Calls,
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
            problem = checks.token_problem(request, self._tokens.owner) or checks.header_problem(
                request, path
            )
            if problem is not None:
                return _refused(problem)
        if path.startswith("/DocumentReference"):
            return as_json(503, bodies.NO_DOCUMENTS)
        target = checks.target_of(request.headers.get(TARGET), self._registry.targets)
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
            return as_json(200, statement(str(request.url.origin()) + BASE))
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

    def _met(self, passage: _Passage, *kinds: FaultKind, after: bool = False) -> Fault | None:
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


def _fault_answer(fault: Fault) -> web.Response:
    if fault.kind is FaultKind.PAGE:
        return bodies.intermediary(fault.status)
    if fault.status in _FAULT_BODIES:
        return _refused(_FAULT_BODIES[fault.status])
    return as_json(fault.status, bodies.UNEXPECTED_EOF)
