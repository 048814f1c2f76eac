"""
Measures how long a message waits for the disk where the write-ahead log is moved: `make bench`.

    fifty submissions a second ──► store.submit ──► on disk: the time that it took

The same under three arrangements, in turn: the writer moves the log between two groups, as
the gateway does (`store.sqlite.checkpoints`); a connection of its own, each five seconds, as it was
once, which can lose committed rows and is for comparison only; and nobody moves it. A message
comes when it is its time, whether the one before is on disk or not, so that what it waits behind
a checkpoint is in the figure. What is done to the database is the same in all three.
"""

import asyncio
import os
import sqlite3
import statistics
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from unittest.mock import patch

from bars_gateway import log
from bars_gateway.model.messages import Payload, Submission
from bars_gateway.standard.workflow import Move, RequestType
from bars_gateway.store.sqlite.checkpoints import Schedule
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.store import Store

MESSAGES = int(os.environ.get("MESSAGES", "1000"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
A_SECOND = 50
OWN_SECONDS = 5.0
BYTES = 13_000
_SERVICE = "https://fhir.nhs.uk/Id/dos-service-id|"

Arrangement = Callable[[Path], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def by_the_writer(_path: Path) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def by_nobody(_path: Path) -> AsyncIterator[None]:
    with patch.object(Schedule, "is_due", lambda *_now, **_waiting: False):
        yield


@asynccontextmanager
async def by_another(path: Path) -> AsyncIterator[None]:
    """Let a second connection do it, as no gateway does any more."""

    async def now_and_then() -> None:
        while True:
            await asyncio.sleep(OWN_SECONDS)
            await asyncio.to_thread(_checkpoint, path)

    async with by_nobody(path):
        other = asyncio.create_task(now_and_then())
        try:
            yield
        finally:
            other.cancel()
            await asyncio.gather(other, return_exceptions=True)


def _checkpoint(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()


ARRANGEMENTS: Mapping[str, Arrangement] = {
    "by the writer": by_the_writer,
    "by another connection": by_another,
    "by nobody": by_nobody,
}


def submission(now: datetime) -> Submission:
    request_id = str(uuid.uuid4())
    return Submission(
        provider="bench",
        request_id=request_id,
        correlation_id=request_id,
        bundle_id=request_id,
        responds_to=None,
        focus_id=None,
        move=Move.REQUEST,
        request_type=RequestType.REFERRAL,
        use_case="a1t1",
        sender=f"{_SERVICE}1",
        receiver=f"{_SERVICE}2",
        fingerprint=request_id,
        request=Payload(
            media_type="application/fhir+json",
            headers=MappingProxyType({"X-Request-Id": request_id}),
            body=os.urandom(BYTES),
        ),
        needed_by=None,
        give_up_at=now + timedelta(hours=2),
        delayed_at=now + timedelta(minutes=5),
    )


async def spent(folder: Path, arrangement: Arrangement) -> list[float]:
    """Return how long each message took to be on disk, in milliseconds."""
    path = folder / f"{uuid.uuid4()}.db"
    found: list[float] = []
    async with open_database(path) as database, arrangement(path):
        store = Store(database, node="bench")

        async def take(at: float) -> None:
            await asyncio.sleep(at - time.perf_counter())
            moment = datetime.now(UTC)
            started = time.perf_counter()
            await store.outbound.submit(submission(moment), moment)
            found.append((time.perf_counter() - started) * 1000)

        begin = time.perf_counter() + 0.5
        async with asyncio.TaskGroup() as group:
            for number in range(MESSAGES):
                group.create_task(take(begin + number / A_SECOND))
    path.unlink()
    return found


async def main() -> None:
    """Print the figures."""
    log.configure("error")
    rounds: dict[str, list[list[float]]] = {name: [] for name in ARRANGEMENTS}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(ROUNDS):
            for name in sorted(ARRANGEMENTS, reverse=bool(number % 2)):
                rounds[name].append(sorted(await spent(Path(folder), ARRANGEMENTS[name])))
    for name, runs in rounds.items():
        p50, p99 = ([run[int(len(run) * share)] for run in runs] for share in (0.5, 0.99))
        print(
            f"log moved {name:22} p50 {statistics.median(p50):6.1f} ms"
            f"   p99 {statistics.median(p99):6.1f} ms ({min(p99):.1f} to {max(p99):.1f})"
            f"   longest {max(run[-1] for run in runs):6.1f} ms"
        )
    print(f"of {MESSAGES} messages, {A_SECOND} a second, {ROUNDS} rounds")


if __name__ == "__main__":
    asyncio.run(main())
