"""What the EPRs take, ask and hand over, in figures: their part of the metrics."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, Metric

from bars_gateway.model.readings import Overview
from bars_gateway.status.epr_concerns import LYING_SECONDS
from bars_gateway.status.families import by_labels, gauge, labelled, seconds_since
from bars_gateway.status.running import RuntimeState
from bars_gateway.store.readings import LyingRefusals, Unread


def eprs(overview: Overview, running: RuntimeState) -> Iterator[Metric]:
    """Yield each of them."""
    now = overview.at
    yield labelled(
        "bars_notices_pending",
        "Notices that an EPR has not collected.",
        "provider",
        overview.notices_pending.items(),
    )
    yield from _unread(running, now)
    yield from _refused(running, now)
    yield labelled(
        "bars_epr_seen_seconds",
        "Time since an EPR was last seen; not there before it was seen for the first time.",
        "provider",
        ((epr.provider, seconds_since(epr.seen_at, now)) for epr in running.eprs if epr.seen_at),
    )
    yield labelled(
        "bars_epr_asked_seconds",
        "Time since an EPR that is to ask for questions did, or since the start.",
        "provider",
        (
            (epr.provider, epr.since_asked(running.started_at, now).total_seconds())
            for epr in running.eprs
            if epr.asks
        ),
    )
    yield from _questions(overview)
    yield gauge(
        "bars_folders_stalled",
        "Folders without use, for one reason or another.",
        len(running.stalled),
    )
    yield gauge(
        "bars_files_not_taken",
        "Files that an EPR has dropped and that cannot be taken.",
        sum(each.count for each in running.lying if each.seconds >= LYING_SECONDS),
    )


def _refused(running: RuntimeState, now: datetime) -> Iterator[Metric]:
    told = CounterMetricFamily(
        "bars_submissions_refused",
        "What an EPR handed over and was refused, by folder or socket, since the start.",
        labels=["provider"],
    )
    for epr in running.eprs:
        told.add_metric([epr.provider], epr.refusals)
    yield told
    counted = "Those that lie in outbox/refused, with a reason that nobody has taken away."
    refused = [(epr.provider, each) for epr in running.eprs for each in epr.refused]
    yield from _lying("bars_refused_files", counted, "bars_oldest_refused_seconds", refused, now)


def _unread(running: RuntimeState, now: datetime) -> Iterator[Metric]:
    counted = "Notices that an EPR was given or is owed, and has not taken."
    unread = [(epr.provider, each) for epr in running.eprs for each in epr.unread]
    yield from _lying("bars_unread_notices", counted, "bars_oldest_unread_seconds", unread, now)


def _lying(
    name: str,
    counted: str,
    name_of_age: str,
    found: Sequence[tuple[str, Unread | LyingRefusals]],
    now: datetime,
) -> Iterator[Metric]:
    """Yield how much of what was *found* lies there, of each provider and use case, and since."""
    labels = ["provider", "use_case"]
    places = [([provider, each.use_case], each) for provider, each in found]
    yield by_labels(name, counted, labels, ((place, each.count) for place, each in places))
    ages = ((place, seconds_since(each.since, now)) for place, each in places)
    yield by_labels(name_of_age, "Age of the oldest of them.", labels, ages)


def _questions(overview: Overview) -> Iterator[Metric]:
    found = overview.questions_open
    oldest = min((each.oldest_at for each in found.values()), default=None)
    for name, text, count in (
        (
            "bars_questions_open",
            "Questions that an EPR has not answered.",
            [(name, each.count) for name, each in found.items()],
        ),
        (
            "bars_questions_late",
            "Of them, those whose Sender was told that no answer came.",
            [(name, each.late) for name, each in found.items()],
        ),
    ):
        yield labelled(name, text, "provider", count)
    yield gauge(
        "bars_oldest_question_seconds",
        "Age of the oldest open question; 0 where there is none.",
        seconds_since(oldest, overview.at),
    )
