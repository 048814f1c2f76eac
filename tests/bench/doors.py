"""
Measures each door of a real gateway, and beside it what does the least: `python doors.py`.

    EPR's socket ──► on disk                    intake
    on disk ──► acknowledged, on disk           drain: 32 under way, for forty Receivers
    mutual TLS ──► on disk ──► 200              inbound, as fast as 32 callers can, and 200/s

In each round every build, the bare loop, the bare server and the pipeline over RabbitMQ have their
turn, on the same cores and with the same bodies; the next round is the other way round. A first
round is left out: it is cold.
"""

import os
import ssl
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import uvloop
from aiohttp import web
from bare import send
from bodies import AS_IT_IS, body_of
from builds import builds
from figures import THIS, Figure, Ratio, Samples, ratios, table
from peer import Drain, pipeline
from staging import CALLERS, OURS, Gateway, Ground, Sink, caller_of, ground, running, sink

from bars_gateway.tls.contexts import client_context

ROUNDS = int(os.environ.get("ROUNDS", "9"))
MESSAGES = int(os.environ.get("MESSAGES", "640"))
A_SECOND = 200
FIGURES = (
    Figure("intake", "/s", "≥ 2.0 of base", 0),
    Figure("intake, processor", "ms"),
    Figure("drain", "/s", "≥ 2.6 of base", 0),
    Figure("drain, processor", "ms"),
    Figure("inbound", "/s", "≥ 2.5 of base", 0),
    Figure("inbound, processor", "ms"),
    Figure("inbound at 200/s, p50", "ms"),
    Figure("inbound at 200/s, p99", "ms", "≤ 15 ms"),
    Figure("intake, written", "kB", "", 0),
    Figure("drain, written", "kB", "≤ 120 kB with intake", 0),
    Figure("inbound, written", "kB", "≤ 60 kB", 0),
    Figure("bare loop", "/s", "", 0),
    Figure("bare server", "/s", "", 0),
    Figure("RabbitMQ pipeline", "/s", "", 0),
)
RATIOS = (
    Ratio("drain to RabbitMQ pipeline", "drain", "RabbitMQ pipeline", "≥ 1.0"),
    Ratio("drain to bare loop", "drain", "bare loop"),
    Ratio("inbound to bare server", "inbound", "bare server"),
)
Note = Callable[[str, float], None]


async def of_gateway(gateway: Gateway, note: Note) -> None:
    """Measure all four doors of one gateway."""
    await gateway.sink.do("shut")
    taken = await gateway.taking(MESSAGES)
    drained = await gateway.draining(MESSAGES + CALLERS)
    received = await gateway.receiving(MESSAGES)
    for name, spent in (("intake", taken), ("drain", drained), ("inbound", received)):
        note(name, spent.rate)
        note(f"{name}, processor", spent.ms_each)
        note(f"{name}, written", spent.kb_each)
    steady = await gateway.receiving(MESSAGES, rate=A_SECOND)
    note("inbound at 200/s, p50", steady.within(0.5))
    note("inbound at 200/s, p99", steady.within(0.99))


async def of_bare_loop(at: Ground, there: Sink, note: Note) -> None:
    """Do the least that an honest sender may do (`bare`), with the same sink."""
    context = client_context(at.made / "authorities" / "national.pem")
    url = f"https://127.0.0.1:{there.port}/$process-message"
    connector = aiohttp.TCPConnector(ssl=context, limit=CALLERS)
    async with aiohttp.ClientSession(connector=connector) as session:
        for count in (CALLERS, MESSAGES):  # the first opens every connection
            bodies = [body_of(AS_IT_IS, OURS) for _ in range(count)]
            path = at.folder / f"{uuid.uuid4()}.db"
            seconds, _ = await send(session, url, path, bodies, CALLERS)
        note("bare loop", MESSAGES / seconds)


async def of_bare_server(at: Ground, note: Note) -> None:
    """Answer the same calls with aiohttp alone: nothing is looked at, nothing kept."""
    theirs = at.made / "gateways" / "hospital"
    authority = at.made / "authorities" / "receivers.pem"
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(theirs / "server.pem", theirs / "server.key")

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(body=await request.read(), content_type="application/fhir+json")

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    told = at.proxy | {"url": f"https://127.0.0.1:{runner.addresses[0][1]}/", "services": [OURS]}
    try:
        async with caller_of(told | {"count": MESSAGES}) as caller:
            seconds, _ = await caller.go()
        note("bare server", MESSAGES / seconds)
    finally:
        await runner.cleanup()


Turn = Callable[[Note], Awaitable[None]]


@asynccontextmanager
async def turns(at: Ground, temporary: Path) -> AsyncIterator[Sequence[tuple[str, Turn]]]:
    """Start whatever has a turn in each round."""
    async with AsyncExitStack() as stack:
        taken: list[tuple[str, Turn]] = []
        for number, build in enumerate(stack.enter_context(builds(temporary))):
            there = await stack.enter_async_context(sink(at))
            folder = temporary / f"g{number}"
            gateway = await stack.enter_async_context(running(build, at, folder, there))
            taken.append((build.name, lambda note, gateway=gateway: of_gateway(gateway, note)))
        there = await stack.enter_async_context(sink(at))
        taken.append((THIS, lambda note: of_bare_loop(at, there, note)))
        taken.append((THIS, lambda note: of_bare_server(at, note)))
        drain = await stack.enter_async_context(pipeline(at, there, MESSAGES))
        if drain is not None:
            taken.append((THIS, lambda note: of_pipeline(drain, note)))
        yield taken


async def of_pipeline(drain: Drain, note: Note) -> None:
    """Drain a quorum queue of RabbitMQ into the same sink."""
    note("RabbitMQ pipeline", MESSAGES / await drain())


async def measured(temporary: Path) -> Samples:
    """Go round so many times."""
    samples = Samples()
    async with ground(temporary) as at, turns(at, temporary) as taken:
        for number in range(ROUNDS + 1) if ROUNDS > 1 else [1]:
            for side, turn in taken if number % 2 else taken[::-1]:
                into = samples if number else Samples()
                await turn(lambda name, value, side=side, into=into: into.add(side, name, value))
    return samples


def printed(samples: Samples) -> list[str]:
    """Return the section of the document."""
    return [*table(FIGURES, samples), "", *ratios(RATIOS, samples)]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bars-bench-") as made:
        print(*printed(uvloop.run(measured(Path(made)))), sep="\n")
