"""
What time does, when nobody sends anything: leases lapse, messages grow late, answers are owed.

    every second ─► was the clock set? · release_lapsed · tell_delays · tell_unread · tell_due
                    · give_up
    every fifth ──► what will end · tell_unanswered

Each step is one transaction of the store and may be repeated at any time, so a crash
between two of them costs nothing.

What is scheduled is kept by the wall clock, so that it outlives the process. When that
clock is set, the schedule is set with it, before anything falls due by the new one; what
was set while no gateway ran is seen by its lying further ahead than any pause. What
clinicians count by stays where it is, and so does a time to give up that follows from it.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from bars_gateway.clock import ClockStep, ClockWatch
from bars_gateway.errors import StorageFull
from bars_gateway.store.port import Store

log = structlog.get_logger(__name__)

EVERY_SECONDS = 1.0
SELDOM_ROUNDS = 5


class Housekeeper:
    """Does what falls due with time."""

    def __init__(
        self,
        store: Store,
        *,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        longest_wait: timedelta,
        every_seconds: float = EVERY_SECONDS,
        proven: Callable[[], None] = lambda: None,
        expiries: Callable[[datetime], None] = lambda _now: None,
    ) -> None:
        """
        Make one for *store*, where nothing is scheduled further ahead than *longest_wait*.

        *proven* is called after each round: its writes were committed. *expiries* looks now
        and then whether something that the gateway works with will end.
        """
        self._store = store
        self._proven = proven
        self._expiries = expiries
        self._now = now
        self._longest_wait = longest_wait
        self._clock = ClockWatch(now, monotonic)
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
            await self.tidy()
            if seldom:
                self._expiries(self._now())
                await self.look_at_questions()
        except StorageFull as error:
            # The writer lives and has said so; ending the process would make no room.
            log.error("store.full", reason=str(error), advice=error.advice)

    def stop(self) -> None:
        """Stop before the next round."""
        self._stopping.set()

    @property
    def clock_step(self) -> ClockStep | None:
        """How the wall clock was last set while we ran."""
        return self._clock.last

    async def tidy(self) -> None:
        """Do once what has fallen due."""
        await self._follow_clock()
        now = self._now()
        released = await self._store.release_lapsed(now)
        if released:
            log.warning("outbound.leases_lapsed", count=released)
        late = await self._store.tell_delays(now)
        if late:
            log.warning("outbound.delayed", count=late)
        unread = await self._store.cancellations.tell_unread(now)
        if unread:
            log.warning("outbound.cancellations_unread", count=unread)
        soon, overdue = await self._store.conversations.tell_due(now)
        if soon:
            log.warning("workflow.answers_due_soon", count=soon)
        if overdue:
            log.error("workflow.answers_overdue", count=overdue)
        given_up = await self._store.give_up(now)
        if given_up:
            log.error("outbound.given_up", count=given_up)

    async def look_at_questions(self) -> None:
        """Raise an alarm for what no EPR answers, and forget reads that are over."""
        unanswered = await self._store.questions.tell_unanswered(self._now())
        if unanswered:
            log.error("epr.questions_unanswered", count=unanswered)

    async def _follow_clock(self) -> None:
        step = self._clock.step()
        if step is not None:
            moved = await self._store.reschedule(timedelta(seconds=step.seconds))
            self._clock.followed(step)
            seconds = round(step.seconds, 3)
            log.warning("clock.stepped", seconds=seconds, count=moved, advice=step.advice)
        recalled = await self._store.recall(self._now(), self._longest_wait)
        if recalled:
            log.warning("outbound.recalled", count=recalled)
