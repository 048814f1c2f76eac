"""Unread notices on SQLite: many are read in turns, so that nobody waits long behind them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.database import Database
from bars_gateway.store.rows import instant
from bars_gateway.store.unread import LISTED, Unread, UnreadNotice

_AT_ONCE = 2_000  # notices looked up before others may read


class SqliteUnread:
    """The `UnreadNotices` of one open database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def uncollected(self, provider: str, limit: int) -> Sequence[int]:
        """Return the numbers of what is owed to *provider*'s EPR, oldest first."""
        found = await self._database.read(
            lambda c: c.rows("uncollected", provider=provider, limit=limit)
        )
        return [row["id"] for row in found]

    async def by_use_case(
        self, provider: str, numbers: Sequence[int], late_after: Callable[[str], timedelta]
    ) -> Sequence[Unread]:
        """Return those notices of *provider*, by use case; what is not known is left out."""
        ordered = sorted(numbers)
        found: dict[str, Unread] = {}
        for start in range(0, len(ordered), _AT_ONCE):
            some = json.dumps(ordered[start : start + _AT_ONCE])
            for use_case, each in (await self._database.read(_looked_up(provider, some))).items():
                known = found.get(use_case)
                found[use_case] = (
                    replace(each, late_after=late_after(use_case))
                    if known is None
                    else _joined(known, each)
                )
        return list(found.values())


def _joined(first: Unread, second: Unread) -> Unread:
    oldest = [*first.oldest, *second.oldest][:LISTED]
    return replace(first, count=first.count + second.count, oldest=oldest)


def _looked_up(provider: str, numbers: str) -> Callable[[Connection], dict[str, Unread]]:
    """Return a work that groups some notices on the reader's own thread."""

    def work(connection: Connection) -> dict[str, Unread]:
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

    return work


def _notice(row: Row) -> UnreadNotice:
    return UnreadNotice(
        notice_id=row["id"],
        request_id=row["request_id"],
        workflow_id=row["workflow_id"],
        created_at=instant(row["created_at"]),
    )
