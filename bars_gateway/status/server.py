"""
The operator's page, health and metrics: what is true now, at a glance.

    store.overview + RuntimeState ─► GET /         one page, no script
                                     GET /healthz  the process answers
                                     GET /readyz   messages can be received: balancers ask it
                                     GET /readyz/sending   and sent
                                     GET /metrics  the same figures for a machine

Nobody's clinical data is in an Overview, so none can be shown here: ids, states, codes
and counts. The page is made again for each request and offers a link to load it again; it never
reloads itself under a reader's eyes. Health and figures are `health` and `metrics`: they are served
here, and made there.

Decisions: D-local-page, D-alarms-stay.
"""

import hashlib
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import cache
from importlib import resources

import jinja2
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry

from bars_gateway import listeners
from bars_gateway.errors import StoreError, unforeseen
from bars_gateway.status.concerns import RuntimeState, ago, concerns
from bars_gateway.status.health import Health
from bars_gateway.status.metrics import Figures
from bars_gateway.store.asides import Aside
from bars_gateway.store.store import Store

log = structlog.get_logger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_PAGES = resources.files("bars_gateway.status") / "pages"


@cache  # the page takes a tenth of a second to compile
def template() -> jinja2.Template:
    """Return what the page is rendered with."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bars_gateway.status", "pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        enable_async=True,
    )
    environment.filters["clock"] = lambda at: f"{at:%d %b %H:%M:%S}" if at else "none"
    environment.filters["ago"] = ago
    return environment.get_template("status.html")


def style_sheet() -> str:
    """Return how the page looks."""
    return (_PAGES / "status.css").read_text("utf-8")


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
        self._health = Health(store, running)
        self._figures = Figures(store, running, registry, now=now, first_days=first_days)
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
                *self._health.routes(),
                *self._figures.routes(),
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
