"""Plays the loop: starts the processes, watches every hand-over, and ends what it started."""

import asyncio
import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import aiohttp
import orjson
from rich.console import Console

from bars_gateway.demo.eprs import WAIT_SECONDS, FolderEpr, SocketEpr
from bars_gateway.demo.messages import validation_request
from bars_gateway.demo.processes import (
    Organisation,
    end,
    free_ports,
    start_gateway,
    start_sandbox,
)
from bars_gateway.demo.timeline import Timeline

STEPS = frozenset(
    {
        "dropped",
        "receipt",
        "token",
        "forwarded",
        "taken",
        "collected",
        "outcome",
        "interim acknowledged",
        "interim",
        "final acknowledged",
        "final",
    }
)
_SYSTEM = "https://fhir.nhs.uk/Id/dos-service-id"


async def play(folder: Path | None, *, once: bool) -> bool:
    """
    Run the demo in *folder* (a temporary one where None); return whether every step was seen.

    With *once* it ends after the loop, otherwise when it is interrupted.
    """
    console = Console(soft_wrap=True, highlight=False)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    timeline = Timeline(console)
    with _home(folder) as home:
        async with AsyncExitStack() as stack:
            organisations = _organisations()
            sandbox = await _start(stack, home, organisations, timeline)
            await _loop(home, organisations, sandbox, timeline)
            missing = STEPS - set(timeline.seen)
            console.print(_verdict(timeline, missing))
            if not once:
                await _leave_up(console, organisations, home, stop)
    return not missing


def _verdict(timeline: Timeline, missing: frozenset[str]) -> str:
    if missing:
        return f"\nNot seen: {', '.join(sorted(missing))}."
    return f"\nEvery step was seen, in {timeline.seconds:.1f} s."


@contextmanager
def _home(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="bars-gateway-demo-") as made:
        yield Path(made)


def _organisations() -> Sequence[Organisation]:
    ports = free_ports(4)
    return (
        Organisation(
            name="ambulance",
            title="Northshire Ambulance Service",
            ods_code="ZX901",
            service="2000000101",
            notices="folder",
            port=ports[0],
            status_port=ports[1],
        ),
        Organisation(
            name="hospital",
            title="Northshire General Hospital",
            ods_code="ZX902",
            service="2000000202",
            notices="socket",
            port=ports[2],
            status_port=ports[3],
        ),
    )


async def _start(
    stack: AsyncExitStack, home: Path, organisations: Sequence[Organisation], timeline: Timeline
) -> Mapping[str, str]:
    timeline.say("demo", f"makes keys, certificates and settings below {home}")
    process, sandbox = await start_sandbox(home / "sandbox", organisations, home / "sandbox.log")
    stack.push_async_callback(end, process)
    timeline.say("sandbox", f"token service and proxy answer at {sandbox['proxy_url']}")
    async with asyncio.TaskGroup() as group:
        for organisation in organisations:
            group.create_task(_start_one(stack, home, organisation, sandbox, timeline))
    return sandbox


async def _start_one(
    stack: AsyncExitStack,
    home: Path,
    organisation: Organisation,
    sandbox: Mapping[str, str],
    timeline: Timeline,
) -> None:
    process = await start_gateway(organisation, home / organisation.name, sandbox)
    stack.push_async_callback(end, process)
    timeline.say(organisation.name, f"gateway is ready; status page {organisation.status_url}")


async def _loop(
    home: Path,
    organisations: Sequence[Organisation],
    sandbox: Mapping[str, str],
    timeline: Timeline,
) -> None:
    caller, department = organisations
    body = validation_request(
        sender=f"{_SYSTEM}|{caller.service}",
        receiver=f"{_SYSTEM}|{department.service}",
    )
    ambulance = FolderEpr(home / caller.name / "spool", "ambulance EPR", timeline)
    hospital = SocketEpr(
        home / department.name / "run" / f"{department.name}.sock", "hospital EPR", timeline
    )
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(hospital.play(body))
            group.create_task(_watch(sandbox["admin_url"], timeline))
            ambulance.drop("request.json", body)
            group.create_task(ambulance.receipt("request"))
            group.create_task(ambulance.outcome())
            group.create_task(ambulance.responses())
    except* TimeoutError:
        timeline.say("demo", f"gave up after {WAIT_SECONDS:.0f} s")


async def _watch(admin_url: str, timeline: Timeline) -> None:
    """Say what passes through the national side, as the sandbox reports it."""
    seen, missing = 0, 5  # two tokens; a request and two responses
    async with asyncio.timeout(WAIT_SECONDS), aiohttp.ClientSession(trust_env=False) as session:
        while missing > 0:
            query = {"wait": "10", "after": str(seen)}
            async with session.get(f"{admin_url}/calls", params=query) as response:
                calls = orjson.loads(await response.read())["calls"]
            for call in calls:
                seen = max(seen, call["number"])
                missing -= 1
                _say_call(call, timeline)


def _say_call(call: Mapping[str, object], timeline: Timeline) -> None:
    if call["target"] is None:
        timeline.say("sandbox", f"issues an access token: HTTP {call['answered_status']}", "token")
        return
    timeline.say(
        "sandbox",
        f"forwards a message to {call['target']} over mutual TLS: HTTP {call['receiver_status']}",
        "forwarded" if call["receiver_status"] == 200 else None,  # noqa: PLR2004
    )


async def _leave_up(
    console: Console, organisations: Sequence[Organisation], home: Path, stop: asyncio.Event
) -> None:
    console.print("\nBoth gateways go on running. Look at their status pages:")
    for organisation in organisations:
        console.print(f"  {organisation.title:<30} {organisation.status_url}")
    console.print(f"Drop message files into {home}/ambulance/spool/outbox/new.")
    console.print("Ctrl-C ends everything.")
    await stop.wait()
    console.print("Stopping.")
