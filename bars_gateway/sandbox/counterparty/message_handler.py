"""
Decides about one message: what the counterparty answers, holds, and will respond.

    ids ─► met before? ─► rules ─► official value? ─► script? ─► table? ─► state ─► 200

The same rules judge it as the gateway has for what it receives. What they only remark upon
is listed with what is held, so that a Sender sees what a stricter Receiver would refuse.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bars_gateway.sandbox.counterparty import replies
from bars_gateway.sandbox.counterparty.holdings import Direction, Held, Holdings, nhs_number_of
from bars_gateway.sandbox.counterparty.replies import (
    PROBLEMS,
    Event,
    Reply,
    Sentinel,
    Stateful,
    sentinel_of,
)
from bars_gateway.sandbox.counterparty.scripts import Of, Scripts, Verb
from bars_gateway.sandbox.counterparty.services import ODS_CODE, Service
from bars_gateway.standard import answers, workflow
from bars_gateway.standard.answers import REFUSALS, Minted, Problem
from bars_gateway.standard.bundle import Json, Message, Resource, map_of, maps_of, said_by, text_of
from bars_gateway.standard.examination import examine
from bars_gateway.standard.formats import Format, to_bytes, to_tree
from bars_gateway.standard.headers import Ids, organisation_code, read_ids
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.rule import Side
from bars_gateway.standard.timing import application_of
from bars_gateway.standard.workflow import Move, Subject

NOBODY_WAITS_SECONDS = 40.0  # longer than the proxy does
_REFERENCES = "https://counterparty.sandbox.local/Id/case-number"
_LINKS = {Subject.REFERRAL: "supportingInfo", Subject.BOOKING: "basedOn"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """One message as it came."""

    service: Service
    headers: dict[str, str]  # names in lower case
    written_in: Format
    body: bytes


@dataclass(frozen=True, slots=True)
class _Read:
    """One message, understood."""

    message: Message
    move: Move
    subject: Subject
    nhs_number: str | None
    ids: Ids
    incoming: Incoming
    remarks: Sequence[Issue]

    @property
    def application(self) -> str:
        return application_of(self.message.use_case)


class MessageHandler:
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

    async def answer(self, incoming: Incoming) -> Reply:
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

    async def _decided(self, incoming: Incoming, ids: Ids) -> Reply:
        examined = examine(
            incoming.body, incoming.written_in, Side.RECEIVING, incoming.service.offer()
        )
        message, move = examined.message, examined.move
        if message is None or move is None:
            return replies.wrong(examined.issues)
        subject = workflow.subject_of(message)
        number = nhs_number_of(message)
        read = _Read(message, move, subject, number, ids, incoming, examined.issues)
        sentinel = sentinel_of(number, subject, official=incoming.service.official)
        if move is Move.REQUEST and sentinel.refused_with is not None:
            return replies.refused(PROBLEMS[sentinel.refused_with])
        met = self._scripts.use(Of.ANSWER, read.application)
        if Verb.DELAY in met:
            await asyncio.sleep(met[Verb.DELAY].seconds)
        if Verb.REFUSE in met:
            return replies.refused(PROBLEMS[met[Verb.REFUSE].status])
        reply = self._by_the_table(read, sentinel)
        return (
            replace(reply, then_wait_seconds=NOBODY_WAITS_SECONDS) if Verb.NEVER in met else reply
        )

    def _by_the_table(self, read: _Read, sentinel: Sentinel) -> Reply:
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

    def _taken(self, read: _Read, sentinel: Sentinel) -> Reply:
        if read.move is Move.REQUEST:
            return self._request(read, sentinel)
        if read.move in workflow.REQUESTER_MOVES:
            return self._change(read)
        return self._response(read)

    def _request(self, read: _Read, sentinel: Sentinel) -> Reply:
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
        for link in maps_of(focus, _LINKS.get(read.subject, "")):
            kind, _, focus_id = text_of(link, "reference").rpartition("/")
            if kind not in {"Appointment", "ServiceRequest"}:
                continue  # within the Bundle: a CarePlan, a document
            other = self._holdings.find(focus_id)
            if other is None:
                return replies.NO_SUCH_LINK
            if other.nhs_number not in {None, read.nhs_number}:
                return replies.OTHER_PATIENT
        return None

    def _change(self, read: _Read) -> Reply:
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

    def _response(self, read: _Read) -> Reply:
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
        subject=workflow.subject_of(message),
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


def _event(read: _Read, booking_id: str | None) -> Event | None:
    """Return what the message asks for, in the words of the stateful table."""
    booking = read.subject is Subject.BOOKING
    if read.move is Move.CANCEL:
        return Event.CANCEL_BOOKING if booking else Event.CANCEL_REFERRAL
    if read.move is not Move.REQUEST:
        return None
    if booking:
        return Event.MAKE_BOOKING
    links = maps_of(read.message.focus, "supportingInfo")
    linked = any(text_of(each, "reference") == f"Appointment/{booking_id}" for each in links)
    return Event.CREATE_LINKED if linked else Event.CREATE_MISLINKED


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
