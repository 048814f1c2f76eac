"""
Decides and stores one inbound message: headers and bytes in, the reply out.

    Addressed ─► Bundle ─► rules ─► move ─► inbound.receive │ asking ─► 200 │ 409
        │          └────────┴─► inbound.refuse ─► 400 │ 422, again and again
        └─► 400 │ 404 │ 406, nothing stored (`providers`)

The reply is built before the transaction and sent after it: what we acknowledge is
on disk (A3 hands over the duty of care on our 200). What a rule refused is
remembered, so that a retry gets the same answer; trouble of our own is not, so that
a retry does the work.

New referrals, new validation requests and responses are acknowledged here, unless their
service leaves everything to its EPR. What only the EPR can answer (bookings, changes of
anything) it is asked about while the Sender waits (`Asking`); where no EPR answers
questions it is 501. A response that belongs to no workflow, or to several, is 404: a copy
is kept and a person is told.

What is read is judged where it was read: what is long beside the loop, where its tree is made, used
and thrown away, and only what can still be answered in time. A thread cannot be stopped: it goes
on after its caller has got 408, and the caller's retries would take one thread after the other. So
no caller has more than one, and nobody queues for longer than leaves time for the work itself:
who would gets 503 at once.

Decisions: D-who-answers.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

import structlog
from structlog.contextvars import bind_contextvars

from bars_gateway.frozen import frozen
from bars_gateway.inbound.asking import Asking
from bars_gateway.inbound.exchange import (
    BUSY,
    NO_WORKFLOW,
    NOT_OFFERED,
    InboundRequest,
    Reply,
    problem_reply,
    refused,
    reply_to,
)
from bars_gateway.inbound.providers import Addressed, Hosted, Providers, strange_sender
from bars_gateway.libraries import undisturbed
from bars_gateway.model.messages import Arrival, Payload, Refusal
from bars_gateway.standard import answers, workflow
from bars_gateway.standard.answers import Minted
from bars_gateway.standard.applications import answer_owed
from bars_gateway.standard.appointments import appointment_until
from bars_gateway.standard.bundle import Message
from bars_gateway.standard.consistency import case_details_of, said
from bars_gateway.standard.examination import Examined, examine
from bars_gateway.standard.formats import LONG, Format, as_asked
from bars_gateway.standard.guards import enforced
from bars_gateway.standard.headers import TARGET, TargetIdentifier, normalised
from bars_gateway.standard.links import ties_of
from bars_gateway.standard.rule import Side
from bars_gateway.standard.rules.modifiers import doubts_about
from bars_gateway.standard.workflow import REQUESTER_MOVES, Move, RequestType
from bars_gateway.store.responses import fingerprint, response_arrival
from bars_gateway.store.store import Store

log = structlog.get_logger(__name__)

T = TypeVar("T")

THREADS: Final = 2
WAIT_SECONDS: Final = 0.5
_MOST_WAITING = 8
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
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # none that is misheard or misread for another


class Busy(Exception):
    """No thread came free in time: the caller may try again."""


class LongWork:
    """The threads for what is long."""

    def __init__(self, *, threads: int = THREADS, wait_seconds: float = WAIT_SECONDS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="long-work")
        self._free = threads
        self._wait_seconds = wait_seconds
        self._working: set[str] = set()  # the callers for whom a thread works
        self._waiting = 0
        self._changed = asyncio.Event()

    async def run(self, work: Callable[[], T], size: int, caller: str) -> T:
        """Return the result of *work* on a body of *size* bytes; raise Busy where it must wait."""
        if size < LONG:
            return work()
        await self._thread_for(caller)
        running = asyncio.get_running_loop().run_in_executor(
            self._pool, copy_context().run, undisturbed, work
        )
        running.add_done_callback(partial(self._ended, caller))
        return await asyncio.shield(running)

    async def _thread_for(self, caller: str) -> None:
        if self._waiting >= _MOST_WAITING:
            raise Busy
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait_seconds):
                while not self._free or caller in self._working:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise Busy from None
        finally:
            self._waiting -= 1
        self._free -= 1
        self._working.add(caller)

    def _ended(self, caller: str, running: "asyncio.Future[T]") -> None:
        """Give the thread back, whether its caller still waits or not."""
        if not running.cancelled():
            running.exception()  # or asyncio would report it as one that nobody saw
        self._free += 1
        self._working.discard(caller)
        self._changed.set()


class MessageHandler:
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
        self._providers = Providers(hosted)
        self._asking = asking
        self._now = now
        self._new_id = new_id
        self._long_work = LongWork()

    async def __call__(self, request: InboundRequest) -> Reply:
        """Return the reply to *request*; when it returns, what it promises is on disk."""
        try:
            return await self._reply(request)
        except Busy:
            return problem_reply(BUSY)

    async def _reply(self, request: InboundRequest) -> Reply:
        addressed = self._providers.addressed(request)
        if isinstance(addressed, Reply):
            return addressed
        judge = partial(self._judged, addressed)
        judged = await self._long_work.run(judge, len(request.body), _caller(request))
        if isinstance(judged, Reply):
            return judged
        if isinstance(judged, Examined):
            return await self._refuse(addressed, judged)
        bind_contextvars(move=judged.arrival.move.value)
        if judged.warned:
            bind_contextvars(rules=judged.warned)
        if judged.arrival.move in REQUESTER_MOVES:
            return await self._take(addressed, judged)
        return await self._take_response(addressed, judged)

    def _judged(self, addressed: Addressed) -> "_Judged | Examined | Reply":
        """
        Return all that is to be stored and said of a message, or what was found wrong with it.

        What a message is read into is large: it is used here alone, and gone at the end.
        """
        request, host = addressed.request, addressed.host
        found = examine(
            request.body, request.written_in, Side.RECEIVING, host.offer, host.overrides
        )
        message, move = found.message, found.move
        if message is None or move is None:
            return found
        stranger = strange_sender(request.headers, message, host)
        if stranger is not None:
            return refused([stranger])
        minted = self._minted(host) if move is Move.REQUEST else None
        now = self._now()
        if move in REQUESTER_MOVES:
            arrival = _arrival(addressed, message, move, minted, now)
        else:
            arrival = _arrival_of_response(addressed, message, move, now)
        if minted and not _is_for_epr(arrival, host):
            answer = self._acknowledgement(message, minted, addressed.answer_in, now)
            arrival = replace(arrival, answer=answer)
        warned = sorted({issue.rule for issue in found.issues})
        return _Judged(arrival=arrival, minted=minted, warned=warned, at=now)

    async def _take(self, addressed: Addressed, judged: "_Judged") -> Reply:
        arrival, host, now = judged.arrival, addressed.host, judged.at
        if not _is_for_epr(arrival, host):
            fate = await self._store.inbound.receive(arrival, now)
            return reply_to(fate, arrival.answer)
        if host.asks or not _needs_epr(arrival):
            received_at = addressed.request.received_at
            return await self._asking.about(arrival, judged.minted, received_at, now)
        if arrival.move is Move.CANCEL:
            return await self._asking.turn_away(arrival, now)
        return problem_reply(NOT_OFFERED)

    def _acknowledgement(
        self, message: Message, minted: Minted, answer_in: Format, now: datetime
    ) -> Payload:
        tree = answers.acknowledge(message, minted, self._new_id, now)
        body, written_in = as_asked(tree, answer_in)
        return Payload(media_type=written_in, headers={}, body=body)

    def _minted(self, host: Hosted) -> Minted:
        return Minted(
            focus_id=self._new_id(),
            encounter_id=self._new_id(),
            reference=case_number(host.ods_code, self._new_id()),
            reference_system=host.case_number_system,
        )

    async def _take_response(self, addressed: Addressed, judged: "_Judged") -> Reply:
        """Take a response into the workflow that it answers; its mirror image acknowledges it."""
        arrival, now = judged.arrival, judged.at
        not_found = _json(problem_reply(NO_WORKFLOW).body)
        if normalised(arrival.receiver) in addressed.host.asked_about_all:
            received_at = addressed.request.received_at
            return await self._asking.about_response(arrival, not_found, received_at, now)
        fate = await self._store.responses.respond(arrival, not_found, now)
        return reply_to(fate, arrival.answer)

    async def _refuse(self, addressed: Addressed, found: Examined) -> Reply:
        answer, host, ids = refused(found.issues), addressed.host, addressed.ids
        refusal = Refusal(
            provider=host.provider,
            request_id=ids.request_id,
            correlation_id=ids.correlation_id,
            fingerprint=fingerprint(addressed.request.body),
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


@frozen(kw_only=True)
class _Judged:
    """A message that breaks no rule for which it would be refused, as it is to be stored."""

    arrival: Arrival  # with its answer, where that is not the EPR's to give
    minted: Minted | None  # of a request
    warned: Sequence[str]  # ids of the rules that it breaks all the same, and is taken
    at: datetime


def _needs_epr(arrival: Arrival) -> bool:
    """Tell whether an EPR alone can answer it: a booking, or a change of anything."""
    return arrival.move is not Move.REQUEST or arrival.request_type is RequestType.BOOKING


def _is_for_epr(arrival: Arrival, host: Hosted) -> bool:
    return _needs_epr(arrival) or normalised(arrival.receiver) in host.asked_about_all


def _caller(request: InboundRequest) -> str:
    """Return who is behind the request, as far as its headers say: all come from one proxy."""
    return f"{request.peer} {request.headers.get('nhsd-end-user-organisation', '')}"


def _arrival(
    addressed: Addressed, message: Message, move: Move, minted: Minted | None, now: datetime
) -> Arrival:
    """Return the Requester's message as it came, with no answer yet."""
    request, ids, host = addressed.request, addressed.ids, addressed.host
    agreed = host.overrides.with_the_other_side(message, Side.RECEIVING)
    timing = host.timing(message.use_case)
    return Arrival(
        provider=host.provider,
        request_id=ids.request_id,
        correlation_id=ids.correlation_id,
        bundle_id=message.bundle_id,
        move=move,
        request_type=workflow.request_type_of(message),
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
        case_details=None if move is Move.REQUEST else case_details_of(message),
        said=_said(addressed, message, move),
        earlier_records=host.earlier_records,
        doubts=doubts_about(message, agreed),
        appointment_until=appointment_until(message, now),
    )


def _arrival_of_response(
    addressed: Addressed, message: Message, move: Move, now: datetime
) -> Arrival:
    """Return the response as it came, with its answer."""
    host, ids = addressed.host, addressed.ids
    # Published responses leave the endpoints as they were in the request (scenario 79).
    # Where both services are ours, the endpoints are as they should be (scenario 103).
    named = (message.source, message.destinations[0])
    unswapped = [normalised(each) in host.offer.services for each in named] == [True, False]
    sender, receiver = reversed(named) if unswapped else named
    arrival = response_arrival(
        message,
        move,
        _kept(addressed.request),
        provider=host.provider,
        request_id=ids.request_id,
        correlation_id=ids.correlation_id,
        sender=sender,
        receiver=receiver,
        came_at=now,
        doubts=doubts_about(message, host.overrides.with_the_other_side(message, Side.RECEIVING)),
    )
    return replace(arrival, said=_said(addressed, message, move))


def _said(addressed: Addressed, message: Message, move: Move) -> str:
    """Return what tells the message from all else."""
    target = TargetIdentifier.decode(addressed.request.headers[TARGET.lower()])
    return said(message, move, normalised(target.text), addressed.ids.correlation_id)


def _kept(request: InboundRequest) -> Payload:
    headers = {name: request.headers[name] for name in _KEPT_HEADERS if name in request.headers}
    return Payload(media_type=request.written_in, headers=headers, body=request.body)


def _json(body: bytes) -> Payload:
    return Payload(media_type=Format.JSON, headers={}, body=body)


def case_number(ods_code: str, identifier: str) -> str:
    """Return a reference that a person can read out: RAE-7F3K-29QX, 40 bits of *identifier*."""
    bits = int(hashlib.sha256(identifier.encode()).hexdigest()[:10], 16)
    letters = "".join(_LETTERS[bits >> shift & 31] for shift in range(35, -1, -5))
    return f"{ods_code}-{letters[:4]}-{letters[4:]}"
