"""The wall clock is put right by an hour, one way or the other, while messages are on their way."""

from datetime import timedelta

import pytest
from national_side import Clock
from store_values import SILENCE, attempt, submission

from bars_gateway.housekeeping import Housekeeper
from bars_gateway.store.port import Claim, OutboundState, TryAgain
from bars_gateway.store.sqlite import SqliteStore

HOUR = 3600
PROVIDERS = ("trust",)


def step(clock: Clock, seconds: float) -> None:
    """Move the wall clock alone."""
    clock.wall += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def housekeeper(store: SqliteStore, clock: Clock) -> Housekeeper:
    return Housekeeper(store, now=clock.now, monotonic=clock.monotonic)


async def in_flight(store: SqliteStore, clock: Clock) -> Claim:
    await store.submit(submission(give_up_at=clock.wall + timedelta(hours=5)), clock.wall)
    claim = await store.claim_next(clock.wall, PROVIDERS)
    assert claim is not None
    return claim


async def waiting(store: SqliteStore, clock: Clock) -> Claim:
    """Leave a message in the queue that is to be tried again in thirty seconds."""
    claim = await in_flight(store, clock)
    again = TryAgain(at=clock.wall + timedelta(seconds=30))
    await store.settle(claim, SILENCE, attempt=attempt(claim), settlement=again)
    return claim


async def test_a_retry_does_not_wait_for_an_hour(
    store: SqliteStore, clock: Clock, housekeeper: Housekeeper
) -> None:
    """The clock goes back: what waited for seconds is due, under its own ids."""
    before = await waiting(store, clock)
    await housekeeper.look_at_the_clock()
    step(clock, -HOUR)
    await housekeeper.look_at_the_clock()
    after = await store.claim_next(clock.wall, PROVIDERS)

    assert after is not None
    assert before.request_id == after.request_id


async def test_a_step_while_nobody_looked_is_found_at_the_start(
    store: SqliteStore, clock: Clock, housekeeper: Housekeeper
) -> None:
    """No retry waits for longer than ten minutes, so one that does is due."""
    await waiting(store, clock)
    step(clock, -HOUR)
    await housekeeper.look_at_the_clock()

    assert await store.claim_next(clock.wall, PROVIDERS) is not None


async def test_a_clock_that_runs_recalls_nothing(
    store: SqliteStore, clock: Clock, housekeeper: Housekeeper
) -> None:
    """Time passes, and a little drift with it: the retry keeps its moment."""
    await waiting(store, clock)
    await housekeeper.look_at_the_clock()
    clock.advance(10)
    step(clock, -1)
    await housekeeper.look_at_the_clock()

    assert await store.claim_next(clock.wall, PROVIDERS) is None


async def test_a_lease_ends_in_its_own_time(
    store: SqliteStore, clock: Clock, housekeeper: Housekeeper
) -> None:
    """The clock goes back: what nobody sends any more is free after one lease."""
    await in_flight(store, clock)
    await housekeeper.look_at_the_clock()
    step(clock, -HOUR)
    await housekeeper.look_at_the_clock()
    held = await store.release_lapsed(clock.wall)
    clock.advance(90)
    released = await store.release_lapsed(clock.wall)

    assert (0, 1) == (held, released)


async def test_a_clock_that_goes_forward_makes_retries_due(
    store: SqliteStore, clock: Clock, housekeeper: Housekeeper
) -> None:
    """Early, under the same ids; and nobody has given up."""
    await waiting(store, clock)
    await housekeeper.look_at_the_clock()
    step(clock, HOUR)
    await housekeeper.look_at_the_clock()
    await housekeeper.tidy()

    assert await store.claim_next(clock.wall, PROVIDERS) is not None
    assert 1 == (await store.overview(clock.wall)).outbound[OutboundState.SENDING]


async def test_a_lease_that_lapsed_early_lets_nobody_settle_twice(
    store: SqliteStore, clock: Clock, housekeeper: Housekeeper
) -> None:
    """The clock goes forward by an hour while a POST is under way: it goes out again, fenced."""
    slow = await in_flight(store, clock)
    step(clock, HOUR)
    await housekeeper.tidy()
    successor = await store.claim_next(clock.wall, PROVIDERS)

    assert successor is not None
    assert (slow.request_id, slow.claim + 1) == (successor.request_id, successor.claim)
