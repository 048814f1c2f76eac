"""
How a workflow stands that is in doubt: unclear or contradicted, and a person who has found out.

    unclear, contradicted ──confirm──► where it stands in truth, with the audit trail
                                  └──► why not

Nothing that comes by itself settles a contradiction, for that would be guessing which of two
is true. Somebody telephones, and says so. What comes after that is read as ever.

Decisions: D-contradicted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from bars_gateway.model.actors import Actor, Objection
from bars_gateway.standard.workflow import DOUBTS, FINAL, State
from bars_gateway.store.connection import Connection
from bars_gateway.store.records import add_message_event
from bars_gateway.store.rows import text
from bars_gateway.store.work import Noun, writes

NOT_CONFIRMED: Mapping[str, Objection] = {
    each.code: each
    for each in (
        Objection(
            code="not_in_doubt",
            text="the workflow is neither unclear nor contradicted",
            cure="there is nothing to confirm: messages alone move it",
        ),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """The workflow stands as somebody has said."""

    state: State  # of the workflow; in a dry run, as it was


class Confirmations(Noun):
    """How workflows in doubt stand, as people have found out."""

    @writes
    def confirm(  # noqa: PLR0917
        self,
        connection: Connection,
        provider: str,
        workflow_id: int,
        state: State,
        actor: Actor,
        now: datetime,
        *,
        dry_run: bool,
    ) -> Confirmed | Objection | None:
        """
        Put a workflow in doubt into *state*, or say what stands against it.

        None: *provider* has none of that number.
        """
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
