"""Two gateways of one organisation, with their EPR at one of them, or at either."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import aiohttp
import psycopg
import pytest
from asked_epr import YES, epr_at
from bookings import booking
from courses import page
from json_lines import LINES
from messages import referral, validation_request
from pages import block
from postgres_server import postgres_server, programs
from store_values import arrival
from two_nodes import Member
from world import World, eventually, headers, in_time, post, world_in

from bars_gateway.daemon.gateway import now
from bars_gateway.demo.stage import free_ports
from bars_gateway.epr.inbox import Attendance
from bars_gateway.model.messages import Actor
from bars_gateway.model.retention import PURGED, RecordClass, RetentionRule, RetentionRules

pytestmark = pytest.mark.needs("postgres")
if (folder := programs()) is not None:  # Debian keeps it off everybody's path
    os.environ["PATH"] += f":{folder}"
COPIES_ALONE = RetentionRules(
    [
        RetentionRule(record_class=each, days=30 if each is RecordClass.INBOX else 0)
        for each in PURGED
    ]
)


@dataclass(frozen=True, kw_only=True)
class Shared:
    """A world, and the two nodes of its hospital."""

    world: World
    one: Member
    two: Member


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Shared]:
    async with shared_world(tmp_path, 'questions = "socket"') as made:
        yield made


@pytest.fixture
async def by_folder(tmp_path: Path) -> AsyncIterator[Shared]:
    """Share a world whose EPR is asked by files."""
    async with shared_world(tmp_path, 'questions = "folder"') as made:
        yield made


@asynccontextmanager
async def shared_world(tmp_path: Path, asked: str, more: str = "") -> AsyncIterator[Shared]:
    with postgres_server() as server:
        by_hand = f"[retention]\nnightly = false\n{more}"  # not by the hour
        async with world_in(tmp_path, asked=asked, hospital=by_hand) as world:
            await world.hospital.stop()
            store = f'[store]\nurl = "{server.ready()}"\nseveral_nodes = true\n'
            nodes = [Member.of(world.hospital, name, store) for name in ("one", "two")]
            async with asyncio.TaskGroup() as group:
                for each in nodes:
                    await each.start(group)
                yield Shared(world=world, one=nodes[0], two=nodes[1])
                for each in nodes:
                    await each.stop()


async def test_a_question_is_put_by_one_node_and_answered_through_the_other(shared) -> None:
    """The Sender has its answer while it waits; a repeat at either node is a duplicate."""
    body, sent = booking(), headers()
    async with epr_at(shared.two.socket) as epr, asyncio.TaskGroup() as group:
        await epr.questions(wait=0)
        await eventually(lambda: shared.one.gateway._store.nodes.attended("hospital"))
        waiting = group.create_task(post(shared.world, body, sent, node=shared.one))
        question = await epr.question()
        early, _, _ = await post(shared.world, body, sent, node=shared.two)
        await epr.answer(question["question_id"], YES)
        asked_again = await epr.questions(wait=0)
    late = [(await post(shared.world, body, sent, node=at))[0] for at in (shared.one, shared.two)]

    assert 200 == waiting.result()[0]
    assert 425 == early
    assert [] == asked_again
    assert [409, 409] == late


async def in_whose_folder(shared: Shared) -> tuple[Member, Member]:
    """Return the node that gives the EPR its questions in a folder, and the other one."""
    both = [(shared.one, shared.two), (shared.two, shared.one)]

    def giving() -> list[tuple[Member, Member]]:
        return [each for each in both if each[0].gateway._store.nodes.holds("folder hospital")]

    (found,) = await eventually(giving)
    return found


async def asked_by_file(node: Member) -> int:
    """Wait for a question in the folder of *node*; return its number."""
    (file, *_) = await eventually(lambda: node.files("questions/new/*.question.json"))
    return int(file.name.partition(".")[0])


def answer_by_file(node: Member, number: int) -> None:
    """Say yes, in the folder of *node*."""
    half = node.spool / "answers" / "tmp" / f"{number}.json"
    half.write_bytes(json.dumps(YES).encode())
    half.rename(node.spool / "answers" / "new" / half.name)


@pytest.mark.parametrize("answered_at", ["the one that gave it", "the one that was asked"])
async def test_a_question_is_given_and_answered_in_the_folder_of_either(
    by_folder, answered_at: str
) -> None:
    """The Sender asked one node, and the EPR's folder is the other's: it has its answer in time."""
    giving, asked = await in_whose_folder(by_folder)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(post(by_folder.world, booking(), headers(), node=asked))
        number = await asked_by_file(giving)
        answering = giving if answered_at == "the one that gave it" else asked
        answer_by_file(answering, number)
        receipt = await answering.document(f"answers/accepted/{number}.decided.json")
    await eventually(lambda: not giving.files("questions/new/*"))

    assert 200 == waiting.result()[0]
    assert (True, False) == (receipt["accepted"], receipt["late"])
    assert [] == asked.files("questions/new/*")


async def test_a_question_whose_folder_is_lost_is_given_again_by_the_other_node(by_folder) -> None:
    """By its number; what the EPR says there is what the Sender's retry gets."""
    giving, other = await in_whose_folder(by_folder)
    body, sent = booking(), headers()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(post(by_folder.world, body, sent, node=other))
        number = await asked_by_file(giving)
        await giving.stop()
        again = await asked_by_file(other)
        answer_by_file(other, again)
        await other.document(f"answers/accepted/{again}.decided.json")
    retried, _, _ = await post(by_folder.world, body, sent, node=other)

    assert number == again
    assert waiting.result()[0] in {200, 408}
    assert 409 == retried


async def test_where_one_node_stops_the_other_gives_the_epr_its_notices(shared) -> None:
    """Within seconds, in its own folder; each was given once."""
    first, second = shared.one, shared.two
    if second.gateway._store.nodes.holds("folder hospital"):
        first, second = second, first
    first.drop(
        "before.json", referral(sender=first.service, receiver=shared.world.ambulance.service)
    )
    await eventually(lambda: first.files("inbox/new/*.outcome.json"))
    await first.stop()
    second.drop(
        "after.json", referral(sender=first.service, receiver=shared.world.ambulance.service)
    )
    await eventually(lambda: second.files("inbox/new/*.outcome.json"))

    given = [
        file.name for node in (first, second) for file in node.files("inbox/new/*.outcome.json")
    ]
    assert 2 == len(given) == len(set(given))


@pytest.fixture
def an_hour_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine's clock be other than the server's."""
    monkeypatch.setattr("bars_gateway.daemon.gateway.now", lambda: now() + timedelta(hours=1))


async def test_what_was_asked_lately_counts_when_a_node_leaves(an_hour_ahead, shared) -> None:
    """By the server's clock, by which it was noted: this machine's own says nothing of it."""
    one = shared.one
    one.drop("one.json", referral(sender=one.service, receiver=shared.world.ambulance.service))
    told = "inbox/new/*.outcome.json"  # by whichever node has the folders' lease
    await eventually(lambda: one.files(told) or shared.two.files(told))
    budget = one.gateway._dispatcher.budgets["hospital"]
    whole = one.settings().outbound.requests_per_minute
    await eventually(lambda: budget.per_minute == whole // 2)
    await shared.two.stop()
    await eventually(lambda: budget.per_minute == whole)

    assert budget.used >= 2  # a token and a message


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait for half a minute until a node looks for a purge."""
    monkeypatch.setattr("bars_gateway.upkeep.purging.LOOKS_EVERY", 0.2)


async def test_what_lies_in_the_folders_of_each_node_is_purged(quick, shared) -> None:
    """One of them carries the purge out, and each clears its own folders."""
    store, nodes = shared.one.gateway._store, (shared.one, shared.two)

    def lying() -> list[Path]:
        return [file for node in nodes for file in node.files("inbox/new/*")]

    await store.inbound.receive(arrival(provider="hospital"), datetime.now(UTC))
    await eventually(lambda: [each for each in lying() if each.match("*.message.json")])
    for given in lying():
        for node in nodes:
            (node.spool / "inbox" / "new" / given.name).write_bytes(given.read_bytes())
    actor = Actor(role="operator", who="jo", why="a month later")
    later = datetime.now(UTC) + timedelta(days=40)
    await store.purges.begin_purge(None, actor, COPIES_ALONE, later)
    await eventually(lambda: not lying())
    other, first = await store.purges.newest(9)

    assert first.purge.why == actor.why
    assert "in the folders of node " in other.purge.why


async def test_a_node_that_will_never_come_back_is_taken_out(shared) -> None:
    """One that lives is refused; what is left undone is said, and the trail has who did it."""
    one = shared.one
    ask(one, _GONE)
    await eventually(lambda: _listed(one) == ["gone", "one", "two"])
    living = await one.typed("nodes", "remove", "two", "--why", "INC-7")
    unknown = await one.typed("nodes", "remove", "three", "--why", "INC-7")
    listed = await one.typed("nodes", "list", "--json")
    removed = await one.typed("nodes", "remove", "gone", "--why", "INC-7")
    assert 0 == removed.code, removed.err
    await eventually(lambda: _listed(one) == ["one", "two"])
    trail = await in_time(partial(_removed, one))

    assert (2, 2, 0) == (living.code, unknown.code, removed.code)
    assert "it lives" in living.err
    assert "there is none of that name (gone, one, two)" in unknown.err
    assert [("gone", True), ("one", False), ("two", False)] == [
        (each["name"], each["is_away"]) for each in map(json.loads, listed.out.splitlines())
    ]
    assert set(LINES["nodes list"].members) == set(json.loads(listed.out.splitlines()[0]))
    assert "gone: taken out. It was last seen 01 Jan 08:00 UTC." in removed.out
    assert "outbox/new" in removed.out
    assert ("gone", "INC-7") == (trail["node"], trail["why"])


# As one whose machine was lost, and which had the EPR's folder.
_GONE = """
    INSERT INTO nodes (name, incarnation, version, started_at, seen_at, ahead_ms, asked, leases)
    VALUES ('gone', 'x', '0.2.0', '2026-01-01T07:00:00.000Z', '2026-01-01T08:00:00.000Z', -2500,
            '{}', '["folder hospital"]')
"""


def ask(node: Member, sql: str, *values: object) -> None:
    """Run *sql* beside the gateways."""
    with psycopg.connect(node.settings().store.url) as session:
        session.execute(sql.encode(), values or None)


def _listed(node: Member) -> list[str]:
    return [each.name for each in node.gateway._store.nodes.listed()]


async def _removed(node: Member) -> dict[str, str] | None:
    """Return what the trail tells of it, once the gateway has entered it."""
    with psycopg.connect(node.settings().store.url) as session:
        row = session.execute("SELECT detail FROM events WHERE kind = 'nodes.removed'").fetchone()
    return json.loads(row[0]) if row else None


async def test_doctor_lists_the_nodes(shared) -> None:
    """Who is there, and which of them keeps house for all."""
    nodes = shared.one.gateway._store.nodes
    await eventually(lambda: len(nodes.listed()) == 2 and any(e.leases for e in nodes.listed()))
    ask(shared.one, _GONE)
    printed = (await shared.one.typed("doctor", "--json")).out
    living = r"\(there, seen \d+ s ago, since \d\d \w{3} \d\d:\d\d UTC, clock [+-]0\.\d s"

    assert re.search(
        r"nodes: gone \(away for \d{5,} s, since 01 Jan 07:00 UTC, clock -2\.5 s\)", printed
    )
    assert re.search(f"one {living}", printed)
    assert re.search(f"two {living}", printed)
    assert "housekeeping" in printed


@pytest.fixture
def looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait for a quarter of a minute until what is unread is looked at."""
    monkeypatch.setitem(Attendance.__init__.__kwdefaults__, "look_seconds", 0.1)


async def offered(node: Member) -> list[tuple[int, str]]:
    """Return the notices that the EPR finds on the socket of *node*: number and use case."""
    async with epr_at(node.socket) as epr, epr._session.get("/notices?wait=0") as answer:
        found = (await answer.json())["notices"]
    return [(each["notice_id"], each["use_case"]) for each in found]


async def test_what_nobody_can_put_into_a_folder_each_living_node_tells_of_and_gives(
    looking, tmp_path: Path
) -> None:
    """By number and age, when its use case says so; and on its socket, to whoever collects it."""
    async with shared_world(tmp_path, 'notices = "socket"') as shared:
        nodes = (shared.one, shared.two)
        ask(shared.one, _GONE)
        await eventually(lambda: all("gone" in _listed(node) for node in nodes))
        for node, body in zip(nodes, (validation_request(), referral()), strict=True):
            assert (await post(shared.world, body, headers(), node=node))[0] == 200
        since = datetime.now(UTC) - timedelta(minutes=10)
        await _age(shared.one, since)
        urgent = [await in_time(partial(page, node, "taken 1 notice of a4t1")) for node in nodes]
        longer = datetime.now(UTC) - timedelta(minutes=31)
        await _age(shared.one, longer)
        late = [await in_time(partial(page, node, "taken 1 notice of a1t1")) for node in nodes]
        given = [await offered(node) for node in nodes]

    for shown in urgent:
        assert f"has not taken 1 notice of a4t1, the oldest since {since:%d %b %H:%M} UTC" in shown
        assert "No living gateway writes into its folder: gone did, and is away" in shown
        assert "has not taken 1 notice of a1t1" not in shown
    for shown in late:
        assert f"has not taken 1 notice of a1t1, the oldest since {longer:%d %b %H:%M} UTC" in shown
    assert [[(1, "a4t1"), (2, "a1t1")]] * 2 == given


async def _age(node: Member, since: datetime) -> None:
    """Let all notices be of that moment."""
    at = since.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    await asyncio.to_thread(ask, node, "UPDATE notices SET created_at = %s", at)


def balancer_of_the_page(ports: Sequence[int], port: int) -> str:
    """Return what `docs/several-nodes.md` sets HAProxy to, with those gateways and that port."""
    text = block("several-nodes.md", "backend gateways")
    for there, here in zip(("10.0.0.11:8443", "10.0.0.12:8443"), ports, strict=True):
        assert there in text
        text = text.replace(there, f"127.0.0.1:{here}")
    return text.replace("bind :443", f"bind 127.0.0.1:{port}")


@pytest.mark.needs("haproxy")
async def test_the_balancer_of_the_page_goes_on_with_the_node_that_is_there(tmp_path: Path) -> None:
    """Either of them is reached through it, and believes it for whom; one may be stopped."""
    believed = '[callers]\nproxy_protocol_from = ["127.0.0.1"]'
    async with shared_world(tmp_path, "", believed) as shared:
        (port,), hospital = free_ports(1), shared.world.hospital
        file = tmp_path / "haproxy.cfg"
        file.write_text(balancer_of_the_page([shared.one.port, shared.two.port], port), "utf-8")
        balancer = await asyncio.create_subprocess_exec("haproxy", "-db", "-f", file)
        hospital._port = port

        async def taken() -> bool:
            with suppress(aiohttp.ClientError):
                return (await post(shared.world, referral(), headers(), node=hospital))[0] == 200
            return False

        try:
            statuses = [await in_time(taken)]
            for stopped in (shared.one, shared.two):
                await stopped.stop()
                await in_time(taken)  # the balancer looks each second
                statuses += [await taken() for _ in range(3)]
                await stopped.restart()
        finally:
            balancer.terminate()
            await balancer.wait()

    assert [True] * 7 == statuses
