"""A referral that an index hides is sent once, after a kill and after a stop alike."""

import json
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hiding import as_after_a_kill, hide, stopped_in_order
from messages import referral
from world import Node, World, begun, eventually, in_time, process

from bars_gateway.store.sqlite import open_reader, read_with

pytestmark = pytest.mark.of_sqlite

FINDERS = ("messages_due", "messages_waiting", "messages_open", "messages_same", "messages_once")
LAUNCHER = Path(__file__).parent.parent / "support" / "crashing_gateway.py"


async def hidden(world: World, *, killed: bool) -> tuple[bytes, dict[str, Any]]:
    """Queue a referral that cannot leave, stop, and hide it; return its bytes and receipt."""
    node, body = world.ambulance, referral()
    world.sandbox.faults.arm({"kind": "status", "status": 503})
    receipt = await node.sent("first.json", body)
    await in_time(lambda: tried(node, receipt["request_id"]))
    await node.stop()
    for index in FINDERS:
        hide(node.database, index, receipt["message_id"])
    if killed:
        as_after_a_kill(node.database)
    world.sandbox.faults.clear()
    return body, receipt


async def tried(node: Node, request_id: str) -> bool:
    found = await node.history(request_id)
    return found is not None and bool(found.attempts)


async def page(node: Node, path: str = "/") -> tuple[int, str]:
    url = f"http://127.0.0.1:{node.gateway.status.port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


@pytest.mark.parametrize("killed", [True, False])
async def test_it_is_sent_exactly_once(world: World, *, killed: bool) -> None:
    """The Receiver has one message, the EPR one outcome, and the page says what happened."""
    _, receipt = await hidden(world, killed=killed)
    await world.ambulance.restart()
    outcome = await world.ambulance.outcome(receipt["request_id"])
    _, shown = await page(world.ambulance)

    assert "acknowledged" == outcome["state"]
    assert 1 == await world.hospital.rows("messages")
    assert "rows were hidden, and are found again" in shown
    assert "messages_due: 1 row" in shown


async def test_the_same_bytes_get_the_same_receipt(world: World) -> None:
    """An EPR that drops them again, while they are hidden and no gateway runs, sends nothing."""
    body, receipt = await hidden(world, killed=True)
    world.ambulance.drop("again.json", body)
    await world.ambulance.restart()
    again = await world.ambulance.document("outbox/accepted/again.receipt.json")
    await world.ambulance.outcome(receipt["request_id"])

    assert receipt["message_id"] == again["message_id"]
    assert 1 == await world.ambulance.rows("messages")
    assert 1 == await world.hospital.rows("messages")


async def test_the_page_says_when_all_was_compared(world: World) -> None:
    """At a start soon: with nothing missing, nothing needs a person."""

    async def compared() -> bool:
        return "nothing was missing" in (await page(world.hospital))[1]

    await in_time(compared)
    status, told = await page(world.hospital, "/readyz")

    assert 200 == status
    assert [] == json.loads(told)["reasons"]


async def test_a_kill_leaves_no_mark_and_a_stop_does(world: World, tmp_path: Path) -> None:
    """So the next start knows which it was."""
    node, log = world.hospital, tmp_path / "second.log"
    async with process(node, tmp_path / "first.log") as running:
        running.kill()
        await running.wait()
        killed = stopped_in_order(node.database)
    async with process(node, log) as running:
        meanwhile = stopped_in_order(node.database)
        running.terminate()
        await running.wait()
    said = [json.loads(line)["event"] for line in log.read_text().splitlines()]

    assert (False, False, True) == (killed, meanwhile, stopped_in_order(node.database))
    assert 1 == said.count("store.unclean_stop")


@pytest.mark.parametrize(("point", "marked"), [("before:mark", False), ("after:mark", True)])
async def test_whoever_dies_over_the_mark(
    world: World, tmp_path: Path, point: str, *, marked: bool
) -> None:
    """Before its commit the stop was none; after it nothing is left to be done."""
    node, log = world.hospital, tmp_path / "gateway.log"
    await node.stop()
    command = [sys.executable, str(LAUNCHER), point, *node.command("run")[3:]]
    async with begun(log, *command) as running:
        await eventually(lambda: b"daemon.started" in log.read_bytes())
        running.send_signal(signal.SIGTERM)
        code = await running.wait()

    assert -signal.SIGKILL == code
    assert marked == stopped_in_order(node.database)


async def test_whoever_dies_over_the_rebuilding(world: World, tmp_path: Path) -> None:
    """It is undone, found again by the next start, and the referral is sent once."""
    _, receipt = await hidden(world, killed=False)
    node, log = world.ambulance, tmp_path / "gateway.log"
    command = [sys.executable, str(LAUNCHER), "before:rebuild", *node.command("run")[3:]]
    async with begun(log, *command) as running:
        code = await running.wait()
    await node.restart()
    await node.outcome(receipt["request_id"])
    async with open_reader(node.database) as reader:
        (sound,) = await read_with(
            reader, lambda c: c.raw.execute("PRAGMA integrity_check").fetchone()
        )

    assert -signal.SIGKILL == code
    assert "ok" == sound
    assert 1 == await world.hospital.rows("messages")
