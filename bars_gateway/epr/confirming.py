"""
Settles how a workflow stands that is unclear or contradicted, because somebody has found out.

    POST /workflows/{id}/confirm    200 done, or would be · 404 · 409 and why not
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from bars_gateway.epr.orders import Confirmation
from bars_gateway.model.actors import Actor, Objection
from bars_gateway.standard.workflow import State
from bars_gateway.store.confirmations import Confirmed
from bars_gateway.store.store import Store

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What became, or would become, of a workflow in doubt."""

    workflow_id: int
    state: State | None  # of the workflow; None: nothing was done, or would be
    objection: Objection | None


class Confirming:
    """Settles one provider's workflows."""

    def __init__(self, store: Store, *, provider: str, now: Callable[[], datetime]) -> None:
        self._store = store
        self._provider = provider
        self._now = now

    async def confirm(
        self, order: Confirmation, workflow_id: int, uid: int | None
    ) -> Settlement | None:
        """Do it, or say what stands against it; None if there is no such workflow."""
        actor = Actor(role=order.role, who=f"{order.by or order.role} (uid {uid})", why=order.why)
        done = await self._store.confirmations.confirm(
            self._provider, workflow_id, order.state, actor, self._now(), dry_run=order.dry_run
        )
        if done is None:
            return None
        against = done if isinstance(done, Objection) else None
        log.info(
            "epr.intervention_ended",
            provider=self._provider,
            operation="confirm",
            workflow_id=workflow_id,
            kind=order.role,
            reason=against.code if against else "dry_run" if order.dry_run else "done",
        )
        return Settlement(
            workflow_id=workflow_id,
            state=done.state if isinstance(done, Confirmed) else None,
            objection=against,
        )
