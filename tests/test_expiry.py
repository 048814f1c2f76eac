"""When the end of something becomes news, and how often that is said."""

from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from bars_gateway.upkeep.housekeeping import ExpiringKind, Expiry, ExpiryWatch, remaining, stage

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def ending(left: timedelta, life: timedelta = timedelta(days=365)) -> Expiry:
    ends = NOW + left
    return Expiry(kind=ExpiringKind.KEY, name="The key", begins_at=ends - life, ends_at=ends)


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (91, None),
        (90, 90),
        (61, 90),
        (60, 60),
        (30, 30),
        (14, 14),
        (7, 7),
        (2, 7),
        (1, 1),
        (0.5, 1),
        (0, 0),
        (-3, 0),
    ],
)
def test_each_stage_begins_on_its_day(days, expected):
    """90, 60, 30, 14, 7 and 1 days before, and then it is over."""
    assert expected == stage(ending(timedelta(days=days)), NOW, 90)


def test_the_first_stage_is_a_setting():
    """Who needs four months for a certificate hears of it before."""
    left = timedelta(days=110)

    assert (None, 120) == (stage(ending(left), NOW, 90), stage(ending(left), NOW, 120))


def test_a_shorter_first_stage_leaves_out_the_earlier_ones():
    """Who asks for thirty days is not told at sixty."""
    assert stage(ending(timedelta(days=45)), NOW, 30) is None


@pytest.mark.parametrize(("days", "expected"), [(6, None), (2, None), (1, 1), (0, 0)])
def test_what_lives_for_a_week_is_no_news_all_week(days, expected):
    """A revocation list is renewed every few days: only its last day is worth a word."""
    assert expected == stage(ending(timedelta(days=days), timedelta(days=7)), NOW, 90)


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (timedelta(days=13, hours=5), "ends in 13 days"),
        (timedelta(hours=30), "ends in 30 hours"),
        (timedelta(0), "ended on 02 Mar 2026"),
    ],
)
def test_what_is_left_is_said_in_words(left, expected):
    """Days at first, hours at the end."""
    assert expected == remaining(ending(left), NOW)


def told(watch: ExpiryWatch, now: datetime) -> list[tuple[str, int]]:
    with capture_logs() as logs:
        watch.look(now)
    return [(entry["log_level"], entry["days"]) for entry in logs]


def test_each_stage_is_logged_once():
    """Monitoring hears of it on the day, and not every five seconds."""
    watch = ExpiryWatch(lambda: [ending(timedelta(days=90))], 90)
    moments = [NOW, NOW, NOW + timedelta(days=30), NOW + timedelta(days=83), NOW]

    assert [[("warning", 90)], [], [("warning", 60)], [("error", 7)], []] == [
        told(watch, moment) for moment in moments
    ]


def test_a_successor_is_watched_anew():
    """What was said of the old certificate is not held against the new one."""
    now_used = [ending(timedelta(days=10))]
    watch = ExpiryWatch(lambda: now_used, 90)
    first = told(watch, NOW)
    now_used[:] = [ending(timedelta(days=80))]

    assert ([("warning", 14)], [("warning", 90)]) == (first, told(watch, NOW))
