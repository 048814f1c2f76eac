"""
Which gateways work on one database, and what one of them alone may do at a time.

    each second ─► I am here ─► who else is ─► what I may do alone      (`store.postgresql.nodes`)

    want("purge") ─► holds("purge") ─ yes ─► do a little, ask again
                                     └ no ─► another living node does it

A lease is wanted for good and asked for before each step: one node at most holds it. It passes to
another within seconds once its holder is gone, stands still, or has lost its way to the server; by
then the holder has told itself that it holds nothing. So a step has to be short (seconds), or to be
such that it may be done twice.

Where the database is a file there is one gateway, and it may do everything (`OnlyNode`).

Decisions: D-several-nodes.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any, Protocol

from bars_gateway.model.nodes import Node

# What time does, and what looks beyond the database on its behalf: not for two at once.
HOUSEKEEPING = "housekeeping"
_LOOKED_AT_EACH = 0.25  # seconds, whether a lease is held
Run = Callable[[], Coroutine[Any, Any, None]]
Clock = Callable[[], datetime]
Tell = Callable[[str], None]
Heard = Callable[[Sequence[str] | None], None]


class Nodes(Protocol):
    """The gateways that share one database, as one of them sees the others."""

    @property
    def several(self) -> bool:
        """Whether there may be others."""

    @property
    def tell(self) -> Tell | None:
        """What wakes whoever waits for something of that name on the others; None: nobody does."""

    def hear(self, heard: Heard, /) -> None:
        """Let *heard* be called with what others tell; None: something may have been missed."""

    def clock(self, wall: Clock, /) -> Clock:
        """Return the clock that all of them go by; *wall*: this machine's own."""

    def want(self, lease: str, /) -> None:
        """Take that lease whenever it is free, from now on."""

    def holds(self, lease: str, /) -> bool:
        """Tell whether this node alone may now do what that lease is for; it was wanted before."""

    def attend(self, provider: str, now: datetime, /) -> None:
        """Let the others know that *provider*'s EPR has asked for questions here."""

    def attended(self, provider: str, /) -> datetime | None:
        """Return when *provider*'s EPR last asked for questions at another living node."""

    def listed(self) -> Sequence[Node]:
        """Return those that there are, this one included, by their names; none where it is one."""

    def living(self) -> Sequence[str]:
        """Return the names of those that are not away, this one included; none where it is one."""

    def dead(self) -> Sequence[str]:
        """Return the names of those whose process, or machine, is gone."""


class OnlyNode:
    """The one gateway of its database: nobody is told, and nobody is in its way."""

    several = False
    tell: Tell | None = None

    def hear(self, _heard: Heard) -> None:
        """Do nothing: there is nobody to hear of."""

    def clock(self, wall: Clock) -> Clock:
        """Return the machine's own."""
        return wall

    def want(self, _lease: str) -> None:
        """Do nothing: it is there already."""

    def holds(self, _lease: str) -> bool:
        """Return True."""
        return True

    def attend(self, _provider: str, _now: datetime) -> None:
        """Do nothing."""

    def attended(self, _provider: str) -> datetime | None:
        """Return None."""
        return None

    def listed(self) -> Sequence[Node]:
        """Return none."""
        return ()

    def living(self) -> Sequence[str]:
        """Return none."""
        return ()

    def dead(self) -> Sequence[str]:
        """Return none: what its last run was sending is taken back at its start."""
        return ()


def others_live(nodes: Nodes) -> bool:
    """Tell whether another node is at work, too: then a start of this one begins nothing afresh."""
    return any(not each.is_this and not each.is_away for each in nodes.listed())


def folder_lease(provider: str) -> str:
    """Return by which lease one node gives *provider*'s EPR notices and questions in a folder."""
    return f"folder {provider}"


def wanting(nodes: Nodes, lease: str) -> Callable[[], bool]:
    """Want *lease* from now on; return what tells whether this node holds it."""
    nodes.want(lease)
    return lambda: nodes.holds(lease)


async def while_held(
    nodes: Nodes,
    lease: str,
    run: Run,
    stopping: Callable[[], bool],
    waits: Callable[[], None] = lambda: None,
) -> None:
    """
    Run it while this node holds *lease*, and again each time that it gets it back.

    Returns once it has ended by itself, or nothing runs and *stopping* says so; raises what it
    raises. It is cancelled where the lease is lost: what it promises, it keeps in the store.
    *waits* is called now and then while another node has it.
    """
    if not nodes.several:
        return await run()
    nodes.want(lease)
    while not stopping():
        if not nodes.holds(lease):
            waits()
            await asyncio.sleep(_LOOKED_AT_EACH)
        elif await _ends_while_held(nodes, lease, run):
            return None
    return None


async def _ends_while_held(nodes: Nodes, lease: str, run: Run) -> bool:
    """Return whether it has ended, and not the lease."""
    try:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(run(), name=f"while-held-{lease}")
            while not running.done() and nodes.holds(lease):
                await asyncio.wait({running}, timeout=_LOOKED_AT_EACH)
            running.cancel()
    except BaseExceptionGroup as errors:
        # One error is that error: the group is our doing and says nothing to a reader.
        raise (errors.exceptions[0] if len(errors.exceptions) == 1 else errors) from None
    return not running.cancelled()
