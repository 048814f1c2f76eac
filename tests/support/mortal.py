"""
A restore, or a hand-over, that is killed at one of its steps: `python mortal.py restore A B 7 …`.

Of `make_safe` (a restore without a file) A is the database, and B is nothing.

A step is a call by which a file or a database is changed. Run with the number 0, or in this
process by `steps`, it lives to its end and says how many it took.
"""

import os
import signal
import sys
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

from bars_gateway.store.sqlite.put_back import make_safe
from bars_gateway.store.sqlite.restore import hand_over, restore

STEPS = {"execute", "executemany", "fsync", "link", "rename", "backup", "unlink", "close", "open"}
NEVER = 0


def steps(what: str, one: Path, two: Path, now: datetime, killed_at: int = NEVER) -> int:
    """Do it, killed at that step; return how many it took."""
    taken = 0

    def step(_frame: FrameType, event: str, about: Any) -> None:
        nonlocal taken
        if event == "c_call" and about.__name__ in STEPS:
            taken += 1
            if taken == killed_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(step)
    try:
        if what == "restore":
            restore(one, two, now, older=True)
        elif what == "make_safe":
            make_safe(one, now)
        else:
            hand_over(one, two, now)
    finally:
        sys.setprofile(None)
    return taken


if __name__ == "__main__":
    named, first, second, when, at = sys.argv[1:]
    steps(named, Path(first), Path(second), datetime.fromisoformat(when), int(at))
