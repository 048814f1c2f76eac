"""
Whether the database's file is sound: what is known, what is looked at, what is put right.

    orderly stop ─► mark, the last thing that is committed
    start        ─► the mark is taken away, before anything else is written
                    it was there     ─► the doors open at once
                    it was not there ─► what work is found by is compared first
    behind the doors, and every day ─► everything is compared, table by table

A row that an index lacks is there, and nobody finds it (`comparison`). The index is rebuilt,
which is told by an alarm. Where it cannot be, for want of room or because the same bytes were
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
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bars_gateway.store.comparison import LEDGER, UNLEDGERED, Gap, lacked_by
from bars_gateway.store.rows import instant, text

REBUILT = "index.rebuilt"
DAMAGED = "database.damaged"
_NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """The last comparison of everything."""

    began_at: datetime | None  # None: there was none
    ended_at: datetime | None  # None: it has not, or was broken off
    found: Sequence[str]  # in our words, with names of tables and indexes; empty: all was well


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """How far the file of a running gateway is known to be sound."""

    after_orderly_stop: bool
    waits_since: datetime | None  # since when this start has not compared everything; None: it has
    last: Inspected | None  # the last comparison of this start; None: it has not ended
    left: Sequence[str] = ()  # indexes that lack rows and could not be rebuilt


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What one step found, and what was done about it."""

    table: str
    rebuilt: Sequence[str] = ()  # indexes, and how many rows they lacked
    left: Sequence[str] = ()  # indexes that could not be rebuilt, and why
    damaged: int = 0  # findings that nobody can put right from here

    @property
    def sentences(self) -> Sequence[str]:
        """What is told of it."""
        return [
            *(f"{each} lacked, and rebuilt" for each in self.rebuilt),
            *(f"{each} lacked, and not rebuilt" for each in self.left),
            *([f"{self.table}: {self.damaged} damaged"] if self.damaged else []),
        ]


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
        f"INSERT INTO events (at, kind, detail) VALUES ({_NOW}, ?, ?)",  # noqa: S608
        [kind, json.dumps(detail)],
    )
