"""
What a restore, or a hand-over, means for each message: a line of what whoever did it reads.

    what waits ─┬─► goes out, as one that may have left before
                └─► held: nobody knows its fate, or part of its conversation was not taken over

What is left to a person is an alarm. Both engines do the same.

Decisions: D-restore.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from bars_gateway.errors import unforeseen
from bars_gateway.frozen import frozen
from bars_gateway.model.messages import NoticeKind, OutboundState
from bars_gateway.model.questions import PROCESS_MESSAGE
from bars_gateway.model.trail import MOST_LINES
from bars_gateway.standard.remarks import Remark
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.outcomes import known_before
from bars_gateway.store.records import THE_GATEWAY, EventAbout, add_event, notify
from bars_gateway.store.rows import instant, text

OPEN = frozenset({OutboundState.QUEUED, OutboundState.HELD, OutboundState.SENDING})
OPEN_STATES = "('queued', 'held', 'sending')"
LEFT_BEHIND = "restore.not_handed_over"
FORGOTTEN = "restore.forgotten"


class Became(StrEnum):
    """What a restore, or a hand-over, did with a message."""

    SETTLED = "settled"  # it waited in the backup; the kept database knows how it ended
    CANCELLED = "cancelled"  # it waited, and was cancelled since: it is not sent
    ENTERED = "entered"  # only the database that was kept knew that it was sent
    WAITS = "waits"  # it goes out, or goes out again, under its own ids
    HELD = "held"  # nobody knows what became of it: it goes nowhere until released
    TO_HAND_OVER = "to_hand_over"  # received since the backup; the restored one lacks it
    HANDED_OVER = "handed_over"  # received since the backup; the EPR is given it
    DECIDED = "decided"  # the EPR was asked, and has answered since the backup: that holds
    UNDECIDED = "undecided"  # a question to the EPR that it had not answered
    QUARANTINED = "quarantined"  # a response that answered nothing, and waits for a person
    LEFT = "left"  # it could not be entered
    FAILED = "failed"  # an internal error of the gateway: it is as it was before, or not here


@frozen(kw_only=True)
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


@frozen(kw_only=True)
class PutBack:
    """What was done to a database that another program has put back, and what has to be known."""

    name: str  # of the database
    last_change_at: datetime | None  # what happened after that, it does not know; None: nothing did
    lines: Sequence[Line]  # each message that is held
    uncollected: int  # notices that the EPR is given (again)


def line_of(row: Row, fate: Became, why: str | None = None) -> Line:
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


def failed(row: Row, error: Exception) -> Line:
    """Return the line of a message that could not be taken over: type and place of *error*."""
    what = unforeseen(error)
    return line_of(row, Became.FAILED, f"could not be taken over: {what.exception} at {what.place}")


def _instant(stored: str | None) -> datetime | None:
    try:
        return instant(stored)
    except ValueError:
        return None  # what a disk has spoilt is listed all the same


def leave_unknown(connection: Connection, now: datetime, *, hold: bool) -> list[Line]:
    """
    Let every open message count as tried, with an unknown fate; return each.

    *hold*: nobody knows what became of them, so none leaves until a person releases it.
    """
    connection.put("count_as_tried", now=text(now))
    waiting = connection.rows("open_at_restore")
    if hold:
        for row in waiting:
            hold_one(connection, row, row["id"], now)
    kept_back = [hold or row["state"] == OutboundState.HELD for row in waiting]
    fates = [Became.HELD if back else Became.WAITS for back in kept_back]
    return [line_of(row, fate) for row, fate in zip(waiting, fates, strict=True)]


def made_safe(
    connection: Connection, name: str, now: datetime, typed: Mapping[str, object]
) -> PutBack:
    """
    Let the database *name* say that nobody can be asked what it has forgotten; its numbers leapt.

    *typed*: who did that, and why. It may be done again: what was released since is held once more,
    and it says from when on it knows nothing as it did before.
    """
    row = connection.one("known_until", most=MOST_LINES, kind=FORGOTTEN)
    last = instant(row["at"]) if row else None
    add_event(connection, THE_GATEWAY, FORGOTTEN, now, {"place": since(last)})
    doubt(connection)
    lines = leave_unknown(connection, now, hold=True)
    forget_pauses(connection)
    done = {**typed, "kept": "absent", "listed": False, "messages": len(lines)}
    add_event(connection, THE_GATEWAY, "operator.restored", now, done)
    return PutBack(name=name, last_change_at=last, lines=lines, uncollected=uncollected(connection))


def hold_doubtful(connection: Connection, lines: Sequence[Line], now: datetime) -> None:
    """Hold what waits in the conversation of what could not be taken over: that may end it."""
    doubtful = {
        (line.provider, line.correlation_id)
        for line in lines
        if line.fate is Became.FAILED or (line.fate is Became.LEFT and line.direction == "outbound")
    }
    for row in connection.rows("open_at_restore"):
        is_doubtful = (row["provider"], row["correlation_id"]) in doubtful
        if is_doubtful and row["state"] != OutboundState.HELD:
            hold_one(connection, row, row["id"], now)


_ALARMS: Mapping[Became, str] = {
    Became.TO_HAND_OVER: LEFT_BEHIND,
    Became.QUARANTINED: LEFT_BEHIND,
    Became.FAILED: "restore.not_taken_over",
    Became.LEFT: "restore.not_taken_over",
}


def raise_alarms(connection: Connection, lines: Sequence[Line], now: datetime) -> None:
    """Raise an alarm for each message that is to be handed over, or could not be taken over."""
    for line in lines:
        if line.fate in _ALARMS:
            about = EventAbout(line.provider, None, line.request_id)
            add_event(connection, about, _ALARMS[line.fate], now)


def hold_one(connection: Connection, row: Row, here: int, now: datetime) -> None:
    """Hold a message whose fate is not known, and tell EPR and operator."""
    held = connection.one("hold_restored", id=here, now=text(now))
    assert held is not None
    remarks = [Remark.FATE_UNKNOWN, *known_before(connection, here)]
    notify(connection, NoticeKind.HELD, held, now, remarks)
    add_event(connection, EventAbout(row["provider"], here, row["request_id"]), "restore.held", now)


def doubt(connection: Connection, number: int | None = None) -> None:
    """
    Say with each question that is asked again that it may have been answered before.

    *number*: with that one alone. What is not a message has no remarks: it is read as it stands.
    """
    for row in connection.rows("questions_put", operation=PROCESS_MESSAGE):
        about = json.loads(row["about"])
        remarks = about.get("remarks") or []
        if number in {None, row["id"]} and Remark.RESTORED not in remarks:
            about["remarks"] = [*remarks, Remark.RESTORED]
            connection.put("put_otherwise", id=row["id"], about=json.dumps(about))


def forget_pauses(connection: Connection) -> None:
    """Let nobody be waited for by what a backup knew of them: they may have answered since."""
    connection.put("open_again")
    connection.put("unbroken_again")


def uncollected(connection: Connection) -> int:
    """Return how many notices the EPR is given."""
    row = connection.one("notices_uncollected")
    return int(row["n"]) if row else 0


def since(last_change_at: datetime | None) -> str:
    """Return from when on the backup lacks what happened; an empty one has no last change."""
    if last_change_at is None:
        return "from the first message on"
    return f"after {last_change_at:%Y-%m-%d %H:%M:%S} UTC"
