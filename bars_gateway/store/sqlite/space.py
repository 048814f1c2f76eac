"""
Gives the room of what was purged back to the disk.

    empty pages ─► filled from the end of the file, which is cut off there ─► a shorter file

Only a file that was made with `auto_vacuum = INCREMENTAL` can do that, as every one is that this
release makes. One that an earlier program made has to be rebuilt once: `bars-gateway compact`.
"""

import os
import sqlite3
import time
from pathlib import Path

from bars_gateway.store.connection import Room

_INCREMENTAL = 2  # of PRAGMA auto_vacuum


def room_of(path: Path) -> Room:
    """Return how large the file is, and how much is free on its disk."""
    disk = os.statvfs(path.parent)
    free = disk.f_bavail * disk.f_frsize
    return Room(name=str(path), size_bytes=path.stat().st_size, free_bytes=free)


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
