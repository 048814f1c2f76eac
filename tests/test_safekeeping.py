"""`backup`, `verify` and `restore` as an operator types them: what they print, how they exit."""

import asyncio
import re
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from store_values import NOW, arrival, submission

from bars_gateway.safekeeping import meaning
from bars_gateway.store.backup import back_up
from bars_gateway.store.database import open_database
from bars_gateway.store.examination import Examination
from bars_gateway.store.restore import Beyond, Restored
from bars_gateway.store.sqlite import SqliteStore

SETTINGS = """\
environment = "local"
state_dir = "{folder}"

[providers.trust]
ods_code = "ZX901"
name = "Northshire Ambulance Service"
services = ["https://fhir.nhs.uk/Id/dos-service-id|2000000101"]
key_id = "trust-1"
api_key = "trust-api-key"
private_key_file = "{folder}/jwt.key"
spool_dir = "{folder}/spool"

[outbound]
token_url = "https://127.0.0.1:8440/oauth2/token"
proxy_url = "https://127.0.0.1:8440/booking-and-referral/FHIR/R4"
ca_file = "{folder}/ca.pem"

[inbound]
enabled = false
"""


@dataclass(frozen=True)
class Done:
    """What a process printed, and how it exited."""

    code: int
    out: str
    err: str


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
        done = subprocess.run(
            [sys.executable, "-m", "bars_gateway", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=self.environ | environ,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    @property
    def environ(self) -> Mapping[str, str]:
        settings = str(self.folder / "bars-gateway.toml")
        return {"PATH": "/usr/bin:/bin", "COLUMNS": "80", "BARS_GATEWAY_CONFIG": settings}


@pytest.fixture
async def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    (tmp_path / "bars-gateway.toml").write_text(SETTINGS.format(folder=tmp_path), "utf-8")
    await one_each_way(home)
    return home


async def one_each_way(home: Home) -> str:
    async with open_database(home.database) as database:
        store = SqliteStore(database, node="here")
        await store.receive(arrival(), NOW)
        return (await store.submit(submission(), NOW)).request_id


async def test_a_backup_is_made_while_the_gateway_runs(home: Home) -> None:
    """What is in it is said in figures."""
    async with open_database(home.database):
        done = await asyncio.to_thread(home.bars_gateway, "backup", home.copy)
    first, *rest = done.out.splitlines()

    assert (0, "") == (done.code, done.err)
    assert first.startswith(f"{home.copy}: a whole copy of {home.database}, ")
    assert "  messages               2" in rest
    assert "  last change 2026-03-02 09:00:00 UTC" == rest[-1]


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
    assert re.match(rf"{home.database} at \d{{4}}-[\d-]+ [\d:]+ UTC, schema 1\n", done.out)
    assert done.out.endswith("Nothing is wrong with it.\n")


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
    assert "- Forgotten, received after 2026-03-02 09:00:00 UTC: 1. Whoever sends" in done.out
    assert newest in listed.out
    assert newest not in home.bars_gateway("queue").out


def test_a_restore_onto_a_new_machine(home: Home, tmp_path: Path) -> None:
    """The database is there, and nobody can say what was lost with the old machine."""
    back_up(home.database, home.copy)
    home.database.unlink()
    done = home.bars_gateway("restore", home.copy)

    assert (0, "") == (done.code, done.err)
    assert "- There was no database here before: nothing had to be kept.\n" in done.out
    assert "2026-03-02 09:00:00 UTC: nobody can say how many" in done.out
    assert 0 == home.bars_gateway("verify").code


AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
BEYOND = Beyond(
    last_change_at=AT + timedelta(hours=1),
    received=4,
    submitted=3,
    unsettled=2,
    settled_since=5,
    newer=True,
)
RESTORED = Restored(
    held=Examination(schema=1, counts={}, last_change_at=AT, damage=[], contradictions=[]),
    aside=Path("/state/gateway.db.before-restore-20260302T120000Z"),
    beyond=BEYOND,
    waiting=6,
    overdue=1,
    uncollected=7,
)


@pytest.mark.parametrize(
    "sentence",
    [
        "Kept: the database that was here, as /state/gateway.db.before-restore-20260302T120000Z.",
        "Forgotten, received after 2026-03-02 09:00:00 UTC: 4. Whoever sends one of these again",
        "Forgotten, submitted after 2026-03-02 09:00:00 UTC: 3; 2 of them had no outcome yet.",
        "Answers to what was forgotten are quarantined, and their Senders hear 404",
        "Waiting to be sent: 6 messages. Each goes out under the X-Request-Id that it always had.",
        "Settled since, in the database that was here: 5 of those.",
        "Past their time: 1 of those. The EPR is told at once that they are unconfirmed",
        "Not collected by the EPR: 7 notices.",
    ],
)
def test_a_restore_is_explained(sentence: str) -> None:
    """Each consequence has its figure, and what to do about it."""
    assert [sentence] == [line[: len(sentence)] for line in meaning(RESTORED) if sentence in line]


def test_where_nothing_is_forgotten_nothing_is_feared() -> None:
    """A restore of the latest state asks nobody to look for duplicates."""
    nothing = replace(BEYOND, received=0, submitted=0, unsettled=0)
    lines = list(meaning(replace(RESTORED, beyond=nothing)))

    assert ["Forgotten: no message."] == [line[:22] for line in lines if "Forgotten" in line]


def test_what_cannot_be_known_is_not_guessed() -> None:
    """A damaged database has no figures, and the words say so."""
    lines = "\n".join(meaning(replace(RESTORED, beyond=None)))

    assert "The database that was here could not be read: what it had is not known." in lines
    assert "received after 2026-03-02 09:00:00 UTC: nobody can say how many." in lines
    assert "Settled since" not in lines
