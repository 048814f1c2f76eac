"""Messages of every kind that the rules know, made from the demo's: each breaks none of them."""

import json
from typing import Any
from uuid import uuid4

from messages import referral, validation_request

Bundle = dict[str, Any]
NHS = "https://fhir.nhs.uk"
CORE = "https://fhir.hl7.org.uk/StructureDefinition"
GIVEN_ID = "0b6a2a55-5c1e-4bb6-8a57-1f2f9ac5d101"


def resource(bundle: Bundle, kind: str, number: int = 0) -> dict[str, Any]:
    found = [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind]
    return found[number]  # type: ignore[no-any-return]


def path_of(bundle: Bundle, kind: str, number: int = 0) -> str:
    kinds = [e["resource"]["resourceType"] for e in bundle["entry"]]
    places = [index for index, each in enumerate(kinds) if each == kind]
    return f"Bundle.entry[{places[number]}].resource"


def url_of(bundle: Bundle, kind: str) -> str:
    return next(  # type: ignore[no-any-return]
        e["fullUrl"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind
    )


def header(bundle: Bundle) -> dict[str, Any]:
    return bundle["entry"][0]["resource"]  # type: ignore[no-any-return]


def add(bundle: Bundle, kind: str, number: int = 1, **content: Any) -> dict[str, Any]:
    meta = {
        "lastUpdated": bundle["meta"]["lastUpdated"],
        "profile": [f"{CORE}/UKCore-{kind}"],
    }
    made = {"resourceType": kind, "meta": meta, **content}
    url = f"urn:uuid:{len(bundle['entry']):08d}-0000-4000-8000-{number:012d}"
    bundle["entry"].append({"fullUrl": url, "resource": made})
    return made


def keep(bundle: Bundle, *kinds: str) -> None:
    bundle["entry"] = [
        e
        for e in bundle["entry"]
        if e["resource"]["resourceType"] in {"MessageHeader", "Patient", "Organization", *kinds}
    ]


def coding(system: str, code: str) -> dict[str, str]:
    return {"system": f"{NHS}/CodeSystem/{system}", "code": code, "display": code}


def cites(bundle: Bundle, definition: str) -> None:
    header(bundle)["definition"] = f"{NHS}/MessageDefinition/bars-message-{definition}"


def a_referral() -> Bundle:
    return json.loads(referral())  # type: ignore[no-any-return]


def a_validation() -> Bundle:
    return json.loads(validation_request())  # type: ignore[no-any-return]


def a_transfer() -> Bundle:
    """Return a referral between control rooms."""
    bundle: Bundle = json.loads(referral(use_case="a6t1"))
    resource(bundle, "CarePlan")["status"] = "active"
    place = resource(bundle, "Location")
    place["meta"]["profile"] = [f"{CORE}/BARSLocation-incident-location"]
    place["type"] = [{"coding": [coding("location-types-bars", "ILOC")]}]
    return bundle


def a_pharmacy_referral() -> Bundle:
    bundle: Bundle = json.loads(referral(use_case="a5t1", version="1.0.0"))
    snomed = {"system": "http://snomed.info/sct", "code": "1577041000000109", "display": "x"}
    add(bundle, "Task", status="requested", intent="order", code={"coding": [snomed]})
    subject = {"reference": url_of(bundle, "Patient")}
    add(bundle, "Condition", category=[{"coding": [snomed]}], subject=subject)
    return bundle


def a_broker_referral(**ends: str) -> Bundle:
    """Return a referral to the broker, which lets the patient choose among twenty services."""
    bundle: Bundle = json.loads(referral(use_case="a8t1", version="1.0.0", **ends))
    offer_choices(bundle, 20)
    broker = {"deviceName": [{"name": "Invented broker", "type": "user-friendly-name"}]}
    add(bundle, "Device", status="active", **broker)
    resource(bundle, "Device")["meta"]["profile"] = [
        "http://hl7.org/fhir/StructureDefinition/Device"
    ]
    resource(bundle, "ServiceRequest")["performer"] = [{"reference": url_of(bundle, "Device")}]
    code = {"system": "http://snomed.info/sct", "code": "792891000000102", "display": "x"}
    add(bundle, "Task", status="requested", intent="plan", code={"coding": [code]})
    return bundle


def offer_choices(bundle: Bundle, number: int) -> None:
    """Name so many services in the CarePlan."""
    services = [e for e in bundle["entry"] if e["resource"]["resourceType"] == "HealthcareService"]
    for _ in range(number - len(services)):
        url = f"urn:uuid:{uuid4()}"
        services.append({"fullUrl": url, "resource": dict(services[0]["resource"])})
        bundle["entry"].append(services[-1])
    performer = [{"reference": each["fullUrl"]} for each in services]
    detail = {"status": "not-started", "performer": performer}
    activity = resource(bundle, "CarePlan")["activity"]
    activity[:] = [each for each in activity if "detail" not in each] + [{"detail": detail}]


def a_booking() -> Bundle:
    bundle = a_referral()
    keep(bundle, "HealthcareService", "Practitioner", "PractitionerRole")
    _about_an_appointment(bundle)
    cites(bundle, "booking-request")
    header(bundle)["reason"]["coding"] = [coding("message-reason-bars", "new")]
    appointment = resource(bundle, "Appointment")
    times = {"start": "2026-11-23T10:00:00+00:00", "end": "2026-11-23T10:20:00+00:00"}
    schedule = {"reference": f"urn:uuid:{len(bundle['entry']) + 1:08d}-0000-4000-8000-000000000001"}
    add(bundle, "Slot", status="busy", schedule=schedule, **times)
    actor = {"reference": url_of(bundle, "HealthcareService")}
    add(bundle, "Schedule", actor=[actor])
    patient = {"reference": url_of(bundle, "Patient")}
    appointment |= times | {
        "status": "booked",
        "slot": [{"reference": url_of(bundle, "Slot")}],
        "participant": [{"actor": patient, "status": "accepted"}],
    }
    return bundle


def a_cancelled_booking() -> Bundle:
    bundle = a_referral()
    keep(bundle)
    _about_an_appointment(bundle)
    cites(bundle, "booking-request-cancelled")
    header(bundle)["reason"]["coding"] = [coding("message-reason-bars", "update")]
    resource(bundle, "Appointment").update(
        status="cancelled",
        id=GIVEN_ID,
        participant=[{"status": "accepted"}],
        cancelationReason={"text": "Invented: went by car."},
    )
    return bundle


def _about_an_appointment(bundle: Bundle) -> None:
    category = [{"coding": [coding("usecases-categories-bars", "a1t1")]}]
    add(bundle, "Appointment", serviceCategory=category)
    header(bundle)["eventCoding"] = coding("message-events-bars", "booking-request")
    header(bundle)["focus"] = [{"reference": url_of(bundle, "Appointment")}]
    header(bundle)["meta"]["profile"] = [
        f"{NHS}/StructureDefinition/BARSMessageHeader-booking-request"
    ]


def an_update() -> Bundle:
    """Return a validation request that changes an earlier one."""
    bundle: Bundle = json.loads(validation_request(reason="update"))
    resource(bundle, "ServiceRequest")["id"] = GIVEN_ID
    return bundle


def a_transfer_update() -> Bundle:
    """Return a referral between control rooms that changes an earlier one."""
    bundle = a_transfer()
    header(bundle)["reason"]["coding"] = [coding("message-reason-bars", "update")]
    resource(bundle, "ServiceRequest")["id"] = GIVEN_ID
    return bundle


def a_cancelled_referral() -> Bundle:
    bundle: Bundle = json.loads(referral(reason="update", status="revoked"))
    keep(bundle, "ServiceRequest")
    request = resource(bundle, "ServiceRequest")
    request["id"] = GIVEN_ID
    request["reasonCode"] = [{"text": "Invented: went by car."}]
    for name in ("basedOn", "encounter", "performer", "locationReference"):
        del request[name]
    cites(bundle, "servicerequest-request-cancelled")
    return bundle


def an_interim_response() -> Bundle:
    bundle = a_validation()
    keep(bundle, "ServiceRequest", "Encounter", "Practitioner", "PractitionerRole")
    _answers(bundle, "validation-interim", "in-progress")
    return bundle


def a_rejection() -> Bundle:
    """Return an interim response that turns the request down."""
    bundle = an_interim_response()
    own = resource(bundle, "Encounter", 1)
    own["status"] = "cancelled"
    own["reasonCode"] = [{"coding": [coding("rejected-reasons-bars", "OTH")], "text": "Invented."}]
    return bundle


def a_full_response() -> Bundle:
    bundle = a_validation()
    _answers(bundle, "validation-full", "finished")
    resource(bundle, "ServiceRequest")["status"] = "completed"
    plan = resource(bundle, "CarePlan")
    plan["encounter"] = header(bundle)["focus"][0]
    plan["period"] = {"start": bundle["timestamp"]}
    return bundle


def an_absence() -> Bundle:
    """Return a response to a referral whose patient did not come."""
    bundle: Bundle = json.loads(referral(status="revoked"))
    keep(
        bundle,
        *("ServiceRequest", "Encounter", "CarePlan", "Location", "Consent"),
        *("Practitioner", "PractitionerRole", "HealthcareService"),
    )
    resource(bundle, "Encounter")["status"] = "cancelled"
    _turns_to_a_response(bundle, "referral")
    header(bundle)["focus"] = [{"reference": url_of(bundle, "ServiceRequest")}]
    add(bundle, "Appointment", status="noshow", participant=[{"status": "accepted"}])
    return bundle


def a_transfer_response() -> Bundle:
    bundle = a_transfer()
    keep(bundle, "ServiceRequest", "Encounter", "Practitioner", "PractitionerRole")
    _answers(bundle, "referral-short", "in-progress")
    return bundle


def _answers(bundle: Bundle, definition: str, status: str) -> None:
    """Add the Responder's Encounter, and make it the focus."""
    own = add(bundle, "Encounter", **{"class": {"code": "EMER"}}, status=status)
    own["identifier"] = [{"system": "https://gateway.example/Id/case-number", "value": "R-1"}]
    if definition.startswith("validation"):
        reason = coding("message-reason-encounter", "validation-triage-outcome")
        own["reasonCode"] = [{"coding": [reason]}]
    _turns_to_a_response(bundle, definition)
    url = next(e["fullUrl"] for e in bundle["entry"] if e["resource"] is own)
    header(bundle)["focus"] = [{"reference": url}]


def _turns_to_a_response(bundle: Bundle, definition: str) -> None:
    header(bundle)["eventCoding"] = coding("message-events-bars", "servicerequest-response")
    header(bundle)["response"] = {"identifier": GIVEN_ID, "code": "ok"}
    header(bundle)["meta"]["profile"] = [
        f"{NHS}/StructureDefinition/BARSMessageHeader-servicerequest-response"
    ]
    cites(bundle, f"servicerequest-response-{definition}")
    known = {entry["fullUrl"] for entry in bundle["entry"]}
    request = resource(bundle, "ServiceRequest")
    request["id"] = GIVEN_ID
    for name in ("basedOn", "performer", "locationReference"):
        kept = [r for r in request.get(name, []) if r.get("reference") in known]
        request.pop(name, None)
        if kept:
            request[name] = kept


KINDS = (
    a_referral,
    a_validation,
    a_transfer,
    a_pharmacy_referral,
    a_broker_referral,
    a_booking,
    a_cancelled_booking,
    an_update,
    a_transfer_update,
    a_cancelled_referral,
    an_interim_response,
    a_rejection,
    a_full_response,
    an_absence,
    a_transfer_response,
)
