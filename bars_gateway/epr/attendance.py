"""
Whether an EPR takes what it is given: what lies unread for it, and when it was last seen.

    inbox/new ──names──┐
                       ├─► unread, by use case, with age ─► page, metrics
    not collected ─────┘
    what it asks, submits or takes away ─► last seen

A notice that was written into the folder counts as collected, and may lie there for days all
the same, also after the EPR has gone over to the socket. So the folder is looked at: by names
alone, never more than MOST of them, on a thread.
When an EPR was seen is known since the gateway started, and not before.
"""

import asyncio
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from bars_gateway.stopping import pause
from bars_gateway.store.store import Store
from bars_gateway.store.unread import EprCondition

MOST = 100_000  # names in a folder, and notices, that one look takes in
LOOK_SECONDS = 15.0
_NOTICE = re.compile(r"(\d{12,18})\..+", re.ASCII)


class Attendance:
    """What is known of one provider's EPR."""

    def __init__(
        self,
        store: Store,
        *,
        provider: str,
        asks: bool,
        inbox: Path,
        delivers: bool,
        late_after: Callable[[str], timedelta],
        now: Callable[[], datetime],
        look_seconds: float = LOOK_SECONDS,
        most: int = MOST,
    ) -> None:
        """
        Make one.

        *asks*: it is to ask for questions, again and again. *delivers*: notices are written
        into *inbox* for it. Where it asks for those, too, some may lie there from before.
        """
        self.condition = EprCondition(provider=provider, asks=asks)
        self._store = store
        self._inbox = inbox
        self._delivers = delivers
        self._late_after = late_after
        self._now = now
        self._look_seconds = look_seconds
        self._most = most
        self._lay: frozenset[int] = frozenset()
        self._stopping = asyncio.Event()

    def seen(self) -> None:
        """Note that the EPR has done something."""
        self.condition = replace(self.condition, seen_at=self._now())

    def asked(self) -> None:
        """Note that the EPR has asked for questions."""
        self.condition = replace(self.condition, asked_at=self._now(), seen_at=self._now())

    async def run(self, beat: Callable[[], None] = lambda: None) -> None:
        """Look at what lies there until stopped; *beat* at each look."""
        while not self._stopping.is_set():
            beat()
            await self.look()
            await pause(self._stopping, self._look_seconds)

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()

    async def look(self) -> None:
        """Look once at what lies there."""
        provider = self.condition.provider
        names = await asyncio.to_thread(self._names)
        if names is None:  # its trouble is told by who delivers
            self.condition = replace(self.condition, known=False)
            return
        lying = await asyncio.to_thread(_numbers, names)
        if self._lay - lying and len(names) < self._most:
            self.seen()
        self._lay = lying
        waiting = await self._store.unread.uncollected(provider, self._most)
        numbers = sorted({*waiting, *lying})
        unread = await self._store.unread.by_use_case(
            provider, numbers[: self._most], self._late_after
        )
        more = max(len(numbers), len(names)) >= self._most
        self.condition = replace(self.condition, unread=unread, known=True, more=more)

    def _names(self) -> list[str] | None:
        """Return what lies in the folder, up to so many names; None where it cannot be read."""
        try:
            with os.scandir(self._inbox) as entries:
                return [entry.name for entry in islice(entries, self._most)]
        except FileNotFoundError:
            return None if self._delivers else []
        except OSError:
            return None


def _numbers(names: Sequence[str]) -> frozenset[int]:
    return frozenset(int(found[1]) for name in names if (found := _NOTICE.fullmatch(name)))
