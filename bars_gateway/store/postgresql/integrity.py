"""
Looks whether the database on a server is whole, without changing it, by statements alone.

    structure   what the release makes, is it there? · each row against each constraint · schema
    contents    as of a file: `store.integrity`

A dump that was put back makes its indexes, constraints and triggers last: one that was broken off
has all rows, and nothing that keeps them in order. So each of them is looked for by its name, and
none is believed: what it says is asked of the rows themselves. Pages, and whether an index holds
what its table does, are for the server's own tool, pg_amcheck.

All of it reads one snapshot, on a session that cannot write, so that a gateway may go on working.
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial

import psycopg

from bars_gateway.errors import StoreError
from bars_gateway.keyring import CLEAR, Vault
from bars_gateway.store.integrity import (
    CHECKS,
    Check,
    Contents,
    DatabaseReport,
    counts,
    last_change_at,
    unknown_schema,
)
from bars_gateway.store.migrating import POSTGRESQL, migrations
from bars_gateway.store.postgresql import PostgresConnection, Raw, row_of, translated
from bars_gateway.store.postgresql.prepared import Values
from bars_gateway.store.postgresql.schema import made_by_of
from bars_gateway.store.postgresql.server import ServerAddress, ServerSession, connect
from bars_gateway.store.postgresql.transactions import Reader

_AT_ONCE = 200  # rows that are held in memory, each with a Bundle
# A whole table takes longer than a statement of the gateway's may, and a page of Bundles longer to
# read than it may stand still.
_PATIENT = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0"
# What a migration makes, as its lines begin; a table's own line is followed by its columns.
_MADE = re.compile(r" *CREATE (?:UNIQUE )?(TABLE|INDEX|VIEW|TRIGGER) +(\w+)")
_NAMED = re.compile(r" *CONSTRAINT +(\w+)")
_COLUMN = re.compile(r" +(\w+) +(?:TEXT|BIGINT|BYTEA)\b")
_THERE: Mapping[str, str] = {
    "table": "SELECT relname::text AS name FROM pg_class WHERE relkind = 'r' AND {here}",
    "view": "SELECT relname::text AS name FROM pg_class WHERE relkind = 'v' AND {here}",
    "index": "SELECT relname::text AS name FROM pg_class JOIN pg_index ON indexrelid = oid"
    " WHERE indisvalid AND indisready AND {here}",
    "constraint": "SELECT conname::text AS name FROM pg_constraint"
    " WHERE convalidated AND connamespace = 'public'::regnamespace",
    "trigger": "SELECT tgname::text AS name FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
    " WHERE tgenabled = 'O' AND {here}",
}
_HERE = "relnamespace = 'public'::regnamespace"
_CHECKED = """
    SELECT conname::text AS name, conrelid::regclass::text AS of,
           pg_get_expr(conbin, conrelid) AS says
      FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace ORDER BY 1, 2
"""
_REFERENCES = """
    SELECT conrelid::regclass::text AS of, confrelid::regclass::text AS parent,
           quote_ident(a.attname) AS name, quote_ident(b.attname) AS key
      FROM pg_constraint AS c
      JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
      JOIN pg_attribute AS b ON b.attrelid = c.confrelid AND b.attnum = c.confkey[1]
     WHERE contype = 'f' AND connamespace = 'public'::regnamespace ORDER BY 1, 3
"""
_UNIQUE = """
    SELECT i.indexrelid::regclass::text AS name, i.indrelid::regclass::text AS of,
           (SELECT string_agg(pg_get_indexdef(i.indexrelid, n, false), ', ' ORDER BY n)
              FROM generate_series(1, i.indnkeyatts) AS n) AS says,
           coalesce(pg_get_expr(i.indpred, i.indrelid), 'true') AS only
      FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid
     WHERE i.indisunique AND c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' ORDER BY 1
"""

_BY_TABLES = """
    SELECT set_config(name, '{}', true)
      FROM unnest(ARRAY['enable_indexscan', 'enable_indexonlyscan', 'enable_bitmapscan']) AS name
"""


def examine(address: ServerAddress, vault: Vault = CLEAR) -> DatabaseReport:
    """Return everything that is wrong there; read every byte by the keys of *vault*."""

    def opened() -> Raw:
        raw = connect(address)
        raw.execute(_PATIENT.encode())
        return raw

    session = ServerSession(opened)
    try:
        return Reader(session, vault).read(_examined)
    finally:
        session.drop()


def contents_of(connection: PostgresConnection) -> Contents:
    """Return what *connection* sees in its transaction, for the checks that both engines share."""
    return Contents(each=partial(_each, connection.raw), connection=connection)


def _examined(connection: PostgresConnection) -> DatabaseReport:
    held = contents_of(connection)
    schema = _schema(held)
    unknown = unknown_schema(POSTGRESQL, schema, made_by_of(connection.raw) if schema else 0)
    if unknown:
        return DatabaseReport(
            schema=schema, counts={}, last_change_at=None, damage=[unknown], contradictions=()
        )
    damage = list(_tried(held, lacking, _checked, _references, _doubled))
    return DatabaseReport(
        schema=schema,
        counts=counts(held) if not damage else {},
        last_change_at=last_change_at(held) if not damage else None,
        damage=damage,
        contradictions=list(_tried(held, *CHECKS)),
    )


def _each(raw: Raw, sql: str) -> Iterator[Values]:
    """Yield the rows of *sql*, a few at a time, whatever the size of the table."""
    try:
        with raw.cursor("examined", row_factory=row_of) as cursor:
            cursor.itersize = _AT_ONCE
            yield from cursor.execute(sql.encode())
    except psycopg.Error as error:
        raise translated(error) from error


def _schema(held: Contents) -> int:
    there = "SELECT to_regclass('public.schema_version') IS NOT NULL AS there"
    if not next(iter(held.each(there)))["there"]:
        return 0
    return int(next(iter(held.each("SELECT max(number) AS n FROM schema_version")))["n"] or 0)


def _tried(held: Contents, *checks: Check) -> Iterator[str]:
    """Yield what *checks* find; damage that ends one of them is found, too."""
    for check in checks:
        try:
            with held.connection.savepoint():
                yield from check(held)
        except StoreError as error:
            yield f"it cannot be read to its end: {error}"


def made_by(sql: str) -> Iterator[tuple[str, str]]:
    """Yield kind and name of all that a migration makes and that keeps rows in order."""
    table = ""
    for line in sql.splitlines():
        if made := _MADE.match(line):
            yield made[1].lower(), made[2]
            table = made[2] if made[1] == "TABLE" else ""
        elif named := _NAMED.match(line):
            yield "constraint", named[1]
        if table and " PRIMARY KEY" in line:
            yield "constraint", f"{table}_pkey"
        if table and " REFERENCES " in line and (column := _COLUMN.match(line)):
            yield "constraint", f"{table}_{column[1]}_fkey"


def lacking(held: Contents) -> Iterator[str]:
    """Yield what the release makes, and is not there, not valid or switched off."""
    there = {
        (kind, row["name"])
        for kind, query in _THERE.items()
        for row in held.each(query.format(here=_HERE))
    }
    for kind, name in (each for sql in migrations(POSTGRESQL).values() for each in made_by(sql)):
        if (kind, name) not in there:
            yield f"it lacks the {kind} {name}, or that is not in force"


def _number(held: Contents, query: str) -> int:
    (row,) = held.each(query)
    return int(row["n"])


def _checked(held: Contents) -> Iterator[str]:
    for each in list(held.each(_CHECKED)):
        query = f"SELECT count(*) AS n FROM {each['of']} WHERE NOT ({each['says']})"  # noqa: S608
        count = _number(held, query)
        if count:
            yield f"{count} rows of {each['of']} are such as {each['name']} forbids"


def _references(held: Contents) -> Iterator[str]:
    for each in list(held.each(_REFERENCES)):
        query = (
            f"SELECT count(*) AS n FROM {each['of']} AS r WHERE r.{each['name']} IS NOT NULL"  # noqa: S608
            f" AND NOT EXISTS (SELECT 1 FROM {each['parent']} AS p"
            f" WHERE p.{each['key']} = r.{each['name']})"
        )
        count = _number(held, query)
        if count:
            yield (
                f"{count} rows of {each['of']} refer to rows of {each['parent']} that are not there"
            )


def _doubled(held: Contents) -> Iterator[str]:
    """Yield what is there twice, as the tables have it: a damaged index does not know."""
    list(held.each(_BY_TABLES.format("off")))
    for each in list(held.each(_UNIQUE)):
        query = (
            f"SELECT count(*) AS n FROM (SELECT 1 FROM {each['of']} WHERE {each['only']}"  # noqa: S608
            f" GROUP BY {each['says']} HAVING count(*) > 1) AS twice"
        )
        count = _number(held, query)
        if count:
            yield f"{each['of']} has {count} times what {each['name']} lets be there once"
    list(held.each(_BY_TABLES.format("on")))
