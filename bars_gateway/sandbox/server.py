"""
The whole sandbox: one HTTPS port for token service and proxy, one admin port for faults.

    127.0.0.1:8440  POST /oauth2/token · /booking-and-referral/FHIR/R4/…
    127.0.0.1:8441  /faults · /calls · /gateways · /tokens/revoke
"""

import json
import random
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web

from bars_gateway.errors import SandboxError
from bars_gateway.sandbox.admin import Admin
from bars_gateway.sandbox.authorities import PROXY_NAME, Authority, write_private
from bars_gateway.sandbox.faults import Call, Calls, FaultKind, Faults
from bars_gateway.sandbox.proxy import BASE, BUFFER_BYTES, SandboxProxy
from bars_gateway.sandbox.registry import Registered, Registry
from bars_gateway.sandbox.token_service import TokenService

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings:
    """Where the sandbox lives and how patient it is."""

    folder: Path
    port: int = 0  # 0: any free one
    admin_port: int = 0
    key_bits: int = 4096  # of the gateways' signing keys
    connect_seconds: float = 3.0  # as the live proxy
    answer_seconds: float = 32.0  # as the live proxy
    rng: random.Random = field(default_factory=random.Random)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


class Sandbox:
    """The national side on this machine; use it as an async context manager."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        folder = settings.folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        now = settings.now()
        self._national = Authority.at(folder / "authorities", "national", now)
        self._receivers = Authority.at(folder / "authorities", "receivers", now)
        self._national.issue(folder / "national", "server", "sandbox.local", "server", now)
        self._receivers.issue(folder / "national", "proxy-client", PROXY_NAME, "client", now)
        self.registry = Registry(folder, self._receivers, key_bits=settings.key_bits)
        self.faults = Faults(settings.rng)
        self.calls = Calls()
        self.tokens = TokenService(self.registry, lambda: self.token_url, settings.now)
        self._stack = AsyncExitStack()
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
        session = await self._stack.enter_async_context(self._session())
        proxy = SandboxProxy(
            session,
            registry=self.registry,
            tokens=self.tokens,
            faults=self.faults,
            calls=self.calls,
            now=self._settings.now,
            answer_seconds=self._settings.answer_seconds,
        )
        national = web.Application(client_max_size=BUFFER_BYTES)
        national.router.add_route("*", "/oauth2/token", self._token)
        national.router.add_route("*", BASE + "/{suffix:.*}", proxy.answer)
        admin = Admin(self.registry, self.faults, self.calls, self.tokens, self._settings.now)
        await self._serve("national", national, self._settings.port, self._server_context())
        await self._serve("admin", admin.application(), self._settings.admin_port, None)
        self._tell()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop serving."""
        await self._stack.aclose()

    async def register(self, name: str, services: list[str], url: str) -> Registered:
        """Make credentials for a gateway and point its services to *url*."""
        return await self.registry.register(name, services, url, self._settings.now())

    async def _token(self, request: web.Request) -> web.StreamResponse:
        outage = self.faults.strikes(FaultKind.TOKEN_OUTAGE)
        if outage is not None:
            response = web.Response(status=503, text="<html>503</html>", content_type="text/html")
        else:
            response = await self.tokens.answer(request)
        self.calls.add(
            Call(
                number=self.calls.next_number(),
                at=self._settings.now().isoformat(timespec="milliseconds"),
                method=request.method,
                path="/oauth2/token",
                target=None,
                request_id=None,
                correlation_id=None,
                receiver_status=None,
                answered_status=response.status,
                fault=outage.kind if outage else None,
            )
        )
        return response

    async def _serve(
        self, name: str, application: web.Application, port: int, context: ssl.SSLContext | None
    ) -> None:
        runner = web.AppRunner(
            application, access_log=None, handler_cancellation=False, shutdown_timeout=1.0
        )
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        try:
            await web.TCPSite(runner, HOST, port, ssl_context=context).start()
        except OSError as error:
            raise SandboxError(f"port {port} of {HOST}: {error.strerror}") from None
        self._ports[name] = runner.addresses[0][1]

    def _session(self) -> aiohttp.ClientSession:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(self._receivers.file)
        own = self._settings.folder / "national"
        context.load_cert_chain(own / "proxy-client.pem", own / "proxy-client.key")
        return aiohttp.ClientSession(
            # The live proxy keeps an idle connection to a Receiver for 60 s.
            connector=aiohttp.TCPConnector(ssl=context, limit=0, keepalive_timeout=60),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._settings.connect_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )

    def _server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        own = self._settings.folder / "national"
        context.load_cert_chain(own / "server.pem", own / "server.key")
        return context

    def _tell(self) -> None:
        """Write where everything is, last: whoever started us waits for this file."""
        told = {
            "token_url": self.token_url,
            "proxy_url": self.proxy_url,
            "admin_url": self.admin_url,
            "ca_file": str(self.ca_file),
            "client_ca_file": str(self.client_ca_file),
            "allowed_client_name": PROXY_NAME,
            "targets_file": str(self.registry.targets_file),
        }
        half = self._settings.folder / "sandbox.json.tmp"
        write_private(half, json.dumps(told, indent=1).encode())
        half.replace(self._settings.folder / "sandbox.json")
