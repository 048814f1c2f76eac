"""
Puts a backup in the place of the database, keeps what was there, and says what that means.

    backup ─► checked ─► gateway.db.restoring ─► made safe ─► gateway.db
                         gateway.db and its log ─► gateway.db.before-restore-<UTC>
    hand over            gateway.db.before-restore-<UTC> ─► what was received since ─► gateway.db

A restored database has forgotten what happened since, and the world has not. So some
things are changed in it before anybody uses it, all of them in one transaction:

- No number is given twice. The EPR knows a notice by its number for good, so a new
  message under a number that was used since the backup would be taken for the old one,
  or be written over it. All counters leap.
- What the kept database knows of our own messages holds: see `adoption`. Where it cannot
  be asked, or has not seen everything, what waits is held: it may have been withdrawn.
- What waits counts as tried. It may have been sent since, and `not_sent` would tell a
  clinician that it never left; when its time runs out it is `unconfirmed`, which is all
  that we know.
- What nobody can list may be forgotten: that is an alarm, until somebody has asked.
- What stood there unseen stands here, and what a person had marked as handled there does not:
  see `adopted`.
- The audit trail gets a line, so that the gap is explained where it shows; and what a person
  has to see to is an alarm for each message.

Whoever is killed in the middle runs it again: until the last rename the old database is in
its place, and after it the new one is there whole.

A tidy-minded reader would move the old file away first and the new one in after it. The
name is never empty here: a gateway that starts between the two would begin with an empty
database, and take every message that it knew a second time.

What the database is worth that a backup takes the place of is asked of it, beside the backup:

    absent, unreadable, incomplete ──► whatever waits in the backup is held
    whole                          ──► what it knows of each message holds

Incomplete is one that has not lived through all that happened: somebody began again, or put an
older file there, or a restore has left it that could not say what was forgotten. It may not know
that a message was withdrawn. Numbers and times prove nothing here: a restore lets numbers leap, and
whatever begins again goes on. So the audit trail must go on from the backup's, line by line, and
nothing may be lacking that the backup has.

Decisions: D-restore.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from bars_gateway import permissions
from bars_gateway.disk import sync_folder
from bars_gateway.errors import (
    BackupDamaged,
    DatabaseDamaged,
    DatabaseInUse,
    RestoreRefused,
    StoreError,
)
from bars_gateway.frozen import frozen
from bars_gateway.keyring import CLEAR, Vault
from bars_gateway.model.messages import Actor
from bars_gateway.model.retention import RecordClass
from bars_gateway.model.trail import LEAP as LEAP  # noqa: PLC0414 - and from here
from bars_gateway.ownership import belong
from bars_gateway.store.aftermath import (
    LEFT_BEHIND,
    Became,
    Line,
    doubt,
    forget_pauses,
    hold_doubtful,
    leave_unknown,
    raise_alarms,
    since,
    uncollected,
)
from bars_gateway.store.chain import chain_new, newest_line
from bars_gateway.store.integrity import DatabaseReport, last_change_at
from bars_gateway.store.migrating import SQLITE, newest
from bars_gateway.store.rows import text
from bars_gateway.store.sqlite import (
    FileConnection,
    SqliteConnection,
    keyed,
    read_only,
    require_known,
    words_of,
)
from bars_gateway.store.sqlite.adopted import StandsAgain
from bars_gateway.store.sqlite.adoption import Adoption
from bars_gateway.store.sqlite.backup import beside, copied, fresh_file
from bars_gateway.store.sqlite.database import migrate
from bars_gateway.store.sqlite.inspection import mark
from bars_gateway.store.sqlite.integrity import (
    contents_of,
    examined,
    is_damage,
    reading,
)
from bars_gateway.store.sqlite.lock import DatabaseLock
from bars_gateway.store.sqlite.unlocking import encrypt_anew, require_keys

NOT_TAKEN_OVER = frozenset({Became.FAILED, Became.LEFT})
_LACKS = """
    NOT EXISTS (SELECT 1 FROM {there}.messages AS o
                 WHERE o.provider = m.provider AND o.direction = m.direction
                   AND o.request_id = m.request_id)
"""
_LAST = """
    (SELECT max(id) AS id, max(at) AS at FROM main.events) AS here,
    (SELECT max(id) AS id, max(at) AS at FROM other.events) AS there
"""
# What a backup has and nothing removes but a purge, and by what the same is known here.
_LASTING: Mapping[str, Sequence[str]] = {
    "events": ("id", "at", "kind", "provider", "message_id", "request_id"),
    "messages": ("provider", "direction", "request_id"),
    "ledger": ("provider", "request_id"),
    "quarantine": ("provider", "request_id", "fingerprint"),
}
_PURGED = frozenset({RecordClass.MESSAGES, RecordClass.QUARANTINE})
_FORGOT = """
    SELECT 1 FROM main.events AS mine
     WHERE mine.kind = 'operator.restored'
       AND NOT coalesce(json_extract(mine.detail, '$.listed'), 0)
       AND NOT EXISTS (SELECT 1 FROM other.events AS e WHERE e.id = mine.id AND e.at = mine.at)
"""


class DatabaseCondition(StrEnum):
    """What may be believed of the database that was there before a restore."""

    ABSENT = "absent"  # there was none
    UNREADABLE = "unreadable"  # damaged, or no database of ours
    INCOMPLETE = "incomplete"  # it has not lived through all that happened
    WHOLE = "whole"


@frozen(kw_only=True)
class Beyond:
    """What a database holds that a backup does not."""

    last_change_at: datetime | None
    received: int  # inbound messages
    submitted: int  # outbound messages, the unsettled ones included
    newer: bool  # whether anything at all happened in it after the backup


@frozen(kw_only=True)
class Restored:
    """What was done, and what whoever did it has to know."""

    held: DatabaseReport  # what the backup holds
    aside: Path | None  # where the database is that was there; None: there was none
    condition: DatabaseCondition  # what that one is worth
    listed: bool  # whether it could be read to its end: else lines may be missing
    lines: Sequence[Line]  # each message that is affected
    alarms: Sequence[StandsAgain]  # what nobody had seen to, and was not in the backup
    uncollected: int  # notices that the EPR is given (again)


@frozen(kw_only=True)
class HandedOver:
    """What was entered from a kept database for the EPR to be given."""

    listed: bool  # whether that could be read to its end: else lines may be missing
    lines: Sequence[Line]
    alarms: Sequence[StandsAgain]  # what nobody had seen to, and was not here


@frozen(kw_only=True)
class _Known:
    """What a kept database has told."""

    listed: bool = False
    lines: Sequence[Line] = ()
    alarms: Sequence[StandsAgain] = ()
    handled: frozenset[tuple[str | None, str | None]] = frozenset()  # of what is quarantined


def restore(
    backup: Path,
    database: Path,
    now: datetime,
    *,
    older: bool = False,
    actor: Actor | None = None,
    vault: Vault = CLEAR,
    told: int = 0,
) -> Restored:
    """
    Put *backup* in the place of *database*, whose file is kept beside it; the trail says by whom.

    *told*: the last line of its trail of which a file beside it knows.

    Raises DatabaseInUse while a gateway has it, RestoreRefused where something happened
    in it after the backup (unless *older* is said), BackupDamaged, DatabaseNewer, KeyMissing
    where *vault* does not open it, and StoreError where files cannot be written. Nothing has
    changed then.
    """
    if database.exists() and not database.is_file():  # it would be moved away, with all in it
        raise StoreError(f"{database} is not a file, and a database is one")
    try:
        with locked(database):
            return _restore(backup, database, now, older=older, actor=actor, vault=vault, told=told)
    except OSError as error:
        raise StoreError(f"{database} could not be restored: {error.strerror}") from None


def hand_over(
    kept: Path, database: Path, now: datetime, *, actor: Actor | None = None, vault: Vault = CLEAR
) -> HandedOver:
    """
    Enter what only *kept* has into *database*: the EPR is given it by the next start.

    All or nothing, and what is there already is left alone: so it can be done again.
    Raises DatabaseInUse while a gateway has *database*, and StoreError where either file
    cannot be used.
    """
    for path in (kept, database):
        if not path.is_file():
            raise StoreError(f"there is no file at {path}")
    if kept.samefile(database):
        raise StoreError(f"{kept} is the database itself: name the one that was kept beside it")
    _require_ours(kept)
    with locked(database), working_on(database, beside=kept, vault=vault) as connection:
        adoption = Adoption(connection, now)
        lines = adoption.of_received()
        given = sum(line.fate is Became.HANDED_OVER for line in lines)
        works = SqliteConnection(connection)
        hold_doubtful(works, lines, now)
        _settle_alarms(connection, now)
        raise_alarms(works, [each for each in lines if each.fate in NOT_TAKEN_OVER], now)
        done = typed_by(actor) | {"messages": given, "kept": kept.name}
        _audit(connection, "operator.handed_over", now, done)
        return HandedOver(listed=adoption.whole, lines=lines, alarms=adoption.alarms)


def typed_by(actor: Actor | None) -> dict[str, object]:
    """Return what the trail says of whoever did it."""
    if actor is None:
        return {}
    told = {"who": actor.who, "role": actor.role, "why": actor.why}
    return {name: value for name, value in told.items() if value}


def _require_ours(kept: Path) -> None:
    with reading(kept) as connection:
        (schema,) = connection.execute("PRAGMA user_version").fetchone()
    if not 1 <= schema <= newest(SQLITE):
        raise StoreError(f"{kept} is not a database of this gateway, or is one of a later release")


def _restore(
    backup: Path,
    database: Path,
    now: datetime,
    *,
    older: bool,
    actor: Actor | None,
    vault: Vault,
    told: int,
) -> Restored:
    _require_whole(backup)
    condition, beyond = _judge(database, backup)
    if condition is not DatabaseCondition.ABSENT and not older:
        _refuse_newer(database, beyond)
    aside = None
    if condition is not DatabaseCondition.ABSENT:
        aside = _aside(database, now)
    restoring = beside(database, ".restoring")
    with fresh_file(restoring) as descriptor:
        with reading(backup) as source:
            held = copied(source, restoring, descriptor)
        restored = _make_safe(restoring, database, now, held, condition, aside, actor, vault, told)
        belong(descriptor, database.parent)
        os.fsync(descriptor)
        if aside is not None:
            _keep(database, aside)
        restoring.rename(database)
    sync_folder(database.parent)
    return restored


def _settle_alarms(connection: sqlite3.Connection, now: datetime) -> None:
    """End the alarm of each message that is here by now."""
    connection.execute(
        "UPDATE main.alarms SET ended_at = ?, ended_how = 'settled'"
        " WHERE kind = ? AND ended_at IS NULL"
        "   AND EXISTS (SELECT 1 FROM main.messages AS m"
        "                WHERE m.provider = alarms.provider AND m.request_id = alarms.request_id"
        "                UNION ALL"
        "               SELECT 1 FROM main.quarantine AS q"
        "                WHERE q.provider = alarms.provider AND q.request_id = alarms.request_id)",
        [text(now), LEFT_BEHIND],
    )


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Hold the lock that a running gateway holds; unlike it, create no database."""
    with closing(DatabaseLock(database)):
        yield


def _require_whole(backup: Path) -> None:
    try:
        with reading(backup) as connection:
            require_known(connection, backup)
            found = examined(connection, contents=False)
    except DatabaseDamaged as error:
        raise BackupDamaged(str(error)) from None
    if found.damage:
        raise BackupDamaged(f"{backup} is not a whole backup: {'; '.join(found.damage)}")


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


def _make_safe(  # noqa: PLR0917
    restoring: Path,
    database: Path,
    now: datetime,
    held: DatabaseReport,
    condition: DatabaseCondition,
    aside: Path | None,
    actor: Actor | None,
    vault: Vault,
    told: int,
) -> Restored:
    """Change what a restore makes dangerous; return what that means."""
    askable = condition in {DatabaseCondition.WHOLE, DatabaseCondition.INCOMPLETE}
    salvaged = [] if askable or aside is None else _salvaged(restoring, database, now, vault)
    there = _Known(lines=salvaged)
    with working_on(restoring, beside=database if askable else None, vault=vault) as connection:
        leap(connection, askable=askable, told=told)
        if askable:
            there = _compared(connection, condition, now)
        if not there.listed:
            doubt(SqliteConnection(connection))
        works, unknown = SqliteConnection(connection), condition is not DatabaseCondition.WHOLE
        hold_doubtful(works, there.lines, now)
        lines = _last_word([*there.lines, *leave_unknown(works, now, hold=unknown)])
        to_collect = uncollected(works)
        raise_alarms(works, [each for each in lines if not _is_seen_to(each, there)], now)
        forget_pauses(works)
        if not there.listed:
            _audit(connection, "restore.forgotten", now, {"place": since(held.last_change_at)})
        done = typed_by(actor) | {"kept": condition, "listed": there.listed, "messages": len(lines)}
        _audit(connection, "operator.restored", now, done | _lost_head(connection, askable=askable))
    return Restored(
        held=held,
        aside=aside,
        condition=condition,
        listed=there.listed,
        lines=lines,
        alarms=there.alarms,
        uncollected=to_collect,
    )


def _compared(connection: FileConnection, condition: DatabaseCondition, now: datetime) -> _Known:
    """Bring over what the kept database knows; return that, and whether it is all there is."""
    tables = connection.execute("SELECT count(*) FROM other.sqlite_schema").fetchone()
    if not tables[0]:
        return _Known()  # a file that nothing was ever written to
    adoption = Adoption(connection, now)
    lines = adoption.of_sent(ends_only=condition is not DatabaseCondition.WHOLE)
    lines += adoption.to_hand_over()
    return _Known(
        listed=adoption.whole and condition is DatabaseCondition.WHOLE,
        lines=lines,
        alarms=adoption.alarms,
        handled=adoption.handled,
    )


def _is_seen_to(line: Line, there: _Known) -> bool:
    """Tell whether it lay in quarantine, and somebody had dealt with it before the restore."""
    return line.fate is Became.QUARANTINED and (line.provider, line.request_id) in there.handled


def _last_word(lines: Sequence[Line]) -> list[Line]:
    """Let each message be there once, with what became of it in the end."""
    last: dict[tuple[str, str, str], Line] = {}
    for line in lines:
        key = (line.provider, line.direction, line.request_id)
        if key not in last or last[key].fate is not Became.FAILED:
            last[key] = line
    return list(last.values())


def _salvaged(restoring: Path, damaged: Path, now: datetime, vault: Vault) -> list[Line]:
    """Return what was received, as far as a damaged database can still say."""
    try:
        with working_on(restoring, beside=damaged, vault=vault) as connection:
            return Adoption(connection, now).to_hand_over()
    except StoreError:
        return []


@contextmanager
def working_on(path: Path, *, beside: Path | None, vault: Vault) -> Iterator[FileConnection]:
    """Open one transaction on *path*, with *beside* as schema `other`; all of it or nothing."""
    uri = f"{path.absolute().as_uri()}?mode=rw"
    try:
        with closing(keyed(vault, uri, uri=True, isolation_level=None)) as connection:
            require_keys(connection, vault, path)
            connection.row_factory = sqlite3.Row
            for pragma in ("synchronous = FULL", "secure_delete = ON", "foreign_keys = ON"):
                connection.execute(f"PRAGMA {pragma}")
            mark(connection, stopped=False)  # before all else: the next start looks at this
            migrate(connection, path)
            if beside is not None:
                connection.execute("ATTACH ? AS other", [read_only(beside)])
                require_keys(connection, vault, beside, schema="other")
            connection.execute("BEGIN IMMEDIATE")
            before = newest_line(SqliteConnection(connection))
            encrypt_anew(connection, vault, beside=beside is not None)
            yield connection
            chain_new(SqliteConnection(connection), before)
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        permissions.require_database(path, write=True)
        raise StoreError(f"{path} could not be made ready: {words_of(error)}") from None


def _audit(
    connection: sqlite3.Connection, kind: str, now: datetime, detail: dict[str, object]
) -> None:
    connection.execute(
        "INSERT INTO main.events (at, kind, detail) VALUES (?, ?, ?)",
        [text(now), kind, json.dumps(detail)],
    )


def _lost_head(connection: sqlite3.Connection, *, askable: bool) -> dict[str, object]:
    """Return how far the audit trail had come that is put aside, if that can be asked."""
    if (
        not askable
        or not connection.execute(
            "SELECT 1 FROM other.sqlite_schema WHERE name = 'chain' AND type = 'table'"
        ).fetchone()
    ):
        return {}
    head = connection.execute(
        "SELECT line, hash FROM other.chain ORDER BY line DESC LIMIT 1"
    ).fetchone()
    return {"line": head["line"], "hash": head["hash"]} if head else {}


def leap(connection: sqlite3.Connection, *, askable: bool, told: int) -> None:
    """
    Go on counting far beyond any number that was given since the backup.

    A backup may be restored twice: what was numbered after the first time is counted as well.
    *told*: the last line of the trail of which somebody outside the database knows.
    """
    counted = connection.execute(
        "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%'"
    ).fetchall()
    reached = dict(connection.execute("SELECT name, seq FROM main.sqlite_sequence").fetchall())
    query = "SELECT name FROM other.sqlite_schema WHERE name = 'sqlite_sequence'"
    if askable and connection.execute(query).fetchone():
        there = connection.execute("SELECT name, seq FROM other.sqlite_sequence").fetchall()
        reached |= {name: max(seq, reached.get(name, 0)) for name, seq in there}
    reached["events"] = max(told, reached.get("events", 0))
    connection.execute("DELETE FROM main.sqlite_sequence")
    connection.executemany(
        "INSERT INTO main.sqlite_sequence (name, seq) VALUES (?, ?)",
        [(name, reached.get(name, 0) + LEAP) for (name,) in counted],
    )


def _aside(database: Path, now: datetime) -> Path:
    """Return where *database* is kept: by the first second from *now* on that has none yet."""
    aside = beside(database, f".before-restore-{now:%Y%m%dT%H%M%SZ}")
    return _aside(database, now + timedelta(seconds=1)) if aside.exists() else aside


def _keep(database: Path, aside: Path) -> None:
    """Give *database*, with what its log still holds, a second name, and free its first."""
    _settle_log(database)
    os.link(database, aside)
    # A log that could not be settled goes along: left here, it would be read as the new file's.
    for suffix in ("-wal", "-shm"):
        if beside(database, suffix).exists():
            beside(database, suffix).rename(beside(aside, suffix))
    sync_folder(database.parent)


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


def _judge(database: Path, backup: Path) -> tuple[DatabaseCondition, Beyond | None]:
    """Return what *database* is worth, and what it has beyond *backup*; None: nobody can say."""
    if not database.exists():
        return DatabaseCondition.ABSENT, None
    try:
        with reading(database, beside=backup) as connection:
            (tables,) = connection.execute("SELECT count(*) FROM main.sqlite_schema").fetchone()
            if not tables:
                return DatabaseCondition.INCOMPLETE, _NOTHING
            if examined(connection, contents=False).damage:
                return DatabaseCondition.UNREADABLE, None
            complete = _has_seen_all(connection)
            return DatabaseCondition.WHOLE if complete else DatabaseCondition.INCOMPLETE, _beyond(
                connection
            )
    except (StoreError, sqlite3.Error):
        return DatabaseCondition.UNREADABLE, None


_NOTHING = Beyond(last_change_at=None, received=0, submitted=0, newer=False)


def _has_seen_all(connection: sqlite3.Connection) -> bool:
    """Tell whether the database goes on from where the backup was made, and forgot nothing."""
    lacking = any(_lacks(connection, table, keys) for table, keys in _LASTING.items())
    return not lacking and connection.execute(_FORGOT).fetchone() is None


def _lacks(connection: sqlite3.Connection, table: str, keys: Sequence[str]) -> bool:
    same = " AND ".join(f"here.{key} IS there.{key}" for key in keys)
    purged = (
        f"AND NOT EXISTS (SELECT 1 FROM main.purged AS p WHERE p.class = '{table}'"  # noqa: S608
        f" AND p.first <= there.id AND p.last >= there.id)"
        if table in _PURGED
        else ""
    )
    if table == "events":  # those may have left by their rule
        purged = "AND there.id > coalesce((SELECT max(through) FROM main.anchors), 0)"
    query = (
        f"SELECT 1 FROM other.{table} AS there"  # noqa: S608
        f" WHERE NOT EXISTS (SELECT 1 FROM main.{table} AS here WHERE {same}) {purged} LIMIT 1"
    )
    return connection.execute(query).fetchone() is not None


def _beyond(connection: FileConnection) -> Beyond:
    def count(direction: str) -> int:
        query = (
            f"SELECT count(*) FROM main.messages AS m"  # noqa: S608
            f" WHERE m.direction = ? AND {_LACKS.format(there='other')}"
        )
        return int(connection.execute(query, [direction]).fetchone()[0])

    (newer_events,) = connection.execute(
        "SELECT here.id > coalesce(there.id, 0) OR here.at > coalesce(there.at, '')"  # noqa: S608
        f" FROM {_LAST}"
    ).fetchone()
    received, submitted = count("inbound"), count("outbound")
    return Beyond(
        last_change_at=last_change_at(contents_of(connection)),
        received=received,
        submitted=submitted,
        newer=bool(newer_events or received or submitted),
    )
