"""
What the counterparty holds: each request that it took or sent, and the ids that it has met.

    X-Request-Id ──met──► nothing │ 425 │ 409 duplicate │ the same refusal as before
    focus id, Bundle.id ──► Held: whose it is, how far it is, what happened to it

Everything is in memory. Ids and states can be listed; what stands in a payload cannot.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from bars_gateway.sandbox.counterparty.replies import (
    BEFORE,
    BOOKED_ID,
    OTHER_BYTES,
    REFERRED_ID,
    TOO_EARLY,
    VALIDATED_ID,
    Reply,
    refused,
)
from bars_gateway.standard.bundle import Json, Message, Resource, maps_of, text_of
from bars_gateway.standard.patients import has_nhs_number
from bars_gateway.standard.workflow import Move, MoveNotAllowed, State, Subject, after

# What a retry hears again. Other failures are no decision: the retry does the work.
_DECISIONS = frozenset(range(400, 500)) - {408, 425, 429}


class Direction(StrEnum):
    """Who asked."""

    RECEIVED = "received"  # the gateway under trial; the counterparty is the Receiver
    SENT = "sent"  # the counterparty, as the Requester


# What a read says of the resource, by the state of its workflow; its own status otherwise.
_STATUS = {
    Subject.BOOKING: {State.CANCELLED: "cancelled", State.COMPLETED: "fulfilled"},
    Subject.REFERRAL: {State.CANCELLED: "revoked", State.COMPLETED: "completed"},
    Subject.VALIDATION: {State.CANCELLED: "revoked", State.COMPLETED: "completed"},
}


@dataclass(slots=True, kw_only=True)
class Held:
    """One referral, validation or booking."""

    focus_id: str
    direction: Direction
    subject: Subject
    use_case: str
    service: str  # system|value, the counterparty's
    other: str  # system|value, the other side's
    correlation_id: str
    nhs_number: str | None
    resource: Resource  # the ServiceRequest or Appointment, as it was acknowledged
    patient: Resource
    acknowledgement: bytes  # what responses and changes are made of
    state: State = State.ACTIVE
    slot_id: str | None = None
    bundle_ids: list[str] = field(default_factory=list)
    happened: list[dict[str, object]] = field(default_factory=list)  # oldest first

    def shown(self) -> Resource:
        """Return the resource as a read shows it: as it is now."""
        status = _STATUS[self.subject].get(self.state)
        return {**self.resource, "status": status} if status else self.resource

    def move(self, move: Move) -> bool:
        """Make a move, if the standard knows it from here; return whether it does."""
        try:
            self.state = after(self.state, move)
        except MoveNotAllowed:
            return False
        return True

    def note(self, what: str, at: datetime, **more: object) -> None:
        """Add to what happened."""
        self.happened.append({"what": what, "at": at.isoformat(timespec="milliseconds"), **more})

    def document(self) -> dict[str, object]:
        """Return what GET /counterparty/held says of it."""
        return {
            "id": self.focus_id,
            "direction": self.direction,
            "subject": self.subject,
            "use_case": self.use_case,
            "state": self.state,
            "service": self.service,
            "other": self.other,
            "correlation_id": self.correlation_id,
            "bundle_ids": self.bundle_ids,
            "happened": self.happened,
        }


@dataclass(frozen=True, slots=True)
class _Met:
    fingerprint: str
    reply: Reply | None  # None: not decided yet


class Holdings:
    """Everything that the counterparty knows."""

    def __init__(self) -> None:
        self._held: dict[tuple[Direction, str], Held] = {}
        self._met: dict[str, _Met] = {}
        self.forget()

    def forget(self) -> None:
        """Begin again: with the resources that are always there, and nothing else."""
        self._met.clear()
        self._held.clear()
        for standing in _standing():
            self.keep(standing)

    def met(self, request_id: str, fingerprint: str) -> Reply | None:
        """Return the answer to an X-Request-Id that was met before; otherwise remember it."""
        before = self._met.get(request_id.lower())
        if before is None:
            self._met[request_id.lower()] = _Met(fingerprint, None)
            return None
        if before.fingerprint != fingerprint:
            return refused(OTHER_BYTES)
        return before.reply or refused(TOO_EARLY)

    def decide(self, request_id: str, reply: Reply) -> None:
        """Remember what an X-Request-Id was answered with, for its retries."""
        met = self._met.get(request_id.lower())
        if met is None:
            return  # everything was forgotten meanwhile
        if reply.http_status == 200:  # noqa: PLR2004
            self._met[request_id.lower()] = _Met(met.fingerprint, refused(BEFORE))
        elif reply.http_status in _DECISIONS:
            self._met[request_id.lower()] = _Met(met.fingerprint, reply)
        else:
            del self._met[request_id.lower()]

    def keep(self, held: Held) -> None:
        """Hold it; one under the same id was a trial of the same official value, and goes."""
        self._held[held.direction, held.focus_id] = held

    def learn(self, held: Held, acknowledged: Held) -> None:
        """Hold what was sent under the id that its Receiver gave it, if it gave one."""
        del self._held[held.direction, held.focus_id]
        held.focus_id = acknowledged.focus_id or held.focus_id
        held.resource = acknowledged.resource
        held.acknowledgement = acknowledged.acknowledgement
        self.keep(held)

    def find(self, focus_id: str | None, direction: Direction = Direction.RECEIVED) -> Held | None:
        """Return what is held under that id."""
        return self._held.get((direction, focus_id or ""))

    def answered_by(self, responds_to: str | None) -> Held | None:
        """Return what the counterparty sent under that Bundle.id."""
        sent = (held for held in self._held.values() if held.direction is Direction.SENT)
        return next((held for held in sent if responds_to in held.bundle_ids), None)

    def used(self, bundle_id: str, other: str) -> bool:
        """Tell whether that side used the Bundle.id for something else."""
        return any(
            bundle_id in held.bundle_ids
            for held in self._held.values()
            if held.direction is Direction.RECEIVED and held.other == other
        )

    def is_taken(self, slot_id: str) -> bool:
        """Tell whether the slot is booked."""
        return any(
            held.slot_id == slot_id and held.state is not State.CANCELLED
            for held in self._held.values()
        )

    def listed(self) -> Sequence[Held]:
        """Return all that is held, oldest first."""
        return list(self._held.values())

    def received(self, resource_type: str) -> Iterator[Held]:
        """Yield what was received about that type of resource."""
        for held in self._held.values():
            same = text_of(held.resource, "resourceType") == resource_type
            if same and held.direction is Direction.RECEIVED:
                yield held


def nhs_number_of(message: Message) -> str | None:
    """Return the NHS number of the message's Patient, if it has one."""
    for _, patient in message.all("Patient"):
        for identifier in maps_of(patient, "identifier"):
            if has_nhs_number(identifier):
                return text_of(identifier, "value") or None
    return None


def _standing() -> Iterator[Held]:
    person: Resource = {"display": "Invented"}
    request: Resource = {"status": "active", "intent": "plan", "subject": person}
    participants: Json = [{"actor": person, "status": "accepted"}]
    booking: Resource = {"status": "booked", "participant": participants}
    for focus_id, kind, subject, elements in (
        (REFERRED_ID, "ServiceRequest", Subject.REFERRAL, request),
        (VALIDATED_ID, "ServiceRequest", Subject.VALIDATION, request),
        (BOOKED_ID, "Appointment", Subject.BOOKING, booking),
    ):
        yield Held(
            focus_id=focus_id,
            direction=Direction.RECEIVED,
            subject=subject,
            use_case="",
            service="",
            other="",
            correlation_id="",
            nhs_number=None,
            resource={"resourceType": kind, "id": focus_id, **elements},
            patient={},
            acknowledgement=b"",
        )
