"""What PostgreSQL is asked: in words that it knows, and found by an index."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Any

import psycopg
import pytest
from postgres_server import PostgresServer

from bars_gateway.store.postgresql import adapted
from bars_gateway.store.statements import POSTGRESQL, for_libpq, statements_of

pytestmark = pytest.mark.needs("postgres")
FULL = Path(__file__).with_name("full_database.postgresql.sql")
STATEMENTS = statements_of(POSTGRESQL)
# As `store.postgresql.server` sets a session up; a plan is looked at that fits all values.
SESSION = "SET jit = off; SET random_page_cost = 1.1; SET plan_cache_mode = force_generic_plan"
# What walks more than a few rows, and of how much that is: what `WALKS` of `test_database` says.
WALKS = {
    "count_as_tried": "what is open: after a restore, before a gateway starts",
    "known_until": "the trail, once: after another program has put the database back",
    "notices_uncollected": "what is owed: after a restore",
    "open_at_restore": "what is open: after a restore",
    "questions_put": "what EPRs have to answer: after a restore",
    "waiting_for_receivers": "what is open: for figures, which read on that connection, too",
}
FEW = 1000  # rows of a table, or of the part of it that an index is of


def numbered(sql: str) -> tuple[str, int]:
    """Return *sql* as PREPARE asks for it, and how many values it has."""
    text, names = for_libpq(sql)
    return text.rstrip(";"), len(names)


@pytest.fixture(scope="module")
def empty(postgres: PostgresServer) -> Iterator[psycopg.Connection[Any]]:
    """Return a connection to a database in which nothing is stored."""
    url = postgres.ready()
    with psycopg.connect(url, autocommit=True) as connection:
        yield adapted(connection)
    postgres.drop(url)


@pytest.fixture(scope="module")
def full(postgres: PostgresServer) -> Iterator[psycopg.Connection[Any]]:
    """Return a connection to one in which much is stored and queued."""
    url = postgres.ready()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(FULL.read_bytes())
        connection.execute("VACUUM (ANALYZE)")
        connection.execute(SESSION)
        yield connection
    postgres.drop(url)


@pytest.fixture
def file() -> Iterator[sqlite3.Connection]:
    """Return a connection to SQLite, with the same tables."""
    with closing(sqlite3.connect(":memory:")) as connection:
        folder = resources.files("bars_gateway.store") / "migrations"
        for name in sorted(each.name for each in folder.iterdir()):
            connection.executescript((folder / name).read_text("utf-8"))
        yield connection


def test_every_statement_can_be_prepared(empty):
    """With no value known, as it is where each of them is NULL."""
    refused = []
    for name, sql in STATEMENTS.items():
        try:
            empty.execute(f"PREPARE {name} AS {numbered(sql)[0]}".encode())
        except psycopg.Error as error:
            refused.append(f"{name}: {error}")

    assert [] == refused


def test_a_view_has_the_columns_that_it_has_on_sqlite(empty, file):
    """In their order: some are selected by `*`."""
    views = [name for (name,) in file.execute("SELECT name FROM sqlite_schema WHERE type = 'view'")]
    ours = {v: [row[1] for row in file.execute(f"PRAGMA table_info({v})")] for v in views}
    theirs = {
        v: [column.name for column in empty.execute(f"SELECT * FROM {v} LIMIT 0").description]
        for v in views
    }

    assert ours == theirs


@pytest.mark.parametrize(
    "sql",
    [
        "strftime('%Y-%m-%dT%H:%M:%fZ', '2026-03-02T09:00:00.123Z')",
        "strftime('%Y-%m-%dT%H:%M:%fZ', '2026-03-02T09:00:00.123Z', '-5 seconds')",
        "strftime('%Y-%m-%dT%H:%M:%fZ', '2026-02-28T23:59:59.999Z', '+0.001 seconds')",
        "strftime('%Y-%m-%dT%H:%M:%fZ', '2026-03-29T01:30:00.000Z', 3600.5 || ' seconds')",
        "strftime('%Y-%m-%dT%H:%M:%fZ', 'what a disk has spoilt', '+5 seconds')",
        "strftime('%Y-%m-%dT%H:%M:%fZ', NULL, '+5 seconds')",
        "round((julianday('2026-03-02T09:00:01.250Z') - julianday('2026-03-01')) * 86400)",
        "julianday('what a disk has spoilt')",
        "max('a', 'B')",
        "max('a', NULL)",
        "min('a', 'B')",
        "min('2026', NULL)",
        '(SELECT group_concat(value) FROM json_each(\'["a", "ü", 3]\'))',
        '\'{"who": "sam", "n": 3}\' ->> \'who\'',
        '\'{"who": "sam", "n": 3}\' ->> \'nobody\'',
        "'[\"a\", 7]' ->> 0",
        "(SELECT json_group_array(CAST(value AS BIGINT)) FROM json_each('[3, 4]'))",
        "(SELECT json_group_array(CAST(value AS BIGINT)) FROM json_each('[]'))",
    ],
)
def test_what_has_sqlites_name_says_what_sqlite_says(empty, file, sql):
    """Statements that both engines share rest on it."""
    theirs = sql.replace("group_concat(value)", "string_agg(value, ',')")
    theirs = theirs.replace("' ->> 0", "'::text ->> 0::bigint").replace("' ->> '", "'::text ->> '")
    (expected,) = file.execute(f"SELECT {sql}").fetchone()
    (found,) = empty.execute(f"SELECT {theirs}".encode()).fetchone()

    assert expected == found


def test_a_number_of_a_line_is_never_lost(empty):
    """A missing one is a removed line: what is undone gives its number back."""
    line = "INSERT INTO events (at, kind) VALUES ('', 'told') RETURNING id"
    with empty.transaction():
        (before,) = empty.execute(line).fetchone()
    with empty.transaction(force_rollback=True):
        empty.execute(line)
    (after,) = empty.execute(line).fetchone()
    (given,) = empty.execute("SELECT n FROM given WHERE of = 'events'").fetchone()

    assert (before + 1, before + 1) == (after, given)


def test_a_line_that_brings_its_number_moves_the_count_on(empty):
    """As a copy of another store does; what comes next goes on from there."""
    far = "INSERT INTO events (id, at, kind) VALUES (1000000, '', 'copied')"
    with empty.transaction(force_rollback=True):
        empty.execute(far)
        (after,) = empty.execute(
            "INSERT INTO events (at, kind) VALUES ('', 'told') RETURNING id"
        ).fetchone()

    assert 1_000_001 == after


def test_no_statement_walks_a_table_of_which_much_is_stored(full):
    """Each finds its rows through an index, or in the order that it lists them."""
    rows = _rows_of(full)
    walks = []
    for name, sql in STATEMENTS.items():
        text, values = numbered(sql)
        full.execute(f"PREPARE {name} AS {text}".encode())
        given = f"({', '.join(['NULL'] * values)})" if values else ""
        (plan,) = full.execute(f"EXPLAIN (FORMAT JSON) EXECUTE {name}{given}".encode()).fetchone()
        found = _walks(plan[0]["Plan"], rows)
        walks += [f"{name}: {walk}" for walk in found if name not in WALKS]

    assert [] == walks


@pytest.mark.parametrize("name", ["claimable", "foremost"])
def test_what_may_leave_is_found_however_few_the_server_has_counted(empty, name):
    """A queue grows to thousands within minutes, and the server counts later: none is walked."""
    text, values = numbered(STATEMENTS[name])
    empty.execute(SESSION)
    empty.execute(f"PREPARE {name}_when_few AS {text}".encode())
    given = ", ".join(["NULL"] * values)
    query = f"EXPLAIN (FORMAT JSON) EXECUTE {name}_when_few({given})"
    (plan,) = empty.execute(query.encode()).fetchone()
    looks = [each for each in _nodes(plan[0]["Plan"]) if "Alias" in each and "Index Name" in each]
    used = {each["Index Name"] for each in looks if each["Alias"] in {"r", "earlier"}}

    assert {"messages_pkey", "messages_talk"} == used


def _nodes(step: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield step
    for each in step.get("Plans", []):
        yield from _nodes(each)


def _rows_of(full: psycopg.Connection[Any]) -> dict[str, float]:
    found = full.execute(
        "SELECT relname, reltuples FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    )
    return dict(found.fetchall())


# What takes all that it is given before it gives anything: a LIMIT above it ends no walk below.
_GATHERS = {"Sort", "Hash", "Aggregate", "WindowAgg", "Bitmap Heap Scan"}


def _walks(step: dict[str, Any], rows: dict[str, float], *, ends: bool = False) -> Iterator[str]:
    """Yield what is walked from end to end, where that is much and no LIMIT *ends* it before."""
    kind = step["Node Type"]
    of = step.get("Index Name") or (step["Relation Name"] if kind == "Seq Scan" else "")
    if rows.get(of, 0) > FEW and "Index Cond" not in step and not (ends and kind != "Seq Scan"):
        yield of
    ends = kind == "Limit" or (ends and kind not in _GATHERS)
    for each in step.get("Plans", []):
        beside = each.get("Parent Relationship") in {"SubPlan", "InitPlan"}
        yield from _walks(each, rows, ends=ends and not beside)


def test_each_statement_that_may_walk_is_there():
    """Whoever has mended one strikes it off the list."""
    assert [] == [name for name in WALKS if name not in STATEMENTS]


def test_the_database_of_the_plans_is_full(full):
    """A plan over a few rows proves nothing: of each table that grows there are many."""
    grows = "messages workflows payloads attempts notices events chain ledger alarms links subjects"
    rows = _rows_of(full)

    assert [] == [table for table in grows.split() if rows[table] <= FEW]
