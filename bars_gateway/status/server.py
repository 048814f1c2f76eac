"""
The one listener for operators: their pages, health and figures, for this machine alone.

    pages (`console`) ─┐
    `health` ──────────┼─► one loopback address: each answer hardened, each failure told
    `metrics` ─────────┘

What is answered is made by those three; here it is served, and what nobody foresaw is told with its
type and place. Whoever asks under a name that is not this machine's is sent away.

Decisions: D-local-page.
"""

import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import CollectorRegistry

from bars_gateway import listeners
from bars_gateway.errors import StoreError, unforeseen
from bars_gateway.status.health import Health
from bars_gateway.status.metrics import MetricsHandler
from bars_gateway.status.running import RuntimeState
from bars_gateway.store.asides import Aside
from bars_gateway.store.connection import LOOKING
from bars_gateway.store.store import Store

log = structlog.get_logger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
STOP_SECONDS = 5.0  # for a page in hand, once the gateway stops
# Nothing comes from elsewhere, nothing in a page runs, forms ask here alone, and nobody frames it.
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class StatusServer:
    """Serves pages, health and figures on a loopback address."""

    def __init__(
        self,
        store: Store,
        running: Callable[[], RuntimeState],
        *,
        host: str,
        port: int,
        now: Callable[[], datetime],
        registry: CollectorRegistry,
        pages: Sequence[web.RouteDef] = (),
        guard: Middleware | None = None,
        ends: Callable[[], None] = lambda: None,
        first_days: int = 90,
    ) -> None:
        """
        Serve nothing yet.

        *guard*: who may ask for what; by default, whoever asks under a name of this machine's.
        *ends* lets every answer end that goes on without an end. *first_days*: how many days
        before its end a thing becomes news.
        """
        self._ends = ends
        self._store, self._guard = store, guard or _of_this_machine
        self._pages = pages
        self._host, self._port = host, port
        self._now = now
        self._health = Health(store, running, now=now, first_days=first_days)
        self._figures = MetricsHandler(store, running, registry, now=now, first_days=first_days)
        self._listening: listeners.Listening | None = None
        self._bound_to = 0

    @property
    def port(self) -> int:
        """The port that it answers on, once it has started."""
        return self._bound_to

    async def start(self) -> None:
        """Begin to answer; raise AddressUnusable where the port is not to be had."""
        application = web.Application(middlewares=[self._telling, self._guard])
        application.on_response_prepare.append(_harden)
        application.add_routes([*self._pages, *self._health.routes(), *self._figures.routes()])
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=STOP_SECONDS)
        await runner.setup()
        listener = listeners.opened("status.listen", self._host, self._port)
        self._listening = await listeners.serve(runner, listener)
        self._bound_to = listener.getsockname()[1]
        log.info("status.started", address=self._host, port=self.port)

    async def stop(self) -> None:
        """Stop answering."""
        self._ends()
        if self._listening is not None:
            await self._listening.close()

    @web.middleware
    async def _telling(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer what nobody foresaw with its type and place, and raise an alarm."""
        LOOKING.set(True)
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


@web.middleware
async def _of_this_machine(request: web.Request, handler: Handler) -> web.StreamResponse:
    if not is_of_this_machine(host_of(request)):
        return web.Response(text="Ask for 127.0.0.1 or localhost.\n", status=421)
    return await handler(request)


async def _harden(_request: web.Request, response: web.StreamResponse) -> None:
    """Say to browsers what they may do with whatever is answered."""
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"  # without it, no form says whose it is
    response.headers["Server"] = "bars-gateway"


def host_of(request: web.Request) -> str:
    """Return the name under which we are asked; empty: what the Host header has is none."""
    try:
        return request.url.host or ""
    except ValueError:
        return ""


def is_of_this_machine(host: str) -> bool:
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
