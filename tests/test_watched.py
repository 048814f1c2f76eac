"""What takes long shows somebody at a terminal how far it is, and nothing to a program."""

import asyncio
import contextlib
import io
import os
import pty
import shutil
import sys
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from messages import referral
from typed import Done, settings_text, typed

from bars_gateway.cli import attention, begin, messages, output
from bars_gateway.store.sqlite.backup import back_up
from bars_gateway.store.sqlite.database import open_database


class AtOnce:
    """A timer whose time is over when it starts."""

    def __init__(self, _seconds: float, then: Callable[[], None]) -> None:
        self._then = then

    def start(self) -> None:
        """Do it."""
        self._then()

    def cancel(self) -> None:
        """Be too late for that."""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return settings with a database, two backups of it, and a gateway that does as it is told."""
    for name in ("state", "spool", "run"):
        (tmp_path / name).mkdir()
    file = tmp_path / "gateway.toml"
    file.write_text(settings_text(tmp_path))
    database = tmp_path / "state" / "gateway.db"
    asyncio.run(_made(database))
    back_up(database, tmp_path / "backup.db")
    shutil.copy(tmp_path / "backup.db", tmp_path / "kept.db")
    (tmp_path / "m.json").write_bytes(referral())
    report = {"messages": [], "alarms": [], "possible": 0, "objections": {}, "dry_run": False}
    asked = HTTPStatus.OK, {**report, "more": False, "next": None}
    monkeypatch.setattr(messages, "asked", lambda *_: asked)
    monkeypatch.setattr(attention, "asked", lambda *_: asked)
    monkeypatch.setattr(messages, "submit", _submitted)
    monkeypatch.setattr(output.threading, "Timer", AtOnce)
    return file


async def _made(database: Path) -> None:
    async with open_database(database):
        pass


async def _submitted(*_: Any) -> list[dict[str, bool]]:
    return []


LONG = {
    "backup": ("backup FOLDER/copy.db", "Copying pages"),
    "verify": ("verify", "Checking"),
    "restore": ("restore FOLDER/backup.db --older", "Restoring"),
    "hand-over": ("restore FOLDER/kept.db --hand-over", "Handing over"),
    "send": ("send FOLDER/m.json", "Submitting"),
    "verb": ("hold --all --why x", "hold: messages"),
    "mark-handled": ("mark-handled --all --up-to 9 --why x", "mark-handled: alarms"),
    "lint": ("lint FOLDER/m.json", "Reading messages"),
    "doctor": ("doctor --offline", "looking at"),
}


def words(name: str, settings: Path) -> list[str]:
    typed_in = LONG[name][0].replace("FOLDER", str(settings.parent)).split()
    return typed_in if name == "lint" else [*typed_in, "--config", str(settings)]


@pytest.fixture
def screen() -> Iterator[tuple[int, io.TextIOWrapper]]:
    master, slave = pty.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as file:
        yield master, file
    os.close(master)


def seen(screen: tuple[int, io.TextIOWrapper], words: list[str]) -> str:
    """Run a command whose standard error is a terminal; return what that showed."""
    master, file = screen
    with mock.patch.object(sys, "stderr", file), mock.patch.object(sys, "argv", ["b", *words]):
        with contextlib.suppress(SystemExit):
            begin.main()
        file.write("END")
        file.flush()
    shown = ""
    while not shown.endswith("END"):
        shown += os.read(master, 65536).decode("utf-8", "replace")
    return shown


@pytest.mark.parametrize("name", LONG)
def test_a_terminal_shows_what_is_done(
    settings: Path,
    screen: tuple[int, io.TextIOWrapper],
    name: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On standard error; standard output has what it has anyway."""
    shown = seen(screen, words(name, settings))

    assert LONG[name][1] in shown
    assert LONG[name][1] not in capsys.readouterr().out


@pytest.mark.parametrize("name", LONG)
def test_a_pipe_is_told_nothing_of_it(settings: Path, name: str) -> None:
    """Neither of the two: a log of what a timer runs has no bars in it."""
    done: Done = typed(*words(name, settings))

    assert LONG[name][1] not in done.out + done.err
    assert "\x1b" not in done.out + done.err
