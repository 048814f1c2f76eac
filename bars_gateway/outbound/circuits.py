"""
Leaves in peace who does not answer, and finds out when they do again.

    so many POSTs in a row without an answer of their own ─► open: what waits is put off
    each that begins after that is a look ───────────┬─────► none again: put off for longer
                                                     └─────► an answer: what waits is due now

Nothing is dropped, and no message loses its last chance: only the time of its next attempt
changes, in the database, where an operator sees it. What is handed in meanwhile goes out at
once, for a new message is worth a look; where nothing is, the first that falls due is one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

_MAX_DOUBLINGS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    """For how long somebody is left in peace: doubling, from look to look."""

    first: timedelta
    longest: timedelta


@dataclass(slots=True)
class _Circuit:
    failures: int
    since: datetime  # nothing came
    looked_at: datetime | None = None  # when it was put off last


class Circuits:
    """How the POSTs to each of several went lately."""

    def __init__(self, failures: int, *, now: Callable[[], datetime]) -> None:
        """Leave in peace whoever did not answer so many times in a row."""
        self._failures = failures
        self._now = now
        self._circuits: dict[str, _Circuit] = {}

    @property
    def open(self) -> Mapping[str, datetime]:
        """Return who is left in peace, and since when nothing came from them."""
        return {
            name: circuit.since
            for name, circuit in self._circuits.items()
            if circuit.failures >= self._failures
        }

    def failed(self, name: str, began: datetime, pauses: Pauses) -> timedelta | None:
        """
        Note that nothing came of a POST; return for how long to put off what waits, or None.

        One that *began* before the last time something was put off says nothing new.
        """
        circuit = self._circuits.setdefault(name, _Circuit(0, self._now()))
        if circuit.looked_at is not None and began < circuit.looked_at:
            return None
        circuit.failures += 1
        beyond = circuit.failures - self._failures
        if beyond < 0:
            return None
        circuit.looked_at = self._now()
        doublings: int = 2 ** min(beyond, _MAX_DOUBLINGS)
        return min(pauses.longest, pauses.first * doublings)

    def answered(self, name: str) -> bool:
        """Note that an answer came; return whether what waits was put off until now."""
        was_open = name in self.open
        self._circuits.pop(name, None)
        return was_open
