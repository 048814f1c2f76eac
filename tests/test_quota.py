"""One budget for each application key, whatever uses it, and however often we start."""

import bisect
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from bars_gateway.config import Settings
from bars_gateway.daemon import parts
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.store import Store

PER_MINUTE = 40
START = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = cast(
    "Settings",
    SimpleNamespace(
        providers={name: SimpleNamespace(api_key="shared") for name in ("trust", "practice")},
        outbound=SimpleNamespace(requests_per_minute=PER_MINUTE),
    ),
)


class Time:
    """Both clocks of a machine, moved by hand; the monotonic one survives our restarts."""

    seconds = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


async def a_life(store: Store, time: Time, calls: int) -> list[float]:
    """Start, make so many calls of both providers as soon as may be, and die."""
    budgets = await parts.budgets_of(SETTINGS, store, time.now, time.monotonic)
    turns = parts.turns_of(budgets, store, time.now)
    made = []
    for number in range(calls):
        provider = ("trust", "practice")[number % 2]
        while (wait := budgets[provider].seconds_to_turn()) > 0:
            time.seconds += wait + 1e-6
        await turns[provider].take()
        made.append(time.seconds)
    return made


def fullest_minute(moments: list[float]) -> int:
    """Return how many there are in the rolling minute that has most."""
    return max(
        bisect.bisect_left(moments, begin + 60) - index for index, begin in enumerate(moments)
    )


@pytest.mark.parametrize(
    "lives",
    [
        pytest.param([160], id="no-restart"),
        pytest.param([37, 123], id="one-in-the-middle"),
        pytest.param([8] * 20, id="a-crash-loop"),
    ],
)
async def test_no_rolling_minute_holds_more_than_the_quota(
    tmp_path: Path, lives: list[int]
) -> None:
    """Neither a restart, a crash loop nor a second provider gives us another quota (D-quota)."""
    time, made = Time(), []
    for calls in lives:
        async with open_database(tmp_path / "gateway.db") as database:
            made += await a_life(Store(database, node="here"), time, calls)

    assert PER_MINUTE >= fullest_minute(made)


async def test_a_call_may_begin_a_moment_after_its_note(tmp_path: Path) -> None:
    """It counts as if it had, so that a start just then is not early by that moment."""
    time = Time()
    async with open_database(tmp_path / "gateway.db") as database:
        store = Store(database, node="here")
        for _ in range(PER_MINUTE):
            await store.calls.note("trust", time.now())
        time.seconds = 60.5
        budgets = await parts.budgets_of(SETTINGS, store, time.now, time.monotonic)

        assert budgets["trust"].seconds_to_turn() > 0
