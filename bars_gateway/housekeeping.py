"""
What time does, when nobody sends anything: leases lapse, messages grow late, the log grows.

    every second ─► the clock? · release_lapsed · tell_delays · give_up
    every fifth ──► tell_unanswered · checkpoint

Each step is one transaction of the store and may be repeated at any time, so a crash
between two of them costs nothing. The checkpoint runs here, on a connection of its
own, because in the path of a commit it would cost a sender tens of milliseconds.

Retries and leases are instants of the wall clock, because they must outlive a restart.
When that clock goes back, what was due in seconds would wait for an hour: it is recalled,
and goes out again under its old ids. When it goes forward, things are due early, which
does no harm. The time to give up is never moved: a person's day does not follow NTP.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from bars_gateway.errors import StorageFull
from bars_gateway.store.port import Store

log = structlog.get_logger(__name__)

EVERY_SECONDS = 1.0
STEP_SECONDS = 2.0  # by which the wall clock leaves the monotonic one at once: no mere drift
LONGEST_WAIT = timedelta(minutes=10)  # of any retry, and of any Retry-After that is honoured
SELDOM_ROUNDS = 5


class Housekeeper:
    """Does what falls due with time."""

    def __init__(
        self,
        store: Store,
        *,
        now: Callable[[], datetime],
        every_seconds: float = EVERY_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
        proven: Callable[[], None] = lambda: None,
    ) -> None:
        """*proven* is called after each round: its writes were committed."""
        self._store = store
        self._proven = proven
        self._now = now
        self._monotonic = monotonic
        self._offset: float | None = None  # of the wall clock from the monotonic one
        self._every_seconds = every_seconds
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Tidy until stopped."""
        rounds = 0
        while not self._stopping.is_set():
            rounds += 1
            await self._round(seldom=rounds % SELDOM_ROUNDS == 0)
            self._proven()
            try:
                async with asyncio.timeout(self._every_seconds):
                    await self._stopping.wait()
            except TimeoutError:
                continue

    async def _round(self, *, seldom: bool) -> None:
        try:
            await self.look_at_the_clock()
            await self.tidy()
            if seldom:
                await self.look_at_questions()
                await self._store.checkpoint()
        except StorageFull as error:
            # The writer lives and has said so; ending the process would make no room.
            log.error("store.full", reason=str(error), advice=error.advice)

    def stop(self) -> None:
        """Stop before the next round."""
        self._stopping.set()

    async def look_at_the_clock(self) -> None:
        """Recall what would wait too long, once the wall clock has gone back."""
        now = self._now()
        offset = now.timestamp() - self._monotonic()
        if self._offset is None:  # it may have gone back while nobody looked
            self._offset = offset
            await self._recall(now, LONGEST_WAIT)
            return
        step, self._offset = offset - self._offset, offset
        if abs(step) < STEP_SECONDS:
            return
        log.warning("clock.stepped", seconds=round(step, 1))
        if step < 0:
            await self._recall(now, timedelta(0))

    async def _recall(self, now: datetime, within: timedelta) -> None:
        recalled = await self._store.recall(now, within=within)
        if recalled:
            log.warning("outbound.retries_recalled", count=recalled)

    async def tidy(self) -> None:
        """Do once what has fallen due."""
        now = self._now()
        released = await self._store.release_lapsed(now)
        if released:
            log.warning("outbound.leases_lapsed", count=released)
        late = await self._store.tell_delays(now)
        if late:
            log.warning("outbound.delayed", count=late)
        given_up = await self._store.give_up(now)
        if given_up:
            log.error("outbound.given_up", count=given_up)

    async def look_at_questions(self) -> None:
        """Raise an alarm for what no EPR answers, and forget reads that are over."""
        unanswered = await self._store.questions.tell_unanswered(self._now())
        if unanswered:
            log.error("epr.questions_unanswered", count=unanswered)
