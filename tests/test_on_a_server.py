"""
What an operator types where everything is kept on a PostgreSQL server, gateway running or not.

Every command is tried: none may trace back, or speak of a file that there is not.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import engines
import pytest
from store_values import NOW, TERMS, arrival, attempt, claim_next, payload, submission
from typed import WHY, Done, settings_text, typed
from world import eventually, world_in

from bars_gateway.cli.main import SECTIONS
from bars_gateway.daemon import gateway
from bars_gateway.errors import DatabaseSetBack
from bars_gateway.model.messages import OutboundState, Payload, Settled
from bars_gateway.model.trail import LEAP
from bars_gateway.store.chain import walked
from bars_gateway.store.connection import Database
from bars_gateway.store.heads import keep_head, last_told
from bars_gateway.store.migrating import POSTGRESQL, migrations
from bars_gateway.store.postgresql.database import open_server
from bars_gateway.store.postgresql.integrity import made_by
from bars_gateway.store.postgresql.server import ServerAddress
from bars_gateway.store.store import Store

pytestmark = pytest.mark.needs("postgres")
LONG = b'{"resourceType":"Bundle","x":"' + b"Planted " * 200 + b'"}'
Types = Callable[..., Done]


async def fill(database: Database) -> None:
    """Store one that waits, one that was acknowledged, one that came, and a question."""
    store = Store(database, node="here")
    await store.outbound.submit(submission(body=LONG, request=payload(LONG)), NOW)
    claim = await claim_next(store, NOW, ("trust",))
    settled = Settled(state=OutboundState.ACKNOWLEDGED, focus_id="minted-there")
    answer = Payload(media_type="application/fhir+json", headers={}, body=b"")
    await store.outbound.settle(claim, answer, attempt=attempt(claim), settlement=settled)
    await store.inbound.receive(arrival(body=LONG, request=payload(LONG)), NOW)
    store.questions.attend("trust", NOW)
    await store.questions.ask_about(arrival(body=b"?" + LONG), None, TERMS, NOW)
    await store.outbound.submit(submission(body=b" " + LONG, request=payload(b" " + LONG)), NOW)


@pytest.fixture(scope="module")
def filled() -> Iterator[str]:
    """Return the URL of a database in which something of each kind is stored."""
    url = engines.server().ready()

    async def make() -> None:
        async with open_server(ServerAddress(url=url, node="here")) as database:
            await fill(database)

    asyncio.run(make())
    yield url
    engines.server().drop(url)


@pytest.fixture
def at(tmp_path: Path, filled: str) -> Path:
    """Return what stands for a database of one's own with all that."""
    engines.use(engines.POSTGRESQL)
    path = tmp_path / "stands-for-it"
    engines._made[path] = engines.server().copy_of(filled)
    return path


def typing(folder: Path, url: Callable[[], str]) -> Types:
    """Return what types a command, with settings that name the server."""
    for name in ("state", "spool", "run", "keys"):
        (folder / name).mkdir(mode=0o700)

    def type_it(*words: object, said: str = "") -> Done:
        config = folder / "bars-gateway.toml"
        store = f'[inbound]\nenabled = false\n[store]\nurl = "{url()}"\n'
        config.write_text(settings_text(folder, rest=store), "utf-8")
        return typed(*words, said=said, environ={"BARS_GATEWAY_CONFIG": str(config)})

    return type_it


@pytest.fixture
def types(tmp_path: Path, at: Path) -> Types:
    return typing(tmp_path, lambda: engines.url_of(at))


# Each command, and how it exits with a gateway that does not run: what asks one says so.
COMMANDS: dict[str, tuple[int, tuple[str, ...]]] = {
    "queue": (0, ()),
    "show": (1, ("1",)),
    "explain": (0, ("1",)),
    "timeline": (1, ("1",)),
    "owed": (0, ()),
    "counterparties": (0, ()),
    "audit": (0, ()),
    "audit verify": (0, ()),
    "audit seals": (0, ()),
    "audit export": (0, ("{folder}/export.jsonl", *WHY)),
    "stats": (0, ()),
    "alarms": (0, ()),
    "alerts": (0, ()),
    "quarantine": (0, ()),
    "verify": (0, ()),
    "backup": (2, ("{folder}/backup.db",)),
    "compact": (2, ()),
    "purge": (0, ("--dry-run",)),
    "purge --certificates": (0, ()),
    "purge --why": (0, ("tidying",)),
    "held-records": (0, ()),
    "hold": (1, ("1", *WHY)),
    "safety report": (0, ()),
    "incident": (0, ("1",)),
    "encryption show": (0, ()),
    "nodes list": (0, ()),
    "doctor": (2, ("--offline",)),
    "check": (2, ()),
}
# These open no database, or run for good, or ask the running gateway alone as `hold` does.
OTHERS = frozenset(
    {
        *("run", "config", "lint", "send", "release", "withdraw", "retry", "resend", "cache"),
        *("mark-handled", "acknowledge", "attach", "confirm", "hold-record", "release-record"),
        *("users", "init", "keys", "csr", "certificate", "letters", "evidence", "demo", "sandbox"),
        *("completion", "epr-check", "schemas"),
        *("restore", "store", "subject"),  # tests of their own below
    }
)


def test_each_command_is_tried() -> None:
    """A new one says here whether it opens the database."""
    there = {name for names in SECTIONS.values() for name in names}

    assert there == {name.partition(" ")[0] for name in COMMANDS} | OTHERS


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_no_command_speaks_of_a_file(filled: str, tmp_path: Path, command: str) -> None:
    """Each does what it does on a file, or names the tool to use instead."""
    code, words = COMMANDS[command]
    done = typing(tmp_path, lambda: filled)(
        *command.split(), *(word.format(folder=tmp_path) for word in words)
    )
    said = done.out + done.err

    assert code == done.code, said
    assert "Traceback" not in said
    assert "gateway.db" not in said
    assert "store.path" not in said


def test_settings_are_checked_where_there_is_no_file(filled: str, tmp_path: Path) -> None:
    """All that is wrong with them is said, and not that a server has no file."""
    done = typing(tmp_path, lambda: filled)("check")

    assert "private_key_file" in done.err
    assert "this works on a database file" not in done.err


def test_what_is_wrong_with_the_bytes_of_a_message_is_found(types: Types, at: Path) -> None:
    """A server keeps whatever its disk gives it: only the digest that was taken can tell."""
    whole = types("verify")
    engines.ask(at, "UPDATE payloads SET body = decode('00', 'hex') WHERE message_id = 1")
    done = types("verify", "--json")
    (found,) = [json.loads(line) for line in done.out.splitlines()]

    assert (0, 1) == (whole.code, done.code)
    assert "pg_amcheck" in whole.out
    assert "Nothing is wrong with it." in whole.out
    assert {"messages": 3, "questions": 1}.items() <= found["counts"].items()
    assert not found["damaged"]
    assert any("its request" in each for each in found["problems"])


GONE = """
    INSERT INTO nodes (name, incarnation, version, started_at, seen_at, ahead_ms, asked, leases)
    VALUES ('gone', 'x', '1.0.0', '2026-01-01T07:00:00.000Z', '2026-01-01T08:00:00.000Z', 0,
            '{}', '[]')
"""
# As sentences of pages have them: tests/epr/test_commands_in_sentences.py has the others.
IN_SENTENCES = (
    "nodes list",
    "nodes remove NAME --why TEXT",
    "store copy --to FILE",
    "store reopen --why TEXT",
)


def test_what_sentences_have_typed_is_done(types: Types, at: Path, tmp_path: Path) -> None:
    """In this order: a node is away for good, and all is copied into a file, and is not."""
    engines.ask(at, GONE)
    names = {"NAME": "gone", "FILE": str(tmp_path / "copied.db"), "TEXT": "INC-7"}
    done = {each: types(*(names.get(word, word) for word in each.split())) for each in IN_SENTENCES}

    assert {} == {each: one.err for each, one in done.items() if one.code}
    assert "gone" in done["nodes list"].out


BROKEN = {
    "it lacks the index messages_due,": "DROP INDEX messages_due",
    "it lacks the trigger events_numbered,": "ALTER TABLE events DISABLE TRIGGER events_numbered",
    "it lacks the constraint payloads_message_id_fkey,": "ALTER TABLE payloads"
    " DROP CONSTRAINT payloads_message_id_fkey",
    "1 rows of payloads are such as part_is_known forbids": "ALTER TABLE payloads"
    " DROP CONSTRAINT part_is_known; UPDATE payloads SET part = 'x' WHERE message_id = 2;"
    " ALTER TABLE payloads ADD CONSTRAINT part_is_known CHECK (part IN ('request')) NOT VALID",
    "1 rows of notices refer to rows of messages that are not there": "ALTER TABLE notices"
    " DISABLE TRIGGER ALL; UPDATE notices SET message_id = 99 WHERE id = 1;"
    " ALTER TABLE notices ENABLE TRIGGER ALL",
}


@pytest.mark.parametrize("says", sorted(BROKEN))
def test_what_is_wrong_with_the_structure_is_found(types: Types, at: Path, says: str) -> None:
    """As a dump that was not put back to its end leaves it, or a superuser who forces it."""
    for each in BROKEN[says].split("; "):
        engines.ask(at, each)
    done = types("verify")

    assert 1 == done.code
    assert says in done.err


def test_all_that_the_release_makes_is_looked_for(at: Path) -> None:
    """Each index, constraint and trigger that a database has stands in what verify looks for."""
    looked_for = {name for sql in migrations(POSTGRESQL).values() for _, name in made_by(sql)}
    query = """
        SELECT relname FROM pg_class
         WHERE relkind IN ('r', 'v', 'i') AND relnamespace = 'public'::regnamespace
         UNION SELECT conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace
         UNION SELECT tgname FROM pg_trigger WHERE NOT tgisinternal
    """

    assert {name for (name,) in engines.ask(at, query)} == looked_for


def test_a_trail_is_walked_and_exported(types: Types, at: Path, tmp_path: Path) -> None:
    """By period, by actor, by person; what was changed in it is found."""
    whole = types("audit", "verify", "--json")
    file = tmp_path / "export.jsonl"
    done = types("audit", "export", file, *WHY, "--from", "2020-01-01", "--actor", "nobody")
    subject = types(
        "audit", "export", tmp_path / "one.jsonl", *WHY, "--subject", "-", "--read-everything",
        said="9434765919\n",
    )  # fmt: skip
    engines.ask(at, "ALTER TABLE events DISABLE TRIGGER ALL")
    engines.ask(at, "UPDATE events SET at = '2020' WHERE id = 1")
    engines.ask(at, "ALTER TABLE events ENABLE TRIGGER ALL")
    broken = types("audit", "verify")

    assert [0, 0, 0, 1] == [whole.code, done.code, subject.code, broken.code]
    assert [] == json.loads(whole.out)["breaches"]
    assert "0 lines" in done.out
    assert "line 1 is not as it was written" in broken.err


def test_a_key_ring_is_made_and_a_lost_one_is_not(types: Types, at: Path, tmp_path: Path) -> None:
    """A stopped gateway: what needs a key of a ring that is gone is said by the server's name."""
    ring = tmp_path / "ring"
    made = types("encryption", "rotate", "--file", ring, *WHY)
    copied = types("encryption", "copy", tmp_path / "copy", "--file", ring, *WHY)
    ring.unlink()
    engines.ask(at, "INSERT INTO keyring (key_id, proof, since) VALUES ('k1', '', '2026')")
    lost = types("encryption", "rotate", "--file", ring, *WHY)

    assert [0, 0] == [made.code, copied.code]
    assert lost.code
    assert "needs its key k1" in lost.err


def test_an_empty_database_has_no_tables_yet(types: Types, at: Path) -> None:
    """Nobody speaks of a relation: no gateway has run there."""
    engines._made[at] = engines.server().empty()
    done = types("queue")

    assert 1 == done.code
    assert "no gateway has made its tables there" in done.err


def test_a_file_is_refused_with_the_tool_to_use(types: Types, tmp_path: Path) -> None:
    """`restore FILE` puts back a file, and a server has its own tool."""
    done = types("restore", tmp_path / "backup.db")

    assert done.code
    assert "pg_restore --exit-on-error" in done.err


def heads(folder: Path) -> Path:
    return folder / "state" / "audit-heads.jsonl"


def test_what_was_put_back_is_whole_and_made_safe(types: Types, at: Path, tmp_path: Path) -> None:
    """Numbers leap beyond those that were given since; what waits is held, and said so."""
    ((line,),) = engines.ask(at, "SELECT max(id) FROM events")
    engines.dump(at, tmp_path / "dump")
    engines.put_back(at, tmp_path / "dump")
    keep_head(heads(tmp_path), {"at": "2026", "line": line + 5, "hash": "a" * 64})
    whole = types("verify")
    cut = types("audit", "verify")
    done = types("restore")
    walked = types("audit", "verify", "--json")
    states = engines.ask(at, "SELECT state, attempts FROM messages WHERE direction = 'outbound'")
    ((notice,),) = engines.ask(at, "SELECT max(id) FROM notices")
    ((about,),) = engines.ask(at, "SELECT about FROM questions")

    assert (0, 1, 0) == (whole.code, cut.code, done.code), done.err
    assert "are cut off" in cut.err
    assert "Held: 1 message." in done.out
    assert "none is given a second time" in done.out
    assert [("acknowledged", 1), ("held", 1)] == sorted(states)
    assert notice > LEAP
    assert ["restored"] == json.loads(about)["remarks"]
    assert [] == json.loads(walked.out)["breaches"]
    assert [line + 5] == json.loads(walked.out)["forgotten"]


def test_what_was_not_put_back_whole_is_refused(types: Types, at: Path) -> None:
    """Without its triggers nothing that is written there is in order."""
    engines.ask(at, "DROP TRIGGER messages_moved ON messages")
    done = types("restore")

    assert done.code
    assert "it lacks the trigger messages_moved" in done.err
    assert [] == engines.ask(at, "SELECT 1 FROM events WHERE kind = 'operator.restored'")


async def test_no_gateway_starts_on_what_was_set_back(tmp_path: Path) -> None:
    """
    Nor on another database: `store.url` is new, and everything is still in the file.

    It would give numbers a second time that the EPR knows, and send what was withdrawn.
    """
    engines.use(engines.POSTGRESQL)
    async with world_in(tmp_path) as world:
        node = world.hospital
        await node.stop()
        told = node.folder / "state" / "audit-heads.jsonl"
        ((line,),) = node.ask("SELECT max(id) FROM events")
        keep_head(told, {"at": "2026", "line": line + 5, "hash": "a" * 64})
        with pytest.raises(DatabaseSetBack) as refused:
            await gateway.run(node.settings(), asyncio.Event())
        await node.ran("restore")
        await node.restart()
        walk = await node.seen(walked)

    assert f"tells of line {line + 5}" in str(refused.value)
    assert [] == walk.breaches


async def test_no_gateway_starts_on_what_was_set_back_and_has_gone_on(tmp_path: Path) -> None:
    """A standby that lacked the last, say: its trail has that line, and it is another one."""
    engines.use(engines.POSTGRESQL)
    async with world_in(tmp_path) as world:
        node = world.hospital
        await node.stop()
        told = node.folder / "state" / "audit-heads.jsonl"
        ((line,),) = node.ask("SELECT max(id) FROM events")
        told.unlink()
        keep_head(told, {"at": "2026", "line": line, "hash": "a" * 64})
        with pytest.raises(DatabaseSetBack) as refused:
            await gateway.run(node.settings(), asyncio.Event())
        await node.ran("restore")
        await node.restart()

    assert f"has another line {line}" in str(refused.value)


async def test_of_two_hashes_of_a_line_what_was_told_last_tells_which_database_it_is(
    tmp_path: Path,
) -> None:
    """
    A standby was promoted that lacked the last line, and all went on there: another has its number.

    That database is started on; the one before, which is up again and ends with it, is not.
    """
    engines.use(engines.POSTGRESQL)
    async with world_in(tmp_path) as world:
        node = world.hospital
        await node.stop()
        heads = node.folder / "state" / "audit-heads.jsonl"
        last = last_told(heads)
        assert last is not None
        own, lost = ({"at": "2026", "line": last.line, "hash": of} for of in (last.hash, "a" * 64))
        for told in (own, lost):
            keep_head(heads, told)
        (at_once := asyncio.Event()).set()
        with pytest.raises(DatabaseSetBack) as refused:
            await gateway.run(node.settings(), at_once)
        keep_head(heads, own)
        await node.restart()

    assert f"has another line {last.line}" in str(refused.value)


async def test_gateways_of_one_database_share_the_rate(tmp_path: Path) -> None:
    """Half for each while there are two, and all for the one that is left; the page has both."""
    engines.use(engines.POSTGRESQL)
    async with world_in(tmp_path) as world:
        node = world.hospital
        node.store += "several_nodes = true\n"
        await node.restart()
        budget = node.gateway._dispatcher.budgets["hospital"]
        all_of_it = budget.per_minute
        south = ServerAddress(url=engines.url_of(node.database), node="south")
        async with open_server(south, alone=False):
            await eventually(lambda: budget.per_minute == all_of_it // 2)
            named = [each.name for each in node.gateway._runtime_state().nodes]
        await eventually(lambda: budget.per_minute == all_of_it)

    assert ["hospital", "south"] == named
