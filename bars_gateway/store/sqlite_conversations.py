"""Conversations on SQLite: read whole, in one snapshot; and the clock of what is owed."""

from collections.abc import Callable
from datetime import datetime

from bars_gateway.standard.workflow import Move, Role
from bars_gateway.store import clock_works
from bars_gateway.store.asides import Aside
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.conversations import Conversation, Said
from bars_gateway.store.database import Database
from bars_gateway.store.rounds import Rounds
from bars_gateway.store.rows import payload_of, workflow_of
from bars_gateway.store.statements import links
from bars_gateway.store.submission_works import accepted_of, handed_in
from bars_gateway.store.values import Accepted, Payload

_PARTS = ("media_type", "headers", "encoding", "body", "digest")


class SqliteConversations:
    """The `Conversations` of one open database."""

    def __init__(
        self, database: Database, rounds: Rounds, *, ring_notices: Callable[[], None]
    ) -> None:
        self._database = database
        self._rounds = rounds
        self._ring_notices = ring_notices

    async def tell_due(self, now: datetime) -> tuple[int, int]:
        """Write what falls due with answers that are owed; return how many soon, and overdue."""
        overdue = await self._rounds.go(clock_works.tell_overdue, Aside.NOTICE, now)
        soon = await self._rounds.go(clock_works.tell_due_soon, Aside.NOTICE, now)
        if soon or overdue:
            self._ring_notices()
        return soon, overdue

    async def about(self, provider: str, key: str, role: Role) -> Conversation | None:
        """Return the workflow that *key* numbers, or a message of it has as X-Request-Id."""
        return await self._database.read(lambda c: _about(c, provider, key, role))

    async def handed_in(self, provider: str, submission_id: str) -> Accepted | None:
        """Return the receipt for what was composed under the EPR's own key, or None."""
        row = await self._database.read(lambda c: handed_in(c, provider, submission_id))
        return None if row is None else accepted_of(row)


def _about(connection: Connection, provider: str, key: str, role: Role) -> Conversation | None:
    if key.isdigit():
        row = connection.one("workflow_numbered", id=int(key), provider=provider, role=role)
    else:
        values = {"request_id": key, "provider": provider, "role": role}
        row = connection.one("workflow_with_message", **values)
    if row is None:
        return None
    found = connection.rows("exchanged", workflow_id=row["id"])
    workflow = workflow_of(row, links(connection, row["id"]))
    return Conversation(
        workflow=workflow,
        focus_id=row["focus_id"],
        said=[_said(each) for each in found],
    )


def _said(row: Row) -> Said:
    return Said(move=Move(row["move"]), request=payload_of(row), answer=_answer(row))


def _answer(row: Row) -> Payload | None:
    if row["answer_body"] is None:
        return None
    return payload_of({part: row[f"answer_{part}"] for part in _PARTS})
