"""
Finds out what the Receiver calls a record whose id it did not tell.

    409 duplicate, or 200 without id ─settle─► wanted ──► GET …?patient:identifier=…
           found │ over │ none │ several │ unnamed │ unread: the EPR is told ◄──┘

A duplicate proves that the Receiver has the message; the ids that it gave to the record were in
the answer that never came, and a later change must name them (CS-079). An acknowledgement that
came without them, as published ones do, leaves the same gap. So the Receiver is asked
for the patient's records, and the one that says itself that it is ours is taken. Where none
does, or several do, a person asks: the wrong id would cancel somebody else's referral.

One at a time, beside the messages and within the same budget: nothing clinical waits for it.
It only reads, so a crash in between costs one more read.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import urlencode

import structlog

from bars_gateway.errors import StaleState, StoreUnavailable
from bars_gateway.standard.bundle import MalformedBundle, Message, read, said_by
from bars_gateway.standard.findings import Matched, Reconciliation, Search, matched, search_of
from bars_gateway.standard.headers import REQUEST_ID, TargetIdentifier
from bars_gateway.standard.reads import BarsAnswer, Enquiry, Reads, Unanswered, shown
from bars_gateway.store.asides import Aside, Asides
from bars_gateway.store.reconciliations import Reconciliations, Unreconciled

log = structlog.get_logger(__name__)

AGAIN_AFTER = timedelta(minutes=1)  # at least
UNREAD_AFTER = timedelta(hours=1)  # since it was acknowledged: then a person asks
LONGEST_SLEEP = 30.0  # seconds; a net beneath the wake-up and the timer
_BODY_HEADERS = frozenset({"Content-Type", "Content-Length", "Content-Encoding"})
_UNREAD = Matched(result=Reconciliation.UNREAD)
# It would say the same again; whoever never gives ids may not answer searches either.
_ANSWERS_NO_SEARCH = frozenset({400, 403, 404, 405, 406, 410, 415, 422, 501})


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
                await self._reconciliations.work(LONGEST_SLEEP)
            except Exception as error:  # unit of work
                await self._asides.tell(Aside.WORK, error, self._now())
                await self._reconciliations.work(LONGEST_SLEEP)

    async def _next(self) -> None:
        wanted = await self._reconciliations.next()
        wait = LONGEST_SLEEP
        if wanted is not None:
            wait = min(wait, (wanted.due_at - self._now()).total_seconds())
        if wanted is None or wait > 0:
            await self._reconciliations.work(wait)
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
        enquiry = self._enquiry(wanted, search)
        answer, waited = await self._reads.ask(enquiry), self._now() - wanted.settled_at
        found = _found(enquiry, answer)
        if found is not None:
            await self._settle(wanted, matched(message, found))
        elif waited >= UNREAD_AFTER or answer.http_status in _ANSWERS_NO_SEARCH:
            await self._settle(wanted, _UNREAD)
        else:
            again = self._now() + max(AGAIN_AFTER, waited)  # each pause as long as all before it
            await self._reconciliations.later(wanted.message_id, again)

    def _enquiry(self, wanted: Unreconciled, search: Search) -> Enquiry:
        headers = {n: v for n, v in wanted.request.headers.items() if n not in _BODY_HEADERS}
        headers[REQUEST_ID] = self._new_id()
        return Enquiry(
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


def _found(enquiry: Enquiry, answer: BarsAnswer | Unanswered) -> Message | None:
    """Return the searchset that came, or None where nothing came that proves to be it."""
    searchset = None if isinstance(answer, Unanswered) else shown(enquiry, answer)
    try:
        return None if searchset is None else said_by(searchset)
    except MalformedBundle:
        return None


def _read(body: bytes, media_type: str) -> Message | None:
    try:
        return read(body, media_type)
    except MalformedBundle:
        return None
