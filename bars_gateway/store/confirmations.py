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
from typing import Protocol

from bars_gateway.standard.workflow import State
from bars_gateway.store.interventions import Actor, Objection

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


class Confirmations(Protocol):
    """What a person may tell the store about workflows in doubt."""

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
