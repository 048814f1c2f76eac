"""
Measures how fast the console's pages are: `make bench`, or with fewer messages `STORED=10000`.

    overview · messages, by each filter · message · conversation · counterparties · owed · audit
    explain, by each id: what `bars-gateway explain` does once it runs

The messages are made by SQL: fifty counterparties, two of three messages ours, one in fifty not
acknowledged, a hundred open. What is timed is a request over HTTP, from the question to the whole
page: the median of ROUNDS. The overview should take less than 150 ms, any search's first page less
than 200 ms, one message and its explanation less than 50 ms.
"""

import asyncio
import os
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import aiohttp
from prometheus_client import CollectorRegistry

from bars_gateway import log
from bars_gateway.cli.accounts import told
from bars_gateway.cli.listings import read
from bars_gateway.console.site import Site
from bars_gateway.status.running import RuntimeState
from bars_gateway.status.server import StatusServer
from bars_gateway.store.explanations import elsewhere, explained
from bars_gateway.store.sqlite.database import SqliteDatabase, open_database
from bars_gateway.store.store import Store

STORED = int(os.environ.get("STORED", "1000000"))
ROUNDS = int(os.environ.get("ROUNDS", "5"))
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SYSTEM = "https://fhir.nhs.uk/Id/dos-service-id|20000"
# Counted as they come by triggers, which would take most of the time of making them.
TRIGGERS = (
    "messages_born",
    "messages_counted",
    "messages_tallied",
    "messages_opened",
    "notices_owed",
    "workflows_tallied",
    "attempts_counted",
    "events_alarm",
)
NUMBERS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)"
AT = "strftime('%Y-%m-%dT%H:%M:%fZ', '2026-03-02T09:00:00', ((i - :count) * 2.5) || ' seconds')"
STATE = """CASE WHEN i % 3 = 0 THEN 'received' WHEN i > :count - 300 THEN 'queued'
                WHEN i % 100 = 1 THEN 'refused'
                       WHEN i % 100 = 2 THEN 'unconfirmed' ELSE 'acknowledged' END"""
MADE = (
    f"""{NUMBERS} INSERT INTO workflows (id, provider, correlation_id, counterparty, role,
           request_type,
       use_case, focus_id, state, opened_at, answer_due_at)
    SELECT i, 'trust', 'c' || i, '{SYSTEM}' || (10000 + i % 50), iif(i % 3, 'requester',
           'responder'),
           'referral', 'a' || (1 + i % 8) || 't1', 'f' || i, 'active', {AT},
           iif(i > :count - 2000, {AT}, NULL) FROM n""",
    f"""{NUMBERS} INSERT INTO messages (id, workflow_id, provider, direction, request_id,
           correlation_id,
       bundle_id, move, use_case, sender, receiver, fingerprint, state, attempts, created_at,
              settled_at,
       next_attempt_at, give_up_at, trouble, fault)
    SELECT i, i, 'trust', iif(i % 3, 'outbound', 'inbound'), 'r' || i, 'c' || i, 'b' || i,
           'request',
           'a' || (1 + i % 8) || 't1', iif(i % 3, 'ours', '{SYSTEM}' || (10000 + i % 50)),
           iif(i % 3, '{SYSTEM}' || (10000 + i % 50), 'ours'), 'p' || i, s, i % 3 > 0, at,
           iif(s = 'queued', NULL, at), iif(s = 'queued', at, NULL), iif(s = 'queued',
                  '2026-03-02T10:00:00.000Z', NULL),
           iif(s IN ('received', 'acknowledged'), NULL, iif(i % 2, 'REC_TIMEOUT', 'silence')),
           iif(s IN ('received', 'acknowledged'), NULL, iif(i % 2, 'REC', 'PROXY'))
      FROM (SELECT i, {STATE} AS s, {AT} AS at FROM n)""",
    """INSERT INTO attempts (message_id, number, started_at, ended_at, verdict, verdict_row,
           fault, http_status,
       code, issue, ids_echoed, table_version, receiver)
    SELECT id, 1, created_at, created_at, iif(trouble IS NULL, 'acknowledged', 'retry'),
           iif(trouble IS NULL, 'acknowledged', 'timeout'), fault, iif(trouble IS NULL, 200, 408),
           iif(trouble = 'REC_TIMEOUT', trouble, NULL), NULL, 1, 3, receiver
      FROM messages WHERE direction = 'outbound'""",
    """INSERT INTO notices (provider, kind, message_id, created_at, collected_at)
    SELECT provider, iif(direction = 'inbound', 'message', 'outcome'), id, created_at,
           created_at FROM messages""",
    """INSERT INTO events (at, provider, kind, message_id, request_id)
    SELECT created_at, provider, 'message.' || state, id, request_id FROM messages""",
    """INSERT INTO hours (direction, hour, flowed, last_at, asked, within_2100, within_5000)
    SELECT direction, substr(created_at, 1, 13), count(*), max(created_at), count(*), count(*),
           count(*)
      FROM messages GROUP BY direction, substr(created_at, 1, 13)""",
    """INSERT INTO tallies (of, state, n)
    SELECT direction, state, count(*) FROM messages GROUP BY direction, state""",
    """INSERT INTO tallies (of, state, n)
    SELECT 'open', receiver, count(*) FROM messages WHERE settled_at IS NULL GROUP BY receiver""",
    """INSERT INTO tallies (of, state, n)
    SELECT 'workflow', state, count(*) FROM workflows GROUP BY state""",
)
RUNNING = RuntimeState(
    version="0",
    environment="local",
    node="bench",
    started_at=NOW,
    address=None,
    stopping=False,
    tokens=[],
    expiries=[],
    handshake_failures={},
)
ONE = quote(f"{SYSTEM}10007")
PATHS = {
    "overview": "/",
    "messages": "/messages",
    "by X-Request-Id": f"/messages?id=r{STORED // 2}",
    "by X-Correlation-Id": f"/messages?id=c{STORED // 2}&direction=outbound",
    "by counterparty": f"/messages?counterparty={ONE}",
    "by use case": "/messages?use_case=a3t1",
    "by state": "/messages?state=refused",
    "by code": "/messages?code=REC_TIMEOUT",
    "by fault": "/messages?fault=PROXY",
    "by time": "/messages?since=2026-02-20T00:00&before=2026-02-21T00:00",
    "by all of them": f"/messages?counterparty={ONE}&use_case=a8t1&state=refused"
    "&fault=REC&direction=outbound",
    "what nobody has": f"/messages?counterparty={ONE}&provider=nobody",
    "message": f"/messages/{STORED // 2}",
    "conversation": f"/conversations/c{STORED // 2}",
    "owed": "/owed",
    "counterparties": "/counterparties",
    "audit": "/audit",
    "figures": "/metrics",
}


async def make(database: SqliteDatabase) -> None:
    """Fill the database, and count what the triggers would have."""

    def fill(connection: object) -> None:
        raw = connection.raw  # type: ignore[attr-defined]
        found = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
        triggers = {name: sql for name, sql in raw.execute(found) if name in TRIGGERS}
        for name in triggers:
            raw.execute(f"DROP TRIGGER {name}")
        for statement in MADE:
            raw.execute(statement, {"count": STORED} if ":count" in statement else {})
        for sql in triggers.values():
            raw.execute(sql)

    await database.write(fill)


async def timed(session: aiohttp.ClientSession, url: str) -> float:
    """Return how many milliseconds the whole page took."""
    began = time.perf_counter()
    async with session.get(url, allow_redirects=False) as answered:
        await answered.read()
        assert answered.status in {200, 302}, (url, await answered.text())
    return (time.perf_counter() - began) * 1000


NAMES = {
    "by X-Request-Id": f"r{STORED // 2}",
    "by Bundle.id": f"b{STORED // 2}",
    "by number": f"{STORED // 2}",
    "what waits": f"r{STORED - 1 if (STORED - 1) % 3 else STORED - 2}",
    "what was refused": f"r{next(i for i in range(101, 1000, 100) if i % 3)}",
    "what nobody has": "r-of-nobody",
}


def explain(path: Path, name: str) -> float:
    """Return how many milliseconds it takes to open the database, read, and put into words."""
    began = time.perf_counter()
    found = read(path, lambda connection: explained(connection, None, name, NOW))
    places = [] if found else read(path, lambda c: elsewhere(c, ["trust"], name))
    lines = list(told(found, places))
    assert lines
    return (time.perf_counter() - began) * 1000


async def measure(folder: Path) -> None:
    """Print the median of each page."""
    async with open_database(folder / "gateway.db") as database:
        await make(database)
        store = Store(database, node="bench")
        server = StatusServer(
            store,
            lambda: RUNNING,
            host="127.0.0.1",
            port=0,
            now=lambda: NOW,
            registry=CollectorRegistry(),
            pages=Site(store, lambda: RUNNING, now=lambda: NOW).routes(),
        )
        await server.start()
        async with aiohttp.ClientSession(trust_env=False) as session:
            for name, path in PATHS.items():
                url = f"http://127.0.0.1:{server.port}{path}"
                took = [await timed(session, url) for _ in range(ROUNDS)]
                shown(name, took)
        await server.stop()
        for name, of in NAMES.items():
            took = [await asyncio.to_thread(explain, database.path, of) for _ in range(ROUNDS)]
            shown(f"explain {name}", took)
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"of {STORED} messages; load {load} on {os.cpu_count()} processors")


def shown(name: str, took: list[float]) -> None:
    """Print one line."""
    print(f"{name:<28} {statistics.median(took):8.1f} ms   first {took[0]:8.1f} ms")


if __name__ == "__main__":
    log.configure("error")
    with tempfile.TemporaryDirectory() as made:
        asyncio.run(measure(Path(made)))
