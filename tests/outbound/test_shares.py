"""One quota over several gateways: whatever comes or goes, no minute has more."""

import random
from collections.abc import Iterable, Mapping

import pytest

from bars_gateway.errors import DatabaseAway
from bars_gateway.outbound.budget import Budget
from bars_gateway.outbound.shares import Shares

QUOTA = 60


class Platform:
    """What counts all calls, and the clock; what is noted of a call is what was asked."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.calls: list[float] = []
        self.living: list[str] = []
        self.away = False

    def monotonic(self) -> float:
        return self.now

    async def asked(self) -> Mapping[str, Iterable[float]]:
        if self.away:
            raise DatabaseAway("cut")
        return {"trust": [self.now - at for at in self.calls]}

    def node(self, name: str) -> "Gateway":
        return Gateway(self, name)

    def most(self) -> int:
        """Return how many there were in the minute that had most."""
        return max(sum(at - 60 < each <= at for each in self.calls) for at in self.calls)


class Gateway:
    """One node that sends whatever it may."""

    def __init__(self, platform: Platform, name: str) -> None:
        self.name, self.platform = name, platform
        self.budget = Budget(QUOTA, monotonic=platform.monotonic)
        self.shares = Shares(
            {"trust": self.budget, "other": self.budget},
            QUOTA,
            living=lambda: platform.living,
            asked=platform.asked,
        )

    async def sends(self) -> int:
        count = 0
        while self.budget.seconds_to_turn() <= 0:
            await self.budget.take()
            self.platform.calls.append(self.platform.now)
            count += 1
        return count


async def test_two_have_half_each_and_one_all() -> None:
    """One key of two providers is one budget."""
    platform = Platform()
    north = platform.node("north")
    shares = []
    for living in (["north"], ["north", "south"], ["north"], []):
        platform.living = living
        await north.shares.keep()
        shares.append(north.budget.per_minute)

    assert [60, 30, 60, 60] == shares


@pytest.mark.parametrize("seed", range(20))
async def test_no_minute_has_more_than_the_quota(seed: int) -> None:
    """Whoever comes and goes, and whenever the others notice; and nearly all of it is used."""
    rng = random.Random(seed)
    platform = Platform()
    north, south = platform.node("north"), platform.node("south")
    there: list[Gateway] = [north]
    for second in range(400):
        platform.now += 1
        if rng.random() < 0.03:  # the other comes or goes
            if south in there:
                there.remove(south)
            else:
                south = platform.node("south")
                there.append(south)
                platform.living = ["north", "south"]
                await south.shares.keep()  # before it begins
        if rng.random() < 0.3 or second == 0:  # the others notice
            platform.living = [each.name for each in there]
        for each in there:
            await each.shares.keep()
            await each.sends()

    assert platform.most() <= QUOTA
    assert len(platform.calls) > 400 * QUOTA / 60 * 0.5


async def test_without_the_database_each_keeps_its_share() -> None:
    """What was asked nobody can say: it is looked at again."""
    platform = Platform()
    north = platform.node("north")
    platform.living = ["north", "south"]
    await north.shares.keep()
    platform.living, platform.away = ["north"], True
    await north.shares.keep()
    kept = north.budget.per_minute
    platform.away = False
    await north.shares.keep()

    assert (30, 60) == (kept, north.budget.per_minute)
