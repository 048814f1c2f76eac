"""
The page's figures for a machine, in the format that Prometheus reads.

    Overview + RuntimeState ─► OverviewCollector ─► GET /metrics

Labels are states, codes and names from the settings: never an id, never content.
`docs/metrics.md` is printed from here.

Decisions: D-local-page, D-alarms-stay.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bars_gateway.model.readings import Overview
from bars_gateway.status.concerns import RuntimeState
from bars_gateway.store.readings import EprCondition
from bars_gateway.store.store import Store
from bars_gateway.upkeep.housekeeping import Expiry, stage


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


class Figures:
    """Answers Prometheus."""

    def __init__(
        self,
        store: Store,
        running: Callable[[], RuntimeState],
        registry: CollectorRegistry,
        *,
        now: Callable[[], datetime],
        first_days: int,
    ) -> None:
        """*registry* has what the parts count themselves; *first_days* as for the page."""
        self._store, self._running, self._registry = store, running, registry
        self._now, self._first_days = now, first_days

    def routes(self) -> Iterable[web.RouteDef]:
        """Return where it answers."""
        return [web.get("/metrics", self._show)]

    async def _show(self, _request: web.Request) -> web.Response:
        overview = await self._store.overview(self._now())
        running = self._running()
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
