"""
Measures what a start costs after a kill, by how much is stored: `make bench`, or `STORED=10000`.

The database is made by SQL, as it grows in life: a workflow, its request with its bytes and its
notice, one after the other. A hundredth is of the last day, and a thousandth waits to be sent.
What is timed is the comparison before the doors open (with what the kernel has of the file in
memory, and without), and the whole one behind them. `KEEP=FOLDER` keeps the database for the
next time.
"""

import asyncio
import os
import sqlite3
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bars_gateway import log
from bars_gateway.store.rows import text
from bars_gateway.store.sqlite import SqliteConnection, inspection, read_only
from bars_gateway.store.sqlite.database import SqliteDatabase, open_database

STORED = int(os.environ.get("STORED", "1000000"))
AT_ONCE = 10_000
EACH_SECONDS = 60  # between two messages that were taken: a hundredth is of the last day or so
WAITING = 1000  # one of so many is not settled

_SERVICE = "'https://fhir.nhs.uk/Id/dos-service-id|' || (2000000000 + i % 40)"
_UUID = "'{}-' || substr('0000000' || i, -8) || '-4000-8000-000000000000'"
_AT = "strftime('%Y-%m-%dT%H:%M:%fZ', :until, '-' || ((:stored - i) * :each) || ' seconds')"
_NUMBERS = "WITH RECURSIVE n (i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :last)"
_OUTBOUND = "i % 2 = 0"
_OPEN = f"i % {WAITING} = 0"
MAKE = (
    f"""{_NUMBERS}
INSERT INTO workflows (id, provider, correlation_id, counterparty, role, request_type, use_case,
                       focus_id, state, opened_at, answer_due_at, overdue_at, closed_at)
SELECT i, 'bench', {_UUID.format("c")}, {_SERVICE},
       CASE WHEN {_OUTBOUND} THEN 'requester' ELSE 'responder' END, 'referral', 'a1t1',
       {_UUID.format("f")}, CASE WHEN i % 3 THEN 'active' ELSE 'completed' END, {_AT},
       CASE WHEN i % 100 = 0 THEN {_AT} END, CASE WHEN i % 100 = 0 THEN {_AT} END,
       CASE WHEN i % 3 = 0 THEN {_AT} END
  FROM n;""",
    f"""{_NUMBERS}
INSERT INTO messages (id, workflow_id, provider, direction, request_id, correlation_id, bundle_id,
                      move, use_case, sender, receiver, fingerprint, state, next_attempt_at,
                      give_up_at, created_at, settled_at)
SELECT i, i, 'bench', CASE WHEN {_OUTBOUND} THEN 'outbound' ELSE 'inbound' END,
       {_UUID.format("r")}, {_UUID.format("c")}, {_UUID.format("b")}, 'request', 'a1t1',
       {_SERVICE}, {_SERVICE}, substr(hex(randomblob(32)), 1, 64),
       CASE WHEN {_OPEN} THEN 'queued' WHEN {_OUTBOUND} THEN 'acknowledged' ELSE 'received' END,
       CASE WHEN {_OPEN} THEN {_AT} END, {_AT}, {_AT}, CASE WHEN NOT {_OPEN} THEN {_AT} END
  FROM n;""",
    f"""{_NUMBERS}
INSERT INTO payloads SELECT i, 'request', 'application/fhir+json', '{{}}', 'identity',
       randomblob(3000), 'none' FROM n;""",
    f"""{_NUMBERS}
INSERT INTO notices (provider, kind, message_id, created_at, collected_at)
SELECT 'bench', 'outcome', i, {_AT}, CASE WHEN i % 1000 THEN {_AT} END FROM n;""",
    f"""{_NUMBERS}
INSERT INTO ledger (provider, request_id, fingerprint, state, message_id, created_at)
SELECT m.provider, m.request_id, m.fingerprint, 'done', m.id, m.created_at
  FROM n JOIN messages AS m ON m.id = n.i WHERE m.direction = 'inbound';""",
)


async def fill(database: SqliteDatabase, now: datetime) -> None:
    """Store as many messages as are asked for."""
    for first in range(1, STORED + 1, AT_ONCE):
        values = {
            "first": first,
            "last": min(first + AT_ONCE - 1, STORED),
            "stored": STORED,
            "until": text(now),
            "each": EACH_SECONDS,
        }

        def work(connection: SqliteConnection, values: dict[str, object] = values) -> None:
            for statement in MAKE:
                connection.raw.execute(statement, values)

        await database.write(work)


def forget(path: Path) -> None:
    """Let the kernel forget what it has of the file in memory, as after a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def before_the_doors(path: Path, since: str) -> float:
    """Return the seconds that a start waits for after a kill."""
    with closing(sqlite3.connect(read_only(path), uri=True)) as connection:
        started = time.perf_counter()
        assert [] == inspection.work(connection, since)
        return time.perf_counter() - started


def behind_them(path: Path) -> tuple[float, float, float]:
    """Return the seconds for all steps, for the longest, and for SQLite's look at each table."""
    steps, looks = [], []
    with closing(sqlite3.connect(read_only(path), uri=True)) as connection:
        for table in inspection.tables(connection):
            after, more = None, True
            while more:
                started = time.perf_counter()
                after = inspection.step(connection, table, after).reached
                steps.append(time.perf_counter() - started)
                more = after is not None
            started = time.perf_counter()
            inspection.damage(connection, table.name)
            looks.append(time.perf_counter() - started)
    return sum(steps), max(steps), sum(looks)


async def main() -> None:
    """Print the figures."""
    log.configure("error")
    now = datetime.now(UTC)
    since = text(now - timedelta(days=1))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(os.environ.get("KEEP", folder)) / f"stored-{STORED}.db"
        if not path.exists():
            async with open_database(path) as database:
                await fill(database, now)
        forget(path)
        cold, warm = before_the_doors(path, since), before_the_doors(path, since)
        print(
            f"before the doors, after a kill {cold:8.2f} s from the disk {warm:8.2f} s from memory"
        )
        rows, longest, look = behind_them(path)
        print(f"behind the open doors          {rows:8.2f} s in steps, the longest {longest:.2f} s")
        print(f"  and SQLite's look at tables  {look:8.2f} s")
    print(f"in {STORED} messages")


if __name__ == "__main__":
    asyncio.run(main())
