"""
PostgreSQL, as the gateway uses it: groups, conflicts, several nodes, a server that goes away.

A session is cut as a network does it: in the middle of a COMMIT nobody is told what came of it.
"""

import asyncio
import contextlib
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import cast

import psycopg
import pytest
from postgres_server import PostgresServer, postgres_server
from store_values import NOW, arrival, submission
from structlog.testing import capture_logs

from bars_gateway.errors import (
    DatabaseAway,
    DatabaseInUse,
    DatabaseNewer,
    DatabaseUnfit,
    OutcomeUnknown,
    RowRefused,
    StoreError,
    StoreUnavailable,
)
from bars_gateway.store import chain
from bars_gateway.store.claims import Openings
from bars_gateway.store.connection import Unmeasured
from bars_gateway.store.postgresql import (
    Conflict,
    PostgresConnection,
    Raw,
    server,
    transactions,
    translated,
)
from bars_gateway.store.postgresql.database import (
    NAMED,
    PostgresDatabase,
    open_looks,
    open_server,
)
from bars_gateway.store.postgresql.server import ServerAddress
from bars_gateway.store.store import Store

pytestmark = pytest.mark.needs("postgres")
LATER = "UPDATE schema_version SET number = number + {}"
END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'"
STARTUP = 196_608  # version 3.0 of the protocol
TAKE = "INSERT INTO reports (name) VALUES (%s)"


@pytest.fixture
def url(postgres: PostgresServer) -> Iterator[str]:
    made = postgres.ready()
    yield made
    postgres.drop(made)


@asynccontextmanager
async def node(url: str, name: str = "here") -> AsyncIterator[PostgresDatabase]:
    async with open_server(ServerAddress(url=url, node=name), alone=False) as database:
        yield database


@pytest.fixture
async def database(url: str) -> AsyncIterator[PostgresDatabase]:
    async with node(url) as opened:
        yield opened


async def look(address: ServerAddress, work):
    async with open_looks(address) as looks:
        return await looks(work)


def adding(name: str):
    def add(connection: PostgresConnection) -> str:
        connection.run("note_report", name=name)
        return name

    return add


async def names(url: str) -> list[str]:
    query = b"SELECT name FROM reports ORDER BY name"
    found = await look(
        ServerAddress(url=url, node="looks"), lambda c: c.raw.execute(query).fetchall()
    )
    return [row["name"] for row in found]


async def test_works_that_wait_together_share_one_commit(database, url) -> None:
    """While one group commits the next gathers, and has one turn for all of it."""
    database.measures = counted = Counted()
    async with asyncio.TaskGroup() as group:
        for number in range(40):
            group.create_task(database.write(adding(f"{number:02}")))

    assert 40 == len(await names(url))
    assert counted.commits < 10


class Counted(Unmeasured):
    """Counts the groups."""

    def __init__(self) -> None:
        self.commits = 0

    def committed(self, seconds: float, flush_seconds: float) -> None:
        self.commits += 1


async def test_a_work_that_fails_is_undone_alone(database, url) -> None:
    """First, in the middle or last of its group: the others reach the disk."""

    def failing(name: str):
        def fail(connection: PostgresConnection) -> None:
            adding(name)(connection)
            raise KeyError(name)

        return fail

    works = [failing("a"), adding("b"), failing("c"), adding("d"), failing("e")]
    done = await asyncio.gather(*map(database.write, works), return_exceptions=True)

    assert ["b", "d"] == [each for each in done if isinstance(each, str)]
    assert [KeyError] * 3 == [type(each) for each in done if not isinstance(each, str)]
    assert ["b", "d"] == await names(url)


async def test_what_a_work_puts_and_the_server_refuses_is_that_works_alone(database, url) -> None:
    """Also where the work has ended before the server was asked, and others have run behind it."""

    def putting(name: str | None):
        def put(connection: PostgresConnection) -> None:
            connection.put("note_report", name=name)

        return put

    works = [adding("a"), putting("b"), putting(None), putting("c"), adding("d"), putting(None)]
    done = await asyncio.gather(*map(database.write, works), return_exceptions=True)

    refused = [number for number, each in enumerate(done) if isinstance(each, RowRefused)]
    assert ([2, 5], ["a", None, None, "d"]) == (refused, [done[n] for n in (0, 1, 3, 4)])
    assert ["a", "b", "c", "d"] == await names(url)


async def test_what_is_put_is_done_before_what_is_asked_next(database) -> None:
    """A work reads what it has written, in whichever way."""

    def work(connection: PostgresConnection) -> int:
        connection.put("note_report", name="a")
        return connection.run("note_report", name="a")

    assert 0 == await database.write(work)


async def test_the_server_is_at_work_on_what_is_put_before_more_is_asked(
    database, url, postgres: PostgresServer
) -> None:
    """It does not wait for whoever makes the next thing ready."""
    at_work = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bars-gateway here'"
        " AND query LIKE 'INSERT INTO reports%'"
    )

    def putting(connection: PostgresConnection) -> int:
        connection.one("newest_message")
        connection.put("note_report", name="a")
        until = time.monotonic() + 3  # the server ends what stands still for five
        while time.monotonic() < until:
            ((seen,),) = postgres.say(at_work, connection.raw.info.dbname)
            if seen:
                return int(str(seen))
        return 0

    await database.write(adding("b"))  # so that the server knows it
    assert 1 == await database.write(putting)
    assert ["a", "b"] == await names(url)


@pytest.mark.parametrize("goes_on", [True, False], ids=["asks more", "has ended"])
async def test_a_session_that_is_lost_over_what_was_put_has_stored_nothing(
    database, url, postgres: PostgresServer, goes_on
) -> None:
    """It is all done again on a new one, once."""
    ran: list[str] = []

    def putting(connection: PostgresConnection) -> None:
        ran.append("")
        connection.put("note_report", name="a")
        if len(ran) == 1:
            postgres.say(END.format(connection.raw.info.dbname))
        if goes_on:
            connection.rows("newest_message")

    await asyncio.gather(database.write(putting), database.write(adding("b")))

    assert ["a", "b"] == await names(url)
    assert 2 == len(ran)


async def test_the_server_ends_what_stands_still_behind_what_it_put(
    url, postgres: PostgresServer, monkeypatch
) -> None:
    """It has the turn of all nodes: the others wait for seconds, and it does it all once more."""
    monkeypatch.setitem(server._SESSION, "idle_in_transaction_session_timeout", 300)
    ran: list[bool] = []

    def putting(connection: PostgresConnection) -> None:
        connection.one("newest_message")
        connection.put("note_report", name="a")
        ran.append(not ran and _is_ended(postgres, connection.raw.info.backend_pid))

    async with node(url) as database:
        await database.write(adding("b"))  # so that the server knows it
        await database.write(putting)

    assert [True, False] == ran[:2]
    assert ["a", "b"] == await names(url)


def _is_ended(postgres: PostgresServer, pid: int) -> bool:
    """Stand still until the server has ended that session, or three seconds are over."""
    until = time.monotonic() + 3
    while time.monotonic() < until:
        if not postgres.say(f"SELECT pid FROM pg_stat_activity WHERE pid = {pid}"):
            return True
        time.sleep(0.02)
    return False


async def test_a_row_that_a_constraint_forbids_names_it(database) -> None:
    """And nothing of the row."""

    def wrong(connection: PostgresConnection) -> None:
        connection.run("note_report", name=None)

    with pytest.raises(RowRefused) as refused:
        await database.write(wrong)

    assert "name" in str(refused.value)


async def test_a_statement_is_not_prepared_for_each_way_in_which_values_are_null(database) -> None:
    """Each text that the server keeps takes a session's memory for good."""

    def ask(connection: PostgresConnection) -> list[object]:
        for part, number in [("request", None), (None, 1), (None, None), ("request", 1)]:
            assert connection.one("payload", message_id=number, part=part) is None
        query = b"SELECT name FROM pg_prepared_statements WHERE name LIKE 'payload %'"
        return connection.raw.execute(query).fetchall()

    assert 2 == len(await database.read(ask))


async def test_a_text_that_postgresql_cannot_keep_is_that_works_alone(database, url) -> None:
    """A NUL: the driver refuses it, the session stays, and the others of the group are stored."""
    done = await asyncio.gather(
        *(database.write(adding(name)) for name in ("a", "b\0", "c")), return_exceptions=True
    )

    assert [str, RowRefused, str] == [type(each) for each in done]
    assert ["a", "c"] == await names(url)
    assert database.unwritten is None
    with pytest.raises(RowRefused):
        await database.read(adding("b\0"))


async def test_a_work_that_goes_on_after_a_failed_statement_is_refused(database, url) -> None:
    """The server has undone everything by then: whoever swallows that has stored nothing."""

    def swallowing(connection: PostgresConnection) -> str:
        adding("lost")(connection)
        with contextlib.suppress(StoreError):
            connection.run("note_report", name=None)
        return "lost"

    done = await asyncio.gather(
        database.write(swallowing), database.write(adding("kept")), return_exceptions=True
    )

    assert [StoreError, str] == [type(each) for each in done]
    assert ["kept"] == await names(url)


async def test_a_group_that_conflicts_runs_again(database, url) -> None:
    """What another program changes in between makes it wrong to go on, and not to begin again."""
    times = []

    def conflicting(connection: PostgresConnection) -> int:
        times.append(1)
        connection.one("newest_event")
        if len(times) == 1:
            _change_beside(connection, url)
        return connection.run("note_report", name="mine")

    assert 1 == await database.write(conflicting)
    assert 2 == len(times)
    assert ["mine", "theirs"] == await names(url)


def _change_beside(connection: PostgresConnection, url: str) -> None:
    """Let a stranger read what is being written, and write what is being read."""
    connection.raw.execute(b"SELECT count(*) FROM reports")
    with psycopg.connect(url) as stranger:
        stranger.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        stranger.execute("SELECT count(*) FROM reports")
        stranger.execute(TAKE, ["theirs"])


async def test_a_group_that_conflicts_twice_is_split(database, url, monkeypatch) -> None:
    """So that one of its works can no longer hold up the others."""
    sizes = []
    once = transactions.Writer._once

    def conflicting(writer, works, ways):
        sizes.append(len(works))
        if len(works) > 1:
            raise Conflict("somebody was in between")
        return once(writer, works, ways)

    monkeypatch.setattr(transactions.Writer, "_once", conflicting)
    await asyncio.gather(*(database.write(adding(name)) for name in "abcd"))

    assert ["a", "b", "c", "d"] == await names(url)
    assert [4, 4, 2, 2, 1, 1, 2, 2, 1, 1] == sizes


class Cut:
    """Cuts the session of the writer at its next COMMIT, before or after the server has that."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, arrives: bool) -> None:
        self._arrives, self.cuts = arrives, 0
        self._say = transactions.say
        monkeypatch.setattr(transactions, "say", self._cutting)

    def _cutting(self, raw: Raw, sql: str) -> None:
        if sql == "COMMIT" and not self.cuts and _is_writing(raw):
            self.cuts += 1
            if self._arrives:
                raw.pgconn.send_query(b"COMMIT")
                raw.pgconn.flush()
            with socket.socket(fileno=raw.pgconn.socket) as wire:
                wire.shutdown(socket.SHUT_RDWR)
                wire.detach()
        self._say(raw, sql)


def _is_writing(raw: Raw) -> bool:
    return raw.execute(b"SHOW transaction_read_only").fetchone()["transaction_read_only"] == "off"


@pytest.mark.parametrize("arrives", [False, True])
async def test_a_commit_that_nobody_saw_is_looked_for(database, url, monkeypatch, arrives) -> None:
    """It is done, or done again, and never guessed: each work's row is there once."""
    cut = Cut(monkeypatch, arrives=arrives)
    done = await asyncio.gather(*(database.write(adding(name)) for name in "abc"))

    assert ["a", "b", "c"] == done
    assert 1 == cut.cuts
    assert ["a", "b", "c"] == await names(url)


async def test_a_commit_that_was_cancelled_waits_for_the_standby_all_the_same() -> None:
    """The server says that all is well; nothing is promised until a standby has it."""
    with postgres_server() as server:
        server.say("ALTER SYSTEM SET synchronous_standby_names = 'one_that_is_away'")
        server.say("ALTER SYSTEM SET synchronous_commit = 'local'")  # the gateway's say otherwise
        server.stop()
        server.start()
        async with node(server.ready()) as database:
            writing = asyncio.create_task(database.write(adding("acknowledged")))
            seen: set[tuple[object, ...]] = set()
            for _ in range(2):
                waits = await next_wait(server, seen)
                seen.add(waits)
                server.say(f"SELECT pg_cancel_backend({waits[0]})")
            await next_wait(server, seen)
            assert not writing.done()

            server.say("ALTER SYSTEM RESET synchronous_standby_names")
            server.say("SELECT pg_reload_conf()")
            assert "acknowledged" == await writing


async def next_wait(server: PostgresServer, seen: set[tuple[object, ...]]) -> tuple[object, ...]:
    """Return which of the server's processes waits for a standby, and since when."""
    sql = "SELECT pid, query_start FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    async with asyncio.timeout(10):
        while not (found := set(server.say(sql)) - seen):
            await asyncio.sleep(0.02)
    return found.pop()


async def test_a_session_that_is_lost_before_the_commit_has_changed_nothing(database, url) -> None:
    """So the group runs again on a new one, and its callers hear nothing of it."""
    times = []

    def lost(connection: PostgresConnection) -> str:
        times.append(1)
        adding("once")(connection)
        if len(times) == 1:
            connection.raw.pgconn.finish()
        return "done"

    assert "done" == await database.write(lost)
    assert 2 == len(times)
    assert ["once"] == await names(url)


async def test_two_nodes_have_one_order_and_one_chain(url) -> None:
    """Whoever took it, the numbers of the trail are the order in which it was committed."""
    async with node(url, "one") as one, node(url, "two") as two:
        stores = [Store(one, node="one"), Store(two, node="two")]
        async with asyncio.TaskGroup() as group:
            for number in range(40):
                store = stores[number % 2]
                group.create_task(store.inbound.receive(arrival(), NOW))
                group.create_task(store.outbound.submit(submission(receiver=str(number)), NOW))
        found = await one.read(chain.walked)

    assert [] == found.breaches
    assert found.lines >= 80


async def test_what_both_nodes_are_sent_at_once_is_taken_once(url) -> None:
    """The ledger is one for all nodes: one takes it, and the other says that it is a duplicate."""
    async with node(url, "one") as one, node(url, "two") as two:
        same = arrival()
        stores = [Store(one, node="one"), Store(two, node="two")] * 5
        await asyncio.gather(*(each.inbound.receive(same, NOW) for each in stores))
        count = await one.read(
            lambda c: c.raw.execute(b"SELECT count(*) AS n FROM messages").fetchone()["n"]
        )

    assert 1 == count


async def test_a_claim_of_one_node_is_no_other_nodes(url) -> None:
    """A message leaves once, however many nodes look for work."""
    async with node(url, "one") as one, node(url, "two") as two:
        stores = [Store(one, node="one"), Store(two, node="two")]
        for number in range(6):
            await stores[0].outbound.submit(submission(receiver=str(number)), NOW)
        openings = Openings(at=NOW, places={"trust": 6})
        claims = await asyncio.gather(*(each.outbound.claim(6, openings) for each in stores))
        ids = [claim.message_id for each in claims for claim in each]

    assert 6 == len(ids) == len(set(ids))


async def test_a_second_gateway_by_the_same_name_is_refused(url, monkeypatch) -> None:
    """It would take the first one's claims for its own."""
    monkeypatch.setattr("bars_gateway.store.postgresql.database._OLD_SESSION_SECONDS", 0.2)
    async with node(url, "one"):
        with pytest.raises(DatabaseInUse, match="node one"):
            async with node(url, "one"):
                pass


async def test_a_gateway_has_the_database_to_itself(url, monkeypatch) -> None:
    """What it does beside the store, as the platform's rate and folders, it does as if alone."""
    monkeypatch.setattr("bars_gateway.store.postgresql.database._OLD_SESSION_SECONDS", 0.2)
    async with open_server(ServerAddress(url=url, node="one")):
        with pytest.raises(DatabaseInUse, match=r"another gateway .*: bars-gateway one at") as told:
            async with open_server(ServerAddress(url=url, node="two")):
                pass
    assert "store.url" in told.value.advice


@pytest.mark.parametrize("alone", [True, False])
async def test_whoever_has_to_wait_for_the_database_says_at_once_for_whom(
    url, monkeypatch, *, alone: bool
) -> None:
    """Who looks at a start that does not come on need not wait for its end to know why."""
    monkeypatch.setattr("bars_gateway.store.postgresql.database._OLD_SESSION_SECONDS", 0.5)
    address = ServerAddress(url=url, node="one")
    async with open_server(address, alone=alone):
        with capture_logs() as events, pytest.raises(DatabaseInUse) as told:
            async with open_server(address, alone=alone):
                pass

    assert [("store.name_taken", str(told.value), told.value.advice, 0.5)] == [
        (each["event"], each["reason"], each["advice"], each["seconds"]) for each in events
    ]


async def test_a_last_run_that_the_server_still_believes_in_is_waited_for(url) -> None:
    """As after a power cut: the next start says so, and goes on once the server has seen it."""
    address = ServerAddress(url=url, node="one")
    last = psycopg.connect(**address.parameters(), autocommit=True)
    last.execute(NAMED, {"node": ""})
    ends = threading.Timer(0.5, last.close)
    ends.start()
    with capture_logs() as events:
        async with open_server(address) as database:
            await database.write(adding("new"))
    ends.join()

    assert ["store.name_taken"] == [e["event"] for e in events if e["event"] == "store.name_taken"]
    assert ["new"] == await names(url)


async def test_a_server_that_stands_still_is_away(database, monkeypatch) -> None:
    """Whoever comes then hears so at once; who waited already, as soon as it moves again."""
    monkeypatch.setattr("bars_gateway.store.postgresql.database._HANGS_AFTER_SECONDS", 0.2)
    backend = database.sessions["writing"]._raw.info.backend_pid
    os.kill(backend, signal.SIGSTOP)
    try:
        writing = asyncio.create_task(database.write(adding("late")))
        async with asyncio.timeout(10):
            while database.unwritten is None:
                await asyncio.sleep(0.02)
        with pytest.raises(DatabaseAway, match="has not answered"):
            await database.write(adding("behind"))
    finally:
        os.kill(backend, signal.SIGCONT)

    assert "late" == await writing
    assert database.unwritten is None


async def test_an_empty_database_in_its_place_takes_nothing(postgres, url) -> None:
    """There are no tables, and none are made: nothing is stored until the right one is back."""
    name = url.split("/")[3].partition("?")[0]
    async with open_server(ServerAddress(url=url, node="one")) as one:
        await one.write(adding("before"))
        postgres.say(END.format(name))
        postgres.say(f"ALTER DATABASE {name} RENAME TO aside")
        postgres.say(f"CREATE DATABASE {name} TEMPLATE template0")
        with pytest.raises(DatabaseAway, match="not as this gateway left it"):
            await one.write(adding("meanwhile"))
        assert isinstance(one.unwritten, DatabaseAway)
        postgres.drop(url)
        postgres.say(f"ALTER DATABASE aside RENAME TO {name}")
        await one.write(adding("after"))

    assert ["after", "before"] == await names(url)


async def test_who_was_away_writes_nothing_once_a_later_release_has_changed_the_schema(
    postgres, url
) -> None:
    """Cut off for longer than others wait for it, it comes back to what it does not know."""
    name = url.split("/")[3].partition("?")[0]
    async with open_server(ServerAddress(url=url, node="one")) as one:
        await one.write(adding("before"))
        postgres.say(LATER.format(1), name)
        await one.write(adding("still here"))  # by the session that it has: others wait for it
        postgres.say(END.format(name))
        with pytest.raises(DatabaseAway, match="a later release has changed"):
            await one.write(adding("meanwhile"))
        assert isinstance(one.unwritten, DatabaseAway)
        postgres.say(LATER.format(-1), name)

    assert ["before", "still here"] == await names(url)


async def test_an_older_copy_in_its_place_takes_nothing(postgres, url) -> None:
    """A standby that lacks what was promised, or a backup: a person has to know of it first."""
    name = url.split("/")[3].partition("?")[0]
    async with open_server(ServerAddress(url=url, node="one")) as one:
        await one.write(adding("before"))
        postgres.say(END.format(name))
        postgres.say(f"CREATE DATABASE older TEMPLATE {name}")
        await one.write(adding("promised"))
        for said in (END.format(name), f"DROP DATABASE {name} WITH (FORCE)"):
            postgres.say(said)
        postgres.say(f"ALTER DATABASE older RENAME TO {name}")
        with pytest.raises(DatabaseAway, match="lacks what this gateway stored"):
            await one.write(adding("meanwhile"))
        assert isinstance(one.unwritten, DatabaseAway)

    async with open_server(ServerAddress(url=url, node="one")) as one:
        await one.write(adding("after"))
    assert ["after", "before"] == await names(url)


async def test_a_gateway_whose_place_was_taken_promises_nothing(postgres, url, monkeypatch) -> None:
    """Its session was lost, and another one was quicker: it waits as for a server that is away."""
    monkeypatch.setattr("bars_gateway.store.postgresql.database._TAKEN_SECONDS", 0.2)
    async with open_server(ServerAddress(url=url, node="one")) as one:
        await asyncio.to_thread(one.sessions["writing"].drop)
        async with open_server(ServerAddress(url=url, node="two")) as two:
            with pytest.raises(DatabaseAway, match="another gateway"):
                await one.write(adding("one"))
            assert isinstance(one.unwritten, DatabaseAway)
            await two.write(adding("two"))
        async with asyncio.timeout(10):
            while one.unwritten is not None:
                await asyncio.sleep(0.05)

    assert ["two"] == await names(url)


async def test_a_session_that_only_the_server_believes_in_holds_up_nobody(url, monkeypatch) -> None:
    """The way to it was cut without a word: the gateway ends its own old session there."""
    monkeypatch.setattr("bars_gateway.store.postgresql.database._OLD_SESSION_SECONDS", 0.2)
    async with open_server(ServerAddress(url=url, node="one")) as one:
        believed = one.sessions["writing"]._raw
        monkeypatch.setattr(one.sessions["writing"], "_raw", None)
        async with asyncio.timeout(2):
            assert "kept" == await one.write(adding("kept"))
        with pytest.raises(psycopg.OperationalError):
            believed.execute(b"SELECT 1")
        believed.close()

    assert ["kept"] == await names(url)


def test_a_machine_that_is_gone_keeps_the_database_for_seconds() -> None:
    """Its sessions ask that the server look for it: left to itself it takes two hours."""
    options = ServerAddress(url="postgresql://bars@db/bars", node="one").parameters()["options"]
    asked = dict(each.split("=") for each in options.split("-c ") if each)

    looked = [int(asked[f"tcp_keepalives_{name}"]) for name in ("idle", "interval", "count")]
    assert looked[0] + looked[1] * looked[2] <= 10
    assert int(asked["tcp_user_timeout"]) <= 10_000


async def test_another_schema_of_the_same_number_is_refused(postgres, url) -> None:
    """A build that nobody released has made it: what it lacks would show in the middle of work."""
    postgres.say("UPDATE schema_version SET made_by = 1", url.split("/")[3].partition("?")[0])
    with pytest.raises(DatabaseUnfit, match="never released"):
        async with node(url):
            pass


async def test_a_schema_of_a_later_release_is_left_alone(postgres, url) -> None:
    """What it means is not known here."""
    postgres.say("UPDATE schema_version SET number = 99", url.split("/")[3].partition("?")[0])
    with pytest.raises(DatabaseNewer, match="99"):
        async with node(url):
            pass


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        pytest.param({"/d": "/nowhere"}, "has no such database", id="database"),
        pytest.param({"bars@": "nobody@"}, "does not know that user", id="role"),
        pytest.param({"bars@": "bars:secret@"}, "holds a password", id="password"),
    ],
)
async def test_who_cannot_come_in_is_told_why(url, wrong, says) -> None:
    """In words, with what to do; what the server says of it is in nobody's language."""
    for old, new in wrong.items():
        url = (
            url.replace(old, new, 1)
            if old != "/d"
            else f"{url[: url.index('/d')]}/{new[1:]}{url[url.index('?') :]}"
        )
    with pytest.raises(DatabaseUnfit, match=says) as refused:
        async with node(url):
            pass

    assert "secret" not in str(refused.value)


@asynccontextmanager
async def pooled(postgres: PostgresServer, url: str, says: bytes | None) -> AsyncIterator[str]:
    """
    Let the server be reached as PgBouncer lets it be, whose way with `options` is a setting.

    It is an error, in the words of *says*, or else they are left out.
    """

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while some := await reader.read(65536):
                writer.write(some)
                await writer.drain()
        writer.close()
        await writer.wait_closed()

    served: list[asyncio.Task[None]] = []

    async def let_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(cast("asyncio.Task[None]", asyncio.current_task()))
        size, kind = struct.unpack("!II", await reader.readexactly(8))
        while kind != STARTUP:
            writer.write(b"N")  # neither TLS nor Kerberos
            size, kind = struct.unpack("!II", await reader.readexactly(8))
        words = (await reader.readexactly(size - 8)).split(b"\0")
        if says is not None:
            told = b"SFATAL\0C08P01\0M" + says + b"\0\0"
            writer.write(b"E" + struct.pack("!I", len(told) + 4) + told)
            await pour(reader, writer)
            return
        at = words.index(b"options")
        left = b"\0".join(words[:at] + words[at + 2 :])
        ours, theirs = await asyncio.open_unix_connection(postgres.folder / ".s.PGSQL.5432")
        theirs.write(struct.pack("!II", len(left) + 8, kind) + left)
        await asyncio.gather(pour(reader, theirs), pour(ours, writer))

    async with await asyncio.start_server(let_in, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        yield f"postgresql://bars@127.0.0.1:{port}{url[url.index('/d') : url.index('?')]}"
        await asyncio.gather(*served)


@pytest.mark.parametrize(
    "says",
    [
        pytest.param(b"unsupported startup parameter: options", id="1.18"),
        pytest.param(b"unsupported startup parameter in options: jit", id="1.20"),
        pytest.param(None, id="told to ignore them"),
    ],
)
async def test_a_pooler_that_keeps_back_what_a_session_needs_is_told(postgres, url, says) -> None:
    """Without it a commit need not be on the disk, and a lock is waited for without end."""
    async with pooled(postgres, url, says) as behind:
        with pytest.raises(DatabaseUnfit, match="pooler"):
            async with node(behind):
                pass


@pytest.mark.parametrize("state", ["0A000", "53100", "55P03", "XX001"])
def test_what_is_to_be_done_is_done_at_the_server(state: str) -> None:
    """Nobody is sent to look for a file that there is not, or to put one back."""
    error = translated(psycopg.errors.lookup(state)("it says so"))

    assert isinstance(error, StoreError)
    assert [] == [word for word in ("store.path", "fuser", "FILE") if word in error.advice]


@pytest.mark.parametrize("state", ["08006", "25P03", "25P04", "57P01", "57P05"])
async def test_whatever_the_server_ends_a_session_for_it_is_away(database, url, state) -> None:
    """By its own settings, too, as from version 17 on for a transaction that is too long."""
    ended = [state]

    def add(connection: PostgresConnection) -> str:
        if ended:
            code = ended.pop()
            connection.say(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$")
        return adding("stored")(connection)

    await database.write(add)

    assert ["stored"] == await names(url)


async def test_a_database_that_is_not_utf8_is_refused(postgres) -> None:
    """A name with an accent would be kept as something else, or not at all."""
    postgres.say("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    with pytest.raises(DatabaseUnfit, match="LATIN1"):
        async with node(postgres.url("latin")):
            pass
    postgres.say("DROP DATABASE latin WITH (FORCE)")


async def test_a_server_that_goes_and_comes_back_is_found_again() -> None:
    """Meanwhile nothing is promised; and what was, is there."""
    with postgres_server({}) as server:
        url = server.ready()
        async with node(url) as database:
            await database.write(adding("before"))
            server.stop(signal.SIGQUIT)  # as by a power cut
            with pytest.raises(DatabaseAway):
                await database.write(adding("meanwhile"))
            with pytest.raises(DatabaseAway):
                await database.read(lambda c: c.one("newest_event"))
            assert isinstance(database.unwritten, DatabaseAway)

            server.start()
            async with asyncio.timeout(10):
                while database.unwritten is not None:
                    await asyncio.sleep(0.05)
            await database.write(adding("after"))

        assert ["after", "before"] == await names(url)


async def test_a_commit_that_cannot_be_looked_for_is_told_as_unknown(monkeypatch) -> None:
    """Whoever waits is not kept waiting for as long as the server is away."""
    monkeypatch.setattr(transactions, "UNKNOWN_SECONDS", 0.5)
    with postgres_server() as server:
        url = server.ready()
        async with node(url) as database:
            say = transactions.say

            def stopping(raw: Raw, sql: str) -> None:
                if sql == "COMMIT" and _is_writing(raw):
                    server.stop(signal.SIGQUIT)
                say(raw, sql)

            monkeypatch.setattr(transactions, "say", stopping)
            with pytest.raises(OutcomeUnknown):
                await database.write(adding("who knows"))


class Wires:
    """The sessions of a gateway that writes, to be cut."""

    def __init__(self, *nodes: PostgresDatabase) -> None:
        self._nodes = nodes

    def cut(self, rng: random.Random) -> None:
        """Cut one, wherever it is: in a statement, in a COMMIT, or in nothing."""
        raw = rng.choice(self._nodes).sessions["writing"]._raw
        if raw is None:
            return
        with (
            contextlib.suppress(psycopg.Error, OSError),
            socket.socket(fileno=os.dup(raw.pgconn.socket)) as wire,
        ):
            wire.shutdown(socket.SHUT_RDWR)


async def insist(work: Callable[[], Awaitable[object]]) -> None:
    """Do it again for as long as nobody says that it is done, as a Sender does."""
    while True:
        try:
            await work()
        except StoreUnavailable:
            await asyncio.sleep(0.05)
        else:
            return


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.long
async def test_what_was_promised_is_there_once(seed: int) -> None:
    """Two nodes, a server that is stopped as by a power cut, sessions that are cut anywhere."""
    rng = random.Random(seed)
    with postgres_server({}) as server:
        url = server.ready()
        async with node(url, "one") as one, node(url, "two") as two:
            stores = [Store(one, node="one"), Store(two, node="two")]
            over = asyncio.Event()
            arrivals = [arrival() for _ in range(60)]
            async with asyncio.TaskGroup() as group:
                ending = group.create_task(_trouble(server, Wires(one, two), rng, over))
                async with asyncio.TaskGroup() as senders:
                    for number, each in enumerate(arrivals):
                        for store in rng.sample(stores, rng.randint(1, 2)):
                            receive = partial(store.inbound.receive, each, NOW)
                            senders.create_task(_later(number / 15, receive))
                over.set()
                cuts, stops = await ending
            walked = await one.read(chain.walked)
            ids = await one.read(_request_ids)

    print(f"seed {seed}: {cuts} sessions cut, the server stopped {stops} times")
    assert sorted(each.request_id for each in arrivals) == sorted(ids)
    assert [] == walked.breaches


async def _later(seconds: float, work: Callable[[], Awaitable[object]]) -> None:
    await asyncio.sleep(seconds)
    await insist(work)


def _request_ids(connection: PostgresConnection) -> list[str]:
    rows = connection.raw.execute(b"SELECT request_id FROM messages").fetchall()
    return [row["request_id"] for row in rows]


async def _trouble(
    server: PostgresServer, wires: Wires, rng: random.Random, over: asyncio.Event
) -> tuple[int, int]:
    cuts = stops = 0
    while not over.is_set():
        await asyncio.sleep(rng.uniform(0.02, 0.2))
        if cuts % 8 == 7 and stops < 3:
            await asyncio.to_thread(server.stop, signal.SIGQUIT)
            await asyncio.to_thread(server.start)
            stops += 1
        wires.cut(rng)
        cuts += 1
    return cuts, stops


def test_nobody_loads_the_driver_whose_database_is_a_file() -> None:
    """It costs memory and time at each start."""
    program = (
        "import sys; import bars_gateway.daemon.gateway, bars_gateway.cli.main;"
        " print([name for name in sys.modules if 'psycopg' in name or 'postgresql' in name])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert "[]" == ran.stdout.strip()


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig"])
def test_a_password_may_have_been_written_on_windows(tmp_path, coding) -> None:
    """Neither the end of its line nor a mark before it is part of it."""
    file = tmp_path / "password"
    file.write_text("sesame\r\n", coding, newline="")
    address = ServerAddress(url="postgresql://bars@localhost/bars", node="one", password_file=file)

    assert "sesame" == address.parameters()["password"]
