"""
Measures what a backlog costs: `make bench`, or with fewer messages `BACKLOG=10000`.

The queued messages are made by SQL, for forty Receivers, of which the first has half of them
and takes nothing. What is timed is what a sender does: claim the next for another Receiver,
and settle it. The same is done with a hundredth of the messages, for the ratio.
"""

import asyncio
import os
import statistics
import tempfile
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bars_gateway import log
from bars_gateway.model.messages import Attempt, OutboundState, Settled
from bars_gateway.standard.verdict import ProxyAnswer, Verdict
from bars_gateway.store.rows import digest_of
from bars_gateway.store.sqlite.database import SqliteDatabase, open_database
from bars_gateway.store.store import Store

BACKLOG = int(os.environ.get("BACKLOG", "100000"))
CLAIMS = int(os.environ.get("CLAIMS", "200"))
SICK = "https://fhir.nhs.uk/Id/dos-service-id|2000000000"
_DATE = "%Y-%m-%dT%H:%M:%S.000Z"

MAKE = """
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)
INSERT INTO messages (id, workflow_id, provider, direction, request_id, correlation_id, bundle_id,
                      move, use_case, sender, receiver, fingerprint, state, next_attempt_at,
                      give_up_at, created_at)
SELECT i, 1, 'bench', 'outbound', 'r' || i, 'c' || i, 'b' || i,
       'update', 'a1t1', 'bench', 'https://fhir.nhs.uk/Id/dos-service-id|20000000'
       || CASE WHEN i % 2 THEN '00' ELSE 10 + i % 39 END, 'f' || i, 'queued', :due, :give_up, :due
  FROM n;
"""
PAYLOADS = """
INSERT INTO payloads
SELECT id, 'request', 'application/fhir+json', '{}', 'identity', zeroblob(3000), :digest
  FROM messages;
"""
WORKFLOW = """
INSERT INTO workflows (id, provider, correlation_id, counterparty, role, request_type, use_case,
                       state, opened_at)
VALUES (1, 'bench', 'c', 'other', 'requester', 'referral', 'a1t1', 'active', :due);
"""


async def fill(database: SqliteDatabase, count: int) -> None:
    """Queue *count* messages that are due."""
    now = datetime.now(UTC)
    due, give_up = now.strftime(_DATE), (now + timedelta(hours=2)).strftime(_DATE)
    await database.write(lambda c: c.raw.execute(WORKFLOW, {"due": due}).rowcount)
    values = {"count": count, "due": due, "give_up": give_up}
    await database.write(lambda c: c.raw.execute(MAKE, values).rowcount)
    digest = digest_of("application/fhir+json", "{}", bytes(3000))
    await database.write(lambda c: c.raw.execute(PAYLOADS, {"digest": digest}).rowcount)


async def settle_one(store: Store) -> float:
    """Claim a message for a Receiver that is well, and settle it; return the claim's ms."""
    started = time.perf_counter()
    claim = await store.outbound.claim_next(datetime.now(UTC), ["bench"], [SICK])
    spent = (time.perf_counter() - started) * 1000
    assert claim is not None
    now = datetime.now(UTC)
    attempt = Attempt(
        number=claim.attempt,
        started_at=now,
        ended_at=now,
        verdict=Verdict.ACKNOWLEDGED,
        row="acknowledged",
        fault=None,
        http_status=200,
        code=None,
        issue=None,
        ids_echoed=True,
    )
    settled = Settled(state=OutboundState.ACKNOWLEDGED)
    await store.outbound.settle(claim, ProxyAnswer(status=200), attempt=attempt, settlement=settled)
    return spent


async def measured(folder: Path, count: int) -> tuple[float, float, float]:
    """Return the seconds to start, the median ms of a claim, and the MB that draining added."""
    path = folder / f"{uuid.uuid4()}.db"
    async with open_database(path) as database:
        await fill(database, count)
    started = time.perf_counter()
    async with open_database(path) as database:
        store = Store(database, node="bench")
        await store.outbound.release_own(datetime.now(UTC))
        await store.overview(datetime.now(UTC))
        start = time.perf_counter() - started
        await settle_one(store)
        before = resident()
        spent = [await settle_one(store) for _ in range(CLAIMS)]
        return start, statistics.median(spent), resident() - before


def resident() -> float:
    """Return the MB of memory that this process holds."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


async def main() -> None:
    """Print the figures."""
    log.configure("error")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _, few, _ = await measured(folder, BACKLOG // 100)
        start, many, grown = await measured(folder, BACKLOG)
    print(f"start with {BACKLOG} queued       {start:8.2f} s")
    print(f"claim with {BACKLOG} queued       {many:8.2f} ms")
    print(f"claim with {BACKLOG // 100} queued         {few:8.2f} ms")
    print(f"ratio of the two claims       {many / few:8.2f}")
    print(f"memory added by {CLAIMS} messages {grown:8.1f} MB")


if __name__ == "__main__":
    asyncio.run(main())
