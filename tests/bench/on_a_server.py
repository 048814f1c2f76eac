"""
Measures a gateway on a PostgreSQL server beside one with a file: `python on_a_server.py`.

    gateway ──► a file                          intake, drain, inbound
    gateway ──► PostgreSQL                      the same, with the same bodies and a sink alike
    gateway ──► PostgreSQL ◄── gateway          drain alone, where each answer takes 100 ms
    procrastinate ──► PostgreSQL                drain alone (`jobs`)

The server is the machine's own (Debian: postgresql), on the disk that the file is on, with its own
settings: it flushes whatever is committed, as the file does. In each round all have their turn; the
next round is the other way round, and a first one is left out: it is cold. A drain is counted from
where the sink opens, behind which each sender waits already, to the last answer.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import uvloop
from builds import ROOT, Build, builds
from figures import THIS, Figure, Ratio, Samples, ratios, table
from staging import CALLERS, Gateway, Ground, Sink, ground, running, sink

sys.path.append(str(ROOT / "tests" / "support"))

from engines import programs
from jobs import Drain, jobs
from postgres_server import PostgresServer, postgres_server

ROUNDS = int(os.environ.get("ROUNDS", "5"))
MESSAGES = int(os.environ.get("MESSAGES", "480"))
_TICKS = os.sysconf("SC_CLK_TCK")
_AS_INSTALLED = {"autovacuum": "on", "shared_buffers": "128MB"}
DOORS = ("intake", "drain", "inbound")
FIGURES = (
    *(Figure(f"{door}, SQLite", "/s", "", 0) for door in DOORS),
    *(Figure(f"{door}, PostgreSQL", "/s", "", 0) for door in DOORS),
    *(Figure(f"{door}, SQLite, processor", "ms") for door in DOORS),
    *(Figure(f"{door}, PostgreSQL, processor", "ms") for door in DOORS),
    *(Figure(f"{door}, the server's processor", "ms") for door in DOORS),
    Figure("drain, 100 ms away, one node", "/s", "", 0),
    Figure("drain, 100 ms away, two nodes", "/s", "", 0),
    Figure("jobs of procrastinate", "/s", "", 0),
)
RATIOS = (
    Ratio("drain, PostgreSQL to SQLite", "drain, PostgreSQL", "drain, SQLite", "≥ 0.6"),
    Ratio("inbound, PostgreSQL to SQLite", "inbound, PostgreSQL", "inbound, SQLite", "≥ 0.6"),
    Ratio("intake, PostgreSQL to SQLite", "intake, PostgreSQL", "intake, SQLite"),
    Ratio(
        "drain, PostgreSQL to procrastinate", "drain, PostgreSQL", "jobs of procrastinate", "≥ 6"
    ),
    Ratio(
        "drain, 100 ms away, two nodes to one",
        "drain, 100 ms away, two nodes",
        "drain, 100 ms away, one node",
        "≥ 1.8",
    ),
)
_HOW = """\
{server} on the same machine and disk, with its own settings, flushes whatever is
committed (`fsync`, `synchronous_commit`), as SQLite does. In each of {rounds} rounds of {messages}
messages all have their turn, with the same bodies: a gateway with a file and one with the server,
before a stand-in that answers at once; the latter, and two such on one database with 32 under way
in each, before a stand-in that takes 100 ms over each answer; and jobs of procrastinate, each of
which POSTs its body with aiohttp, 32 at a time, from a database of the same server. A drain is
counted from where the stand-in opens, behind which every sender waits already, to its last answer.
A job looks at nothing, answers nobody and keeps no order. The server's processor is that of all
its processes.
"""
Note = Callable[[str, float], None]
Turn = Callable[[Note], Awaitable[None]]


def release() -> str:
    """Return which PostgreSQL it is."""
    found = programs()
    if found is None:
        return "PostgreSQL"
    told = subprocess.run([found / "postgres", "--version"], capture_output=True, check=True)
    return told.stdout.decode().replace("postgres (PostgreSQL)", "PostgreSQL").partition(" (")[0]


def processor(server: PostgresServer) -> float:
    """Return the processor's seconds that the server's processes have taken so far."""
    assert server._process is not None
    pid = server._process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    ticks = _ticks(pid, ended_too=True) + sum(_ticks(int(child)) for child in children)
    return ticks / _TICKS


def _ticks(pid: int, *, ended_too: bool = False) -> int:
    try:
        told = Path(f"/proc/{pid}/stat").read_text("ascii")
    except FileNotFoundError:  # it has just ended, and its parent will tell of it
        return 0
    return sum(int(each) for each in told.rpartition(")")[2].split()[11 : 15 if ended_too else 13])


@dataclass(frozen=True)
class Engine:
    """What a gateway keeps everything in."""

    name: str
    server: PostgresServer | None = None

    def spent(self) -> float:
        """Return the processor's seconds of its own processes so far."""
        return processor(self.server) if self.server else 0.0


async def of_doors(gateway: Gateway, engine: Engine, note: Note) -> None:
    """Measure the three doors of one gateway."""
    await gateway.sink.do("near")
    await gateway.sink.do("shut")
    for door, go in (
        ("intake", lambda: gateway.taking(MESSAGES)),
        ("drain", lambda: gateway.draining(MESSAGES + CALLERS)),
        ("inbound", lambda: gateway.receiving(MESSAGES)),
    ):
        before = engine.spent()
        spent = await go()
        note(f"{door}, {engine.name}", spent.rate)
        note(f"{door}, {engine.name}, processor", spent.ms_each)
        if engine.server:
            note(f"{door}, the server's processor", (engine.spent() - before) * 1000 / MESSAGES)


async def of_drain_far_away(gateways: Sequence[Gateway], name: str, note: Note) -> None:
    """Let all of *gateways* drain what the first has taken, to one that takes 100 ms each time."""
    first = gateways[0]
    await first.sink.do("far")
    await first.sink.do("shut")
    await first.taking(MESSAGES)
    note(f"drain, 100 ms away, {name}", (await first.draining(MESSAGES + CALLERS)).rate)


async def of_jobs(drain: Drain, note: Note) -> None:
    """Work through the same with procrastinate."""
    note("jobs of procrastinate", MESSAGES / await drain())


class Stage:
    """Starts what has a turn."""

    def __init__(self, stack: AsyncExitStack, at: Ground, server: PostgresServer) -> None:
        self._stack, self._at, self._server = stack, at, server
        self.taken: list[tuple[str, Turn]] = []

    def warm(self) -> None:
        """Let the server count its rows, as by itself within the first minute."""
        for (name,) in self._server.say("SELECT datname FROM pg_database WHERE datallowconn"):
            if name != "template0":
                self._server.say("VACUUM (ANALYZE)", str(name))

    async def gateway(
        self, build: Build, there: Sink, folder: Path, store: str, **options: str
    ) -> Gateway:
        """Start one that keeps everything as *store* says."""
        more = {"extra": {"store": store}} | options
        return await self._stack.enter_async_context(
            running(build, self._at, folder, there, **more)
        )

    async def turns_of(self, build: Build, folder: Path) -> AsyncIterator[Turn]:
        """Start the gateways of *build*; yield their turns."""
        there = await self._stack.enter_async_context(sink(self._at))
        file = await self.gateway(build, there, folder / "file", "")
        yield partial(of_doors, file, Engine("SQLite"))
        url = f'url = "{self._server.empty()}"'
        alone = await self.gateway(build, there, folder / "alone", url)
        yield partial(of_doors, alone, Engine("PostgreSQL", self._server))
        yield partial(of_drain_far_away, [alone], "one node")
        shared = f'url = "{self._server.empty()}"\nseveral_nodes = true'
        nodes = [
            await self.gateway(build, there, folder / name, shared, node=name)
            for name in ("north", "south")
        ]
        yield partial(of_drain_far_away, nodes, "two nodes")


@asynccontextmanager
async def stage_of(at: Ground, temporary: Path) -> AsyncIterator[Stage]:
    """Start whatever has a turn in each round."""
    async with AsyncExitStack() as stack:
        server = stack.enter_context(postgres_server(_AS_INSTALLED))
        stage = Stage(stack, at, server)
        taken = stage.taken
        for number, build in enumerate(stack.enter_context(builds(temporary))):
            folder = temporary / f"g{number}"
            taken += [(build.name, turn) async for turn in stage.turns_of(build, folder)]
        there = await stack.enter_async_context(sink(at))
        drain = await stack.enter_async_context(jobs(at, there, server, MESSAGES))
        if drain is not None:
            taken.append((THIS, partial(of_jobs, drain)))
        yield stage


async def measured(temporary: Path) -> Samples:
    """Go round so many times; measure nothing where there is no server to start."""
    samples = Samples()
    if programs() is None:
        print("\n*** LEFT OUT: PostgreSQL is not installed (postgresql). ***\n", file=sys.stderr)
        return samples
    async with ground(temporary) as at, stage_of(at, temporary) as stage:
        for number in range(ROUNDS + 1) if ROUNDS > 1 else [1]:
            for side, turn in stage.taken if number % 2 else stage.taken[::-1]:
                into = samples if number else Samples()
                await turn(lambda name, value, side=side, into=into: into.add(side, name, value))
            if not number:
                stage.warm()
    return samples


def printed(samples: Samples) -> list[str]:
    """Return the section of the document."""
    said = _HOW.format(server=release(), rounds=ROUNDS, messages=MESSAGES)
    return [said, *ratios(RATIOS, samples), "", *table(FIGURES, samples)]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bars-bench-") as made:
        print(*printed(uvloop.run(measured(Path(made)))), sep="\n")
