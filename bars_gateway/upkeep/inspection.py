"""
Compares everything in the database with its indexes behind the open doors: at a start, and daily.

    start ──► a table after the other, step by step ──► told: page, log, alarm ──► a day later
                                                                        once it is quiet ◄──┘

What is queued and cannot be found is never sent, and nothing else notices it (`store.soundness`).
Before the doors open a start looks only at what work is found by, and only where the last stop
was none. All the rest is looked at here, on a connection that cannot write, with a pause as long
as each step took: neither the writer nor the loop waits for it, and half a processor is left.

Where the process dies, the next start begins at the first table. An index that could not be
rebuilt is tried again every minute, until it is.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from bars_gateway.stopping import pause
from bars_gateway.store.inspection import Inspected, Inspection
from bars_gateway.store.soundness import Soundness

log = structlog.get_logger(__name__)

EVERY = timedelta(days=1)
AT_LATEST = timedelta(hours=6)  # after that: then it is done on a busy day, too
ROUND_SECONDS = 60.0  # it is quiet when no message was taken for so long


class Inspector:
    """Looks at everything, again and again."""

    def __init__(
        self,
        soundness: Soundness,
        now: Callable[[], datetime],
        *,
        monotonic: Callable[[], float],
        round_seconds: float = ROUND_SECONDS,
    ) -> None:
        self._soundness = soundness
        self._now, self._monotonic = now, monotonic
        self._round_seconds = round_seconds
        self._stopping = asyncio.Event()
        self._waits_since: datetime | None = now()
        self._last: Inspected | None = None

    @property
    def inspection(self) -> Inspection:
        """How far the database is known to be sound."""
        return Inspection(
            after_orderly_stop=self._soundness.after_orderly_stop,
            waits_since=self._waits_since,
            last=self._last,
            left=self._soundness.left,
        )

    async def run(self) -> None:
        """Inspect at the start, and then every day, until stopped."""
        try:
            while not self._stopping.is_set():
                await self.inspect()
                await self._until_due()
        finally:
            await self._soundness.close()

    def stop(self) -> None:
        """End at once: the next start begins again."""
        self._stopping.set()
        self._soundness.break_off()

    async def inspect(self) -> None:
        """Compare everything once."""
        began_at = self._now()
        found = [f"{each} lacked, and not rebuilt" for each in self._soundness.left]
        await self._soundness.begin(began_at)
        while not self._stopping.is_set():
            started = self._monotonic()
            findings = await self._soundness.step()
            if findings is None:
                await self._ended(began_at, found)
                return
            found += findings.sentences
            await pause(self._stopping, self._monotonic() - started)

    async def _ended(self, began_at: datetime, found: list[str]) -> None:
        now = self._now()
        await self._soundness.end(found, now)
        self._waits_since = None
        self._last = Inspected(began_at=began_at, ended_at=now, found=found)
        seconds = round((now - began_at).total_seconds(), 1)
        log.info("store.compared", seconds=seconds, count=len(found))

    async def _until_due(self) -> None:
        """Return a day later, once no message came for a while, or when it cannot wait longer."""
        due = self._now() + EVERY
        newest = 0
        while not self._stopping.is_set():
            await pause(self._stopping, self._round_seconds)
            await self._soundness.retry()
            before, newest = newest, await self._soundness.newest_message()
            now = self._now()
            if now >= due + AT_LATEST or (now >= due and newest == before):
                return
