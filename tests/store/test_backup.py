"""What a backup holds, what a restore keeps and changes, and what an examination finds."""

import asyncio
import json
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from store_values import ANSWER, NOW, arrival, attempt, claim_next, submission
from unguarded import change

from bars_gateway.errors import (
    BackupDamaged,
    BackupFailed,
    DatabaseDamaged,
    DatabaseInUse,
    DatabaseNewer,
    RestoreRefused,
    StoreError,
)
from bars_gateway.model.messages import Actor, OutboundState, Settled
from bars_gateway.store import migrating
from bars_gateway.store.aftermath import Became
from bars_gateway.store.sqlite import backup as backup_module
from bars_gateway.store.sqlite.backup import back_up
from bars_gateway.store.sqlite.database import SqliteDatabase, open_database
from bars_gateway.store.sqlite.integrity import examine
from bars_gateway.store.sqlite.restore import LEAP, DatabaseCondition, restore
from bars_gateway.store.store import Store

LATER = NOW + timedelta(hours=3)
LONG, ALSO_LONG = b'{"resourceType":"Bundle"}' * 500, b'{"type":"message"}' * 500  # compressed


def select(path: Path, query: str, *values: object) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query, values).fetchall()
    finally:
        connection.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def ids(path: Path) -> set[object]:
    return {row[0] for row in select(path, "SELECT request_id FROM messages")}


async def settle(store: Store, state: OutboundState = OutboundState.ACKNOWLEDGED) -> None:
    claim = await claim_next(store, NOW, ["trust"])
    assert claim is not None
    await store.outbound.settle(
        claim, ANSWER, attempt=attempt(claim), settlement=Settled(state=state)
    )


@dataclass(frozen=True)
class Home:
    """A database that nobody has open, and a backup of it from before its last messages."""

    database: Path
    backup: Path
    before: set[object]  # X-Request-Ids in both


@pytest.fixture
async def home(tmp_path: Path) -> Home:
    """Backed up: one received, one acknowledged, one that waits. Since: one each way."""
    database, copy = tmp_path / "gateway.db", tmp_path / "copy.db"
    async with open_database(database) as opened:
        store = Store(opened, node="here")
        await store.inbound.receive(arrival(body=LONG), NOW)
        await store.outbound.submit(submission(), NOW)
        await settle(store)
        await store.outbound.submit(submission(body=ALSO_LONG), NOW)
        await asyncio.to_thread(back_up, database, copy)
        before = ids(database)
        await store.inbound.receive(arrival(), NOW + timedelta(minutes=1))
        await store.outbound.submit(submission(), NOW + timedelta(minutes=1))
    return Home(database, copy, before)


# Backing up.


async def test_a_copy_has_what_was_promised_before_it_began(tmp_path: Path) -> None:
    """Two hundred submissions are under way; every one that has its receipt is in the copy."""
    path, target = tmp_path / "gateway.db", tmp_path / "copy.db"
    async with open_database(path, group_limit=5) as database:
        store = Store(database, node="here")
        promised: list[str] = []
        some = asyncio.Event()

        async def submit() -> None:
            accepted = await store.outbound.submit(submission(body=os.urandom(30_000)), NOW)
            promised.append(accepted.request_id)
            if len(promised) >= 40:
                some.set()

        async with asyncio.TaskGroup() as group:
            for _ in range(200):
                group.create_task(submit())
            await some.wait()
            due = set(promised)
            held = await asyncio.to_thread(back_up, path, target)

    assert due <= ids(target)
    assert held.counts["messages"] == held.counts["payloads"] == len(ids(target))
    assert [] == examine(target).problems
    assert 200 == len(promised)


@pytest.mark.of_sqlite
async def test_a_copy_is_one_file_that_its_owner_alone_may_read(
    database: SqliteDatabase, tmp_path: Path
) -> None:
    """It holds patients' data, and needs no log beside it."""
    folder = tmp_path / "backups"
    folder.mkdir()
    umask = os.umask(0)
    try:
        await asyncio.to_thread(back_up, database.path, folder / "copy.db")
    finally:
        os.umask(umask)

    assert ["copy.db"] == names(folder)
    assert 0o600 == stat.S_IMODE((folder / "copy.db").stat().st_mode)
    assert [("delete",)] == select(folder / "copy.db", "PRAGMA journal_mode")


def test_another_file_is_never_written_over(home: Home, tmp_path: Path) -> None:
    """Yesterday's backup is worth more than today's that failed."""
    target = tmp_path / "yesterday.db"
    target.write_bytes(b"yesterday")
    with pytest.raises(BackupFailed, match="is there already"):
        back_up(home.database, target)

    assert b"yesterday" == target.read_bytes()


def test_a_file_that_came_meanwhile_is_not_written_over(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is taken in one step, whatever was looked at before."""
    target = tmp_path / "copy2.db"
    step = backup_module.copied

    def and_then_somebody_else(*arguments: object) -> object:
        target.write_bytes(b"somebody else's")
        return step(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(backup_module, "copied", and_then_somebody_else)
    with pytest.raises(BackupFailed, match="is there already"):
        back_up(home.database, target)

    assert b"somebody else's" == target.read_bytes()
    assert not (tmp_path / "copy2.db.partial").exists()


def test_a_folder_that_is_not_there_is_said(home: Home, tmp_path: Path) -> None:
    """An unwritable target is a reason, and no traceback."""
    with pytest.raises(BackupFailed, match="No such file or directory"):
        back_up(home.database, tmp_path / "nowhere" / "copy.db")


def test_a_target_that_fills_up_is_left_empty(home: Home, tmp_path: Path) -> None:
    """Half a copy would be taken for a whole one some day."""
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    folder = tmp_path / "full"
    folder.mkdir()
    old, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, old[1]))
    try:
        with pytest.raises(BackupFailed, match="could not be written"):
            back_up(home.database, folder / "copy.db")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)

    assert [] == names(folder)


def test_what_a_crash_left_is_written_over(home: Home, tmp_path: Path) -> None:
    """A backup that was killed does not stop the next one."""
    target = tmp_path / "again.db"
    (tmp_path / "again.db.partial").write_bytes(b"half of it" * 10_000)
    back_up(home.database, target)

    assert [] == examine(target).problems
    assert not (tmp_path / "again.db.partial").exists()


def test_two_backups_do_not_write_one_file(home: Home, tmp_path: Path) -> None:
    """The second one is told, and disturbs nothing."""
    target = tmp_path / "busy.db"
    with (
        backup_module.fresh_file(tmp_path / "busy.db.partial"),
        pytest.raises(BackupFailed, match="another backup"),
    ):
        back_up(home.database, target)


def test_a_damaged_database_is_not_copied_in_silence(home: Home, tmp_path: Path) -> None:
    """Whoever rotates backups must not rotate the last whole one away."""
    spoil_pages(home.database)
    with pytest.raises((BackupFailed, DatabaseDamaged)):
        back_up(home.database, tmp_path / "damaged.db")

    assert not (tmp_path / "damaged.db").exists()


def spoil_pages(path: Path) -> None:
    """Overwrite the pages that hold the tables, and leave header and schema."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        for page in range(8192 * 3, size, 8192):
            file.seek(page)
            file.write(b"\x55" * 64)


# Restoring.


def test_who_was_silent_at_the_backup_may_have_answered_since(home: Home) -> None:
    """Since when they are silent is found out again."""
    change(home.backup, "INSERT INTO breaks (name, since) VALUES ('s|1', '2026-01-01')")
    restore(home.backup, home.database, LATER, older=True)

    assert [] == select(home.database, "SELECT name FROM breaks")


def test_a_restored_database_is_what_the_backup_held(home: Home) -> None:
    """It is there whole, its owner's alone, and a gateway opens it."""
    restored = restore(home.backup, home.database, LATER, older=True)

    assert home.before < ids(home.database)  # and what was submitted since
    assert [] == examine(home.database).problems
    assert restored.held.counts["messages"] == 3
    assert 0o600 == stat.S_IMODE(home.database.stat().st_mode)


async def test_a_gateway_that_runs_is_not_restored_under(home: Home) -> None:
    """Its promises would go into a file that nobody finds again."""
    async with open_database(home.database):
        with pytest.raises(DatabaseInUse):
            restore(home.backup, home.database, LATER, older=True)

    assert home.before < ids(home.database)


def test_a_newer_database_is_not_restored_over(home: Home, tmp_path: Path) -> None:
    """What would be forgotten is counted, and nothing changes."""
    before = names(tmp_path)
    with pytest.raises(
        RestoreRefused, match="1 messages that were received and 1 that were submitted since"
    ):
        restore(home.backup, home.database, LATER)

    assert home.before < ids(home.database)
    assert before == names(tmp_path)


def test_a_database_that_somebody_began_anew_is_newer(home: Home) -> None:
    """Its numbers are lower than the backup's, and its messages are as new."""
    home.database.unlink()
    home.database.with_name("gateway.db.lock").unlink()
    asyncio.run(one_message(home.database))
    with pytest.raises(RestoreRefused, match="0 messages that were received and 1"):
        restore(home.backup, home.database, LATER)


async def one_message(path: Path) -> None:
    async with open_database(path) as database:
        await Store(database, node="here").outbound.submit(submission(), NOW)


def test_a_change_without_a_message_makes_a_database_newer(home: Home, tmp_path: Path) -> None:
    """A refusal that was given since is remembered nowhere else."""
    copy = tmp_path / "second.db"
    back_up(home.database, copy)
    change(home.database, "INSERT INTO events (at, kind) VALUES ('2026-03-02T10:00:00.000Z', 'x')")
    with pytest.raises(RestoreRefused):
        restore(copy, home.database, LATER)


def test_a_backup_with_everything_in_it_needs_no_permission(home: Home, tmp_path: Path) -> None:
    """Nothing is forgotten, so nothing is asked."""
    copy = tmp_path / "second.db"
    back_up(home.database, copy)
    restored = restore(copy, home.database, LATER)

    assert (DatabaseCondition.WHOLE, True) == (restored.condition, restored.listed)
    assert {Became.WAITS} == {line.fate for line in restored.lines}


def test_a_backup_is_restored_where_there_is_nothing(home: Home, tmp_path: Path) -> None:
    """That is a new machine, or a lost disk."""
    (tmp_path / "new").mkdir()
    restored = restore(home.backup, tmp_path / "new" / "gateway.db", LATER)

    assert (None, DatabaseCondition.ABSENT) == (restored.aside, restored.condition)
    assert home.before == ids(tmp_path / "new" / "gateway.db")
    assert ["gateway.db", "gateway.db.lock"] == names(tmp_path / "new")


async def test_an_empty_database_is_restored_over(home: Home, tmp_path: Path) -> None:
    """A gateway that was started once has made it, and nothing has happened in it."""
    async with open_database(tmp_path / "empty.db"):
        pass
    restored = restore(home.backup, tmp_path / "empty.db", LATER)

    assert restored.aside is not None
    assert DatabaseCondition.INCOMPLETE is restored.condition
    assert home.before == ids(tmp_path / "empty.db")


def test_the_database_that_was_there_is_kept_whole(home: Home) -> None:
    """Nothing is deleted, for only this file knows the last messages."""
    everything = ids(home.database)
    restored = restore(home.backup, home.database, LATER, older=True)

    assert restored.aside == home.database.with_name("gateway.db.before-restore-20260302T120000Z")
    assert restored.aside is not None
    assert everything == ids(restored.aside)
    assert [] == examine(restored.aside).problems


def test_two_restores_within_a_second_keep_what_each_found(home: Home) -> None:
    """The second is not refused for the name that the first has taken."""
    kept = [restore(home.backup, home.database, LATER, older=True).aside for _ in range(2)]

    assert [
        home.database.with_name(f"gateway.db.before-restore-20260302T12000{n}Z") for n in (0, 1)
    ] == kept


async def test_what_only_the_log_holds_is_kept_as_well(home: Home, tmp_path: Path) -> None:
    """A gateway that was killed leaves its last messages in the log, and it goes along."""
    path = tmp_path / "killed" / "gateway.db"
    path.parent.mkdir()
    async with open_database(home.database) as database:
        await Store(database, node="here").outbound.submit(submission(), LATER)
        everything = ids(home.database)
        for suffix in ("", "-wal"):
            shutil.copy(f"{home.database}{suffix}", f"{path}{suffix}")
    restored = restore(home.backup, path, LATER, older=True)

    assert restored.aside is not None
    assert 3 == sum(line.fate is Became.WAITS for line in restored.lines)
    assert everything == ids(restored.aside)
    assert home.before < ids(path)


def test_a_damaged_database_is_kept_with_its_log(home: Home, tmp_path: Path) -> None:
    """Whoever repairs it needs both, and the log must not be read as the restored file's."""
    home.database.write_bytes(b"this is no database" * 1000)
    log = home.database.with_name("gateway.db-wal")
    log.write_bytes(b"nor is this a log" * 1000)
    with pytest.raises(RestoreRefused, match="cannot be read"):
        restore(home.backup, home.database, LATER)
    restored = restore(home.backup, home.database, LATER, older=True)

    assert restored.aside is not None
    assert DatabaseCondition.UNREADABLE is restored.condition
    assert not restored.listed
    assert b"this is no database" * 1000 == restored.aside.read_bytes()
    assert home.before == ids(home.database)
    assert [] == examine(home.database).problems


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def no_database(path: Path) -> None:
    path.write_bytes(b"this is no database" * 1000)


def another_program(path: Path) -> None:
    path.unlink()
    change(path, "CREATE TABLE bookmarks (url TEXT)")


@pytest.mark.parametrize("damage", [spoil_pages, cut, no_database, another_program])
def test_a_damaged_backup_is_refused(home: Home, damage: Callable[[Path], None]) -> None:
    """A restore that makes things worse is none."""
    everything = ids(home.database)
    damage(home.backup)
    with pytest.raises(BackupDamaged):
        restore(home.backup, home.database, LATER, older=True)

    assert everything == ids(home.database)


def test_a_backup_that_is_not_there_is_said(home: Home, tmp_path: Path) -> None:
    """A misspelt name changes nothing."""
    with pytest.raises(StoreError, match="there is no file at"):
        restore(tmp_path / "nowhere.db", home.database, LATER, older=True)


def test_a_backup_of_a_later_release_is_refused(home: Home) -> None:
    """It is not guessed at."""
    change(home.backup, "PRAGMA user_version = 999")
    with pytest.raises(DatabaseNewer):
        restore(home.backup, home.database, LATER, older=True)


async def test_the_ledger_of_the_backup_still_holds(home: Home) -> None:
    """A retry of what was received before the backup stays a duplicate."""
    ((request_id, fingerprint),) = select(home.backup, "SELECT request_id, fingerprint FROM ledger")
    restore(home.backup, home.database, LATER, older=True)
    came = arrival(request_id=request_id, fingerprint=fingerprint, body=LONG)
    async with open_database(home.database) as database:
        fate = await Store(database, node="here").inbound.receive(came, LATER)

    assert "Repeated" == type(fate).__name__


async def test_what_waits_goes_out_under_its_own_ids(home: Home) -> None:
    """The Receiver that has it calls it a duplicate: the same X-Request-Id, and the same bytes."""
    ((request_id,),) = select(home.backup, "SELECT request_id FROM messages WHERE state = 'queued'")
    restore(home.backup, home.database, LATER, older=True)
    async with open_database(home.database) as database:
        claim = await claim_next(Store(database, node="here"), NOW, ["trust"])

    assert claim is not None
    assert (request_id, ALSO_LONG) == (claim.request_id, claim.request.body)


async def test_what_may_have_been_sent_is_never_called_not_sent(home: Home) -> None:
    """It waited when the backup was made; nobody knows what happened since."""
    restored = restore(home.backup, home.database, LATER, older=True)
    async with open_database(home.database) as database:
        store = Store(database, node="here")
        await store.outbound.give_up(LATER)
        outbound = (await store.overview(LATER)).outbound

    assert 2 == sum(line.fate is Became.WAITS for line in restored.lines)
    assert 0 == outbound[OutboundState.NOT_SENT]
    assert 2 == outbound[OutboundState.UNCONFIRMED]


async def test_no_number_is_given_twice(home: Home) -> None:
    """A new notice under a number that the EPR knows would be taken for the old one."""
    (most,) = select(home.database, "SELECT max(id) FROM notices")[0]
    restore(home.backup, home.database, LATER, older=True)
    async with open_database(home.database) as database:
        store = Store(database, node="here")
        await store.inbound.receive(arrival(), LATER)
        numbers = [notice.notice_id for notice in await store.notices.pending("trust", 10)]

    assert isinstance(most, int)
    assert [1, 2] == numbers[:2]
    assert numbers[2] > LEAP > most


def test_counters_that_had_not_begun_leap_too(tmp_path: Path) -> None:
    """A backup of an empty database knows no number that was given later."""
    database, copy = tmp_path / "gateway.db", tmp_path / "copy.db"
    asyncio.run(emptied(database))
    back_up(database, copy)
    restore(copy, database, LATER, older=True)
    counters = dict(select(database, "SELECT name, seq FROM sqlite_sequence"))

    assert {
        "messages",
        "notices",
        "questions",
        "quarantine",
        "events",
        "workflows",
        "alarms",
        "alerts",
        "deliveries",
        "purges",
        "record_holds",
    } == counters.keys()
    assert all(seq >= LEAP for seq in counters.values())


async def emptied(path: Path) -> None:
    async with open_database(path):
        pass


def test_the_audit_trail_explains_the_gap(home: Home) -> None:
    """Whoever reads it years later sees when time went back."""
    jo = Actor(role="operator", who="jo", why="INC-7")
    restore(home.backup, home.database, LATER, older=True, actor=jo)
    query = "SELECT at, kind, detail FROM events ORDER BY id DESC LIMIT 1"
    ((at, kind, detail),) = select(home.database, query)

    assert ("2026-03-02T12:00:00.000Z", "operator.restored") == (at, kind)
    assert {"who": "jo", "role": "operator", "why": "INC-7"}.items() <= json.loads(detail).items()


def test_a_restore_can_be_undone(home: Home) -> None:
    """The file that was kept is a backup as good as any."""
    everything = ids(home.database)
    first = restore(home.backup, home.database, LATER, older=True)
    assert first.aside is not None
    restore(first.aside, home.database, LATER + timedelta(minutes=1), older=True)

    assert everything == ids(home.database)


# Examining.


@pytest.mark.of_sqlite
async def test_a_database_in_use_is_examined(database: SqliteDatabase, store: Store) -> None:
    """A gateway works on it meanwhile, and what is committed counts."""
    await store.outbound.submit(submission(), NOW)
    await store.inbound.receive(arrival(), NOW)
    found = await asyncio.to_thread(examine, database.path)

    assert [] == found.problems
    assert (2, 3, 1) == tuple(found.counts[table] for table in ("messages", "payloads", "ledger"))


def flip(path: Path, encoding: str) -> str:
    """Turn a bit in the middle of a stored Bundle, as a disk would, and return its id."""
    connection = sqlite3.connect(path)
    request_id, body = connection.execute(
        "SELECT m.request_id, p.body FROM payloads AS p"
        " JOIN messages AS m ON m.id = p.message_id"
        " WHERE p.part = 'request' AND p.encoding = ? LIMIT 1",
        [encoding],
    ).fetchone()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    file = bytearray(path.read_bytes())
    at = file.index(body) + len(body) // 2
    file[at] ^= 1
    path.write_bytes(file)
    return str(request_id)


@pytest.mark.parametrize("encoding", ["identity", "zstd"])
def test_a_turned_bit_in_a_bundle_is_found(home: Home, encoding: str) -> None:
    """SQLite itself would not notice: it keeps no checksum."""
    request_id = flip(home.backup, encoding)
    found = examine(home.backup)

    assert [] == found.damage
    assert [f"X-Request-Id {request_id}: its request"] == [
        problem.partition(" does")[0].partition(" cannot")[0] for problem in found.problems
    ]


async def test_a_wrong_fingerprint_is_found(home: Home) -> None:
    """The bytes and what was promised of them are two things, and they must agree."""
    ((request_id,),) = select(
        home.database, "SELECT request_id FROM messages WHERE direction = 'outbound' LIMIT 1"
    )
    change(
        home.database,
        f"UPDATE messages SET fingerprint = '{'0' * 64}' WHERE request_id = '{request_id}'",
    )

    assert [f"X-Request-Id {request_id}: its request does not match its fingerprint"] == examine(
        home.database
    ).problems


UNBELIEVABLE = "28b52ffde0ffffffffffff7f00"  # a frame that claims eight exabytes


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        (
            f"UPDATE payloads SET encoding = 'zstd', body = x'{UNBELIEVABLE}' WHERE message_id = 3",
            "its request cannot be decompressed",
        ),
        (
            "UPDATE payloads SET headers = '{' WHERE message_id = 3",
            "its request has headers that cannot be read",
        ),
        (
            "DELETE FROM payloads WHERE message_id = 3",
            "1 messages wait to be sent, and their Bundle is missing",
        ),
        ("DELETE FROM ledger", "1 messages were received, and the ledger would take them"),
        (
            "DELETE FROM notices WHERE kind = 'outcome'",
            "1 messages are settled or received, and no notice says so",
        ),
        ("UPDATE messages SET attempts = 0", "1 messages were tried more often than was counted"),
        (
            "UPDATE workflows SET provider = 'other' WHERE id = 1",
            "1 messages belong to a workflow of another provider",
        ),
        (
            "UPDATE notices SET message_id = 999 WHERE kind = 'message'",
            "row 1 of notices refers to a row of messages that is not there",
        ),
    ],
)
def test_a_contradiction_is_found(home: Home, statement: str, sentence: str) -> None:
    """What no constraint can say is looked at all the same, and named with an id."""
    change(home.backup, statement)
    (problem, *_) = examine(home.backup).problems

    assert sentence in problem


@pytest.mark.parametrize("name", ["messages", "messages_once", "payloads", "events"])
def test_a_damaged_page_is_found(home: Home, name: str) -> None:
    """What cannot be read does not end the search, and no figure is given that is a guess."""
    ((page,),) = select(home.backup, "SELECT rootpage FROM sqlite_schema WHERE name = ?", name)
    assert isinstance(page, int)
    with home.backup.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\x55" * 4096)
    found = examine(home.backup)

    assert [] != found.damage
    assert {} == found.counts


def test_a_later_release_is_a_finding(home: Home) -> None:
    """Its tables may mean something else: they are not looked at."""
    change(home.backup, "PRAGMA user_version = 999")

    known = migrating.newest(migrating.SQLITE)
    assert [f"its schema 999 is of a later release; this one knows {known}"] == examine(
        home.backup
    ).problems
