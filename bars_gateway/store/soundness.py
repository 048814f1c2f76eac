"""
Whether the database's file is sound: what is known, what is looked at, what is put right.

    orderly stop ─► mark, the last thing that is committed
    start        ─► the mark is taken away, before anything else is written
                    it was there     ─► the doors open at once
                    it was not there ─► what work is found by is compared first
    behind the doors, and every day ─► everything is compared, table by table

A row that an index lacks is there, and nobody finds it (`comparison`). The index is rebuilt,
which is told by an alarm. Where it cannot be, for want of room or because the same bytes were
taken twice meanwhile, the rows that it lacks are noted, and messages are looked for among these
as well. What is damaged otherwise is told, and nothing is done to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """The last comparison of everything."""

    began_at: datetime | None  # None: there was none
    ended_at: datetime | None  # None: it has not, or was broken off
    found: Sequence[str]  # in our words, with names of tables and indexes; empty: all was well


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """How far the file of a running gateway is known to be sound."""

    after_orderly_stop: bool
    waits_since: datetime | None  # since when this start has not compared everything; None: it has
    last: Inspected | None  # the last comparison of this start; None: it has not ended
    left: Sequence[str] = ()  # indexes that lack rows and could not be rebuilt


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What one step found, and what was done about it."""

    table: str
    rebuilt: Sequence[str] = ()  # indexes, and how many rows they lacked
    left: Sequence[str] = ()  # indexes that could not be rebuilt, and why
    damaged: int = 0  # findings that nobody can put right from here

    @property
    def sentences(self) -> Sequence[str]:
        """What is told of it."""
        return [
            *(f"{each} lacked, and rebuilt" for each in self.rebuilt),
            *(f"{each} lacked, and not rebuilt" for each in self.left),
            *([f"{self.table}: {self.damaged} damaged"] if self.damaged else []),
        ]


class Soundness(Protocol):
    """What the gateway knows of its database's file, and does about it."""

    @property
    def after_orderly_stop(self) -> bool:
        """Whether nothing was written since the gateway was last stopped in order."""

    async def last(self) -> Inspected:
        """Return the last comparison of everything."""

    async def begin(self, now: datetime) -> None:
        """Write down that everything is compared from now on, and start at the first table."""

    async def step(self) -> Findings | None:
        """Compare the next rows, and rebuild what lacks some; None: everything has been."""

    async def retry(self) -> None:
        """Try once more what could not be rebuilt."""

    @property
    def left(self) -> Sequence[str]:
        """The indexes that lack rows and could not be rebuilt."""

    async def end(self, found: Sequence[str], now: datetime) -> None:
        """Write down that everything was compared, and what was found."""

    async def newest_message(self) -> int:
        """Return the number of the message that was taken last: whether it is quiet."""

    def break_off(self) -> None:
        """Let a step that runs end at once; the next ones look at nothing."""

    async def close(self) -> None:
        """Close what the steps look through."""
