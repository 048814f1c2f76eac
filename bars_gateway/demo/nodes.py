"""
`bars-gateway demo --nodes 2`: two gateways of one hospital, of which one is killed.

    ambulance ─► sandbox ─► balancer ─┬─► north ─┐
        ▲                             └─► south ─┴─► PostgreSQL
        └─────────── sandbox ◄─────────── either

    QUESTION  a booking reaches one node; the EPR, which sits at the other, says yes to it
    KILL      messages go both ways, and north is killed: south goes on with what was north's
    RETURN    north is started again; every message is counted at both ends

The sandbox, the gateways and the server are processes. The demo is both EPRs, and the balancer:
that passes each connection to north, and to south where north does not answer, so that all of it
is on its way through north when that is killed.

A node's claims last for seconds here, and for 90 s in life (`outbound.lease_seconds`).
"""

import asyncio
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import aiohttp
from rich.console import Console

from bars_gateway.config import Settings, load
from bars_gateway.demo.cast import cast
from bars_gateway.demo.messages import booking, referral
from bars_gateway.demo.play import ending, interruption, leave_up, played, watch
from bars_gateway.demo.postgresql import served_database
from bars_gateway.demo.stage import (
    CALLER,
    DEPARTMENT,
    Chapter,
    Document,
    FolderEpr,
    Organisation,
    SocketEpr,
    TimelinePrinter,
    arm,
    end,
    home_of,
    socket_session,
    start_gateway,
    start_sandbox,
)
from bars_gateway.engine import looked, nodes_of
from bars_gateway.model.nodes import Node
from bars_gateway.store.nodes import HOUSEKEEPING

_EACH_WAY = 10  # messages
_LEASE_SECONDS = 9
_MORE: Mapping[str, str] = {
    "outbound": "answer_seconds = 6\ntoken_seconds = 2\n"
    f"lease_seconds = {_LEASE_SECONDS}\nmax_in_flight_per_receiver = {_EACH_WAY}\n",
}
_SYSTEM = "https://fhir.nhs.uk/Id/dos-service-id"
_LOOK_SECONDS = 0.1
_BETWEEN_SECONDS = 0.2  # from one drop to the next
_HEARD_SECONDS = 2.0  # until a node knows that an EPR asks for questions at another one
_CHUNK = 65536
_MISSED = "The gateway of node north"  # at the head of the concern about it
_ROOMS = ("sandbox", "ambulance", "north", "south")


class DemoBalancer:
    """Passes each connection to the first of its ports where somebody answers."""

    def __init__(self, port: int, to: Sequence[int]) -> None:
        self.port = port
        self._to = to

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Take connections until the block ends."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        try:
            yield
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for port in self._to:
            with suppress(OSError):
                there, back = await asyncio.open_connection("127.0.0.1", port)
                async with asyncio.TaskGroup() as group:
                    group.create_task(_passed_on(reader, back))
                    group.create_task(_passed_on(there, writer))
                return
        writer.close()


async def _passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    with suppress(OSError):
        writer.close()


class _NodesDesk:
    """The hospital's EPR: at one node's socket it collects everything, and says yes."""

    def __init__(self, epr: SocketEpr, timeline: TimelinePrinter) -> None:
        self._epr, self._timeline = epr, timeline
        self.taken: list[str] = []  # Bundle.ids, as they came
        self.told: list[Document] = []  # outcomes

    async def collect(self) -> None:
        """Collect every notice, until cancelled."""
        while True:
            for notice in (await self._epr.get("/notices?wait=30"))["notices"]:
                if notice["kind"] == "outcome":
                    self.told.append(notice)
                elif notice["direction"] == "inbound":
                    body = await self._epr.read(f"/notices/{notice['notice_id']}/message")
                    self.taken.append(json.loads(body)["id"])
                await self._epr.collect(notice["notice_id"])

    async def answer(self) -> None:
        """Say yes to every question, until cancelled."""
        number = 0
        while True:
            question = await self._epr.question(number)
            number = question["question_id"]
            body = await self._epr.read(f"/questions/{number}/request")
            self.taken.append(json.loads(body)["id"])
            decided = await self._epr.answer(number, {"accept": True})
            self._timeline.say(
                DEPARTMENT,
                f"is asked at south's socket, and says yes: the Sender gets"
                f" {decided['http_status']}",
                "asked",
            )


@dataclass(slots=True, kw_only=True)
class NodesStage:
    """Those who take part, and what was sent so far."""

    home: Path
    ambulance: Organisation
    north: Organisation
    south: Organisation
    sandbox: Mapping[str, str]  # its addresses
    more: Mapping[str, str]  # further settings of both nodes
    timeline: TimelinePrinter
    caller: FolderEpr
    desk: _NodesDesk
    processes: dict[str, asyncio.subprocess.Process]
    sent: dict[str, list[str]] = field(default_factory=lambda: {"there": [], "back": []})
    receipts: dict[str, str] = field(default_factory=dict)  # request ids of ours, by file

    @property
    def settings(self) -> Settings:
        """Those of south, by which the database is found."""
        return load(self.home / "south" / "bars-gateway.toml", {})

    def spool(self, node: Organisation) -> FolderEpr:
        """Return the folders of one of the hospital's nodes."""
        return FolderEpr(self.home / node.node / "spool")

    @property
    def ends(self) -> dict[str, str]:
        """Return *sender* and *receiver* of a message from the ambulance to the hospital."""
        return {
            "sender": f"{_SYSTEM}|{self.ambulance.service}",
            "receiver": f"{_SYSTEM}|{self.north.service}",
        }

    @property
    def ends_back(self) -> dict[str, str]:
        """Return *sender* and *receiver* of a message from the hospital to the ambulance."""
        return {"sender": self.ends["receiver"], "receiver": self.ends["sender"]}


async def _question(stage: NodesStage) -> None:
    """Book a slot, once north can know that an EPR asks for questions at south."""
    stage.timeline.say(DEPARTMENT, "asks for questions and notices at south's socket")
    await asyncio.sleep(_HEARD_SECONDS)
    ends = stage.ends
    body = booking(sender=ends["sender"], receiver=ends["receiver"])
    stage.timeline.say(CALLER, "drops booking.json; the balancer gives it to north")
    await _send(stage, "booking.json", body)
    outcome = await _outcome(stage, "booking.json")
    stage.timeline.say(CALLER, f"reads the outcome: {outcome}", f"booking {outcome}")


async def _send(stage: NodesStage, name: str, body: bytes) -> None:
    """Drop a message from the ambulance to the hospital; wait for its receipt."""
    stage.caller.drop(name, body)
    stage.sent["there"].append(json.loads(body)["id"])
    stage.receipts[name] = (await stage.caller.receipt(name))["request_id"]


async def _outcome(stage: NodesStage, name: str) -> str:
    request_id = stage.receipts[name]
    _, notice = await stage.caller.notice(
        lambda found: found["request_id"] == request_id, "outcome"
    )
    return str(notice["state"])


QUESTION: Chapter[NodesStage] = Chapter(
    name="question",
    title="A booking reaches north; the EPR answers at south",
    steps=frozenset({"asked", "booking acknowledged"}),
    play=_question,
)


async def _kill(stage: NodesStage) -> None:
    """Let messages go both ways, kill north in the middle, and see south end what it began."""
    stage.timeline.say("demo", "will let each message take three seconds")
    delay = {"kind": "delay", "seconds": 3.0, "method": "POST", "count": 2 * _EACH_WAY}
    await arm(stage.sandbox["admin_url"], **delay)
    async with asyncio.TaskGroup() as group:
        group.create_task(_trickle(stage))
        await _drop_at_both(stage)
        await _seen(partial(_claimed_by_north, stage))
        stage.processes["north"].kill()
        await stage.processes["north"].wait()
        count = await _claimed_by_north(stage)
        stage.timeline.say(
            "demo", f"kill -9 north, in the middle: it was sending {count} of them", "killed"
        )
        group.create_task(_takes_over(stage))
        group.create_task(_tells_of_it(stage))
        await _all_told(stage)


async def _trickle(stage: NodesStage) -> None:
    """Send from the ambulance to the hospital, before the kill and after it."""
    names = [f"to-hospital-{number}.json" for number in range(_EACH_WAY)]
    for name in names:
        await _send(stage, name, referral(**stage.ends))
        await asyncio.sleep(_BETWEEN_SECONDS)
    outcomes = Counter([await _outcome(stage, name) for name in names])
    said = ", ".join(f"{count} {state}" for state, count in outcomes.items())
    stage.timeline.say(CALLER, f"reads {_EACH_WAY} outcomes: {said}", f"there: {said}")


async def _drop_at_both(stage: NodesStage) -> None:
    """Send from the hospital to the ambulance, half of it by each node's folders."""
    nodes = (stage.north, stage.south)
    dropped = [(f"to-ambulance-{number}.json", nodes[number % 2]) for number in range(_EACH_WAY)]
    for name, node in dropped:
        body = referral(**stage.ends_back)
        stage.sent["back"].append(json.loads(body)["id"])
        stage.spool(node).drop(name, body)
        await asyncio.sleep(_BETWEEN_SECONDS)  # or the first to wake would take them all
    for name, node in dropped:
        await stage.spool(node).receipt(name)
    stage.timeline.say(
        DEPARTMENT,
        f"has dropped {_EACH_WAY} messages, half of them with north, and has {_EACH_WAY} receipts",
        "receipts",
    )


async def _claimed_by_north(stage: NodesStage) -> int:
    """Return how many messages north is sending, or was when it died."""
    found = await looked(
        stage.settings,
        lambda within: within.rows("own_leases", node="north", left_out="[]", limit=100),
    )
    return len(found)


async def _takes_over(stage: NodesStage) -> None:
    async def has() -> bool:
        return any(
            HOUSEKEEPING in each.leases for each in await _nodes(stage) if each.name == "south"
        )

    await _seen(has)
    stage.timeline.say("south", "alone does the housekeeping now, in north's place", "taken over")


async def _nodes(stage: NodesStage) -> Sequence[Node]:
    return await asyncio.to_thread(nodes_of, stage.settings)


async def _seen(condition: Callable[[], Awaitable[object]]) -> None:
    """Return once *condition* is true: of what wakes nobody here."""
    while not await condition():  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_SECONDS)


async def _tells_of_it(stage: NodesStage) -> None:
    """Wait until south's status page says that the other is away."""
    await _page(stage, says_so=True)
    stage.timeline.say("south", f"its status page: {_MISSED} has been away", "told")


async def _page(stage: NodesStage, *, says_so: bool) -> None:
    """Return once south's status page says that north is away, or says so no more."""
    async with aiohttp.ClientSession(trust_env=False) as session:

        async def is_so() -> bool:
            async with session.get(stage.south.status_url) as response:
                return (_MISSED in await response.text()) == says_so

        await _seen(is_so)


async def _all_told(stage: NodesStage) -> None:
    """Wait until the hospital's EPR knows of each of its messages what became of it."""

    async def all_there() -> bool:
        return len(stage.desk.told) >= _EACH_WAY

    await _seen(all_there)
    outcomes = Counter(each["state"] for each in stage.desk.told)
    said = ", ".join(f"{count} {state}" for state, count in outcomes.items())
    stage.timeline.say(
        DEPARTMENT,
        f"reads {_EACH_WAY} outcomes at south's socket: {said}; what north was sending went out"
        " again, under the same X-Request-Id",
        f"back: {said}",
    )


KILL: Chapter[NodesStage] = Chapter(
    name="kill",
    title="Messages go both ways, and north is killed",
    steps=frozenset(
        {
            "receipts",
            "killed",
            "taken over",
            "told",
            f"there: {_EACH_WAY} acknowledged",
            f"back: {_EACH_WAY} acknowledged",
        }
    ),
    play=_kill,
)


async def _return(stage: NodesStage) -> None:
    """Start north again, and count."""
    await _start(stage, stage.north)
    await _page(stage, says_so=False)
    told = "; ".join(map(str, await _nodes(stage)))
    stage.timeline.say("doctor", f"nodes: {told}", "both there")
    arrived = {"there": Counter(stage.desk.taken), "back": Counter(_at_the_ambulance(stage))}
    for way, title in (("there", "ambulance to hospital"), ("back", "hospital to ambulance")):
        sent = stage.sent[way]
        once = sum(arrived[way][each] == 1 for each in sent)
        lost = sum(not arrived[way][each] for each in sent)
        doubled = sum(arrived[way][each] > 1 for each in sent)
        line = f"{title}: {len(sent)} sent, {once} are there once; {lost} lost, {doubled} doubled"
        stage.timeline.say("demo", line, way if once == len(sent) else None)
    twice = len(stage.desk.told) - len({each["request_id"] for each in stage.desk.told})
    stage.timeline.say(
        DEPARTMENT,
        f"was told {len(stage.desk.told)} outcomes, {twice} of them twice",
        "told once" if not twice else None,
    )


def _at_the_ambulance(stage: NodesStage) -> list[str]:
    """Return the Bundle.id of each message that the ambulance's EPR was given."""
    given = (stage.home / "ambulance" / "spool" / "inbox" / "new").glob("*.message.json")
    return [json.loads(file.read_bytes())["id"] for file in given]


RETURN: Chapter[NodesStage] = Chapter(
    name="return",
    title="North comes back, and everything is counted",
    steps=frozenset({"ready", "both there", "there", "back", "told once"}),
    play=_return,
)
NODES_CHAPTERS = (QUESTION, KILL, RETURN)  # as they are played


async def play_with_two_nodes(folder: Path | None, *, once: bool) -> bool:
    """
    Run the demo of two nodes in *folder* (a temporary one where None); return whether all was seen.

    With *once* it ends after the last chapter, otherwise when it is interrupted. Raises
    SandboxError where something of it cannot be started.
    """
    console, stop = Console(soft_wrap=True, highlight=False), interruption()
    timeline = TimelinePrinter(console)
    with home_of("demo", folder) as home:
        _make_rooms(home, temporary=folder is None)
        async with _nodes_stage(home, timeline) as stage, asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(watch(stage.sandbox["admin_url"], timeline)),
                group.create_task(stage.desk.collect()),
                group.create_task(stage.desk.answer()),
            ]
            all_seen = await played(NODES_CHAPTERS, stage, timeline)
            console.print(ending(timeline, all_seen=all_seen))
            if not once:
                titles = {"Ambulance": stage.ambulance, "Hospital, north": stage.north}
                titles["Hospital, south"] = stage.south
                addresses = {title: each.status_url for title, each in titles.items()}
                await leave_up(console, addresses, home / "ambulance" / "spool", stop)
            for task in tasks:
                task.cancel()
    return all_seen


def _make_rooms(home: Path, *, temporary: bool) -> None:
    """Make the folder of each process: whoever passes through *home* gets into none of them."""
    for each in _ROOMS:
        (home / each).mkdir(mode=0o700, exist_ok=True)
    if temporary and os.geteuid() == 0:
        home.chmod(0o711)  # the server is another user's, and has a folder of its own in it


@asynccontextmanager
async def _nodes_stage(home: Path, timeline: TimelinePrinter) -> AsyncIterator[NodesStage]:
    """Start the national side, the server and the gateways, and end them afterwards."""
    ambulance, hospital, north, south = cast(
        ("ambulance", ""), ("hospital", ""), ("hospital", "north"), ("hospital", "south")
    )  # the hospital as others see it, and its two nodes
    async with AsyncExitStack() as stack:
        timeline.say("demo", f"makes keys, certificates, settings and a database below {home}")
        url, release = await stack.enter_async_context(served_database(home / "postgresql"))
        timeline.say("postgresql", f"PostgreSQL {release} has one database for both nodes")
        process, sandbox = await start_sandbox(
            home / "sandbox", (ambulance, hospital), home / "sandbox.log"
        )
        stack.push_async_callback(end, process)
        timeline.say("sandbox", f"token service and proxy answer at {sandbox['proxy_url']}")
        balancer = DemoBalancer(hospital.port, [north.port, south.port])
        await stack.enter_async_context(balancer.serving())
        timeline.say("balancer", f"passes {hospital.url} on to north, or else to south")
        socket = home / "south" / "run" / f"{hospital.name}.sock"
        epr = SocketEpr(await stack.enter_async_context(socket_session(socket)))
        stage = NodesStage(
            home=home,
            ambulance=ambulance,
            north=north,
            south=south,
            sandbox=sandbox,
            more={**_MORE, "store": f'url = "{url}"\nseveral_nodes = true\n'},
            timeline=timeline,
            caller=FolderEpr(home / "ambulance" / "spool"),
            desk=_NodesDesk(epr, timeline),
            processes={},
        )
        stack.push_async_callback(_end_all, stage)
        async with asyncio.TaskGroup() as group:
            for each in (ambulance, north):
                group.create_task(_start(stage, each))
        await _start(stage, south)  # afterwards, so that north does the housekeeping
        yield stage


async def _start(stage: NodesStage, organisation: Organisation) -> None:
    """Start a gateway; return once it is ready."""
    name = organisation.node or organisation.name
    more = stage.more if organisation.node else {}
    stage.processes[name] = await start_gateway(
        organisation, stage.home / name, stage.sandbox, more
    )
    stage.timeline.say(name, f"gateway is ready; status page {organisation.status_url}", "ready")


async def _end_all(stage: NodesStage) -> None:
    async with asyncio.TaskGroup() as group:
        for process in stage.processes.values():
            group.create_task(end(process))
