"""
What the store offers to whoever looks for ids of the Receiver's that are not known.

    settle: acknowledged, no id ─► wanted ──► found │ none │ several │ unread, and a notice
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from bars_gateway.store.values import Payload


class Reconciliation(StrEnum):
    """What came of looking for the ids that the Receiver gave to a message."""

    FOUND = "found"  # one record is ours: its id is known
    NONE = "none"  # no record says that it is ours
    SEVERAL = "several"  # more than one does
    UNREAD = "unread"  # nobody could be asked, or by nothing: the Bundle names no NHS number


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreconciled:
    """A message that the Receiver has, under ids that we do not know."""

    message_id: int
    provider: str
    request_id: str
    correlation_id: str
    receiver: str  # system|value of the service that has it
    due_at: datetime  # when to look
    settled_at: datetime  # since when the Receiver is known to have it
    request: Payload


class Reconciliations(Protocol):
    """What the store remembers of it. Nothing is claimed: to look twice does no harm."""

    async def next(self) -> Unreconciled | None:
        """Return the message that is to be looked for first, due or not."""

    async def later(self, message_id: int, at: datetime) -> None:
        """Look again at *at*."""

    async def settle(
        self, message_id: int, result: Reconciliation, focus_id: str | None, now: datetime
    ) -> None:
        """Keep what came of it, and tell the EPR; raise StaleState where that was done before."""

    async def work(self, seconds: float) -> None:
        """Return when there may be one more, after *seconds* at the latest."""

    def ring(self) -> None:
        """Wake whoever waits for work."""
