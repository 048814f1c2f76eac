"""
The engine: SQLite, with all that is its own, as the file, its checks, its backups and restores.

    work ──► SqliteConnection ──► sqlite3      statements by name; the errors of `store.connection`

Nothing outside this room imports an engine's library.
"""

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import aiosqlite

from bars_gateway.errors import (
    DatabaseDamaged,
    DatabaseHeld,
    DatabaseUnfit,
    RowRefused,
    StorageFull,
    StoreError,
    StoreUnavailable,
    for_a_future,
)
from bars_gateway.keyring import CLEAR, Vault
from bars_gateway.store import migrating
from bars_gateway.store.statements import SQLITE, statements_of

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")

_TOLD_AS: tuple[tuple[set[int], type[StoreError], str], ...] = (
    (
        {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ},
        StoreUnavailable,
        "the database could not be read",
    ),
    ({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}, StorageFull, "the database could not write"),
    # SQLITE_LOCKED is of a connection's own: that would be our fault, and is none of these.
    ({sqlite3.SQLITE_BUSY}, DatabaseHeld, "another program holds the database"),
    # A file system that became read-only; a file that was moved, or cannot be opened any more.
    (
        {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL},
        StoreUnavailable,
        "the database is out of reach",
    ),
    (
        {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB},
        DatabaseDamaged,
        "the database is damaged",
    ),
    ({sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH}, RowRefused, "the database refused"),
)
_NO_TEXT = "Could not decode to UTF-8"  # as Python says it, with no code of SQLite's
VERSION = sqlite3.sqlite_version_info
OLDEST = (3, 39, 0)  # the first that knows IS NOT DISTINCT FROM
_changed: Callable[[sqlite3.Cursor], int] = attrgetter("rowcount")


_STATEMENTS: Mapping[str, str] = statements_of(SQLITE)


class FileConnection(sqlite3.Connection):
    """A connection that knows how what is stored in its file is encrypted."""

    vault: Vault = CLEAR


class SqliteConnection:
    """The `Connection` of works on SQLite."""

    __slots__ = ("raw",)

    def __init__(self, raw: sqlite3.Connection) -> None:
        self.raw = raw  # for what is SQLite's own: its file, its checks, a restore

    @property
    def vault(self) -> Vault:
        """What encrypts, and opens what was encrypted."""
        return getattr(self.raw, "vault", CLEAR)

    def run(self, statement: str, /, **values: object) -> int:
        """Run *statement*; return how many rows it changed."""
        return self._ask(_changed, statement, values)

    def put(self, statement: str, /, **values: object) -> None:
        """Run *statement*."""
        self._ask(_changed, statement, values)

    def one(self, statement: str, /, **values: object) -> sqlite3.Row | None:
        """Run *statement* and return its first row, or None."""
        found: sqlite3.Row | None = self._ask(sqlite3.Cursor.fetchone, statement, values)
        return found

    def rows(self, statement: str, /, **values: object) -> list[Any]:
        """Run *statement* and return its rows."""
        return self._ask(sqlite3.Cursor.fetchall, statement, values)

    def inserted(self, statement: str, /, **values: object) -> int:
        """Run an INSERT … RETURNING id and return the id."""
        (number,) = self._ask(sqlite3.Cursor.fetchone, statement, values)
        return int(number)

    def _ask(
        self, take: Callable[[sqlite3.Cursor], T], statement: str, values: Mapping[str, object]
    ) -> T:
        try:
            return take(self.raw.execute(_STATEMENTS[statement], values))
        except sqlite3.Error as error:
            if _meets_no_text(error):
                self.raw.text_factory = _as_far_as_it_is_one
            raise translated(error) from error

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what the block did, and that alone, where it raises."""
        self._say("SAVEPOINT alone")
        done = False
        try:
            yield
            done = True
        finally:
            # A full disk ends the whole transaction by itself: then there is nothing to undo.
            if not done and self.raw.in_transaction:
                self._say("ROLLBACK TO alone")
            if done or self.raw.in_transaction:
                self._say("RELEASE alone")

    def _say(self, sql: str) -> None:
        try:
            self.raw.execute(sql)
        except sqlite3.Error as error:
            raise translated(error) from error


Work = Callable[[SqliteConnection], T]


def on_raw(
    work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
) -> Work[T]:
    """Return *work*, which is about SQLite's own file, as one for a `Database`, by its name."""

    def named(connection: SqliteConnection) -> T:
        return work(connection.raw, *args, **kwargs)

    named.__name__ = work.__name__
    return named


def translated(error: Exception) -> Exception:
    """Return SQLite's error as one that works and callers know; any other as it is."""
    if not isinstance(error, sqlite3.Error):
        return for_a_future(error)
    says = words_of(error)
    if _meets_no_text(error):
        return DatabaseDamaged(f"the database is damaged: {says}")
    if "transaction was lost" in says:
        return StorageFull(f"the database could not write: {says}")
    code = getattr(error, "sqlite_errorcode", 0)
    for codes, told, what in _TOLD_AS:
        if not codes.isdisjoint({code, code & 0xFF}):
            return told(f"{what}: {says}")
    return StoreError(f"the database refused: {says}")


def words_of(error: sqlite3.Error) -> str:
    """Return what SQLite says of *error*; of a text that is none the column, and not the text."""
    return str(error).partition(" with text ")[0]


def _meets_no_text(error: sqlite3.Error) -> bool:
    """Tell whether a disk has spoilt a text so that it is no UTF-8."""
    return str(error).startswith(_NO_TEXT)


# Once a connection has met such a text: it is not to hide all that is listed beside it. Bytes of a
# message are held against their digest.
_as_far_as_it_is_one = partial(str, encoding="utf-8", errors="replace")


def require_fit() -> None:
    """Raise DatabaseUnfit where the SQLite of this Python does not know our statements."""
    if VERSION < OLDEST:
        raise DatabaseUnfit(
            f"this Python has SQLite {_dotted(VERSION)}, which is too old",
            f"Take a Python with SQLite {_dotted(OLDEST)} or later: Debian 12 has one.",
        )


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def read_only(path: Path) -> str:
    """Return the URI under which SQLite opens *path* and never writes to it."""
    return f"{path.absolute().as_uri()}?mode=ro"


def keyed(vault: Vault, *args: Any, **kwargs: Any) -> FileConnection:
    """Connect as sqlite3 does, with what encrypts and opens what is stored there."""
    connection = FileConnection(*args, **kwargs)
    connection.vault = vault
    return connection


def connector(
    path: Path, busy_seconds: float, vault: Vault = CLEAR
) -> Callable[[], sqlite3.Connection]:
    """Return what opens the connection that writes."""

    def connect() -> sqlite3.Connection:
        connection = keyed(
            vault, path, timeout=busy_seconds, isolation_level=None, cached_statements=512
        )
        connection.row_factory = sqlite3.Row
        return connection

    return connect


@asynccontextmanager
async def open_reader(path: Path, vault: Vault = CLEAR) -> AsyncIterator[aiosqlite.Connection]:
    """Open *path* for reading only; a running gateway is not disturbed; it raises StoreError."""
    require_fit()
    opened = aiosqlite.connect(
        read_only(path),
        uri=True,
        isolation_level=None,
        cached_statements=512,
        factory=partial(keyed, vault),
    )
    async with AsyncExitStack() as stack:
        try:
            connection = await stack.enter_async_context(opened)
            connection.row_factory = sqlite3.Row
            await connection.execute("PRAGMA query_only = ON")
            await connection.execute("PRAGMA busy_timeout = 5000")
            await _on(connection, require_known, path)
        except sqlite3.Error as error:
            raise translated(error) from None
        yield connection


def require_known(connection: sqlite3.Connection, path: Path) -> None:
    """Raise DatabaseNewer where a later release has written what *connection* is open to."""
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    if schema > migrating.newest(migrating.SQLITE):
        try:
            found = connection.execute(migrating.LAST_START).fetchone()
        except sqlite3.Error:  # it may have no such table any more
            found = None
        raise migrating.later(migrating.SQLITE, str(path), schema, str(found[0]) if found else None)


async def read_with(reader: aiosqlite.Connection, work: Work[T]) -> T:
    """Run *work* on *reader*, on one snapshot; raise StoreError where SQLite says no."""
    return await _on(reader, _snapshot, work)


async def _on(
    reader: aiosqlite.Connection, done: Callable[[sqlite3.Connection, S], T], given: S
) -> T:
    """Return what *done* returns on the thread of *reader*."""
    return await reader._execute(done, reader._conn, given)  # type: ignore[no-any-return,no-untyped-call] # noqa: SLF001


def _snapshot(connection: sqlite3.Connection, work: Work[T]) -> T:
    try:
        connection.execute("BEGIN")
        try:
            return work(SqliteConnection(connection))
        finally:
            # A disk that fails ends the transaction by itself: then there is nothing to end.
            if connection.in_transaction:
                connection.execute("COMMIT")
    except (sqlite3.Error, StopIteration) as error:
        raise translated(error) from None
