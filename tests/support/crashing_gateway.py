"""
Runs `bars-gateway run`, and kills itself at a named point: right before or after a commit.

    python crashing_gateway.py before:7 run --config …    SIGKILL before the 7th group commits
    python crashing_gateway.py after:7 run --config …     … and right after it is on disk
    python crashing_gateway.py before:decide run …        before the first group with that work
    python crashing_gateway.py before:decide.3 run …      before the third group with it
"""

import os
import signal
import sqlite3
import sys
from typing import Any

from bars_gateway.store.sqlite import SqliteConnection, database
from bars_gateway.upkeep import purging

purging.SHORT_SECONDS = 60.0  # on a slow machine, too, a removal takes all that it may
point, _, when = sys.argv.pop(1).partition(":")
name, _, nth = when.partition(".")
NEVER = -1
countdown = (int(when) if when.isdigit() else 0) or NEVER
met = 0
run_group = database._run_group


def name_of(work: Any) -> str:
    """Return what a work is called, where it has a name of its own."""
    return str(getattr(getattr(work, "func", work), "__name__", "")).lstrip("_")


def crashing(connection: sqlite3.Connection, works: Any) -> Any:
    """Run the group as ever, unless it is the one to die at."""
    global countdown, met  # noqa: PLW0603 - the writer's thread is the only one here
    if countdown > 0:
        countdown -= 1
    elif any(name == name_of(work) for work in works):
        met += 1
        countdown = 0 if met == int(nth or 1) else countdown
    if countdown == 0 and point == "before":
        connection.execute("BEGIN IMMEDIATE")
        for work in works:
            work(SqliteConnection(connection))
        os.kill(os.getpid(), signal.SIGKILL)
    results = run_group(connection, works)
    if countdown == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return results


database._run_group = crashing

from bars_gateway.cli.begin import main  # noqa: E402

main()
