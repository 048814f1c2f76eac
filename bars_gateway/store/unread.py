"""What an EPR has been given and has not taken, or has not asked for: by use case, with its age."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.rows import instant
from bars_gateway.store.work import Noun, reads

LISTED = 10  # notices of one use case that are named
_AT_ONCE = 2_000  # notices looked up before others may read


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


class UnreadNotices(Noun):
    """What EPRs were given and have not taken: looked up in turns, so that nobody waits long."""

    @reads
    def uncollected(self, connection: Connection, provider: str, limit: int) -> list[int]:
        """Return the numbers of what is owed to *provider*'s EPR, oldest first."""
        found = connection.rows("uncollected", provider=provider, limit=limit)
        return [row["id"] for row in found]

    async def by_use_case(
        self, provider: str, numbers: Sequence[int], late_after: Callable[[str], timedelta]
    ) -> Sequence[Unread]:
        """Return those notices of *provider*, by use case; what is not known is left out."""
        ordered = sorted(numbers)
        found: dict[str, Unread] = {}
        for start in range(0, len(ordered), _AT_ONCE):
            some = json.dumps(ordered[start : start + _AT_ONCE])
            for use_case, each in (await self._looked_up(provider, some)).items():
                known = found.get(use_case)
                found[use_case] = (
                    replace(each, late_after=late_after(use_case))
                    if known is None
                    else _joined(known, each)
                )
        return list(found.values())

    @reads
    def _looked_up(self, connection: Connection, provider: str, numbers: str) -> dict[str, Unread]:
        """Return some notices in groups, made on the reader's own thread."""
        groups: dict[str, list[Row]] = {}
        for row in connection.rows("unread_notices", provider=provider, numbers=numbers):
            groups.setdefault(row["use_case"], []).append(row)
        return {
            use_case: Unread(
                use_case=use_case,
                count=len(group),
                late_after=timedelta(),
                oldest=[_notice(row) for row in group[:LISTED]],
            )
            for use_case, group in groups.items()
        }


def _joined(first: Unread, second: Unread) -> Unread:
    oldest = [*first.oldest, *second.oldest][:LISTED]
    return replace(first, count=first.count + second.count, oldest=oldest)


def _notice(row: Row) -> UnreadNotice:
    return UnreadNotice(
        notice_id=row["id"],
        request_id=row["request_id"],
        workflow_id=row["workflow_id"],
        created_at=instant(row["created_at"]),
    )
