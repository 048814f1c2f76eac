"""The audit trail shows what was done to it: each change, gap, swap and cut, and where."""

import asyncio
import hashlib
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from own_words import said
from store_values import NOW, arrival, claim_next, submission

from bars_gateway.errors import DatabaseDamaged
from bars_gateway.model.messages import Actor
from bars_gateway.model.trail import Breach, BreachKind, TrailHead, Witness
from bars_gateway.store import chain
from bars_gateway.store.chain import COLUMNS, Walk, walked
from bars_gateway.store.connection import Database
from bars_gateway.store.heads import keep_head, witnesses_in
from bars_gateway.store.record_holds import HeldThing
from bars_gateway.store.records import THE_GATEWAY, add_event
from bars_gateway.store.sqlite import SqliteConnection
from bars_gateway.store.sqlite.backup import back_up
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.sqlite.integrity import examine
from bars_gateway.store.sqlite.restore import restore
from bars_gateway.store.statements import SQLITE, statements_of
from bars_gateway.store.store import Store

DAY = timedelta(days=1)
JO = Actor(role="operator", who="jo", why="claim 2026/114")
STORED = ("id", *COLUMNS[1:])


async def fill(path: Path, messages: int = 3) -> None:
    """Send some, receive one, seal a day, and receive another."""
    async with open_database(path) as database:
        store = Store(database, node="here")
        for _ in range(messages):
            await store.outbound.submit(submission(), NOW)
        await store.inbound.receive(arrival(), NOW)
        await claim_next(store, NOW, ["trust"])
        await store.visits.note("console.logged_in", {"who": "jo ✓ \u0000\u001f\x7f"}, NOW)
        await store.chain.seal(NOW + DAY)
        await store.inbound.receive(arrival(), NOW + DAY)


@dataclass(frozen=True)
class Trail:
    """A trail that nothing is wrong with, and its file."""

    path: Path

    @property
    def lines(self) -> int:
        with closing(sqlite3.connect(self.path)) as connection:
            return int(connection.execute("SELECT max(id) FROM events").fetchone()[0])

    def copied(self, name: str = "copy.db") -> Path:
        to = self.path.with_name(name)
        shutil.copy(self.path, to)
        return to


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Trail:
    path = tmp_path_factory.mktemp("trail") / "gateway.db"
    asyncio.run(fill(path))
    return Trail(path)


def walk(path: Path, *witnesses: Witness) -> Walk:
    """Walk the trail at *path*."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        return walked(SqliteConnection(connection), witnesses)


def found(path: Path, *witnesses: Witness) -> list[tuple[BreachKind, int]]:
    return [(each.kind, each.line) for each in walk(path, *witnesses).breaches]


def tampered(path: Path, *statements: str, keep_triggers: bool = False) -> None:
    """Change what no program of ours could: the triggers are taken away, and put back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        guards = connection.execute(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
            " AND tbl_name IN ('events', 'chain', 'anchors')"
        ).fetchall()
        for name, _ in guards:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        for _, sql in guards if not keep_triggers else ():
            connection.execute(sql)


def head_of(path: Path) -> TrailHead:
    with closing(sqlite3.connect(path)) as connection:
        line, hash_ = connection.execute(
            "SELECT line, hash FROM chain ORDER BY line DESC LIMIT 1"
        ).fetchone()
    return TrailHead(line=line, hash=hash_)


def test_the_whole_database_is_not_well_where_its_trail_is_not(trail: Trail) -> None:
    """Whoever verifies the database, or a backup, hears of the trail as well."""
    path = trail.copied("whole.db")
    well = examine(path).problems
    tampered(path, "UPDATE events SET kind = 'x.y' WHERE id = 5")

    assert [] == well
    assert ["audit trail: line 5 is not as"] == [each[:29] for each in examine(path).problems]


def test_what_nobody_touched_holds(trail: Trail) -> None:
    """Every line is chained, whichever work, trigger or group wrote it."""
    done = walk(trail.path)

    assert ([], trail.lines, 1) == (done.breaches, done.lines, done.seals)


def test_the_chain_is_what_the_page_says(trail: Trail) -> None:
    """Anybody computes it with a JSON library and SHA-256, and nothing of ours."""
    previous = "0" * 64
    with closing(sqlite3.connect(trail.path)) as connection:
        lines = connection.execute(
            f"SELECT {', '.join(STORED)}, hash FROM events JOIN chain ON line = id ORDER BY id"
        ).fetchall()
    for *values, stored in lines:
        text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
        digest = hashlib.sha256(text.encode()).hexdigest()
        previous = hashlib.sha256((previous + digest).encode()).hexdigest()

        assert previous == stored


@given(
    st.lists(
        st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(codec="utf-8")),
        max_size=7,
    )
)
def test_a_line_has_one_digest_whichever_library_writes_it(values: list[object]) -> None:
    """Compact JSON in UTF-8 is the same bytes by both."""
    assert json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode() == orjson.dumps(
        values
    )


def flipped(value: object, bit: int) -> str:
    """Return *value* with one bit turned over, as SQL."""
    if isinstance(value, int):
        return str(value ^ (1 << bit % 31))
    data = bytearray(str(value).encode())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    return f"CAST(x'{data.hex()}' AS TEXT)"


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_turned_bit_is_found_where_it_is(trail: Trail, data: st.DataObject) -> None:
    """Of any column of any line; the line is named, whatever else is."""
    path = trail.copied("bit.db")
    line = data.draw(st.integers(1, trail.lines), "line")
    with closing(sqlite3.connect(path)) as connection:
        query = f"SELECT {', '.join(STORED[1:])} FROM events WHERE id = ?"
        values = dict(zip(STORED[1:], connection.execute(query, [line]).fetchone(), strict=True))
    column = data.draw(st.sampled_from([name for name in values if values[name] is not None]))
    bit = data.draw(st.integers(0, 400), "bit")
    changed = flipped(values[column], bit)
    tampered(path, f"UPDATE events SET {column} = {changed} WHERE id = {line}")

    assert [(BreachKind.CHANGED, line)] == found(path)


@pytest.mark.parametrize("place", ["min", "max"])
def test_a_hash_that_is_no_text_any_more_is_found_and_stops_nothing(
    trail: Trail, place: str
) -> None:
    """The first and the last are read by themselves; messages go on to be taken, and chained."""
    path = trail.copied("spoilt.db")
    line = f"(SELECT {place}(line) FROM chain)"
    spoilt = "CAST(x'fe' || substr(CAST(hash AS BLOB), 2) AS TEXT)"
    tampered(path, f"UPDATE chain SET hash = {spoilt} WHERE line = {line}")
    (breach, *_) = walk(path).breaches
    asyncio.run(fill(path))

    assert (BreachKind.CHANGED, 1 if place == "min" else trail.lines) == (breach.kind, breach.line)
    assert {BreachKind.CHANGED} == {kind for kind, _ in found(path)}


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_bit_of_the_file_is_found_unless_everything_reads_as_before(
    trail: Trail, data: st.DataObject
) -> None:
    """Wherever on the pages that hold lines or hashes: a disk, and whoever has a hex editor."""
    path = trail.copied("file.db")
    whole = bytearray(path.read_bytes())
    pages = [n for n in range(len(whole) // 4096) if whole[n * 4096] == 13 and _holds(whole, n)]
    at = data.draw(st.sampled_from(pages)) * 4096 + data.draw(st.integers(0, 4095), "byte")
    whole[at] ^= 1 << data.draw(st.integers(0, 7), "bit")
    path.write_bytes(whole)
    try:
        same = _all(path) == _all(trail.path)
        breaches = found(path)
    except (sqlite3.DatabaseError, DatabaseDamaged):  # no page any more: that is damage
        return

    assert same == (not breaches)


def _holds(whole: bytes, page: int) -> bool:
    content = bytes(whole[page * 4096 : (page + 1) * 4096])
    of_lines = any(kind in content for kind in (b"message.queued", b"audit.sealed"))
    return b"CREATE " not in content and (of_lines or head_of_page(content))


def head_of_page(content: bytes) -> bool:
    """Tell whether there are hashes on a page."""
    return re.search(rb"[0-9a-f]{64}", content) is not None and b"$process" not in content


def _all(path: Path) -> Sequence[object]:
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        columns = ", ".join(STORED)
        lines = connection.execute(f"SELECT {columns} FROM events NOT INDEXED ORDER BY id")
        return [lines.fetchall(), connection.execute("SELECT * FROM chain").fetchall()]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_two_lines_that_changed_places_are_found(trail: Trail, data: st.DataObject) -> None:
    """Both are named, unless they say the same."""
    path = trail.copied("swap.db")
    one, other = data.draw(
        st.lists(st.integers(1, trail.lines), min_size=2, max_size=2, unique=True)
    )
    tampered(
        path,
        f"UPDATE events SET id = -1 WHERE id = {one}",
        f"UPDATE events SET id = {one} WHERE id = {other}",
        f"UPDATE events SET id = {other} WHERE id = -1",
    )

    assert {(BreachKind.CHANGED, one), (BreachKind.CHANGED, other)} == set(found(path))


@pytest.mark.parametrize("tables", [["events"], ["events", "chain"]], ids=len)
def test_a_line_that_is_gone_is_found(trail: Trail, tables: Sequence[str]) -> None:
    """Any of them, with or without its hash: the first, the last, and those between."""
    keys = {"events": "id", "chain": "line"}
    for line in range(1, trail.lines + 1):
        path = trail.copied("gone.db")
        tampered(path, *(f"DELETE FROM {each} WHERE {keys[each]} = {line}" for each in tables))
        named = walk(path).breaches

        assert named, line
        assert any(b.line <= line <= max(b.line, b.until) + 1 for b in named), (line, named)


def test_lines_cut_off_at_the_end_are_counted(trail: Trail) -> None:
    """SQLite remembers how many there were; whoever changes that as well needs a witness."""
    path, last = trail.copied("cut.db"), head_of(trail.path)
    cut = (f"DELETE FROM events WHERE id > {last.line - 2}",)
    cut += (f"DELETE FROM chain WHERE line > {last.line - 2}",)
    tampered(path, *cut)
    (breach,) = walk(path).breaches
    tampered(path, f"UPDATE sqlite_sequence SET seq = {last.line - 2} WHERE name = 'events'")
    witness = Witness(line=last.line, hash=last.hash, of="the journal")

    assert (BreachKind.CUT_OFF, last.line - 2, last.line) == (
        breach.kind,
        breach.line,
        breach.until,
    )
    assert [] == found(path)
    assert [(BreachKind.CUT_OFF, last.line - 2)] == found(path, witness)


@pytest.mark.parametrize(
    "setting", ["UPDATE sqlite_sequence SET seq = 3", "DELETE FROM sqlite_sequence"]
)
def test_a_counter_that_was_set_back_is_found(trail: Trail, setting: str) -> None:
    """Alone it hides nothing, and no number is given twice; nobody does it who hides nothing."""
    path = trail.copied("counter.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"{setting} WHERE name = 'events'")
        connection.commit()
    (breach,) = walk(path).breaches
    asyncio.run(fill(path))

    assert (BreachKind.COUNTER, trail.lines) == (breach.kind, breach.line)
    assert [] == found(path)


def test_a_line_of_another_program_is_found(trail: Trail) -> None:
    """It stands in the trail, and has no hash: the gateway does not chain what is not its own."""
    path = trail.copied("foreign.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "INSERT INTO events (at, kind) VALUES ('2026-03-02T09:00:00.000Z', 'x.y')"
        )
        connection.commit()
    asyncio.run(fill(path))

    assert [(BreachKind.FOREIGN, trail.lines + 1)] == found(path)


def test_a_trail_that_was_computed_anew_is_found_by_what_was_told(trail: Trail) -> None:
    """Whoever can write the file can compute hashes: what is outside of it stays as it was."""
    path, told = trail.copied("anew.db"), head_of(trail.path)
    statements = ["UPDATE events SET detail = '{}' WHERE id = 6"]
    previous = "0" * 64
    with closing(sqlite3.connect(path)) as connection:
        query = f"SELECT {', '.join(STORED)} FROM events ORDER BY id"
        for values in connection.execute(query).fetchall():
            line = ["{}" if values[0] == 6 and n == 6 else v for n, v in enumerate(values)]
            previous = chain.hash_after(previous, chain.digest_of_line(line))
            statements += [f"UPDATE chain SET hash = '{previous}' WHERE line = {line[0]}"]
    tampered(path, *statements)
    named = Witness(line=told.line, hash=told.hash, of="the journal")
    alone = Witness(line=None, hash=told.hash, of="what was noted")

    assert BreachKind.CHANGED not in {each.kind for each in walk(path).breaches}
    assert (BreachKind.WITNESS, told.line) in found(path, named)
    assert BreachKind.UNKNOWN in {kind for kind, _ in found(path, alone)}
    assert [] == found(trail.path, named, alone)


@pytest.mark.parametrize("name", chain.GUARDS)
def test_what_refuses_changes_has_to_be_there(trail: Trail, name: str) -> None:
    """A trigger that is gone, or says another thing, is itself a finding."""
    path = trail.copied("open.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"DROP TRIGGER {name}")
        event = {"kept": "UPDATE", "stay": "DELETE", "stays": "DELETE", "told": "INSERT"}[
            name.rpartition("_")[2]
        ]
        table = name.partition("_")[0]
        connection.execute(f"CREATE TRIGGER {name} BEFORE {event} ON {table} BEGIN SELECT 1; END")
        connection.commit()
    (breach,) = walk(path).breaches

    assert BreachKind.UNGUARDED is breach.kind
    assert name in breach.says


def test_the_trail_of_a_file_is_walked_without_the_driver_of_a_server(trail: Trail) -> None:
    """Who keeps everything in a file has not installed it, and has the trail walked each night."""
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from pathlib import Path\n"
        "from bars_gateway.store.sqlite.integrity import examine\n"
        "print(examine(Path(sys.argv[1])).problems)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, trail.path], capture_output=True, text=True, check=True
    )

    assert "[]\n" == told.stdout


def test_what_swallows_lines_is_found(trail: Trail) -> None:
    """A trigger that is none of the gateway's can keep a line out before it has a number."""
    path = trail.copied("swallows.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE TRIGGER quiet BEFORE INSERT ON events WHEN NEW.kind = 'console.revealed'"
            " BEGIN SELECT RAISE(IGNORE); END"
        )
        connection.commit()
    (breach,) = walk(path).breaches

    assert BreachKind.UNGUARDED is breach.kind
    assert "the trigger quiet" in breach.says


def test_each_finding_says_where_and_what_to_do() -> None:
    """By its line, its day, and a next step."""
    for kind in BreachKind:
        breach = Breach(kind=kind, line=12, until=14, at="2026-03-02T09:00:00.000Z", of="a file")

        assert "2026-03-02" in breach.says
        assert {"12", "a file"} & set(
            breach.says.replace(",", " ").split()
        ) or "a file" in breach.says
        assert breach.advice


async def test_a_day_that_is_over_is_sealed_once(store: Store, database: Database) -> None:
    """With the hash that the trail has then, and how many lines; one day is never sealed twice."""
    nothing = await store.chain.seal(NOW)
    await store.inbound.receive(arrival(), NOW)
    before = await store.chain.head()
    done = [await store.chain.seal(NOW + DAY * n) for n in (1, 1, 0, 2)]
    (seal, _) = await store.chain.newest_seals(9)

    assert before is not None
    assert (False, [True, False, False, True]) == (nothing, done)
    assert ("2026-03-03", 2, 1) == (seal.day, seal.through, seal.lines)
    assert [] == (await database.read(walked)).breaches


async def test_a_seal_of_a_day_to_come_stops_none(store: Store) -> None:
    """A clock that went wrong for a moment does not leave ten years unsealed."""
    await store.inbound.receive(arrival(), NOW)
    done = [await store.chain.seal(at) for at in (NOW + DAY * 3650, NOW, NOW)]

    assert [True, True, False] == done


async def test_a_restored_trail_goes_on_from_the_backup(tmp_path: Path) -> None:
    """It holds; what was told of lines that the backup lacks is called forgotten, not forged."""
    path, copy = tmp_path / "gateway.db", tmp_path / "copy.db"
    await fill(path)
    back_up(path, copy)
    await fill(path)
    lost = head_of(path)
    restore(copy, path, NOW + DAY, older=True)
    await fill(path)
    done = walk(path, Witness(line=lost.line, hash=lost.hash, of="the file of heads"))

    assert [] == done.breaches
    assert [lost.line] == [each.line for each in done.forgotten]


async def test_a_gap_as_wide_as_a_restores_is_no_restore(tmp_path: Path) -> None:
    """Without the line that a restore writes, it is a gap."""
    path = tmp_path / "gateway.db"
    await fill(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE sqlite_sequence SET seq = seq + 1000000 WHERE name = 'events'")
        connection.commit()
    await fill(path)

    assert [BreachKind.MISSING] == [each.kind for each in walk(path).breaches]


async def test_a_work_that_fails_leaves_no_link(tmp_path: Path) -> None:
    """It is undone with its lines, first or not, and the chain goes on."""

    def right(connection: SqliteConnection) -> None:
        add_event(connection, THE_GATEWAY, "a.b", NOW)

    def failing(connection: SqliteConnection) -> None:
        right(connection)
        raise ValueError

    path = tmp_path / "gateway.db"
    async with open_database(path) as database:
        works = [failing, right, failing, right]
        fates = await asyncio.gather(*map(database.write, works), return_exceptions=True)

    assert [ValueError, type(None), ValueError, type(None)] == list(map(type, fates))
    assert (2, []) == (walk(path).lines, walk(path).breaches)


async def test_the_trail_is_walked_in_steps(trail: Trail) -> None:
    """So that no snapshot is held for long; the steps find what one look finds."""
    path = trail.copied("steps.db")
    tampered(path, "UPDATE events SET kind = 'x.y' WHERE id = 5", "DELETE FROM events WHERE id = 7")
    in_steps = Walk()
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        steps = 1
        while chain.step(SqliteConnection(connection), in_steps, 2):
            steps += 1

    assert steps >= trail.lines // 2
    assert walk(path).breaches == in_steps.breaches


@pytest.mark.parametrize("name", ["last_walk", "oldest_seals", "proofs"])
def test_what_the_trail_says_of_itself_is_found_without_a_walk(trail: Trail, name: str) -> None:
    """Where no line of that kind is left, all of years would be read else, on one snapshot."""
    values = {"kind": "audit.anchored", "after": 0, "before": "9", "limit": 1}
    with closing(sqlite3.connect(trail.path)) as connection:
        plan = connection.execute(
            f"EXPLAIN QUERY PLAN {statements_of(SQLITE)[name]}", values
        ).fetchall()

    assert ["events_proof"] == re.findall(r"USING INDEX (\w+)", str(plan))


async def days(path: Path, count: int) -> None:
    """Receive a message on each of so many days, and seal each."""
    await later(path, 0, count)


async def later(path: Path, first: int, end: int) -> None:
    """Go on with the days from *first* on, before *end*."""
    async with open_database(path) as database:
        await lived(Store(database, node="here"), first, end)


async def lived(store: Store, first: int, end: int) -> None:
    """Do so in a database that is open."""
    for n in range(first, end):
        await store.visits.note("console.logged_in", {"who": "jo"}, NOW + DAY * n)
        await store.visits.note("console.logged_out", {"who": "jo"}, NOW + DAY * n)
        await store.chain.seal(NOW + DAY * (n + 1))


async def removed(path: Path, before: int, at_once: int = 2) -> int:
    """Let the days leave before that one; return how many did."""
    async with open_database(path) as database:
        return await left(Store(database, node="here"), before, at_once)


async def left(store: Store, before: int, at_once: int = 2) -> int:
    """Do so in a database that is open."""
    count = 0
    while (seal := await store.chain.removable(1, NOW + DAY * (before + 1))) is not None:
        await store.chain.anchor(seal, 90, NOW + DAY * 99)
        count += 1
        while await store.chain.remove(at_once, NOW + DAY * 99):
            pass
    return count


async def test_the_oldest_days_leave_and_the_rest_still_holds(
    store: Store, database: Database
) -> None:
    """The walk begins with the hash of the last that left; a line says so, and by which rule."""
    await lived(store, 0, 6)
    told = await store.chain.head()
    assert told is not None
    first = await left(store, 4)
    old = Witness(line=1, hash="0" * 64, of="a head of a line that left")
    known = [Witness(line=told.line, hash=told.hash, of="x"), old]
    done = await database.read(lambda connection: walked(connection, known))
    again = await left(store, 4)
    query = "SELECT min(id), (SELECT count(*) FROM chain) - count(*) FROM events"

    assert (3, 0) == (first, again)
    assert [] == done.breaches
    assert done.begins_after == 8
    assert done.removed.startswith("up to the end of 2026-03-04, as kept for 90 days, by what")
    assert [(9, 1)] == await said(database, query)


async def test_a_clock_that_leapt_lets_no_line_leave(store: Store) -> None:
    """Years have not passed where only days were sealed: by a week ahead no week leaves."""
    await lived(store, 0, 6)
    by_six = await store.chain.removable(6, NOW + DAY * 9000)
    by_five = await store.chain.removable(5, NOW + DAY * 9000)

    assert (None, "2026-03-02") == (by_six, by_five.day if by_five else None)


async def test_a_seal_of_a_day_that_is_years_to_come_stops_no_removal(
    store: Store, database: Database
) -> None:
    """It was made while the clock was ahead; the next one covers what it sealed."""
    for n in (0, 9000, 1, 2, 3):
        await store.visits.note("console.logged_in", {"who": "jo"}, NOW + DAY * n)
        await store.chain.seal(NOW + DAY * (n + 1))
    first = await store.chain.removable(1, NOW + DAY * 10)
    assert first is not None
    await store.chain.anchor(first, 1, NOW + DAY * 10)
    while await store.chain.remove(50, NOW + DAY * 10):
        pass
    second = await store.chain.removable(1, NOW + DAY * 10)

    assert ("2026-03-02", "2026-03-03") == (first.day, second.day if second else None)
    assert [] == (await database.read(walked)).breaches


async def test_what_was_sealed_while_the_clock_was_behind_is_young(store: Store) -> None:
    """By its stamp it is old enough, as the first that is left; but no day was sealed since."""
    await store.visits.note("console.logged_in", {"who": "jo"}, NOW - DAY * 4000)
    await store.chain.seal(NOW - DAY * 3999)

    assert await store.chain.removable(30, NOW) is None


async def test_a_line_about_an_appointment_to_come_stays(store: Store) -> None:
    """Who looked at it, and when, is known at least as long as it is."""
    await store.inbound.receive(arrival(appointment_until=NOW + DAY * 20), NOW)
    (notice,) = await store.notices.pending("trust", 5)
    await store.notices.collect("trust", [notice.notice_id], NOW)
    await store.chain.seal(NOW + DAY)
    await store.chain.seal(NOW + DAY * 2)
    kept = await store.chain.removable(1, NOW + DAY * 19)
    over = await store.chain.removable(1, NOW + DAY * 21)

    assert (None, True) == (kept, over is not None)


async def over(store: Store) -> str:
    """Receive what is over at once, seal its day and the next; return its X-Request-Id."""
    message = arrival()
    await store.inbound.receive(message, NOW)
    (notice,) = await store.notices.pending("trust", 5)
    await store.notices.collect("trust", [notice.notice_id], NOW)
    await store.chain.seal(NOW + DAY)
    await store.chain.seal(NOW + DAY * 2)
    return message.request_id


@pytest.mark.parametrize("when", ["before the trail says so", "after it"])
async def test_a_line_of_what_is_put_under_legal_hold_meanwhile_stays(
    store: Store, database: Database, when: str
) -> None:
    """Between the look at the day, the line that lets it leave, and its removal."""
    thing = HeldThing(request_id=await over(store))
    seal = await store.chain.removable(1, NOW + DAY * 10)
    assert seal is not None
    if when == "after it":
        assert await store.chain.anchor(seal, 1, NOW + DAY * 10)
    await store.record_holds.hold_record("trust", thing, JO, NOW + DAY * 10)
    leaves = await store.chain.anchor(seal, 1, NOW + DAY * 10)
    more = await store.chain.remove(50, NOW + DAY * 10)
    came = "SELECT count(*) FROM events WHERE kind = 'message.received'"
    held = await said(database, came)
    await store.record_holds.release_record("trust", thing, JO, NOW + DAY * 10)
    await store.chain.anchor(seal, 1, NOW + DAY * 10)
    await store.chain.remove(50, NOW + DAY * 10)

    assert (when == "after it", False) == (leaves, more)
    assert ([(1,)], [(0,)]) == (held, await said(database, came))
    assert [] == (await database.read(walked)).breaches


async def test_the_database_keeps_the_lines_of_what_is_held(tmp_path: Path) -> None:
    """A mistake in what is judged takes none with it."""
    path = tmp_path / "gateway.db"
    async with open_database(path) as database:
        store = Store(database, node="here")
        thing = HeldThing(request_id=await over(store))
        seal = await store.chain.removable(1, NOW + DAY * 10)
        assert seal is not None
        await store.chain.anchor(seal, 1, NOW + DAY * 10)
        await store.record_holds.hold_record("trust", thing, JO, NOW + DAY * 10)
    with (
        closing(sqlite3.connect(path)) as connection,
        pytest.raises(sqlite3.IntegrityError, match="append-only"),
    ):
        connection.execute("DELETE FROM events WHERE id <= ?", [seal.through])


async def test_a_removal_that_was_broken_off_holds_and_goes_on(
    store: Store, database: Database
) -> None:
    """After the line that says so, and after each portion."""
    await lived(store, 0, 3)
    seal = await store.chain.removable(1, NOW + DAY * 10)
    assert seal is not None
    await store.chain.anchor(seal, 90, NOW + DAY * 99)
    held = [(await database.read(walked)).breaches]
    while await store.chain.remove(1, NOW + DAY * 10):
        held += [(await database.read(walked)).breaches]

    assert [[]] * len(held) == held
    assert len(held) >= 2


async def test_more_than_the_rule_allows_is_never_removed(tmp_path: Path) -> None:
    """By the database itself; and whoever takes that away is found."""
    path = tmp_path / "gateway.db"
    await days(path, 4)
    await removed(path, 3)
    with closing(sqlite3.connect(path)) as connection:
        (first,) = connection.execute("SELECT min(id) FROM events").fetchone()
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute("DELETE FROM events WHERE id = ?", [first])
        connection.rollback()
    tampered(
        path,
        f"DELETE FROM events WHERE id <= {first}",
        f"DELETE FROM chain WHERE line < {first}",
    )

    assert [(BreachKind.CUT_BELOW, first)] == found(path)


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM anchors WHERE line > 8",
        "UPDATE anchors SET through = through + 1 WHERE line > 8",
        "UPDATE anchors SET line = line + 1 WHERE line > 8",
        "INSERT INTO anchors (through, line) VALUES (10, 3)",
        "INSERT INTO anchors (through, line) VALUES (10, 11)",
    ],
)
async def test_what_lets_lines_leave_has_its_line(tmp_path: Path, change: str) -> None:
    """A row that is gone, changed or added is found, though no line has left by it."""
    path = tmp_path / "gateway.db"
    await days(path, 5)
    await removed(path, 3)
    before = found(path)
    tampered(path, change)

    assert [] == before
    assert {BreachKind.ANCHOR} == {kind for kind, _ in found(path)}


async def test_what_lets_lines_leave_is_kept_by_the_database(tmp_path: Path) -> None:
    """None is added that no line tells of, none is changed, none removed."""
    path = tmp_path / "gateway.db"
    await days(path, 5)
    await removed(path, 3)
    with closing(sqlite3.connect(path)) as connection:
        for statement, says in (
            ("INSERT INTO anchors (through, line) VALUES (14, 15)", "no line of the audit trail"),
            ("UPDATE anchors SET through = 99", "append-only"),
            ("DELETE FROM anchors", "append-only"),
        ):
            with pytest.raises(sqlite3.IntegrityError, match=says):
                connection.execute(statement)
            connection.rollback()


async def test_an_anchor_of_which_the_line_has_left_cannot_matter(tmp_path: Path) -> None:
    """Its lines are gone, and so is its own: nothing leaves by it any more."""
    path = tmp_path / "gateway.db"
    await days(path, 5)
    await removed(path, 2)
    await later(path, 5, 9)
    await removed(path, 8)
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT through, line FROM anchors ORDER BY line").fetchall()
    begins = walk(path).begins_after
    spent = [line for _, line in rows if line <= begins]
    tampered(path, f"DELETE FROM anchors WHERE line = {spent[0]}")

    assert [] == found(path)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_turned_bit_in_what_the_trail_says_of_itself_is_found(
    shortened: Path, data: st.DataObject
) -> None:
    """Whatever a seal or an anchor says then: nothing that is read before it is trusted."""
    path = shortened.with_name("proof.db")
    shutil.copy(shortened, path)
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT id, detail FROM events WHERE kind IN ('audit.sealed', 'audit.anchored')"
        line, detail = data.draw(st.sampled_from(connection.execute(query).fetchall()))
    changed = flipped(detail, data.draw(st.integers(0, len(detail) * 8 - 1), "bit"))
    tampered(path, f"UPDATE events SET detail = {changed} WHERE id = {line}")

    assert (BreachKind.CHANGED, line) in found(path)


@pytest.fixture(scope="module")
def shortened(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a trail of which the oldest days have left under a rule."""
    path = tmp_path_factory.mktemp("shortened") / "gateway.db"

    async def fill_and_remove() -> None:
        await days(path, 5)
        await removed(path, 3)

    asyncio.run(fill_and_remove())
    return path


@pytest.mark.parametrize("kind", ["audit.anchored", "audit.sealed"])
@pytest.mark.parametrize(
    "detail", ["", "[]", "{}", '{"through": 9e99}', '{"day": 7}', "[" * 100_000], ids=range(6)
)
async def test_a_proof_that_says_nothing_is_a_finding(
    tmp_path: Path, kind: str, detail: str
) -> None:
    """Chained rightly, so by somebody who computes hashes; the walk goes on."""
    path = tmp_path / "gateway.db"
    await days(path, 1)
    forge(path, kind, detail)
    line = head_of(path).line

    assert [(BreachKind.SEAL, line)] == found(path)
    async with open_database(path) as database:
        assert await Store(database, node="here").chain.seal(NOW + DAY * 3)


def forge(path: Path, kind: str, detail: str, at: str = "2026-03-09T00:00:00.000Z") -> None:
    """Add a line as the gateway would, with the hash that is right."""
    last = head_of(path)
    line = last.line + 1
    digest = chain.digest_of_line([line, at, None, kind, None, None, detail])
    with closing(sqlite3.connect(path)) as connection:
        query = "INSERT INTO events (id, at, kind, detail) VALUES (?, ?, ?, ?)"
        connection.execute(query, [line, at, kind, detail])
        hash_ = chain.hash_after(last.hash, digest)
        connection.execute("INSERT INTO chain (line, hash) VALUES (?, ?)", [line, hash_])
        connection.commit()


def let_leave(path: Path, day: str, kept_days: int) -> None:
    """Forge the line that lets everything leave but the last, and remove it."""
    last = head_of(path)
    told = {"day": day, "through": last.line, "hash": last.hash, "kept_days": kept_days}
    forge(path, "audit.anchored", json.dumps(told))
    tampered(
        path,
        f"DELETE FROM events WHERE id <= {last.line}",
        f"DELETE FROM chain WHERE line < {last.line}",
        f"INSERT INTO anchors (through, line) VALUES ({last.line}, {last.line + 1})",
    )


@pytest.mark.parametrize("kept_days", [6, 2922, 0, -9])
async def test_lines_that_left_before_their_time_are_found(tmp_path: Path, kept_days: int) -> None:
    """By the line that lets them leave: its own day is not as old as its own rule."""
    path = tmp_path / "gateway.db"
    await days(path, 2)
    let_leave(path, "2026-03-03", kept_days)

    assert {BreachKind.EARLY, BreachKind.CUT_BELOW} & {kind for kind, _ in found(path)}


async def test_lines_that_left_with_a_false_day_are_found_by_a_dated_head(tmp_path: Path) -> None:
    """Who writes an old day into that line cannot change when others were told of its lines."""
    path, heads = tmp_path / "gateway.db", tmp_path / "heads"
    await days(path, 2)
    told = head_of(path)
    let_leave(path, "2001-01-01", 2922)
    at = "2026-03-04T10:00:00.000Z"
    keep_head(heads, {"at": at, "line": told.line - 1, "hash": told.hash})
    by_a_head = walk(path, *witnesses_in(heads, "the journal")).breaches
    keep_head(heads, {"at": "2010-01-01T00:00:00Z", "line": told.line, "hash": told.hash})
    after_a_wrong_clock = walk(path, *witnesses_in(heads, "the journal")).breaches

    assert [(BreachKind.EARLY, "the journal, line 2")] == [(b.kind, b.of) for b in by_a_head]
    assert [] == after_a_wrong_clock


async def test_a_head_of_what_left_in_its_time_is_no_finding(tmp_path: Path) -> None:
    """Told while the lines were there, a moment before their day was sealed."""
    path, heads = tmp_path / "gateway.db", tmp_path / "heads"
    await days(path, 6)
    await removed(path, 4)
    keep_head(heads, {"at": "2026-03-03T08:59:59Z", "line": 4, "hash": "0" * 64})

    assert [] == found(path, *witnesses_in(heads, "the journal"))


@pytest.mark.parametrize(
    "text", ['{"line": 9' + "9" * 40 + ', "hash": "H"}', '{"a":' * 100_000, '{"line": -1}']
)
def test_a_file_of_heads_may_hold_anything(trail: Trail, tmp_path: Path, text: str) -> None:
    """What is no head is passed over."""
    heads = tmp_path / "heads"
    heads.write_text(text.replace("H", "0" * 64))

    assert [] == found(trail.path, *witnesses_in(heads, "the journal"))


async def test_what_is_open_or_unseen_keeps_its_lines(tmp_path: Path) -> None:
    """And all that came after, for a chain has no holes: nothing leaves until that is over."""
    path = tmp_path / "gateway.db"
    async with open_database(path) as database:
        store = Store(database, node="here")
        await store.outbound.submit(submission(), NOW)
        await store.chain.seal(NOW + DAY)
        kept = await store.chain.removable(1, NOW + DAY * 10)

    assert kept is None
