"""
The engine for several nodes: PostgreSQL, through psycopg.

    work ──► PostgresConnection ──► psycopg     statements by name; the errors of `store.connection`

Nobody imports this room, or its driver, whose database is a file. Values go in and come out as they
do there: an instant is text, a flag is a number, a sum is a whole number.

A statement that fails takes the whole transaction with it, unless a savepoint stands before it.
The seam promises that after `RowRefused` it goes on: works that rely on it take a savepoint.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.adapt import Loader
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import StrDumper

from bars_gateway.errors import (
    NOTHING_LOST,
    DatabaseAway,
    DatabaseDamaged,
    DatabaseEmpty,
    DatabaseHeld,
    RowRefused,
    StorageFull,
    StoreError,
    StoreUnavailable,
    for_a_future,
)
from bars_gateway.keyring import CLEAR, Vault
from bars_gateway.store import migrating
from bars_gateway.store.postgresql.prepared import (
    MadeRow,
    Prepared,
    Values,
    prepared_of,
    row_with,
)

T = TypeVar("T")
Raw = psycopg.Connection[Any]
_How = Callable[[Prepared, str, Mapping[str, object]], T]
# Its session is over: shut down, taken away, or too long in a transaction, idle or not.
_LEFT = ("08", "57P", "25P03", "25P04")
# By the first letters of SQLSTATE, the longest first (PostgreSQL's manual, appendix A).
_TOLD_AS: tuple[tuple[tuple[str, ...], type[StoreError], str], ...] = (
    (("53100",), StorageFull, "the database server has no room"),
    (("XX001", "XX002"), DatabaseDamaged, "the database is damaged"),
    (("55P03", "57014"), DatabaseHeld, "another program holds the database"),
    (("42P01",), DatabaseEmpty, "no gateway has made its tables there"),
    (("25006",), DatabaseAway, "the database server takes no changes: it is a standby"),
    ((*_LEFT, "53", "58"), DatabaseAway, "the database server is out of reach"),
    (("23", "22", "54"), RowRefused, "the database refused"),
)
# What to do about those at a server: in a file it is something else.
_DONE_THERE: Mapping[type[StoreError], str] = {
    StoreError: "See what the log of the server that `store.url` names says of it, then run"
    " `bars-gateway verify`.",
    StorageFull: f"Make room on the disk of the server that `store.url` names. {NOTHING_LOST}",
    DatabaseHeld: "Another session keeps a lock there, or the server is far too slow: whoever runs"
    " it finds the session in `pg_stat_activity` (psql in a transaction, a dump, a change of a"
    f" table), and ends it, or its transaction. {NOTHING_LOST}",
    DatabaseDamaged: "The log of the server that `store.url` names says where, and `pg_amcheck`"
    " what else is damaged. Stop the gateway, and go back to a backup as `docs/postgresql.md` says:"
    " pg_restore, then `bars-gateway restore`. Do not start with an empty database: every message"
    " that was already received would then be taken a second time.",
}


class _Number(Loader):
    """Reads `numeric`, as sums are, as the number that it is."""

    def load(self, data: bytes | bytearray | memoryview) -> int | float:
        text = bytes(data).decode()
        return int(text) if text.lstrip("-").isdigit() else float(text)


def row_of(cursor: psycopg.Cursor[Any]) -> MadeRow:
    """Return what makes a row of what *cursor* gets."""
    return row_with([column.name for column in cursor.description or ()])


def adapted(raw: Raw) -> Raw:
    """Let *raw* take and give values as works know them."""
    raw.adapters.register_dumper(int, Int8Dumper)
    raw.adapters.register_dumper(bool, Int8Dumper)
    raw.adapters.register_dumper(str, StrDumper)
    raw.adapters.register_loader("numeric", _Number)
    return raw


class PostgresConnection:
    """The `Connection` of works on PostgreSQL."""

    __slots__ = ("_before", "_prepared", "_put", "raw", "vault")

    def __init__(self, raw: Raw, vault: Vault = CLEAR, *, gathers: bool = False) -> None:
        """*gathers*: what is put is not waited for, and whoever ends it all settles that."""
        self.raw = raw
        self.vault = vault  # what encrypts, and opens what was encrypted
        self._put: _How[object] = Prepared.put if gathers else Prepared.ask
        self._prepared: Prepared = prepared_of(raw)
        self._prepared.forget()  # what a transaction has put that came to no end
        self._before = self._prepared.changes

    @property
    def changed(self) -> bool:
        """Whether anything was, of what has run so far."""
        return self._prepared.changes > self._before

    def run(self, statement: str, /, **values: object) -> int:
        """Run *statement*; return how many rows it changed."""
        return self._ask(Prepared.ask, statement, values).count

    def put(self, statement: str, /, **values: object) -> None:
        """Run *statement*; no work looks at what it changes."""
        self._ask(self._put, statement, values)

    def settle(self) -> None:
        """Return once what was put has run; raise the errors of the seam."""
        try:
            self._prepared.settle()
        except psycopg.Error as error:
            close_if_lost(self.raw, error)
            raise translated(error) from error

    def forget(self) -> None:
        """Return once what was put has run or failed, whatever came of it: it is to be undone."""
        self._prepared.forget()

    def one(self, statement: str, /, **values: object) -> Values | None:
        """Run *statement* and return its first row, or None."""
        found = self.rows(statement, **values)
        return found[0] if found else None

    def rows(self, statement: str, /, **values: object) -> list[Any]:
        """Run *statement* and return its rows."""
        try:
            return self._ask(Prepared.ask, statement, values).rows()
        except UnicodeDecodeError:  # the server reads no text that it has kept
            raise DatabaseDamaged("the database is damaged: a text in it is none") from None

    def inserted(self, statement: str, /, **values: object) -> int:
        """Run an INSERT … RETURNING id and return the id."""
        ((number,),) = (found.values() for found in self.rows(statement, **values))
        return int(number)

    def _ask(self, how: _How[T], statement: str, values: Mapping[str, object]) -> T:
        try:
            return how(self._prepared, statement, values)
        except psycopg.Error as error:
            close_if_lost(self.raw, error)
            raise translated(error) from error

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what the block did, and that alone, where it raises."""
        self.settle()
        self.say("SAVEPOINT alone")
        done = False
        try:
            yield
            self.settle()
            done = True
        finally:
            # A server that has gone has ended the transaction: then there is nothing to undo.
            if done:
                self.say("RELEASE alone")
            elif not is_lost(self.raw):
                self.forget()
                self.say("ROLLBACK TO alone; RELEASE alone")

    def say(self, sql: str) -> None:
        """Say what begins, ends or divides a transaction; raise the errors of the seam."""
        try:
            say(self.raw, sql)
        except psycopg.Error as error:
            raise translated(error) from error


def say(raw: Raw, sql: str) -> None:
    """Run *sql*, one statement or several, that bind and return nothing; raise psycopg's errors."""
    # Past the driver, which forgets what it has prepared at each ROLLBACK.
    done = raw.pgconn.exec_(sql.encode())
    if done.status == ExecStatus.FATAL_ERROR:
        error = error_from_result(done)
        close_if_lost(raw, error)
        raise error


def close_if_lost(raw: Raw, error: psycopg.Error) -> None:
    """Close *raw* where *error* says that the server has left it, which libpq may not know yet."""
    if error.sqlstate.startswith(_LEFT) if error.sqlstate else not _is_ours(error):
        raw.close()


def _is_ours(error: psycopg.Error) -> bool:
    """Tell whether the driver itself would not send it: no parameter, or a NUL in a text."""
    return isinstance(error, (psycopg.ProgrammingError, psycopg.DataError))


def row(raw: Raw, sql: str, **values: object) -> Values:
    """Return the one row that *sql*, of the engine's own, has; raise psycopg's errors."""
    (found,) = raw.execute(sql.encode(), values).fetchall()
    return found  # type: ignore[no-any-return] # as `row_of` makes it


def is_lost(raw: Raw) -> bool:
    """Tell whether the connection, and its transaction with it, is gone."""
    return raw.closed or raw.info.transaction_status in {
        TransactionStatus.UNKNOWN,
        TransactionStatus.IDLE,
    }


class Conflict(StoreUnavailable):
    """Another transaction came in between: run again, the same works may well succeed."""

    advice = (
        "The gateway has tried several times. See who else writes to its database: nothing but the"
        " gateway's own nodes may."
    )


def translated(error: Exception) -> Exception:
    """Return PostgreSQL's error as one that works and callers know; any other as it is."""
    if not isinstance(error, psycopg.Error):
        return for_a_future(error)
    state, says = error.sqlstate, told(error)
    if state in {"40001", "40P01"}:
        return Conflict(f"the database was changed by another at the same moment: {says}")
    for beginnings, kind, what in _TOLD_AS:
        if state is not None and state.startswith(beginnings):
            return _at_a_server(kind(f"{what}: {says}"))
    if state is None and isinstance(error, psycopg.DataError):
        return RowRefused(f"the database's driver refused: {says}")
    if state is None and not _is_ours(error):
        return DatabaseAway(f"the database server is out of reach: {says}")
    return _at_a_server(StoreError(f"the database refused: {says}"))


def _at_a_server(error: StoreError) -> StoreError:
    """Return *error* with what whoever runs the server is to do about it."""
    error.advice = _DONE_THERE.get(type(error), error.advice)
    return error


def told(error: psycopg.Error) -> str:
    """Return what the server says: its first line and the constraint, and no value of a row."""
    if isinstance(error, psycopg.DataError):  # SQLSTATE 22…: such a text quotes the value
        return type(error).__name__
    constraint = error.diag.constraint_name
    says = error.diag.message_primary or str(error).partition("\n")[0]
    if constraint and constraint not in says:
        return f"{says} ({constraint})"
    return says


def require_known(raw: Raw, name: str) -> None:
    """Raise DatabaseNewer where a later release has written the database of *raw*."""
    schema = schema_of(raw)
    if schema > migrating.newest(migrating.POSTGRESQL):
        try:
            with raw.transaction():
                found = raw.execute(migrating.LAST_START.encode()).fetchone()
        except psycopg.Error:  # it may have no such table any more
            found = None
        raise migrating.later(
            migrating.POSTGRESQL, name, schema, found["detail"] if found else None
        )


def schema_of(raw: Raw) -> int:
    """Return the number of its schema; 0: it has no tables of a gateway."""
    if not row(raw, "SELECT to_regclass('public.schema_version') IS NOT NULL AS there")["there"]:
        return 0
    return int(row(raw, "SELECT max(number) AS number FROM schema_version")["number"])
