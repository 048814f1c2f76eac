"""
Makes an opened file ours: looks whether it is whole, sets it up, and brings it up to date.

    quick_check ─► pragmas ─► migrations, one transaction each ─► which events are alarming
"""

import sqlite3
from importlib import resources
from pathlib import Path

import structlog

from bars_gateway.errors import DatabaseDamaged, DatabaseNewer
from bars_gateway.store.alarms import ALARMS
from bars_gateway.store.checkpoints import KEPT_BYTES

log = structlog.get_logger(__name__)

_PRAGMAS = (
    "PRAGMA page_size = 8192",  # before the first table: fewer, larger writes for 20 kB bodies
    "PRAGMA auto_vacuum = INCREMENTAL",  # before the first table
    "PRAGMA journal_mode = WAL",  # readers never wait for the writer
    "PRAGMA synchronous = FULL",  # an acknowledged message survives a power cut
    "PRAGMA foreign_keys = ON",
    "PRAGMA busy_timeout = 5000",  # ms; only a backup or a sqlite3 shell can make us wait
    "PRAGMA secure_delete = ON",  # purged patient data is overwritten, not merely unlinked
    "PRAGMA trusted_schema = OFF",
    "PRAGMA wal_autocheckpoint = 16000",  # pages; a net beneath `checkpoints`
    f"PRAGMA journal_size_limit = {KEPT_BYTES}",  # of the log's file, each time it begins anew
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


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """
    Set up *connection* to the file at *path*, with the schema of this release.

    Raises DatabaseDamaged, or DatabaseNewer; either way the file is as it was.
    """
    # First of all: some of the pragmas write, and what is damaged is left as it is.
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise DatabaseDamaged(f"{path} failed its check")
    for pragma in _PRAGMAS:
        connection.execute(pragma)
    migrate(connection, path)


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
