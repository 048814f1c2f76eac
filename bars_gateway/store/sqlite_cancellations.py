"""Cancellations on SQLite: the works of `cancellation_works`, and the bells after them."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from bars_gateway.store import cancellation_works
from bars_gateway.store.aside_works import Spoilt
from bars_gateway.store.asides import Aside, Asides
from bars_gateway.store.bells import Bell
from bars_gateway.store.cancellations import Cancellation
from bars_gateway.store.database import Database
from bars_gateway.store.rounds import Rounds


class SqliteCancellations:
    """The `Cancellations` of one node over one open database."""

    def __init__(
        self,
        database: Database,
        rounds: Rounds,
        *,
        asides: Asides,
        ring: Callable[[], None],
    ) -> None:
        self._database = database
        self._rounds = rounds
        self._asides = asides
        self._ring = ring
        self._bell = Bell()

    async def to_read(self, now: datetime, limit: int) -> Sequence[Cancellation]:
        """Return those that a read is due for, the first in its conversation each."""
        found = await self._database.read(partial(cancellation_works.to_read, now=now, limit=limit))
        for each in found:
            if isinstance(each, Spoilt):
                await self._asides.hold(each.number, each.error, now)
        return [each for each in found if not isinstance(each, Spoilt)]

    async def confirm(self, message_id: int, now: datetime) -> None:
        """Let it be sent: there is something to cancel."""
        await self._database.write(
            partial(cancellation_works.confirm, message_id=message_id, now=now)
        )
        self._ring()

    async def refuse(self, message_id: int, status: str, now: datetime) -> None:
        """Settle it as refused: what it is about is over, and has that *status*."""
        await self._database.write(
            partial(cancellation_works.refuse, message_id=message_id, status=status, now=now)
        )
        self._ring()

    async def unshown(self, message_id: int, at: datetime, now: datetime) -> bool:
        """Read again at *at*, or where nothing was shown before, let it be sent: return that."""
        may_be_sent = await self._database.write(
            partial(cancellation_works.unshown, message_id=message_id, at=at, now=now)
        )
        self._ring()
        return may_be_sent

    async def is_contested(self, message_id: int, focus_id: str) -> bool:
        """Tell whether a workflow of another patient has that id of the same Receiver, too."""
        return await self._database.read(
            partial(cancellation_works.is_contested, message_id=message_id, focus_id=focus_id)
        )

    async def belongs_to_another(self, message_id: int, at: datetime, now: datetime) -> None:
        """Read again at *at*; the id is that of another patient's record: EPR and operator hear."""
        await self._database.write(
            partial(cancellation_works.belongs_to_another, message_id=message_id, at=at, now=now)
        )
        self._ring()

    async def postpone(self, message_id: int, at: datetime, now: datetime, *, alike: bool) -> None:
        """Read again at *at*; *alike*: all of its Receiver that are due."""
        await self._database.write(
            partial(cancellation_works.postpone, message_id=message_id, at=at, now=now, alike=alike)
        )

    async def tell_unread(self, now: datetime) -> int:
        """Tell each EPR once of what has waited for its read for a minute; return how many."""
        told = await self._rounds.go(cancellation_works.tell_unread, Aside.NOTICE, now)
        if told:
            self._ring()
        return told

    async def cancel_work(self, seconds: float) -> None:
        """Return when a cancellation may have come, after *seconds* at the latest."""
        await self._bell.wait(seconds)

    def ring(self) -> None:
        """Wake whoever waits for `cancel_work`."""
        self._bell.ring()
