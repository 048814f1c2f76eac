"""Commands of the system that sentences quote: a test types each, or it is known as none."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from pages import PAGES, ROOT, blocks, spans, typed_in_blocks

PROGRAM = re.compile(
    r"(?:[A-Z_]+=\S+ )*(?:sudo|apt|apt-get|bash|curl|df|dpkg|findmnt|fuser|initdb|install|kill|man"
    r"|journalctl|openssl|pg_\w+|pip|pipx|pre-commit|psql|python3?|sqlite3|systemctl|systemd-[\w-]+|usermod"
    r"|\.venv/bin/\w+|ALTER|CREATE|DROP|SELECT|VACUUM) \S.*"
)
ALONE = {"du", "timedatectl"}  # commands without a word behind them
IN_A_MACHINE = "tests/vm/commands.py"  # make vm PARTS="image commands"
HERE, SERVER = "tests/test_commands_of_the_system.py", "tests/test_commands_of_postgresql.py"
# What is typed, and by which trial.
QUOTED: Mapping[str, str] = {
    ".venv/bin/pytest tests/FILE::NAME": HERE,
    "DROP EXTENSION amcheck": SERVER,
    "SELECT pg_blocking_pids(pid) FROM pg_stat_activity"
    " WHERE application_name LIKE 'bars-gateway%'": SERVER,
    "SELECT pg_terminate_backend(PID)": SERVER,
    "VACUUM FULL": SERVER,
    "apt purge bars-gateway": IN_A_MACHINE,
    "apt remove bars-gateway": IN_A_MACHINE,
    "bash .ci/run": "tests/test_packaging.py",
    "df -h": HERE,
    "df -i": HERE,
    "dpkg --verify": "packaging/deb-test-within",
    "du": HERE,
    "findmnt --target FOLDER": HERE,
    "fuser -v": HERE,
    "initdb --data-checksums": SERVER,
    "install -d": HERE,
    "install -d -m 2750 -g bars-gateway-epr -o bars-gateway FOLDER": HERE,
    "journalctl --output cat --unit bars-gateway": IN_A_MACHINE,
    "journalctl --pager-end --unit bars-gateway": IN_A_MACHINE,
    "journalctl -u bars-gateway": IN_A_MACHINE,
    "kill %1": "tests/scenarios/test_walk.py",
    "kill -HUP %1": "tests/scenarios/test_walk.py",
    "man bars-gateway": IN_A_MACHINE,
    "man bars-gateway-backup": IN_A_MACHINE,
    "man bars-gateway.toml": IN_A_MACHINE,
    "pg_amcheck --install-missing --heapallindexed --parent-check DATABASE": SERVER,
    "pg_ctl promote": "tests/scenarios/test_standby.py",
    "pg_dump --format=custom --file=FILE DATABASE": SERVER,
    "pip install 'dist/bars_gateway-1.1.1-py3-none-any.whl[postgres]'": HERE,
    "pre-commit install": HERE,
    "python tests/test_clinical_document.py": HERE,
    "python tests/test_documentation.py": HERE,
    "python tests/test_workflow_document.py": HERE,
    "systemctl daemon-reload": IN_A_MACHINE,
    "systemctl disable --now bars-gateway": IN_A_MACHINE,
    "systemctl edit bars-gateway": IN_A_MACHINE,
    "systemctl enable --now bars-gateway": IN_A_MACHINE,
    "systemctl reload bars-gateway": IN_A_MACHINE,
    "systemctl start": "tests/vm/service.py",
    "systemctl status": IN_A_MACHINE,
    "systemctl status bars-gateway": IN_A_MACHINE,
    "systemctl status systemd-journald": IN_A_MACHINE,
    "systemctl stop": IN_A_MACHINE,
    "systemctl stop bars-gateway": IN_A_MACHINE,
    "systemd-analyze security": "tests/vm/service.py",
    "systemd-tmpfiles --create bars-gateway.conf": "tests/test_systemd.py",
    "timedatectl": IN_A_MACHINE,
}
# What only looks like one.
NO_COMMAND: Mapping[str, str] = {
    "kill -9": "how a process ends that has no time to end: tests send SIGKILL",
    "sudo -u bars-gateway": "what goes in front of any command",
}


FOUND = {each for page in PAGES for each in spans(page) if PROGRAM.fullmatch(each) or each in ALONE}


def test_each_quoted_command_is_typed_somewhere() -> None:
    """In a block that is typed, or by the trial that is named here; none is gone from the pages."""
    known = QUOTED.keys() | NO_COMMAND.keys()

    assert set() == {each for each in FOUND - known if f"{each} " not in typed_in_blocks()}
    assert set() == known - FOUND


@pytest.mark.parametrize("command", QUOTED)
def test_whoever_types_it_is_there(command: str) -> None:
    """It takes the words from the page, or has them itself."""
    assert command in (ROOT / QUOTED[command]).read_text("utf-8").replace('"\n        "', "")


def dry_runs(page: Path) -> list[str]:
    """Return each line of its blocks that are no more than a dry run."""
    lines = [
        line
        for each in blocks(page)
        if each.what == "dry run by"
        for line in each.text.splitlines()
    ]
    return [line.partition("#")[0].strip() for line in lines]


MAKES = sorted(
    {
        each
        for page in PAGES
        for each in (*spans(page), *dry_runs(page))
        if re.match(r"(?:[A-Z_]+=\S+ )*make ", each)
    }
)


def test_nothing_but_make_is_a_dry_run() -> None:
    """What else a page has in a block is typed for real."""
    assert set() == {each for page in PAGES for each in dry_runs(page)} - set(MAKES)


@pytest.mark.needs("make")
@pytest.mark.parametrize("command", MAKES)
def test_make_knows_what_it_is_asked_for(command: str) -> None:
    """Most take minutes: the target is there, and so is each program of ours that it begins."""
    ended = subprocess.run(
        ["bash", "-c", f"{command} --dry-run --always-make"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    begun = re.findall(r"(?:^|[\s;])((?:tests|packaging|supply)/[\w./-]+)(?=[\s;])", ended.stdout)

    assert 0 == ended.returncode, ended.stderr
    assert "Nothing to be done" not in ended.stdout
    assert [] == [each for each in begun if not (ROOT / each).exists()]
