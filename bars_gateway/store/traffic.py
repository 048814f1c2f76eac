"""
What flows each way, how fast it is answered, and what waits for whom: the figures of the overview.

    hours, counted by triggers ─► last success, each hour of the last 24, share within 2.1 s and 5 s
    what is not settled ────────► backlog: age and destination

They cost the same however many messages there ever were. How fast is told of what we ask others:
from the POST to its answer, through the national proxy; silence counts as no answer in time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bars_gateway.store.connection import Connection
from bars_gateway.store.rows import instant, text
from bars_gateway.store.work import Noun, reads

HOURS = 24
# From when on a message belongs to the next class of age, as people read it.
AGES: Mapping[str, timedelta] = {
    "minute": timedelta(minutes=1),
    "minutes_5": timedelta(minutes=5),
    "minutes_30": timedelta(minutes=30),
    "hours_2": timedelta(hours=2),
    "hours_8": timedelta(hours=8),
}
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What went one way."""

    last_at: datetime | None  # the last message; None: there was none
    hours: Sequence[int]  # how many in each of the last 24 hours, this one last

    @property
    def total(self) -> int:
        """How many in these hours."""
        return sum(self.hours)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerTimes:
    """How fast others answered what we sent."""

    asked: int  # attempts
    within_2100: int  # of these, answered within so many milliseconds
    within_5000: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What is not settled and is for one Receiver."""

    receiver: str
    oldest_at: datetime
    ages: Sequence[int]  # how many: younger than a minute, 5, 30 minutes, 2, 8 hours, and older

    @property
    def total(self) -> int:
        """How many."""
        return sum(self.ages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What flows and what waits, read in one moment."""

    outbound: Flow
    inbound: Flow
    day: AnswerTimes  # the last 24 hours
    month: AnswerTimes  # the last 30 days
    backlog: Sequence[Backlog]  # the longest waiting first


class Flows(Noun):
    """What flows, and what waits."""

    @reads
    def traffic(self, connection: Connection, now: datetime) -> Traffic:
        """Return what flows and what waits."""
        return traffic(connection, now)

    @reads
    def last_changes(self, connection: Connection) -> Sequence[int | None]:
        """Return what differs once anything has come or moved, at a cost that never grows."""
        row = connection.one("last_changes")
        assert row is not None  # of maxima there is always one row
        return [row[name] for name in ("event", "notice", "question", "alert")]


def traffic(connection: Connection, now: datetime) -> Traffic:
    """Return what flows and what waits."""
    return Traffic(
        outbound=_flow(connection, "outbound", now),
        inbound=_flow(connection, "inbound", now),
        day=_answered(connection, now - timedelta(hours=HOURS - 1)),
        month=_answered(connection, now - timedelta(days=30) + _HOUR),
        backlog=_backlog(connection, now),
    )


def _flow(connection: Connection, direction: str, now: datetime) -> Flow:
    hours = [_hour(now - _HOUR * back) for back in reversed(range(HOURS))]
    found = connection.rows("hours_since", direction=direction, since=hours[0])
    flowed = {row["hour"]: row["flowed"] for row in found}
    return Flow(
        last_at=last_flowed(connection, direction),
        hours=[flowed.get(hour, 0) for hour in hours],
    )


def last_flowed(connection: Connection, direction: str) -> datetime | None:
    """Return when the last message went that way; None: none did."""
    row = connection.one("last_flowed", direction=direction)
    return instant(row["last_at"]) if row else None


def _answered(connection: Connection, since: datetime) -> AnswerTimes:
    row = connection.one("answered_since", since=_hour(since))
    assert row is not None  # a sum is always one row
    return AnswerTimes(**{name: row[name] for name in ("asked", "within_2100", "within_5000")})


def _backlog(connection: Connection, now: datetime) -> list[Backlog]:
    classes = {name: text(now - age) for name, age in AGES.items()}
    return [
        Backlog(
            receiver=row["receiver"],
            oldest_at=instant(row["oldest"]),
            ages=[row[f"age_{number}"] for number in range(len(AGES) + 1)],
        )
        for row in connection.rows("backlog", **classes)
    ]


def _hour(at: datetime) -> str:
    return text(at)[:13]
