"""The write-ahead log goes into the file: by the writer alone, soon, and at nobody's cost."""

import asyncio
import resource
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from disks import fill, only_root, small_disk
from structlog.testing import capture_logs

from bars_gateway.errors import StorageFull
from bars_gateway.store.sqlite import SqliteConnection, checkpoints, open_reader
from bars_gateway.store.sqlite.checkpoints import (
    AT_LATEST,
    IDLE,
    KEPT_BYTES,
    SELDOM,
    SOON,
    STUCK_BYTES,
    STUCK_SECONDS,
    Checkpoint,
    LogWatch,
    Schedule,
)
from bars_gateway.store.sqlite.database import SqliteDatabase, open_database

pytestmark = pytest.mark.of_sqlite
COMPLETE = Checkpoint(complete=True)
EMPTIED = Checkpoint(complete=True, emptied=True)
IN_PART = Checkpoint(complete=False)
STUCK = Checkpoint(complete=False, stuck_bytes=STUCK_BYTES)


@pytest.mark.parametrize(
    ("ended", "seconds", "told"),
    [
        pytest.param([STUCK], STUCK_SECONDS, True, id="stuck-for-long"),
        pytest.param([STUCK], STUCK_SECONDS - 1, False, id="stuck-for-a-while"),
        pytest.param([STUCK, COMPLETE], STUCK_SECONDS, False, id="over"),
        pytest.param(
            [Checkpoint(complete=False, stuck_bytes=STUCK_BYTES - 1)],
            STUCK_SECONDS,
            False,
            id="short",
        ),
        pytest.param(
            [Checkpoint(complete=False, reason="disk I/O error")], 99.0, False, id="failed"
        ),
    ],
)
def test_a_reader_that_does_not_end_is_told(
    ended: list[Checkpoint],
    seconds: float,
    told: bool,  # noqa: FBT001
) -> None:
    """Where the log has grown by it: a person has to find that program."""
    holding = LogWatch()
    for each in ended:
        holding.ended(each, 100.0)

    assert told is (holding.at(100.0 + seconds) is not None)


def test_none_is_due_before_anything_was_committed() -> None:
    """An idle gateway leaves its disk alone."""
    assert Schedule().seconds_left(100.0) is None


def test_one_is_due_soon_after_a_commit() -> None:
    """Where nobody waits for the writer."""
    schedule = Schedule()
    schedule.committed(100.0)

    assert SOON == schedule.seconds_left(100.0)
    assert schedule.is_due(100.0 + SOON, waiting=False)


def test_whoever_waits_goes_first_and_not_for_ever() -> None:
    """Under load it is put off, to a limit that keeps the log small."""
    schedule = Schedule()
    schedule.committed(100.0)

    assert not schedule.is_due(100.0 + SOON, waiting=True)
    assert schedule.is_due(100.0 + AT_LATEST, waiting=True)


def test_none_is_due_after_a_complete_one() -> None:
    """Until something is committed again."""
    schedule = Schedule()
    schedule.committed(100.0)
    schedule.ended(COMPLETE, 101.0)

    assert not schedule.is_due(1000.0, waiting=False)


@pytest.mark.parametrize(
    ("then", "now", "idle"),
    [
        pytest.param([], 101.0 + IDLE, True, id="nothing-since"),
        pytest.param([], 100.0 + IDLE, False, id="not-yet"),
        pytest.param([Schedule.committed], 101.0 + IDLE, False, id="committed-again"),
        pytest.param(
            [lambda schedule, now: schedule.ended(EMPTIED, now)], 999.0, False, id="emptied"
        ),
    ],
)
def test_an_idle_gateway_empties_its_log(
    then: list[Callable[[Schedule, float], None]],
    now: float,
    idle: bool,  # noqa: FBT001
) -> None:
    """Once, some seconds after its last commit."""
    schedule = Schedule()
    schedule.committed(100.0)
    schedule.ended(COMPLETE, 101.0)
    for each in then:
        each(schedule, 102.0)

    assert idle is schedule.is_idle(now)
    assert not idle or 0.0 == schedule.seconds_left(now)


def test_one_that_cannot_end_is_tried_ever_more_seldom() -> None:
    """A reader that holds on to old pages costs a try every few seconds, and no more."""
    schedule = Schedule()
    schedule.committed(100.0)
    pauses = []
    for _ in range(7):
        schedule.ended(IN_PART, 200.0)
        pauses.append(schedule.seconds_left(200.0))

    assert [0.5, 1.0, 2.0, 4.0, SELDOM, SELDOM, SELDOM] == pauses


def _noted(path: Path) -> int:
    """Count the events in the file at *path* alone, as if its log were lost."""
    bare = path.with_suffix(".bare")
    shutil.copyfile(path, bare)
    with closing(sqlite3.connect(f"{bare.as_uri()}?immutable=1", uri=True)) as connection:
        try:
            (count,) = connection.execute("SELECT count(*) FROM events").fetchone()
        except sqlite3.DatabaseError:  # it is still in the log, or was copied while it is moved
            return 0
    return int(count)


def _note(connection: SqliteConnection, size: int = 1) -> None:
    connection.raw.execute(
        "INSERT INTO events (at, kind, detail) VALUES ('now', 'test', ?)", ["x" * size]
    )


async def _until(path: Path, count: int) -> None:
    async with asyncio.timeout(10):
        while _noted(path) != count:
            await asyncio.sleep(0.02)


async def test_what_is_committed_is_soon_in_the_file(database: SqliteDatabase) -> None:
    """Without anybody asking for it."""
    await database.write(_note)

    await _until(database.path, 1)


async def test_a_reader_that_closes_last_moves_nothing(
    database: SqliteDatabase, tmp_path: Path
) -> None:
    """SQLite lets the last connection that closes do it, which is safe for the writer alone."""
    await database.write(_note)
    left = tmp_path / "left"
    left.mkdir()
    for name in ("gateway.db", "gateway.db-wal"):  # as a kill leaves them
        shutil.copyfile(tmp_path / name, left / name)
    before = (left / "gateway.db").read_bytes()
    async with open_reader(left / "gateway.db") as reader:
        cursor = await reader.execute("SELECT count(*) FROM events")
        seen = await cursor.fetchone()

    assert seen is not None
    assert 1 == seen[0]
    assert before == (left / "gateway.db").read_bytes()


@contextmanager
def _old_pages(path: Path) -> Iterator[None]:
    """Hold on to what is there now."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        connection.isolation_level = None
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM events").fetchone()
        yield


async def test_the_log_gives_its_room_back(database: SqliteDatabase) -> None:
    """A reader lets it grow, as a backup does; once that has gone, the disk gets it back."""
    log = database.path.with_name(f"{database.path.name}-wal")
    await database.write(_note)
    with _old_pages(database.path):
        for _ in range(3):
            await database.write(lambda connection: _note(connection, 8_000_000))
        grown = log.stat().st_size
    async with asyncio.timeout(20):
        while log.stat().st_size > KEPT_BYTES:
            await asyncio.sleep(0.05)

    assert grown > KEPT_BYTES


async def test_nothing_of_an_idle_log_stays_on_the_disk(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that looks at it puts that off, and what is committed then goes into it again."""
    monkeypatch.setattr(checkpoints, "IDLE", 0.05)
    log = database.path.with_name(f"{database.path.name}-wal")
    await database.write(_note)
    with _old_pages(database.path):
        await database.write(_note)
        kept = log.stat().st_size
    async with asyncio.timeout(20):
        while log.stat().st_size:
            await asyncio.sleep(0.01)
    await database.write(_note)
    again = log.stat().st_size

    assert kept
    assert again
    await _until(database.path, 3)


async def test_work_that_changes_nothing_leaves_the_log_alone(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each second some have nothing to do: an idle gateway's log is emptied all the same."""
    monkeypatch.setattr(checkpoints, "IDLE", 0.05)
    log = database.path.with_name(f"{database.path.name}-wal")
    await database.write(_note)
    async with asyncio.timeout(20):
        while log.stat().st_size:
            await database.write(lambda connection: connection.raw.execute("DELETE FROM calls"))
            await asyncio.sleep(0.02)  # a log is emptied where nobody waits for the writer

    assert not log.stat().st_size


async def _write_for_ever(database: SqliteDatabase) -> None:
    while True:
        await database.write(lambda connection: _note(connection, 300_000))


@pytest.mark.needs("mount")
@only_root
async def test_a_full_disk_ends_no_writer(tmp_path: Path) -> None:
    """A checkpoint that finds no room is said once, and done when there is room again."""
    with small_disk(tmp_path / "disk", "8m") as disk, capture_logs() as logs:
        async with open_database(disk / "gateway.db") as database:
            await database.write(lambda connection: _note(connection, 300_000))
            ballast = fill(disk)
            with pytest.raises(StorageFull):
                await _write_for_ever(database)
            async with asyncio.timeout(10):
                while not any(line["event"] == "store.checkpoint_failed" for line in logs):
                    await asyncio.sleep(0.02)
            ballast.unlink()
            await database.write(_note)
            async with asyncio.timeout(10):
                while not any(line["event"] == "store.checkpoint_resumed" for line in logs):
                    await asyncio.sleep(0.02)

    said = [line["event"] for line in logs if line["event"].startswith("store.checkpoint")]
    assert ["store.checkpoint_failed", "store.checkpoint_resumed"] == said


async def test_no_descriptor_is_needed(database: SqliteDatabase) -> None:
    """Where a process has used up what it may open, the log still moves."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    await database.write(_note)
    await _until(database.path, 1)
    before = database.path.stat().st_mtime_ns
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        await database.write(_note)
        async with asyncio.timeout(10):
            while database.path.stat().st_mtime_ns == before:
                await asyncio.sleep(0.02)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert 2 == _noted(database.path)


async def test_a_log_that_a_reader_holds_is_measured(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first checkpoint that it kept from being complete, until it ends."""
    monkeypatch.setattr(checkpoints, "STUCK_BYTES", 1)
    monkeypatch.setattr(checkpoints, "STUCK_SECONDS", 0.0)
    await database.write(_note)
    with capture_logs() as logs:
        with _old_pages(database.path):
            await database.write(_note)
            await _told(database, stuck=True)
        await _told(database, stuck=False)

    assert 1 == [line["event"] for line in logs].count("store.log_stuck")


async def _told(database: SqliteDatabase, *, stuck: bool) -> None:
    async with asyncio.timeout(20):
        while (database.stuck_log is not None) is not stuck:
            await asyncio.sleep(0.01)
