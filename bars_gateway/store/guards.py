"""
What speaks against a move of a workflow that there is: asked in the transaction that makes it.

    change that came ─► an id that we never gave ─────────────────────────► 404, and an alarm
                     ─► the workflow that it names ─┬─ of another use case ─► 409, and an alarm
                                                    ├─ is over ─────────────► 409
                                                    └─ else ────────────────► None: the EPR decides
    hand-in ─► likewise; another patient ─► 409, unless the EPR says that the patient changed

Another patient on receipt refuses nothing: a person is told, and so is the EPR (`patients`). So
they are where it is refused because what it names is over: it may mean what goes on under another
id.
"""

from collections.abc import Sequence
from datetime import datetime

from bars_gateway.model.interventions import UNKNOWN_RECORD as UNKNOWN
from bars_gateway.model.messages import (
    Arrival,
    Names,
    NoticeKind,
    Quarantined,
    RefusedBefore,
    Submission,
)
from bars_gateway.standard.consistency import case_details_of, stands
from bars_gateway.standard.guards import OTHER_PATIENT, UNKNOWN_RECORD, inconsistent, too_late
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.patients import Sameness, sameness_among
from bars_gateway.standard.remarks import OF_MODIFIERS, OF_PATIENT, Remark, beside_a_cancelled
from bars_gateway.standard.workflow import FINAL, Move, RequestType, State
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.inbound import changed_workflow, given, keep_aside, refuse_for
from bars_gateway.store.records import (
    EventAbout,
    add_event,
    began,
    notify,
    other_records,
    patients_of,
)

OTHERS = "patient.other"


def mixed_up(
    connection: Connection, later: Arrival | Submission, workflow_id: int
) -> Sequence[Issue]:
    """Return in what the message disagrees with the one that began the workflow."""
    if later.case_details is None:
        return []
    first = began(connection, workflow_id)
    if first is None:
        return []
    enforced = later.enforced
    if OTHER_PATIENT in enforced and not _is_a_strangers(connection, later, workflow_id):
        enforced -= {OTHER_PATIENT}
    return inconsistent(later.move, later.case_details, case_details_of(first), enforced)


def _is_a_strangers(connection: Connection, later: Arrival | Submission, workflow_id: int) -> bool:
    """Tell whether it names another patient, and nobody has said that this is right."""
    said = isinstance(later, Submission) and later.patient_changed
    return not said and whose(connection, later, workflow_id) is Sameness.OTHER_PATIENT


def whose(connection: Connection, later: Arrival | Submission, workflow_id: int) -> Sameness:
    """Return whether the message is about the patient of its workflow."""
    if later.case_details is None:
        return Sameness.SAME
    return sameness_among(later.case_details.patient, patients_of(connection, workflow_id))


def remarks_on_change(
    connection: Connection, move: Move, workflow_id: int, whose_it_is: Sameness
) -> tuple[Remark, ...]:
    """Return what the EPR is told with an update or a cancellation that it is asked about."""
    of_patient = (OF_PATIENT[whose_it_is],) if whose_it_is in OF_PATIENT else ()
    others = [each.state for each in other_records(connection, workflow_id)]
    if move is Move.CANCEL:
        return (*of_patient, *beside_a_cancelled(others))
    return (*of_patient, Remark.OTHER_RECORD) if any(map(stands, others)) else of_patient


def names(whose_it_is: Sameness) -> Names | None:
    """Return how it is kept whom a message names, where somebody has said that it is right."""
    is_changed = whose_it_is in {Sameness.OTHER_PATIENT, Sameness.NEWLY_TRACED}
    return Names.CHANGED if is_changed else None


def out_of_time(later: Arrival | Submission, workflow: Row, state: State) -> Sequence[Issue]:
    """Return what speaks against the move in *state*, where the workflow is, or will be."""
    about = (RequestType(workflow["request_type"]), workflow["use_case"])
    return too_late(state, later.move, *about, later.enforced)


def refuse_change(
    connection: Connection, arrival: Arrival, now: datetime
) -> RefusedBefore | Quarantined | None:
    """Refuse a change of what is another's, or over: the EPR need not be asked, nor be there."""
    workflow = changed_workflow(connection, arrival)
    if workflow is None:
        return _refuse_unknown(connection, arrival, now)
    refused = refuse_mixed_up(connection, arrival, workflow["id"], now)
    if refused is not None:
        return refused
    issues = out_of_time(arrival, workflow, State(workflow["state"]))
    if not issues:
        return None
    if workflow["state"] in FINAL:
        tell_of_ended(connection, arrival, workflow["id"], now)
    return refuse_for(connection, arrival, issues, now)


def tell_of_another(
    connection: Connection, arrival: Arrival, workflow_id: int, now: datetime
) -> bool:
    """Raise the alarm that it names another patient, unless it stands; tell whether it is new."""
    told = {"provider": arrival.provider, "request_id": arrival.request_id, "kind": OTHERS}
    if connection.one("alarm_named", **told) is not None:
        return False
    add_event(connection, EventAbout.request(arrival), OTHERS, now, {"workflow_id": workflow_id})
    return True


def tell_of_ended(
    connection: Connection, arrival: Arrival, workflow_id: int, now: datetime
) -> None:
    """
    Tell, once, of a change of what is over that names another patient, whose case may go on.

    The EPR is told of a cancellation alone: somebody has asked it to stop something.
    """
    if whose(connection, arrival, workflow_id) is not Sameness.OTHER_PATIENT:
        return
    if tell_of_another(connection, arrival, workflow_id, now) and arrival.move is Move.CANCEL:
        request = connection.one("request_of", id=workflow_id)
        assert request is not None
        remarks = (Remark.CANCEL_AFTER_END, Remark.OTHER_PATIENT, *doubts_turned_away(arrival))
        notify(connection, NoticeKind.CANCEL_TURNED_AWAY, request, now, remarks)


def doubts_turned_away(arrival: Arrival) -> tuple[Remark, ...]:
    """
    Return what is told of a change that is not taken: nothing that asks somebody to read it.

    Nobody here has it, and a notice of it is about the request: it would be said of that.
    """
    return tuple(each for each in arrival.doubts if each not in OF_MODIFIERS)


def _refuse_unknown(connection: Connection, arrival: Arrival, now: datetime) -> Quarantined | None:
    """Refuse a change of an id that we never gave, unless the EPR may have it from before us."""
    if arrival.move is Move.REQUEST or arrival.focus_id is None:
        return None  # what names no record at all only the EPR can find
    if arrival.earlier_records or given(connection, arrival):
        return None  # where it is another Sender's, the EPR decides
    keep_aside(connection, arrival, UNKNOWN, now)
    add_event(connection, EventAbout.request(arrival), "change.unknown", now)
    refused = refuse_for(connection, arrival, [UNKNOWN_RECORD], now)
    return Quarantined(reason=UNKNOWN, answer=refused.answer)


def refuse_mixed_up(
    connection: Connection, arrival: Arrival, workflow_id: int, now: datetime
) -> RefusedBefore | None:
    """Refuse what is of another use case than its workflow, and raise the alarm."""
    issues = mixed_up(connection, arrival, workflow_id)
    if not issues:
        return None
    rules = [issue.rule for issue in issues]
    add_event(connection, EventAbout.request(arrival), "link.refused", now, {"rules": rules})
    return refuse_for(connection, arrival, issues, now)
