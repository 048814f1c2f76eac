"""What an index lacks is found and put right, and nobody is told a falsehood meanwhile."""

import asyncio
import errno
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hiding import as_after_a_kill, hide, hold_too_much, stopped_in_order
from store_values import NOW, arrival, claim_next, owed, submission
from structlog.testing import capture_logs
from unguarded import let_delete

from bars_gateway.errors import DatabaseDamaged, StoreError
from bars_gateway.model.interventions import Verb
from bars_gateway.model.messages import Repeated
from bars_gateway.model.readings import Findings
from bars_gateway.standard.workflow import Role
from bars_gateway.store.sqlite import inspection
from bars_gateway.store.sqlite.backup import back_up
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.sqlite.inspection import Gap
from bars_gateway.store.sqlite.restore import hand_over, restore
from bars_gateway.store.store import Store

pytestmark = pytest.mark.of_sqlite
PAGE = 4096
EVER = ""  # before anything


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway.db"


async def fill(path: Path) -> None:
    """Queue three referrals that are owed an answer, receive one, and stop in order."""
    async with open_database(path) as database:
        store = Store(database, node="here")
        for n in range(3):
            await store.outbound.submit(submission(body=b"%d" % n, owed=owed(NOW)), NOW)
        await store.inbound.receive(arrival(body=b"in"), NOW)


def reading(path: Path) -> closing[sqlite3.Connection]:
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    return closing(connection)


async def walked(store: Store) -> list[Findings]:
    """Compare everything, and return the steps that found something."""
    await store.soundness.begin(NOW)
    found = []
    while (findings := await store.soundness.step()) is not None:
        found += [findings] if findings.sentences else []
    await store.soundness.end([], NOW)
    return found


def one_row_of_each(path: Path) -> list[tuple[str, str, int]]:
    """Return table, index and the newest row that stands in it, of those that work is found by."""
    found = []
    with reading(path) as connection:
        for table in inspection.tables(connection):
            for index in table.indexes if table.name in inspection.WORK else ():
                (row,) = connection.execute(
                    f"SELECT max(rowid) FROM {table.name} NOT INDEXED WHERE {index.only}"
                ).fetchone()
                found += [(table.name, index.name, row)] if row else []
    return found


async def test_no_index_that_work_is_found_by_hides_a_row(path: Path) -> None:
    """One row at a time is hidden in each of them, and each is named, alone."""
    await fill(path)
    hidden = one_row_of_each(path)
    named = []
    for _, index, row in hidden:
        hide(path, index, row)
        with reading(path) as connection:
            named.append(inspection.work(connection, EVER))
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"REINDEX {index}")

    assert {"messages_due", "messages_waiting", "messages_same", "messages_once"} <= {
        index for _, index, _ in hidden
    }
    assert {"workflows_due", "workflows_overdue", "notices_pending"} <= {i for _, i, _ in hidden}
    assert [[Gap(index, table, 1)] for table, index, _ in hidden] == named


async def test_each_step_looks_at_each_index(path: Path, monkeypatch) -> None:
    """Behind the doors, too, of whatever table; the last row of a step is in it."""
    monkeypatch.setattr(inspection, "STEP", 2)
    await fill(path)
    hidden = [*one_row_of_each(path), ("ledger", "ledger_of", 1), ("events", "events_of", 2)]
    found = []
    for _, index, row in hidden:
        hide(path, index, row)
        async with open_database(path) as database:
            found += [each.rebuilt for each in await walked(Store(database, node="here"))]

    assert [[f"{index}: 1 row"] for _, index, _ in hidden] == found


async def test_a_queued_message_that_was_hidden_is_sent(path: Path) -> None:
    """After a kill it is found before anybody can ask for work."""
    await fill(path)
    for index in ("messages_due", "messages_waiting", "messages_open"):
        hide(path, index, 1)
    as_after_a_kill(path)
    async with open_database(path) as database:
        claim = await claim_next(Store(database, node="here"), NOW, ["trust"])

    assert claim is not None
    assert 1 == claim.message_id


async def test_what_waits_is_counted_anew_after_a_kill(path: Path) -> None:
    """By that count pages and alerts know which Receivers to look at."""
    await fill(path)
    counts = "SELECT of, state, n FROM tallies WHERE of IN ('open', 'notice') AND n > 0"
    with closing(sqlite3.connect(path)) as connection:
        before = connection.execute(counts).fetchall()
        connection.execute("DELETE FROM tallies")
        connection.commit()
    as_after_a_kill(path)
    async with open_database(path) as database:
        overview = await Store(database, node="here").overview(NOW)
    with closing(sqlite3.connect(path)) as connection:
        counted = connection.execute(counts).fetchall()

    assert overview.oldest_open_at is not None
    assert before == counted


async def test_what_is_rebuilt_is_told(path: Path) -> None:
    """In the log, and by an alarm that stands over restarts."""
    await fill(path)
    hide(path, "messages_due", 1)
    as_after_a_kill(path)
    with capture_logs() as logs:
        async with open_database(path) as database:
            store = Store(database, node="here")
            alarms = await store.alarms.standing(None, 10)

    assert [("index.rebuilt", ["messages_due: 1 row"])] == [(a.kind, a.codes) for a in alarms]
    assert ("messages_due", 1) in [
        (line["name"], line["count"]) for line in logs if line["event"] == "store.index_rebuilt"
    ]


async def test_an_index_that_holds_too_much_is_rebuilt(path: Path) -> None:
    """What is settled would be found as queued, and stand before all that waits."""
    await fill(path)
    with reading(path) as connection:
        (received,) = connection.execute(
            "SELECT id FROM messages WHERE direction = 'inbound'"
        ).fetchone()
    hold_too_much(path, "messages_due", received)
    with reading(path) as connection:
        found = inspection.work(connection, EVER)

    assert [Gap("messages_due", "messages", 1)] == found


async def test_one_that_holds_too_much_is_found_behind_the_doors(path: Path) -> None:
    """By SQLite's own look at each table, whatever the index is about."""
    await fill(path)
    hold_too_much(path, "messages_due", 4)
    async with open_database(path) as database:
        (found,) = await walked(Store(database, node="here"))

    assert ["messages_due: its count"] == found.rebuilt


async def test_the_same_bytes_are_known_though_an_index_hides_them(path: Path) -> None:
    """After a kill, the receipt is the one that they were given."""
    await fill(path)
    async with open_database(path) as database:
        first = await Store(database, node="here").outbound.submit(submission(body=b"0"), NOW)
    hide(path, "messages_same", first.message_id)
    as_after_a_kill(path)
    async with open_database(path) as database:
        again = await Store(database, node="here").outbound.submit(submission(body=b"0"), NOW)

    assert first == again


async def taken_twice(path: Path) -> int:
    """Take the same bytes a second time, by an index that hides the first; return its number."""
    await fill(path)
    hide(path, "messages_same", 1)
    async with open_database(path) as database:  # after an orderly stop: nobody looks
        again = await Store(database, node="here").outbound.submit(submission(body=b"0"), NOW)
    assert again.message_id != 1
    return again.message_id


async def test_an_index_that_cannot_be_rebuilt_is_not_believed(path: Path) -> None:
    """Two rows that it must tell apart are the same: the first is looked up without it."""
    await taken_twice(path)
    as_after_a_kill(path)
    async with open_database(path) as database:
        store = Store(database, node="here")
        third = await store.outbound.submit(submission(body=b"0"), NOW)
        left = store.soundness.left

    assert 1 == third.message_id
    assert ["messages_same: 1 row"] == left


async def test_what_is_left_is_tried_again(path: Path) -> None:
    """Once nothing is in its way; the next start begins with it until then."""
    again = await taken_twice(path)
    as_after_a_kill(path)
    async with open_database(path):
        pass
    marked = stopped_in_order(path)
    async with open_database(path) as database:
        store = Store(database, node="here")
        await database.write(
            lambda c: (
                c.raw.execute("UPDATE messages SET resend_of = 1 WHERE id = ?", [again]).rowcount
            )
        )
        await store.soundness.retry()
        left = store.soundness.left
        noted = await database.read(lambda c: c.raw.execute("SELECT * FROM unindexed").fetchall())

    assert not marked
    assert [] == left
    assert [] == noted


async def test_an_id_is_found_without_the_index_that_lacks_it(path: Path) -> None:
    """To act on it, and to answer in its conversation."""
    async with open_database(path) as database:
        sent = await Store(database, node="here").outbound.submit(submission(), NOW)
    hide(path, "messages_once", sent.message_id)
    async with open_database(path) as database:
        store = Store(database, node="here")
        await database.write(
            lambda c: (
                c.raw.execute(
                    "INSERT INTO unindexed VALUES (?, ?)", [sent.message_id, "messages_once"]
                ).rowcount
            )
        )
        about = await store.conversations.about("trust", sent.request_id, Role.REQUESTER)
        found = await store.interventions.candidate("trust", sent.request_id, Verb.HOLD, NOW)

    assert about is not None
    assert found is not None


KILLED_OVER_IT = """
import asyncio, os, signal, sys
from pathlib import Path
from bars_gateway.store.sqlite import database
from bars_gateway.store.sqlite.database import open_database

rebuild = database.rebuild

def killed(connection, gap):
    rebuild(connection, gap)
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    async with open_database(Path(sys.argv[1])):
        pass

database.rebuild = killed
asyncio.run(main())
"""


async def test_a_kill_over_the_rebuilding_is_as_if_nothing_had_been(path: Path) -> None:
    """Neither the index nor its alarm is there, and the next start has both."""
    await fill(path)
    hide(path, "messages_due", 1)
    as_after_a_kill(path)
    command = [sys.executable, "-c", KILLED_OVER_IT, str(path)]
    done = await asyncio.to_thread(subprocess.run, command, check=False)
    with reading(path) as connection:
        hidden = inspection.work(connection, EVER)
    async with open_database(path) as database:
        store = Store(database, node="here")
        found = await database.read(lambda c: inspection.work(c.raw, EVER))
        alarms = await store.alarms.standing(None, 10)

    assert -signal.SIGKILL == done.returncode
    assert [Gap("messages_due", "messages", 1)] == hidden
    assert [] == found
    assert [("index.rebuilt", 1)] == [(alarm.kind, alarm.times) for alarm in alarms]


async def test_a_full_disk_ends_no_comparison(path: Path) -> None:
    """What was found cannot be written down then, and is in the log."""
    await fill(path)
    async with open_database(path) as database:
        store = Store(database, node="here")
        await database.write(lambda c: c.raw.execute("PRAGMA max_page_count = 1").fetchone())
        await store.soundness.begin(NOW)
        await store.soundness.end(["x" * 10_000_000], NOW)
        last = await store.soundness.last()

    assert last.ended_at is None


async def test_the_ledger_knows_again_what_was_received(path: Path) -> None:
    """After a kill, a message whose entry was lost is no new one."""
    message = arrival()
    async with open_database(path) as database:
        await Store(database, node="here").inbound.receive(message, NOW)
    with closing(sqlite3.connect(path)) as connection, connection:
        let_delete(connection)
        connection.execute("DELETE FROM ledger WHERE message_id = 1")
    as_after_a_kill(path)
    async with open_database(path) as database:
        fate = await Store(database, node="here").inbound.receive(message, NOW)

    assert isinstance(fate, Repeated)


async def test_an_entry_that_the_ledger_only_does_not_find_is_no_second_one(path: Path) -> None:
    """Its index is built again: the message is known again, and entered once."""
    message = arrival()
    async with open_database(path) as database:
        await Store(database, node="here").inbound.receive(message, NOW)
    hide(path, "ledger_once", 1)
    as_after_a_kill(path)
    async with open_database(path) as database:
        fate = await Store(database, node="here").inbound.receive(message, NOW)
        entries = await database.read(
            lambda c: c.raw.execute("SELECT message_id FROM ledger NOT INDEXED").fetchall()
        )

    assert isinstance(fate, Repeated)
    assert [1] == [entry["message_id"] for entry in entries]


async def test_an_orderly_stop_leaves_its_mark(path: Path) -> None:
    """It is there once all is closed, and not for as long as anybody may write."""
    await fill(path)
    after = stopped_in_order(path)
    async with open_database(path) as database:
        orderly = database.after_orderly_stop
        meanwhile = stopped_in_order(path)

    assert (True, True, False) == (after, orderly, meanwhile)


async def test_an_error_elsewhere_leaves_the_mark_too(path: Path) -> None:
    """A start that a taken port ends, after an orderly stop, is not called a power cut."""
    await fill(path)
    with pytest.raises(OSError, match="in use"):
        async with open_database(path):
            raise OSError(errno.EADDRINUSE, "in use")
    with capture_logs() as logs:
        async with open_database(path):
            pass

    assert [] == [line["event"] for line in logs]


@pytest.mark.parametrize("error", [StoreError("no"), DatabaseDamaged("no"), sqlite3.Error("no")])
async def test_what_ends_by_the_database_leaves_no_mark(path: Path, error: Exception) -> None:
    """It may have ended anywhere, and what it wrote last is compared."""
    with pytest.raises(type(error)):
        async with open_database(path):
            raise error

    assert not stopped_in_order(path)


async def test_nothing_is_compared_after_an_orderly_stop(path: Path) -> None:
    """The doors open at once."""
    await fill(path)
    hide(path, "messages_due", 1)
    with capture_logs() as logs:
        async with open_database(path) as database:
            hidden = await database.read(lambda c: inspection.work(c.raw, EVER))

    assert [Gap("messages_due", "messages", 1)] == hidden
    assert [] == [line for line in logs if line["event"] != "store.migrated"]


async def test_a_restored_database_is_compared(path: Path, tmp_path: Path) -> None:
    """Whatever the backup was, and whatever is handed over later: somebody else has written."""
    await fill(path)
    back_up(path, tmp_path / "backup.db")
    restored = restore(tmp_path / "backup.db", path, NOW, older=True)
    after_restore = stopped_in_order(path)
    async with open_database(path):
        pass
    assert restored.aside is not None
    hand_over(restored.aside, path, NOW)

    assert not after_restore
    assert not stopped_in_order(path)


async def test_damage_behind_the_doors_raises_an_alarm(path: Path, monkeypatch) -> None:
    """A file too large to be read before the doors may be damaged where nobody looked yet."""
    await fill(path)
    with reading(path) as connection:
        (page,) = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'quarantine'"
        ).fetchone()
    content = bytearray(path.read_bytes())
    content[(page - 1) * PAGE : page * PAGE] = bytes(PAGE)
    path.write_bytes(content)
    monkeypatch.setattr("bars_gateway.store.sqlite.database.SMALL_BYTES", 0)
    async with open_database(path) as database:
        store = Store(database, node="here")
        (found,) = await walked(store)
        alarms = await store.alarms.standing(None, 10)

    assert ("quarantine", 1) == (found.table, found.damaged)
    assert [("database.damaged", ["quarantine: 1"])] == [(a.kind, a.codes) for a in alarms]


async def test_a_stop_while_the_look_ends_is_no_failure(path: Path) -> None:
    """The stop comes from another task: it may find what it would break off closed already."""
    await fill(path)
    async with open_database(path) as database:
        soundness = Store(database, node="here").soundness
        await soundness.begin(NOW)
        await soundness.step()
        assert soundness._reader is not None
        closing_now = soundness._reader._connection
        await soundness._reader.close()

        soundness.break_off()
        soundness._reader._connection = closing_now  # its thread has closed it, and not yet let go
        soundness.break_off()
        soundness._reader._connection = None

        assert (await soundness.step()) is not None  # which looks at nothing
        await soundness.close()
