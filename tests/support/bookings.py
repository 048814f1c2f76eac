"""Bookings, and changes of what was acknowledged, for people who do not exist."""

import json
from typing import Any

from messages import RECEIVER

from bars_gateway.demo.messages import booking, change_of, focus, searchset

__all__ = ["booking", "cancelled_referral", "change_of", "focus", "searchset", "slot_query"]


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


def cancelled_referral(acknowledgement: dict[str, Any], status: str = "revoked") -> bytes:
    """Return the message that takes back a referral, or a validation, that was acknowledged."""
    bundle = json.loads(change_of(acknowledgement, status=status))
    definition = "bars-message-servicerequest-request-cancelled"
    header = bundle["entry"][0]["resource"]
    header["definition"] = f"https://fhir.nhs.uk/MessageDefinition/{definition}"
    return json.dumps(bundle).encode()
