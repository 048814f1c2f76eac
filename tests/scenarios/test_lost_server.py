"""
What Senders and EPRs are told where the database server is lost in the middle of something.

    Sender ─► gateway ─► CommitWire ─► PostgreSQL      the wire is cut at the COMMIT of one message
       EPR ─► gateway ──────────────► PostgreSQL      it is stopped as by a power cut
"""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
from messages import referral
from moving import socket_of
from postgres_server import PostgresServer, postgres_server
from structlog.testing import capture_logs
from two_nodes import Member
from world import Node, World, eventually, headers, in_time, post, world_in

from bars_gateway.daemon import alerting
from bars_gateway.store.postgresql import transactions

pytestmark = pytest.mark.needs("postgres")
_COMMIT = b"COMMIT\0"
_BEGIN = b"LOCK TABLE turn"


class CommitWire:
    """The way to a server's socket, which breaks off at the COMMIT of what it is to look for."""

    def __init__(self, server: PostgresServer, folder: Path) -> None:
        self._server, self._folder = server, folder
        self._open: set[asyncio.StreamWriter] = set()
        self.looks_for: bytes | None = None  # what the transaction has said
        self.passes_on = False  # whether the server hears of the COMMIT
        self.stays_cut = False  # whether nobody gets through any more
        self.cuts = 0

    async def __aenter__(self) -> Self:
        self._folder.mkdir()
        self._listening = await asyncio.start_unix_server(
            self._serve, self._folder / ".s.PGSQL.5432"
        )
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._listening.close()
        for writer in list(self._open):
            writer.transport.abort()

    def url(self, url: str) -> str:
        """Return how the database of *url* is reached through this."""
        return url.replace(str(self._server.folder), str(self._folder))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.stays_cut and self.cuts:
            writer.transport.abort()
            return
        there, back = await asyncio.open_unix_connection(self._server.folder / ".s.PGSQL.5432")
        self._open |= {writer, back}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_passed_on(there, writer))
                group.create_task(self._asked(reader, there, back, writer))
        finally:
            self._open -= {writer, back}

    async def _asked(
        self,
        reader: asyncio.StreamReader,
        there: asyncio.StreamReader,
        back: asyncio.StreamWriter,
        writer: asyncio.StreamWriter,
    ) -> None:
        said = b""
        with suppress(OSError):
            while data := await reader.read(65536):
                said = data if _BEGIN in data else said + data
                if data.endswith(_COMMIT) and self.looks_for and self.looks_for in said:
                    await self._break_off(data, back, writer)
                    return
                back.write(data)
                await back.drain()
            back.close()

    async def _break_off(
        self, data: bytes, back: asyncio.StreamWriter, writer: asyncio.StreamWriter
    ) -> None:
        self.looks_for = None
        self.cuts += 1
        writer.transport.abort()  # no answer gets back
        if self.passes_on:
            back.write(data)
            await back.drain()
            await asyncio.sleep(0.2)  # as a server that has it, and whose answer got lost
        back.transport.abort()
        if self.stays_cut:
            for each in list(self._open):
                each.transport.abort()


async def _passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with suppress(OSError):
        writer.close()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as started:
        yield started


@asynccontextmanager
async def on_server(
    tmp_path: Path, url: str, *, several: bool = False
) -> AsyncIterator[tuple[World, Member]]:
    """Run a world in which another node of the hospital keeps everything at *url*."""
    async with world_in(tmp_path) as world, asyncio.TaskGroup() as group:
        await world.hospital.stop()
        nodes = "several_nodes = true\n" if several else ""
        node = Member.of(world.hospital, "one", f'[store]\nurl = "{url}"\n{nodes}')
        await node.start(group)
        try:
            yield world, node
        finally:
            await node.stop()


@pytest.mark.parametrize("passes_on", [False, True])
async def test_a_commit_that_is_cut_off_is_looked_for_and_the_sender_told(
    server: PostgresServer, tmp_path: Path, *, passes_on: bool
) -> None:
    """Whether the server had it or not: 200, one record, and the same again is a duplicate."""
    url, sent = server.ready(), headers()
    async with (
        CommitWire(server, tmp_path / "wire") as wire,
        on_server(tmp_path, wire.url(url)) as (world, node),
    ):
        wire.passes_on, wire.looks_for = passes_on, sent["X-Request-Id"].encode()
        body = referral()
        first, _, _ = await post(world, body, sent, node=node)
        again, _, _ = await post(world, body, sent, node=node)

    assert 1 == wire.cuts
    assert (200, 409) == (first, again)
    assert [(1,)] == server.say(_TAKEN, _name_in(url))


@pytest.mark.parametrize(
    ("passes_on", "looks_for_seconds", "afterwards"),
    [
        pytest.param(False, 0.5, 200, id="the server never had it"),
        pytest.param(False, 30.0, 409, id="it was run again, after the Sender had left"),
        pytest.param(True, 0.5, 409, id="the server had it"),
    ],
)
async def test_a_commit_that_nobody_can_look_for_is_503(  # noqa: PLR0917
    server: PostgresServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    passes_on: bool,  # noqa: FBT001
    looks_for_seconds: float,
    afterwards: int,
) -> None:
    """And no guess: the Sender's retry gets what is so, once the server can be asked again."""
    monkeypatch.setattr(transactions, "UNKNOWN_SECONDS", looks_for_seconds)
    url, sent = server.ready(), headers()
    async with (
        CommitWire(server, tmp_path / "wire") as wire,
        on_server(tmp_path, wire.url(url)) as (world, node),
    ):
        wire.passes_on, wire.looks_for = passes_on, sent["X-Request-Id"].encode()
        wire.stays_cut = True
        body = referral()
        first, _, _ = await post(world, body, sent, node=node)
        wire.stays_cut = False

        async def is_known() -> bool:
            status, _, _ = await post(world, body, sent, node=node)
            statuses.append(status)
            return status != 503

        statuses: list[int] = []
        await in_time(is_known)

    assert 1 == wire.cuts
    assert 503 == first
    assert afterwards == statuses[-1]
    assert [(1,)] == server.say(_TAKEN, _name_in(url))


_TAKEN = "SELECT count(*) FROM messages WHERE direction = 'inbound'"


def _name_in(url: str) -> str:
    return url.split("/")[3].partition("?")[0]


async def test_what_was_being_sent_while_the_server_was_away_is_settled_once_it_is_back(
    tmp_path: Path,
) -> None:
    """Its answer is in the sender's hand: it leaves once, and nobody waits for its lease."""
    with postgres_server() as server:
        url = server.ready()
        async with on_server(tmp_path, url) as (world, node):
            world.sandbox.faults.arm({"kind": "delay", "seconds": 1.0, "method": "POST"})
            node.drop("away.json", referral(sender=node.service, receiver=world.ambulance.service))
            receipt = await node.document("outbox/accepted/away.receipt.json")
            await eventually(lambda: server.say(_SENDING, _name_in(url)) == [(1,)])
            await asyncio.to_thread(server.stop, signal.SIGQUIT)
            await eventually(lambda: posted(world))
            await asyncio.to_thread(server.start)
            outcome = await node.outcome(receipt["request_id"])

        assert ("acknowledged", 1) == (outcome["state"], outcome["attempts"])
        assert 1 == posted(world)


def posted(world: World) -> int:
    """Return how many messages have reached a Receiver."""
    return sum(call["method"] == "POST" for call in world.forwarded())


_SENDING = "SELECT count(*) FROM messages WHERE state = 'sending'"


RETURNED_SECONDS = 10.0  # it is asked each second; the rest is what a busy machine takes


async def ready(node: Node) -> tuple[int, Any, dict[str, Any]]:
    """Return status, type and document of the answer whether that gateway can receive."""
    url = f"http://127.0.0.1:{node.gateway.status.port}/readyz"
    async with aiohttp.ClientSession(trust_env=False) as session, session.get(url) as response:
        return response.status, response.content_type, await response.json()


async def submitted(node: Node, body: bytes) -> tuple[int, str | None, dict[str, Any]]:
    """Hand a message over on the EPR's socket; return status, Retry-After and document."""
    kind = {"Content-Type": "application/fhir+json"}
    async with socket_of(node) as epr, epr.post("/messages", data=body, headers=kind) as answer:
        return answer.status, answer.headers.get("Retry-After"), await answer.json()


async def asked(node: Node, path: str) -> int:
    async with socket_of(node) as epr, epr.get(path) as answer:
        return answer.status


@pytest.mark.parametrize("several", [False, True])
async def test_nothing_is_acknowledged_while_the_server_is_away_and_all_goes_on_after(
    tmp_path: Path, *, several: bool
) -> None:
    """Sender, EPR and `/readyz` are told, nobody is alarmed; ten seconds after, all is as ever."""
    with postgres_server() as server:
        url, sent, body = server.ready(), headers(), referral()
        async with on_server(tmp_path, url, several=several) as (world, node):
            services = {"sender": node.service, "receiver": world.ambulance.service}
            out = [referral(**services) for _ in range(2)]
            before, _, _ = await ready(node)
            with capture_logs() as events:
                await asyncio.to_thread(server.stop, signal.SIGQUIT)
                by_sender, _, _ = await post(world, body, sent, node=node)
                by_epr, again_after, problem = await submitted(node, out[0])
                reads = [await asked(node, path) for path in ("/notices", "/questions")]
                health, _, said = await ready(node)
                node.drop("away.json", out[1])
                await eventually(lambda: [e for e in events if e["event"] == "epr.folder_stalled"])
                told = node.files("outbox/accepted/*") + node.files("outbox/refused/*")
                await asyncio.to_thread(server.start)

                async with asyncio.timeout(RETURNED_SECONDS):
                    taken, _, _ = await until(lambda: post(world, body, sent, node=node))
                    accepted, _, receipt = await until(lambda: submitted(node, out[0]))
                    healthy, _, _ = await until(lambda: ready(node))
                by_folder = await node.document("outbox/accepted/away.receipt.json")
                given = [await node.outcome(e["request_id"]) for e in (receipt, by_folder)]

        assert (200, 503, 503, [503, 503], 503) == (before, by_sender, by_epr, reads, health)
        assert again_after is not None
        assert "store.url" in str(problem)
        assert said["receiving"] is False
        assert "the database server" in said["reasons"][0]
        assert [] == told
        assert (200, 201, 200) == (taken, accepted, healthy)  # neither was there before
        assert ["acknowledged"] * 2 == [each["state"] for each in given]
        assert 2 == posted(world)
        assert [] == [each for each in events if each["event"].startswith("unit.")]


@pytest.mark.parametrize("several", [False, True])
async def test_people_are_told_that_the_server_is_away_and_that_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, several: bool
) -> None:
    """While it is away, once, and by the number under which they hear of its end."""
    for name, value in {"EVERY_SECONDS": 0.1, "PATIENCE": 0.02}.items():
        monkeypatch.setattr(alerting, name, value)
    monkeypatch.setattr(alerting, "AFTER_A_START", alerting.AFTER_A_START * 0)
    told, nodes = tmp_path / "told", "several_nodes = true\n" * several
    keeps = json.dumps(["/bin/sh", "-c", f"cat >> {told}; echo >> {told}"])
    tells = f"[alerts]\ncommand = {keeps}\n"
    with postgres_server() as server:
        store = f'[store]\nurl = "{server.ready()}"\n{nodes}{tells}'
        async with world_in(tmp_path) as world, asyncio.TaskGroup() as group:
            await world.hospital.stop()
            node = Member.of(world.hospital, "one", store)
            await node.start(group)
            outage = node.gateway._alerting._watch.outage
            await eventually(lambda: not outage.lacks_numbers)
            await asyncio.to_thread(server.stop, signal.SIGQUIT)
            await eventually(lambda: told.exists() and told.read_text().endswith("\n"))
            await asyncio.to_thread(server.start)
            await eventually(lambda: '"resolved"' in told.read_text())
            await node.stop()
    first, last = map(json.loads, told.read_text().splitlines())

    assert ["opened", "resolved"] == [first["step"], last["step"]]
    assert {"store.unavailable"} == {first["code"], last["code"]}
    assert first["alert"] == last["alert"] > 0
    assert ("(node one)" in first["says"]) is several


async def until(ask: Callable[[], Awaitable[tuple[int, Any, Any]]]) -> tuple[int, Any, Any]:
    """Return the first answer that is no 503."""
    while (answer := await ask())[0] == 503:
        await asyncio.sleep(0.05)
    return answer
