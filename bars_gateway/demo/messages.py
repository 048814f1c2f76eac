"""
Valid messages about people who do not exist, for the demo, the sandbox and every test.

    referral() · validation_request() · booking()   a new request
    change_of()                                     the next message of an acknowledged booking
    response() · no_show()                          a response, made from the acknowledgement

Each returns the bytes of a Bundle that passes every rule, with a Bundle.id of its own, so that
no two calls make the same message. What a test is about is passed by name; everything else is
realistic and beside the point. The NHS number is of the range that is kept for tests (999),
with a valid check digit.

An acknowledgement has every id that a response must echo: the ServiceRequest's, the
Requester's Encounter and the Responder's own, which says how far things are.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson

from bars_gateway.standard.patients import NHS_NUMBER_SYSTEM

SENDER = "https://fhir.nhs.uk/Id/dos-service-id|2000000101"
RECEIVER = "https://fhir.nhs.uk/Id/dos-service-id|2000000202"
NHS_NUMBER = "9990000018"
FAMILY, GIVEN = "TESTCASE", "Mary"

NHS = "https://fhir.nhs.uk"
CORE = "https://fhir.hl7.org.uk/StructureDefinition"
_UK_CORE_EXTENSION = f"{CORE}/Extension-UKCore-"
_ASSESSMENT = """\
Caller is with the patient, who is awake and answers in full sentences. It began two hours ago.
It has become neither better nor worse since. No fall, no injury that could explain it.
No loss of consciousness and no new confusion. Skin of normal colour and warmth. No rash.
Two regular medicines, both taken today; no known allergy. The last meal was kept down.
Lives on the second floor without a lift; somebody is at home until the evening.
The door is open and the dog has been shut away. No danger at the scene is known.
Advice given: sit upright, keep warm, have the list of medicines at hand for the crew.
Call again at once if breathing becomes harder or anything new is noticed.
""".splitlines()
_FOUND = "Validated by telephone: no change since the first call. Invented."
_INDENT = re.compile(rb"^ +", re.MULTILINE)  # no text holds a line break of its own
Resource = dict[str, Any]
_KEPT = ("MessageHeader", "Patient", "Organization", "HealthcareService")
_RESPONSE_DEFINITION = f"{NHS}/MessageDefinition/bars-message-servicerequest-response"
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


def referral(**changes: Any) -> bytes:
    """
    Return a new referral from an emergency call service to an emergency department.

    *changes*: any of bundle_id, version, use_case, sender, receiver, family, given,
    nhs_number, notes, needed_by (aware datetime), reason, status; see `_bundle`.
    """
    return _bundle("referral", {"use_case": "a1t1", "plan": "completed"} | changes)


def validation_request(**changes: Any) -> bytes:
    """Return a new validation request from an ambulance service; *changes* as for a referral."""
    return _bundle("validation", {"use_case": "a4t1", "plan": "active"} | changes)


def _bundle(category: str, changes: Mapping[str, Any]) -> bytes:
    values: dict[str, Any] = {
        "bundle_id": str(uuid4()),
        "version": "2.0.0",
        "sender": SENDER,
        "receiver": RECEIVER,
        "family": FAMILY,
        "given": GIVEN,
        "nhs_number": NHS_NUMBER,
        "notes": " ".join(_ASSESSMENT),
        "needed_by": datetime.now(UTC) + timedelta(hours=4),
        "reason": "new",
        "status": "active",
        "category": category,
    }
    unknown = changes.keys() - values.keys() - {"use_case", "plan"}
    assert not unknown, f"no such change: {unknown}"
    values |= changes
    urls = {name: f"urn:uuid:{uuid4()}" for name in _RESOURCES}
    moment = _instant(datetime.now(UTC))
    entries = [
        {"fullUrl": urls[name], "resource": _stamped(make(values, urls), moment)}
        for name, make in _RESOURCES.items()
    ]
    bundle = {
        "resourceType": "Bundle",
        "id": values["bundle_id"],
        "meta": {
            "versionId": values["version"],
            "lastUpdated": moment,
            "profile": [f"{NHS}/StructureDefinition/BARSBundleMessage"],
        },
        "type": "message",
        "timestamp": moment,
        "entry": entries,
    }
    return _indented(bundle)


def _indented(bundle: Resource) -> bytes:
    """Write it for people, as `json` does with an indent of one, in a tenth of the time."""
    written = orjson.dumps(bundle, option=orjson.OPT_INDENT_2)
    if not written.isascii():
        return json.dumps(bundle, indent=1).encode()
    return _INDENT.sub(lambda found: b" " * (len(found[0]) // 2), written)


def _header(values: dict[str, Any], urls: dict[str, str]) -> dict[str, Any]:
    definition = f"bars-message-servicerequest-request-{values['category']}"
    return {
        "resourceType": "MessageHeader",
        "meta": {
            "profile": [f"{NHS}/StructureDefinition/BARSMessageHeader-servicerequest-request"]
        },
        "eventCoding": _coding("message-events-bars", "servicerequest-request"),
        "destination": [{"endpoint": values["receiver"], "receiver": _to(urls["receiver"])}],
        "sender": _to(urls["sender"]),
        "source": {"name": "Invented EPR", "version": "7.2", "endpoint": values["sender"]},
        "reason": {"coding": [_coding("message-reason-bars", values["reason"])]},
        "focus": [_to(urls["request"])],
        "definition": f"{NHS}/MessageDefinition/{definition}",
    }


def _request(values: dict[str, Any], urls: dict[str, str]) -> dict[str, Any]:
    category = values["category"]
    end: datetime = values["needed_by"]
    return {
        "resourceType": "ServiceRequest",
        "meta": {"profile": [f"{NHS}/StructureDefinition/BARSServiceRequest-request-{category}"]},
        "basedOn": [_to(urls["plan"])],
        "status": values["status"],
        "intent": "plan",
        "category": [
            {
                "coding": [
                    _coding("message-category-servicerequest", category),
                    _coding("usecases-categories-bars", values["use_case"]),
                ]
            }
        ],
        "subject": _to(urls["patient"]),
        "encounter": _to(urls["encounter"]),
        "occurrencePeriod": {"start": _instant(end - timedelta(hours=4)), "end": _instant(end)},
        "authoredOn": _instant(end - timedelta(hours=4)),
        "requester": _to(urls["sender"]),
        "performer": [_to(urls["service"])],
        "locationReference": [_to(urls["location"])],
    }


def _encounter(_values: dict[str, Any], urls: dict[str, str]) -> dict[str, Any]:
    act = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
    return {
        "resourceType": "Encounter",
        "identifier": [{"system": "https://sender.example/Id/case-number", "value": "S-4711"}],
        "status": "triaged",
        "class": {"system": act, "code": "EMER", "display": "emergency"},
        "subject": _to(urls["patient"]),
        "episodeOfCare": [{"reference": f"EpisodeOfCare/{uuid4()}"}],
    }


def _plan(values: dict[str, Any], urls: dict[str, str]) -> dict[str, Any]:
    parts = [{"outcomeCodeableConcept": [{"text": line}]} for line in _ASSESSMENT]
    return {
        "resourceType": "CarePlan",
        "status": values["plan"],
        "intent": "plan",
        "subject": _to(urls["patient"]),
        "encounter": _to(urls["encounter"]),
        "activity": [*parts, {"outcomeCodeableConcept": [{"text": values["notes"]}]}],
    }


def _patient(values: dict[str, Any], _urls: dict[str, str]) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "identifier": [_nhs_number(values["nhs_number"])],
        "name": [{"use": "official", "family": values["family"], "given": [values["given"]]}],
        "gender": "female",
        "birthDate": "1951-02-28",
        "address": [{"use": "home", "line": ["1 Invented Row"], "postalCode": "ZZ99 3VZ"}],
        "contact": [
            {
                "extension": [{"url": f"{_UK_CORE_EXTENSION}ContactRank", "valuePositiveInt": 1}],
                "telecom": [{"system": "phone", "value": "01632 960001", "rank": 1}],
            }
        ],
    }


def _nhs_number(value: str) -> dict[str, Any]:
    system = "https://fhir.hl7.org.uk/CodeSystem/UKCore-NHSNumberVerificationStatus"
    status = {"system": system, "code": "number-present-and-verified", "display": "verified"}
    url = f"{_UK_CORE_EXTENSION}NHSNumberVerificationStatus"
    return {
        "extension": [{"url": url, "valueCodeableConcept": {"coding": [status]}}],
        "system": NHS_NUMBER_SYSTEM,
        "value": value,
    }


def _practitioner(_values: dict[str, Any], _urls: dict[str, str]) -> dict[str, Any]:
    system = f"{NHS}/Id/sds-user-id"
    return {
        "resourceType": "Practitioner",
        "identifier": [{"system": system, "value": "555001118111"}],
        "name": [{"use": "official", "family": "TESTCLINICIAN", "given": ["Invented"]}],
    }


def _role(_values: dict[str, Any], urls: dict[str, str]) -> dict[str, Any]:
    system = f"{NHS}/Id/sds-role-profile-id"
    return {
        "resourceType": "PractitionerRole",
        "identifier": [{"system": system, "value": "555001118222"}],
        "practitioner": _to(urls["practitioner"]),
        "organization": _to(urls["sender"]),
    }


def _consent(_values: dict[str, Any], urls: dict[str, str]) -> dict[str, Any]:
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"text": "Invented scope"},
        "category": [{"coding": [_coding("consent-categories-bars", "DRC")]}],
        "patient": _to(urls["patient"]),
    }


def _flag(_values: dict[str, Any], urls: dict[str, str]) -> dict[str, Any]:
    return {
        "resourceType": "Flag",
        "status": "active",
        "category": [{"coding": [_coding("flag-categories-bars", "SS")]}],
        "code": {"text": "No danger at the scene is known."},
        "subject": _to(urls["patient"]),
    }


def _location(_values: dict[str, Any], _urls: dict[str, str]) -> dict[str, Any]:
    return {
        "resourceType": "Location",
        "identifier": [{"system": f"{NHS}/Id/UPRN", "value": "100012345678"}],
        "address": {"line": ["1 Invented Row"], "postalCode": "ZZ99 3VZ"},
        "position": {"longitude": -1.54911, "latitude": 53.79967},
    }


def _service(values: dict[str, Any], urls: dict[str, str]) -> dict[str, Any]:
    system, _, value = values["receiver"].partition("|")
    return {
        "resourceType": "HealthcareService",
        "identifier": [{"system": system, "value": value}],
        "active": True,
        "providedBy": _to(urls["receiver"]),
        "name": "Emergency department, invented",
    }


def _organisation(service: str) -> dict[str, Any]:
    identifier = {"system": f"{NHS}/Id/ods-organization-code", "value": organisation_of(service)}
    return {"resourceType": "Organization", "identifier": [identifier], "name": "Invented Trust"}


def organisation_of(service: str) -> str:
    """Return the ODS code of whoever offers an invented service, as the settings have it."""
    value = service.partition("|")[2]
    return next(
        (code for begin, code in _ORGANISATIONS.items() if value.startswith(begin)), "ZX909"
    )


# Those of the demo and of README, by how the numbers of their services begin; all others are of
# the sandbox's counterparty.
_ORGANISATIONS = {"20000001": "ZX901", "20000002": "ZX902", "20000003": "ZX903"}


# In the order of the Bundle: the MessageHeader comes first.
_RESOURCES: dict[str, Callable[[dict[str, Any], dict[str, str]], dict[str, Any]]] = {
    "header": _header,
    "request": _request,
    "encounter": _encounter,
    "plan": _plan,
    "patient": _patient,
    "consent": _consent,
    "flag": _flag,
    "location": _location,
    "service": _service,
    "practitioner": _practitioner,
    "role": _role,
    "sender": lambda values, _urls: _organisation(values["sender"]),
    "receiver": lambda values, _urls: _organisation(values["receiver"]),
}


def _stamped(resource: dict[str, Any], moment: str) -> dict[str, Any]:
    profile = [f"{CORE}/UKCore-{resource['resourceType']}"]
    return resource | {
        "meta": {"lastUpdated": moment, "profile": profile} | resource.get("meta", {})
    }


def _coding(system: str, code: str) -> dict[str, str]:
    return {"system": f"{NHS}/CodeSystem/{system}", "code": code, "display": code}


def _to(url: str) -> dict[str, str]:
    return {"reference": url}


def _instant(moment: datetime) -> str:
    """Write seven decimals, as the standard does, so that tests meet them."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}5+00:00"


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
    moment = bundle["timestamp"]
    bundle["entry"] = [e for e in bundle["entry"] if e["resource"]["resourceType"] in _KEPT] + [
        {"fullUrl": urls[kind], "resource": _stamped({"resourceType": kind, **resource}, moment)}
        for kind, resource in resources.items()
    ]
    return json.dumps(bundle).encode()


def _appointment(slot: str, patient: str, padding: str) -> Resource:
    return {
        "status": "booked",
        "comment": f"Invented. {padding}",
        "serviceCategory": [{"coding": [_coding("usecases-categories-bars", "a1t1")]}],
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


def _found(plan: Resource, encounter: str) -> Resource:
    """Return what a clinician makes of a care plan in their own Encounter."""
    found = {"outcomeCodeableConcept": [{"text": _FOUND}]}
    return {
        "encounter": {"reference": encounter},
        "period": {"start": datetime.now(UTC).isoformat(timespec="seconds")},
        "activity": [found, *plan.get("activity", ())],
    }


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
    request = _service_request(bundle)
    referral = "referral" in _categories(request)
    final = encounter == "finished" and not referral
    entries = [e for e in bundle["entry"] if final or e["resource"]["resourceType"] in _INTERIM]
    own = entries[-1]
    assert own["resource"]["resourceType"] == "Encounter"
    own["resource"]["status"] = encounter
    if rejection or not referral:
        own["resource"]["reasonCode"] = [_response_reason(rejection)]
    if final:
        request["status"] = "completed"
        for each in entries:
            if each["resource"]["resourceType"] == "CarePlan":
                each["resource"] |= _found(each["resource"], own["fullUrl"])
    kind = "referral-short" if referral else f"validation-{'full' if final else 'interim'}"
    entries[0]["resource"] = _response_header(entries[0]["resource"]) | {
        "reason": {"coding": [_coding("message-reason-bars", reason)]},
        "response": {"identifier": responds_to or bundle["id"], "code": "ok"},
        "focus": [{"reference": own["fullUrl"]}],
        "definition": f"{_RESPONSE_DEFINITION}-{kind}",
    }
    return _written(bundle, entries)


def _response_reason(rejection: tuple[str, str] | None) -> dict[str, Any]:
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
    entries[0]["resource"] = _response_header(entries[0]["resource"]) | {
        "reason": {"coding": [_coding("message-reason-bars", "new")]},
        "response": {"identifier": bundle["id"], "code": "ok"},
        "focus": [{"reference": urls["ServiceRequest"]}],
        "definition": f"{_RESPONSE_DEFINITION}-referral",
    }
    _service_request(bundle)["status"] = "revoked"
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


def _service_request(bundle: dict[str, Any]) -> dict[str, Any]:
    resources = (entry["resource"] for entry in bundle["entry"])
    return next(each for each in resources if each["resourceType"] == "ServiceRequest")


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
    return _indented(bundle)


def _response_header(request: dict[str, Any]) -> dict[str, Any]:
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


def _drop_dangling(resource: dict[str, Any], known: set[str]) -> None:
    """Take out the references to what a response does not repeat."""
    for name in ("basedOn", "performer", "locationReference"):
        kept = [r for r in resource.get(name, []) if r.get("reference") in known]
        resource.pop(name, None)
        if kept:
            resource[name] = kept
