"""
What falls due for many rows at once: each by itself, so that one that fails stops no other.

    due, at most 500 ─► one transaction, a savepoint for each ─┬─► done
                                                               └─► failed: undone, alarm, left out
                                                                   for five minutes

A row that fails is as it was, and falls due again: it may have been the moment. So it is tried
again after a while, and at the next start; the log has every time, and the alarm is raised once.
A disk that is full fails the whole round instead, for it is nobody's fault.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from bars_gateway.store.asides import Aside, Asides
from bars_gateway.store.connection import Connection
from bars_gateway.store.database import Database
from bars_gateway.store.due import Failed, Look
from bars_gateway.store.sqlite_asides import log_set_aside

AGAIN_AFTER = timedelta(minutes=5)
MOST_AT_ONCE = 500
MOST_REMEMBERED = 10_000  # of a step


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
