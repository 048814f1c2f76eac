"""
Opens what the EPRs come in by: folders, sockets, and questions in either.

    settings ─► Intake ─┬─► DropFolder      Answering ─┬─► QuestionRequests ─► EprSocket
                        └─► EprSocket                  └─► QuestionFolder

Each provider has its own of everything.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Protocol

from bars_gateway.config import Provider, Settings
from bars_gateway.config.spool_folder import SpoolOwner
from bars_gateway.daemon.parts import (
    Clock,
    in_production,
    new_id,
    offer_of,
    overrides_of,
    sender_identity,
)
from bars_gateway.daemon.retention import record_requests_of
from bars_gateway.epr.answering import Answering
from bars_gateway.epr.documents import EprWays
from bars_gateway.epr.drop import DropFolder
from bars_gateway.epr.folders import SpoolRoot
from bars_gateway.epr.inbox import Attendance
from bars_gateway.epr.intake import Intake
from bars_gateway.epr.intervention_requests import AlarmRequests, AlertRequests, VerbRequests
from bars_gateway.epr.interventions import Attaching, Confirming, Verbs
from bars_gateway.epr.questions import QuestionFolder, QuestionRequests
from bars_gateway.epr.read_requests import ReadRequests
from bars_gateway.epr.refusals import RefusedFiles
from bars_gateway.epr.socket import EprSocket
from bars_gateway.epr.spool import CURES, Cause
from bars_gateway.epr.target_checks import TargetCheck, TargetChecks, everything_goes
from bars_gateway.frozen import frozen
from bars_gateway.standard.reads import Reads
from bars_gateway.standard.rule import Side
from bars_gateway.status.running import Lying
from bars_gateway.store.nodes import folder_lease, wanting
from bars_gateway.store.store import Store


class Stoppable(Protocol):
    """A part that ends its `run` soon after it is told to."""

    def stop(self) -> None:
        """Begin nothing new."""


@frozen(kw_only=True)
class Door:
    """How one provider's EPR comes in and is served."""

    provider: str
    folder: DropFolder
    socket: EprSocket
    questions: QuestionFolder | None  # None: they are not asked in a folder
    delivers: bool  # whether notices go into the folder
    attendance: Attendance

    @property
    def trouble(self) -> str | None:
        """Why a folder stands still; None while they all move."""
        asked = self.questions.trouble if self.questions else None
        return self.folder.trouble or asked

    def lying(self, now: datetime) -> Iterator[Lying]:
        """Yield what the EPR has dropped that can never be taken, and for how long."""
        found = [(self.folder.stuck, "nothing of it was sent")]
        if self.questions:
            found.append((self.questions.stuck, "no Sender has heard of it"))
        for stuck, means in found:
            for each in stuck:
                yield Lying(
                    folder=str(each.folder),
                    count=each.count,
                    seconds=max(0.0, now.timestamp() - each.since),
                    means=means,
                    cure=CURES[each.cause],
                    may_be_all=each.cause is Cause.UNREADABLE,
                )


@frozen(kw_only=True)
class _Given:
    """What every part of one provider's doors is made of."""

    settings: Settings
    name: str
    provider: Provider
    store: Store
    reads: Reads
    now: Clock


async def open_doors(
    settings: Settings, store: Store, reads: Reads, stack: AsyncExitStack, now: Clock
) -> list[Door]:
    """Open the folders and the socket of every provider."""
    return [
        await _open_door(
            _Given(
                settings=settings, name=name, provider=provider, store=store, reads=reads, now=now
            ),
            stack,
        )
        for name, provider in settings.providers.items()
    ]


async def _open_door(given: _Given, stack: AsyncExitStack) -> Door:
    attendance = _attendance(given)
    intake = _intake(given, attendance)
    folder = stack.enter_context(_folder(given, intake, attendance))
    attendance.looks_while(folder.root.is_in_place)
    asked, questions = _question_doors(given, folder.root, attendance.seen)
    if questions is not None:
        stack.callback(questions.close)
    socket = EprSocket(
        given.store,
        intake,
        asked,
        _verbs(given),
        AlarmRequests(given.store.alarms, provider=given.name, now=given.now),
        AlertRequests(given.store.alerts, now=given.now),
        _others(given),
        record_requests_of(given.settings, given.store, given.name, given.now),
        attendance=attendance,
        ways=_ways(given),
        path=given.settings.epr.socket_of(given.name),
        now=given.now,
    )
    await socket.open()
    stack.push_async_callback(socket.close)
    return Door(
        provider=given.name,
        folder=folder,
        socket=socket,
        questions=questions,
        delivers=given.provider.notices == "folder",
        attendance=attendance,
    )


def _ways(given: _Given) -> EprWays:
    provider = given.provider
    return EprWays(provider=given.name, tells=provider.notices, asks=provider.questions)


def _folder(given: _Given, intake: Intake, attendance: Attendance) -> DropFolder:
    return DropFolder(
        given.store,
        intake,
        ways=_ways(given),
        folder=given.provider.spool_dir,
        owner=SpoolOwner(provider=given.name, ods_code=given.provider.ods_code),
        now=given.now,
        monotonic=time.monotonic,
        new_id=new_id,
        scan_seconds=given.settings.epr.scan_seconds,
        seen=attendance.seen,
    )


def _attendance(given: _Given) -> Attendance:
    provider = given.provider
    timing = given.settings.timing_for
    return Attendance(
        given.store,
        provider=given.name,
        asks=provider.questions == "socket",
        inbox=provider.spool_dir / "inbox" / "new",
        refusals=RefusedFiles(
            provider.spool_dir / "outbox" / "refused",
            max_bytes=given.settings.epr.max_submission_bytes,
        ),
        delivers=provider.notices == "folder",
        late_after=lambda use_case: timing(use_case).unread_after,
        now=given.now,
    )


def _intake(given: _Given, attendance: Attendance) -> Intake:
    settings, provider = given.settings, given.provider
    return Intake(
        given.store,
        provider=given.name,
        identity=sender_identity(provider),
        offer=offer_of(provider),
        timing=settings.timing_for,
        now=given.now,
        new_id=new_id,
        max_bytes=settings.epr.max_submission_bytes,
        overrides=overrides_of(settings, provider, Side.SENDING),
        in_production=in_production(provider),
        target_check=_target_check(given),
        read_before_cancel=settings.outbound.read_before_cancel,
        refused=attendance.refused,
    )


def _target_check(given: _Given) -> TargetCheck:
    seconds = given.settings.outbound.target_check_seconds
    if not seconds:
        return everything_goes
    return TargetChecks(
        given.reads,
        provider=given.name,
        identity=sender_identity(given.provider),
        new_id=new_id,
        monotonic=time.monotonic,
        seconds=seconds,
    )


def _verbs(given: _Given) -> VerbRequests:
    store, name, now = given.store, given.name, given.now
    timing = given.settings.timing_for
    verbs = Verbs(store, provider=name, timing=timing, now=now, new_id=new_id)
    overrides = overrides_of(given.settings, given.provider, Side.RECEIVING)
    attaching = Attaching(store, provider=name, overrides=overrides, now=now)
    return VerbRequests(verbs, attaching, Confirming(store, provider=name, now=now))


def _others(given: _Given) -> ReadRequests:
    return ReadRequests(
        given.reads,
        provider=given.name,
        identity=sender_identity(given.provider),
        new_id=new_id,
        previews=given.settings.outbound.preview_operations,
    )


def _question_doors(
    given: _Given, root: SpoolRoot, seen: Callable[[], None]
) -> tuple[QuestionRequests, QuestionFolder | None]:
    """Return what the socket serves of questions, and the folder where they are asked there."""
    store, name, now = given.store, given.name, given.now
    asks = given.provider.questions
    answering = Answering(
        store.questions,
        provider=name,
        now=now,
        new_id=new_id,
        max_bytes=given.settings.epr.max_submission_bytes,
    )
    requests = QuestionRequests(store.questions, answering, provider=name, asks=asks, now=now)
    if asks != "folder":
        return requests, None
    folder = QuestionFolder(
        store.questions,
        store.asides,
        answering,
        provider=name,
        root=root,
        now=now,
        monotonic=time.monotonic,
        seen=seen,
        gives=wanting(store.nodes, folder_lease(name)),
    )
    return requests, folder
