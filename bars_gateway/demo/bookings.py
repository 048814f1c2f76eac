"""
Bookings for people who do not exist: slots, the request for one, and its cancellation.

`booking()` returns a Bundle that passes every rule, with a Bundle.id of its own, made of
a referral's participants; `change_of()` makes the next message of an acknowledgement.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from bars_gateway.demo.messages import NHS, RECEIVER, SENDER, referral

Resource = dict[str, Any]

_KEPT = ("MessageHeader", "Patient", "Organization", "HealthcareService")
_USE_CASES = f"{NHS}/CodeSystem/usecases-categories-bars"


def booking(
    *,
    bundle_id: str | None = None,
    sender: str = SENDER,
    receiver: str = RECEIVER,
    slot: str = "slot001",
    begin: datetime | None = None,
    padding: str = "",
) -> bytes:
    """Return a new booking of *slot*, which begins tomorrow unless *begin* says otherwise."""
    made = referral(bundle_id=bundle_id or str(uuid4()), sender=sender, receiver=receiver)
    bundle = json.loads(made)
    entries = {entry["resource"]["resourceType"]: entry for entry in bundle["entry"]}
    urls = {name: f"urn:uuid:{uuid4()}" for name in ("Appointment", "Slot", "Schedule")}
    header = entries["MessageHeader"]["resource"]
    header["eventCoding"]["code"] = "booking-request"
    header["definition"] = f"{NHS}/MessageDefinition/bars-message-booking-request"
    header["focus"] = [{"reference": urls["Appointment"]}]
    times = _times(begin or datetime.now(UTC) + timedelta(days=1))
    resources: dict[str, Resource] = {
        "Appointment": _appointment(urls["Slot"], entries["Patient"]["fullUrl"], padding) | times,
        "Slot": {"id": slot, "schedule": {"reference": urls["Schedule"]}, "status": "busy"} | times,
        "Schedule": {"actor": [{"reference": entries["HealthcareService"]["fullUrl"]}]},
    }
    meta = {"meta": {"lastUpdated": bundle["timestamp"]}}
    bundle["entry"] = [e for e in bundle["entry"] if e["resource"]["resourceType"] in _KEPT] + [
        {"fullUrl": urls[kind], "resource": {"resourceType": kind, **resource, **meta}}
        for kind, resource in resources.items()
    ]
    return json.dumps(bundle).encode()


def _appointment(slot: str, patient: str, padding: str) -> Resource:
    return {
        "status": "booked",
        "comment": f"Invented. {padding}",
        "serviceCategory": [{"coding": [{"system": _USE_CASES, "code": "a1t1"}]}],
        "slot": [{"reference": slot}],
        "participant": [{"actor": {"reference": patient}, "status": "accepted"}],
    }


def change_of(acknowledgement: Resource, **elements: Any) -> bytes:
    """Return an update of what was acknowledged: its focus with *elements*, a new Bundle.id."""
    bundle: Resource = json.loads(json.dumps(acknowledgement)) | {"id": str(uuid4())}
    header = bundle["entry"][0]["resource"]
    header["reason"]["coding"][0]["code"] = "update"
    focus(bundle).update(elements)
    return json.dumps(bundle).encode()


def focus(bundle: Resource) -> Resource:
    """Return the resource that the message is about."""
    url = bundle["entry"][0]["resource"]["focus"][0]["reference"]
    found: Resource = next(e["resource"] for e in bundle["entry"] if e["fullUrl"] == url)
    return found


def free_slot(number: str) -> Resource:
    """Return a slot of tomorrow."""
    return {
        "resourceType": "Slot",
        "id": number,
        "schedule": {"reference": f"urn:uuid:{uuid4()}"},
        "status": "free",
        **_times(datetime.now(UTC) + timedelta(days=1)),
    }


def searchset(*resources: Resource) -> Resource:
    """Return what an EPR answers to a search."""
    entries = [
        {"fullUrl": f"urn:uuid:{uuid4()}", "resource": each, "search": {"mode": "match"}}
        for each in resources
    ]
    bundle: Resource = {"resourceType": "Bundle", "type": "searchset", "total": len(entries)}
    return bundle | ({"entry": entries} if entries else {})


def _times(begin: datetime) -> dict[str, str]:
    end = begin + timedelta(minutes=20)
    moments = {"start": begin, "end": end}
    return {name: f"{moment:%Y-%m-%dT%H:%M:%S}.0000001+00:00" for name, moment in moments.items()}
