"""How commands print: whole where it is piped, drawn on a terminal, and how far they are."""

import io
import os
import pty
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from bars_gateway.cli import output
from bars_gateway.cli.output import print_lines, print_table

ID = "6f1d0c52-0000-4000-8000-000000000001"
COLUMNS = ("X-Request-Id", "State", "How it stands")
ROWS = [(ID, "queued", "The referral is on its way, not confirmed yet. [Wait:] you will be told.")]


def printed(*, terminal: bool, width: int = 80) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=width, soft_wrap=True, no_color=True)
    print_table(COLUMNS, ROWS, console)
    return out.getvalue().splitlines()


def test_what_is_piped_is_one_line_for_each_row() -> None:
    """`cut`, `awk` and `grep` have what they expect, brackets and all."""
    head, line = printed(terminal=False)

    assert COLUMNS == tuple(part.strip() for part in head.split("  ") if part.strip())
    assert line == "  ".join(ROWS[0])


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_terminal_draws_a_table_and_cuts_no_id(width: int) -> None:
    """However narrow it is; the sentence is broken, and no id."""
    lines = printed(terminal=True, width=width)

    assert any(ID in line for line in lines)
    assert "told." in " ".join(lines)
    assert len(lines) > len(ROWS) + 1


def test_a_line_of_json_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is in it: paths, sets, breaks of lines."""
    print_lines([{"file": Path("a"), "kinds": frozenset({"b", "a"}), "text": "one\ntwo"}])

    assert '{"file":"a","kinds":["a","b"],"text":"one\\ntwo"}\n' == capsys.readouterr().out


@dataclass
class Screen:
    """What was shown on a terminal."""

    master: int
    file: io.TextIOWrapper

    def read(self) -> str:
        """Return all that was shown by now."""
        self.file.write("END")
        self.file.flush()
        shown = ""
        while not shown.endswith("END"):
            shown += os.read(self.master, 65536).decode("utf-8", "replace")
        return shown.removesuffix("END")


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Screen]:
    """Let standard error be a terminal, and standard output be caught."""
    assert capsys
    master, slave = pty.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as file:
        yield Screen(master, file)
    os.close(master)


def test_what_takes_long_shows_how_far_it_is(
    screen: Screen, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the terminal, and not on standard output."""
    monkeypatch.setattr("sys.stderr", screen.file)
    monkeypatch.setattr(output, "AFTER_SECONDS", 0.0)
    begun = threading.Event()
    begin = output._Bar.begin

    def noted(bar: output._Bar) -> None:
        begin(bar)
        begun.set()

    monkeypatch.setattr(output._Bar, "begin", noted)
    with output.shown("Copying pages") as advance:
        assert begun.wait(30)
        advance(3, 7)
    shown = screen.read()

    assert "Copying pages" in shown
    assert "3/7" in shown
    assert "" == capsys.readouterr().out


def test_what_is_done_at_once_shows_nothing(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two seconds are no time to draw anything in."""
    monkeypatch.setattr("sys.stderr", screen.file)
    with output.shown("Copying pages") as advance:
        advance(7, 7)

    assert "" == screen.read()


def test_a_pipe_is_shown_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A log of what a timer runs has no bars in it."""
    monkeypatch.setattr(output, "AFTER_SECONDS", 0.0)
    with output.shown("Copying pages") as advance:
        advance(3, 7)

    assert ("", "") == capsys.readouterr()
