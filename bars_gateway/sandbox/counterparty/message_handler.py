"""
Decides about one message: what the counterparty answers, holds, and will respond.

    ids ─► met before? ─► rules ─► official value? ─► script? ─► table? ─► state ─► 200

    X-Request-Id ──met──► nothing │ 425 │ 409 duplicate │ the same refusal as before
    focus id, Bundle.id ──► Held: whose it is, how far it is, what happened to it

The same rules judge it as the gateway has for what it receives. What they only remark upon
is listed with what is held, so that a Sender sees what a stricter Receiver would refuse.

All that it holds, each request that it took or sent, is in memory. Ids and states can be listed;
what stands in a payload cannot.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from bars_gateway.frozen import frozen
from bars_gateway.sandbox.counterparty import replies
from bars_gateway.sandbox.counterparty.replies import (
    BEFORE,
    BOOKED_ID,
    OTHER_BYTES,
    PROBLEMS,
    REFERRED_ID,
    TOO_EARLY,
    VALIDATED_ID,
    SandboxReply,
    Sentinel,
    Stateful,
    StatefulEvent,
    refused,
    sentinel_of,
)
from bars_gateway.sandbox.counterparty.services import ODS_CODE, Deviation, Of, Scripts, Service
from bars_gateway.standard import answers, workflow
from bars_gateway.standard.answers import REFUSALS, Minted, Problem
from bars_gateway.standard.bundle import Json, Message, Resource, map_of, maps_of, said_by, text_of
from bars_gateway.standard.examination import examine
from bars_gateway.standard.formats import Format, to_bytes, to_tree
from bars_gateway.standard.headers import Ids, organisation_code, read_ids
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.patients import has_nhs_number
from bars_gateway.standard.rule import Side
from bars_gateway.standard.timing import application_of
from bars_gateway.standard.workflow import Move, MoveNotAllowed, RequestType, State, after

# What a retry hears again. Other failures are no decision: the retry does the work.
NOBODY_WAITS_SECONDS = 40.0  # longer than the proxy does
_REFERENCES = "https://counterparty.sandbox.local/Id/case-number"
_LINKS = {RequestType.REFERRAL: "supportingInfo", RequestType.BOOKING: "basedOn"}
_DECISIONS = frozenset(range(400, 500)) - {408, 425, 429}


class Direction(StrEnum):
    """Who asked."""

    RECEIVED = "received"  # the gateway under trial; the counterparty is the Receiver
    SENT = "sent"  # the counterparty, as the Requester


# What a read says of the resource, by the state of its workflow; its own status otherwise.
_STATUS = {
    RequestType.BOOKING: {State.CANCELLED: "cancelled", State.COMPLETED: "fulfilled"},
    RequestType.REFERRAL: {State.CANCELLED: "revoked", State.COMPLETED: "completed"},
    RequestType.VALIDATION: {State.CANCELLED: "revoked", State.COMPLETED: "completed"},
}


@dataclass(slots=True, kw_only=True)
class Held:
    """One referral, validation or booking."""

    focus_id: str
    direction: Direction
    request_type: RequestType
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
        status = _STATUS[self.request_type].get(self.state)
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
            "request_type": self.request_type,
            "use_case": self.use_case,
            "state": self.state,
            "service": self.service,
            "other": self.other,
            "correlation_id": self.correlation_id,
            "bundle_ids": self.bundle_ids,
            "happened": self.happened,
        }


@frozen
class _Met:
    fingerprint: str
    reply: SandboxReply | None  # None: not decided yet


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

    def met(self, request_id: str, fingerprint: str) -> SandboxReply | None:
        """Return the answer to an X-Request-Id that was met before; otherwise remember it."""
        before = self._met.get(request_id.lower())
        if before is None:
            self._met[request_id.lower()] = _Met(fingerprint, None)
            return None
        if before.fingerprint != fingerprint:
            return refused(OTHER_BYTES)
        return before.reply or refused(TOO_EARLY)

    def decide(self, request_id: str, reply: SandboxReply) -> None:
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
    for focus_id, kind, request_type, elements in (
        (REFERRED_ID, "ServiceRequest", RequestType.REFERRAL, request),
        (VALIDATED_ID, "ServiceRequest", RequestType.VALIDATION, request),
        (BOOKED_ID, "Appointment", RequestType.BOOKING, booking),
    ):
        yield Held(
            focus_id=focus_id,
            direction=Direction.RECEIVED,
            request_type=request_type,
            use_case="",
            service="",
            other="",
            correlation_id="",
            nhs_number=None,
            resource={"resourceType": kind, "id": focus_id, **elements},
            patient={},
            acknowledgement=b"",
        )


@frozen(kw_only=True)
class Incoming:
    """One message as it came."""

    service: Service
    headers: dict[str, str]  # names in lower case
    written_in: Format
    body: bytes


@frozen
class _Read:
    """One message, understood."""

    message: Message
    move: Move
    request_type: RequestType
    nhs_number: str | None
    ids: Ids
    incoming: Incoming
    remarks: Sequence[Issue]

    @property
    def application(self) -> str:
        return application_of(self.message.use_case)


class SandboxMessageHandler:
    """Takes what is posted to `$process-message`."""

    def __init__(
        self,
        holdings: Holdings,
        scripts: Scripts,
        stateful: Stateful,
        respond: Callable[[Held, str], None],
        *,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        self._holdings = holdings
        self._scripts = scripts
        self._stateful = stateful
        self._respond = respond  # to what is held, by the plan of that name
        self._now = now
        self._new_id = new_id

    async def answer(self, incoming: Incoming) -> SandboxReply:
        """Return the answer to one message."""
        ids = read_ids(incoming.headers)
        if not isinstance(ids, Ids):
            return replies.wrong(ids)
        fingerprint = hashlib.sha256(incoming.body).hexdigest()
        before = self._holdings.met(ids.request_id, fingerprint)
        if before is not None:
            return before
        reply = await self._decided(incoming, ids)
        self._holdings.decide(ids.request_id, reply)
        return reply

    async def _decided(self, incoming: Incoming, ids: Ids) -> SandboxReply:
        examined = examine(
            incoming.body, incoming.written_in, Side.RECEIVING, incoming.service.offer()
        )
        message, move = examined.message, examined.move
        if message is None or move is None:
            return replies.wrong(examined.issues)
        request_type = workflow.request_type_of(message)
        number = nhs_number_of(message)
        read = _Read(message, move, request_type, number, ids, incoming, examined.issues)
        sentinel = sentinel_of(number, request_type, official=incoming.service.official)
        if move is Move.REQUEST and sentinel.refused_with is not None:
            return replies.refused(PROBLEMS[sentinel.refused_with])
        met = self._scripts.use(Of.ANSWER, read.application)
        if Deviation.DELAY in met:
            await asyncio.sleep(met[Deviation.DELAY].seconds)
        if Deviation.REFUSE in met:
            return replies.refused(PROBLEMS[met[Deviation.REFUSE].status])
        reply = self._by_the_table(read, sentinel)
        return (
            replace(reply, then_wait_seconds=NOBODY_WAITS_SECONDS)
            if Deviation.NEVER in met
            else reply
        )

    def _by_the_table(self, read: _Read, sentinel: Sentinel) -> SandboxReply:
        """Take the message; that of the official stateful patient only where its table says so."""
        day = self._now().date()
        header = read.incoming.headers.get("nhsd-end-user-organisation", "")
        organisation = organisation_code(header) or ""
        event = _event(read, self._stateful.booking_id(organisation, day))
        if read.nhs_number != replies.STATEFUL or event is None:
            return self._taken(read, sentinel)
        problem = self._stateful.problem(organisation, event, day)
        if problem is not None:
            return replies.refused(problem)
        reply = self._taken(read, sentinel)
        if reply.http_status == 200:  # noqa: PLR2004
            focus_id = answers.focus_id_of(reply.body, Format.JSON) or ""
            self._stateful.move(organisation, event, focus_id, day)
        return reply

    def _taken(self, read: _Read, sentinel: Sentinel) -> SandboxReply:
        if read.move is Move.REQUEST:
            return self._request(read, sentinel)
        if read.move in workflow.REQUESTER_MOVES:
            return self._change(read)
        return self._response(read)

    def _request(self, read: _Read, sentinel: Sentinel) -> SandboxReply:
        problem = self._obstacle(read)
        if problem is not None:
            return replies.refused(problem)
        if self._holdings.used(read.message.bundle_id, read.message.source):
            return replies.wrong([replies.BUNDLE_REUSED])
        focus_id = sentinel.focus_id or self._new_id()
        minted = Minted(
            focus_id=focus_id,
            encounter_id=self._new_id(),
            reference=f"{ODS_CODE}-{focus_id[:4]}-{focus_id[4:8]}".upper(),
            reference_system=_REFERENCES,
        )
        tree = answers.acknowledge(read.message, minted, self._new_id, self._now())
        held = held_for(read.message, tree, Direction.RECEIVED, read.ids.correlation_id)
        self._note(held, read)
        self._holdings.keep(held)
        self._respond(held, sentinel.responses or read.application)
        return replies.resource(tree)

    def _obstacle(self, read: _Read) -> Problem | None:
        """Return what at the Receiver stands against a request that is itself in order."""
        focus = read.message.focus
        slot = next((text_of(each, "id") for _, each in read.message.all("Slot")), "")
        if slot and self._holdings.is_taken(slot):
            return REFUSALS["slot-taken"]
        for link in maps_of(focus, _LINKS.get(read.request_type, "")):
            kind, _, focus_id = text_of(link, "reference").rpartition("/")
            if kind not in {"Appointment", "ServiceRequest"}:
                continue  # within the Bundle: a CarePlan, a document
            other = self._holdings.find(focus_id)
            if other is None:
                return replies.NO_SUCH_LINK
            if other.nhs_number not in {None, read.nhs_number}:
                return replies.OTHER_PATIENT
        return None

    def _change(self, read: _Read) -> SandboxReply:
        held = self._holdings.find(read.message.focus_id)
        if held is None:
            return replies.refused(REFUSALS["not-found"])
        if held.nhs_number is not None and read.nhs_number not in {None, held.nhs_number}:
            return replies.refused(replies.OTHER_PATIENT)
        if not held.move(read.move):
            return replies.refused(REFUSALS["not-current"])
        if read.move is Move.UPDATE:
            held.resource = read.message.focus
        self._note(held, read)
        tree = answers.acknowledge_change(read.message, self._new_id, self._now())
        if held.focus_id == replies.REFERRED_ID and read.move is Move.CANCEL:
            tree = _with_focus_id(tree, replies.CANCELLED_ID)
        return replies.resource(tree)

    def _response(self, read: _Read) -> SandboxReply:
        held = self._holdings.answered_by(read.message.responds_to)
        if held is None:
            return replies.refused(replies.NO_REQUEST)
        held.move(read.move)  # one that comes late changes nothing, and is taken all the same
        self._note(held, read)
        return replies.resource(read.message.root)

    def _note(self, held: Held, read: _Read) -> None:
        remarks = [f"{each.rule} {each.path}: {each.text}" for each in read.remarks]
        held.bundle_ids.append(read.message.bundle_id)
        held.note(read.move, self._now(), request_id=read.ids.request_id, remarks=remarks)


def held_for(message: Message, tree: Json, direction: Direction, correlation_id: str) -> Held:
    """Return what to hold of a request that *tree* acknowledges."""
    body = to_bytes(tree, Format.JSON)
    acknowledged = said_by(to_tree(body, Format.JSON))
    sides = message.destinations[0], message.source
    service, other = sides if direction is Direction.RECEIVED else sides[::-1]
    slots = (text_of(each, "id") for _, each in message.all("Slot"))
    return Held(
        focus_id=acknowledged.focus_id or "",
        direction=direction,
        request_type=workflow.request_type_of(message),
        use_case=message.use_case,
        service=service,
        other=other,
        correlation_id=correlation_id,
        nhs_number=nhs_number_of(message),
        resource=acknowledged.focus,
        patient=next((each for _, each in message.all("Patient")), {}),
        acknowledgement=body,
        slot_id=next(slots, None) or None,
    )


def _event(read: _Read, booking_id: str | None) -> StatefulEvent | None:
    """Return what the message asks for, in the words of the stateful table."""
    booking = read.request_type is RequestType.BOOKING
    if read.move is Move.CANCEL:
        return StatefulEvent.CANCEL_BOOKING if booking else StatefulEvent.CANCEL_REFERRAL
    if read.move is not Move.REQUEST:
        return None
    if booking:
        return StatefulEvent.MAKE_BOOKING
    links = maps_of(read.message.focus, "supportingInfo")
    linked = any(text_of(each, "reference") == f"Appointment/{booking_id}" for each in links)
    return StatefulEvent.CREATE_LINKED if linked else StatefulEvent.CREATE_MISLINKED


def _with_focus_id(tree: Resource, focus_id: str) -> Resource:
    header = map_of(maps_of(tree, "entry")[0], "resource")
    url = text_of(maps_of(header, "focus")[0], "reference")
    entries: list[Json] = [
        {**entry, "resource": {**map_of(entry, "resource"), "id": focus_id}}
        if text_of(entry, "fullUrl") == url
        else entry
        for entry in maps_of(tree, "entry")
    ]
    return {**tree, "entry": entries}
