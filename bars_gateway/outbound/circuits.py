"""
Leaves in peace who does not answer, and finds out when they do again.

    so many POSTs in a row without an answer of their own ─► a break: what waits is put off
    at its end one goes, and is the look ────────────┬─────► none again: a longer break
                                                     └─────► an answer: what waits is due now

Nothing is dropped, and no message loses its last chance: only the time of its next attempt
changes, in the database, where an operator sees it. What is submitted meanwhile waits for the
look as well.

A message may be the cause itself: one that a Receiver cannot read gets a 500 for ever, and one
that it stumbles over gets silence. So a break needs three different messages, and a look that
the same message made before tells nothing new: it makes no break longer.

Decisions: D-circuit-breaker.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

DIFFERENT_MESSAGES = 3
MOST_REMEMBERED = 64  # messages of one break; more would tell nothing
_MAX_DOUBLINGS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    """For how long somebody is left in peace: doubling, from look to look."""

    first: timedelta
    longest: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A POST of which no answer of its own came."""

    message_id: int
    began: datetime
    is_error: bool = False  # an answer came, and was a 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """For how long somebody is left in peace, from a failure on."""

    pause: timedelta
    is_new: bool


@dataclass(slots=True)
class _Circuit:
    since: datetime  # nothing came
    silences: int = 0
    messages: set[int] = field(default_factory=set)
    errors: set[int] = field(default_factory=set)  # messages that met a 500
    last: int | None = None  # the message that made the last look
    looks: int = 0  # without an answer
    looked_at: datetime | None = None  # when it was put off last
    until: datetime | None = None


class Circuits:
    """How the POSTs to each of several went lately."""

    def __init__(
        self, failures: int, *, now: Callable[[], datetime], messages: int = DIFFERENT_MESSAGES
    ) -> None:
        """Leave in peace whoever did not answer so many times in a row, to so many *messages*."""
        self._failures = failures
        self._messages = messages
        self._now = now
        self._circuits: dict[str, _Circuit] = {}
        self._known: Mapping[str, datetime] = {}

    def remember(self, known: Mapping[str, datetime]) -> None:
        """Let who was silent before a restart, and is so still, have been so all the time."""
        self._known = dict(known)

    @property
    def open(self) -> Mapping[str, datetime]:
        """Return who is left in peace, and since when nothing came from them."""
        return {name: each.since for name, each in self._circuits.items() if each.looks}

    @property
    def silent(self) -> Mapping[str, datetime]:
        """Return who says nothing, if only to one message, and since when."""
        return {
            name: each.since
            for name, each in self._circuits.items()
            if each.silences >= self._failures
        }

    @property
    def failing(self) -> Mapping[str, datetime]:
        """Return who answers with errors to different messages, and since when."""
        return {
            name: each.since
            for name, each in self._circuits.items()
            if each.looks and each.silences < self._failures
        }

    @property
    def told(self) -> Mapping[str, datetime]:
        """Return of whom an operator is told, and since when nothing came from them."""
        return {**self.silent, **self.open}

    def rests_until(self, name: str, longest: timedelta) -> datetime | None:
        """Return when the next look at *name* may go, *longest* after the last; None: now."""
        circuit = self._circuits.get(name)
        if circuit is None or circuit.until is None or circuit.looked_at is None:
            return None
        until = min(circuit.until, circuit.looked_at + longest)
        return until if until > self._now() else None

    def failed(self, name: str, failure: Failure, pauses: Pauses) -> Break | None:
        """
        Note that nothing came of a POST; return for how long to put off what waits, or None.

        One that *began* before the last time something was put off says nothing new.
        """
        circuit = self._circuits.setdefault(name, _Circuit(self._known.get(name, self._now())))
        if circuit.looked_at is not None and failure.began < circuit.looked_at:
            return None
        _count(circuit, failure)
        said_before = circuit.last == failure.message_id and self._messages > 1
        if not self._is_over(circuit) or (circuit.looks and said_before):
            return None
        circuit.looks += 1
        circuit.last = failure.message_id
        doublings: int = 2 ** min(circuit.looks - 1, _MAX_DOUBLINGS)
        pause = min(pauses.longest, pauses.first * doublings)
        circuit.looked_at = self._now()
        circuit.until = circuit.looked_at + pause
        return Break(pause=pause, is_new=circuit.looks == 1)

    def _is_over(self, circuit: _Circuit) -> bool:
        """Tell whether so much went without an answer that it can be no single message."""
        silent = circuit.silences >= self._failures and len(circuit.messages) >= self._messages
        return silent or len(circuit.errors) >= self._messages

    def answered(self, name: str) -> bool:
        """Note that an answer came; return whether what waits was put off until now."""
        was_open = name in self.open
        self._circuits.pop(name, None)
        self._known = {other: since for other, since in self._known.items() if other != name}
        return was_open


def _count(circuit: _Circuit, failure: Failure) -> None:
    if not failure.is_error:
        circuit.silences += 1
    for seen in (circuit.messages, *((circuit.errors,) if failure.is_error else ())):
        if len(seen) < MOST_REMEMBERED:
            seen.add(failure.message_id)
