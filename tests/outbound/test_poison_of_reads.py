"""A read of our own that fails, in a way that nobody foresaw, ends for one message alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import engines
import pytest
from poison import SECRET, Injector, Step, steps_of
from store_values import ANSWER, NOW, attempt, claim_next, payload, submission
from structlog.testing import capture_logs

from bars_gateway.demo.messages import referral
from bars_gateway.model.messages import NoticeKind, OutboundState, Settled
from bars_gateway.outbound.record_reads import CancelReader, Reconciler
from bars_gateway.standard.reads import BarsAnswer, BarsRequest, Unanswered
from bars_gateway.standard.workflow import Move
from bars_gateway.store.sqlite.database import SqliteDatabase
from bars_gateway.store.store import Store

LATER = NOW + timedelta(minutes=1)
EMPTY = b'{"resourceType": "Bundle", "type": "searchset", "entry": []}'


class Receiver:
    """Answers every read with an empty searchset that proves itself."""

    def __init__(self) -> None:
        self.reads = 0

    async def ask(
        self, request: BarsRequest, _seconds: float | None = None, *, fresh: bool = False
    ) -> BarsAnswer | Unanswered:
        self.reads += 1
        return BarsAnswer(
            http_status=200,
            media_type="application/fhir+json",
            body=EMPTY,
            headers=dict(request.headers),
        )


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    async with engines.opened(tmp_path / "gateway.db") as opened:
        yield opened


@pytest.fixture
async def store(database: SqliteDatabase) -> Store:
    return Store(database, node="here")


async def acknowledged_without_id(store: Store) -> None:
    request = replace(payload(referral()), headers={"X-Correlation-Id": str(uuid4())})
    await store.outbound.submit(submission(request=request), NOW)
    claim = await claim_next(store, NOW, ["trust"])
    assert claim is not None
    settled = Settled(state=OutboundState.ACKNOWLEDGED)
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=settled)


@asynccontextmanager
async def reconciling(store: Store) -> AsyncIterator[None]:
    reconciler = Reconciler(
        store.reconciliations,
        store.asides,
        Receiver(),
        now=lambda: LATER,
        new_id=lambda: str(uuid4()),
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(reconciler.run())
        yield
        reconciler.stop()


async def told(store: Store, count: int) -> list[int]:
    """Wait for the word on that many messages; return which."""
    async with asyncio.timeout(20):
        while True:
            notices = await store.notices.pending("trust", 99)
            found = [n.message_id for n in notices if n.kind is NoticeKind.RECONCILED]
            if len(found) >= count:
                return found
            store.reconciliations.wake()  # nobody waits here for the next look
            await asyncio.sleep(0.01)


STEPS = [
    *steps_of("outbound.record_reads"),
    *steps_of("store.record_reads"),
    *steps_of("standard.findings"),
    *steps_of("standard.reads"),
]


@pytest.mark.parametrize("step", STEPS, ids=str)
async def test_a_failure_over_one_record_leaves_the_next_to_be_looked_for(
    store: Store, step: Step
) -> None:
    """Both end: the one that failed is at least said to be unknown."""
    for _ in range(2):
        await acknowledged_without_id(store)
    injector = Injector()
    injector.arm(step)
    try:
        with capture_logs() as logs:
            async with reconciling(store):
                found = await told(store, 2)
    finally:
        injector.disarm()

    assert {1, 2} == set(found)
    assert injector.fired == ("unit.set_aside" in {line["event"] for line in logs})
    assert SECRET not in repr(logs)


@pytest.mark.of_sqlite
@pytest.mark.of_sqlite
async def test_what_cannot_even_be_told_lets_the_next_be_looked_for(
    store: Store, database: SqliteDatabase
) -> None:
    """The database refuses every word on the first: it is tried again in an hour."""
    refused = (
        "CREATE TRIGGER poison BEFORE INSERT ON notices"
        " WHEN NEW.message_id = 1 AND NEW.kind = 'reconciled' BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    for _ in range(2):
        await acknowledged_without_id(store)
    await database.write(lambda connection: connection.raw.execute(refused))
    async with reconciling(store):
        found = await told(store, 1)
    alarms = [alarm.kind for alarm in (await store.overview(LATER)).alarms]

    assert [2] == found
    assert "notice.set_aside" in alarms


@pytest.mark.of_sqlite
@pytest.mark.of_sqlite
async def test_what_cannot_be_held_is_not_read_for_again_and_again(
    store: Store, database: SqliteDatabase
) -> None:
    """A read that hits an internal error is not repeated at full speed; others are read for."""
    submitted = submission(move=Move.CANCEL, focus_id=str(uuid4()), read_first=True)
    await store.outbound.submit(submitted, NOW)
    refused = (
        "CREATE TRIGGER poison BEFORE UPDATE ON messages WHEN NEW.id = 1"
        " BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    await database.write(lambda connection: connection.raw.execute(refused))
    reader = CancelReader(
        store.cancellations, store.asides, Receiver(), {}, now=lambda: LATER, new_id=str
    )
    reader._identities = {"trust": None}  # type: ignore[assignment,dict-item]  # an internal error
    begun = []
    with capture_logs() as logs:
        for _ in range(3):
            async with asyncio.TaskGroup() as group:
                begun.append(await reader.begin(group))

    assert [1, 0, 0] == begun
    assert "unit.not_told" in {line["event"] for line in logs}
