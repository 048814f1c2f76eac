"""What a restore, or a hand-over, means for one message: a line of what whoever did it reads."""

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bars_gateway.store.rows import instant
from bars_gateway.unforeseen import unforeseen


class Fate(StrEnum):
    """What a restore, or a hand-over, did with a message."""

    SETTLED = "settled"  # it waited in the backup; the kept database knows how it ended
    CANCELLED = "cancelled"  # it waited, and was cancelled since: it is not sent
    ENTERED = "entered"  # the kept database alone knew that it was sent
    WAITS = "waits"  # it goes out, or goes out again, under its own ids
    HELD = "held"  # nobody knows what became of it: it goes nowhere until released
    TO_HAND_OVER = "to_hand_over"  # received since the backup; the restored one lacks it
    HANDED_OVER = "handed_over"  # received since the backup; the EPR is given it
    UNDECIDED = "undecided"  # a question to the EPR that it had not answered
    QUARANTINED = "quarantined"  # a response that answered nothing, and waits for a person
    LEFT = "left"  # it could not be entered
    FAILED = "failed"  # the gateway itself failed over it: it is as it was before, or not here


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One message, and what became of it."""

    fate: Fate
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


def line_of(row: sqlite3.Row, fate: Fate, why: str | None = None) -> Line:
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
    return line_of(row, Fate.FAILED, f"could not be taken over: {what.exception} at {what.place}")


def _instant(stored: str | None) -> datetime | None:
    try:
        return instant(stored)
    except ValueError:
        return None  # what a disk has spoilt is listed all the same
