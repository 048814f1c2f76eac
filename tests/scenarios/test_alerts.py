"""Alerts of a whole gateway: one for an outage, and kept over a kill."""

import json
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import engines
import pytest
from messages import referral
from prometheus_client.parser import text_string_to_metric_families
from world import World, eventually, in_time, process, world_in

from bars_gateway.daemon import alerting
from bars_gateway.model.alerts import Alert
from bars_gateway.store.alerts import standing
from bars_gateway.store.asides import Aside
from bars_gateway.store.store import Store

pytestmark = pytest.mark.both_engines

MANY = 200


def telling(folder: Path, text: str) -> str:
    """Return settings by which a program is run for each thing to be told."""
    program = folder / "told.py"
    program.write_text(f"import json, os, signal, sys\nout = {str(folder / 'told')!r}\n{text}\n")
    argv = json.dumps([sys.executable, "-I", str(program)])
    return f"[alerts]\ncommand = {argv}\ndigest_minutes = 0\n"


def told(folder: Path) -> list[dict[str, Any]]:
    """Return what the program was told."""
    file = folder / "told"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


WRITES = "open(out, 'a').write(sys.stdin.read() + chr(10))"


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often, and wait for a third of a second where a minute is waited."""
    monkeypatch.setattr(alerting, "EVERY_SECONDS", 0.1)
    monkeypatch.setattr(alerting, "PATIENCE", 0.005)


async def open_alerts(world: World) -> list[Alert]:
    return await world.ambulance.seen(standing)


@pytest.mark.usefixtures("hurried")
@pytest.mark.long
async def test_one_outage_of_many_messages_is_one_alert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is woken reads one line when it begins and one when it is over, for 200 messages."""
    monkeypatch.setattr(alerting, "AFTER_A_START", alerting.AFTER_A_START * 0)
    async with world_in(tmp_path, ambulance=telling(tmp_path, WRITES)) as world:
        world.sandbox.faults.arm({"kind": "status", "status": 503, "probability": 1.0})
        names = [f"{number}.json" for number in range(MANY)]
        for name in names:
            world.ambulance.drop(name, referral())

        async def opened() -> bool:
            return bool(told(tmp_path))

        async def all_taken() -> bool:
            return await world.ambulance.rows("messages") == MANY

        await in_time(opened)
        await in_time(all_taken)
        during = await open_alerts(world)
        world.sandbox.faults.clear()

        async def all_gone() -> bool:
            overview = await world.ambulance.overview()
            return overview.outbound["acknowledged"] == MANY  # type: ignore[index]

        await _patiently(all_gone)
        await in_time(lambda: _ended(tmp_path))

    assert ["receiver.silent"] == [each.code for each in during]
    assert [("receiver.silent", "opened"), ("receiver.silent", "resolved")] == [
        (each["code"], each["step"]) for each in told(tmp_path)
    ]
    assert [] == [each for each in told(tmp_path) if world.hospital.service in json.dumps(each)]


async def _ended(folder: Path) -> bool:
    return len(told(folder)) > 1


async def _patiently(condition: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(9):
        try:
            await in_time(condition)
        except TimeoutError:
            continue
        return
    await in_time(condition)


@pytest.mark.long
async def test_a_kill_between_decision_and_delivery_forgets_nothing(world: World) -> None:
    """What was decided is told after the next start: at least once, under the same number."""
    node, folder = world.ambulance, world.folder
    once = "text = sys.stdin.read()\nopen(out, 'a').write(text + chr(10))\n{}"
    die = "if len(open(out).readlines()) == 1: os.kill(os.getppid(), signal.SIGKILL)"
    node.extra = telling(folder, once.format(die))
    await node.stop()
    async with engines.opened(node.database) as database:
        store = Store(database, node=node.name)
        await store.asides.tell(Aside.WORK, ValueError(), datetime.now(UTC))
    log = folder / "process.log"
    async with process(node, log) as running:
        code = await running.wait()
    listed = list(map(json.loads, (await node.ran("alerts", "--json")).splitlines()))
    async with process(node, log):
        await eventually(lambda: len(told(folder)) == 2 or None)
    numbers = [each["delivery"] for each in told(folder)]

    assert -9 == code
    assert ["work.failed"] == [each["code"] for each in listed]
    assert [("work.failed", "opened")] * 2 == [(e["code"], e["step"]) for e in told(folder)]
    assert 1 == len(set(numbers))


async def test_a_gateway_measures_what_it_does(world: World) -> None:
    """What was sent, what the disk took and how late the loop came round are figures."""
    receipt = await world.ambulance.sent("one.json", referral())
    await world.ambulance.outcome(receipt["request_id"])
    base = f"http://127.0.0.1:{world.ambulance.gateway.status.port}"
    async with aiohttp.ClientSession() as session:

        async def figures() -> dict[str, float]:
            async with session.get(f"{base}/metrics") as answer:
                families = text_string_to_metric_families(await answer.text())
                return {s.name: s.value for family in families for s in family.samples}

        async def lagged() -> bool:
            return (await figures())["bars_loop_lag_seconds_count"] > 0

        await in_time(lagged)
        found = await figures()
        async with session.get(f"{base}/health") as answer:
            health = await answer.json()

    counted = ("bars_attempts_total", "bars_store_commit_seconds_count", "bars_budget_used")
    assert [] == [name for name in counted if not found[name] > 0]
    assert {"ok"} == {e["state"] for e in health["dependencies"] if e["name"] == "token_service"}
