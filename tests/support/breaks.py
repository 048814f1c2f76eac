"""
One change for each rule that breaks it, and what else it cannot but break.

The table is what `standard/test_rules.py` reads. A path that begins with a resource type
stands for the first entry of that type; `Patient[1]` would be the second.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from messages import referral
from variants import (
    CORE,
    NHS,
    Bundle,
    a_booking,
    a_broker_referral,
    a_cancelled_booking,
    a_cancelled_referral,
    a_full_response,
    a_pharmacy_referral,
    a_referral,
    a_rejection,
    a_transfer,
    a_transfer_response,
    a_transfer_update,
    a_validation,
    add,
    an_absence,
    an_interim_response,
    an_update,
    cites,
    coding,
    header,
    offer_choices,
    path_of,
    resource,
    url_of,
)

Change = Callable[[Bundle], object]
HEADER = "Bundle.entry[0].resource"
SERVICE = "https://fhir.nhs.uk/Id/dos-service-id"
BOTH, STRICT, WARNS = "error error", "error warning", "warning warning"
SENT, SENT_WARNS, RECEIVED, RECEIVED_WARNS = "error -", "warning -", "- error", "- warning"
OFF = "- -"


@dataclass(frozen=True)
class Break:
    """A change to a message that breaks nothing, and what is then said of it."""

    rule: str
    severities: str  # sending receiving
    path: str
    change: Change
    message: Callable[[], Bundle] = a_referral
    also: str = ""  # other rules that it breaks

    def __str__(self) -> str:
        return self.rule

    def path_in(self, bundle: Bundle) -> str:
        kind, _, rest = self.path.partition(".")
        if kind == "Bundle":
            return self.path
        name, _, number = kind.removesuffix("]").partition("[")
        return ".".join(filter(None, (path_of(bundle, name, int(number or 0)), rest)))


def put(value: Any, *names: Any) -> Change:
    def change(bundle: Bundle) -> None:
        node: Any = bundle
        for name in names[:-1]:
            node = node[name]
        node[names[-1]] = value

    return change


def drop(*names: Any) -> Change:
    def change(bundle: Bundle) -> None:
        node: Any = bundle
        for name in names[:-1]:
            node = node[name]
        del node[names[-1]]

    return change


def in_header(value: Any, *names: Any) -> Change:
    return lambda bundle: put(value, *names)(header(bundle))


def of(kind: str, value: Any, *names: Any) -> Change:
    return lambda bundle: put(value, *names)(resource(bundle, kind))


def lose(kind: str, *names: Any) -> Change:
    return lambda bundle: drop(*names)(resource(bundle, kind))


def less(kind: str) -> Change:
    """Take out the entries of that type."""

    def change(bundle: Bundle) -> None:
        kept = [e for e in bundle["entry"] if e["resource"]["resourceType"] != kind]
        bundle["entry"] = kept

    return change


def more(kind: str) -> Change:
    """Add a copy of the first entry of that type."""

    def change(bundle: Bundle) -> None:
        url = "urn:uuid:00000000-0000-4000-8000-000000000002"
        copy = dict(resource(bundle, kind))
        bundle["entry"].append({"fullUrl": url, "resource": copy})

    return change


def ranks(*numbers: int) -> Change:
    """Give the patient a contact of each rank."""
    url, phone = f"{CORE}/Extension-UKCore-ContactRank", {"system": "phone", "value": "1"}
    contacts = [
        {"extension": [{"url": url, "valuePositiveInt": number}], "telecom": [phone]}
        for number in numbers
    ]
    return of("Patient", contacts, "contact")


def four_encounters(bundle: Bundle) -> None:
    """Say in an update what one Requester and one or two Responders cannot have seen."""
    reason("update")(bundle)
    for number in (3, 4):
        add(bundle, "Encounter", number, **{"class": {"code": "EMER"}}, status="finished")


def choices(number: int) -> Change:
    """Name so many services from which the broker lets the patient choose."""
    return lambda bundle: offer_choices(bundle, number)


def placed(**said: str) -> Change:
    """Say where the first Location is."""
    parts = [{"url": name, "valueString": text} for name, text in said.items()]
    extension = {"url": f"{NHS}/StructureDefinition/LocationExtension", "extension": parts}
    return of("Location", [extension], "extension")


def a_call_back() -> Bundle:
    """Return a referral of a 999 call to a clinical assessment service."""
    bundle: Bundle = json.loads(referral(use_case="a3t1"))
    return bundle


def emptied(bundle: Bundle) -> None:
    """Leave of each Location that it is one."""
    for each in bundle["entry"]:
        if each["resource"]["resourceType"] == "Location":
            kept = {"resourceType", "id", "meta", "type"}
            each["resource"] = {k: v for k, v in each["resource"].items() if k in kept}


def saying(text: str) -> Change:
    """Leave of each Location a description."""

    def change(bundle: Bundle) -> None:
        emptied(bundle)
        resource(bundle, "Location")["description"] = text

    return change


def nowhere(bundle: Bundle) -> None:
    for name in ("position", "address", "identifier"):
        resource(bundle, "Location").pop(name, None)


def focus_on(kind: str) -> Change:
    return lambda bundle: put([{"reference": url_of(bundle, kind)}], "focus")(header(bundle))


def reason(code: str) -> Change:
    return in_header(code, "reason", "coding", 0, "code")


def own_id(kind: str) -> Change:
    return of(kind, "0b6a2a55-5c1e-4bb6-8a57-1f2f9ac5d102", "id")


GONE = {"reference": "urn:uuid:00000000-0000-4000-8000-00000000dead"}


OF_ANOTHER = {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990000026"}


def named_by(number: str, system: str = OF_ANOTHER["system"]) -> Change:
    """Name in a record whom it is about, by that number, beside the Patient."""
    return of("CarePlan", {"system": system, "value": number}, "subject", "identifier")


def somebody_beside(bundle: Bundle) -> None:
    """Add a second Patient, of whom no number is known."""
    more("Patient")(bundle)
    kept = {"identifier": [], "name": [{"use": "official", "family": "ELSE", "given": ["Ada"]}]}
    bundle["entry"][-1]["resource"] |= kept


def focus_on_nothing(bundle: Bundle) -> None:
    put([GONE], "focus")(header(bundle))


VERIFICATION = ("identifier", 0, "extension", 0, "valueCodeableConcept", "coding", 0, "code")

BUNDLE = [
    Break("B02", BOTH, "Bundle.type", put("collection", "type")),
    Break("B03", STRICT, "Bundle.timestamp", drop("timestamp")),
    Break("B04", BOTH, "Bundle.id", put("not-a-uuid", "id")),
    Break("B07", BOTH, "Bundle.meta.versionId", drop("meta", "versionId")),
    Break("B08", RECEIVED, "Bundle.meta.versionId", put("9.0.0", "meta", "versionId")),
    Break("B09", STRICT, "Bundle.meta.profile", put([], "meta", "profile")),
    Break(
        "B10",
        STRICT,
        "Bundle.meta.lastUpdated",
        put("2026-03-02", "meta", "lastUpdated"),
        also="B11 B12",
    ),
    Break(
        "B10",
        STRICT,
        "Patient.meta.lastUpdated",
        lose("Patient", "meta", "lastUpdated"),
    ),
    Break(
        "B11",
        SENT_WARNS,
        "Bundle.meta.lastUpdated",
        put("2026-03-02T09:00:00Z", "meta", "lastUpdated"),
        an_update,
    ),
    Break(
        "B12",
        SENT_WARNS,
        "Bundle.meta.lastUpdated",
        put("2026-03-02T09:00:00.1234567+01:00", "meta", "lastUpdated"),
        an_update,
    ),
    Break(
        "B13",
        SENT_WARNS,
        "Patient.meta.lastUpdated",
        of("Patient", "2026-03-02T09:00:00.1234567Z", "meta", "lastUpdated"),
    ),
    Break("B15", BOTH, "Bundle.entry[8].fullUrl", drop("entry", 8, "fullUrl"), also="B17 R17"),
    Break(
        "B16",
        STRICT,
        "Bundle.entry[8].fullUrl",
        put("urn:uuid:nonsense", "entry", 8, "fullUrl"),
        also="B17 R17",
    ),
    Break("B17", STRICT, "CarePlan.subject.reference", of("CarePlan", GONE, "subject")),
    Break(
        "B17",
        STRICT,
        "CarePlan.subject.reference",
        of("CarePlan", {"reference": GONE["reference"].removeprefix("urn:uuid:")}, "subject"),
    ),
    Break(
        "B18",
        SENT_WARNS,
        "CarePlan.subject.reference",
        of("CarePlan", {"reference": "Patient/1"}, "subject"),
    ),
    Break("B19", SENT_WARNS, "CarePlan.meta.profile", lose("CarePlan", "meta", "profile")),
    Break(
        "B20",
        OFF,
        "CarePlan.meta.profile[0]",
        of("CarePlan", ["https://example.org/mine"], "meta", "profile"),
    ),
    Break(
        "B20U",
        SENT_WARNS,
        "ServiceRequest.meta.profile[0]",
        of(
            "ServiceRequest",
            ["https://fhir.nhs.uk/StructureDefinition/BARSServiceRequest-request-referal"],
            *("meta", "profile"),
        ),
    ),
    Break(
        "B21",
        STRICT,
        "Practitioner.identifier[0].system",
        lose("Practitioner", "identifier", 0, "system"),
    ),
    Break(
        "B21",
        STRICT,
        "Location.type[0].coding[0].code",
        of("Location", "CLOC", "type", 0, "coding", 0, "code"),
        a_transfer,
    ),
    Break("B22", STRICT, "CarePlan[1]", more("CarePlan")),
    Break(
        "B22", STRICT, "Bundle.entry.resource.ofType(PractitionerRole)", less("PractitionerRole")
    ),
    Break("B22", STRICT, "Encounter[3]", four_encounters, a_full_response, also="R24R"),
    Break(
        "B22L",
        WARNS,
        "Specimen",
        lambda bundle: add(bundle, "Specimen"),
    ),
    Break("B23", SENT_WARNS, "Encounter.class.display", lose("Encounter", "class", "display")),
]

MESSAGE_HEADER = [
    Break("M01", BOTH, "MessageHeader[1]", more("MessageHeader"), also="B22"),
    Break(
        "M02",
        BOTH,
        f"{HEADER}.eventCoding.system",
        in_header("http://x", "eventCoding", "system"),
    ),
    Break(
        "M03",
        BOTH,
        f"{HEADER}.eventCoding.code",
        in_header("booking-response", "eventCoding", "code"),
        also="M15",
    ),
    Break(
        "M04",
        BOTH,
        f"{HEADER}.reason",
        in_header("x", "reason", "coding", 0, "system"),
        also="B21",
    ),
    Break("M05", BOTH, f"{HEADER}.reason.coding.code", reason("replace")),
    Break("M05S", SENT, f"{HEADER}.reason.coding.code", reason("delete"), a_cancelled_referral),
    Break(
        "M06",
        BOTH,
        f"{HEADER}.source.endpoint",
        in_header("nobody", "source", "endpoint"),
        also="M06S M08",
    ),
    Break(
        "M06S",
        SENT,
        f"{HEADER}.source.endpoint",
        in_header(f"{SERVICE}|1", "source", "endpoint"),
    ),
    Break(
        "M07",
        BOTH,
        f"{HEADER}.destination[0].endpoint",
        in_header("nobody", "destination", 0, "endpoint"),
        also="M07R M08",
    ),
    Break(
        "M07R",
        RECEIVED,
        f"{HEADER}.destination[0].endpoint",
        in_header(f"{SERVICE}|1", "destination", 0, "endpoint"),
    ),
    Break(
        "M07U",
        RECEIVED_WARNS,
        f"{HEADER}.destination",
        in_header(f"{SERVICE}|2000000202", "source", "endpoint"),
        an_interim_response,
        also="M06S M09",
    ),
    Break(
        "M08",
        STRICT,
        f"{HEADER}.destination[0].endpoint",
        in_header("http://fhir.nhs.uk/Id/dos-service-id|2000000202", "destination", 0, "endpoint"),
    ),
    Break(
        "M09",
        WARNS,
        f"{HEADER}.destination",
        in_header(f"{SERVICE}|2000000101", "destination", 0, "endpoint"),
        also="M07R",
    ),
    Break(
        "M10",
        STRICT,
        f"{HEADER}.destination[0].receiver",
        in_header({}, "destination", 0, "receiver"),
        also="B21",
    ),
    Break("M11", STRICT, f"{HEADER}.sender", in_header({}, "sender"), also="B21"),
    Break("M12", BOTH, f"{HEADER}.focus", in_header([], "focus"), also="B21"),
    *(
        Break("M12N", BOTH, f"{HEADER}.focus[0].reference", focus_on_nothing, message, also="B17")
        for message in (
            a_referral,
            a_validation,
            a_transfer,
            an_update,
            a_cancelled_referral,
            a_booking,
            a_cancelled_booking,
            a_full_response,
            an_interim_response,
            a_transfer_response,
            a_rejection,
        )
    ),
    Break("M13", BOTH, f"{HEADER}.focus", focus_on("Patient")),
    Break("M14", STRICT, f"{HEADER}.definition", lambda b: drop("definition")(header(b))),
    Break(
        "M14K",
        WARNS,
        f"{HEADER}.definition",
        in_header("https://example.org/mine", "definition"),
    ),
    Break(
        "M15",
        BOTH,
        f"{HEADER}.definition",
        lambda b: cites(b, "booking-request"),
        a_validation,
        also="B22 B22L",
    ),
    Break(
        "M16", BOTH, f"{HEADER}.response", in_header({"identifier": "x", "code": "ok"}, "response")
    ),
    Break(
        "M16",
        BOTH,
        f"{HEADER}.response",
        lambda b: drop("response")(header(b)),
        an_interim_response,
        also="B21",
    ),
]

CATEGORY = ("category", 0, "coding")
REQUEST = [
    Break(
        "R01",
        BOTH,
        "ServiceRequest.category",
        of("ServiceRequest", "x", *CATEGORY, 0, "system"),
    ),
    Break(
        "R02",
        BOTH,
        "ServiceRequest.category",
        of("ServiceRequest", "x", *CATEGORY, 1, "system"),
    ),
    Break(
        "R02T",
        STRICT,
        "ServiceRequest.category",
        lambda b: resource(b, "ServiceRequest")["category"][0]["coding"].append(
            coding("usecases-categories-bars", "a1t2")
        ),
    ),
    Break(
        "R03",
        BOTH,
        "ServiceRequest.category",
        of("ServiceRequest", "a1t99", *CATEGORY, 1, "code"),
    ),
    Break(
        "R03W",
        STRICT,
        "ServiceRequest.category",
        of("ServiceRequest", "a5t3", *CATEGORY, 1, "code"),
        a_pharmacy_referral,
    ),
    Break(
        "R04", STRICT, "ServiceRequest.authoredOn", lose("ServiceRequest", "authoredOn"), also="B21"
    ),
    Break(
        "R04E",
        WARNS,
        "ServiceRequest.occurrencePeriod.end",
        of("ServiceRequest", "0001-01-01T00:00:00+00:00", "occurrencePeriod", "end"),
        a_validation,
        also="R04R",
    ),
    Break(
        "R04E",
        WARNS,
        "ServiceRequest.occurrencePeriod.end",
        of("ServiceRequest", "9999-12-31T23:59:59-12:00", "occurrencePeriod", "end"),
        a_validation,
    ),
    Break(
        "R04D",
        WARNS,
        "ServiceRequest.occurrencePeriod.end",
        of("ServiceRequest", "0001", "occurrencePeriod", "end"),
        a_validation,
    ),
    Break(
        "R04D",
        WARNS,
        "ServiceRequest.occurrencePeriod.end",
        of("ServiceRequest", "9999-12-31", "occurrencePeriod", "end"),
        a_validation,
    ),
    Break(
        "R04R",
        WARNS,
        "ServiceRequest.occurrencePeriod.end",
        of("ServiceRequest", "2026-11-20T09:00:00+00:00", "occurrencePeriod", "end"),
        a_validation,
    ),
    Break(
        "R04",
        STRICT,
        "ServiceRequest.occurrencePeriod",
        lose("ServiceRequest", "occurrencePeriod"),
        a_validation,
    ),
    Break(
        "R04",
        STRICT,
        "ServiceRequest.occurrencePeriod",
        lose("ServiceRequest", "occurrencePeriod"),
        an_update,
    ),
    Break(
        "R04",
        STRICT,
        "ServiceRequest.authoredOn",
        lose("ServiceRequest", "authoredOn"),
        a_transfer_update,
        also="B21",
    ),
    Break(
        "R04", STRICT, "ServiceRequest.intent", of("ServiceRequest", "order", "intent"), also="B21"
    ),
    Break("R05", BOTH, "ServiceRequest.status", of("ServiceRequest", "draft", "status")),
    Break("R06", SENT_WARNS, "ServiceRequest.id", own_id("ServiceRequest")),
    Break("R07", BOTH, "CarePlan.status", of("CarePlan", "active", "status")),
    Break("R07", BOTH, "Encounter.status", of("Encounter", "planned", "status")),
    Break("R08", BOTH, "Encounter.status", of("Encounter", "cancelled", "status"), a_transfer),
    Break("R08L", STRICT, "CarePlan.status", of("CarePlan", "completed", "status"), a_transfer),
    Break(
        "R08L",
        STRICT,
        "Task.status",
        lambda b: add(b, "Task", status="draft", intent="order"),
        a_transfer,
    ),
    Break("R09", BOTH, "CarePlan.status", of("CarePlan", "completed", "status"), a_validation),
    Break("R09", BOTH, "Encounter.status", of("Encounter", "planned", "status"), a_validation),
    Break("R10", STRICT, "ServiceRequest.id", lose("ServiceRequest", "id"), an_update),
    Break(
        "R11",
        BOTH,
        "ServiceRequest.status",
        of("ServiceRequest", "active", "status"),
        a_cancelled_referral,
    ),
    Break(
        "R11D",
        STRICT,
        f"{HEADER}.definition",
        of("ServiceRequest", "revoked", "status"),
        an_update,
        also="R11Y",
    ),
    Break(
        "R12", STRICT, "ServiceRequest.status", of("ServiceRequest", "draft", "status"), an_update
    ),
    Break(
        "R12",
        STRICT,
        f"{HEADER}.reason.coding.code",
        lambda b: (reason("update")(b), own_id("ServiceRequest")(b)),
    ),
    Break("R13", WARNS, "Appointment.status", of("Appointment", "booked", "status"), an_absence),
    Break("R13", WARNS, "Encounter.status", of("Encounter", "triaged", "status"), an_absence),
    Break(
        "R14",
        WARNS,
        "ServiceRequest.status",
        of("ServiceRequest", "draft", "status"),
        a_transfer_response,
    ),
    Break(
        "R15",
        WARNS,
        "ServiceRequest.status",
        of("ServiceRequest", "completed", "status"),
        an_interim_response,
    ),
    Break(
        "R16",
        WARNS,
        "ServiceRequest.status",
        of("ServiceRequest", "active", "status"),
        a_full_response,
    ),
    Break(
        "R17", STRICT, "ServiceRequest.subject", of("ServiceRequest", {"display": "x"}, "subject")
    ),
    Break("R17", STRICT, "ServiceRequest.basedOn", lose("ServiceRequest", "basedOn")),
    Break("R17", STRICT, "ServiceRequest.basedOn", lose("ServiceRequest", "basedOn"), an_update),
    Break(
        "R18",
        BOTH,
        "Consent.category",
        of("Consent", "OTHER", "category", 0, "coding", 0, "code"),
    ),
    *(
        Break(
            "R18U",
            STRICT,
            "Consent.category",
            of("Consent", "OTHER", "category", 0, "coding", 0, "code"),
            make,
        )
        for make in (an_update, a_transfer_update)
    ),
    Break("R19", BOTH, "Bundle.entry.resource.ofType(Flag)", less("Flag"), a_validation),
    Break("R19", BOTH, "Flag[1].category", more("Flag"), a_validation),
    Break("R19L", BOTH, "Location", nowhere, a_validation),
    Break("R20", STRICT, "Location.extension", placed(UPRN="12345678901234")),
    Break("R20", STRICT, "Location.extension", placed(eastings="east")),
    Break(
        "R20", STRICT, "Location.position.longitude", of("Location", "1", "position", "longitude")
    ),
    Break(
        "R21",
        BOTH,
        "Location.meta.profile",
        of("Location", [f"{CORE}/UKCore-Location"], "meta", "profile"),
        a_transfer,
    ),
    Break(
        "R21",
        BOTH,
        "Bundle.entry.resource.ofType(Location)",
        less("Location"),
        a_transfer,
        also="B17 R17",
    ),
    Break(
        "R21U",
        STRICT,
        "Location.meta.profile",
        of("Location", [f"{CORE}/UKCore-Location"], "meta", "profile"),
        a_transfer_update,
    ),
    Break(
        "R21U",
        STRICT,
        "Bundle.entry.resource.ofType(Location)",
        less("Location"),
        a_transfer_update,
        also="B17 R17",
    ),
    *(
        Break("R21L", STRICT, "Location", emptied, make)
        for make in (a_transfer, a_transfer_update, a_call_back)
    ),
    Break("R21L", STRICT, "Location", saying(" . "), a_call_back),
    Break(
        "R21L",
        STRICT,
        "Bundle.entry.resource.ofType(Location)",
        less("Location"),
        a_call_back,
        also="B17 R17",
    ),
    Break("R22", STRICT, "Bundle.entry.resource.ofType(Task)", less("Task"), a_pharmacy_referral),
    Break("R22", STRICT, "Condition.category", lose("Condition", "category"), a_pharmacy_referral),
    Break("R22B", STRICT, "CarePlan.activity", choices(21), a_broker_referral),
    Break("R24", WARNS, "Encounter.identifier", lose("Encounter", "identifier")),
    *(
        Break("R24", WARNS, "Encounter.identifier", lose("Encounter", "identifier"), make)
        for make in (an_update, a_transfer_update)
    ),
    Break("R24", WARNS, "Encounter.episodeOfCare", lose("Encounter", "episodeOfCare")),
]

NOTHING = {"outcomeCodeableConcept": [{"coding": [{"system": "x"}], "text": " "}]}


def by_the_request(change: Change) -> Change:
    """Make the ServiceRequest the focus of a response, as the payload tables have it."""

    def changed(bundle: Bundle) -> None:
        focus_on("ServiceRequest")(bundle)
        change(bundle)

    return changed


def given_back(bundle: Bundle, status: str) -> None:
    """Turn it down by a revoked ServiceRequest, and say not why: the Requester's is triaged."""
    resource(bundle, "ServiceRequest")["status"] = "revoked"
    theirs, own = resource(bundle, "Encounter"), resource(bundle, "Encounter", 1)
    theirs["status"], own["status"] = "triaged", status
    own.pop("reasonCode", None)


SUBSTANCE = [
    Break("R07P", STRICT, "CarePlan.activity", lose("CarePlan", "activity")),
    Break("R07P", STRICT, "CarePlan.activity", of("CarePlan", [NOTHING], "activity")),
    Break(
        "R08T",
        WARNS,
        "ServiceRequest.category[0].text",
        of("ServiceRequest", "a6t2", *CATEGORY, 1, "code"),
        a_transfer,
    ),
    Break(
        "R08T",
        WARNS,
        "ServiceRequest.category[0].text",
        of("ServiceRequest", "a6t2", *CATEGORY, 1, "code"),
        a_transfer_update,
    ),
    Break("R09P", STRICT, "CarePlan.activity", lose("CarePlan", "activity"), a_validation),
    Break("R09P", STRICT, "CarePlan.activity", lose("CarePlan", "activity"), an_update),
    Break("R16P", STRICT, "CarePlan.activity", lose("CarePlan", "activity"), a_full_response),
    Break("R16P", STRICT, "CarePlan.activity", of("CarePlan", [{}], "activity"), a_full_response),
    Break(
        "R16E",
        STRICT,
        "CarePlan.encounter",
        lambda b: of("CarePlan", {"reference": url_of(b, "Encounter")}, "encounter")(b),
        a_full_response,
    ),
    Break(
        "R16E",
        STRICT,
        "CarePlan.encounter",
        by_the_request(
            lambda b: of("CarePlan", {"reference": url_of(b, "Encounter")}, "encounter")(b)
        ),
        a_full_response,
    ),
    Break("R16S", WARNS, "CarePlan.period.start", lose("CarePlan", "period"), a_full_response),
    Break("R19F", WARNS, "Bundle.entry.resource.ofType(Flag)", less("Flag"), a_full_response),
    Break(
        "R15R",
        STRICT,
        "Encounter[1].reasonCode",
        lambda b: resource(b, "Encounter", 1).pop("reasonCode"),
        a_rejection,
    ),
    Break(
        "R15R",
        STRICT,
        "Encounter[1].reasonCode",
        lambda b: resource(b, "Encounter", 1).update(status="cancelled"),
        a_transfer_response,
    ),
    *(
        Break(
            "R15R",
            STRICT,
            "Encounter[1].reasonCode",
            by_the_request(lambda b, s=status: given_back(b, s)),
            a_rejection,
            also="R13 R15",
        )
        for status in ("cancelled", "triaged")
    ),
    Break(
        "R15V",
        WARNS,
        "Encounter[1].reasonCode",
        by_the_request(lambda b: resource(b, "Encounter", 1).pop("reasonCode")),
        a_full_response,
    ),
    Break(
        "R15O",
        STRICT,
        "Encounter[1].reasonCode[0].text",
        lambda b: resource(b, "Encounter", 1)["reasonCode"][0].pop("text"),
        a_rejection,
    ),
    Break(
        "R15V",
        WARNS,
        "Encounter[1].reasonCode",
        lambda b: resource(b, "Encounter", 1).pop("reasonCode"),
        an_interim_response,
    ),
    Break(
        "R15V",
        WARNS,
        "Encounter[1].reasonCode",
        lambda b: resource(b, "Encounter", 1).pop("reasonCode"),
        a_full_response,
    ),
    Break(
        "R24R",
        WARNS,
        "Encounter[1].identifier",
        lambda b: resource(b, "Encounter", 1).pop("identifier"),
        a_transfer_response,
    ),
    Break(
        "R11Y",
        SENT_WARNS,
        "ServiceRequest.reasonCode.text",
        lose("ServiceRequest", "reasonCode"),
        a_cancelled_referral,
    ),
    Break(
        "K04Y",
        SENT_WARNS,
        "Appointment.cancelationReason.text",
        lose("Appointment", "cancelationReason"),
        a_cancelled_booking,
    ),
    Break("K02T", STRICT, "Appointment.start", lose("Appointment", "start"), a_booking),
    Break("K02T", STRICT, "Appointment.end", lose("Appointment", "end"), a_booking),
]

BOOKING = [
    Break("K01", BOTH, "Appointment[1]", more("Appointment"), a_booking, also="B22"),
    Break(
        "K01",
        BOTH,
        "Bundle.entry.resource.ofType(Schedule)",
        less("Schedule"),
        a_booking,
        also="B17 B22",
    ),
    Break("K02", BOTH, "Appointment.slot", of("Appointment", [], "slot"), a_booking),
    Break(
        "K02",
        BOTH,
        "Appointment.participant",
        of("Appointment", "tentative", "participant", 0, "status"),
        a_booking,
    ),
    Break("K02", BOTH, "Appointment.status", of("Appointment", "pending", "status"), a_booking),
    Break("K02I", SENT_WARNS, "Appointment.id", own_id("Appointment"), a_booking),
    Break(
        "K02a",
        WARNS,
        "Appointment.start",
        of("Appointment", "2026-11-23T09:59:00+00:00", "start"),
        a_booking,
    ),
    Break(
        "K02a",
        WARNS,
        "Appointment.end",
        of("Appointment", "2026-11-23T10:21:00+00:00", "end"),
        a_booking,
    ),
    Break(
        "R04R",
        WARNS,
        "Appointment.end",
        of("Appointment", "2026-11-23T09:40:00+00:00", "end"),
        a_booking,
        also="K02a",
    ),
    Break("K04", STRICT, "Appointment.id", lose("Appointment", "id"), a_cancelled_booking),
    Break("K04", STRICT, f"{HEADER}.reason.coding.code", reason("new"), a_cancelled_booking),
    Break(
        "K04S",
        BOTH,
        "Appointment.status",
        of("Appointment", "proposed", "status"),
        a_cancelled_booking,
        also="K01 K02T K08",
    ),
    Break(
        "K06",
        STRICT,
        "Appointment.serviceCategory",
        lose("Appointment", "serviceCategory"),
        a_booking,
    ),
    Break(
        "K07",
        WARNS,
        "Appointment.basedOn[0]",
        of("Appointment", [{"reference": "EpisodeOfCare/1"}], "basedOn"),
        a_booking,
    ),
    Break("K08", STRICT, "Patient.birthDate", lose("Patient", "birthDate"), a_booking),
    Break("K08", STRICT, "Patient.address", of("Patient", [], "address"), a_booking),
    Break(
        "K08",
        STRICT,
        "Patient.contact",
        of("Patient", "email", "contact", 0, "telecom", 0, "system"),
        a_booking,
    ),
]

UNKNOWN = [{"url": "https://gateway.example/unknown", "valueBoolean": True}]

MODIFIERS = [
    Break("B01M", WARNS, "Consent.modifierExtension", of("Consent", UNKNOWN, "modifierExtension")),
    Break("B01M", WARNS, "Bundle.implicitRules", put("urn:x", "implicitRules")),
    Break("B01N", WARNS, "Consent.status", of("Consent", "rejected", "status")),
    Break(
        "R04N", STRICT, "ServiceRequest.doNotPerform", of("ServiceRequest", True, "doNotPerform")
    ),
]

PATIENT = [
    Break(
        "P01", STRICT, "Patient.identifier[0].value", of("Patient", "12", "identifier", 0, "value")
    ),
    Break("P01", STRICT, "CarePlan.subject.identifier.value", named_by("12")),
    Break(
        "P01S",
        WARNS,
        "CarePlan.subject.identifier.system",
        named_by("9990000018", "http://fhir.nhs.uk/id/nhs-number"),
    ),
    Break("P02", WARNS, "CarePlan.subject.identifier.value", named_by("9990000019")),
    Break("P02P", WARNS, "CarePlan.subject.identifier.value", named_by("0000000000")),
    Break(
        "P01S",
        WARNS,
        "Patient.identifier[0].system",
        of("Patient", "http://fhir.nhs.uk/id/nhs-number", "identifier", 0, "system"),
    ),
    Break("P01T", STRICT, "CarePlan.subject", of("CarePlan", OF_ANOTHER, "subject", "identifier")),
    Break("P01T", STRICT, "Patient[1]", somebody_beside, also="B22"),
    Break(
        "P02",
        WARNS,
        "Patient.identifier[0].value",
        of("Patient", "9990000019", "identifier", 0, "value"),
    ),
    Break(
        "P02P",
        WARNS,
        "Patient.identifier[0].value",
        of("Patient", "0000000000", "identifier", 0, "value"),
    ),
    Break(
        "P03",
        STRICT,
        "Patient.identifier[0].extension",
        of("Patient", "trace-required", *VERIFICATION),
    ),
    Break(
        "P04",
        BOTH,
        "Patient.identifier",
        lambda b: (
            of("ServiceRequest", "a8t1", *CATEGORY, 1, "code")(b),
            of("Patient", [], "identifier")(b),
        ),
    ),
    Break("P05", STRICT, "Patient.telecom", of("Patient", [{"system": "phone"}], "telecom")),
    Break("P06", BOTH, "Patient.contact", ranks(2, 3)),
    Break("P06", BOTH, "Patient.contact", ranks(1, 1)),
    Break("P06N", WARNS, "Patient.contact", lose("Patient", "contact")),
    Break(
        "P07",
        WARNS,
        "Patient.contact[1]",
        lambda b: resource(b, "Patient")["contact"].append({"name": {"text": "x"}}),
    ),
    Break(
        "P09",
        WARNS,
        "Patient.extension",
        of("Patient", [{"url": f"{CORE}/Extension-UKCore-BirthSex"}], "extension"),
    ),
    Break("P10", WARNS, "Patient.name", lose("Patient", "name", 0, "use")),
]

BREAKS = [*BUNDLE, *MESSAGE_HEADER, *REQUEST, *BOOKING, *SUBSTANCE, *MODIFIERS, *PATIENT]
