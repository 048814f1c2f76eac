"""
What happens to a question: each function is one work, and so one transaction.

    ask_about ──► ledger: processing + question ──decide──► ledger: done    + message + workflow
                                                       └──► ledger: refused + answer
    ask_about_response ─► the same, in the workflow that it answers, or quarantine
    ask ────────► question ─────────────────────decide────► question: answered

A cancellation that nobody is there to be asked about leaves word of itself (`turned_away_works`).
If we die before `ask_about` is on disk, nobody was asked and the retry asks. After it, the
question is there for the EPR, and the retry meets 425. If we die before `decide` is on
disk, the EPR got no receipt for its answer and gives it again. After it, the retry meets
409 *duplicate*, or the refusal; and the EPR that gives the same answer again, its receipt.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime

from bars_gateway.standard.answers import Minted
from bars_gateway.standard.patients import Sameness
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.workflow import Move
from bars_gateway.store import link_works
from bars_gateway.store.aside_works import Spoilt, each
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.guard_works import refuse_change, remarks_on_change, whose
from bars_gateway.store.inbound_works import (
    add_event,
    already_met,
    changed_workflow,
    refused_links,
)
from bars_gateway.store.questions import (
    READ_LIVES,
    Answered,
    Asked,
    Enquiry,
    Question,
    Terms,
    Unattended,
)
from bars_gateway.store.response_works import answered_workflow, tell
from bars_gateway.store.rows import instant, packed, payload_of, text
from bars_gateway.store.turned_away_works import asked, turn_away
from bars_gateway.store.values import (
    Arrival,
    Met,
    Part,
    Payload,
    Processing,
    RefusedBefore,
)

PROCESS_MESSAGE = "$process-message"
_ABOUT = (  # of an Arrival, what the EPR is shown and the message is made of
    *("move", "subject", "use_case", "sender", "receiver", "bundle_id", "focus_id"),
    *("responds_to", "reference"),
)


def ask_about(
    connection: Connection,
    arrival: Arrival,
    minted: Minted | None,
    terms: Terms,
    now: datetime,
    *,
    attended: bool,
) -> Met | Asked | Unattended:
    """Put the question whether to take the message, or say what it met."""
    met = (
        already_met(connection, arrival, now)
        or refuse_change(connection, arrival, now)
        or _unlinkable(connection, arrival, now)
    )
    if met is not None:
        return met
    if not attended:
        if arrival.move is Move.CANCEL:
            turn_away(connection, arrival, now)
        return Unattended()
    asked(connection, arrival, now)
    about = {
        "minted": asdict(minted) if minted else None,
        "answer_due_at": text(arrival.owed.due_at) if arrival.owed else None,
        "warn_at": text(arrival.owed.warn_at) if arrival.owed else None,
        "ties": link_works.written(arrival.ties),
        "remarks": _remarks_on(connection, arrival, now),
        "known": _is_known(connection, arrival),
    }
    return _put(connection, arrival, about, terms, now)


def _is_known(connection: Connection, arrival: Arrival) -> bool | None:
    """Tell whether we know what the change is about; None: the message is new."""
    is_new = arrival.move is Move.REQUEST
    return None if is_new else changed_workflow(connection, arrival) is not None


def _remarks_on(connection: Connection, arrival: Arrival, now: datetime) -> tuple[Remark, ...]:
    """Return what the EPR is told before it decides; another patient is told to a person, too."""
    if arrival.move is Move.REQUEST:
        return link_works.remarks_of(link_works.find(connection, arrival))
    workflow = changed_workflow(connection, arrival)
    if workflow is None:
        return ()
    whose_it_is = whose(connection, arrival, workflow["id"])
    if whose_it_is is Sameness.OTHER_PATIENT:
        add_event(connection, arrival, "patient.other", now, workflow_id=workflow["id"])
    return remarks_on_change(connection, workflow["id"], whose_it_is)


def ask_about_response(
    connection: Connection,
    arrival: Arrival,
    not_found: Payload,
    terms: Terms,
    now: datetime,
    *,
    attended: bool,
) -> Met | Asked | Unattended:
    """Put the question whether to take the response, unless it is about no one workflow."""
    workflow = answered_workflow(connection, arrival, not_found, now)
    if isinstance(workflow, Met):
        return workflow
    if not attended:
        return Unattended()
    told = tell(connection, workflow, arrival, now)
    word = told.arrival.word
    about = {
        "workflow_id": workflow["id"],
        "remarks": told.remarks,
        "says": word.says if word else None,
        "reason_code": word.reason_code if word else None,
        "reason": arrival.reason,
    }
    return _put(connection, told.arrival, about, terms, now)


def _put(
    connection: Connection,
    arrival: Arrival,
    about: Mapping[str, object],
    terms: Terms,
    now: datetime,
) -> Asked:
    question_id = connection.inserted(
        "put_question",
        provider=arrival.provider,
        request_id=arrival.request_id,
        correlation_id=arrival.correlation_id,
        operation=PROCESS_MESSAGE,
        changes=1,
        fingerprint=arrival.fingerprint,
        bundle_id=arrival.bundle_id,
        about=json.dumps({**{name: getattr(arrival, name) for name in _ABOUT}, **about}),
        **_terms(terms, now),
        **packed(arrival.request),
    )
    _enter(connection, arrival, question_id, now)
    return Asked(question_id=question_id)


def _unlinkable(connection: Connection, arrival: Arrival, now: datetime) -> RefusedBefore | None:
    """Refuse a request that names another patient's record; one not known here the EPR may know."""
    found = link_works.find(connection, arrival)
    return refused_links(connection, arrival, found, now, asked=True)


def ask(
    connection: Connection,
    enquiry: Enquiry,
    terms: Terms,
    now: datetime,
    *,
    attended: bool,
) -> Met | Asked | Answered | Unattended:
    """Put the question, or say what the request met."""
    if enquiry.changes:
        met: Met | Answered | None = already_met(connection, enquiry, now)
    else:
        met = _repeated(connection, enquiry, now)
    if met is not None or not attended:
        return met or Unattended()
    about = {
        "resource_id": enquiry.resource_id,
        "parameters": dict(enquiry.parameters),
        "query": enquiry.query,
    }
    empty = {"media_type": None, "headers": None, "encoding": None, "body": None}
    question_id = connection.inserted(
        "put_question",
        provider=enquiry.provider,
        request_id=enquiry.request_id,
        correlation_id=enquiry.correlation_id,
        operation=enquiry.operation,
        changes=int(enquiry.changes),
        fingerprint=enquiry.fingerprint,
        bundle_id=None,
        about=json.dumps(about),
        **_terms(terms, now, alarmed=enquiry.changes),
        **(packed(enquiry.body) if enquiry.body else empty),
    )
    if enquiry.changes:
        _enter(connection, enquiry, question_id, now)
    return Asked(question_id=question_id)


def _terms(terms: Terms, now: datetime, *, alarmed: bool = True) -> dict[str, object]:
    return {
        "now": text(now),
        "answer_by": text(terms.answer_by),
        "alarm_at": text(terms.alarm_at) if alarmed else None,
    }


def _enter(
    connection: Connection, asked: Arrival | Enquiry, question_id: int, now: datetime
) -> None:
    connection.run(
        "ledger_processing",
        provider=asked.provider,
        request_id=asked.request_id,
        fingerprint=asked.fingerprint,
        said=asked.said if isinstance(asked, Arrival) else None,
        question_id=question_id,
        now=text(now),
    )


def _repeated(
    connection: Connection, enquiry: Enquiry, now: datetime
) -> Processing | Answered | None:
    """Return what became of the same read a moment ago; an old one is forgotten."""
    row = connection.one(
        "question_repeated",
        provider=enquiry.provider,
        request_id=enquiry.request_id,
        fingerprint=enquiry.fingerprint,
    )
    if row is None:
        return None
    if instant(row["asked_at"]) + READ_LIVES <= now:
        connection.run("forget_read", id=row["id"])
        return None
    return decision(connection, row["id"]) or Processing()


def decision(connection: Connection, question_id: int) -> Answered | None:
    """Return what the Sender of an answered question gets."""
    row = connection.one("question_decision", id=question_id)
    if row is None:
        return None
    if row["message_id"] is not None:
        kept = connection.one("payload", message_id=row["message_id"], part=Part.ANSWER)
        assert kept is not None
        answer = payload_of(kept)
    else:
        answer = Payload(media_type=row["answer_type"], headers={}, body=bytes(row["answer"]))
    return Answered(http_status=row["http_status"], code=row["answer_code"], answer=answer)


def open_questions(
    connection: Connection, provider: str, after: int, limit: int
) -> list[Question | Spoilt]:
    """Return the questions that wait for an answer."""
    found = connection.rows("open_questions", provider=provider, after=after, limit=limit)
    return each(found, question_of)


def question(connection: Connection, provider: str, question_id: int) -> Question | None:
    """Return one question."""
    row = connection.one("question", provider=provider, id=question_id)
    return None if row is None else question_of(row)


def question_of(row: Row) -> Question:
    """Return the question in *row*."""
    about = json.loads(row["about"])
    minted = about.pop("minted", None)
    about.pop("ties", None)
    return Question(
        question_id=row["id"],
        provider=row["provider"],
        operation=row["operation"],
        request_id=row["request_id"],
        correlation_id=row["correlation_id"],
        about=about,
        minted=None if minted is None else Minted(**minted),
        asked_at=instant(row["asked_at"]),
        answer_by=instant(row["answer_by"]),
        decided_at=instant(row["decided_at"]),
        accepted=None if row["accepted"] is None else bool(row["accepted"]),
        http_status=row["http_status"],
        request=None if row["body"] is None else payload_of(row),
    )
