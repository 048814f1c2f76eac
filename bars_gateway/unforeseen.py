"""
What may be told of an error that nobody foresaw: which it is, and where; never its text.

    one unit of work ──raises──► except Exception:  # unit of work
                                     └─► set aside · alarm · log line: Unforeseen(exception, place)

A unit of work is one file, message, request, notice, question or read, or one round of what
goes on by itself. An error that nobody foresaw ends one of them, and never the process: a
restart would only meet the same file again. An exception's text may quote what it stumbled
over, which may be a patient's; so its type and the line of ours are all that is told.

Decisions: D-set-aside.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from traceback import walk_tb

_PACKAGE = Path(__file__).parent
_OTHER = "elsewhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unforeseen:
    """An error, as far as it may be told."""

    exception: str  # its type
    place: str  # the innermost line of ours that it came from: epr.intake:prepare:120


def unforeseen(error: BaseException) -> Unforeseen:
    """Return what may be told of *error*; of several that came together, of the first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return Unforeseen(exception=type(error).__name__, place=[_OTHER, *_places(error)][-1])


def _places(error: BaseException) -> Iterator[str]:
    """Yield the lines of ours that the error came through, the innermost last."""
    for frame, line in walk_tb(error.__traceback__):
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(_PACKAGE):
            module = ".".join(path.relative_to(_PACKAGE).with_suffix("").parts)
            yield f"{module}:{frame.f_code.co_name}:{line}"
