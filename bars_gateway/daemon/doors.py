"""
Opens what the EPRs come in by: folders, sockets, and questions in either.

    settings ─► Intake ─┬─► DropFolder      Answering ─┬─► QuestionRequests ─► EprSocket
                        └─► EprSocket                  └─► QuestionFolder

Each provider has its own of everything.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from bars_gateway.config import Provider, Settings
from bars_gateway.daemon.parts import (
    Clock,
    in_production,
    new_id,
    offer_of,
    overrides_of,
    sender_identity,
)
from bars_gateway.epr.answering import Answering
from bars_gateway.epr.attendance import Attendance
from bars_gateway.epr.drop import DropFolder
from bars_gateway.epr.intake import Intake, TargetCheck, TargetChecks, everything_goes
from bars_gateway.epr.intervention_requests import AlarmRequests, VerbRequests
from bars_gateway.epr.interventions import Attaching, Confirming, Verbs
from bars_gateway.epr.questions import QuestionFolder, QuestionRequests
from bars_gateway.epr.read_requests import ReadRequests
from bars_gateway.epr.socket import EprSocket
from bars_gateway.epr.spool import CURES
from bars_gateway.standard.reads import Reads
from bars_gateway.standard.rule import Side
from bars_gateway.standard.timing import timing_for
from bars_gateway.status.concerns import Lying
from bars_gateway.store.store import Store


class Stoppable(Protocol):
    """A part that ends its `run` soon after it is told to."""

    def stop(self) -> None:
        """Begin nothing new."""


@dataclass(frozen=True, slots=True, kw_only=True)
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

    def lying(self, monotonic: float) -> Iterator[Lying]:
        """Yield what the EPR has dropped that can never be taken, at that time of the clock."""
        outbox = self.folder.path / "outbox" / "new"
        folders = [(outbox, self.folder.stuck, "nothing of it was sent")]
        if self.questions:
            folders.append((self.questions.path, self.questions.stuck, "no Sender has heard of it"))
        for path, stuck, means in folders:
            for each in stuck:
                yield Lying(
                    folder=str(path),
                    count=each.count,
                    seconds=monotonic - each.since,
                    means=means,
                    cure=CURES[each.cause],
                )


async def open_doors(
    settings: Settings, store: Store, reads: Reads, stack: AsyncExitStack, now: Clock
) -> list[Door]:
    """Open the folders and the socket of every provider."""
    return [
        await _open_door(settings, name, provider, store, reads, stack, now)
        for name, provider in settings.providers.items()
    ]


async def _open_door(  # noqa: PLR0917
    settings: Settings,
    name: str,
    provider: Provider,
    store: Store,
    reads: Reads,
    stack: AsyncExitStack,
    now: Clock,
) -> Door:
    intake = _intake(settings, name, provider, store, reads, now)
    attendance = _attendance(settings, name, provider, store, now)
    folder = stack.enter_context(_folder(settings, provider, store, intake, attendance, now))
    asked, questions = _question_doors(settings, name, provider, store, now, attendance.seen)
    if questions is not None:
        stack.callback(questions.close)
    socket = EprSocket(
        store,
        intake,
        asked,
        _verbs(settings, name, store, now),
        AlarmRequests(store.alarms, provider=name, now=now),
        _others(settings, name, provider, reads),
        attendance=attendance,
        provider=name,
        path=settings.epr.socket_of(name),
        now=now,
    )
    await socket.open()
    stack.push_async_callback(socket.close)
    return Door(
        provider=name,
        folder=folder,
        socket=socket,
        questions=questions,
        delivers=provider.notices == "folder",
        attendance=attendance,
    )


def _folder(  # noqa: PLR0917
    settings: Settings,
    provider: Provider,
    store: Store,
    intake: Intake,
    attendance: Attendance,
    now: Clock,
) -> DropFolder:
    return DropFolder(
        store,
        intake,
        provider=attendance.condition.provider,
        folder=provider.spool_dir,
        now=now,
        monotonic=time.monotonic,
        new_id=new_id,
        scan_seconds=settings.epr.scan_seconds,
        seen=attendance.seen,
    )


def _attendance(
    settings: Settings, name: str, provider: Provider, store: Store, now: Clock
) -> Attendance:
    timing = partial(timing_for, overrides=settings.timing_overrides)
    return Attendance(
        store,
        provider=name,
        asks=provider.questions == "socket",
        inbox=provider.spool_dir / "inbox" / "new",
        delivers=provider.notices == "folder",
        late_after=lambda use_case: timing(use_case).unread_after,
        now=now,
    )


def _intake(  # noqa: PLR0917
    settings: Settings, name: str, provider: Provider, store: Store, reads: Reads, now: Clock
) -> Intake:
    return Intake(
        store,
        provider=name,
        identity=sender_identity(provider),
        offer=offer_of(provider),
        timing=partial(timing_for, overrides=settings.timing_overrides),
        now=now,
        new_id=new_id,
        max_bytes=settings.epr.max_submission_bytes,
        overrides=overrides_of(settings, provider, Side.SENDING),
        in_production=in_production(provider),
        target_check=_target_check(settings, name, provider, reads),
        read_before_cancel=settings.outbound.read_before_cancel,
    )


def _target_check(settings: Settings, name: str, provider: Provider, reads: Reads) -> TargetCheck:
    seconds = settings.outbound.target_check_seconds
    if not seconds:
        return everything_goes
    return TargetChecks(
        reads,
        provider=name,
        identity=sender_identity(provider),
        new_id=new_id,
        monotonic=time.monotonic,
        seconds=seconds,
    )


def _verbs(settings: Settings, name: str, store: Store, now: Clock) -> VerbRequests:
    timing = partial(timing_for, overrides=settings.timing_overrides)
    verbs = Verbs(store, provider=name, timing=timing, now=now, new_id=new_id)
    attaching = Attaching(store, provider=name, now=now)
    return VerbRequests(verbs, attaching, Confirming(store, provider=name, now=now))


def _others(settings: Settings, name: str, provider: Provider, reads: Reads) -> ReadRequests:
    return ReadRequests(
        reads,
        provider=name,
        identity=sender_identity(provider),
        new_id=new_id,
        previews=settings.outbound.preview_operations,
    )


def _question_doors(  # noqa: PLR0917
    settings: Settings,
    name: str,
    provider: Provider,
    store: Store,
    now: Clock,
    seen: Callable[[], None],
) -> tuple[QuestionRequests, QuestionFolder | None]:
    """Return what the socket serves of questions, and the folder where they are asked there."""
    answering = Answering(
        store.questions,
        provider=name,
        now=now,
        new_id=new_id,
        max_bytes=settings.epr.max_submission_bytes,
    )
    requests = QuestionRequests(
        store.questions, answering, provider=name, asks=provider.questions, now=now
    )
    if provider.questions != "folder":
        return requests, None
    folder = QuestionFolder(
        store.questions,
        store.asides,
        answering,
        provider=name,
        folder=provider.spool_dir,
        now=now,
        monotonic=time.monotonic,
        seen=seen,
    )
    return requests, folder
