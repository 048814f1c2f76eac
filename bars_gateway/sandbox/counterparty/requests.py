"""
What the counterparty sends as a Requester: one message for each use case, and its changes.

The people are invented, as all of the demo's are. What single Applications want beside a
referral is in `_ADDED`.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from bars_gateway.demo.messages import (
    NHS,
    NHS_NUMBER,
    booking,
    change_of,
    focus,
    referral,
    validation_request,
)
from bars_gateway.sandbox.counterparty.services import VERSIONS
from bars_gateway.standard.applications import APPLICATIONS
from bars_gateway.standard.timing import application_of
from bars_gateway.standard.workflow import Subject

Bundle = dict[str, Any]

_BOOKING = frozenset({Subject.BOOKING})
BOOKED = frozenset(code for code, each in APPLICATIONS.items() if each.subjects >= _BOOKING)
ONLY_BOOKED = frozenset(code for code in BOOKED if APPLICATIONS[code].subjects == _BOOKING)
_INCIDENT = "https://fhir.hl7.org.uk/StructureDefinition/BARSLocation-incident-location"
_SNOMED = "http://snomed.info/sct"
_CANCELLED = frozenset(
    {"MessageHeader", "ServiceRequest", "Appointment", "Patient", "Organization"}
)
_LEFT_OUT = ("basedOn", "encounter", "performer", "locationReference", "slot")


def request(
    use_case: str, *, sender: str, receiver: str, nhs_number: str = NHS_NUMBER, books: bool = False
) -> bytes:
    """Return a new request of *use_case* between two `system|value`; *books*: a booking."""
    application = application_of(use_case)
    version = VERSIONS[application][-1]
    ends = {"sender": sender, "receiver": receiver}
    if books or application in ONLY_BOOKED:
        made = booking(slot=str(uuid4()), sender=sender, receiver=receiver)
        return _for(made, use_case, version, nhs_number)
    ends |= {"use_case": use_case, "version": version, "nhs_number": nhs_number}
    if application == "a4":
        return validation_request(**ends)
    plan = "active" if application == "a6" else "completed"
    bundle = json.loads(referral(plan=plan, **ends))
    if application in _ADDED:
        _ADDED[application](bundle)
    return json.dumps(bundle).encode()


def update(acknowledgement: bytes) -> bytes:
    """Return the update of a request that was acknowledged so."""
    return change_of(json.loads(acknowledgement))


def cancellation(acknowledgement: bytes) -> bytes:
    """Return the cancellation of a request that was acknowledged so: no more than it needs."""
    status = "cancelled" if b'"Appointment"' in acknowledgement else "revoked"
    bundle: Bundle = json.loads(change_of(json.loads(acknowledgement), status=status))
    header = bundle["entry"][0]["resource"]
    kind = header["eventCoding"]["code"]
    header["definition"] = f"{NHS}/MessageDefinition/bars-message-{kind}-cancelled"
    for name in _LEFT_OUT:
        focus(bundle).pop(name, None)
    bundle["entry"] = [e for e in bundle["entry"] if e["resource"]["resourceType"] in _CANCELLED]
    return json.dumps(bundle).encode()


def _for(made: bytes, use_case: str, version: str, nhs_number: str) -> bytes:
    """Return a booking as it is for another use case, and another patient."""
    bundle: Bundle = json.loads(made)
    bundle["meta"]["versionId"] = version
    focus(bundle)["serviceCategory"][0]["coding"][0]["code"] = use_case
    patient = next(e["resource"] for e in bundle["entry"] if "birthDate" in e["resource"])
    patient["identifier"][0]["value"] = nhs_number
    return json.dumps(bundle).encode()


def _with_incident_location(bundle: Bundle) -> None:
    for entry in bundle["entry"]:
        if entry["resource"]["resourceType"] == "Location":
            entry["resource"]["meta"]["profile"] = [_INCIDENT]
            system = f"{NHS}/CodeSystem/location-types-bars"
            entry["resource"]["type"] = [{"coding": [{"system": system, "code": "ILOC"}]}]


def _with_task(bundle: Bundle) -> None:
    """Say what the pharmacy is to do, and about what (R22)."""
    patient = next(e["fullUrl"] for e in bundle["entry"] if "birthDate" in e["resource"])
    subject = {"reference": patient}
    _add(bundle, "Task", status="requested", intent="plan", code=_coded("1577041000000109"))
    bundle["entry"][-1]["resource"]["for"] = subject
    _add(bundle, "Condition", category=[_coded("64572001")], subject=subject)


def _add(bundle: Bundle, kind: str, **elements: object) -> None:
    profile = f"https://fhir.hl7.org.uk/StructureDefinition/UKCore-{kind}"
    meta = {"lastUpdated": bundle["timestamp"], "profile": [profile]}
    resource = {"resourceType": kind, "meta": meta, **elements}
    bundle["entry"].append({"fullUrl": f"urn:uuid:{uuid4()}", "resource": resource})


def _coded(code: str) -> dict[str, Any]:
    return {"coding": [{"system": _SNOMED, "code": code, "display": "Invented"}]}


_ADDED: Mapping[str, Callable[[Bundle], None]] = {
    "a5": _with_task,
    "a6": _with_incident_location,
}
