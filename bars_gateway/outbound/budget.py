"""
How often we may ask: one budget per application key, tokens included (D-quota).

    message ─► claim only where a place is free ─┐
    token, read ─► note on disk ─────────────────┴─► take ─► the urgent line, then the other

The platform refuses what goes beyond its quota a minute, and also what comes in too
close a burst. So requests are spread: a small burst at once, then one each time a
place comes free. What is urgent goes first, but of four places one is for those who have
waited longest, so that nobody waits for ever. It starts loaded with what was sent in the
last minute, because a restart does not give us a second quota: a message counts from its
claim, and everything else is noted before it is sent, so that one who dies over a call again
and again still cannot make more of them. Where the platform says all the same that
it is too much, nothing goes out for as long as it asks: each request more would be refused
as well.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from itertools import takewhile
from typing import Protocol

from bars_gateway.errors import StoreError

NOTE_HOLDS = timedelta(seconds=1)  # so much later than its note a call may begin
_MINUTE = 60.0
_BURST_SHARE = 20  # a twentieth of the minute's quota may go out at once
_URGENT_IN_A_ROW = 3  # places, where others wait as well


class Budget:
    """Lets callers through at the rate that one application key is allowed."""

    def __init__(
        self,
        per_minute: int,
        *,
        monotonic: Callable[[], float],
        ages: Iterable[float] = (),
    ) -> None:
        """
        Load what was sent in the last minute: *ages* says how many seconds ago each began.

        An age below zero is taken as now: after a step of the wall clock, what was sent
        before it may seem to lie ahead, and must not be waited for.
        """
        self._monotonic = monotonic
        self._taken: deque[float] = deque()
        self.share(per_minute, ages)
        self._paused_until = monotonic()
        self._urgent: deque[asyncio.Event] = deque()
        self._others: deque[asyncio.Event] = deque()
        self._first: asyncio.Event | None = None  # of both lines; set, and no other is
        self._urgent_in_a_row = 0

    def share(self, per_minute: int, ages: Iterable[float]) -> None:
        """Go on at that rate, and count what *ages* says in place of what was counted."""
        now = self._monotonic()
        self.per_minute = per_minute
        self._burst = max(1, per_minute // _BURST_SHARE)
        self._spacing = _MINUTE / per_minute
        unnoted = [at for at in self._taken if at > now - NOTE_HOLDS.total_seconds()]
        known = (now - max(age, 0.0) for age in ages if age < _MINUTE)
        self._taken = deque(sorted([*known, *unnoted]))

    async def take(self, *, urgent: bool = False) -> None:
        """Return when one more request may begin; each line is served in order."""
        line = self._urgent if urgent else self._others
        my_turn = asyncio.Event()
        line.append(my_turn)
        self._call()
        try:
            await my_turn.wait()
            while (wait := self._wait()) > 0:
                await asyncio.sleep(wait)
                await my_turn.wait()  # somebody urgent may have come meanwhile
            self._taken.append(self._monotonic())
            self._urgent_in_a_row = self._urgent_in_a_row + 1 if urgent else 0
        finally:
            line.remove(my_turn)
            self._call()

    def seconds_to_turn(self) -> float:
        """Return after how long a caller who comes now may expect a place; 0: at once."""
        waiting = len(self._urgent) + len(self._others)
        return max(0.0, self._wait()) + waiting * self._spacing

    def places(self, most: int) -> int:
        """Return for how many callers, of *most* who come now, there is a place at once."""
        if self.seconds_to_turn() > 0:
            return 0
        free = min(most, self.per_minute - len(self._taken))
        if len(self._taken) + free > self._burst:
            since = self._monotonic() - self._burst * self._spacing
            lately = sum(1 for _ in takewhile(lambda at: at > since, reversed(self._taken)))
            free = min(free, self._burst - lately)
        return max(1, free)

    @property
    def used(self) -> int:
        """How many requests of the last minute count."""
        return sum(at > self._monotonic() - _MINUTE for at in self._taken)

    @property
    def paused_seconds(self) -> float:
        """For how long nobody is let through, because the platform has said that it is too much."""
        return max(0.0, self._paused_until - self._monotonic())

    def _call(self) -> None:
        """Let whoever is first now know it, and whoever was first that they are no more."""
        others_turn = self._urgent_in_a_row >= _URGENT_IN_A_ROW and self._others
        line = self._others if others_turn or not self._urgent else self._urgent
        first = line[0] if line else None
        if self._first is not None and self._first is not first:
            self._first.clear()
        if first is not None:
            first.set()
        self._first = first

    def pause(self, seconds: float) -> None:
        """Let nobody through for so long: the platform has said that it is too much."""
        self._paused_until = max(self._paused_until, self._monotonic() + seconds)

    def _wait(self) -> float:
        now = self._monotonic()
        if self._paused_until > now:
            return self._paused_until - now
        while self._taken and self._taken[0] <= now - _MINUTE:
            self._taken.popleft()
        if len(self._taken) >= self.per_minute:
            return self._taken[-self.per_minute] + _MINUTE - now
        if len(self._taken) >= self._burst:
            return self._taken[-self._burst] + self._burst * self._spacing - now
        return 0.0


class Turns(Protocol):
    """A way into the budget."""

    async def take(self, *, urgent: bool = False) -> None:
        """Return when one more request may begin."""


class NotedTurns:
    """The way of what leaves no attempt, a token or a read: it is noted on disk first."""

    def __init__(self, budget: Budget, note: Callable[[], Awaitable[None]]) -> None:
        self._budget = budget
        self._note = note

    async def take(self, *, urgent: bool = False) -> None:
        """Return when one more request may begin, and is on disk for the next start to count."""
        await self._budget.take(urgent=urgent)
        with contextlib.suppress(StoreError):  # a full disk keeps nobody from reading
            await self._note()
