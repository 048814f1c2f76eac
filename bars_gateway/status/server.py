"""
The operator's page, health and metrics: what is true now, at a glance.

    store.overview + RuntimeState ─► GET /         one page, no script
                                     GET /healthz  the process answers
                                     GET /readyz   messages can be received: balancers ask it
                                     GET /readyz/sending   and sent
                                     GET /metrics  the same figures for a machine

Nobody's clinical data is in an Overview, so none can be shown here: ids, states, codes
and counts. The page is made again for each request and offers a link to load it again;
it never reloads itself under a reader's eyes.

Whether messages can be received and whether they can be sent is told apart, for a balancer that
takes the gateway out of service because its token is refused would turn away every Sender, too.
Reasons hold names of providers and folders, and nothing of a message.

Decisions: D-local-page, D-alarms-stay, D-readiness.
"""

import hashlib
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from bars_gateway import listeners
from bars_gateway.errors import StoreError, unforeseen
from bars_gateway.status.concerns import LYING_SECONDS, UNINSPECTED, RuntimeState, concerns
from bars_gateway.status.metrics import OverviewCollector
from bars_gateway.status.pages import style_sheet, template
from bars_gateway.store.asides import Aside
from bars_gateway.store.store import Store

log = structlog.get_logger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What stands in the way; empty where nothing does."""

    of_receiving: Sequence[str]
    of_sending: Sequence[str]
    of_neither: Sequence[str] = ()  # what somebody may want to know all the same


def readiness(running: RuntimeState, store_trouble: str | None) -> Readiness:
    """Return what stands in the way of receiving and of sending."""
    both = list(_of_both(running, store_trouble))
    return Readiness(
        of_receiving=both,
        of_sending=[*both, *_of_sending(running)],
        of_neither=list(_of_neither(running)),
    )


def _of_both(running: RuntimeState, store_trouble: str | None) -> Iterator[str]:
    if running.stopping:
        yield "stopping"
    if store_trouble is not None:
        yield store_trouble
    if running.unavailable is not None:
        yield running.unavailable.reason


def _of_sending(running: RuntimeState) -> Iterator[str]:
    if running.egress is not None:
        yield f"nothing gets out: {running.egress.reason}"
    for token in running.tokens:
        if token.failing_since:
            yield f"no access token for {token.provider}: {token.reason}"
    for kept_out in running.kept_out:
        yield f"the national proxy refuses {kept_out.provider}: {kept_out.reason}"
    for folder, reason in running.stalled.items():
        yield f"{folder} stands still: {reason}"
    for each in running.lying:
        if each.seconds >= LYING_SECONDS:
            yield f"{each.count} in {each.folder} not taken"


def _of_neither(running: RuntimeState) -> Iterator[str]:
    inspection = running.inspection
    if inspection is not None and inspection.waits_since is not None:
        yield f"{UNINSPECTED} since {inspection.waits_since:%Y-%m-%d %H:%M} UTC"


class StatusServer:
    """Serves the page on a loopback address."""

    def __init__(
        self,
        store: Store,
        running: Callable[[], RuntimeState],
        *,
        host: str,
        port: int,
        now: Callable[[], datetime],
        registry: CollectorRegistry,
        first_days: int = 90,
    ) -> None:
        """*first_days*: how many days before its end a thing becomes news."""
        self._first_days = first_days
        self._store = store
        self._runtime_state = running
        self._host, self._port = host, port
        self._now = now
        self._registry = registry
        self._runner: web.AppRunner | None = None
        self._stop_listening: Callable[[], None] = lambda: None
        self._bound_to = 0
        self._style = style_sheet()
        self._template = template()

    @property
    def port(self) -> int:
        """The port that it answers on, once it has started."""
        return self._bound_to

    async def start(self) -> None:
        """Begin to answer."""
        application = web.Application(middlewares=[self._telling, _of_this_machine])
        application.on_response_prepare.append(_harden)
        application.add_routes(
            [
                web.get("/", self._show),
                web.get("/status.css", self._show_style),
                web.get("/healthz", self._health),
                web.get("/readyz", self._receiving),
                web.get("/readyz/sending", self._sending),
                web.get("/metrics", self._metrics),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.create_server((self._host, self._port), family=family)
        self._stop_listening = (await listeners.serve(self._runner, listener)).close
        self._bound_to = listener.getsockname()[1]
        log.info("status.started", address=self._host, port=self.port)

    async def stop(self) -> None:
        """Stop answering."""
        self._stop_listening()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _show(self, _request: web.Request) -> web.Response:
        overview = await self._store.overview(self._now())
        running = self._runtime_state()
        html = await self._template.render_async(
            overview=overview,
            running=running,
            concerns=concerns(overview, running, self._first_days),
            style=hashlib.sha256(self._style.encode()).hexdigest()[:8],
        )
        return web.Response(text=html, content_type="text/html")

    async def _show_style(self, _request: web.Request) -> web.Response:
        return web.Response(text=self._style, content_type="text/css")

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _receiving(self, _request: web.Request) -> web.Response:
        found = await self._readiness()
        return _told(found, ready=not found.of_receiving)

    async def _sending(self, _request: web.Request) -> web.Response:
        found = await self._readiness()
        return _told(found, ready=not found.of_sending)

    async def _readiness(self) -> Readiness:
        trouble = None
        try:
            await self._store.prove_readable()
        except StoreError as error:
            trouble = str(error)
        return readiness(self._runtime_state(), trouble)

    async def _metrics(self, _request: web.Request) -> web.Response:
        overview = await self._store.overview(self._now())
        running = self._runtime_state()
        registry = CollectorRegistry()
        registry.register(
            OverviewCollector(
                overview,
                tokens={token.provider: token.expires_at for token in running.tokens},
                expiries=running.expiries,
                first_days=self._first_days,
                refused=running.refused,
                handshake_failures=running.handshake_failures,
                eprs=running.eprs,
            )
        )
        body = generate_latest(registry) + generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4"})

    @web.middleware
    async def _telling(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer what nobody foresaw with its type and place, and raise an alarm."""
        try:
            return await handler(request)
        except web.HTTPException:
            raise
        except StoreError as error:
            return web.Response(text=f"{error}\n{error.advice}\n", status=503)
        except Exception as error:  # unit of work
            await self._store.asides.tell(Aside.WORK, error, self._now())
            what = unforeseen(error)
            text = f"This cannot be shown: {what.exception} at {what.place}. Messages go on.\n"
            return web.Response(text=text, status=500)


def _told(found: Readiness, *, ready: bool) -> web.Response:
    document = {
        "ready": ready,
        "receiving": not found.of_receiving,
        "sending": not found.of_sending,
        "reasons": [*found.of_sending, *found.of_neither],
    }
    return web.json_response(document, status=200 if ready else 503)


@web.middleware
async def _of_this_machine(request: web.Request, handler: Handler) -> web.StreamResponse:
    if not _is_of_this_machine(_host_of(request)):
        return web.Response(text="Ask for 127.0.0.1 or localhost.\n", status=421)
    return await handler(request)


async def _harden(_request: web.Request, response: web.StreamResponse) -> None:
    """Say to browsers what they may do with whatever is answered."""
    response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'self'"
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Server"] = "bars-gateway"


def _host_of(request: web.Request) -> str:
    try:
        return request.url.host or ""
    except ValueError:  # what the Host header has is no name
        return ""


def _is_of_this_machine(host: str) -> bool:
    """
    Tell whether a browser may have been asked for this page, and not for somebody else's.

    A page from elsewhere can let its own name lead here and read what comes; it cannot
    do that with an address, nor with localhost.
    """
    if host == "localhost":
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
