"""Verbs on SQLite: the works of `verb_works`, and the bells after their commits."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from bars_gateway.store import verb_works
from bars_gateway.store.database import Database
from bars_gateway.store.verbs import Candidate, Deadline, Order, Resent, Selection, Verb


class SqliteVerbs:
    """The `Verbs` of one node over one open database."""

    def __init__(
        self,
        database: Database,
        refuse_when_full: Callable[[], None],
        ring: Callable[[str], None],
    ) -> None:
        """*ring* wakes a sender, and whoever waits for notices of that provider."""
        self._database = database
        self._refuse_when_full = refuse_when_full
        self._ring = ring

    async def candidates(self, verb: Verb, selection: Selection, limit: int) -> Sequence[Candidate]:
        """Return the messages that are meant, oldest first, and what stands in the way of each."""
        return await self._database.read(
            partial(verb_works.candidates, verb=verb, selection=selection, limit=limit)
        )

    async def act(
        self, order: Order, message_ids: Sequence[int], deadline: Deadline, now: datetime
    ) -> Sequence[Candidate]:
        """Do it to each of those that it fits; return each as it was found."""
        found = await self._database.write(
            partial(
                verb_works.act, order=order, message_ids=message_ids, deadline=deadline, now=now
            )
        )
        self._ring(order.provider)
        return found

    async def resend(
        self, order: Order, message_id: int, resent: Resent, now: datetime
    ) -> Candidate:
        """Queue the payload under new ids, unless something stands in the way; return the old."""
        self._refuse_when_full()
        found = await self._database.write(
            partial(verb_works.resend, order=order, message_id=message_id, resent=resent, now=now)
        )
        self._ring(order.provider)
        return found
