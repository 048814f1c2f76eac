"""What an EPR has been given and has not taken, or has not asked for: by use case, with its age."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

LISTED = 10  # notices of one use case that are named


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadNotice:
    """One of them, by its ids."""

    notice_id: int
    request_id: str
    workflow_id: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """The notices of one use case that lie there."""

    use_case: str
    count: int
    late_after: timedelta  # from then on it is a concern
    oldest: Sequence[UnreadNotice]  # the first few of them; never empty

    @property
    def since(self) -> datetime:
        """When the oldest was written."""
        return self.oldest[0].created_at


@dataclass(frozen=True, slots=True, kw_only=True)
class EprCondition:
    """How one provider's EPR attends to what it is given."""

    provider: str
    asks: bool  # it is to ask for questions, again and again
    asked_at: datetime | None = None  # when it last did; None: not since the gateway started
    seen_at: datetime | None = None  # when it last did anything at all; likewise
    unread: Sequence[Unread] = ()
    known: bool = False  # whether what lies there could be looked at
    more: bool = False  # there is more than was looked at

    @property
    def lying(self) -> int:
        """How many notices lie there."""
        return sum(each.count for each in self.unread)


class UnreadNotices(Protocol):
    """What may be asked of notices that an EPR has not taken."""

    async def uncollected(self, provider: str, limit: int) -> Sequence[int]:
        """Return the numbers of what is owed to *provider*'s EPR, oldest first."""

    async def by_use_case(
        self, provider: str, numbers: Sequence[int], late_after: Callable[[str], timedelta]
    ) -> Sequence[Unread]:
        """Return those notices of *provider*, by use case; what is not known is left out."""
