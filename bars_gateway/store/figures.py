"""
What is counted: for `/metrics`, and for the figures of the overview.

    hours, counted by triggers ─► last success, each hour of the last 24, share within 2.1 s and 5 s
    what is not settled ────────► backlog: age and destination; by bucket for a machine
    every ten seconds: still up ─► milliseconds of this hour ─► share of 24 hours, of 30 days
                                   size, at the first of each hour ─► bytes a day

They cost the same however many messages there ever were. How fast is told of what we ask others:
from the POST to its answer, through the national proxy; silence counts as no answer in time.

A figure for a machine may not name anybody: a Receiver is in one of sixteen buckets, the same on
every machine and after every start, so a line in a graph goes on. Several may share one: the page
and `bars-gateway counterparties` say who is meant.

Up is: every door is open, and the database takes what is written. Nothing is written down at an
end: a kill, a power cut and an orderly stop are told alike, and each costs at most the ten seconds
since it was last noted. What nobody noted is not up. So the share is never too high, and after a
kill it is too low by seconds. There is one row an hour, for a month, and the first of all: since
then it is known.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from bars_gateway.frozen import frozen
from bars_gateway.store.chain import newest_line
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.rows import hour_of, instant, text
from bars_gateway.store.work import Noun, reads, writes

BUCKETS = tuple("0123456789abcdef")
HOURS = 24
# From when on a message belongs to the next age band, as people read it.
AGES: Mapping[str, timedelta] = {
    "minute": timedelta(minutes=1),
    "minutes_5": timedelta(minutes=5),
    "minutes_30": timedelta(minutes=30),
    "hours_2": timedelta(hours=2),
    "hours_8": timedelta(hours=8),
}
_HOUR = timedelta(hours=1)
NOTED_EVERY = timedelta(seconds=10)
_MONTH = timedelta(days=30)
LONGEST_GAP = 3 * NOTED_EVERY  # noted within it, it was up all the time
_GROWN_IN = timedelta(days=7)
_SHORTEST = timedelta(days=1)  # from less nobody can tell how much a day is


def bucket_of(receiver: str) -> str:
    """Return the bucket of that Receiver."""
    return hashlib.sha256(receiver.encode()).hexdigest()[0]


@frozen(kw_only=True)
class Heap:
    """How much lies there, and since when the oldest does."""

    count: int
    oldest_at: datetime


@frozen(kw_only=True)
class Waiting:
    """For whom something waits that is not held, and since when the oldest does."""

    provider: str
    receiver: str
    since: datetime
    told: bool = False  # whether the EPR was told that this one is late


@frozen(kw_only=True)
class WaitingCounted(Waiting):
    """How much of it waits."""

    messages: int
    workflows: int  # each is about one patient


@frozen(kw_only=True)
class Counted:
    """What the figures show of one moment."""

    backlog: Mapping[str, Heap]  # outbound messages that are not settled, by bucket of the Receiver
    quarantined: Mapping[str, Heap]  # by provider
    overdue: Mapping[tuple[str, str], Heap]  # answers, by provider and our role
    received_at: datetime | None  # when the last message was received
    acknowledged_at: datetime | None  # when the last one of ours was acknowledged
    last_line: int = 0  # of the audit trail


class Figures(Noun):
    """What is counted for a machine."""

    @reads
    def counted(self, connection: Connection, now: datetime) -> Counted:
        """Return how it stands."""
        return Counted(
            backlog=_unsettled(connection),
            quarantined={
                row["provider"]: _heap(row) for row in connection.rows("count_quarantined")
            },
            overdue={
                (row["provider"], row["role"]): _heap(row)
                for row in connection.rows("count_overdue", now=text(now))
            },
            received_at=last_flowed(connection, "inbound"),
            acknowledged_at=last_flowed(connection, "outbound"),
            last_line=newest_line(connection),
        )

    @reads
    def waiting(self, connection: Connection) -> list[Waiting]:
        """Return for whom something waits that is not held."""
        return [
            Waiting(
                provider=row["provider"],
                receiver=row["receiver"],
                since=instant(row["oldest"]),
                told=bool(row["told"]),
            )
            for row in connection.rows("oldest_waiting")
        ]

    @reads
    def waiting_counted(self, connection: Connection) -> list[WaitingCounted]:
        """Return how much waits for whom and is not held; it takes the longer the more that is."""
        return [
            WaitingCounted(
                provider=row["provider"],
                receiver=row["receiver"],
                since=instant(row["oldest"]),
                messages=row["n"],
                workflows=row["workflows"],
            )
            for row in connection.rows("waiting_for_receivers")
        ]


def _unsettled(connection: Connection) -> dict[str, Heap]:
    found: dict[str, Heap] = {}
    for row in connection.rows("count_backlog"):
        bucket, more = bucket_of(row["receiver"]), _heap(row)
        known = found.get(bucket, Heap(count=0, oldest_at=more.oldest_at))
        oldest = min(known.oldest_at, more.oldest_at)
        found[bucket] = Heap(count=known.count + more.count, oldest_at=oldest)
    return {bucket: found[bucket] for bucket in BUCKETS if bucket in found}


def _heap(row: Row) -> Heap:
    return Heap(count=row["n"], oldest_at=instant(row["oldest"]))


@frozen(kw_only=True)
class Flow:
    """What went one way."""

    last_at: datetime | None  # the last message; None: there was none
    hours: Sequence[int]  # how many in each of the last 24 hours, this one last

    @property
    def total(self) -> int:
        """How many in these hours."""
        return sum(self.hours)


@frozen(kw_only=True)
class AnswerTimes:
    """How fast others answered what we sent."""

    asked: int  # attempts
    within_2100: int  # of these, answered within so many milliseconds
    within_5000: int


@frozen(kw_only=True)
class Backlog:
    """What is not settled and is for one Receiver."""

    receiver: str
    oldest_at: datetime
    ages: Sequence[int]  # how many: younger than a minute, 5, 30 minutes, 2, 8 hours, and older

    @property
    def total(self) -> int:
        """How many."""
        return sum(self.ages)


@frozen(kw_only=True)
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
    hours = [hour_of(now - _HOUR * back) for back in reversed(range(HOURS))]
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
    row = connection.one("answered_since", since=hour_of(since))
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


@frozen(kw_only=True)
class Up:
    """For how long it was up, of a time that is known of."""

    since: datetime  # from then on it is known, within the time that is asked for
    of: timedelta
    up: timedelta

    @property
    def down(self) -> timedelta:
        """For how long it was not."""
        return max(timedelta(), self.of - self.up)


@frozen(kw_only=True)
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
        size, begins = self._database.room().size_bytes, now - lasted
        if hour_of(begins) < hour_of(now) or not lasted:  # once an hour, and at a start
            connection.put("forget_uptime", before=hour_of(now - _MONTH))
        while hour_of(begins) < hour_of(now):
            ends = _begin(begins) + _HOUR
            _note(connection, begins, ends, size)
            begins = ends
        _note(connection, begins, now, size)

    @reads
    def uptime(self, connection: Connection, now: datetime) -> Uptime:
        """Return how long it was up."""
        return uptime(connection, now, self._database.room().size_bytes)


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
    connection.put(
        "note_up",
        hour=hour_of(begins),
        **{"from": text(begins), "until": text(ends), "up_ms": milliseconds, "bytes": size},
    )


def _up(connection: Connection, since: datetime, until: datetime) -> Up | None:
    row = connection.one("up_since", since=hour_of(since))
    assert row is not None  # a sum is always one row
    of = until - since
    if of <= timedelta():
        return None
    return Up(since=since, of=of, up=min(of, timedelta(milliseconds=row["up_ms"])))


def _growth(connection: Connection, now: datetime, size: int) -> float | None:
    then = connection.one("size_since", since=hour_of(now - _GROWN_IN))
    if then is None or now - instant(then["first_at"]) < _SHORTEST:
        return None
    lasted = now - instant(then["first_at"])
    days: float = lasted / timedelta(days=1)
    return (size - int(then["database_bytes"])) / days


def _begin(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
