"""
Makes an opened file ours: looks whether it is whole, sets it up, and brings it up to date.

    quick_check, of a small file ─► pragmas ─► the mark of an orderly stop is taken away
      ─► migrations, one transaction each ─► which events are alarming
      ─► without that mark: what work is found by is compared with its tables

A file that takes longer to read is looked at whole behind the open doors (`soundness`): a
start after a crash must not wait for gigabytes of what was settled long ago.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path

import structlog

from bars_gateway.errors import DatabaseDamaged, DatabaseNewer
from bars_gateway.model.alarms import ALARMS
from bars_gateway.store.checkpoints import KEPT_BYTES
from bars_gateway.store.comparison import Gap, work
from bars_gateway.store.inspection import mark, note, rebuild, stopped_in_order

log = structlog.get_logger(__name__)

SMALL_BYTES = 64 * 1024 * 1024  # read in a moment, whatever the disk
_UNCLEAN = (
    "The last stop was none: a kill, a power cut, or a stop that took too long. What waits is"
    " compared with its indexes first, and all the rest once the doors are open."
)
_PRAGMAS = (
    "PRAGMA page_size = 8192",  # before the first table: fewer, larger writes for 20 kB bodies
    "PRAGMA auto_vacuum = INCREMENTAL",  # before the first table
    "PRAGMA journal_mode = WAL",  # readers never wait for the writer
    "PRAGMA synchronous = FULL",  # an acknowledged message survives a power cut
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",  # purged patient data is overwritten, not merely unlinked
    "PRAGMA trusted_schema = OFF",
    "PRAGMA wal_autocheckpoint = 16000",  # pages; a net beneath `checkpoints`
    f"PRAGMA journal_size_limit = {KEPT_BYTES}",  # of the log's file, each time it begins again
)
_ALARMING = (
    (
        "SELECT kind, about FROM alarm_kinds",
        "DELETE FROM alarm_kinds WHERE true",
        "INSERT INTO alarm_kinds (kind, about) VALUES (?, ?)",
    ),
    (
        "SELECT event, kind FROM alarm_ends",
        "DELETE FROM alarm_ends WHERE true",
        "INSERT INTO alarm_ends (event, kind) VALUES (?, ?)",
    ),
)


@dataclass(frozen=True, slots=True)
class Opening:
    """What was found when the file was opened."""

    after_orderly_stop: bool
    left: Sequence[Gap] = ()  # what could not be put right


def prepare(connection: sqlite3.Connection, path: Path) -> Opening:
    """
    Set up *connection* to the file at *path*, with the schema of this release.

    Raises DatabaseDamaged, or DatabaseNewer; either way the file is as it was.
    """
    # First of all: some of the pragmas write, and what is damaged is left as it is.
    orderly = stopped_in_order(connection)
    if path.stat().st_size <= SMALL_BYTES:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise DatabaseDamaged(f"{path} failed its check")
    for pragma in _PRAGMAS:
        connection.execute(pragma)
    mark(connection, stopped=False)
    migrate(connection, path)
    return Opening(orderly, [] if orderly else _compared(connection))


def _compared(connection: sqlite3.Connection) -> list[Gap]:
    """Put right what work is found by; return what could not be."""
    log.warning("store.unclean_stop", advice=_UNCLEAN)
    # By the last line that was written, and not by a clock: however long nobody has been here.
    line = connection.execute(
        "SELECT strftime('%Y-%m-%dT%H:%M:%fZ', at, '-1 day') FROM events ORDER BY id DESC LIMIT 1"
    ).fetchone()
    since = (line and line[0]) or ""
    return [gap for gap in work(connection, since) if not _put_right(connection, gap)]


def _put_right(connection: sqlite3.Connection, gap: Gap) -> bool:
    reason = _refused(connection, partial(rebuild, gap=gap))
    if reason is None:
        log.error("store.index_rebuilt", name=gap.index, count=gap.rows)
        return True
    log.error("store.index_not_rebuilt", name=gap.index, count=gap.rows, reason=reason)
    _refused(connection, partial(note, gap=gap))
    return False


def _refused(
    connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], None]
) -> str | None:
    """Run *work* in a transaction of its own; return why SQLite did not let it."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        work(connection)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        return str(error)
    return None


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the schema up to this release's; raise DatabaseNewer where it is of a later one."""
    migrations = _migrations()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > max(migrations):
        raise DatabaseNewer(f"{path} has schema {version}; this release knows {max(migrations)}")
    for number in sorted(n for n in migrations if n > version):
        connection.executescript(
            f"BEGIN IMMEDIATE;\n{migrations[number]}\nPRAGMA user_version = {number};\nCOMMIT;"
        )
        log.info("store.migrated", version=number)
    _learn_alarms(connection)


def _learn_alarms(connection: sqlite3.Connection) -> None:
    """Enter which kinds of event are alarming, as this release has them, for the triggers."""
    kinds = {(kind, str(each.about)) for kind, each in ALARMS.items()}
    ends = {(event, kind) for kind, each in ALARMS.items() for event in each.ended_by}
    for (known, forget, enter), wanted in zip(_ALARMING, (kinds, ends), strict=True):
        if {tuple(row) for row in connection.execute(known)} != wanted:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(forget)
            connection.executemany(enter, sorted(wanted))
            connection.execute("COMMIT")


def _migrations() -> dict[int, str]:
    folder = resources.files("bars_gateway.store") / "migrations"
    return {
        int(file.name.removesuffix(".sql")): file.read_text("utf-8")
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    }
