"""
What every command says to a user who may not use one of its files: which, whose, and the cure.

As root, the commands are typed by nobody, to whom everything belongs but the one file that root
has taken; else by us, and that file has the mode 000.
"""

import asyncio
import errno
import json
import os
import pwd
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args, get_type_hints

import pytest
import typer
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from stranger import WHO
from typed import WHY, Done, settings_text

from bars_gateway.cli.main import app
from bars_gateway.errors import StoreError
from bars_gateway.onboarding.files import private_pem
from bars_gateway.permissions import behind, explained, require, require_database, require_making
from bars_gateway.store.sqlite.backup import back_up
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.sqlite.lock import take_lock

AS_ROOT = os.geteuid() == 0
WE = WHO if AS_ROOT else os.geteuid()
NAME = pwd.getpwuid(WE).pw_name
OWNER = "root" if AS_ROOT else NAME
NAMELESS = 54321  # a user of another machine, as of a share
SETTINGS = "bars-gateway.toml"
DATABASE = ("state", "state/gateway.db", "state/gateway.db-wal", "state/gateway.db-shm")
LOCK = "state/gateway.db.lock"
SOCKET = ("run", "run/trust.sock")
KEYS = ("keys", "keys/Northshire-LOCAL-1.pem")
EVERYTHING = (SETTINGS, *DATABASE, LOCK, "run", *KEYS, "spool")
ID = "00000000-0000-4000-8000-000000000000"
# The command, and each file or folder that it needs.
TABLE: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("run",), EVERYTHING),
    (("check",), EVERYTHING),
    (("doctor", "--offline"), EVERYTHING),
    (("doctor", "token"), (SETTINGS, *KEYS)),
    (("config",), (SETTINGS,)),
    (("queue",), (SETTINGS, *DATABASE)),
    (("show", ID), (SETTINGS, *DATABASE)),
    (("alarms",), (SETTINGS, *DATABASE)),
    (("quarantine",), (SETTINGS, *DATABASE)),
    (("send", "{out}/message.json"), (SETTINGS, *SOCKET, "out", "out/message.json")),
    *(((verb, ID, *WHY), (SETTINGS, *SOCKET)) for verb in ("hold", "release", "withdraw")),
    *(((verb, ID, *WHY), (SETTINGS, *SOCKET)) for verb in ("retry", "resend")),
    (("retry", "--all", *WHY), (SETTINGS, *SOCKET)),
    (("mark-handled", "1", *WHY), (SETTINGS, *SOCKET)),
    (("attach", "1", "1", *WHY), (SETTINGS, *SOCKET)),
    (("confirm", "1", "active", *WHY), (SETTINGS, *SOCKET)),
    (("cache", "list"), (SETTINGS, "state", "state/cache", "state/cache/one.answer")),
    (("cache", "clear"), (SETTINGS, "state", "state/cache", "state/cache/one.answer")),
    (("backup", "{out}/copy.db"), (SETTINGS, *DATABASE, "out")),
    (("verify",), (SETTINGS, *DATABASE)),
    (("verify", "{out}/backup.db"), ("out", "out/backup.db")),
    (("restore", "{out}/backup.db"), (SETTINGS, *DATABASE, LOCK, "out", "out/backup.db")),
    (("restore", "{out}/backup.db", "--older"), (*DATABASE, LOCK, "out/backup.db")),
    (("restore", "{out}/backup.db", "--hand-over"), (*DATABASE, LOCK, "out/backup.db")),
    (("restore", *WHY), (SETTINGS, *DATABASE, LOCK)),
    (("lint", "{out}/message.json"), ("out", "out/message.json")),
    (("init", "--folder", "{out}/g", *("--environment", "int")), ("out",)),
    (("keys", "new", *WHY), (SETTINGS, "keys", "state")),
    (("keys", "list"), (SETTINGS, "keys", "keys/Northshire-LOCAL-1.public.pem")),
    (("keys", "retire", "Northshire-LOCAL-2", "--at-once", *WHY), (SETTINGS, "keys", "state")),
    (("keys", "probe"), (SETTINGS, *KEYS)),
    (
        ("csr", "new", *WHY, "--fqdn", "gateway.northshire.example"),
        (SETTINGS, "tls/requests", "tls", "state"),
    ),
    (("certificate", "check", "{out}/delivered.pem"), (SETTINGS, "out", "out/delivered.pem")),
    (
        ("certificate", "install", "{out}/delivered.pem", *WHY),
        (SETTINGS, "out", "out/delivered.pem"),
    ),
    (("letters", "key"), (SETTINGS,)),
    (("sandbox", "{out}/national"), ("out",)),
    (("schemas", "{out}/schemas"), ("out",)),
    (("demo", "--once", "--folder", "{out}/demo"), ("out",)),
)
ROWS = [
    pytest.param(command, shut, id=f"{'-'.join(command[:2])}:{shut}")
    for command, files in TABLE
    for shut in files
]
WITHOUT_SETTINGS = {"lint", "sandbox", "demo", "init", "schemas"}


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """Yield an installation that nothing is wrong with, whose gateway was killed."""
    folder = Path(tempfile.mkdtemp(prefix="permissions-"))  # where another user can go
    try:
        folder.chmod(0o755)
        for name in ("state/cache", "run", "keys", "tls/requests", "spool", "out"):
            (folder / name).mkdir(parents=True)
        (folder / SETTINGS).write_text(settings_text(folder, rest=RECEIVES.format(folder=folder)))
        asyncio.run(_a_database(folder / "state" / "gateway.db"))
        back_up(folder / "state" / "gateway.db", folder / "out" / "backup.db")
        _keys(folder / "keys")
        (folder / "out" / "message.json").write_text("{}")
        (folder / "out" / "delivered.pem").write_text("-----BEGIN CERTIFICATE-----\n")
        (folder / "state" / "cache" / "one.answer").write_text("{}\n")
        with (
            closing(socket.socket(socket.AF_UNIX)) as listener,
            closing(sqlite3.connect(folder / "state" / "gateway.db")) as database,
        ):
            listener.bind(str(folder / "run" / "trust.sock"))
            database.execute("UPDATE alarm_kinds SET about = about")
            database.commit()  # it stays in the log, as of a gateway that was killed
            _open_to_us(folder)
            yield folder
    finally:
        shutil.rmtree(folder)


RECEIVES = """[inbound]
enabled = false
certificate_file = "{folder}/tls/server.pem"
private_key_file = "{folder}/tls/server.key"
client_ca_file = "{folder}/tls/callers.pem"
"""


def _keys(folder: Path) -> None:
    key = generate_private_key(public_exponent=65537, key_size=2048)
    (folder / "Northshire-LOCAL-1.pem").write_bytes(private_pem(key))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "Northshire-LOCAL-1.public.pem").write_bytes(public)


async def _a_database(path: Path) -> None:
    async with open_database(path):
        pass


def _open_to_us(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        if not path.is_socket():
            path.chmod(0o755 if path == folder else 0o700 if path.is_dir() else 0o600)
        os.chown(path, WE, -1)


@pytest.fixture(scope="module")
def types(home: Path) -> Iterator[Callable[..., Done]]:
    """Yield what types a command as the other user, in a process of theirs."""
    program = [sys.executable, str(Path(__file__).parent / "support" / "stranger.py")]
    environ = {"PATH": "/usr/bin:/bin", "COLUMNS": "200", "HOME": str(home)}
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ, cwd="/"
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def type_it(*argv: str) -> Done:
            print(json.dumps(argv), file=process.stdin, flush=True)
            return Done(**json.loads(process.stdout.readline()))

        yield type_it
        process.stdin.close()


@contextmanager
def shut(path: Path) -> Iterator[None]:
    """Let *path* belong to root alone for a while; where we are not root, to nobody."""
    before = path.lstat()
    try:
        if AS_ROOT:
            os.chown(path, 0, 0)
        path.chmod(0o700 if path.is_dir() else 0o600 if AS_ROOT else 0)
        if not AS_ROOT:
            path.chmod(0)
        yield
    finally:
        path.chmod(before.st_mode & 0o7777)
        os.chown(path, before.st_uid, before.st_gid)


def arguments(command: tuple[str, ...], home: Path) -> list[str]:
    filled = [word.format(out=home / "out") for word in command]
    config = () if command[0] in WITHOUT_SETTINGS else ("--config", str(home / SETTINGS))
    return [*filled, *config]


@pytest.mark.parametrize(("command", "wanted"), ROWS)
def test_every_command_says_whose_file_it_is(
    home: Path, types: Callable[..., Done], command: tuple[str, ...], wanted: str
) -> None:
    """Which file, whose, who asks, and what helps: never a traceback, never another cause."""
    path = home / wanted
    with shut(path):
        done = types(*arguments(command, home))
    told = done.out + done.err

    assert "Traceback" not in told
    assert done.code > 0
    assert f" {path} " in told.replace(f"{path},", f"{path} ")
    assert f"belongs to {OWNER} (" in told
    assert f"you are {NAME}" in told
    assert re.search(r"\btry(: |  )", told) or "chown" in told
    assert "bars-gateway restore" not in told


def commands_of(app: typer.Typer) -> Iterator[Callable[..., Any]]:
    for command in app.registered_commands:
        assert command.callback is not None
        yield command.callback
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield from commands_of(group.typer_instance)


def paths_of(command: Callable[..., Any]) -> Iterator[Any]:
    """Yield what a command says of each parameter that is a path, or several."""
    for hint in get_type_hints(command, include_extras=True).values():
        kinds = get_args(hint)
        if kinds and Path in {kinds[0], *get_args(kinds[0])}:
            yield kinds[1]


def test_no_file_is_judged_before_the_command_looks_at_it() -> None:
    """The parser says "is not readable", and of a folder that is shut "does not exist"."""
    commands = list(commands_of(app))
    judged = [one.__name__ for one in commands for path in paths_of(one) if path.readable]

    assert len(commands) > 30
    assert [] == judged


@pytest.mark.skipif(not AS_ROOT, reason="only root can give files away")
def test_what_the_gateways_user_has_is_done_as_that_user(
    home: Path, types: Callable[..., Done]
) -> None:
    """Whoever is on call types the command again, as it stands there."""
    daemon = pwd.getpwnam("daemon")
    os.chown(home / "state", daemon.pw_uid, daemon.pw_gid)
    os.chown(home, 0, 0)
    try:
        done = types("queue", "--config", str(home / SETTINGS))
    finally:
        os.chown(home, WE, -1)
        os.chown(home / "state", WE, -1)

    assert f"Do it as its owner: sudo -u daemon bars-gateway queue --config {home}" in done.err


@pytest.mark.skipif(not AS_ROOT, reason="only root can give files away")
def test_a_user_without_a_name_is_written_as_a_shell_takes_it(
    home: Path, types: Callable[..., Done]
) -> None:
    """A bare # begins a comment: the rest of the command would be lost."""
    os.chown(home / "state", NAMELESS, -1)
    os.chown(home, 0, 0)
    try:
        done = types("queue", "--config", str(home / SETTINGS))
    finally:
        os.chown(home, WE, -1)
        os.chown(home / "state", WE, -1)

    assert f"sudo -u '#{NAMELESS}' bars-gateway queue" in done.err


@pytest.mark.skipif(not AS_ROOT, reason="only root can give files away")
def test_what_root_runs_leaves_nothing_that_the_gateway_may_not_use(tmp_path: Path) -> None:
    """After `run` as root by mistake, the service starts as before."""
    os.chown(tmp_path, WHO, WHO)
    with ExitStack() as stack:
        take_lock(tmp_path / "gateway.db", stack)

    assert {WHO} == {path.stat().st_uid for path in tmp_path.iterdir()}


def test_a_lack_of_permission_is_found_behind_any_error() -> None:
    """An error that was given another name on the way still says what it came of."""
    try:
        try:
            raise PermissionError(errno.EACCES, "Permission denied", "/some")
        except OSError:
            raise StoreError("/some cannot be read") from None
    except StoreError as error:
        found = behind(ExceptionGroup("parts", [ValueError(), error]))

    assert found is not None
    assert "/some" == found.filename
    assert behind(FileNotFoundError(errno.ENOENT, "No such file", "/some")) is None


def test_a_group_that_is_the_context_of_its_own_errors_is_looked_at_once() -> None:
    """So a part that fails leaves them: a TaskGroup's error is what its parts' came during."""
    error = ValueError("a port is in use")
    group = ExceptionGroup("parts", [error])
    error.__context__ = group

    assert behind(group) is None


def test_a_log_that_goes_while_it_is_looked_at_is_in_nobodys_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever closes the database last removes it, as a command does when a gateway starts."""
    database, log = tmp_path / "gateway.db", tmp_path / "gateway.db-wal"
    database.touch()
    log.touch()
    access = os.access

    def closed_meanwhile(path: Path, mode: int, **how: Any) -> bool:
        if path == log:
            log.unlink(missing_ok=True)
        return access(path, mode, **how)

    monkeypatch.setattr(os, "access", closed_meanwhile)

    require_database(database, write=True)


@pytest.mark.parametrize(
    "wanted",
    [lambda folder: require(folder, write=True), lambda folder: require_making(folder / "new")],
    ids=["written", "made"],
)
def test_a_disk_that_was_made_read_only_is_not_taken_for_somebody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: Callable[[Path], None]
) -> None:
    """As ext4 does after an error: no owner and no mode is to be changed, and chmod would fail."""
    monkeypatch.setattr(os, "access", lambda path, mode, **_: not mode & os.W_OK)
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_flag=os.ST_RDONLY))
    with pytest.raises(PermissionError) as met:
        wanted(tmp_path)
    denial = explained(met.value)

    assert f"{tmp_path} may not be written: it is on a file system" in denial.cause
    assert "chmod" not in denial.cure


def test_a_file_system_that_is_mounted_read_only_is_named_so() -> None:
    """Nobody is sent to chown where only mount helps."""
    denial = explained(OSError(errno.EROFS, "Read-only file system", "/some"))

    assert "mounted read-only" in denial.cause
    assert "findmnt" in denial.cure
