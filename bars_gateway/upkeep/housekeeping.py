"""
What time does, when nobody sends anything: leases lapse, messages grow late, answers are owed.

    every second ─► was the clock set? · release_lapsed · give_up · tell_delays · tell_unread
                    · tell_due · tell_alarms · what we need ourselves
    every fifth ──► what will end · tell_unanswered

What is at its end is ended first. A gateway that was stopped over that moment would tell of what is
late, and may yet arrive, just before it tells that it never left.

Each step may be repeated at any time, so a crash between two of them costs nothing. It does what
is due in small transactions, each row by itself (`store.asides`): one that fails raises an alarm
and is left out for a while. Where much is due at once, the next round follows without a pause, and
the service manager hears of us between them. A whole step that fails in a way that nobody foresaw
raises an alarm too, and the others are done all the same.

What is scheduled is kept by the wall clock, so that it outlives the process. When that
clock is set, the schedule is set with it, before anything falls due by the new one: a round
goes by the moment at which it looked, though a machine may wake up in its middle. What
was set while no gateway ran is seen by its lying further ahead than any pause. What
clinicians count by stays where it is, and so does a time to give up that follows from it.

    now - monotonic ──stays──► nothing happened      ──jumps──► ClockStep, until it is followed

Small corrections are how clocks are kept right, and are no step. A machine that slept
looks as if its clock was set forward, and that is what it means for a schedule.

Since when something that we need ourselves is out of order (`OurTroubles`) is compared now and
then, and not written where it is met: whoever meets it has a message in hand, which need not wait
for a disk. A restart within that second forgets no more than a second.

When what the gateway works with will end, a person hears of it early:

    certificates, chains, keys, lists ─► Expiry ─stage─► 90 · 60 · 30 · 14 · 7 · 1 days · over
                                                            │ once each
                                                            └─► log; and on the status page

A stage that is more than half of a thing's whole life is none: a revocation list that
lives for a week would otherwise be news on every day of it.

And everything in the database is compared with its indexes, at a start and daily (`Inspector`):

    start ──► a table after the other, step by step ──► told: page, log, alarm ──► a day later
                                                                        once it is quiet ◄──┘

What is queued and cannot be found is never sent, and nothing else notices it (`store.soundness`).
Before the doors open a start looks only at what work is found by, and only where the last stop
was not orderly. All the rest is looked at here, on a connection that cannot write, with a pause as
long as each step took: neither the writer nor the loop waits for it, and half a processor is left.
Where the process dies, the next start begins at the first table. An index that could not be
rebuilt is tried again every minute, until it is.

Decisions: D-wall-clock.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import structlog

from bars_gateway.errors import StoreUnavailable
from bars_gateway.frozen import frozen
from bars_gateway.model.alarms import ALARMS
from bars_gateway.model.readings import Inspected, Inspection
from bars_gateway.stopping import pause
from bars_gateway.store.asides import Aside
from bars_gateway.store.connection import Soundness
from bars_gateway.store.pacing import Breaks, is_our_own
from bars_gateway.store.store import Store

log = structlog.get_logger(__name__)

INSPECTED_EVERY = timedelta(days=1)
INSPECTED_AT_LATEST = timedelta(hours=6)  # after that: then it is done on a busy day, too
QUIET_SECONDS = 60.0  # it is quiet when no message was taken for so long
STEP_SECONDS = 2.0
EVERY_SECONDS = 1.0
SELDOM_ROUNDS = 5
ALARMS_AT_ONCE = 100  # said in one round; the rest in the next
_SEE_PAGE = "Look at the status page: it says what each is about, and what to do."
STAGES = (60, 30, 14, 7, 1)  # days, below the first, which is a setting
OVER = 0
URGENT_DAYS = 7  # from here on it is an error in the log, and wakes somebody for what shuts us off


class ExpiringKind(StrEnum):
    """What ends; its value is the label in the metrics."""

    CERTIFICATE = "certificate"  # our own certificate
    CHAIN = "chain"  # an intermediate certificate in our file
    AUTHORITIES = "authorities"  # one of the authorities that we trust, before others
    LAST_AUTHORITY = "last_authority"  # the last of them: after it nobody gets in
    KEY = "key"  # a key that signs for access tokens
    REVOCATION_LIST = "revocation_list"  # a list of certificates that were revoked


_NEW_AUTHORITIES = "Fetch the new ones from pki.nhs.uk, add them to the file, and reload."
ADVICE = {
    ExpiringKind.CERTIFICATE: "Order its successor now: bars-gateway csr new --why TEXT",
    ExpiringKind.CHAIN: "Fetch the new intermediate, put it below the certificate, and reload.",
    ExpiringKind.AUTHORITIES: _NEW_AUTHORITIES,
    ExpiringKind.LAST_AUTHORITY: _NEW_AUTHORITIES,
    ExpiringKind.KEY: "Make its successor and have it registered: bars-gateway keys new --why TEXT",
    ExpiringKind.REVOCATION_LIST: (
        "Look at the job that fetches it; a new one is taken without a restart."
    ),
}


# A chain may hold what no caller needs; an ended key or list is judged where it is used.
_ONCE_OVER = {
    ExpiringKind.CERTIFICATE: "Nothing is received",
    ExpiringKind.CHAIN: "Callers may refuse us",
    ExpiringKind.LAST_AUTHORITY: "Nothing is received",
}
_TELEPHONE = (
    "Telephone what cannot wait, and tell those who send to us: their messages are refused, and so"
    " are the answers to ours. Sending goes on."
)
_ORDER = (
    "Order the successor by telephone (bars-gateway csr new --why TEXT); once in its place it is"
    " taken without a restart."
)
_OVER_ADVICE = {
    ExpiringKind.CERTIFICATE: f"{_TELEPHONE} {_ORDER}",
    ExpiringKind.CHAIN: f"{_TELEPHONE} {_ORDER}",
    ExpiringKind.LAST_AUTHORITY: f"{_TELEPHONE} {_NEW_AUTHORITIES}",
}


@frozen(kw_only=True)
class Expiry:
    """One thing that will end."""

    kind: ExpiringKind
    name: str  # for people, as in "… ends in 9 days"
    begins_at: datetime
    ends_at: datetime

    @property
    def advice(self) -> str:
        """What to do before it ends."""
        return ADVICE[self.kind]

    @property
    def advice_once_over(self) -> str:
        """What to do once it has ended, where callers meet anything since."""
        return _OVER_ADVICE[self.kind]

    @property
    def harm_once_over(self) -> str | None:
        """What callers meet once it has ended, as the end of a sentence; None: nothing."""
        harm = _ONCE_OVER.get(self.kind)
        return None if harm is None else f"{harm[0].lower()}{harm[1:]} after that"

    def over(self, now: datetime) -> str | None:
        """Return what callers meet since it has ended, in words; None: nothing that it does."""
        harm = _ONCE_OVER.get(self.kind)
        if harm is None or self.ends_at > now:
            return None
        name = f"{self.name[0].lower()}{self.name[1:]}"
        return f"{harm} since {self.ends_at:%d %b %Y %H:%M} UTC: {name} has ended"


def stage(expiry: Expiry, now: datetime, first_days: int) -> int | None:
    """Return the last stage that *expiry* has reached, in days; None while it is no news."""
    left = expiry.ends_at - now
    if left <= timedelta():
        return OVER
    life = expiry.ends_at - expiry.begins_at
    stages = [first_days, *(days for days in STAGES if days < first_days)]
    reached = [s for s in stages if left <= timedelta(days=s) and timedelta(days=2 * s) <= life]
    return min(reached, default=None)


def is_imminent(expiry: Expiry, now: datetime, first_days: int) -> bool:
    """Tell whether *expiry* is within days of shutting callers out."""
    reached = stage(expiry, now, first_days)
    return expiry.kind in _ONCE_OVER and reached is not None and OVER < reached <= URGENT_DAYS


def remaining(expiry: Expiry, now: datetime) -> str:
    """Return how much is left, as in "ends in 9 days"."""
    left = expiry.ends_at - now
    if left <= timedelta():
        return f"ended on {expiry.ends_at:%d %b %Y}"
    if left < timedelta(days=2):
        return f"ends in {left // timedelta(hours=1)} hours"
    return f"ends in {left.days} days"


class ExpiryWatch:
    """Logs each stage of each thing once."""

    def __init__(self, expiries: Callable[[], Iterable[Expiry]], first_days: int) -> None:
        self._expiries = expiries
        self._first_days = first_days
        self._told: set[tuple[ExpiringKind, str, datetime, int]] = set()

    def look(self, now: datetime) -> None:
        """Log what has reached a stage that has not been told; at the start, the last stage."""
        for expiry in self._expiries():
            reached = stage(expiry, now, self._first_days)
            told = (expiry.kind, expiry.name, expiry.ends_at, reached)
            if reached is None or told in self._told:
                continue
            self._told.add((expiry.kind, expiry.name, expiry.ends_at, reached))
            report = log.error if reached <= URGENT_DAYS else log.warning
            report(
                "expiry.stage_reached",
                kind=expiry.kind,
                name=expiry.name,
                days=reached,
                expires_at=expiry.ends_at.isoformat(),
                advice=expiry.advice,
            )


class Inspector:
    """Looks at everything, again and again."""

    def __init__(
        self,
        soundness: Soundness,
        now: Callable[[], datetime],
        *,
        monotonic: Callable[[], float],
        quiet_seconds: float = QUIET_SECONDS,
    ) -> None:
        self._soundness = soundness
        self._now, self._monotonic = now, monotonic
        self._quiet_seconds = quiet_seconds
        self._stopping = asyncio.Event()
        self._waits_since: datetime | None = now()
        self._last: Inspected | None = None

    @property
    def inspection(self) -> Inspection:
        """How far the database is known to be sound."""
        return Inspection(
            after_orderly_stop=self._soundness.after_orderly_stop,
            waits_since=self._waits_since,
            last=self._last,
            left=self._soundness.left,
        )

    async def run(self) -> None:
        """Inspect at the start, and then every day, until stopped."""
        try:
            while not self._stopping.is_set():
                await self.inspect()
                await self._until_due()
        finally:
            await self._soundness.close()

    def stop(self) -> None:
        """End at once: the next start begins again."""
        self._stopping.set()
        self._soundness.break_off()

    async def inspect(self) -> None:
        """Compare everything once."""
        began_at = self._now()
        found = [f"{each} lacked, and not rebuilt" for each in self._soundness.left]
        await self._soundness.begin(began_at)
        while not self._stopping.is_set():
            started = self._monotonic()
            findings = await self._soundness.step()
            if findings is None:
                await self._ended(began_at, found)
                return
            found += findings.sentences
            await pause(self._stopping, self._monotonic() - started)

    async def _ended(self, began_at: datetime, found: list[str]) -> None:
        now = self._now()
        await self._soundness.end(found, now)
        self._waits_since = None
        self._last = Inspected(began_at=began_at, ended_at=now, found=found)
        seconds = round((now - began_at).total_seconds(), 1)
        log.info("store.compared", seconds=seconds, count=len(found))

    async def _until_due(self) -> None:
        """Return a day later, once no message came for a while, or when it cannot wait longer."""
        ended_at = self._now()
        newest = 0
        while not self._stopping.is_set():
            await pause(self._stopping, self._quiet_seconds)
            await self._soundness.retry()
            before, newest = newest, await self._soundness.newest_message()
            waited = abs(self._now() - ended_at)  # also where the clock was set back
            quiet = newest == before
            if waited >= INSPECTED_EVERY + (timedelta() if quiet else INSPECTED_AT_LATEST):
                return


@frozen(kw_only=True)
class ClockStep:
    """The wall clock was set, or the machine slept."""

    seconds: float  # forward, or back where negative
    at: datetime  # by the clock as it was then set

    def __str__(self) -> str:
        way = "forward" if self.seconds > 0 else "back"
        return f"The clock was set {way} by {abs(self.seconds):.0f} s"

    @property
    def advice(self) -> str:
        """What to do about it."""
        return (
            "See what sets the clock (timedatectl), or whether the machine slept. Retries and"
            " leases were moved with it; clinical times were not, and go by the new time. Times"
            " from before and after it do not fit together."
        )


class ClockWatch:
    """Compares the two clocks."""

    def __init__(self, now: Callable[[], datetime], monotonic: Callable[[], float]) -> None:
        self._now, self._monotonic = now, monotonic
        self.looked_at = now()  # by the clock as it was found then
        self._expected = self._difference()
        self.last: ClockStep | None = None

    def step(self) -> ClockStep | None:
        """Return the step that nobody has followed yet."""
        self.looked_at = self._now()
        difference = self._difference()
        seconds = difference - self._expected
        if abs(seconds) >= STEP_SECONDS:
            return ClockStep(seconds=seconds, at=self.looked_at)
        self._expected = difference
        return None

    def followed(self, step: ClockStep) -> None:
        """Expect the clock to go on from there."""
        self._expected += step.seconds
        self.last = step

    def _difference(self) -> float:
        return self.looked_at.timestamp() - self._monotonic()


class OurTroubles:
    """Lets the store have what is out of order, and forget what is no more."""

    def __init__(self, breaks: Breaks, found: Callable[[], Mapping[str, datetime]]) -> None:
        """*found* says what is out of order by its name there, and since when."""
        self._breaks = breaks
        self._found = found
        self._kept: dict[str, datetime] | None = None  # None: nobody has looked yet

    async def keep(self) -> None:
        """Keep what has changed since the last time."""
        found = self._found()
        if self._kept is None:
            known = await self._breaks.known()
            self._kept = {name: since for name, since in known.items() if is_our_own(name)}
        for name in [name for name, since in self._kept.items() if found.get(name) != since]:
            await self._breaks.ended(name)
            del self._kept[name]
        for name in found.keys() - self._kept.keys():
            await self._breaks.began(name, found[name])
            self._kept[name] = found[name]


class Housekeeper:
    """Does what falls due with time."""

    def __init__(
        self,
        store: Store,
        *,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        longest_wait: timedelta,
        longest_life: timedelta,
        every_seconds: float = EVERY_SECONDS,
        proven: Callable[[], None] = lambda: None,
        expiries: Callable[[datetime], None] = lambda _now: None,
        troubles: Callable[[], Awaitable[None]] | None = None,
        presence: Callable[[], Awaitable[None]] | None = None,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        """
        Make one for *store*, where nothing is scheduled further ahead than *longest_wait*.

        No message is tried for longer than *longest_life*, unless its end is a clinical time.

        *proven* is called after each round: its writes were committed. *expiries* looks now
        and then whether something that the gateway works with will end. *troubles* keeps since
        when what we need ourselves is out of order, and *presence* that we are up. *leads*: whether
        this node, of several, follows the clock for all: what is due each of them may do.
        """
        self._leads = leads
        self._store = store
        self._proven = proven
        self._expiries = expiries
        self._troubles, self._presence = troubles, presence
        self._now = now
        self._longest = longest_wait, longest_life
        self._clock = ClockWatch(now, monotonic)
        self._every_seconds = every_seconds
        self._stopping = asyncio.Event()
        self._recalled = False  # what lies further ahead than any pause: looked for since the start
        self._alarm: int | None = None  # the last that the log has; None: it has not begun

    async def run(self) -> None:
        """Tidy until stopped."""
        rounds = 0
        while not self._stopping.is_set():
            rounds += 1
            await self._round(seldom=rounds % SELDOM_ROUNDS == 0)
            self._proven()
            if not self._store.rounds.more():  # after a long stop, much is due at once
                await pause(self._stopping, self._every_seconds)

    async def _round(self, *, seldom: bool) -> None:
        steps = [*self._steps, self._look_at_expiries, self.look_at_questions]
        for step in steps if seldom else self._steps:
            try:
                await step()
            except StoreUnavailable as error:
                # The writer lives and has said so; ending the process would make no room.
                log.error("store.unavailable", reason=str(error), advice=error.advice)
                return
            except Exception as error:  # unit of work
                await self._store.asides.tell(Aside.WORK, error, self._now())

    def stop(self) -> None:
        """Stop before the next round."""
        self._stopping.set()

    @property
    def clock_step(self) -> ClockStep | None:
        """How the wall clock was last set while we ran."""
        return self._clock.last

    @property
    def _steps(self) -> Sequence[Callable[[], Awaitable[None]]]:
        """What is done in each round, in that order."""
        return (
            self._follow_clock,
            self._release_lapsed,
            self._give_up,
            self._tell_delays,
            self._tell_unread,
            self._tell_due,
            self._tell_alarms,
            *filter(None, (self._troubles, self._presence)),
        )

    @property
    def _at(self) -> datetime:
        """The moment that a round goes by: what is set in its middle, the next one follows."""
        return self._clock.looked_at

    async def _look_at_expiries(self) -> None:
        self._expiries(self._at)

    async def _release_lapsed(self) -> None:
        released = await self._store.outbound.release_lapsed(self._at)
        if released:
            log.warning("outbound.leases_lapsed", count=released)

    async def _tell_delays(self) -> None:
        late = await self._store.outbound.tell_delays(self._at)
        if late:
            log.warning("outbound.delayed", count=late)

    async def _tell_unread(self) -> None:
        unread = await self._store.cancellations.tell_unread(self._at)
        if unread:
            log.warning("outbound.cancellations_unread", count=unread)

    async def _tell_due(self) -> None:
        soon, overdue = await self._store.conversations.tell_due(self._at)
        if soon:
            log.warning("workflow.answers_due_soon", count=soon)
        if overdue:
            log.error("workflow.answers_overdue", count=overdue)

    async def _give_up(self) -> None:
        given_up = await self._store.outbound.give_up(self._at)
        if given_up:
            log.error("outbound.given_up", count=given_up)

    async def _tell_alarms(self) -> None:
        """
        Say in the log what was raised since the round before; at first, how many stand of each.

        Those were said when they were raised, but for what a restore has raised.
        """
        if self._alarm is None:
            self._alarm = await self._store.alarms.newest()
            standing = await self._store.alarms.standing(None, ALARMS_AT_ONCE)
            counts = Counter((each.kind, each.provider) for each in standing)
            for (kind, provider), count in counts.items():
                log.warning(
                    "alarm.standing", kind=kind, provider=provider, count=count, advice=_SEE_PAGE
                )
            return
        for alarm in await self._store.alarms.raised(self._alarm, ALARMS_AT_ONCE):
            self._alarm = alarm.number
            of_kind = ALARMS[alarm.kind]
            say = log.error if of_kind.severe else log.warning
            say(
                "alarm.raised",
                kind=alarm.kind,
                provider=alarm.provider,
                request_id=alarm.request_id,
                workflow_id=alarm.workflow_id,
                code=" ".join(alarm.codes) or None,
                count=alarm.times,
                advice=alarm.words.advice,
            )

    async def look_at_questions(self) -> None:
        """Raise an alarm for what no EPR answers, and forget reads that are over."""
        unanswered = await self._store.questions.tell_unanswered(self._at)
        if unanswered:
            log.error("epr.questions_unanswered", count=unanswered)

    async def _follow_clock(self) -> None:
        step = self._clock.step()
        if not self._leads():
            # Another node moves what is scheduled. If that dies over it, who follows it recalls.
            self._recalled = False
            if step is not None:
                self._clock.followed(step)
            return
        if step is not None:
            moved = await self._store.waiting.reschedule(timedelta(seconds=step.seconds))
            self._clock.followed(step)
            seconds = round(step.seconds, 3)
            log.warning("clock.stepped", seconds=seconds, count=moved, advice=step.advice)
        if step is None and self._recalled:
            return
        recalled = await self._store.waiting.recall(self._at, *self._longest)
        self._recalled = True
        if recalled:
            log.warning("outbound.recalled", count=recalled)
