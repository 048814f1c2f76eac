"""
Judges what came after a restore again, as if what is handed over now had come before it: it had.

    workflow, as the kept database has it ─► what came here since, one after the other ─► its state
                                                         │
                          remarks that are others now ───┴──► a further notice, and the alarms

A gateway may run between a restore and the hand-over, and what came then was judged without
what nobody had handed over yet. *Arrived* after a decline that was not known here is not a plain
good news: somebody may be on the way, or nobody, and a person has to hear of it. So each of
these moves is made once more, in the order in which they were made, and whoever was told
otherwise of one is told again. What a person has confirmed since holds.

What was agreed on with a Sender when its response came (a rule that is off) stands in what the EPR
was told with it: a modifier extension that was no doubt then is none now.

The statements walk whole tables, which is why they are none of the named ones.
"""

from collections.abc import Sequence
from datetime import datetime

from bars_gateway.errors import PayloadDamaged
from bars_gateway.model.messages import (
    Arrival,
    Names,
    NoticeKind,
    OutboundState,
    Part,
    Payload,
    Word,
)
from bars_gateway.standard.bundle import MalformedBundle
from bars_gateway.standard.meaning import Said
from bars_gateway.standard.patients import Sameness
from bars_gateway.standard.remarks import OF_CONTENT, OF_ENDS, Remark
from bars_gateway.standard.workflow import FINAL, REQUESTER_MOVES, Move, RequestType, State
from bars_gateway.store.connection import Row
from bars_gateway.store.guards import whose
from bars_gateway.store.outbound import lead_on
from bars_gateway.store.outcomes import known_before
from bars_gateway.store.records import move_workflow, notify, read_payload
from bars_gateway.store.responses import (
    JudgedResponse,
    follow,
    make_move,
    named_by,
    response_arrival,
    tell,
)
from bars_gateway.store.rows import instant, payload_of, written
from bars_gateway.store.sqlite import SqliteConnection

# Said beside what a response says, and not drawn from what was before it.
_BESIDE = frozenset(
    {
        Remark.RESTORED,
        Remark.ATTACHED,
        Remark.HEARD,
        Remark.ARRIVED_AFTER_ALL,
        Remark.OTHER_RECORD,
        *OF_CONTENT,
        Remark.EMPTY_PLAN,
    }
)
# Of these, what is told again: it is as true as it was, also where the bytes tell no more.
_KEPT = {Remark.ATTACHED, Remark.EMPTY_PLAN, Remark.PLAN_SENT_BACK, *OF_CONTENT}
_OF_RESPONSES = (NoticeKind.MESSAGE, NoticeKind.AMENDED, NoticeKind.DECIDED_LATE)
_CLOCK = frozenset({"answer_due_at", "warn_at", "overdue_at"})


def happened_since(connection: SqliteConnection, workflow_id: int) -> list[Row]:
    """Return what has moved a workflow here and not in the kept database, in its order."""
    return connection.raw.execute(
        "SELECT m.*, NULL AS confirmed, m.created_at AS happened_at FROM main.messages AS m"
        " WHERE m.workflow_id = :id AND m.direction = 'inbound'"
        "   AND m.id NOT IN (SELECT here FROM pairs)"
        " UNION ALL "
        "SELECT m.*, NULL, m.settled_at FROM main.messages AS m"
        "  LEFT JOIN pairs ON pairs.here = m.id LEFT JOIN other.messages AS k ON k.id = pairs.kept"
        " WHERE m.workflow_id = :id AND m.direction = 'outbound' AND m.settled_at IS NOT NULL"
        "   AND m.state IS NOT k.state"
        " UNION ALL "
        "SELECT m.*, json_extract(e.detail, '$.state'), e.at FROM main.events AS e"
        "  JOIN main.messages AS m ON m.id = e.message_id"
        " WHERE m.workflow_id = :id AND e.kind IN ('operator.confirmed', 'epr.confirmed')"
        "   AND NOT EXISTS (SELECT 1 FROM other.events AS o WHERE o.kind = e.kind"
        "                      AND o.at = e.at AND o.request_id IS e.request_id)"
        " ORDER BY happened_at, id",
        {"id": workflow_id},
    ).fetchall()


def keeps_its_clock(happened: Sequence[Row]) -> frozenset[str]:
    """Return what of a workflow is not to be as it was: an update that came has set its clock."""
    came = {row["move"] for row in happened if row["direction"] == "inbound"}
    return _CLOCK if Move.UPDATE in came else frozenset()


def judge_again(connection: SqliteConnection, happened: Sequence[Row], now: datetime) -> None:
    """Let a workflow that is as it was before *happened* follow it; tell what is to be told."""
    for row in happened:  # none has been heard yet: what is heard first must not know of the later
        if row["confirmed"] is None and _is_response(row):
            _write(connection, row, Move(row["move"]), None, None)
    for row in happened:
        if row["confirmed"] is not None:
            _confirm(connection, row)
        elif _is_response(row):
            _hear(connection, row, now)
        elif row["direction"] == "outbound":
            lead_on(connection, row, OutboundState(row["state"]), instant(row["happened_at"]))
            _tell_of_late_change(connection, row, now)
        else:
            move_workflow(
                connection, row["workflow_id"], Move(row["move"]), instant(row["happened_at"])
            )


def _is_response(row: Row) -> bool:
    return row["direction"] == "inbound" and row["move"] not in REQUESTER_MOVES


def _confirm(connection: SqliteConnection, row: Row) -> None:
    """Let it stand as a person has found out; the alarm stays until they have seen what is new."""
    state = State(row["confirmed"])
    closed_at = row["happened_at"] if state in FINAL else None
    values = {"id": row["workflow_id"], "state": state, "closed_at": closed_at}
    connection.run("confirm_workflow", **values)


def _hear(connection: SqliteConnection, row: Row, now: datetime) -> None:
    """Hear a response once more, beside what is known to have come before it."""
    came_at = instant(row["happened_at"])
    arrival = _arrival(connection, row)
    if whose(connection, arrival, row["workflow_id"]) is not Sameness.OTHER_PATIENT:
        move_workflow(connection, row["workflow_id"], Move.REQUEST, came_at)
    workflow = _workflow(connection, row)
    told = tell(connection, workflow, arrival, came_at, came_at)
    names = Names.CHANGED if row["patient"] == Names.CHANGED else named_by(told.remarks)
    _write(connection, row, told.arrival.move, told.arrival.word, names)
    before = _told_before(connection, row["id"], *_OF_RESPONSES)
    if before - _BESIDE == frozenset(told.remarks) - _BESIDE:
        make_move(connection, workflow, told, came_at)
        return
    follow(connection, workflow, told, came_at)
    _tell_again(connection, row, told, before, now)


def _tell_of_late_change(connection: SqliteConnection, row: Row, now: datetime) -> None:
    """Tell the EPR that its cancellation or update, which was settled here, came after the end."""
    known = {*OF_ENDS.values()}.intersection(known_before(connection, row["id"]))
    if known - _told_before(connection, row["id"], NoticeKind.OUTCOME):
        notify(connection, NoticeKind.OUTCOME, row, now, [*known, Remark.RESTORED])


def _workflow(connection: SqliteConnection, row: Row) -> Row:
    """Return the workflow of a response, with the cancellation that had been sent before it."""
    found: Row = connection.raw.execute(
        "SELECT w.id, w.state, w.request_type, w.use_case, w.answer_due_at, w.closed_at,"
        "       (SELECT c.state FROM main.messages AS c WHERE c.workflow_id = w.id"
        "           AND c.direction = 'outbound' AND c.move = 'cancel' AND c.id < ?"
        "         ORDER BY c.id DESC LIMIT 1) AS cancellation"
        "  FROM main.workflows AS w WHERE w.id = ?",
        [row["id"], row["workflow_id"]],
    ).fetchone()
    return found


def _arrival(connection: SqliteConnection, row: Row) -> Arrival:
    """Return a response as it came; where its bytes tell no more, as it was heard then."""
    ids = {name: row[name] for name in ("provider", "request_id", "correlation_id")}
    ends = {name: row[name] for name in ("sender", "receiver")}
    kept = connection.one("payload", message_id=row["id"], part=Part.REQUEST)
    try:
        payload = payload_of(kept, connection.vault) if kept is not None else None
        if payload is not None:
            message = read_payload(payload)
            came_at = instant(row["created_at"])
            told = _told_before(connection, row["id"], *_OF_RESPONSES)
            doubts = [each for each in Remark if each in OF_CONTENT & told]
            return response_arrival(
                message, Move(row["move"]), payload, **ids, **ends, came_at=came_at, doubts=doubts
            )
    except (MalformedBundle, PayloadDamaged):
        pass
    workflow = connection.one("workflow_state", id=row["workflow_id"])
    assert workflow is not None
    return _as_heard(row, RequestType(workflow["request_type"]))


def _as_heard(row: Row, request_type: RequestType) -> Arrival:
    nothing = Payload(media_type="", headers={}, body=b"")
    names = ("provider", "request_id", "correlation_id", "bundle_id", "use_case", "sender")
    word = None
    if row["says"] is not None:
        word = Word(
            says=Said(row["says"]),
            reason_code=row["reason_code"],
            status=None,
            said_at=instant(row["said_at"]),
            sent_at=instant(row["sent_at"]),
        )
    return Arrival(
        **{name: row[name] for name in names},
        receiver=row["receiver"],
        move=Move(row["move"]),
        request_type=request_type,
        focus_id=None,
        reference=None,
        responds_to=row["responds_to"],
        fingerprint=row["fingerprint"],
        request=nothing,
        answer=nothing,
        owed=None,
        word=word,
    )


def _write(
    connection: SqliteConnection,
    row: Row,
    move: Move,
    word: Word | None,
    names: Names | None,
) -> None:
    """Keep with a response how it is understood."""
    connection.raw.execute(
        "UPDATE main.messages SET move = :move, says = :says, reason_code = :reason_code,"
        " said_at = :said_at, sent_at = :sent_at, patient = :names WHERE id = :id",
        {"id": row["id"], "move": move, "names": names, **written(word)},
    )


def _told_before(
    connection: SqliteConnection, message_id: int, *kinds: NoticeKind
) -> frozenset[Remark]:
    """Return the remarks that the EPR was given with a message last."""
    found = connection.raw.execute(
        "SELECT kind, remarks FROM main.notices WHERE message_id = ? ORDER BY id DESC",
        [message_id],
    ).fetchall()
    remarks = (row["remarks"].split() for row in found if row["kind"] in kinds)
    return frozenset(map(Remark, next(remarks, ())))


def _tell_again(
    connection: SqliteConnection,
    row: Row,
    told: JudgedResponse,
    before: frozenset[Remark],
    now: datetime,
) -> None:
    """Give the EPR the response once more, with what a person should know about it now."""
    kept = [remark for remark in Remark if remark in before & _KEPT]
    remarks = dict.fromkeys([*told.remarks, *kept, Remark.RESTORED])
    notify(connection, told.notice, row, now, list(remarks))
