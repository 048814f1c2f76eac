"""Bookings, and changes of what was acknowledged, for people who do not exist."""

from messages import RECEIVER

from bars_gateway.demo.bookings import booking, change_of, focus, searchset

__all__ = ["booking", "change_of", "focus", "searchset", "slot_query"]


def slot_query(**changes: str | None) -> str:
    """Return a search for slots that asks for everything that it must."""
    values: dict[str, str | None] = {
        "service": f"Schedule.actor:HealthcareService={RECEIVER.partition('|')[2]}",
        "start": "start=ge2026-03-02T09:00:00%2B00:00&start=le2026-03-05T09:00:00%2B00:00",
        "status": "status=free",
        "includes": "_include=Slot:schedule&_include=Schedule:actor:HealthcareService",
    }
    values |= changes
    return "&".join(value for value in values.values() if value is not None)
