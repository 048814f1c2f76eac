"""Bookings, and changes of what was acknowledged, for people who do not exist."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from messages import RECEIVER, referral

NHS = "https://fhir.nhs.uk"
USE_CASES = f"{NHS}/CodeSystem/usecases-categories-bars"


def booking(**changes: str) -> bytes:
    """Return a new booking; *changes*: bundle_id, padding."""
    bundle = json.loads(referral(bundle_id=changes.get("bundle_id", str(uuid.uuid4()))))
    entries = {entry["resource"]["resourceType"]: entry for entry in bundle["entry"]}
    keep = ("MessageHeader", "Patient", "Organization", "HealthcareService")
    bundle["entry"] = [e for e in bundle["entry"] if e["resource"]["resourceType"] in keep]
    header = entries["MessageHeader"]["resource"]
    header["eventCoding"]["code"] = "booking-request"
    header["definition"] = f"{NHS}/MessageDefinition/bars-message-booking-request"
    urls = {name: f"urn:uuid:{uuid.uuid4()}" for name in ("appointment", "slot", "schedule")}
    header["focus"] = [{"reference": urls["appointment"]}]
    begin = datetime.now(UTC) + timedelta(days=1)
    times = {
        name: f"{moment:%Y-%m-%dT%H:%M:%S}.0000001+00:00"
        for name, moment in (("start", begin), ("end", begin + timedelta(minutes=20)))
    }
    meta = {"lastUpdated": bundle["timestamp"]}
    resources: dict[str, dict[str, Any]] = {
        "appointment": {
            "resourceType": "Appointment",
            "status": "booked",
            "comment": "Invented. " + changes.get("padding", ""),
            "serviceCategory": [
                {
                    "coding": [
                        {"system": f"{NHS}/CodeSystem/usecases-categories-bars", "code": "a1t1"}
                    ]
                }
            ],
            "slot": [{"reference": urls["slot"]}],
            "participant": [
                {"actor": {"reference": entries["Patient"]["fullUrl"]}, "status": "accepted"}
            ],
            **times,
        },
        "slot": {
            "resourceType": "Slot",
            "id": "slot001",
            "schedule": {"reference": urls["schedule"]},
            "status": "busy",
            **times,
        },
        "schedule": {
            "resourceType": "Schedule",
            "actor": [{"reference": entries["HealthcareService"]["fullUrl"]}],
        },
    }
    bundle["entry"] += [
        {"fullUrl": urls[name], "resource": {**resource, "meta": meta}}
        for name, resource in resources.items()
    ]
    return json.dumps(bundle).encode()


def change_of(acknowledgement: dict[str, Any], **elements: Any) -> bytes:
    """Return an update of what was acknowledged: its focus with *elements*, a Bundle.id anew."""
    bundle = json.loads(json.dumps(acknowledgement)) | {"id": str(uuid.uuid4())}
    header = bundle["entry"][0]["resource"]
    header["reason"]["coding"][0]["code"] = "update"
    focus(bundle).update(elements)
    return json.dumps(bundle).encode()


def focus(bundle: dict[str, Any]) -> dict[str, Any]:
    """Return the resource that the message is about."""
    url = bundle["entry"][0]["resource"]["focus"][0]["reference"]
    found: dict[str, Any] = next(e["resource"] for e in bundle["entry"] if e["fullUrl"] == url)
    return found


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


def searchset(*resources: dict[str, Any]) -> dict[str, Any]:
    """Return what an EPR answers to a search."""
    entries = [
        {"fullUrl": f"urn:uuid:{uuid.uuid4()}", "resource": each, "search": {"mode": "match"}}
        for each in resources
    ]
    bundle = {"resourceType": "Bundle", "type": "searchset", "total": len(entries)}
    return bundle | ({"entry": entries} if entries else {})
