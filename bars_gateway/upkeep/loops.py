"""
Loops that go on, whether each still moves, and what the service manager hears of it.

    run ──raises──► alarm · log ──pause──► run                       (`enduring`)

    every ten seconds ─► the store has that we are up                (`Presence`)

    dispatcher · collect · deliver · inbound ──beat──► Heartbeats
                                                            ▼ all in time?
    housekeeper ──a round whose writes were committed──► Watchdog ──WATCHDOG=1──► Notifier
                                                                  READY=1, STOPPING=1 ─┘

What is about one file, message or notice is set aside where it is met, and ends no loop. The rest
(a folder that cannot be listed, a look at what is due) ends one round: each loop keeps what it
promises in the store or in folders, so it may begin again at any time.

A loop beats each time that it comes round. Each has its own allowance, which is longer
than it may rightly sleep or wait. A task that *ends* needs none of this: it takes the
process with it. This is for those that neither end nor move, and for the thread that
writes: without a committed round nobody looks here, and nothing is reported.

The surprising choice: there is no timer. A timer that reports by itself would go on
reporting for a gateway that sends and receives nothing. Nor is there a library for systemd's
protocol, which is one datagram for each report, lines of `NAME=value` to the socket that
NOTIFY_SOCKET names: what speaks for the watchdog should be readable at one look. Without that
socket nothing is sent, so a gateway at a terminal behaves the same. A report that does not arrive
is logged and forgotten: it is the manager's to miss it, and no reason to leave the EPR unserved.

Decisions: D-set-aside.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

import structlog

from bars_gateway.errors import StoreUnavailable
from bars_gateway.log_lines import LogLines
from bars_gateway.stopping import pause
from bars_gateway.store.figures import LONGEST_GAP, NOTED_EVERY, Uptimes

log = structlog.get_logger(__name__)

_SEND_SECONDS = 0.5  # a datagram of this size goes at once, or the manager does not read
Beat = Callable[[], None]
_ADVICE = (
    "With the unit's watchdog on, systemd restarts the gateway, and what was promised goes on"
    " from the disk. If the same loop stalls again, look at the disk or share that it works on."
)
Loop = Callable[[Beat], Awaitable[None]]
Endless = Callable[[Beat], Coroutine[Any, Any, None]]
PAUSE_SECONDS = 5.0
LAG_EVERY_SECONDS = 0.5
_LOG_EVERY_SECONDS = 0.5


class Notifier:
    """Speaks to the service manager at *address*, or to nobody where that is None or empty."""

    def __init__(self, address: str | None) -> None:
        self._address = address or None

    def tell(self, *assignments: str) -> None:
        """
        Send *assignments*, such as ``"READY=1", "STATUS=receiving"``, in one datagram.

        A line break in one of them would begin another assignment, so it becomes a space.
        """
        if self._address is None:
            return
        report = "\n".join(" ".join(one.splitlines()) for one in assignments)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(_SEND_SECONDS)
                sender.sendto(report.encode(), _place(self._address))
        except OSError as error:
            log.warning("daemon.report_lost", fault=error.strerror or type(error).__name__)


def _place(address: str) -> str:
    """Return the socket's address for Python: a leading @ stands for the abstract namespace."""
    if address.startswith("@"):
        return f"\0{address[1:]}"
    if not PurePosixPath(address).is_absolute():
        raise OSError(None, "NOTIFY_SOCKET names no socket of this machine")
    return address


def _never() -> bool:
    return False


@dataclass(slots=True, kw_only=True)
class _Pulse:
    last: float  # on the monotonic clock, in seconds
    within_seconds: float
    rests: Callable[[], bool]


class Heartbeats:
    """The loops that run, and when each of them last moved."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._pulses: dict[str, _Pulse] = {}

    async def keep(
        self,
        loop: str,
        run: Callable[[Beat], Awaitable[None]],
        *,
        within_seconds: float,
        rests: Callable[[], bool] = _never,
    ) -> None:
        """
        Run a loop that beats at least every *within_seconds*; expect nothing once it has ended.

        A loop that waits for others without end says by *rests* that there is nothing to do.
        """
        pulse = _Pulse(last=self._monotonic(), within_seconds=within_seconds, rests=rests)

        def beat() -> None:
            pulse.last = self._monotonic()

        self._pulses[loop] = pulse
        try:
            await run(beat)
        finally:
            del self._pulses[loop]

    def silences(self) -> Mapping[str, float]:
        """Return, for each loop that runs, the seconds since it last moved."""
        now = self._monotonic()
        for pulse in self._pulses.values():
            if pulse.rests():
                pulse.last = now
        return {loop: now - pulse.last for loop, pulse in self._pulses.items()}

    def overdue(self) -> Mapping[str, float]:
        """Return the seconds of silence of each loop that has been still for too long."""
        return {
            loop: silence
            for loop, silence in self.silences().items()
            if silence > self._pulses[loop].within_seconds
        }


class LoopLag:
    """Finds out how much later than due the process comes round: what all the others wait for."""

    def __init__(
        self,
        lagged: Callable[[float], None],
        monotonic: Callable[[], float],
        *,
        every_seconds: float = LAG_EVERY_SECONDS,
    ) -> None:
        """*lagged* is told of each turn."""
        self._lagged, self._monotonic, self._every_seconds = lagged, monotonic, every_seconds
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Look until stopped."""
        while not self._stopping.is_set():
            due = self._monotonic() + self._every_seconds
            await pause(self._stopping, self._every_seconds)
            if not self._stopping.is_set():
                self._lagged(max(0.0, self._monotonic() - due))

    def stop(self) -> None:
        """End at once."""
        self._stopping.set()


class LogKeeper:
    """Writes to the log what nobody took when it was said, and knows how much was lost."""

    def __init__(self, lines: LogLines | None) -> None:
        """*lines*: None where the log is written as it comes."""
        self._lines = lines
        self._stopping = asyncio.Event()

    @property
    def stuck_seconds(self) -> float:
        """For how long not everything could be written; 0: all is."""
        return self._lines.stuck_seconds if self._lines else 0.0

    @property
    def lost(self) -> int:
        """How many lines were lost since the start."""
        return self._lines.lost if self._lines else 0

    async def run(self) -> None:
        """Write it until stopped."""
        while self._lines is not None and not self._stopping.is_set():
            self._lines.pass_on()
            await pause(self._stopping, _LOG_EVERY_SECONDS)

    def stop(self) -> None:
        """End at once; what waits then is written at the very end."""
        self._stopping.set()


class Presence:
    """Lets the store have, every ten seconds, that we are up."""

    def __init__(
        self,
        uptimes: Uptimes,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        """*leads*: whether this node, of several, writes it down for all."""
        self._uptimes, self._now, self._monotonic = uptimes, now, monotonic
        self._leads = leads
        self._noted_at: float | None = None  # None: not since the start

    async def keep(self) -> None:
        """
        Write it down, if that is due.

        What could not be written for a while was no time in which we were up.
        """
        at, lasted = self._monotonic(), timedelta()
        if not self._leads():
            self._noted_at = None
            return
        if self._noted_at is not None:
            lasted = timedelta(seconds=at - self._noted_at)
            if lasted < NOTED_EVERY:
                return
        await self._uptimes.note_up(lasted if lasted < LONGEST_GAP else timedelta(), self._now())
        self._noted_at = at


class Watchdog:
    """Reports to the service manager that all is well, or which loop stands still."""

    def __init__(self, heartbeats: Heartbeats, notifier: Notifier) -> None:
        self._heartbeats = heartbeats
        self._notifier = notifier
        self._stalled: frozenset[str] = frozenset()

    def feed(self) -> None:
        """Report, right after a round of writes that was committed: that is half of the proof."""
        overdue = self._heartbeats.overdue()
        for loop in overdue.keys() - self._stalled:
            seconds = round(overdue[loop])
            log.error("daemon.loop_stalled", name=loop, seconds=seconds, advice=_ADVICE)
        if overdue.keys() != self._stalled:
            self._stalled = frozenset(overdue)
            self._notifier.tell(f"STATUS={self._condition()}")
        if not overdue:
            self._notifier.tell("WATCHDOG=1")

    def _condition(self) -> str:
        if not self._stalled:
            return "every loop moves again"
        return f"stands still: {', '.join(sorted(self._stalled))}"


def enduring(
    loop: Loop,
    tell: Callable[[BaseException], Awaitable[None]],
    stopping: Callable[[], bool],
    *,
    pause_seconds: float = PAUSE_SECONDS,
) -> Endless:
    """Return *loop* as one that is run again when it fails, unless *stopping*; *tell* is told."""

    async def run(beat: Beat) -> None:
        while True:
            try:
                return await loop(beat)
            except StoreUnavailable as error:  # whose alarm could not be written either
                log.error("store.unavailable", reason=str(error), advice=error.advice)
            except Exception as error:  # unit of work
                await tell(error)
            if stopping():
                return None
            beat()
            await asyncio.sleep(pause_seconds)

    return run
