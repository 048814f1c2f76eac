"""
How far the database was: a file in each spool folder tells it, which may stay when that goes back.

    every hour, at a start and at a stop ─► last line of the trail, and marks before it ─► .reached

    a start finds      a mark that its trail has      none of them
    a line told of
    that it has        goes on                        another database, or nobody can tell: goes on
    that is another    it has gone back: refused      goes on
    beyond its end     it has gone back: refused      goes on

Numbers alone prove nothing: another database may have fewer lines. A mark is a line and its hash,
which no other trail has; and whoever writes the file names only what its own trail has. So where
one of them is there and the last line is not, this is the same database, and it knew more: or a
copy that was made of it and has run elsewhere, which the folder cannot tell from it. Nor can it
tell a trail that somebody has written anew, each hash from some line on. That one is not to be
believed either in what was withdrawn; a line that merely does not fit those around it was spoilt,
says nothing of the rest, and is for whoever walks the trail.

There is a mark of each day, for the oldest lines may leave by their rule. What was not told yet
when the database went back, or went back together with it, nobody sees.

Decisions: D-restore.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from bars_gateway.errors import DatabaseSetBack
from bars_gateway.frozen import frozen
from bars_gateway.model.trail import TrailHead
from bars_gateway.store.chain import beginning, hash_at, head, is_another
from bars_gateway.store.connection import Connection
from bars_gateway.store.heads import is_hash
from bars_gateway.store.rows import instant, text
from bars_gateway.store.work import Noun, reads

REACHED_FILE = ".reached"
_MOST_MARKS = 100  # days
_MOST_BYTES = 64 * 1024
_MOST_LINES = 2**53  # of a trail; what names more was not written here


@frozen(kw_only=True)
class Reached:
    """How far a database was."""

    at: datetime
    last: TrailHead
    marks: Sequence[TrailHead]  # lines before it, the oldest first

    @property
    def written(self) -> bytes:
        """The content of its file."""
        marks = [[each.line, each.hash] for each in self.marks]
        told = {"at": text(self.at), "line": self.last.line, "hash": self.last.hash}
        return json.dumps({**told, "marks": marks}).encode() + b"\n"


def told_at(folder: Path) -> Reached | None:
    """Return what the file in *folder* tells; None: there is none, or nothing can be made of it."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(folder / REACHED_FILE, flags), "rb") as file:
            told = json.loads(file.read(_MOST_BYTES))
        at = instant(told["at"])
        last, *marks = [
            _mark(*each) for each in [(told["line"], told["hash"]), *map(tuple, told["marks"])]
        ]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return None if at is None else Reached(at=at, last=last, marks=marks)


def _mark(line: object, hash_: object) -> TrailHead:
    if type(line) is not int or not 0 < line <= _MOST_LINES:
        raise ValueError("no number of a line")
    if not isinstance(hash_, str) or not is_hash(hash_):
        raise ValueError("no hash of a line")
    return TrailHead(line=line, hash=hash_)


def reached(connection: Connection, before: Reached | None, now: datetime) -> Reached | None:
    """Return how far the database is, with the marks of *before* that it has; None: it is empty."""
    last = head(connection)
    if last is None:
        return None
    marks = []
    if before is not None:
        is_new_day = not before.marks or before.at.date() != now.date()
        told = [*before.marks, *([before.last] if is_new_day else [])]
        marks = [each for each in told if hash_at(connection, each.line) == each.hash]
    first = _first(connection)
    if first is not None and first not in marks:
        marks = [first, *marks]
    kept = marks[:1] + marks[1:][-_MOST_MARKS:]
    return Reached(at=now, last=last, marks=kept)


def _first(connection: Connection) -> TrailHead | None:
    begins_after, _ = beginning(connection)
    rows = connection.rows("trail_lines", after=begins_after, limit=1)
    hash_ = hash_at(connection, rows[0]["line"]) if rows else None
    return None if hash_ is None else TrailHead(line=rows[0]["line"], hash=hash_)


def require_not_gone_back(
    connection: Connection, folders: Iterable[tuple[Path, Reached]], name: str
) -> None:
    """Raise DatabaseSetBack where one of *folders* tells of more of this very database, *name*."""
    last = head(connection)
    if last is None:
        return
    for folder, told in folders:
        if not any(hash_at(connection, each.line) == each.hash for each in told.marks):
            continue
        tells = f"{folder / REACHED_FILE} tells that at {_shown(told.at)} it had"
        if told.last.line > last.line:
            raise DatabaseSetBack(
                f"{name} has gone back: it ends with line {last.line} of its audit trail, of"
                f" {_when(connection, last)}, and {tells} line {told.last.line}",
                _CURE,
            )
        if is_another(connection, told.last):
            raise DatabaseSetBack(
                f"{name} has gone back, and has gone on since: line {told.last.line} of its audit"
                f" trail is of {_when(connection, told.last)}, and {tells} another line"
                f" {told.last.line}",
                f"{_CURE} {_OR_WRITTEN_ANEW}",
            )


_OR_WRITTEN_ANEW = (
    "Or somebody has written the trail anew, for all its hashes fit: `bars-gateway audit verify"
    " --against FILE`, with what was copied off this machine, tells from which line on. The cure is"
    " the same: what waits in it cannot be believed."
)
_CURE = (
    "Another program has put an older copy back (a snapshot of the machine, a backup program,"
    " somebody by hand). If the newer database is still there, put it back. Else `bars-gateway"
    " restore --why TEXT`, without FILE: it holds what may have been withdrawn since, and lets no"
    " number be given twice. See `docs/restoring.md`."
)


def told_in(folders: Iterable[Path]) -> list[tuple[Path, Reached]]:
    """Return what the files in *folders* tell, by folder, as far as they can be read."""
    found = ((folder, told_at(folder)) for folder in folders)
    return [(folder, told) for folder, told in found if told is not None]


def last_line_in(folders: Iterable[Path]) -> int:
    """Return the last line of which a file in *folders* tells; 0: of none."""
    return max((told.last.line for _, told in told_in(folders)), default=0)


def _when(connection: Connection, last: TrailHead) -> str:
    """Return when that line was written, in words."""
    with contextlib.suppress(ValueError, LookupError):
        (row,) = connection.rows("trail_lines", after=last.line - 1, limit=1)
        at = instant(row["at"].decode("ascii", "replace"))
        if at is not None:
            return _shown(at)
    return "a time that cannot be read"


def _shown(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


class Reaches(Noun):
    """How far the database is, held against what is told outside it."""

    @reads
    def require_not_gone_back(
        self, connection: Connection, folders: Iterable[tuple[Path, Reached]], name: str
    ) -> None:
        """Raise DatabaseSetBack where one of *folders* tells of more of this database, *name*."""
        require_not_gone_back(connection, folders, name)

    @reads
    def is_another(self, connection: Connection, told: TrailHead) -> bool:
        """Tell whether the line that was *told* of is another here, as it was written."""
        return is_another(connection, told)

    @reads
    def reached(
        self, connection: Connection, before: Reached | None, now: datetime
    ) -> Reached | None:
        """Return how far it is, with the marks of *before* that it has; None: it is empty."""
        return reached(connection, before, now)
