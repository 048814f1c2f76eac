"""Nobody sleeps past the moment at which something may leave, whatever happens in between."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from national_side import NOW, Clock, a_claim

from bars_gateway.model.messages import Claim
from bars_gateway.outbound.budget import Budget
from bars_gateway.outbound.circuit_breaker import CircuitBreakers
from bars_gateway.outbound.claims import Claims, SendWindow, window_at
from bars_gateway.outbound.proxy import Proxy
from bars_gateway.store.claims import Openings

PROVIDERS = ("trust", "other")
TICK = 0.001  # the shortest sleep


@dataclass
class Pausing:
    """Tokens that can be had again after a pause, which the token service's clock measures."""

    clock: Clock
    reopens_at: float  # monotonic

    @property
    def closed_until(self) -> datetime | None:
        seconds = self.reopens_at - self.clock.seconds
        return self.clock.now() + timedelta(seconds=seconds) if seconds > 0 else None


@dataclass
class SlowStore:
    """One message for each of some providers, and time that passes while it is asked for."""

    clock: Clock
    due: Mapping[str, float]  # monotonic
    passing: list[float]
    slept: list[tuple[float, float]] = field(default_factory=list)

    @property
    def outbound(self) -> "SlowStore":
        return self

    def _pass(self) -> None:
        self.clock.advance(self.passing.pop() if self.passing else 0.0)

    async def claim(self, _wanted: int, openings: Openings) -> list[Claim]:
        self._pass()
        ready = [name for name, at in self.due.items() if self._at(at) <= openings.at]
        self._pass()
        return [a_claim()] if openings.places.keys() & ready else []

    async def next_due(self, now: datetime, providers: Collection[str]) -> datetime | None:
        self._pass()
        moments = [self._at(at) for name, at in self.due.items() if name in providers]
        self._pass()
        return min((at for at in moments if at > now), default=None)

    def wake(self) -> None:
        """Nobody sleeps but by `wait_for_work`."""

    async def wait_for_work(self, seconds: float) -> None:
        self.slept.append((self.clock.seconds, seconds))
        self.clock.advance(seconds)

    def _at(self, seconds: float) -> datetime:
        return self.clock.now() + timedelta(seconds=seconds - self.clock.seconds)


SOON = st.integers(0, 20_000).map(lambda milliseconds: milliseconds / 1000)
BY_PROVIDER = st.fixed_dictionaries(dict.fromkeys(PROVIDERS, SOON))


@settings(max_examples=300)
@given(
    due=st.dictionaries(st.sampled_from(PROVIDERS), SOON, min_size=1),
    paused=BY_PROVIDER,
    held=BY_PROVIDER,
    passing=st.lists(SOON, max_size=12),
)
def test_nobody_sleeps_past_the_earliest_moment_at_which_something_may_leave(
    due: dict[str, float], paused: dict[str, float], held: dict[str, float], passing: list[float]
) -> None:
    """A hold, a pause or a due time may end between any two steps of a look: it is not missed."""
    clock = Clock(wall=NOW)
    begun = clock.seconds
    store = SlowStore(clock, {name: begun + at for name, at in due.items()}, passing)
    tokens = {name: Pausing(clock, begun + seconds) for name, seconds in paused.items()}
    budgets = {name: Budget(100_000, monotonic=clock.monotonic) for name in PROVIDERS}
    for name, seconds in held.items():
        budgets[name].pause(seconds)
    claims = _claims(store, tokens, budgets, clock)

    async def first() -> Claim | None:
        looking = asyncio.create_task(claims.run(lambda: None))
        claim = await claims.next()
        claims.stop()
        await looking
        return claim

    assert asyncio.run(first()) is not None
    earliest = begun + min(max(at, paused[name], held[name]) for name, at in due.items())
    late = [at + seconds - max(at, earliest) for at, seconds in store.slept]
    assert all(seconds <= 2 * TICK for seconds in late), store.slept


def _claims(store: SlowStore, tokens: Any, budgets: Any, clock: Clock) -> Claims:
    proxy = Proxy(
        cast("Any", None), url="http://x", budgets=budgets, answer_seconds=1, max_answer_bytes=1
    )
    breakers = CircuitBreakers(cast("Any", store), now=clock.now)

    def window(wanted: int) -> SendWindow:
        return window_at(clock.now(), tokens, proxy, breakers, wanted)

    return Claims(cast("Any", store), window, now=clock.now)
