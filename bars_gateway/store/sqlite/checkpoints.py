"""
Moves the write-ahead log into the database: when that is due, and what may stand in its way.

    commit ──► 0.25 s later where nobody waits, 1 s later all the same ──► checkpoint ─┬─ complete
       ▲                                     again, ever more seldom ◄── in part ◄─────┘
       └─ until something is committed again, none is due ──► 5 s later the log's file is emptied

Only the connection that writes moves it, between two transactions of its own. SQLite from
3.7.0 to 3.51.2 can lose committed rows where another connection does it: a checkpoint of a
log that is complete already, at the very instant of a commit that begins the log again. So
that a connection which is closed last cannot do it either, all others are opened `mode=ro`.

A reader that does not end keeps the log from being moved, and it grows without a bound: that is
told (`LogWatch`), for nothing but the end of that reader helps.

A checkpoint adds nothing that was promised: what is committed is safe in the log. So one
that fails, because room or file descriptors are missing, is said and tried again, and ends nothing.

Decisions: D-checkpoints.
"""

import sqlite3

from bars_gateway.frozen import frozen
from bars_gateway.model.readings import StuckLog

SOON = 0.25  # seconds after a commit, where nobody waits for the writer
AT_LATEST = 1.0  # seconds after it, whoever waits: small checkpoints are short ones
SELDOM = 5.0  # seconds between two, where a reader holds on to old pages or the disk is full
IDLE = 5.0  # seconds after the last change until the log's room goes back to the disk
KEPT_BYTES = 16 * 1024 * 1024  # of the log's file, for what is committed next
STUCK_BYTES = 64 * 1024 * 1024  # and how much of it may wait for a reader before a person is told
STUCK_SECONDS = 60.0  # after so long: none of our own readers takes that


@frozen
class Checkpoint:
    """How a checkpoint ended."""

    complete: bool  # all that is committed is in the file
    reason: str | None = None  # why it failed, in SQLite's words; None: it did not
    emptied: bool = False  # nothing that was overwritten is left in the log's file
    stuck_bytes: int = 0  # of the log, where a reader kept it from being complete


class LogWatch:
    """For how long a reader has kept the log from being moved, and how much that is."""

    def __init__(self) -> None:
        self._since: float | None = None  # None: the last checkpoint was complete, or failed
        self._bytes = 0

    def ended(self, checkpoint: Checkpoint, now: float) -> None:
        """Take note of how a checkpoint has ended."""
        self._bytes = checkpoint.stuck_bytes
        if not checkpoint.stuck_bytes:
            self._since = None
        elif self._since is None:
            self._since = now

    def at(self, now: float) -> StuckLog | None:
        """Return what somebody should be told of; None: it is short, or has not lasted."""
        if self._since is None or now - self._since < STUCK_SECONDS or self._bytes < STUCK_BYTES:
            return None
        return StuckLog(seconds=now - self._since, size=self._bytes)


class Schedule:
    """When the next checkpoint is due, in seconds of a clock that only goes forward."""

    def __init__(self) -> None:
        self._due_at: float | None = None  # None: all that is committed is in the file
        self._committed_at = 0.0  # the first commit since the last checkpoint
        self._pause = SOON
        self._idle_at: float | None = None  # when the log's file is emptied; None: it is, or used

    def committed(self, now: float) -> None:
        """Take note that something was committed."""
        self._idle_at = None
        if self._due_at is None:
            self._due_at, self._committed_at = now + SOON, now

    def ended(self, checkpoint: Checkpoint, now: float) -> None:
        """Take note of how a checkpoint has ended."""
        if checkpoint.complete:
            self._due_at, self._pause = None, SOON
            self._idle_at = None if checkpoint.emptied else now + IDLE
        else:
            self._pause = min(self._pause * 2, SELDOM)
            self._due_at, self._committed_at = now + self._pause, now + self._pause

    def seconds_left(self, now: float) -> float | None:
        """Return how long until one is due where nobody waits; None: none is."""
        next_at = self._idle_at if self._due_at is None else self._due_at
        return None if next_at is None else max(0.0, next_at - now)

    def is_due(self, now: float, *, waiting: bool) -> bool:
        """Tell whether to do one now, with somebody *waiting* for the writer or not."""
        if self._due_at is None:
            return False
        return now >= (self._committed_at + AT_LATEST if waiting else self._due_at)

    def is_idle(self, now: float) -> bool:
        """Tell whether nothing was committed for so long that the log's file is to be emptied."""
        return self._idle_at is not None and now >= self._idle_at


def checkpoint(connection: sqlite3.Connection, *, empty: bool = False) -> Checkpoint:
    """
    Move what is committed into the file, waiting for no reader; never raises SQLite's errors.

    *empty*: nothing is to be left in the log's file, unless a reader still looks at it.
    """
    emptied = False
    try:
        _, frames, moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
        if frames == moved and (empty or frames * page_size > KEPT_BYTES):
            emptied = _truncate(connection)
    except sqlite3.Error as error:
        return Checkpoint(complete=False, reason=str(error))
    complete = frames == moved and (emptied or not empty)
    stuck_bytes = 0 if frames == moved else frames * page_size
    return Checkpoint(complete=complete, emptied=emptied, stuck_bytes=stuck_bytes)


def _truncate(connection: sqlite3.Connection) -> bool:
    """Give the log's room back to the disk, unless a reader still looks at it; tell whether."""
    (timeout,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy
    finally:
        connection.execute(f"PRAGMA busy_timeout = {timeout}")
