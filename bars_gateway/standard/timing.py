"""
How long to try, and when to say that it is late: data per Application.

    hand-in ─────── told that it is late ─────────────► limit        clinical time
       └ first retry, doubling to the longest ┘            └── lead ──────┘

A provider's safety officer approves these figures and may change each one (`[timing.a4]`).
Retries end by age and not by count. What a clinical time means for a request or update that
has not arrived by then differs between Applications (`AtItsTime`). A cancellation or a
response is never stopped by it: late, and marked as late, it still tells the truth.

Limits grow with the clinical time, and never jump to something shorter: a minute more for
the patient is never less patience with the Receiver.

Decisions: D-clinical-age, D-never-too-late.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Any

from bars_gateway.frozen import frozen
from bars_gateway.standard.workflow import Move, RequestType


def typed_instant(text: str, *, unzoned: tzinfo | None = UTC) -> datetime | None:
    """
    Return the instant that a person has typed, in UTC; None: it is not one, or has no UTC.

    *unzoned* is the zone where none is named; None: there must be one. In UTC, the first hours of
    year 1 and the last of 9999 may lie outside the calendar.
    """
    try:
        found = datetime.fromisoformat(text)
        zone = found.tzinfo or unzoned
        return None if zone is None else found.replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


class AtItsTime(StrEnum):
    """What the clinical time means for a request or update on its way."""

    STOPS = "stops"  # it ends before, less the lead; once it has passed nothing is sent
    ENDS = "ends"  # it ends before, less the lead; one that is late already is tried shortly
    GOES_ON = "goes_on"  # it has no lead, and goes on past its time


@frozen(kw_only=True)
class Timing:
    """The figures of one Application."""

    first_retry: timedelta
    longest_retry: timedelta
    delayed_after: timedelta  # the EPR is told that the message is late
    at_its_time: AtItsTime
    give_up_after: timedelta  # where no clinical time is known, or none counts
    give_up_with_time_after: timedelta  # the longest where one is known
    give_up_booking_after: timedelta  # the longest for a booking whose time is known
    unread_after: timedelta  # what the EPR has not taken by then is told to the operator
    at_least: timedelta = timedelta(minutes=1)  # `ends`: however near or past its time is
    lead: timedelta = timedelta(minutes=5)  # the longest: for the telephone call
    lead_share: float = 0.25  # of what is left to the clinical time, where that is less
    answer_within: timedelta | None = None  # a response is owed so soon; None: no limit of its own
    warning_share: float = 0.25  # of the time for an answer: when so much is left, a warning
    urgent: bool = False  # goes out before what is not


@frozen(kw_only=True)
class Limits:
    """Until when a message is tried, and when its EPR is told that it is late."""

    give_up_at: datetime
    delayed_at: datetime
    by_its_time: bool = False  # whether the clinical time set the limit, or the hand-in did


# So far away, either way, nothing clinical happens: software writes such dates for "never".
FARTHEST = timedelta(days=3653)
FAR_AWAY = (
    "a time of the year 1, or more than ten years from when the message was written, is taken as"
    " none: leave it out where there is none, or correct it"
)

URGENT = Timing(
    first_retry=timedelta(seconds=2),
    longest_retry=timedelta(seconds=30),
    delayed_after=timedelta(seconds=60),
    at_its_time=AtItsTime.GOES_ON,
    give_up_after=timedelta(minutes=15),
    give_up_with_time_after=timedelta(minutes=30),
    give_up_booking_after=timedelta(minutes=15),
    unread_after=timedelta(minutes=5),
    urgent=True,
)
ROUTINE = Timing(
    first_retry=timedelta(seconds=5),
    longest_retry=timedelta(minutes=5),
    delayed_after=timedelta(minutes=5),
    at_its_time=AtItsTime.ENDS,
    give_up_after=timedelta(hours=2),
    give_up_with_time_after=timedelta(hours=2),
    give_up_booking_after=timedelta(minutes=15),
    unread_after=timedelta(minutes=30),
)
VALIDATION = replace(
    URGENT,
    at_its_time=AtItsTime.STOPS,
    give_up_with_time_after=timedelta(hours=24),
    warning_share=0.5,
)

TIMINGS: Mapping[str, Timing] = {
    "a1": ROUTINE,
    "a2": ROUTINE,
    "a3": URGENT,
    "a4": VALIDATION,
    "a5": ROUTINE,
    "a6": URGENT,
    "a7": ROUTINE,
    "a8": ROUTINE,
}

# What holds for single use cases: the guide has a community service reply within two hours; and
# silence about a resource that was asked for must not go unnoticed.
_ANSWERS_WITHIN: Mapping[str, timedelta] = {
    "a4t3": timedelta(hours=2),
    "a6t2": timedelta(minutes=5),
    "a6t3": timedelta(minutes=5),
}

_SECOND, _MINUTE = timedelta(seconds=1), timedelta(minutes=1)
_UNITS: Mapping[str, tuple[str, timedelta | None]] = {
    "first_retry_seconds": ("first_retry", _SECOND),
    "longest_retry_seconds": ("longest_retry", _SECOND),
    "delayed_after_seconds": ("delayed_after", _SECOND),
    "at_its_time": ("at_its_time", None),
    "give_up_after_minutes": ("give_up_after", _MINUTE),
    "give_up_with_time_after_minutes": ("give_up_with_time_after", _MINUTE),
    "give_up_booking_after_minutes": ("give_up_booking_after", _MINUTE),
    "at_least_minutes": ("at_least", _MINUTE),
    "lead_minutes": ("lead", _MINUTE),
    "lead_share": ("lead_share", None),
    "unread_after_minutes": ("unread_after", _MINUTE),
    "answer_within_minutes": ("answer_within", _MINUTE),
    "warning_share": ("warning_share", None),
}

_OLD_NAMES = {"referraltopharmacy": "a5"}

# Only what asks for something, or changes what was asked, can come too late to be worth sending.
ENDED_BY_TIME = frozenset({Move.REQUEST, Move.UPDATE})


def application_of(use_case: str) -> str:
    """Return the Application that a use case belongs to: a4 for a4t1, empty for none."""
    application = _OLD_NAMES.get(use_case) or use_case.partition("t")[0]
    return application if application in TIMINGS else ""


def timing_for(use_case: str, overrides: Mapping[str, Mapping[str, float | str]]) -> Timing:
    """
    Return the figures for *use_case*, with the provider's own in place of the shipped ones.

    *overrides* maps an Application, or one use case of it, to settings such as
    `lead_minutes`; those of the use case win. A message that names no use case is taken as
    urgent: to tell too early does less harm.
    """
    application = application_of(use_case)
    shipped = TIMINGS.get(application, URGENT)
    changes: dict[str, Any] = {}
    if use_case in _ANSWERS_WITHIN:
        changes["answer_within"] = _ANSWERS_WITHIN[use_case]
    for key in dict.fromkeys((application, use_case)):
        for name, value in overrides.get(key, {}).items():
            figure, unit = _UNITS[name]
            changes[figure] = value if unit is None else unit * float(value)
    return replace(shipped, **changes) if changes else shipped


def shipped_timing(use_case: str) -> Timing:
    """Return the figures for *use_case* as they are shipped."""
    return timing_for(use_case, {})


def is_clinical(moment: datetime, now: datetime) -> bool:
    """Tell whether *moment* may be a clinical time, or lies at the edge of the calendar."""
    return abs(moment - now) <= FARTHEST


def clinical_time(moment: datetime | None, now: datetime) -> datetime | None:
    """Return a clinical time in UTC; None where there is none, and none can be meant."""
    return moment.astimezone(UTC) if moment is not None and is_clinical(moment, now) else None


def lead_of(timing: Timing, left: timedelta) -> timedelta:
    """Return how long before its time a message ends that has *left* to it."""
    return min(timing.lead, max(left, timedelta()) * timing.lead_share)


def is_too_late(timing: Timing, move: Move, needed_by: datetime | None, now: datetime) -> bool:
    """Tell whether nothing may be sent any more: its time was the end, and has passed."""
    stops = timing.at_its_time is AtItsTime.STOPS and move in ENDED_BY_TIME
    return stops and needed_by is not None and needed_by <= now


def limits(
    timing: Timing, move: Move, request_type: RequestType, needed_by: datetime | None, now: datetime
) -> Limits:
    """
    Return until when to try a message that is submitted *now*, and when it is late.

    It is called late with half of its time to go at the latest, and when its clinical time
    passes: who is told has to have the other half.
    """
    needed_by = clinical_time(needed_by, now)
    found = _limit(timing, move, request_type, needed_by, now)
    late = now + min(timing.delayed_after, (found.give_up_at - now) / 2)
    if needed_by is not None and now < needed_by < late:
        late = needed_by
    return replace(found, delayed_at=late)


def _limit(
    timing: Timing, move: Move, request_type: RequestType, needed_by: datetime | None, now: datetime
) -> Limits:
    if needed_by is None or move not in ENDED_BY_TIME:
        return _at(now + timing.give_up_after)
    longest = timing.give_up_with_time_after
    left = needed_by - now
    if timing.at_its_time is AtItsTime.GOES_ON:
        return _at(now + (longest if left >= longest else min(timing.give_up_after, longest)))
    if request_type is RequestType.BOOKING:
        longest = timing.give_up_booking_after
    least = timedelta()
    if timing.at_its_time is AtItsTime.ENDS:
        least = min(timing.at_least, longest)
    by_time = left - lead_of(timing, left)
    after = min(max(by_time, least), longest)
    return _at(now + after, by_its_time=after == by_time)


def _at(moment: datetime, *, by_its_time: bool = False) -> Limits:
    return Limits(give_up_at=moment, delayed_at=moment, by_its_time=by_its_time)


def warning_at(timing: Timing, due: datetime, now: datetime) -> datetime:
    """Return when to warn of an answer that is due: with the Application's share of it left."""
    return due - max(due - now, timedelta()) * timing.warning_share
