"""
Counts the SQL statements of a message, and how long the loop stands: `python probes.py`.

The gateway is a real one with probes in it (`probed`), which cost time of their own: no rate comes
from here. What triggers do is not counted, nor what begins, ends and undoes a transaction, which
has a line of its own. `OFTEN=1` names the statements.

A stall is the longest time for which nothing else ran on the loop while a thing was done: a Bundle
of 5 MB came in, the access token was renewed, SIGHUP was obeyed, 500 messages were held by one
command. With nothing to do it is what the machine does to anybody: beside others' load, go by the
most processor time that the gateway spent between two turns of its loop, in all of its threads.
"""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import uvloop
from builds import builds
from figures import Figure, Samples, table
from staging import CALLERS, Gateway, ground, running, sink

ROUNDS = int(os.environ.get("ROUNDS", "9"))
MESSAGES = int(os.environ.get("MESSAGES", "320"))
HELD = int(os.environ.get("HELD", "500"))
LARGE = int(os.environ.get("LARGE", "5000000"))
TOKEN_SECONDS = 4  # renewed from the half of it on
_MUST = "≤ 25 ms"
STATEMENTS = (
    Figure("statements, intake", ""),
    Figure("statements, drain", ""),
    Figure("statements, intake and drain", "", "≤ 18"),
    Figure("statements, inbound", "", "≤ 10"),
    Figure("begin, end and undo, intake", ""),
    Figure("begin, end and undo, drain", ""),
    Figure("begin, end and undo, inbound", ""),
)
STALLS = (
    Figure("stall, nothing to do", "ms"),
    Figure("stall, 5 MB bundle in", "ms", _MUST),
    Figure("stall, 5 MB bundle in, processor", "ms"),
    Figure("stall, token renewal", "ms", _MUST),
    Figure("stall, reload", "ms", _MUST),
    Figure("stall, 500 held at once", "ms", _MUST),
)
FIGURES = STATEMENTS + STALLS


async def statements(gateway: Gateway) -> Mapping[str, float]:
    """Return what the database is asked for one message, by door."""
    counted: dict[str, float] = {}

    async def of(door: str, work: Callable[[], Awaitable[Any]], count: int) -> None:
        await gateway.probe()
        await work()
        told = await gateway.probe()
        counted[f"statements, {door}"] = told["statements"] / count
        counted[f"begin, end and undo, {door}"] = told["transactions"] / count
        if os.environ.get("OFTEN"):
            for said, times in told["often"]:
                print(f"{door:8} {times / count:6.2f} {said}", file=sys.stderr)

    both = MESSAGES + CALLERS  # those that warm it up are messages, too
    await gateway.sink.do("shut")
    await of("intake", lambda: gateway.taking(MESSAGES), both)
    await of("drain", lambda: gateway.draining(both), both)
    await of("inbound", lambda: gateway.receiving(MESSAGES), both)
    together = counted["statements, intake"] + counted["statements, drain"]
    return counted | {"statements, intake and drain": together}


async def stalls(gateway: Gateway) -> Mapping[str, float]:
    """Return for how long the loop stood still, by what was done."""
    found: dict[str, float] = {}

    async def of(what: str, work: Callable[[], Awaitable[Any]]) -> None:
        await gateway.quiet()
        await gateway.probe()
        await work()
        await gateway.quiet()
        told = await gateway.probe()
        found[f"stall, {what}"] = told["stalled_ms"]
        found[f"stall, {what}, processor"] = told["worked_ms"]

    async def renewed() -> None:
        await gateway.taking(1, warm=0)
        await gateway.sink.answered(1)

    async def reloaded() -> None:
        os.kill(gateway.pid, signal.SIGHUP)
        await asyncio.sleep(0.5)

    async def large() -> None:  # on a slow machine it is not looked through within 4.5 s
        await gateway.receiving(1, warm=0, bytes=LARGE, good=[408])

    await of("nothing to do", lambda: asyncio.sleep(0.5))
    await of("5 MB bundle in", large)
    await gateway.sink.do("clear")
    await asyncio.sleep(TOKEN_SECONDS / 2)
    await of("token renewal", renewed)
    await of("reload", reloaded)
    await gateway.sink.do("shut")
    await gateway.taking(HELD)
    await of("500 held at once", lambda: gateway.run("hold", "--all", "--why", "bench"))
    await gateway.run("release", "--all", "--why", "bench")
    await gateway.draining(HELD + CALLERS)
    return found


async def measured(temporary: Path) -> Samples:
    """Count once, and look for stalls in each round."""
    samples = Samples()
    async with ground(temporary) as at, AsyncExitStack() as stack:
        gateways: list[Gateway] = []
        for number, build in enumerate(stack.enter_context(builds(temporary))):
            there = await stack.enter_async_context(sink(at, TOKEN_SECONDS))
            folder = temporary / f"g{number}"
            started = running(build, at, folder, there, probed=True)
            gateways.append(await stack.enter_async_context(started))
        for gateway in gateways:
            for name, value in (await statements(gateway)).items():
                samples.add(gateway.build.name, name, value)
        for number in range(ROUNDS):
            for gateway in gateways[::-1] if number % 2 else gateways:
                for name, value in (await stalls(gateway)).items():
                    samples.add(gateway.build.name, name, value)
    return samples


def printed(samples: Samples) -> list[str]:
    """Return the section of the document."""
    return [*table(STATEMENTS, samples), "", *table(STALLS, samples)]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bars-bench-") as made:
        print(*printed(uvloop.run(measured(Path(made)))), sep="\n")
