"""
The audit trail as a list: who did what, when, why, and to which message; newest first.

    period, actor, kind, provider ─► audited ─┐
    X-Request-Id, Bundle.id, number ─────────►┴─► lines

Nothing in it can be changed or deleted: the database refuses that. What the gateway itself does
with a message is in it as well (`message.…`), and so is what was refused to somebody.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from bars_gateway.model.readings import AuditLine
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.rows import instant, text
from bars_gateway.store.work import Noun, reads

EVER = datetime(1, 1, 1, tzinfo=UTC)
NEVER = datetime(9999, 12, 31, tzinfo=UTC)
_OF_MESSAGES = "message"  # kinds of the gateway's own doing with messages
_CONSOLE = "console"  # who came, left or was refused: in no role


@dataclass(frozen=True, slots=True, kw_only=True)
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
        name = sought.of
        number = int(name) if name.isascii() and name.isdigit() and len(name) < 19 else 0  # noqa: PLR2004
        found = connection.rows("audit_of", name=name, number=number, **values)
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
