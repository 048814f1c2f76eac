"""The benchmarks run: what nobody runs for a month no longer does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT, block

FOLDER = Path(__file__).parent / "bench"
DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"
FEW = {
    "ROUNDS": "1",
    "MESSAGES": "8",
    "TIMES": "1",
    "BASE": "",
    "PEER": "none",  # nothing is fetched for a test
    "ONLY": "doors,examining,resident",
}


def printed_by(program: str, *arguments: str, **few: str) -> str:
    """Return what it prints; it ends well."""
    ended = subprocess.run(
        [sys.executable, str(FOLDER / program), *arguments],
        env=os.environ | few,
        capture_output=True,
        check=False,
    )
    assert 0 == ended.returncode, ended.stderr.decode()
    return ended.stdout.decode()


def test_the_document_names_every_figure() -> None:
    """Its numbers are of one machine and one day; what has one is known without measuring."""
    named = printed_by("run.py", "--names").splitlines()
    written = DOCUMENT.read_text("utf-8")

    assert [] == [each for each in named if each not in written]


@pytest.mark.long
def test_gateways_are_measured() -> None:
    """One short round of real gateways without a base: each has its figure."""
    printed = printed_by("run.py", **FEW)

    some = {"intake", "drain", "inbound", "bare loop", "examine, 12.9 kB JSON", "and uvloop"}
    assert some <= {line.split(" | ")[0].removeprefix("| ") for line in printed.splitlines()}


# Make believes that the environment is there; what a page has for minutes is made short.
AS_INSTALLED = 'make() { command make --assume-old=.venv/tests "$@"; }\nset -eu\n'
SHORT = {"ROUNDS": "1", "MESSAGES": "8", "PEER": "none", "ONLY": "examining", "HELD": "5"}


@pytest.mark.needs("git", "make")
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no clone has a commit to compare with")
@pytest.mark.long
def test_a_build_is_compared_with_another() -> None:
    """What `docs/debugging.md` has a developer type: figures beside its own, and statements."""
    lines = block("debugging.md", "make bench BASE").replace("COMMIT", "HEAD")
    own = os.environ | SHORT | {"LARGE": "20000", "PYTHONPATH": ""}
    ended = subprocess.run(
        ["bash", "-c", AS_INSTALLED + lines], cwd=ROOT, env=own, capture_output=True, check=False
    )
    said, beside = ended.stdout.decode(), ended.stderr.decode()
    (examined, *_) = (line for line in said.splitlines() if line.startswith("| examine, "))

    assert 0 == ended.returncode, beside
    assert "- base: " in said
    assert "-" not in {cell.strip() for cell in examined.split("|")[2:5]}
    assert "| statements, intake |" in said
    assert "INSERT INTO messages" in beside


@pytest.mark.needs("postgres")
@pytest.mark.long
def test_gateways_on_a_server_are_measured() -> None:
    """One short round of all: what PostgreSQL takes has a figure and a ratio to the file."""
    printed = printed_by("on_a_server.py", **FEW)

    some = {"drain, PostgreSQL", "drain, 100 ms away, two nodes", "drain, PostgreSQL to SQLite"}
    shown = (line.split(" | ") for line in printed.splitlines() if line.startswith("| "))
    assert some <= {name.removeprefix("| ") for name, value, *_ in shown if value != "-"}


@pytest.mark.parametrize(
    ("program", "few", "last"),
    [
        ("lookups.py", {"STORED": "1000", "LOOKUPS": "10"}, "in 1000 messages"),
        ("pages.py", {"STORED": "1000", "ROUNDS": "1"}, "of 1000 messages"),
        ("sick.py", {"MESSAGES": "20"}, "ratio of the two"),
        ("checkpoints.py", {"MESSAGES": "20", "ROUNDS": "1"}, "of 20 messages"),
        ("purging.py", {"STORED": "200", "QUIET": "1", "FLOW": "1"}, "purge 1: nothing of"),
    ],
)
@pytest.mark.long
def test_the_others_end_well(program: str, few: dict[str, str], last: str) -> None:
    """With few messages, whose figures mean nothing."""
    ended = subprocess.run(
        [sys.executable, str(FOLDER / program)],
        env=os.environ | few,
        capture_output=True,
        check=False,
    )

    assert (0, b"") == (ended.returncode, ended.stderr)
    assert ended.stdout.decode().splitlines()[-1].startswith(last)
