"""
Copies everything that is stored from one engine to the other, while no gateway works on either.

    looked at ─► source marked ─► target made, marked ─► rows, a batch each transaction
      ─► counters ─► every row of both compared ─► the target's trail tells of it, its mark goes

A gateway starts on neither while the copy is under way, and on the source no more afterwards: each
has its mark, a table of one row. Both marks bear the same random id, and how far it has come stands
in the target's, written with each batch. So a copy that was killed goes on where it was; and one
whose source was opened again meanwhile is told from it, and goes on no more.

Rows come over as they are, with their ids, and encrypted ones as they are encrypted. No trigger
acts on them: what triggers have written is copied, too. Parents come before children.

Not copied is what each database knows of itself: its indexes, its nodes, its last orderly stop; and
which kinds of event are alarming, which the release says.

Whole tables are walked here, so these statements are no named ones, of which none may.

Decisions: D-one-instance, D-chain.
"""

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol

from bars_gateway.errors import CopyRefused, DatabaseDamaged, DatabaseInUse, RowRefused
from bars_gateway.frozen import frozen
from bars_gateway.keyring import Vault
from bars_gateway.model.trail import TrailHead
from bars_gateway.store.chain import chain_new, head, newest_line, walked
from bars_gateway.store.connection import Connection
from bars_gateway.store.encryption import require
from bars_gateway.store.records import THE_GATEWAY, add_event
from bars_gateway.store.rows import text

Rows = Sequence[tuple[Any, ...]]
Ask = Callable[..., Rows]
COPIED = "store.copied"
REOPENED = "store.reopened"
_FEW = 50  # rows of a batch that hold bodies


@frozen
class CopiedPart:
    """Rows of one table, and the columns by which they are told apart and put in order."""

    table: str
    key: tuple[str, ...] = ("id",)
    where: str = ""
    rows: int = 500  # of one batch


# Parents first. `key` is the table's primary key; who has none has a unique index, or several.
PARTS: Sequence[CopiedPart] = (
    CopiedPart("keyring", ("key_id",)),
    CopiedPart("encryption"),
    CopiedPart("workflows"),
    CopiedPart("messages"),
    CopiedPart("links", ("workflow_id", "to_id")),
    CopiedPart("payloads", ("message_id", "part"), rows=_FEW),
    CopiedPart("attempts", ("message_id", "number")),
    CopiedPart("hours", ("direction", "hour")),
    CopiedPart("uptime", ("hour",)),
    CopiedPart("tallies", ("of", "state")),
    CopiedPart("calls", ("began_at", "provider")),
    CopiedPart("breaks", ("name",)),
    CopiedPart("pauses", ("name",)),
    CopiedPart("notices"),
    CopiedPart("questions", rows=_FEW),
    CopiedPart("ledger", ("provider", "request_id")),
    CopiedPart("sent_before", ("provider", "fingerprint")),
    CopiedPart("quarantine", rows=_FEW),
    CopiedPart("events"),
    CopiedPart("chain", ("line",)),
    CopiedPart("anchors", ("through",)),
    CopiedPart("reports", ("name",)),
    CopiedPart("in_force", ("name",)),
    CopiedPart("alarms"),
    CopiedPart("alerts"),
    CopiedPart("deliveries"),
    CopiedPart("subjects", ("message_id", "hash"), "message_id IS NOT NULL"),
    CopiedPart("subjects", ("question_id", "hash"), "question_id IS NOT NULL"),
    CopiedPart("subjects", ("quarantine_id", "hash"), "quarantine_id IS NOT NULL"),
    CopiedPart("record_holds"),
    CopiedPart("purges"),
    CopiedPart("purged_classes", ("purge_id", "class")),
    CopiedPart("purged", ("class", "first", "purge_id")),
)
# Numbers that are never given twice: the last of each that was.
NUMBERED = (
    *("workflows", "messages", "notices", "questions", "quarantine", "events"),
    *("alarms", "alerts", "deliveries", "record_holds", "purges"),
)
# Each database's own.
OWN = frozenset(
    {
        *("soundness", "unindexed", "alarm_kinds", "alarm_ends"),
        *("turn", "writers", "nodes", "schema_version", "given", "sqlite_sequence"),
    }
)
# There as soon as the tables are made, or a gateway has looked: the copy puts its own in place.
_PREPARED = ("keyring", "encryption")


class CopyEnd(Protocol):
    """One of the two databases, held so that no gateway works on it."""

    name: str
    newest: int  # the schema of this release

    @property
    def connection(self) -> Connection:
        """What works of the store run on."""

    def schema(self) -> int:
        """Return its schema's number; 0: it has no tables yet."""

    def tables(self) -> Sequence[str]:
        """Return the names of all tables that are there."""

    def ask(self, sql: str, *values: object) -> Rows:
        """Run *sql*, in which `?` stands for each value; return its rows."""

    def alone(self) -> AbstractContextManager[None]:
        """Run the block in one transaction, which is on disk once it ends."""

    def columns(self, table: str) -> Sequence[str]:
        """Return the names of its columns."""

    def put(self, table: str, columns: Sequence[str], rows: Rows) -> None:
        """Insert *rows*, within a transaction, and let no trigger act on them."""

    def counters(self) -> Mapping[str, int]:
        """Return the last number that was given, of each table of NUMBERED."""

    def count_from(self, counters: Mapping[str, int]) -> None:
        """Give no number again up to those."""

    def make(self) -> None:
        """Make the tables of this release."""

    def require_alone(self) -> None:
        """Raise DatabaseInUse where a gateway is at work there, by whatever name."""

    def damage(self) -> Sequence[str]:
        """Return what is wrong with its structure, as far as this end can tell."""

    def doubts(self) -> Sequence[str]:
        """Return what is wrong with its content, where this end can look at that."""

    def end(self) -> None:
        """Note, within the last transaction, that all is in order."""


@frozen(kw_only=True)
class Copied:
    """What a copy has brought over."""

    rows: Mapping[str, int]  # by table
    digest: str  # SHA-256 over every row, the same in both
    head: TrailHead | None  # the last line that was copied
    doubts: Sequence[str]  # what is wrong in both


def require_no_copy(ask: Ask, tables: Sequence[str], name: str) -> None:
    """Raise CopyRefused where the database is half a copy, or was copied elsewhere."""
    if "copy_begun" in tables:
        ((source,),) = ask("SELECT source FROM copy_begun")
        raise CopyRefused(
            f"{name} holds a part of a copy of {source}",
            "Run `bars-gateway store copy` again, as before: it goes on where it was.",
        )
    if "copied_away" in tables:
        ((target, at),) = ask("SELECT target, at FROM copied_away")
        raise CopyRefused(
            f"{name} was copied to {target}: begun at {at}",
            "If that has ended, let the settings name the copy, by `store.url` or `store.path`;"
            " otherwise run `bars-gateway store copy` again, as before. Only if no gateway has"
            " run on the copy: `bars-gateway store reopen --why TEXT` lets one start here again.",
        )


def copy(
    source: CopyEnd,
    target: CopyEnd,
    vault: Vault,
    now: datetime,
    *,
    by: str,
    advance: Callable[[int, int], None],
) -> Copied:
    """
    Copy all of *source* into *target*, or go on with that; *by* whom, the trail says.

    Raises CopyRefused, DatabaseInUse, DatabaseDamaged or KeyMissing before anything is changed; or
    CopyRefused where the two differ in the end: then both keep their marks.
    """
    copy_id = _agreed(source, target)
    _require_fit(source, vault)
    copy_id = copy_id or _mark_source(source, target, now)
    if "copy_begun" not in target.tables():
        _mark_target(source, target, copy_id)
    _fill(source, target, advance)
    with target.alone():
        target.count_from(source.counters())
    rows, digest = _compared(source, target)
    _look_at(source, target)
    reached, doubts = head(source.connection), [*source.doubts(), *target.doubts()]
    told = {"who": by, "role": "operator", "from": source.name, "to": target.name}
    told |= {"rows": str(sum(rows.values())), "digest": digest}
    with target.alone():
        _tell(target.connection, COPIED, now, told)
        target.ask("DROP TABLE copy_begun")
        target.end()
    return Copied(rows=rows, digest=digest, head=reached, doubts=doubts)


def reopen(source: CopyEnd, now: datetime, *, by: str, why: str) -> str:
    """Let a gateway start again on what was copied away; return where to it was."""
    if "copied_away" not in source.tables():
        raise CopyRefused(f"{source.name} was not copied away", "A gateway starts on it as it is.")
    ((target,),) = source.ask("SELECT target FROM copied_away")
    with source.alone():
        told = {"who": by, "role": "operator", "why": why, "to": target}
        _tell(source.connection, REOPENED, now, told)
        source.ask("DROP TABLE copied_away")
    return str(target)


def _tell(connection: Connection, kind: str, now: datetime, detail: Mapping[str, object]) -> None:
    before = newest_line(connection)
    add_event(connection, THE_GATEWAY, kind, now, detail)
    chain_new(connection, before)


def _agreed(source: CopyEnd, target: CopyEnd) -> str | None:
    """Return the id of the copy that goes on; None: it begins. Raise CopyRefused."""
    here, there = source.tables(), target.tables()
    if "copy_begun" in here:
        require_no_copy(source.ask, here, source.name)
    away = source.ask("SELECT copy_id, target FROM copied_away") if "copied_away" in here else ()
    begun = target.ask("SELECT copy_id FROM copy_begun") if "copy_begun" in there else ()
    mine = away[0][0] if away else None
    if away and away[0][1] != target.name:
        raise CopyRefused(
            f"{source.name} was copied to {away[0][1]}, or is about to be",
            "Go on with that one, by the same --to; or start again after `bars-gateway store reopen"
            " --why TEXT`.",
        )
    if begun and begun[0][0] != mine:
        raise CopyRefused(
            f"{target.name} holds a part of another copy: of another database, or of this one"
            " before a gateway was let start on it again",
            "Make an empty one in its place, and copy into that: a database that was dropped and"
            " created again, or another file.",
        )
    if not begun:
        _require_empty(target)
    return mine


def _require_empty(target: CopyEnd) -> None:
    tables = {part.table for part in PARTS}
    there = target.tables()
    foreign = sorted({*there} - tables - OWN)
    filled = [
        table
        for table in sorted(tables.intersection(there).difference(_PREPARED))
        if target.ask(f"SELECT 1 FROM {table} LIMIT 1")  # noqa: S608
    ]
    if foreign or filled:
        raise CopyRefused(
            f"{target.name} is not empty: it has the table {(foreign or filled)[0]}"
            f"{'' if foreign else ', with rows'}",
            "Name a database or a file in which nothing is stored. If the copy was made already,"
            " let the settings name it.",
        )


def _require_fit(source: CopyEnd, vault: Vault) -> None:
    schema = source.schema()
    if schema != source.newest:
        raise CopyRefused(
            f"{source.name} has schema {schema}, and this release has {source.newest}",
            "Start this release's gateway on it once, and stop it: that brings it up to date.",
        )
    needed = source.ask("SELECT key_id, proof FROM keyring WHERE done_at IS NULL")
    require([(key_id, proof) for key_id, proof in needed], vault, source.name)
    damage = source.damage()
    if damage:
        raise DatabaseDamaged(f"{source.name} is damaged: {damage[0]}")


def _mark_source(source: CopyEnd, target: CopyEnd, now: datetime) -> str:
    copy_id = secrets.token_hex(16)
    with source.alone():
        source.ask(
            "CREATE TABLE copied_away"
            " (copy_id TEXT NOT NULL, target TEXT NOT NULL, at TEXT NOT NULL)"
        )
        source.ask("INSERT INTO copied_away VALUES (?, ?, ?)", copy_id, target.name, text(now))
    try:
        source.require_alone()  # who begins from now on sees the mark; others were there before
    except DatabaseInUse:
        source.ask("DROP TABLE copied_away")
        raise
    return copy_id


def _mark_target(source: CopyEnd, target: CopyEnd, copy_id: str) -> None:
    target.make()
    with target.alone():
        target.ask(
            "CREATE TABLE copy_begun (copy_id TEXT NOT NULL, source TEXT NOT NULL,"
            " part INTEGER NOT NULL, reached TEXT NOT NULL)"
        )
        target.ask("INSERT INTO copy_begun VALUES (?, ?, 0, 'null')", copy_id, source.name)
        for table in _PREPARED:
            target.ask(f"DELETE FROM {table}")  # noqa: S608


def _page(
    end: CopyEnd, part: CopiedPart, columns: Sequence[str], after: Sequence[object] | None
) -> Rows:
    """Return the rows that follow those with the key *after*."""
    key, places = ", ".join(map(_quoted, part.key)), ", ".join("?" * len(part.key))
    bounds = [part.where] if part.where else []
    bounds += [f"({key}) > ({places})"] if after is not None else []
    where = f"WHERE {' AND '.join(bounds)}" if bounds else ""
    return end.ask(
        f"SELECT {', '.join(map(_quoted, columns))} FROM {part.table} {where}"  # noqa: S608
        f" ORDER BY {key} LIMIT {part.rows}",
        *(after or ()),
    )


def _quoted(name: str) -> str:
    return f'"{name}"'  # some are words of the language, such as `of`


def _pages(end: CopyEnd, part: CopiedPart, after: Sequence[object] | None = None) -> Iterator[Rows]:
    columns = _columns(end, part)
    places = [columns.index(name) for name in part.key]
    while rows := _page(end, part, columns, after):
        yield rows
        after = [rows[-1][place] for place in places]


def _columns(end: CopyEnd, part: CopiedPart) -> list[str]:
    return sorted(end.columns(part.table))


def _fill(source: CopyEnd, target: CopyEnd, advance: Callable[[int, int], None]) -> None:
    """Copy what is missing; how far it has come is written with each batch."""
    ((first, reached),) = target.ask("SELECT part, reached FROM copy_begun")
    after = json.loads(reached)
    for number, part in enumerate(PARTS[first:], first):
        columns = _columns(target, part)
        places = [columns.index(name) for name in part.key]
        advance(number, len(PARTS))
        for rows in _pages(source, part, after):
            last = json.dumps([rows[-1][place] for place in places])
            _put(target, part, columns, rows, (number, last))
            advance(number, len(PARTS))
        after = None


def _put(
    target: CopyEnd, part: CopiedPart, columns: Sequence[str], rows: Rows, reached: tuple[int, str]
) -> None:
    try:
        with target.alone():
            target.put(part.table, columns, rows)
            target.ask("UPDATE copy_begun SET part = ?, reached = ?", *reached)
    except RowRefused as error:
        raise CopyRefused(
            f"{target.name} does not take a row of {part.table}: {error}",
            "It is such as only the other engine keeps, as a text with a NUL. `bars-gateway store"
            " reopen --why TEXT` lets the gateway start where it was; and send us this line.",
        ) from error


def _compared(source: CopyEnd, target: CopyEnd) -> tuple[dict[str, int], str]:
    """Hold every row of *target* against *source*; return how many, and their digest."""
    counts: dict[str, int] = {}
    digest = hashlib.sha256()
    for part in PARTS:
        ours, theirs = _pages(source, part), _pages(target, part)
        for page in ours:
            if next(theirs, None) != page:
                raise _difference(target, part.table)
            digest.update(repr(page).encode("utf-8", "surrogatepass"))
            counts[part.table] = counts.get(part.table, 0) + len(page)
        if next(theirs, None) is not None:
            raise _difference(target, part.table)
    for table, count in counts.items():
        for end in (source, target):
            if end.ask(f"SELECT count(*) FROM {table}") != [(count,)]:  # noqa: S608
                raise _difference(end, table)
    if source.counters() != target.counters():
        raise _difference(target, "the numbers to be given next")
    return counts, digest.hexdigest()


def _difference(end: CopyEnd, what: str) -> CopyRefused:
    return CopyRefused(
        f"{end.name} is not the same in the end: {what}",
        "Nobody may write to either while they are copied. Make an empty target, and start again"
        " after `bars-gateway store reopen --why TEXT`.",
    )


def _look_at(source: CopyEnd, target: CopyEnd) -> None:
    """Verify *target*: its structure, and its trail, which may have no fault of its own."""
    damage = list(target.damage())
    known = {breach.says for breach in walked(source.connection).breaches}
    trail = [
        breach.says for breach in walked(target.connection).breaches if breach.says not in known
    ]
    if damage or trail:
        raise _difference(target, [*damage, *trail][0])
