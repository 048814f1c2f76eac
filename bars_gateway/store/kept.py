"""
What the database is worth that a backup takes the place of: it is kept, and asked.

    absent, unreadable, incomplete ──► whatever waits in the backup is held
    whole                          ──► what it knows of each message holds

Incomplete is one that has not seen all that the backup has: somebody began again, or put an
older file there. It may not know that a message was withdrawn.
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from bars_gateway.errors import StoreError
from bars_gateway.store.examination import examined, last_change_at, reading


class Condition(StrEnum):
    """What may be believed of the database that was there before a restore."""

    ABSENT = "absent"  # there was none
    UNREADABLE = "unreadable"  # damaged, or no database of ours
    INCOMPLETE = "incomplete"  # it has not seen all that the backup has
    WHOLE = "whole"


@dataclass(frozen=True, slots=True, kw_only=True)
class Beyond:
    """What a database holds that a backup does not."""

    last_change_at: datetime | None
    received: int  # inbound messages
    submitted: int  # outbound messages, the unsettled ones included
    newer: bool  # whether anything at all happened in it after the backup


def judge(database: Path, backup: Path) -> tuple[Condition, Beyond | None]:
    """Return what *database* is worth, and what it has beyond *backup*; None: nobody can say."""
    if not database.exists():
        return Condition.ABSENT, None
    try:
        with reading(database, beside=backup) as connection:
            (tables,) = connection.execute("SELECT count(*) FROM main.sqlite_schema").fetchone()
            if not tables:
                return Condition.INCOMPLETE, _NOTHING
            if examined(connection, contents=False).damage:
                return Condition.UNREADABLE, None
            complete = _has_seen_all(connection)
            return Condition.WHOLE if complete else Condition.INCOMPLETE, _compared(connection)
    except (StoreError, sqlite3.Error):
        return Condition.UNREADABLE, None


_NOTHING = Beyond(last_change_at=None, received=0, submitted=0, newer=False)
_LACKS = """
    NOT EXISTS (SELECT 1 FROM {there}.messages AS o
                 WHERE o.provider = m.provider AND o.direction = m.direction
                   AND o.request_id = m.request_id)
"""


def _has_seen_all(connection: sqlite3.Connection) -> bool:
    """Tell whether the database goes on from where the backup was made."""
    (later,) = connection.execute(
        "SELECT here.id >= coalesce(there.id, 0) AND here.at >= coalesce(there.at, '')"  # noqa: S608
        f" FROM {_LAST}"
    ).fetchone()
    lacking = connection.execute(
        "SELECT 1 FROM other.messages AS m WHERE m.direction = 'outbound'"  # noqa: S608
        f"  AND {_LACKS.format(there='main')} LIMIT 1"
    ).fetchone()
    empty = connection.execute("SELECT 1 FROM other.messages LIMIT 1").fetchone() is None
    return bool(later or empty) and lacking is None


_LAST = """
    (SELECT max(id) AS id, max(at) AS at FROM main.events) AS here,
    (SELECT max(id) AS id, max(at) AS at FROM other.events) AS there
"""


def _compared(connection: sqlite3.Connection) -> Beyond:
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
        last_change_at=last_change_at(connection),
        received=received,
        submitted=submitted,
        newer=bool(newer_events or received or submitted),
    )
