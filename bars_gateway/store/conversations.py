"""
What has been said in a workflow, and what is owed: the port, and the values it trades in.

    in_reply_to ──about──► Conversation ──► what a composed message rests on
    submission_id ──handed_in──► the receipt that it was given
    the time ──tell_due──► notices: due soon, overdue
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bars_gateway.standard.workflow import Move, Role
from bars_gateway.store.values import Accepted, Payload
from bars_gateway.store.views import WorkflowRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One message of a workflow that both sides have, or will have."""

    move: Move
    request: Payload
    answer: Payload | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A workflow with all that was said in it, oldest first."""

    workflow: WorkflowRow
    focus_id: str | None  # by which its Receiver knows it, however that was told, and nobody else
    said: Sequence[Said]


class Conversations(Protocol):
    """What the flows may ask of the store about conversations."""

    async def about(self, provider: str, key: str, role: Role) -> Conversation | None:
        """Return the workflow that *key* numbers, or a message of it has as X-Request-Id."""

    async def tell_due(self, now: datetime) -> tuple[int, int]:
        """Write what falls due with answers that are owed; return how many soon, and overdue."""

    async def handed_in(self, provider: str, submission_id: str) -> Accepted | None:
        """Return the receipt for what was composed under the EPR's own key, or None."""
