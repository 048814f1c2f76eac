"""
How we stand with each Receiver, and each provider with the proxy: who is left in peace.

    judgement ──► Circuits ──► open: what waits is put off, and one at a time goes as a look
                          └──► answered: what waits is due now

While somebody is left in peace, one message at a time goes to them, however many are due:
hanging Receivers take one sender each and not four, and a registration that the proxy refuses
for good costs one POST and one token a look.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

import structlog

from bars_gateway.outbound.circuits import Circuits, Pauses
from bars_gateway.outbound.our_trouble import OUR_TROUBLE, KeptOut
from bars_gateway.standard.timing import Timing
from bars_gateway.standard.verdict import Judgement, Verdict
from bars_gateway.store.port import Claim, Store

log = structlog.get_logger(__name__)

FAILURES_OF_A_RECEIVER = 5
LONGEST_PEACE = timedelta(seconds=60)
# Our own token or registration, refused by the proxy: only a person can change that.
PAUSES_FOR_OUR_TROUBLE = Pauses(first=timedelta(minutes=1), longest=timedelta(minutes=15))
_OURS_TO_MEND = frozenset({Verdict.UNAUTHORIZED, Verdict.FORBIDDEN})


class Standing:
    """Keeps the circuits, and moves what waits in the store accordingly."""

    def __init__(self, store: Store, *, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now
        self.receivers = Circuits(FAILURES_OF_A_RECEIVER, now=now)
        self.providers = Circuits(1, now=now)
        self._refused_by: dict[str, str] = {}  # provider → the row of the answer that it got last
        self._looks: list[str] = []  # Receivers and providers that a look is under way to

    @property
    def looked_at(self) -> Collection[str]:
        """Receivers and providers that are asked at this moment whether they are back."""
        return self._looks

    @property
    def kept_out(self) -> Sequence[KeptOut]:
        """Providers whose token or registration the proxy refuses."""
        return [
            KeptOut(provider=name, since=since, trouble=OUR_TROUBLE[self._refused_by[name]])
            for name, since in self.providers.open.items()
        ]

    def is_looking(self, claim: Claim) -> bool:
        """Tell whether another message has gone meanwhile to where *claim* would go."""
        return claim.receiver in self._looks or claim.provider in self._looks

    @contextmanager
    def look(self, claim: Claim) -> Iterator[None]:
        """Let nobody else go where *claim* goes, if it is to somebody who is left in peace."""
        looks = [
            name
            for name, circuits in (
                (claim.receiver, self.receivers),
                (claim.provider, self.providers),
            )
            if name in circuits.open
        ]
        self._looks.extend(looks)
        try:
            yield
        finally:
            for name in looks:
                self._looks.remove(name)
            if looks:
                self._store.ring_outbound()

    async def judged(
        self, claim: Claim, judgement: Judgement, *, began: datetime, timing: Timing
    ) -> None:
        """
        Put off what waits for who does not answer, and hasten it once they do.

        A Receiver is left in peace for as long as the message would leave it by its *timing*,
        so that what is urgent does not wait for longer because others wait with it.
        """
        if judgement.verdict in _OURS_TO_MEND:
            self._refused_by[claim.provider] = judgement.row
            pause = self.providers.failed(claim.provider, began, PAUSES_FOR_OUR_TROUBLE)
            await self._put_off(self.providers, pause, provider=claim.provider)
        elif judgement.is_silence:
            pauses = Pauses(
                first=timing.first_retry, longest=min(timing.longest_retry, LONGEST_PEACE)
            )
            pause = self.receivers.failed(claim.receiver, began, pauses)
            await self._put_off(self.receivers, pause, receiver=claim.receiver)
        else:
            if self.receivers.answered(claim.receiver):
                await self._hasten(receiver=claim.receiver)
            if self.providers.answered(claim.provider):
                await self._hasten(provider=claim.provider)

    async def _put_off(self, circuits: Circuits, pause: timedelta | None, **whose: str) -> None:
        if pause is None:
            return
        count = await self._store.put_off(self._now() + pause, **whose)
        log.warning("outbound.put_off", seconds=pause.total_seconds(), count=count, **whose)
        if circuits.open.keys().isdisjoint(whose.values()):
            await self._hasten(**whose)  # an answer came meanwhile, and had hastened too early

    async def _hasten(self, **whose: str) -> None:
        count = await self._store.hasten(self._now(), **whose)
        log.info("outbound.hastened", count=count, **whose)
