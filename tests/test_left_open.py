"""What a test leaves open fails that test, and none that comes after it."""

import re
import subprocess
import sys
from pathlib import Path

SUPPORT = Path(__file__).parent / "support"
TESTS = """
import asyncio
import gc
import os
import socket

import pytest

gc.disable()  # so that nothing is collected by chance


@pytest.fixture(scope="module")
def wider():
    reader, writer = os.pipe()
    with open(reader), open(writer, "w"):
        yield


async def forgotten():
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, ours)
    transport.pause_reading()  # so that it does not hear of the end
    theirs.close()


def test_connection():
    asyncio.run(forgotten())


def test_loop():
    asyncio.new_event_loop()


def test_file():
    circle = [open(__file__)]
    circle.append(circle)


def test_what_a_wider_fixture_holds(wider):
    pass


def test_what_comes_after(wider):
    pass
"""
FOUND = {
    ("FAILED", "connection", "the event loop ended and left open: <_SelectorSocketTransport"),
    ("ERROR", "connection", "this test left open: unclosed <socket.socket"),
    ("ERROR", "loop", "this test left open: unclosed event loop"),
    ("ERROR", "file", "this test left open: unclosed file"),
}


def test_whoever_leaves_something_open_is_named(tmp_path: Path) -> None:
    """A connection, a loop, a file; what a fixture of the module holds is nobody's fault."""
    (tmp_path / "test_some.py").write_text(TESTS)
    words = ["-p", "left_open", "-p", "no:cacheprovider", "-W", "error", "--tb=line", "-rfE"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, "--rootdir", str(tmp_path), "test_some.py"],
        env={"PYTHONPATH": str(SUPPORT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "500"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    told = re.findall(r"^(FAILED|ERROR) \S+::test_(\w+) - \w+: (.*)$", done.stdout, re.MULTILINE)

    assert sorted(FOUND) == sorted(
        (verdict, name, expected)
        for verdict, name, text in told
        for *_, expected in FOUND
        if text.startswith(expected)
    )
    assert len(FOUND) == len(told)
    assert "1 failed, 4 passed, 3 errors" in done.stdout
