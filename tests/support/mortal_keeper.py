"""
A keeper of the audit trail that is killed at each step: `python mortal_keeper.py FROM TO NOW`.

For each step TO gets a copy of FROM in which one was killed there and another then lived to its
end; it prints how many steps there are. A step is a call by which a file or the database is
changed, in whichever thread, from when the database is open. Each life is a process of its own,
forked before there is any thread.
"""

import asyncio
import os
import shutil
import signal
import sys
import threading
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.store import Store
from bars_gateway.upkeep.trail import TrailKeeper

STEPS = {"execute", "fsync", "rename", "unlink", "write", "open"}
BEGUN = threading.Event()
UNWATCHED = -1


async def keep(folder: Path, now: datetime) -> None:
    """Do once what is due for the trail of the database in *folder*."""

    async def nothing() -> None:
        return

    async with open_database(folder / "gateway.db") as database:
        BEGUN.set()
        store = Store(database, node="here")
        await TrailKeeper(
            store.chain,
            store.reports,
            heads=folder / "audit-heads.jsonl",
            reports_dir=folder / "reports",
            now=lambda: now,
            monotonic=lambda: 0.0,
            look=nothing,
        ).keep()


def steps(folder: Path, now: datetime, killed_at: int = 0) -> int:
    """Let one live, and be killed at that step; return how many it took, 0: it was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        _live(folder, now, killed_at, writing)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as told:
        return int(told.read() or 0)


def _live(folder: Path, now: datetime, killed_at: int, writing: int) -> None:
    taken = 0

    def step(_frame: FrameType, event: str, about: Any) -> None:
        nonlocal taken
        if event == "c_call" and about.__name__ in STEPS and BEGUN.is_set():
            taken += 1
            if taken == killed_at:
                os.kill(os.getpid(), signal.SIGKILL)

    if killed_at != UNWATCHED:
        threading.setprofile(step)
        sys.setprofile(step)
    asyncio.run(keep(folder, now))
    threading.setprofile(None)
    sys.setprofile(None)
    os.write(writing, str(max(taken, 1)).encode())
    os._exit(0)


if __name__ == "__main__":
    before, to, moment = Path(sys.argv[1]), Path(sys.argv[2]), datetime.fromisoformat(sys.argv[3])
    shutil.copytree(before, to / "at-0")
    all_of_them = steps(to / "at-0", moment)
    for number in range(1, all_of_them + 1):
        shutil.copytree(before, to / f"at-{number}")
        steps(to / f"at-{number}", moment, number)
        if not steps(to / f"at-{number}", moment, UNWATCHED):
            sys.exit(f"the life after {number} did not end")
    print(all_of_them)
