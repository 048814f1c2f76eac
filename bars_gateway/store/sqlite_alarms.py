"""Alarms on SQLite: the works of `alarm_works`."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from bars_gateway.store import alarm_works
from bars_gateway.store.alarms import Alarm
from bars_gateway.store.database import Database
from bars_gateway.store.handling import MOST_AT_ONCE, Chosen, Handled
from bars_gateway.store.interventions import Actor


class SqliteAlarms:
    """The `Alarms` of one open database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def standing(self, provider: str | None, limit: int) -> Sequence[Alarm]:
        """Return what stands, of *provider* or of all, newest first."""
        work = partial(alarm_works.standing, provider=provider, limit=limit)
        return await self._database.read(work)

    async def newest(self) -> int:
        """Return the number of the last that was raised; 0: none was."""
        return await self._database.read(alarm_works.newest_number)

    async def raised(self, after: int, limit: int) -> Sequence[Alarm]:
        """Return what was raised after the alarm of that number, oldest first, ended or not."""
        return await self._database.read(partial(alarm_works.raised, after=after, limit=limit))

    async def handle(
        self,
        provider: str,
        chosen: Chosen,
        actor: Actor,
        now: datetime,
        *,
        dry_run: bool,
        at_once: int = MOST_AT_ONCE,
    ) -> Sequence[Handled]:
        """Mark as handled what is chosen, at most *at_once* of them, with audit trail."""
        return await self._database.write(
            lambda connection: alarm_works.handle(
                connection, provider, chosen, actor, now, dry_run, at_once
            )
        )
