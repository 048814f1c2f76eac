"""
What is owed to EPRs: notices, from when something happened until the EPR has collected them.

    notify (records) ─► pending ─► the EPR's door ─► collect
                          └ one that cannot be read is kept back, with an alarm: the rest goes on

A notice is told again and again until it is collected, and never after that.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from bars_gateway.model.messages import NoticeKind, Part
from bars_gateway.model.readings import Notice
from bars_gateway.standard.bundle import Message
from bars_gateway.store.asides import Asides, Spoilt, each
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.modified import KnownModifiers
from bars_gateway.store.records import collect, links, read_kept
from bars_gateway.store.rows import notice_of
from bars_gateway.store.work import Noun, Shared, reads, writes

# What is about the very message that has the remarks.
_OF_WHAT_CAME = frozenset({NoticeKind.MESSAGE, NoticeKind.AMENDED, NoticeKind.DECIDED_LATE})


class Notices(Noun):
    """What is owed to EPRs."""

    def __init__(self, shared: Shared, asides: Asides) -> None:
        super().__init__(shared)
        self._asides = asides
        self._modifiers = KnownModifiers()

    async def pending(self, provider: str, limit: int) -> Sequence[Notice]:
        """Return what *provider*'s EPR has not collected yet, oldest first."""
        while True:
            found = await self._pending(provider, limit)
            spoilt = [one for one in found if isinstance(one, Spoilt)]
            notices = [one for one in found if not isinstance(one, Spoilt)]
            for one in spoilt:  # they are not found again
                await self._asides.keep_back(provider, one.number, one.error)
            if notices or not spoilt:
                return notices

    @reads
    def _pending(self, connection: Connection, provider: str, limit: int) -> list[Notice | Spoilt]:
        found = connection.rows("pending_notices", provider=provider, limit=limit)
        return each(found, partial(self._notice, connection))

    @reads
    def notice(self, connection: Connection, provider: str, notice_id: int) -> Notice | None:
        """Return that notice, collected or not, or None if *provider* has no such."""
        row = connection.one("notice", provider=provider, notice_id=notice_id)
        return None if row is None else self._notice(connection, row)

    def _notice(self, connection: Connection, row: Row) -> Notice:
        message = connection.one("notice_message", message_id=row["message_id"])
        assert message is not None
        notice = notice_of(row, message, links(connection, message["workflow_id"]))
        if notice.kind not in _OF_WHAT_CAME:
            return notice
        came = partial(_what_came, connection, notice)
        modifiers = self._modifiers.of(notice.message_id, notice.remarks, came)
        return replace(notice, modifiers=modifiers) if modifiers else notice

    @writes
    def collect(
        self, connection: Connection, provider: str, notice_ids: Sequence[int], now: datetime
    ) -> int:
        """Mark notices as collected; return how many were not before."""
        return collect(connection, provider, notice_ids, now)

    async def wait_for_work(self, provider: str, seconds: float) -> None:
        """Return when *provider* may have a new notice, after *seconds* at the latest."""
        await self._wake_ups.notices[provider].wait(seconds)


def _what_came(connection: Connection, notice: Notice) -> Message | None:
    """Return the message that a notice is about; None where it is gone, or cannot be read."""
    kept = connection.one("payload", message_id=notice.message_id, part=Part.REQUEST)
    return read_kept(kept, connection.vault) if kept else None
