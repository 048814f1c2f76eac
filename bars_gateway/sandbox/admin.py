"""The admin port: faults, calls, gateways, certificates, revoked tokens; plain HTTP."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

import orjson
from aiohttp import web

from bars_gateway.errors import SandboxError
from bars_gateway.listeners import (
    BodyRefused,
    allow_of,
    body_of,
    refused_encoding,
)
from bars_gateway.sandbox.calls import Calls
from bars_gateway.sandbox.faults import FaultProblem, Faults
from bars_gateway.sandbox.registry import Registry
from bars_gateway.sandbox.token_service import TokenService

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_LONGEST_WAIT = 60.0  # seconds
_GATEWAY: dict[str, type] = {"name": str, "services": list, "url": str, "enabled": bool}


class Admin:
    """What tests, the demo and an integration engineer steer the sandbox with."""

    def __init__(
        self,
        registry: Registry,
        faults: Faults,
        calls: Calls,
        tokens: TokenService,
        now: Callable[[], datetime],
    ) -> None:
        self._registry = registry
        self._faults = faults
        self._calls = calls
        self._tokens = tokens
        self._now = now

    def application(self, more: Sequence[web.RouteDef] = ()) -> web.Application:
        """Return the routes, with *more* of them."""
        application = web.Application(middlewares=[_answer_troubles])
        routes = [
            *more,
            web.get("/faults", self._list),
            web.post("/faults", self._arm),
            web.delete("/faults", self._clear),
            web.delete("/faults/{number:\\d+}", self._clear),
            web.get("/calls", self._list_calls),
            web.post("/tokens/revoke", self._revoke),
            web.post("/gateways", self._register),
            web.post("/certificates", self._certify),
        ]
        application.add_routes(routes)
        return application

    async def _list(self, _request: web.Request) -> web.Response:
        return _json({"faults": [fault.document() for fault in self._faults.armed()]})

    async def _arm(self, request: web.Request) -> web.Response:
        try:
            fault = self._faults.arm(orjson.loads(await body_of(request)))
        except (FaultProblem, orjson.JSONDecodeError) as problem:
            return _json({"error": str(problem)}, status=400)
        return _json({"id": fault.fault_id}, status=201)

    async def _clear(self, request: web.Request) -> web.Response:
        number = request.match_info.get("number")
        found = self._faults.clear(int(number) if number else None)
        return web.Response(status=204 if found or number is None else 404)

    async def _list_calls(self, request: web.Request) -> web.Response:
        try:
            after = int(request.query.get("after", "0"))
            wait = min(float(request.query.get("wait", "0")), _LONGEST_WAIT)
        except ValueError:
            return _json({"error": "after and wait are numbers"}, status=400)
        return _json({"calls": await self._calls.after(after, wait)})

    async def _revoke(self, _request: web.Request) -> web.Response:
        return _json({"revoked": self._tokens.revoke_all()})

    async def _register(self, request: web.Request) -> web.Response:
        try:
            wanted = _wanted(orjson.loads(await body_of(request)))
            registered = await self._registry.register(
                wanted["name"],
                wanted["services"],
                wanted["url"],
                self._now(),
                enabled=wanted.get("enabled", True),
            )
        except (orjson.JSONDecodeError, SandboxError) as problem:
            return _json({"error": str(problem)}, status=400)
        return _json(registered.document(), status=201)

    async def _certify(self, request: web.Request) -> web.Response:
        try:
            chain = self._registry.certified(await body_of(request), self._now())
        except SandboxError as problem:
            return _json({"error": str(problem)}, status=400)
        return web.Response(body=chain, status=201, content_type="application/x-pem-file")


@web.middleware
async def _answer_troubles(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Say in JSON what is wrong with a request, as the gateway's own listeners do."""
    try:
        return refused_encoding(request) or await handler(request)
    except BodyRefused as refused:
        return refused.answer
    except web.HTTPRequestEntityTooLarge:
        limit = request.client_max_size
        return _json({"error": f"the body is too large: send at most {limit} bytes"}, status=413)
    except web.HTTPException as error:
        answer = _json({"error": error.reason}, status=error.status)
        answer.headers.update(allow_of(error))
        return answer


def _wanted(described: object) -> dict[str, Any]:
    """Return the gateway that a JSON object describes, or raise SandboxError naming what not."""
    if not isinstance(described, dict):
        raise SandboxError("a gateway is a JSON object")
    for name in described.keys() - _GATEWAY.keys():
        raise SandboxError(f"unknown member {name!a}; known are {', '.join(_GATEWAY)}")
    for name, kind in _GATEWAY.items():
        if name not in described and name != "enabled":
            raise SandboxError(f"{name} is missing")
        if name in described and not isinstance(described[name], kind):
            raise SandboxError(f"{name} has the wrong type")
    if not all(isinstance(service, str) and service for service in described["services"]):
        raise SandboxError("services is a list of values, or of system|value")
    return described


def _json(document: object, *, status: int = 200) -> web.Response:
    return web.Response(
        body=orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n",
        status=status,
        content_type="application/json",
    )
