"""
Valid messages about people who do not exist, for every test that needs one.

`referral()` and `validation_request()` return the bytes of a Bundle that passes every
rule, with a Bundle.id of its own, so that no two calls make the same message. What a
test is about is passed by name; everything else is realistic and beside the point.
The NHS number is of the range that is kept for tests (999), with a valid check digit.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

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
    return json.dumps(bundle, indent=1).encode()


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
        "system": f"{NHS}/Id/nhs-number",
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
