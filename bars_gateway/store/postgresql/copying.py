"""
The database on a server as one end of a copy between the engines (`store.copying`).

It is held as by a gateway that works there alone. Triggers are switched off by the owner of the
tables, within the transaction of each batch, and on again before its COMMIT: nobody ever sees the
tables without them.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import psycopg
from psycopg.rows import tuple_row

from bars_gateway.errors import DatabaseInUse, RowRefused
from bars_gateway.keyring import CLEAR, Vault
from bars_gateway.store.copying import NUMBERED, Rows
from bars_gateway.store.migrating import POSTGRESQL, newest
from bars_gateway.store.postgresql import PostgresConnection, Raw, row, translated
from bars_gateway.store.postgresql.database import NAMED
from bars_gateway.store.postgresql.schema import prepare
from bars_gateway.store.postgresql.server import ServerAddress, connect, require_fit

_TABLES = "SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = 'public'"
_COLUMNS = (
    "SELECT CAST(column_name AS TEXT) FROM information_schema.columns"
    " WHERE table_schema = 'public' AND table_name = ?"
)
_LEFT_SECONDS = 5.0  # how long the server may take to notice that a copy was killed
# Nodes have names, and each holds its own.
_OTHERS = """
    SELECT 1 FROM pg_locks
     WHERE locktype = 'advisory' AND pid <> pg_backend_pid()
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND CAST(classid AS bigint) = CAST(hashtext('bars-gateway node') AS bigint) & 4294967295
"""


class CopiedServer:
    """A server's database as source or target. Get one from `hold_server`."""

    def __init__(self, raw: Raw, name: str, vault: Vault) -> None:
        self.raw, self.name = raw, name
        self.newest = newest(POSTGRESQL)
        self.connection = PostgresConnection(raw, vault)

    def schema(self) -> int:
        """Return its schema's number; 0: it has no tables yet."""
        if "schema_version" not in self.tables():
            return 0
        return int(self.ask("SELECT max(number) FROM schema_version")[0][0])

    def tables(self) -> Sequence[str]:
        """Return the names of all tables that are there."""
        return [name for (name,) in self.ask(_TABLES)]

    def ask(self, sql: str, *values: object) -> Rows:
        """Run *sql*; return its rows."""
        with _told():
            cursor = self.raw.cursor(row_factory=tuple_row)
            cursor.execute(sql.replace("?", "%s").encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Run the block in one transaction."""
        with _told(), self.raw.transaction():
            yield

    def columns(self, table: str) -> Sequence[str]:
        """Return the names of its columns."""
        return [name for (name,) in self.ask(_COLUMNS, table)]

    def put(self, table: str, columns: Sequence[str], rows: Rows) -> None:
        """Insert *rows*, and let no trigger act on them."""
        names = ", ".join(f'"{name}"' for name in columns)
        self.ask(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        with _told(), self.raw.cursor().copy(f"COPY {table} ({names}) FROM STDIN".encode()) as into:
            for values in rows:
                into.write_row(values)
        self.ask(f"ALTER TABLE {table} ENABLE TRIGGER USER")

    def counters(self) -> Mapping[str, int]:
        """Return the last number that was given, of each table that is numbered."""
        given = {table: self._given(table) for table in NUMBERED if table != "events"}
        ((lines,),) = self.ask("SELECT n FROM given WHERE of = 'events'")
        return {**given, "events": int(lines)}

    def _given(self, table: str) -> int:
        sql = f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {table}_id_seq"  # noqa: S608
        return int(self.ask(sql)[0][0])

    def count_from(self, counters: Mapping[str, int]) -> None:
        """Give no number again up to those."""
        for table, last in counters.items():
            if table == "events":
                self.ask("UPDATE given SET n = ? WHERE of = 'events'", last)
            elif last:
                self.ask(f"SELECT setval('{table}_id_seq', ?)", last)

    def make(self) -> None:
        """Make the tables of this release."""
        prepare(self.raw, self.name, CLEAR)

    def require_alone(self) -> None:
        """Raise DatabaseInUse where another node is at work there."""
        until = time.monotonic() + _LEFT_SECONDS
        while not row(self.raw, NAMED, node="")["ours"] or self.ask(_OTHERS):
            if time.monotonic() > until:
                raise DatabaseInUse(f"another gateway works on {self.name}")
            time.sleep(0.1)

    def damage(self) -> Sequence[str]:
        """Return nothing: the server's own tools look at that."""
        return ()

    def doubts(self) -> Sequence[str]:
        """Return nothing: the file at the other end has the same rows, and is looked at."""
        return ()

    def end(self) -> None:
        """Do nothing."""


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except psycopg.DataError as error:
        # Where the driver itself refuses a value, there is no code.
        raise (translated(error) if error.sqlstate else RowRefused("a text with a NUL")) from error
    except psycopg.Error as error:
        raise translated(error) from error


@contextmanager
def hold_server(address: ServerAddress, vault: Vault = CLEAR) -> Iterator[CopiedServer]:
    """
    Hold the database at *address*, so that no gateway works on it.

    Raises DatabaseInUse where one does, DatabaseAway or DatabaseUnfit.
    """
    raw = connect(address)
    try:
        with _told():
            require_fit(raw, address.name)
            held = CopiedServer(raw, address.name, vault)
            held.require_alone()
        held.ask("SET statement_timeout = 0")  # a large table takes longer to count; nobody waits
        yield held
    finally:
        raw.close()
