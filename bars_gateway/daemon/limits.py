"""How far ahead anything may lie by the settings: beyond it, the clock was set back."""

from datetime import timedelta

from bars_gateway.config import Settings
from bars_gateway.outbound.egress import LONGEST_RETRY_AFTER
from bars_gateway.standard.timing import TIMINGS, Timing


def longest_wait(settings: Settings) -> timedelta:
    """Return how far ahead a retry or a delay may be scheduled: beyond it, the clock went back."""
    waits = [each for one in _timings(settings) for each in (one.longest_retry, one.delayed_after)]
    return max(timedelta(seconds=LONGEST_RETRY_AFTER), *waits)


def longest_life(settings: Settings) -> timedelta:
    """Return for how long a message may be tried that does not end by a clinical time."""
    return max(
        each
        for one in _timings(settings)
        for each in (one.give_up_after, one.give_up_with_time_after, one.give_up_booking_after)
    )


def _timings(settings: Settings) -> list[Timing]:
    names = (*TIMINGS, *settings.timing)
    return [settings.timing_for(name) for name in names]
