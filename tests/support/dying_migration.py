"""
Opens a database with one migration more than there is, and dies at a step of it.

    python dying_migration.py 3 FILE                 before its third statement
    python dying_migration.py 8 postgresql://…       once it is done

The steps are its statements, one by one, and what the engine adds: the number, and the COMMIT.
"""

import asyncio
import contextlib
import importlib
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from bars_gateway.store import migrating

LATER = """\
CREATE TABLE later (id INTEGER PRIMARY KEY, word TEXT NOT NULL);
ALTER TABLE messages ADD COLUMN later TEXT;
INSERT INTO later (id, word) SELECT id, state FROM messages;
UPDATE messages SET later = state;
CREATE INDEX messages_by_later ON messages (later);
"""
STEPS = 8  # its five statements; number and mark; COMMIT; and all is done


@contextlib.contextmanager
def one_more(engine: str) -> Iterator[None]:
    """Let there be one migration more, for whoever reads them."""

    def all_of(asked: str) -> Mapping[int, str]:
        found = known(asked)
        return {**found, max(found) + 1: LATER} if asked == engine else found

    known = migrating.migrations
    with _knowing(all_of, on_server=engine == migrating.POSTGRESQL):
        yield


@contextlib.contextmanager
def up_to(schema: int) -> Iterator[None]:
    """Let there be the migrations up to that number, as in the release that began with it."""

    def all_of(asked: str) -> Mapping[int, str]:
        return {number: sql for number, sql in known(asked).items() if number <= schema}

    known = migrating.migrations
    with _knowing(all_of, on_server=True):
        yield


@contextlib.contextmanager
def _knowing(all_of: Callable[[str], Mapping[int, str]], *, on_server: bool) -> Iterator[None]:
    readers = ["migrating", "integrity", "chain", "sqlite.database"]
    if on_server:
        readers += ["postgresql.schema", "postgresql.integrity"]
    # All are loaded before one is patched: who is loaded later would keep what it finds there.
    modules = [importlib.import_module(f"bars_gateway.store.{reader}") for reader in readers]
    with contextlib.ExitStack() as stack:
        for module in modules:
            stack.enter_context(mock.patch.object(module, "migrations", all_of))
        yield


class Dying:
    """Counts the steps, and dies before one."""

    def __init__(self, at: int) -> None:
        self._left = at

    def step(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def statements(script: str) -> list[str]:
    """Return the statements of *script*, in which no text has a semicolon at its line's end."""
    return [part.strip() for part in script.split(";\n") if part.strip()]


async def of_file(path: Path, dying: Dying) -> None:
    from bars_gateway.store.sqlite import database

    class Stepping:
        """A connection that runs the script of the last migration statement by statement."""

        def __init__(self, raw: sqlite3.Connection) -> None:
            self._raw = raw

        def __getattr__(self, name: str) -> Any:
            return getattr(self._raw, name)

        def executescript(self, script: str) -> None:
            if "TABLE later" not in script:
                self._raw.executescript(script)
                return
            for statement in statements(script):
                if not statement.startswith(("BEGIN", "PRAGMA application_id")):
                    dying.step()
                self._raw.execute(statement)
            dying.step()

    migrate = database.migrate
    database.migrate = lambda raw, at: migrate(Stepping(raw), at)  # type: ignore[arg-type]
    async with database.open_database(path):
        pass


async def of_server(url: str, dying: Dying) -> None:
    from bars_gateway.store.postgresql import schema
    from bars_gateway.store.postgresql.database import open_server
    from bars_gateway.store.postgresql.server import ServerAddress

    say = schema.say

    def stepping(raw: Any, sql: str) -> None:
        for statement in statements(sql) if "TABLE later" in sql else [sql]:
            if not statement.startswith("BEGIN"):
                dying.step()
            say(raw, statement)
        if sql == "COMMIT":
            dying.step()

    schema.say = stepping
    async with open_server(ServerAddress(url=url, node="here")):
        pass


def main() -> None:
    at, where = int(sys.argv[1]), sys.argv[2]
    if "://" in where:
        with one_more(migrating.POSTGRESQL):
            asyncio.run(of_server(where, Dying(at)))
    else:
        with one_more(migrating.SQLITE):
            asyncio.run(of_file(Path(where), Dying(at)))


if __name__ == "__main__":
    main()
