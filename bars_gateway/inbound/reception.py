"""
Decides and stores one inbound message: headers and bytes in, the reply out.

    ids ─► target ─► Accept ─► Bundle ─► rules ─► move ─► inbound.receive │ asking ─► 200 │ 409
     │        │         │         └────────┴─► inbound.refuse ─► 400 │ 422, again and again
     └────────┴─────────┴─► 400 │ 404 │ 406, nothing stored

The reply is built before the transaction and sent after it: what we acknowledge is
on disk (A3 hands over the duty of care on our 200). What a rule refused is
remembered, so that a retry gets the same answer; trouble of our own is not, so that
a retry does the work.

New referrals, new validation requests and responses are acknowledged here, unless their
service leaves everything to its EPR. What only the EPR can answer (bookings, changes of
anything) it is asked about while the Sender waits (`asking`); where no EPR answers
questions it is 501. A response that belongs to no workflow, or to several, is 404: a copy
is kept and a person is told.

Decisions: D-who-answers.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TypeVar

import structlog
from structlog.contextvars import bind_contextvars

from bars_gateway.inbound import problems
from bars_gateway.inbound.asking import Asking
from bars_gateway.inbound.exchange import InboundRequest, Reply
from bars_gateway.inbound.hosts import Hosted, Hosts, strange_sender
from bars_gateway.inbound.long_work import Busy, LongWork
from bars_gateway.inbound.replies import (
    NO_WORKFLOW,
    NOT_OFFERED,
    problem_reply,
    refused,
    reply_to,
)
from bars_gateway.model.messages import Arrival, Payload, Refusal
from bars_gateway.standard import answers, workflow
from bars_gateway.standard.answers import Minted
from bars_gateway.standard.applications import answer_owed
from bars_gateway.standard.bundle import Json, Message
from bars_gateway.standard.examination import Examined, examine
from bars_gateway.standard.formats import Format, as_asked
from bars_gateway.standard.guards import enforced
from bars_gateway.standard.headers import TARGET, Ids, TargetIdentifier, normalised, read_ids
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.link_rules import ties_of
from bars_gateway.standard.particulars import particulars_of
from bars_gateway.standard.remarks import remarks_on_numbers
from bars_gateway.standard.repeats import said
from bars_gateway.standard.rule import Side
from bars_gateway.standard.workflow import REQUESTER_MOVES, Move, Subject
from bars_gateway.store.arrivals import fingerprint, response_arrival
from bars_gateway.store.store import Store

T = TypeVar("T")

log = structlog.get_logger(__name__)

# Access-control and routing headers are kept for audit; Authorization never is.
_KEPT_HEADERS = (
    "accept",
    "content-type",
    "nhsd-end-user-organisation",
    "nhsd-requesting-practitioner",
    "nhsd-requesting-software",
    "nhsd-target-identifier",
    "use-context",
    "x-correlation-id",
    "x-request-id",
)


class Reception:
    """Answers `POST $process-message` for every provider of this install."""

    def __init__(
        self,
        store: Store,
        hosted: Sequence[Hosted],
        asking: Asking,
        *,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._hosts = Hosts(hosted)
        self._asking = asking
        self._now = now
        self._new_id = new_id
        self._long_work = LongWork()

    async def __call__(self, request: InboundRequest) -> Reply:
        """Return the reply to *request*; when it returns, what it promises is on disk."""
        try:
            return await self._reply(request)
        except Busy:
            return problem_reply(problems.BUSY)

    async def _at_length(self, work: Callable[[], T], request: InboundRequest) -> T:
        return await self._long_work.run(work, len(request.body), _caller(request))

    async def _reply(self, request: InboundRequest) -> Reply:
        ids = read_ids(request.headers)
        if not isinstance(ids, Ids):
            return refused(ids)
        host = self._hosts.open_to(request.headers)
        if isinstance(host, Issue):
            return refused([host])
        bind_contextvars(provider=host.provider)
        if isinstance(request.answer_in, Issue):
            return refused([request.answer_in])
        read = await self._at_length(partial(_read, request, ids, host), request)
        if not isinstance(read, _Read):
            return await self._refuse(request, ids, host, read)
        stranger = strange_sender(request.headers, read.message, host)
        if stranger is not None:
            return refused([stranger])
        bind_contextvars(move=read.move.value)
        if read.warned:
            bind_contextvars(rules=read.warned)
        take = self._take if read.move in REQUESTER_MOVES else self._take_response
        return await take(request, ids, host, read)

    async def _take(self, request: InboundRequest, ids: Ids, host: Hosted, read: "_Read") -> Reply:
        message, move = read.message, read.move
        subject = workflow.subject_of(message)
        needs_epr = move is not Move.REQUEST or subject is Subject.BOOKING
        if needs_epr and not host.asks and move is not Move.CANCEL:
            return problem_reply(NOT_OFFERED)
        minted = self._minted(host) if move is Move.REQUEST else None
        now = self._now()
        arrival = _arrival(request, ids, host, read, minted, now)
        if needs_epr and not host.asks:
            return await self._asking.turn_away(arrival, now)
        if needs_epr or normalised(arrival.receiver) in host.asked_about_all:
            return await self._asking.about(arrival, minted, request.received_at, now)
        assert minted is not None
        write = partial(self._acknowledgement, message, minted, request.answer_in, now)
        answer = await self._at_length(write, request)
        fate = await self._store.inbound.receive(replace(arrival, answer=answer), now)
        return reply_to(fate, answer)

    def _acknowledgement(
        self, message: Message, minted: Minted, wanted: Format | Issue, now: datetime
    ) -> Payload:
        return _written(answers.acknowledge(message, minted, self._new_id, now), wanted)

    def _minted(self, host: Hosted) -> Minted:
        return Minted(
            focus_id=self._new_id(),
            encounter_id=self._new_id(),
            reference=case_number(host.ods_code, self._new_id()),
            reference_system=host.case_number_system,
        )

    async def _take_response(
        self, request: InboundRequest, ids: Ids, host: Hosted, read: "_Read"
    ) -> Reply:
        """Take a response into the workflow that it answers; its mirror image acknowledges it."""
        message, now = read.message, self._now()
        # Published responses leave the endpoints as they were in the request (scenario 79).
        # Where both services are ours, the endpoints are as they should be (scenario 103).
        ours = [normalised(each) in host.offer.services for each in _endpoints(message)]
        unswapped = ours == [True, False]
        arrival = response_arrival(
            message,
            read.move,
            _kept(request),
            provider=host.provider,
            request_id=ids.request_id,
            correlation_id=ids.correlation_id,
            sender=message.destinations[0] if unswapped else message.source,
            receiver=message.source if unswapped else message.destinations[0],
        )
        arrival = replace(arrival, said=read.said)
        not_found = _json(problem_reply(NO_WORKFLOW).body)
        if normalised(arrival.receiver) in host.asked_about_all:
            return await self._asking.about_response(arrival, not_found, request.received_at, now)
        fate = await self._store.responses.respond(arrival, not_found, now)
        return reply_to(fate, arrival.answer)

    async def _refuse(
        self, request: InboundRequest, ids: Ids, host: Hosted, found: Examined
    ) -> Reply:
        answer = refused(found.issues)
        refusal = Refusal(
            provider=host.provider,
            request_id=ids.request_id,
            correlation_id=ids.correlation_id,
            fingerprint=fingerprint(request.body),
            rules=sorted({issue.rule for issue in found.errors}),
            http_status=answer.http_status,
            answer=_json(answer.body),
            is_response=found.is_response,
        )
        log.info(
            "inbound.message_refused",
            provider=host.provider,
            request_id=ids.request_id,
            http_status=refusal.http_status,
            rules=list(refusal.rules),
        )
        return reply_to(await self._store.inbound.refuse(refusal, self._now()), refusal.answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """A message that breaks no rule for which it would be refused, and what it says."""

    message: Message
    move: Move
    said: str  # what tells it from all else
    warned: list[str]  # ids of the rules that it breaks all the same, and is taken


def _read(request: InboundRequest, ids: Ids, host: Hosted) -> _Read | Examined:
    """Return the message in *request*, or what was found with everything that is wrong with it."""
    found = examine(request.body, request.written_in, Side.RECEIVING, host.offer, host.overrides)
    if found.message is None or found.move is None:
        return found
    target = TargetIdentifier.decode(request.headers[TARGET.lower()])
    digest = said(found.message, found.move, normalised(target.text), ids.correlation_id)
    warned = sorted({issue.rule for issue in found.issues})
    return _Read(message=found.message, move=found.move, said=digest, warned=warned)


def _caller(request: InboundRequest) -> str:
    """Return who is behind the request, as far as its headers say: all come from one proxy."""
    return f"{request.peer} {request.headers.get('nhsd-end-user-organisation', '')}"


def _arrival(  # noqa: PLR0917
    request: InboundRequest,
    ids: Ids,
    host: Hosted,
    read: _Read,
    minted: Minted | None,
    now: datetime,
) -> Arrival:
    """Return the Requester's message as it came, with no answer yet."""
    message, move = read.message, read.move
    timing = host.timing(message.use_case)
    return Arrival(
        provider=host.provider,
        request_id=ids.request_id,
        correlation_id=ids.correlation_id,
        bundle_id=message.bundle_id,
        move=move,
        subject=workflow.subject_of(message),
        use_case=message.use_case,
        sender=message.source,
        receiver=message.destinations[0],
        focus_id=minted.focus_id if minted else message.focus_id,
        reference=minted.reference if minted else None,
        responds_to=None,
        fingerprint=fingerprint(request.body),
        request=_kept(request),
        answer=_json(b""),
        owed=answer_owed(message.use_case, move, timing, message.needed_by, now),
        enforced=enforced(Side.RECEIVING, message, host.overrides),
        ties=ties_of(message, Side.RECEIVING, host.overrides, all_known=host.asks)
        if move is Move.REQUEST
        else None,
        particulars=None if move is Move.REQUEST else particulars_of(message),
        said=read.said,
        earlier_records=host.earlier_records,
        doubts=remarks_on_numbers(message),
    )


def _endpoints(message: Message) -> tuple[str, str]:
    return message.source, message.destinations[0]


def _kept(request: InboundRequest) -> Payload:
    headers = {name: request.headers[name] for name in _KEPT_HEADERS if name in request.headers}
    return Payload(media_type=request.written_in, headers=headers, body=request.body)


def _written(tree: Json, wanted: Format | Issue) -> Payload:
    body, written_in = as_asked(tree, wanted if isinstance(wanted, Format) else Format.JSON)
    return Payload(media_type=written_in, headers={}, body=body)


def _json(body: bytes) -> Payload:
    return Payload(media_type=Format.JSON, headers={}, body=body)


_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # none that is misheard or misread for another


def case_number(ods_code: str, identifier: str) -> str:
    """Return a reference that a person can read out: RAE-7F3K-29QX, 40 bits of *identifier*."""
    bits = int(hashlib.sha256(identifier.encode()).hexdigest()[:10], 16)
    letters = "".join(_LETTERS[bits >> shift & 31] for shift in range(35, -1, -5))
    return f"{ods_code}-{letters[:4]}-{letters[4:]}"
