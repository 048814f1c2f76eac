"""
Claims messages for all senders that have nothing to do, in one transaction each time.

    sender ──ask──► one waits ─┐
    sender ──ask──► one waits ─┴─► window ─► store.claim ─► a Claim for each, or the bell is awaited

A sender that is about to settle asks beforehand (`ask_early`), so that what it sends next is
claimed in the transaction that settles what it has sent. Nothing is remembered here but who waits,
and what senders have in hand: a claim that is made is in the hand of a sender, or goes back to the
queue. Where the database went away over it, nobody may have been told of one that was made. What is
this node's and in nobody's hand is released, as soon as the database is back.

Whether to claim and how long to sleep both ask one `SendWindow`: tokens, budgets and probes at one
moment. Were it computed twice, a pause that ends in between would be seen by neither, and a message
that is due would sleep through the longest sleep that there is. Where no provider may send, nothing
is asked of the store, however much waits.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from bars_gateway.errors import StaleState, StoreUnavailable
from bars_gateway.frozen import frozen
from bars_gateway.model.messages import Claim
from bars_gateway.outbound.circuit_breaker import CircuitBreakers
from bars_gateway.outbound.proxy import Proxy
from bars_gateway.outbound.token import Tokens
from bars_gateway.stopping import pause
from bars_gateway.store.asides import Aside
from bars_gateway.store.claims import Openings
from bars_gateway.store.store import Store

log = structlog.get_logger(__name__)
PAUSE_WITHOUT_ROOM = 5.0  # seconds, and after what is not any one message's failure
LONGEST_SLEEP = 30.0  # seconds; a net beneath the wake-up and the timer
_SHORTEST_SLEEP = 0.001
Asked = asyncio.Future[Claim | None]


@frozen(kw_only=True)
class SendWindow:
    """Who may send at one moment, and when the next one may."""

    at: datetime
    places: Mapping[str, int]  # of providers that have a token, or may ask for one, in the budget
    not_for: Collection[str]  # Receivers that a probe is under way to
    singly: Collection[str]  # Receivers that we back off from: one goes, and is the probe
    next_at: datetime | None  # when one of the other providers may send

    @property
    def openings(self) -> Openings:
        """What a claim is made by."""
        return Openings(at=self.at, places=self.places, not_for=self.not_for, singly=self.singly)

    def is_used_up(self, claims: Sequence[Claim]) -> bool:
        """Tell whether a provider has no place left, so that who may send is to be asked again."""
        used = Counter(claim.provider for claim in claims)
        return any(count >= self.places[name] for name, count in used.items())

    def seconds_to_sleep(self, due: datetime | None, now: datetime) -> float:
        """Return how long to sleep, where nothing could be claimed and the next is *due* then."""
        seconds = [(at - now).total_seconds() for at in (due, self.next_at) if at is not None]
        return max(_SHORTEST_SLEEP, min((*seconds, LONGEST_SLEEP)))


def window_at(
    now: datetime,
    tokens: Mapping[str, Tokens],
    proxy: Proxy,
    breakers: CircuitBreakers,
    wanted: int,
) -> SendWindow:
    """Return for whom it is open *now*, each of them asked once; no more than *wanted* places."""
    reopens = {name: _reopens_at(now, each, proxy, name) for name, each in tokens.items()}
    not_for, singly = tuple(breakers.probed), breakers.singly
    return SendWindow(
        at=now,
        places={
            name: 1 if name in singly else proxy.places(name, wanted)
            for name, at in reopens.items()
            if at is None and name not in not_for
        },
        not_for=not_for,
        singly=tuple(singly),
        next_at=min((at for at in reopens.values() if at is not None), default=None),
    )


def _reopens_at(now: datetime, tokens: Tokens, proxy: Proxy, name: str) -> datetime | None:
    """Return when that provider may send; None: now."""
    seconds = proxy.seconds_to_turn(name)
    turn = now + timedelta(seconds=seconds) if seconds > 0 else None
    return max((at for at in (tokens.closed_until, turn) if at is not None), default=None)


class Claims:
    """What senders ask for their next message."""

    def __init__(
        self, store: Store, window: Callable[[int], SendWindow], *, now: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._window = window
        self._now = now
        self._asked: deque[Asked] = deque()  # who has asked first is first
        self._early: dict[tuple[int, int], Asked] = {}  # by the claim that is settled meanwhile
        self._in_hand: set[tuple[int, int]] = set()  # what senders have, or are about to
        self._is_doubtful = False  # whether some may have been made that nobody has
        self._somebody_asks = asyncio.Event()
        self._stopping = asyncio.Event()
        self._ended = False

    async def next(self, after: Claim | None = None) -> Claim | None:
        """Return what a sender is to send, once there is such; None: it is to end."""
        asked = self._early.pop(_key(after), None) if after else None
        if after is not None:
            self._in_hand.discard(_key(after))
        if asked is None:
            asked = self._ask()
            self._store.outbound.wake()
        return await asked

    def ask_early(self, claim: Claim) -> None:
        """Let the next one be claimed with the settlement of *claim*, which rings the bell."""
        if _key(claim) not in self._early:  # or it is asked for, and could not be settled yet
            self._early[_key(claim)] = self._ask()

    def stop(self) -> None:
        """Make no new claims."""
        self._stopping.set()
        self._somebody_asks.set()

    async def run(self, beat: Callable[[], None]) -> None:
        """
        Claim for whoever asks until stopped, with a *beat* at each step.

        It may be run again after something beside it has failed: those who asked have ended too.
        """
        self._ended = False
        self._in_hand.clear()
        try:
            while not self._stopping.is_set():
                beat()
                self._somebody_asks.clear()
                if self._waiting:
                    await self._look()
                else:
                    await self._somebody_asks.wait()
        finally:
            self._ended = True
            for asked in self._waiting:
                asked.set_result(None)

    @property
    def _waiting(self) -> Sequence[Asked]:
        return [asked for asked in self._asked if not asked.done()]

    def _ask(self) -> Asked:
        asked: Asked = asyncio.get_running_loop().create_future()
        if self._ended:
            asked.set_result(None)
        else:
            self._asked.append(asked)
            self._somebody_asks.set()
        return asked

    async def _look(self) -> None:
        try:
            await self._claim_or_sleep()
        except StoreUnavailable as error:
            self._is_doubtful = True
            log.error("store.unavailable", reason=str(error), advice=error.advice)
            await pause(self._stopping, PAUSE_WITHOUT_ROOM)
        except Exception as error:  # unit of work
            await self._store.asides.tell(Aside.WORK, error, self._now())
            await pause(self._stopping, PAUSE_WITHOUT_ROOM)

    async def _claim_or_sleep(self) -> None:
        """
        Claim what may leave now: with a token, a place in the budget, and no probe on.

        What waits for a place waits unclaimed, so that something urgent still goes before it.
        """
        if self._is_doubtful:
            await self._release_unheld()
        wanted = len(self._waiting)
        window = self._window(wanted)
        claims = await self._store.outbound.claim(wanted, window.openings) if window.places else []
        await self._hand_out(claims)
        if len(claims) == wanted or window.is_used_up(claims):
            await asyncio.sleep(0)  # until those who have one have taken their places
            return
        due = None
        if window.places:
            due = await self._store.outbound.next_due(window.at, window.places)
        if not self._stopping.is_set():
            seconds = window.seconds_to_sleep(due, self._now())
            await self._store.outbound.wait_for_work(seconds)

    async def _release_unheld(self) -> None:
        """Release what was claimed while nobody could be told of it."""
        in_hand = [message_id for message_id, _ in self._in_hand]
        released = await self._store.outbound.release_unheld(in_hand, self._now())
        self._is_doubtful = False
        if released:
            log.warning("outbound.leases_lapsed", count=released)

    async def _hand_out(self, claims: Sequence[Claim]) -> None:
        """Give each claim to the one who has asked first; put back what nobody waits for now."""
        for claim in claims:
            while self._asked and self._asked[0].done():
                self._asked.popleft()
            if self._asked:
                self._in_hand.add(_key(claim))
                self._asked.popleft().set_result(claim)
            else:
                await self._put_back(claim)

    async def _put_back(self, claim: Claim) -> None:
        try:
            await self._store.outbound.put_back(claim, self._now())
        except StaleState:
            log.warning("outbound.claim_lapsed", request_id=claim.request_id)


def _key(claim: Claim) -> tuple[int, int]:
    """Return what no other claim has: of one message, that of a lease that ran out included."""
    return claim.message_id, claim.claim
