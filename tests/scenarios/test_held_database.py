"""Another program that holds the database: a shell in a transaction, a backup program."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import aiohttp
import engines
import psycopg
import pytest
from messages import referral
from structlog.testing import capture_logs
from world import Node, World, eventually, headers, in_time, post, world_in

from bars_gateway.store.postgresql import server
from bars_gateway.store.sqlite import database
from bars_gateway.store.sqlite.database import open_database

pytestmark = pytest.mark.both_engines

HOLDS = "another program holds the database: "


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the gateway wait for the other program for a moment only."""
    monkeypatch.setattr(database, "open_database", partial(open_database, busy_seconds=0.05))
    monkeypatch.setitem(server._SESSION, "lock_timeout", 50)


def found_by() -> str:
    """Return what the operator is told to find that program by."""
    return "pg_stat_activity" if engines.on_server() else "fuser -v"


@contextmanager
def held(node: Node) -> Iterator[None]:
    if engines.on_server():
        with closing(psycopg.connect(engines.url_of(node.database))) as session:
            session.execute("LOCK TABLE turn IN EXCLUSIVE MODE")
            yield
        return
    with closing(sqlite3.connect(node.database, timeout=10, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def shown(node: Node, path: str) -> tuple[int, str]:
    url = f"http://127.0.0.1:{node.gateway.status.port}{path}"
    async with aiohttp.ClientSession(trust_env=False) as session, session.get(url) as response:
        return response.status, await response.text()


async def is_ready(node: Node) -> bool:
    status, _ = await shown(node, "/readyz")
    return status == 200


async def test_a_file_waits_until_the_database_can_be_written(tmp_path: Path) -> None:
    """It is neither refused nor lost: it leaves once the other program has ended."""
    async with world_in(tmp_path) as world:
        node = world.ambulance
        with capture_logs() as events, held(node):
            node.drop("r.json", referral())
            await eventually(lambda: [e for e in events if e["event"] == "epr.folder_stalled"])
            told = node.files("outbox/accepted/*") + node.files("outbox/refused/*")
        receipt = await node.document("outbox/accepted/r.receipt.json")
        outcome = await node.outcome(receipt["request_id"])
        [stalled] = [event for event in events if event["event"] == "epr.folder_stalled"]

        assert ([], "acknowledged") == (told, outcome["state"])
        assert found_by() in stalled["advice"]
        assert not [event for event in events if event["event"].startswith("unit.")]


async def test_a_held_database_takes_the_gateway_out_of_service(tmp_path: Path) -> None:
    """/readyz and the page say why, and how to end it; once it has ended, all is well at once."""
    async with world_in(tmp_path) as world:
        node = world.hospital
        with held(node):
            status, _, _ = await post(world, referral(), headers())
            (ready, said), (_, page) = await shown(node, "/readyz"), await shown(node, "/")
        told = json.loads(said)
        taken, _, _ = await post(world, referral(), headers())
        await in_time(lambda: is_ready(node))

        assert (503, 503, 200) == (status, ready, taken)
        assert told["receiving"] is False
        assert told["reasons"][0].startswith(HOLDS)
        assert f"Nothing can be stored: {HOLDS}" in page
        assert found_by() in page


async def answered_under_the_lock(world: World) -> str:
    """Let the Receiver's answer come while the database is held; return the request's id."""
    node = world.ambulance
    world.sandbox.faults.arm({"kind": "delay", "method": "POST", "seconds": 0.3, "count": 1})
    with capture_logs() as events:
        receipt = await node.sent("r.json", referral())
        with held(node):
            await eventually(lambda: [e for e in events if e["event"] == "store.unavailable"])
    return str(receipt["request_id"])


async def test_an_answer_that_cannot_be_stored_is_asked_for_again(tmp_path: Path) -> None:
    """The message is not held over it: it is claimed again, and the Receiver knows it."""
    async with world_in(tmp_path) as world:
        node = world.ambulance
        node.outbound = "answer_seconds = 2\ntoken_seconds = 1\nlease_seconds = 3.5"
        await node.restart()
        request_id = await answered_under_the_lock(world)
        outcome = await node.outcome(request_id)

        assert "acknowledged" == outcome["state"]
        assert 1 == (await world.hospital.overview()).inbound
