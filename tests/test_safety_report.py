"""The safety report: each counter beside the period before, and how fast people were."""

from datetime import UTC, datetime, timedelta

from bars_gateway.model.counts import AlarmEnd, AlarmSpan, Counts
from bars_gateway.safety.counters import CounterName
from bars_gateway.safety.report import CounterLine, HandlingLine, SafetyReport, report

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def counts(**changes: object) -> Counts:
    values: dict[str, object] = {
        "since": NOW,
        "until": NOW + DAY,
        "trail_since": NOW - DAY,
        "events": {},
        "judged": {},
        "alarms": [],
    }
    return Counts(**(values | changes))  # type: ignore[arg-type]


def before(**changes: object) -> Counts:
    return counts(**({"since": NOW - DAY, "until": NOW} | changes))


def counter(found: SafetyReport, name: CounterName) -> CounterLine:
    return next(each for each in found.counters if each.name is name)


def span(minutes: int | None, how: AlarmEnd = AlarmEnd.HANDLED, **changes: object) -> AlarmSpan:
    values: dict[str, object] = {
        "kind": "message.unconfirmed",
        "since": NOW,
        "ended_at": None if minutes is None else NOW + minutes * MINUTE,
        "ended_how": None if minutes is None else how,
    }
    return AlarmSpan(**(values | changes))  # type: ignore[arg-type]


def only(found: SafetyReport) -> HandlingLine:
    (line,) = found.handling
    return line


def test_a_counter_stands_beside_the_period_before() -> None:
    """With what it counts, and the hazards in which it would show that a control fails."""
    found = report(
        counts(events={"workflow.overdue": 3}), before(events={"workflow.overdue": 1, "other": 9})
    )
    line = counter(found, CounterName.OVERDUE)

    assert (3, 1) == (line.now, line.before)
    assert "HAZ-10" in line.hazards
    assert not line.works


def test_a_counter_adds_up_all_that_it_is_of() -> None:
    """Kinds of event, and rows of the verdict table."""
    events = {"patient.other": 1, "message.foreign_ack": 2, "patient.unheard_of": 8}
    found = report(counts(events=events, judged={"duplicate": 4, "silence": 9}), before())

    assert 3 == counter(found, CounterName.WRONG_PATIENT).now
    assert 4 == counter(found, CounterName.REPEATS_SENT).now


def test_every_counter_is_told_though_nothing_was_counted() -> None:
    """That nothing happened is an answer too."""
    found = report(counts(), before())

    assert list(CounterName) == sorted(
        (each.name for each in found.counters), key=list(CounterName).index
    )
    assert {(0, 0)} == {(each.now, each.before) for each in found.counters}
    assert [] == found.handling


def test_how_fast_alarms_were_handled_is_told_by_kind() -> None:
    """The median and the slowest of those that somebody has handled, and of the period before."""
    found = report(counts(alarms=[span(4), span(2), span(90)]), before(alarms=[span(8), span(10)]))
    line = only(found)

    assert ("message.unconfirmed", True, 3, 2) == (
        line.kind,
        line.urgent,
        line.raised,
        line.raised_before,
    )
    assert (240.0, 5400.0, 480.0) == (
        line.median_seconds,
        line.slowest_seconds,
        line.median_seconds_before,
    )


def test_what_came_right_by_itself_was_handled_by_nobody() -> None:
    """It is counted apart, and makes no median look better."""
    line = only(report(counts(alarms=[span(1, AlarmEnd.SETTLED), span(30)]), before()))

    assert (1, 1, 1800.0) == (line.settled, line.handled, line.median_seconds)


def test_what_nobody_has_seen_to_stands_there_with_its_age() -> None:
    """An alarm that waits is not hidden behind those that were fast."""
    later = span(None, since=NOW + MINUTE)
    line = only(report(counts(alarms=[later, span(None), span(1)]), before()))

    assert (2, NOW) == (line.standing, line.oldest_since)


def test_a_kind_that_was_raised_before_alone_is_told_as_gone() -> None:
    """Somebody sees that it came to an end."""
    line = only(report(counts(), before(alarms=[span(5)])))

    assert (0, 1, None) == (line.raised, line.raised_before, line.median_seconds)
