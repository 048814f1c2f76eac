"""
How long to ask, and when to say that it is late: data per Application.

A provider's safety officer approves these figures (M5). Retries end by age and not
by count: at the clinical time less a lead, which leaves somebody time to telephone,
or after the Application's own limit where the message names no clinical time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The figures of one Application."""

    first_retry: timedelta
    longest_retry: timedelta
    delayed_after: timedelta  # the EPR is told that the message is late
    give_up_after: timedelta  # where no clinical time is known
    lead: timedelta  # before the clinical time: for the telephone call
    answer_within: timedelta | None = None  # a response is owed so soon; None: no limit of its own
    urgent: bool = False  # goes out before what is not


URGENT = Timing(
    first_retry=timedelta(seconds=2),
    longest_retry=timedelta(seconds=30),
    delayed_after=timedelta(seconds=60),
    give_up_after=timedelta(minutes=15),
    lead=timedelta(minutes=5),
    urgent=True,
)
ROUTINE = Timing(
    first_retry=timedelta(seconds=5),
    longest_retry=timedelta(minutes=5),
    delayed_after=timedelta(minutes=5),
    give_up_after=timedelta(hours=2),
    lead=timedelta(minutes=30),
)

TIMINGS: Mapping[str, Timing] = {
    "a1": ROUTINE,
    "a2": ROUTINE,
    "a3": URGENT,
    "a4": URGENT,
    "a5": ROUTINE,
    "a6": URGENT,
    "a7": ROUTINE,
    "a8": ROUTINE,
}

# What the guide sets for single use cases: a community service replies within two hours.
_ANSWERS_WITHIN: Mapping[str, timedelta] = {"a4t3": timedelta(hours=2)}

_UNITS = {
    "first_retry_seconds": ("first_retry", timedelta(seconds=1)),
    "longest_retry_seconds": ("longest_retry", timedelta(seconds=1)),
    "delayed_after_seconds": ("delayed_after", timedelta(seconds=1)),
    "give_up_after_minutes": ("give_up_after", timedelta(minutes=1)),
    "lead_minutes": ("lead", timedelta(minutes=1)),
    "answer_within_minutes": ("answer_within", timedelta(minutes=1)),
}


_OLD_NAMES = {"referraltopharmacy": "a5"}


def application_of(use_case: str) -> str:
    """Return the Application that a use case belongs to: a4 for a4t1, empty for none."""
    application = _OLD_NAMES.get(use_case) or use_case.partition("t")[0]
    return application if application in TIMINGS else ""


def timing_for(use_case: str, overrides: Mapping[str, Mapping[str, float]]) -> Timing:
    """
    Return the figures for *use_case*, with the provider's own in place of the shipped ones.

    *overrides* maps an Application, or one use case of it, to settings such as
    `lead_minutes`; those of the use case win. A message that names no use case is taken as
    urgent: to tell too early does less harm.
    """
    application = application_of(use_case)
    shipped = replace(TIMINGS.get(application, URGENT), answer_within=_ANSWERS_WITHIN.get(use_case))
    changes: dict[str, Any] = {
        _UNITS[name][0]: _UNITS[name][1] * value
        for key in dict.fromkeys((application, use_case))
        for name, value in overrides.get(key, {}).items()
    }
    return replace(shipped, **changes)


def warning_at(due: datetime, now: datetime) -> datetime:
    """Return when to warn of an answer that is due: with a quarter of the time left."""
    return due - max(due - now, timedelta()) / 4


def shipped_timing(use_case: str) -> Timing:
    """Return the figures for *use_case* as they are shipped."""
    return timing_for(use_case, {})


def deadline(timing: Timing, needed_by: datetime | None, now: datetime) -> datetime:
    """
    Return when to stop asking.

    A clinical time that has already come, or comes within the lead, cannot end the
    retries: the message is late, and still better delivered than not.
    """
    if needed_by is not None and needed_by - timing.lead > now:
        return needed_by - timing.lead
    return now + timing.give_up_after
