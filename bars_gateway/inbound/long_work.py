"""
Reads, judges and writes what is long, beside the loop: only what can still be answered in time.

    long body ─► a thread is free, and none works for this caller ─► its result
                 else, for half a second at most ─► wait ─► Busy: the caller gets 503 at once

A thread cannot be stopped: it goes on after its caller has heard 408, and the caller's retries
would take one thread after the other. So no caller has more than one, and nobody queues for
longer than leaves time for the work itself.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Final, TypeVar

from bars_gateway.standard.formats import LONG

T = TypeVar("T")

THREADS: Final = 2
WAIT_SECONDS: Final = 0.5
_MOST_WAITING = 8


class Busy(Exception):
    """No thread came free in time: the caller may try again."""


class LongWork:
    """The threads for what is long."""

    def __init__(self, *, threads: int = THREADS, wait_seconds: float = WAIT_SECONDS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="long-work")
        self._free = threads
        self._wait_seconds = wait_seconds
        self._working: set[str] = set()  # the callers for whom a thread works
        self._waiting = 0
        self._changed = asyncio.Event()

    async def run(self, work: Callable[[], T], size: int, caller: str) -> T:
        """Return the result of *work* on a body of *size* bytes; raise Busy where it must wait."""
        if size < LONG:
            return work()
        await self._thread_for(caller)
        running = asyncio.get_running_loop().run_in_executor(self._pool, copy_context().run, work)
        running.add_done_callback(partial(self._ended, caller))
        return await asyncio.shield(running)

    async def _thread_for(self, caller: str) -> None:
        if self._waiting >= _MOST_WAITING:
            raise Busy
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait_seconds):
                while not self._free or caller in self._working:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise Busy from None
        finally:
            self._waiting -= 1
        self._free -= 1
        self._working.add(caller)

    def _ended(self, caller: str, running: "asyncio.Future[T]") -> None:
        """Give the thread back, whether its caller still waits or not."""
        if not running.cancelled():
            running.exception()  # or asyncio would report it as one that nobody saw
        self._free += 1
        self._working.discard(caller)
        self._changed.set()
