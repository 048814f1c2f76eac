"""Until when the appointments of a message are to come."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bookings import booking

from bars_gateway.standard.appointments import AT_NO_TIME, appointment_until
from bars_gateway.standard.bundle import read

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
LATER = datetime(2026, 4, 1, 10, 30, tzinfo=UTC)


def until(*, slot: dict[str, Any] | None = None, **changes: str | None) -> datetime | None:
    """Return what is read of a booking with those elements of its Appointment; None: without."""
    bundle = json.loads(booking())
    for entry in bundle["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] == "Slot":
            entry["resource"] = {"resourceType": "Slot", **(slot or {})}
        if resource["resourceType"] == "Appointment":
            for name, value in {"start": None, "end": None, **changes}.items():
                resource.pop(name, None)
                resource |= {} if value is None else {name: value}
    return appointment_until(read(json.dumps(bundle).encode()), NOW)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"end": "2026-04-01T10:30:00+00:00"}, LATER, id="its-end"),
        pytest.param({"start": "2026-04-01T11:30:00.000+01:00"}, LATER, id="its-start-alone"),
        pytest.param(
            {"start": "2026-03-09T10:30:00Z", "slot": {"end": "2026-04-01T10:30:00Z"}},
            LATER,
            id="its-slot-is-later",
        ),
        pytest.param(
            {"end": "2026-04-01T10:30:00"}, LATER + timedelta(hours=12), id="without-a-zone"
        ),
        pytest.param(
            {"end": "2026-04-01T10:30"}, LATER + timedelta(hours=12), id="without-seconds"
        ),
        pytest.param(
            {"start": "2026-04-01"}, datetime(2026, 4, 2, 11, 59, 59, tzinfo=UTC), id="a-day"
        ),
        pytest.param(
            {"start": "2026-04-01T10:30:00Z", "end": "9999-12-31T23:59:59Z"},
            LATER,
            id="one-that-nobody-can-mean",
        ),
        pytest.param({}, NOW + AT_NO_TIME, id="no-time"),
        pytest.param({"end": "next Tuesday"}, NOW + AT_NO_TIME, id="not-to-be-read"),
        pytest.param({"end": "2026-13-01T25:00:00Z"}, NOW + AT_NO_TIME, id="no-such-day"),
        pytest.param({"end": "9999-12-31T23:59:59-14:00"}, NOW + AT_NO_TIME, id="for-ever"),
        pytest.param({"start": "0001-01-01T00:00:00+14:00"}, NOW + AT_NO_TIME, id="the-year-1"),
        pytest.param({"status": "cancelled"}, None, id="called-off-at-no-time"),
        pytest.param(
            {"status": "cancelled", "end": "2026-04-01T10:30:00Z"}, LATER, id="called-off"
        ),
    ],
)
def test_the_latest_time_that_may_be_meant_counts(
    changes: dict[str, Any], expected: datetime | None
) -> None:
    """What cannot be read is a year to come, and no date keeps a record for good."""
    assert expected == until(**changes)


def test_what_books_nothing_has_no_appointment() -> None:
    """A referral's clinical time is none."""
    bundle = json.loads(booking())
    bundle["entry"] = [
        each for each in bundle["entry"] if each["resource"]["resourceType"] != "Appointment"
    ]

    assert appointment_until(read(json.dumps(bundle).encode()), NOW) is None
