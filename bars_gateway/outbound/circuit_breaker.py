"""
Backs off from whoever does not answer, and finds out by a probe when they do again.

    judgement ─► Circuits: so many POSTs in a row without an answer of their own
                    └─► a break: what waits is put off ─► at its end one goes, and is the probe
                              ├─► none again: a longer break
                              └─► an answer: what waits is due now

There is a circuit for each Receiver, and one for each provider whose token or registration the
proxy refuses (D-our-trouble: the table of those is printed in `docs/answers.md`). While one is
open, one message at a time goes there, however many are due or are submitted: hanging Receivers
take one sender each and not four, a dead one costs a POST a probe and not one a message. The log
has a line for the beginning of a break, and one for its end.

Nothing is dropped, and no message loses its last chance: what waits has a pause, which is one row
in the database (`store.waiting`), and an operator sees when each message goes.

A message may be the cause itself: one that a Receiver cannot read gets a 500 for ever, and one
that it stumbles over gets silence. So a break needs three different messages, and a probe that
the same message made before tells nothing new: it makes no break longer.

Decisions: D-circuit-breaker, D-our-trouble.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from bars_gateway.errors import StoreError, StoreUnavailable
from bars_gateway.frozen import frozen
from bars_gateway.model.messages import Claim
from bars_gateway.standard.timing import Timing
from bars_gateway.standard.verdict import UNFIT, Judgement, Verdict
from bars_gateway.store.asides import Aside
from bars_gateway.store.nodes import others_live
from bars_gateway.store.store import Store

log = structlog.get_logger(__name__)

DIFFERENT_MESSAGES = 3
MOST_REMEMBERED = 64  # messages of one break; more would tell nothing
_MAX_DOUBLINGS = 10
FAILURES_OF_A_RECEIVER = 5
LONGEST_BACK_OFF = timedelta(seconds=60)
LAST_TRY = timedelta(seconds=5)  # before a message's time is over it goes, whatever the circuit
_BETWEEN = "|"  # system and value of a service: no name of a provider has it
_OURS_TO_MEND = frozenset({Verdict.UNAUTHORIZED, Verdict.FORBIDDEN})


@frozen(kw_only=True)
class OurTrouble:
    """One way in which we are refused."""

    reason: str
    advice: str


_TOKEN = OurTrouble(
    reason="it does not take our access token, though it is new",
    advice=(
        "Check that outbound.token_url and outbound.proxy_url belong to the same environment:"
        " bars-gateway doctor says more. If they do, ask the national service desk."
    ),
)
_REGISTRATION = OurTrouble(
    reason="our application, or this organisation, may not use it",
    advice=(
        "Check that api_key is the one of this environment, and that the application is approved"
        " for the Booking and Referral API there; bars-gateway letters says to whom to write."
    ),
)

OUR_TROUBLE: Mapping[str, OurTrouble] = {
    "token-refused-by-platform": _TOKEN,
    "access-denied": _TOKEN,
    "token-refused": _TOKEN,
    "application-refused-by-platform": _REGISTRATION,
    "access-forbidden": _REGISTRATION,
    "not-enabled": _REGISTRATION,
}


@frozen(kw_only=True)
class KeptOut:
    """A provider that the proxy refuses, since when, and why."""

    provider: str
    since: datetime
    trouble: OurTrouble


@frozen(kw_only=True)
class Pauses:
    """For how long to back off from somebody: doubling, from probe to probe."""

    first: timedelta
    longest: timedelta


@frozen(kw_only=True)
class FailedPost:
    """A POST of which no answer of its own came."""

    message_id: int
    began: datetime
    is_error: bool = False  # an answer came, and was a 500 or its like


@frozen(kw_only=True)
class Break:
    """For how long to back off from somebody, from a failure on."""

    pause: timedelta
    is_new: bool


@dataclass(slots=True)
class _Circuit:
    since: datetime  # nothing came
    silences: int = 0
    messages: set[int] = field(default_factory=set)
    errors: set[int] = field(default_factory=set)  # messages that met one of these
    last: int | None = None  # the message that was the last probe
    probes: int = 0  # without an answer
    put_off_at: datetime | None = None  # when it was put off last
    until: datetime | None = None


class Circuits:
    """How the POSTs to each of several went lately."""

    def __init__(
        self, failures: int, *, now: Callable[[], datetime], messages: int = DIFFERENT_MESSAGES
    ) -> None:
        """Back off from whoever did not answer so many times in a row, to so many *messages*."""
        self._failures = failures
        self._messages = messages
        self._now = now
        self._circuits: dict[str, _Circuit] = {}
        self._known: Mapping[str, datetime] = {}

    def remember(self, known: Mapping[str, datetime]) -> None:
        """Let who was silent before a restart, and is so still, have been so all the time."""
        self._known = dict(known)

    @property
    def open(self) -> Mapping[str, datetime]:
        """Return whom we back off from, and since when nothing came from them."""
        return {name: each.since for name, each in self._circuits.items() if each.probes}

    @property
    def silent(self) -> Mapping[str, datetime]:
        """Return who says nothing, if only to one message, and since when."""
        return {
            name: each.since
            for name, each in self._circuits.items()
            if each.silences >= self._failures
        }

    @property
    def remembered(self) -> Mapping[str, datetime]:
        """Return who was silent before a restart and has said nothing since, and since when."""
        told = self.told
        return {name: since for name, since in self._known.items() if name not in told}

    @property
    def failing(self) -> Mapping[str, datetime]:
        """Return who answers with errors to different messages, and since when."""
        return {
            name: each.since
            for name, each in self._circuits.items()
            if each.probes and each.silences < self._failures
        }

    @property
    def told(self) -> Mapping[str, datetime]:
        """Return of whom an operator is told, and since when nothing came from them."""
        return {**self.silent, **self.open}

    def next_probe_at(self, name: str, longest: timedelta) -> datetime | None:
        """
        Return when the next probe of *name* may go, *longest* after the last; None: now.

        That is now as well where the clock was set back: by that one nothing was put off yet.
        """
        now, circuit = self._now(), self._circuits.get(name)
        if circuit is None or circuit.until is None or circuit.put_off_at is None:
            return None
        until = min(circuit.until, circuit.put_off_at + longest)
        return until if circuit.put_off_at <= now < until else None

    def failed(self, name: str, failure: FailedPost, pauses: Pauses) -> Break | None:
        """
        Note that nothing came of a POST; return for how long to put off what waits, or None.

        One that *began* before the last time something was put off says nothing new.
        """
        now = self._now()
        circuit = self._circuits.setdefault(name, _Circuit(self._known.get(name, now)))
        if circuit.put_off_at is not None and failure.began < circuit.put_off_at <= now:
            return None
        _count(circuit, failure)
        said_before = circuit.last == failure.message_id and self._messages > 1
        if not self._is_over(circuit) or (circuit.probes and said_before):
            return None
        circuit.probes += 1
        circuit.last = failure.message_id
        doublings: int = 2 ** min(circuit.probes - 1, _MAX_DOUBLINGS)
        pause = min(pauses.longest, pauses.first * doublings)
        circuit.put_off_at = now
        circuit.until = circuit.put_off_at + pause
        return Break(pause=pause, is_new=circuit.probes == 1)

    def _is_over(self, circuit: _Circuit) -> bool:
        """Tell whether so much went without an answer that it can be no single message."""
        silent = circuit.silences >= self._failures and len(circuit.messages) >= self._messages
        return silent or len(circuit.errors) >= self._messages

    def answered(self, name: str) -> bool:
        """Note that an answer came; return whether what waits was put off until now."""
        was_open = name in self.open
        self._circuits.pop(name, None)
        self._known = {other: since for other, since in self._known.items() if other != name}
        return was_open


def _count(circuit: _Circuit, failure: FailedPost) -> None:
    if not failure.is_error:
        circuit.silences += 1
    for seen in (circuit.messages, *((circuit.errors,) if failure.is_error else ())):
        if len(seen) < MOST_REMEMBERED:
            seen.add(failure.message_id)


# Our own token or registration, refused by the proxy: only a person can change that.
PAUSES_FOR_OUR_TROUBLE = Pauses(first=timedelta(minutes=1), longest=timedelta(minutes=15))


@frozen(kw_only=True)
class _Answered:
    """A message that its Receiver has answered."""

    message_id: int
    at: datetime


class CircuitBreakers:
    """Keeps the circuits, and moves what waits in the store accordingly."""

    def __init__(self, store: Store, *, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now
        self.receivers = Circuits(FAILURES_OF_A_RECEIVER, now=now)
        self.providers = Circuits(1, now=now, messages=1)
        self._answers: dict[str, deque[_Answered]] = {}  # by Receiver
        # What did not pass for its size since anything else came: from the third on it is silence.
        self._unfit: dict[str, set[int]] = {}  # by Receiver
        self._refused_by: dict[str, str] = {}  # provider → the row of the answer that it got last
        self._kept: set[str] = set()  # of whom the store has since when nothing came
        self._probes: list[str] = []  # Receivers and providers that a probe is under way to
        self._known: frozenset[str] = frozenset()  # of several nodes: whom any of them backs off

    async def remember(self) -> None:
        """
        Learn since when nothing came from those who were silent before a restart.

        Their pauses are over: somebody may have mended what kept us out, and started us for it.
        Where other nodes live, they stay: those have not been started.
        """
        try:
            known = await self._store.breaks.known()
            self._kept = set(known)
            for circuits in (self.receivers, self.providers):
                circuits.remember(known)
            if not others_live(self._store.nodes):
                await self._store.waiting.forget()
        # Pauses that stay last a minute at most, or until an answer comes.
        except StoreUnavailable as error:
            log.error("store.unavailable", reason=str(error), advice=error.advice)
        except Exception as error:  # unit of work
            await self._store.asides.tell(Aside.WORK, error, self._now())

    async def learn(self) -> None:
        """
        Learn from whom other nodes back off, and who has answered them.

        To those goes one message at a time from here, too, as a probe; and who has answered
        another is asked no longer whether it is back.
        """
        known = frozenset(await self._store.breaks.known())
        for name in self._known - known:
            self._kept.discard(name)
            for circuits in (self.receivers, self.providers):
                circuits.answered(name)
        self._known = known
        self._kept |= known

    @property
    def singly(self) -> Collection[str]:
        """To and of whom one message goes at a time: we back off, or another node does."""
        return {*self.receivers.open, *self.providers.open, *self._known}

    @property
    def remembered(self) -> Mapping[str, datetime]:
        """Return Receivers that were silent before a restart, of which nothing is known since."""
        known = self.receivers.remembered
        return {name: since for name, since in known.items() if _BETWEEN in name}

    @property
    def probed(self) -> Collection[str]:
        """Receivers and providers that are asked at this moment whether they are back."""
        return self._probes

    @property
    def kept_out(self) -> Sequence[KeptOut]:
        """Providers whose token or registration the proxy refuses."""
        return [
            KeptOut(provider=name, since=since, trouble=OUR_TROUBLE[self._refused_by[name]])
            for name, since in self.providers.open.items()
        ]

    def is_probing(self, claim: Claim) -> bool:
        """Tell whether another message has gone meanwhile to where *claim* would go."""
        return claim.receiver in self._probes or claim.provider in self._probes

    def backs_off_until(self, claim: Claim) -> datetime | None:
        """
        Return until when *claim* waits with the others for the next probe; None: it may go.

        What was tried before is put off by itself, and comes early only where a person wants it.
        """
        if claim.attempt > 1:
            return None
        moments = (
            self.receivers.next_probe_at(claim.receiver, LONGEST_BACK_OFF),
            self.providers.next_probe_at(claim.provider, LONGEST_BACK_OFF),
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
    def probe(self, claim: Claim) -> Iterator[None]:
        """Let nobody else go where *claim* goes, if it probes somebody whom we back off from."""
        probes = [
            name
            for name, circuits in (
                (claim.receiver, self.receivers),
                (claim.provider, self.providers),
            )
            if name in circuits.open
        ]
        self._probes.extend(probes)
        try:
            yield
        finally:
            for name in probes:
                self._probes.remove(name)
            if probes:
                self._store.outbound.wake()

    async def judged(
        self, claim: Claim, judgement: Judgement, *, began: datetime, timing: Timing
    ) -> None:
        """
        Put off what waits for who does not answer, and hasten it once they do.

        We back off from a Receiver for as long as the message would by its *timing* alone,
        so that what is urgent does not wait for longer because others wait with it.
        """
        is_unfit = judgement.row == UNFIT
        if is_unfit and self._is_of_one(claim):
            return
        if judgement.verdict in _OURS_TO_MEND:
            self._refused_by[claim.provider] = judgement.row
            failure = FailedPost(message_id=claim.message_id, began=began)
            found = self.providers.failed(claim.provider, failure, PAUSES_FOR_OUR_TROUBLE)
            await self._put_off(self.providers, found, claim, provider=claim.provider)
            await self._keep(self.providers, claim.provider)
        elif is_unfit or judgement.is_silence or judgement.is_server_error:
            pauses = Pauses(
                first=timing.first_retry, longest=min(timing.longest_retry, LONGEST_BACK_OFF)
            )
            is_error = judgement.is_server_error
            failure = FailedPost(message_id=claim.message_id, began=began, is_error=is_error)
            found = self.receivers.failed(claim.receiver, failure, pauses)
            await self._put_off(self.receivers, found, claim, receiver=claim.receiver)
            await self._keep(self.receivers, claim.receiver)
        else:
            await self._answered(claim, judgement)

    async def _answered(self, claim: Claim, judgement: Judgement) -> None:
        self._unfit.pop(claim.receiver, None)
        if judgement.is_of_receiver:
            self._heard(claim)
        # What is kept may have a pause that could not be ended at a start, or when an answer
        # came, because the database took nothing.
        if self.receivers.answered(claim.receiver) or claim.receiver in self._kept:
            await self._hasten(receiver=claim.receiver)
        if self.providers.answered(claim.provider) or claim.provider in self._kept:
            await self._hasten(provider=claim.provider)
        for name in {claim.receiver, claim.provider} & self._kept:
            await self._forget(name)

    def _is_of_one(self, claim: Claim) -> bool:
        """Tell whether so few did not pass for their size that it is about those messages."""
        met = self._unfit.setdefault(claim.receiver, set())
        if len(met) < DIFFERENT_MESSAGES:
            met.add(claim.message_id)
        return len(met) < DIFFERENT_MESSAGES

    async def _keep(self, circuits: Circuits, name: str) -> None:
        """Let the store have since when nothing came, once that is told at all."""
        since = circuits.told.get(name)
        if since is None or name in self._kept:
            return
        self._kept.add(name)  # at once: an answer that comes meanwhile has it forgotten
        try:
            await self._store.breaks.began(name, since)
        except StoreError:  # the next failure has it written
            self._kept.discard(name)
            raise

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
        """Hasten what was put off for a probe that has been answered meanwhile."""
        if claim.receiver not in self.receivers.open and claim.provider not in self.providers.open:
            await self._hasten(receiver=claim.receiver)

    async def _put_off(
        self, circuits: Circuits, found: Break | None, claim: Claim, **whose: str
    ) -> None:
        if found is None:
            return
        now = self._now()
        await self._store.waiting.put_off(
            now + found.pause, **whose, last=claim.message_id, look_at=now + LONGEST_BACK_OFF
        )
        if found.is_new:
            log.warning("outbound.put_off", seconds=found.pause.total_seconds(), **whose)
        if circuits.open.keys().isdisjoint(whose.values()):
            await self._hasten(**whose)  # an answer came meanwhile, and had hastened too early

    async def _hasten(self, **whose: str) -> None:
        await self._store.waiting.hasten(self._now(), **whose)
        log.info("outbound.hastened", **whose)
