"""The benchmarks run: what nobody runs for a month no longer does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "bench"
PROGRAM = FOLDER / "run.py"
FEW = {"ROUNDS": "1", "MESSAGES": "32"}


@pytest.mark.timeout(180)
def test_every_figure_is_printed() -> None:
    """One short round: it ends well, and says what it promises."""
    ended = subprocess.run(
        [sys.executable, str(PROGRAM)], env=os.environ | FEW, capture_output=True, check=False
    )
    figures = [line[:28].rstrip() for line in ended.stdout.decode().splitlines()[1:]]

    assert (0, b"") == (ended.returncode, ended.stderr)
    assert [
        "durable intake",
        "outbound to acknowledged",
        "bare loop of the same",
        "inbound to 200",
        "inbound at 200 a second",
        "bare server of the same",
        "store, grouped commits",
        "store, one commit each",
        "grouped to single commits",
        "inbound to bare server",
        "outbound to bare loop",
        "idle memory",
        "memory under load",
    ] == figures


@pytest.mark.parametrize(
    ("program", "few", "last"),
    [
        ("backlog.py", {"BACKLOG": "10000", "CLAIMS": "10"}, "memory added by 10 messages"),
        ("lookups.py", {"STORED": "1000", "LOOKUPS": "10"}, "in 1000 messages"),
        ("pages.py", {"STORED": "1000", "ROUNDS": "1"}, "of 1000 messages"),
        ("sick.py", {"MESSAGES": "20"}, "ratio of the two"),
        ("checkpoints.py", {"MESSAGES": "20", "ROUNDS": "1"}, "of 20 messages"),
    ],
)
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
