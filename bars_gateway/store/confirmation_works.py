"""Lets a person say how a workflow stands that is in doubt: one work, with the audit trail."""

from datetime import datetime

from bars_gateway.standard.workflow import DOUBTS, FINAL, State
from bars_gateway.store.confirmations import NOT_CONFIRMED, Confirmed
from bars_gateway.store.connection import Connection
from bars_gateway.store.interventions import Actor, Objection
from bars_gateway.store.rows import text
from bars_gateway.store.statements import add_message_event


def confirm(  # noqa: PLR0917
    connection: Connection,
    provider: str,
    workflow_id: int,
    state: State,
    actor: Actor,
    now: datetime,
    *,
    dry_run: bool,
) -> Confirmed | Objection | None:
    """Put the workflow into *state*, or say what stands against it; None: there is no such one."""
    workflow = connection.one("workflow", id=workflow_id)
    if workflow is None or workflow["provider"] != provider:
        return None
    before = State(workflow["state"])
    if before not in DOUBTS:
        return NOT_CONFIRMED["not_in_doubt"]
    if dry_run:
        return Confirmed(state=before)
    closed_at = text(now) if state in FINAL else None
    connection.run("confirm_workflow", id=workflow_id, state=state, closed_at=closed_at)
    message = connection.one("request_of", id=workflow_id)
    assert message is not None
    about = (provider, int(message["id"]), str(message["request_id"]))
    said = {"who": actor.who, "why": actor.why, "was": before, "state": state}
    add_message_event(connection, about, f"{actor.role}.confirmed", now, said)
    return Confirmed(state=state)
