"""The system's own commands that sentences of pages quote: typed here, as they stand there."""

import asyncio
import grp
import os
import pwd
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from pages import ROOT, block, quoted
from store_values import NOW, submission
from terminals import own_environment
from typed import settings_text, typed

from bars_gateway.store.sqlite.backup import back_up
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.store import Store

AS_ROOT = os.geteuid() == 0
BUILD = ("-m", "hatchling", "build", "-t", "wheel", "-d")
# Below a mount in whatever root we are; a temporary folder may be on none that is listed there.
MOUNTED = "/proc/self"


def types(script: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Type *script* in *folder*, to its end."""
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=own_environment() | {"LC_ALL": "C"} | more,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(("command", "says"), [("df -h", "Avail"), ("df -i", "IFree")])
def test_how_full_a_disk_is(tmp_path: Path, command: str, says: str) -> None:
    """Of the folder that is named: its room, and what is left for more files."""
    done = types(f"{quoted('runbooks.md', command)} {MOUNTED}", tmp_path)
    head, row = done.stdout.splitlines()

    assert 0 == done.returncode
    assert says in head
    assert MOUNTED.startswith(row.split()[-1])
    assert row.split()[-1] != "/"


def test_what_takes_the_room(tmp_path: Path) -> None:
    """A file of 1 MB is among it."""
    (tmp_path / "large").write_bytes(os.urandom(1 << 20))
    done = types(f"{quoted('runbooks.md', 'du')} {tmp_path}", tmp_path)

    assert int(done.stdout.split()[0]) >= 1024


@pytest.mark.needs("findmnt")
def test_what_is_mounted_where_a_folder_is(tmp_path: Path) -> None:
    """The mount that `df` names, too, with its kind."""
    command = quoted("runbooks.md", "findmnt --target FOLDER").replace("FOLDER", MOUNTED)
    row = types(command, tmp_path).stdout.splitlines()[-1]  # the last covers the others
    mounted = types(f"df --output=target,fstype {MOUNTED}", tmp_path).stdout.splitlines()[1]

    assert mounted.split() == [row.split()[0], row.split()[2]]


@pytest.mark.needs("fuser")
@pytest.mark.parametrize("page", ["debugging.md", "runbooks.md"])
def test_who_holds_a_database(tmp_path: Path, page: str) -> None:
    """The process that is in a transaction, by its number."""
    path = tmp_path / "gateway.db"
    with closing(sqlite3.connect(path)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        done = types(f"{quoted(page, 'fuser -v')} {path}", tmp_path)

    assert str(os.getpid()) in done.stdout.split()


def test_a_spool_folder_of_ones_own_hands_its_group_on(tmp_path: Path) -> None:
    """What is made below it belongs to the EPR's group, whoever makes it."""
    user = pwd.getpwnam("daemon") if AS_ROOT else pwd.getpwuid(os.geteuid())
    group, folder = grp.getgrgid(user.pw_gid).gr_name, tmp_path / "spool"
    command = quoted("folders.md", "install -d -m 2750 -g bars-gateway-epr -o bars-gateway FOLDER")
    for there, here in (("bars-gateway-epr", group), ("bars-gateway", user.pw_name)):
        command = command.replace(there, here)
    done = types(command.replace("FOLDER", str(folder)), tmp_path)
    assert 0 == done.returncode, done.stderr
    found = folder.stat()
    (folder / "below").mkdir()

    assert (0o2750, user.pw_uid, user.pw_gid) == (
        found.st_mode & 0o7777,
        found.st_uid,
        found.st_gid,
    )
    assert user.pw_gid == (folder / "below").stat().st_gid


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel where `make dist` would; return the folder above."""
    folder = tmp_path_factory.mktemp("clone")
    built = subprocess.run(
        [sys.executable, *BUILD, folder / "dist"], cwd=ROOT, capture_output=True, check=False
    )
    assert 0 == built.returncode, built.stdout + built.stderr
    return folder


def test_the_driver_comes_with_the_wheel(wheel: Path) -> None:
    """Pip finds all that it needs by that word, of what is installed here."""
    command = quoted(
        "postgresql.md", "pip install 'dist/bars_gateway-1.1.1-py3-none-any.whl[postgres]'"
    )
    looks = {"PIP_NO_INDEX": "1", "PIP_DRY_RUN": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = types(f"{sys.executable} -m {command}", wheel, **looks)

    assert 0 == done.returncode, done.stderr
    assert "extra" not in done.stderr
    assert "psycopg" in done.stdout
    assert "Would install bars" in done.stdout


def test_init_is_typed_as_it_is_written(tmp_path: Path) -> None:
    """All of it below one folder, and not in /etc."""
    words = shlex.split(block("connecting.md", "init --environment int"))[1:]
    done = typed(*words, "--folder", tmp_path / "g")

    assert 0 == done.code, done.err
    assert 'ods_code = "RAE"' in (tmp_path / "g" / "bars-gateway.toml").read_text("utf-8")


PRINTERS = (
    ("hazard-log.md", "python tests/test_documentation.py"),
    ("clinical.md", "python tests/test_clinical_document.py"),
    ("workflows.md", "python tests/test_workflow_document.py"),
)


@pytest.mark.parametrize(("page", "command"), PRINTERS, ids=lambda each: each)
def test_a_page_is_printed_anew(tmp_path: Path, page: str, command: str) -> None:
    """In a copy, from which a row was taken: it is there again, and nothing else is new."""
    (where,) = (ROOT / "docs").rglob(page)
    for name in ("docs", "tests", "config", "examples", "bars_gateway", "documentation", "systemd"):
        skipped = shutil.ignore_patterns("__pycache__", "upgrades", "reference")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=skipped)
    for file in ROOT.glob("*.*"):
        if file.is_file():
            shutil.copy(file, tmp_path)
    copy = tmp_path / where.relative_to(ROOT)
    before = copy.read_text("utf-8")
    *_, last = (line for line in before.splitlines(keepends=True) if line.startswith("| "))
    copy.write_text(before.replace(last, ""), "utf-8")
    done = types(f"{sys.executable} {quoted(page, command).partition(' ')[2]}", tmp_path)

    assert 0 == done.returncode, done.stderr
    assert before == copy.read_text("utf-8")


def test_the_test_of_a_control_is_run_by_its_name() -> None:
    """As whoever reads the hazard log would."""
    command = quoted("hazard-log.md", ".venv/bin/pytest tests/FILE::NAME")
    named = "standard/test_patients.py::test_whether_it_is_the_same_patient"
    words = command.partition("bin/")[2].replace("FILE::NAME", named)
    done = types(f"{sys.executable} -m {words} -p no:xdist", ROOT)

    assert 0 == done.returncode, done.stdout
    assert " passed" in done.stdout


OF_ONE_MODULE = '[tool.mypy]\nfiles = ["one.py"]\nstrict = true\n[tool.ruff.lint]\nselect = ["F"]\n'
COMMITS = """
git init -q . && git add .pre-commit-config.yaml pyproject.toml
git config user.name a && git config user.email a@example.org
{install}
"""
ONE = {
    "nothing": ("X: int = 1\n", 0, ""),
    "style": ("import os\n", 1, "ruff check"),
    "form": ("X=1\n", 1, "ruff format"),
    "types": ('X: int = "1"\n', 1, "mypy"),
}


@pytest.mark.needs("git", "pre-commit")
@pytest.mark.parametrize("wrong", ONE)
def test_style_and_types_are_looked_at_before_a_commit(tmp_path: Path, wrong: str) -> None:
    """In a clone with one module, and the tools of `.venv`: what is wrong is not committed."""
    text, code, says = ONE[wrong]
    (tmp_path / ".venv").symlink_to(sys.prefix)
    shutil.copy(ROOT / ".pre-commit-config.yaml", tmp_path)
    (tmp_path / "pyproject.toml").write_text(OF_ONE_MODULE, "utf-8")
    (tmp_path / "one.py").write_text(text, "utf-8")
    made = COMMITS.format(install=quoted("CONTRIBUTING.md", "pre-commit install"))
    installed = types(f"set -eu\n{made}", tmp_path, HOME=str(tmp_path))
    done = types("git add one.py && git commit -m one", tmp_path, HOME=str(tmp_path))
    failed = re.findall(r"^(.*?)\.+Failed$", done.stdout + done.stderr, re.MULTILINE)

    assert 0 == installed.returncode, installed.stderr
    assert code == done.returncode, done.stdout + done.stderr
    assert [says] * code == failed


@pytest.mark.needs("systemd-analyze", "curl")
def test_a_gateway_that_is_not_ready_is_watched_from_beside_it(tmp_path: Path) -> None:
    """The units of `docs/alerts.md`: systemd takes them, and what they run tells ready from not."""
    service, timer = block("alerts.md", "OnUnitInactiveSec").split("# /etc/systemd/system/")[1:]
    for text in (service, timer):
        name = text.splitlines()[0].partition(":")[0].removeprefix("/etc/systemd/system/")
        (tmp_path / name).write_text(text.partition("\n")[2], "utf-8")
    units = sorted(each.name for each in tmp_path.iterdir())
    verified = types(f"systemd-analyze verify {' '.join(f'./{each}' for each in units)}", tmp_path)
    (runs,) = re.findall(r"ExecStart=((?:.*\\\n)*.*)", service)
    codes = []
    for status in (200, 503):
        with answering(status) as port:
            looks = runs.replace(":8480", f":{port}").replace("--retry-delay 15", "--retry-delay 1")
            codes.append(types(looks, tmp_path).returncode)

    assert ["bars-gateway-watch.service", "bars-gateway-watch.timer"] == units
    assert 0 == verified.returncode, verified.stderr
    assert [0, 22] == codes


@contextmanager
def answering(status: int) -> Iterator[int]:
    """Answer everything with *status*, at the port that is yielded."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


# What `packaging/deb-upgrade-within` and `make vm` do for real, as root of a whole system.
AS_A_SYSTEM = """
set -eu
systemctl() { echo "systemctl $*"; }
apt() { echo "apt $*"; }
"""


def test_an_upgrade_is_undone_with_the_copy_from_before(tmp_path: Path) -> None:
    """As `docs/installing.md` has it: the newer database is kept, and what came since is gone."""
    settings = tmp_path / "bars-gateway.toml"
    state = tmp_path / "var" / "lib" / "bars-gateway"
    settings.write_text(settings_text(tmp_path, state_dir=str(state)), "utf-8")
    state.mkdir(parents=True)
    asyncio.run(one_waits(state / "gateway.db"))
    (tmp_path / "var" / "backups" / "bars-gateway").mkdir(parents=True)
    copy = tmp_path / "var" / "backups" / "bars-gateway" / "FILE"
    back_up(state / "gateway.db", copy)
    asyncio.run(one_waits(state / "gateway.db"))
    lines = block("installing.md", "--allow-downgrades").replace(" /var/", f" {tmp_path}/var/")
    done = types(AS_A_SYSTEM + lines, tmp_path, BARS_GATEWAY_CONFIG=str(settings))

    assert 0 == done.returncode, done.stderr
    assert (1, 2) == (waiting(state / "gateway.db"), waiting(state / "newer" / "gateway.db"))
    assert done.stdout.startswith("systemctl stop bars-gateway\napt install --allow-downgrades ./")
    assert done.stdout.endswith("systemctl start bars-gateway\n")


async def one_waits(path: Path) -> None:
    async with open_database(path) as database:
        await Store(database, node="here").outbound.submit(submission(), NOW)


def waiting(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        ((found,),) = connection.execute("SELECT count(*) FROM messages")
        return int(found)
