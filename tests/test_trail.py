"""The audit trail is sealed, told to others, walked; and each step of that may be the last."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from store_values import NOW, arrival
from structlog.testing import capture_logs

from bars_gateway.model.trail import BreachKind
from bars_gateway.store.chain import walked
from bars_gateway.store.heads import witnesses_in
from bars_gateway.store.reports import report
from bars_gateway.store.sqlite import SqliteConnection
from bars_gateway.store.sqlite.database import SqliteDatabase, open_database
from bars_gateway.store.store import Store
from bars_gateway.upkeep.trail import TrailKeeper

DAY = timedelta(days=1)
MORTAL = Path(__file__).parent / "support" / "mortal_keeper.py"


class Kept:
    """A trail with a keeper, on a clock of its own."""

    def __init__(self, folder: Path, database: SqliteDatabase) -> None:
        self.at = NOW
        self.looked = 0
        self.heads, self.reports = folder / "audit-heads.jsonl", folder / "reports"
        self.path = database.path
        self.store = Store(database, node="here")
        self.keeper = TrailKeeper(
            self.store.chain,
            self.store.reports,
            heads=self.heads,
            reports_dir=self.reports,
            now=lambda: self.at,
            monotonic=lambda: 0.0,
            look=self._look,
            every_seconds=0.01,
        )

    async def _look(self) -> None:
        self.looked += 1

    async def kinds(self) -> list[str]:
        return kinds(self.path)

    async def keeps(self, after: timedelta = timedelta()) -> list[str]:
        """Let time pass, and the keeper do what is due; return the events that were logged."""
        self.at += after
        with capture_logs() as logs:
            await self.keeper.keep()
        return [line["event"] for line in logs]


def kinds(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [kind for (kind,) in connection.execute("SELECT kind FROM events ORDER BY id")]


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    async with open_database(tmp_path / "gateway.db") as database:
        made = Kept(tmp_path, database)
        await made.store.inbound.receive(arrival(), NOW)
        yield made


async def test_a_day_is_sealed_once_and_told_to_others(kept: Kept) -> None:
    """In the trail, the file of heads and the journal; each names line and hash."""
    await kept.keeps()
    first = await kept.keeps(DAY)
    again = await kept.keeps(timedelta(minutes=1))
    (seal,) = await kept.store.chain.newest_seals(9)
    told = [json.loads(line) for line in kept.heads.read_text().split("\n") if line]

    assert "audit.sealed" in first
    assert [] == again
    assert {"day": seal.day, "line": seal.through, "hash": seal.hash} in told
    assert 0o600 == kept.heads.stat().st_mode & 0o777


async def test_a_file_of_heads_that_cannot_be_used_stops_nothing_else(kept: Kept) -> None:
    """As one that root has made: days are sealed, the log has the head, and the trail is walked."""
    kept.heads.mkdir()
    logged = [await kept.keeps(DAY), await kept.keeps(DAY)]

    for each in logged:
        assert {"audit.sealed", "audit.head", "audit.verified", "audit.head_not_kept"} <= set(each)
        assert 1 == each.count("audit.sealed")


async def test_what_was_done_is_known_for_the_figures(kept: Kept) -> None:
    """A seal, a head that is kept, a walk with what it found; a file that cannot be kept is not."""
    await kept.keeps()
    await kept.keeps(DAY)
    well = kept.keeper.state
    with closing(sqlite3.connect(kept.path)) as connection:
        connection.execute("INSERT INTO events (at, kind) VALUES ('2026-03-03', 'x.y')")
        connection.commit()
    kept.heads.unlink()
    kept.heads.mkdir()
    await kept.keeps(DAY)
    after = kept.keeper.state

    midnight = (NOW + DAY).replace(hour=0, minute=0)
    assert (midnight, NOW + DAY, NOW + DAY) == (well.sealed_to, well.kept_at, well.walked_at)
    assert not well.found
    assert (NOW + DAY, NOW + 2 * DAY) == (after.kept_at, after.walked_at)
    assert after.found
    assert BreachKind.FOREIGN in after.found


async def test_what_commands_did_is_entered_in_the_order_in_which_it_was_done(kept: Kept) -> None:
    """A key is copied after it was made, whatever their files are called."""
    kept.reports.parent.mkdir(exist_ok=True)
    for minutes in range(9):
        told = {"who": "jo", "key_id": str(minutes)}
        report(kept.reports, "key.made", told, NOW + timedelta(minutes=minutes))
    await kept.keeps()
    with closing(sqlite3.connect(kept.path)) as connection:
        query = "SELECT detail ->> 'key_id' FROM events WHERE kind = 'key.made' ORDER BY id"
        found = [int(each) for (each,) in connection.execute(query)]

    assert list(range(9)) == found


async def test_the_head_is_told_every_hour(kept: Kept) -> None:
    """So that no more than an hour can be cut off without anybody knowing what is lacking."""
    told = [await kept.keeps(timedelta(minutes=30)) for _ in range(4)]

    assert [True, False, True, False] == ["audit.head" in each for each in told]


async def test_a_clock_that_was_ahead_keeps_the_trail_from_nobody(kept: Kept) -> None:
    """Once it is right, its head is told and it is walked; where that is not done, it is late."""
    await kept.keeps()
    await kept.keeps(365 * DAY)
    kept.at = NOW + DAY
    late = kept.keeper.state.late_since(kept.at + DAY + timedelta(seconds=1))
    told = await kept.keeps()

    assert kept.keeper.state.since == late
    assert {"audit.head", "audit.verified"} <= {*told}
    assert [] == await kept.keeps(timedelta(minutes=59))


async def test_the_trail_is_walked_at_a_start_and_daily(kept: Kept) -> None:
    """That is a line of the trail, too: how far, and how much was wrong."""
    walks = [await kept.keeps(timedelta(hours=12)) for _ in range(4)]
    lines = await kept.kinds()

    assert [True, False, True, False] == ["audit.verified" in each for each in walks]
    assert 2 == lines.count("audit.verified")


async def test_what_is_broken_is_told_once_for_each_place(kept: Kept) -> None:
    """By an alarm that stands; handled, it is told no more, and a new place is."""
    await kept.keeps()
    change(kept.path, "UPDATE events SET kind = 'x.y' WHERE id = 1")
    logged = await kept.keeps(DAY)
    await kept.keeps(DAY)
    alarms = await kept.store.alarms.standing(None, 10)
    change(kept.path, "UPDATE alarms SET ended_at = since, ended_how = 'settled'")
    await kept.keeps(DAY)
    handled = await kept.store.alarms.standing(None, 10)
    change(kept.path, "UPDATE events SET kind = 'x.y' WHERE id = 2")
    await kept.keeps(DAY)
    new = await kept.store.alarms.standing(None, 10)

    assert "audit.broken" in logged
    assert [("audit.broken", ["line 1: changed"], 1)] == [
        (each.kind, list(each.codes), each.times) for each in alarms
    ]
    assert [] == handled
    assert [["line 2: changed"]] == [list(each.codes) for each in new]


def change(path: Path, statement: str) -> None:
    """Change what a program of ours could not: its triggers are put back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        query = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'events'"
        guards = connection.execute(query).fetchall()
        for name, _ in guards:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(statement)
        for _, sql in guards:
            connection.execute(sql)


async def test_a_trail_that_was_computed_anew_is_found_by_the_file_of_heads(kept: Kept) -> None:
    """A hash that the file tells is not the one that the line has."""
    await kept.keeps()
    with kept.heads.open("a") as heads:
        heads.write('{"line": 1, "hash": "%s"}\n' % ("0" * 64))
    await kept.keeps(DAY)
    (alarm,) = await kept.store.alarms.standing(None, 10)

    assert ["line 1: witness"] == list(alarm.codes)


async def test_what_was_done_beside_the_gateway_is_entered_once(kept: Kept) -> None:
    """With who, what and when it was done; the file is gone, and what is none stays, aside."""
    report(kept.reports, "operator.backed_up", {"who": "jo", "file": "/b"}, NOW - DAY)
    (kept.reports / "odd.json").write_text('{"kind": "operator.released", "detail": {}}')
    (kept.reports / "half.json").write_text('{"kind"')
    logged = await kept.keeps()
    lines = await kept.kinds()
    with closing(sqlite3.connect(kept.path)) as connection:
        query = "SELECT detail FROM events WHERE kind = 'operator.backed_up'"
        (detail,) = connection.execute(query).fetchone()

    assert 1 == lines.count("operator.backed_up")
    assert "operator.released" not in lines
    assert {"who": "jo", "file": "/b", "at": "2026-03-01T09:00:00.000Z"} == json.loads(detail)
    assert ["half.refused", "odd.refused"] == sorted(each.name for each in kept.reports.iterdir())
    assert 2 == logged.count("audit.report_refused")


async def test_it_ends_when_it_is_told_to(kept: Kept) -> None:
    """In the middle of a walk, too."""
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(kept.keeper.run())
        while not kept.looked:
            await asyncio.sleep(0)
        kept.keeper.stop()

    assert kept.looked


def found(folder: Path) -> tuple[Sequence[object], int]:
    """Return what is wrong with the trail there, and how many hashes it was held against."""
    witnesses = witnesses_in(folder / "audit-heads.jsonl", "heads")
    with closing(sqlite3.connect(folder / "gateway.db", isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        return walked(SqliteConnection(connection), witnesses).breaches, len(witnesses)


def test_whatever_step_it_dies_at_the_next_life_makes_it_whole(tmp_path: Path) -> None:
    """One seal of the day, which the file has as well; each report once; and the chain holds."""
    before = tmp_path / "before"
    before.mkdir()
    asyncio.run(filled(before))
    report(before / "reports", "operator.backed_up", {"who": "jo"}, NOW)
    command = [sys.executable, MORTAL, before, tmp_path, (NOW + DAY).isoformat()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    steps = int(done.stdout.splitlines()[-1])

    assert steps > 20, steps
    for step in range(steps + 1):
        folder = tmp_path / f"at-{step}"
        lines = kinds(folder / "gateway.db")
        breaches, known = found(folder)

        assert lines.count("audit.sealed") == lines.count("operator.backed_up") == 1, step
        assert [] == [*(folder / "reports").iterdir()], step
        assert [] == breaches, step
        assert known >= 2, step


async def filled(folder: Path) -> None:
    async with open_database(folder / "gateway.db") as database:
        await Store(database, node="here").inbound.receive(arrival(), NOW)


async def test_days_leave_whose_time_is_over(kept: Kept) -> None:
    """Each night, by whole days; what is left holds, and the log says what left."""
    kept.keeper._kept_days = 2
    await kept.store.visits.note("console.logged_in", {"who": "jo"}, NOW)
    events = [event for _ in range(5) for event in await kept.keeps(DAY)]
    breaches, _ = found(kept.path.parent)
    with closing(sqlite3.connect(kept.path)) as connection:
        (first,) = connection.execute("SELECT min(id) FROM events").fetchone()

    assert 0 == events.count("audit.anchored")  # the EPR has not collected what came

    pending = await kept.store.notices.pending("trust", 10)
    await kept.store.notices.collect("trust", [each.notice_id for each in pending], kept.at)
    events = [event for _ in range(2) for event in await kept.keeps(DAY)]
    with closing(sqlite3.connect(kept.path)) as connection:
        (later,) = connection.execute("SELECT min(id) FROM events").fetchone()

    assert "audit.anchored" in events
    assert first == 1 < later
    assert [] == breaches == found(kept.path.parent)[0]
