"""
The file as one end of a copy between the engines (`store.copying`): held by its lock.

A trigger cannot be switched off here. So, within the transaction of each batch, those of the table
are dropped and made again by their own text: nobody ever sees the file without them.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bars_gateway import permissions
from bars_gateway.errors import DatabaseDamaged, StoreError
from bars_gateway.keyring import CLEAR, Vault
from bars_gateway.store.copying import NUMBERED, Rows
from bars_gateway.store.migrating import SQLITE, newest
from bars_gateway.store.sqlite import SqliteConnection, connector, translated
from bars_gateway.store.sqlite.database import (
    BUSY_SECONDS,
    PRAGMAS,
    migrate,
)
from bars_gateway.store.sqlite.inspection import mark
from bars_gateway.store.sqlite.integrity import examine, examined, reading
from bars_gateway.store.sqlite.lock import DatabaseLock, take_lock

_OF_EACH_CONNECTION = ("PRAGMA foreign_keys = ON", "PRAGMA synchronous = FULL")


class CopiedFile:
    """A database file as source or target. Get one from `hold_file`."""

    def __init__(
        self, path: Path, raw: sqlite3.Connection, lock: DatabaseLock, vault: Vault
    ) -> None:
        self.path, self.raw, self._lock, self._vault = path, raw, lock, vault
        self.name = str(path.absolute())
        self.newest = newest(SQLITE)
        self.connection = SqliteConnection(raw)

    def schema(self) -> int:
        """Return its schema's number; 0: it has no tables yet."""
        return int(self.ask("PRAGMA user_version")[0][0])

    def tables(self) -> Sequence[str]:
        """Return the names of all tables that are there."""
        return [name for (name,) in self.ask(_TABLES)]

    def ask(self, sql: str, *values: object) -> Rows:
        """Run *sql*; return its rows."""
        with self._told():
            return [tuple(row) for row in self.raw.execute(sql, values)]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Run the block in one transaction."""
        self.ask("BEGIN IMMEDIATE")
        done = False
        try:
            yield
            self.ask("COMMIT")
            done = True
        finally:
            if not done and self.raw.in_transaction:
                self.ask("ROLLBACK")

    def columns(self, table: str) -> Sequence[str]:
        """Return the names of its columns."""
        return [name for (name,) in self.ask("SELECT name FROM pragma_table_info(?)", table)]

    def put(self, table: str, columns: Sequence[str], rows: Rows) -> None:
        """Insert *rows*, and let no trigger act on them."""
        triggers = self.ask(_TRIGGERS, table)
        for name, _ in triggers:
            self.ask(f"DROP TRIGGER {name}")
        names, places = ", ".join(f'"{name}"' for name in columns), ", ".join("?" * len(columns))
        with self._told():
            self.raw.executemany(
                f"INSERT INTO {table} ({names}) VALUES ({places})",  # noqa: S608
                rows,
            )
        for _, sql in triggers:
            self.ask(sql)

    def counters(self) -> Mapping[str, int]:
        """Return the last number that was given, of each table that is numbered."""
        given: dict[str, int] = dict(self.ask("SELECT name, seq FROM sqlite_sequence"))
        return {table: int(given.get(table, 0)) for table in NUMBERED}

    def count_from(self, counters: Mapping[str, int]) -> None:
        """Give no number again up to those."""
        self.ask("DELETE FROM sqlite_sequence")
        for table, last in counters.items():
            if last:
                self.ask("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", table, last)

    def make(self) -> None:
        """Make the tables of this release."""
        with self._told():
            for pragma in PRAGMAS:
                self.raw.execute(pragma)
            migrate(self.raw, self.path)

    def require_alone(self) -> None:
        """Do nothing: whoever works there has the lock, and we have it."""

    def damage(self) -> Sequence[str]:
        """Return what is wrong with its structure: each index, too, is compared with its table."""
        with reading(self.path, vault=self._vault) as connection:
            return examined(connection, contents=False).damage

    def doubts(self) -> Sequence[str]:
        """Return what `verify` finds wrong with what it says."""
        return examine(self.path, self._vault).contradictions

    def end(self) -> None:
        """Note that it was stopped in order, and has been in use."""
        with self._told():
            mark(self.raw, stopped=True)
        self._lock.mark_in_use()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise translated(error) from error
        except UnicodeDecodeError:
            raise DatabaseDamaged(f"{self.path} has a text that cannot be read") from None


_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table'"
_TRIGGERS = (
    "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? ORDER BY rowid"
)


@contextmanager
def hold_file(path: Path, vault: Vault = CLEAR, *, is_target: bool) -> Iterator[CopiedFile]:
    """
    Hold the file at *path*, so that no gateway works on it; a target may be made.

    Raises DatabaseInUse where one does, and StoreError where a source is not there.
    """
    if not is_target and not path.exists():
        raise StoreError(f"there is no database at {path}")
    with ExitStack() as stack:
        lock = take_lock(path, stack)
        permissions.require_database(path, write=True)
        raw = connector(path, BUSY_SECONDS, vault)()
        stack.callback(raw.close)
        raw.text_factory = lambda stored: stored.decode()  # SQLite's own error quotes the text
        held = CopiedFile(path, raw, lock, vault)
        for pragma in _OF_EACH_CONNECTION:
            held.ask(pragma)
        yield held
