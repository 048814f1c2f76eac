"""
How often we may ask: one budget per application key, tokens included (M7).

The platform refuses what goes beyond its quota a minute, and also what comes in too
close a burst. So requests are spread: a small burst at once, then one each time a
place comes free. It starts loaded with what was sent in the last minute, because a
restart does not give us a second quota. Where the platform says all the same that it is too
much, nothing goes out for as long as it asks: each request more would be refused as well.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

_MINUTE = 60.0
_BURST_SHARE = 20  # a twentieth of the minute's quota may go out at once


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
        now = monotonic()
        self._per_minute = per_minute
        self._burst = max(1, per_minute // _BURST_SHARE)
        self._spacing = _MINUTE / per_minute
        self._monotonic = monotonic
        self._taken = deque(sorted(now - max(age, 0.0) for age in ages if age < _MINUTE))
        self._turn = asyncio.Lock()
        self._held_until = now

    async def take(self) -> None:
        """Return when one more request may begin; callers are served in order."""
        async with self._turn:
            while (wait := self._wait()) > 0:  # noqa: ASYNC110 - it waits for time, not for an event
                await asyncio.sleep(wait)
            self._taken.append(self._monotonic())

    def hold(self, seconds: float) -> None:
        """Let nobody through for so long: the platform has said that it is too much."""
        self._held_until = max(self._held_until, self._monotonic() + seconds)

    def _wait(self) -> float:
        now = self._monotonic()
        if self._held_until > now:
            return self._held_until - now
        while self._taken and self._taken[0] <= now - _MINUTE:
            self._taken.popleft()
        if len(self._taken) >= self._per_minute:
            return self._taken[-self._per_minute] + _MINUTE - now
        if len(self._taken) >= self._burst:
            return self._taken[-self._burst] + self._burst * self._spacing - now
        return 0.0
