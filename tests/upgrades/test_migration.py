"""
A later schema is taken on by a database that a release has left, whole or not at all.

One that is made up fills columns and dies at each of its steps; the real ones are tried by what is
found afterwards.
"""

import asyncio
import contextlib
import shutil
import signal
import sqlite3
import sys
import tarfile
from pathlib import Path
from typing import Any

import engines
import pytest
from dying_migration import STEPS, one_more
from kept_release import KEPT, make, released, take_out
from typed import settings_text, typed

from bars_gateway.errors import DatabaseNewer
from bars_gateway.store import migrating
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.statements import SQLITE, statements_of

LAUNCHER = Path(__file__).parent.parent / "support" / "dying_migration.py"
pytestmark = pytest.mark.both_engines


@pytest.fixture(scope="session")
def left() -> dict[str, Path]:
    """Return the database that was left, once one is there."""
    return {}


@pytest.fixture
async def database(left: dict[str, Path], todays: Path, tmp_path: Path) -> Path:
    """Return a copy of what the last release has left, brought to the schema of now."""
    if not left:
        kept = KEPT / released()[-1] if released() else todays
        if not kept.exists():
            await make(kept)
        folder = todays.parent / "left"
        with tarfile.open(kept / "ambulance.tar.xz") as archive:
            take_out(archive, folder)
        left["as it was"] = folder / "ambulance" / "state" / "gateway.db"
        left["database"] = folder / "now.db"
        shutil.copy(left["as it was"], left["database"])
        async with open_database(left["database"]):
            pass
    path = tmp_path / "gateway.db"
    shutil.copy(left["database"], path)
    if engines.on_server():
        await copied_to_server(path, tmp_path)
    return path


async def copied_to_server(path: Path, folder: Path) -> None:
    """Let the server's database that stands for *path* hold what is in it."""
    (folder / "state").mkdir()
    (folder / "gateway.toml").write_text(
        settings_text(folder, rest=f'[inbound]\nenabled = false\n[store]\npath = "{path}"\n'),
        "utf-8",
    )
    config = ("--config", str(folder / "gateway.toml"))
    done = await asyncio.to_thread(typed, "store", "copy", "--to", engines.url_of(path), *config)
    assert done.code == 0, done.err


async def killed(path: Path, step: int) -> int:
    """Open it with one migration more, and die before that step; return how that ended."""
    where = engines.url_of(path) if engines.on_server() else str(path)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(LAUNCHER), str(step), where),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    print(printed.decode())
    return process.returncode or 0


async def migrated(path: Path) -> None:
    """Open it with one migration more."""
    with one_more(migrating.POSTGRESQL if engines.on_server() else migrating.SQLITE):
        async with engines.opened(path):
            pass


def schema(path: Path) -> int:
    sql = "SELECT number FROM schema_version" if engines.on_server() else "PRAGMA user_version"
    ((number,),) = engines.ask(path, sql)
    return int(number)


def is_there(path: Path) -> list[bool]:
    """Tell of table, column and index of the later schema whether they are there."""
    if engines.on_server():
        asked = (
            "SELECT count(*) FROM pg_tables WHERE tablename = 'later'",
            "SELECT count(*) FROM information_schema.columns WHERE column_name = 'later'",
            "SELECT count(*) FROM pg_indexes WHERE indexname = 'messages_by_later'",
        )
    else:
        asked = (
            "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'later'",
            "SELECT count(*) FROM pragma_table_info('messages') WHERE name = 'later'",
            "SELECT count(*) FROM sqlite_schema WHERE name = 'messages_by_later'",
        )
    return [bool(engines.ask(path, sql)[0][0]) for sql in asked]


def held(path: Path) -> list[tuple[Any, ...]]:
    """Return what is held of messages, of the old columns."""
    return engines.ask(path, "SELECT id, request_id, state, fingerprint FROM messages ORDER BY id")


@pytest.mark.parametrize("step", [1, 3, STEPS - 2, STEPS - 1, STEPS])
async def test_a_migration_that_is_killed_is_done_whole_or_not_at_all(
    database: Path, step: int
) -> None:
    """The next start does it, and every message is there as it was."""
    before, old = held(database), schema(database)
    ended = await killed(database, step)
    then = (schema(database), is_there(database))
    await migrated(database)

    assert -signal.SIGKILL == ended
    assert then == ((old + 1, [True] * 3) if step == STEPS else (old, [False] * 3))
    assert (old + 1, [True] * 3) == (schema(database), is_there(database))
    assert before == held(database) != []


async def test_a_migration_fills_what_it_adds(database: Path) -> None:
    """For each message that was there; and the program before it leaves all of that alone."""
    filled = "SELECT count(*), sum(CASE WHEN later = state THEN 1 ELSE 0 END) FROM messages"
    await migrated(database)
    ((messages, of_them),) = engines.ask(database, filled)
    with pytest.raises(DatabaseNewer, match=f"schema {schema(database)}"):
        async with engines.opened(database):
            pass

    assert messages == of_them > 0


@pytest.mark.of_sqlite
async def test_a_conversation_is_found_as_it_was(database: Path, left: dict[str, Path]) -> None:
    """Each message is found by its X-Correlation-Id, where there is an index of few no less."""
    all_of_them = "SELECT correlation_id, id FROM messages ORDER BY id"
    with contextlib.closing(sqlite3.connect(left["as it was"])) as before:
        known = before.execute(all_of_them).fetchall()
    named = statements_of(SQLITE)["numbers_named"]
    with contextlib.closing(sqlite3.connect(database)) as now:
        found = [
            (talk, number)
            for talk in dict(known)
            for (number,) in now.execute(named, {"named": talk, "number": None, "limit": 100})
        ]

    assert sorted(known) == sorted(found) != []
