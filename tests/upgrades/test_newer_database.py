"""A program that is older than the database: it leaves that alone, and says how to go on."""

import shutil
from pathlib import Path

import engines
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from typed import settings_text, typed

from bars_gateway.config import load
from bars_gateway.engine import open_engine
from bars_gateway.onboarding.files import private_pem
from bars_gateway.store.migrating import POSTGRESQL, SQLITE, newest

WROTE = "was written by version 9.1.0 of the gateway"
CURE = "Install that version again."
STARTED = (
    "INSERT INTO events (at, kind, detail)"
    " VALUES ('2030-01-01T00:00:00.000Z', 'gateway.started', '{\"version\": \"9.1.0\"}')"
)


@pytest.fixture(scope="module")
def pem() -> bytes:
    return private_pem(rsa.generate_private_key(65537, 2048))


@pytest.fixture
async def config(tmp_path: Path, pem: bytes) -> Path:
    """Return settings of a gateway whose database a later version has begun to work on."""
    for name in ("state", "run", "spool", "keys"):
        (tmp_path / name).mkdir(mode=0o700)
    (key := tmp_path / "keys" / "Northshire-LOCAL-1.pem").touch(mode=0o600)
    key.write_bytes(pem)
    database = tmp_path / "state" / "gateway.db"
    url = f'url = "{engines.url_of(database)}"\n' if engines.on_server() else ""
    store = f"[store]\nminimum_free_bytes = 0\n{url}"
    file = tmp_path / "gateway.toml"
    file.write_text(settings_text(tmp_path, rest=f"[inbound]\nenabled = false\n{store}"), "utf-8")
    async with open_engine(load(file, {})):
        pass
    if not engines.on_server():
        shutil.copy(database, tmp_path / "before.db")
    engines.ask(database, STARTED)
    if engines.on_server():
        engines.ask(database, f"UPDATE schema_version SET number = {newest(POSTGRESQL) + 1}")
    else:
        engines.ask(database, "ALTER TABLE messages ADD COLUMN later TEXT")
        engines.ask(database, f"PRAGMA user_version = {newest(SQLITE) + 1}")
    return file


@pytest.mark.both_engines
@pytest.mark.parametrize("command", ["run", "queue", "alarms", "doctor"])
def test_it_says_which_version_wrote_it_and_the_way_out(config: Path, command: str) -> None:
    """In one sentence, whatever was typed; and a cure."""
    done = typed(command, "--config", config)
    said = " ".join((done.out + done.err).split())

    assert done.code in {1, 2}
    assert WROTE in said
    assert CURE in said


@pytest.mark.of_sqlite
@pytest.mark.parametrize("command", ["check", "backup", "verify"])
def test_it_says_so_of_a_file_too(config: Path, command: str) -> None:
    """Before an upgrade is undone, and in place of a copy that nobody here could read."""
    target = [str(config.with_name("copy.db"))] if command == "backup" else []
    done = typed(command, *target, "--config", config)
    said = " ".join((done.out + done.err).split())
    later = f"its schema {newest(SQLITE) + 1} is of a later release"

    assert done.code in {1, 2}
    assert (later if command == "verify" else WROTE) in said
    assert not config.with_name("copy.db").exists()


@pytest.mark.of_sqlite
def test_it_changes_nothing(config: Path) -> None:
    """The later version goes on with it as it was."""
    database = load(config, {}).database_path
    before = database.read_bytes()
    typed("run", "--config", config)

    assert before == database.read_bytes()


@pytest.mark.of_sqlite
def test_the_way_back_is_the_backup_that_the_upgrade_made(config: Path) -> None:
    """The newer database is kept beside it, and the older program starts."""
    done = typed("restore", config.with_name("before.db"), "--older", "--config", config)
    queue = typed("queue", "--config", config)

    assert (0, 0) == (done.code, queue.code), done.err + queue.err
    assert 1 == len(list((config.parent / "state").glob("gateway.db.before-restore*")))


@pytest.mark.of_sqlite
def test_a_backup_of_a_later_version_is_not_put_back(config: Path) -> None:
    """It is said of the backup, with the same words."""
    newer = config.with_name("newer.db")
    shutil.copy(load(config, {}).database_path, newer)
    done = typed("restore", newer, "--older", "--config", config)

    assert 1 == done.code
    assert f"{newer} {WROTE}" in done.err
