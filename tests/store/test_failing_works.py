"""Works that fail as nobody foresaw: who is told, and that nobody is left waiting for ever."""

import asyncio
import gc
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path
from typing import Any

import pytest

from bars_gateway.errors import StoreUnavailable
from bars_gateway.store.connection import Connection, Database
from bars_gateway.store.sqlite.database import open_database

pytestmark = pytest.mark.unrehearsed  # what is planned for a work happens once
SECONDS = 20  # whoever waits for ever fails


class PanicError(BaseException):
    """What a library in another language raises where it gives up: nothing of ours catches it."""


def stop(_connection: Connection) -> None:
    raise StopIteration


def panic(_connection: Connection) -> None:
    raise PanicError


def last_line(connection: Connection) -> int:
    found = connection.one("newest_event")
    return int(found["id"] or 0) if found else 0


async def ends(*waiting: Awaitable[Any]) -> list[Any]:
    async with asyncio.timeout(SECONDS):
        return await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize("place", [0, 1])
async def test_a_work_that_raises_what_no_future_takes_fails_alone(
    database: Database, place: int
) -> None:
    """`next` of nothing raises StopIteration, which cannot be handed on as it is."""
    works: list[Callable[[Connection], Any]] = [last_line]
    works.insert(place, stop)
    outcomes = await ends(*map(database.write, works))

    assert RuntimeError is type(outcomes.pop(place))
    assert [0] == outcomes
    assert [0] == await ends(database.write(last_line))


async def test_a_look_that_raises_what_no_future_takes_fails(database: Database) -> None:
    """So it is for what only reads, and the next look is answered."""
    outcomes = await ends(database.read(stop), database.read(last_line))

    assert [RuntimeError, int] == list(map(type, outcomes))


async def test_everybody_is_told_where_nobody_can_commit_any_more(
    empty_database: Callable[[], AbstractAsyncContextManager[Database]],
) -> None:
    """Who is of that group, who waits behind it, and who still asks while all else ends."""
    told: list[Any] = []
    asked: list[asyncio.Task[None]] = []
    begun = asyncio.Event()

    async def ask_at_the_end(database: Database) -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            told.extend(await ends(database.write(last_line)))

    async def ask(database: Database) -> None:
        await begun.wait()
        told.extend(await ends(*map(database.write, [last_line, panic, last_line])))

    async def work() -> None:
        async with empty_database() as database, asyncio.TaskGroup() as group:
            group.create_task(ask_at_the_end(database))
            asked.append(asyncio.create_task(ask(database)))

    with pytest.raises(PanicError):
        await work()
    await ends(*asked)

    assert [StoreUnavailable] * 4 == list(map(type, told))


@pytest.mark.of_sqlite
async def test_who_waits_no_longer_for_an_empty_log_leaves_nothing_to_say(tmp_path: Path) -> None:
    """A gateway that stops while a reader holds the log writes no traceback of it."""
    path = tmp_path / "gateway.db"
    said: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: said.append(context))
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        async with open_database(path) as database:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM events").fetchall()
            asking = asyncio.create_task(database.empty_log())
            await database.write(last_line)
            asking.cancel()
            await asyncio.wait([asking])
    del database, asking
    gc.collect()

    assert [] == said


@pytest.mark.of_sqlite
async def test_who_waits_for_an_empty_log_is_told_as_well(tmp_path: Path) -> None:
    """A reader holds it, so that it is never emptied before nobody commits any more."""
    path = tmp_path / "gateway.db"
    waiting: list[asyncio.Task[None]] = []

    async def work() -> None:
        reader = sqlite3.connect(path, isolation_level=None)
        async with open_database(path) as database:
            with closing(reader):
                reader.execute("BEGIN")
                reader.execute("SELECT * FROM events").fetchall()
                waiting.append(asyncio.create_task(database.empty_log()))
                await database.write(last_line)
                waiting.append(asyncio.create_task(database.write(panic)))
                await asyncio.Event().wait()

    with pytest.raises(PanicError):
        await work()
    outcomes = await ends(*waiting)

    assert [StoreUnavailable] * 2 == list(map(type, outcomes))
