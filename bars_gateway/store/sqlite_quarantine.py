"""Quarantined responses on SQLite: the works of `quarantine_works`, and the bells after them."""

from collections.abc import Callable
from datetime import datetime
from functools import partial

from bars_gateway.store import quarantine_works
from bars_gateway.store.database import Database
from bars_gateway.store.interventions import Actor, Objection
from bars_gateway.store.quarantine import Attached, Quarantine
from bars_gateway.store.values import Arrival, Payload


class SqliteQuarantines:
    """The `Quarantines` of one open database."""

    def __init__(self, database: Database, *, ring: Callable[[], None]) -> None:
        self._database = database
        self._ring = ring

    async def quarantined(self, provider: str, number: int) -> tuple[Quarantine, Payload] | None:
        """Return that one of *provider*'s with its bytes, or None."""
        work = partial(quarantine_works.quarantined, provider=provider, number=number)
        return await self._database.read(work)

    async def against(self, number: int, workflow_id: int, arrival: Arrival) -> Objection | None:
        """Return what stands against attaching it, changing nothing."""
        return await self._database.read(
            lambda c: quarantine_works.against(c, number, workflow_id, arrival)
        )

    async def attach(
        self, number: int, workflow_id: int, arrival: Arrival, actor: Actor, now: datetime
    ) -> Attached | Objection:
        """Take it into that workflow, with notice, ledger and audit trail."""
        done = await self._database.write(
            lambda c: quarantine_works.attach(c, number, workflow_id, arrival, actor, now)
        )
        self._ring()
        return done
