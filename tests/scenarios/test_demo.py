"""The demo, as somebody sees it who types the one command."""

import asyncio
import os
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

import pytest
from pages import quoted
from rich.console import Console

from bars_gateway.demo import postgresql
from bars_gateway.demo.chapters import CHAPTERS
from bars_gateway.demo.nodes import NODES_CHAPTERS
from bars_gateway.demo.stage import TimelinePrinter


def demo(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bars_gateway", "demo", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


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


def test_what_is_refused_for_another_reason_ends_the_play() -> None:
    """It would be handed over again and again, with more and more time."""
    program = (
        "from bars_gateway.demo import chapters; chapters._MOST_SECONDS = 2;"
        "chapters.validation_request = lambda **_: b'{}';"
        "from bars_gateway.cli.main import app; app(['demo', '--once', '--chapter', 'overdue'])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=100
    )

    assert ended.returncode
    assert "a request for validation is not sent" in ended.stdout + ended.stderr


def test_a_machine_too_busy_for_a_clinical_time_gets_a_later_one() -> None:
    """What is refused, or not sent, for its time has passed is no end of the play."""
    program = (
        "from bars_gateway.demo import chapters; chapters._SECONDS = -4;"
        "from bars_gateway.cli.main import app; app(['demo', '--once', '--chapter', 'overdue'])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert (0, "") == (ended.returncode, ended.stderr)
    assert 1 == ended.stdout.count("too late. It is tried with 2 s")
    assert "Every step was seen" in ended.stdout


async def test_a_line_said_while_a_chapter_is_given_up_changes_nothing() -> None:
    """What ends with it may say so."""
    timeline = TimelinePrinter(Console(file=StringIO()))

    async def ending() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            timeline.say("demo", "ends")

    with pytest.raises(TimeoutError):
        async with timeline.going_on(0.05):
            await ending()


async def test_a_chapter_is_given_up_for_silence_and_not_for_its_length() -> None:
    """A busy machine takes long over each line, and there is another one all the same."""
    timeline = TimelinePrinter(Console(file=StringIO()))
    async with timeline.going_on(0.5):
        for _ in range(4):
            await asyncio.sleep(0.2)
            timeline.say("demo", "goes on")
    with pytest.raises(TimeoutError):
        async with timeline.going_on(0.05):
            await asyncio.Event().wait()
    timeline.say("demo", "is over")


def test_a_chapter_that_there_is_not_is_named() -> None:
    """Together with those that there are."""
    ended = demo("--chapter", "encore")

    assert 2 == ended.returncode
    assert "encore" in ended.stderr
    assert "validation" in ended.stderr


@pytest.mark.needs("postgres")
@pytest.mark.long
def test_of_two_nodes_one_is_killed_and_nothing_is_lost_or_doubled() -> None:
    """It starts a server of its own, counts every message at both ends, and leaves nothing."""
    _, _, *on_two_nodes = quoted("several-nodes.md", "bars-gateway demo --nodes 2").split()
    with tempfile.TemporaryDirectory() as temporary:  # another demo may run in ours meanwhile
        Path(temporary).chmod(0o711)  # the server is another user's, where this one is root
        ended = demo("--once", *on_two_nodes, TMPDIR=temporary)
        left = list(Path(temporary).iterdir())
    lines = ended.stdout.splitlines()

    assert (0, "") == (ended.returncode, ended.stderr)
    assert "Every step was seen" in lines[-1]
    titles = [one.title for one in NODES_CHAPTERS]
    assert titles == [line for line in lines if line in titles]
    assert 2 == sum("0 lost, 0 doubled" in line for line in lines)
    assert [] == left


async def test_without_postgresql_the_demo_of_two_nodes_says_what_cures_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And begins nothing."""
    monkeypatch.setattr(postgresql, "_folders", lambda: iter(()))
    with pytest.raises(postgresql.NoPostgres) as refused:
        async with postgresql.served_database(tmp_path / "database"):
            pass

    assert "none is installed" in str(refused.value)
    assert "apt-get install postgresql" in refused.value.advice
    assert [] == list(tmp_path.iterdir())


@pytest.mark.needs("postgres")
@pytest.mark.skipif(os.geteuid() != 0, reason="it is about what root starts")
async def test_where_root_starts_the_demo_the_server_is_nobodys(tmp_path: Path) -> None:
    """PostgreSQL refuses to be root's; a folder that nobody gets at is named, with the cure."""
    shut = tmp_path / "shut"
    shut.mkdir(mode=0o700)
    with pytest.raises(postgresql.FolderShut) as refused:
        async with postgresql.served_database(shut / "database"):
            pass

    assert str(shut) in str(refused.value)
    assert "--folder" in refused.value.advice


def test_one_chapter_of_the_demo_of_two_nodes_is_not_played_alone() -> None:
    """What it counts is what the others have sent."""
    ended = demo("--nodes", "2", "--chapter", "validation")

    assert 2 == ended.returncode
    assert "as a whole" in ended.stderr
