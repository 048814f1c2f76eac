"""
Asks a Receiver for one record: before a cancellation is sent, and where it did not tell the id.

Before a cancellation: is there still something to cancel (D-cancel-read)?

    store ──to_read──► GET /ServiceRequest/{id} │ /Appointment/{id} ─┬─ current ──► may be sent
                                                                    ├─ over ─────► refused
                                                                    ├─ not shown ► twice: sent
                                                                    └─ no answer ► asked again

The user who cancels must hear soon that a cancellation has not left: one read takes twenty
seconds at the most, and what still waits after a minute is told (`housekeeping`). One Receiver
is read from once at a time, and none waits for another's answer, so that a silent one holds up no
other. To a record that names another patient none is sent. Where the Receiver answers reads
and shows nothing of the record, the cancellation is sent all the same: one that comes too late
is refused, and one that never comes lets somebody drive out.

After a duplicate: what does the Receiver call the record?

    409 duplicate, or 200 without id ─settle─► wanted ──► GET …?patient:identifier=…
           found │ over │ none │ several │ unnamed │ unread: the EPR is told ◄──┘

A duplicate proves that the Receiver has the message; the ids that it gave to the record were in
the answer that never came, and a later change must name them (CS-079). An acknowledgement that
came without them, as published ones do, leaves the same gap. So the Receiver is asked
for the patient's records, and the one that says itself that it is ours is taken. Where none
does, or several do, a person asks: the wrong id would cancel somebody else's referral.

One at a time, beside the messages and within the same budget: nothing clinical waits for it.
Both only read, so a crash in between costs one more read.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from urllib.parse import urlencode

import structlog

from bars_gateway.errors import StaleState, StoreUnavailable
from bars_gateway.standard.bundle import MalformedBundle, Message, read, said_by
from bars_gateway.standard.findings import (
    Current,
    Finding,
    Matched,
    Reconciliation,
    Search,
    finding_in,
    matched,
    search_of,
)
from bars_gateway.standard.headers import (
    REQUEST_ID,
    Ids,
    SenderIdentity,
    TargetIdentifier,
    for_asking,
)
from bars_gateway.standard.patients import patient_of
from bars_gateway.standard.reads import BarsAnswer, BarsRequest, Reads, Unanswered, accept_of, shown
from bars_gateway.store.asides import Aside, Asides
from bars_gateway.store.record_reads import (
    Cancellation,
    Cancellations,
    Reconciliations,
    Unreconciled,
)

log = structlog.get_logger(__name__)

SEARCH_AGAIN_AFTER = timedelta(minutes=1)  # at least
UNREAD_AFTER = timedelta(hours=1)  # since it was acknowledged: then a person asks
LONGEST_SLEEP = 30.0  # seconds; a net beneath the wake-up and the timer
_BODY_HEADERS = frozenset({"Content-Type", "Content-Length", "Content-Encoding"})
_UNREAD = Matched(result=Reconciliation.UNREAD)
# It would say the same again; whoever never gives ids may not answer searches either.
_ANSWERS_NO_SEARCH = frozenset({400, 403, 404, 405, 406, 410, 415, 422, 501})
READ_SECONDS = 20.0
READ_AGAIN_AFTER = timedelta(seconds=10)
_LOOKED_AT = 200  # Receivers, at a time
_LOOK_AGAIN = 2.0  # seconds; what waits behind a request has no wake-up of its own


class CancelReader:
    """Reads for every provider's cancellations."""

    def __init__(
        self,
        cancellations: Cancellations,
        asides: Asides,
        reads: Reads,
        identities: Mapping[str, SenderIdentity],
        *,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        self._cancellations = cancellations
        self._asides = asides
        self._reads = reads
        self._identities = identities
        self._now = now
        self._new_id = new_id
        self._stopping = asyncio.Event()
        self._left_out: dict[int, datetime] = {}  # an internal error a moment ago
        self._asked: dict[tuple[str, str], asyncio.Task[None]] = {}  # the read for whom, and where

    async def run(self, beat: Callable[[], None] = lambda: None) -> None:
        """Read until stopped, with a *beat* at each look; return once no read is under way."""
        async with asyncio.TaskGroup() as group:
            while not self._stopping.is_set():
                beat()
                try:
                    await self.begin(group)
                except StoreUnavailable as error:
                    log.error("store.unavailable", reason=str(error))
                await self._cancellations.cancel_work(_LOOK_AGAIN)

    def stop(self) -> None:
        """Begin no further read."""
        self._stopping.set()
        self._cancellations.wake()

    async def begin(self, group: asyncio.TaskGroup) -> int:
        """Begin a read where something is to be cancelled and none is on; return how many."""
        now = self._now()
        self._left_out = {
            number: until
            for number, until in self._left_out.items()
            if now < until <= now + READ_AGAIN_AFTER
        }
        due = await self._cancellations.to_read(now, _LOOKED_AT, self._identities, self._left_out)
        self._asked = {whose: read for whose, read in self._asked.items() if not read.done()}
        idle = [each for each in due if (each.provider, each.receiver) not in self._asked]
        for each in idle:
            self._asked[each.provider, each.receiver] = group.create_task(self._read_for(each))
        return len(idle)

    async def _read_for(self, cancellation: Cancellation) -> None:
        """Read for one; where that fails in a way that nobody foresaw, hold it, with an alarm."""
        # If the result cannot be written, it stays due, and would be read for again at once.
        again_at = self._now() + READ_AGAIN_AFTER
        try:
            await self._read_and_follow(cancellation)
        except StoreUnavailable as error:
            self._left_out[cancellation.message_id] = again_at
            log.error("store.unavailable", reason=str(error))
        except Exception as error:  # unit of work
            self._left_out[cancellation.message_id] = again_at
            await self._asides.hold(cancellation.message_id, error, self._now())
        finally:
            self._cancellations.wake()

    async def _read_and_follow(self, cancellation: Cancellation) -> None:
        request = self._request(cancellation)
        answer = None if request is None else await self._reads.ask(request, READ_SECONDS)
        silent = answer is None or isinstance(answer, Unanswered)
        finding = Finding(Current.UNKNOWN)
        if request is not None and answer is not None:
            contested = await self._cancellations.is_contested(
                cancellation.message_id, str(request.resource_id)
            )
            message = read(cancellation.request.body, cancellation.request.media_type)
            finding = finding_in(request, answer, patient_of(message), contested=contested)
        log.info(
            "outbound.cancel_read",
            provider=cancellation.provider,
            request_id=cancellation.request_id,
            receiver=cancellation.receiver,
            state=finding.current,
        )
        await self._follow(cancellation, finding, self._now(), silent=silent)

    async def _follow(
        self, cancellation: Cancellation, finding: Finding, now: datetime, *, silent: bool
    ) -> None:
        message_id, again = cancellation.message_id, now + READ_AGAIN_AFTER
        match finding:
            case Finding(Current.YES):
                await self._cancellations.confirm(message_id, now)
            case Finding(Current.NO, str(status)):
                await self._cancellations.refuse(message_id, status, now)
            case Finding(Current.UNSHOWN):
                if await self._cancellations.unshown(message_id, again, now):
                    log.warning(
                        "outbound.cancel_sent_unshown",
                        provider=cancellation.provider,
                        request_id=cancellation.request_id,
                        receiver=cancellation.receiver,
                        advice="The Receiver does not show what it is about; it judges by itself.",
                    )
            case Finding(Current.OTHER_PATIENT):
                await self._cancellations.belongs_to_another(message_id, again, now)
            case _:
                await self._cancellations.postpone(message_id, again, now, alike=silent)

    def _request(self, cancellation: Cancellation) -> BarsRequest | None:
        message = read(cancellation.request.body, cancellation.request.media_type)
        if not (message.focus_type and message.focus_id):
            return None
        identity = self._identities[cancellation.provider]
        target = TargetIdentifier.parse(cancellation.receiver)
        return BarsRequest(
            provider=cancellation.provider,
            method="GET",
            resource=message.focus_type,
            resource_id=message.focus_id,
            query="",
            target=target,
            headers=for_asking(
                target,
                identity,
                ids=Ids(self._new_id(), cancellation.correlation_id),
                accept=accept_of("", identity.core_version),
            ),
        )


class Reconciler:
    """Asks for the ids that are not known, until stopped."""

    def __init__(
        self,
        reconciliations: Reconciliations,
        asides: Asides,
        reads: Reads,
        *,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        self._reconciliations = reconciliations
        self._asides = asides
        self._reads = reads
        self._now = now
        self._new_id = new_id
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Look for one after the other; return once stopped."""
        while not self._stopping.is_set():
            try:
                await self._next()
            except (StoreUnavailable, StaleState) as error:
                log.warning("reconciliation.failed", reason=str(error), advice=error.advice)
                await self._reconciliations.wait_for_work(LONGEST_SLEEP)
            except Exception as error:  # unit of work
                await self._asides.tell(Aside.WORK, error, self._now())
                await self._reconciliations.wait_for_work(LONGEST_SLEEP)

    async def _next(self) -> None:
        wanted = await self._reconciliations.next()
        wait = LONGEST_SLEEP
        if wanted is not None:
            wait = min(wait, (wanted.due_at - self._now()).total_seconds())
        if wanted is None or wait > 0:
            await self._reconciliations.wait_for_work(wait)
        else:
            await self._reconcile_or_give_up(wanted)

    async def _reconcile_or_give_up(self, wanted: Unreconciled) -> None:
        """Look for one; where that fails in a way that nobody foresaw, a person asks."""
        try:
            await self._reconcile(wanted)
        except (StoreUnavailable, StaleState):
            raise
        except Exception as error:  # unit of work
            await self._asides.tell(Aside.WORK, error, self._now(), provider=wanted.provider)
            await self._leave(wanted)

    async def _leave(self, wanted: Unreconciled) -> None:
        """Let a person ask; where not even that can be written, look for the others first."""
        try:
            await self._settle(wanted, _UNREAD)
        except (StoreUnavailable, StaleState):
            raise
        except Exception as error:  # unit of work
            await self._asides.tell(
                Aside.NOTICE,
                error,
                self._now(),
                provider=wanted.provider,
                message_id=wanted.message_id,
            )
            await self._reconciliations.later(wanted.message_id, self._now() + UNREAD_AFTER)

    def wake(self) -> None:
        """Look now: there may be one more."""
        self._reconciliations.wake()

    def stop(self) -> None:
        """Begin nothing more; what is under way is finished."""
        self._stopping.set()
        self.wake()

    async def _reconcile(self, wanted: Unreconciled) -> None:
        message = _read(wanted.request.body, wanted.request.media_type)
        search = search_of(message) if message is not None else None
        if message is None or search is None:
            await self._settle(wanted, _UNREAD)
            return
        request = self._request(wanted, search)
        answer, waited = await self._reads.ask(request), self._now() - wanted.settled_at
        found = _found(request, answer)
        if found is not None:
            await self._settle(wanted, matched(message, found))
        elif abs(waited) >= UNREAD_AFTER or answer.http_status in _ANSWERS_NO_SEARCH:
            await self._settle(wanted, _UNREAD)
        else:
            pause = max(SEARCH_AGAIN_AFTER, waited)  # each as long as all before it
            again = self._now() + pause
            await self._reconciliations.later(wanted.message_id, again)

    def _request(self, wanted: Unreconciled, search: Search) -> BarsRequest:
        headers = {n: v for n, v in wanted.request.headers.items() if n not in _BODY_HEADERS}
        headers[REQUEST_ID] = self._new_id()
        return BarsRequest(
            provider=wanted.provider,
            method="GET",
            resource=search.resource_type,
            resource_id=None,
            query=urlencode({"patient:identifier": search.identifier}),
            target=TargetIdentifier.parse(wanted.receiver),
            headers=headers,
            urgent=False,
        )

    async def _settle(self, wanted: Unreconciled, result: Matched) -> None:
        await self._reconciliations.settle(wanted.message_id, result, self._now())
        log.info(
            "reconciliation.ended",
            provider=wanted.provider,
            request_id=wanted.request_id,
            correlation_id=wanted.correlation_id,
            kind=result.result,
        )


def _found(request: BarsRequest, answer: BarsAnswer | Unanswered) -> Message | None:
    """Return the searchset that came, or None where nothing came that proves to be it."""
    searchset = None if isinstance(answer, Unanswered) else shown(request, answer)
    try:
        return None if searchset is None else said_by(searchset)
    except MalformedBundle:
        return None


def _read(body: bytes, media_type: str) -> Message | None:
    try:
        return read(body, media_type)
    except MalformedBundle:
        return None
