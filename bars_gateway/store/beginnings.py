"""
The Bundle that a workflow began with, as it is kept: who the patient is, and what was asked.

Nothing of a patient is written down a second time. So whoever compares patients reads it,
and only where there is something to compare it with.
"""

import sqlite3

from zstandard import ZstdError

from bars_gateway.standard.bundle import MalformedBundle, Message, read
from bars_gateway.store.rows import payload_of
from bars_gateway.store.statements import one
from bars_gateway.store.values import Part, Payload


def began(connection: sqlite3.Connection, workflow_id: int) -> Message | None:
    """
    Return what a workflow began with, or None where it is kept no more.

    Nor is one that the disk has spoilt: it must not stand in the way of another message.
    """
    message = one(connection, "request_of", id=workflow_id)
    kept = message and one(connection, "payload", message_id=message["id"], part=Part.REQUEST)
    try:
        return read_payload(payload_of(kept)) if kept else None
    except (MalformedBundle, ZstdError):
        return None


def read_payload(payload: Payload) -> Message:
    """Read a Bundle in the format that it is in; raise MalformedBundle."""
    return read(payload.body, payload.media_type)
