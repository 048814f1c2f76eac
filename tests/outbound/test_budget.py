"""How often we may ask: a quota a minute, spread, and kept across a restart."""

import asyncio
import selectors

import pytest
from national_side import Clock

from bars_gateway.errors import StorageFull
from bars_gateway.outbound.budget import Budget, NotedTurns


class HurriedSelector(selectors.DefaultSelector):
    """Where a loop would sleep, lets its clock jump instead."""

    jumped = 0.0

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready and timeout:
            self.jumped += timeout
        return ready


class HurriedLoop(asyncio.SelectorEventLoop):
    """A loop in which an hour of waiting takes no time."""

    def __init__(self):
        self.hurried = HurriedSelector()
        super().__init__(self.hurried)

    def time(self):
        return super().time() + self.hurried.jumped


def moments(per_minute, count, ages=()):
    """Return when each of *count* requests that all want to begin at once may begin."""

    async def measure():
        loop = asyncio.get_running_loop()
        started = seen = loop.time()

        def clock():
            nonlocal seen
            seen = loop.time()
            return seen

        budget = Budget(per_minute, monotonic=clock, ages=ages)
        taken = []

        async def caller():
            await budget.take()
            taken.append(seen - started)  # as the budget saw it: no task is late by its own clock

        async with asyncio.TaskGroup() as callers:
            for _ in range(count):
                callers.create_task(caller())
        return taken

    with asyncio.Runner(loop_factory=HurriedLoop) as runner:
        return runner.run(measure())


async def takes_at_once(budget, limit=1000):
    """Return how many requests may begin without waiting."""
    for count in range(limit):
        try:
            async with asyncio.timeout(0.01):
                await budget.take()
        except TimeoutError:
            return count
    return limit


@pytest.mark.parametrize(("per_minute", "burst"), [(300, 15), (1000, 50), (20, 1), (5, 1)])
async def test_a_small_burst_goes_out_at_once(per_minute, burst):
    """A handful of messages should not wait for one another."""
    assert burst == await takes_at_once(Budget(per_minute, monotonic=Clock().monotonic))


@pytest.mark.parametrize("per_minute", [5, 60, 300])
def test_no_minute_holds_more_than_the_quota(per_minute):
    """The platform counts a rolling minute, so every window of a minute is looked at."""
    taken = moments(per_minute, 3 * per_minute)

    assert all(
        later - earlier >= 60 - 1e-6
        for earlier, later in zip(taken, taken[per_minute:], strict=False)
    )


def test_the_quota_is_used():
    """Caution costs less than a twentieth of what is allowed."""
    taken = moments(300, 900)

    assert taken[-1] < 180 * 1.05


def test_requests_are_spread_over_the_minute():
    """The platform's spike arrest refuses what comes in one heap."""
    taken = moments(300, 600)
    most = max(sum(start <= at < start + 1 for at in taken) for start in taken)

    assert most <= 15


async def test_what_was_sent_before_a_restart_counts():
    """A restart gives us no second quota (D-quota)."""
    clock = Clock()
    budget = Budget(300, monotonic=clock.monotonic, ages=[1.0] * 300)

    assert 0 == await takes_at_once(budget)

    clock.advance(59)

    assert 15 == await takes_at_once(budget)


async def test_what_is_older_than_a_minute_does_not_count():
    """The minute rolls."""
    budget = Budget(300, monotonic=Clock().monotonic, ages=[60.0] * 300)

    assert 15 == await takes_at_once(budget)


def test_a_full_minute_before_a_restart_is_followed_by_a_rolling_one():
    """What came before the restart and what comes after it share one quota."""
    before = [60 * (place + 0.5) / 300 for place in range(300)]
    taken = sorted([-age for age in before] + moments(300, 300, before))

    assert all(
        later - earlier >= 60 - 1e-6 for earlier, later in zip(taken, taken[300:], strict=False)
    )


async def test_what_seems_to_lie_ahead_is_not_waited_for():
    """A clock that was an hour fast and was set right must not stop the gateway for an hour."""
    clock = Clock()
    budget = Budget(300, monotonic=clock.monotonic, ages=[-3600.0] * 300)

    assert 0 == await takes_at_once(budget)

    clock.advance(60)

    assert 15 == await takes_at_once(budget)


def test_callers_are_served_in_the_order_in_which_they_came():
    """Nobody waits for ever while others are let through."""

    async def measure():
        clock = asyncio.get_running_loop().time
        budget, served = Budget(20, monotonic=clock), []

        async def caller(number):
            await budget.take()
            served.append(number)

        async with asyncio.TaskGroup() as callers:
            for number in range(10):
                callers.create_task(caller(number))
        return served

    with asyncio.Runner(loop_factory=HurriedLoop) as runner:
        assert list(range(10)) == runner.run(measure())


def order_of(callers, per_minute=20):
    """Return the names of *callers*, each with its urgency, as they get their places."""

    async def measure():
        clock = asyncio.get_running_loop().time
        budget, served = Budget(per_minute, monotonic=clock, ages=[0.0]), []

        async def caller(name, urgent):
            await budget.take(urgent=urgent)
            served.append(name)

        async with asyncio.TaskGroup() as group:
            for name, urgent in callers:
                group.create_task(caller(name, urgent))
        return served

    with asyncio.Runner(loop_factory=HurriedLoop) as runner:
        return runner.run(measure())


def test_what_is_urgent_goes_before_what_was_there_first():
    """An ambulance does not stand behind routine referrals."""
    assert ["urgent", "first", "second"] == order_of(
        [("first", False), ("second", False), ("urgent", True)]
    )


def test_of_four_places_one_is_for_who_has_waited_longest():
    """What is routine moves on, however much is urgent."""
    callers = [("routine", False), *((f"urgent {number}", True) for number in range(5))]

    assert 3 == order_of(callers).index("routine")


async def test_who_goes_away_leaves_the_line():
    """A read that nobody waits for any more takes no place from a message."""
    clock = Clock()
    budget = Budget(20, monotonic=clock.monotonic, ages=[2.9])
    waiting = asyncio.create_task(budget.take(urgent=True))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    clock.advance(3)

    assert 0 == budget.seconds_to_turn()
    assert 1 == await takes_at_once(budget)


async def test_a_place_is_foretold_with_those_who_wait_already():
    """Whoever claims a message knows that it will leave at once, or claims none."""
    clock = Clock()
    budget = Budget(20, monotonic=clock.monotonic)
    free = budget.seconds_to_turn()
    await budget.take()
    taken = budget.seconds_to_turn()
    waiting = asyncio.create_task(budget.take())
    await asyncio.sleep(0)
    with_one_more = budget.seconds_to_turn()
    waiting.cancel()

    assert [0, 3, 6] == [free, taken, with_one_more]


async def test_a_full_disk_keeps_nobody_from_reading():
    """The note is lost then, and the read is not."""

    async def nowhere():
        raise StorageFull("no room")

    budget = Budget(20, monotonic=Clock().monotonic)
    await NotedTurns(budget, nowhere).take()

    assert budget.seconds_to_turn() > 0


async def test_the_burst_comes_back_with_time():
    """After a pause as long as the burst is worth, as many may go again."""
    clock = Clock()
    budget = Budget(300, monotonic=clock.monotonic)
    await takes_at_once(budget)
    clock.advance(3)

    assert 15 == await takes_at_once(budget)


async def test_a_caller_that_goes_away_uses_nothing():
    """A sender that is stopped while it waits leaves its place to the next."""
    clock = Clock()
    budget = Budget(20, monotonic=clock.monotonic)
    await budget.take()
    assert 0 == await takes_at_once(budget)
    clock.advance(3)

    assert 1 == await takes_at_once(budget)


async def test_what_the_platform_asks_for_is_held_to():
    """After a 429 each request more would be refused as well."""
    clock = Clock()
    budget = Budget(300, monotonic=clock.monotonic)
    budget.pause(30)
    budget.pause(10)
    clock.advance(29.9)

    assert 0 == await takes_at_once(budget, limit=1)

    clock.advance(0.2)

    assert 15 == await takes_at_once(budget)


def test_a_burst_of_five_thousand_stays_within_the_quota():
    """Whatever waits, no rolling minute of production holds more than a thousand requests."""
    taken = moments(1000, 5000)

    assert all(
        later - earlier >= 60 - 1e-6 for earlier, later in zip(taken, taken[1000:], strict=False)
    )


async def test_what_is_used_of_the_minute_can_be_read():
    """An operator sees how near the quota is; what is older than a minute counts no more."""
    clock = Clock()
    budget = Budget(300, monotonic=clock.monotonic, ages=(10.0, 50.0))
    await budget.take()
    used = [budget.used]
    clock.advance(11.0)
    used.append(budget.used)

    assert [3, 2] == used


async def test_for_how_long_the_platform_has_held_us_up_can_be_read():
    """A quota that seems free, and through which nothing goes, is explained."""
    clock = Clock()
    budget = Budget(300, monotonic=clock.monotonic)
    budget.pause(5.0)
    paused = [budget.paused_seconds]
    clock.advance(6.0)
    paused.append(budget.paused_seconds)

    assert [5.0, 0.0] == paused
