"""
Works that wait at the same time share one transaction, whatever the engine (D-group-commit).

    write(work) ─┐
    write(work) ─┼─► a group ─► the engine's one transaction ─► each caller's result
    write(work) ─┘

Nobody waits for company: while one group commits, the next gathers.

Whoever commits them does so within `served`. Where that ends before its time, by an error that is
no work's own or because all else ends, everybody who waits is told at once, and who comes later,
too: nobody is left waiting for a thread that will never come round again. What ended it goes on to
end the process.

Decisions: D-group-commit.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from bars_gateway.errors import NOTHING_LOST, StoreError, StoreUnavailable
from bars_gateway.frozen import frozen

C = TypeVar("C")
T = TypeVar("T")


@frozen
class WorkResult:
    """What became of one work: what it returned, or why it came to nothing."""

    value: object = None
    error: Exception | None = None


@frozen
class GroupEnd:
    """What became of a group of works."""

    results: Sequence[WorkResult]
    seconds: float  # from its beginning on
    flush_seconds: float | None = None  # of its COMMIT; None: it came to none
    changed: bool = False  # something: each second there are some that had nothing to do


class Gathering(Generic[C]):
    """The works that wait for the next group. Each is a function of the engine's connection."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[tuple[Callable[[C], Any], asyncio.Future[Any]]] = deque()
        self._taken: Group[C] = Group([])  # the group that is being committed
        self._gathered = asyncio.Event()
        self.closing = False
        self._broken_off = False

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def is_over(self) -> bool:
        """Whether nothing waits, and nothing will any more."""
        return self.closing and not self._waiting

    async def done(self, work: Callable[[C], T]) -> T:
        """Let *work* be in the next group; return what it returned, once that is on disk."""
        if self._broken_off:
            raise broken_off()
        if self.closing:
            raise StoreError("the database is closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        self._gathered.set()
        return await future

    def rouse(self) -> None:
        """Let whoever waits for something to do look again."""
        self._gathered.set()

    def close(self) -> None:
        """Take no further work; what waits is still committed."""
        self.closing = True
        self._gathered.set()

    @contextmanager
    def served(self) -> Iterator[None]:
        """Commit groups in the block; whoever still waits when that has ended is told so."""
        try:
            yield
        finally:
            self._broken_off = not self.is_over
            for group in (self._taken, Group(self._waiting)):
                group.settle([WorkResult(error=broken_off()) for _ in group.works])
            self._waiting.clear()

    async def wait_for_work(self, seconds: float | None) -> None:
        """Return when there is something to do, or after *seconds*."""
        try:
            async with asyncio.timeout(seconds):
                await self._gathered.wait()
        except TimeoutError:
            return

    async def take(self) -> "Group[C]":
        """Return the works of the next group: none, where it was something else."""
        await asyncio.sleep(0)  # whom the last group has freed may have more for this one
        group = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._limit))]
        if not self._waiting and not self.closing:
            self._gathered.clear()
        self._taken = Group(group)
        return self._taken


class Group(Generic[C]):
    """Works of one transaction, and who waits for each."""

    def __init__(self, works: Sequence[tuple[Callable[[C], Any], asyncio.Future[Any]]]) -> None:
        self._works = works

    def __bool__(self) -> bool:
        return bool(self._works)

    @property
    def works(self) -> list[Callable[[C], Any]]:
        """The works, in the order in which they came."""
        return [work for work, _ in self._works]

    def settle(self, results: Sequence[WorkResult]) -> None:
        """Tell each caller what became of its work; who was cancelled, or told, waits no more."""
        for (_, future), result in zip(self._works, results, strict=True):
            if future.done():
                continue
            if result.error is not None:
                future.set_exception(result.error)
            else:
                future.set_result(result.value)


def broken_off() -> StoreUnavailable:
    """Return what those are told who still wait when nobody commits any more."""
    return StoreUnavailable(
        "nothing is written any more: the gateway ends",
        "Why it ends is in the last lines of its log. The service manager starts it again, and"
        f" whether this was stored is found then. {NOTHING_LOST}",
    )
