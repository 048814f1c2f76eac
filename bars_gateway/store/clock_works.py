"""
What falls due with a workflow: a warning, and then the word that an answer is overdue.

    warn_at ──► due_soon, once          answer_due_at ──► overdue, once, with an event

The clock runs whatever became of the messages, and most of all where the request is
unconfirmed: it may never have arrived. It ends with the workflow. The notice names the
message that asked, in either role: its direction says who owes the answer.
"""

import sqlite3
from datetime import datetime

from bars_gateway.standard.remarks import OF_SILENCE
from bars_gateway.standard.workflow import State
from bars_gateway.store.rows import text
from bars_gateway.store.statements import add_message_event, notify, one, rows
from bars_gateway.store.values import NoticeKind


def tell_due(connection: sqlite3.Connection, now: datetime) -> tuple[int, int]:
    """Write what is due to be said; return how many warnings, and how many overdue answers."""
    overdue = rows(connection, "workflows_overdue", now=text(now))
    soon = rows(connection, "workflows_due_soon", now=text(now))
    for kind, found in ((NoticeKind.OVERDUE, overdue), (NoticeKind.DUE_SOON, soon)):
        for workflow in found:
            _tell(connection, kind, workflow, now)
    return len(soon), len(overdue)


def _tell(
    connection: sqlite3.Connection, kind: NoticeKind, workflow: sqlite3.Row, now: datetime
) -> None:
    request = one(connection, "request_of", id=workflow["id"])
    if request is None:
        return
    known = OF_SILENCE.get(State(workflow["state"]))
    notify(connection, kind, request, now, () if known is None else (known,))
    about = (request["provider"], request["id"], request["request_id"])
    add_message_event(connection, about, f"workflow.{kind}", now)
