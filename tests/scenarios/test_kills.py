"""
Kill proof: whole gateways, killed again and again while messages go both ways.

The seed is printed with every run; `BARS_SEED=… make test` repeats one, and
`make soak` goes on with new ones for as long as it is told.
"""

import asyncio
import json
import os
import random
import signal
import sqlite3
import sys
import time
import uuid
from collections import Counter, defaultdict
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

import engines
import pytest
from messages import referral
from two_nodes import drop_again
from world import Node, World, begun, eventually, world_in

CONVERSATIONS = 100
MESSAGES_EACH = 3
KILLS_EACH = 12
WHEN_READY = 0.8  # of the lives are counted from there: on a slow machine the rest end before it
QUICK_START = 1.0  # seconds: who takes longer to be ready is given longer lives, for the same work
LAUNCHER = Path(__file__).parent.parent / "support" / "crashing_gateway.py"
FAULTS = (
    {"kind": "drop_after", "probability": 0.08},
    {"kind": "status", "status": 503, "probability": 0.05},
    {"kind": "status", "status": 502, "probability": 0.05, "after": True},
    {"kind": "no_ids", "probability": 0.05},
)


class Killed:
    """A gateway in a process of its own that dies often, and is started again each time."""

    def __init__(self, node: Node, rng: random.Random) -> None:
        self.node = node
        self.kills = 0
        self._slowness = 1.0
        self._rng = rng
        self._log = node.folder / "gateway.log"

    async def run(self, finished: asyncio.Event) -> None:
        """Start, die, start again, until the messages are through and it has died enough."""
        while not (finished.is_set() and self.kills >= KILLS_EACH):
            starts = self._starts()
            async with self._life(self._point()) as process:
                if self._rng.random() < WHEN_READY:
                    began = time.monotonic()
                    await eventually(
                        lambda: self._starts() > starts or process.returncode is not None  # noqa: B023
                    )
                    self._slowness = max(1.0, (time.monotonic() - began) / QUICK_START)
                await self._die(process)
        starts = self._starts()
        async with self._life("never:0") as process:
            await eventually(lambda: self._starts() > starts)
            process.terminate()
            assert 0 == await process.wait(), self._log.read_text()[-2000:]

    def _starts(self) -> int:
        return self._log.read_text().count("daemon.started") if self._log.exists() else 0

    def _point(self) -> str:
        """Return where it dies by itself: at a commit, for two starts of three."""
        return self._rng.choice(
            [f"before:{self._rng.randint(3, 60)}", f"after:{self._rng.randint(3, 60)}", "never:0"]
        )

    def _life(self, point: str) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
        command = self.node.command("run")
        return begun(self._log, sys.executable, str(LAUNCHER), point, *command[3:])

    async def _die(self, process: asyncio.subprocess.Process) -> None:
        """Kill it at random, unless it was quicker."""
        try:
            async with asyncio.timeout(self._rng.uniform(0.2, 1.5) * self._slowness):
                code = await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):  # it may have died this very moment
                process.kill()
            code = await process.wait()
        assert -signal.SIGKILL == code, self._log.read_text()[-2000:]
        self.kills += 1


def conversations(rng: random.Random, world: World) -> list[tuple[Node, Node, list[bytes]]]:
    """Return sender, receiver and messages of each conversation, half of them either way."""
    made = []
    for number in range(CONVERSATIONS):
        pair = (world.ambulance, world.hospital)
        sender, receiver = pair if number % 2 else pair[::-1]
        bodies = [
            referral(sender=sender.service, receiver=receiver.service) for _ in range(MESSAGES_EACH)
        ]
        made.append((sender, receiver, bodies))
    rng.shuffle(made)
    return made


async def drop_all(
    rng: random.Random, plan: list[tuple[Node, Node, list[bytes]]]
) -> dict[str, list[str]]:
    """Drop everything, a conversation at a time; return the Bundle.ids of each, in order."""
    expected = {}
    for sender, _, bodies in plan:
        correlation_id = str(uuid.uuid4())
        envelope = json.dumps({"correlation_id": correlation_id}).encode()
        for number, body in enumerate(bodies):
            sender.drop(f"{correlation_id}-{number}.json", body, envelope)
        expected[correlation_id] = [json.loads(body)["id"] for body in bodies]
        await asyncio.sleep(rng.uniform(0, 0.25))
    return expected


def query(node: Node, sql: str) -> list[tuple[object, ...]]:
    return node.ask(sql)


def settled(node: Node) -> int:
    try:
        ((count,),) = query(
            node,
            "SELECT count(*) FROM messages WHERE direction = 'outbound' AND settled_at IS NOT NULL",
        )
    except sqlite3.OperationalError:
        return 0  # it is being opened for the first time
    return int(str(count))


@pytest.mark.long
async def test_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    """One record per message, order within each conversation, one final notice each."""
    seed = int(os.environ.get("BARS_SEED") or random.SystemRandom().randrange(10**6))
    print(f"BARS_SEED={seed}")
    rng = random.Random(seed)
    async with world_in(tmp_path) as world:
        nodes = (world.ambulance, world.hospital)
        for node in nodes:
            await node.stop()
        for fault in FAULTS:
            world.sandbox.faults.arm(fault)
        plan = conversations(rng, world)
        finished = asyncio.Event()
        killed = [Killed(node, random.Random(rng.random())) for node in nodes]
        async with asyncio.TaskGroup() as group:
            for gateway in killed:
                group.create_task(gateway.run(finished))
            dropping = group.create_task(drop_again(nodes, finished))
            expected = await drop_all(rng, plan)
            async with asyncio.timeout(420):
                while sum(map(settled, nodes)) < CONVERSATIONS * MESSAGES_EACH:
                    await asyncio.sleep(0.2)
            world.sandbox.faults.clear()
            finished.set()
    check(nodes, plan, expected, dropping.result())
    print({gateway.node.name: gateway.kills for gateway in killed})


def check(
    nodes: tuple[Node, Node],
    plan: list[tuple[Node, Node, list[bytes]]],
    expected: dict[str, list[str]],
    again: set[str],
) -> None:
    """Compare what either side has with what was dropped; what was dropped *again* came later."""
    arrived: dict[str, list[str]] = defaultdict(list)
    for node in nodes:
        rows = query(
            node,
            "SELECT correlation_id, bundle_id FROM messages WHERE direction = 'inbound'"
            " ORDER BY id",
        )
        for correlation_id, bundle_id in rows:
            arrived[str(correlation_id)].append(str(bundle_id))
        outcomes = Counter(
            message
            for (message,) in query(node, "SELECT message_id FROM notices WHERE kind = 'outcome'")
        )
        states = {
            state
            for (state,) in query(node, "SELECT state FROM messages WHERE direction = 'outbound'")
        }

        assert {"acknowledged"} == states
        assert {1} == set(outcomes.values())
        assert engines.on_server() or [("ok",)] == query(node, "PRAGMA integrity_check")
    sent = sum(len(bodies) for _, _, bodies in plan)

    for conversation in again:
        for ids in (expected[conversation], arrived[conversation]):
            ids.sort()

    assert expected == arrived
    assert sent == sum(len(ids) for ids in arrived.values())
