"""
The whole sandbox: one HTTPS port for token service and proxy, one admin port for faults.

    127.0.0.1:8440  POST /oauth2/token · /booking-and-referral/FHIR/R4/…
    127.0.0.1:8441  /faults · /calls · /gateways · /tokens/revoke · /counterparty/…  plain HTTP
    a free port     the counterparty's Receiver, which the proxy calls

Whoever starts it waits for `sandbox.json`, which is written last and taken away at the
end. Only one that was killed leaves it behind, with the number of a process that is gone.

`run` serves until it is told to stop, and says how to point a gateway at it.
"""

import asyncio
import json
import os
import random
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
import structlog
import typer
from aiohttp import web
from aiohttp.typedefs import Middleware

from bars_gateway import listeners
from bars_gateway.errors import SandboxError
from bars_gateway.frozen import frozen
from bars_gateway.listeners import (
    BodyRefused,
    allow_of,
    body_of,
    refused_encoding,
)
from bars_gateway.sandbox import counterparty
from bars_gateway.sandbox.bodies import NO_SUCH_PROXY, as_document, as_json
from bars_gateway.sandbox.calls import TOKEN_PATH, Call, CallLog
from bars_gateway.sandbox.counterparty import CounterpartyAdmin, SandboxCounterparty, Surroundings
from bars_gateway.sandbox.counterparty.receiver import BASE as RECEIVER_BASE
from bars_gateway.sandbox.counterparty.services import SERVICES, ScriptProblem
from bars_gateway.sandbox.faults import (
    TOKEN_FAULTS,
    ArmedFault,
    FaultKind,
    FaultProblem,
    Faults,
    OutageMode,
)
from bars_gateway.sandbox.proxy import BASE, BUFFER_BYTES, SandboxProxy, leave_untyped, open_session
from bars_gateway.sandbox.registry import (
    PROXY_NAME,
    Authority,
    Registered,
    Registry,
    make_private_folder,
    write_private,
)
from bars_gateway.sandbox.token_service import TokenService

HOST = "127.0.0.1"

_LONGEST_WAIT = 60.0  # seconds
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger(__name__)


@frozen(kw_only=True)
class SandboxSettings:
    """Where the sandbox lives and how patient it is."""

    folder: Path
    port: int = 0  # 0: any free one
    admin_port: int = 0
    key_bits: int = 4096  # of the gateways' signing keys
    connect_seconds: float = 3.0  # as the live proxy
    answer_seconds: float = 32.0  # as the live proxy
    counterparty: bool = False  # whether somebody stands behind the proxy to write to
    pause_seconds: float = 2.0  # of the counterparty, before each of its responses
    scripts: Sequence[object] = ()  # of the counterparty, as the admin port would get them
    witnesses: Sequence[Middleware] = ()  # who sees each call to proxy and token service, whole
    rng: random.Random = field(default_factory=random.Random)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


class Sandbox:
    """
    The national side on this machine; use it as an async context manager.

    Raises SandboxError where the folder cannot be used, or a port is taken.
    """

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        folder = settings.folder
        try:
            self._make(folder, settings.now())
            self.registry = Registry(folder, self._receivers, key_bits=settings.key_bits)
        except (OSError, ValueError) as error:
            raise SandboxError(f"{folder} cannot be used: {error}") from None
        self.faults = Faults(settings.rng, self._hang_up)
        self.calls = CallLog()
        self.tokens = TokenService(self.registry, lambda: self.token_url, settings.now)
        self.counterparty = SandboxCounterparty(self._surroundings())
        self._add_scripts(settings.scripts)
        self._told = folder / "sandbox.json"
        self._party: Registered
        self._stack = AsyncExitStack()
        self._national_server: web.Server | None = None
        self._ports: dict[str, int] = {}

    @property
    def token_url(self) -> str:
        """Where tokens are asked for, and the audience of the JWTs."""
        return f"https://{HOST}:{self._ports['national']}/oauth2/token"

    @property
    def proxy_url(self) -> str:
        """The base of the proxy."""
        return f"https://{HOST}:{self._ports['national']}{BASE}"

    @property
    def admin_url(self) -> str:
        """Where faults are armed and calls are listed."""
        return f"http://{HOST}:{self._ports['admin']}"

    @property
    def ca_file(self) -> Path:
        """What a gateway trusts when it calls out."""
        return self._national.file

    @property
    def client_ca_file(self) -> Path:
        """What a gateway trusts when it is called."""
        return self._receivers.file

    async def __aenter__(self) -> Self:
        """Begin to serve."""
        admin = Admin(self.registry, self.faults, self.calls, self.tokens, self._settings.now)
        async with AsyncExitStack() as opened:
            national = await self._national_side(opened)
            port, tls = self._settings.port, self._server_context()
            self._ports["national"], self._national_server = await _serve(
                opened, national, port, tls
            )
            with_party = self._settings.counterparty
            routes = await self._open_counterparty(opened) if with_party else ()
            port = self._settings.admin_port
            self._ports["admin"], _ = await _serve(opened, admin.application(routes), port)
            self._tell()  # not before: where a port is taken, the file may be another's
            self._stack = opened.pop_all()
        log.info("sandbox.started", port=self._ports["national"], pid=os.getpid())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop serving."""
        self._told.unlink(missing_ok=True)
        await self._stack.aclose()

    async def register(self, name: str, services: list[str], url: str) -> Registered:
        """Make credentials for a gateway and point its services to *url*."""
        return await self.registry.register(name, services, url, self._settings.now())

    def _add_scripts(self, scripts: Sequence[object]) -> None:
        if scripts and not self._settings.counterparty:
            raise SandboxError("there is a script, and no counterparty to follow it")
        for described in scripts:
            try:
                self.counterparty.scripts.add(described)
            except ScriptProblem as problem:
                raise SandboxError(f"a script of the counterparty: {problem}") from None

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            proxy_url=lambda: self.proxy_url,
            token=lambda: self.tokens.grant(self._party),
            ca_file=self.ca_file,
            pause_seconds=self._settings.pause_seconds,
            now=self._settings.now,
        )

    async def _open_counterparty(self, opened: AsyncExitStack) -> Sequence[web.RouteDef]:
        """Let the counterparty answer behind the proxy; return its part of the admin port."""
        folder, now = self._settings.folder / "gateways" / counterparty.NAME, self._settings.now()
        self._receivers.issue(folder, "server", f"{counterparty.NAME}.sandbox.local", "server", now)
        application = await self.counterparty.open(opened)
        tls = counterparty.server_context(folder, self._receivers.file)
        port, _ = await _serve(opened, application, 0, tls)
        self.counterparty.url = f"https://{HOST}:{port}{RECEIVER_BASE}"
        services = [
            s
            for s in counterparty.identifiers()
            if not self.registry.is_claimed(s, counterparty.NAME)
        ]
        self._party = await self.registry.register(
            counterparty.NAME, services, self.counterparty.url, now, signs=False
        )
        return CounterpartyAdmin(self.counterparty).routes()

    def _make(self, folder: Path, now: datetime) -> None:
        make_private_folder(folder)
        self._national = Authority.at(folder / "authorities", "national", now)
        self._receivers = Authority.at(folder / "authorities", "receivers", now)
        self._national.issue(folder / "national", "server", "sandbox.local", "server", now)
        self._receivers.issue(folder / "national", "proxy-client", PROXY_NAME, "client", now)

    async def _national_side(self, opened: AsyncExitStack) -> web.Application:
        session = open_session(
            self._settings.folder / "national",
            self._receivers.file,
            connect_seconds=self._settings.connect_seconds,
            answer_seconds=self._settings.answer_seconds,
        )
        proxy = SandboxProxy(
            await opened.enter_async_context(session),
            registry=self.registry,
            tokens=self.tokens,
            faults=self.faults,
            calls=self.calls,
            now=self._settings.now,
        )
        application = web.Application(
            client_max_size=BUFFER_BYTES, middlewares=self._settings.witnesses
        )
        application.on_response_prepare.append(leave_untyped)
        application.router.add_route("*", TOKEN_PATH, self._token)
        application.router.add_route("*", "/oauth2/{rest:.*}", self._beside_token)
        application.router.add_route("*", BASE + "{suffix:(?:/.*)?}", proxy.answer)
        application.router.add_route("*", "/{elsewhere:.*}", _no_such_proxy)
        return application

    async def _token(self, request: web.Request) -> web.StreamResponse:
        begun = asyncio.get_running_loop().time()
        fault = self.faults.strikes(*TOKEN_FAULTS)
        response = await self.tokens.answer(request, fault)
        dropped = fault is not None and fault.mode is OutageMode.DROP
        status = None if dropped else response.status
        seconds = asyncio.get_running_loop().time() - begun
        self.calls.add(self._asked(request, status, fault), seconds=seconds)
        if dropped and request.transport is not None:
            request.transport.abort()
        return response

    def _asked(self, request: web.Request, status: int | None, fault: ArmedFault | None) -> Call:
        return Call(
            number=self.calls.next_number(),
            at=self._settings.now().isoformat(timespec="milliseconds"),
            method=request.method,
            path=TOKEN_PATH,
            target=None,
            request_id=None,
            correlation_id=None,
            receiver_status=None,
            answered_status=status,
            fault=fault.kind if fault else None,
        )

    async def _beside_token(self, request: web.Request) -> web.StreamResponse:
        return self.tokens.answer_elsewhere(request)

    def _server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        own = self._settings.folder / "national"
        context.load_cert_chain(own / "server.pem", own / "server.key")
        context.sni_callback = self._in_the_handshake
        return context

    def _in_the_handshake(self, *_: object) -> int | None:
        """Return the alert of a handshake that is to fail: called in each, with a name or not."""
        struck = self.faults.strikes(FaultKind.TLS_FAILURE)
        return ssl.ALERT_DESCRIPTION_HANDSHAKE_FAILURE if struck else None

    def _hang_up(self) -> None:
        """Close the connections that are open, whether they are used or not."""
        for handler in self._national_server.connections if self._national_server else ():
            handler.force_close()

    def _tell(self) -> None:
        """Write where everything is, last: whoever started us waits for this file."""
        told = {
            "pid": os.getpid(),
            "token_url": self.token_url,
            "proxy_url": self.proxy_url,
            "admin_url": self.admin_url,
            "ca_file": str(self.ca_file),
            "client_ca_file": str(self.client_ca_file),
            "allowed_client_name": PROXY_NAME,
            "targets_file": str(self.registry.targets_file),
        }
        write_private(self._told, json.dumps(told, indent=1).encode())


async def _no_such_proxy(_request: web.Request) -> web.StreamResponse:
    return as_json(404, NO_SUCH_PROXY)


async def _serve(
    opened: AsyncExitStack,
    application: web.Application,
    port: int,
    tls: ssl.SSLContext | None = None,
) -> tuple[int, web.Server]:
    """Serve until *opened* is closed; return the port, and what knows the open connections."""
    runner = web.AppRunner(
        application, access_log=None, handler_cancellation=False, shutdown_timeout=1.0
    )
    try:
        listener = socket.create_server((HOST, port))
    except OSError as error:
        raise SandboxError(f"port {port} of {HOST}: {error.strerror}") from None
    bound_to = int(listener.getsockname()[1])
    kind = listeners.LocalConnection if tls is None else listeners.QuietConnection
    await runner.setup()
    listening = await listeners.serve(runner, listener, connection=kind, tls=tls)
    opened.push_async_callback(listening.close)
    assert runner.server is not None
    return bound_to, runner.server


async def run(settings: SandboxSettings, gateways: dict[str, tuple[list[str], str]]) -> None:
    """Serve until SIGINT or SIGTERM; *gateways* maps a name to its services and its URL."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    national = Sandbox(settings)
    made = await _registered(national, gateways)
    async with national:
        _introduce(national, made)
        await stop.wait()
    typer.echo("Stopped.")


async def _registered(
    national: Sandbox, gateways: dict[str, tuple[list[str], str]]
) -> list[Registered]:
    """Register all at once, because their keys take seconds each."""
    try:
        async with asyncio.TaskGroup() as group:
            made = [
                group.create_task(national.register(name, services, url))
                for name, (services, url) in gateways.items()
            ]
    except* SandboxError as errors:
        raise SandboxError("; ".join(map(str, errors.exceptions))) from None
    return [task.result() for task in made]


def _introduce(national: Sandbox, gateways: list[Registered]) -> None:
    typer.echo(f"token service  {national.token_url}")
    typer.echo(f"proxy          {national.proxy_url}")
    typer.echo(f"admin          {national.admin_url}")
    typer.echo(f"targets        {national.registry.targets_file}, read at every request")
    for gateway in gateways:
        typer.echo(_settings_for(gateway, national))
    typer.echo(
        f"""
Faults, for the next three calls:

  curl -d '{{"kind": "drop_after", "count": 3}}' {national.admin_url}/faults
  curl -d '{{"kind": "status", "status": 503, "count": 3}}' {national.admin_url}/faults
  curl -d '{{"kind": "token_outage", "count": 3}}' {national.admin_url}/faults
  curl -X DELETE {national.admin_url}/faults
  curl {national.admin_url}/calls
{_counterparty(national)}
Ctrl-C ends it."""
    )


def _counterparty(national: Sandbox) -> str:
    """Return what to know of the counterparty, where there is one."""
    if not national.counterparty.url:
        return ""
    own = [each for each in SERVICES.values() if not each.official]
    listed = "\n".join(f"  {each.value}  {each.applications[0]}  {each.title}" for each in own)
    return f"""
Services behind the proxy to write to, by Application; see docs/sandbox.md:

{listed}

  curl {national.admin_url}/counterparty/held
"""


def _settings_for(gateway: Registered, national: Sandbox) -> str:
    """Return what to write into the gateway's settings, as TOML."""
    return f"""
Settings for {gateway.name}, which receives at {gateway.url}:

  environment = "local"

  [providers.{gateway.name}]
  services = {json.dumps(list(gateway.services))}
  key_id = "{gateway.key_id}"
  api_key = "{gateway.api_key}"
  private_key_file = {json.dumps(str(gateway.private_key_file))}

  [outbound]
  token_url = "{national.token_url}"
  proxy_url = "{national.proxy_url}"
  ca_file = {json.dumps(str(national.ca_file))}

  [inbound]
  certificate_file = {json.dumps(str(gateway.certificate_file))}
  private_key_file = {json.dumps(str(gateway.certificate_key_file))}
  client_ca_file = {json.dumps(str(national.client_ca_file))}
  allowed_client_names = ["{PROXY_NAME}"]"""


_GATEWAY: dict[str, type] = {"name": str, "services": list, "url": str, "enabled": bool}


class Admin:
    """What tests, the demo and an integration engineer steer the sandbox with."""

    def __init__(
        self,
        registry: Registry,
        faults: Faults,
        calls: CallLog,
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
        return as_document({"faults": [fault.document() for fault in self._faults.armed()]})

    async def _arm(self, request: web.Request) -> web.Response:
        try:
            fault = self._faults.arm(orjson.loads(await body_of(request)))
        except (FaultProblem, orjson.JSONDecodeError) as problem:
            return as_document({"error": str(problem)}, status=400)
        return as_document({"id": fault.fault_id}, status=201)

    async def _clear(self, request: web.Request) -> web.Response:
        number = request.match_info.get("number")
        found = self._faults.clear(int(number) if number else None)
        return web.Response(status=204 if found or number is None else 404)

    async def _list_calls(self, request: web.Request) -> web.Response:
        try:
            after = int(request.query.get("after", "0"))
            wait = min(float(request.query.get("wait", "0")), _LONGEST_WAIT)
        except ValueError:
            return as_document({"error": "after and wait are numbers"}, status=400)
        return as_document({"calls": await self._calls.after(after, wait)})

    async def _revoke(self, _request: web.Request) -> web.Response:
        return as_document({"revoked": self._tokens.revoke_all()})

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
            return as_document({"error": str(problem)}, status=400)
        return as_document(registered.document(), status=201)

    async def _certify(self, request: web.Request) -> web.Response:
        try:
            chain = self._registry.certified(await body_of(request), self._now())
        except SandboxError as problem:
            return as_document({"error": str(problem)}, status=400)
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
        return as_document(
            {"error": f"the body is too large: send at most {limit} bytes"}, status=413
        )
    except web.HTTPException as error:
        answer = as_document({"error": error.reason}, status=error.status)
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
