"""
Everything that is stored, from a file to a server and back: row by row, killed at any step.

A copy that dies here asks nothing more of either database, and both sessions are cut: what was
not committed is undone as after a kill.
"""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest
from json_lines import LINES
from postgres_server import PostgresServer
from store_values import NOW, TERMS, arrival, attempt, claim_next, payload, submission
from typed import Done, settings_text, typed

from bars_gateway.errors import CopyRefused, DatabaseInUse, KeyMissing
from bars_gateway.keyring import CLEAR, EncryptionRing, RingKey, Vault
from bars_gateway.model.messages import OutboundState, Payload, Settled
from bars_gateway.store.chain import walked
from bars_gateway.store.connection import Connection, Database
from bars_gateway.store.copying import NUMBERED, OWN, PARTS, Copied, CopyEnd, copy, reopen
from bars_gateway.store.inbound import keep_aside
from bars_gateway.store.postgresql.copying import hold_server
from bars_gateway.store.postgresql.database import open_server
from bars_gateway.store.postgresql.server import ServerAddress
from bars_gateway.store.sqlite.copying import hold_file
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.sqlite.integrity import examine
from bars_gateway.store.store import Store

pytestmark = pytest.mark.needs("postgres")
KEYS = Vault(EncryptionRing(keys=(RingKey(key_id="first", secret=bytes(range(32))),)))
ANSWER = Payload(media_type="application/fhir+json", headers={}, body=b"")
LONG = b'{"resourceType":"Bundle","x":"' + b"Planted " * 200 + b'"}'
# What no work of `filled` leaves behind; none of it is acted on by a trigger that writes elsewhere.
OTHERS = """
    INSERT INTO links VALUES (1, 2, 'pair', 'likeness', 1, '2026');
    INSERT INTO uptime VALUES ('2026-03-02T09', '2026', '2026', 1000, 4096);
    INSERT INTO calls VALUES ('2026', 'trust', 3);
    INSERT INTO breaks VALUES ('system|value', '2026');
    INSERT INTO pauses VALUES ('system|value', '2026');
    INSERT INTO sent_before VALUES ('trust', 'f', NULL, 'r', '2026');
    INSERT INTO reports VALUES ('one.json');
    INSERT INTO in_force VALUES ('key: trust', 'é…');
    INSERT INTO alerts (code, about, says, urgent, mark, opened_at, told_at, told_mark)
         VALUES ('disk', '', '', 1, 2, '2026', '2026', 2);
    INSERT INTO deliveries (alert_id, step, channel, decided_at, due_at)
         VALUES (1, 'opened', 'mail', '2026', '2026');
    INSERT INTO record_holds (provider, workflow_id, held_at, held_by, why)
         VALUES ('trust', 1, '2026', 'a', 'b');
    INSERT INTO purges (began_by, why, rules, began_at, counts_to)
         VALUES ('a', 'b', '{}', '2026', '2026');
    INSERT INTO purged_classes VALUES (1, 'refusals', 7, 7, '{}', '', NULL);
    INSERT INTO purged VALUES ('refusals', 1, 1, 7);
    INSERT INTO alarms (event_id, kind, about, since, times) VALUES (1, 'a', 'b', '2026', 1);
    INSERT INTO subjects VALUES ('h', 'first', 1, NULL, NULL);
    INSERT INTO subjects VALUES ('h', 'first', NULL, 1, NULL), ('h', 'first', NULL, NULL, 1);
    UPDATE sqlite_sequence SET seq = seq + 7 WHERE name IN ('workflows', 'alarms');
"""


async def fill(database: Database) -> None:
    """Store something of each kind."""
    store = Store(database, node="here")
    await store.outbound.submit(submission(body=LONG, request=payload(LONG)), NOW)
    claim = await claim_next(store, NOW, ("trust",))
    settled = Settled(state=OutboundState.ACKNOWLEDGED, focus_id="minted-there")
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=settled)
    await store.inbound.receive(arrival(body=LONG, request=payload(LONG)), NOW)
    store.questions.attend("trust", NOW)
    await store.questions.ask_about(arrival(body=b"?" + LONG), None, TERMS, NOW)
    strange = arrival(body=b"!" + LONG, request=payload(b"!" + LONG))

    def put_aside(connection: Connection) -> None:
        keep_aside(connection, strange, "orphan", NOW)

    await database.write(put_aside)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the bytes of a file in which every table has rows, but for `anchors`."""
    path = tmp_path_factory.mktemp("filled") / "gateway.db"

    async def make() -> None:
        async with open_database(path, vault=KEYS) as database:
            await fill(database)

    asyncio.run(make())
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(OTHERS)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.read_bytes()


@pytest.fixture
def file(filled: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "gateway.db"
    path.write_bytes(filled)
    path.chmod(0o600)
    return path


@pytest.fixture
def server(postgres: PostgresServer) -> Iterator[ServerAddress]:
    url = postgres.empty()
    yield ServerAddress(url=url, node="here")
    postgres.drop(url)


def nothing(_done: int, _total: int) -> None:
    pass


def to_server(file: Path, server: ServerAddress, vault: Vault = KEYS) -> Copied:
    with hold_file(file, vault, is_target=False) as source, hold_server(server, vault) as target:
        return copy(source, target, vault, NOW, by="ops", advance=nothing)


def to_file(server: ServerAddress, file: Path) -> Copied:
    with hold_server(server, KEYS) as source, hold_file(file, KEYS, is_target=True) as target:
        return copy(source, target, KEYS, NOW, by="ops", advance=nothing)


def everything(file: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return each row of what is copied, but for the lines that tell of copies."""
    with closing(sqlite3.connect(file)) as connection:
        (last,) = connection.execute(
            "SELECT min(id) FROM events WHERE kind LIKE 'store.%'"
        ).fetchone()
        tables = {part.table for part in PARTS}
        found = {t: sorted(connection.execute(f"SELECT * FROM {t}"), key=repr) for t in tables}
    if last is not None:
        for table in ("events", "chain"):
            found[table] = [row for row in found[table] if row[0] < last]
    return found


def test_every_table_is_copied_or_a_databases_own(file, postgres, server):
    """A new table says which, and stands after those that it refers to."""
    to_server(file, server)
    with hold_server(server, KEYS) as theirs, closing(sqlite3.connect(file)) as ours:
        there = {
            name for (name,) in ours.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        }
        tables = [part.table for part in PARTS]
        late = [
            f"{table} before {parent}"
            for table in tables
            for (_, _, parent, *_) in ours.execute(f"PRAGMA foreign_key_list({table})")
            if tables.index(parent) > tables.index(table)
        ]

        assert {*theirs.tables()} | there == {*tables, *OWN, "copied_away"}
        assert [] == late


def key_of(connection: sqlite3.Connection, table: str) -> list[str]:
    """Return what *table* has for a primary key, or else what no two of its rows have alike."""
    columns = sorted(connection.execute(f"PRAGMA table_info({table})"), key=lambda row: row[5])
    if key := [row[1] for row in columns if row[5]]:
        return key
    (unique,) = (
        row[1] for row in connection.execute(f"PRAGMA index_list({table})") if row[2] and not row[4]
    )
    return [row[2] for row in connection.execute(f"PRAGMA index_info({unique})")]


def test_rows_are_told_apart_by_their_primary_keys(file):
    """By what has an index: a page of rows is found at once, however many there are."""
    with closing(sqlite3.connect(file)) as ours:
        keys = {part.table: key_of(ours, part.table) for part in PARTS if not part.where}
        numbered = {
            table
            for (table, sql) in ours.execute(
                "SELECT name, sql FROM sqlite_schema WHERE type = 'table'"
            )
            if "AUTOINCREMENT" in sql
        }

    assert {part.table: [*part.key] for part in PARTS if not part.where} == keys
    assert {*NUMBERED} == numbered


def test_the_file_has_something_of_each_table(file):
    """So that the tests below mean something."""
    assert {"anchors"} == {table for table, rows in everything(file).items() if not rows}


def test_there_and_back_is_every_row_as_it_was(file, server, tmp_path):
    """Ids, encrypted bytes, counters and the trail; and what a trigger has written, once."""
    before, back = everything(file), tmp_path / "back.db"
    there = to_server(file, server)
    again = to_file(server, back)

    assert before == everything(back)
    assert {table: len(rows) for table, rows in before.items() if rows} == there.rows
    assert [[], []] == [there.doubts, again.doubts]
    assert [] == examine(back, KEYS).problems


def test_numbers_go_on_where_they_were(file, server, tmp_path):
    """No id is given twice, though the last that had it is gone."""
    with closing(sqlite3.connect(file)) as connection:
        before = dict(connection.execute("SELECT name, seq FROM sqlite_sequence"))
    to_server(file, server)
    to_file(server, tmp_path / "back.db")
    with closing(sqlite3.connect(tmp_path / "back.db")) as connection:
        after = dict(connection.execute("SELECT name, seq FROM sqlite_sequence"))

    assert before | {"events": before["events"] + 2} == after


async def test_a_gateway_goes_on_with_the_copy(file, server):
    """Its triggers act again, and its trail is whole, with a line about the copy."""
    to_server(file, server)
    async with open_server(server, vault=KEYS) as database:
        store = Store(database, node="here")
        await store.outbound.submit(submission(body=b"new"), NOW)
        walk = await database.read(walked)

    assert [] == walk.breaches
    with hold_server(server, KEYS) as theirs:
        last = theirs.ask("SELECT kind FROM events ORDER BY id DESC LIMIT 2")
    assert [("message.queued",), ("store.copied",)] == last


async def test_no_gateway_starts_on_what_was_copied_away(file, server):
    """By mistake: it would take what the other one has taken."""
    to_server(file, server)
    with pytest.raises(CopyRefused, match="was copied to"):
        async with open_database(file, vault=KEYS):
            pass


async def test_whoever_says_why_opens_it_again(file, server):
    """And the trail has it."""
    to_server(file, server)
    with hold_file(file, KEYS, is_target=False) as source:
        reopen(source, NOW, by="ops", why="INC-7")
    async with open_database(file, vault=KEYS) as database:
        walk = await database.read(walked)
        head = await Store(database, node="here").chain.head()

    assert [] == walk.breaches
    with closing(sqlite3.connect(file)) as connection:
        (told,) = connection.execute(
            "SELECT detail FROM events WHERE id = ?", [head.line]
        ).fetchone()
    assert '"why": "INC-7"' in told


class Killed(BaseException):
    """Nothing is asked any more."""


def killed_copy(file: Path, server: ServerAddress, steps: int, *, back: bool = False) -> int:
    """Copy, and be killed after so many steps; return how many there were."""
    taken = 0

    def mortal(end: CopyEnd, ask: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any) -> Any:
            nonlocal taken
            if taken >= steps:
                end.raw.close()
                raise Killed
            taken += 1
            return ask(*arguments)

        return step

    with suppress(Killed, sqlite3.ProgrammingError), ExitStack() as stack:
        there = stack.enter_context(hold_server(server, KEYS))
        here = stack.enter_context(hold_file(file, KEYS, is_target=back))
        for end in (here, there):
            end.ask, end.put = mortal(end, end.ask), mortal(end, end.put)
        source, target = (there, here) if back else (here, there)
        copy(source, target, KEYS, NOW, by="ops", advance=nothing)
    return taken


def standing(file: Path, server: ServerAddress) -> set[str]:
    """Return which marks there are, and whether the copy has ended."""
    with hold_file(file, KEYS, is_target=False) as ours, hold_server(server, KEYS) as theirs:
        found = {"copied_away", "copy_begun"}.intersection([*ours.tables(), *theirs.tables()])
        if "events" in theirs.tables():
            ended = theirs.ask("SELECT kind FROM events WHERE kind = 'store.copied'")
            found |= {kind for (kind,) in ended}
    return found


def placed(filled: bytes, path: Path) -> Path:
    path.write_bytes(filled)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("share", range(2))
def test_a_copy_that_is_killed_goes_on_where_it_was(filled, tmp_path, postgres, share):
    """At whatever step; there is no moment at which a gateway would start on both."""
    address = ServerAddress(url=postgres.empty(), node="here")
    whole = placed(filled, tmp_path / "whole.db")
    before = everything(whole)
    most = killed_copy(whole, address, 10**6)
    found = set()
    for steps in [*range(20 + 40 * share, most - 6, most // 3), *range(most - 6 + share, most, 2)]:
        file = placed(filled, tmp_path / f"{steps}.db")
        server = ServerAddress(url=postgres.empty(), node="here")
        killed_copy(file, server, steps)
        marks = standing(file, server)
        found.add(frozenset(marks))
        if "store.copied" not in marks:
            to_server(file, server)
        to_file(server, tmp_path / f"{steps}.back.db")
        assert before == everything(tmp_path / f"{steps}.back.db")
        postgres.drop(server.url)

    both = {frozenset({"copied_away"}), frozenset({"copied_away", "copy_begun"})}
    assert found >= {frozenset({"copied_away", "copy_begun"})}
    assert found <= both | {frozenset(), frozenset({"copied_away", "store.copied"})}


def test_a_copy_into_a_file_goes_on_as_well(file, tmp_path, server):
    """What is dropped within a transaction, a kill puts back."""
    before = everything(file)
    to_server(file, server)
    triggers = set()
    for steps in (40, 150, 270):
        killed_copy(tmp_path / "back.db", server, steps, back=True)
        with closing(sqlite3.connect(tmp_path / "back.db")) as connection:
            query = "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'"
            triggers |= {*connection.execute(query)}
    to_file(server, tmp_path / "back.db")

    assert 1 == len(triggers)
    assert before == everything(tmp_path / "back.db")


async def test_no_gateway_starts_on_a_part_of_a_copy(file, server):
    """It would take again what is not there yet."""
    await asyncio.to_thread(killed_copy, file, server, 200)
    with pytest.raises(CopyRefused, match="holds a part of a copy of"):
        async with open_server(server, vault=KEYS):
            pass


async def test_nor_on_a_part_of_a_copy_in_a_file(file, server, tmp_path):
    """It is refused before anything of it is changed."""
    await asyncio.to_thread(to_server, file, server)
    await asyncio.to_thread(killed_copy, tmp_path / "back.db", server, 200, back=True)
    with pytest.raises(CopyRefused, match="holds a part of a copy of"):
        async with open_database(tmp_path / "back.db", vault=KEYS):
            pass


def test_what_was_begun_before_the_source_was_used_goes_on_no_more(file, server):
    """The rows that are there may have changed since."""
    killed_copy(file, server, 200)
    with hold_file(file, KEYS, is_target=False) as source:
        reopen(source, NOW, by="ops", why="INC-7")
    with pytest.raises(CopyRefused, match="a part of another copy"):
        to_server(file, server)


def test_a_source_is_copied_to_one_target(file, server, postgres):
    """Two gateways would go on from one past."""
    to_server(file, server)
    with pytest.raises(CopyRefused, match="was copied to"):
        to_server(file, ServerAddress(url=postgres.empty(), node="here"))


def test_a_target_that_is_not_empty_is_refused(filled, file, server, tmp_path):
    """Whatever is in it; and the source may be used as before."""
    with hold_server(server, KEYS) as theirs:
        theirs.ask("CREATE TABLE mine (id INTEGER)")
    with pytest.raises(CopyRefused, match="is not empty: it has the table mine"):
        to_server(file, server)

    assert "copied_away" not in standing(file, server)
    assert filled == file.read_bytes()


async def test_a_target_with_messages_is_refused(file, server):
    """One by one, they would be mixed up."""
    async with open_server(server) as database:
        await Store(database, node="here").outbound.submit(submission(), NOW)
    with pytest.raises(CopyRefused, match=r"is not empty: .*, with rows"):
        await asyncio.to_thread(to_server, file, server)


async def test_a_source_on_which_a_gateway_works_is_refused(file, server):
    """So is a target."""
    async with open_database(file, vault=KEYS):
        with pytest.raises(DatabaseInUse):
            await asyncio.to_thread(to_server, file, server)
    async with open_server(server, alone=False):
        with pytest.raises(DatabaseInUse):
            await asyncio.to_thread(to_server, file, server)


def test_a_source_of_another_schema_is_refused(file, server):
    """Its rows would not fit."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 0")
    with pytest.raises(CopyRefused, match="has schema 0"):
        to_server(file, server)


def test_a_source_whose_key_is_missing_is_refused(file, server):
    """Nobody could read the copy."""
    with pytest.raises(KeyMissing):
        to_server(file, server, CLEAR)


def test_what_is_not_the_same_in_the_end_is_found(file, server):
    """A byte of a payload is enough; the copy stays unfinished, and nobody starts on it."""
    with hold_file(file, KEYS, is_target=False) as ours, hold_server(server, KEYS) as theirs:
        count_from = theirs.count_from

        def spoil(counters: Mapping[str, int]) -> None:
            count_from(counters)
            theirs.ask("UPDATE payloads SET body = set_byte(body, 3, 0) WHERE message_id = 1")

        theirs.count_from = spoil
        with pytest.raises(CopyRefused, match="is not the same in the end: payloads"):
            copy(ours, theirs, KEYS, NOW, by="ops", advance=nothing)

    assert {"copied_away", "copy_begun"} == standing(file, server)


def test_a_text_that_a_server_does_not_keep_is_named_by_its_table(file, server):
    """And neither is it cut, nor is the text told."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE in_force SET what = 'secret' || char(0)")
        connection.commit()
    with pytest.raises(CopyRefused, match="does not take a row of in_force: a text with a NUL"):
        to_server(file, server)


OF_STORE = """\
[inbound]
enabled = false

[store]
{}
"""


@pytest.fixture
def type_it(tmp_path: Path) -> Callable[..., Done]:
    """Return what types a command, with that line below [store]."""

    def type_with(store: str, *words: str | Path) -> Done:
        settings = tmp_path / "bars-gateway.toml"
        settings.write_text(
            settings_text(tmp_path, state_dir=str(tmp_path), rest=OF_STORE.format(store)), "utf-8"
        )
        return typed(*map(str, words), environ={"BARS_GATEWAY_CONFIG": str(settings)})

    return type_with


@pytest.fixture
def clear_file(file: Path) -> Path:
    """Return the file, of which no settings say that it needs a key."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE keyring SET done_at = '2026'")
        connection.commit()
    return file


def test_what_an_operator_types_copies_there_and_back(clear_file, server, tmp_path, type_it):
    """What it prints says what to write into the settings."""
    there = type_it("", "store", "copy", "--to", server.url)
    back = type_it(f'url = "{server.url}"', "store", "copy", "--to", tmp_path / "b.db", "--json")
    told = json.loads(back.out)

    assert set(LINES["store copy"].members) == set(told)
    assert "holds all that" in there.out.splitlines()[0]
    assert f'url = "{server.url}"' in there.out
    assert str(tmp_path / "b.db") == told["to"]
    assert (server.name, told["rows"]["payloads"]) == (told["from"], 3)


def test_what_is_wrong_in_both_is_said(clear_file, server, type_it):
    """Here nobody can open what is encrypted; it came over all the same."""
    done = type_it("", "store", "copy", "--to", server.url)

    assert 1 == done.code
    assert "error: quarantine 1: its Bundle" in done.err


def test_one_of_the_same_kind_is_refused(clear_file, tmp_path, type_it):
    """There are better tools for that."""
    done = type_it("", "store", "copy", "--to", tmp_path / "b.db")

    assert (2, "") == (done.code, done.out)
    assert "must name a server" in done.err


def test_reopening_asks_why_and_says_what_to_leave_alone(clear_file, server, type_it):
    """The audit trail keeps the reason."""
    type_it("", "store", "copy", "--to", server.url)
    refused = type_it("", "store", "reopen")
    done = type_it("", "store", "reopen", "--why", "INC-7")

    assert (2, 0) == (refused.code, done.code)
    assert f"Let none start on {server.name}: remove it." == done.out.splitlines()[-1]


@pytest.fixture
def locked(postgres: PostgresServer) -> Iterator[str]:
    """Return the URL of a database whose owner has to give a password."""
    hba = postgres.data / "pg_hba.conf"
    before = hba.read_text("utf-8")
    hba.write_text(f"local all locked scram-sha-256\n{before}", "utf-8")
    postgres.say("SELECT pg_reload_conf()")
    postgres.say("CREATE ROLE locked LOGIN PASSWORD 'the right one'")
    postgres.say("CREATE DATABASE locked OWNER locked TEMPLATE template0")
    yield f"postgresql://locked@/locked?host={postgres.folder}"
    postgres.say("DROP DATABASE locked WITH (FORCE)")
    postgres.say("DROP ROLE locked")
    hba.write_text(before, "utf-8")
    postgres.say("SELECT pg_reload_conf()")


def test_a_password_is_taken_from_its_file(clear_file, locked, tmp_path, type_it):
    """One that is wrong, not there, or open to others is said, and nothing of it is printed."""
    file = tmp_path / "password"
    copies = ("store", "copy", "--to", locked, "--password-file", file)
    lacking = type_it("", *copies)
    file.touch(mode=0o640)
    file.write_text("the wrong one\n", "utf-8")
    shared = type_it("", *copies)
    file.chmod(0o600)
    wrong = type_it("", *copies)
    file.write_text("the right one\n", "utf-8")
    done = type_it("", *copies)

    assert "the password of the database cannot be read" in lacking.err
    assert (2, True) == (shared.code, f"chmod 0600 {file}" in shared.err)
    assert "the database server refuses the password" in wrong.err
    assert "holds all that" in done.out
    assert not any(
        "the wrong one" in said or "the right one" in said
        for said in (lacking.err, shared.err, wrong.err, done.out, done.err)
    )
