"""
The file on its disk: whether it is still at its path, how much room there is, and room given back.

    empty pages ─► filled from the end of the file, which is cut off there ─► a shorter file

Only a file that was made with `auto_vacuum = INCREMENTAL` can do that, as every one is that this
release makes. One that an earlier program made has to be rebuilt once: `bars-gateway compact`.

SQLite writes on to a file that was moved away or removed, and what it says is on disk is gone with
the next stop. In WAL mode it does not look: so each group of works and each promise begin with it.
"""

import os
import sqlite3
import time
from pathlib import Path

from bars_gateway.errors import StoreUnavailable
from bars_gateway.store.connection import Room

_OUT_OF_REACH = "the database is out of reach"
_GONE = (
    "The gateway still has the file that lay there, and writes to no other. Move that very file"
    " back, with those beside it (`mv`, not `cp`): all goes on. A copy is not taken before"
    " a restart, and what it lacks is lost then. So only where that file is lost: stop the gateway,"
    " put the newest copy there, make it safe by `bars-gateway restore --why TEXT`"
    " (`docs/restoring.md`), and start the gateway."
)
_INCREMENTAL = 2  # of PRAGMA auto_vacuum


def room_of(path: Path) -> Room:
    """Return how large the file is, and how much is free on its disk."""
    disk = os.statvfs(path.parent)
    free = disk.f_bavail * disk.f_frsize
    return Room(name=str(path), size_bytes=path.stat().st_size, free_bytes=free)


class OpenedFile:
    """The file that was opened, which somebody may take from its path."""

    def __init__(self, path: Path) -> None:
        self._path, self._opened = path, path.stat()

    def require_in_place(self) -> None:
        """Raise StoreUnavailable where it is not at its path any more."""
        try:
            there = self._path.stat()
        except OSError as error:
            raise self._out_of_reach(error) from None
        if not os.path.samestat(there, self._opened):
            raise StoreUnavailable(f"{_OUT_OF_REACH}: another file lies at {self._path}", _GONE)

    def room(self) -> Room:
        """Return how large it is, and how much is free on its disk; raise StoreUnavailable."""
        self.require_in_place()
        try:
            return room_of(self._path)
        except OSError as error:
            raise self._out_of_reach(error) from None

    def _out_of_reach(self, error: OSError) -> StoreUnavailable:
        cure = _GONE if isinstance(error, FileNotFoundError) else None
        return StoreUnavailable(f"{_OUT_OF_REACH}: {self._path}: {error.strerror}", cure)


def given_back(connection: sqlite3.Connection, *, pages: int) -> tuple[int, float]:
    """Cut off so many empty pages at the end of the file; return what is left, and the seconds."""
    if not gives_back(connection):
        return 0, 0.0
    began = time.monotonic()
    (left,) = connection.execute("PRAGMA freelist_count").fetchone()
    for _ in range(min(pages, left)):
        # A page each: whatever number is asked for, Python's module takes one step and resets.
        connection.execute("PRAGMA incremental_vacuum(1)")
    (left,) = connection.execute("PRAGMA freelist_count").fetchone()
    return int(left), time.monotonic() - began


def gives_back(connection: sqlite3.Connection) -> bool:
    """Tell whether the file can be made smaller as it is: one that was made so can."""
    (mode,) = connection.execute("PRAGMA auto_vacuum").fetchone()
    return bool(mode == _INCREMENTAL)
