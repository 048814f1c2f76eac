"""
How long messages wait: for somebody who does not answer, and when the clock is set.

    no answer ──► put_off: one row for the Receiver, or the provider ─┐
    an answer ──► hasten: that row goes, and nothing waits any more   ├─► claims, and whoever looks
    the clock was set ──► reschedule · recall ────────────────────────┘

A pause is one row, however many messages wait for its end: what was never tried keeps its place in
the queue, and is looked at again when the pause is over. What was tried has a time of its own,
which is put off with it; so what was tried least goes first. What would be too late at the end of a
pause goes five seconds before its time is over, pause or not.

Both go some hundreds at a time. Where one begins while the other is at it, whichever began later
goes on, and the other ends: else each would undo the other's for ever, on whatever node.

When the clock is set, what is open is moved some hundreds at a time. Whoever asks again, after the
disk was full, goes on where it ended: no message is moved twice. A gateway that dies meanwhile
forgets the rest, as it forgets a step that it had not seen yet; `recall` sees to what is far ahead.

Decisions: D-circuit-breaker, D-wall-clock.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bars_gateway.store.connection import Connection
from bars_gateway.store.rows import text
from bars_gateway.store.work import Noun, Shared, WakeUps, wakes, writes

MOST_AT_ONCE = 200  # messages of one transaction
_START = {"provider": "", "correlation_id": "", "receiver": "", "id": 0}
_NO_STEP, _DAY = timedelta(milliseconds=1), timedelta(days=1)
_RECALLED = (
    *("recall", "recall_reads", "recall_delays", "recall_searches", "recall_ends"),
    *("recall_questions", "recall_deliveries", "recall_reminders"),
)


@dataclass(slots=True)
class _Move:
    """A step of the clock that what is open is being moved by."""

    step: timedelta
    up_to: int  # the last message that was there when the step was seen
    after: dict[str, object]  # the last that was moved


class Pausing(Noun):
    """Until when messages that are due wait all the same."""

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self._moves: list[_Move] = []
        self._asked = timedelta()  # by how much, in all, what is open is to be moved

    @wakes(WakeUps.wake_outbound)
    async def put_off(
        self,
        until: datetime,
        *,
        provider: str | None = None,
        receiver: str | None = None,
        last: int | None = None,
        look_at: datetime | None = None,
    ) -> None:
        """
        Try nothing of that provider, or for that Receiver, before *until*.

        *last*: the message that is to go after the others. *look_at*: from when on something that
        was never tried may go and find out, where that is sooner.
        """
        pause_until = until if look_at is None else min(until, look_at)
        moments, begins = (until, pause_until), True
        while await self._put_off(*moments, provider, receiver, last, begins=begins):
            begins = False

    @writes
    def _put_off(  # noqa: PLR0917
        self,
        connection: Connection,
        until: datetime,
        pause_until: datetime,
        provider: str | None,
        receiver: str | None,
        last: int | None,
        *,
        begins: bool,
    ) -> bool:
        """Put off some; tell whether there may be more, and nobody has hastened them meanwhile."""
        whose = provider or receiver
        if begins:
            connection.put("begin_pause", whose=whose, until=text(pause_until))
        elif connection.one("has_pause", whose=whose) is None:
            return False
        values = {"provider": provider, "receiver": receiver, "last": last}
        count = connection.run("put_off", until=text(until), limit=MOST_AT_ONCE, **values)
        return count == MOST_AT_ONCE

    @wakes(WakeUps.wake_outbound)
    async def hasten(
        self, now: datetime, *, provider: str | None = None, receiver: str | None = None
    ) -> None:
        """Make due what of that provider, or for that Receiver, waits."""
        begins = True
        while await self._hasten(now, provider, receiver, begins=begins):
            begins = False

    @writes
    def _hasten(
        self,
        connection: Connection,
        now: datetime,
        provider: str | None,
        receiver: str | None,
        *,
        begins: bool,
    ) -> bool:
        """Hasten some; tell whether there may be more, and nobody has put them off meanwhile."""
        whose = provider or receiver
        if begins:
            connection.put("end_pause", whose=whose)
        elif connection.one("has_pause", whose=whose) is not None:
            return False
        values = {"now": text(now), "limit": MOST_AT_ONCE}
        if provider is not None:
            count = connection.run("hasten_provider", provider=provider, **values)
        else:
            count = connection.run("hasten_receiver", receiver=receiver, **values)
        return count == MOST_AT_ONCE

    @wakes(WakeUps.wake_outbound)
    @writes
    def forget(self, connection: Connection) -> None:
        """Let what was never tried go at once, to whomever it is for: the gateway was started."""
        connection.put("end_pauses")

    @wakes(WakeUps.wake_everybody, if_any=True)
    async def reschedule(self, step: timedelta) -> int:
        """
        Move by *step* all that is scheduled: the clock was set; return for how many messages.

        Where that fails, it is to be asked again, by all that the clock was set since.
        """
        if abs(step - self._asked) >= _NO_STEP:
            up_to = await self._pauses_moved(step - self._asked)
            self._moves.append(_Move(step - self._asked, up_to, dict(_START)))
            self._asked = step
        moved = 0
        while self._moves:
            count = await self._moved(self._moves[0])
            if count is None:
                del self._moves[0]
            moved += count or 0
        self._asked = timedelta()
        return moved

    @writes
    def _pauses_moved(self, connection: Connection, step: timedelta) -> int:
        connection.put("reschedule_pauses", seconds=step.total_seconds())
        newest = connection.one("newest_message")
        return 0 if newest is None else int(newest["id"])

    async def _moved(self, move: _Move) -> int | None:
        """Move the next of them; return how many, or None: there are no more."""
        last, count = await self._move(move)
        if last is not None:
            move.after = last
        return None if last is None else count

    @writes
    def _move(self, connection: Connection, move: _Move) -> tuple[dict[str, object] | None, int]:
        found = connection.rows("open_after", **move.after, up_to=move.up_to, limit=MOST_AT_ONCE)
        ids = json.dumps([row["id"] for row in found])
        count = connection.run("reschedule", ids=ids, seconds=move.step.total_seconds())
        return ({name: found[-1][name] for name in _START} if found else None), count

    @wakes(WakeUps.wake_everybody, if_any=True)
    async def recall(self, now: datetime, longest: timedelta, life: timedelta = _DAY) -> int:
        """
        Make due what is scheduled further ahead than *longest*; return how many messages.

        No message is tried for longer than *life*, unless it ends by a clinical time. Nor does it
        wait for the clock of then what was asked, or to be told, by one that was ahead.
        """
        recalled, more = 0, True
        while more:
            counts = await self._recall(now, text(now + longest), text(now + life))
            recalled += counts[0]
            more = MOST_AT_ONCE in counts
        return recalled

    @writes
    def _recall(
        self, connection: Connection, now: datetime, beyond: str, beyond_life: str
    ) -> Sequence[int]:
        connection.put("recall_pauses", beyond=beyond)
        values = {"now": text(now), "beyond": beyond, "limit": MOST_AT_ONCE}
        values["beyond_life"] = beyond_life
        return [connection.run(name, **values) for name in _RECALLED]
