"""
The folder door: an EPR that can rename files needs nothing else.

    outbox/new ──take──► intake ──submit──► store        receipt or reason ◄──finish──┘
    inbox/new  ◄──────── deliveries ◄────── notices
    contract.json            written as it opens: which contract the EPR finds here

A scan looks into outbox/new every few seconds, because network shares tell nobody of
changes. Files are submitted many at a time and in the order in which they were
written, so that they share the store's commits and nothing overtakes (D-group-commit, D-order).

No trouble with a folder or a full disk ends the gateway: what was claimed stays in
claimed/ and is taken up by the next scan, and the store knows the bytes that it has. A
file with which the gateway hits an internal error, that nobody foresaw, raises an alarm, and the
others of its batch go on. It has its receipt where the store has taken it already, and is refused
otherwise: a reason that nothing was sent is read as one to refer the patient again.

Decisions: D-folders.
"""

import asyncio
import errno
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import structlog

from bars_gateway.config.spool_folder import SpoolOwner
from bars_gateway.epr import documents
from bars_gateway.epr.documents import EprWays
from bars_gateway.epr.envelope import Envelope, EnvelopeProblem, read_envelope
from bars_gateway.epr.folders import SpoolRoot
from bars_gateway.epr.inbox import Deliveries
from bars_gateway.epr.intake import Intake, SubmissionRefused, too_large
from bars_gateway.epr.moves import Made, MoveNotMade, Moves
from bars_gateway.epr.outbox import Drop, DropOutcome, Mark, Outbox
from bars_gateway.epr.spool import Spool, Stuck, is_move, is_xml
from bars_gateway.errors import StoreUnavailable
from bars_gateway.frozen import frozen
from bars_gateway.model.messages import Accepted, Submission
from bars_gateway.permissions import cure_of_stalled
from bars_gateway.standard.formats import Format
from bars_gateway.standard.issues import Issue
from bars_gateway.stopping import pause
from bars_gateway.store.asides import Aside
from bars_gateway.store.store import Store

log = structlog.get_logger(__name__)
T = TypeVar("T")

SCAN_SECONDS = 2.0
HANGS_SECONDS = 60.0  # from here on a look that has not come back is the share's trouble
_FAILED = Issue(
    rule="E07",
    path="file",
    text="the gateway hit an internal error with this file, and its operator has been told. Drop it"
    " again: what was taken already is never sent twice. If it is refused again, telephone",
    issue="exception",
)
_ENDED_US = Issue(
    rule="E07",
    path="file",
    text="the gateway stopped twice while it worked on this file, which may be by chance: drop it"
    " again. What was taken already is never sent twice. If it is refused again, telephone",
    issue="exception",
)
_ENVELOPE_LOST = Issue(
    rule="E01",
    path="envelope",
    text="the envelope beside this file was taken away, is too large or cannot be read;"
    " drop both again, the envelope first",
    issue="not-found",
)
_REUSED = Issue(
    rule="E01",
    path="envelope",
    text="this name was used a moment ago, and which message the envelope belongs to cannot be"
    " told: nothing was sent. Drop the envelope, and then its message, under a name that was never"
    " used; or say in the envelope which message it means (bundle_id or sha256)",
    issue="conflict",
)
_NO_MESSAGE = Issue(
    rule="E01",
    path="envelope",
    text="no message of this name came: drop the envelope, and then its message",
    issue="not-found",
)
_NO_KIND = Issue(
    rule="E03",
    path="file",
    text="a message is a file whose name ends in .json or .xml: drop it again under such a name",
    issue="not-supported",
)
_NEVER_SENT = {
    Mark.REUSED: _REUSED,
    Mark.REUSED_WITH_ENVELOPE: _REUSED,
    Mark.LATE: _REUSED,
    Mark.NO_MESSAGE: _NO_MESSAGE,
    Mark.NO_KIND: _NO_KIND,
}


@frozen
class _Prepared:
    drop: Drop
    result: Submission | Made | Accepted | SubmissionRefused | StoreUnavailable


class DropFolder:
    """
    One provider's spool folder, in and out, locked for as long as this is open.

    Opening it creates the folders that are missing; it raises FolderInUse where
    another gateway has them, and ConfigurationError where they cannot be used.
    """

    def __init__(
        self,
        store: Store,
        intake: Intake,
        *,
        ways: EprWays,
        folder: Path,
        owner: SpoolOwner,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        new_id: Callable[[], str],
        scan_seconds: float = SCAN_SECONDS,
        seen: Callable[[], None] = lambda: None,
    ) -> None:
        """*seen* is called whenever the EPR has submitted something."""
        self._seen = seen
        self._intake = intake
        provider = ways.provider
        self._moves = Moves(store, intake, provider=provider)
        self._asides, self._now = store.asides, now
        self._provider = provider
        self._scan_seconds = scan_seconds
        self._stopping = asyncio.Event()
        self._trouble: str | None = None
        self._monotonic = monotonic
        self._asked_at: float | None = None  # since when its server has not answered
        self._refused_by = StoreUnavailable()  # why the store took nothing the last time
        self._spool = Spool(folder, owner)
        self._spool.publish("contract.json", documents.encode(documents.contract(ways)))
        self._outbox = Outbox(
            self._spool,
            monotonic=monotonic,
            wall=lambda: now().timestamp(),
            new_id=new_id,
            max_bytes=intake.max_bytes,
            settle_seconds=scan_seconds,
        )
        self._deliveries = Deliveries(store, self._spool, provider=provider, now=now)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """Where the EPR finds the folders."""
        return self._spool.root.path

    @property
    def root(self) -> SpoolRoot:
        """What the folders of its provider are in; it is closed with this."""
        return self._spool.root

    @property
    def trouble(self) -> str | None:
        """Why the folder stands still, in or out; None while it moves."""
        if self._asked_at is not None and self._monotonic() - self._asked_at > HANGS_SECONDS:
            return "ETIMEDOUT"  # nobody else would say it: the call goes on for ever
        return self._trouble or self._deliveries.trouble

    @property
    def stuck(self) -> Sequence[Stuck]:
        """What lies in outbox/new and cannot be taken."""
        return self._outbox.stuck

    def close(self) -> None:
        """Let go of the folders and of their lock; both loops have ended by then."""
        self._spool.close()

    def stop(self) -> None:
        """End both loops once what they have in hand is finished."""
        self._stopping.set()
        self._deliveries.stop()

    async def deliver(self, beat: Callable[[], None] = lambda: None) -> None:
        """Write notices into inbox/new until stopped; *beat* at each step."""
        await self._deliveries.run(beat)

    async def collect(self, beat: Callable[[], None] = lambda: None) -> None:
        """Take what the EPR drops into outbox/new until stopped; *beat* at each scan."""
        while not self._stopping.is_set():
            beat()
            if not await self._collect_some():
                await pause(self._stopping, self._scan_seconds)

    async def _collect_some(self) -> bool:
        """Take in one batch; tell whether there may be more to take at once."""
        try:
            drops = await self._asked(self._outbox.take)
            if drops:
                self._seen()
            fates = await self._submit(drops)
            placed = await self._asked(self._outbox.finish, fates) if fates else 0
            await self._tell_failures()
            if len(fates) < len(drops):
                await self._asked(self._leave, drops, fates)
        except OSError as error:
            reason = errno.errorcode.get(error.errno or 0, "unknown")
            self._complain(reason, f"{cure_of_stalled(reason)} Files wait there.")
            return False
        if len(fates) < len(drops):
            self._complain("the store takes nothing more", self._refused_by.advice)
            return False
        self._trouble = None
        return placed > 0

    async def _asked(self, work: Callable[..., T], *arguments: object) -> T:
        """Do something in the folder, and know for how long it takes."""
        self._asked_at = self._monotonic()
        try:
            return await asyncio.to_thread(work, *arguments)
        finally:
            self._asked_at = None

    def _leave(self, drops: Sequence[Drop], fates: Sequence[DropOutcome]) -> None:
        finished = {fate.drop.ticket.token for fate in fates}
        for drop in drops:
            if drop.ticket.token not in finished:
                self._outbox.leave(drop)

    async def _tell_failures(self) -> None:
        for error in self._outbox.failures():
            await self._tell(error)

    async def _submit(self, drops: Sequence[Drop]) -> list[DropOutcome]:
        """Return the fate of each drop; of none that the store cannot take."""
        prepared = [await self._prepare(drop) for drop in drops]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._commit(one)) for one in prepared]
        return [fate for task in tasks if (fate := task.result()) is not None]

    async def _prepare(self, drop: Drop) -> _Prepared:
        try:
            return _Prepared(drop, await self._examined(drop))
        except SubmissionRefused as refused:
            return _Prepared(drop, refused)
        except StoreUnavailable as error:
            return _Prepared(drop, error)
        except Exception as error:  # unit of work
            return _Prepared(drop, await self._set_aside(drop, error))

    async def _examined(self, drop: Drop) -> Submission | Made | Accepted:
        media_type = Format.XML if is_xml(drop.ticket.name) else Format.JSON
        if drop.ended_us:
            raise EndedTwice
        if drop.ticket.mark in _NEVER_SENT:
            raise self._intake.refusal([_NEVER_SENT[drop.ticket.mark]])
        envelope = self._envelope(drop)
        if drop.body is None:
            raise self._intake.refusal([too_large(self._intake.max_bytes)])
        if is_move(drop.ticket.name):
            return await self._moves.prepare(drop.body)
        return await self._intake.found_or_prepared(drop.body, media_type, envelope)

    async def _set_aside(self, drop: Drop, cause: Exception) -> Accepted | SubmissionRefused:
        """Tell the operator of an internal error with a file; return what the EPR is told."""
        await self._tell(cause)
        issue = _ENDED_US if isinstance(cause, EndedTwice) else _FAILED
        if is_move(drop.ticket.name):  # it is found by its own key, which is not read here
            return _NobodyKnows([issue])
        try:
            taken = await self._intake.taken(drop.body or b"")
        except Exception as error:  # unit of work
            await self._tell(error)
            return _NobodyKnows([issue])
        return taken or SubmissionRefused([issue])

    async def _tell(self, error: Exception) -> None:
        await self._asides.tell(Aside.FILE, error, self._now(), provider=self._provider)

    def _envelope(self, drop: Drop) -> Envelope:
        if drop.envelope_lost:
            raise self._intake.refusal([_ENVELOPE_LOST])
        if drop.envelope is None:
            return Envelope()
        try:
            return read_envelope(drop.envelope)
        except EnvelopeProblem as problem:
            raise self._intake.refusal(problem.issues) from None

    async def _commit(self, prepared: _Prepared) -> DropOutcome | None:
        """Return what became of the drop; None: the store cannot take it."""
        try:
            return await self._committed(prepared)
        except StoreUnavailable as error:
            self._refused_by = error
            return None
        except Exception as error:  # unit of work
            return await self._failed_over(prepared.drop, error)

    async def _failed_over(self, drop: Drop, cause: Exception) -> DropOutcome:
        result = await self._set_aside(drop, cause)
        try:
            return _told(drop, result)
        except Exception as error:  # unit of work
            await self._tell(error)
            return _refused(drop, _NobodyKnows([_FAILED]))

    async def _committed(self, prepared: _Prepared) -> DropOutcome:
        drop, result = prepared.drop, prepared.result
        if isinstance(result, StoreUnavailable):
            raise result
        if isinstance(result, Accepted | SubmissionRefused):
            return _told(drop, result)
        if isinstance(result, Made):
            return _made(drop, result)
        try:
            if is_move(drop.ticket.name):
                return _made(drop, await self._moves.commit(result))
            accepted = await self._intake.commit(result)
        except SubmissionRefused as refused:
            return _refused(drop, refused)
        return _told(drop, accepted)

    def _complain(self, reason: str, advice: str) -> None:
        """Say once that the folder stands still, until it moves again."""
        if self._trouble is None:
            log.warning(
                "epr.folder_stalled",
                provider=self._provider,
                path=str(self.path),
                reason=reason,
                advice=advice,
            )
        self._trouble = reason


class EndedTwice(Exception):
    """The gateway died twice while it worked on a file."""


class _NobodyKnows(SubmissionRefused):
    """The gateway hit an internal error with a file, and cannot tell whether it had taken it."""


def _made(drop: Drop, made: Made) -> DropOutcome:
    document = documents.encode(documents.made(made.accepted, made.message))
    return DropOutcome(drop=drop, accepted=True, document=document)


def _told(drop: Drop, result: Accepted | SubmissionRefused) -> DropOutcome:
    if isinstance(result, SubmissionRefused):
        return _refused(drop, result)
    document = documents.encode(documents.receipt(result))
    return DropOutcome(drop=drop, accepted=True, document=document)


def _refused(drop: Drop, refused: SubmissionRefused) -> DropOutcome:
    if isinstance(refused, _NobodyKnows):
        document = documents.unknown(refused.issues)
    elif isinstance(refused, MoveNotMade):
        document = documents.move_refusal(
            refused.issues, refused.message, request_id=refused.request_id, code=refused.code
        )
    else:
        document = documents.refusal(
            refused.issues, request_id=refused.request_id, code=refused.code
        )
    if is_move(drop.ticket.name):  # whatever it was refused for, its reason has the same members
        document.setdefault("message", None)
    return DropOutcome(drop=drop, accepted=False, document=documents.encode(document))
