"""How a figure becomes one of Prometheus's families of metrics."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily, Metric


def gauge(name: str, text: str, value: float) -> Metric:
    """Return a figure of the whole gateway."""
    return GaugeMetricFamily(name, text, value=value)


def labelled(name: str, text: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    """Return a figure for each value of one label."""
    return by_labels(name, text, [label], (([str(key)], value) for key, value in values))


def by_labels(
    name: str, text: str, labels: Sequence[str], values: Iterable[tuple[Sequence[str], float]]
) -> Metric:
    """Return a figure for each combination of several labels."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for keys, value in values:
        family.add_metric(keys, value)
    return family


def elapsed(name: str, text: str, at: datetime | None, now: datetime) -> Metric:
    """Return how long ago something was, as a figure that is not there before the first."""
    family = GaugeMetricFamily(name, text, labels=[])
    if at is not None:
        family.add_metric([], seconds_since(at, now))
    return family


def seconds_since(at: datetime | None, now: datetime) -> float:
    """Return an age; 0 where there is none, and where a clock was set back behind *at*."""
    return max(0.0, -seconds_until(at, now))


def seconds_until(at: datetime | None, now: datetime) -> float:
    """Return how long it is to *at*; 0 where there is none."""
    return 0.0 if at is None else (at - now).total_seconds()
