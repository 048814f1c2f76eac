"""Workflows in doubt on SQLite: the works of `confirmation_works`."""

from datetime import datetime

from bars_gateway.standard.workflow import State
from bars_gateway.store import confirmation_works
from bars_gateway.store.confirmations import Confirmed
from bars_gateway.store.database import Database
from bars_gateway.store.interventions import Actor, Objection


class SqliteConfirmations:
    """The `Confirmations` of one open database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def confirm(
        self,
        provider: str,
        workflow_id: int,
        state: State,
        actor: Actor,
        now: datetime,
        *,
        dry_run: bool,
    ) -> Confirmed | Objection | None:
        """Say how a workflow in doubt stands; None: *provider* has none of that number."""
        return await self._database.write(
            lambda c: confirmation_works.confirm(
                c, provider, workflow_id, state, actor, now, dry_run=dry_run
            )
        )
