"""What becomes of a cancellation before it is sent: each function is one work."""

import json
from datetime import datetime, timedelta
from functools import partial

from bars_gateway.standard.bundle import Message
from bars_gateway.standard.cancelling import Current
from bars_gateway.standard.headers import same_service
from bars_gateway.standard.patients import ONE_PATIENT, Patient, compare, patient_of
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.workflow import Role, Subject
from bars_gateway.store.aside_works import Spoilt, each
from bars_gateway.store.beginnings import began, read_payload
from bars_gateway.store.cancellations import Cancellation
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.due import Failed, Look, each_alone
from bars_gateway.store.rows import payload_of, text
from bars_gateway.store.statements import add_message_event, notify
from bars_gateway.store.values import NoticeKind, Part

OTHER_PATIENT = "cancel.other_patient"
WITHIN = timedelta(seconds=60)  # to be shown nothing twice, or to tell the EPR that it waits


def to_read(connection: Connection, now: datetime, limit: int) -> list[Cancellation | Spoilt]:
    """Return what a read is due for."""
    found = connection.rows("cancellations_to_read", now=text(now), limit=limit)
    return each(found, partial(_cancellation, connection))


def _cancellation(connection: Connection, row: Row) -> Cancellation:
    payload = connection.one("payload", message_id=row["id"], part=Part.REQUEST)
    assert payload is not None
    return Cancellation(
        message_id=row["id"],
        provider=row["provider"],
        request_id=row["request_id"],
        correlation_id=row["correlation_id"],
        receiver=row["receiver"],
        request=payload_of(payload),
    )


def confirm(connection: Connection, message_id: int, now: datetime) -> None:
    """Let it be sent."""
    for row in connection.rows("confirm_cancellation", id=message_id, shown=None):
        about = (row["provider"], row["id"], row["request_id"])
        add_message_event(connection, about, "cancel.confirmed", now)


def refuse(connection: Connection, message_id: int, status: str, now: datetime) -> None:
    """Settle it, with a notice and a line of the audit trail, if it still waits."""
    for row in connection.rows("refuse_cancellation", id=message_id, shown=status, now=text(now)):
        notify(connection, NoticeKind.OUTCOME, row, now)
        about = (row["provider"], row["id"], row["request_id"])
        add_message_event(connection, about, "cancel.nothing_to_cancel", now, {"status": status})


def unshown(connection: Connection, message_id: int, at: datetime, now: datetime) -> bool:
    """Let it be sent where nothing was shown twice: the Receiver judges currency by itself."""
    before = connection.one("unshown_before", id=message_id, since=text(now - WITHIN))
    if before is None:
        connection.run("note_unshown", id=message_id, at=text(at), now=text(now))
        return False
    for row in connection.rows("confirm_cancellation", id=message_id, shown=Current.UNSHOWN):
        about = (row["provider"], row["id"], row["request_id"])
        add_message_event(connection, about, "cancel.sent_unshown", now)
    return True


def is_contested(connection: Connection, message_id: int, focus_id: str) -> bool:
    """Tell whether the id may be that of another patient's record, by what we hold ourselves."""
    message = connection.one("message", id=message_id)
    request = connection.one("payload", message_id=message_id, part=Part.REQUEST)
    assert message is not None
    assert request is not None
    whose = patient_of(read_payload(payload_of(request)))
    subjects = json.dumps(list(Subject))
    values = {"provider": message["provider"], "focus_id": focus_id}
    named = connection.rows("workflows_named", subjects=subjects, role=Role.REQUESTER, **values)
    return any(
        other["id"] != message["workflow_id"]
        and same_service(other["counterparty"], message["receiver"])
        and not _is_of(whose, began(connection, other["id"]))
        for other in [*named, *connection.rows("workflows_claiming", **values)]
    )


def _is_of(whose: Patient, first: Message | None) -> bool:
    return first is not None and compare(whose, patient_of(first)) in ONE_PATIENT


def belongs_to_another(
    connection: Connection, message_id: int, at: datetime, now: datetime
) -> None:
    """Read later; tell EPR and operator, once."""
    postpone(connection, message_id, at, now, alike=False)
    message = connection.one("message", id=message_id)
    told = {"message_id": message_id, "kind": OTHER_PATIENT, "detail": "{}"}
    if message is None or connection.one("event_told", **told):
        return
    about = (message["provider"], message_id, message["request_id"])
    add_message_event(connection, about, OTHER_PATIENT, now)
    notify(connection, NoticeKind.CANCEL_NOT_SENT, message, now, [Remark.OTHER_PATIENT])


def postpone(
    connection: Connection, message_id: int, at: datetime, now: datetime, *, alike: bool
) -> None:
    """Read later."""
    values = {"id": message_id, "at": text(at), "now": text(now), "alike": int(alike)}
    connection.run("postpone_cancellations", **values)


def tell_unread(connection: Connection, look: Look) -> list[Failed | None]:
    """Write a notice for each that has waited long enough: once."""
    found = connection.rows("unread_cancellations", before=text(look.now - WITHIN), **look.values)
    tell = partial(_tell_unread, connection, look.now)
    return each_alone(connection, found, tell)


def _tell_unread(connection: Connection, now: datetime, row: Row) -> None:
    about = (row["provider"], row["id"], row["request_id"])
    add_message_event(connection, about, "cancel.not_sent", now)
    notify(connection, NoticeKind.CANCEL_NOT_SENT, row, now)
