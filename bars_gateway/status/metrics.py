"""
The page's figures for a machine, in the format that Prometheus reads.

    Overview + Counted + RuntimeState ─► Collected ─┐
    what comes to be, from the start on ─► Measured ─┴─► GET /metrics

Labels are states, codes and names from the settings: never an id, never content. A Receiver is in
a bucket (`store.figures`). Every kind of concern has its figure: `FIGURE_OF` names it, and a rule
of `config/prometheus-rules.yml` may be written for it. `docs/metrics.md` is printed from here.

Decisions: D-local-page, D-alarms-stay.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from bars_gateway.model.messages import Attempt
from bars_gateway.model.readings import Overview
from bars_gateway.model.trail import BreachKind
from bars_gateway.status.concern import ConcernKind
from bars_gateway.status.concerns import CLOCK_STEP_SHOWN
from bars_gateway.status.epr_metrics import eprs
from bars_gateway.status.families import (
    by_labels,
    elapsed,
    gauge,
    labelled,
    seconds_since,
    seconds_until,
)
from bars_gateway.status.running import BudgetState, RuntimeState, TokenState
from bars_gateway.store.figures import BUCKETS, Counted, Heap
from bars_gateway.store.store import Store
from bars_gateway.upkeep.housekeeping import stage
from bars_gateway.upkeep.purging import PurgeState
from bars_gateway.upkeep.trail import TrailState

ALARMS_FIGURE = "bars_alarms"  # of every kind of alarm, by its label `kind`
FIGURE_OF: Mapping[ConcernKind, str] = {
    ConcernKind.STORE_UNAVAILABLE: "bars_store_unavailable",
    ConcernKind.NOTICE_UNREAD: "bars_oldest_unread_seconds",
    ConcernKind.REFUSAL_UNREAD: "bars_oldest_refused_seconds",
    ConcernKind.EPR_NOT_ASKING: "bars_epr_asked_seconds",
    ConcernKind.MESSAGE_HELD: "bars_outbound_messages",
    ConcernKind.DATABASE_GAP: "bars_database_gaps",
    ConcernKind.DATABASE_LOG_STUCK: "bars_database_log_stuck_bytes",
    ConcernKind.LOG_STUCK: "bars_log_stuck_seconds",
    ConcernKind.EGRESS_BLOCKED: "bars_egress_blocked",
    ConcernKind.TOKEN_MISSING: "bars_token_failing",
    ConcernKind.PROVIDER_MISSING: "bars_providers_missing",
    ConcernKind.PROVIDER_KEPT_OUT: "bars_provider_kept_out",
    ConcernKind.KEY_UNKNOWN: "bars_token_keys_refused",
    ConcernKind.CLOCK_SKEWED: "bars_token_clock_skew_seconds",
    ConcernKind.FOLDER_STALLED: "bars_folders_stalled",
    ConcernKind.FILE_NOT_TAKEN: "bars_files_not_taken",
    ConcernKind.RECEIVER_SILENT: "bars_receivers_silent",
    ConcernKind.RECEIVER_FAILING: "bars_receivers_failing",
    ConcernKind.QUESTION_LATE: "bars_questions_late",
    ConcernKind.CALLER_OBSERVED: "bars_callers_observed",
    ConcernKind.CALLER_SHUT_OUT: "bars_callers_shut_out",
    ConcernKind.RENEWAL_REFUSED: "bars_renewals_refused",
    ConcernKind.EXPIRY_OVER: "bars_expiry_stage_days",
    ConcernKind.EXPIRY_IMMINENT: "bars_expiry_stage_days",
    ConcernKind.EXPIRY_NEAR: "bars_expiry_stage_days",
    ConcernKind.CLOCK_STEPPED: "bars_clock_step_seconds",
    ConcernKind.DATABASE_UNCOMPARED: "bars_database_uncompared_seconds",
    ConcernKind.DISK_LOW: "bars_disk_free_bytes",
    ConcernKind.MESSAGE_WAITING: "bars_oldest_waiting_seconds",
    ConcernKind.ALERT_UNDELIVERED: "bars_alerts_undelivered",
    ConcernKind.PURGE_LATE: "bars_purge_late_seconds",
    ConcernKind.AUDIT_LATE: "bars_audit_late_seconds",
    ConcernKind.NODE_AWAY: "bars_nodes_away",
}
_ATTEMPT_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.1, 5.0, 10.0, 20.0, 45.0)
_ANSWER_SECONDS = (0.1, 0.5, 1.0, 2.1, 4.5, 10.0, 60.0, 300.0, 900.0, 3600.0)
_DISK_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
_LAG_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Measured:
    """Counts what comes to be, from the start on, into *registry*."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def histogram(name: str, text: str, buckets: Sequence[float]) -> Histogram:
            return Histogram(name, text, buckets=buckets, registry=registry)

        self._attempts = Counter(
            "bars_attempts",
            "POSTs to the proxy, by what became of them and whose fault it was.",
            ["verdict", "fault"],
            registry=registry,
        )
        self._attempt = histogram(
            "bars_attempt_seconds", "How long a POST to the proxy took.", _ATTEMPT_SECONDS
        )
        self._answer = histogram(
            "bars_question_seconds",
            "From a question to the EPR's answer; none came while it is open.",
            _ANSWER_SECONDS,
        )
        self._commit = histogram(
            "bars_store_commit_seconds",
            "How long a group of changes took, from its begin until it was on disk.",
            _DISK_SECONDS,
        )
        self._flush = histogram(
            "bars_store_flush_seconds", "Its last step alone: until the disk has it.", _DISK_SECONDS
        )
        self._lag = histogram(
            "bars_loop_lag_seconds", "How much later the process came round than due.", _LAG_SECONDS
        )

    def committed(self, seconds: float, flush_seconds: float) -> None:
        """Note a group of changes: how long it took in all, and its COMMIT alone."""
        self._commit.observe(seconds)
        self._flush.observe(flush_seconds)

    def attempted(self, attempt: Attempt) -> None:
        """Note a POST."""
        self._attempts.labels(attempt.verdict, attempt.fault or "none").inc()
        self._attempt.observe((attempt.ended_at - attempt.started_at).total_seconds())

    def answered(self, seconds: float) -> None:
        """Note that the EPR has answered a question, so long after it was asked."""
        self._answer.observe(seconds)

    def lagged(self, seconds: float) -> None:
        """Note how late the loop came round."""
        self._lag.observe(seconds)


class Collected(Collector):
    """Turns what the store and the running parts say at one moment into metrics."""

    def __init__(
        self, overview: Overview, counted: Counted, running: RuntimeState, *, first_days: int
    ) -> None:
        self._overview = overview
        self._counted = counted
        self._running = running
        self._first_days = first_days

    def collect(self) -> Iterator[Metric]:
        """Yield each figure."""
        yield _info(self._running)
        yield from _messages(self._overview, self._counted)
        yield from _flow(self._overview, self._counted)
        yield from _owed(self._overview, self._counted)
        yield from _alarms(self._overview)
        yield from eprs(self._overview, self._running)
        yield from _way_out(self._running)
        yield from _tokens(self._overview.at, self._running)
        yield from _budgets(self._running)
        yield from _callers(self._overview.at, self._running)
        yield from _expiries(self._overview.at, self._running, self._first_days)
        yield from _machine(self._overview, self._running)
        yield from _log(self._running)
        yield from _told(self._running)
        yield from _purges(self._overview.at, self._running.purges)
        yield from _trail(self._overview.at, self._counted, self._running.trail)
        text = "Other gateways of this database that have said nothing for ten seconds."
        away = sum(each.is_away and not each.is_this for each in self._running.nodes)
        yield gauge("bars_nodes_away", text, away)


def _info(running: RuntimeState) -> Metric:
    labels = {"version": running.version, "environment": running.environment, "node": running.node}
    about = [(list(labels.values()), 1)]
    return by_labels("bars_info", "Which gateway this is; always 1.", list(labels), about)


def _messages(overview: Overview, counted: Counted) -> Iterator[Metric]:
    states = overview.outbound.items()
    yield labelled("bars_outbound_messages", "Outbound messages by state.", "state", states)
    yield labelled("bars_workflows", "Workflows by state.", "state", overview.workflows.items())
    yield gauge("bars_inbound_messages", "Inbound messages received.", overview.inbound)
    yield gauge(
        "bars_oldest_open_seconds",
        "Age of the oldest outbound message that is not settled; 0 where there is none.",
        seconds_since(overview.oldest_open_at, overview.at),
    )
    yield gauge(
        "bars_oldest_waiting_seconds",
        "Likewise, but for what is held.",
        seconds_since(overview.oldest_waiting_at, overview.at),
    )
    yield gauge(
        "bars_oldest_delayed_seconds",
        "Likewise, of those that the EPR was told are late; only the oldest for each Receiver is"
        " looked at.",
        seconds_since(overview.oldest_late_at, overview.at),
    )
    nothing = Heap(count=0, oldest_at=overview.at)
    heaps = [(bucket, counted.backlog.get(bucket, nothing)) for bucket in BUCKETS]
    yield labelled(
        "bars_backlog",
        "Outbound messages that are not settled, by bucket of their Receiver.",
        "bucket",
        ((bucket, heap.count) for bucket, heap in heaps),
    )
    yield labelled(
        "bars_oldest_backlog_seconds",
        "Age of the oldest of them; 0 where there is none.",
        "bucket",
        ((bucket, seconds_since(heap.oldest_at, overview.at)) for bucket, heap in heaps),
    )


def _flow(overview: Overview, counted: Counted) -> Iterator[Metric]:
    text = "Time since a message was received; not there before the first."
    yield elapsed("bars_last_received_seconds", text, counted.received_at, overview.at)
    text = "Time since one of ours was acknowledged; not there before the first."
    yield elapsed("bars_last_acknowledged_seconds", text, counted.acknowledged_at, overview.at)


def _owed(overview: Overview, counted: Counted) -> Iterator[Metric]:
    labels, late = ["provider", "role"], counted.overdue.items()
    yield by_labels(
        "bars_answers_overdue",
        "Answers that are late: owed to a requester, by a responder.",
        labels,
        ((whose, heap.count) for whose, heap in late),
    )
    yield by_labels(
        "bars_oldest_overdue_seconds",
        "For how long the oldest of them is late.",
        labels,
        ((whose, seconds_since(heap.oldest_at, overview.at)) for whose, heap in late),
    )
    heaps = counted.quarantined.items()
    yield labelled(
        "bars_quarantined",
        "Responses that belong to no workflow, and nobody has attached.",
        "provider",
        ((provider, heap.count) for provider, heap in heaps),
    )
    yield labelled(
        "bars_oldest_quarantined_seconds",
        "Age of the oldest of them.",
        "provider",
        ((provider, seconds_since(heap.oldest_at, overview.at)) for provider, heap in heaps),
    )


def _alarms(overview: Overview) -> Iterator[Metric]:
    counts: dict[tuple[str, str], int] = {}
    ages: dict[tuple[str, str], float] = {}
    for each in overview.standing:  # apart by our role
        about = (each.kind, each.provider or "")
        counts[about] = counts.get(about, 0) + each.count
        ages[about] = max(ages.get(about, 0.0), seconds_since(each.oldest_at, overview.at))
    labels, text = ["kind", "provider"], "Alarms that nobody has marked as handled."
    yield by_labels(ALARMS_FIGURE, text, labels, counts.items())
    text = "Age of the oldest of them."
    yield by_labels("bars_oldest_alarm_seconds", text, labels, ages.items())


def _way_out(running: RuntimeState) -> Iterator[Metric]:
    yield gauge(
        "bars_egress_blocked",
        "1 where nothing gets out of our own network.",
        running.egress is not None,
    )
    silent = len({**running.silent, **running.remembered})
    yield gauge("bars_receivers_silent", "Receivers that do not answer.", silent)
    yield gauge(
        "bars_receivers_failing",
        "Receivers that answer with errors only: 500, or a yes with an error in it.",
        len(running.failing),
    )
    yield gauge(
        "bars_providers_missing",
        "Providers that are in no settings, though something of them was under way at the start.",
        len(running.missing),
    )
    kept_out = {each.provider for each in running.kept_out}
    providers = sorted({epr.provider for epr in running.eprs} | kept_out)
    yield labelled(
        "bars_provider_kept_out",
        "1 where the national proxy refuses our token or registration.",
        "provider",
        ((provider, provider in kept_out) for provider in providers),
    )


def _tokens(now: datetime, running: RuntimeState) -> Iterator[Metric]:
    figures: Sequence[tuple[str, str, Callable[[TokenState], float]]] = (
        (
            "bars_token_expires_seconds",
            "Time until the access token ends; 0 where there is none.",
            lambda token: max(0.0, seconds_until(token.expires_at, now)),
        ),
        (
            "bars_token_failing",
            "1 where no access token can be had.",
            lambda token: token.failing_since is not None,
        ),
        (
            "bars_token_keys_refused",
            "Keys that should sign, and that the token service does not know.",
            lambda token: len(token.refused_keys),
        ),
        (
            "bars_token_clock_skew_seconds",
            "How far our clock is ahead of the token service's; behind it where negative.",
            lambda token: token.clock_skew_seconds or 0.0,
        ),
    )
    for name, text, value in figures:
        yield labelled(name, text, "provider", [(t.provider, value(t)) for t in running.tokens])


def _budgets(running: RuntimeState) -> Iterator[Metric]:
    figures: Sequence[tuple[str, str, Callable[[BudgetState], float]]] = (
        (
            "bars_budget_per_minute",
            "Requests that an application key may make in a minute.",
            lambda budget: budget.per_minute,
        ),
        ("bars_budget_used", "Those of the last minute.", lambda budget: budget.used),
        (
            "bars_budget_paused_seconds",
            "For how long the platform has asked us to send nothing.",
            lambda budget: budget.paused_seconds,
        ),
    )
    for name, text, value in figures:
        shared = [(" ".join(each.providers), value(each)) for each in running.budgets]
        yield labelled(name, text, "providers", shared)


def _callers(now: datetime, running: RuntimeState) -> Iterator[Metric]:
    until = running.observes_until
    yield gauge(
        "bars_callers_observed",
        "1 where callers are let in whose names are not listed.",
        until is not None and until > now,
    )
    yield gauge(
        "bars_callers_shut_out",
        "Recent callers that would no longer get in.",
        len(running.shut_out),
    )
    family = CounterMetricFamily(
        "bars_tls_handshake_failures",
        "Inbound connections that were refused, or ended, before a request, by reason.",
        labels=["reason"],
    )
    for reason, count in running.handshake_failures.items():
        family.add_metric([reason], count)
    yield family


def _expiries(now: datetime, running: RuntimeState, first_days: int) -> Iterator[Metric]:
    labels = ["kind", "name"]
    ending = [([each.kind, each.name], each) for each in running.expiries]
    text = "Time until it ends; negative once it has."
    left = ((what, seconds_until(each.ends_at, now)) for what, each in ending)
    yield by_labels("bars_expires_seconds", text, labels, left)
    text = "The last warning that was due; -1 while none is."
    reached = ((what, stage(each, now, first_days)) for what, each in ending)
    stages = ((what, -1 if days is None else days) for what, days in reached)
    yield by_labels("bars_expiry_stage_days", text, labels, stages)
    yield gauge(
        "bars_renewals_refused",
        "New keys, certificates or settings that were not taken; the old go on.",
        len(running.refused),
    )


def _told(running: RuntimeState) -> Iterator[Metric]:
    away, text = len(running.undelivered), "Ways of telling people that do not work at present."
    yield gauge("bars_alerts_undelivered", text, away)


def _purges(now: datetime, purges: PurgeState | None) -> Iterator[Metric]:
    late = purges.late_since(now) if purges else None
    last = purges.last if purges else None
    text = "For how long no purge has come to its end, where that is too long; else 0."
    yield gauge("bars_purge_late_seconds", text, seconds_since(late, now))
    text = "When the last purge came to its end, in seconds since 1970; 0: none did."
    ended = last.purge.ended_at.timestamp() if last and last.purge.ended_at else 0.0
    yield gauge("bars_purge_ended_timestamp_seconds", text, ended)
    removed = ((each.record_class, each.count) for each in (last.classes if last else ()))
    text = "Records that the last purge has removed."
    yield labelled("bars_purge_removed", text, "class", removed)


def _trail(now: datetime, counted: Counted, trail: TrailState | None) -> Iterator[Metric]:
    text = "The number of the last line of the audit trail: it grows by one with each."
    yield gauge("bars_audit_last_line", text, counted.last_line)
    late = trail.late_since(now) if trail else None
    text = "For how long the audit trail was not verified or told, where that is too long; else 0."
    yield gauge("bars_audit_late_seconds", text, seconds_since(late, now))
    for name, text, at in (
        (
            "bars_audit_sealed_seconds",
            "Time since the last day ended that is sealed; not there before the first.",
            trail.sealed_to if trail else None,
        ),
        (
            "bars_audit_head_kept_seconds",
            "Time since the head was kept in the file of heads; not there before.",
            trail.kept_at if trail else None,
        ),
        (
            "bars_audit_verified_seconds",
            "Time since the gateway walked the trail; not there before the first since the start.",
            trail.walked_at if trail else None,
        ),
    ):
        yield elapsed(name, text, at, now)
    found = trail.found if trail else None
    text = "Places of the trail that do not hold, by the last walk; not there before it."
    places = () if found is None else ((kind, found.get(kind, 0)) for kind in BreachKind)
    yield labelled("bars_audit_breaches", text, "kind", places)


def _machine(overview: Overview, running: RuntimeState) -> Iterator[Metric]:
    stuck, inspection, step = running.stuck_log, running.inspection, running.clock_step
    free = math.nan if overview.free_bytes is None else overview.free_bytes
    recent = step is not None and overview.at - step.at <= CLOCK_STEP_SHOWN
    waits_since = inspection.waits_since if inspection else None
    shut = running.unavailable is not None
    for name, text, value in (
        ("bars_store_unavailable", "1 where nothing can be stored.", shut),
        ("bars_database_bytes", "Size of the database.", overview.database_bytes),
        (
            "bars_database_log_stuck_bytes",
            "How far its log has grown because another program reads in it without an end.",
            stuck.size if stuck else 0,
        ),
        (
            "bars_database_gaps",
            "Indexes that lack rows and could not be rebuilt.",
            len(inspection.left) if inspection else 0,
        ),
        (
            "bars_database_uncompared_seconds",
            "For how long the database waits to be compared with its indexes; 0: it was.",
            seconds_since(waits_since, overview.at),
        ),
        ("bars_disk_free_bytes", "Free space beside the database; NaN: not known.", free),
        (
            "bars_disk_minimum_bytes",
            "Below so much of it nothing is taken; 0: nobody asks.",
            running.minimum_free_bytes,
        ),
        (
            "bars_clock_step_seconds",
            "How far the clock was set forward within a day; back where negative.",
            step.seconds if step and recent else 0.0,
        ),
        ("bars_stopping", "1 while what is in flight is finished.", running.stopping),
    ):
        yield gauge(name, text, value)


def _log(running: RuntimeState) -> Iterator[Metric]:
    text = "For how long nobody has taken all that was said to the log; 0: all is taken."
    yield gauge("bars_log_stuck_seconds", text, running.lines_stuck_seconds)
    text = "Lines of the log that are lost, since the start."
    yield gauge("bars_log_lost_lines", text, running.lines_lost)


class MetricsHandler:
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
        now = self._now()
        overview, counted = await self._store.overview(now), await self._store.figures.counted(now)
        registry = CollectorRegistry()
        registry.register(
            Collected(overview, counted, self._running(), first_days=self._first_days)
        )
        body = generate_latest(registry) + generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4"})
