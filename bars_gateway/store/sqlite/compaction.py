"""
Rewrites the whole file, while no gateway runs: for one whose empty pages cannot be given back.

    gateway.db ─► a copy without what is empty ─► gateway.db, in one transaction of SQLite's

Whoever is interrupted finds the file as it was.
"""

import contextlib
import sqlite3
from pathlib import Path

from bars_gateway import permissions
from bars_gateway.errors import StoreError
from bars_gateway.store.sqlite import connector, translated
from bars_gateway.store.sqlite.database import BUSY_SECONDS, PRAGMAS
from bars_gateway.store.sqlite.lock import take_lock


def compacted(path: Path) -> None:
    """
    Rewrite the file at *path* without its empty pages, so that later ones can be given back.

    Raises DatabaseInUse while a gateway has it, and StoreError where there is no room; it is as it
    was then.
    """
    with contextlib.ExitStack() as stack:
        if not path.is_file():
            raise StoreError(f"there is no file at {path}")
        take_lock(path, stack)
        permissions.require_database(path, write=True)
        connection = stack.enter_context(contextlib.closing(connector(path, BUSY_SECONDS)()))
        try:
            for pragma in PRAGMAS:
                connection.execute(pragma)
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            raise translated(error) from None
