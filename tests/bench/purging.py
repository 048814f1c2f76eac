"""
Measures a purge beside messages: `make bench-purge`.

    STORED messages, aged over two years and two months ──► purge, while 20 a second come in

First the same flow without a purge. What a message waits for is what its caller waits for: from
the first byte of the request to the whole answer, over mutual TLS. Afterwards the file's size is
compared with what it was and with the payloads' share of it, the database and the audit trail are
verified, and the certificate is proved by a copy from before.
"""

import asyncio
import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvloop
from builds import builds
from staging import OURS, Gateway, caller_of, ground, sink

from bars_gateway.store.rows import digest_of, text

STORED = int(os.environ.get("STORED", "200000"))
A_SECOND = int(os.environ.get("RATE", "20"))
QUIET_SECONDS = int(os.environ.get("QUIET", "30"))
FLOW_SECONDS = int(os.environ.get("FLOW", "30"))  # of each part that is measured in a purge
OVER = timedelta(days=790)
BYTES = 3_000  # as much as a referral of 12.9 kB is kept, compressed
_SYSTEM = "https://fhir.nhs.uk/Id/dos-service-id|"
_TABLES = {
    "workflows": "id, provider, correlation_id, counterparty, role, request_type, use_case,"
    " focus_id, state, opened_at",
    "messages": "id, workflow_id, provider, direction, request_id, correlation_id, bundle_id, move,"
    " use_case, sender, receiver, fingerprint, state, attempts, created_at, settled_at,"
    " appointment_until",
    "payloads": "message_id, part, media_type, headers, encoding, body, digest",
    "attempts": "message_id, number, receiver, started_at, ended_at, verdict, verdict_row,"
    " http_status, ids_echoed, table_version",
    "notices": "provider, kind, message_id, created_at, collected_at",
    "ledger": "provider, request_id, fingerprint, state, message_id, created_at",
}
Rows = dict[str, list[tuple[object, ...]]]


def rows_of(number: int, now: datetime) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Yield the rows of one message: every second one was sent, and all are settled."""
    at = text(now - OVER + OVER * number / STORED)
    sent, ours, theirs = number % 2, f"{_SYSTEM}{OURS}", f"{_SYSTEM}20000099{number % 40:02}"
    body = str(number).encode().ljust(BYTES, b"\0")
    fingerprint, media = hashlib.sha256(body).hexdigest(), "application/fhir+json"
    ids = [f"{kind}-{number}" for kind in ("r", "c", "b", "f")]
    role, ends = ("requester", (ours, theirs)) if sent else ("responder", (theirs, ours))
    yield (
        "workflows",
        (number, "p0", ids[1], theirs, role, "referral", "a1t1", ids[3], "active", at),
    )
    way, state = ("outbound", "acknowledged") if sent else ("inbound", "received")
    about = (number, number, "p0", way, *ids[:3], "request", "a1t1", *ends, fingerprint)
    yield "messages", (*about, state, sent, at, at, None)
    digest = digest_of(media, "{}", body)
    yield "payloads", (number, "request", media, "{}", "identity", body, digest)
    answer = digest_of(media, "{}", b"{}")
    yield "payloads", (number, "answer", media, "{}", "identity", b"{}", answer)
    yield "notices", ("p0", "outcome" if sent else "message", number, at, at)
    if sent:
        done = ("acknowledged", "acknowledged", 200, 1, 1)
        yield "attempts", (number, 1, theirs, at, at, *done)
    else:
        yield "ledger", ("p0", ids[0], fingerprint, "done", number, at)


def fill(path: Path, now: datetime) -> None:
    """Add STORED messages to the database of a gateway that does not run."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        made = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
        triggers = dict(connection.execute(made).fetchall())
        for name in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        for first in range(1, STORED + 1, 5_000):
            connection.execute("BEGIN")
            for number in range(first, min(first + 5_000, STORED + 1)):
                for table, row in rows_of(number, now):
                    marks = ", ".join("?" * len(row))
                    connection.execute(
                        f"INSERT INTO {table} ({_TABLES[table]}) VALUES ({marks})", row
                    )
            connection.execute("COMMIT")
        connection.execute(
            "INSERT INTO tallies (of, state, n) SELECT direction, state, count(*) FROM messages"
            " GROUP BY direction, state ON CONFLICT DO UPDATE SET n = excluded.n"
        )
        for sql in (*triggers.values(), "ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)"):
            connection.execute(sql)


def waits(ms: list[float]) -> str:
    """Return what callers waited for."""
    ordered = sorted(ms)
    shares = {f"p{share * 100:g}": ordered[int(len(ordered) * share)] for share in (0.5, 0.99)}
    told = "  ".join(f"{name} {value:6.1f} ms" for name, value in shares.items())
    return f"{told}  longest {ordered[-1]:6.1f} ms  of {len(ordered)}"


async def flowing(gateway: Gateway, seconds: float) -> list[float]:
    """Let so many a second come in; return what each waited for, in milliseconds."""
    told = gateway.inbound(int(A_SECOND * seconds)) | {"rate": A_SECOND, "warm": 4, "callers": 8}
    async with caller_of(told) as caller:  # which does not wait until the gateway has nothing to do
        _, ms = await caller.go()
    return list(ms)


async def measured(folder: Path) -> None:
    """Print the figures."""
    with builds(folder) as compared:
        async with ground(folder) as at, sink(at) as there:
            extra = {"store": "\n[retention]\nnightly = false\n"}
            gateway = Gateway(compared[0], at, folder / "purged", there, extra=extra)
            gateway.prepare()
            await gateway.start()
            await gateway.stop()
            fill(gateway.database, datetime.now(UTC))
            copy = folder / "copy.db"
            shutil.copy(gateway.database, copy)
            full, share = gateway.database.stat().st_size, _payloads(gateway.database)
            await gateway.start()
            print("without", waits(await flowing(gateway, QUIET_SECONDS)), flush=True)
            await _purge(gateway)
            await gateway.stop()
            small = gateway.database.stat().st_size
            print(f"file {full / 1e6:.1f} MB before, of which {share / 1e6:.1f} MB payloads")
            print(f"file {small / 1e6:.1f} MB after", flush=True)
            for command in (("verify",), ("audit", "verify")):
                print((await gateway.run(*command))[1].decode().splitlines()[-1], flush=True)
            proved = await gateway.run("purge", "--verify", "1", "--against", str(copy))
            print(proved[1].decode().strip())


async def _purge(gateway: Gateway) -> None:
    ms: list[float] = []
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        purge = group.create_task(gateway.run("purge", "--why", "bench", "--json"))
        while not purge.done():
            ms += await flowing(gateway, FLOW_SECONDS)
        group.create_task(_space(gateway, began))
    found = json.loads(purge.result()[1].decode().splitlines()[-1])
    removed = {each["class"]: each["removed"] for each in found["classes"]}
    print("during ", waits(ms), flush=True)
    print(f"purged {removed} in {time.monotonic() - began:.0f} s", flush=True)


async def _space(gateway: Gateway, began: float) -> None:
    """Wait until the file has no more to give back, for as long as the purge took at most."""
    until = time.monotonic() + max(60.0, time.monotonic() - began)
    while time.monotonic() < until and _empty(gateway.database):
        await asyncio.sleep(1)
    print(
        f"{_empty(gateway.database)} empty pages left {time.monotonic() - began:.0f} s after",
        flush=True,
    )


def _payloads(path: Path) -> int:
    """Return how many bytes of the file are payloads and their index."""
    pages = "SELECT sum(pgsize) FROM dbstat WHERE name LIKE '%payloads%'"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        found: int = connection.execute(pages).fetchone()[0]
        return found


def _empty(path: Path) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        found: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
        return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bars-bench-") as made:
        uvloop.run(measured(Path(made)))
