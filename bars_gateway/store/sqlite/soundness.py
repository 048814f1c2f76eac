"""
Soundness on SQLite: a connection of its own that cannot write, a snapshot for each step.

A snapshot that is held for long keeps the write-ahead log from being moved. So the rows are
compared in small steps; only SQLite's own look at a table is one step, as it cannot be divided.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import structlog

from bars_gateway.errors import DatabaseDamaged, StoreError, StoreUnavailable
from bars_gateway.model.readings import Findings, Inspected
from bars_gateway.store.sqlite import Work, inspection, on_raw, open_reader, read_with
from bars_gateway.store.sqlite.inspection import Gap, InspectionStep, Table, lacked

if TYPE_CHECKING:
    import aiosqlite

T = TypeVar("T")
log = structlog.get_logger(__name__)

_REBUILT = "What was hidden goes on now, late. Look at the disk, and at who else opens the file."
_LEFT = "It is tried again. Until then messages are looked for without it, but found late."
_DAMAGED = "bars-gateway verify says what is damaged; a backup that is whole goes back."


class OpenFile(Protocol):
    """What the open database knows of its file, and how it is reached."""

    path: Path
    after_orderly_stop: bool
    left: dict[str, Gap]

    async def write(self, work: Work[T]) -> T:
        """Run *work* in the writer's next transaction."""

    async def read(self, work: Work[T]) -> T:
        """Run *work* on a snapshot."""


class SqliteSoundness:
    """What the gateway knows of its database's file, and does about it."""

    def __init__(self, database: OpenFile, wake: Callable[[], None]) -> None:
        self._database = database
        self._wake = wake
        self._tables: list[Table] = []  # those that are still to be compared
        self._reached: Sequence[object] | None = None  # in the first of them
        self._rows_left = True  # of that table; then its pages are looked at
        self._opened = AsyncExitStack()
        self._reader: aiosqlite.Connection | None = None
        self._broken_off = False

    @property
    def after_orderly_stop(self) -> bool:
        """Whether nothing was written since the gateway was last stopped in order."""
        return self._database.after_orderly_stop

    async def last(self) -> Inspected:
        """Return the last comparison of everything."""
        return await self._database.read(on_raw(inspection.last))

    async def begin(self, now: datetime) -> None:
        """Write down that everything is compared from now on, and start at the first table."""
        await self._noted(on_raw(inspection.begin, now))
        self._tables = await self._database.read(on_raw(inspection.tables))
        self._reached, self._rows_left = None, True

    async def step(self) -> Findings | None:
        """Compare the next rows, and rebuild what lacks some; None: everything has been."""
        if not self._tables:
            return None
        table, after, was_left = self._tables[0], self._reached, self._rows_left
        if was_left:
            found = await self._look(table, on_raw(inspection.step, table, after))
            self._reached, self._rows_left = found.reached, found.reached is not None
        else:
            found = await self._look(table, on_raw(inspection.damage, table.name))
        if found.damage or not was_left:
            self._tables.pop(0)
            self._reached, self._rows_left = None, True
        return await self._dealt_with(found)

    async def _look(self, table: Table, work: Work[InspectionStep]) -> InspectionStep:
        if self._broken_off:
            return InspectionStep(table.name, None, ())
        if self._reader is None:
            self._reader = await self._opened.enter_async_context(open_reader(self._database.path))
        try:
            return await read_with(self._reader, work)
        except DatabaseDamaged as error:
            return InspectionStep(table.name, None, (), [str(error)])
        except StoreError:
            if not self._broken_off:
                raise
            return InspectionStep(table.name, None, ())

    async def _dealt_with(self, found: InspectionStep) -> Findings:
        new = [gap for gap in found.gaps if gap.index not in self._database.left]
        left = [gap for gap in new if not await self._put_right(gap)]
        if found.damage:
            log.error("store.damaged", name=found.table, count=len(found.damage), advice=_DAMAGED)
            places = len(found.damage)
            await self._noted(on_raw(inspection.tell_damage, found.table, places))
        return Findings(
            table=found.table,
            rebuilt=[lacked(gap) for gap in new if gap not in left],
            left=[lacked(gap) for gap in left],
            damaged=len(found.damage),
        )

    async def _noted(self, work: Work[None]) -> None:
        """Write down what is worth less than the look itself, where it can be."""
        with contextlib.suppress(StoreUnavailable):
            await self._database.write(work)

    async def _put_right(self, gap: Gap) -> bool:
        try:
            await self._database.write(on_raw(inspection.rebuild, gap))
        except StoreError as error:
            log.error(
                "store.index_not_rebuilt",
                name=gap.index,
                count=gap.rows,
                reason=str(error),
                advice=_LEFT,
            )
            self._database.left[gap.index] = gap
            await self._noted(on_raw(inspection.note, gap))
            return False
        log.error("store.index_rebuilt", name=gap.index, count=gap.rows, advice=_REBUILT)
        self._database.left.pop(gap.index, None)
        self._wake()  # what it hid may be due
        return True

    async def retry(self) -> None:
        """Try once more what could not be rebuilt."""
        for gap in list(self._database.left.values()):
            await self._put_right(gap)

    @property
    def left(self) -> Sequence[str]:
        """The indexes that lack rows and could not be rebuilt."""
        return [lacked(gap) for gap in self._database.left.values()]

    async def end(self, found: Sequence[str], now: datetime) -> None:
        """Write down that everything was compared, and what was found."""
        await self.close()
        await self._noted(on_raw(inspection.end, found, now))

    async def newest_message(self) -> int:
        """Return the number of the message that was taken last: whether it is quiet."""
        row = await self._database.read(lambda connection: connection.one("newest_message"))
        return int(row[0] or 0) if row else 0

    def break_off(self) -> None:
        """Let a step that runs end at once; the next ones look at nothing."""
        self._broken_off = True
        reader = self._reader._connection if self._reader else None  # noqa: SLF001
        if reader is not None:  # its own `interrupt` is a coroutine
            with contextlib.suppress(
                sqlite3.ProgrammingError
            ):  # its thread has closed it meanwhile
                reader.interrupt()

    async def close(self) -> None:
        """Close what the steps look through."""
        await self._opened.aclose()
        self._reader = None
