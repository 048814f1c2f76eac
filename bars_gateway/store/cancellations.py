"""
Cancellations that wait until somebody has read whether there is still something to cancel.

    queued, to be read ─confirm──► queued, may be sent
                       ├─refuse───► refused: nothing to cancel, and nothing was sent
                       ├─unshown──► read again; the second time within a minute it may be sent
                       ├─belongs_to_another─► read again; told at once, and never sent so
                       └─postpone─► read again later; after a minute the EPR is told, once
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bars_gateway.store.values import Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """A cancellation that is to be read for."""

    message_id: int
    provider: str
    request_id: str
    correlation_id: str
    receiver: str
    request: Payload


class Cancellations(Protocol):
    """What the flows may ask of the store about cancellations. Each method is one transaction."""

    async def to_read(self, now: datetime, limit: int) -> Sequence[Cancellation]:
        """Return those that a read is due for, the first in its conversation each."""

    async def confirm(self, message_id: int, now: datetime) -> None:
        """Let it be sent: there is something to cancel."""

    async def refuse(self, message_id: int, status: str, now: datetime) -> None:
        """Settle it as refused: what it is about is over, and has that *status*."""

    async def unshown(self, message_id: int, at: datetime, now: datetime) -> bool:
        """Read again at *at*, or where nothing was shown before, let it be sent: return that."""

    async def is_contested(self, message_id: int, focus_id: str) -> bool:
        """Tell whether a workflow of another patient has that id of the same Receiver, too."""

    async def belongs_to_another(self, message_id: int, at: datetime, now: datetime) -> None:
        """Read again at *at*; the id is that of another patient's record: EPR and operator hear."""

    async def postpone(self, message_id: int, at: datetime, now: datetime, *, alike: bool) -> None:
        """Read again at *at*; *alike*: all of its Receiver that are due."""

    async def tell_unread(self, now: datetime) -> int:
        """Tell each EPR once of what has waited for its read for a minute; return how many."""

    async def cancel_work(self, seconds: float) -> None:
        """Return when a cancellation may have come, after *seconds* at the latest."""

    def ring(self) -> None:
        """Wake whoever waits for `cancel_work`."""
