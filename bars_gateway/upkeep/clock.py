"""
Notices when the wall clock is set, by the monotonic clock, which nobody can set.

    now - monotonic ──stays──► nothing happened      ──jumps──► ClockStep, until it is followed

Small corrections are how clocks are kept right, and are no step. A machine that slept
looks as if its clock was set forward, and that is what it means for a schedule.

Decisions: D-wall-clock.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

STEP_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStep:
    """The wall clock was set, or the machine slept."""

    seconds: float  # forward, or back where negative
    at: datetime  # by the clock as it was then set

    def __str__(self) -> str:
        way = "forward" if self.seconds > 0 else "back"
        return f"The clock was set {way} by {abs(self.seconds):.0f} s"

    @property
    def advice(self) -> str:
        """What to do about it."""
        return (
            "See what sets the clock (timedatectl), or whether the machine slept. Retries and"
            " leases were moved with it; clinical times were not, and go by the new time. Times"
            " from before and after it do not fit together."
        )


class ClockWatch:
    """Compares the two clocks."""

    def __init__(self, now: Callable[[], datetime], monotonic: Callable[[], float]) -> None:
        self._now, self._monotonic = now, monotonic
        self._expected = self._difference()
        self.last: ClockStep | None = None

    def step(self) -> ClockStep | None:
        """Return the step that nobody has followed yet."""
        difference = self._difference()
        seconds = difference - self._expected
        if abs(seconds) >= STEP_SECONDS:
            return ClockStep(seconds=seconds, at=self._now())
        self._expected = difference
        return None

    def followed(self, step: ClockStep) -> None:
        """Expect the clock to go on from there."""
        self._expected += step.seconds
        self.last = step

    def _difference(self) -> float:
        return self._now().timestamp() - self._monotonic()
