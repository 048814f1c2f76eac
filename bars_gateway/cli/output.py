"""
How a command prints: JSON lines for programs, a table or lines for people, and nothing between.

    found ─┬─ --json ──► print_lines: one JSON document on each line
           └─ else ────► print_table: drawn on a terminal, plain where it is piped · print_each

Tables are never cut: an id that is not whole cannot be looked up. What is wider than the terminal
goes on in its next line.

    with shown("Copying") as advance:     after two seconds a bar stands on standard error,
        advance(done, total)              and goes when the block ends

Programs never see that: standard output has nothing of it, and a pipe none at all.
"""

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import orjson

from bars_gateway.status.ages import lasting

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    Paper: TypeAlias = "Console | Piped"

T = TypeVar("T")
_LEAST = 24  # columns of a terminal that a sentence is broken into
_BETWEEN = 2
AFTER_SECONDS = 2.0
Advance = Callable[[int, int | None], None]  # how much of how much; None: nobody knows


def print_lines(found: Iterable[object]) -> None:
    """Print each thing that was found as one line of JSON."""
    for each in found:
        text = orjson.dumps(each, default=_simple, option=orjson.OPT_UTC_Z)
        print(text.decode(), flush=True)  # noqa: T201


def _simple(value: object) -> object:
    if isinstance(value, frozenset | set):
        return sorted(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError  # a payload is never printed


def document_of(value: object, **more: object) -> dict[str, Any]:
    """Return the members of a dataclass, and *more*, as one document."""
    return {each.name: getattr(value, each.name) for each in fields(value)} | more  # type: ignore[arg-type]


def print_each(
    found: Sequence[T],
    line: Callable[[T], str],
    nothing: str,
    *,
    as_json: bool,
    limit: int | None = None,
) -> None:
    """Print a line of each that was found, or *nothing*; for programs, a document of each."""
    if as_json:
        print_lines(found)
        return
    for text in map(line, found) if found else [nothing]:
        print(text)  # noqa: T201
    say_if_cut(found, limit)


def say_if_cut(found: Sequence[object], limit: int | None) -> None:
    """Say that as many were found as were asked for: whoever counts them counts too few."""
    if limit is not None and len(found) >= limit:
        text = f"No more than {limit} are listed, and there may be more: --limit COUNT."
        print(text, file=sys.stderr)  # noqa: T201


class Piped:
    """What a file or another program gets: the words, and nothing drawn by any library."""

    is_terminal = False

    def print(self, text: str, *, markup: bool = False, highlight: bool = False) -> None:  # noqa: ARG002
        """Print *text* as it is, whatever is in it."""
        print(text)  # noqa: T201


def terminal() -> "Paper":
    """Return where people read."""
    if not sys.stdout.isatty():
        return Piped()
    from rich.console import Console

    return Console(soft_wrap=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], console: "Paper") -> None:
    """Print *rows* under *columns*: the last column may be a sentence, all others are whole."""
    widths = [max(map(len, each)) for each in zip(columns, *rows, strict=True)]
    if not isinstance(console, Piped) and console.is_terminal:
        _draw(columns, rows, widths, console)
        return
    for row in (columns, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        console.print("  ".join(cells).rstrip(), markup=False, highlight=False)


def _draw(
    columns: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], console: "Console"
) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, _BETWEEN, 0, 0))
    for name, width in zip(columns[:-1], widths, strict=False):
        table.add_column(name, no_wrap=True, min_width=width)
    whole = sum(widths[:-1]) + _BETWEEN * len(columns)
    left = max(_LEAST, min(widths[-1], console.width - whole))
    table.add_column(columns[-1], overflow="fold", width=left)
    for row in rows:
        table.add_row(*row)
    console.width = max(console.width, whole + left)
    console.print(table, markup=False, highlight=False)


def clock(at: datetime | None) -> str:
    """Return an instant as an operator reads it, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if at else "-"


def apart(at: datetime | None, now: datetime) -> str:
    """Return how long it is from *at* to *now*, or back, as an operator reads it: 5 min, 2 h."""
    return lasting(abs((now - at).total_seconds())) if at else "-"


def is_watched() -> bool:
    """Tell whether somebody looks at the progress of a command."""
    return sys.stderr.isatty()


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
