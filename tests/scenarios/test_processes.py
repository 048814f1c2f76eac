"""Real processes: signals, kills, and everything that they print."""

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
from messages import NHS_NUMBER, referral
from pages import block
from terminals import own_environment
from world import Node, World, begun, eventually, in_time, process

from bars_gateway.model.messages import OutboundState

LAUNCHER = Path(__file__).parent.parent / "support" / "crashing_gateway.py"
CANARIES = ("CANARYFAMILY", "CANARYGIVEN", "CANARYNOTES", NHS_NUMBER)


async def sending(node: Node) -> bool:
    return (await node.overview()).outbound[OutboundState.SENDING] > 0


@pytest.mark.both_engines
async def test_sigterm_finishes_what_is_in_flight(world: World, tmp_path: Path) -> None:
    """The process ends with code 0, and the message is acknowledged."""
    async with process(world.ambulance, tmp_path / "log") as gateway:
        world.sandbox.faults.arm({"kind": "delay", "seconds": 0.5, "count": 1})
        receipt = await world.ambulance.sent("r.json", referral())
        await in_time(lambda: sending(world.ambulance))
        gateway.terminate()
        code = await gateway.wait()
    history = await world.ambulance.history(receipt["request_id"])

    assert history is not None
    assert (0, "acknowledged") == (code, history.message.state)


@pytest.mark.both_engines
async def test_a_kill_loses_nothing_and_doubles_nothing(world: World, tmp_path: Path) -> None:
    """Killed while a message is on its way: the next start sends it again under the same ids."""
    bodies = [referral() for _ in range(8)]
    async with process(world.ambulance, tmp_path / "log") as gateway:
        world.sandbox.faults.arm({"kind": "delay", "seconds": 0.4, "count": 8})
        for number, body in enumerate(bodies):
            world.ambulance.drop(f"{number}.json", body)
        await in_time(lambda: sending(world.ambulance))
        os.kill(gateway.pid, signal.SIGKILL)
        await gateway.wait()
    async with process(world.ambulance, tmp_path / "log2"):
        await eventually(lambda: len(world.ambulance.files("inbox/new/*.outcome.json")) == 8)
        await eventually(lambda: len(world.hospital.files("inbox/new/*.message.json")) >= 8)
    arrived = [file.read_bytes() for file in world.hospital.files("inbox/new/*.message.json")]
    states = [
        json.loads(file.read_bytes())["state"]
        for file in world.ambulance.files("inbox/new/*.outcome.json")
    ]

    assert sorted(bodies) == sorted(arrived)
    assert ["acknowledged"] * 8 == states


def _full_pipe() -> tuple[int, int]:
    """Return the two ends of a pipe into which nothing more goes until somebody reads."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    with suppress(BlockingIOError):
        while os.write(write, b"\n" * 4096):
            pass
    os.set_blocking(write, True)
    return read, write


async def test_a_reader_of_the_log_that_stands_still_holds_up_no_message(world: World) -> None:
    """As a journal that is stopped: messages go on, and what was said is there afterwards."""
    node, (read, write) = world.ambulance, _full_pipe()
    await node.stop()
    running = await asyncio.create_subprocess_exec(
        *node.command("run"), stdout=write, stderr=asyncio.subprocess.DEVNULL
    )
    os.close(write)
    try:
        with os.fdopen(read, "rb") as reader:
            node.drop("r.json", referral())
            await eventually(lambda: node.files("inbox/new/*.outcome.json"))
            read_all = asyncio.create_task(asyncio.to_thread(reader.read))
            running.terminate()
            code = await running.wait()
            lines = (await read_all).decode().split("\n")
    finally:
        with suppress(ProcessLookupError):
            running.kill()
        await running.wait()
    events = [json.loads(line) for line in lines if line]
    names = [each["event"] for each in events]

    assert 0 == code
    assert {"daemon.started", "outbound.attempt_ended"} < set(names)
    assert "daemon.stopped" == names[-1]
    assert [each["timestamp"] for each in events] == sorted(each["timestamp"] for each in events)


@pytest.mark.both_engines
async def test_a_gateway_that_can_write_no_more_ends_and_says_why(
    world: World, tmp_path: Path
) -> None:
    """So it is started again, and what it was at is done then: nobody waits for a watchdog."""
    node, log = world.ambulance, tmp_path / "log"
    command = [sys.executable, str(LAUNCHER), "panic:submit", *node.command("run")[3:]]
    await node.stop()
    async with begun(log, *command) as gateway:
        await eventually(lambda: b"daemon.started" in log.read_bytes())
        node.drop("r.json", referral())
        async with asyncio.timeout(20):
            code = await gateway.wait()
    said = log.read_text()
    async with process(node, tmp_path / "log2"):
        await eventually(lambda: node.files("inbox/new/*.outcome.json"))
        await eventually(lambda: world.hospital.files("inbox/new/*.message.json"))

    assert 1 == code
    assert "PanicError" in said.splitlines()[-1]


async def test_a_second_gateway_on_the_same_database_is_refused(world: World) -> None:
    """It says what is wrong and what to do, and ends with code 1."""
    second = await asyncio.create_subprocess_exec(
        *world.ambulance.command("run"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, words = await second.communicate()

    assert 1 == second.returncode
    assert b"held by a gateway that runs" in words or b"another gateway works on" in words
    assert b"try: Only one gateway" in words


@pytest.mark.both_engines
async def test_nothing_of_a_patient_is_in_any_output(world: World, tmp_path: Path) -> None:
    """The loop at DEBUG, with faults and refusals; then every log, page and metric is searched."""
    secret = {"family": CANARIES[0], "given": CANARIES[1], "notes": f"{CANARIES[2]} fell at home"}
    logs = [tmp_path / "ambulance.log", tmp_path / "hospital.log"]
    async with process(world.ambulance, logs[0]), process(world.hospital, logs[1]):
        world.sandbox.faults.arm({"kind": "drop_after", "count": 1})
        world.sandbox.faults.arm({"kind": "status", "status": 500, "count": 1})
        good = await world.ambulance.sent("CANARYNOTES.json", referral(**secret))
        world.ambulance.drop("broken.json", referral(**secret)[:-40])
        bad = json.loads(referral(**secret))
        bad["entry"][0]["resource"]["destination"][0]["endpoint"] = CANARIES[0]
        world.ambulance.drop("bad.json", json.dumps(bad).encode())
        reasons = [
            await world.ambulance.document(f"outbox/refused/{name}.reason.json")
            for name in ("broken", "bad")
        ]
        await world.ambulance.outcome(good["request_id"])
        unknown = await world.ambulance.sent(
            "unknown.json",
            referral(**secret, receiver="https://fhir.nhs.uk/Id/dos-service-id|1999999999"),
        )
        outcome = await world.ambulance.outcome(unknown["request_id"])
        pages = await status_pages(logs)
        listing = await asyncio.create_subprocess_exec(
            *world.ambulance.command("show", good["request_id"]), stdout=asyncio.subprocess.PIPE
        )
        shown, _ = await listing.communicate()
    outputs = [
        *(log.read_text() for log in logs),
        *pages,
        shown.decode(),
        json.dumps([*reasons, outcome, good, unknown]),
        json.dumps(await world.sandbox.calls.after(0, 0)),
    ]

    assert "outbound.attempt_ended" in outputs[0]
    assert [] == [canary for canary in CANARIES for text in outputs if canary in text]


async def status_pages(logs: list[Path]) -> list[str]:
    """Return every page that the running gateways show, by the addresses in their logs."""
    pages = []
    async with aiohttp.ClientSession() as session:
        for log in logs:
            lines = (json.loads(line) for line in log.read_text().splitlines())
            port = next(line["port"] for line in lines if line["event"] == "status.started")
            for path in ("", "metrics", "healthz", "readyz"):
                async with session.get(f"http://127.0.0.1:{port}/{path}") as response:
                    pages.append(await response.text())
    return pages


async def test_a_developer_sees_what_it_spends_its_time_on(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `docs/debugging.md` has them type prints the slowest imports and functions."""
    imports, run, table = block("debugging.md", "cProfile").splitlines()
    monkeypatch.setenv("PATH", own_environment()["PATH"])
    monkeypatch.setenv("BARS_GATEWAY_CONFIG", str(world.ambulance.settings_file()))
    printed = [tmp_path / "imports", tmp_path / "log", tmp_path / "table"]

    async def typed(line: str, to: Path) -> None:
        async with begun(to, "bash", "-c", line) as ended:
            assert 0 == await ended.wait(), to.read_text("utf-8")

    monkeypatch.chdir(tmp_path)
    await typed(imports, printed[0])
    await world.ambulance.stop()
    async with begun(printed[1], "bash", "-c", f"exec {run}") as profiled:
        await eventually(lambda: b"daemon.started" in printed[1].read_bytes())
        profiled.send_signal(signal.SIGINT)
        assert 0 == await profiled.wait(), printed[1].read_text("utf-8")
    await typed(table, printed[2])

    assert "bars_gateway." in printed[0].read_text("utf-8")
    assert "Ordered by: internal time" in printed[2].read_text("utf-8")
