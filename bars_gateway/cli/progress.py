"""
What is shown of a command that takes long: on a terminal alone, beside what it prints.

    with shown("Copying") as advance:     after two seconds a bar stands on standard error,
        advance(done, total)              and goes when the block ends

Programs never see it: standard output has nothing of it, and a pipe none at all.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bars_gateway.cli.output import is_watched

if TYPE_CHECKING:
    from rich.progress import Progress

AFTER_SECONDS = 2.0
Advance = Callable[[int, int | None], None]  # how much of how much; None: nobody knows


@contextmanager
def shown(what: str) -> Iterator[Advance]:
    """Yield what is called with how far the block is."""
    if not is_watched():
        yield lambda _done, _total: None
        return
    bar = _Bar(what)
    timer = threading.Timer(AFTER_SECONDS, bar.begin)
    timer.daemon = True
    timer.start()
    try:
        yield bar.advance
    finally:
        timer.cancel()
        bar.end()


class _Bar:
    """A bar that may not have begun yet, and begins in a thread of its own."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()
        self._progress: Progress | None = None
        self._done = 0
        self._total: int | None = None
        self._over = False

    def begin(self) -> None:
        """Show it, unless all is over."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeElapsedColumn as Elapsed

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Elapsed())
        with self._lock:
            if self._over:
                return
            self._progress = Progress(
                *columns,
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=sys.stdout.isatty(),  # what is piped is for programs
            )
            self._progress.add_task(self._what, completed=self._done, total=self._total)
            self._progress.start()

    def advance(self, done: int, total: int | None) -> None:
        """Note how far it is."""
        with self._lock:
            self._done, self._total = done, total
            if self._progress is not None:
                self._progress.update(self._progress.task_ids[0], completed=done, total=total)

    def end(self) -> None:
        """Take it away."""
        with self._lock:
            self._over = True
            if self._progress is not None:
                self._progress.stop()
