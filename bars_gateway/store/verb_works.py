"""
What people do to outbound messages: each function is one work, and so one transaction.

    queued ──hold──► held ──release──► queued       queued, held ──withdraw──► withdrawn
    queued, unconfirmed ──retry──► queued           what ended without success ──resend──► another

One table says what each verb is for. A retry goes out under the ids that it had, so no
Receiver can take it twice; what it must not do is arrive after the message that changed
it, or beside its own copy (M5a). A resend is another message, and may be taken twice
where the first one arrived: so it asks for a reason, and is refused where it would
arrive out of order. A request that is sent again opens a workflow of its own, because
the one that was refused, or never began, has ended.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from bars_gateway.errors import StaleState
from bars_gateway.standard.workflow import Move, State
from bars_gateway.store.rows import instant, text, warning
from bars_gateway.store.statements import inserted, keep, move_workflow, notify, one, rows, run
from bars_gateway.store.values import NoticeKind, OutboundState, Part
from bars_gateway.store.verbs import Candidate, Deadline, Order, Resent, Selection, Verb

_BADLY_ENDED = frozenset({OutboundState.REFUSED, OutboundState.UNCONFIRMED, OutboundState.NOT_SENT})
FITS: Mapping[Verb, frozenset[OutboundState]] = {
    Verb.HOLD: frozenset({OutboundState.QUEUED}),
    Verb.RELEASE: frozenset({OutboundState.HELD}),
    Verb.WITHDRAW: frozenset({OutboundState.QUEUED, OutboundState.HELD}),
    Verb.RETRY: frozenset({OutboundState.QUEUED, OutboundState.UNCONFIRMED}),
    Verb.RESEND: _BADLY_ENDED | {OutboundState.WITHDRAWN},
    Verb.SEEN: _BADLY_ENDED,
}
_INSTEAD: Mapping[tuple[Verb, OutboundState], str] = {
    (Verb.RETRY, OutboundState.HELD): "it is held: release it",
    (Verb.RETRY, OutboundState.REFUSED): "these ids were refused: resend it, or have it corrected",
    (Verb.RETRY, OutboundState.NOT_SENT): "its time is over: resend it, if it is still wanted",
    (Verb.RESEND, OutboundState.ACKNOWLEDGED): (
        "the Receiver has it. If it has lost it since, have the EPR make another message"
    ),
    (Verb.RESEND, OutboundState.QUEUED): "it is still under way: retry sends it now",
    (Verb.RESEND, OutboundState.HELD): "it is held: release it",
}
_UNDER_WAY = "it is being sent at this moment: look again in a minute"
_AUDITED: Mapping[Verb, str] = {
    Verb.HOLD: "held",
    Verb.RELEASE: "released",
    Verb.WITHDRAW: "withdrew",
    Verb.RETRY: "retried",
    Verb.RESEND: "resent",
    Verb.SEEN: "saw",
}
_TOLD: Mapping[Verb, NoticeKind] = {
    Verb.HOLD: NoticeKind.HELD,
    Verb.RELEASE: NoticeKind.RELEASED,
    Verb.RETRY: NoticeKind.RETRIED,
    Verb.RESEND: NoticeKind.RESENT,
}


def candidates(
    connection: sqlite3.Connection, verb: Verb, selection: Selection, limit: int
) -> list[Candidate]:
    """Return the messages that are meant, oldest first, and what stands in the way of each."""
    return [
        _candidate(verb, row)
        for row in _rows(connection, selection.provider, _ids(connection, verb, selection, limit))
    ]


def _ids(connection: sqlite3.Connection, verb: Verb, selection: Selection, limit: int) -> list[int]:
    scope = {"provider": selection.provider, "after": selection.after, "limit": limit}
    if selection.request_ids:
        names = json.dumps(selection.request_ids)
        found = rows(connection, "messages_meant_by_name", request_ids=names, **scope)
    else:
        states = {selection.state} if selection.state else FITS[verb]
        found = rows(
            connection,
            "messages_meant",
            states=json.dumps(sorted(states)),
            receiver=selection.receiver,
            use_case=selection.use_case,
            correlation_id=selection.correlation_id,
            taken_before=text(selection.taken_before),
            **scope,
        )
    return [row["id"] for row in found]


def _rows(connection: sqlite3.Connection, provider: str, ids: Sequence[int]) -> list[sqlite3.Row]:
    return rows(connection, "candidates", provider=provider, ids=json.dumps(ids))


def _candidate(verb: Verb, row: sqlite3.Row) -> Candidate:
    return Candidate(
        message_id=row["id"],
        request_id=row["request_id"],
        use_case=row["use_case"],
        needed_by=instant(row["needed_by"]),
        state=OutboundState(row["state"]),
        attempts=row["attempts"],
        obstacle=_obstacle(verb, row),
    )


def _obstacle(verb: Verb, row: sqlite3.Row) -> str | None:
    """Return why *verb* does not fit the message, or None if it does."""
    state = OutboundState(row["state"])
    if state not in FITS[verb]:
        if state is OutboundState.SENDING and verb is not Verb.RESEND:
            return _UNDER_WAY
        fitting = " or ".join(sorted(FITS[verb]))
        return _INSTEAD.get((verb, state), f"it is {state}: {verb} is for what is {fitting}")
    if verb is Verb.WITHDRAW and row["attempts"]:
        return "it was posted before, and may have arrived: send its cancellation instead"
    if verb is Verb.SEEN and row["seen_at"]:
        return "somebody has seen to it before"
    if verb in {Verb.RETRY, Verb.RESEND} and state is not OutboundState.QUEUED:
        return _out_of_order(verb, row)
    return None


def _out_of_order(verb: Verb, row: sqlite3.Row) -> str | None:
    if row["resent_as"]:
        return f"it was sent again as {row['resent_as']}: see to that one"
    if row["later_left"]:
        return "a later message of its workflow has left: this one must not arrive after it"
    if verb is Verb.RESEND and row["later_waits"]:
        return "a later message of its workflow waits: withdraw that one first"
    return None


def act(
    connection: sqlite3.Connection,
    order: Order,
    message_ids: Sequence[int],
    deadline: Deadline,
    now: datetime,
) -> list[Candidate]:
    """Do it to each of those that it fits, and leave the others alone."""
    found = _rows(connection, order.provider, message_ids)
    judged = [_candidate(order.verb, row) for row in found]
    for row, candidate in zip(found, judged, strict=True):
        if candidate.obstacle is None:
            _DO[order.verb](connection, candidate, deadline, now)
            _audit(connection, order, row, now)
            _tell(connection, order, row, now)
    return judged


def _hold(connection: sqlite3.Connection, candidate: Candidate, _: Deadline, __: datetime) -> None:
    run(connection, "hold", id=candidate.message_id)


def _release(
    connection: sqlite3.Connection, candidate: Candidate, _: Deadline, now: datetime
) -> None:
    run(connection, "release", id=candidate.message_id, now=text(now))


def _withdraw(
    connection: sqlite3.Connection, candidate: Candidate, _: Deadline, now: datetime
) -> None:
    row = one(connection, "withdraw", id=candidate.message_id, now=text(now))
    assert row is not None
    if row["move"] == Move.REQUEST:
        move_workflow(connection, row["workflow_id"], Move.ABANDON, now)
    notify(connection, NoticeKind.OUTCOME, row, now)


def _retry(
    connection: sqlite3.Connection, candidate: Candidate, deadline: Deadline, now: datetime
) -> None:
    give_up_at = deadline(candidate.use_case, candidate.needed_by)
    run(connection, "retry", id=candidate.message_id, now=text(now), give_up_at=text(give_up_at))


def _see(connection: sqlite3.Connection, candidate: Candidate, _: Deadline, now: datetime) -> None:
    run(connection, "mark_seen", id=candidate.message_id, now=text(now))


_DO: Mapping[Verb, Callable[[sqlite3.Connection, Candidate, Deadline, datetime], None]] = {
    Verb.HOLD: _hold,
    Verb.RELEASE: _release,
    Verb.WITHDRAW: _withdraw,
    Verb.RETRY: _retry,
    Verb.SEEN: _see,
}


def resend(
    connection: sqlite3.Connection, order: Order, message_id: int, resent: Resent, now: datetime
) -> Candidate:
    """Queue the payload under new ids, unless something stands in the way; return the old."""
    found = _rows(connection, order.provider, [message_id])
    if not found:
        raise StaleState(f"message {message_id} is no message of {order.provider}")
    (row,) = found
    candidate = _candidate(order.verb, row)
    if candidate.obstacle is None:
        new = _queue_again(connection, row, resent, now)
        run(connection, "mark_seen", id=message_id, now=text(now))
        _audit(connection, order, row, now, resent_as=resent.request_id)
        _tell(connection, order, {"id": new, "provider": order.provider}, now)
    return candidate


def _queue_again(
    connection: sqlite3.Connection, row: sqlite3.Row, resent: Resent, now: datetime
) -> int:
    workflow_id = row["workflow_id"]
    if row["move"] == Move.REQUEST:
        workflow_id = _workflow_again(connection, workflow_id, now)
    new = inserted(
        connection,
        "queue_again",
        id=row["id"],
        workflow_id=workflow_id,
        request_id=resent.request_id,
        bundle_id=resent.bundle_id,
        fingerprint=resent.fingerprint,
        give_up_at=text(resent.give_up_at),
        delay_due_at=text(resent.delayed_at),
        now=text(now),
    )
    keep(connection, new, Part.REQUEST, resent.request)
    return new


def _workflow_again(connection: sqlite3.Connection, workflow_id: int, now: datetime) -> int:
    """Open another workflow like that one, whose answer is owed as long after it."""
    old = one(connection, "workflow", id=workflow_id)
    assert old is not None
    due = instant(old["answer_due_at"])
    due = None if due is None else now + (due - instant(old["opened_at"]))
    kept = ("provider", "correlation_id", "counterparty", "role", "subject", "use_case")
    return inserted(
        connection,
        "open_workflow",
        **{name: old[name] for name in kept},
        focus_id=None,
        state=State.REQUESTED,
        answer_due_at=text(due),
        warn_at=warning(due, now),
        now=text(now),
    )


def _audit(
    connection: sqlite3.Connection,
    order: Order,
    row: sqlite3.Row,
    now: datetime,
    **more: str,
) -> None:
    actor = "operator" if order.by_operator else "epr"
    run(
        connection,
        "add_message_event",
        now=text(now),
        provider=order.provider,
        kind=f"{actor}.{_AUDITED[order.verb]}",
        message_id=row["id"],
        request_id=row["request_id"],
        detail=json.dumps({"who": order.who, "why": order.reason, **more}),
    )


def _tell(
    connection: sqlite3.Connection,
    order: Order,
    row: sqlite3.Row | Mapping[str, object],
    now: datetime,
) -> None:
    """Tell the EPR what an operator did; what it did itself it knows."""
    if order.by_operator and order.verb in _TOLD:
        notify(connection, _TOLD[order.verb], row, now)
