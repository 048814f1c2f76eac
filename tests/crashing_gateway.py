"""
Runs `bars-gateway run`, and kills itself at a named point: right before or after a commit.

    python crashing_gateway.py before:7 run --config …    SIGKILL before the 7th group commits
    python crashing_gateway.py after:7 run --config …     … and right after it is on disk
"""

import os
import signal
import sqlite3
import sys
from typing import Any

from bars_gateway.store import database

point, _, number = sys.argv.pop(1).partition(":")
countdown = int(number)
run_group = database._run_group


def crashing(connection: sqlite3.Connection, works: Any) -> Any:
    """Run the group as ever, unless it is the one to die at."""
    global countdown  # noqa: PLW0603 - the writer's thread is the only one here
    countdown -= 1
    if countdown == 0 and point == "before":
        connection.execute("BEGIN IMMEDIATE")
        for work in works:
            work(connection)
        os.kill(os.getpid(), signal.SIGKILL)
    fates = run_group(connection, works)
    if countdown == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return fates


database._run_group = crashing

from bars_gateway.cli import main  # noqa: E402

main()
