"""What the service manager is told, and when it hears nothing."""

import asyncio
import json
import os
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing

import pytest
from messages import referral
from prometheus_client import CollectorRegistry
from world import PATIENCE, Node, World, eventually, in_time, world_in

from bars_gateway.errors import DatabaseHeld
from bars_gateway.inbound.acceptor import Acceptor, InboundMetrics
from bars_gateway.inbound.connection import InboundLimits
from bars_gateway.upkeep.loops import Heartbeats, Notifier, Watchdog, enduring

WATCHDOG = "WATCHDOG=1"
KERNEL = tuple(map(int, os.uname().release.split(".")[:2]))
QUIET = 2.5  # seconds; the housekeeper comes round once in one

# Refuses writable memory that may be executed, as MemoryDenyWriteExecute= does: PR_SET_MDWE.
DENIES_WRITE_EXECUTE = """
import ctypes, mmap, os, sys
if ctypes.CDLL(None, use_errno=True).prctl(65, 1, 0, 0, 0):
    sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
except PermissionError:
    os.execv(sys.argv[1], sys.argv[1:])
sys.exit("such memory could still be had")
"""


class Manager:
    """The end of the socket at which systemd listens."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        self._socket.setblocking(False)

    def close(self) -> None:
        self._socket.close()

    async def report(self) -> list[str]:
        """Wait for the next report and return its lines."""
        async with asyncio.timeout(PATIENCE):
            received = await asyncio.get_running_loop().sock_recv(self._socket, 4096)
        return received.decode().splitlines()

    async def report_with(self, line: str) -> list[str]:
        """Wait for a report that holds *line*."""
        while line not in (report := await self.report()):
            pass
        return report

    def waiting(self) -> list[list[str]]:
        """Return every report that has come, without waiting."""
        reports = []
        while True:
            try:
                reports.append(self._socket.recv(4096).decode().splitlines())
            except BlockingIOError:
                return reports


@pytest.fixture
def manager(tmp_path):
    with closing(Manager(str(tmp_path / "notify"))) as listening:
        yield listening


@pytest.fixture
async def world(tmp_path) -> AsyncIterator[World]:
    async with world_in(tmp_path) as running:
        yield running


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@asynccontextmanager
async def kept(
    heartbeats: Heartbeats, run: Callable, *, rests: Callable[[], bool] = lambda: False
) -> AsyncIterator[None]:
    """Run a loop for the length of the block, in the keeping of *heartbeats*."""
    async with asyncio.TaskGroup() as group:
        loop = heartbeats.keep("dispatcher", run, within_seconds=30, rests=rests)
        task = group.create_task(loop)
        await asyncio.sleep(0)  # its first step
        try:
            yield
        finally:
            task.cancel()


async def hangs(beat: Callable[[], None]) -> None:
    """Move once, and then never again."""
    beat()
    await asyncio.Event().wait()


@asynccontextmanager
async def process(
    node: Node, manager: Manager, *, within: tuple[str, ...] = ()
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the node's gateway as systemd would, in place of the one in this process."""
    await node.stop()
    with (node.folder / "process.log").open("ab") as output:
        running = await asyncio.create_subprocess_exec(
            *within,
            *node.command("run"),
            stdout=output,
            stderr=output,
            env={**os.environ, "NOTIFY_SOCKET": manager.address},
        )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


async def test_a_report_is_one_datagram(manager):
    """Several assignments arrive together, a line each."""
    Notifier(manager.address).tell("READY=1", "STATUS=every door is open")

    assert [["READY=1", "STATUS=every door is open"]] == manager.waiting()


async def test_an_address_may_be_abstract():
    """A leading @ stands for the abstract namespace, which has no file."""
    with closing(Manager(f"@bars-gateway-test-{os.getpid()}")) as manager:
        Notifier(manager.address).tell("READY=1")

        assert [["READY=1"]] == manager.waiting()


async def test_a_text_cannot_bring_an_assignment(manager):
    """What follows a line break stays in the text that it came in."""
    Notifier(manager.address).tell("STATUS=one\nMAINPID=1")

    assert [["STATUS=one MAINPID=1"]] == manager.waiting()


@pytest.mark.parametrize("address", [None, ""])
async def test_without_an_address_nothing_is_said(address, capsys):
    """A gateway at a terminal has nobody to tell, and does not complain."""
    Notifier(address).tell("READY=1")

    assert "" == capsys.readouterr().out


@pytest.mark.parametrize("address", ["/nobody/listens", "relative", "@nobody-listens", "/" * 300])
async def test_a_report_that_is_lost_ends_nothing(address, capsys):
    """It is logged, and the gateway goes on serving."""
    Notifier(address).tell("READY=1")

    assert "daemon.report_lost" in capsys.readouterr().out


async def test_the_watchdog_is_fed_while_every_loop_moves(manager):
    """A loop within its allowance counts as moving."""
    clock = Clock()
    heartbeats = Heartbeats(clock)
    async with kept(heartbeats, hangs):
        clock.seconds += 30
        Watchdog(heartbeats, Notifier(manager.address)).feed()

    assert [[WATCHDOG]] == manager.waiting()


async def test_a_loop_that_hangs_is_named_and_the_watchdog_starves(manager, capsys):
    """It is said once, in the log and to the service manager; WATCHDOG=1 comes no more."""
    clock = Clock()
    heartbeats = Heartbeats(clock)
    watchdog = Watchdog(heartbeats, Notifier(manager.address))
    async with kept(heartbeats, hangs):
        clock.seconds += 31
        watchdog.feed()
        watchdog.feed()

    assert [["STATUS=stands still: dispatcher"]] == manager.waiting()
    assert 1 == capsys.readouterr().out.count("daemon.loop_stalled")


async def test_a_loop_that_moves_again_is_forgiven(manager):
    """The service manager hears that, too."""
    clock = Clock()
    heartbeats = Heartbeats(clock)
    watchdog = Watchdog(heartbeats, Notifier(manager.address))
    go_on = asyncio.Event()
    moved = asyncio.Event()

    async def slow(beat: Callable[[], None]) -> None:
        await go_on.wait()
        beat()
        moved.set()
        await asyncio.Event().wait()

    async with kept(heartbeats, slow):
        clock.seconds += 31
        watchdog.feed()
        go_on.set()
        await moved.wait()
        watchdog.feed()

    expected = [["STATUS=stands still: dispatcher"], ["STATUS=every loop moves again"], [WATCHDOG]]
    assert expected == manager.waiting()


async def test_a_loop_that_has_nothing_to_do_may_rest(manager):
    """It waits for others without end, and its allowance begins when there is work."""
    clock = Clock()
    heartbeats = Heartbeats(clock)
    watchdog = Watchdog(heartbeats, Notifier(manager.address))
    resting = True
    async with kept(heartbeats, hangs, rests=lambda: resting):
        clock.seconds += 3600
        watchdog.feed()
        resting = False
        clock.seconds += 31
        watchdog.feed()

    assert [[WATCHDOG], ["STATUS=stands still: dispatcher"]] == manager.waiting()


async def test_nothing_is_expected_of_a_loop_that_has_ended():
    """While the gateway stops, some end before others."""
    clock = Clock()
    heartbeats = Heartbeats(clock)
    async with kept(heartbeats, hangs):
        pass
    clock.seconds += 3600

    assert {} == heartbeats.overdue()


async def test_the_way_in_rests_until_somebody_stands_before_it():
    """Nobody accepts here: with a caller at the door, that is no rest any more."""
    metrics = InboundMetrics(CollectorRegistry())
    acceptor = Acceptor(
        identity=None,
        admission=None,
        connection=None,
        limits=InboundLimits(),
        metrics=metrics,
        sightings=None,
    )
    port = acceptor.listen("127.0.0.1", 0)
    before = acceptor.rests()
    with socket.create_connection(("127.0.0.1", port)):
        during = acceptor.rests()
    async with asyncio.TaskGroup() as group:
        group.create_task(acceptor.run())
        acceptor.stop()

    assert (True, False) == (before, during)


async def test_every_loop_of_a_gateway_beats(world):
    """One message there, and its outcome back: each loop has moved since."""
    gateway = world.hospital.gateway
    expected = {
        "dispatcher",
        "inbound",
        "attendance-hospital",
        "collect-hospital",
        "deliver-hospital",
        "renewals",
        "cancels",
    }
    before = set(gateway.heartbeats.silences())
    begun = time.monotonic()
    receipt = await world.ambulance.sent("there.json", referral())
    await world.ambulance.outcome(receipt["request_id"])
    await eventually(lambda: world.hospital.files("inbox/new/*.message.json"))
    own = await world.hospital.sent(
        "back.json", referral(receiver=world.ambulance.service, sender=world.hospital.service)
    )
    await world.hospital.outcome(own["request_id"])
    gateway.reloader.ask()

    assert expected == before
    await eventually(lambda: time.monotonic() - begun > max(moving(gateway.heartbeats.silences())))


def moving(silences):
    """Yield how long each loop was silent, but those that look four times a minute."""
    return (s for name, s in silences.items() if not name.startswith("attendance"))


async def test_ready_is_said_when_every_door_is_open(world, manager):
    """At that moment the EPR, the proxy and the operator are each let in."""
    node = world.ambulance
    async with process(node, manager):
        report = await manager.report()
        lines = map(json.loads, (node.folder / "process.log").read_text().splitlines())
        ports = [line["port"] for line in lines if "port" in line]
        doors = [await asyncio.open_unix_connection(node.socket)]
        doors += [await asyncio.open_connection("127.0.0.1", port) for port in ports]
        for _, writer in doors:
            writer.close()

    assert ["READY=1", "STATUS=every door is open, local"] == report
    assert 3 == len(doors)


async def test_ready_is_not_said_when_a_door_stays_shut(world, manager):
    """The folder is another gateway's: this one ends, and nothing was promised."""
    node = world.ambulance
    text = node.settings_file().read_text()
    other = node.folder / "other.toml"
    store = f'minimum_free_bytes = 0\npath = "{node.folder}/other.db"'
    other.write_text(text.replace("minimum_free_bytes = 0", store))
    running = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "bars_gateway", "run", "--config", str(other)],
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        env={**os.environ, "NOTIFY_SOCKET": manager.address},
    )
    _, words = await running.communicate()

    assert f"{node.spool} is held by another gateway" in words.decode()
    assert [] == manager.waiting()


async def test_the_watchdog_is_fed_for_as_long_as_it_serves(world, manager):
    """Three times in a row, without anybody asking."""
    async with process(world.ambulance, manager):
        await manager.report_with("READY=1")
        reports = [await manager.report() for _ in range(3)]

    assert [[WATCHDOG]] * 3 == reports


async def test_the_watchdog_starves_while_nothing_can_be_written(world, manager):
    """Another holds the database: not a word until the next write was committed."""
    node = world.ambulance
    async with process(node, manager):
        await manager.report_with("READY=1")
        with closing(sqlite3.connect(node.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            manager.waiting()
            await asyncio.sleep(QUIET)
            meanwhile = manager.waiting()
            other.execute("ROLLBACK")
        after = await manager.report()

    # A round whose writes were done may have been reporting when the lock was taken.
    assert len(meanwhile) <= 1
    assert [WATCHDOG] == after


async def test_a_gateway_that_stops_says_so_and_lives_until_the_last_answer(world, manager):
    """After SIGTERM it reports while a message is in flight, and ends with code 0."""
    node = world.ambulance
    async with process(node, manager) as running:
        await manager.report_with("READY=1")
        world.sandbox.faults.arm({"kind": "delay", "seconds": 3, "count": 1})
        await node.sent("r.json", referral())
        await in_time(lambda: _sending(node))
        running.send_signal(signal.SIGTERM)
        stopping = await manager.report_with("STOPPING=1")
        during = await manager.report()
        code = await running.wait()

    assert ["STOPPING=1", "STATUS=finishing what is in flight"] == stopping
    assert ([WATCHDOG], 0) == (during, code)


@pytest.mark.skipif(KERNEL < (6, 3), reason="the kernel has no PR_SET_MDWE, which came with 6.3")
async def test_it_serves_without_memory_that_is_written_and_executed(world, manager):
    """MemoryDenyWriteExecute= of the unit, with the wheels that are installed: sent, answered."""
    node = world.ambulance
    denied = (sys.executable, "-c", DENIES_WRITE_EXECUTE)
    async with process(node, manager, within=denied) as running:
        await manager.report_with("READY=1")
        receipt = await node.sent("r.json", referral())
        outcome = await node.outcome(receipt["request_id"])
        running.send_signal(signal.SIGTERM)
        code = await running.wait()

    assert ("acknowledged", 0) == (outcome["state"], code)


async def _sending(node: Node) -> bool:
    return (await node.overview()).outbound["sending"] > 0


async def test_a_loop_that_the_database_fails_is_run_again_and_tells_of_no_fault() -> None:
    """Its alarm could not be written either; the page and /readyz say what is so."""
    failures, told = iter([DatabaseHeld("another program holds the database")]), []

    async def loop(_beat: Callable[[], None]) -> None:
        for failure in failures:
            raise failure

    async def tell(error: BaseException) -> None:
        told.append(error)

    await enduring(loop, tell, lambda: False, pause_seconds=0)(lambda: None)

    assert [] == told
