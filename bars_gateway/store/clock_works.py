"""
What falls due with a workflow: a warning, and then the word that an answer is overdue.

    warn_at ──► due_soon, once          answer_due_at ──► overdue, once, with an event

The clock runs whatever became of the messages, and most of all where the request is
unconfirmed: it may never have arrived. It ends with the workflow. The notice names the
message that asked, in either role: its direction says who owes the answer.

Decisions: D-answers-owed.
"""

from datetime import datetime
from functools import partial

from bars_gateway.standard.remarks import OF_SILENCE
from bars_gateway.standard.workflow import State
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.due import Failed, Look, each_alone
from bars_gateway.store.statements import add_message_event, notify
from bars_gateway.store.values import NoticeKind


def tell_overdue(connection: Connection, look: Look) -> list[Failed | None]:
    """Tell of each answer that is overdue: to the EPR, and as an event."""
    found = connection.rows("workflows_overdue", **look.values)
    tell = partial(_tell, connection, "overdue_told", NoticeKind.OVERDUE, look.now)
    return each_alone(connection, found, tell)


def tell_due_soon(connection: Connection, look: Look) -> list[Failed | None]:
    """Warn of each answer that is due soon, and not overdue already."""
    found = connection.rows("workflows_due_soon", **look.values)
    tell = partial(_tell, connection, "warning_told", NoticeKind.DUE_SOON, look.now)
    return each_alone(connection, found, tell)


def _tell(
    connection: Connection,
    told: str,
    kind: NoticeKind,
    now: datetime,
    workflow: Row,
) -> None:
    connection.run(told, id=workflow["id"])
    request = connection.one("request_of", id=workflow["id"])
    if request is None:
        return
    known = OF_SILENCE.get(State(workflow["state"]))
    notify(connection, kind, request, now, () if known is None else (known,))
    about = (request["provider"], request["id"], request["request_id"])
    add_message_event(connection, about, f"workflow.{kind}", now)
