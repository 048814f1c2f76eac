"""
Runs `bars-gateway run`, and ends it at a named point: right before or after a commit.

    python crashing_gateway.py before:7 run --config …    SIGKILL before the 7th group commits
    python crashing_gateway.py after:7 run --config …     … and right after it is on disk
    python crashing_gateway.py before:decide run …        before the first group with that work
    python crashing_gateway.py before:decide.3 run …      before the third group with it
    python crashing_gateway.py panic:submit run …         no kill: its thread raises there

Before: once all its works have run, and not a word of COMMIT was said; in a file, and on a server.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from bars_gateway.store.sqlite import SqliteConnection, database
from bars_gateway.upkeep import purging

purging.SHORT_SECONDS = 60.0  # on a slow machine, too, a removal takes all that it may
point, _, when = sys.argv.pop(1).partition(":")
name, _, nth = when.partition(".")
NEVER = -1
countdown = (int(when) if when.isdigit() else 0) or NEVER
met = 0


def name_of(work: Any) -> str:
    """Return what a work is called, where it has a name of its own."""
    return str(getattr(getattr(work, "func", work), "__name__", "")).lstrip("_")


def is_last(works: Any) -> bool:
    """Tell whether it dies at this group, which is about to run."""
    global countdown, met  # noqa: PLW0603 - the writer's thread is the only one here
    if countdown > 0:
        countdown -= 1
    elif any(name == name_of(work) for work in works):
        met += 1
        countdown = 0 if met == int(nth or 1) else countdown
    return countdown == 0


class PanicError(BaseException):
    """What a library in another language raises where it gives up: nothing of ours catches it."""


def panic(_connection: Any) -> None:
    """Do what no work does, once."""
    global countdown  # noqa: PLW0603 - the writer's thread is the only one here
    countdown = NEVER
    raise PanicError


def die() -> None:
    """End without a word."""
    os.kill(os.getpid(), signal.SIGKILL)


def in_a_file() -> None:
    """Let the writer of a file die so."""
    run_group = database._run_group

    def crashing(connection: Any, works: Any) -> Any:
        dies = is_last(works)
        if dies and point == "panic":
            return run_group(connection, [*works, panic])
        if dies and point == "before":
            connection.execute("BEGIN IMMEDIATE")
            for work in works:
                work(SqliteConnection(connection))
            die()
        results = run_group(connection, works)
        if dies:
            die()
        return results

    database._run_group = crashing


def on_a_server() -> None:
    """Let the writer of a server's database die so."""
    from bars_gateway.store.postgresql.transactions import Writer

    once, commit = Writer._once, Writer._commit
    dies = [False]

    def crashing(writer: Writer, works: Any, run: Any) -> Any:
        dies[0] = is_last(works)
        return once(writer, [*works, panic] if dies[0] and point == "panic" else works, run)

    def committing(writer: Writer, within: Any) -> None:
        if dies[0] and point == "before":
            within.settle()
            die()
        commit(writer, within)
        if dies[0]:
            die()

    Writer._once, Writer._commit = crashing, committing


settings = Path(sys.argv[sys.argv.index("--config") + 1]).read_text("utf-8")
on_a_server() if "postgresql://" in settings else in_a_file()

from bars_gateway.cli.begin import main  # noqa: E402

main()
