"""
Taking a submission: its workflow is found or opened, and the message queued, in one transaction.

The same bytes are one message, however often they come: the fingerprint finds the
receipt that they were given (M11b).
"""

import sqlite3
from datetime import datetime

from bars_gateway.standard.timing import urgency_of
from bars_gateway.standard.workflow import REQUESTER_MOVES, Move, State
from bars_gateway.store.rows import instant, text
from bars_gateway.store.statements import inserted, keep, one
from bars_gateway.store.values import Accepted, OutboundState, Part, Submission


def submit(connection: sqlite3.Connection, submission: Submission, now: datetime) -> Accepted:
    """Queue the message, or return the receipt that these bytes have."""
    found = one(
        connection,
        "same_submission",
        provider=submission.provider,
        fingerprint=submission.fingerprint,
    )
    if found is None:
        _insert(connection, submission, now)
        found = one(
            connection,
            "same_submission",
            provider=submission.provider,
            fingerprint=submission.fingerprint,
        )
    assert found is not None
    return Accepted(
        message_id=found["id"],
        workflow_id=found["workflow_id"],
        request_id=found["request_id"],
        correlation_id=found["correlation_id"],
        receiver=found["receiver"],
        fingerprint=found["fingerprint"],
        state=OutboundState(found["state"]),
        code=found["code"],
        accepted_at=instant(found["created_at"]),
    )


def _insert(connection: sqlite3.Connection, submission: Submission, now: datetime) -> None:
    message_id = inserted(
        connection,
        "queue_message",
        workflow_id=_workflow_for(connection, submission, now),
        provider=submission.provider,
        request_id=submission.request_id,
        correlation_id=submission.correlation_id,
        bundle_id=submission.bundle_id,
        responds_to=submission.responds_to,
        move=submission.move,
        use_case=submission.use_case,
        urgency=urgency_of(submission.use_case),
        sender=submission.sender,
        receiver=submission.receiver,
        fingerprint=submission.fingerprint,
        needed_by=text(submission.needed_by),
        give_up_at=text(submission.give_up_at),
        delay_due_at=text(submission.delayed_at),
        now=text(now),
    )
    keep(connection, message_id, Part.REQUEST, submission.request)


def _workflow_for(connection: sqlite3.Connection, submission: Submission, now: datetime) -> int:
    requester = submission.move in REQUESTER_MOVES
    if submission.move is not Move.REQUEST:
        keys = (submission.responds_to, submission.focus_id, submission.bundle_id)
        found = find_workflow(connection, submission.provider, *(key for key in keys if key))
        if found is not None:
            return int(found["id"])
    # A change or response to what began before this gateway did: its workflow is known to exist.
    return inserted(
        connection,
        "open_workflow",
        provider=submission.provider,
        correlation_id=submission.correlation_id,
        counterparty=submission.receiver,
        role="requester" if requester else "responder",
        subject=submission.subject,
        use_case=submission.use_case,
        focus_id=submission.focus_id,
        state=State.REQUESTED if submission.move is Move.REQUEST else State.ACTIVE,
        answer_due_at=None,
        now=text(now),
    )


def find_workflow(connection: sqlite3.Connection, provider: str, *keys: str) -> sqlite3.Row | None:
    """Return the workflow that a Bundle.id or the Receiver's id belongs to."""
    for key in keys:
        for name in ("workflow_by_bundle", "workflow_by_focus"):
            found = one(connection, name, provider=provider, key=key)
            if found is not None:
                return found
    return None
