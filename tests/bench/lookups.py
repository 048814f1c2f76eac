"""
Measures how fast a workflow is found: `make bench`, or with fewer messages `STORED=10000`.

    Bundle.id · X-Request-Id · X-Correlation-Id · number · the Receiver's id ─► the workflow

The messages are made by SQL, five to a workflow, each workflow with a Bundle.id of its own for
every message. What is timed is each statement that the flows find a workflow by, from the call
to the last row, for ids drawn at random from a fixed seed: its median, and its 99th percentile.
"""

import asyncio
import os
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from bars_gateway import log
from bars_gateway.store.sqlite.database import SqliteDatabase, open_database
from bars_gateway.store.statements import SQLITE, statements_of

STORED = int(os.environ.get("STORED", "1000000"))
LOOKUPS = int(os.environ.get("LOOKUPS", "2000"))
PER_WORKFLOW = 5

WORKFLOWS = """
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)
INSERT INTO workflows (id, provider, correlation_id, counterparty, role, request_type, use_case,
                       focus_id, state, opened_at)
SELECT i, 'bench', 'c' || i, 'other', CASE WHEN i % 2 THEN 'requester' ELSE 'responder' END,
       'validation', 'a4t1', 'f' || i, 'active', '2026-01-01T00:00:00.000Z'
  FROM n;
"""
MESSAGES = """
WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :count)
INSERT INTO messages (workflow_id, provider, direction, request_id, correlation_id, bundle_id, move,
                      use_case, sender, receiver, fingerprint, state, created_at, settled_at)
SELECT 1 + i / :each, 'bench', 'inbound', 'r' || i, 'c' || (1 + i / :each), 'b' || i, 'progress',
       'a4t1', 'other', 'bench', 'p' || i, 'received', '2026-01-01T00:00:00.000Z',
       '2026-01-01T00:00:00.000Z'
  FROM n;
"""

# What each statement is asked with: the kind of id, and how the workflow's number leads to it.
KINDS: Mapping[str, tuple[str, str, str]] = {
    "Bundle.id of a response": ("workflows_responded_to", "bundle_id", "b"),
    "Bundle.id": ("workflow_by_bundle", "key", "b"),
    "request id": ("workflow_with_message", "request_id", "r"),
    "resource id": ("workflow_by_focus", "key", "f"),
    "resource id of a change": ("workflows_changed", "focus_id", "f"),
    "X-Correlation-Id": ("workflows_to_carry_on", "correlation_id", "c"),
    "number": ("workflow_numbered", "id", ""),
}


def asked(kind: str, workflow: int) -> tuple[str, dict[str, object]]:
    """Return the statement for that kind of id, and its values for that workflow."""
    name, parameter, letter = KINDS[kind]
    of_message = letter in {"b", "r"}
    number = (workflow - 1) * PER_WORKFLOW if of_message else workflow
    values = {"provider": "bench", "role": "requester", parameter: f"{letter}{number}"}
    return statements_of(SQLITE)[name], values


async def fill(database: SqliteDatabase, count: int) -> None:
    """Store *count* messages in their workflows."""
    workflows = {"count": -(-count // PER_WORKFLOW)}
    await database.write(lambda c: c.raw.execute(WORKFLOWS, workflows).rowcount)
    values = {"count": count, "each": PER_WORKFLOW}
    await database.write(lambda c: c.raw.execute(MESSAGES, values).rowcount)


def timed(connection: sqlite3.Connection, kind: str, rng: random.Random, most: int) -> list[float]:
    """Return the ms that each of `LOOKUPS` look-ups took."""
    spent = []
    for _ in range(LOOKUPS):
        # A response is to a Requester, a change to a Responder: each finds one of its own.
        even = kind == "resource id of a change"
        workflow = 2 * rng.randrange(most // 2) + 1 + even
        sql, values = asked(kind, workflow)
        started = time.perf_counter()
        found = connection.raw.execute(sql, values).fetchall()
        spent.append((time.perf_counter() - started) * 1000)
        assert [workflow] == [row["id"] for row in found]
    return spent


async def main() -> None:
    """Print the figures."""
    log.configure("error")
    rng = random.Random(6)
    with tempfile.TemporaryDirectory() as folder:
        async with open_database(Path(folder) / "bench.db") as database:
            await fill(database, STORED)
            for kind in KINDS:
                spent = await database.read(
                    lambda c, kind=kind: timed(c, kind, rng, STORED // PER_WORKFLOW)
                )
                p50, p99 = statistics.median(spent), statistics.quantiles(spent, n=100)[98]
                print(f"look-up by {kind:24}{p50:8.3f} ms p50 {p99:8.3f} ms p99")
    print(f"in {STORED} messages")


if __name__ == "__main__":
    asyncio.run(main())
