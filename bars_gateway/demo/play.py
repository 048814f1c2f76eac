"""Plays the chapters: starts the processes, watches every hand-over, and ends what it started."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import aiohttp
import orjson
from rich.console import Console

from bars_gateway.demo.cast import cast
from bars_gateway.demo.chapters import CHAPTERS
from bars_gateway.demo.stage import (
    Chapter,
    FolderEpr,
    Organisation,
    SocketEpr,
    Stage,
    TimelinePrinter,
    end,
    home_of,
    socket_session,
    start_gateway,
    start_sandbox,
)

SILENCE_SECONDS = 60.0  # after which a chapter is given up
S = TypeVar("S")


async def play(folder: Path | None, names: Sequence[str], *, once: bool) -> bool:
    """
    Run the demo in *folder* (a temporary one where None); return whether every step was seen.

    Only the chapters of those *names* are played, or all where there are none. With *once*
    it ends after them, otherwise when it is interrupted.
    """
    console, stop = Console(soft_wrap=True, highlight=False), interruption()
    timeline = TimelinePrinter(console)
    chapters = [chapter for chapter in CHAPTERS if not names or chapter.name in names]
    with home_of("demo", folder) as home:
        async with _stage(home, timeline) as stage, asyncio.TaskGroup() as group:
            watching = group.create_task(watch(stage.admin_url, timeline))
            all_seen = await played(chapters, stage, timeline)
            console.print(ending(timeline, all_seen=all_seen))
            if not once:
                organisations = (stage.ambulance, stage.hospital, stage.neighbour)
                addresses = {each.title: each.status_url for each in organisations}
                await leave_up(console, addresses, home / "ambulance" / "spool", stop)
            watching.cancel()
    return all_seen


def interruption() -> asyncio.Event:
    """Return what is set once somebody interrupts the play."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def ending(timeline: TimelinePrinter, *, all_seen: bool) -> str:
    """Return the last words of the play."""
    if not all_seen:
        return "\nNot everything was seen."
    return f"\nEvery step was seen, in {timeline.seconds:.1f} s."


async def played(chapters: Sequence[Chapter[S]], stage: S, timeline: TimelinePrinter) -> bool:
    """Play the chapters on *stage*; return whether every step of theirs was seen."""
    missing = [await _missed(each, stage, timeline) for each in chapters]
    return not any(missing)


async def _missed(chapter: Chapter[S], stage: S, timeline: TimelinePrinter) -> frozenset[str]:
    """Play one chapter on *stage*; return what of it was not seen."""
    timeline.begin(chapter.title)
    try:
        async with timeline.going_on(SILENCE_SECONDS):
            await chapter.play(stage)
            await timeline.until(chapter.steps)
    except TimeoutError:
        missing = ", ".join(sorted(timeline.missing(chapter.steps)))
        silence = f"nothing has happened for {SILENCE_SECONDS:.0f} s"
        timeline.say("demo", f"gave up: {silence}; not seen: {missing}")
    return timeline.missing(chapter.steps)


@asynccontextmanager
async def _stage(home: Path, timeline: TimelinePrinter) -> AsyncIterator[Stage]:
    """Start the national side and the gateways, and end them afterwards."""
    organisations = cast(("ambulance", ""), ("hospital", ""), ("neighbour", ""))
    ambulance, hospital, neighbour = organisations
    async with AsyncExitStack() as stack:
        timeline.say("demo", f"makes keys, certificates and settings below {home}")
        process, sandbox = await start_sandbox(
            home / "sandbox", organisations, home / "sandbox.log"
        )
        stack.push_async_callback(end, process)
        timeline.say("sandbox", f"token service and proxy answer at {sandbox['proxy_url']}")
        async with asyncio.TaskGroup() as group:
            for organisation in organisations:
                group.create_task(_start_one(stack, home, organisation, sandbox, timeline))
        sockets = [home / one.name / "run" / f"{one.name}.sock" for one in organisations]
        eprs = [
            SocketEpr(await stack.enter_async_context(socket_session(socket))) for socket in sockets
        ]
        yield Stage(
            ambulance=ambulance,
            hospital=hospital,
            neighbour=neighbour,
            caller=FolderEpr(home / ambulance.name / "spool"),
            caller_socket=eprs[0],
            department=eprs[1],
            neighbour_epr=eprs[2],
            timeline=timeline,
            admin_url=sandbox["admin_url"],
        )


async def _start_one(
    stack: AsyncExitStack,
    home: Path,
    organisation: Organisation,
    sandbox: Mapping[str, str],
    timeline: TimelinePrinter,
) -> None:
    process = await start_gateway(organisation, home / organisation.name, sandbox)
    stack.push_async_callback(end, process)
    timeline.say(organisation.name, f"gateway is ready; status page {organisation.status_url}")


async def watch(admin_url: str, timeline: TimelinePrinter) -> None:
    """Say what passes through the national side, as the sandbox reports it there."""
    seen = 0
    async with aiohttp.ClientSession(trust_env=False) as session:
        while True:
            query = {"wait": "30", "after": str(seen)}
            async with session.get(f"{admin_url}/calls", params=query) as response:
                calls = orjson.loads(await response.read())["calls"]
            for call in calls:
                seen = max(seen, call["number"])
                timeline.say("sandbox", *_told(call))


def _told(call: Mapping[str, object]) -> tuple[str, str | None]:
    """Return what to say of a call, and which step it is."""
    if call["target"] is None:
        return f"issues an access token: HTTP {call['answered_status']}", "token"
    status = call["receiver_status"]
    what = "a read" if call["method"] == "GET" else "a message"
    forwards = f"forwards {what} to {call['target']} over mutual TLS: HTTP {status}"
    if call["answered_status"] is None:
        return f"{forwards}; the answer is lost on its way back", "lost"
    return forwards, {200: "forwarded", 409: "duplicate"}.get(int(str(status or 0)))


async def leave_up(
    console: Console, addresses: Mapping[str, str], spool: Path, stop: asyncio.Event
) -> None:
    """Let everything run until *stop*; say at which *addresses* there is what to look at."""
    console.print("\nThe gateways go on running. Look at their status pages:")
    for title, address in addresses.items():
        console.print(f"  {title:<30} {address}")
    console.print(f"Drop message files into {spool}/outbox/new.")
    console.print("Ctrl-C ends everything.")
    await stop.wait()
    console.print("Stopping.")
