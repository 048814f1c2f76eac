"""
Puts a backup in the place of the database, keeps what was there, and says what is lost.

    backup ─► checked ─► gateway.db.restoring ─► made safe ─► gateway.db
                         gateway.db and its log ─► gateway.db.before-restore-<UTC>

A restored database has forgotten what happened since, and the world has not. So three
things are changed in it before anybody uses it:

- No number is given twice. The EPR knows a notice by its number for good, so a new
  message under a number that was used since the backup would be taken for the old one,
  or be written over it. All counters leap.
- What waits counts as tried. It may have been sent since, and `not_sent` would tell a
  clinician that it never left; when its time runs out it is `unconfirmed`, which is all
  that we know.
- The audit trail gets a line, so that the gap is explained where it shows.

A tidy-minded reader would move the old file away first and the new one in after it. The
name is never empty here: a gateway that starts between the two would begin with an empty
database, and take every message that it knew a second time.
"""

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bars_gateway.errors import (
    BackupDamaged,
    DatabaseDamaged,
    DatabaseInUse,
    DatabaseNewer,
    RestoreRefused,
    StoreError,
)
from bars_gateway.store.backup import beside, copied, fresh_file, sync_folder
from bars_gateway.store.examination import (
    Examination,
    examined,
    is_damage,
    last_change_at,
    newest_schema,
    reading,
)
from bars_gateway.store.rows import text

LEAP = 1_000_000  # more than a gateway numbers between two backups

_WAITING = "state IN ('queued', 'held', 'sending')"
_ONLY_HERE = """
    NOT EXISTS (SELECT 1 FROM other.messages AS o
                 WHERE o.provider = m.provider AND o.direction = m.direction
                   AND o.request_id = m.request_id)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beyond:
    """What a database holds that a backup does not."""

    last_change_at: datetime | None
    received: int  # inbound messages
    submitted: int  # outbound messages, the unsettled ones included
    unsettled: int  # of those submitted
    settled_since: int  # outbound messages that still wait in the backup
    newer: bool  # whether anything at all happened in it after the backup


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was done, and what whoever did it has to know."""

    held: Examination  # what the backup holds
    aside: Path | None  # where the database is that was there; None: there was none
    beyond: Beyond | None  # what only that one knows; None: it could not be asked
    waiting: int  # outbound messages that go out (again)
    overdue: int  # of them past their time: the EPR is told so at once
    uncollected: int  # notices that the EPR is given (again)


def restore(backup: Path, database: Path, now: datetime, *, older: bool = False) -> Restored:
    """
    Put *backup* in the place of *database*, whose file is kept beside it.

    Raises DatabaseInUse while a gateway has it, RestoreRefused where something happened
    in it after the backup (unless *older* is said), BackupDamaged, DatabaseNewer, and
    StoreError where files cannot be written. Nothing has changed then.
    """
    try:
        with _locked(database):
            return _restore(backup, database, now, older=older)
    except OSError as error:
        raise StoreError(f"{database} could not be restored: {error.strerror}") from None


def _restore(backup: Path, database: Path, now: datetime, *, older: bool) -> Restored:
    _require_whole(backup)
    there = database.exists()
    beyond = _beyond(database, backup) if there else None
    if there and not older:
        _refuse_newer(database, beyond)
    restoring = beside(database, ".restoring")
    with fresh_file(restoring) as descriptor:
        with reading(backup) as source:
            held = copied(source, restoring, descriptor)
        waiting, overdue, uncollected = _make_safe(restoring, now)
        _belong(descriptor, database.parent)
        os.fsync(descriptor)
        aside = _keep(database, now) if there else None
        restoring.rename(database)
    sync_folder(database.parent)
    return Restored(
        held=held,
        aside=aside,
        beyond=beyond,
        waiting=waiting,
        overdue=overdue,
        uncollected=uncollected,
    )


@contextmanager
def _locked(database: Path) -> Iterator[None]:
    """Hold the lock that a running gateway holds; unlike it, create no database."""
    descriptor = os.open(f"{database}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _belong(descriptor, database.parent)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise DatabaseInUse(f"{database} is held by a gateway that runs") from None
    finally:
        os.close(descriptor)


def _belong(descriptor: int, folder: Path) -> None:
    """Where root restores, give the file to whoever has the folder: the gateway must open it."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _require_whole(backup: Path) -> None:
    try:
        with reading(backup) as connection:
            found = examined(connection, contents=False)
    except DatabaseDamaged as error:
        raise BackupDamaged(str(error)) from None
    if found.schema > newest_schema():
        raise DatabaseNewer(
            f"{backup} has schema {found.schema}; this release knows {newest_schema()}"
        )
    if found.damage:
        raise BackupDamaged(f"{backup} is no whole backup: {'; '.join(found.damage)}")


def _beyond(database: Path, backup: Path) -> Beyond | None:
    """Return what *database* has and *backup* has not, or None where nobody can say."""
    try:
        with reading(database, beside=backup) as connection:
            (tables,) = connection.execute("SELECT count(*) FROM main.sqlite_schema").fetchone()
            return _compared(connection) if tables else _NOTHING
    except StoreError:
        return None


_NOTHING = Beyond(
    last_change_at=None, received=0, submitted=0, unsettled=0, settled_since=0, newer=False
)


def _compared(connection: sqlite3.Connection) -> Beyond:
    def count(query: str) -> int:
        return int(connection.execute(f"SELECT count(*) {query}").fetchone()[0])

    only_here = f"FROM main.messages AS m WHERE {_ONLY_HERE}"
    (newer_events,) = connection.execute(
        "SELECT here.id > coalesce(there.id, 0) OR here.at > coalesce(there.at, '')"
        "  FROM (SELECT max(id) AS id, max(at) AS at FROM main.events) AS here,"
        "       (SELECT max(id) AS id, max(at) AS at FROM other.events) AS there"
    ).fetchone()
    return Beyond(
        last_change_at=last_change_at(connection),
        received=count(f"{only_here} AND m.direction = 'inbound'"),
        submitted=(submitted := count(f"{only_here} AND m.direction = 'outbound'")),
        unsettled=count(f"{only_here} AND m.settled_at IS NULL"),
        settled_since=count(
            "FROM main.messages AS m"
            " JOIN other.messages AS o USING (provider, direction, request_id)"
            " WHERE m.settled_at IS NOT NULL AND o.settled_at IS NULL"
        ),
        newer=bool(newer_events or submitted or count(only_here)),
    )


def _refuse_newer(database: Path, beyond: Beyond | None) -> None:
    if beyond is None:
        raise RestoreRefused(
            f"{database} cannot be read, so that nobody can say what it has and the backup lacks"
        )
    if beyond.newer:
        raise RestoreRefused(
            f"{database} is newer than the backup: it has {beyond.received} messages that were"
            f" received and {beyond.submitted} that were submitted since, and last changed at"
            f" {beyond.last_change_at:%Y-%m-%d %H:%M:%S} UTC"
        )


def _make_safe(restoring: Path, now: datetime) -> tuple[int, int, int]:
    """Change what a restore makes dangerous; return counts of waiting, overdue, uncollected."""
    connection = sqlite3.connect(restoring, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = OFF")  # synced by the caller, as a whole
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("BEGIN")
        counted = (
            f"SELECT count(*), count(*) FILTER (WHERE give_up_at <= ?),"  # noqa: S608
            f"       (SELECT count(*) FROM notices WHERE collected_at IS NULL)"
            f"  FROM messages WHERE {_WAITING}"
        )
        waiting, overdue, uncollected = connection.execute(counted, [text(now)]).fetchone()
        connection.execute(
            f"UPDATE messages SET attempts = attempts + 1 WHERE attempts = 0 AND {_WAITING}"  # noqa: S608
        )
        _leap(connection)
        connection.execute(
            "INSERT INTO events (at, kind, detail) VALUES (?, 'operator.restored', ?)",
            [text(now), json.dumps({"waiting": waiting, "uncollected": uncollected})],
        )
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise StoreError(f"{restoring} could not be made ready: {error}") from None
    finally:
        connection.close()
    return waiting, overdue, uncollected


def _leap(connection: sqlite3.Connection) -> None:
    """Go on counting far beyond any number that was given since the backup."""
    counted = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%'"
    ).fetchall()
    reached = dict(connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
    connection.execute("DELETE FROM sqlite_sequence")
    connection.executemany(
        "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)",
        [(name, reached.get(name, 0) + LEAP) for (name,) in counted],
    )


def _keep(database: Path, now: datetime) -> Path:
    """Give *database*, with what its log still holds, a second name, and free its first."""
    aside = beside(database, f".before-restore-{now:%Y%m%dT%H%M%SZ}")
    if aside.exists():
        raise StoreError(f"{aside} is there already")
    _settle_log(database)
    os.link(database, aside)
    # A log that could not be settled goes along: left here, it would be read as the new file's.
    for suffix in ("-wal", "-shm"):
        if beside(database, suffix).exists():
            beside(database, suffix).rename(beside(aside, suffix))
    sync_folder(database.parent)
    return aside


def _settle_log(database: Path) -> None:
    """Move the write-ahead log into *database*, unless that is damaged."""
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        row = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            return  # it is kept with its log as it is: whoever repairs it needs both
        raise StoreError(f"the log of {database} could not be settled: {error}") from None
    finally:
        connection.close()
    if row[0]:
        raise DatabaseInUse(f"another program has {database} open")
