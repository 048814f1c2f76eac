"""A purge is killed at each of its steps: what has left is certified, and the other way round."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import engines
import pytest
import typer
from own_words import said
from store.test_purges import collected
from store_values import arrival, refusal
from typed import settings_text, typed_beside

from bars_gateway.cli import records
from bars_gateway.cli.records import carried_out
from bars_gateway.config import load
from bars_gateway.model.messages import Actor
from bars_gateway.model.retention import Certificate, RecordClass
from bars_gateway.store.connection import Connection, Database
from bars_gateway.store.purges import certificate, flaws_of
from bars_gateway.store.store import Store

T = TypeVar("T")
LAUNCHER = Path(__file__).parent.parent / "support" / "crashing_gateway.py"
STEPS = ("begin_purge", "remove_records", "note_copies", "end_class", "end_purge", "given_back")
JO = Actor(role="operator", who="jo", why="the rest")
OLD = datetime.now(UTC) - timedelta(days=800)


@pytest.fixture
async def settings(tmp_path: Path) -> Path:
    """Write settings, a database with what is long over, and what the EPR has left of it."""
    file = tmp_path / "gateway.toml"
    own = "[inbound]\nenabled = false\n[retention]\ninbox_days = 30\n"
    if engines.on_server():
        own += f'[store]\nurl = "{engines.url_of(path_of(file))}"\n'
    file.write_text(settings_text(tmp_path, rest=own))
    inbox = load(file, {}).providers["trust"].spool_dir / "inbox" / "new"
    inbox.mkdir(parents=True)
    async with engines.opened(path_of(file)) as database:
        store = Store(database, node="here")
        for _ in range(3):
            await store.inbound.receive(arrival(body=os.urandom(20_000)), OLD)
        await collected(store)
        await store.inbound.receive(arrival(), OLD)
        for _ in range(3):
            await store.inbound.refuse(refusal(arrival()), OLD)
        await store.inbound.refuse(refusal(arrival()), datetime.now(UTC))
        for ended in (True, True, False):
            await alarmed(database, ended=ended)
    for number in range(1, 5):
        left = inbox / f"{number:012}.message.json"
        left.write_text("{}")
        os.utime(left, (OLD.timestamp(), OLD.timestamp()))
    return file


def path_of(settings: Path) -> Path:
    """Return the file of the database, or what stands for it where that is on a server."""
    return settings.parent / "state" / "gateway.db"


async def seen(settings: Path, work: Callable[[Connection], T]) -> T:
    """Return what *work* finds in the database."""
    return await engines.seen(path_of(settings), work)


async def wrong(settings: Path) -> str:
    """Return what is wrong with the database, as an operator is told; "": nothing is."""
    return (await typed_beside("verify", "--config", settings)).err


async def disproved(settings: Path) -> list[str]:
    """Return what the database says against the first purge's certificate."""
    shown = await certified(settings)
    return list(await seen(settings, lambda connection: flaws_of(connection, shown)))


async def alarmed(database: Database, *, ended: bool) -> None:
    """Raise an alarm about nothing that is kept; *ended*: long ago."""
    at = OLD.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    put = "INSERT INTO events (at, provider, kind, detail) VALUES (?, 'trust', ?, '{}')"
    await said(database, put, at, "inbound.request_id_reused")
    if ended:
        await said(database, "UPDATE alarms SET ended_at = since, ended_how = 'settled'")


# What a purge gives back is pages of a file: its server's database has none.
POINTS = [
    pytest.param(f"{when}:{step}", marks=pytest.mark.of_sqlite if step == "given_back" else ())
    for step in STEPS
    for when in ("after", "before")
]
# Each class that has something to leave, in the order in which it does: one removal of each.
REMOVALS = ("payloads", "answers", "messages", "conversations", "refusals", "alarms")


@pytest.mark.both_engines
@pytest.mark.each_fact_once
@pytest.mark.parametrize("when", ["after", "before"])
@pytest.mark.parametrize("removal", REMOVALS)
async def test_a_removal_of_each_class_is_killed(settings: Path, removal: str, when: str) -> None:
    """What had left until then is certified, and of this class all or nothing."""
    nth = REMOVALS.index(removal) + 1
    await typed(settings, "yearly", str(LAUNCHER), f"{when}:remove_records.{nth}")
    left = {row.record_class: row.count for row in (await certified(settings)).classes}
    problems = await wrong(settings)
    await carried_out(load(settings, {}), None, JO)

    assert {each: left.get(RecordClass(each), 0) for each in REMOVALS} == {
        each: 0 if REMOVALS.index(each) + (when == "before") >= nth else MANY[each]
        for each in REMOVALS
    }
    assert not problems
    assert [] == await disproved(settings)
    assert (1, 1, 1, 1) == counts_of(settings)


MANY = dict.fromkeys(REMOVALS, 3) | {"alarms": 2}


async def certified(settings: Path) -> Certificate:
    shown = await seen(settings, lambda connection: certificate(connection, 1))
    assert shown is not None
    return shown


@pytest.mark.both_engines
@pytest.mark.each_fact_once
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
    after_the_kill = await wrong(settings)
    await carried_out(load(settings, {}), None, JO)
    left = load(settings, {}).providers["trust"].spool_dir / "inbox" / "new"

    assert -signal.SIGKILL == process.returncode, printed.decode()[-2000:]
    assert not after_the_kill
    assert [] == await disproved(settings)
    assert not await wrong(settings)
    assert (1, 1, 1, 1) == counts_of(settings)
    assert ["000000000004.message.json"] == [each.name for each in left.iterdir()]


def counts_of(settings: Path) -> tuple[int, ...]:
    """Return how many messages, workflows, refusals and alarms are there."""
    tables = ("messages", "workflows", "ledger WHERE state = 'refused'", "alarms")
    each = ", ".join(f"(SELECT count(*) FROM {table})" for table in tables)
    (counts,) = engines.ask(path_of(settings), f"SELECT {each}")
    return counts


async def typed(settings: Path, why: str, *launched: str) -> tuple[str, str]:
    """Purge by the command, while no gateway runs; return what it prints, and what it says."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *(launched or ("-m", "bars_gateway"))),
        *("purge", "--config", str(settings), "--why", why, "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, said = await process.communicate()
    return printed.decode(), said.decode()


async def test_a_purge_without_a_gateway_prints_its_certificate_alone(settings: Path) -> None:
    """A program reads it: what is logged goes elsewhere."""
    printed, said = await typed(settings, "yearly")

    assert "You vouch for the clock" in said
    assert ("yearly", 20) == tuple(json.loads(printed)[name] for name in ("why", "removed"))


async def test_a_purge_that_ends_an_older_one_first_prints_both(settings: Path) -> None:
    """What had left by the first one's word is certified under that."""
    await typed(settings, "first", str(LAUNCHER), "after:remove_records")
    printed, _ = await typed(settings, "second")
    found = [json.loads(line) for line in printed.splitlines()]

    assert [("first", 1), ("second", 2)] == [(each["why"], each["purge_id"]) for each in found]
    assert [20, 0] == [each["removed"] for each in found]


async def test_whoever_waits_for_a_gateway_that_has_died_is_told_so(
    settings: Path, monkeypatch, capsys
) -> None:
    """The next start goes on with the purge; until then no script has to wait."""
    monkeypatch.setattr(records, "_GONE_AFTER", 0.0)
    known = load(settings, {})
    async with engines.opened(path_of(settings)) as database:
        begun = await Store(database, node="here").purges.begin_purge(
            None, JO, known.retention_rules, datetime.now(UTC)
        )
    with pytest.raises(typer.Exit) as ended:
        await asyncio.to_thread(records._ended, known, "trust", begun.number)

    assert 1 == ended.value.exit_code
    assert "Purge 1 goes on as soon as it runs again" in capsys.readouterr().err
