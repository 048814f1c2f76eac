"""
The operator's page, health and metrics: what is true now, at a glance.

    store.overview + RuntimeState ─► GET /         one page, no script
                                     GET /healthz  the process answers
                                     GET /readyz   messages can be received: balancers ask it
                                     GET /readyz/sending   and sent
                                     GET /metrics  the same figures for a machine

Nobody's clinical data is in an Overview, so none can be shown here: ids, states, codes
and counts. Labels of the figures (in the format that Prometheus reads) are states, codes and names
from the settings: never an id, never content. The page is made again for each request and offers a
link to load it again; it never reloads itself under a reader's eyes.

Whether messages can be received and whether they can be sent is told apart, for a balancer that
takes the gateway out of service because its token is refused would turn away every Sender, too.
Reasons hold names of providers and folders, and nothing of a message.

Decisions: D-local-page, D-alarms-stay, D-readiness.
"""

import hashlib
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources

import jinja2
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bars_gateway import listeners
from bars_gateway.errors import StoreError, unforeseen
from bars_gateway.model.readings import Overview
from bars_gateway.status.concerns import LYING_SECONDS, UNINSPECTED, RuntimeState, ago, concerns
from bars_gateway.store.asides import Aside
from bars_gateway.store.readings import EprCondition
from bars_gateway.store.store import Store
from bars_gateway.upkeep.housekeeping import Expiry, stage

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


class OverviewCollector(Collector):
    """Turns one Overview, and what the running parts add, into metrics."""

    def __init__(
        self,
        overview: Overview,
        *,
        tokens: Mapping[str, datetime | None],
        expiries: Iterable[Expiry],
        first_days: int,
        refused: Iterable[str],
        handshake_failures: Mapping[str, int],
        eprs: Sequence[EprCondition] = (),
    ) -> None:
        self._eprs = eprs
        self._overview = overview
        self._tokens = tokens
        self._expiries_seen = list(expiries)
        self._first_days = first_days
        self._refused = list(refused)
        self._handshake_failures = handshake_failures

    def collect(self) -> Iterator[Metric]:
        """Yield each figure."""
        overview = self._overview
        yield _labelled(
            "bars_outbound_messages",
            "Outbound messages by state.",
            "state",
            overview.outbound.items(),
        )
        yield _labelled(
            "bars_workflows", "Workflows by state.", "state", overview.workflows.items()
        )
        yield _labelled(
            "bars_notices_pending",
            "Notices that an EPR has not collected.",
            "provider",
            overview.notices_pending.items(),
        )
        yield from _questions(overview)
        yield from _unread(self._eprs, overview.at)
        yield GaugeMetricFamily(
            "bars_inbound_messages", "Inbound messages received.", value=overview.inbound
        )
        yield from _alarms(overview)
        yield GaugeMetricFamily(
            "bars_oldest_open_seconds",
            "Age of the oldest outbound message that is not settled; 0 where there is none.",
            value=_seconds_since(overview.oldest_open_at, overview.at),
        )
        yield GaugeMetricFamily(
            "bars_database_bytes", "Size of the database.", value=overview.database_bytes
        )
        yield GaugeMetricFamily(
            "bars_disk_free_bytes", "Free space beside the database.", value=overview.free_bytes
        )
        yield from self._expiries()
        yield self._failures()

    def _expiries(self) -> Iterator[Metric]:
        now = self._overview.at
        yield _labelled(
            "bars_token_expires_seconds",
            "Time until the access token ends; 0 where there is none.",
            "provider",
            {name: max(0.0, -_seconds_since(at, now)) for name, at in self._tokens.items()}.items(),
        )
        left, stages = (
            GaugeMetricFamily(name, text, labels=["kind", "name"])
            for name, text in (
                ("bars_expires_seconds", "Time until it ends; negative once it has."),
                ("bars_expiry_stage_days", "The last warning that was due; -1 while none is."),
            )
        )
        for expiry in self._expiries_seen:
            reached = stage(expiry, now, self._first_days)
            left.add_metric([expiry.kind, expiry.name], -_seconds_since(expiry.ends_at, now))
            stages.add_metric([expiry.kind, expiry.name], -1 if reached is None else reached)
        yield left
        yield stages
        yield GaugeMetricFamily(
            "bars_renewals_refused",
            "New keys, certificates or settings that were not taken; the old go on.",
            value=len(self._refused),
        )

    def _failures(self) -> Metric:
        family = CounterMetricFamily(
            "bars_tls_handshake_failures",
            "Inbound connections that were refused before a request, by reason.",
            labels=["reason"],
        )
        for reason, count in self._handshake_failures.items():
            family.add_metric([reason], count)
        return family


def _labelled(name: str, text: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values:
        family.add_metric([str(key)], value)
    return family


def _seconds_since(at: datetime | None, now: datetime) -> float:
    return 0.0 if at is None else (now - at).total_seconds()


def _questions(overview: Overview) -> Iterator[Metric]:
    found = overview.questions_open
    oldest = min((each.oldest_at for each in found.values()), default=None)
    yield _labelled(
        "bars_questions_open",
        "Questions that an EPR has not answered.",
        "provider",
        ((name, each.count) for name, each in found.items()),
    )
    yield GaugeMetricFamily(
        "bars_oldest_question_seconds",
        "Age of the oldest open question; 0 where there is none.",
        value=_seconds_since(oldest, overview.at),
    )


def _alarms(overview: Overview) -> Iterator[Metric]:
    standing, oldest = (
        GaugeMetricFamily(name, text, labels=["kind", "provider"])
        for name, text in (
            ("bars_alarms", "Alarms that nobody has marked as handled."),
            ("bars_oldest_alarm_seconds", "Age of the oldest of them."),
        )
    )
    counts: dict[tuple[str, str], int] = {}
    ages: dict[tuple[str, str], float] = {}
    for each in overview.standing:  # apart by our role
        labels = (each.kind, each.provider or "")
        counts[labels] = counts.get(labels, 0) + each.count
        ages[labels] = max(ages.get(labels, 0.0), _seconds_since(each.oldest_at, overview.at))
    for labels, count in counts.items():
        standing.add_metric(labels, count)
        oldest.add_metric(labels, ages[labels])
    yield standing
    yield oldest


def _unread(eprs: Sequence[EprCondition], now: datetime) -> Iterator[Metric]:
    counts, ages = (
        GaugeMetricFamily(name, text, labels=["provider", "use_case"])
        for name, text in (
            (
                "bars_unread_notices",
                "Notices that an EPR was given or is owed, and has not taken.",
            ),
            ("bars_oldest_unread_seconds", "Age of the oldest of them."),
        )
    )
    for epr in eprs:
        for each in epr.unread:
            counts.add_metric([epr.provider, each.use_case], each.count)
            ages.add_metric([epr.provider, each.use_case], _seconds_since(each.since, now))
    yield counts
    yield ages
    yield _labelled(
        "bars_epr_seen_seconds",
        "Time since an EPR was last seen; not there before it was seen for the first time.",
        "provider",
        ((epr.provider, _seconds_since(epr.seen_at, now)) for epr in eprs if epr.seen_at),
    )


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
