"""A purge is killed at each of its steps: what has left is certified, and the other way round."""

import asyncio
import json
import os
import signal
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from store.test_purges import collected
from store_values import arrival, refusal
from typed import settings_text

from bars_gateway.cli.records import against_database, carried_out
from bars_gateway.config import load
from bars_gateway.model.messages import Actor
from bars_gateway.store.purges import certificate
from bars_gateway.store.sqlite import SqliteConnection
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.sqlite.integrity import examine, reading
from bars_gateway.store.store import Store

LAUNCHER = Path(__file__).parent.parent / "support" / "crashing_gateway.py"
STEPS = ("begin_purge", "remove_records", "note_copies", "end_class", "end_purge", "given_back")
JO = Actor(role="operator", who="jo", why="the rest")
OLD = datetime.now(UTC) - timedelta(days=800)


@pytest.fixture
async def settings(tmp_path: Path) -> Path:
    """Write settings, a database with what is long over, and what the EPR has left of it."""
    file = tmp_path / "gateway.toml"
    own = "[inbound]\nenabled = false\n[retention]\ninbox_days = 30\n"
    file.write_text(settings_text(tmp_path, rest=own))
    inbox = load(file, {}).providers["trust"].spool_dir / "inbox" / "new"
    inbox.mkdir(parents=True)
    async with open_database(load(file, {}).database_path) as database:
        store = Store(database, node="here")
        for _ in range(3):
            await store.inbound.receive(arrival(body=os.urandom(20_000)), OLD)
        await collected(store)
        await store.inbound.receive(arrival(), OLD)
        for _ in range(3):
            await store.inbound.refuse(refusal(arrival()), OLD)
        await store.inbound.refuse(refusal(arrival()), datetime.now(UTC))
    for number in range(1, 5):
        left = inbox / f"{number:012}.message.json"
        left.write_text("{}")
        os.utime(left, (OLD.timestamp(), OLD.timestamp()))
    return file


POINTS = [f"{when}:{step}" for step in STEPS for when in ("after", "before")]


@pytest.mark.parametrize("point", POINTS)
async def test_a_purge_goes_on_where_it_was_killed(settings: Path, point: str) -> None:
    """Nothing is half done; what is owed stays; and the certificate is proved."""
    words = ["purge", "--config", str(settings), "--why", "yearly"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(LAUNCHER), point, *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    path = load(settings, {}).database_path
    after_the_kill = list(examine(path).problems)
    await carried_out(load(settings, {}), None, JO)
    with reading(path) as connection:
        shown = certificate(SqliteConnection(connection), 1)
    left = load(settings, {}).providers["trust"].spool_dir / "inbox" / "new"

    assert -signal.SIGKILL == process.returncode, printed.decode()[-2000:]
    assert [] == after_the_kill
    assert shown is not None
    assert [] == await asyncio.to_thread(lambda: list(against_database(path, shown)))
    assert [] == list(examine(path).problems)
    assert (1, 1, 1) == tuple(counts_of(path).values())
    assert ["000000000004.message.json"] == [each.name for each in left.iterdir()]


def counts_of(path: Path) -> dict[str, int]:
    with closing(sqlite3.connect(path)) as connection:
        return {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("messages", "workflows", "ledger WHERE state = 'refused'")
        }


async def test_a_purge_without_a_gateway_prints_its_certificate_alone(settings: Path) -> None:
    """A program reads it: what is logged goes elsewhere."""
    words = ["purge", "--config", str(settings), "--why", "yearly", "--json"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bars_gateway", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, said = await process.communicate()

    assert "You vouch for the clock" in said.decode()
    assert ("yearly", 18) == tuple(json.loads(printed)[name] for name in ("why", "removed"))
