"""
Lets records leave whose time is over: each night, or when somebody asks; a few at a time.

    night, or a person ─► begin ─► class by class: judge ─► remove ─► pause ─┐ ─► end ─► certificate
                                                     ▲───────────────────────┘
                                   the file's empty pages ─► the disk, a few at a time

It works beside messages, through the one writer that they need. So each removal is small, as many
records as take SHORT_SECONDS, and after it follows a pause of several times as long as it took with
its sync: a message waits for one removal at most, and the log stays short between two checkpoints.
What a removal took is measured, and the next is larger or smaller.

Where the process dies, the next start goes on with the same purge, at the record where it was. A
removal is one transaction with its line in the certificate. A copy in the EPR's folder is entered
first and removed then, and is looked for again at the next start.

A night that was missed is not made up for by day: the next one follows. Whether one came to its end
lately is told (`purge.late`), for a database that only grows is noticed when the disk is full.

Ages are counted by the wall clock, and what has left comes back from a backup alone. So a night
counts them no further than the gateway has been up since the last one (`store.ages`); and where by
the clock more than a week has passed since then, none begins by itself: it may have been set ahead,
by years perhaps. A person looks at it, and begins one.

Of several nodes on one database, one carries a purge out, with the copies in its own folders. Each
other one follows when that has ended, and removes the copies in its folders by the same rules and
to the same moment (`OwnFolders`).

Decisions: D-retention, D-several-nodes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

import structlog

from bars_gateway.errors import StoreUnavailable
from bars_gateway.frozen import frozen
from bars_gateway.model.retention import (
    PURGED,
    Certificate,
    Purge,
    RecordClass,
    RetentionRules,
)
from bars_gateway.stopping import pause
from bars_gateway.store.ages import DOUBTED_AFTER
from bars_gateway.store.connection import LOOKING
from bars_gateway.store.purges import BY_ITSELF, Purges

log = structlog.get_logger(__name__)

SHORT_SECONDS = 0.005  # what a message may wait for: one removal
AT_FIRST, MOST = 8, 50  # records of one removal: what it writes waits for the next checkpoint
PAGES_AT_FIRST, MOST_PAGES = 8, 32  # of the file, given back at a time
RESTS = 4.0  # times as long as a removal took
SHORTEST_REST = 0.002  # seconds
LOOKS_EVERY = 30.0  # seconds between two looks at the clock
AFTER_TROUBLE = 60.0  # seconds, where the store takes nothing
NIGHT = timedelta(hours=5)  # in which one may begin that was missed
COPIES_AT_ONCE = 200
LATE_AFTER = timedelta(days=3)  # nights that it may miss without a word: a weekend

_CLOCK_ADVICE = (
    "See that the clock is right (timedatectl). If it is, begin one: bars-gateway purge --why TEXT;"
    " from then on, each night does."
)


class Copies(Protocol):
    """What one EPR has left in its folder."""

    def numbers(self, before: datetime) -> Sequence[int]:
        """Return the numbers of notices with files that nobody has touched since; it blocks."""

    def remove(self, numbers: Sequence[int]) -> None:
        """Remove every file of those notices; it blocks."""


@dataclass(slots=True)
class Portion:
    """How much is done at a time, by how long it took."""

    size: int
    most: int

    def took(self, seconds: float) -> None:
        """Make the next one larger or smaller."""
        if seconds > 2 * SHORT_SECONDS:
            self.size = max(1, self.size // 2)
        elif seconds < SHORT_SECONDS:
            self.size = min(self.most, self.size + max(1, self.size // 4))


class Purging:
    """Carries out one purge after the other."""

    def __init__(
        self,
        purges: Purges,
        copies: Mapping[str, Copies],
        *,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        stopping: asyncio.Event,
        rests: float = RESTS,
    ) -> None:
        """Make one; *copies*: of each provider whose EPR is given files. *rests*: 0 offline."""
        self._purges, self._copies = purges, copies
        self._now, self._monotonic = now, monotonic
        self._stopping, self._rests = stopping, rests
        self._records = Portion(AT_FIRST, MOST)
        self._pages = Portion(PAGES_AT_FIRST, MOST_PAGES)

    async def carry_out(self, purge: Purge) -> Certificate | None:
        """Go on with *purge* to its end; None: we were stopped, and the next start goes on."""
        for record_class in PURGED:
            if record_class is RecordClass.INBOX:
                await self._left_copies(purge)
            else:
                await self._class(purge, record_class)
        if self._stopping.is_set():
            return None
        ended = await self._purges.end_purge(purge, self._now())
        for each in ended.classes:
            if each.count:
                name = f"{purge.number}"
                log.info("records.purged", name=name, kind=each.record_class, count=each.count)
        return ended

    async def give_back(self) -> None:
        """Give what is empty in the file back to the disk, a few pages at a time."""
        left = 1
        while left and not self._stopping.is_set():
            started = self._monotonic()
            left, took = await self._purges.give_back(self._pages.size)
            self._pages.took(took)
            await self._rest(started)

    async def _class(self, purge: Purge, record_class: RecordClass) -> None:
        done = await self._purges.progress(purge, record_class)
        if done.ended_at is not None:
            return
        after, more = done.reached, True
        while more and not self._stopping.is_set():
            found = await self._purges.judge(purge, record_class, after)
            await self._remove(purge, record_class, found.due)
            after, more = found.reached, found.more
            await pause(self._stopping, SHORTEST_REST if self._rests else 0.0)
        if not self._stopping.is_set():
            await self._purges.end_class(purge, record_class, self._now())

    async def _remove(self, purge: Purge, record_class: RecordClass, due: Sequence[int]) -> None:
        left = list(due)
        while left and not self._stopping.is_set():
            some, left = left[: self._records.size], left[self._records.size :]
            started = self._monotonic()
            self._records.took(await self._purges.remove_records(purge, record_class, some))
            await self._rest(started)

    async def _rest(self, started: float) -> None:
        """Pause for several times as long as it took, the disk's part included."""
        took = self._monotonic() - started
        if self._rests:
            await pause(self._stopping, max(SHORTEST_REST, self._rests * took))

    async def _left_copies(self, purge: Purge) -> None:
        """Remove what EPRs have left in their folders; again what was entered before a kill."""
        before = purge.rules.last_moment(RecordClass.INBOX, purge.counts_to)
        if before is None:
            return
        for provider, copies in self._copies.items():
            if purge.provider not in {None, provider}:
                continue
            note = partial(self._purges.note_copies, purge, provider)
            await _cleared(copies, before, note, self._stopping)


async def _cleared(
    copies: Copies,
    before: datetime,
    note: Callable[[Sequence[int]], Awaitable[Sequence[int]]],
    stopping: asyncio.Event,
) -> None:
    """Remove what of *copies* nobody has touched since *before* and *note* has entered."""
    numbers = await asyncio.to_thread(copies.numbers, before)
    for start in range(0, len(numbers), COPIES_AT_ONCE):
        if stopping.is_set():
            return
        gone = await note(numbers[start : start + COPIES_AT_ONCE])
        await asyncio.to_thread(copies.remove, gone)
        await pause(stopping, SHORTEST_REST)


@frozen(kw_only=True)
class PurgeState:
    """What is known of purges, for the page and its figures."""

    nightly: bool  # whether one is to begin each night
    since: datetime  # when the gateway began: nothing can be late before
    last: Certificate | None = None  # that came to its end; without its numbers
    running: bool = False
    doubted: datetime | None = None  # what the clock said when none was begun, for it may be ahead

    def late_since(self, now: datetime) -> datetime | None:
        """
        Return since when none has come to its end, where that is too long; None: all is well.

        It is too long at once where the clock is doubted: nothing is purged until a person is sure.
        """
        last = self.last.purge.ended_at if self.last else None
        last = last if last and last <= now else None  # else it ended by a clock that was ahead
        since = max(self.since, last) if last else self.since
        late = self.doubted is not None or now - since > LATE_AFTER
        return since if self.nightly and late else None


class Purger:
    """Begins a purge each night, and goes on with what has not ended."""

    def __init__(
        self,
        purges: Purges,
        purging: Callable[[asyncio.Event], Purging],
        rules: RetentionRules,
        *,
        nightly_at: str | None,
        wait: Callable[[float], Awaitable[None]],
        wake: Callable[[], None],
        now: Callable[[], datetime],
    ) -> None:
        """Make one; *nightly_at*: HH:MM in UTC, None: never by itself."""
        self._purges, self._purging, self._rules = purges, purging, rules
        self._at, self._wait, self._wake, self._now = nightly_at, wait, wake, now
        self._stopping = asyncio.Event()
        self.state = PurgeState(nightly=nightly_at is not None, since=now())

    def stop(self) -> None:
        """End with the removal that is under way."""
        self._stopping.set()
        self._wake()

    async def run(self) -> None:
        """Purge what is due until stopped."""
        await _look_now_and_then(self.look, self._stopping, self._wait)

    async def look(self) -> None:
        """Go on with a purge that has not ended, or begin one where it is time."""
        last = await self._purges.last_ended()
        self._note(last, running=False)
        if self.state.doubted is not None:
            # The clock may have been set right, or a person was sure of it.
            await self._is_doubted()
        purge = await self._purges.unfinished()
        if purge is None and self._is_due(last) and not await self._is_doubted():
            purge = await self._purges.begin_purge(None, BY_ITSELF, self._rules, self._now())
        if purge is None:
            return
        self._note(last, running=True)
        purging = self._purging(self._stopping)
        await purging.carry_out(purge)
        await purging.give_back()
        self._note(await self._purges.last_ended(), running=False)

    def _note(self, last: Certificate | None, *, running: bool) -> None:
        state = self.state
        self.state = replace(state, last=last, running=running)

    def _is_due(self, last: Certificate | None) -> bool:
        if self._at is None:
            return False
        now = self._now()
        begins = latest(self._at, now)
        if last is None or last.purge.began_at > now:  # by a clock that was ahead
            return now < begins + NIGHT
        return now < begins + NIGHT and last.purge.began_at < begins

    async def _is_doubted(self) -> bool:
        """Tell whether the clock has gone further than nights go, and let people know."""
        now, known = self._now(), await self._purges.last_moment()
        if known is None or now - known <= DOUBTED_AFTER:
            self.state = replace(self.state, doubted=None)
            return False
        if self.state.doubted is None:
            log.error("purge.clock_doubted", days=(now - known).days, advice=_CLOCK_ADVICE)
        self.state = replace(self.state, doubted=now)
        return True


async def _look_now_and_then(
    look: Callable[[], Awaitable[None]],
    stopping: asyncio.Event,
    wait: Callable[[float], Awaitable[None]],
) -> None:
    LOOKING.set(True)  # such looks have time, and stand before nobody's message
    while not stopping.is_set():
        seconds = LOOKS_EVERY
        try:
            await look()
        except StoreUnavailable as error:
            log.error("store.unavailable", reason=str(error), advice=error.advice)
            seconds = AFTER_TROUBLE
        await wait(0.0 if stopping.is_set() else seconds)


class OwnFolders:
    """
    Removes the copies in one node's folders, as each purge would have at its end.

    Where the process died, copies that were entered may lie there still. So the next start follows
    the last purge of everything, and those after it, once more: each copy is entered again as it is
    removed.
    """

    def __init__(
        self,
        purges: Purges,
        copies: Mapping[str, Copies],
        *,
        node: str,
        now: Callable[[], datetime],
    ) -> None:
        """Make one; *copies*: of each provider whose EPR is given files by this node."""
        self._purges, self._copies, self._node, self._now = purges, copies, node, now
        self._followed = 0  # the number of a purge
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End with the copies that are being removed."""
        self._stopping.set()

    async def run(self) -> None:
        """Follow each purge until stopped."""
        await _look_now_and_then(self.look, self._stopping, partial(pause, self._stopping))

    async def look(self) -> None:
        """Follow each purge that has ended, where that has not been done."""
        for purge in await self._purges.to_follow(self._followed):
            await self._follow(purge)
            if self._stopping.is_set():
                return
            self._followed = purge.number

    async def _follow(self, purge: Purge) -> None:
        before = purge.rules.last_moment(RecordClass.INBOX, purge.counts_to)
        if before is None:
            return
        for provider, copies in self._copies.items():
            if purge.provider in {None, provider}:
                await _cleared(copies, before, partial(self._note, purge, provider), self._stopping)

    async def _note(self, purge: Purge, provider: str, numbers: Sequence[int]) -> Sequence[int]:
        found = await self._purges.certify_copies(purge, provider, numbers, self._node, self._now())
        gone, own = found
        if own is not None:
            name = f"{own.purge.number}"
            log.info("records.purged", name=name, kind=RecordClass.INBOX, count=len(gone))
        return gone


def latest(at: str, now: datetime) -> datetime:
    """Return when it last was *at* (HH:MM), up to *now*, both in UTC."""
    hour, minute = map(int, at.split(":"))
    today = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return today if today <= now else today - timedelta(days=1)
