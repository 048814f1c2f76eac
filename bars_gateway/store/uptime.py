"""
How long the gateway was up, and how fast its database grows: the figures of the overview.

    every ten seconds: still up ─► milliseconds of this hour ─► share of 24 hours, of 30 days
                                   size, at the first of each hour ─► bytes a day

Up is: every door is open, and the database takes what is written. Nothing is written down at an
end: a kill, a power cut and an orderly stop are told alike, and each costs at most the ten seconds
since it was last noted. What nobody noted is not up. So the share is never too high, and after a
kill it is too low by seconds.

There is one row an hour, for a month, and the first of all: since then it is known.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from bars_gateway.store.connection import Connection
from bars_gateway.store.rows import instant, text
from bars_gateway.store.work import Noun, reads, writes

NOTED_EVERY = timedelta(seconds=10)
_MONTH = timedelta(days=30)
_HOUR = timedelta(hours=1)
LONGEST_GAP = 3 * NOTED_EVERY  # noted within it, it was up all the time
_GROWN_IN = timedelta(days=7)
_SHORTEST = timedelta(days=1)  # from less nobody can tell how much a day is


@dataclass(frozen=True, slots=True, kw_only=True)
class Up:
    """For how long it was up, of a time that is known of."""

    since: datetime  # from then on it is known, within the time that is asked for
    of: timedelta
    up: timedelta

    @property
    def down(self) -> timedelta:
        """For how long it was not."""
        return max(timedelta(), self.of - self.up)


@dataclass(frozen=True, slots=True, kw_only=True)
class Uptime:
    """How long the gateway was up, and how its database grew."""

    known_since: datetime | None  # None: nothing is known
    day: Up | None  # of the last 24 hours; None: nothing is known of them
    month: Up | None  # of the last 30 days
    bytes_a_day: float | None  # None: it is not known for a day yet


class Uptimes(Noun):
    """How long the gateway was up."""

    @writes
    def note_up(self, connection: Connection, lasted: timedelta, now: datetime) -> None:
        """Write down that it has been up until *now*, for as long as that."""
        size, begins = self._database.path.stat().st_size, now - lasted
        if _hour(begins) < _hour(now) or not lasted:  # once an hour, and at a start
            connection.run("forget_uptime", before=_hour(now - _MONTH))
        while _hour(begins) < _hour(now):
            ends = _begin(begins) + _HOUR
            _note(connection, begins, ends, size)
            begins = ends
        _note(connection, begins, now, size)

    @reads
    def uptime(self, connection: Connection, now: datetime) -> Uptime:
        """Return how long it was up."""
        return uptime(connection, now, self._database.path.stat().st_size)


def uptime(connection: Connection, now: datetime, size: int) -> Uptime:
    """Return how long the gateway was up, and how its database grew to *size*."""
    first, last = connection.one("first_up"), connection.one("last_up")
    if first is None or last is None:
        return Uptime(known_since=None, day=None, month=None, bytes_a_day=None)
    since, until = instant(first["first_at"]), instant(last["last_at"])
    until = until if until <= now < until + LONGEST_GAP else now
    return Uptime(
        known_since=since,
        day=_up(connection, max(since, _begin(now - timedelta(hours=23))), until),
        month=_up(connection, max(since, _begin(now - _MONTH + _HOUR)), until),
        bytes_a_day=_growth(connection, now, size),
    )


def _note(connection: Connection, begins: datetime, ends: datetime, size: int) -> None:
    milliseconds = round((ends - begins) / timedelta(milliseconds=1))
    connection.run(
        "note_up",
        hour=_hour(begins),
        **{"from": text(begins), "until": text(ends), "up_ms": milliseconds, "bytes": size},
    )


def _up(connection: Connection, since: datetime, until: datetime) -> Up | None:
    row = connection.one("up_since", since=_hour(since))
    assert row is not None  # a sum is always one row
    of = until - since
    if of <= timedelta():
        return None
    return Up(since=since, of=of, up=min(of, timedelta(milliseconds=row["up_ms"])))


def _growth(connection: Connection, now: datetime, size: int) -> float | None:
    then = connection.one("size_since", since=_hour(now - _GROWN_IN))
    if then is None or now - instant(then["first_at"]) < _SHORTEST:
        return None
    lasted = now - instant(then["first_at"])
    days: float = lasted / timedelta(days=1)
    return (size - int(then["database_bytes"])) / days


def _begin(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def _hour(at: datetime) -> str:
    return text(at)[:13]
