"""
Files that lie in a folder of the EPR's and can never be taken: how many, since when, and why.

They are neither moved nor refused, for the gateway may not touch them, or must not. So a person
has to hear of them: who dropped them believes that they were sent.
"""

import errno
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """Why a file cannot be taken."""

    UNREADABLE = "unreadable"
    IRREGULAR = "irregular"
    UNFINISHED = "unfinished"
    FAILING = "failing"


CURES: Mapping[Cause, str] = {
    Cause.UNREADABLE: "the gateway may not read them: let its group read what the EPR writes"
    " (mode 0640, group bars-gateway-epr)",
    Cause.IRREGULAR: "they are links, folders or pipes, which are never opened: drop the files"
    " themselves",
    Cause.FAILING: "the gateway itself fails over them: see its alarm, telephone, and have them"
    " dropped again, as new files; what was taken already is never sent twice",
    Cause.UNFINISHED: "they never got their final name: look at the program that writes them",
}


_OF_THE_MACHINE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


def is_of_the_file(error: OSError) -> bool:
    """Tell whether a file is the cause of *error*, and not a machine that has nothing left."""
    return error.errno not in _OF_THE_MACHINE


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """Files that cannot be taken, for one cause."""

    cause: Cause
    count: int
    since: float  # when the first of them was first seen, by a clock that only goes forward


class StuckFiles:
    """What of one folder cannot be taken, by name; the names are never shown."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._found: dict[str, tuple[Cause, float]] = {}

    def note(self, name: str, cause: Cause) -> bool:
        """Remember that a file cannot be taken; tell whether that is news."""
        news = name not in self._found
        self._found.setdefault(name, (cause, self._monotonic()))
        return news

    def taken(self, name: str) -> None:
        """Forget a file that could be taken after all."""
        self._found.pop(name, None)

    def keep(self, names: Collection[str]) -> None:
        """Forget all others: somebody has taken them away."""
        for name in self._found.keys() - names:
            del self._found[name]

    @property
    def by_cause(self) -> Sequence[Stuck]:
        """What cannot be taken now."""
        found = list(self._found.values())
        return [
            Stuck(cause=cause, count=len(times), since=min(times))
            for cause in Cause
            if (times := [since for each, since in found if each is cause])
        ]
