"""The demo, as somebody sees it who types the one command."""

import subprocess
import sys
from pathlib import Path

import pytest

from bars_gateway.demo.chapters import CHAPTERS


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bars_gateway", "demo", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(120)
def test_every_step_of_every_chapter_is_seen(tmp_path: Path) -> None:
    """It ends by itself, well, and has shown all that it announces."""
    ended = demo("--once", "--folder", str(tmp_path))
    lines = ended.stdout.splitlines()

    assert (0, "") == (ended.returncode, ended.stderr)
    assert "Every step was seen" in lines[-1]
    assert [one.title for one in CHAPTERS] == [line for line in lines if line in TITLES]
    assert [] == [line for line in logged(tmp_path) if "organisations_differ" in line]


def logged(folder: Path) -> list[str]:
    """Return what the gateways of the demo have logged."""
    logs = [file.read_text("utf-8").splitlines() for file in folder.glob("*/gateway.log")]
    assert all(logs)
    return [line for lines in logs for line in lines]


TITLES = {one.title for one in CHAPTERS}


def test_a_chapter_that_there_is_not_is_named() -> None:
    """Together with those that there are."""
    ended = demo("--chapter", "encore")

    assert 2 == ended.returncode
    assert "encore" in ended.stderr
    assert "validation" in ended.stderr
