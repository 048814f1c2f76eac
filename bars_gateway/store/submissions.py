"""
Taking a submission: its workflow is found or opened, and the message queued, in one transaction.

The same bytes are one message, however often they come: the fingerprint finds the
receipt that they were given (D-same-bytes). So are a message and what an EPR writes anew
under its Bundle.id that says the same: who got no receipt may have kept no bytes. A request
may have other times then; anything else may not, for an update may keep the Bundle.id of its
request, and say a second time what holds again.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime

from bars_gateway.frozen import frozen
from bars_gateway.model.messages import (
    Accepted,
    Change,
    OutboundState,
    Part,
    Payload,
    Received,
    Submission,
    Warned,
)
from bars_gateway.standard.applications import Owed
from bars_gateway.standard.bundle import MalformedBundle, Message
from bars_gateway.standard.consistency import said, stands
from bars_gateway.standard.formats import digest
from bars_gateway.standard.guards import (
    BUNDLE_ID_TAKEN,
    OTHER_ID,
    SENT_BEFORE,
    MoveRefused,
    with_its_end,
)
from bars_gateway.standard.headers import same_service, spellings
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.links import NO_RECORD, OTHER_RECORD, PLAN_SENT_BACK
from bars_gateway.standard.meaning import move_of
from bars_gateway.standard.patients import Sameness, compare, patient_of
from bars_gateway.standard.remarks import FINDS
from bars_gateway.standard.rules import said_unclearly
from bars_gateway.standard.workflow import CHANGES, Move, Role, State, led_on, role_of
from bars_gateway.store import links
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.guards import mixed_up, names, out_of_time, whose
from bars_gateway.store.record_ids import claimant, meant, open_of_patient
from bars_gateway.store.records import (
    bring_forward,
    keep,
    other_records,
    read_kept,
    read_payload,
    seen_before,
)
from bars_gateway.store.responses import hear, sends_plans_back
from bars_gateway.store.rows import instant, text, written

_TIMED = frozenset({Move.REQUEST, Move.UPDATE})
# So a Receiver has nothing of it, and it may be corrected.
_NEVER_THERE = frozenset({OutboundState.REFUSED, OutboundState.NOT_SENT, OutboundState.WITHDRAWN})


def submit(connection: Connection, submission: Submission, now: datetime) -> Accepted:
    """Queue the message, or return the receipt that these bytes have; raise MoveRefused."""
    found = _found(connection, submission)
    return accepted_of(found or _insert(connection, submission, now))


def _found(connection: Connection, submission: Submission) -> Row | None:
    """Return what was taken before under the EPR's own key, or as the same bytes."""
    if submission.submission_id is not None:
        return submitted_as(connection, submission.provider, submission.submission_id)
    return _same(connection, submission.provider, submission.fingerprint)


def submitted(connection: Connection, provider: str, fingerprint: str) -> Accepted | None:
    """Return the receipt that these bytes were given, or None."""
    found = _same(connection, provider, fingerprint)
    return None if found is None else accepted_of(found)


def _same(connection: Connection, provider: str, fingerprint: str) -> Row | None:
    values = {"provider": provider, "fingerprint": fingerprint}
    return connection.one("same_submission", **values)


def submitted_as(connection: Connection, provider: str, submission_id: str) -> Row | None:
    """Return what was taken under the EPR's own key, or None."""
    values = {"provider": provider, "submission_id": submission_id}
    return connection.one("submitted_as", **values)


def accepted_of(row: Row) -> Accepted:
    """Return the receipt for the message in *row*."""
    return Accepted(
        message_id=row["id"],
        workflow_id=row["workflow_id"],
        request_id=row["request_id"],
        correlation_id=row["correlation_id"],
        receiver=row["receiver"],
        fingerprint=row["fingerprint"],
        state=OutboundState(row["state"]),
        code=row["code"],
        accepted_at=instant(row["created_at"]),
        led_to=_led_to(row),
        asked_as=row["asked_as"],
        target_unchecked=row["target_unchecked"],
        warnings=tuple(Warned(**each) for each in json.loads(row["warnings"] or "[]")),
    )


def _led_to(row: Row) -> State | None:
    """Return how the workflow that the request in *row* began stands: cancelled, or will be."""
    if row["request_led_to"] is None:
        return None
    return State.CANCELLED if row["cancelling"] else State(row["request_led_to"])


def _insert(connection: Connection, submission: Submission, now: datetime) -> Row:
    """Queue what was not taken before; return what its receipt is made of."""
    seen = seen_before(connection, submission)
    if seen["sent_before"]:
        raise MoveRefused([SENT_BEFORE])
    same_id = _of_the_same_id(connection, submission.bundle_id) if seen["bundle_id"] else []
    again = _written_anew(connection, submission, same_id)
    if again is not None:
        return again
    found = links.find(connection, submission, seen)
    issues = links.refused(submission, found)
    if issues:
        raise MoveRefused(issues)
    if submission.too_late:
        raise MoveRefused(submission.too_late)
    submission, workflow_id = _placed(connection, submission, now)
    _refuse_a_shared_bundle_id(submission, workflow_id, same_id)
    warned = [
        *_warned_of_its_id(submission, same_id),
        *_warned_of_others(connection, submission, found, workflow_id),
        *_warned_of_the_plan(connection, submission, workflow_id),
    ]
    if warned:
        submission = replace(submission, warnings=[*submission.warnings, *warned])
    queued = _queue(connection, submission, workflow_id, now)
    keep(connection, queued["id"], Part.REQUEST, submission.request)
    if submission.move is Move.UPDATE:
        _count_at_once(connection, submission, workflow_id, queued["id"])
    taken = Received(message_id=queued["id"], workflow_id=workflow_id)
    links.link(connection, submission, found, taken, now)
    return queued


def _queue(connection: Connection, submission: Submission, workflow_id: int, now: datetime) -> Row:
    queued = connection.one(
        "queue_message",
        workflow_id=workflow_id,
        provider=submission.provider,
        request_id=submission.request_id,
        correlation_id=submission.correlation_id,
        bundle_id=submission.bundle_id,
        responds_to=submission.responds_to,
        move=submission.move,
        use_case=submission.use_case,
        sender=submission.sender,
        receiver=submission.receiver,
        fingerprint=submission.fingerprint,
        submission_id=submission.submission_id,
        asked_as=submission.asked_as,
        urgent=int(submission.urgent),
        needed_by=text(submission.needed_by),
        give_up_at=text(submission.give_up_at),
        by_its_time=int(submission.by_its_time),
        delay_due_at=text(submission.delayed_at),
        **_clock(submission.owed if submission.move in _TIMED else None),
        read_due_at=text(now) if submission.read_first else None,
        target_unchecked=submission.target_unchecked,
        patient=names(whose(connection, submission, workflow_id)),
        warnings=_written(submission.warnings),
        appointment_until=text(submission.appointment_until),
        **written(submission.word),
        now=text(now),
    )
    assert queued is not None
    return queued


@frozen
class _Sent:
    """What was submitted under a Bundle.id."""

    row: Row
    message: Message | None  # None: it can be read no more


def _of_the_same_id(connection: Connection, bundle_id: str) -> Sequence[_Sent]:
    found = connection.rows("bundles_sent", bundle_id=bundle_id)
    return [_Sent(row, read_kept(row, connection.vault)) for row in found]


def _sent_there(
    provider: str, receiver: str, move: Move, same_id: Sequence[_Sent]
) -> Sequence[_Sent]:
    """Return those of *provider* to *receiver*; of a request those that are requests."""
    is_new = move is Move.REQUEST  # what a response does is known beside its workflow
    return [
        each
        for each in same_id
        if each.row["provider"] == provider
        and (each.row["move"] == Move.REQUEST) is is_new
        and same_service(each.row["receiver"], receiver)
    ]


def _written_anew(
    connection: Connection, submission: Submission, same_id: Sequence[_Sent]
) -> Row | None:
    """Return what was taken before, and says the same in other bytes under its Bundle.id."""
    move = submission.move
    there = _sent_there(submission.provider, submission.receiver, move, same_id)
    if all(each.message is None for each in there):
        return None
    return _alike(connection, read_payload(submission.request), move, there)


def taken_before(connection: Connection, provider: str, request: Payload) -> Accepted | None:
    """Return the receipt that these bytes were given, or what they say under their Bundle.id."""
    found = _same(connection, provider, hashlib.sha256(request.body).hexdigest())
    if found is None:
        found = _said_before(connection, provider, request)
    return None if found is None else accepted_of(found)


def _said_before(connection: Connection, provider: str, request: Payload) -> Row | None:
    try:
        message = read_payload(request)
    except MalformedBundle:
        return None
    move, same_id = move_of(message), _of_the_same_id(connection, message.bundle_id)
    if move is None or not same_id or not message.destinations:
        return None
    there = _sent_there(provider, message.destinations[0], move, same_id)
    return _alike(connection, message, move, there)


def _alike(
    connection: Connection, message: Message, move: Move, there: Sequence[_Sent]
) -> Row | None:
    """Return what of that says what *message* does."""
    this = _says(message, move)
    for each in there:
        if each.message is not None and this == _says(each.message, move):
            return _same(connection, each.row["provider"], each.row["fingerprint"])
    return None


def _says(message: Message, move: Move) -> str:
    return said(message, move, "", "") if move is Move.REQUEST else digest(message.root)


def _warned_of_its_id(submission: Submission, same_id: Sequence[_Sent]) -> Sequence[Warned]:
    """Return what the receipt warns of: the Receiver may take this request for what it has."""
    if submission.move is not Move.REQUEST:
        return []
    there = _sent_there(submission.provider, submission.receiver, submission.move, same_id)
    known_there = [each.row for each in there if each.row["state"] not in _NEVER_THERE]
    return [
        Warned(
            rule=BUNDLE_ID_TAKEN.rule,
            path=BUNDLE_ID_TAKEN.path,
            problem=f"was that of another message to this service, {row['request_id']}: it may"
            " refuse this one, or take it for that, and read nothing of what is new. Give each"
            " new message a UUID of its own",
        )
        for row in known_there[:1]
    ]


def _refuse_a_shared_bundle_id(
    submission: Submission, workflow_id: int, same_id: Sequence[_Sent]
) -> None:
    """Raise MoveRefused where another patient's message has that Bundle.id: ids must tell apart."""
    others = [each.message for each in same_id if each.row["workflow_id"] != workflow_id]
    theirs = [patient_of(message) for message in others if message is not None]
    ours = patient_of(read_payload(submission.request)) if theirs else None
    if any(ours and compare(ours, each) is Sameness.OTHER_PATIENT for each in theirs):
        raise MoveRefused([BUNDLE_ID_TAKEN])


def _warned_of_others(
    connection: Connection,
    submission: Submission,
    found: links.FoundLinks,
    workflow_id: int,
) -> Sequence[Warned]:
    """Return what the receipt warns of: there may be two records of the patient's request."""
    if links.remarks_of(found):
        rule = OTHER_RECORD
        return [Warned(rule=rule.rule, path="Bundle.id", problem=rule.text)]
    change = _change_of(submission)
    if change is not None and connection.one("request_in", id=workflow_id) is None:
        return _warned_of_no_record(connection, change, workflow_id)
    if submission.move is not Move.CANCEL:
        return []
    this = connection.one("workflow_state", id=workflow_id)
    assert this is not None
    return [
        Warned(
            rule=OTHER_RECORD.rule,
            path=f"{submission.request_type}: focus",
            problem=f"this cancels {_named(workflow_id, this['focus_id'])} alone. Another record of"
            f" this patient stands: {_named(other.workflow_id, other.focus_id)}. If nobody is to"
            " come, cancel that one, too",
        )
        for other in other_records(connection, workflow_id)
        if stands(other.state)
    ]


def _warned_of_the_plan(
    connection: Connection, submission: Submission, workflow_id: int
) -> Sequence[Warned]:
    """Return what the receipt warns of: nothing in the final answer is of this organisation."""
    if submission.word is None or submission.word.says not in FINDS:
        return []
    rule = PLAN_SENT_BACK
    back = sends_plans_back(connection, workflow_id, submission.plans)
    return [Warned(rule=rule.rule, path="CarePlan.activity", problem=rule.text)] if back else []


def _warned_of_no_record(
    connection: Connection, change: Change, workflow_id: int
) -> Sequence[Warned]:
    """Return what the receipt warns of: the patient's own requests there stay as they are."""
    others = [
        _named(each["id"], each["focus_id"])
        for each in open_of_patient(connection, change)
        if each["id"] != workflow_id
    ]
    problem = f"{NO_RECORD.text}: {', '.join(others)}"
    path = "MessageHeader.focus"
    return [Warned(rule=NO_RECORD.rule, path=path, problem=problem)] if others else []


def _named(workflow_id: int, focus_id: str | None) -> str:
    return f"workflow {workflow_id} (there: {focus_id or 'its id is not known'})"


def _written(warnings: Sequence[Warned]) -> str | None:
    return json.dumps([asdict(each) for each in warnings]) if warnings else None


def _clock(owed: Owed | None) -> dict[str, str | None]:
    if owed is None:
        return {"answer_due_at": None, "warn_at": None}
    return {"answer_due_at": text(owed.due_at), "warn_at": text(owed.warn_at)}


def _count_at_once(
    connection: Connection, update: Submission, workflow_id: int, message_id: int
) -> None:
    """Let an update that makes things more urgent count before it is acknowledged."""
    if update.owed:
        bring_forward(connection, workflow_id, update.owed.due_at, update.owed.warn_at)
    connection.put(
        "press_on",
        workflow_id=workflow_id,
        id=message_id,
        urgent=int(update.urgent),
        needed_by=text(update.needed_by),
        give_up_at=text(update.give_up_at),
        by_its_time=int(update.by_its_time),
    )


def _placed(
    connection: Connection, submission: Submission, now: datetime
) -> tuple[Submission, int]:
    """Return the submission, read beside the workflow that it is of, and that workflow's id."""
    submission = _as_named_there(connection, submission)
    found = _workflow_of(connection, submission)
    submission = _heard(connection, submission, found, now)
    if found is not None:
        _refuse_what_does_not_fit(connection, submission, found)
        return submission, int(found["id"])
    _refuse_anothers_id(connection, submission)
    # A change or response to what began before this gateway did: its workflow is known to exist.
    workflow_id = connection.inserted(
        "open_workflow",
        provider=submission.provider,
        correlation_id=submission.correlation_id,
        counterparty=submission.receiver,
        role=role_of(submission.move),
        request_type=submission.request_type,
        use_case=submission.use_case,
        # What a new request calls itself is the EPR's own: the Receiver mints the id.
        focus_id=None if submission.move is Move.REQUEST else submission.focus_id,
        likeness=submission.ties.likeness if submission.ties else None,
        state=State.REQUESTED if submission.move is Move.REQUEST else State.ACTIVE,
        **_clock(submission.owed if submission.move is Move.REQUEST else None),
        now=text(now),
    )
    return submission, workflow_id


def _as_named_there(connection: Connection, submission: Submission) -> Submission:
    """Return a change that names its record in the letters in which its Receiver gave the id."""
    if submission.move not in CHANGES or submission.focus_id is None:
        return submission
    named = _id_given(connection, submission.provider, submission.focus_id, submission.receiver)
    return replace(submission, focus_id=named)


def _workflow_of(connection: Connection, submission: Submission) -> Row | None:
    if submission.move is Move.REQUEST:
        return None
    keys = (submission.responds_to, submission.focus_id, submission.bundle_id)
    found = find_workflow(
        connection,
        submission.provider,
        *(key for key in keys if key),
        role=role_of(submission.move),
        counterparty=submission.receiver,
    )
    change = _change_of(submission)
    if change is None:
        return found
    if found is None:
        return claimant(connection, change)
    of_patient = meant(connection, change, found)
    if isinstance(of_patient, list):
        raise MoveRefused(of_patient)
    return of_patient


def _change_of(submission: Submission) -> Change | None:
    """Return what a change names its record by; None where it names none by the Receiver's id."""
    said = submission.case_details
    if submission.move not in CHANGES or submission.focus_id is None or said is None:
        return None
    return Change(
        provider=submission.provider,
        receiver=submission.receiver,
        request_type=submission.request_type,
        focus_id=submission.focus_id,
        said=said,
        patient_changed=submission.patient_changed,
    )


def _heard(
    connection: Connection,
    submission: Submission,
    workflow: Row | None,
    now: datetime,
) -> Submission:
    """Return a response as its Receiver will read it; raise MoveRefused where that is unclear."""
    if submission.wording is None:
        return submission
    heard = hear(connection, workflow, submission.wording, now, now, is_ours=True)
    issues = said_unclearly(heard.reading)
    if issues:
        raise MoveRefused(issues)
    return replace(submission, move=heard.reading.move, word=heard.word)


def _refuse_what_does_not_fit(
    connection: Connection, submission: Submission, workflow: Row
) -> None:
    """Raise MoveRefused where it is another patient's, or past this once all has arrived."""
    under_way = connection.rows("moves_under_way", workflow_id=workflow["id"])
    reached = led_on(State(workflow["state"]), *(Move(row["move"]) for row in under_way))
    issues = [
        *_misnamed(submission, workflow),
        *mixed_up(connection, submission, workflow["id"]),
        *_too_late(connection, submission, workflow, reached),
    ]
    if issues:
        raise MoveRefused(issues)


def _too_late(
    connection: Connection, submission: Submission, workflow: Row, reached: State
) -> Sequence[Issue]:
    """Return what speaks against a move of what is over, or will be, with how it ended and when."""
    issues = out_of_time(submission, workflow, reached)
    if not issues:
        return issues
    ended = connection.one("end_of_workflow", workflow_id=workflow["id"])
    assert ended is not None
    since = ended["closed_at"]
    return with_its_end(issues, reached, None if since is None else instant(since))


def _misnamed(submission: Submission, workflow: Row) -> Sequence[Issue]:
    """Return whether a change has another id than the Receiver gave."""
    ids = {submission.focus_id, workflow["focus_id"]}
    return [OTHER_ID] if submission.move in CHANGES and len(ids - {None}) > 1 else []


def _refuse_anothers_id(connection: Connection, submission: Submission) -> None:
    """Raise MoveRefused where a change goes on with a conversation, under an id of none in it."""
    if submission.move not in CHANGES:
        return
    values = {"provider": submission.provider, "correlation_id": submission.correlation_id}
    begun = connection.rows("workflows_in_talk", request_type=submission.request_type, **values)
    ids = [
        row["focus_id"] for row in begun if same_service(row["counterparty"], submission.receiver)
    ]
    if ids and all(ids):
        raise MoveRefused([OTHER_ID])


def find_workflow(
    connection: Connection,
    provider: str,
    *keys: str,
    role: Role | None = None,
    counterparty: str | None = None,
) -> Row | None:
    """Return the workflow that a Bundle.id or the Receiver's id belongs to, of that side."""
    for key in keys:
        for name in ("workflow_by_bundle", "workflow_by_focus"):
            for found in connection.rows(name, provider=provider, key=key, role=role):
                if counterparty is None or same_service(found["counterparty"], counterparty):
                    return found
    return None


def _id_given(connection: Connection, provider: str, focus_id: str, receiver: str) -> str:
    """Return the id of a record in the letters in which that Receiver gave it."""
    about = {"provider": provider, "role": Role.REQUESTER}
    for name in spellings(focus_id):
        found = connection.rows("workflow_by_focus", key=name, **about)
        if any(same_service(row["counterparty"], receiver) for row in found):
            return name
    return focus_id


def workflow_about(
    connection: Connection,
    provider: str,
    *keys: str,
    role: Role | None,
    counterparty: str | None,
    change: Change | None,
) -> Row | None:
    """Return the workflow that a message with those *keys*, or a *change*, is of."""
    if change is not None:
        named = _id_given(connection, provider, change.focus_id, change.receiver)
        keys = tuple(named if key == change.focus_id else key for key in keys)
        change = replace(change, focus_id=named)
    found = find_workflow(connection, provider, *keys, role=role, counterparty=counterparty)
    if found is None and change is not None:
        found = claimant(connection, change)
    if found is None or change is None:
        return found
    of_patient = meant(connection, change, found)
    # Where nobody can say, it is refused as it is taken.
    return found if isinstance(of_patient, list) else of_patient
