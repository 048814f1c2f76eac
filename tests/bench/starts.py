"""
Measures starts, commands and memory, each as a whole process: `python starts.py`.

A start is timed from the process's first instant until `/readyz` says 200. What is queued is to
be sent an hour later. Memory is what is resident: two seconds after the start, and at its
most after three rounds through all doors.
"""

import asyncio
import os
import resource
import tempfile
import time
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import uvloop
from builds import Build, builds
from figures import Figure, Samples, table
from filling import fill
from staging import CALLERS, Gateway, Ground, Sink, ground, running, sink

ROUNDS = int(os.environ.get("ROUNDS", "9"))
MESSAGES = int(os.environ.get("MESSAGES", "640"))
QUEUED = int(os.environ.get("QUEUED", "100000"))
FIGURES = (
    Figure("start to ready, empty", "s", "≤ 0.6 s", 2),
    Figure("start to ready, empty, processor", "s", "", 2),
    Figure("start to ready, 100,000 queued", "s", "≤ 0.8 s", 2),
    Figure("start to ready, 100,000 queued, processor", "s", "", 2),
    Figure("`--version`, whole process", "s", "≤ 0.15 s", 3),
    Figure("`queue`, whole process", "s", "≤ 0.3 s", 3),
    Figure("`queue`, whole process, processor", "s", "", 3),
    Figure("memory, idle", "MB", "≤ 64 MB"),
    Figure("memory, under load", "MB", "≤ 90 MB"),
)


async def timed(build: Build, *arguments: object) -> tuple[float, float]:
    """Return the seconds of a command, from the first instant to the last, and the processor's."""
    began, spent = time.monotonic(), _spent()
    process = await asyncio.create_subprocess_exec(
        *build.command(*arguments),
        stdout=asyncio.subprocess.DEVNULL,
        env=dict(build.environment),
    )
    if await process.wait():
        raise SystemExit(f"{arguments} of {build.name} failed")
    return time.monotonic() - began, _spent() - spent


def _spent() -> float:
    """Return the processor's seconds of all processes that this one has begun and seen end."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime


class Side:
    """A build, with a gateway whose database is empty and one with a queue."""

    def __init__(self, build: Build, at: Ground, there: Sink, folder: Path) -> None:
        self.build, self._at, self._there, self._folder = build, at, there, folder
        self._empty = Gateway(build, at, folder / "empty", there)
        self._full = Gateway(build, at, folder / "full", there)

    async def prepare(self) -> None:
        """Start each once, so that nothing is new; fill the one."""
        for gateway in (self._empty, self._full):
            gateway.prepare()
            await gateway.start()
            await gateway.stop()
        fill(self._full.database, queued=QUEUED, due=timedelta(hours=1))

    async def round(self, samples: Samples) -> None:
        """Start and ask everything once."""
        for name, gateway in (("empty", self._empty), ("100,000 queued", self._full)):
            seconds, processor = await gateway.start()
            await gateway.stop()
            samples.add(self.build.name, f"start to ready, {name}", seconds)
            samples.add(self.build.name, f"start to ready, {name}, processor", processor)
        version, _ = await timed(self.build, "--version")
        queue, processor = await timed(self.build, "queue", "--config", self._full.settings)
        samples.add(self.build.name, "`--version`, whole process", version)
        samples.add(self.build.name, "`queue`, whole process", queue)
        samples.add(self.build.name, "`queue`, whole process, processor", processor)

    async def memory(self, samples: Samples) -> None:
        """Look at one that has just started, and again after some work."""
        folder = self._folder / "memory"
        async with running(self.build, self._at, folder, self._there) as gateway:
            await asyncio.sleep(2)
            samples.add(self.build.name, "memory, idle", gateway.megabytes())
            for _ in range(3):
                await gateway.sink.do("shut")
                await gateway.taking(MESSAGES)
                await gateway.draining(MESSAGES + CALLERS)
                await gateway.receiving(MESSAGES)
            samples.add(self.build.name, "memory, under load", gateway.megabytes("VmHWM"))


async def measured(temporary: Path) -> Samples:
    """Let the builds take turns."""
    samples = Samples()
    async with ground(temporary) as at, AsyncExitStack() as stack:
        sides = []
        for number, build in enumerate(stack.enter_context(builds(temporary))):
            there = await stack.enter_async_context(sink(at))
            side = Side(build, at, there, temporary / f"s{number}")
            await side.prepare()
            await side.memory(samples)
            sides.append(side)
        for number in range(ROUNDS):
            for side in sides[::-1] if number % 2 else sides:
                await side.round(samples)
    return samples


def printed(samples: Samples) -> list[str]:
    """Return the section of the document."""
    return table(FIGURES, samples)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bars-bench-") as made:
        print(*printed(uvloop.run(measured(Path(made)))), sep="\n")
