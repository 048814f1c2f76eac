"""
The safety report of one installation: each counter beside the period before, and how people did.

    Counts of the period ─┐
    Counts of the one before ─┴─report──► counters, with the hazards that they stand for
                                          handling: how fast alarms were seen to, by kind

A counter that grew is a question and no verdict: more is counted where more is sent. So what was
sent and received stands above them.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from math import ceil
from types import MappingProxyType

from bars_gateway.frozen import frozen
from bars_gateway.model.alarms import ALARMS
from bars_gateway.model.counts import AlarmEnd, AlarmSpan, Counts
from bars_gateway.safety.counters import COUNTERS, CounterName
from bars_gateway.safety.hazards import HAZARDS

PERIOD = timedelta(days=30)  # where nobody asks for another
_OF_HAZARD: Mapping[CounterName, Sequence[str]] = MappingProxyType(
    {
        name: [each.code for each in HAZARDS.values() if name in each.counters]
        for name in CounterName
    }
)


@frozen(kw_only=True)
class CounterLine:
    """One counter, in the period and in the one before."""

    name: CounterName
    says: str
    hazards: Sequence[str]  # in which it would show that a control fails; none: in all
    works: bool  # more of it shows that a control worked, and not that one failed
    now: int
    before: int


@frozen(kw_only=True)
class HandlingLine:
    """How alarms of one kind that were raised in the period ended, or did not."""

    kind: str
    urgent: bool  # somebody is to be woken for it
    raised: int
    raised_before: int  # in the period before
    handled: int  # somebody said that they had seen to it
    settled: int  # it came right by itself
    standing: int  # nobody has
    median_seconds: float | None  # from its beginning until it was handled; None: none was
    slowest_seconds: float | None
    median_seconds_before: float | None  # in the period before
    oldest_since: datetime | None  # of those that stand


@frozen(kw_only=True)
class SafetyReport:
    """What was counted in a period, beside the one before it."""

    since: datetime
    until: datetime
    before: datetime  # when the period before began; it ended where this one begins
    trail_since: datetime | None  # before that nothing is counted; None: nothing ever was
    counters: Sequence[CounterLine]
    handling: Sequence[HandlingLine]


def report(now: Counts, before: Counts) -> SafetyReport:
    """Return the report of the period of *now*, beside that of *before*."""
    return SafetyReport(
        since=now.since,
        until=now.until,
        before=before.since,
        trail_since=now.trail_since,
        counters=[_line(name, now, before) for name in COUNTERS],
        handling=list(_handling(now.alarms, before.alarms)),
    )


def _line(name: CounterName, now: Counts, before: Counts) -> CounterLine:
    counter = COUNTERS[name]
    return CounterLine(
        name=name,
        says=counter.says,
        hazards=_OF_HAZARD[name],
        works=counter.works,
        now=_sum(name, now),
        before=_sum(name, before),
    )


def _sum(name: CounterName, counts: Counts) -> int:
    counter = COUNTERS[name]
    events = sum(counts.events.get(kind, 0) for kind in counter.events)
    return events + sum(counts.judged.get(row, 0) for row in counter.rows)


def _handling(now: Sequence[AlarmSpan], before: Sequence[AlarmSpan]) -> Iterator[HandlingLine]:
    for kind, alarm in ALARMS.items():
        spans = [each for each in now if each.kind == kind]
        earlier = [each for each in before if each.kind == kind]
        if not spans and not earlier:
            continue
        took = sorted(_took(spans))
        standing = [each.since for each in spans if each.ended_how is None]
        yield HandlingLine(
            kind=kind,
            urgent=alarm.severe,
            raised=len(spans),
            raised_before=len(earlier),
            handled=len(took),
            settled=sum(each.ended_how is AlarmEnd.SETTLED for each in spans),
            standing=len(standing),
            median_seconds=_median(took),
            slowest_seconds=took[-1] if took else None,
            median_seconds_before=_median(sorted(_took(earlier))),
            oldest_since=min(standing, default=None),
        )


def _took(spans: Sequence[AlarmSpan]) -> Iterator[float]:
    for each in spans:
        if each.ended_how is AlarmEnd.HANDLED and each.ended_at is not None:
            yield max(0.0, (each.ended_at - each.since).total_seconds())


def _median(values: Sequence[float]) -> float | None:
    """Return the value that half of them do not exceed; it is always one that was."""
    return values[ceil(len(values) / 2) - 1] if values else None
