"""
What can be read, and changes nothing: lists, histories, the overview.

What an EPR has been given and has not taken, or has not asked for, is told by use case, with its
age (`UnreadNotices`).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from bars_gateway.frozen import frozen
from bars_gateway.model.messages import OutboundState, Part, Payload
from bars_gateway.model.questions import OpenQuestions
from bars_gateway.model.readings import LastAttempt, MessageHistory, MessageRow, Overview
from bars_gateway.standard.findings import ReadProgress
from bars_gateway.standard.workflow import State
from bars_gateway.store import alarms
from bars_gateway.store.connection import Connection, Room, Row
from bars_gateway.store.outcomes import seen
from bars_gateway.store.record_holds import hold_of_workflow
from bars_gateway.store.records import links
from bars_gateway.store.rows import (
    attempt_of,
    event_of,
    instant,
    payload_of,
    text,
    workflow_of,
)
from bars_gateway.store.work import Noun, reads

LISTED_UNREAD = 10  # notices of one use case that are named
_AT_ONCE = 2_000  # notices looked up before others may read
LISTED = 20
LISTED_ALARMS = 10  # of each kind; bars-gateway alarms lists them all


@frozen(kw_only=True)
class UnreadNotice:
    """One of them, by its ids."""

    notice_id: int
    request_id: str
    workflow_id: int
    created_at: datetime


@frozen(kw_only=True)
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


@frozen(kw_only=True)
class LyingRefusals:
    """What was refused to an EPR and lies there, of one use case."""

    use_case: str  # empty: it says none that we know
    count: int
    since: datetime  # the oldest was refused
    late_after: timedelta = timedelta()  # from then on it is a concern


@frozen(kw_only=True)
class EprCondition:
    """How one provider's EPR attends to what it is given."""

    provider: str
    asks: bool  # it is to ask for questions, again and again
    asked_at: datetime | None = None  # when it last did; None: not since the gateway started
    seen_at: datetime | None = None  # when it last did anything at all; likewise
    unread: Sequence[Unread] = ()
    known: bool = False  # whether what lies there could be looked at
    more: bool = False  # there is more than was looked at
    refused: Sequence[LyingRefusals] = ()  # what was refused to it by folder, and lies there
    refusals: int = 0  # submissions that were refused at either door, since the start
    refused_at: datetime | None = None  # the last of them

    @property
    def lying(self) -> int:
        """How many notices lie there."""
        return sum(each.count for each in self.unread)

    def since_asked(self, started_at: datetime, now: datetime) -> timedelta:
        """Return how long ago it asked, or could since the start; ahead, the clock was set back."""
        return abs(now - (self.asked_at or started_at))


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
            for use_case, more in (await self._looked_up(provider, some)).items():
                known = found.get(use_case)
                found[use_case] = (
                    replace(more, late_after=late_after(use_case))
                    if known is None
                    else _joined(known, more)
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
                oldest=[_unread_notice(row) for row in group[:LISTED_UNREAD]],
            )
            for use_case, group in groups.items()
        }


def _joined(first: Unread, second: Unread) -> Unread:
    oldest = [*first.oldest, *second.oldest][:LISTED_UNREAD]
    return replace(first, count=first.count + second.count, oldest=oldest)


def _unread_notice(row: Row) -> UnreadNotice:
    return UnreadNotice(
        notice_id=row["id"],
        request_id=row["request_id"],
        workflow_id=row["workflow_id"],
        created_at=instant(row["created_at"]),
    )


class Messages(Noun):
    """What was exchanged, and what happened to it."""

    @reads
    def payload(self, connection: Connection, message_id: int, part: Part) -> Payload | None:
        """Return those bytes, or None if there are none (any more)."""
        return payload(connection, message_id, part)

    @reads
    def queue(self, connection: Connection, provider: str | None, limit: int) -> list[MessageRow]:
        """Return outbound messages that are not settled, in the order they were taken."""
        return queue(connection, provider, limit)

    @reads
    def history(
        self, connection: Connection, provider: str | None, request_id: str
    ) -> list[MessageHistory]:
        """Return every message with that X-Request-Id (of *provider*), with all that happened."""
        return history(connection, provider, request_id)


def payload(connection: Connection, message_id: int, part: Part) -> Payload | None:
    """Return the bytes of one part of a message."""
    row = connection.one("payload", message_id=message_id, part=part)
    return None if row is None else payload_of(row, connection.vault)


def queue(connection: Connection, provider: str | None, limit: int) -> list[MessageRow]:
    """Return the messages that are not settled."""
    return [
        seen(connection, row)
        for row in connection.rows("open_messages", provider=provider, limit=limit)
    ]


def history(connection: Connection, provider: str | None, request_id: str) -> list[MessageHistory]:
    """Return the messages with that X-Request-Id and all that happened to them."""
    found = connection.rows("messages_named", provider=provider, request_id=request_id)
    return [history_of(connection, row) for row in found]


def history_of(connection: Connection, row: Row) -> MessageHistory:
    """Return the message in *row* and all that happened to it."""
    workflow = connection.one("workflow", id=row["workflow_id"])
    assert workflow is not None
    return MessageHistory(
        message=seen(connection, row),
        workflow=workflow_of(workflow, links(connection, workflow["id"])),
        attempts=[attempt_of(a) for a in connection.rows("message_attempts", message_id=row["id"])],
        events=[event_of(e) for e in connection.rows("message_events", message_id=row["id"])],
        held=hold_of_workflow(connection, workflow["id"]),
    )


def overview(connection: Connection, room: Room, now: datetime) -> Overview:
    """Return everything that the status page shows, from one snapshot."""
    tallies = {(row["of"], row["state"]): row["n"] for row in connection.rows("tallies")}
    oldest = connection.one("oldest_open")
    due = connection.one("next_due_of_all")
    return Overview(
        at=now,
        outbound={state: tallies.get(("outbound", state), 0) for state in OutboundState},
        inbound=tallies.get(("inbound", "received"), 0),
        workflows={state: tallies.get(("workflow", state), 0) for state in State},
        notices_pending={row["provider"]: row["n"] for row in connection.rows("count_notices")},
        questions_open=_open_questions(connection, now),
        cancels_waiting={
            ReadProgress(row["reading"]): row["n"] for row in connection.rows("count_readings")
        },
        oldest_open_at=instant(oldest["at"]) if oldest else None,
        oldest_waiting_at=instant(oldest["waiting_at"]) if oldest else None,
        oldest_late_at=instant(oldest["late_at"]) if oldest else None,
        next_due_at=instant(due["at"]) if due else None,
        last_attempts=_last_attempts(connection),
        last_workflows=[
            workflow_of(row, links(connection, row["id"]))
            for row in connection.rows("last_workflows", limit=LISTED)
        ],
        standing=alarms.counted(connection),
        alarms=alarms.newest(connection, LISTED_ALARMS),
        database=room.name,
        database_bytes=room.size_bytes,
        free_bytes=room.free_bytes,
    )


def watched(connection: Connection, room: Room, now: datetime) -> Overview:
    """Return of the overview what concerns rest on; what is only shown is left out."""
    held = connection.one("count_held")
    oldest = connection.one("oldest_open")
    return Overview(
        at=now,
        outbound={OutboundState.HELD: held["n"] if held else 0},
        inbound=0,
        workflows={},
        notices_pending={},
        questions_open=_open_questions(connection, now),
        cancels_waiting={},
        oldest_open_at=instant(oldest["at"]) if oldest else None,
        oldest_waiting_at=instant(oldest["waiting_at"]) if oldest else None,
        oldest_late_at=instant(oldest["late_at"]) if oldest else None,
        next_due_at=None,
        last_attempts=(),
        last_workflows=(),
        standing=alarms.counted(connection),
        alarms=(),
        database=room.name,
        database_bytes=room.size_bytes,
        free_bytes=room.free_bytes,
    )


def _open_questions(connection: Connection, now: datetime) -> dict[str, OpenQuestions]:
    return {
        row["provider"]: OpenQuestions(
            count=row["n"], late=row["late"], oldest_at=instant(row["oldest"])
        )
        for row in connection.rows("count_questions", now=text(now))
    }


def _last_attempts(connection: Connection) -> list[LastAttempt]:
    return [
        LastAttempt(
            request_id=row["request_id"],
            provider=row["provider"],
            receiver=row["receiver"],
            attempt=attempt_of(row),
        )
        for row in connection.rows("last_attempts", limit=LISTED)
    ]
