"""
Which workflow the id of a Receiver's record names, and which workflow gets one.

A change names its record by the Receiver's id, which may be another patient's as well:

    its patient is that of the workflow with the id ──────────────────► that one
    another's ─► open ones there, of that patient, without a known id ─┬─ one ─────► that one
                                                                       ├─ several ─► refused
                                                                       └─ none ────► the guard

A Receiver that gives two patients one id leaves the second without any. What its EPR
then cancels names that id, and must never end the first one's referral.

    an id that no workflow has ─► open ones there, of that patient and case, without a known id
                                  ─┬─ one ─► that one: somebody has asked there by telephone
                                   └─ else ► a workflow of its own, and the receipt warns

A workflow gets the id that the Receiver gave to its record, and never one of another patient's:

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

from bars_gateway.model.messages import Change
from bars_gateway.standard.consistency import case_details_of, same_case
from bars_gateway.standard.guards import named_unclearly, of_other_records
from bars_gateway.standard.headers import same_service
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.links import TIES, By
from bars_gateway.standard.patients import ONE_PATIENT, Sameness, compare, compare_with
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.workflow import FINAL, RequestType, State
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.records import EventAbout, add_event, began, links, patients_of
from bars_gateway.store.rows import text

_MOST_OPEN = 200  # open requests with ids of their own whose Bundles are read, the newest
_MOST_HOLDERS = 8  # workflows whose Bundles are read; an id that more of them hold is no id


def meant(connection: Connection, change: Change, found: Row) -> Row | list[Issue]:
    """Return the workflow that *change* is of, *found* by its id, or why nobody can say."""
    if found["focus_id"] != change.focus_id:
        return found  # by the id of a Bundle, which only we gave
    sameness = compare_with(change.said.patient, patients_of(connection, found["id"]))
    if sameness in ONE_PATIENT:
        return found
    others = [each for each in _open(connection, change) if each["id"] != found["id"]]
    claimed = [each["id"] for each in others if each["claimed_id"] == change.focus_id]
    doubtful = sameness is Sameness.UNKNOWN_PATIENT and claimed
    if sameness is not Sameness.OTHER_PATIENT and not doubtful:
        return found
    fitting = [each for each in others if _may_be(change, each) and _fits(connection, change, each)]
    if len(fitting) == 1:
        meant_one = connection.one("workflow", id=fitting[0]["id"])
        assert meant_one is not None
        return meant_one
    if fitting or doubtful:
        either = [each["id"] for each in fitting] or [found["id"], *claimed]
        return [named_unclearly(either)]
    named = _with_ids(connection, change, others) if change.patient_changed else []
    return [of_other_records(named)] if named else found


def claimant(connection: Connection, change: Change) -> Row | None:
    """Return the request that is meant by an id which no workflow of this provider holds."""
    may_be = [each for each in _open(connection, change) if _may_be(change, each)]
    claimed = [each for each in may_be if each["claimed_id"] == change.focus_id]
    if claimed:  # it was told that id, and a workflow of another provider holds it
        found = [each for each in claimed if _fits(connection, change, each)]
    else:
        told = [each for each in may_be if each["state"] != State.REQUESTED][:_MOST_OPEN]
        found = [each for each in told if _is_its_case(connection, change, each)]
    return connection.one("workflow", id=found[0]["id"]) if len(found) == 1 else None


def open_of_patient(connection: Connection, change: Change) -> list[Row]:
    """Return the open requests of a change's patient at that Receiver, the newest first."""
    found = _open(connection, change)[:_MOST_OPEN]
    return [each for each in found if _fits(connection, change, each)]


def _is_its_case(connection: Connection, change: Change, other: Row) -> bool:
    """Tell whether the change names patient and case of a request whose id nobody here knows."""
    first = began(connection, other["id"])
    is_case = first is not None and same_case(change.said, case_details_of(first))
    return is_case and _fits(connection, change, other)


def _open(connection: Connection, change: Change) -> list[Row]:
    values = {"provider": change.provider, "request_type": change.request_type}
    return [
        row
        for row in connection.rows("requests_open", **values)
        if same_service(row["counterparty"], change.receiver)
    ]


def _may_be(change: Change, other: Row) -> bool:
    """Tell whether the Receiver may call it by that id: it is known by none, nor by another."""
    return other["focus_id"] is None and other["claimed_id"] in {None, change.focus_id}


def _fits(connection: Connection, change: Change, other: Row) -> bool:
    return compare_with(change.said.patient, patients_of(connection, other["id"])) in ONE_PATIENT


def _with_ids(connection: Connection, change: Change, others: Sequence[Row]) -> list[int]:
    """Return the patient's own requests there: a patient who changed has none beside this one."""
    apart = [each for each in others if not _may_be(change, each)][:_MOST_OPEN]
    return [each["id"] for each in apart if _fits(connection, change, each)]


def name_focus(
    connection: Connection, message: Row, focus_id: str, now: datetime, *, free: bool = False
) -> Sequence[Remark]:
    """
    Give that id to the workflow that *message* began; return what is remarkable.

    *free*: the caller has seen that the workflow has no id yet, and that nobody's has this one.
    """
    if free:
        connection.put("name_focus", workflow_id=message["workflow_id"], focus_id=focus_id)
        return []
    workflow = connection.one("workflow", id=message["workflow_id"])
    assert workflow is not None
    if workflow["focus_id"] is not None:
        return []
    holders = _holders(connection, workflow, focus_id)
    if len(holders) > _MOST_HOLDERS:
        return _not_taken(connection, message, focus_id, holders[:_MOST_HOLDERS], now)
    same = [each for each in holders if _is_same_case(connection, workflow, each)]
    others = [each for each in holders if each not in same]
    if any(State(each["state"]) not in FINAL for each in others):
        return _not_taken(connection, message, focus_id, others, now)
    for each in same:
        if each["provider"] == workflow["provider"]:  # no provider hears of another's workflows
            _link(connection, message, each, now)
    for each in others:
        connection.put("lose_focus", id=each["id"])
    connection.put("name_focus", workflow_id=workflow["id"], focus_id=focus_id)
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
    return bool(workflow["request_type"] == RequestType.BOOKING)


def _is_same_case(connection: Connection, one_: Row, other: Row) -> bool:
    """Tell whether one resends the other, or both began with the same case of one patient."""
    resent = {each.workflow_id for each in links(connection, one_["id"]) if each.by is By.RESEND}
    if other["id"] in resent:
        return True
    here, there = began(connection, one_["id"]), began(connection, other["id"])
    if here is None or there is None:
        return False
    ours, theirs = case_details_of(here), case_details_of(there)
    return compare(ours.patient, theirs.patient) in ONE_PATIENT and same_case(ours, theirs)


def _link(connection: Connection, message: Row, other: Row, now: datetime) -> None:
    connection.put(
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
    connection.put("claim_focus", workflow_id=message["workflow_id"], focus_id=focus_id)
    found = connection.one("message", id=message["id"])
    assert found is not None
    about = EventAbout.message(found)
    held_by = [each["id"] for each in others if each["provider"] == found["provider"]]
    add_event(connection, about, "message.shared_id", now, {"workflows": held_by})
    return [Remark.SHARED_ID]
