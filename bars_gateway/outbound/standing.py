"""
How we stand with each Receiver, and each provider with the proxy: who is left in peace.

    judgement ──► Circuits ──► a break: what waits is put off, and one at a time goes as a look
                          └──► answered: what waits is due now

While somebody is left in peace, one message at a time goes to them, however many are due or are
submitted: hanging Receivers take one sender each and not four, a dead one costs a POST a look
and not one a message, and so does a registration that the proxy refuses for good. The log has a
line for the beginning of a break, and one for its end.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from bars_gateway.model.messages import Claim
from bars_gateway.outbound.circuits import Break, Circuits, Failure, Pauses
from bars_gateway.outbound.our_trouble import OUR_TROUBLE, KeptOut
from bars_gateway.standard.timing import Timing
from bars_gateway.standard.verdict import Judgement, Verdict
from bars_gateway.store.asides import Aside
from bars_gateway.store.store import Store

log = structlog.get_logger(__name__)

FAILURES_OF_A_RECEIVER = 5
LONGEST_PEACE = timedelta(seconds=60)
LAST_TRY = timedelta(seconds=5)  # before a message's time is over it goes, whoever rests
# Our own token or registration, refused by the proxy: only a person can change that.
PAUSES_FOR_OUR_TROUBLE = Pauses(first=timedelta(minutes=1), longest=timedelta(minutes=15))
_OURS_TO_MEND = frozenset({Verdict.UNAUTHORIZED, Verdict.FORBIDDEN})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answered:
    """A message that its Receiver has answered."""

    message_id: int
    at: datetime


class Standing:
    """Keeps the circuits, and moves what waits in the store accordingly."""

    def __init__(self, store: Store, *, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now
        self.receivers = Circuits(FAILURES_OF_A_RECEIVER, now=now)
        self.providers = Circuits(1, now=now, messages=1)
        self._answers: dict[str, deque[_Answered]] = {}  # by Receiver
        self._refused_by: dict[str, str] = {}  # provider → the row of the answer that it got last
        self._kept: set[str] = set()  # of whom the store has since when nothing came
        self._looks: list[str] = []  # Receivers and providers that a look is under way to

    async def remember(self) -> None:
        """Learn since when nothing came from those who were silent before a restart."""
        try:
            known = await self._store.breaks.known()
        except Exception as error:  # unit of work
            await self._store.asides.tell(Aside.WORK, error, self._now())
            return  # it is only told: nothing waits for it
        self._kept = set(known)
        for circuits in (self.receivers, self.providers):
            circuits.remember(known)

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

    def rests_until(self, claim: Claim) -> datetime | None:
        """
        Return until when *claim* waits with the others for the next look; None: it may go.

        What was tried before is put off by itself, and comes early only where a person wants it.
        """
        if claim.attempt > 1:
            return None
        moments = (
            self.receivers.rests_until(claim.receiver, LONGEST_PEACE),
            self.providers.rests_until(claim.provider, LONGEST_PEACE),
        )
        until = max((moment for moment in moments if moment is not None), default=None)
        if until is None:
            return None
        return min(until, claim.give_up_at - LAST_TRY)

    def others_answered(self, claim: Claim) -> bool:
        """Tell whether its Receiver answered another message since *claim* was tried before."""
        since = claim.previous_at or claim.created_at
        return any(
            each.message_id != claim.message_id and each.at >= since
            for each in self._answers.get(claim.receiver, ())
        )

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
                self._store.outbound.ring()

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
            failure = Failure(message_id=claim.message_id, began=began)
            found = self.providers.failed(claim.provider, failure, PAUSES_FOR_OUR_TROUBLE)
            await self._put_off(self.providers, found, claim, provider=claim.provider)
            await self._keep(self.providers, claim.provider)
        elif judgement.is_silence or judgement.is_server_error:
            pauses = Pauses(
                first=timing.first_retry, longest=min(timing.longest_retry, LONGEST_PEACE)
            )
            is_error = judgement.is_server_error
            failure = Failure(message_id=claim.message_id, began=began, is_error=is_error)
            found = self.receivers.failed(claim.receiver, failure, pauses)
            await self._put_off(self.receivers, found, claim, receiver=claim.receiver)
            await self._keep(self.receivers, claim.receiver)
        else:
            if judgement.is_of_receiver:
                self._heard(claim)
            if self.receivers.answered(claim.receiver):
                await self._hasten(receiver=claim.receiver)
            if self.providers.answered(claim.provider):
                await self._hasten(provider=claim.provider)
            for name in {claim.receiver, claim.provider} & self._kept:
                await self._forget(name)

    async def _keep(self, circuits: Circuits, name: str) -> None:
        """Let the store have since when nothing came, once that is told at all."""
        since = circuits.told.get(name)
        if since is None or name in self._kept:
            return
        self._kept.add(name)  # at once: an answer that comes meanwhile has it forgotten
        await self._store.breaks.began(name, since)

    async def _forget(self, name: str) -> None:
        await self._store.breaks.ended(name)
        self._kept.discard(name)

    def _heard(self, claim: Claim) -> None:
        """Remember that the Receiver answered: two messages, to know of one beside any other."""
        answers = self._answers.setdefault(claim.receiver, deque(maxlen=2))
        if answers and answers[-1].message_id == claim.message_id:
            answers.pop()
        answers.append(_Answered(message_id=claim.message_id, at=self._now()))

    async def hasten_unless_open(self, claim: Claim) -> None:
        """Hasten what was put off for a look that has been answered meanwhile."""
        if claim.receiver not in self.receivers.open and claim.provider not in self.providers.open:
            await self._hasten(receiver=claim.receiver)

    async def _put_off(
        self, circuits: Circuits, found: Break | None, claim: Claim, **whose: str
    ) -> None:
        if found is None:
            return
        until = self._now() + found.pause
        count = await self._store.outbound.put_off(until, **whose, last=claim.message_id)
        if found.is_new:
            log.warning(
                "outbound.put_off", seconds=found.pause.total_seconds(), count=count, **whose
            )
        if circuits.open.keys().isdisjoint(whose.values()):
            await self._hasten(**whose)  # an answer came meanwhile, and had hastened too early

    async def _hasten(self, **whose: str) -> None:
        count = await self._store.outbound.hasten(self._now(), **whose)
        log.info("outbound.hastened", count=count, **whose)
