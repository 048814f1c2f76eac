"""
What falls due for many rows at once: each by itself, so that one that fails stops no other.

    due, at most 500 ─► one transaction, a savepoint for each ─┬─► done
                                                               └─► failed: undone, alarm, left out
                                                                   for five minutes

A step of housekeeping is a statement that lists what is due, as many as are asked for and without
what is left out, and what is done for each row. A row says whose it is: `id`, `provider`,
`message_id` and `request_id`, for whoever hears of a failure.

A row that fails is as it was, and falls due again: it may have been the moment. So it is tried
again after a while, and at the next start; the log has every time, and the alarm is raised once.
A disk that is full fails the whole round instead, for it is nobody's fault.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from bars_gateway.store.asides import Aside, Asides, is_of_one_row, log_set_aside
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.database import Database
from bars_gateway.store.rows import text

T = TypeVar("T")
AGAIN_AFTER = timedelta(minutes=5)
MOST_AT_ONCE = 500
MOST_REMEMBERED = 10_000  # of a step


@dataclass(frozen=True, slots=True)
class Look:
    """What a step looks for: what is due now, but for what it failed over a moment ago."""

    now: datetime
    left_out: Sequence[int]
    most: int

    @property
    def values(self) -> dict[str, object]:
        """The values of a statement that lists what is due."""
        left_out = json.dumps(list(self.left_out))
        return {"now": text(self.now), "left_out": left_out, "limit": self.most}


@dataclass(frozen=True, slots=True)
class Failed:
    """A row that something fell due for and could not be done, and why: it is as it was."""

    number: int  # of the row
    provider: str
    message_id: int | None
    request_id: str | None
    error: Exception


def each_alone(
    connection: Connection, found: Iterable[Row], do: Callable[[Row], T]
) -> list[T | Failed]:
    """Do something for each row by itself: what fails is undone, and the others are done."""
    return [_alone(connection, row, do) for row in found]


def _alone(connection: Connection, row: Row, do: Callable[[Row], T]) -> T | Failed:
    try:
        with connection.savepoint():
            return do(row)
    except Exception as error:  # unit of work
        if not is_of_one_row(error):
            raise
        about = (row["provider"], row["message_id"], row["request_id"])
        return Failed(row["id"], *about, error)


Step = Callable[[Connection, Look], Sequence[object | Failed]]


class Rounds:
    """Does steps, and remembers of each what it failed over."""

    def __init__(self, database: Database, asides: Asides) -> None:
        self._database = database
        self._asides = asides
        self._again_at: dict[Step, dict[int, datetime]] = {}

    async def go(self, step: Step, kind: Aside, now: datetime) -> int:
        """Do *step* for what is due, and tell of what fails as *kind*; return how much is done."""
        again_at = self._again_at.setdefault(step, {})
        if len(again_at) > MOST_REMEMBERED:
            again_at.clear()
        left_out = [number for number, at in again_at.items() if _is_ahead(at, now)]
        look = Look(now, left_out, MOST_AT_ONCE)
        ended = await self._database.write(lambda connection: step(connection, look))
        failed = [each for each in ended if isinstance(each, Failed)]
        for each in failed:
            is_new = each.number not in again_at
            again_at[each.number] = now + AGAIN_AFTER
            await self._tell(each, kind, now, is_new=is_new)
        return len(ended) - len(failed)

    async def _tell(self, failed: Failed, kind: Aside, now: datetime, *, is_new: bool) -> None:
        about = {"provider": failed.provider, "request_id": failed.request_id}
        if is_new:
            message_id = failed.message_id
            await self._asides.tell(kind, failed.error, now, message_id=message_id, **about)
        else:
            log_set_aside(kind, failed.error, message_id=failed.message_id, **about)


def _is_ahead(at: datetime, now: datetime) -> bool:
    """Tell whether *at* is to come; further ahead than a pause, and the clock was set back."""
    return now < at <= now + AGAIN_AFTER
