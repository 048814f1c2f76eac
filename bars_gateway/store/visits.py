"""
What people did at the console, for the audit trail: who came, who was refused, what was revealed.

    console.logged_in · console.logged_out · console.refused ─► one line each, no password, no URL
    console.revealed                                         ─► one line, and only then the bytes:
                                                                of a message, or in quarantine

Nothing of a payload is in these lines: names, roles, reasons, numbers and codes.
"""

from collections.abc import Mapping
from datetime import datetime

from bars_gateway.model.messages import Part, Payload
from bars_gateway.store.connection import Connection
from bars_gateway.store.readings import payload
from bars_gateway.store.records import add_message_event
from bars_gateway.store.rows import payload_of
from bars_gateway.store.work import Noun, writes

_NOBODYS = (None, None, None)


class Visits(Noun):
    """What people did at the console."""

    @writes
    def note(
        self, connection: Connection, kind: str, detail: Mapping[str, object], now: datetime
    ) -> None:
        """Add a line to the audit trail that is about no message."""
        add_message_event(connection, _NOBODYS, kind, now, detail)

    @writes
    def reveal(
        self,
        connection: Connection,
        message_id: int,
        part: Part,
        detail: Mapping[str, object],
        now: datetime,
    ) -> Payload | None:
        """Return those bytes once the audit trail says who has them, and why; None: none kept."""
        row = connection.one("message", id=message_id)
        found = payload(connection, message_id, part)
        if row is None or found is None:
            return None
        about = (row["provider"], message_id, row["request_id"])
        told = {**detail, "part": part.value}
        add_message_event(connection, about, "console.revealed", now, told)
        return found

    @writes
    def reveal_quarantined(
        self, connection: Connection, number: int, detail: Mapping[str, object], now: datetime
    ) -> Payload | None:
        """Return what lies in quarantine once the audit trail says who has it; None: nothing."""
        row = connection.one("quarantined_of_any", id=number)
        if row is None:
            return None
        found = payload_of(row, connection.vault, "quarantine")
        about = (row["provider"], None, row["request_id"])
        told = {**detail, "part": "request", "quarantine": number}
        add_message_event(connection, about, "console.revealed", now, told)
        return found
