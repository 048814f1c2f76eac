"""
Responses of an invented organisation: made from the acknowledgement of the request.

The acknowledgement has every id that a response must echo: the ServiceRequest's, the
Requester's Encounter and the Responder's own, which says how far things are.
"""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

NHS = "https://fhir.nhs.uk"
_DEFINITION = f"{NHS}/MessageDefinition/bars-message-servicerequest-response"
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
    rejection: tuple[str, str] | None = None,
) -> bytes:
    """
    Return a response to the request that *acknowledgement* answered: the final one in full.

    *encounter* is the status of the Responder's Encounter: `in-progress` for an interim
    response, `cancelled` for a rejection, `finished` for a final one. *responds_to* is
    the Bundle.id that it points back to; the request's where None. *rejection* is the code
    and the text of why not. Responses to a referral are short, the last one too.
    """
    bundle: dict[str, Any] = json.loads(acknowledgement)
    request = _resource(bundle, "ServiceRequest")
    referral = "referral" in _categories(request)
    final = encounter == "finished" and not referral
    entries = [e for e in bundle["entry"] if final or e["resource"]["resourceType"] in _INTERIM]
    own = entries[-1]
    assert own["resource"]["resourceType"] == "Encounter"
    own["resource"]["status"] = encounter
    if rejection or not referral:
        own["resource"]["reasonCode"] = [_reason(rejection)]
    if final:
        request["status"] = "completed"
        since = {"start": datetime.now(UTC).isoformat(timespec="seconds")}
        for each in entries:
            if each["resource"]["resourceType"] == "CarePlan":
                each["resource"] |= {"encounter": {"reference": own["fullUrl"]}, "period": since}
    kind = "referral-short" if referral else f"validation-{'full' if final else 'interim'}"
    entries[0]["resource"] = _header(entries[0]["resource"]) | {
        "reason": {"coding": [_coding("message-reason-bars", reason)]},
        "response": {"identifier": responds_to or bundle["id"], "code": "ok"},
        "focus": [{"reference": own["fullUrl"]}],
        "definition": f"{_DEFINITION}-{kind}",
    }
    return _written(bundle, entries)


def _reason(rejection: tuple[str, str] | None) -> dict[str, Any]:
    """Return why it is written: a rejection, or else that a validation is under way."""
    if rejection is None:
        return {"coding": [_coding("message-reason-encounter", "validation-triage-outcome")]}
    code, text = rejection
    return {"coding": [_coding("rejected-reasons-bars", code)], "text": text}


def no_show(acknowledgement: bytes) -> bytes:
    """Return the withdrawn response that says that the patient did not come."""
    bundle: dict[str, Any] = json.loads(acknowledgement)
    entries = bundle["entry"][:-1]  # without the Responder's own Encounter
    urls = {e["resource"]["resourceType"]: e["fullUrl"] for e in entries}
    entries[0]["resource"] = _header(entries[0]["resource"]) | {
        "reason": {"coding": [_coding("message-reason-bars", "new")]},
        "response": {"identifier": bundle["id"], "code": "ok"},
        "focus": [{"reference": urls["ServiceRequest"]}],
        "definition": f"{_DEFINITION}-referral",
    }
    _resource(bundle, "ServiceRequest")["status"] = "revoked"
    actor = {"actor": {"reference": urls["Patient"]}} if "Patient" in urls else {}
    appointment = {
        "resourceType": "Appointment",
        "id": str(uuid4()),
        "status": "noshow",
        "basedOn": [{"reference": urls["ServiceRequest"]}],
        "participant": [{**actor, "status": "accepted"}],
    }
    entries.append({"fullUrl": f"urn:uuid:{appointment['id']}", "resource": appointment})
    return _written(bundle, entries)


def _resource(bundle: dict[str, Any], kind: str) -> dict[str, Any]:
    resources = (entry["resource"] for entry in bundle["entry"])
    return next(each for each in resources if each["resourceType"] == kind)


def _categories(request: dict[str, Any]) -> set[str]:
    return {coding["code"] for each in request["category"] for coding in each["coding"]}


def _written(bundle: dict[str, Any], entries: list[dict[str, Any]]) -> bytes:
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
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
    there = {"endpoint": request["source"]["endpoint"]}
    # Either Organization may be missing where a Receiver was lenient.
    if "sender" in request:
        there["receiver"] = request["sender"]
    kept = {name: value for name, value in request.items() if name != "sender"}
    here = {"sender": destination["receiver"]} if "receiver" in destination else {}
    return kept | {
        "meta": {"profile": [profile]},
        "eventCoding": _coding("message-events-bars", "servicerequest-response"),
        "source": {"name": "Invented EPR", "endpoint": destination["endpoint"]},
        "destination": [there],
        **here,
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
