"""The demo, as somebody sees it who types the one command."""

import subprocess
import sys

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
def test_every_step_of_every_chapter_is_seen() -> None:
    """It ends by itself, well, and has shown all that it announces."""
    ended = demo("--once")
    lines = ended.stdout.splitlines()

    assert (0, "") == (ended.returncode, ended.stderr)
    assert "Every step was seen" in lines[-1]
    assert [one.title for one in CHAPTERS] == [line for line in lines if line in TITLES]


TITLES = {one.title for one in CHAPTERS}


def test_a_chapter_that_there_is_not_is_named() -> None:
    """Together with those that there are."""
    ended = demo("--chapter", "encore")

    assert 2 == ended.returncode
    assert "encore" in ended.stderr
    assert "validation" in ended.stderr
