"""
Reads, before a cancellation is sent, whether there is still something to cancel (D-cancel-read).

    store ──to_read──► GET /ServiceRequest/{id} │ /Appointment/{id} ─┬─ current ──► may be sent
                                                                    ├─ over ─────► refused
                                                                    ├─ not shown ► twice: sent
                                                                    └─ no answer ► asked again

The user who cancels must hear soon that a cancellation has not left: one read takes twenty
seconds at the most, and what still waits after a minute is told (`housekeeping`). One Receiver
is read from once at a time, so that a silent one costs each round one wait and holds up no
other. To a record that names another patient none is sent. Where the Receiver answers reads
and shows nothing of the record, the cancellation is sent all the same: one that comes too late
is refused, and one that never comes lets somebody drive out.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import structlog

from bars_gateway.errors import StoreUnavailable
from bars_gateway.standard.bundle import read
from bars_gateway.standard.findings import Current, Finding, finding_in
from bars_gateway.standard.headers import Ids, SenderIdentity, TargetIdentifier, for_asking
from bars_gateway.standard.patients import patient_of
from bars_gateway.standard.reads import Enquiry, Reads, Unanswered, accept_of
from bars_gateway.store.asides import Asides
from bars_gateway.store.cancellations import Cancellation, Cancellations

log = structlog.get_logger(__name__)

READ_SECONDS = 20.0
AGAIN_AFTER = timedelta(seconds=10)
_LOOKED_AT = 200  # in one round; of these, the first of each Receiver
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
        self._left_out: dict[int, datetime] = {}  # what we failed over a moment ago

    async def run(self, beat: Callable[[], None] = lambda: None) -> None:
        """Read until stopped, with a *beat* each round."""
        while not self._stopping.is_set():
            beat()
            try:
                if not await self.round():
                    await self._cancellations.cancel_work(_LOOK_AGAIN)
            except* StoreUnavailable as errors:
                for error in errors.exceptions:
                    log.error("store.unavailable", reason=str(error))
                await self._cancellations.cancel_work(_LOOK_AGAIN)

    def stop(self) -> None:
        """Begin no further round."""
        self._stopping.set()
        self._cancellations.wake()

    async def round(self) -> int:
        """Read once from each Receiver that something is to be cancelled at; return how many."""
        due = await self._cancellations.to_read(self._now(), _LOOKED_AT)
        first: dict[tuple[str, str], Cancellation] = {}
        for each in due:
            if each.provider in self._identities and not self._is_left_out(each):
                first.setdefault((each.provider, each.receiver), each)
        async with asyncio.TaskGroup() as group:
            for each in first.values():
                group.create_task(self._read_for(each))
        return len(first)

    async def _read_for(self, cancellation: Cancellation) -> None:
        """Read for one; where that fails in a way that nobody foresaw, hold it, with an alarm."""
        try:
            await self._read_and_follow(cancellation)
        except StoreUnavailable:
            raise
        except Exception as error:  # unit of work
            # Where not even that can be written, it is due still, and would be read for at once.
            self._left_out[cancellation.message_id] = self._now() + AGAIN_AFTER
            await self._asides.hold(cancellation.message_id, error, self._now())

    def _is_left_out(self, cancellation: Cancellation) -> bool:
        until = self._left_out.get(cancellation.message_id)
        return until is not None and self._now() < until <= self._now() + AGAIN_AFTER

    async def _read_and_follow(self, cancellation: Cancellation) -> None:
        enquiry = self._enquiry(cancellation)
        answer = None if enquiry is None else await self._reads.ask(enquiry, READ_SECONDS)
        silent = answer is None or isinstance(answer, Unanswered)
        finding = Finding(Current.UNKNOWN)
        if enquiry is not None and answer is not None:
            contested = await self._cancellations.is_contested(
                cancellation.message_id, str(enquiry.resource_id)
            )
            message = read(cancellation.request.body, cancellation.request.media_type)
            finding = finding_in(enquiry, answer, patient_of(message), contested=contested)
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
        message_id, again = cancellation.message_id, now + AGAIN_AFTER
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

    def _enquiry(self, cancellation: Cancellation) -> Enquiry | None:
        message = read(cancellation.request.body, cancellation.request.media_type)
        if not (message.focus_type and message.focus_id):
            return None
        identity = self._identities[cancellation.provider]
        target = TargetIdentifier.parse(cancellation.receiver)
        return Enquiry(
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
