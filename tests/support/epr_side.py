"""The EPR's end of a spool folder, and what tests of the EPR's doors share."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import Mock
from uuid import uuid4

import messages
from asked_proxy import echoing

from bars_gateway.config.spool_folder import SpoolOwner
from bars_gateway.epr.answering import Answering
from bars_gateway.epr.documents import EprWays
from bars_gateway.epr.drop import DropFolder
from bars_gateway.epr.folders import SpoolRoot
from bars_gateway.epr.inbox import Attendance
from bars_gateway.epr.intake import Intake, TargetCheck, everything_goes
from bars_gateway.epr.intervention_requests import VerbRequests
from bars_gateway.epr.interventions import MOST_AT_ONCE, Attaching, Confirming, Verbs
from bars_gateway.epr.questions import QuestionFolder, QuestionRequests
from bars_gateway.epr.read_requests import ReadRequests
from bars_gateway.epr.record_requests import RecordRequests
from bars_gateway.epr.refusals import RefusedFiles
from bars_gateway.model.retention import PURGED, RetentionRule, RetentionRules
from bars_gateway.standard.applications import Offer
from bars_gateway.standard.headers import SenderIdentity
from bars_gateway.standard.reads import BarsAnswer, BarsRequest, Unanswered
from bars_gateway.standard.rule import NOTHING_AGREED, Overrides
from bars_gateway.standard.timing import shipped_timing, timing_for
from bars_gateway.store.store import Store

PROVIDER = "trust"
IDENTITY = SenderIdentity(
    ods_code="ZX901",
    organisation="Invented Ambulance Service",
    software_name="bars_gateway",
    software_version="1.0.0",
    software_system="https://supplier.example/Id/software",
    software_value="s-1",
    core_version="1.5.0",
)


def utc_now() -> datetime:
    return datetime.now(UTC)


def intake_of(
    store: Store,
    overrides: Overrides = NOTHING_AGREED,
    target_check: TargetCheck = everything_goes,
    refused: Callable[[], None] = lambda: None,
) -> Intake:
    return Intake(
        store,
        provider=PROVIDER,
        identity=IDENTITY,
        offer=Offer(services=frozenset({messages.SENDER}), applications={}),
        timing=lambda use_case: timing_for(use_case, {}),
        now=utc_now,
        new_id=lambda: str(uuid4()),
        overrides=overrides,
        target_check=target_check,
        refused=refused,
    )


def answering(store: Store) -> Answering:
    return Answering(
        store.questions,
        provider=PROVIDER,
        now=utc_now,
        new_id=lambda: str(uuid4()),
        max_bytes=1024 * 1024,
    )


def question_requests(store: Store) -> QuestionRequests:
    return QuestionRequests(
        store.questions, answering(store), provider=PROVIDER, asks="socket", now=utc_now
    )


def attendance(store: Store) -> Attendance:
    return Attendance(
        store,
        provider=PROVIDER,
        asks=False,
        inbox=Path("/no/such/folder"),
        refusals=RefusedFiles(Path("/no/such/folder"), max_bytes=1024 * 1024),
        delivers=False,
        late_after=lambda use_case: shipped_timing(use_case).unread_after,
        now=utc_now,
    )


def verb_requests(store: Store, at_once: int = MOST_AT_ONCE) -> VerbRequests:
    return VerbRequests(
        Verbs(
            store,
            provider=PROVIDER,
            timing=lambda use_case: timing_for(use_case, {}),
            now=utc_now,
            new_id=lambda: str(uuid4()),
            at_once=at_once,
        ),
        Attaching(store, provider=PROVIDER, overrides=NOTHING_AGREED, now=utc_now),
        Confirming(store, provider=PROVIDER, now=utc_now),
    )


class Nobody:
    """In the place of the proxy: notes what it is asked; gives one answer, or another again."""

    def __init__(
        self,
        answer: BarsAnswer | Unanswered | None = None,
        again: BarsAnswer | Unanswered | None = None,
    ) -> None:
        self.answer = answer or Unanswered(reason="no", cure="none", http_status=502)
        self.again = again or self.answer
        self.asked: list[BarsRequest] = []
        self.echoes = True  # with the ids of what it is asked

    async def ask(
        self, request: BarsRequest, seconds: float | None = None, *, fresh: bool = False
    ) -> BarsAnswer | Unanswered:
        self.asked.append(request)
        given = self.again if fresh else self.answer
        echoes = self.echoes and isinstance(given, BarsAnswer)
        return echoing(request, given) if echoes else given


def record_requests(store: Store) -> RecordRequests:
    """Return what the socket serves of records, where everything is kept for good."""
    rules = RetentionRules([RetentionRule(record_class=each, days=0) for each in PURGED])
    return RecordRequests(
        store.record_holds, store.purges, rules, store.wake_purger, provider=PROVIDER, now=utc_now
    )


def read_requests(reads: Nobody | None = None, *, previews: bool = False) -> ReadRequests:
    return ReadRequests(
        reads or Nobody(),
        provider=PROVIDER,
        identity=IDENTITY,
        new_id=lambda: str(uuid4()),
        previews=previews,
    )


async def eventually(condition: Callable[[], bool]) -> None:
    """Return once *condition* holds: of files, which tell nobody that they have come."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


class Hospital:
    """Drops files as the contract asks, and waits for files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.outbox, self.inbox = root / "outbox", root / "inbox"

    def drop(self, name: str, body: bytes, envelope: bytes | None = None) -> None:
        """Rename a message into outbox/new, and its envelope before it."""
        if envelope is not None:
            self._rename_in(name.rpartition(".")[0] + ".envelope.json", envelope)
        self._rename_in(name, body)

    def _rename_in(self, name: str, body: bytes) -> None:
        (self.outbox / "tmp" / name).write_bytes(body)
        (self.outbox / "tmp" / name).rename(self.outbox / "new" / name)

    async def sees(self, *names: str) -> None:
        """Wait until those files, named below the root, are all there."""
        await eventually(lambda: all((self.root / name).exists() for name in names))

    def listing(self, folder: str) -> list[str]:
        """Return the names in a folder below the root; what the gateway notes is no file of it."""
        names = (path.name for path in (self.root / folder).iterdir())
        return sorted(name for name in names if name != ".stems")


OWNER = SpoolOwner(provider=PROVIDER, ods_code="ZX901")
IN_FOLDERS = EprWays(provider=PROVIDER, tells="folder", asks="folder")
ON_SOCKET = EprWays(provider=PROVIDER, tells="socket", asks="socket")


def open_folder(store: Store, intake: Intake, root: Path) -> DropFolder:
    return DropFolder(
        store,
        intake,
        ways=IN_FOLDERS,
        folder=root,
        owner=OWNER,
        now=utc_now,
        monotonic=time.monotonic,
        new_id=lambda: str(uuid4()),
        scan_seconds=0.02,
    )


@asynccontextmanager
async def at_work(stop: Callable[[], None], *loops: Awaitable[None]) -> AsyncIterator[None]:
    """Run the loops for as long as the block lasts."""

    async def run(loop: Awaitable[None]) -> None:
        await loop

    async with asyncio.TaskGroup() as group:
        for loop in loops:
            group.create_task(run(loop))
        try:
            yield
        finally:
            stop()


def question_folder_in(root: SpoolRoot) -> QuestionFolder:
    """Return the folders of questions and answers in *root*, with no store behind them."""
    return QuestionFolder(
        Mock(),
        Mock(),
        Mock(max_bytes=100),
        provider=PROVIDER,
        root=root,
        now=lambda: datetime(2024, 1, 1, tzinfo=UTC),
        monotonic=time.monotonic,
    )
