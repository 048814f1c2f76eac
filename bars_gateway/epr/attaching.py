"""
Attaches a quarantined response to a workflow, because somebody knows where it belongs.

    number + workflow_id ─► its bytes are read again ─► objection? ─► store: one transaction

    POST /quarantine/{id}/attach    200 done, or would be · 404 · 409 and why not

It is judged as when it came: which move it makes, about what, for whom. A dry run asks the store
the same question, and ends there. Whoever sends it again gets 409 from then on.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from bars_gateway.epr.orders import Attachment
from bars_gateway.model.actors import Actor, Objection
from bars_gateway.model.messages import Arrival, Payload
from bars_gateway.model.quarantine import AGAINST, UNKNOWN_RECORD, Attached, Quarantine
from bars_gateway.standard.bundle import MalformedBundle, Message, read
from bars_gateway.standard.meaning import move_of
from bars_gateway.standard.workflow import REQUESTER_MOVES
from bars_gateway.store.arrivals import response_arrival
from bars_gateway.store.store import Store

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became, or would become, of an attachment."""

    number: int
    workflow_id: int
    state: str | None  # of the workflow, afterwards; None: nothing was done
    objection: Objection | None


class Attaching:
    """Attaches one provider's quarantined responses."""

    def __init__(self, store: Store, *, provider: str, now: Callable[[], datetime]) -> None:
        self._store = store
        self._provider = provider
        self._now = now

    async def attach(self, order: Attachment, number: int, uid: int | None) -> Outcome | None:
        """Do it, or say what stands against it; None if there is no such response."""
        found = await self._store.quarantine.quarantined(self._provider, number)
        if found is None:
            return None
        done = await self._attach(order, *found, uid)
        against = done if isinstance(done, Objection) else None
        log.info(
            "epr.intervention_ended",
            provider=self._provider,
            operation="attach",
            request_id=found[0].request_id,
            kind=order.role,
            reason=against.code if against else "dry_run" if order.dry_run else "done",
        )
        return Outcome(
            number=number,
            workflow_id=order.workflow_id,
            state=done.state if isinstance(done, Attached) else None,
            objection=against,
        )

    async def _attach(
        self, order: Attachment, kept: Quarantine, payload: Payload, uid: int | None
    ) -> Attached | Objection | None:
        if kept.reason == UNKNOWN_RECORD:
            return AGAINST["no_response"]
        message = await asyncio.to_thread(_read, payload)
        arrival = None if message is None else _arrival(kept, payload, message)
        if message is None or arrival is None:
            return AGAINST["unreadable"]
        quarantine, workflow_id = self._store.quarantine, order.workflow_id
        if order.dry_run:
            return await quarantine.against(kept.number, workflow_id, arrival)
        actor = Actor(role=order.role, who=f"{order.by or order.role} (uid {uid})", why=order.why)
        return await quarantine.attach(kept.number, workflow_id, arrival, actor, self._now())


def _read(payload: Payload) -> Message | None:
    try:
        return read(payload.body, payload.media_type)
    except MalformedBundle:
        return None


def _arrival(kept: Quarantine, payload: Payload, message: Message) -> Arrival | None:
    """Return the response as it would have been taken, had its workflow been found."""
    move = move_of(message)
    if move is None or move in REQUESTER_MOVES:
        return None
    return response_arrival(
        message,
        move,
        payload,
        provider=kept.provider,
        request_id=kept.request_id,
        correlation_id=kept.correlation_id,
        sender=kept.sender,
        receiver=kept.receiver,
    )
