"""
What a restore, or a hand-over, means for each message: a line of what whoever did it reads.

    what waits ─┬─► goes out, as one that may have left before
                └─► held: nobody knows its fate, or part of its conversation was not taken over

What is left to a person is an alarm. The statements walk whole tables, which is why they are not
among the named ones.

Decisions: D-restore.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bars_gateway.errors import unforeseen
from bars_gateway.model.messages import NoticeKind, OutboundState
from bars_gateway.standard.remarks import Remark
from bars_gateway.store.records import add_message_event, notify
from bars_gateway.store.replacements import known_before
from bars_gateway.store.rows import instant, text
from bars_gateway.store.sqlite import SqliteConnection

OPEN = frozenset({OutboundState.QUEUED, OutboundState.HELD, OutboundState.SENDING})
OPEN_STATES = "('queued', 'held', 'sending')"
LEFT_BEHIND = "restore.not_handed_over"


class Became(StrEnum):
    """What a restore, or a hand-over, did with a message."""

    SETTLED = "settled"  # it waited in the backup; the kept database knows how it ended
    CANCELLED = "cancelled"  # it waited, and was cancelled since: it is not sent
    ENTERED = "entered"  # the kept database alone knew that it was sent
    WAITS = "waits"  # it goes out, or goes out again, under its own ids
    HELD = "held"  # nobody knows what became of it: it goes nowhere until released
    TO_HAND_OVER = "to_hand_over"  # received since the backup; the restored one lacks it
    HANDED_OVER = "handed_over"  # received since the backup; the EPR is given it
    DECIDED = "decided"  # the EPR was asked, and has answered since the backup: that holds
    UNDECIDED = "undecided"  # a question to the EPR that it had not answered
    QUARANTINED = "quarantined"  # a response that answered nothing, and waits for a person
    LEFT = "left"  # it could not be entered
    FAILED = "failed"  # the gateway itself failed over it: it is as it was before, or not here


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One message, and what became of it."""

    fate: Became
    provider: str
    direction: str
    request_id: str
    correlation_id: str
    bundle_id: str
    move: str
    use_case: str
    counterparty: str  # system|value of the other side's service
    state: str
    taken_at: datetime | None  # None: what is stored of it is no time
    collected_at: datetime | None = None  # when the EPR had it, by the kept database
    why: str | None = None  # it could not be entered


def line_of(row: sqlite3.Row, fate: Became, why: str | None = None) -> Line:
    """Return what became of the message in *row*."""
    names = row.keys()
    ours = row["direction"] == "outbound"
    return Line(
        fate=fate,
        provider=row["provider"],
        direction=row["direction"],
        request_id=row["request_id"],
        correlation_id=row["correlation_id"],
        bundle_id=row["bundle_id"] or "",
        move=row["move"],
        use_case=row["use_case"],
        counterparty=row["receiver"] if ours else row["sender"],
        state=row["state"],
        taken_at=_instant(row["created_at"]),
        collected_at=_instant(row["collected_at"]) if "collected_at" in names else None,
        why=why,
    )


def failed(row: sqlite3.Row, error: Exception) -> Line:
    """Return the line of a message that could not be taken over: type and place of *error*."""
    what = unforeseen(error)
    return line_of(row, Became.FAILED, f"could not be taken over: {what.exception} at {what.place}")


def _instant(stored: str | None) -> datetime | None:
    try:
        return instant(stored)
    except ValueError:
        return None  # what a disk has spoilt is listed all the same


def leave_unknown(connection: sqlite3.Connection, now: datetime, *, hold: bool) -> list[Line]:
    """
    Let every open message count as tried, with an unknown fate; return each.

    *hold*: nobody knows what became of them, so none leaves until a person releases it.
    """
    connection.execute(
        f"UPDATE main.messages SET attempts = max(attempts, 1), restored_at = ?"  # noqa: S608
        f" WHERE state IN {OPEN_STATES}",
        [text(now)],
    )
    waiting = connection.execute(
        f"SELECT * FROM main.messages WHERE state IN {OPEN_STATES} ORDER BY id"  # noqa: S608
    ).fetchall()
    if hold:
        for row in waiting:
            hold_one(connection, row, row["id"], now)
    kept_back = [hold or row["state"] == OutboundState.HELD for row in waiting]
    fates = [Became.HELD if back else Became.WAITS for back in kept_back]
    return [line_of(row, fate) for row, fate in zip(waiting, fates, strict=True)]


def hold_doubtful(connection: sqlite3.Connection, lines: Sequence[Line], now: datetime) -> None:
    """Hold what waits in the conversation of what could not be taken over: that may end it."""
    doubtful = {
        (line.provider, line.correlation_id)
        for line in lines
        if line.fate is Became.FAILED or (line.fate is Became.LEFT and line.direction == "outbound")
    }
    waiting = connection.execute(
        "SELECT * FROM main.messages WHERE state IN ('queued', 'sending') ORDER BY id"
    ).fetchall()
    for row in waiting:
        if (row["provider"], row["correlation_id"]) in doubtful:
            hold_one(connection, row, row["id"], now)


_ALARMS: Mapping[Became, str] = {
    Became.TO_HAND_OVER: LEFT_BEHIND,
    Became.QUARANTINED: LEFT_BEHIND,
    Became.FAILED: "restore.not_taken_over",
    Became.LEFT: "restore.not_taken_over",
}


def raise_alarms(connection: sqlite3.Connection, lines: Sequence[Line], now: datetime) -> None:
    """Raise an alarm for each message that is to be handed over, or could not be taken over."""
    connection.executemany(
        "INSERT INTO main.events (at, provider, kind, request_id) VALUES (?, ?, ?, ?)",
        [
            (text(now), line.provider, _ALARMS[line.fate], line.request_id)
            for line in lines
            if line.fate in _ALARMS
        ],
    )


def settle_alarms(connection: sqlite3.Connection, now: datetime) -> None:
    """End the alarm of each message that is here by now."""
    connection.execute(
        "UPDATE main.alarms SET ended_at = ?, ended_how = 'settled'"
        " WHERE kind = ? AND ended_at IS NULL"
        "   AND EXISTS (SELECT 1 FROM main.messages AS m"
        "                WHERE m.provider = alarms.provider AND m.request_id = alarms.request_id"
        "                UNION ALL"
        "               SELECT 1 FROM main.quarantine AS q"
        "                WHERE q.provider = alarms.provider AND q.request_id = alarms.request_id)",
        [text(now), LEFT_BEHIND],
    )


def hold_one(connection: sqlite3.Connection, row: sqlite3.Row, here: int, now: datetime) -> None:
    """Hold a message whose fate is not known, and tell EPR and operator."""
    connection.execute(
        "UPDATE main.messages SET state = 'held', next_attempt_at = NULL, claimed_by = NULL,"
        " claimed_until = NULL, attempts = max(attempts, 1), restored_at = ? WHERE id = ?",
        [text(now), here],
    )
    query = "SELECT id, provider FROM main.messages WHERE id = ?"
    held = connection.execute(query, [here]).fetchone()
    works = SqliteConnection(connection)
    remarks = [Remark.FATE_UNKNOWN, *known_before(works, here)]
    notify(works, NoticeKind.HELD, held, now, remarks)
    add_message_event(
        SqliteConnection(connection),
        (row["provider"], here, row["request_id"]),
        "restore.held",
        now,
    )
