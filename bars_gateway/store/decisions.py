"""
What the EPR's answer does: with the ledger, the message, its workflow and the notice, at once.

    decide ──► yes: message + workflow + ledger done     ──► the Sender: 200, later 409 duplicate
           └─► no:  ledger refused with its answer       ──► the Sender: that, again and again

All of it is one transaction, so that no booking is acknowledged which the EPR has not
committed, and none that it has is forgotten. An answer that comes after the Sender was
told 408 does the same: the Sender's retry finds it. The EPR gets a notice of that, and the
operator an alarm, because the Sender may meanwhile believe that nothing happened.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial

from bars_gateway.keyring import Vault
from bars_gateway.model.messages import Arrival, NoticeKind, Refusal
from bars_gateway.model.questions import PROCESS_MESSAGE, READ_LIVES, Decided, Decision
from bars_gateway.standard.applications import Owed
from bars_gateway.standard.bundle import Message
from bars_gateway.standard.consistency import CaseDetails, case_details_of
from bars_gateway.standard.patients import ONE_PATIENT, compare_with, patient_of
from bars_gateway.standard.remarks import OF_CONTENT, Remark
from bars_gateway.standard.rules.modifiers import heard_in
from bars_gateway.standard.rules.substance import plans_said, says_nothing
from bars_gateway.standard.workflow import FINAL, REQUESTER_MOVES, Move, RequestType, State
from bars_gateway.store import links
from bars_gateway.store.asides import Failed, Look, each_alone
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.guards import names, remarks_on_change, whose
from bars_gateway.store.inbound import changed_workflow, given_to, open_workflow, remember, take
from bars_gateway.store.records import (
    EventAbout,
    add_event,
    bring_forward,
    move_due,
    move_workflow,
    patients_of,
    read_kept,
    read_payload,
)
from bars_gateway.store.responses import follow, named_by, tell
from bars_gateway.store.rows import instant, payload_of, place_of, question_of, text


def decide(
    connection: Connection,
    provider: str,
    question_id: int,
    decision: Decision,
    now: datetime,
) -> Decided | None:
    """Do what the EPR has decided, or say how the question stands that it decided before."""
    row = connection.one("question", provider=provider, id=question_id)
    if row is None:
        return None
    if row["state"] == "answered":
        other = row["answered_with"] not in {decision.answered_with, decision.answered_in}
        return replace(_decided(connection, row, other=other), again=True)
    late = instant(row["answer_by"]) < now
    message_id = _carry_out(connection, row, decision, now, late=late)
    place = (*place_of("questions", row), "answer")
    connection.put(
        "decide_question",
        id=question_id,
        now=text(now),
        accepted=int(decision.accepted),
        http_status=decision.http_status,
        answer_code=decision.code,
        answer_type=decision.answer.media_type,
        answer=None if message_id else connection.vault.encrypt(decision.answer.body, *place),
        answered_with=decision.answered_with,
        message_id=message_id,
    )
    if late and row["changes"]:
        _alarm(connection, row, "question.decided_late", now)
    decided = connection.one("question", provider=provider, id=question_id)
    assert decided is not None
    return _decided(connection, decided, other=False)


def _decided(connection: Connection, row: Row, *, other: bool) -> Decided:
    found = question_of(row, connection.vault)
    late = found.decided_at is not None and found.answer_by < found.decided_at
    return Decided(question=found, late=late, other=other)


def _carry_out(
    connection: Connection,
    row: Row,
    decision: Decision,
    now: datetime,
    *,
    late: bool,
) -> int | None:
    """Enter the decision into the ledger; return the message where one was taken."""
    if not row["changes"]:
        return None
    if not decision.accepted:
        remember(connection, _refusal(row, decision), "inbound.refused", now)
        return None
    if row["operation"] == PROCESS_MESSAGE:
        return _take(connection, row, decision, now, late=late)
    connection.put("ledger_written", provider=row["provider"], request_id=row["request_id"])
    return None


def _take(
    connection: Connection,
    row: Row,
    decision: Decision,
    now: datetime,
    *,
    late: bool,
) -> int:
    """Take the message as `receive` would; the EPR has it, unless nobody waited any more."""
    arrival = _arrival(connection, row, decision)
    if arrival.move not in REQUESTER_MOVES:
        return _take_response(connection, row, arrival, now, late=late)
    found = links.find(connection, arrival)
    remarks, named = links.remarks_of(found), None
    changed = changed_workflow(connection, arrival)
    if changed is not None:
        whose_it_is = whose(connection, arrival, changed["id"])
        remarks = remarks_on_change(connection, arrival.move, changed["id"], whose_it_is)
        named = names(whose_it_is)  # the EPR was told, and has said yes
    if arrival.move is Move.REQUEST:
        _tell_given_twice(connection, arrival, now)
        workflow_id = open_workflow(connection, arrival, now)
    else:
        workflow_id = _changed_workflow(connection, row["id"], arrival, now)
    taken = take(
        connection,
        arrival,
        workflow_id,
        NoticeKind.DECIDED_LATE if late else NoticeKind.MESSAGE,
        now,
        collected=not late,
        remarks=remarks,
        names=named,
    )
    links.link(connection, arrival, found, taken, now)
    return taken.message_id


def _tell_given_twice(connection: Connection, arrival: Arrival, now: datetime) -> None:
    """Raise the alarm where the EPR gives an id that another patient of that Sender's has."""
    standing = [row for row in given_to(connection, arrival) if State(row["state"]) not in FINAL]
    if not standing:
        return
    patient = patient_of(read_payload(arrival.request))
    others = [
        row["id"]
        for row in standing
        if compare_with(patient, patients_of(connection, row["id"])) not in ONE_PATIENT
    ]
    if others:
        about = EventAbout.request(arrival)
        add_event(connection, about, "question.shared_id", now, {"workflows": others})


def _take_response(
    connection: Connection,
    row: Row,
    arrival: Arrival,
    now: datetime,
    *,
    late: bool,
) -> int:
    """Take the response as `respond` would, into the workflow as it is by now."""
    about = json.loads(row["about"])
    workflow_id = about["workflow_id"]
    workflow = connection.one("workflow_responded_to", id=workflow_id)
    assert workflow is not None
    told = tell(connection, workflow, arrival, instant(row["asked_at"]), now)
    if Remark.ARRIVED_AFTER_ALL in about["remarks"]:  # that it came has proved it by now
        told = replace(told, remarks=(*told.remarks, Remark.ARRIVED_AFTER_ALL))
    notice = NoticeKind.DECIDED_LATE if late else told.notice
    taken = take(
        connection,
        told.arrival,
        workflow_id,
        notice,
        now,
        collected=not late,
        remarks=told.remarks,
        names=named_by(told.remarks),
    )
    follow(connection, workflow, told, now, asked=True)
    return taken.message_id


def _changed_workflow(
    connection: Connection, question_id: int, arrival: Arrival, now: datetime
) -> int:
    """Move the workflow that a change is about; one that the EPR alone knew of is opened."""
    found = changed_workflow(connection, arrival)
    workflow_id = int(found["id"]) if found else open_workflow(connection, arrival, now)
    move_workflow(connection, workflow_id, arrival.move, now)
    if arrival.move is Move.UPDATE and arrival.owed is not None:
        # What came after it, and was decided before it, is the newer word: it is not put back.
        keys = {"workflow_id": workflow_id, "id": question_id}
        overtaken = connection.one("update_overtaken", **keys) is not None
        set_clock = bring_forward if overtaken else move_due
        set_clock(connection, workflow_id, arrival.owed.due_at, arrival.owed.warn_at)
    return workflow_id


def _arrival(connection: Connection, row: Row, decision: Decision) -> Arrival:
    about, vault = json.loads(row["about"]), connection.vault
    response = _response(row, Move(about["move"]), vault)
    doubts = tuple(each for each in map(Remark, about["remarks"]) if each in OF_CONTENT)
    return Arrival(
        provider=row["provider"],
        request_id=row["request_id"],
        correlation_id=row["correlation_id"],
        bundle_id=row["bundle_id"],
        move=Move(about["move"]),
        request_type=RequestType(about["request_type"]),
        use_case=about["use_case"],
        sender=about["sender"],
        receiver=about["receiver"],
        focus_id=decision.focus_id or about["focus_id"],
        reference=decision.reference or about["reference"],
        responds_to=about["responds_to"],
        fingerprint=row["fingerprint"],
        request=payload_of(row, vault, "questions"),
        answer=decision.answer,
        owed=_owed(about),
        reason=about.get("reason", ""),
        wording=heard_in(response, doubts) if response else None,
        says_nothing=response is not None and says_nothing(response),
        plans=plans_said(response) if response else (),
        ties=links.as_written(about.get("ties")),
        case_details=_case_details(row, Move(about["move"]), vault),
        doubts=doubts,
        appointment_until=instant(about.get("appointment_until")),
    )


def _owed(about: Mapping[str, str | None]) -> Owed | None:
    due_at, warn_at = instant(about.get("answer_due_at")), instant(about.get("warn_at"))
    return None if due_at is None or warn_at is None else Owed(due_at=due_at, warn_at=warn_at)


def _response(row: Row, move: Move, vault: Vault) -> Message | None:
    """Read a response again: its workflow may have moved on since the EPR was asked."""
    if move in REQUESTER_MOVES:
        return None
    return read_payload(payload_of(row, vault, "questions"))


def _case_details(row: Row, move: Move, vault: Vault) -> CaseDetails | None:
    message = None if move is Move.REQUEST else read_kept(row, vault, "questions")
    return None if message is None else case_details_of(message)


def _refusal(row: Row, decision: Decision) -> Refusal:
    return Refusal(
        provider=row["provider"],
        request_id=row["request_id"],
        correlation_id=row["correlation_id"],
        fingerprint=row["fingerprint"],
        rules=[f"epr:{decision.word}"],
        http_status=decision.http_status,
        answer=decision.answer,
    )


def forget_reads(connection: Connection, now: datetime) -> None:
    """Forget the reads that nobody waits for any more, with their answers."""
    connection.put("forget_reads", before=text(now - READ_LIVES))


def tell_unanswered(connection: Connection, look: Look) -> list[Failed | None]:
    """Raise an alarm for each question that is due for one."""
    found = connection.rows("unanswered_questions", **look.values)
    return each_alone(connection, found, partial(_tell_unanswered, connection, look.now))


def _tell_unanswered(connection: Connection, now: datetime, row: Row) -> None:
    connection.put("unanswered_told", id=row["id"])
    _alarm(connection, row, "question.unanswered", now)


def _alarm(connection: Connection, row: Row, kind: str, now: datetime) -> None:
    about = EventAbout(row["provider"], None, row["request_id"])
    add_event(connection, about, kind, now, {"question_id": row["id"]})
