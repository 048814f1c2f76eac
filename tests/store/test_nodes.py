"""
Several gateways on one database: who is there, who alone may do what, and how they wake each other.

Each node is the whole of what a process has: its sessions, its group, its beat.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime, timedelta

import pytest
from dying_migration import one_more
from postgres_server import PostgresServer
from store_values import NOW, TERMS, arrival, decision, submission

from bars_gateway import __version__
from bars_gateway.errors import DatabaseAway, DatabaseInUse, KeyMissing
from bars_gateway.keyring import CLEAR, EncryptionRing, RingKey, Vault
from bars_gateway.model.nodes import Node
from bars_gateway.model.questions import QuestionOpen, Unattended
from bars_gateway.store.claims import Openings
from bars_gateway.store.in_force import SETTING, Facts
from bars_gateway.store.migrating import POSTGRESQL, newest
from bars_gateway.store.nodes import OnlyNode, Run, while_held
from bars_gateway.store.postgresql import nodes
from bars_gateway.store.postgresql.database import PostgresDatabase, open_server
from bars_gateway.store.postgresql.nodes import ServerNodes, nodes_at
from bars_gateway.store.postgresql.server import ServerAddress
from bars_gateway.store.store import Store

pytestmark = pytest.mark.needs("postgres")
DATABASE = "bars_gateway.store.postgresql.database"


@pytest.fixture
def url(postgres: PostgresServer) -> Iterator[str]:
    made = postgres.ready()
    yield made
    postgres.drop(made)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait for a beat: ten of them are a second."""
    monkeypatch.setattr(nodes, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(f"{DATABASE}._OLD_SESSION_SECONDS", 0.2)
    monkeypatch.setattr(f"{DATABASE}._TAKEN_SECONDS", 0.2)


@asynccontextmanager
async def node(url: str, name: str, vault: Vault = CLEAR) -> AsyncIterator[PostgresDatabase]:
    address = ServerAddress(url=url, node=name)
    async with open_server(address, vault=vault, alone=False) as database:
        yield database


@asynccontextmanager
async def two(url: str) -> AsyncIterator[tuple[PostgresDatabase, PostgresDatabase]]:
    async with node(url, "one") as one, node(url, "two") as other:
        yield one, other


async def until(found: Callable[[], object], seconds: float = 10.0) -> None:
    """Return once that is so; what it waits for is another node's beat."""
    async with asyncio.timeout(seconds):
        while not found():
            await asyncio.sleep(0.01)


def names(database: PostgresDatabase) -> dict[str, Node]:
    return {each.name: each for each in database.nodes.listed()}


def of(database: PostgresDatabase) -> ServerNodes:
    assert isinstance(database.nodes, ServerNodes)
    return database.nodes


async def test_each_node_sees_the_others(url) -> None:
    """By name, since when and of which release; and which of them it is itself."""
    async with two(url) as (one, other):
        await until(lambda: len(names(one)) == 2)
        found = names(one)
        assert [True, False] == [found["one"].is_this, found["two"].is_this]
        assert not found["two"].is_away
        assert abs(found["two"].started_at - datetime.now(UTC)) < timedelta(seconds=30)
        assert {"one", "two"} == names(other).keys()


async def test_one_that_stops_in_order_is_there_no_more(url) -> None:
    """Nobody is to look for a machine that was switched off on purpose."""
    async with node(url, "one") as one:
        async with node(url, "two"):
            await until(lambda: "two" in names(one))
        await until(lambda: "two" not in names(one))


async def test_one_that_stands_still_is_away(url, monkeypatch) -> None:
    """Its row stays, with when it was last seen."""
    monkeypatch.setattr("bars_gateway.model.nodes.AWAY_AFTER", timedelta(seconds=0.5))
    async with two(url) as (one, other):
        await until(lambda: "two" in names(one))
        stand_still(other)
        await until(lambda: names(one)["two"].is_away)

        assert not names(one)["one"].is_away


def stand_still(database: PostgresDatabase) -> None:
    """Let it beat no more, and keep its sessions: as a process that was stopped."""

    async def look() -> None:
        await asyncio.sleep(0)

    of(database)._look = look


async def test_a_lease_is_of_one_node_at_a_time(url) -> None:
    """Whoever comes first has it; another one gets what nobody has."""
    async with two(url) as (one, other):
        one.nodes.want("mail")
        await until(lambda: one.nodes.holds("mail"))
        other.nodes.want("mail")
        other.nodes.want("purge")
        await until(lambda: other.nodes.holds("purge"))

        assert one.nodes.holds("mail")
        assert not other.nodes.holds("mail")
        assert not one.nodes.holds("purge")
        await until(lambda: names(one)["two"].leases == ("purge",))


async def test_a_lease_passes_on_when_its_holder_stops(url) -> None:
    """At once: the server frees what a session had when that ends."""
    async with node(url, "one") as one:
        async with node(url, "two") as other:
            other.nodes.want("mail")
            await until(lambda: other.nodes.holds("mail"))
            one.nodes.want("mail")
        await until(lambda: one.nodes.holds("mail"), seconds=2)


async def test_a_lease_passes_on_when_its_holder_is_killed(postgres, url) -> None:
    """Without a word, as the server sees it; and who had it knows that it has it no more."""
    async with two(url) as (one, other):
        other.nodes.want("mail")
        await until(lambda: other.nodes.holds("mail"))
        stand_still(other)
        one.nodes.want("mail")
        end_session(postgres, url, "two")
        await until(lambda: one.nodes.holds("mail"), seconds=2)


def end_session(postgres: PostgresServer, url: str, name: str) -> None:
    """End the session by which that node holds its leases."""
    sql = f"SELECT pg_terminate_backend(pid::int) FROM nodes WHERE name = '{name}'"
    postgres.say(sql, name_in(url))


def name_in(url: str) -> str:
    return url.split("/")[3].partition("?")[0]


async def test_who_cannot_reach_the_server_holds_nothing(url, monkeypatch) -> None:
    """It lets go by its own clock, before the server gives the lease to another."""
    monkeypatch.setattr(nodes, "SURE_SECONDS", 0.3)
    async with node(url, "one") as one:
        one.nodes.want("mail")
        await until(lambda: one.nodes.holds("mail"))
        stand_still(one)
        await until(lambda: not one.nodes.holds("mail"), seconds=2)

    assert nodes.BEAT_SECONDS < nodes.SURE_SECONDS


async def test_one_that_stands_still_loses_what_it_alone_did(url, monkeypatch) -> None:
    """Its session lives on, and the others end it."""
    monkeypatch.setattr(nodes, "STALLED_SECONDS", 0.5)
    async with two(url) as (one, other):
        other.nodes.want("mail")
        await until(lambda: other.nodes.holds("mail"))
        one.nodes.want("mail")
        stand_still(other)
        await until(lambda: one.nodes.holds("mail"), seconds=5)

        del of(other)._look  # and it goes on
        await until(lambda: not other.nodes.holds("mail"), seconds=5)
        await until(lambda: not names(one)["two"].is_away, seconds=5)
        assert one.nodes.holds("mail")


async def test_what_a_dead_node_was_sending_keeps_no_other_from_its_receiver(
    postgres, url, monkeypatch
) -> None:
    """Its places are free at once; what it sent stays its own until the lease ends, in order."""
    monkeypatch.setattr(nodes, "SILENT_SECONDS", 0.3)
    async with two(url) as (one, other):
        ours, theirs = (
            Store(each, node=name, per_receiver=2) for each, name in ((one, "one"), (other, "two"))
        )
        for number, conversation in enumerate(("first", "second", "first", "third")):
            waits = submission(bundle_id=f"b{number}", correlation_id=conversation)
            await ours.outbound.submit(waits, NOW)
        openings = Openings(at=NOW + timedelta(seconds=1), places={"trust": 9})
        sent = await theirs.outbound.claim(9, openings)
        assert ["first", "second"] == [each.correlation_id for each in sent]
        assert [] == await ours.outbound.claim(9, openings)

        die(postgres, url, other)
        await until(one.nodes.dead)
        found = await ours.outbound.claim(9, openings)
        assert ["third"] == [each.correlation_id for each in found]

        del of(other)._look  # and it was only out of reach
        await until(lambda: not one.nodes.dead())


def die(postgres: PostgresServer, url: str, database: PostgresDatabase) -> None:
    """Let it beat no more, and lose every session: as a process that was killed."""
    stand_still(database)
    postgres.say(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE datname = '{name_in(url)}' AND application_name LIKE '%{database.address.node}%'"
    )


async def test_one_that_lives_keeps_its_places_without_the_session_that_writes(
    postgres, url, monkeypatch
) -> None:
    """It sends what it has claimed, and writes what came of it once it has a session again."""
    monkeypatch.setattr(nodes, "SILENT_SECONDS", 0.3)
    async with two(url) as (one, other):
        await until(lambda: "two" in names(one))
        before = other._writes_as
        postgres.say(f"SELECT pg_terminate_backend({before['pid']})", name_in(url))
        seen = names(one)["two"].seen_at
        await until(lambda: names(one)["two"].seen_at > seen + timedelta(seconds=0.5))

        assert [] == one.nodes.dead()


async def test_no_node_takes_itself_for_dead(postgres, url, monkeypatch) -> None:
    """Its own row is as its last beat left it: that may be long ago, after a pause."""
    monkeypatch.setattr(nodes, "SILENT_SECONDS", 0.0)
    async with node(url, "one") as one:
        postgres.say(f"SELECT pg_terminate_backend({one._writes_as['pid']}, 5000)", name_in(url))
        await of(one)._beat_once()

        assert [] == one.nodes.dead()


async def test_one_that_stands_still_keeps_its_places(url, monkeypatch) -> None:
    """It may go on at any moment with what it was sending."""
    monkeypatch.setattr(nodes, "SILENT_SECONDS", 0.3)
    async with two(url) as (one, other):
        await until(lambda: "two" in names(one))
        stand_still(other)
        await until(lambda: names(one)["two"].silent > timedelta(seconds=0.6))

        assert [] == one.nodes.dead()


async def test_one_that_was_dead_stays_so_when_it_is_taken_out(postgres, url, monkeypatch) -> None:
    """What it had claimed is there until the lease ends, listed or not."""
    monkeypatch.setattr(nodes, "SILENT_SECONDS", 0.3)
    async with two(url) as (one, other):
        die(postgres, url, other)
        await until(one.nodes.dead)
        postgres.say("DELETE FROM nodes WHERE name = 'two'", name_in(url))
        await until(lambda: "two" not in names(one))

        assert ["two"] == one.nodes.dead()


async def test_a_node_is_there_again_after_its_session_was_lost(postgres, url) -> None:
    """By the same start, and with its leases where nobody was quicker."""
    async with node(url, "one") as one:
        one.nodes.want("mail")
        await until(lambda: one.nodes.holds("mail"))
        started = names(one)["one"].started_at
        end_session(postgres, url, "one")
        await until(lambda: not one.nodes.holds("mail"))
        await until(lambda: one.nodes.holds("mail"), seconds=5)

        assert started == names(one)["one"].started_at


async def test_a_message_that_one_node_took_wakes_the_senders_of_the_other(url) -> None:
    """It need not wait until they look again by themselves."""
    async with two(url) as (one, other):
        stores = Store(one, node="one"), Store(other, node="two")
        waiting = asyncio.create_task(stores[1].outbound.wait_for_work(30))
        await asyncio.sleep(0)
        await stores[0].outbound.submit(submission(), NOW)
        async with asyncio.timeout(5):
            await waiting
        openings = Openings(at=NOW, places={"trust": 1})

        assert 1 == len(await stores[1].outbound.claim(1, openings))


async def test_a_notice_wakes_its_epr_at_any_node(url) -> None:
    """Whichever node's socket it sits on."""
    async with two(url) as (one, other):
        stores = Store(one, node="one"), Store(other, node="two")
        waiting = asyncio.create_task(stores[1].notices.wait_for_work("trust", 30))
        await asyncio.sleep(0)
        await stores[0].inbound.receive(arrival(), NOW)
        async with asyncio.timeout(5):
            await waiting

        assert 1 == len(await stores[1].notices.pending("trust", 9))


async def test_a_question_of_one_node_is_answered_through_the_other(url) -> None:
    """Its EPR sits there: it is known to be, it is woken, and the Sender gets what it says."""
    async with two(url) as (one, other):
        asks, answers = Store(one, node="one").questions, Store(other, node="two").questions
        came = arrival()
        assert isinstance(await asks.ask_about(came, None, TERMS, NOW), Unattended)
        answers.attend("trust", NOW)
        await until(lambda: one.nodes.attended("trust") == NOW)
        waiting = asyncio.create_task(answers.question_work("trust", 30))
        await asyncio.sleep(0)
        asked = await asks.ask_about(came, None, TERMS, NOW)
        assert isinstance(asked, QuestionOpen)
        async with asyncio.timeout(5):
            await waiting
        (question,) = await answers.open_questions("trust", after=0, limit=9)
        getting = asyncio.create_task(asks.answer_to(question.question_id))
        await asyncio.sleep(0.05)
        await answers.decide("trust", question.question_id, decision(), NOW)
        async with asyncio.timeout(5):
            answered = await getting

        assert decision().http_status == answered.http_status


async def test_what_was_told_while_nobody_heard_is_looked_for(postgres, url) -> None:
    """The ear was deaf for a moment: then everybody looks, for something may have come."""
    async with node(url, "one") as one:
        store = Store(one, node="one")
        waiting = asyncio.create_task(store.outbound.wait_for_work(30))
        await asyncio.sleep(0)
        assert not waiting.done()
        postgres.say(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
        )
        async with asyncio.timeout(5):
            await waiting


async def test_all_nodes_go_by_the_servers_clock(url) -> None:
    """Whatever their machines say; by how much those differ is told."""

    def late() -> datetime:
        return datetime.now(UTC) - timedelta(minutes=7)

    async with two(url) as (one, other):
        here, there = one.nodes.clock(late), other.nodes.clock(lambda: datetime.now(UTC))
        assert abs(here() - there()) < timedelta(milliseconds=250)
        assert abs(here() - datetime.now(UTC)) < timedelta(milliseconds=250)
        await until(lambda: names(other)["one"].clock_ahead < timedelta(minutes=-6))


async def test_nothing_of_a_node_that_lives_is_taken_by_anothers_start(url) -> None:
    """What it sends just then would go out twice at the same time."""
    openings = Openings(at=NOW, places={"trust": 1})
    async with node(url, "one") as one:
        first = Store(one, node="one")
        await first.outbound.submit(submission(), NOW)
        (claim,) = await first.outbound.claim(1, openings)
        async with node(url, "two") as other:
            second = Store(other, node="two")
            assert 0 == await second.outbound.release_own(NOW)
            assert [] == await second.outbound.claim(1, openings)
            lapsed = claim.claimed_at + timedelta(seconds=91)
            assert 1 == await second.outbound.release_lapsed(lapsed)


async def test_who_wants_the_database_alone_is_kept_out(url) -> None:
    """And keeps out who would share it: a gateway that was not told of others is not ready."""
    async with node(url, "one"):
        with pytest.raises(DatabaseInUse, match="bars-gateway one at") as told:
            async with open_server(ServerAddress(url=url, node="three")):
                pass
        assert "store.several_nodes" in told.value.advice
    async with open_server(ServerAddress(url=url, node="three")):
        with pytest.raises(DatabaseInUse, match="bars-gateway three at"):
            async with node(url, "one"):
                pass


async def test_a_key_that_others_lack_encrypts_nothing(url) -> None:
    """They could not read what it encrypted; it is taken once all were stopped."""
    async with node(url, "one") as one, node(url, "two"):
        await until(lambda: "two" in names(one))
        with pytest.raises(KeyMissing, match="other nodes are at work without the key first"):
            await Store(one, node="one").encryption.use(RING, encrypts=True)
        with pytest.raises(DatabaseInUse, match=r"one, two work on .* without the key first"):
            async with node(url, "three", Vault(RING)):
                pass
    async with node(url, "one", Vault(RING)), node(url, "two", Vault(RING)):
        pass


RING = EncryptionRing(keys=(RingKey(key_id="first", secret=bytes(range(32))),))


async def test_no_node_changes_the_schema_under_another_that_lives(postgres, url) -> None:
    """The older release would fail in the middle of a message; the error names it and the cure."""
    async with node(url, "one"):
        with one_more(POSTGRESQL), pytest.raises(DatabaseInUse) as told:
            async with node(url, "two"):
                pass

        assert f"others work on it: one (version {__version__}, seen " in str(told.value)
        assert "Stop the gateway on each" in told.value.advice
        assert newest(POSTGRESQL) == schema(postgres, url)
    with one_more(POSTGRESQL):
        async with node(url, "two"):
            pass
    assert newest(POSTGRESQL) + 1 == schema(postgres, url)


async def test_a_node_is_seen_before_its_first_beat(postgres, url, monkeypatch) -> None:
    """It has looked at the schema, and goes by what it saw there."""
    beats, may_beat = asyncio.Event(), asyncio.Event()
    join = ServerNodes.join

    async def joins_late(joining: ServerNodes) -> None:
        if not beats.is_set():
            beats.set()
            await may_beat.wait()
        await join(joining)

    async def begins() -> None:
        async with node(url, "one"):
            pass

    monkeypatch.setattr(ServerNodes, "join", joins_late)
    async with asyncio.TaskGroup() as group:
        group.create_task(begins())
        await beats.wait()
        with one_more(POSTGRESQL), pytest.raises(DatabaseInUse, match=r"work on it: one \("):
            async with node(url, "two"):
                pass
        may_beat.set()

    assert newest(POSTGRESQL) == schema(postgres, url)
    assert [] == nodes_at(ServerAddress(url=url, node="looks"))


async def test_a_node_that_stands_still_keeps_the_schema_as_it_is(postgres, url) -> None:
    """It may go on at any moment, by the session that it still has."""
    async with node(url, "one") as one:
        stand_still(one)
        postgres.say("UPDATE nodes SET seen_at = '2026-01-01T00:00:00.000Z'", name_in(url))
        with one_more(POSTGRESQL), pytest.raises(DatabaseInUse, match=r": one \("):
            async with node(url, "two"):
                pass


@pytest.mark.parametrize(
    ("name", "seconds", "is_refused"),
    [("one", 4, True), ("one", 11, False), ("two", 0, False)],
    ids=["another, seen just now", "another, away", "its own last run"],
)
async def test_who_was_killed_hinders_a_later_schema_until_it_is_away(
    postgres, url, name: str, seconds: int, *, is_refused: bool
) -> None:
    """By the server's clock; and never itself, which is started again after a crash."""
    left_behind(postgres, url, name, seconds)
    refused = pytest.raises(DatabaseInUse, match=r": one \(version 0\.2\.0, seen \d+ s ago\)$")
    with one_more(POSTGRESQL), refused if is_refused else nullcontext():
        async with node(url, "two"):
            pass

    assert newest(POSTGRESQL) + (not is_refused) == schema(postgres, url)


def left_behind(postgres: PostgresServer, url: str, name: str, seconds: int) -> None:
    """Leave the row of a node of an earlier release that was killed so many seconds ago."""
    began = "'2026-01-01T00:00:00.000Z'"
    seen = f"clock_timestamp() AT TIME ZONE 'UTC' - interval '{seconds} seconds'"
    postgres.say(
        "INSERT INTO nodes (name, incarnation, version, started_at, seen_at, ahead_ms, asked,"
        f" leases) SELECT '{name}', 'killed', '0.2.0', {began},"
        f" to_char({seen}, 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), 0, '{{}}', '[]'",
        name_in(url),
    )


def schema(postgres: PostgresServer, url: str) -> object:
    ((number,),) = postgres.say("SELECT number FROM schema_version", name_in(url))
    return number


async def test_whoever_looks_from_beside_sees_them(url) -> None:
    """Which is how `doctor` knows."""
    async with two(url):
        found = await asyncio.to_thread(nodes_at, ServerAddress(url=url, node="looks"))

    assert ["one", "two"] == [each.name for each in found]
    assert re.search(r"one \(there, seen \d+ s ago, since ", str(found[0]))


async def test_what_one_alone_does_runs_where_its_lease_is(url) -> None:
    """At one node at a time; after that one at the other, from its beginning."""
    ran: list[str] = []

    def running(name: str) -> Run:
        async def run() -> None:
            ran.append(name)
            await asyncio.sleep(60)

        return run

    stopped = asyncio.Event()
    async with two(url) as (one, other), asyncio.TaskGroup() as group:
        kept = {
            database.address.node: group.create_task(
                while_held(database.nodes, "mail", running(database.address.node), stopped.is_set)
            )
            for database in (one, other)
        }
        await until(lambda: ran)
        (first,) = ran
        kept.pop(first).cancel()
        holder = one if first == "one" else other
        stand_still(holder)
        await asyncio.to_thread(of(holder)._session.drop)
        await until(lambda: len(ran) == 2)
        assert {"one", "two"} == set(ran)
        for task in kept.values():
            task.cancel()


async def test_what_fails_while_its_lease_is_held_fails_as_itself(url) -> None:
    """Whoever runs it again knows by the error whether the store was away."""

    async def fails() -> None:
        raise DatabaseAway("gone")

    async with node(url, "one") as one:
        with pytest.raises(DatabaseAway, match="gone"):
            await while_held(one.nodes, "mail", fails, lambda: False)


async def test_each_node_has_settings_of_its_own(url) -> None:
    """A start of one tells of no change that the other made; each tells of its own."""
    async with two(url) as (one, other):
        stores = [Store(one, node="one"), Store(other, node="two")]
        for number, store in enumerate(stores):
            await store.in_force.started(facts(f"{number}"), {}, NOW)
        await stores[0].in_force.renewed(facts("0"), NOW)
        await stores[1].in_force.renewed(facts("9"), NOW)
        query = b"SELECT detail FROM events WHERE kind = 'settings.changed'"
        found = await one.read(lambda c: [row["detail"] for row in c.raw.execute(query)])

    assert [{"by": "reload", "node": "two", "names": ["a.b"]}] == [
        json.loads(each) for each in found
    ]


def facts(value: str) -> Facts:
    return Facts(of={(SETTING, "a.b"): value}, compared_by="key")


def test_a_gateway_that_is_the_only_one_may_do_everything() -> None:
    """And nobody is told of anything: on a file, nothing is asked."""
    only = OnlyNode()
    only.want("mail")

    assert only.holds("mail")
    assert only.tell is None
    assert [] == [*only.listed()]
    assert late is only.clock(late)


def late() -> datetime:
    return NOW
