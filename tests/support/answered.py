"""A request that the other side has answered: as nobody expected, or to another than it names."""

import json
import uuid
from datetime import datetime, timedelta
from typing import Any

import messages
from store_values import (
    ANSWER,
    OURS,
    THEIRS,
    arrival,
    attempt,
    claim_next,
    payload,
    submission,
)

from bars_gateway.demo.messages import response
from bars_gateway.model.messages import OutboundState, Settled
from bars_gateway.standard.workflow import Move, RequestType
from bars_gateway.store.store import Store


async def answered(store: Store, now: datetime, move: Move, responds_to: str | None = None) -> int:
    """Send a validation request, and let a response to it come; return its workflow."""
    body = messages.validation_request()
    about: dict[str, Any] = {"request_type": RequestType.VALIDATION, "use_case": "a4t1"}
    ends = now + timedelta(hours=1)
    asked = submission(body=body, sender=OURS, receiver=THEIRS, give_up_at=ends, **about)
    accepted = await store.outbound.submit(asked, now)
    claim = await claim_next(store, now, {"trust"})
    assert claim is not None
    settled = Settled(state=OutboundState.ACKNOWLEDGED, focus_id=str(uuid.uuid4()))
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=settled)
    bundle = json.loads(body)
    bundle["entry"].sort(key=lambda each: each["resource"]["resourceType"] == "Encounter")
    came = arrival(
        body=response(json.dumps(bundle).encode(), encounter="finished", responds_to=responds_to),
        move=move,
        sender=THEIRS,
        receiver=OURS,
        focus_id=settled.focus_id,
        reference=None,
        responds_to=responds_to or asked.bundle_id,
        **about,
    )
    await store.responses.respond(came, payload(b'{"resourceType":"OperationOutcome"}'), now)
    return accepted.workflow_id
