"""
One organisation on two nodes, and what kills them: as a support of the tests, and as a program.

    sandbox ─► Balancer ─┬─► node one ─┐
                         └─► node two ─┴─► Wire ─► PostgreSQL      ambulance ─► its own file
                     AskedEpr on the socket of each

    python tests/support/two_nodes.py [SEED]     the whole proof: some minutes

Messages go both ways while gateways are killed, the server is stopped as by a power cut, and the
wire between them is cut after any byte; the hospital's EPR decides about bookings meanwhile. In the
end each message is one record at the other side, with one notice there and one outcome here, in the
order of its conversation, and the EPR was asked once about each booking.
"""

import asyncio
import json
import random
import signal
import sqlite3
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Self

import aiohttp
import psycopg
from asked_epr import YES, Epr, epr_at
from bookings import booking
from messages import referral
from postgres_server import PostgresServer, postgres_server
from world import Node, World, eventually, world_in

START_SECONDS = 30.0
FAULTS = (
    {"kind": "drop_after", "probability": 0.08},
    {"kind": "status", "status": 503, "probability": 0.05},
    {"kind": "status", "status": 502, "probability": 0.05, "after": True},
)


@dataclass(frozen=True, kw_only=True)
class Strain:
    """How much is sent, and how much goes wrong meanwhile; at least."""

    conversations: int
    kills: int  # of each gateway
    stops: int  # of the server
    cuts: int  # of the wire
    each: int = 3  # messages of one conversation
    seconds: float = 900.0


ASKED = 'questions = "socket"'
NO_READS = {"refuse": "not-supported"}
WHOLE = Strain(conversations=100, kills=12, stops=6, cuts=30)


class Balancer:
    """A TCP balancer: each connection goes to a node that lives."""

    def __init__(self, ports: Sequence[int], rng: random.Random) -> None:
        self._ports, self._rng = list(ports), rng
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for port in self._rng.sample(self._ports, len(self._ports)):
            try:
                there = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                continue
            await _joined(Link(), (reader, writer), there)
            return
        writer.close()


@dataclass(eq=False)
class Link:
    """One connection through something of ours."""

    left: int | None = None  # bytes that still pass; None: all
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    is_cut: bool = False

    def cut(self) -> None:
        """Let nothing pass any more: each side sees it broken off."""
        self.is_cut = True
        for writer in self.writers:
            writer.transport.abort()


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _joined(link: Link, one: Ends, other: Ends) -> None:
    link.writers = [one[1], other[1]]
    async with asyncio.TaskGroup() as group:
        group.create_task(_relayed(link, one[0], other[1]))
        group.create_task(_relayed(link, other[0], one[1]))


async def _relayed(link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            if link.left is not None:
                data = data[: link.left]
                link.left -= len(data)
            writer.write(data)
            await writer.drain()
            if link.left == 0:
                link.cut()
                return
    with suppress(OSError):
        writer.close()


class Wire:
    """The way to a server's socket, which can be cut after any byte."""

    def __init__(self, server: PostgresServer, folder: Path, rng: random.Random) -> None:
        self._server, self._folder, self._rng = server, folder, rng
        self._links: set[Link] = set()
        self.cuts = 0

    async def __aenter__(self) -> Self:
        self._folder.mkdir()
        path = self._folder / ".s.PGSQL.5432"
        self._listening = await asyncio.start_unix_server(self._serve, path)
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._listening.close()
        for link in list(self._links):
            link.cut()

    def url(self, url: str) -> str:
        """Return how the database of *url* is reached through this."""
        return url.replace(str(self._server.folder), str(self._folder))

    def cut_one(self) -> None:
        """Let one of the connections break off after some bytes more."""
        if self._links:
            link = self._rng.choice(sorted(self._links, key=id))
            link.left = self._rng.choice([0, self._rng.randint(1, 60), self._rng.randint(1, 6000)])
            if link.left == 0:
                link.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link()
        try:
            there = await asyncio.open_unix_connection(self._server.folder / ".s.PGSQL.5432")
        except OSError:
            writer.close()
            return
        self._links.add(link)
        try:
            await _joined(link, (reader, writer), there)
        finally:
            self._links.discard(link)
            self.cuts += link.is_cut


class Member(Node):
    """One node of an organisation that has several."""

    node = ""

    @classmethod
    def of(cls, first: Node, node: str, store: str) -> "Member":
        """Return a node of the organisation of *first*, by its own name, folders and port."""
        made = cls(first.name, first.service.partition("|")[2], first.folder / node, first._sandbox)
        made.registered, made.node, made.extra = first.registered, node, first.extra
        made.store, made.asked = store, first.asked
        return made

    @property
    def port(self) -> int:
        return self._port

    def _toml(self) -> str:
        return super()._toml().replace(f'node = "{self.name}"', f'node = "{self.node}"')


class Mortal:
    """A gateway in a process of its own, which is killed and started again."""

    def __init__(self, node: Node, rng: random.Random) -> None:
        self.node, self.kills = node, 0
        self._rng = rng
        self.log = node.folder / "gateway.log"
        self.process: asyncio.subprocess.Process | None = None
        self._before = 0  # how often it had opened its doors before this time

    @property
    def is_open(self) -> bool:
        """Whether its doors are open."""
        lives = self.process is not None and self.process.returncode is None
        return lives and self._starts() > self._before

    async def start(self) -> None:
        """Start it; return once its doors are open."""
        starts = self._before = self._starts()
        with self.log.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *self.node.command("run"), stdout=output, stderr=output
            )
        until = time.monotonic() + START_SECONDS
        while self._starts() == starts and time.monotonic() < until:
            if self.process.returncode is not None:
                return  # the server was away just then: who looks after it starts it again
            await asyncio.sleep(0.02)

    async def open(self) -> None:
        """Start it, and again where that came to nothing; return once its doors are open."""
        await self.start()
        while not self.is_open:  # on a busy machine it takes longer than anybody else waits
            assert self.process is not None
            if self.process.returncode is not None:
                await self.start()
            await asyncio.sleep(0.02)

    def _starts(self) -> int:
        return self.log.read_text().count("daemon.started") if self.log.exists() else 0

    async def kill(self) -> None:
        """Kill it without a word, and start it again."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            self.process.kill()
        if await self.process.wait() == -signal.SIGKILL:
            self.kills += 1

    async def die_often(self, most: int) -> None:
        """Live, be killed and start again, that often; then live, and start again where it ends."""
        while self.kills < most:
            await self._live(self._rng.uniform(0.3, 4.0))
            await self.kill()
        while True:
            await self._live(None)

    async def _live(self, seconds: float | None) -> None:
        """Return after so many seconds with open doors, or when it ends."""
        if self.process is None or self.process.returncode is not None:
            await self.start()
        assert self.process is not None
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.process.wait()

    async def stop(self) -> int:
        """Stop it in order; return how it ended."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            self.process.terminate()
        return await self.process.wait()


class AskedEpr:
    """The hospital's EPR, on the socket of each node: it says yes, and notes what it is asked."""

    def __init__(self) -> None:
        self.asked: dict[int, str] = {}  # by number, of which message
        self.again: list[int] = []  # what it was shown again, once its answer had been taken
        self.late = 0  # answers that the Sender's retry alone finds
        self._taken: dict[int, float] = {}  # since when

    async def sit_at(self, socket: Path) -> None:
        """Answer what is asked there, until cancelled."""
        while True:
            with suppress(aiohttp.ClientError, TimeoutError, KeyError):  # KeyError: a 503
                async with epr_at(socket) as epr:
                    while True:
                        async with asyncio.timeout(15):
                            await self._look(epr)
            await asyncio.sleep(0.1)  # that node is dead, or without its server

    async def _look(self, epr: Epr) -> None:
        looked = time.monotonic()
        for question in await epr.questions(wait=0.5):
            number = question["question_id"]
            if question["operation"] != "$process-message":  # a read, for the id that got lost
                await epr.answer(number, NO_READS)
                continue
            self.asked[number] = question["request_id"]
            if self._taken.get(number, looked) < looked:
                self.again.append(number)
            status, receipt = await epr.answer(number, YES)
            if status == HTTPStatus.OK and number not in self._taken:
                self._taken[number] = time.monotonic()
                self.late += receipt["late"]


@asynccontextmanager
async def two_nodes(
    folder: Path, url: str, rng: random.Random, *, asked: str = ""
) -> AsyncIterator[tuple[World, list[Mortal]]]:
    """Run a world whose hospital has two nodes, and whose gateways are all processes."""
    async with world_in(folder, asked=asked) as world:
        for each in (world.ambulance, world.hospital):
            await each.stop()
        store = f'[store]\nurl = "{url}"\nseveral_nodes = true\n'
        members = [Member.of(world.hospital, name, store) for name in ("one", "two")]
        async with Balancer([each.port for each in members], rng) as balancer:
            world.hospital._port = balancer.port
            await world.hospital.register()
            for each in members:
                each.registered = world.hospital.registered
            mortals = [Mortal(each, random.Random(rng.random())) for each in members]
            mortals.append(Mortal(world.ambulance, random.Random(rng.random())))
            try:
                yield world, mortals
            finally:
                for each in mortals:
                    if each.process is not None and each.process.returncode is None:
                        each.process.kill()
                        await each.process.wait()


async def drop_all(
    rng: random.Random, world: World, members: Sequence[Node], strain: Strain
) -> dict[str, list[str]]:
    """Drop every message, half of them either way; return the Bundle.ids of each conversation."""
    expected = {}
    for number in range(strain.conversations):
        sender, receiver = world.ambulance, world.hospital
        if number % 2:
            sender, receiver = rng.choice(members), world.ambulance
        services = {"sender": sender.service, "receiver": receiver.service}
        bodies = [referral(**services) for _ in range(strain.each)]
        if receiver.asked:
            bodies[1] = booking(**services, slot=f"slot{number}")
        correlation_id = str(uuid.uuid4())
        envelope = json.dumps({"correlation_id": correlation_id}).encode()
        for place, body in enumerate(bodies):
            sender.drop(f"{correlation_id}-{place}.json", body, envelope)
        expected[correlation_id] = [json.loads(body)["id"] for body in bodies]
        await asyncio.sleep(rng.uniform(0, 0.25))
    return expected


async def drop_again(nodes: Sequence[Node], finished: asyncio.Event) -> set[str]:
    """Drop again what two kills have set aside, as its reason asks; return whose it was."""
    seen: set[Path] = set()
    again: set[str] = set()
    while not finished.is_set():
        for node in nodes:
            for reason in set(node.files("outbox/refused/*.reason.json")) - seen:
                seen.add(reason)
                (issue,) = json.loads(reason.read_bytes())["issues"]
                assert issue["rule"] == "E07", issue
                stem = reason.name.removesuffix(".reason.json")
                body = reason.with_name(f"{stem}.json")
                await eventually(body.exists)
                again.add(stem[:36])
                envelope = json.dumps({"correlation_id": stem[:36]}).encode()
                node.drop(f"{stem}-{len(seen)}.json", body.read_bytes(), envelope)
        await asyncio.sleep(0.1)
    return again


def rows_of(where: str | Path, sql: str) -> list[tuple[object, ...]]:
    """Return the rows of *sql* at a URL or in a file."""
    if isinstance(where, str):
        with psycopg.connect(where) as server:
            return server.execute(sql.encode()).fetchall()
    with closing(sqlite3.connect(f"file:{where}?mode=ro", uri=True)) as file:
        return file.execute(sql).fetchall()


def asked_of(where: str | Path, sql: str) -> list[tuple[object, ...]]:
    """Return the rows of *sql* there; none where it cannot be asked just now."""
    with suppress(psycopg.Error, sqlite3.OperationalError):
        return rows_of(where, sql)
    return []


def settled(where: str | Path) -> int:
    """Return how many messages that organisation has sent to their end."""
    found = asked_of(where, _SETTLED)
    return int(str(found[0][0])) if found else 0


async def harm(server: PostgresServer, wire: Wire, rng: random.Random, strain: Strain) -> None:
    """Stop the server and cut the wire, as often as that is wanted."""
    stops = 0
    while stops < strain.stops or wire.cuts < strain.cuts:
        await asyncio.sleep(rng.uniform(0.2, 0.8))
        wire.cut_one()
        if stops < strain.stops and rng.random() < _STOPS:
            # Meanwhile the wire passes on what there is: it is this process's, too.
            await asyncio.to_thread(server.stop, signal.SIGQUIT)
            await asyncio.sleep(rng.uniform(0, 1.5))
            await asyncio.to_thread(server.start)
            stops += 1


async def proof(
    folder: Path, server: PostgresServer, seed: int, strain: Strain
) -> Mapping[str, object]:
    """Let messages go both ways under *strain*, and compare; return what was done to whom."""
    rng, url = random.Random(seed), server.ready()
    async with (
        Wire(server, folder / "wire", rng) as wire,
        two_nodes(folder, wire.url(url), rng, asked=ASKED) as (world, mortals),
    ):
        for fault in FAULTS:
            world.sandbox.faults.arm(fault)
        done, epr = asyncio.Event(), AskedEpr()
        nodes, sides = [each.node for each in mortals], (url, world.ambulance.database)
        await asyncio.gather(*(each.open() for each in mortals))  # with all their folders
        async with asyncio.TaskGroup() as group:
            living = [group.create_task(each.die_often(strain.kills)) for each in mortals]
            harming = group.create_task(harm(server, wire, rng, strain))
            dropping = group.create_task(drop_again(nodes, done))
            sitting = [group.create_task(epr.sit_at(each.socket)) for each in nodes[:2]]
            expected = await drop_all(rng, world, nodes[:2], strain)
            await until_sent(sides, strain)
            while min(each.kills for each in mortals) < strain.kills or not harming.done():
                await asyncio.sleep(0.2)
            world.sandbox.faults.clear()
            await until_read(sides)
            while not all(each.is_open for each in mortals):
                await asyncio.sleep(0.1)
            done.set()
            for each in (*living, *sitting):
                each.cancel()
        ends = [await each.stop() for each in mortals]
        check(sides, nodes, expected, dropping.result())
        check_questions(url, epr)
        assert ends == [0, 0, 0], ends
        return {
            "seed": seed,
            "messages": strain.conversations * strain.each,
            "conversations": strain.conversations,
            "questions": len(epr.asked),
            "answered late": epr.late,
            "kills": {each.log.parent.name: each.kills for each in mortals},
            "stops": strain.stops,
            "cuts": wire.cuts,
        }


async def until_sent(sides: Sequence[str | Path], strain: Strain) -> None:
    """Return once each message that was dropped has come to its end."""
    async with asyncio.timeout(strain.seconds):
        while sum(map(settled, sides)) < strain.conversations * strain.each:
            await asyncio.sleep(0.3)


async def until_read(sides: Sequence[str | Path]) -> None:
    """Return once each notice lies in a folder for its EPR."""
    async with asyncio.timeout(120):
        while any(asked_of(side, _UNCOLLECTED) != [(0,)] for side in sides):
            await asyncio.sleep(0.2)


def check(
    sides: Sequence[str | Path],
    nodes: Sequence[Node],
    expected: dict[str, list[str]],
    again: set[str],
    handed_over: Mapping[str, list[str]] | None = None,
) -> None:
    """
    Compare what either side has with what was dropped; what was dropped *again* came later.

    *handed_over*: what came from a Sender without a gateway, so that nobody has an outcome of it.
    """
    received = {**expected, **(handed_over or {})}
    for side in sides:
        assert {("acknowledged",)} == set(rows_of(side, _STATES))
        assert [] == rows_of(side, _GAPS)
    for told, wanted in ((ARRIVED, received), (_TOLD_OF, received), (_OUTCOMES, expected)):
        found = _by_conversation(row for side in sides for row in rows_of(side, told))
        _require_same(told, _sorted(wanted, again), _sorted(found, again))
    for told, kinds in ((_GIVEN, ("notice", "decided_late")), (_OUTCOMES, ("outcome",))):
        given = _by_conversation(_given(nodes[:2], kinds))
        _require_same(told, _by_conversation(rows_of(sides[0], told)), given)


def _by_conversation(rows: Iterable[Sequence[object]]) -> dict[str, list[str]]:
    """Return the Bundle.ids of each conversation, in the order of the numbers that come first."""
    found = defaultdict(list)
    for _, correlation_id, bundle_id in sorted(rows, key=lambda row: int(str(row[0]))):
        found[str(correlation_id)].append(str(bundle_id))
    return dict(found)


def _require_same(
    told: str, wanted: Mapping[str, list[str]], found: Mapping[str, list[str]]
) -> None:
    """Fail with the conversations that are not as *wanted*."""
    both = {each: (wanted.get(each), found.get(each)) for each in {*wanted, *found}}
    other = {each: pair for each, pair in both.items() if pair[0] != pair[1]}
    assert not other, (told, other)


def _sorted(found: Mapping[str, list[str]], again: set[str]) -> Mapping[str, list[str]]:
    return {each: sorted(ids) if each in again else ids for each, ids in found.items()}


def _given(nodes: Sequence[Node], kinds: Sequence[str]) -> Iterable[Sequence[object]]:
    """Return what the EPR has in folders of those kinds: number, conversation and Bundle.id."""
    files = [
        (each, node)
        for node in nodes
        for kind in kinds
        for each in node.files(f"inbox/new/*.{kind}.json")
    ]
    # What a node died over, another one has given again, under the same number.
    notices = {file.name: node.notice(file) for file, node in files}
    return [
        (notice["notice_id"], notice["correlation_id"], notice["bundle_id"])
        for notice in notices.values()
    ]


def check_questions(url: str, epr: AskedEpr) -> None:
    """Hold what the EPR was asked against what was decided: each booking once, by one number."""
    bookings = rows_of(url, _QUESTIONS)

    assert dict(bookings) == epr.asked
    assert len(epr.asked) == len(set(epr.asked.values()))
    assert [] == rows_of(url, _UNDECIDED)
    assert sorted(rows_of(url, _LATE)) == sorted(rows_of(url, _HEARD))
    assert [] == epr.again


_STOPS = 0.12  # of the looks
_SETTLED = "SELECT count(*) FROM messages WHERE direction = 'outbound' AND settled_at IS NOT NULL"
_STATES = "SELECT state FROM messages WHERE direction = 'outbound'"
ARRIVED = "SELECT id, correlation_id, bundle_id FROM messages WHERE direction = 'inbound'"
_OF_NOTICES = (
    "SELECT n.id, m.correlation_id, m.bundle_id FROM notices AS n"
    " JOIN messages AS m ON m.id = n.message_id WHERE "
)
_OUTCOMES = f"{_OF_NOTICES} n.kind = 'outcome'"
_RECEIVED = f"{_OF_NOTICES} n.kind IN ('message', 'decided_late')"
# Of a yes that came too late there is another one, once the Sender has heard of it after all.
_TOLD_OF = f"{_RECEIVED} AND n.remarks <> 'heard'"
_HEARD = "SELECT message_id FROM notices WHERE kind = 'decided_late' AND remarks = 'heard'"
_LATE = "SELECT message_id FROM questions WHERE changes = 1 AND decided_at > answer_by"
# What the EPR has said yes to in time it has: that is no file.
_GIVEN = (
    f"{_RECEIVED} AND (n.kind <> 'message'"
    " OR m.id NOT IN (SELECT message_id FROM questions WHERE message_id IS NOT NULL))"
)
_QUESTIONS = "SELECT id, request_id FROM questions WHERE changes = 1"
_UNDECIDED = "SELECT id FROM questions WHERE changes = 1 AND message_id IS NULL"
_UNCOLLECTED = "SELECT count(*) FROM notices WHERE collected_at IS NULL"
# Lines of the audit trail that nobody has chained, or that are not there.
_GAPS = "SELECT id FROM events WHERE id > 1 AND id - 1 NOT IN (SELECT id FROM events)"


def main() -> None:
    """Run the whole proof."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="two") as folder, postgres_server() as server:
        print(asyncio.run(proof(Path(folder), server, seed, WHOLE)))


if __name__ == "__main__":
    main()
