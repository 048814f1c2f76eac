"""`backup`, `verify` and `restore` as an operator types them: what they print, how they exit."""

import asyncio
import json
import re
import sqlite3
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hiding import hide
from store_values import NOW, arrival, submission
from typed import Done, settings_text, typed

from bars_gateway.cli.backup import AT_HAND_OVER, AT_RESTORE, handed_over, meaning
from bars_gateway.store.aftermath import Became, Line
from bars_gateway.store.integrity import DatabaseReport
from bars_gateway.store.sqlite.adopted import StandsAgain
from bars_gateway.store.sqlite.backup import back_up
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.sqlite.restore import DatabaseCondition, HandedOver, Restored
from bars_gateway.store.store import Store


@dataclass(frozen=True)
class Home:
    """A state folder with one message each way in its database."""

    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "gateway.db"

    @property
    def copy(self) -> Path:
        return self.folder / "copy.db"

    def bars_gateway(self, *arguments: str | Path, **environ: str) -> Done:
        """Type a command, in a thread: a loop may run in this one."""
        with ThreadPoolExecutor(1) as thread:
            words = map(str, arguments)
            return thread.submit(typed, *words, environ=self.environ | environ).result(60)

    @property
    def environ(self) -> Mapping[str, str]:
        settings = str(self.folder / "bars-gateway.toml")
        return {"PATH": "/usr/bin:/bin", "COLUMNS": "80", "BARS_GATEWAY_CONFIG": settings}


@pytest.fixture
async def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    settings = settings_text(tmp_path, state_dir=str(tmp_path))
    (tmp_path / "bars-gateway.toml").write_text(settings, "utf-8")
    await one_each_way(home)
    return home


async def one_each_way(home: Home) -> str:
    async with open_database(home.database) as database:
        store = Store(database, node="here")
        await store.inbound.receive(arrival(), NOW)
        return (await store.outbound.submit(submission(), NOW)).request_id


async def test_a_backup_is_made_while_the_gateway_runs(home: Home) -> None:
    """What is in it is said in figures."""
    async with open_database(home.database):
        done = await asyncio.to_thread(home.bars_gateway, "backup", home.copy)
    first, *rest = done.out.splitlines()

    assert (0, "") == (done.code, done.err)
    assert first.startswith(f"{home.copy}: a whole copy of {home.database}, ")
    assert "  messages               2" in rest
    assert "  last change 2026-03-02 09:00:00 UTC" in rest
    assert rest[-1].startswith("  its audit trail ends with line 2, hash ")


def test_a_backup_over_a_file_is_refused(home: Home) -> None:
    """Two lines: what happened, and what to do next."""
    home.copy.write_bytes(b"")
    done = home.bars_gateway("backup", home.copy)
    what, cure = done.err.splitlines()

    assert (1, "") == (done.code, done.out)
    assert f"error: {home.copy} is there already" == what
    assert cure.startswith("   try: Name a file that does not exist yet")


async def test_a_whole_database_is_said_to_be_so(home: Home) -> None:
    """Also while the gateway runs."""
    async with open_database(home.database):
        done = await asyncio.to_thread(home.bars_gateway, "verify")

    assert (0, "") == (done.code, done.err)
    assert re.match(rf"{home.database} at \d{{4}}-[\d-]+ [\d:]+ UTC, schema 2\n", done.out)
    assert done.out.endswith("Nothing is wrong with it.\n")


async def test_the_last_comparison_is_told(home: Home) -> None:
    """That of the gateway itself, beside what is compared now."""
    async with open_database(home.database) as database:
        soundness = Store(database, node="here").soundness
        await soundness.begin(NOW)
        await soundness.end([], NOW)
    done = home.bars_gateway("verify")

    assert "compared all of it 2026-03-02 09:00:00 UTC: nothing was missing\n" in done.out


async def test_a_row_that_an_index_lacks_is_named(home: Home) -> None:
    """Whatever the size of the database: the indexes are compared each time."""
    hide(home.database, "messages_due", 2)
    done = home.bars_gateway("verify")

    assert 1 == done.code
    assert "missing from index messages_due" in done.err


def test_what_is_wrong_is_said_with_a_cure(home: Home) -> None:
    """A backup may be asked about too, and needs no settings for it."""
    back_up(home.database, home.copy)
    change(home.copy, "UPDATE payloads SET body = x'00' WHERE part = 'request'")
    done = home.bars_gateway("verify", home.copy, BARS_GATEWAY_CONFIG="/nowhere")
    *problems, cure = done.err.splitlines()

    assert 1 == done.code
    assert 2 == len(problems)
    assert all(line.endswith("its request does not match its fingerprint") for line in problems)
    assert cure.startswith("   try: Look at each message")


def test_a_file_that_is_no_database_is_said(home: Home) -> None:
    """And no traceback."""
    done = home.bars_gateway("verify", home.folder / "bars-gateway.toml")
    what, cure = done.err.splitlines()

    assert (1, "") == (done.code, done.out)
    assert what.endswith("bars-gateway.toml is damaged: file is not a database")
    assert cure.startswith("   try: Keep the file")


def change(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement)
    connection.close()


async def test_a_running_gateway_is_not_restored_under(home: Home) -> None:
    """It has to be stopped first."""
    back_up(home.database, home.copy)
    async with open_database(home.database):
        done = await asyncio.to_thread(home.bars_gateway, "restore", home.copy)

    assert (1, "") == (done.code, done.out)
    assert f"error: {home.database} is held by a gateway that runs" == done.err.splitlines()[0]


async def test_a_restore_over_newer_needs_to_be_asked_for(home: Home) -> None:
    """Then the operator reads what was forgotten, and can still ask the file that was kept."""
    back_up(home.database, home.copy)
    newest = await one_each_way(home)
    refused = home.bars_gateway("restore", home.copy)
    done = home.bars_gateway("restore", home.copy, "--older")
    (aside,) = home.folder.glob("gateway.db.before-restore-*Z")
    listed = home.bars_gateway("queue", BARS_GATEWAY_STORE__PATH=str(aside))

    assert 1 == refused.code
    assert "has 1 messages that were received and 1 that were submitted since" in refused.err
    assert "add --older" in refused.err
    assert (0, "") == (done.code, done.err)
    assert f"BARS_GATEWAY_STORE__PATH={aside}" in done.out
    assert "- Received after 2026-03-02 09:00:00 UTC, and not in the backup: 1 message." in done.out
    assert f"`bars-gateway restore {aside} --hand-over`" in done.out
    assert f"    {newest}  queued, 2026-03-02 09:00:00 UTC, request a3t1 to 2000000202" in done.out
    assert newest in listed.out
    assert newest in home.bars_gateway("queue").out


async def test_what_was_received_since_is_handed_over(home: Home) -> None:
    """By a command that may be typed again; and the page no longer asks for it."""
    back_up(home.database, home.copy)
    await one_each_way(home)
    home.bars_gateway("restore", home.copy, "--older")
    (aside,) = home.folder.glob("gateway.db.before-restore-*Z")
    first = home.bars_gateway("restore", aside, "--hand-over")
    again = home.bars_gateway("restore", aside, "--hand-over")

    assert (0, "", 0, "") == (first.code, first.err, again.code, again.err)
    assert first.out.startswith("- For the EPR: 1 message. It is given it once the gateway runs")
    assert f"- Nothing: all that {aside} has is here already.\n" == again.out


@pytest.mark.parametrize(("typed_why", "told"), [(("--why", "INC-7"), "INC-7"), ((), None)])
async def test_the_trail_says_why_there_was_a_restore(
    home: Home, typed_why: tuple[str, ...], told: str | None
) -> None:
    """Where nobody is asked and nobody says, it is done all the same: a night may not wait."""
    home.bars_gateway("backup", home.copy)
    done = home.bars_gateway("restore", home.copy, "--older", *typed_why)
    lines = home.bars_gateway("audit", "--kind", "operator.restored", "--json").out
    (line,) = map(json.loads, lines.splitlines())

    assert 0 == done.code
    assert told == line["detail"].get("why")


async def test_a_restore_is_told_to_machines_too(home: Home) -> None:
    """Each message with its ids and its fate, and nothing of what is in it."""
    back_up(home.database, home.copy)
    newest = await one_each_way(home)
    done = home.bars_gateway("restore", home.copy, "--older", "--json")
    told = json.loads(done.out)
    fates = {each["request_id"]: each["fate"] for each in told["messages"]}

    assert ("whole", True) == (told["condition"], told["listed"])
    assert {"to_hand_over", "waits"} == set(fates.values())
    assert newest in fates


def test_two_ways_at_once_are_refused(home: Home) -> None:
    """Nothing is put back by a command that says two things."""
    done = home.bars_gateway("restore", home.copy, "--older", "--hand-over")

    assert 2 == done.code


def test_a_restore_onto_a_new_machine(home: Home, tmp_path: Path) -> None:
    """The database is there, and nobody can say what was lost with the old machine."""
    back_up(home.database, home.copy)
    home.database.unlink()
    done = home.bars_gateway("restore", home.copy)

    assert (0, "") == (done.code, done.err)
    assert "- There was no database here before: nothing is kept" in done.out
    assert "- Held: 1 message. Nobody here can say whether it was sent" in done.out
    assert "Forgotten after 2026-03-02 09:00:00 UTC: nobody can say all of it." in done.out
    assert 0 == home.bars_gateway("verify").code


AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def line(fate: Became, **changes: str) -> Line:
    values = {
        "provider": "trust",
        "direction": "outbound",
        "request_id": f"id-{fate}",
        "correlation_id": "talk",
        "bundle_id": "bundle",
        "move": "request",
        "use_case": "a3t1",
        "counterparty": "https://fhir.nhs.uk/Id/dos-service-id|2000000202",
        "state": "acknowledged",
    }
    return Line(fate=fate, taken_at=AT, **(values | changes))


RESTORED = Restored(
    held=DatabaseReport(schema=1, counts={}, last_change_at=AT, damage=[], contradictions=[]),
    aside=Path("/state/gateway.db.before-restore-20260302T120000Z"),
    condition=DatabaseCondition.WHOLE,
    listed=True,
    lines=[line(fate) for fate in Became if fate is not Became.HANDED_OVER],
    alarms=[
        StandsAgain(kind="workflow.overdue", provider="trust", request_id="request-1", since=AT),
        StandsAgain(kind="work.failed", provider=None, request_id=None, since=AT),
    ],
    uncollected=7,
)


@pytest.mark.parametrize(
    "sentence",
    [
        "- The database that was here is whole, and was asked what happened since. It is kept as",
        "- Held: 1 message. Nobody here can say whether it was sent, withdrawn or cancelled since",
        "- Received after 2026-03-02 09:00:00 UTC, and not in the backup: 1 message. Their Senders",
        "- Quarantined after 2026-03-02 09:00:00 UTC: 1 message. `--hand-over` brings it along",
        "- Put to the EPR and not decided: 1 message. The Sender was told that no answer came",
        "- Known only to the database that was kept, and not entered: 1 message.",
        "- Not sent, because it was cancelled since: 1 message. An earlier attempt may have",
        "- Not sent, because the database that was kept knows how it was settled since: 1 message.",
        "- Submitted after 2026-03-02 09:00:00 UTC, and known only to the database",
        "- Going out: 1 message. Each leaves under the X-Request-Id that it always had.",
        "- Standing again: 2 alarms that nobody had marked as handled.",
        "    request-1  workflow.overdue, since 2026-03-02 09:00:00 UTC (trust)",
        "    no one message  work.failed, since 2026-03-02 09:00:00 UTC",
        "- Not collected by the EPR: 7 notices.",
    ],
)
def test_a_restore_is_explained(sentence: str) -> None:
    """Each consequence has its messages, and what to do about them."""
    assert [sentence] == [text[: len(sentence)] for text in meaning(RESTORED) if sentence in text]


@pytest.mark.parametrize("listed", [True, False])
def test_a_backup_that_is_empty_is_from_before_the_first_message(*, listed: bool) -> None:
    """No time stands for that: it read "after never"."""
    empty = replace(RESTORED.held, last_change_at=None)
    told = "\n".join(meaning(replace(RESTORED, held=empty, listed=listed)))

    assert "- Received from the first message on, and not in the backup: 1 message." in told
    assert "- Quarantined from the first message on: 1 message." in told
    assert listed is ("- Forgotten from the first message on: nobody can say" not in told)
    assert "after never" not in told


def test_each_message_is_named() -> None:
    """By the id that `show` asks for."""
    told = "\n".join(meaning(RESTORED))

    assert [] == [each.request_id for each in RESTORED.lines if each.request_id not in told]


def test_every_fate_has_a_sentence() -> None:
    """None is passed over in silence, of a restore or of a hand-over."""
    assert set(Became) == set(AT_RESTORE) | set(AT_HAND_OVER)


def test_a_message_that_could_not_be_entered_has_its_reason() -> None:
    """Somebody has to see to it by hand."""
    left = replace(line(Became.LEFT), why="its Bundle is missing", collected_at=AT)
    told = "\n".join(handed_over(HandedOver(listed=False, lines=[left], alarms=[]), Path("/kept")))

    assert "given to the EPR 2026-03-02 09:00:00 UTC: its Bundle is missing" in told
    assert "- /kept is damaged, and could not be read to its end: there may be more." in told


def test_where_nothing_is_forgotten_nothing_is_feared() -> None:
    """A restore of the latest state asks nobody to look for duplicates."""
    lines = list(meaning(replace(RESTORED, lines=[])))

    assert ["- Forgotten: no message."] == [text[:24] for text in lines if "Forgotten" in text]


@pytest.mark.parametrize(
    ("condition", "sentence"),
    [
        (DatabaseCondition.ABSENT, "There was no database here before"),
        (
            DatabaseCondition.UNREADABLE,
            "The database that was here is damaged: it is not believed.",
        ),
        (DatabaseCondition.INCOMPLETE, "The database that was here has not seen all that happened"),
    ],
)
def test_what_cannot_be_known_is_not_guessed(condition: DatabaseCondition, sentence: str) -> None:
    """And the words say so."""
    told = "\n".join(meaning(replace(RESTORED, condition=condition, listed=False)))

    assert sentence in told
    assert "Forgotten after 2026-03-02 09:00:00 UTC: nobody can say all of it." in told
