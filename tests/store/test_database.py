"""What the database promises beneath the store."""

import asyncio
import fcntl
import math
import os
import random
import re
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import aiosqlite
import pytest
from epr_side import eventually
from store_values import NOW, arrival, payload, submission
from structlog.testing import capture_logs

from bars_gateway import store
from bars_gateway.errors import (
    DatabaseDamaged,
    DatabaseHeld,
    DatabaseInUse,
    DatabaseNewer,
    DatabaseUnfit,
    StorageFull,
    StoreError,
    StoreUnavailable,
)
from bars_gateway.store import sqlite
from bars_gateway.store.connection import LOOKING
from bars_gateway.store.sqlite import SqliteConnection, checkpoints, translated
from bars_gateway.store.sqlite.database import SqliteDatabase, open_database
from bars_gateway.store.sqlite.integrity import examine
from bars_gateway.store.statements import SQLITE, statements_of
from bars_gateway.store.store import Store

pytestmark = pytest.mark.of_sqlite
STORE = Path(store.__file__).parent


async def test_works_that_wait_together_share_a_commit(database: SqliteDatabase) -> None:
    """Fifty writes at once need far fewer commits than fifty."""
    commits = 0

    def count(_connection: SqliteConnection) -> None:
        _connection.raw.execute("INSERT INTO events (at, kind) VALUES ('now', 'test')")

    def data_version(connection: SqliteConnection) -> int:
        (version,) = connection.raw.execute("PRAGMA data_version").fetchone()
        return int(version)

    async def watch() -> int:
        seen = set()
        while not writes.done():
            seen.add(await database.read(data_version))
            await asyncio.sleep(0)
        return len(seen)

    async with asyncio.TaskGroup() as group:
        writes = asyncio.gather(*(database.write(count) for _ in range(50)))
        versions = group.create_task(watch())
        await writes
    commits = versions.result()

    assert commits < 50


async def test_a_reader_cannot_write(database: SqliteDatabase) -> None:
    """The connection for reading refuses every change."""
    with pytest.raises(StoreError, match="readonly"):
        await database.read(lambda connection: connection.raw.execute("DELETE FROM events"))


async def test_a_commit_is_synced_and_logged_ahead(database: SqliteDatabase) -> None:
    """WAL and FULL, whatever the defaults of the library are."""

    def settings(connection: SqliteConnection) -> tuple[str, int, int]:
        return (
            connection.raw.execute("PRAGMA journal_mode").fetchone()[0],
            connection.raw.execute("PRAGMA synchronous").fetchone()[0],
            connection.raw.execute("PRAGMA foreign_keys").fetchone()[0],
        )

    assert ("wal", 2, 1) == await database.write(settings)


async def test_a_full_disk_fails_the_whole_group(tmp_path: Path) -> None:
    """When the transaction is lost in the middle, every caller hears it, and nothing is stored."""
    async with open_database(tmp_path / "gateway.db") as database:
        store = Store(database, node="here")
        await database.write(
            lambda connection: connection.raw.execute("PRAGMA max_page_count = 60").fetchone()
        )
        outcomes = await asyncio.gather(
            *(store.outbound.submit(submission(body=os.urandom(100_000)), NOW) for _ in range(8)),
            return_exceptions=True,
        )
        stored = (await store.overview(NOW)).outbound

        accepted = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
        assert any(isinstance(outcome, StorageFull) for outcome in outcomes)
        assert len(accepted) == sum(stored.values())


async def test_little_free_space_stops_intake(database: SqliteDatabase) -> None:
    """The guard speaks before the disk is full."""
    store = Store(database, node="here", minimum_free_bytes=1 << 60)
    with pytest.raises(StorageFull):
        await store.outbound.submit(submission(), NOW)


async def test_a_disk_that_fills_up_stops_intake_within_a_moment(database: SqliteDatabase) -> None:
    """How much room there is need not be asked for each message, and is asked again and again."""
    store = Store(database, node="here")
    await store.outbound.submit(submission(), NOW)
    store._shared.minimum_free_bytes = 1 << 62

    async def submit_on() -> None:
        while True:
            await store.outbound.submit(submission(), NOW)

    with pytest.raises(StorageFull):
        await asyncio.wait_for(submit_on(), timeout=30)


@contextmanager
def held(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_a_start_names_the_cure_of_a_held_database(tmp_path: Path) -> None:
    """It is another program, and not the disk, that somebody has to look for."""
    path = tmp_path / "gateway.db"
    async with open_database(path):
        pass
    with held(path), pytest.raises(DatabaseHeld, match="another program holds") as refused:
        async with open_database(path, busy_seconds=0.01):
            pass

    assert "fuser -v" in refused.value.advice


async def test_what_held_the_database_is_over_with_the_next_write(tmp_path: Path) -> None:
    """Unlike a full disk, which may take what is small: nobody waits whether it comes back."""
    async with open_database(tmp_path / "gateway.db", busy_seconds=0.01) as database:
        store = Store(database, node="here")
        with held(database.path), pytest.raises(DatabaseHeld):
            await store.outbound.submit(submission(), NOW)
        meanwhile = store.unavailable()
        await store.outbound.submit(submission(), NOW)

        assert isinstance(meanwhile, DatabaseHeld)
        assert store.unavailable() is None


@pytest.mark.parametrize("in_its_place", [None, b"another"])
async def test_nothing_is_written_to_a_file_that_was_taken_away(
    tmp_path: Path, in_its_place: bytes | None
) -> None:
    """SQLite would write on, and lose it with the next stop; once the file is back, all goes on."""
    async with open_database(tmp_path / "gateway.db") as database:
        store = Store(database, node="here")
        database.path.rename(tmp_path / "away")
        if in_its_place:
            database.path.write_bytes(in_its_place)
        with pytest.raises(StoreUnavailable, match="out of reach"):
            await store.outbound.submit(submission(), NOW)
        with pytest.raises(StoreUnavailable, match="out of reach"):
            await store.inbound.receive(arrival(), NOW)
        told = store.unavailable()
        with pytest.raises(StoreUnavailable, match="out of reach"):
            await store.overview(NOW)
        (tmp_path / "away").rename(database.path)
        await store.outbound.submit(submission(), NOW)

        assert told is not None
        assert str(database.path) in str(told)
        assert "Move that very file back" in told.advice
        assert 1 == (await store.overview(NOW)).outbound["queued"]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_FULL, StorageFull),
        (sqlite3.SQLITE_IOERR_WRITE, StorageFull),
        (sqlite3.SQLITE_IOERR_READ, StoreUnavailable),
        (sqlite3.SQLITE_BUSY, DatabaseHeld),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, DatabaseHeld),
        (sqlite3.SQLITE_CANTOPEN, StoreUnavailable),
        (sqlite3.SQLITE_READONLY_DBMOVED, StoreUnavailable),
        (sqlite3.SQLITE_LOCKED, StoreError),
        (sqlite3.SQLITE_CORRUPT, DatabaseDamaged),
    ],
)
def test_only_what_is_of_the_whole_database_is_waited_for(
    code: int, expected: type[StoreError]
) -> None:
    """A message is set aside for the rest; for the trouble of all, none is."""
    error = sqlite3.OperationalError("so SQLite says")
    error.sqlite_errorcode = code

    assert expected is type(translated(error))


@pytest.mark.parametrize("reads", [True, False], ids=["read", "write"])
async def test_what_a_disk_does_not_give_back_is_waited_for(tmp_path: Path, *, reads: bool) -> None:
    """SQLite ends the transaction by itself then; it is nobody's fault, and no message is held."""
    path, log = tmp_path / "gateway.db", tmp_path / "gateway.db-wal"

    def bodies(connection: SqliteConnection) -> int:
        return len(connection.rows("requests_of", ids="[1]"))

    async with open_database(path) as database:
        look = database.read if reads else database.write
        with closing(sqlite3.connect(path)) as beside:  # what it writes, nobody here has read
            beside.execute("PRAGMA wal_autocheckpoint = 0")
            before = await look(bodies)
            beside.execute(
                "INSERT INTO payloads VALUES"
                " (1, 'request', 'json', '{}', 'identity', randomblob(400000), '')"
            )
            beside.commit()
            whole = log.read_bytes()
            os.truncate(log, len(whole) - 200_000)
            with pytest.raises(StoreUnavailable) as told:
                await look(bodies)
            log.write_bytes(whole)
            after = await look(bodies)

    assert "the database could not be read: disk I/O error" == str(told.value)
    assert (0, 1) == (before, after)


async def test_a_lock_whose_file_was_removed_keeps_a_second_gateway_away_again(
    tmp_path: Path,
) -> None:
    """Made anew at the next look, with what it says; and the log tells of whoever removes it."""
    path, lock = tmp_path / "gateway.db", tmp_path / "gateway.db.lock"
    with capture_logs() as logged:
        async with open_database(path, look_seconds=0.01):
            said = lock.read_bytes()
            lock.unlink()
            await eventually(lambda: lock.exists() and lock.read_bytes() == said)
            with pytest.raises(DatabaseInUse):
                async with open_database(path):
                    pass

    assert [("lock.taken_anew", str(lock))] == [
        (each["event"], each["path"]) for each in logged if each["log_level"] == "error"
    ]


async def test_a_lock_that_another_gateway_has_meanwhile_ends_this_one(tmp_path: Path) -> None:
    """Two that claim from one queue would send each message twice; and no stop is marked."""
    path, lock = tmp_path / "gateway.db", tmp_path / "gateway.db.lock"

    async def run() -> None:
        async with open_database(path, look_seconds=0.01):
            (tmp_path / "theirs").rename(lock)
            await asyncio.Event().wait()

    with (tmp_path / "theirs").open("w") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        with pytest.raises(DatabaseInUse) as ended:
            await run()

    assert "removed while this gateway ran" in ended.value.advice


async def test_a_second_gateway_is_refused(tmp_path: Path) -> None:
    """One database, one gateway."""
    async with open_database(tmp_path / "gateway.db"):
        with pytest.raises(DatabaseInUse):
            async with open_database(tmp_path / "gateway.db"):
                pass


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """A later release's database is not guessed at."""
    path = tmp_path / "gateway.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(DatabaseNewer):
        async with open_database(path):
            pass


async def test_another_schema_of_the_same_number_is_refused(tmp_path: Path) -> None:
    """A build that nobody released has made it: what it lacks would show in the middle of work."""
    path = tmp_path / "gateway.db"
    async with open_database(path):
        pass
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA application_id = 1")
    with pytest.raises(DatabaseUnfit, match="never released"):
        async with open_database(path):
            pass
    assert ["it was made by a build that was never released: its schema is another one"] == [
        *examine(path).problems
    ]


async def test_a_sqlite_that_is_too_old_is_refused(monkeypatch, tmp_path: Path) -> None:
    """Before anything is made or read: its statements would fail in the middle of work."""
    path = tmp_path / "gateway.db"
    monkeypatch.setattr(sqlite, "VERSION", (3, 38, 5))
    refused = []
    for opened in (open_database(path), sqlite.open_reader(path)):
        with pytest.raises(DatabaseUnfit, match=r"SQLite 3\.38\.5, which is too old") as found:
            async with opened:
                pass
        refused.append(found.value.advice)
    monkeypatch.setattr(sqlite, "VERSION", sqlite.OLDEST)
    async with open_database(path):
        pass

    assert ["Take a Python with SQLite 3.39.0 or later: Debian 12 has one."] * 2 == refused


async def test_a_damaged_file_is_left_as_it_is(tmp_path: Path) -> None:
    """It is neither replaced nor repaired: every duplicate would be new again."""
    path = tmp_path / "gateway.db"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(DatabaseDamaged):
        async with open_database(path):
            pass

    assert b"this is no database" * 100 == path.read_bytes()


async def test_what_was_written_is_there_after_reopening(tmp_path: Path) -> None:
    """A closed database keeps what its callers were told."""
    async with open_database(tmp_path / "gateway.db") as database:
        first = await Store(database, node="here").outbound.submit(submission(body=b"a"), NOW)
    async with open_database(tmp_path / "gateway.db") as database:
        second = await Store(database, node="here").outbound.submit(submission(body=b"a"), NOW)

    assert first == second


async def test_a_caller_that_is_cancelled_does_not_disturb_its_group(
    database: SqliteDatabase,
) -> None:
    """Fates are told to those who still wait."""
    store = Store(database, node="here")
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(store.outbound.submit(submission(), NOW)) for _ in range(10)]
        await asyncio.sleep(0)
        tasks[3].cancel()

    assert 9 == sum(not task.cancelled() for task in tasks)


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_defect_in_one_work_is_its_callers_alone(
    database: SqliteDatabase, place: int
) -> None:
    """A message that trips a line of ours may not take the gateway, or its neighbours, with it."""

    def stumble(connection: SqliteConnection) -> None:
        connection.raw.execute("INSERT INTO events (at, kind) VALUES ('now', 'half')")
        raise KeyError("focus")

    def good(connection: SqliteConnection) -> None:
        connection.raw.execute("INSERT INTO events (at, kind) VALUES ('now', 'whole')")

    works = [good, good]
    works.insert(place, stumble)
    fates = await asyncio.gather(*map(database.write, works), return_exceptions=True)
    kept = await database.read(lambda c: c.raw.execute("SELECT kind FROM events").fetchall())

    assert KeyError is type(fates.pop(place))
    assert [None, None] == fates
    assert ["whole", "whole"] == [row["kind"] for row in kept]


async def test_a_closed_database_says_so(tmp_path: Path) -> None:
    """A late write is refused, not left waiting."""
    async with open_database(tmp_path / "gateway.db") as database:
        pass
    with pytest.raises(StoreError):
        await database.write(lambda connection: None)


@pytest.mark.parametrize("change", ["UPDATE events SET kind = 'x'", "DELETE FROM events"])
async def test_the_audit_trail_cannot_be_changed(database: SqliteDatabase, change: str) -> None:
    """Events are append-only, by trigger: what the gateway does by mistake, it does not do."""
    await Store(database, node="here").outbound.submit(submission(), NOW)
    with pytest.raises(StoreError, match="append-only"):
        await database.write(lambda connection: connection.raw.execute(change))


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Return by which steps SQLite would do each statement, in a new database."""

    async def explained() -> dict[str, list[str]]:
        async with open_database(tmp_path_factory.mktemp("plans") / "gateway.db") as database:
            return await database.write(
                lambda connection: {
                    name: _explained(sql, connection) for name, sql in statements_of(SQLITE).items()
                }
            )

    return asyncio.run(explained())


@pytest.mark.parametrize("name", sorted(statements_of(SQLITE)))
def test_no_statement_walks_a_whole_table(plans: dict[str, list[str]], name: str) -> None:
    """Every statement finds its rows through an index, or in the order that it lists them."""
    sql = statements_of(SQLITE)[name]

    assert [] == [step for step in plans[name] if _walks(step, sql) and name not in WALKS]


async def test_no_statement_walks_a_table_whose_statistics_are_known(tmp_path: Path) -> None:
    """Nor where somebody has had the database analysed, with much of it stored and queued."""
    statistics = Path(__file__).with_name("statistics_of_a_full_database.tsv").read_text("utf-8")
    async with open_database(tmp_path / "gateway.db") as database:
        await database.write(lambda connection: connection.raw.execute("ANALYZE").rowcount)
        rows = [line.split("\t") for line in statistics.splitlines()]
        await database.write(lambda connection: connection.raw.execute(_EMPTY).rowcount)
        learn = "INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, nullif(?, ''), ?)"
        await database.write(lambda connection: connection.raw.executemany(learn, rows).rowcount)
    walks = []
    async with open_database(tmp_path / "gateway.db") as database:
        for name, sql in statements_of(SQLITE).items():
            plan = await database.write(partial(_explained, sql))
            walks += [f"{name}: {step}" for step in plan if _walks(step, sql) and name not in WALKS]

    assert [] == walks


# Of an index that holds only what is open, or rare, ANALYZE of a newer SQLite, as Debian 13 has it,
# also tells that it was empty; and the planner takes it to stay so.
_EMPTY = """
INSERT INTO sqlite_stat1 (tbl, idx, stat)
SELECT tbl_name, name, '0 0' FROM sqlite_schema WHERE type = 'index' AND sql LIKE '%WHERE %'
"""


def _explained(sql: str, connection: SqliteConnection) -> list[str]:
    names = dict.fromkeys(_parameters(sql))
    return [row["detail"] for row in connection.raw.execute(f"EXPLAIN QUERY PLAN {sql}", names)]


def test_each_statement_that_may_walk_an_index_is_there() -> None:
    """Whoever has mended one strikes it off the list."""
    assert [] == [name for name in WALKS if name not in statements_of(SQLITE)]


async def test_a_message_writes_few_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row of an index is a page in the log, and another in the file: 200 kB are enough."""
    monkeypatch.setattr(checkpoints, "SOON", math.inf)
    body = random.Random(1).randbytes(3000)  # as much as 13 kB come to, compressed
    async with open_database(tmp_path / "gateway.db") as database:
        store, log = Store(database, node="here"), tmp_path / "gateway.db-wal"
        await store.inbound.receive(arrival(), NOW)
        before = log.stat().st_size
        taken = arrival(body=body, request=payload(body))
        await store.inbound.receive(taken, NOW)

        assert 0 < log.stat().st_size - before <= 200_000


def test_each_statement_has_a_sentence_and_somebody_who_says_it() -> None:
    """No other has its name, none is left over, and each file of them lies beside a module."""
    wrong = []
    seen: list[str] = []
    for beside in sorted(STORE.glob("*.sql")):
        blocks = re.split(r"^-- name: (\w+)$", beside.read_text("utf-8"), flags=re.MULTILINE)
        seen += blocks[1::2]
        for name, block in zip(blocks[1::2], blocks[2::2], strict=True):
            said = re.match(r"\s*-- \S.*?[.?:]\s*$\n(?!--)", block, re.MULTILINE | re.DOTALL)
            wrong += [] if said else [f"{beside.name}: {name} has no sentence"]
    said_somewhere = " ".join(path.read_text("utf-8") for path in STORE.glob("*.py"))
    wrong += [f"{name} is said by nobody" for name in seen if f'"{name}"' not in said_somewhere]
    wrong += [f"{name} twice" for name, times in Counter(seen).items() if times > 1]
    wrong += [str(p) for p in STORE.glob("*.sql") if not p.with_suffix(".py").exists()]

    assert [] == wrong


# What walks an index from end to end, and of how much that is. It never grows with what is stored.
WALKS = {
    "begin_notices_again": "what was kept back from an EPR, at a start: each has an alarm",
    "count_as_tried": "what is open: after a restore, before a gateway starts",
    "count_alarms": "alarms that stand: what a person has to see",
    "count_quarantined": "what lies in quarantine, for a person to attach",
    "count_questions": "questions that an EPR has to answer within seconds",
    "guards": "the schema, when the audit trail was walked to its end",
    "linked_with": "what is linked to one workflow: it is followed from each to the next",
    "known_until": "the trail, once: after another program has put the database back",
    "lines_given": "one row for each table that counts",
    "notices_uncollected": "what is owed: after a restore",
    "open_alerts": "alerts that stand: one for each code and place",
    "open_at_restore": "what is open: after a restore",
    "questions_put": "what EPRs have to answer: after a restore",
    "waiting_for_receivers": "what is open: for the overview, where something holds it up",
}


def _walks(step: str, sql: str) -> bool:
    """Tell whether a step meets rows in the number of what is stored."""
    return _leads_nowhere(step) or (step.startswith("SCAN") and not _bounded(step, sql))


def _leads_nowhere(step: str) -> bool:
    """Tell whether an index of a whole table is entered by what is the same in much of it."""
    found = re.fullmatch(r"SEARCH \w+ USING (?:COVERING )?INDEX (\w+) \((.+)\)", step)
    if found is None or f" {found[1]} " in PARTIAL:
        return False
    return {"provider=?", "direction=?", "role=?"} >= set(found[2].split(" AND "))


# The indexes that hold only what is open, or rare.
PARTIAL = "".join(
    re.findall(
        r"CREATE (?:UNIQUE )?INDEX( +\w+ )[^;]*\bWHERE\b",
        (STORE / "migrations" / "0001.sql").read_text("utf-8"),
    )
)


def _bounded(step: str, sql: str) -> bool:
    # One row for each Receiver for which something waits; or for each time that it was sent again.
    # One row for each message that an index is known to lack: none, in all but the worst of hours.
    # One row for each Receiver or provider of whom nothing comes, or for which there is a pause.
    # One row, or none: what is owed of one workflow.
    # One row for each service at the other side; as many as one conversation has workflows.
    # One row that is of no table, or one for each of two parts of a message.
    # No more rows for each Receiver than may be in flight to it.
    # The one row of how everything is encrypted; one for each key that ever encrypted.
    few = {"waiting", "line", "unindexed", "breaks", "owed", "receivers", "senders", "talk"}
    few |= {"encryption", "keyring"}
    few |= {"CONSTANT ROW", "2 CONSTANT ROWS", "2-ROW VALUES CLAUSE"}
    few |= {"due", "pauses", "queues", "ours"}
    scanned = step.removesuffix(" EXISTS")  # until there is one: so newer versions say it
    of_few = scanned in {f"SCAN {name}" for name in few} or step.startswith("SCAN (subquery-")
    return of_few or any(("json_each" in step, "VIRTUAL TABLE" in step, "LIMIT :limit" in sql))


def _parameters(sql: str) -> set[str]:
    words = sql.replace("(", " ").replace(")", " ").replace(",", " ").replace(";", " ").split()
    return {word.removeprefix(":") for word in words if word.startswith(":")}


def test_the_writer_rests_on_what_aiosqlite_has() -> None:
    """The one private method that the writer needs is there: the version is pinned for it."""
    assert callable(aiosqlite.Connection._execute)


@pytest.mark.parametrize("name", ["claimable", "next_due"])
async def test_what_is_due_is_found_by_its_time(database: SqliteDatabase, name: str) -> None:
    """A claim must not cost more with every message that was ever stored."""
    sql = statements_of(SQLITE)[name]
    names = dict.fromkeys(_parameters(sql))
    plan = await database.write(
        lambda connection: [
            row["detail"] for row in connection.raw.execute(f"EXPLAIN QUERY PLAN {sql}", names)
        ]
    )

    index = {"claimable": "messages_waiting", "next_due": "messages_due"}[name]
    assert any(index in step for step in plan)
    assert [] == [step for step in plan if "messages_bundle" in step]


async def test_nobody_waits_behind_a_page(database: SqliteDatabase) -> None:
    """While a page reads, and for as long as it likes, messages and EPRs read as ever."""
    reading, read = threading.Event(), threading.Event()

    def page(connection: SqliteConnection) -> bool:
        reading.set()
        return read.wait(timeout=60)

    async def look() -> bool:
        LOOKING.set(True)
        return await database.read(page)

    async with asyncio.TaskGroup() as group:
        looked = group.create_task(look())
        await asyncio.to_thread(reading.wait)
        found = await database.read(lambda connection: connection.one("newest_message"))
        beside = not looked.done()
        read.set()

    assert (None, True, True) == (found, beside, looked.result())
