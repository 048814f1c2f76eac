"""
Knows whether every loop still moves, and keeps the watchdog quiet only while it does.

    dispatcher · collect · deliver · inbound ──beat──► Heartbeats
                                                            ▼ all in time?
    housekeeper ──a round whose writes were committed──► Watchdog ──WATCHDOG=1──► systemd

A loop beats each time that it comes round. Each has its own allowance, which is longer
than it may rightly sleep or wait. A task that *ends* needs none of this: it takes the
process with it. This is for those that neither end nor move, and for the thread that
writes: without a committed round nobody looks here, and nothing is reported.

The surprising choice: there is no timer. A timer that reports by itself would go on
reporting for a gateway that sends and receives nothing.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog

from bars_gateway.upkeep.notify import Notifier

log = structlog.get_logger(__name__)

Beat = Callable[[], None]
_ADVICE = (
    "With the unit's watchdog on, systemd restarts the gateway, and what was promised goes on"
    " from the disk. If the same loop stalls again, look at the disk or share that it works on."
)


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
