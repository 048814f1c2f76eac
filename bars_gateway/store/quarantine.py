"""
Takes a quarantined response into the workflow that an operator names: one work.

    against ─none─► arrival proven ─► ledger ─► message, notice ─► move ─► audit trail

What stands against it is looked up in the same transaction, so nothing comes in between and
two operators at once attach it once. A copy that the Sender sent under another X-Request-Id
is seen to with it: the EPR gets a response once.
"""

from datetime import datetime

from bars_gateway.errors import PayloadDamaged
from bars_gateway.model.interventions import AGAINST, UNKNOWN_RECORD, Attached, Quarantine
from bars_gateway.model.messages import Actor, Arrival, Objection, Payload
from bars_gateway.standard.bundle import MalformedBundle, read
from bars_gateway.standard.headers import same_service, spellings
from bars_gateway.standard.meaning import move_of
from bars_gateway.standard.patients import Sameness
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.rule import NOTHING_AGREED, Overrides, Side
from bars_gateway.standard.rules.modifiers import doubts_about
from bars_gateway.standard.workflow import REQUESTER_MOVES
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.guards import whose
from bars_gateway.store.inbound import take
from bars_gateway.store.records import EventAbout, add_event
from bars_gateway.store.responses import follow, named_by, prove_arrival, response_arrival, tell
from bars_gateway.store.rows import instant, payload_of
from bars_gateway.store.work import Noun, WakeUps, reads, wakes, writes

NEAR = 10  # responses of one conversation that are looked at


def quarantined(
    connection: Connection, provider: str, number: int
) -> tuple[Quarantine, Payload] | None:
    """Return that one of *provider*'s with its bytes, or None."""
    row = connection.one("quarantined", provider=provider, id=number)
    return (
        None
        if row is None
        else (quarantine_of(row), payload_of(row, connection.vault, "quarantine"))
    )


def waiting(connection: Connection, provider: str | None, limit: int) -> list[Quarantine]:
    """Return what is not attached, oldest first."""
    found = connection.rows("quarantine_waiting", provider=provider, limit=limit)
    return [quarantine_of(row) for row in found]


def arrival_of(
    kept: Quarantine, payload: Payload, overrides: Overrides = NOTHING_AGREED
) -> Arrival | Objection:
    """Return the response as it would have been taken, had its workflow been found; or why not."""
    if kept.reason == UNKNOWN_RECORD:
        return AGAINST["no_response"]
    try:
        message = read(payload.body, payload.media_type)
    except MalformedBundle:
        return AGAINST["unreadable"]
    move = move_of(message)
    if move is None or move in REQUESTER_MOVES:
        return AGAINST["unreadable"]
    return response_arrival(
        message,
        move,
        payload,
        provider=kept.provider,
        request_id=kept.request_id,
        correlation_id=kept.correlation_id,
        sender=kept.sender,
        receiver=kept.receiver,
        came_at=kept.came_at,
        doubts=doubts_about(message, overrides.with_the_other_side(message, Side.RECEIVING)),
    )


def attachable(
    connection: Connection, provider: str, correlation_id: str, bundle_id: str, workflow_id: int
) -> list[tuple[Quarantine, Objection | None]]:
    """
    Return what may belong to a workflow, with what stands against attaching it, oldest first.

    That is what came in the same conversation, or names the message as the one that it answers.
    """
    values = {"provider": provider, "correlation_id": correlation_id, "bundle_id": bundle_id}
    found = []
    for row in connection.rows("quarantine_near", limit=NEAR, **values):
        kept = quarantine_of(row)
        try:
            arrival = arrival_of(kept, payload_of(row, connection.vault, "quarantine"))
        except PayloadDamaged:
            arrival = AGAINST["unreadable"]
        against = (
            arrival
            if isinstance(arrival, Objection)
            else _against(connection, kept.number, workflow_id, arrival)
        )
        found.append((kept, against))
    return found


class Quarantines(Noun):
    """What belongs to no workflow, until an operator says where it belongs."""

    @reads
    def waiting(self, connection: Connection, limit: int) -> list[Quarantine]:
        """Return what is not attached, of all providers, oldest first."""
        return waiting(connection, None, limit)

    @reads
    def holds(self, connection: Connection, number: int) -> bool:
        """Tell whether anything was ever put there under that number; attached, it stays."""
        return connection.one("quarantined_of_any", id=number) is not None

    @reads
    def quarantined(
        self, connection: Connection, provider: str, number: int
    ) -> tuple[Quarantine, Payload] | None:
        """Return that one of *provider*'s with its bytes, or None."""
        return quarantined(connection, provider, number)

    @reads
    def against(
        self, connection: Connection, number: int, workflow_id: int, arrival: Arrival
    ) -> Objection | None:
        """Return what stands against attaching it, changing nothing."""
        return _against(connection, number, workflow_id, arrival)

    @wakes(WakeUps.wake_everybody)
    @writes
    def attach(  # noqa: PLR0917
        self,
        connection: Connection,
        number: int,
        workflow_id: int,
        arrival: Arrival,
        actor: Actor,
        now: datetime,
    ) -> Attached | Objection:
        """Take it into that workflow, with notice, ledger and audit trail."""
        objection = _against(connection, number, workflow_id, arrival)
        if objection is not None:
            return objection
        workflow = connection.one("workflow_responded_to", id=workflow_id)
        assert workflow is not None
        prove_arrival(connection, workflow, arrival, now)
        told = tell(connection, workflow, arrival, now, now)
        remarks = (*told.remarks, Remark.ATTACHED)
        values = {"provider": arrival.provider, "request_id": arrival.request_id}
        connection.put("forget_refusal", **values)
        taken = take(
            connection,
            told.arrival,
            workflow_id,
            told.notice,
            now,
            remarks=remarks,
            names=named_by(remarks),
        )
        follow(connection, workflow, told, now)
        copies = {"provider": arrival.provider, "fingerprint": arrival.fingerprint}
        connection.put("attach_quarantined", workflow_id=workflow_id, **copies)
        about = EventAbout(arrival.provider, taken.message_id, arrival.request_id)
        done = {"who": actor.who, "why": actor.why, "quarantine": number}
        add_event(connection, about, f"{actor.role}.attached", now, done)
        return Attached(workflow_id=workflow_id, state=_state(connection, workflow_id))


def _against(
    connection: Connection, number: int, workflow_id: int, arrival: Arrival
) -> Objection | None:
    kept = connection.one("quarantined", provider=arrival.provider, id=number)
    if kept is None or kept["attached_to"] is not None:
        return AGAINST["attached_before"]
    values = {"id": workflow_id, "provider": arrival.provider, "role": "requester"}
    workflow = connection.one("workflow_numbered", **values)
    if workflow is None:
        return AGAINST["no_workflow"]
    other = whose(connection, arrival, workflow_id) is Sameness.OTHER_PATIENT
    return _misfit(workflow, arrival) or (AGAINST["other_patient"] if other else None)


def _misfit(workflow: Row, arrival: Arrival) -> Objection | None:
    if not same_service(workflow["counterparty"], arrival.sender):
        return AGAINST["other_service"]
    ours = (workflow["request_type"], workflow["use_case"])
    if ours != (arrival.request_type, arrival.use_case):
        return AGAINST["other_use_case"]
    named = {None, *spellings(arrival.focus_id)} if arrival.focus_id else None
    if named is not None and workflow["focus_id"] not in named:
        return AGAINST["other_record"]
    return None


def _state(connection: Connection, workflow_id: int) -> str:
    found = connection.one("workflow_state", id=workflow_id)
    assert found is not None
    return str(found["state"])


def quarantine_of(row: Row) -> Quarantine:
    """Return what lies there, without what it says."""
    return Quarantine(
        number=row["id"],
        provider=row["provider"],
        request_id=row["request_id"],
        correlation_id=row["correlation_id"],
        bundle_id=row["bundle_id"],
        responds_to=row["responds_to"],
        sender=row["sender"],
        receiver=row["receiver"],
        reason=row["reason"],
        fingerprint=row["fingerprint"],
        came_at=instant(row["created_at"]),
        attached_to=row["attached_to"],
    )
