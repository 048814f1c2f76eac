"""A console over a real store and a real server, and a browser to look at it with."""

import asyncio
import shutil
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
from playwright.async_api import Browser, async_playwright
from prometheus_client import CollectorRegistry
from store_values import (
    ANSWER,
    NOW,
    SILENCE,
    TERMS,
    THEIRS,
    arrival,
    attempt,
    claim_next,
    owed,
    payload,
    submission,
)
from typed import settings_text

from bars_gateway.config import load
from bars_gateway.console.desk import Publication
from bars_gateway.console.site import Site
from bars_gateway.daemon.console import ProvidersHands
from bars_gateway.model.messages import Actor, Claim, OutboundState, Settled, TryAgain
from bars_gateway.model.retention import RecordClass, RetentionRule, RetentionRules
from bars_gateway.standard.verdict import FaultSide, Verdict
from bars_gateway.standard.workflow import Move
from bars_gateway.status.running import BudgetState, RuntimeState, TokenState
from bars_gateway.status.server import StatusServer
from bars_gateway.store.record_holds import HeldThing
from bars_gateway.store.sqlite.database import SqliteDatabase, open_database
from bars_gateway.store.store import Store
from bars_gateway.upkeep.housekeeping import ExpiringKind, Expiry
from bars_gateway.upkeep.purging import Purging

CANARY = "CANARY-OF-A-PATIENT"
SAID = CANARY.encode()
TALK = "00000000-0000-4000-8000-0000000000aa"
THIRD = "https://fhir.nhs.uk/Id/dos-service-id|2000000303"
PUBLISHED = Publication(
    service=THIRD,
    resource="metadata",
    kept_at=NOW - timedelta(hours=3),
    until=NOW + timedelta(hours=9),
)
STATE = RuntimeState(
    version="0.1.0",
    environment="int",
    node="gateway-1",
    started_at=NOW - timedelta(hours=1),
    address="0.0.0.0:8443",
    stopping=False,
    tokens=[
        TokenState(
            provider="trust",
            key_id="int-1",
            refused_keys=(),
            expires_at=NOW + timedelta(minutes=9),
            failing_since=None,
            reason=None,
            advice=None,
            clock_skew_seconds=-0.4,
        )
    ],
    expiries=[
        Expiry(
            kind=ExpiringKind.CERTIFICATE,
            name="The certificate for receiving",
            begins_at=NOW - timedelta(days=100),
            ends_at=NOW + timedelta(days=200),
        )
    ],
    handshake_failures={},
    budgets=[BudgetState(providers=["trust"], per_minute=300, used=41, paused_seconds=0)],
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What one GET brought, redirects followed."""

    status: int
    path: str
    text: str


class Console:
    """A console; what the running parts say can be changed while it runs."""

    def __init__(self, store: Store, database: SqliteDatabase, **given: Any) -> None:
        self.store, self.database = store, database
        self.running, self.at = STATE, NOW
        file = database.path.parent / "gateway.toml"
        file.write_text(settings_text(file.parent))
        settings = load(file, {})
        self.site = site = Site(
            store,
            lambda: self.running,
            now=lambda: self.at,
            settings=lambda: settings,
            hands=ProvidersHands(settings, store, lambda: self.at),
            published=lambda: [PUBLISHED],
            **given,
        )
        self.server = StatusServer(
            store,
            lambda: self.running,
            host="127.0.0.1",
            port=0,
            now=lambda: self.at,
            registry=CollectorRegistry(),
            pages=site.routes(),
            guard=site.guard,
            ends=site.stop,
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    async def get(self, path: str) -> Answered:
        async with (
            aiohttp.ClientSession(trust_env=False) as session,
            session.get(self.url + path) as response,
        ):
            text = await response.text()
            return Answered(status=response.status, path=response.url.path_qs, text=text)


@asynccontextmanager
async def served(folder: Path, **given: Any) -> AsyncIterator[Console]:
    """Serve a console over a new store in *folder*."""
    async with open_database(folder / "gateway.db") as database:
        console = Console(Store(database, node="here", per_receiver=100), database, **given)
        await console.server.start()
        yield console
        await console.server.stop()


async def claimed(store: Store, at: datetime = NOW, **changes: object) -> Claim:
    """Submit a message with a canary in it, and claim it."""
    changes.setdefault("body", f'{{"note":"{CANARY} {uuid.uuid4()}"}}'.encode())
    changes.setdefault("give_up_at", at + timedelta(hours=1))
    accepted = submission(**changes)
    await store.outbound.submit(accepted, at)
    claim = await claim_next(store, at, [accepted.provider])
    assert claim is not None
    assert claim.request_id == accepted.request_id
    return claim


async def sent(store: Store, at: datetime = NOW, seconds: float = 1.0, **changes: object) -> str:
    """Let a message be acknowledged; return its X-Request-Id."""
    claim = await claimed(store, at, **changes)
    done = attempt(claim, started_at=at, ended_at=at + timedelta(seconds=seconds))
    settled = Settled(state=OutboundState.ACKNOWLEDGED, focus_id=str(uuid.uuid4()))
    await store.outbound.settle(claim, ANSWER, attempt=done, settlement=settled)
    return claim.request_id


async def refused(
    store: Store, at: datetime = NOW, answered: bytes = SAID, **changes: object
) -> str:
    """Let a message be refused; return its X-Request-Id."""
    claim = await claimed(store, at, **changes)
    values: dict[str, Any] = {"http_status": 422, "code": "REC_UNPROCESSABLE_ENTITY"}
    values |= {"row": "refused", "started_at": at, "ended_at": at + timedelta(seconds=1)}
    came = attempt(claim, Verdict.REFUSED, fault=FaultSide.REC, **values)
    ended = Settled(state=OutboundState.REFUSED)
    answer = replace(SILENCE, status=422, body=answered, media_type="application/fhir+json")
    await store.outbound.settle(claim, answer, attempt=came, settlement=ended)
    return claim.request_id


async def tried(store: Store, at: datetime = NOW, **changes: object) -> str:
    """Let a message time out once, so that it waits; return its X-Request-Id."""
    claim = await claimed(store, at, **changes)
    values = {"http_status": 408, "code": "REC_TIMEOUT", "row": "timeout", "fault": FaultSide.REC}
    came = attempt(claim, Verdict.RETRY, **values)
    later = TryAgain(at=NOW + timedelta(minutes=5))
    await store.outbound.settle(claim, SILENCE, attempt=came, settlement=later)
    return claim.request_id


async def busy(console: Console) -> None:
    """Make the pages as full as they get."""
    store = console.store
    due = owed(NOW - timedelta(minutes=9))
    await sent(store, correlation_id=TALK, bundle_id="b1", owed=due)
    answer = arrival(correlation_id=TALK, responds_to="b1", move=Move.PROGRESS, body=SAID)
    await store.responses.respond(answer, payload(), NOW + timedelta(seconds=30))
    await refused(store)
    for _ in range(3):
        await tried(store, receiver=THIRD)
    await sent(store, NOW - timedelta(hours=5), 3.0, receiver=THIRD, use_case="a1t1")
    await store.outbound.submit(submission(give_up_at=NOW - timedelta(hours=1)), NOW)
    await store.outbound.give_up(NOW)
    for minutes in (2, 20, 200):
        await store.outbound.submit(submission(), NOW - timedelta(minutes=minutes))
    came = arrival(body=CANARY.encode(), owed=owed(NOW - timedelta(minutes=1)))
    await store.inbound.receive(came, NOW - timedelta(hours=2))
    await store.inbound.receive(arrival(request_id=came.request_id), NOW)
    await store.conversations.tell_due(NOW)
    orphan = arrival(move=Move.CONCLUDE, responds_to="nothing", body=SAID)
    await store.responses.respond(orphan, payload(), NOW - timedelta(minutes=3))
    store.questions.attend("trust", NOW)
    await store.questions.ask_about(arrival(body=SAID), None, TERMS, NOW)
    console.running = replace(STATE, silent={THEIRS: NOW - timedelta(minutes=20)})


async def aged(console: Console) -> None:
    """Let a record of a hundred days ago be purged, among pages that are full; hold two others."""
    store = console.store
    jo = Actor(role="operator", who="jo", why="claim 2026/114")
    await store.inbound.receive(arrival(), NOW - timedelta(days=100))
    pending = await store.notices.pending("trust", 100)
    await store.notices.collect("trust", [each.notice_id for each in pending], NOW)
    await busy(console)
    for thing in (HeldThing(workflow_id=2), HeldThing(quarantine_id=1)):
        await store.record_holds.hold_record("trust", thing, jo, NOW - timedelta(days=3))
    kept = {of: 30 if of is RecordClass.PAYLOADS else 0 for of in RecordClass}
    rules = RetentionRules([RetentionRule(record_class=of, days=n) for of, n in kept.items()])
    begun = await store.purges.begin_purge(None, replace(jo, why="IG-7"), rules, NOW)
    purging = Purging(
        store.purges,
        {},
        now=lambda: NOW,
        monotonic=count().__next__,
        stopping=asyncio.Event(),
        rests=0.0,
    )
    assert await purging.carry_out(begun) is not None


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Start the machine's Chromium; its loop is the test's."""
    arguments = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
    ]
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=arguments
        )
        yield started
        await started.close()
