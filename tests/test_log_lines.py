"""The log waits for nobody: what nobody takes now is kept, in its order, or counted as lost."""

import errno
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bars_gateway import log, log_lines
from bars_gateway.log_lines import LogLines

A_PIPE = 64 * 1024
LINE = "x" * 199 + "\n"


class Kept:
    """A log, whoever reads it, and what it says of lines that are lacking."""

    def __init__(self, write: int, read: Callable[[int], bytes], *, limit: int) -> None:
        self.read = read
        self.log = LogLines(write, self.lacking, limit=limit)

    def lacking(self, count: int) -> None:
        self.log.write(f"lacking {count}\n")

    def drained(self) -> list[str]:
        """Read until nothing waits any more, and return each line."""
        said = b""
        while self.log.stuck_seconds:
            said += self.read(A_PIPE)
            self.log.pass_on()
        self.log.finish()
        return (said + self.read(10 * A_PIPE)).decode().splitlines()


@contextmanager
def pipe(monkeypatch: pytest.MonkeyPatch, limit: int, *, ours: bool) -> Iterator[Kept]:
    read, write = os.pipe()
    os.set_blocking(read, False)
    if not ours:
        monkeypatch.setattr(log_lines.os, "open", _refused)
    made = Kept(write, lambda size: _taken(read, size), limit=limit)
    yield made
    assert os.get_blocking(write)  # others have it open, too
    made.log.finish(0)
    os.close(read)
    os.close(write)


def _refused(*_args: object) -> int:
    raise PermissionError


def _taken(read: int, size: int) -> bytes:
    try:
        return os.read(read, size)
    except BlockingIOError:
        return b""


@contextmanager
def sockets(limit: int) -> Iterator[Kept]:
    read, write = socket.socketpair()
    with closing(read), closing(write):
        read.setblocking(False)
        made = Kept(write.fileno(), lambda size: _taken(read.fileno(), size), limit=limit)
        yield made
        assert write.getblocking()
        made.log.finish(0)


@pytest.fixture(params=["socket", "own pipe", "pipe of others"])
def kept(request, monkeypatch) -> Iterator[Kept]:
    limit = 10 * A_PIPE
    if request.param == "socket":
        with sockets(limit) as made:
            yield made
    else:
        with pipe(monkeypatch, limit, ours=request.param == "own pipe") as made:
            yield made


def numbered(count: int) -> list[str]:
    return [f"{number} ".ljust(199, ".") for number in range(count)]


def test_what_is_taken_is_there_at_once(kept: Kept) -> None:
    """No line waits for the next."""
    kept.log.write("one\n")

    assert b"one\n" == kept.read(100)
    assert 0.0 == kept.log.stuck_seconds


def done_soon(work: Callable[[], object]) -> bool:
    """Tell whether *work* comes to its end, and not to a lock of its own."""
    running = threading.Thread(target=work, daemon=True)
    running.start()
    running.join(20)
    return not running.is_alive()


def test_a_finaliser_may_log_in_the_middle_of_a_line(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector runs it at any moment, in the thread that is writing: its line comes behind."""
    offer, finalised = kept.log._offer, [b"a task was destroyed\n"]

    def collected(line: bytes) -> int:
        while finalised:
            kept.log.write(finalised.pop().decode())
        return offer(line)

    monkeypatch.setattr(kept.log, "_offer", collected)

    said = done_soon(lambda: kept.log.write("one\n"))
    kept.log._lock = threading.RLock()  # or what tidies up would wait, too

    assert said
    assert b"one\na task was destroyed\n" == kept.read(100)


def test_a_library_may_log_while_another_thread_is_at_its_handler() -> None:
    """That thread may wait for the one whose finaliser has something to say."""
    library, handler = logging.getLogger("a library"), log._NamesOnly()
    library.propagate = False
    library.addHandler(handler)
    assert handler.lock is not None
    with handler.lock, capture_logs() as lines:
        said = done_soon(lambda: library.warning("a task was destroyed"))

    assert said
    assert ["library.reported"] == [line["event"] for line in lines]


def test_nobody_waits_for_a_reader_that_stands_still(kept: Kept) -> None:
    """What has no room is kept in memory, and written in its order once there is room."""
    lines = numbered(3000)
    for line in lines:
        kept.log.write(f"{line}\n")
    stuck = kept.log.stuck_seconds

    assert stuck > 0
    assert lines == kept.drained()
    assert (0.0, 0) == (kept.log.stuck_seconds, kept.log.lost)


def test_a_line_longer_than_a_pipe_arrives_whole(kept: Kept) -> None:
    """A reader sees no half of a line, however often it comes to a halt."""
    lines = [f"{letter * 3 * A_PIPE}" for letter in "ab"]
    for line in lines:
        kept.log.write(f"{line}\n")

    assert lines == kept.drained()


def test_what_memory_does_not_hold_is_counted_where_it_is_lacking(kept: Kept) -> None:
    """The log says so between what was kept and what came after; nothing is lost in silence."""
    lines = numbered(6000)
    for line in lines:
        kept.log.write(f"{line}\n")
    lost = kept.log.lost
    said = kept.drained()

    assert 0 < lost < 3000
    assert [*lines[: 6000 - lost], f"lacking {lost}"] == said


def test_what_comes_after_the_gap_stands_after_the_line_that_tells_it(kept: Kept) -> None:
    """Whoever reads it knows between which lines others are missing."""
    for line in numbered(6000):
        kept.log.write(f"{line}\n")
    lost, said = kept.log.lost, b""
    while kept.log._lacking:
        said += kept.read(A_PIPE)
        kept.log.pass_on()
    kept.log.write("after\n")
    rest = kept.drained()

    assert f"lacking {lost}" in (said.decode() + "\n".join(rest))
    assert "after" == rest[-1]


def test_a_reader_that_is_gone_fails_nobody(tmp_path: Path) -> None:
    """`| head -1`: each line is lost, and counted, and none that would have told of it."""
    read, write = os.pipe()
    log = LogLines(write, lambda count: log.write(f"{count}\n"))
    os.close(read)
    for _ in range(3):
        log.write(LINE)
        log.pass_on()
    log.finish()
    os.close(write)

    assert (3, 3) == (log.lost, log._lacking)
    assert log.stuck_seconds > 0


def test_a_disk_that_is_full_fails_nobody() -> None:
    """What goes to a file is written as it comes, or lost."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        log = LogLines(full.fileno(), lambda _count: None)
        log.write(LINE)

    assert 1 == log.lost


def test_a_disk_that_has_room_again_has_each_line_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the line at which it was full there is a part, and the next one begins a line."""
    room, write = 250, os.write

    def of_a_full_disk(number: int, line: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = write(number, line[:room])
        room -= taken
        return taken

    monkeypatch.setattr(log_lines.os, "write", of_a_full_disk)
    file = tmp_path / "log"
    with file.open("w", encoding="utf-8") as opened:
        log = LogLines(opened.fileno(), lambda count: log.write(f"lacking {count}\n"))
        for _ in range(3):
            log.write(LINE)
            log.pass_on()
        room = 1000
        log.pass_on()
        log.write("after\n")
    said = file.read_text(encoding="utf-8").splitlines()

    assert [LINE.strip(), "x" * 50, "lacking 2", "after"] == said
    assert 2 == log.lost


def test_threads_that_log_at_once_tear_no_line(kept: Kept) -> None:
    """The writer's thread and the loop both have something to say."""

    def say(letter: str) -> None:
        for _ in range(500):
            kept.log.write(letter * 199 + "\n")

    threads = [threading.Thread(target=say, args=(letter,)) for letter in "abc"]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert sorted(letter * 199 for letter in "abc" * 500) == sorted(kept.drained())


def test_what_waits_at_the_end_is_written_by_a_reader_that_goes_on(kept: Kept) -> None:
    """The last lines before an exit are those that say why."""
    lines = numbered(2000)
    for line in lines:
        kept.log.write(f"{line}\n")
    said: list[bytes] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            said.append(kept.read(A_PIPE))
            time.sleep(0.002)

    reader = threading.Thread(target=read)
    reader.start()
    kept.log.finish(30)
    done.set()
    reader.join()
    said.append(kept.read(10 * A_PIPE))

    assert lines == b"".join(said).decode().splitlines()


def test_an_end_waits_for_a_dead_reader_no_longer_than_it_is_told(kept: Kept) -> None:
    """A service that is to stop does stop."""
    for line in numbered(3000):
        kept.log.write(f"{line}\n")
    begun = time.monotonic()
    kept.log.finish(0.2)

    assert 0.2 <= time.monotonic() - begun < 2
