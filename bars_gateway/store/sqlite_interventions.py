"""Interventions on SQLite: the works of `intervention_works`, and the bells after them."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from bars_gateway.store import intervention_works
from bars_gateway.store.database import Database
from bars_gateway.store.interventions import (
    Actor,
    Candidate,
    Done,
    Objection,
    Renewal,
    Schedule,
    Selection,
    Verb,
)


class SqliteInterventions:
    """The `Interventions` of one node over one open database."""

    def __init__(
        self,
        database: Database,
        *,
        refuse_when_full: Callable[[], None],
        ring: Callable[[], None],
    ) -> None:
        self._database = database
        self._refuse_when_full = refuse_when_full
        self._ring = ring

    async def candidate(
        self, provider: str, request_id: str, verb: Verb, now: datetime
    ) -> Candidate | None:
        """Return *provider*'s outbound message and what stands against *verb*, changing nothing."""
        return await self._database.read(
            partial(
                intervention_works.candidate,
                provider=provider,
                request_id=request_id,
                verb=verb,
                now=now,
            )
        )

    async def candidates(
        self, provider: str, selection: Selection, verb: Verb, limit: int, now: datetime
    ) -> Sequence[Candidate]:
        """Return what *verb* would meet, oldest first, changing nothing."""
        return await self._database.read(
            partial(
                intervention_works.candidates,
                provider=provider,
                selection=selection,
                verb=verb,
                limit=limit,
                now=now,
            )
        )

    async def newest(self) -> int:
        """Return the number of the last message that there is; 0: there is none."""
        return await self._database.read(intervention_works.newest)

    async def intervene(
        self, verb: Verb, message_id: int, actor: Actor, schedule: Schedule, now: datetime
    ) -> Done | Objection:
        """Do anything but a resend, with workflow, notice and audit trail."""
        done = await self._database.write(
            lambda connection: intervention_works.intervene(
                connection, verb, message_id, actor, schedule, now
            )
        )
        self._ring()
        return done

    async def resend(
        self, message_id: int, renewal: Renewal, actor: Actor, schedule: Schedule, now: datetime
    ) -> Done | Objection:
        """Queue the payload once more under its new ids, with workflow, notice and audit trail."""
        self._refuse_when_full()
        done = await self._database.write(
            lambda connection: intervention_works.resend(
                connection, message_id, renewal, actor, schedule, now
            )
        )
        self._ring()
        return done
