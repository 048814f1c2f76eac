"""
Compares tables with their indexes: a row that an index lacks is there, and nobody finds it.

    work      what work is found by: before the doors open, after a stop that was none
    steps     all of it, a few thousand rows at a time: behind the open doors
    damage    a table's pages, and whether its indexes hold too much: SQLite's own look

What waits to be sent is found by an index; so are the bytes that were submitted before. A row
that one of them lacks is never sent and never late, and its bytes are taken a second time.
SQLite leaves such rows where its write-ahead log raced (`checkpoints`), and so does a disk that
forgets a page. `PRAGMA quick_check` does not look for them.

`work` reads each table once, and looks up in each index every row that is open or of the last day.
What an index of some rows holds, of what is queued or due, is looked up in its table as well: what
it holds too much is over, and would be found as if it were not. Indexes that everything ever
stored is in are counted behind the doors: that takes seconds.

What the schema says of each index is read from the file, so that none can be left out here. The
statements walk whole tables on purpose, which is why they are none of the named ones.

Decisions: D-comparison.
"""

# ruff: noqa: S608 - every name in these statements comes from the schema, and no value does
import json
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

STEP = 2000  # rows of a table that are compared in one snapshot
ALL = "1"  # as the condition of an index: it is about all rows
COUNTED = 100_000  # entries of an index that are looked up before the doors open
_SOUGHT = "IN (SELECT value FROM json_each(:sought))"

# Where work is found, and which of its rows somebody waits for, or was promised within a day.
WORK: Mapping[str, str] = {
    "messages": "settled_at IS NULL OR reconcile_at IS NOT NULL OR created_at >= :since",
    "questions": "state = 'open' OR alarm_at IS NOT NULL OR asked_at >= :since",
    "notices": "collected_at IS NULL OR created_at >= :since",
    "workflows": "opened_at >= :since OR (closed_at IS NULL AND"
    " coalesce(answer_due_at, warn_at, overdue_at) IS NOT NULL)",
    "alarms": "ended_at IS NULL",
}
_OF_AN_INDEX = re.compile(
    r"(?:row .+ missing from|wrong # of entries in|non-unique entry in) index (\S+)"
)


@dataclass(frozen=True, slots=True)
class Index:
    """How SQLite finds rows of a table by other than their key."""

    name: str
    columns: Sequence[str]
    only: str  # which rows it is about, in SQL


@dataclass(frozen=True, slots=True)
class Table:
    """A table, how to read it without any index, and its indexes."""

    name: str
    key: Sequence[str]  # what each index leads back to
    unaided: str  # the words by which SQLite uses no index
    indexes: Sequence[Index]


@dataclass(frozen=True, slots=True)
class Gap:
    """An index that does not hold what its table does, and by how many rows."""

    index: str
    table: str
    rows: int  # 0: nobody counted


@dataclass(frozen=True, slots=True)
class Step:
    """What one step has looked at, and what it found."""

    table: str
    reached: Sequence[object] | None  # the last key; None: the table is at its end
    gaps: Sequence[Gap]
    damage: Sequence[str] = ()


def tables(connection: sqlite3.Connection) -> list[Table]:
    """Return every table of the gateway, those first in which work is found."""
    names = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        " ORDER BY name"
    ).fetchall()
    order = [*WORK, *(name for (name,) in names if name not in WORK)]
    return [_table(connection, name) for name in order]


def _table(connection: sqlite3.Connection, name: str) -> Table:
    key: Sequence[str] = ("rowid",)
    unaided, indexes = "NOT INDEXED", []
    for _, index, _, origin, _ in connection.execute(f"PRAGMA index_list({name})").fetchall():
        columns = connection.execute(f"PRAGMA index_xinfo({index})").fetchall()
        if origin == "pk" and all(column[1] >= 0 for column in columns):  # it is the table
            key = [column[2] for column in columns if column[5]]
            unaided = f"INDEXED BY {index}"
            continue
        names = [column[2] for column in columns if column[5]]
        indexes.append(Index(index, names, _only(connection, index)))
    return Table(name, key, unaided, indexes)


def _only(connection: sqlite3.Connection, index: str) -> str:
    (sql,) = connection.execute(
        "SELECT sql FROM sqlite_schema WHERE type = 'index' AND name = ?", [index]
    ).fetchone()
    _, _, condition = re.sub(r"\s+", " ", sql or "").partition(" WHERE ")
    return condition or ALL


def work(connection: sqlite3.Connection, since: str) -> list[Gap]:
    """Return the indexes of what work is found by that do not hold what their tables do."""
    return [gap for name in WORK for gap in _work_of(connection, _table(connection, name), since)]


def _work_of(connection: sqlite3.Connection, table: Table, since: str) -> list[Gap]:
    (sought,) = connection.execute(
        f"SELECT json_group_array(rowid) FROM {table.name} {table.unaided}"
        f" WHERE {WORK[table.name]}",
        {"since": since},
    ).fetchone()
    values = {"sought": sought}
    found = []
    for index in table.indexes:
        wrong = len(_lacking(connection, table, index, f"t.rowid {_SOUGHT}", values))
        wrong += _beyond(connection, table, index)
        if wrong:
            found.append(Gap(index.name, table.name, wrong))
    if table.name == "messages":
        found += _unledgered(connection, f"m.id {_SOUGHT}", values)
    return found


def _beyond(connection: sqlite3.Connection, table: Table, index: Index) -> int:
    """Count what *index* holds and is not about, where it is about some rows and not large."""
    if index.only == ALL:
        return 0
    entries = connection.execute(
        f"SELECT rowid FROM {table.name} INDEXED BY {index.name} WHERE {index.only}"
        f" LIMIT {COUNTED + 1}"
    ).fetchall()
    if len(entries) > COUNTED:
        return 0
    (right,) = connection.execute(
        f"SELECT count(*) FROM {table.name} {table.unaided}"
        f" WHERE rowid {_SOUGHT} AND ({index.only})",
        {"sought": json.dumps([row for (row,) in entries])},
    ).fetchone()
    return len(entries) - int(right)


def _lacking(
    connection: sqlite3.Connection,
    table: Table,
    index: Index,
    condition: str,
    values: Mapping[str, object],
) -> list[sqlite3.Row]:
    """Return the keys of those rows under *condition* that *index* lacks."""
    return connection.execute(
        f"SELECT {_listed('t', table.key)} FROM {table.name} AS t {table.unaided}"
        f" WHERE {condition} AND ({index.only}) AND NOT EXISTS ({_by(table, index)})",
        dict(values),
    ).fetchall()


def _by(table: Table, index: Index) -> str:
    """Return the statement that finds row `t` by *index* and nothing else."""
    same = " AND ".join(f"i.{name} IS t.{name}" for name in (*index.columns, *table.key))
    return (
        f"SELECT 1 FROM {table.name} AS i INDEXED BY {index.name} WHERE ({index.only}) AND {same}"
    )


def _listed(alias: str, names: Sequence[str]) -> str:
    return ", ".join(f"{alias}.{name}" for name in names)


def lacked_by(connection: sqlite3.Connection, gap: Gap) -> list[int]:
    """Return the number of each row that the index lacks; of a table that is read by number."""
    table = _table(connection, gap.table)
    (index,) = [each for each in table.indexes if each.name == gap.index]
    return [key for (key,) in _lacking(connection, table, index, "1", {})]


def step(connection: sqlite3.Connection, table: Table, after: Sequence[object] | None) -> Step:
    """Compare the next rows of *table*, those *after* that key, with each of its indexes."""
    values: dict[str, object] = {f"a{n}": value for n, value in enumerate(after or ())}
    beyond = _bounded(table.key, ">", "a") if after else "1"
    keys = _listed("t", table.key)
    end = connection.execute(
        f"SELECT {keys} FROM {table.name} AS t {table.unaided} WHERE {beyond}"
        f" ORDER BY {keys} LIMIT 1 OFFSET {STEP - 1}",
        values,
    ).fetchone()
    condition = beyond
    if end is not None:
        values |= {f"b{n}": value for n, value in enumerate(end)}
        condition = f"{beyond} AND {_bounded(table.key, '<=', 'b')}"
    gaps = [
        Gap(index.name, table.name, len(rows))
        for index in table.indexes
        if (rows := _lacking(connection, table, index, condition, values))
    ]
    if table.name == "messages":
        of_messages = condition.replace("t.rowid", "m.id")
        gaps += _unledgered(connection, of_messages, values)
    return Step(table.name, None if end is None else tuple(end), gaps)


def _bounded(key: Sequence[str], sign: str, letter: str) -> str:
    names = ", ".join(f":{letter}{n}" for n in range(len(key)))
    return f"({_listed('t', key)}) {sign} ({names})"


LEDGER = "ledger"
UNLEDGERED = """
  FROM messages AS m NOT INDEXED
 WHERE {} AND m.direction = 'inbound'
   AND NOT EXISTS (SELECT 1 FROM ledger AS l
                    WHERE l.provider = m.provider AND l.request_id = m.request_id)
"""


def _unledgered(
    connection: sqlite3.Connection, condition: str, values: Mapping[str, object]
) -> list[Gap]:
    """Return the ledger, where it lacks a message that was received."""
    (count,) = connection.execute(
        f"SELECT count(*) {UNLEDGERED.format(condition)}", dict(values)
    ).fetchone()
    return [Gap(LEDGER, "messages", count)] if count else []


def damage(connection: sqlite3.Connection, table: str) -> Step:
    """Look at each page of *table* and of its indexes, and count these; return what is wrong."""
    lines = [
        line
        for (text,) in connection.execute(f"PRAGMA integrity_check('{table}')").fetchall()
        for line in str(text).splitlines()
        if line != "ok"
    ]
    return Step(table, None, list(_gaps(table, lines)), list(_other(lines)))


def _gaps(table: str, lines: Sequence[str]) -> Iterator[Gap]:
    named = [found[1] for line in lines if (found := _OF_AN_INDEX.match(line))]
    for index in dict.fromkeys(named):
        yield Gap(index, table, sum(f"missing from index {index}" in line for line in lines))


def _other(lines: Sequence[str]) -> Iterator[str]:
    yield from (line for line in lines if not _OF_AN_INDEX.match(line))
