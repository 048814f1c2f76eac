"""
What speaks against a move of a workflow that there is: asked in the transaction that makes it.

    change ───► the workflow that it names ─┬─ began with another patient ─► 409, and an alarm
                                            ├─ is over ───────────────────► 409
                                            └─ else ──────────────────────► None
    response ─► the workflow that it answers, likewise; it is never too late for that
"""

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from bars_gateway.standard.guards import inconsistent, too_late
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.particulars import particulars_of
from bars_gateway.standard.workflow import State, Subject
from bars_gateway.store.beginnings import began
from bars_gateway.store.inbound_works import add_event, changed_workflow, refuse_for
from bars_gateway.store.values import Arrival, RefusedBefore, Submission


def mixed_up(
    connection: sqlite3.Connection, later: Arrival | Submission, workflow_id: int
) -> Sequence[Issue]:
    """Return in what the message disagrees with the one that began the workflow."""
    if later.particulars is None:
        return []
    first = began(connection, workflow_id)
    if first is None:
        return []
    return inconsistent(later.move, later.particulars, particulars_of(first), later.enforced)


def out_of_time(
    later: Arrival | Submission, workflow: sqlite3.Row, state: State
) -> Sequence[Issue]:
    """Return what speaks against the move in *state*, where the workflow is, or will be."""
    about = (Subject(workflow["subject"]), workflow["use_case"])
    return too_late(state, later.move, *about, later.enforced)


def refuse_change(
    connection: sqlite3.Connection, arrival: Arrival, now: datetime
) -> RefusedBefore | None:
    """Refuse a change of what is another's, or over: the EPR need not be asked, nor be there."""
    workflow = changed_workflow(connection, arrival)
    if workflow is None:
        return None
    refused = refuse_mixed_up(connection, arrival, workflow["id"], now)
    if refused is not None:
        return refused
    issues = out_of_time(arrival, workflow, State(workflow["state"]))
    return refuse_for(connection, arrival, issues, now) if issues else None


def refuse_mixed_up(
    connection: sqlite3.Connection, arrival: Arrival, workflow_id: int, now: datetime
) -> RefusedBefore | None:
    """Refuse what is about another patient than its workflow, and raise the alarm."""
    issues = mixed_up(connection, arrival, workflow_id)
    if not issues:
        return None
    rules = [issue.rule for issue in issues]
    add_event(connection, arrival, "link.refused", now, rules=rules)
    return refuse_for(connection, arrival, issues, now)
