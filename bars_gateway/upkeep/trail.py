"""
Keeps the audit trail so that it shows what is done to it: sealed, told to others, walked again.

    a day is over (UTC) ─► sealed by a line of the trail ─┐
    every hour, and at a stop ─► its head                 ├─► file of heads, synced ─► journal
                                                          ┘
    at a start, and once a day ─► walked to its end, and held against the file of heads
                                    └─► what is wrong: a line, an alarm, the log
    a day's time is over ─► a line that says so, with its hash ─► its lines leave
    what commands report that they did beside the gateway ─► a line each

Whoever can write the database can compute the whole chain again, but not what others were told of
it. So the head goes to the journal, which ought to leave the machine.

Where the process dies, whatever step it was at: a seal is there or is made at the next look; what
the file of heads lacks of the seals is added then; a report is entered once; a walk begins again.

The walk takes small steps, each on a snapshot of its own and with a pause several times as long,
on the connection that pages read on: no message waits for it.

Decisions: D-chain, D-reports.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from bars_gateway.frozen import frozen
from bars_gateway.model.trail import BreachKind, Seal, TrailHead, Witness
from bars_gateway.stopping import pause
from bars_gateway.store.chain import Chain, Walk
from bars_gateway.store.connection import LOOKING
from bars_gateway.store.heads import keep_head, witnesses_in
from bars_gateway.store.reports import Reports, reported
from bars_gateway.store.rows import text

log = structlog.get_logger(__name__)
EVERY_SECONDS = 5.0
HEAD_EVERY = timedelta(hours=1)
WALKED_EVERY = timedelta(days=1)
WALK_LATE, HEAD_LATE = 2 * WALKED_EVERY, 3 * HEAD_EVERY  # by then a person has to hear of it
_LINES = 500  # of one step: some milliseconds
_RESTS = 4.0  # times as long as the step took
_SEALS_AT_ONCE = 400
_REMOVED_AT_ONCE = 50  # a message waits for one such removal at most
_ADVICE = "bars-gateway audit verify says all of it; docs/runbooks.md at `audit.broken`."
_FILE_ADVICE = (
    "See that the gateway's user may read and write `path`, and that the disk has room."
    " Until then the journal alone has what the trail came to."
)
_REPORT_ADVICE = "Whoever wrote it was no command of this release: see who did, and remove it."


@frozen(kw_only=True)
class TrailState:
    """How the audit trail is looked after, for the page and its figures."""

    since: datetime  # when the gateway began: nothing can be late before
    sealed_to: datetime | None = None  # the end of the last day that is sealed
    kept_at: datetime | None = None  # when the head was last kept in the file of heads
    walked_at: datetime | None = None  # since the start
    found: Mapping[BreachKind, int] | None = None  # by that walk: how many places, of which kind

    def late_since(self, now: datetime) -> datetime | None:
        """Return since when it was not walked, or not told to others; None: not for too long."""
        walked, told = self._last(self.walked_at, now), self._last(self.kept_at, now)
        late = [at for at, most in ((walked, WALK_LATE), (told, HEAD_LATE)) if now - at > most]
        return min(late, default=None)

    def _last(self, at: datetime | None, now: datetime) -> datetime:
        """Return when that was done last: by a clock that was not ahead, since the start."""
        return max(self.since, at) if at is not None and at <= now else self.since


class TrailKeeper:
    """Looks after the audit trail."""

    def __init__(
        self,
        chain: Chain,
        reports: Reports,
        *,
        heads: Path,
        reports_dir: Path,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        look: Callable[[], Awaitable[None]],
        kept_days: int = 0,
        every_seconds: float = EVERY_SECONDS,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        """
        *look* finds what has changed beside the gateway, and has the trail tell of it.

        *kept_days*: for how long a line stays; 0: for good. *leads*: whether this node, of several,
        seals, walks and removes for all; each of them tells the head to its own file and journal.
        """
        self._leads = leads
        self._chain, self._reports = chain, reports
        self._heads, self._reports_dir = heads, reports_dir
        self._now, self._monotonic = now, monotonic
        self._look = look
        self._kept_days = kept_days
        self._every_seconds = every_seconds
        self._stopping = asyncio.Event()
        self.state = TrailState(since=now())
        self._sealed_on: str | None = None  # the day on which that was looked at last
        self._head_due: datetime | None = None
        self._walk_due: datetime | None = None

    async def run(self) -> None:
        """Keep it until stopped."""
        LOOKING.set(True)
        while not self._stopping.is_set():
            await self.keep()
            await pause(self._stopping, self._every_seconds)

    def stop(self) -> None:
        """Begin nothing new; a walk ends at its next step."""
        self._stopping.set()

    async def keep(self) -> None:
        """Do once what is due."""
        now = self._now()
        await self.enter_reports()
        await self._look()
        if self._leads() and self._sealed_on != f"{now:%Y-%m-%d}":
            await self.seal()
            await self.remove_old()
            self._sealed_on = f"{now:%Y-%m-%d}"
        if _is_due(self._head_due, HEAD_EVERY, now):
            await self.tell_head()
        if self._leads() and _is_due(self._walk_due, WALKED_EVERY, now):
            self._walk_due = now + WALKED_EVERY
            await self.walk()

    async def enter_reports(self) -> None:
        """Let the trail have what was done beside the gateway."""
        for each in await asyncio.to_thread(lambda: list(reported(self._reports_dir))):
            if isinstance(each, Path):
                each.rename(each.with_suffix(".refused"))
                log.error("audit.report_refused", path=str(each), advice=_REPORT_ADVICE)
                continue
            await self._reports.enter(each, self._now())
            each.path.unlink(missing_ok=True)
            log.info("audit.reported", kind=each.kind)

    async def seal(self) -> None:
        """Seal the day before, and tell of each seal that the file of heads has not."""
        await self._chain.seal(self._now())
        known = await self._known()
        # Of a file that cannot be read nobody knows what it lacks: the log has the older ones.
        newest = await self._chain.newest_seals(1 if known is None else _SEALS_AT_ONCE)
        told = {(each.line, each.hash) for each in known or ()}
        for each in reversed(newest):
            if (each.through, each.hash) not in told:
                await self._tell(_of_seal(each))
                log.info(
                    "audit.sealed",
                    day=each.day,
                    line=each.through,
                    hash=each.hash,
                    count=each.lines,
                )
        if newest:
            self._now_known(sealed_to=_end_of(newest[0].day))

    async def remove_old(self) -> None:
        """Let the days leave whose time is over, one after the other, some lines at a time."""
        more = True
        while more and not self._stopping.is_set():
            started = self._monotonic()
            some = await self._chain.remove(_REMOVED_AT_ONCE, self._now())
            more = some or await self._anchor()
            await pause(self._stopping, _RESTS * (self._monotonic() - started))

    async def _anchor(self) -> bool:
        now = self._now()
        if not self._kept_days:
            return False
        seal = await self._chain.removable(self._kept_days, now)
        if seal is None or not await self._chain.anchor(seal, self._kept_days, now):
            return False
        log.info("audit.anchored", day=seal.day, line=seal.through, hash=seal.hash)
        return True

    async def tell_head(self) -> None:
        """Tell others of the last line."""
        head = await self._chain.head()
        self._head_due = self._now() + HEAD_EVERY
        if head is not None:
            if await self._tell(_of_head(head, self._now())):
                self._now_known(kept_at=self._now())
            log.info("audit.head", line=head.line, hash=head.hash)

    async def walk(self) -> None:
        """Walk the trail to its end, and tell what is wrong with it."""
        walk = Walk()
        more = True
        while more:
            if self._stopping.is_set():
                return
            started = self._monotonic()
            more = await self._chain.step(walk, _LINES)
            await pause(self._stopping, _RESTS * (self._monotonic() - started))
        await self._chain.compare(walk, await self._known() or [])
        await self._chain.note_walk(walk, self._now())
        found = Counter(each.kind for each in walk.breaches)
        self._now_known(walked_at=self._now(), found=found)
        for breach in walk.breaches:
            log.error("audit.broken", line=breach.line, reason=breach.says, advice=_ADVICE)
        log.info("audit.verified", count=walk.lines)

    async def _known(self) -> list[Witness] | None:
        """Return what the file of heads tells; None: it cannot be read, which is logged."""
        try:
            return await asyncio.to_thread(witnesses_in, self._heads, str(self._heads))
        except FileNotFoundError:
            return []
        except OSError as error:
            self._cannot_keep(error)
            return None

    def _now_known(self, **found: Any) -> None:
        self.state = replace(self.state, **found)

    async def _tell(self, told: Mapping[str, object]) -> bool:
        """Keep it in the file of heads; tell whether that was possible."""
        try:
            await asyncio.to_thread(keep_head, self._heads, told)
        except OSError as error:
            self._cannot_keep(error)
            return False
        return True

    def _cannot_keep(self, error: OSError) -> None:
        log.error(
            "audit.head_not_kept",
            path=str(self._heads),
            reason=error.strerror,
            advice=_FILE_ADVICE,
        )


def _is_due(due: datetime | None, every: timedelta, now: datetime) -> bool:
    """Tell whether it is: what lies further ahead than it may, the clock was ahead for."""
    return due is None or not now < due <= now + every


def _end_of(day: str) -> datetime | None:
    """Return when that day was over, in UTC; None: it is the day of no calendar."""
    try:
        return datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        return None


def _of_seal(seal: Seal) -> Mapping[str, object]:
    return {"day": seal.day, "line": seal.through, "hash": seal.hash}


def _of_head(head: TrailHead, now: datetime) -> Mapping[str, object]:
    return {"at": text(now), "line": head.line, "hash": head.hash}
