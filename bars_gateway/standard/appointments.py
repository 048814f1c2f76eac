"""
Until when the appointments of a message are to come: so long its record must be here.

    Appointment.start, end · Slot.start, end ─► the latest that can be meant ─► appointment_until
    an appointment that stands, and no such time ─────────────────────────────► a year

Whoever meets the patient may have to ask what was booked, and for whom. So a time that cannot be
told for sure is taken as the latest that it may be: one without a zone as the last place on earth
where it is so late, a day without a time as its end.

A year is how far ahead appointments are given. A time that nobody can mean (`timing.FARTHEST`: the
year 9999, which software writes for "never") is none, so that no such date keeps a record for good.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from bars_gateway.standard.bundle import Message, Resource, edge_or_instant, text_of
from bars_gateway.standard.timing import clinical_time

AT_NO_TIME = timedelta(days=366)  # an appointment that says no time is to come for so long
# What is over, or was called off, and says no time: it moves nothing.
_NOT_TO_COME = frozenset({"cancelled", "entered-in-error", "noshow", "fulfilled"})
_NO_ZONE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_LATEST_ZONE = "-12:00"


def appointment_until(message: Message, now: datetime) -> datetime | None:
    """
    Return when the appointments of *message*, which is written about *now*, are over, in UTC.

    None: it has none, or none that would move a time which was said before.
    """
    appointments = [resource for _, resource in message.all("Appointment")]
    if not appointments:
        return None
    slots = [resource for _, resource in message.all("Slot")]
    named = [
        moment
        for resource in (*appointments, *slots)
        for each in _times(resource)
        if (moment := clinical_time(each, now)) is not None
    ]
    if named:
        return max(named)
    stands = any(text_of(each, "status") not in _NOT_TO_COME for each in appointments)
    return now.astimezone(UTC) + AT_NO_TIME if stands else None


def _times(resource: Resource) -> Iterator[datetime]:
    for name in ("start", "end"):
        moment = _latest(text_of(resource, name).strip())
        if moment is not None:
            yield moment


def _latest(written: str) -> datetime | None:
    """Return the latest moment that *written* may mean; None: it is no time."""
    if _DAY.fullmatch(written):
        written = f"{written}T23:59:59"
    if _NO_ZONE.fullmatch(written):
        seconds = "" if written.count(":") > 1 else ":00"
        written = f"{written}{seconds}{_LATEST_ZONE}"
    return edge_or_instant(written)
