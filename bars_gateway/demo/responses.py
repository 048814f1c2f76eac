"""
Responses of an invented hospital: made from the acknowledgement that its gateway composed.

The acknowledgement has every id that a response must echo: the ServiceRequest's, the
Requester's Encounter and the Responder's own, which says how far things are.
"""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

NHS = "https://fhir.nhs.uk"
_DEFINITION = f"{NHS}/MessageDefinition/bars-message-servicerequest-response-validation"
_INTERIM = frozenset(
    {
        "MessageHeader",
        "ServiceRequest",
        "Patient",
        "Encounter",
        "Organization",
        "Practitioner",
        "PractitionerRole",
    }
)


def response(
    acknowledgement: bytes,
    *,
    encounter: str,
    reason: str = "new",
    responds_to: str | None = None,
) -> bytes:
    """
    Return a response to the request that *acknowledgement* answered: the final one in full.

    *encounter* is the status of the Responder's Encounter: `in-progress` for an interim
    response, `cancelled` for a rejection, `finished` for a final one. *responds_to* is
    the Bundle.id that it points back to; the request's where None.
    """
    bundle: dict[str, Any] = json.loads(acknowledgement)
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    final = encounter == "finished"
    entries = [e for e in bundle["entry"] if final or e["resource"]["resourceType"] in _INTERIM]
    own = entries[-1]
    assert own["resource"]["resourceType"] == "Encounter"
    own["resource"]["status"] = encounter
    entries[0]["resource"] = _header(entries[0]["resource"]) | {
        "reason": {"coding": [_coding("message-reason-bars", reason)]},
        "response": {"identifier": responds_to or bundle["id"], "code": "ok"},
        "focus": [{"reference": own["fullUrl"]}],
        "definition": f"{_DEFINITION}-{'full' if final else 'interim'}",
    }
    if final:
        entries[1]["resource"]["status"] = "completed"
    known = {entry["fullUrl"] for entry in entries}
    for entry in entries:
        entry["resource"].setdefault("meta", {})["lastUpdated"] = moment
        _drop_dangling(entry["resource"], known)
    bundle |= {"id": str(uuid4()), "timestamp": moment, "entry": entries}
    bundle["meta"]["lastUpdated"] = moment
    return json.dumps(bundle, indent=1).encode()


def _header(request: dict[str, Any]) -> dict[str, Any]:
    """Return the MessageHeader of a response: the request's, with its two sides swapped."""
    destination = request["destination"][0]
    profile = f"{NHS}/StructureDefinition/BARSMessageHeader-servicerequest-response"
    return request | {
        "meta": {"profile": [profile]},
        "eventCoding": _coding("message-events-bars", "servicerequest-response"),
        "source": {"name": "Invented EPR", "endpoint": destination["endpoint"]},
        "destination": [{"endpoint": request["source"]["endpoint"], "receiver": request["sender"]}],
        "sender": destination["receiver"],
    }


def _coding(system: str, code: str) -> dict[str, str]:
    return {"system": f"{NHS}/CodeSystem/{system}", "code": code, "display": code}


def _drop_dangling(resource: dict[str, Any], known: set[str]) -> None:
    """Take out the references to what a response does not repeat."""
    for name in ("basedOn", "performer", "locationReference"):
        kept = [r for r in resource.get(name, []) if r.get("reference") in known]
        resource.pop(name, None)
        if kept:
            resource[name] = kept
