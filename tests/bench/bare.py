"""
The least that an honest sender may do, for comparison: no queue, no verdicts, no retries.

    begun, on disk ─► POST over a warm connection ─► outcome, on disk      by 32 callers

What waits at the same time shares a commit and its fsync, as in the gateway. The bodies
lie in the same file from before, and nothing is asked of the answer but its status.
"""

import asyncio
import sqlite3
import time
import uuid
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import aiohttp

_SCHEMA = """
PRAGMA page_size = 8192;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA wal_autocheckpoint = 16000;
CREATE TABLE messages (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE begun    (id INTEGER PRIMARY KEY, at REAL NOT NULL);
CREATE TABLE outcomes (id INTEGER PRIMARY KEY, at REAL NOT NULL, status INTEGER NOT NULL);
"""
_BEGIN = "INSERT INTO begun VALUES (?, ?)"
_END = "INSERT INTO outcomes VALUES (?, ?, ?)"
_BODY = "SELECT body FROM messages WHERE id = ?"

Work = tuple[str, tuple[float, ...], asyncio.Future[bytes]]


class _Log:
    """One thread, one transaction for all that waits."""

    def __init__(self, path: Path, bodies: Sequence[bytes]) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.executescript(_SCHEMA)
        rows = enumerate(bodies)
        self._connection.execute("BEGIN")
        self._connection.executemany("INSERT INTO messages VALUES (?, ?)", rows)
        self._connection.execute("COMMIT")
        self._waiting: list[Work] = []
        self._gathered = asyncio.Event()

    def close(self) -> None:
        self._connection.close()

    async def write(self, statement: str, values: tuple[float, ...]) -> bytes:
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append((statement, values, future))
        self._gathered.set()
        return await future

    async def commit_groups(self) -> None:
        while True:
            await self._gathered.wait()
            self._gathered.clear()
            group, self._waiting = self._waiting, []
            found = await asyncio.to_thread(self._commit, group)
            for (_, _, future), body in zip(group, found, strict=True):
                future.set_result(body)

    def _commit(self, group: Sequence[Work]) -> list[bytes]:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        found = []
        for statement, values, _ in group:
            execute(statement, values)
            body = execute(_BODY, values[:1]).fetchone() if statement is _BEGIN else (b"",)
            found.append(body[0])
        execute("COMMIT")
        return found


async def send(
    session: aiohttp.ClientSession, url: str, path: Path, bodies: Sequence[bytes], callers: int
) -> tuple[float, list[float]]:
    """Send the bodies; return the seconds that it took, and the milliseconds of each."""
    waiting = list(range(len(bodies)))
    spent: list[float] = []
    with closing(_Log(path, bodies)) as log:

        async def caller() -> None:
            while waiting:
                number = waiting.pop()
                started = time.perf_counter()
                body = await log.write(_BEGIN, (number, time.time()))
                headers = {
                    "Content-Type": "application/fhir+json",
                    "X-Request-Id": str(uuid.uuid4()),
                    "X-Correlation-Id": str(uuid.uuid4()),
                }
                async with session.post(url, data=body, headers=headers) as response:
                    await response.read()
                await log.write(_END, (number, time.time(), response.status))
                spent.append((time.perf_counter() - started) * 1000)

        writer = asyncio.create_task(log.commit_groups())
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(callers):
                group.create_task(caller())
        seconds = time.perf_counter() - started
        writer.cancel()
    return seconds, spent
