"""
One public method of the store is one transaction: what it does is a function over a connection.

    @reads   def queue(self, connection, …)     on a snapshot of its own, and changes nothing
    @writes  def collect(self, connection, …)   in the writer's next transaction, all or nothing

Whoever calls such a method leaves the connection out and awaits the rest. It returns after its
changes are on disk, and not before; a caller can neither begin a transaction nor forget to end
one. A caller that is cancelled stops waiting: its change is made or not made, never half.

    @promises                  above it: refused beforehand where there is too little room
    @wakes(WakeUps.…)          above it: somebody is woken afterwards

What depends on more is an async method as any other, around a private one that is decorated.
"""

import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, TypeVar

from bars_gateway.errors import StorageFull
from bars_gateway.store.connection import Connection
from bars_gateway.store.database import Database
from bars_gateway.store.wake_ups import WakeUps

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Shared:
    """What the nouns of one open store have in common."""

    database: Database
    wake_ups: WakeUps
    minimum_free_bytes: int

    def refuse_when_full(self) -> None:
        """Raise StorageFull where there is too little room to promise anything (D-free-space)."""
        full = self.too_little_room()  # what was refused lately may pass now
        if full is not None:
            raise full

    def too_little_room(self) -> StorageFull | None:
        """Return how much room there is, and how much is asked for; None: there is enough."""
        path = self.database.path
        disk = os.statvfs(path.parent)
        free = disk.f_bavail * disk.f_frsize
        if free >= self.minimum_free_bytes:
            return None
        return StorageFull(
            f"{free} bytes are free beside {path.name};"
            f" store.minimum_free_bytes asks for {self.minimum_free_bytes}"
        )


class Noun:
    """What can be done with one thing that the store keeps. Each method is one transaction."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._database = shared.database
        self._wake_ups = shared.wake_ups


N = TypeVar("N", bound=Noun)
Work = Callable[Concatenate[N, Connection, P], T]
Method = Callable[Concatenate[N, P], Coroutine[Any, Any, T]]


def reads(work: Work[N, P, T]) -> Method[N, P, T]:
    """Let *work* be a method that reads on a snapshot of its own; it raises StoreError."""

    async def method(noun: N, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await noun._database.read(  # noqa: SLF001 # the other half of Noun
            lambda connection: work(noun, connection, *args, **kwargs)
        )

    return _named_as(work, method)


def writes(work: Work[N, P, T]) -> Method[N, P, T]:
    """Let *work* be a method that returns once what it wrote is on disk; it raises StoreError."""

    async def method(noun: N, /, *args: P.args, **kwargs: P.kwargs) -> T:
        def transaction(connection: Connection) -> T:
            return work(noun, connection, *args, **kwargs)

        transaction.__name__ = work.__name__
        return await noun._database.write(transaction)  # noqa: SLF001 # the other half of Noun

    return _named_as(work, method)


def promises(method: Method[N, P, T]) -> Method[N, P, T]:
    """Let *method* raise StorageFull where there is too little room to promise anything."""

    async def guarded(noun: N, /, *args: P.args, **kwargs: P.kwargs) -> T:
        noun._shared.refuse_when_full()  # noqa: SLF001 # the other half of Noun
        return await method(noun, *args, **kwargs)

    return _named_as(method, guarded)


def wakes(
    wake: Callable[[WakeUps], None], *, if_any: bool = False
) -> Callable[[Method[N, P, T]], Method[N, P, T]]:
    """Let a method wake somebody after its commit; *if_any*: where it returns a count, and some."""

    def waking(method: Method[N, P, T]) -> Method[N, P, T]:
        async def woken(noun: N, /, *args: P.args, **kwargs: P.kwargs) -> T:
            done = await method(noun, *args, **kwargs)
            if done or not if_any:
                wake(noun._wake_ups)  # noqa: SLF001 # the other half of Noun
            return done

        return _named_as(method, woken)

    return waking


def _named_as(work: Callable[..., Any], method: Method[N, P, T]) -> Method[N, P, T]:
    update_wrapper(method, work)
    del method.__wrapped__  # type: ignore[attr-defined] # its signature has the connection
    return method
