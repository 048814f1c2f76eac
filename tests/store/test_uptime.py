"""How long the gateway was up: over kills and clocks, and never more than it was."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from national_side import Clock
from store_values import NOW

from bars_gateway.store.figures import Up, Uptime, uptime
from bars_gateway.store.sqlite import SqliteConnection
from bars_gateway.store.sqlite.database import SqliteDatabase, open_database
from bars_gateway.store.store import Store
from bars_gateway.upkeep.loops import Presence

SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)


async def runs(store: Store, begins: datetime, lasts: timedelta, every: timedelta = SECOND) -> None:
    """Let a gateway run for so long, and be killed."""
    clock = Clock(wall=begins)
    presence = Presence(store.uptimes, clock.now, clock.monotonic)
    for _ in range(lasts // every + 1):
        await presence.keep()
        clock.advance(every.total_seconds())


def down(up: Up | None) -> float:
    assert up is not None
    return up.down.total_seconds()


async def test_a_gateway_that_runs_is_up(store: Store) -> None:
    """All the time since it is known of it, and that is said."""
    await runs(store, NOW, 100 * SECOND)
    found = await store.uptimes.uptime(NOW + 105 * SECOND)

    assert NOW == found.known_since
    assert Up(since=NOW, of=100 * SECOND, up=100 * SECOND) == found.day == found.month


async def test_nothing_is_told_of_what_nobody_noted(store: Store) -> None:
    """No figure is made of nothing."""
    nothing = Uptime(known_since=None, day=None, month=None, bytes_a_day=None)

    assert nothing == await store.uptimes.uptime(NOW)


async def test_a_kill_costs_what_was_not_noted(store: Store) -> None:
    """It was killed at 59 s and came back at 90 s: told as down for 40 s, and never for less."""
    await runs(store, NOW, 59 * SECOND)
    await runs(store, NOW + 90 * SECOND, 60 * SECOND)
    found = await store.uptimes.uptime(NOW + 150 * SECOND)

    assert 40 == down(found.day)


async def test_an_outage_that_lasts_grows_while_it_lasts(store: Store) -> None:
    """Whoever asks the database meanwhile is not told of the time before it alone."""
    await runs(store, NOW, 60 * SECOND)
    found = await store.uptimes.uptime(NOW + HOUR)

    assert 3540 == down(found.day)


async def test_hours_are_kept_apart(store: Store) -> None:
    """What crosses the hour counts in both: a day's share is of that day alone."""
    await runs(store, NOW - 26 * HOUR, HOUR)
    begins = NOW - 2 * HOUR + 55 * SECOND
    await runs(store, begins, 2 * HOUR - 55 * SECOND, 10 * SECOND)
    found = await store.uptimes.uptime(NOW)

    assert 21 * 3600 + 55 == down(found.day)
    assert 23 * 3600 + 55 == down(found.month)


@pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["forward", "back"])
async def test_a_clock_that_is_set_adds_no_time(store: Store, step: timedelta) -> None:
    """Seconds are counted by a clock that nobody sets."""
    clock = Clock(wall=NOW)
    presence = Presence(store.uptimes, clock.now, clock.monotonic)
    for number in range(10):
        await presence.keep()
        clock.advance(10)
        clock.wall += step if number == 4 else timedelta()
    found = await store.uptimes.uptime(NOW + HOUR)

    assert found.day is not None
    assert found.day.up <= 90 * SECOND


async def test_what_could_not_be_noted_is_not_up(store: Store) -> None:
    """A disk that took nothing for a minute is a minute in which nothing was received."""
    clock = Clock(wall=NOW)
    presence = Presence(store.uptimes, clock.now, clock.monotonic)
    for seconds in (0, 10, 10, 60, 10):
        clock.advance(seconds)
        await presence.keep()
    found = await store.uptimes.uptime(clock.now())

    assert 60 == down(found.day)


async def test_what_no_meter_looks_at_is_forgotten(tmp_path: Path) -> None:
    """But for the first hour of all: since then it is known."""
    async with open_database(tmp_path / "gateway.db") as database:
        store = Store(database, node="here")
        for days in (100, 60, 31, 29, 0):
            await runs(store, NOW - days * DAY, SECOND)
        found = await store.uptimes.uptime(NOW)

        def hours(connection: SqliteConnection) -> list[str]:
            rows = connection.raw.execute("SELECT hour FROM uptime ORDER BY hour").fetchall()
            return [row["hour"] for row in rows]

        kept = await database.read(hours)

    assert ["2025-11-22T09", "2026-02-01T09", "2026-03-02T09"] == kept
    assert NOW - 100 * DAY == found.known_since


@pytest.mark.of_sqlite
async def test_growth_is_told_by_the_day(database: SqliteDatabase, store: Store) -> None:
    """From a day on; before that nobody knows what a day is."""
    await runs(store, NOW - 2 * DAY, SECOND)
    size = database.path.stat().st_size + 2_000_000
    early, found = [
        await database.read(lambda connection, at=at: uptime(connection, at, size).bytes_a_day)
        for at in (NOW - DAY - SECOND, NOW)
    ]

    assert early is None
    assert 1_000_000 == found
