"""
What happens to an inbound request: each function over a connection runs in one transaction.

The ledger decides first, inside the transaction: (provider, X-Request-Id) was
answered before, with these bytes or others that say the same, or with others, or it is new.
So twenty identical requests at once make one record, whatever the network does (D-same-request-id).
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain

from bars_gateway.model.messages import (
    Arrival,
    BundleReused,
    Conflicting,
    Fate,
    Met,
    Names,
    NoticeKind,
    Payload,
    Processing,
    Received,
    Refusal,
    RefusedBefore,
    Repeated,
)
from bars_gateway.model.questions import ResourceRequest
from bars_gateway.standard.answers import outcome
from bars_gateway.standard.formats import Format
from bars_gateway.standard.headers import same_service, spellings
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.patients import ONE_PATIENT, Sameness, compare, compare_with, patient_of
from bars_gateway.standard.remarks import ON_ALL, Remark
from bars_gateway.standard.workflow import FINAL, Move, State
from bars_gateway.store import links
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.records import (
    EventAbout,
    add_event,
    keep_exchange,
    note_subjects,
    notify,
    patients_of,
    read_kept,
    read_payload,
    seen_before,
)
from bars_gateway.store.rows import packed, place_of, text, written
from bars_gateway.store.work import Noun, promises, writes

_MOST = 200  # workflows with one id whose Bundles are read, the newest


class Inbound(Noun):
    """Requests that come in, but for responses."""

    async def receive(self, arrival: Arrival, now: datetime) -> Fate:
        """Take the message with its workflow, answer and notice, or say what it met."""
        fate = await self._receive(await self._searched(arrival), now)
        self._wake_ups.notices[arrival.provider].wake()
        return fate

    @promises
    @writes
    def _receive(self, connection: Connection, arrival: Arrival, now: datetime) -> Fate:
        """Take the message with its workflow, answer and notice, or say what it met."""
        seen = seen_before(connection, arrival)
        if seen["request_id"] or seen["bundle_id"]:
            met = already_met(connection, arrival, now)
            if met is not None:
                return met
        found = links.find(connection, arrival, seen)
        unlinkable = refused_links(connection, arrival, found, now)
        if unlinkable is not None:
            return unlinkable
        workflow_id = open_workflow(connection, arrival, now)
        remarks = links.remarks_of(found)
        taken = take(connection, arrival, workflow_id, NoticeKind.MESSAGE, now, remarks=remarks)
        links.link(connection, arrival, found, taken, now)
        tell_of_doubts(connection, arrival, arrival.doubts, now)
        return taken

    @promises
    @writes
    def refuse(self, connection: Connection, refusal: Refusal, now: datetime) -> Fate:
        """Remember the refusal, so that a retry gets the same, or say what it met."""
        met = already_met(connection, refusal, now)
        if met is not None:
            return met
        kind = "response.refused" if refusal.is_response else "inbound.refused"
        remember(connection, refusal, kind, now)
        return RefusedBefore(http_status=refusal.http_status, answer=refusal.answer)


def tell_of_doubts(
    connection: Connection, arrival: Arrival, remarks: Collection[Remark], now: datetime
) -> None:
    """Raise the alarms of what two patients are named in, and of what may mean something else."""
    about = EventAbout.request(arrival)
    if Remark.TWO_PATIENTS in remarks and Remark.OTHER_PATIENT not in remarks:
        add_event(connection, about, "patient.two", now)  # another's has an alarm of its own
    modified = [each for each in remarks if each in ON_ALL]
    if modified:
        add_event(connection, about, "inbound.modified", now, {"remarks": modified})


def refused_links(
    connection: Connection,
    arrival: Arrival,
    found: links.FoundLinks,
    now: datetime,
    *,
    asked: bool = False,
) -> RefusedBefore | None:
    """Refuse a request for what it names; None: it may be taken. *asked*: the EPR will be."""
    issues = links.refused(arrival, found, asked=asked)
    if not issues:
        return None
    if links.is_alarming(found):
        rules = [row.rule for row in found.broken]
        add_event(connection, EventAbout.request(arrival), "link.refused", now, {"rules": rules})
    return refuse_for(connection, arrival, issues, now)


def refuse_for(
    connection: Connection, arrival: Arrival, issues: Sequence[Issue], now: datetime
) -> RefusedBefore:
    """Remember that the message is refused for *issues*, with the answer that names them."""
    refusal = Refusal(
        provider=arrival.provider,
        request_id=arrival.request_id,
        correlation_id=arrival.correlation_id,
        fingerprint=arrival.fingerprint,
        rules=[issue.rule for issue in issues],
        http_status=issues[0].http_status,
        answer=Payload(media_type=Format.JSON, headers={}, body=outcome(issues)),
    )
    remember(connection, refusal, "inbound.refused", now)
    return RefusedBefore(http_status=refusal.http_status, answer=refusal.answer)


def take(
    connection: Connection,
    arrival: Arrival,
    workflow_id: int,
    notice: NoticeKind,
    now: datetime,
    *,
    collected: bool = False,
    remarks: Sequence[Remark] = (),
    names: Names | None = None,
) -> Received:
    """
    Store the message in its workflow, with its answer, ledger entry and notice.

    *collected*: the EPR was asked, and has it. *remarks* go with the notice. *names*: whom it
    names, where that is not whom its workflow began with.
    """
    if arrival.move is not Move.REQUEST:
        _note_other_conversation(connection, arrival, workflow_id, now)
    message_id = _insert(connection, arrival, workflow_id, names, now)
    keep_exchange(connection, message_id, arrival.request, arrival.answer)
    _enter(connection, arrival, message_id, now)
    connection.put(
        "write_notice",
        provider=arrival.provider,
        kind=notice,
        message_id=message_id,
        remarks=" ".join((*remarks, *arrival.doubts)),
        now=text(now),
        collected_at=text(now) if collected else None,
    )
    return Received(message_id=message_id, workflow_id=workflow_id)


def _note_other_conversation(
    connection: Connection, arrival: Arrival, workflow_id: int, now: datetime
) -> None:
    """Note a later message under another X-Correlation-Id: a warning, and never a key (H04)."""
    row = connection.one("conversation_of", id=workflow_id)
    assert row is not None
    if row["correlation_id"].lower() != arrival.correlation_id.lower():
        about = EventAbout.request(arrival)
        add_event(connection, about, "inbound.other_conversation", now, {"rules": ["H04"]})


def _enter(connection: Connection, arrival: Arrival, message_id: int, now: datetime) -> None:
    """Enter the message into the ledger: it is done."""
    connection.put(
        "ledger_done",
        provider=arrival.provider,
        request_id=arrival.request_id,
        fingerprint=arrival.fingerprint,
        said=arrival.said,
        message_id=message_id,
        now=text(now),
    )


def as_given(connection: Connection, arrival: Arrival) -> Arrival:
    """Return a change whose record is named in the letters in which its id was given."""
    if arrival.move is Move.REQUEST or arrival.focus_id is None:
        return arrival
    named = [replace(arrival, focus_id=name) for name in spellings(arrival.focus_id)]
    theirs = (each for each in named if given_to(connection, each))
    anybodys = (each for each in named if given(connection, each))
    return next(chain(theirs, anybodys), arrival)


def changed_workflow(connection: Connection, arrival: Arrival) -> Row | None:
    """
    Return the workflow that a change is about, or None: one that the EPR alone knows of.

    Where an EPR has given one id to several requests of that Sender, the one of the same patient
    is meant, and none where nobody can tell: another patient's is never changed instead.
    """
    found = named_workflows(connection, arrival)
    if len(found) > 1 and arrival.case_details is not None:
        patient = arrival.case_details.patient
        found = [
            row
            for row in found
            if compare_with(patient, patients_of(connection, row["id"])) in ONE_PATIENT
        ]
    standing = [row for row in found if State(row["state"]) not in FINAL]
    return next(iter([*standing, *found]), None)


def named_workflows(connection: Connection, arrival: Arrival) -> list[Row]:
    """Return what that Sender was given the id for that a change names, the newest first."""
    if arrival.move is Move.REQUEST:
        return []
    return given_to(connection, arrival)


def given_to(connection: Connection, arrival: Arrival) -> list[Row]:
    """Return the workflows of the Sender of *arrival* that have its id, the newest first."""
    found = given(connection, arrival)[:_MOST]
    return [row for row in found if same_service(row["counterparty"], arrival.sender)]


def given(connection: Connection, arrival: Arrival) -> list[Row]:
    """Return the workflows of any Sender that have the id, the newest first."""
    values = {"provider": arrival.provider, "focus_id": arrival.focus_id}
    return connection.rows("workflows_changed", **values)


def open_workflow(connection: Connection, arrival: Arrival, now: datetime) -> int:
    """Open the workflow that the message begins, and return its id."""
    return connection.inserted(
        "open_workflow",
        provider=arrival.provider,
        correlation_id=arrival.correlation_id,
        counterparty=arrival.sender,
        role="responder",
        request_type=arrival.request_type,
        use_case=arrival.use_case,
        focus_id=arrival.focus_id,
        state=State.ACTIVE,
        answer_due_at=text(arrival.owed.due_at) if arrival.owed else None,
        warn_at=text(arrival.owed.warn_at) if arrival.owed else None,
        likeness=arrival.ties.likeness if arrival.ties else None,
        now=text(now),
    )


def _insert(
    connection: Connection,
    arrival: Arrival,
    workflow_id: int,
    names: Names | None,
    now: datetime,
) -> int:
    return connection.inserted(
        "take_message",
        workflow_id=workflow_id,
        provider=arrival.provider,
        request_id=arrival.request_id,
        correlation_id=arrival.correlation_id,
        bundle_id=arrival.bundle_id,
        responds_to=arrival.responds_to,
        move=arrival.move,
        use_case=arrival.use_case,
        sender=arrival.sender,
        receiver=arrival.receiver,
        fingerprint=arrival.fingerprint,
        reference=arrival.reference,
        patient=names,
        appointment_until=text(arrival.appointment_until),
        **written(arrival.word),
        now=text(now),
    )


def remember(connection: Connection, refusal: Refusal, kind: str, now: datetime) -> None:
    """Enter the refusal into the ledger, and an event of that *kind* into the audit trail."""
    entered = {"provider": refusal.provider, "request_id": refusal.request_id}
    connection.put(
        "ledger_refused",
        **entered,
        fingerprint=refusal.fingerprint,
        http_status=refusal.http_status,
        media_type=refusal.answer.media_type,
        answer=connection.vault.encrypt(refusal.answer.body, *place_of("ledger", entered)),
        rules=" ".join(refusal.rules),
        now=text(now),
    )
    detail = {"rules": list(refusal.rules), "http_status": refusal.http_status}
    add_event(connection, EventAbout.request(refusal), kind, now, detail)


def already_met(
    connection: Connection, came: Arrival | Refusal | ResourceRequest, now: datetime
) -> Met | None:
    """Return what the ledger says of this X-Request-Id, or None where it is new."""
    entry = connection.one("ledger_entry", provider=came.provider, request_id=came.request_id)
    if entry is None:
        return _bundle_reused(connection, came, now) if isinstance(came, Arrival) else None
    if not _is_the_same(entry, came):
        add_event(connection, EventAbout.request(came), "inbound.request_id_reused", now)
        return Conflicting()
    if entry["state"] == "processing":
        return Processing()
    _note_heard(connection, came, now)
    if entry["state"] == "refused":
        body = connection.vault.open(bytes(entry["answer"]), *place_of("ledger", entry))
        answer = Payload(media_type=entry["media_type"], headers={}, body=body)
        return RefusedBefore(http_status=entry["http_status"], answer=answer)
    if isinstance(came, Arrival):  # a read makes no record
        add_event(connection, EventAbout.request(came), "inbound.repeated", now)
    return Repeated(reference=entry["reference"])


def _note_heard(
    connection: Connection, came: Arrival | Refusal | ResourceRequest, now: datetime
) -> None:
    """Tell the EPR that the Sender knows now what was decided when it had stopped waiting."""
    keys = {"provider": came.provider, "request_id": came.request_id}
    for row in connection.rows("question_heard", now=text(now), **keys):
        add_event(connection, EventAbout.request(came), "question.heard", now)
        if row["id"] is not None:
            notify(connection, NoticeKind.DECIDED_LATE, row, now, [Remark.HEARD])


def _is_the_same(entry: Row, came: Arrival | Refusal | ResourceRequest) -> bool:
    """Tell whether the same came before: in bytes, or in what it says (D-same-request-id)."""
    if entry["fingerprint"] == came.fingerprint:
        return True
    return isinstance(came, Arrival) and came.said is not None and came.said == entry["said"]


def _bundle_reused(connection: Connection, arrival: Arrival, now: datetime) -> BundleReused | None:
    """Refuse a new message under the Bundle.id of another; an update may keep its first (B05)."""
    if arrival.move is not Move.REQUEST:
        return None
    values = {"provider": arrival.provider, "sender": arrival.sender}
    seen = connection.one("bundle_seen", bundle_id=arrival.bundle_id, **values) is not None
    if not seen and not _is_of_others_elsewhere(connection, arrival):
        return None
    add_event(connection, EventAbout.request(arrival), "inbound.refused", now, {"rules": ["B05"]})
    return BundleReused()


def _is_of_others_elsewhere(connection: Connection, arrival: Arrival) -> bool:
    """Tell whether its Sender has used its Bundle.id for another patient, to another provider."""
    values = {"provider": arrival.provider, "sender": arrival.sender}
    found = connection.rows("bundles_received_elsewhere", bundle_id=arrival.bundle_id, **values)
    read = (read_kept(row, connection.vault) for row in found)
    others = [patient_of(each) for each in read if each is not None]
    ours = patient_of(read_payload(arrival.request)) if others else None
    return any(ours and compare(ours, each) is Sameness.OTHER_PATIENT for each in others)


def keep_aside(connection: Connection, arrival: Arrival, reason: str, now: datetime) -> None:
    """Keep a copy of what belongs to nothing that is known here."""
    named = {
        "provider": arrival.provider,
        "request_id": arrival.request_id,
        "fingerprint": arrival.fingerprint,
    }
    number = connection.inserted(
        "quarantine",
        **named,
        correlation_id=arrival.correlation_id,
        bundle_id=arrival.bundle_id,
        responds_to=arrival.responds_to,
        sender=arrival.sender,
        receiver=arrival.receiver,
        reason=reason,
        now=text(now),
        **packed(arrival.request, connection.vault, "quarantine", named),
    )
    note_subjects(connection, "quarantine", number, arrival.request)
