"""
The Bundle that a workflow began with, as it is kept: who the patient is, and what was asked.

Nothing of a patient is written down a second time. So whoever compares patients reads it,
and only where there is something to compare it with.
"""

from bars_gateway.errors import PayloadDamaged
from bars_gateway.model.messages import Part, Payload
from bars_gateway.standard.bundle import MalformedBundle, Message, read
from bars_gateway.standard.patients import Patient, patient_of
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.rows import payload_of


def began(connection: Connection, workflow_id: int) -> Message | None:
    """
    Return what a workflow began with, or None where it is kept no more.

    Nor is one that the disk has spoilt: it must not stand in the way of another message.
    """
    message = connection.one("request_of", id=workflow_id)
    kept = message and connection.one("payload", message_id=message["id"], part=Part.REQUEST)
    return read_kept(kept) if kept else None


def read_kept(kept: Row) -> Message | None:
    """Return the Bundle in *kept*, or None where it can be read no more."""
    try:
        return read_payload(payload_of(kept))
    except (MalformedBundle, PayloadDamaged):
        return None


def patients_of(connection: Connection, workflow_id: int) -> list[Patient]:
    """Return whom a workflow is about: as it began, and as was said rightly since; maybe nobody."""
    first = began(connection, workflow_id)
    since = (read_kept(row) for row in connection.rows("patients_named", workflow_id=workflow_id))
    return [patient_of(message) for message in (first, *since) if message is not None]


def read_payload(payload: Payload) -> Message:
    """Read a Bundle in the format that it is in; raise MalformedBundle."""
    return read(payload.body, payload.media_type)
