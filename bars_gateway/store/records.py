"""
What several nouns write: audit lines, payloads, notices, the move of a workflow; how one began.

Nothing of a patient is written down a second time: who it is, and what was asked, stands in the
Bundle that a workflow began with, as it is kept. So whoever compares patients reads it,
and only where there is something to compare it with.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple, Self

from bars_gateway.errors import PayloadDamaged
from bars_gateway.frozen import frozen
from bars_gateway.keyring import Vault
from bars_gateway.model.messages import Arrival, NoticeKind, Part, Payload, Refusal, Submission
from bars_gateway.model.questions import ResourceRequest
from bars_gateway.model.readings import Link
from bars_gateway.standard.applications import Answers, answers_of
from bars_gateway.standard.bundle import MalformedBundle, Message, read
from bars_gateway.standard.links import Relation
from bars_gateway.standard.nhs_numbers import numbers_in, together
from bars_gateway.standard.patients import Patient, patient_of
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.workflow import FINAL, Move, MoveNotAllowed, State, after
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.rows import link_of, packed, payload_of, text

_NOTHING: Mapping[str, object] = MappingProxyType({})

_NOTED: Mapping[str, str] = {
    "message": "note_subjects_of_message",
    "question": "note_subjects_of_question",
    "quarantine": "note_subjects_of_quarantined",
}
# The moves by which a Responder says how far it is.
SPOKEN = frozenset({Move.WAIT, Move.PROGRESS})


class EventAbout(NamedTuple):
    """What a line of the audit trail is about, as far as that is known; all None: the gateway."""

    provider: str | None = None
    message_id: int | None = None
    request_id: str | None = None

    @classmethod
    def message(cls, row: Row) -> Self:
        """Return what names the message in *row*."""
        return cls(row["provider"], row["id"], row["request_id"])

    @classmethod
    def request(cls, came: Arrival | Refusal | ResourceRequest) -> Self:
        """Return what names a request that is not a message here, or not yet."""
        return cls(came.provider, None, came.request_id)


THE_GATEWAY = EventAbout()


def add_event(
    connection: Connection,
    about: EventAbout,
    kind: str,
    now: datetime,
    detail: Mapping[str, object] = _NOTHING,
) -> None:
    """Add a line to the audit trail."""
    connection.put(
        "add_event",
        now=text(now),
        kind=kind,
        detail=json.dumps(dict(detail)),
        **about._asdict(),
    )


def links(connection: Connection, workflow_id: int) -> list[Link]:
    """Return the workflows that belong to one, whichever of them says so."""
    return [link_of(row) for row in connection.rows("links_of", id=workflow_id)]


def other_records(connection: Connection, workflow_id: int) -> list[Link]:
    """Return the further records of the same request that there may be at the other side."""
    found = links(connection, workflow_id)
    return [each for each in found if each.relation is Relation.OTHER_RECORD]


def keep(connection: Connection, message_id: int, part: Part, payload: Payload) -> None:
    """Store the bytes of one part of a message."""
    row = {"message_id": message_id, "part": part}
    kept = packed(payload, connection.vault, "payloads", row)
    connection.put("keep_payload", **row, **kept)
    note_subjects(connection, "message", message_id, payload)


def keep_exchange(
    connection: Connection, message_id: int, request: Payload, answer: Payload
) -> None:
    """Store the bytes of a new message, and of what it is answered."""
    asked, said = (
        packed(each, connection.vault, "payloads", {"message_id": message_id, "part": part})
        for each, part in ((request, Part.REQUEST), (answer, Part.ANSWER))
    )
    answered = {f"answer_{column}": value for column, value in said.items()}
    connection.put("keep_exchange", message_id=message_id, **asked, **answered)
    note_subjects(connection, "message", message_id, request, answer)


def note_subjects(connection: Connection, of: str, number: int, *named_in: Payload | bytes) -> None:
    """Let a message, a question or what is quarantined be found by the people named in it."""
    if not connection.vault.has_ring:
        return
    hashes = connection.vault.hashes(together(map(_numbers, named_in)))
    if hashes:
        connection.put(
            _NOTED[of],
            number=number,
            hashes=json.dumps(hashes),
            key_id=connection.vault.hash_id,
        )


def _numbers(text: Payload | bytes) -> Collection[str]:
    if isinstance(text, bytes):
        return numbers_in(text)
    return numbers_in(text.body) if text.numbers is None else text.numbers


def seen_before(connection: Connection, request: Arrival | Submission) -> Row:
    """Return which of the ids of *request* were seen here before: most often none."""
    seen = connection.one(
        "seen_before",
        provider=request.provider,
        request_id=request.request_id,
        bundle_id=request.bundle_id,
        correlation_id=request.correlation_id,
        likeness=request.ties.likeness if request.ties else None,
        fingerprint=request.fingerprint,
        submission_id=request.submission_id if isinstance(request, Submission) else None,
    )
    assert seen is not None
    return seen


def notify(
    connection: Connection,
    kind: NoticeKind,
    row: Row,
    now: datetime,
    remarks: Sequence[Remark] = (),
) -> None:
    """Write a notice about the message in *row* (its id and provider)."""
    connection.put(
        "write_notice",
        provider=row["provider"],
        kind=kind,
        message_id=row["id"],
        remarks=" ".join(remarks),
        now=text(now),
        collected_at=None,
    )


def collect(connection: Connection, provider: str, notice_ids: Sequence[int], now: datetime) -> int:
    """Mark notices as collected; return how many were not before."""
    values = {"provider": provider, "now": text(now)}
    return sum(
        connection.run("collect_notice", notice_id=notice_id, **values) for notice_id in notice_ids
    )


def move_due(
    connection: Connection, workflow_id: int, due: datetime, warn_at: datetime | None
) -> None:
    """Set the clock of a workflow that has one: its request was updated."""
    connection.put("move_due", id=workflow_id, due=text(due), warn_at=text(warn_at))


def bring_forward(
    connection: Connection, workflow_id: int, due: datetime, warn_at: datetime | None
) -> None:
    """Set the clock of an open workflow to a nearer time; a later one leaves it as it is."""
    connection.put("bring_forward", id=workflow_id, due=text(due), warn_at=text(warn_at))


@frozen(kw_only=True)
class WorkflowStanding:
    """Where a workflow stands, and what it is about."""

    state: State
    use_case: str


def standing(connection: Connection, workflow_id: int) -> WorkflowStanding:
    """Return where a workflow stands."""
    found = connection.one("workflow_state", id=workflow_id)
    assert found is not None
    return WorkflowStanding(state=State(found["state"]), use_case=found["use_case"])


def move_workflow(
    connection: Connection,
    workflow_id: int,
    move: Move,
    now: datetime,
    *,
    focus_id: str | None = None,
    found: WorkflowStanding | None = None,
) -> State:
    """
    Make *move*, where the workflow's state allows for it; return where it is then.

    Where it does not, the workflow stays as it is: an answer that came first has
    proved more than this move could (scenario 71), and a final state is final.
    *found*: where it stands, for whoever knows it.
    """
    found = found or standing(connection, workflow_id)
    try:
        state = after(found.state, move)
    except MoveNotAllowed:
        state = found.state
    values = {"id": workflow_id, "before": found.state, "state": state}
    if focus_id is None and FINAL.isdisjoint({found.state, state}):
        connection.put("lead_workflow_on", **values)
    else:
        closed_at = text(now) if state in FINAL else None
        connection.put("move_workflow", focus_id=focus_id, closed_at=closed_at, **values)
    if move in SPOKEN and answers_of(found.use_case) is Answers.STREAM:
        connection.put("nothing_owed", id=workflow_id)
    return state


def began(connection: Connection, workflow_id: int) -> Message | None:
    """
    Return what a workflow began with, or None where it is kept no more.

    Nor is one that the disk has spoilt: it must not stand in the way of another message.
    """
    message = connection.one("request_of", id=workflow_id)
    kept = message and connection.one("payload", message_id=message["id"], part=Part.REQUEST)
    return read_kept(kept, connection.vault) if kept else None


def read_kept(kept: Row, vault: Vault, table: str = "payloads") -> Message | None:
    """Return the Bundle in *kept*, a row of *table*, or None where it can be read no more."""
    try:
        return read_payload(payload_of(kept, vault, table))
    except (MalformedBundle, PayloadDamaged):
        return None


def patients_of(connection: Connection, workflow_id: int) -> list[Patient]:
    """Return whom a workflow is about: as it began, and as was said rightly since; maybe nobody."""
    first = began(connection, workflow_id)
    named = connection.rows("patients_named", workflow_id=workflow_id)
    since = (read_kept(row, connection.vault) for row in named)
    return [patient_of(message) for message in (first, *since) if message is not None]


def read_payload(payload: Payload) -> Message:
    """Read a Bundle in the format that it is in; raise MalformedBundle."""
    return read(payload.body, payload.media_type)
