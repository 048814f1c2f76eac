"""
Sends what the EPR has queued, until the Receiver has it or refuses it.

    store ──claim──► token ──► proxy ──answer──► verdict ──settle──► store

`max_in_flight` identical senders share the queue. Each is given one claim, sends it,
settles it, and asks for the next (`claims`). Nothing is remembered between the steps, so a crash
at any of them costs an attempt and never a message: the claim lapses, and the same
bytes go out again under the same X-Request-Id, which is what the standard calls a
retry.

What is known of a claim is in its sender's hand alone: while nothing can be stored, that keeps at
it, and stores it as soon as it can be. The claim's number fences: where another has taken the
message over meanwhile, nothing is stored, and that one's attempt counts.

A failed message is settled. One with which the gateway hits an internal error, that nobody
foresaw, is held, with an alarm: the sender goes on with the next. If we die before it is held, or
that cannot be stored, its claim lapses, and it is met again.

    Judgement + Claim ──settlement_of──► Settled │ TryAgain        attempt ──backoff──► pause

Decisions: D-500s, D-unconfirmed, D-clinical-age.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import structlog

from bars_gateway.errors import (
    EgressBlocked,
    PayloadDamaged,
    StaleState,
    StoreUnavailable,
    TokenUnavailable,
)
from bars_gateway.frozen import frozen
from bars_gateway.model.messages import (
    Attempt,
    Claim,
    OutboundState,
    Part,
    Payload,
    Settled,
    Settlement,
    TryAgain,
)
from bars_gateway.outbound.budget import NOTE_HOLDS, Budget
from bars_gateway.outbound.circuit_breaker import CircuitBreakers
from bars_gateway.outbound.claims import PAUSE_WITHOUT_ROOM, Claims, SendWindow, window_at
from bars_gateway.outbound.egress import Egress
from bars_gateway.outbound.proxy import Proxy
from bars_gateway.outbound.record_reads import Reconciler
from bars_gateway.outbound.token import Tokens
from bars_gateway.standard.answers import (
    NO_BODY,
    Acknowledgement,
    AnswerSubject,
    read_acknowledgement,
)
from bars_gateway.standard.bundle import MalformedBundle
from bars_gateway.standard.our_message import OurMessage
from bars_gateway.standard.timing import Timing
from bars_gateway.standard.verdict import (
    KEPT_OUT,
    Before,
    FaultSide,
    Judgement,
    ProxyAnswer,
    Verdict,
    judge,
)
from bars_gateway.standard.workflow import Move
from bars_gateway.stopping import pause
from bars_gateway.store.asides import Aside
from bars_gateway.store.nodes import HOUSEKEEPING, while_held
from bars_gateway.store.store import Store

T = TypeVar("T")
log = structlog.get_logger(__name__)
PAUSED_BY_QUOTA = 5.0  # seconds, where the platform does not say for how long
PAUSE_BEHIND_A_PROBE = timedelta(seconds=1)
PAUSE_FOR_OUR_TROUBLE = timedelta(seconds=60)  # a token or registration that is refused
SHARES = 4  # of the time that is left; one is waited at most, whatever a Retry-After asks for
ERRORS_FOR_LONG = timedelta(hours=1)
STORED_AGAIN_AFTER = 1.0  # seconds, where nothing could be stored
LEARNT_AGAIN_AFTER = 1.0  # seconds: what other nodes know of who does not answer
_HAS_IT = OutboundState.ACKNOWLEDGED
ACKNOWLEDGED = Settled(state=_HAS_IT)
_MAX_DOUBLINGS = 30  # beyond it the pause is the longest anyway, and 2**n would overflow


def settlement_of(
    judgement: Judgement,
    claim: Claim,
    now: datetime,
    *,
    pause: timedelta,
    pause_for_our_trouble: timedelta = PAUSE_FOR_OUR_TROUBLE,
    server_errors_limit: int,
    acknowledged: Settled = ACKNOWLEDGED,
) -> Settlement:
    """Return what a verdict leads to: final, or another try after *pause*."""
    unconfirmed = Settled(state=OutboundState.UNCONFIRMED)
    if claim.before is Before.FOREIGN and _had_its_chance(judgement):
        return unconfirmed
    match judgement.verdict:
        case Verdict.ACKNOWLEDGED:
            return acknowledged
        case Verdict.UNCONFIRMED:
            return unconfirmed
        case Verdict.REFUSED:
            return Settled(state=OutboundState.REFUSED)
        case Verdict.UNAUTHORIZED | Verdict.FORBIDDEN:
            pause = pause_for_our_trouble
        case Verdict.RETRY_LIMITED:
            if claim.server_errors + 1 >= server_errors_limit:
                return unconfirmed
        case Verdict.RETRY:
            pass
    again = now + pause
    return TryAgain(at=again) if again < claim.give_up_at else _last_try(claim, now, unconfirmed)


def weighed(
    judgement: Judgement, claim: Claim, now: datetime, *, others_answered: bool
) -> Judgement:
    """
    Return what a 500 counts for: as 503, unless it is about this message.

    The proxy says 500 for itself as well, to every message, for as long as its own trouble lasts,
    and a Receiver may answer everything with a yes that holds an error. So one counts only if the
    Receiver *others_answered* since the attempt before this one, or if the message has met them
    for long.
    """
    for_long = claim.first_error_at is not None and now - claim.first_error_at >= _for_long(claim)
    if not judgement.is_server_error or others_answered or for_long:
        return judgement
    return replace(judgement, verdict=Verdict.RETRY)


def _for_long(claim: Claim) -> timedelta:
    return min(ERRORS_FOR_LONG, (claim.give_up_at - claim.created_at) / 2)


def _had_its_chance(judgement: Judgement) -> bool:
    """Tell whether this was the one retry that an answer about somebody else gets, and no proof."""
    asked_again = judgement.verdict in {Verdict.RETRY, Verdict.RETRY_LIMITED}
    return asked_again and judgement.row not in KEPT_OUT


def is_too_much(answer: ProxyAnswer, judgement: Judgement) -> bool:
    """Tell whether the platform, and not a Receiver, wants fewer requests of us."""
    asks = answer.status == 429 or judgement.row == "quota-as-500"  # noqa: PLR2004
    return asks and judgement.fault is not FaultSide.REC


def _last_try(claim: Claim, now: datetime, unconfirmed: Settled) -> Settlement:
    """Return a try just before the deadline, where there is time for one."""
    at = claim.give_up_at - timedelta(seconds=1)
    return TryAgain(at=at) if at > now else unconfirmed


def backoff(timing: Timing, attempt: int, rng: random.Random) -> timedelta:
    """Return the pause after that attempt: doubling, with jitter, up to the longest."""
    doublings: int = 2 ** min(attempt - 1, _MAX_DOUBLINGS)
    longest = min(timing.first_retry * doublings, timing.longest_retry)
    return longest * rng.uniform(0.5, 1.0)


@frozen(kw_only=True)
class Policy:
    """How hard to try."""

    timing: Callable[[str], Timing]  # by use case
    max_in_flight: int = 32
    server_errors_limit: int = 5  # D-500s: it proves nothing


class Dispatcher:
    """Empties the outbound queue."""

    def __init__(
        self,
        store: Store,
        tokens: Mapping[str, Tokens],
        proxy: Proxy,
        policy: Policy,
        *,
        reconciler: Reconciler,
        now: Callable[[], datetime],
        rng: random.Random,
    ) -> None:
        self._store = store
        self._reconciler = reconciler
        self._tokens = tokens
        self._proxy = proxy
        self._policy = policy
        self._now = now
        self._rng = rng
        self.breakers = CircuitBreakers(store, now=now)
        self._posting: set[int] = set()  # messages of which a POST may have left
        self._claims = Claims(store, self._window, now=now)
        self._stopping = asyncio.Event()
        self._beat: Callable[[], None] = lambda: None

    async def run(self, beat: Callable[[], None] | None = None) -> None:
        """Send until stopped, with a *beat* at each step; return once nothing is in flight."""
        self._beat = beat or self._beat
        await self.breakers.remember()
        async with asyncio.TaskGroup() as senders:
            looking = while_held(
                self._store.nodes, HOUSEKEEPING, self._reconciler.run, self._stopping.is_set
            )
            senders.create_task(looking, name="reconciler")
            senders.create_task(self._claims.run(self._beat), name="claims")
            if self._store.nodes.several:
                senders.create_task(self._learn_of_others(), name="breaks")
            for number in range(self._policy.max_in_flight):
                senders.create_task(self._send_each(), name=f"sender-{number}")

    def stop(self) -> None:
        """Take no new claims. Those in flight are finished: their answers matter."""
        self._stopping.set()
        self._claims.stop()
        self._store.outbound.wake()
        self._reconciler.stop()

    @property
    def egress(self) -> Egress | None:
        """Whether what is sent gets out of our own network."""
        return self._proxy.egress

    @property
    def budgets(self) -> Mapping[str, Budget]:
        """Each provider's budget."""
        return self._proxy.budgets

    async def _send_each(self) -> None:
        claim = await self._claims.next()
        while claim is not None:
            self._beat()
            try:
                await self._send_in_turn(claim)
            except StoreUnavailable as error:
                await self._wait_for_the_store(error)
            except Exception as error:  # unit of work
                await self._store.asides.tell(Aside.WORK, error, self._now())
                await pause(self._stopping, PAUSE_WITHOUT_ROOM)
            claim = await self._claims.next(after=claim)

    async def _wait_for_the_store(self, error: StoreUnavailable) -> None:
        """
        Pause while nothing can be stored; nothing is lost by it.

        What could not be settled before we stop is claimed again by the next start, or once its
        lease has run out, and the Receiver then says that it is a duplicate.
        """
        log.error("store.unavailable", reason=str(error), advice=error.advice)
        await pause(self._stopping, PAUSE_WITHOUT_ROOM)

    async def _learn_of_others(self) -> None:
        """Learn again and again from whom other nodes back off."""
        while not self._stopping.is_set():
            with suppress(StoreUnavailable):  # who sends says so
                await self.breakers.learn()
            await pause(self._stopping, LEARNT_AGAIN_AFTER)

    def _window(self, wanted: int) -> SendWindow:
        return window_at(self._now(), self._tokens, self._proxy, self.breakers, wanted)

    async def _send_in_turn(self, claim: Claim) -> None:
        """Send *claim*, unless we back off from where it goes, or probe it with another."""
        if self.breakers.is_probing(claim):
            await self._back_to_the_queue(claim, self._now() + PAUSE_BEHIND_A_PROBE)
            return
        until = self.breakers.backs_off_until(claim)
        if until is not None and until > self._now():
            await self._back_to_the_queue(claim, until)
            await self.breakers.hasten_unless_open(claim)  # if the probe was answered meanwhile
            return
        with self.breakers.probe(claim):
            ended = await self._send_or_set_aside(claim)
            if ended is not None:
                await self._learn(claim, ended)

    async def _send_or_set_aside(self, claim: Claim) -> "_Ended | None":
        """Send *claim*; where that fails in a way that nobody foresaw, hold its message."""
        try:
            return await self._send(claim)
        except StoreUnavailable:
            raise
        except Exception as error:  # unit of work
            began = claim.message_id in self._posting
            await self._store.asides.hold(
                claim.message_id, error, self._now(), claim=claim, began=began
            )
        finally:
            self._posting.discard(claim.message_id)
        return None

    async def _send(self, claim: Claim) -> "_Ended | None":
        tokens = self._tokens[claim.provider]
        try:
            await tokens.token()  # before the turn: whoever waits for one would leave long after it
            started = await self._turn(claim)
            if started >= claim.give_up_at:
                # It waited for a token or a turn, and its time passed: it may not leave any more.
                await self._back_to_the_queue(claim, started)
                return None
            reply = await self._post(claim, tokens)
        except TokenUnavailable as error:
            await self._put_back(claim, tokens, error)
            return None
        except StaleState:
            # It waited for longer than its lease: it is another's, or a person has stopped it.
            log.warning("outbound.claim_lapsed", request_id=claim.request_id)
            return None
        except StoreUnavailable:
            await self._back_to_the_queue(claim, self._now())  # no POST began
            return None
        try:
            return await self._until_stored(
                partial(self._settle, claim, reply, started, ended=self._now())
            )
        except StaleState:
            # Our lease ran out while the answer was on its way: another claim holds the message.
            log.warning("outbound.claim_lapsed", request_id=claim.request_id)
            return None

    async def _settle(
        self, claim: Claim, reply: "_Reply", started: datetime, *, ended: datetime
    ) -> "_Ended":
        """Store what came of a POST; raise StaleState where the claim is another's by now."""
        reply = await self._proving(self._weighed(reply, claim, ended), claim)
        answer, judgement = reply.answer, reply.judgement
        attempt = _attempt(claim, answer, judgement, started, ended)
        settlement = await self._settlement(claim, reply, ended)
        if self._teaches_nothing(claim, settlement):
            self._claims.ask_early(claim)
        await self._store.outbound.settle(claim, answer, attempt=attempt, settlement=settlement)
        _log(claim, attempt, settlement)
        return _Ended(reply=reply, settlement=settlement, began=started)

    async def _until_stored(self, store: Callable[[], Awaitable[T]]) -> T:
        """Return what *store* does, once it can; raise StoreUnavailable once we are to stop."""
        is_told = False
        while True:
            try:
                return await store()
            except StoreUnavailable as error:
                if self._stopping.is_set():
                    raise
                if not is_told:
                    log.error("store.unavailable", reason=str(error), advice=error.advice)
                is_told = True
                await pause(self._stopping, STORED_AGAIN_AFTER)

    def _teaches_nothing(self, claim: Claim, settlement: Settlement) -> bool:
        """Tell whether nothing is to be learnt of it before the next message may be claimed."""
        goes_well = claim.receiver not in self.breakers.receivers.open
        acknowledged = isinstance(settlement, Settled) and settlement.state is _HAS_IT
        return acknowledged and goes_well and claim.provider not in self.breakers.providers.open

    async def _learn(self, claim: Claim, ended: "_Ended") -> None:
        """Draw from a message that is settled what it means for the others."""
        if ended.reply.damage is not None:
            await self._tell_of_damage(claim, ended.reply.damage)
        answer, judgement = ended.reply.answer, ended.reply.judgement
        if isinstance(ended.settlement, Settled) and ended.settlement.focus_id is None:
            self._reconciler.wake()
        if is_too_much(answer, judgement):
            self._proxy.pause(claim.provider, answer.retry_after or PAUSED_BY_QUOTA)
            return  # the platform has not let it through: the Receiver has not seen it
        if ended.reply.without_token:
            return  # the token service's trouble, which has a pause of its own
        timing = self._policy.timing(claim.use_case)
        await self.breakers.judged(claim, judgement, began=ended.began, timing=timing)

    async def _tell_of_damage(self, claim: Claim, damage: PayloadDamaged) -> None:
        about = {"provider": claim.provider, "request_id": claim.request_id}
        await self._store.asides.tell(
            Aside.DAMAGED, damage, self._now(), message_id=claim.message_id, **about
        )

    async def _turn(self, claim: Claim, *, again: bool = False) -> datetime:
        """
        Return when a POST may begin, which is now; raise StaleState if the claim has lapsed.

        The claim has noted it, and is as long as a POST may take. Where it is used, or was made a
        while ago, both are done again: what was stopped while it waited may not leave.
        """
        urgent = again or self._policy.timing(claim.use_case).urgent
        await self._proxy.wait_for_turn(claim.provider, urgent=urgent)
        now = self._now()
        made_at = claim.claimed_at or now
        if again or not timedelta() <= now - made_at <= NOTE_HOLDS:
            await self._store.outbound.renew(claim, now)
        return now

    async def _post(self, claim: Claim, tokens: Tokens) -> "_Reply":
        """Post it; once more with a new token where the proxy refuses ours (D-our-trouble)."""
        token = await tokens.token()
        self._posting.add(claim.message_id)
        reply = _read(await self._proxy.post(claim, token), claim)
        if reply.judgement.verdict is not Verdict.UNAUTHORIZED:
            return reply
        tokens.discard(token)
        if claim.provider in self.breakers.providers.open:
            return reply  # a new token did not help before: the next probe has another
        try:
            fresh = await tokens.token()
        except TokenUnavailable:
            return replace(reply, without_token=True)  # this POST began: it stays an attempt
        if not await self._may_leave_again(claim):
            return replace(reply, without_token=True)
        try:
            reply = _read(await self._proxy.post(claim, fresh), claim)
        except EgressBlocked:
            return replace(reply, without_token=True)  # this one did not leave; the first did
        if reply.judgement.verdict is Verdict.UNAUTHORIZED:
            tokens.discard(fresh)
        return reply

    async def _may_leave_again(self, claim: Claim) -> bool:
        """Return True once it has its turn: not where that is too late, or cannot be noted."""
        try:
            return await self._turn(claim, again=True) < claim.give_up_at
        except StoreUnavailable:
            return False

    async def _put_back(self, claim: Claim, tokens: Tokens, error: TokenUnavailable) -> None:
        # Our trouble, not the message's: no POST began, so this was no attempt. Nor does it get a
        # pause: while no token can be had, nothing of the provider is claimed, and then all is due.
        await self._back_to_the_queue(claim, self._now() + _pause_without(tokens))
        log.warning(
            "outbound.put_back",
            provider=claim.provider,
            request_id=claim.request_id,
            reason=str(error),
            advice=error.advice,
        )

    async def _back_to_the_queue(self, claim: Claim, retry_at: datetime) -> None:
        try:
            await self._until_stored(partial(self._store.outbound.put_back, claim, retry_at))
        except StaleState:
            log.warning("outbound.claim_lapsed", request_id=claim.request_id)

    async def _settlement(self, claim: Claim, reply: "_Reply", now: datetime) -> Settlement:
        pause = timedelta()
        if reply.judgement.verdict is not Verdict.ACKNOWLEDGED:  # or it would be drawn for nothing
            pause = self._pause_before_retry(claim, reply.answer)
        ours = max(pause, PAUSE_FOR_OUR_TROUBLE)
        if reply.without_token:
            ours = _pause_without(self._tokens[claim.provider])
        return settlement_of(
            reply.judgement,
            claim,
            now,
            pause=pause,
            pause_for_our_trouble=ours,
            server_errors_limit=self._policy.server_errors_limit,
            acknowledged=_acknowledged(claim, reply),
        )

    def _weighed(self, reply: "_Reply", claim: Claim, now: datetime) -> "_Reply":
        """Return the reply with what a 500 counts for."""
        others = self.breakers.others_answered(claim)
        return replace(
            reply, judgement=weighed(reply.judgement, claim, now, others_answered=others)
        )

    async def _proving(self, reply: "_Reply", claim: Claim) -> "_Reply":
        """
        Return the reply with the answer before it, which a duplicate proves (D-duplicate).

        Where a disk has spoilt that, the Receiver has the message all the same: its ids are not
        known, and are looked for.
        """
        if reply.judgement.row != "duplicate":
            return reply
        try:
            earlier = await self._store.messages.payload(claim.message_id, Part.UNPROVEN)
        except PayloadDamaged as damage:
            return replace(reply, damage=damage)
        return replace(reply, earlier=earlier)

    def _pause_before_retry(self, claim: Claim, answer: ProxyAnswer) -> timedelta:
        """Return how long to wait: as asked, unless hardly a try would be left."""
        pause = backoff(self._policy.timing(claim.use_case), claim.attempt, self._rng)
        asked = timedelta(seconds=answer.retry_after or 0)
        return max(pause, min(asked, (claim.give_up_at - self._now()) / SHARES))


def _pause_without(tokens: Tokens) -> timedelta:
    """Return for how long a message waits that had no token: that has a pause of its own."""
    return timedelta(seconds=0 if tokens.closed_until else 1)


@frozen(kw_only=True)
class _Reply:
    """What came back for one POST, and what is to be believed of it."""

    answer: ProxyAnswer
    found: Acknowledgement  # in the body of a 2xx
    judgement: Judgement
    without_token: bool = False  # our token was refused, and there was no other to try
    earlier: Payload | None = None  # the answer before a duplicate, which that proves
    damage: PayloadDamaged | None = None  # that answer is kept, and cannot be read


@frozen(kw_only=True)
class _Ended:
    """An attempt whose message is settled, or waits to be tried again."""

    reply: _Reply
    settlement: Settlement
    began: datetime


def _read(answer: ProxyAnswer, claim: Claim) -> _Reply:
    ids = {"request_id": claim.request_id, "correlation_id": claim.correlation_id}
    fine = answer.status is not None and 200 <= answer.status < 300  # noqa: PLR2004
    found = _said(claim, answer.body) if fine and answer.body else NO_BODY
    judgement = judge(answer, **ids, said=found.said, before=claim.before)
    return _Reply(answer=answer, found=found, judgement=judgement)


def _acknowledged(claim: Claim, reply: _Reply) -> Settled:
    """Return that the Receiver has it, by this answer or by an earlier one that this proves."""
    earlier = reply.earlier
    found = reply.found if earlier is None else _said(claim, earlier.body)
    return Settled(
        state=OutboundState.ACKNOWLEDGED,
        focus_id=found.focus_id,
        by_earlier=earlier is not None and found.said is AnswerSubject.OURS,
    )


def _said(claim: Claim, body: bytes) -> Acknowledgement:
    """Return what the body of a 2xx says; the ids of what is there are not changed by a change."""
    ours = OurMessage(claim.request.body, claim.request.media_type)
    try:
        found = read_acknowledgement(ours, body)
    except MalformedBundle:
        return NO_BODY
    if claim.move is Move.REQUEST or found.focus_id is None:
        return found
    if found.focus_id != ours.message.focus_id:
        log.warning("outbound.other_id", provider=claim.provider, request_id=claim.request_id)
    return replace(found, focus_id=None)


def _attempt(
    claim: Claim, answer: ProxyAnswer, judgement: Judgement, started: datetime, ended: datetime
) -> Attempt:
    return Attempt(
        number=claim.attempt,
        started_at=started,
        ended_at=ended,
        verdict=judgement.verdict,
        row=judgement.row,
        fault=judgement.fault,
        http_status=answer.status,
        code=answer.code,
        issue=answer.issue,
        ids_echoed=judgement.ids_echoed,
    )


def _log(claim: Claim, attempt: Attempt, settlement: Settlement) -> None:
    log.info(
        "outbound.attempt_ended",
        provider=claim.provider,
        request_id=claim.request_id,
        correlation_id=claim.correlation_id,
        attempt=attempt.number,
        verdict=attempt.verdict,
        row=attempt.row,
        fault=attempt.fault,
        http_status=attempt.http_status,
        code=attempt.code,
        issue=attempt.issue,
        seconds=round((attempt.ended_at - attempt.started_at).total_seconds(), 3),
        state=settlement.state if isinstance(settlement, Settled) else "queued",
    )
