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
_KEPT = frozenset({"MessageHeader", "ServiceRequest", "Patient", "Encounter", "Organization"})


def response(
    acknowledgement: bytes,
    *,
    encounter: str,
    reason: str = "new",
    responds_to: str | None = None,
    definition: str = "bars-message-servicerequest-response-validation-interim",
) -> bytes:
    """
    Return a response to the request that *acknowledgement* answered.

    *encounter* is the status of the Responder's Encounter: `in-progress` for an interim
    response, `cancelled` for a rejection, `finished` for a final one. *responds_to* is
    the Bundle.id that it points back to; the request's where None.
    """
    bundle: dict[str, Any] = json.loads(acknowledgement)
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    entries = [e for e in bundle["entry"] if e["resource"]["resourceType"] in _KEPT]
    header, own = entries[0]["resource"], entries[-1]
    assert own["resource"]["resourceType"] == "Encounter"
    own["resource"]["status"] = encounter
    source, destination = header["source"], header["destination"][0]
    ours, theirs = destination["endpoint"], source["endpoint"]
    sender, receiver = destination["receiver"], header["sender"]
    header |= {
        "eventCoding": {
            "system": f"{NHS}/CodeSystem/message-events-bars",
            "code": "servicerequest-response",
        },
        "meta": {
            "profile": [f"{NHS}/StructureDefinition/BARSMessageHeader-servicerequest-response"]
        },
        "source": {"name": "Invented EPR", "endpoint": ours},
        "destination": [{"endpoint": theirs, "receiver": receiver}],
        "sender": sender,
        "reason": {"coding": [{"system": f"{NHS}/CodeSystem/message-reason-bars", "code": reason}]},
        "response": {"identifier": responds_to or bundle["id"], "code": "ok"},
        "focus": [{"reference": own["fullUrl"]}],
        "definition": f"{NHS}/MessageDefinition/{definition}",
    }
    for entry in entries:
        entry["resource"].setdefault("meta", {})["lastUpdated"] = moment
    for entry in entries:
        _drop_dangling(entry["resource"], {e["fullUrl"] for e in entries})
    bundle |= {"id": str(uuid4()), "timestamp": moment, "entry": entries}
    bundle["meta"]["lastUpdated"] = moment
    return json.dumps(bundle, indent=1).encode()


def _drop_dangling(resource: dict[str, Any], known: set[str]) -> None:
    """Take out the references to what a response does not repeat."""
    for name in ("basedOn", "performer", "locationReference"):
        kept = [r for r in resource.get(name, []) if r.get("reference") in known]
        resource.pop(name, None)
        if kept:
            resource[name] = kept
