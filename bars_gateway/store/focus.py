"""
Gives a workflow the id that the Receiver gave to its record: never one of another patient's.

    id ─► held by another of that Receiver's? ─┬─ no ─────────────────► it is stored
                                               ├─ same patient and case ► both hold it, linked
                                               ├─ by what is over ─────► the newer takes it, told
                                               └─ else ────────────────► an alarm; a claim alone

Whichever provider of this gateway holds it: the number is the Receiver's, and of one patient. No
provider hears of another's workflows for that. A later cancellation names the record by that id;
one that two patients share would cancel the wrong one's. So it stays unknown, and whoever wants to
cancel has to telephone first.

Decisions: D-shared-id.
"""

from collections.abc import Sequence
from datetime import datetime

from bars_gateway.standard.consistency import particulars_of, same_case
from bars_gateway.standard.headers import same_service
from bars_gateway.standard.links import TIES, By
from bars_gateway.standard.patients import ONE_PATIENT, compare
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.workflow import FINAL, State, Subject
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.opening_request import began
from bars_gateway.store.records import add_message_event, links
from bars_gateway.store.rows import text

_MOST = 8  # workflows whose Bundles are read; who gives one id to more than that gives no ids


def name_focus(
    connection: Connection, message: Row, focus_id: str, now: datetime
) -> Sequence[Remark]:
    """Let the workflow of *message*, its request, have that id; return what is remarkable."""
    workflow = connection.one("workflow", id=message["workflow_id"])
    assert workflow is not None
    if workflow["focus_id"] is not None:
        return []
    holders = _holders(connection, workflow, focus_id)
    if len(holders) > _MOST:
        return _not_taken(connection, message, focus_id, holders[:_MOST], now)
    same = [each for each in holders if _is_same(connection, workflow, each)]
    others = [each for each in holders if each not in same]
    if any(State(each["state"]) not in FINAL for each in others):
        return _not_taken(connection, message, focus_id, others, now)
    for each in same:
        if each["provider"] == workflow["provider"]:  # no provider hears of another's workflows
            _link(connection, message, each, now)
    for each in others:
        connection.run("lose_focus", id=each["id"])
    connection.run("name_focus", workflow_id=workflow["id"], focus_id=focus_id)
    return [Remark.ID_USED_BEFORE] if others else []


def _holders(connection: Connection, workflow: Row, focus_id: str) -> list[Row]:
    """Return the other workflows that have the id of that Receiver's, of whichever provider."""
    return [
        row
        for row in connection.rows("focus_holders", focus_id=focus_id, role=workflow["role"])
        if row["id"] != workflow["id"]
        and same_service(row["counterparty"], workflow["counterparty"])
        and _is_booking(row) == _is_booking(workflow)
    ]


def _is_booking(workflow: Row) -> bool:
    return bool(workflow["subject"] == Subject.BOOKING)


def _is_same(connection: Connection, one_: Row, other: Row) -> bool:
    """Tell whether one resends the other, or both began with the same case of one patient."""
    resent = {each.workflow_id for each in links(connection, one_["id"]) if each.by is By.RESEND}
    if other["id"] in resent:
        return True
    here, there = began(connection, one_["id"]), began(connection, other["id"])
    if here is None or there is None:
        return False
    ours, theirs = particulars_of(here), particulars_of(there)
    return compare(ours.patient, theirs.patient) in ONE_PATIENT and same_case(ours, theirs)


def _link(connection: Connection, message: Row, other: Row, now: datetime) -> None:
    connection.run(
        "link_as_one",
        workflow_id=message["workflow_id"],
        to_id=other["id"],
        kind=TIES[By.FOCUS_ID].kind,
        by=By.FOCUS_ID,
        message_id=message["id"],
        now=text(now),
    )


def _not_taken(
    connection: Connection,
    message: Row,
    focus_id: str,
    others: Sequence[Row],
    now: datetime,
) -> Sequence[Remark]:
    """Keep what the Receiver claims, as a claim alone, and raise the alarm."""
    connection.run("claim_focus", workflow_id=message["workflow_id"], focus_id=focus_id)
    found = connection.one("message", id=message["id"])
    assert found is not None
    about = (found["provider"], found["id"], found["request_id"])
    held_by = [each["id"] for each in others if each["provider"] == found["provider"]]
    add_message_event(connection, about, "message.shared_id", now, {"workflows": held_by})
    return [Remark.SHARED_ID]
