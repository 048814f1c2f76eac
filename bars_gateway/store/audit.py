"""
The audit trail: what people did at the console, and all of it as a list, newest first.

    console.logged_in · console.logged_out · console.refused ─► one line each, no password, no URL
    console.revealed                                         ─► one line, and only then the bytes:
                                                                of a message, or in quarantine

    period, actor, kind, provider ─► audited ─┐
    X-Request-Id, Bundle.id, number ─────────►┴─► lines: who, what, when, why, to which message

Nothing in it can be changed or deleted: the database refuses that. What the gateway itself does
with a message is in it as well (`message.…`), and so is what was refused to somebody. Nothing of a
payload is in these lines: names, roles, reasons, numbers and codes.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from bars_gateway.frozen import frozen
from bars_gateway.model.messages import Part, Payload
from bars_gateway.model.numbers import number_in
from bars_gateway.model.readings import AuditLine
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.readings import payload
from bars_gateway.store.records import THE_GATEWAY, EventAbout, add_event
from bars_gateway.store.rows import instant, payload_of, text
from bars_gateway.store.work import Noun, reads, writes

EVER = datetime(1, 1, 1, tzinfo=UTC)
NEVER = datetime(9999, 12, 31, tzinfo=UTC)
_OF_MESSAGES = "message"  # kinds of the gateway's own doing with messages
_CONSOLE = "console"  # who came, left or was refused: in no role


@frozen(kw_only=True)
class Sought:
    """Which lines of the audit trail: all that is given has to fit."""

    since: datetime = EVER
    until: datetime = NEVER  # before that moment
    provider: str | None = None
    actor: str | None = None  # as they called themselves; with or without their user id
    kind: str | None = None  # message.refused, or all of message, operator, …
    of: str | None = None  # X-Request-Id, Bundle.id or number of a message
    after: AuditLine | None = None  # the last line of the page before: only what is older


class Audit(Noun):
    """What was done, by whom."""

    @reads
    def lines(self, connection: Connection, sought: Sought, limit: int) -> list[AuditLine]:
        """Return lines of the audit trail, newest first."""
        return audited(connection, sought, limit)


def audited(connection: Connection, sought: Sought, limit: int) -> list[AuditLine]:
    """Return lines of the audit trail, newest first."""
    values: dict[str, object] = {
        "since": text(sought.since),
        "until": text(sought.until),
        "provider": sought.provider,
        "actor": sought.actor,
        "kind": sought.kind,
        "before": sought.after.number if sought.after else None,
        "before_at": text(sought.after.at) if sought.after else None,
        "limit": limit,
    }
    if sought.of is not None:
        number = number_in(sought.of) or 0
        found = connection.rows("audit_of", name=sought.of, number=number, **values)
        return [line_of(row) for row in found]
    of_messages = (sought.kind or "").partition(".")[0] == _OF_MESSAGES
    acts = sought.actor is not None or (sought.kind is not None and not of_messages)
    found = connection.rows("audit_of_acts" if acts else "audit", **values)
    return [line_of(row) for row in found]


def line_of(row: Row) -> AuditLine:
    """Return one line of the audit trail."""
    detail = json.loads(row["detail"])
    first = row["kind"].partition(".")[0]
    role = detail.get("role", None if first == _CONSOLE else first)
    return AuditLine(
        number=row["id"],
        at=instant(row["at"]),
        provider=row["provider"],
        kind=row["kind"],
        role=role if "who" in detail else None,
        who=detail.get("who"),
        why=detail.get("why"),
        request_id=row["request_id"],
        message_id=row["message_id"],
        detail=detail,
    )


class Visits(Noun):
    """What people did at the console."""

    @writes
    def note(
        self, connection: Connection, kind: str, detail: Mapping[str, object], now: datetime
    ) -> None:
        """Add a line to the audit trail that is about no message."""
        add_event(connection, THE_GATEWAY, kind, now, detail)

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
        about = EventAbout(row["provider"], message_id, row["request_id"])
        told = {**detail, "part": part.value}
        add_event(connection, about, "console.revealed", now, told)
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
        about = EventAbout(row["provider"], None, row["request_id"])
        told = {**detail, "part": "request", "quarantine": number}
        add_event(connection, about, "console.revealed", now, told)
        return found
