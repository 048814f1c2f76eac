"""
The EPR's inbox: writes what we owe it into inbox/new, and knows whether it is taken away.

    store.notices.pending ─► inbox/tmp ─► disk ─► inbox/new ─► disk ─► store.notices.collect
                                  (as many as fit, with one sync and one commit)

    000000001234.notice.json    what the gateway says about the message    written first
    000000001234.answer.json    the acknowledgement, if there is one
    000000001234.message.json   the Bundle, byte for byte as it came       written last

    000000001234.outcome.json   the fate of a message that was sent, beside its answer
    000000001234.overdue.json   all else that is told, under the name of its kind (`file_of`)

The number is the EPR's key. It is the notice's for good, so that a delivery which a
crash interrupts is written again under the same name: at least once, and never under
two names. A notice with which the gateway hits an internal error, that nobody foresaw, is kept
back until the next start, with an alarm; the others are delivered.

On a share another program (a virus scanner) may have a file open that is still ours, so that nobody
can move it. Its notice waits until it is closed, and so does what comes after it in its workflow,
which must not overtake it; all others are delivered.

The EPR acts on `.message.` and on what is named for a kind; whatever
belongs to those is there before them.

    inbox/new ──names──┐
                       ├─► unread, by use case, with age ─► page, metrics
    not collected ─────┘
    outbox/refused ────► refused, and not taken away either (`epr.refusals`)
    what it asks, submits or takes away ─► last seen

A notice that was written into the folder counts as collected, and may lie there for days all
the same, also after the EPR has gone over to the socket. So the folder is looked at: by names
alone, never more than MOST_LOOKED_AT of them, on a thread.
When an EPR was seen is known since the gateway started, and not before.
"""

import asyncio
import errno
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

import structlog

from bars_gateway.disk import sync_folder
from bars_gateway.epr import documents
from bars_gateway.epr.folders import is_open_elsewhere
from bars_gateway.epr.refusals import MOST_LOOKED_AT, RefusedFiles
from bars_gateway.epr.spool import Spool
from bars_gateway.errors import GatewayError, StoreUnavailable
from bars_gateway.frozen import frozen
from bars_gateway.model.messages import NoticeKind, Part
from bars_gateway.model.readings import Notice
from bars_gateway.permissions import cure_of_stalled
from bars_gateway.stopping import pause, unless_stopped
from bars_gateway.store.asides import Aside
from bars_gateway.store.readings import EprCondition, LyingRefusals
from bars_gateway.store.store import Store

log = structlog.get_logger(__name__)

LOOK_SECONDS = 15.0
_NOTICE = re.compile(r"(\d{12,18})\..+", re.ASCII)
_BATCH = 64  # notices written with one sync and confirmed with one commit
_BATCH_BYTES = 8 * 1024 * 1024  # of bodies in memory at a time
_LOOK_AGAIN = 30.0  # seconds; a net below the store's wake-up
_AFTER_TROUBLE = 5.0  # seconds until a folder or store that takes nothing is tried again
# The notice's own document lies in N.notice.json, beside the message; its kind is in it.
_WITH_MESSAGE = frozenset({NoticeKind.MESSAGE, NoticeKind.AMENDED})


@frozen
class _File:
    name: str
    body: bytes


_Composed = tuple[Notice, Sequence[_File]]


def file_of(kind: NoticeKind, number: str) -> str:
    """Return what the file of a notice of that *kind* and *number* is called."""
    return f"{number}.notice.json" if kind in _WITH_MESSAGE else f"{number}.{kind}.json"


class Deliveries:
    """Delivers one provider's notices into its folder."""

    def __init__(
        self,
        store: Store,
        spool: Spool,
        *,
        provider: str,
        now: Callable[[], datetime],
        pause_seconds: float = _AFTER_TROUBLE,
    ) -> None:
        self._store = store
        self._spool = spool
        self._provider = provider
        self._now = now
        self._pause_seconds = pause_seconds
        self._stopping = asyncio.Event()
        self._beat: Callable[[], None] = lambda: None
        self.trouble: str | None = None  # why notices wait; None while they are delivered
        self._held: str | None = None  # why one cannot be written, which holds up no other
        self._waiting: set[int] = set()  # numbers of those, at the last look
        self._passed_over = 0  # those, and what must not overtake them: at the last look

    async def run(self, beat: Callable[[], None] = lambda: None) -> None:
        """Deliver until stopped; *beat* at each step."""
        self._beat = beat
        while not self._stopping.is_set():
            beat()
            most = _BATCH + self._passed_over
            notices = await self._store.notices.pending(self._provider, most)
            if notices:
                await self._deliver_or_pause(notices)
            else:
                waking = self._store.notices.wait_for_work(self._provider, _LOOK_AGAIN)
                await unless_stopped(self._stopping, waking)

    def stop(self) -> None:
        """Begin no further delivery; the one in hand is finished."""
        self._stopping.set()

    async def _deliver_or_pause(self, notices: Sequence[Notice]) -> None:
        try:
            delivered = await self._deliver(notices)
        except OSError as error:
            reason = errno.errorcode.get(error.errno or 0, "unknown")
            advice = f"{cure_of_stalled(reason)} Notices wait meanwhile."
            await self._complain_and_pause(reason, advice)
        except StoreUnavailable as error:
            await self._complain_and_pause("the store cannot be read", error.advice)
        else:
            await self._confirm(delivered)
            if self._held:
                self._complain(self._held, cure_of_stalled(self._held))
            if not delivered:  # all of them wait or were kept back, unless even that failed
                await pause(self._stopping, self._pause_seconds)

    async def _confirm(self, delivered: Sequence[Notice]) -> None:
        """
        Remember that the EPR has these, however long the store has no room for it.

        They are not delivered again meanwhile: the EPR may have taken the files away,
        and would get them again with every try.
        """
        numbers = [notice.notice_id for notice in delivered]
        while not await self._collected(numbers):
            if self._stopping.is_set():
                return
        if not self._held:
            self.trouble = None
        for notice in delivered:
            log_collected(notice, self._now())

    async def _collected(self, numbers: Sequence[int]) -> bool:
        self._beat()
        try:
            await self._store.notices.collect(self._provider, numbers, self._now())
        except StoreUnavailable as error:
            await self._complain_and_pause("the store takes nothing more", error.advice)
            return False
        except Exception as error:  # unit of work
            # The files are there, and are not written again for as long as we run.
            await self._store.asides.tell(Aside.WORK, error, self._now(), provider=self._provider)
            await self._complain_and_pause("the store failed", GatewayError.advice)
            return False
        return True

    async def _complain_and_pause(self, reason: str, advice: str) -> None:
        self._complain(reason, advice)
        await pause(self._stopping, self._pause_seconds)

    def _complain(self, reason: str, advice: str) -> None:
        """Say once that notices wait, until none does for such a reason."""
        if self.trouble is None:
            log.warning(
                "epr.delivery_failed",
                provider=self._provider,
                path=str(self._spool.inbox_new.path),
                reason=reason,
                advice=advice,
            )
        self.trouble = reason

    async def _deliver(self, notices: Sequence[Notice]) -> list[Notice]:
        """Write as many of *notices* as may be in memory together, and return those."""
        composed: list[_Composed] = []
        size, self._held = 0, None
        for notice in self._in_turn(notices):
            files = await self._files_or_none(notice)
            composed += [(notice, files)] if files else []
            size += sum(len(file.body) for file in files)
            if size >= _BATCH_BYTES:
                break
        return await self._written(composed)

    def _in_turn(self, notices: Sequence[Notice]) -> Sequence[Notice]:
        """Return what to write, last what waited at the last look, without what follows that."""
        waited, self._waiting = self._waiting, set()
        first, last = [], []
        behind: set[int] = set()  # workflows
        for notice in notices:
            if notice.workflow_id in behind:
                continue
            if notice.notice_id in waited:
                behind.add(notice.workflow_id)
                last.append(notice)
            else:
                first.append(notice)
        self._passed_over = len(notices) - len(first)
        return [*first, *last]

    async def _written(self, composed: Sequence[_Composed]) -> list[Notice]:
        """Write all together, or where that fails each by itself; return those that could be."""
        try:
            return await asyncio.to_thread(self._write, composed)
        except OSError:
            raise
        except Exception as error:  # unit of work
            if len(composed) > 1:
                return await self._each_written(composed)
            await self._store.asides.keep_back(self._provider, composed[0][0].notice_id, error)
            return []

    async def _each_written(self, composed: Sequence[_Composed]) -> list[Notice]:
        """Write each by itself; what follows one that was not waits for the next look."""
        done: list[Notice] = []
        waiting: set[int] = set()  # workflows
        for one in composed:
            workflow = one[0].workflow_id
            written = [] if workflow in waiting else await self._written([one])
            done += written
            if not written:
                waiting.add(workflow)
        return done

    async def _files_or_none(self, notice: Notice) -> list[_File]:
        """Return the files of a notice; none after an internal error: it is kept back, and told."""
        try:
            return await self._files(notice)
        except StoreUnavailable:
            raise  # it is not this notice's fault
        except Exception as error:  # unit of work
            await self._store.asides.keep_back(self._provider, notice.notice_id, error)
            return []

    async def _files(self, notice: Notice) -> list[_File]:
        """Return the files of one notice, in the order in which they must appear."""
        number = f"{notice.notice_id:012d}"
        document = documents.encode(documents.notice(notice))
        answer = await self._payload(notice, Part.ANSWER, f"{number}.answer")
        own = _File(file_of(notice.kind, number), document)
        if notice.kind not in _WITH_MESSAGE:
            return [*answer, own]
        message = await self._payload(notice, Part.REQUEST, f"{number}.message")
        return [own, *answer, *message]

    async def _payload(self, notice: Notice, part: Part, stem: str) -> list[_File]:
        payload = await self._store.messages.payload(notice.message_id, part)
        if payload is None:
            return []
        extension = "xml" if "xml" in payload.media_type else "json"
        return [_File(f"{stem}.{extension}", payload.body)]

    def _write(self, composed: Sequence[_Composed]) -> list[Notice]:
        """Put their files where the EPR looks; return the notices of which all lie there."""
        self._spool.require_in_place()
        self._spool.inbox_tmp.refresh()
        self._spool.inbox_new.refresh()
        written = self._flushed(self._each(self._put, composed))
        placed = self._each(self._place, written)
        self._spool.inbox_new.sync()
        return [notice for notice, _ in placed]

    def _each(
        self, step: Callable[[Sequence[_File]], None], composed: Sequence[_Composed]
    ) -> Sequence[_Composed]:
        """Do *step* for each; return those of which no other program has a file open."""
        done: list[_Composed] = []
        waiting: set[int] = set()  # workflows
        for notice, files in composed:
            if notice.workflow_id in waiting:
                continue
            try:
                step(files)
            except OSError as error:
                if not is_open_elsewhere(error):
                    raise
                waiting.add(notice.workflow_id)
                self._waiting.add(notice.notice_id)
                self._held = errno.errorcode[error.errno or 0]
            else:
                done.append((notice, files))
        return done

    def _put(self, files: Sequence[_File]) -> None:
        for file in files:
            self._spool.inbox_tmp.write(file.name, file.body)

    def _flushed(self, composed: Sequence[_Composed]) -> Sequence[_Composed]:
        """Put all on disk together, or where one is open elsewhere each by itself."""
        try:
            self._flush([file for _, files in composed for file in files])
        except OSError as error:
            if not is_open_elsewhere(error):
                raise
            return self._each(self._flush, composed)
        return composed

    def _flush(self, files: Sequence[_File]) -> None:
        self._spool.inbox_tmp.flush([file.name for file in files])

    def _place(self, files: Sequence[_File]) -> None:
        for file in files:
            self._spool.inbox_tmp.move(file.name, self._spool.inbox_new, file.name)


def log_collected(notice: Notice, now: datetime) -> None:
    """Log that the EPR was given a notice, and how long it waited for it."""
    log.info(
        "epr.notice_collected",
        provider=notice.provider,
        notice_id=notice.notice_id,
        kind=notice.kind,
        request_id=notice.request_id,
        correlation_id=notice.correlation_id,
        state=notice.state,
        seconds=round((now - notice.created_at).total_seconds(), 3),
    )


class Attendance:
    """What is known of one provider's EPR."""

    def __init__(
        self,
        store: Store,
        *,
        provider: str,
        asks: bool,
        inbox: Path,
        refusals: RefusedFiles,
        delivers: bool,
        late_after: Callable[[str], timedelta],
        now: Callable[[], datetime],
        look_seconds: float = LOOK_SECONDS,
        most: int = MOST_LOOKED_AT,
    ) -> None:
        """
        Make one.

        *asks*: it is to ask for questions, again and again. *delivers*: notices are written
        into *inbox* for it. Where it asks for those, too, some may lie there from before.
        """
        self.condition = EprCondition(provider=provider, asks=asks)
        self._store = store
        self._inbox = inbox
        self._refusals = refusals
        self._delivers = delivers
        self._late_after = late_after
        self._now = now
        self._look_seconds = look_seconds
        self._most = most
        self._lay: frozenset[int] = frozenset()
        self._stopping = asyncio.Event()
        self._in_place: Callable[[], bool] = lambda: True

    def looks_while(self, in_place: Callable[[], bool]) -> None:
        """Look only while that is so: what lies in place of a lost share is not this EPR's."""
        self._in_place = in_place

    def seen(self) -> None:
        """Note that the EPR has done something."""
        self.condition = replace(self.condition, seen_at=self._now())

    def asked(self) -> None:
        """Note that the EPR has asked for questions."""
        self.condition = replace(self.condition, asked_at=self._now(), seen_at=self._now())

    def refused(self) -> None:
        """Note that something was refused to the EPR."""
        refusals = self.condition.refusals + 1
        self.condition = replace(self.condition, refusals=refusals, refused_at=self._now())

    async def run(self, beat: Callable[[], None] = lambda: None) -> None:
        """Look at what lies there until stopped; *beat* at each look."""
        while not self._stopping.is_set():
            beat()
            await self.look()
            await pause(self._stopping, self._look_seconds)

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()

    async def look(self) -> None:
        """Look once at what lies there."""
        known, found = await self._look_at_notices(), await asyncio.to_thread(self._look_at_refused)
        if found is not None:
            late_after = self._late_after
            refused = [replace(each, late_after=late_after(each.use_case)) for each in found]
            if _count(refused) < _count(self.condition.refused):
                self.seen()
            self.condition = replace(self.condition, refused=refused)
        self.condition = replace(self.condition, known=known and found is not None)

    def _look_at_refused(self) -> Sequence[LyingRefusals] | None:
        return self._refusals.look() if self._in_place() else None

    async def _look_at_notices(self) -> bool:
        """Look at what it was given; tell whether that could be seen."""
        provider = self.condition.provider
        names = await asyncio.to_thread(self._names)
        if names is None:  # its trouble is told by who delivers
            return False
        lying = await asyncio.to_thread(_numbers, names)
        if self._lay - lying and len(names) < self._most:
            self.seen()
        self._lay = lying
        waiting = await self._store.unread.uncollected(provider, self._most)
        numbers = sorted({*waiting, *lying})
        unread = await self._store.unread.by_use_case(
            provider, numbers[: self._most], self._late_after
        )
        more = max(len(numbers), len(names)) >= self._most
        self.condition = replace(self.condition, unread=unread, more=more)
        return True

    def _names(self) -> list[str] | None:
        """Return what lies in the folder, up to so many names; None where it cannot be read."""
        if not self._in_place():
            return None if self._delivers else []
        try:
            with os.scandir(self._inbox) as entries:
                return [entry.name for entry in islice(entries, self._most)]
        except FileNotFoundError:
            return None if self._delivers else []
        except OSError:
            return None


def _count(lying: Sequence[LyingRefusals]) -> int:
    return sum(each.count for each in lying)


class LeftCopies:
    """What one EPR has left in its folder; everything here blocks."""

    def __init__(self, inbox: Path, in_place: Callable[[], bool] = lambda: True) -> None:
        """
        *inbox* is `inbox/new`, where files are moved for the EPR to take away.

        What lies there is this EPR's only while *in_place* says so: a share may be lost.
        """
        self._inbox, self._in_place = inbox, in_place

    def numbers(self, before: datetime) -> Sequence[int]:
        """Return the numbers of notices with files that nobody has touched since, in order."""
        if not self._in_place():
            return []
        try:
            with os.scandir(self._inbox) as entries:
                old = [each.name for each in entries if _lies_since(each, before)]
        except OSError:  # its trouble is told by who delivers
            return []
        return sorted(_numbers(old))

    def remove(self, numbers: Sequence[int]) -> None:
        """Remove every file of those notices, and nothing else."""
        if not self._in_place():
            return
        wanted = frozenset(numbers)
        with os.scandir(self._inbox) as entries:
            gone = [each.name for each in entries if _numbers([each.name]) & wanted]
        for name in gone:
            (self._inbox / name).unlink(missing_ok=True)
        if gone:
            sync_folder(self._inbox)


def _lies_since(entry: "os.DirEntry[str]", before: datetime) -> bool:
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:  # the EPR has taken it
        return False
    return entry.is_file(follow_symlinks=False) and found.st_mtime < before.timestamp()


def _numbers(names: Sequence[str]) -> frozenset[int]:
    return frozenset(int(found[1]) for name in names if (found := _NOTICE.fullmatch(name)))
