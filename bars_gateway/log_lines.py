"""
Writes the lines of the log for whoever reads them, and waits for nobody.

    line ─► a file · a pipe · the journal's socket
     └─ it takes no more for now ─► memory, in their order ─► as soon as it takes some again
                                      └─ full ─► counted; a line says so, at that place

A pipe holds 64 kB. Where nobody empties it any more (the journal stands still, `tee` has met a full
disk), a write waits, and with it every message, until the watchdog ends the process; and so again
after each start. A patient comes before a line of the log: so what cannot be written at once waits
in memory, and beyond `LIMIT` it is lost, and counted. What a file or a pipe refuses for good is
lost, too, and counted: no message fails over its line.

A finaliser may log at any moment: in the middle of a line that the same thread is writing. So no
lock is held here that a thread may not take twice, and what it says comes behind that line.

Nothing is switched to non-blocking that others have open as well, such as the shell that gave it
to us: they would be told to try again, and do not know how.

Decisions: D-log-waits-for-nobody.
"""

import errno
import os
import select
import socket
import stat
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from threading import RLock, get_ident

LIMIT = 4 * 2**20  # bytes in memory: some 10,000 lines
FINISHED_WITHIN = 2.0  # seconds at the end, for a reader that is slow
_NEVER_WAITS = select.PIPE_BUF  # so much goes at once into a pipe that has any room
_LOOKED_AT_EACH = 0.1
_AT_ONCE = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

Offer = Callable[[bytes], int]  # how much of it was taken; raises OSError
Close = Callable[[], None]


class LogLines:
    """A stream of lines, each of which is written, kept for a while, or counted as lost."""

    def __init__(
        self, number: int, told_lost: Callable[[int], None], *, limit: int = LIMIT
    ) -> None:
        """Write to the descriptor *number*; *told_lost* writes here how many lines are lacking."""
        self._number, self._told_lost, self._limit = number, told_lost, limit
        self._offer, self._close = _way_to(number)
        self._lock, self._is_writing = RLock(), False
        self._said: deque[bytes] = deque()  # what is to be written next, a line as a rule
        self._waiting: deque[bytes] = deque()
        self._bytes = 0  # that wait
        self._lacking = 0  # lines, between those that wait and those that are still to come
        self._teller: int | None = None  # the thread that says how many are lacking
        self._told_in_vain = False
        self._stuck_since: float | None = None  # on the monotonic clock
        self.lost = 0  # lines, since the start

    @property
    def stuck_seconds(self) -> float:
        """For how long not everything could be written; 0: all is."""
        since = self._stuck_since
        return 0.0 if since is None else time.monotonic() - since

    def write(self, text: str) -> None:
        """Write a line, or keep or count it; it never waits, and never raises OSError."""
        line = text.encode("utf-8", "backslashreplace")
        with self._lock:
            self._said.append(line)
            self._go_on()

    def flush(self) -> None:
        """Do nothing: nothing waits that could be written."""

    def isatty(self) -> bool:
        """Return False: what comes here is no text for a terminal."""
        return False

    def pass_on(self) -> None:
        """Write what waits, as far as it is taken now, and tell of what is lacking behind it."""
        with self._lock:
            self._go_on()
            lacking = self._lacking if self._bytes <= self._limit // 2 else 0
            self._lacking -= lacking
        if lacking:
            self._teller, self._told_in_vain = get_ident(), False
            self._told_lost(lacking)
            self._teller = None
        with self._lock:
            if lacking and self._told_in_vain:  # that line is lost, and is none of those
                self._lacking += lacking
            if not self._waiting and not self._lacking:
                self._stuck_since = None

    def finish(self, seconds: float = FINISHED_WITHIN) -> None:
        """Write what still waits, for so long at most, and nothing any more."""
        until, writable = time.monotonic() + seconds, select.poll()
        writable.register(self._number, select.POLLOUT)
        self.pass_on()
        while self._waiting and time.monotonic() < until:
            writable.poll(1000 * _LOOKED_AT_EACH)
            self.pass_on()
        with self._lock:
            self._offer = _refuse
            self._close()
            self._close = _leave_open

    def _go_on(self) -> None:
        """Write what waits, and what was said; whoever is in the middle of that does it all."""
        if self._is_writing:
            return
        self._is_writing = True
        try:
            self._pass_on()
            while self._said:
                self._take(self._said.popleft())
        finally:
            self._is_writing = False

    def _take(self, line: bytes) -> None:
        if self._takes(line):
            return
        if self._teller == get_ident():
            self._told_in_vain = True
        else:
            self._lose()

    def _takes(self, line: bytes) -> bool:
        if self._lacking or (self._waiting and self._bytes + len(line) > self._limit):
            return False  # until it is told that some are lacking here
        rest = line if self._waiting else self._left_of(line)
        if rest:
            self._keep(rest)
        return rest is not None

    def _pass_on(self) -> None:
        while self._waiting:
            line = self._waiting.popleft()
            rest = self._left_of(line)
            if rest is None:
                self._lose()
                rest = b""
            self._bytes -= len(line) - len(rest)
            if rest:
                self._waiting.appendleft(rest)
                return

    def _keep(self, line: bytes) -> None:
        self._waiting.append(line)
        self._bytes += len(line)
        self._stuck_since = self._stuck_since or time.monotonic()

    def _lose(self) -> None:
        self._lacking += 1
        self.lost += 1
        self._stuck_since = self._stuck_since or time.monotonic()

    def _left_of(self, line: bytes) -> bytes | None:
        """Return what was not taken of it for now; None: it is refused for good."""
        try:
            return line[self._offer(line) :]
        except OSError:
            return None


def _refuse(_line: bytes) -> int:
    raise OSError(errno.EBADF, os.strerror(errno.EBADF))


def _leave_open() -> None:
    """Close nothing: it is not ours alone."""


def _way_to(number: int) -> tuple[Offer, Close]:
    """Return what writes to that descriptor as much as it takes at once, and how it is closed."""
    mode = os.fstat(number).st_mode
    if stat.S_ISSOCK(mode):
        reader = socket.socket(fileno=os.dup(number))
        return _to_socket(reader), reader.close
    if not stat.S_ISFIFO(mode):
        return _to_file(number), _leave_open
    try:  # opened once more, so that it is ours alone
        own = os.open(f"/proc/self/fd/{number}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # it is another user's, as in many a container
        return _to_pipe_of_others(number), _leave_open
    return _to_own_pipe(own), partial(os.close, own)


def _to_socket(reader: socket.socket) -> Offer:
    def offer(line: bytes) -> int:
        try:
            return reader.send(line, _AT_ONCE)
        except BlockingIOError:
            return 0

    return offer


def _to_own_pipe(number: int) -> Offer:
    def offer(line: bytes) -> int:
        try:
            return os.write(number, line)
        except BlockingIOError:
            return 0

    return offer


def _to_pipe_of_others(number: int) -> Offer:
    has_room = select.poll()
    has_room.register(number, select.POLLOUT)

    def offer(line: bytes) -> int:
        taken = 0
        while taken < len(line) and has_room.poll(0):
            taken += os.write(number, line[taken : taken + _NEVER_WAITS])
        return taken

    return offer


def _to_file(number: int) -> Offer:
    torn = False  # what stands at its end is a part of a line

    def offer(line: bytes) -> int:
        nonlocal torn
        if torn:
            os.write(number, b"\n")
            torn = False
        taken = 0
        try:
            while taken < len(line):
                taken += os.write(number, line[taken:])
        finally:
            torn = 0 < taken < len(line)
        return taken

    return offer
