"""
Prints what an old and full database costs: `make bench-old`, or small with `STORED` and `QUEUED`.

    STORED  messages that were settled long ago               500,000
    QUEUED  messages that wait, at most                        1,000,000
    LATE    messages whose time is over when it starts         100,000, at most QUEUED
    HELD    messages that are held by one command, at most     100,000, at most QUEUED

The databases are made by plain SQL (`filling`) in a temporary folder on the disk (`TMPDIR`), which
takes about 10 kB for each message. Each row is a real gateway that is started on one of them and
asked by its doors. `ONLY=full,late` measures only those.
"""

import asyncio
import os
import platform
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import aiohttp
import uvloop
from builds import Build, builds
from figures import plain
from filling import count, fill
from staging import Gateway, Ground, Sink, ground, sink

STORED = int(os.environ.get("STORED", "500000"))
QUEUED = int(os.environ.get("QUEUED", "1000000"))
LATE = int(os.environ.get("LATE", min(QUEUED, 100_000)))
HELD = int(os.environ.get("HELD", min(QUEUED, 100_000)))
PROVIDERS = int(os.environ.get("PROVIDERS", "50"))
TRIED = int(os.environ.get("TRIED", "50"))
_UNTOLD = "SELECT count(*) FROM messages WHERE state = 'queued' AND attempts = 0"
_BY_NAME = "SELECT count(*) FROM messages WHERE state = ?"
Row = tuple[str, str, str]  # what, seen, must be


def forget(path: Path) -> None:
    """Let the kernel forget what it has of the file in memory, as after a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


async def made(build: Build, at: Ground, there: Sink, name: str, **options) -> Gateway:
    """Return a gateway that has run once and stopped: its database is there, and empty."""
    gateway = Gateway(build, at, at.folder / name, there, **options)
    gateway.prepare()
    await gateway.start()
    await gateway.stop()
    return gateway


@asynccontextmanager
async def started(gateway: Gateway) -> AsyncIterator[tuple[float, float]]:
    """Start it; kill it at the end, for nothing of it is wanted any more."""
    try:
        yield await gateway.start()
    finally:
        await gateway.kill()


async def answered(gateway: Gateway, path: str, times: int = 9) -> list[float]:
    """Return how many milliseconds the status page took, each time, in order."""
    spent = []
    async with aiohttp.ClientSession(trust_env=False) as session:
        for _ in range(times):
            began = time.perf_counter()
            async with session.get(f"http://127.0.0.1:{gateway.status_port}{path}") as response:
                await response.read()
            spent.append((time.perf_counter() - began) * 1000)
    return sorted(spent)


async def notices(gateway: Gateway, until: Awaitable[object]) -> list[float]:
    """Return how many milliseconds an EPR's read took, each time, while something else is done."""
    other, spent = asyncio.ensure_future(until), []
    connector = aiohttp.UnixConnector(str(gateway.folder / "run" / "p0.sock"))
    async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
        while not other.done() or not spent:
            began = time.perf_counter()
            async with session.get("http://gateway/notices") as response:
                await response.read()
            spent.append((time.perf_counter() - began) * 1000)
    await other
    return sorted(spent)


async def full(build: Build, at: Ground, there: Sink) -> AsyncIterator[Row]:
    """Measure starts and pages with everything that is stored."""
    gateway = await made(build, at, there, "full")
    fill(gateway.database, stored=STORED)
    size = gateway.database.stat().st_size / 1e9
    name = f"{STORED:,} stored ({size:.1f} GB)"
    seconds, processor = await gateway.start()
    yield (
        f"start to ready, warm, {name}",
        f"{seconds:.2f} s, {processor:.2f} s processor",
        "1.5 s",
    )
    await gateway.stop()
    forget(gateway.database)
    seconds, processor = await gateway.start()
    yield ("the same, cold", f"{seconds:.2f} s, {processor:.2f} s processor", "1.5 s")
    await gateway.kill()
    seconds, processor = await gateway.start()
    yield ("the same, after a kill", f"{seconds:.2f} s, {processor:.2f} s processor", "6.5 s")
    await gateway.kill()
    forget(gateway.database)
    async with started(gateway) as (seconds, processor):
        told = f"{seconds:.2f} s, {processor:.2f} s processor"
        yield ("the same, after a power cut (cold)", told, "6.5 s")
        for title, path in (("overview", "/"), ("/metrics", "/metrics"), ("/readyz", "/readyz")):
            spent = await answered(gateway, path)
            yield (title, f"{spent[len(spent) // 2]:.1f} ms, longest {spent[-1]:.1f}", "5 ms")
        spent = await notices(gateway, answered(gateway, "/"))
        yield ("an EPR's read beside the overview", f"longest {spent[-1]:.1f} ms", "5 ms")
        taken = await gateway.taking(500)
        await gateway.quiet()
        received = await gateway.receiving(500)
        yield ("written a message, inbound", f"{received.kb_each:.0f} kB", "60 kB")
        yield ("written a message, outbound with intake", f"{taken.kb_each:.0f} kB", "120 kB")
        yield ("write-ahead log, under load", _log_size(gateway), "bounded")
        await asyncio.sleep(7)  # it is given back five seconds after the last change
        yield ("write-ahead log, idle", _log_size(gateway), "0 MB")


def _log_size(gateway: Gateway) -> str:
    log = gateway.database.with_name(gateway.database.name + "-wal")
    return f"{log.stat().st_size / 1e6:.1f} MB"


async def late(build: Build, at: Ground, there: Sink) -> AsyncIterator[Row]:
    """Start after a long stop: many messages are past their time at once."""
    gateway = await made(build, at, there, "late")
    fill(gateway.database, queued=LATE, give_up=timedelta(hours=-1))
    await there.do("shut")
    await gateway.start()
    await asyncio.sleep(0.5)
    await gateway.kill()
    left = count(gateway.database, _UNTOLD)
    yield (f"{LATE:,} past their time: told when killed", f"{LATE - left:,}", "more than none")
    began = time.monotonic()
    async with started(gateway):
        settled = _until(lambda: count(gateway.database, _UNTOLD) == 0)
        spent = await submits(gateway, settled)
        yield ("the same: until all are told", f"{time.monotonic() - began:.1f} s", "-")
        told = f"p50 {spent[len(spent) // 2]:.1f} ms, longest {spent[-1]:.1f}"
        yield ("the same: a submission meanwhile", told, "longest 50 ms")
    await there.do("open")


async def _until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(600):
        while not await asyncio.to_thread(reached):
            await asyncio.sleep(0.1)


async def submits(gateway: Gateway, until: Awaitable[object] | None = None) -> Sequence[float]:
    """Return how many milliseconds submissions took, one at a time, while something is done."""
    other, spent = asyncio.ensure_future(until or asyncio.sleep(0)), []
    while not other.done() or not spent:
        spent += (await gateway.taking(TRIED, warm=1, callers=1)).ms
    await other
    return sorted(spent)


async def outage(build: Build, at: Ground, there: Sink) -> AsyncIterator[Row]:
    """Submit while no token is available and more and more waits."""
    nowhere = {"extra": {"token": "https://127.0.0.1:1/token"}}
    gateway = await made(build, at, there, "outage", **nowhere)
    waiting = 0
    for queued in sorted({1, QUEUED // 10, QUEUED}):
        fill(gateway.database, queued=queued - waiting)
        waiting = queued
        seconds, processor = await gateway.start()
        await asyncio.sleep(1)
        before, began = gateway.processor(), time.monotonic()
        await asyncio.sleep(2)
        idle = (gateway.processor() - before) / (time.monotonic() - began)
        spent = await submits(gateway)
        waiting += len(spent) + 1
        told = f"p50 {spent[len(spent) // 2]:.1f} ms, longest {spent[-1]:.1f}"
        yield (f"submit in a token outage, {queued:,} queued", told, "constant")
        yield ("the same: a core's share with nothing to do", f"{idle:.0%}", "constant")
        yield ("the same: start to ready", f"{seconds:.2f} s, {processor:.2f} s processor", "1.5 s")
        await gateway.stop()


async def hold(build: Build, at: Ground, there: Sink) -> AsyncIterator[Row]:
    """Hold and release everything, while others submit and are turned away."""
    nowhere = {"extra": {"token": "https://127.0.0.1:1/token"}}
    gateway = await made(build, at, there, "hold", **nowhere)
    waiting = 0
    for queued in sorted({max(1, HELD // 10), HELD}):
        fill(gateway.database, queued=queued - waiting)
        waiting = queued
        async with started(gateway):
            for verb in ("hold", "release"):
                took: list[float] = []
                work = gateway.run(verb, "--all", "--why", "bench")
                spent = await submits(gateway, _lenient(work, took))
                told = f"{took[0]:.1f} s; a submission at most {spent[-1]:.0f} ms"
                waiting += len(spent)
                yield (f"{verb} --all, {queued:,} queued", told, "other writes within 50 ms")
        held = count(gateway.database, _BY_NAME, ["held"])
        yield ("the same: still held", f"{held:,}", "0")


async def _lenient(work: Awaitable[tuple[float, bytes]], took: list[float]) -> None:
    """Note how long a command took; that it gave up is part of what is measured."""
    began = time.monotonic()
    try:
        await work
    except SystemExit as ended:
        print(f"*** {str(ended)[-300:]} ***", file=sys.stderr)  # its last words say why
    took.append(time.monotonic() - began)


async def many(build: Build, at: Ground, there: Sink) -> AsyncIterator[Row]:
    """Start for many providers, each with a key of its own."""
    gateway = await made(build, at, there, "many", providers=PROVIDERS)
    async with started(gateway) as (seconds, processor):
        told = f"{seconds:.2f} s, {processor:.2f} s processor"
        yield (f"start of {PROVIDERS} providers", told, "2 s of processor")


PARTS = {"full": full, "late": late, "outage": outage, "hold": hold, "many": many}


async def table(folder: Path) -> None:
    """Print each row as soon as it is measured."""
    wanted = os.environ.get("ONLY", ",".join(PARTS)).split(",")
    lines = plain(["What", "Seen", "Must be"], [])
    print(f"{os.cpu_count()} processors, Python {platform.python_version()}\n", *lines, sep="\n")
    with builds(folder) as compared:
        for build in compared:
            for name in wanted:
                place = folder / f"{build.name.replace(' ', '-')}-{name}"
                place.mkdir()
                async with ground(place) as at, sink(at) as there:
                    async for what, seen, must in PARTS[name](build, at, there):
                        title = f"{build.name}: {what}" if len(compared) > 1 else what
                        print(*plain([title, seen, must], [])[:1], flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bars-old-") as temporary:
        uvloop.run(table(Path(temporary)))
