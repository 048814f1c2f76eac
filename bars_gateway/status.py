"""
The operator's page, health and metrics: what is true now, at a glance.

    store.overview + conditions ─► GET /         one page, no script
                                   GET /healthz  the process answers
                                   GET /readyz   it can take and send messages
                                   GET /metrics  the same figures for a machine

Nobody's clinical data is in an Overview, so none can be shown here: ids, states, codes
and counts. The page is made anew for each request and offers a link to load it again;
it never reloads itself under a reader's eyes.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import resources

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from bars_gateway.clock import ClockStep
from bars_gateway.errors import StoreError
from bars_gateway.metrics import OverviewCollector
from bars_gateway.pages import templates
from bars_gateway.store.port import OutboundState, Overview, Store

log = structlog.get_logger(__name__)

CLOCK_STEP_SHOWN = timedelta(days=1)
LATE = timedelta(minutes=5)  # for a message that is not settled: the latest that an EPR is told


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCondition:
    """How one provider stands with the token service."""

    provider: str
    key_id: str
    expires_at: datetime | None  # None: no token in hand
    failing_since: datetime | None
    reason: str | None  # what the last failure was, in our words
    advice: str | None
    clock_skew_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateCondition:
    """Until when a certificate is good."""

    name: str  # what it is for
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What the running parts know of themselves, beside the store."""

    version: str
    environment: str
    node: str
    started_at: datetime
    address: str | None  # where the listener answers; None: it does not run
    stopping: bool
    tokens: Sequence[TokenCondition]
    certificates: Sequence[CertificateCondition]
    clock_step: ClockStep | None  # the last, since the start
    stalled: Mapping[str, str]  # folders that cannot be worked in, and why
    handshake_failures: Mapping[str, int]  # by reason, since the start


@dataclass(frozen=True, slots=True, kw_only=True)
class Concern:
    """One thing that a person should look at."""

    text: str
    advice: str


class StatusServer:
    """Serves the page on a loopback address."""

    def __init__(
        self,
        store: Store,
        conditions: Callable[[], Conditions],
        *,
        host: str,
        port: int,
        now: Callable[[], datetime],
        registry: CollectorRegistry,
        soon: timedelta = timedelta(days=30),
    ) -> None:
        """*soon*: how long before it an expiry becomes news."""
        self._soon = soon
        self._store = store
        self._conditions = conditions
        self._host, self._port = host, port
        self._now = now
        self._registry = registry
        self._runner: web.AppRunner | None = None
        self._style = (resources.files("bars_gateway") / "pages" / "status.css").read_text("utf-8")
        self._template = templates().get_template("status.html")

    @property
    def port(self) -> int:
        """The port that it answers on, once it has started."""
        assert self._runner is not None
        port: int = self._runner.addresses[0][1]
        return port

    async def start(self) -> None:
        """Begin to answer."""
        application = web.Application(middlewares=[_safely])
        application.add_routes(
            [
                web.get("/", self._show),
                web.get("/status.css", self._show_style),
                web.get("/healthz", self._health),
                web.get("/readyz", self._readiness),
                web.get("/metrics", self._metrics),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        log.info("status.started", address=self._host, port=self.port)

    async def stop(self) -> None:
        """Stop answering."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _show(self, _request: web.Request) -> web.Response:
        overview = await self._store.overview(self._now())
        conditions = self._conditions()
        html = await self._template.render_async(
            overview=overview,
            conditions=conditions,
            concerns=concerns(overview, conditions, self._soon),
            style=hashlib.sha256(self._style.encode()).hexdigest()[:8],
        )
        return web.Response(text=html, content_type="text/html")

    async def _show_style(self, _request: web.Request) -> web.Response:
        return web.Response(text=self._style, content_type="text/css")

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _readiness(self, _request: web.Request) -> web.Response:
        reasons = ["stopping"] if self._conditions().stopping else []
        try:
            await self._store.overview(self._now())
        except StoreError as error:
            reasons.append(str(error))
        status = 503 if reasons else 200
        return web.json_response({"ready": not reasons, "reasons": reasons}, status=status)

    async def _metrics(self, _request: web.Request) -> web.Response:
        overview = await self._store.overview(self._now())
        conditions = self._conditions()
        registry = CollectorRegistry()
        registry.register(
            OverviewCollector(
                overview,
                tokens={token.provider: token.expires_at for token in conditions.tokens},
                certificates={c.name: c.expires_at for c in conditions.certificates},
                handshake_failures=conditions.handshake_failures,
            )
        )
        body = generate_latest(registry) + generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4"})


def concerns(overview: Overview, conditions: Conditions, soon: timedelta) -> list[Concern]:
    """Return what a person should look at, gravest first; none means that all is well."""
    return [
        *_settled_badly(overview),
        *(
            Concern(text=f"No access token for {t.provider}: {t.reason}", advice=t.advice or "")
            for t in conditions.tokens
            if t.failing_since
        ),
        *(
            Concern(text=f"{folder} stands still: {reason}", advice=_STALLED)
            for folder, reason in conditions.stalled.items()
        ),
        *_expiries(overview.at, conditions.certificates, soon),
        *_inbound_alarms(overview),
        *_clock_step(overview.at, conditions.clock_step),
        *_waiting(overview),
    ]


_STALLED = "Make the folder usable, or room on its disk. What is to go there waits, and is kept."
_BAD_ENDS = {
    OutboundState.NOT_SENT: Concern(
        text="never left this organisation",
        advice="Act now by other means: nobody else knows what was asked.",
    ),
    OutboundState.UNCONFIRMED: Concern(
        text="may or may not have arrived",
        advice="Ask the Receiver by telephone before anything is sent again.",
    ),
    OutboundState.REFUSED: Concern(
        text="got a refusal",
        advice="The reason is in the notice to the EPR; bars-gateway show tells it too.",
    ),
}


def _settled_badly(overview: Overview) -> list[Concern]:
    return [
        Concern(text=f"{_some(overview.lately[state], 'message')} {end.text}", advice=end.advice)
        for state, end in _BAD_ENDS.items()
        if overview.lately[state]
    ]


def _expiries(
    now: datetime, certificates: Sequence[CertificateCondition], soon: timedelta
) -> list[Concern]:
    return [
        Concern(
            text=f"The certificate for {certificate.name} "
            + ("has expired" if certificate.expires_at <= now else "expires soon"),
            advice=f"It ends on {certificate.expires_at:%d %B %Y}; order its successor now.",
        )
        for certificate in certificates
        if certificate.expires_at - now < soon
    ]


def _inbound_alarms(overview: Overview) -> list[Concern]:
    reused = sum(alarm.kind == "inbound.request_id_reused" for alarm in overview.alarms)
    counted = (
        (
            f"{_some(reused, 'inbound message')} came with the X-Request-Id of another message",
            "Tell the Sender's supplier: what came second was not taken.",
            reused,
        ),
        (
            f"{_some(overview.quarantined, 'response')} came that no request of ours asked for",
            "The Sender was told so. Find out with them whose patient it is about.",
            overview.quarantined,
        ),
    )
    return [Concern(text=text, advice=advice) for text, advice, count in counted if count]


def _clock_step(now: datetime, step: ClockStep | None) -> list[Concern]:
    if step is None or now - step.at > CLOCK_STEP_SHOWN:
        return []
    return [Concern(text=f"{step} at {step.at:%d %b %H:%M} UTC", advice=step.advice)]


def _waiting(overview: Overview) -> list[Concern]:
    since = overview.oldest_open_at
    if since is None or overview.at - since < LATE:
        return []
    advice = "See the last attempts for the reason; the gateway goes on trying meanwhile."
    return [Concern(text=f"A message has waited since {since:%d %b %H:%M} UTC", advice=advice)]


def _some(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"


@web.middleware
async def _safely(request: web.Request, handler: Callable[..., object]) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)  # type: ignore[misc]
    except StoreError as error:
        response = web.Response(text=f"{error}\n{error.advice}\n", status=503)
    response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'self'"
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Server"] = "bars-gateway"
    return response
