"""
Whether the database's file is sound: what is known, what is looked at, what is put right.

    orderly stop ─► mark, the last thing that is committed
    start        ─► the mark is taken away, before anything else is written
                    it was there     ─► the doors open at once
                    it was not there ─► what work is found by is compared first
    behind the doors, and every day ─► everything is compared, table by table

A row that an index lacks is there, and nobody finds it. The index is rebuilt,
which is told by an alarm. Where it cannot be, because there is no room or the same bytes were
taken twice meanwhile, the rows that it lacks are noted, and messages are looked for among these
as well. What is damaged otherwise is told, and nothing is done to it.

The mark is the last thing that is committed, and the first that is taken away, by whoever opens
the database to write. Whatever dies in between leaves it away, so that the next start compares.
Where it dies *at* a step, that is:

    taking the mark away    it is still there: nothing was written
    comparing               nothing is written: the next start begins again
    rebuilding an index     the transaction is undone: the index lacks what it lacked, is found then
    telling                 in the same transaction as the rebuilding
    noting what is lacked   in one of its own: it is noted, or found again
    committing the mark     it is not there: the next start compares, for nothing

Tables are compared with their indexes:

    work      what work is found by: before the doors open, where the last stop was not orderly
    steps     all of it, a few thousand rows at a time: behind the open doors
    damage    a table's pages, and whether its indexes hold too much: SQLite's own look

What waits to be sent is found by an index; so are the bytes that were submitted before. A row
that one of them lacks is never sent and never late, and its bytes are taken a second time.
SQLite leaves such rows where its write-ahead log raced (`checkpoints`), and so does a disk that
forgets a page. `PRAGMA quick_check` does not look for them: a newer SQLite counts them in some.

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
from datetime import datetime

from bars_gateway.frozen import frozen
from bars_gateway.model.readings import Inspected
from bars_gateway.store.rows import instant, text

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
WAITING = (  # what is counted, and of whom, in the words of the triggers
    ("open", "messages", "receiver", "settled_at IS NULL"),
    ("notice", "notices", "provider", "collected_at IS NULL"),
)
_OF_AN_INDEX = re.compile(
    r"(?:row .+ missing from|wrong # of entries in|non-unique entry in) index (\S+)"
)
LEDGER = "ledger"
UNLEDGERED = """
  FROM messages AS m NOT INDEXED
 WHERE {} AND m.direction = 'inbound'
   AND NOT EXISTS (SELECT 1 FROM ledger AS l
                    WHERE l.provider = m.provider AND l.request_id = m.request_id)
"""
REBUILT = "index.rebuilt"
DAMAGED = "database.damaged"
_NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"


@frozen
class Index:
    """How SQLite finds rows of a table by other than their key."""

    name: str
    columns: Sequence[str]
    only: str  # which rows it is about, in SQL


@frozen
class Table:
    """A table, how to read it without any index, and its indexes."""

    name: str
    key: Sequence[str]  # what each index leads back to
    unaided: str  # the words by which SQLite uses no index
    indexes: Sequence[Index]


@frozen
class Gap:
    """An index that does not hold what its table does, and by how many rows."""

    index: str
    table: str
    rows: int  # 0: nobody counted


@frozen
class InspectionStep:
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
        f"SELECT {_listed(table.key)} FROM {table.name} AS t {table.unaided}"
        f" WHERE {condition} AND ({index.only}) AND NOT EXISTS ({_by(table, index)})",
        dict(values),
    ).fetchall()


def _by(table: Table, index: Index) -> str:
    """Return the statement that finds row `t` by *index* and nothing else."""
    same = " AND ".join(f"i.{name} IS t.{name}" for name in (*index.columns, *table.key))
    return (
        f"SELECT 1 FROM {table.name} AS i INDEXED BY {index.name} WHERE ({index.only}) AND {same}"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"t.{name}" for name in names)


def lacked_by(connection: sqlite3.Connection, gap: Gap) -> list[int]:
    """Return the number of each row that the index lacks; of a table that is read by number."""
    table = _table(connection, gap.table)
    (index,) = [each for each in table.indexes if each.name == gap.index]
    return [key for (key,) in _lacking(connection, table, index, "1", {})]


def step(
    connection: sqlite3.Connection, table: Table, after: Sequence[object] | None
) -> InspectionStep:
    """Compare the next rows of *table*, those *after* that key, with each of its indexes."""
    values: dict[str, object] = {f"a{n}": value for n, value in enumerate(after or ())}
    beyond = _bounded(table.key, ">", "a") if after else "1"
    keys = _listed(table.key)
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
    return InspectionStep(table.name, None if end is None else tuple(end), gaps)


def _bounded(key: Sequence[str], sign: str, letter: str) -> str:
    names = ", ".join(f":{letter}{n}" for n in range(len(key)))
    return f"({_listed(key)}) {sign} ({names})"


def _unledgered(
    connection: sqlite3.Connection, condition: str, values: Mapping[str, object]
) -> list[Gap]:
    """Return the ledger, where it lacks a message that was received."""
    (count,) = connection.execute(
        f"SELECT count(*) {UNLEDGERED.format(condition)}", dict(values)
    ).fetchone()
    return [Gap(LEDGER, "messages", count)] if count else []


def damage(connection: sqlite3.Connection, table: str) -> InspectionStep:
    """Look at each page of *table* and of its indexes, and count these; return what is wrong."""
    lines = [
        line
        for (text,) in connection.execute(f"PRAGMA integrity_check('{table}')").fetchall()
        for line in str(text).splitlines()
        if line != "ok"
    ]
    gaps = {gap.index: gap for gap in _miscounted(connection, _table(connection, table))}
    gaps |= {gap.index: gap for gap in _gaps(table, lines)}
    return InspectionStep(table, None, list(gaps.values()), list(beside_indexes(lines)))


def _miscounted(connection: sqlite3.Connection, table: Table) -> Iterator[Gap]:
    """Yield each index of some rows that holds more or fewer: not every SQLite counts them."""
    some = [index for index in table.indexes if index.only != ALL]
    if not some:
        return
    counts = ", ".join(f"count(*) FILTER (WHERE {index.only})" for index in some)
    right = connection.execute(f"SELECT {counts} FROM {table.name} {table.unaided}").fetchone()
    for index, count in zip(some, right, strict=True):
        (held,) = connection.execute(
            f"SELECT count(*) FROM {table.name} INDEXED BY {index.name} WHERE {index.only}"
        ).fetchone()
        if held != count:
            yield Gap(index.name, table.name, 0)


def _gaps(table: str, lines: Sequence[str]) -> Iterator[Gap]:
    named = [found[1] for line in lines if (found := _OF_AN_INDEX.match(line))]
    for index in dict.fromkeys(named):
        yield Gap(index, table, sum(f"missing from index {index}" in line for line in lines))


def beside_indexes(lines: Sequence[str]) -> Iterator[str]:
    """Yield what SQLite finds wrong but for indexes that hold other rows than their table has."""
    yield from (line for line in lines if not _OF_AN_INDEX.match(line))


def stopped_in_order(connection: sqlite3.Connection) -> bool:
    """Tell whether nothing was written since an orderly stop; a new file has nothing to lose."""
    known = connection.execute(
        "SELECT count(*), sum(name = 'soundness') FROM sqlite_schema WHERE type = 'table'"
    ).fetchone()
    if not known[0]:
        return True
    if not known[1]:
        return False
    row = connection.execute("SELECT stopped FROM main.soundness").fetchone()
    return row is not None and bool(row[0])


def mark(connection: sqlite3.Connection, *, stopped: bool) -> None:
    """Set the mark of an orderly stop, or take it away: where there is a place for it."""
    place = connection.execute(
        "SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = 'soundness'"
    ).fetchone()
    if place is not None:
        connection.execute(
            "UPDATE main.soundness SET stopped = :stopped WHERE stopped <> :stopped",
            {"stopped": int(stopped)},
        )


def last(connection: sqlite3.Connection) -> Inspected:
    """Return the last comparison of everything."""
    row = connection.execute("SELECT began_at, ended_at, found FROM main.soundness").fetchone()
    return Inspected(
        began_at=instant(row["began_at"]),
        ended_at=instant(row["ended_at"]),
        found=json.loads(row["found"]),
    )


def begin(connection: sqlite3.Connection, now: datetime) -> None:
    """Write down that everything is compared from now on."""
    connection.execute(
        "UPDATE soundness SET began_at = ?, ended_at = NULL, found = '[]'", [text(now)]
    )


def end(connection: sqlite3.Connection, found: Sequence[str], now: datetime) -> None:
    """Write down that everything was compared, and what was found."""
    connection.execute(
        "UPDATE soundness SET ended_at = ?, found = ?", [text(now), json.dumps(list(found))]
    )


def rebuild(connection: sqlite3.Connection, gap: Gap) -> None:
    """Put right what is lacking, with an alarm."""
    if gap.index == LEDGER:
        connection.execute("REINDEX ledger")  # an entry that only its index lacks is there
        # What its Sender said is not known any more: the same bytes are a duplicate, others are not
        connection.execute(
            "INSERT INTO ledger (provider, request_id, fingerprint, state, message_id, created_at)"
            " SELECT m.provider, m.request_id, m.fingerprint, 'done', m.id, m.created_at"
            f" {UNLEDGERED.format('1')}"
        )
    else:
        connection.execute(f"REINDEX {gap.index}")
        connection.execute("DELETE FROM unindexed WHERE missing_in = ?", [gap.index])
    _tell(connection, REBUILT, {"index": lacked(gap)})


def recount(connection: sqlite3.Connection) -> None:
    """Count again what waits: by that, pages and alerts know which Receivers to look at."""
    connection.execute("DELETE FROM tallies WHERE of IN ('open', 'notice')")
    for of, table, whose, waits in WAITING:
        connection.execute(
            f"INSERT INTO tallies (of, state, n) SELECT '{of}', {whose}, count(*) FROM {table}"
            f" WHERE {waits} GROUP BY {whose}"
        )


def note(connection: sqlite3.Connection, gap: Gap) -> None:
    """Note which messages an index lacks that cannot be rebuilt now."""
    if gap.table == "messages" and gap.index != LEDGER:
        connection.executemany(
            "INSERT INTO unindexed (message_id, missing_in) VALUES (?, ?) ON CONFLICT DO NOTHING",
            [(number, gap.index) for number in lacked_by(connection, gap)],
        )


def tell_damage(connection: sqlite3.Connection, table: str, places: int) -> None:
    """Raise the alarm for a table that is damaged."""
    _tell(connection, DAMAGED, {"table": f"{table}: {places}"})


def lacked(gap: Gap) -> str:
    """Return the index and what it lacked, in words."""
    rows = "1 row" if gap.rows == 1 else f"{gap.rows} rows"
    return f"{gap.index}: {rows}" if gap.rows else f"{gap.index}: its count"


def _tell(connection: sqlite3.Connection, kind: str, detail: dict[str, str]) -> None:
    # By the database's own clock, as the triggers do: at the start nobody else has one yet.
    connection.execute(
        f"INSERT INTO events (at, kind, detail) VALUES ({_NOW}, ?, ?)",
        [kind, json.dumps(detail)],
    )
