"""
Tells people from memory that nothing can be stored: what is told is kept first, and that cannot be.

    Watch: no review for a minute ─► StoreOutage ─► Courier ─► Journal │ Command │ Mail
    Watch: there is one again ─► ToldFromMemory ─► store.alerts.review, which goes on with it

It is told once for each outage, and nobody is reminded. Its numbers were taken from the store in
better days, so that whoever has heard of alert 12 hears later that alert 12 is resolved. What has
not been told when the store is back is told from there, as ever.

A process that dies meanwhile forgets what it has told: the next one tells it again if it is still
so, and nobody hears that it is over if it is not. Each of several nodes tells of itself.

Decisions: D-alerts.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bars_gateway.errors import StoreUnavailable
from bars_gateway.model.alerts import (
    Alert,
    AlertStep,
    Channel,
    Condition,
    Delivery,
    HeldDelivery,
    ReservedNumbers,
    Telling,
    ToldFromMemory,
)
from bars_gateway.status.concern import ConcernKind
from bars_gateway.status.runbooks import RUNBOOKS
from bars_gateway.stopping import pause
from bars_gateway.store.work import WakeUp

NOTHING_STORED = ConcernKind.STORE_UNAVAILABLE
# Of a gateway that has never been able to store anything.
_UNRESERVED = ReservedNumbers(
    alert=0, deliveries={channel: -number for number, channel in enumerate(Channel, 1)}
)


@dataclass(slots=True, kw_only=True)
class _Held:
    """What one channel is to tell, and how far it has come."""

    due_at: datetime
    attempts: int = 0
    failing_since: datetime | None = None
    delivered_at: datetime | None = None
    under_way: bool = False  # somebody is being told at this very moment


@dataclass(slots=True, kw_only=True)
class _Opened:
    condition: Condition
    at: datetime
    by: Mapping[Channel, _Held]


class StoreOutage:
    """Notices that nothing can be reviewed, and keeps what is told of that, as the store would."""

    def __init__(
        self,
        unavailable: Callable[[], StoreUnavailable | None],
        condition: Callable[[], Condition],
        telling: Callable[[], Telling],
        *,
        now: Callable[[], datetime],
        every_seconds: float,
        patience: float,
    ) -> None:
        """*unavailable*: why nothing can be stored, if that is known; *condition*: what to tell."""
        self._unavailable, self._condition, self._telling = unavailable, condition, telling
        self._now, self._every_seconds = now, every_seconds
        self._after = RUNBOOKS[NOTHING_STORED].after * patience
        self._reviewed_at, self._failed = now(), False
        self._since: datetime | None = None
        self._is_in_store = False  # an alert about it, which the store tells of
        self._numbers: ReservedNumbers | None = None
        self._opened: _Opened | None = None
        self._is_handed_over = False
        self._wake_ups = {channel: WakeUp() for channel in Channel}
        self._stopping = asyncio.Event()

    async def run(self, beat: Callable[[], None] = lambda: None) -> None:
        """Look until stopped."""
        while not self._stopping.is_set():
            beat()
            self.look()
            await pause(self._stopping, self._every_seconds)

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()

    def look(self) -> None:
        """Have it told, once it has lasted and the store does not tell it."""
        now = self._now()
        if self._unavailable() is None and not self._failed:
            self._since = None
            return
        self._since = self._since or now
        unreviewed = self._failed or now - self._reviewed_at >= self._after
        if unreviewed and now - self._since >= self._after and not self._is_told:
            self._open(now)

    def failed(self) -> None:
        """Note that what stands could not be reviewed."""
        self._failed, self._is_handed_over = True, False

    def reviewed(self, conditions: Sequence[Condition], *, may_end: bool) -> None:
        """
        Note that the store has reviewed *conditions*, with what was handed over to it.

        *may_end*: whether it has let an alert about this end, where it is none of them.
        """
        known = self._is_in_store or self._is_handed_over
        ours = [each for each in conditions if each.code == NOTHING_STORED]
        goes_on = known and (bool(ours) or not may_end)
        self._is_in_store = goes_on or any(each.opens for each in ours)
        self._reviewed_at, self._failed = self._now(), False
        if self._is_handed_over:
            self._opened = self._numbers = None
            self._is_handed_over = False

    @property
    def lacks_numbers(self) -> bool:
        """Whether numbers are to be reserved for it."""
        return self._numbers is None and not self._is_under_way

    def number(self, numbers: ReservedNumbers) -> None:
        """Take these for what is told next, or was told without any: not while that is told."""
        if self.lacks_numbers:
            self._numbers = numbers

    @property
    def failing(self) -> Mapping[Channel, datetime]:
        """By what nobody could be told of it from here, and since when; it ends with the outage."""
        held = self._opened.by if self._opened else {}
        since = {channel: each.failing_since for channel, each in held.items()}
        return {channel: at for channel, at in since.items() if at is not None}

    @property
    def is_being_told(self) -> bool:
        """Whether it is told from here, and cannot be handed over at this moment."""
        return self._opened is not None and self._is_under_way

    def handed_over(self) -> ToldFromMemory | None:
        """Return what the store is to go on with from now on; None: nothing, or not yet."""
        if self._opened is None or self._is_under_way:
            return None
        self._is_handed_over = True
        opened = self._opened
        return ToldFromMemory(
            condition=opened.condition,
            number=self._drawn.alert,
            opened_at=opened.at,
            deliveries=[
                HeldDelivery(
                    delivery=self._delivery(opened, channel),
                    due_at=held.due_at,
                    delivered_at=held.delivered_at,
                )
                for channel, held in opened.by.items()
            ],
        )

    async def due(self, channel: Channel, now: datetime) -> list[Delivery]:
        """Return what *channel* is to tell by now."""
        held = self._opened.by.get(channel) if self._opened else None
        if self._opened is None or held is None or self._is_handed_over:
            return []
        if held.delivered_at is not None or now < held.due_at:
            return []
        held.under_way = True
        return [self._delivery(self._opened, channel)]

    async def delivered(self, ids: Sequence[int], now: datetime) -> None:
        """Note that these were told."""
        for held in self._of(ids):
            held.delivered_at, held.failing_since, held.under_way = now, None, False

    async def not_delivered(self, ids: Sequence[int], again: datetime) -> None:
        """Let these be told later."""
        for held in self._of(ids):
            held.due_at, held.attempts, held.under_way = again, held.attempts + 1, False
            held.failing_since = held.failing_since or self._now()

    def wake(self, channel: Channel) -> None:
        """Wake whoever tells by it."""
        self._wake_ups[channel].wake()

    async def wait_for_work(self, channel: Channel, seconds: float) -> None:
        """Return when *channel* may have something to tell, after *seconds* at the latest."""
        await self._wake_ups[channel].wait(seconds)

    def _open(self, now: datetime) -> None:
        telling, condition = self._telling(), self._condition()
        by = {
            channel: _Held(due_at=telling.due_at(channel, condition, now))
            for channel in telling.channels
        }
        self._opened = _Opened(condition=condition, at=now, by=by)
        for channel in by:
            self.wake(channel)

    @property
    def _is_told(self) -> bool:
        return self._opened is not None or self._is_in_store

    @property
    def _is_under_way(self) -> bool:
        held = self._opened.by.values() if self._opened else ()
        return any(each.under_way for each in held)

    @property
    def _drawn(self) -> ReservedNumbers:
        return self._numbers or _UNRESERVED

    def _of(self, ids: Sequence[int]) -> Sequence[_Held]:
        opened = self._opened.by if self._opened else {}
        numbers = self._drawn.deliveries
        return [held for channel, held in opened.items() if numbers[channel] in ids]

    def _delivery(self, opened: _Opened, channel: Channel) -> Delivery:
        condition = opened.condition
        return Delivery(
            delivery_id=self._drawn.deliveries[channel],
            channel=channel,
            step=AlertStep.OPENED,
            decided_at=opened.at,
            attempts=opened.by[channel].attempts,
            alert=Alert(
                number=self._drawn.alert,
                code=condition.code,
                says=condition.says,
                urgent=condition.urgent,
                opened_at=opened.at,
                acknowledged_at=None,
                acknowledged_by=None,
                resolved_at=None,
            ),
        )
