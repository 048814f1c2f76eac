"""
The messages of the official receiver tests: what they send, and how it is bent.

    body ──template──► Bundle ──change──► Bundle, as the script of that name wants it

Where a body is not published, one of our own stands for it, with ids as the harness leaves
them.
"""

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bookings import change_of
from harness_templates import PUBLISHED, published
from variants import (
    Bundle,
    a_pharmacy_referral,
    a_referral,
    an_interim_response,
    cites,
    coding,
    header,
    resource,
)

from bars_gateway.demo.messages import response

NHS = "https://fhir.nhs.uk"


@dataclass
class Sofar:
    """What the steps of one test know of the steps before."""

    sent: dict[str, str] = field(default_factory=dict)  # the headers of the last message
    body: bytes = b""  # as it was sent
    bundle: Bundle = field(default_factory=dict)
    answer: Bundle = field(default_factory=dict)  # the last acknowledgement
    answered: Bundle = field(default_factory=dict)  # what was acknowledged
    slot: dict[str, str] = field(default_factory=dict)  # placeholder → what was searched for

    @property
    def appointment_id(self) -> str:
        return str(resource(self.answer, "Appointment")["id"])

    @property
    def request_id(self) -> str:
        return str(resource(self.answer, "ServiceRequest")["id"])


def with_ids(bundle: Bundle) -> Bundle:
    """Give every resource the id that the harness has before it knows another."""
    for number, entry in enumerate(bundle["entry"][1:]):
        entry["resource"]["id"] = f"__{entry['resource']['resourceType'].upper()}{number}_ID__"
    return bundle


def a_response() -> Bundle:
    """Return a response to a referral, which nobody has asked for."""
    bundle = an_interim_response()
    header(bundle)["response"]["identifier"] = str(uuid.uuid4())
    return bundle


# Bodies that are not published.
OWN: Mapping[str, Callable[[Sofar], Bundle]] = {
    "referral_request_01": lambda _: with_ids(a_referral()),
    "referral_request_03": lambda _: with_ids(a_pharmacy_referral()),
    "referral_request_03_no_ds": lambda _: with_ids(a_pharmacy_referral()),
    "cancel_appointment_slot1": lambda sofar: copied(sofar.answer),
    "validation_response": lambda _: a_response(),
    "extracted_response": lambda sofar: json.loads(
        response(json.dumps(sofar.answer).encode(), encounter="in-progress")
    ),
}


def copied(bundle: Bundle) -> Bundle:
    return json.loads(json.dumps(bundle))  # type: ignore[no-any-return]


def template(name: str, sofar: Sofar) -> Bundle:
    """Return the body of that name; what is extracted has the ids of the last acknowledgement."""
    base = name.removesuffix("_extracted")
    known = sofar.answer if base != name else {}
    if base in PUBLISHED:
        return published(name if name in PUBLISHED else base, sofar.slot, known)
    if known:
        return {**copied(known), "id": str(uuid.uuid4())}
    return OWN[base](sofar)


def resent(name: str, sofar: Sofar) -> Bundle:
    """Return the last message, generated again: another Bundle.id, other ids and times."""
    base = name.removesuffix("_extracted")
    bundle = published(base, sofar.slot, sofar.answer) if base in PUBLISHED else {}
    bundle = bundle or {**copied(sofar.bundle), "id": str(uuid.uuid4())}
    for entry in bundle["entry"]:
        entry["resource"].setdefault("meta", {})["lastUpdated"] = "2026-03-02T09:30:00.0000001Z"
        if base not in PUBLISHED:
            entry["resource"]["id"] = str(uuid.uuid4())
    return bundle


def _use_case(bundle: Bundle) -> list[dict[str, Any]]:
    codings: list[dict[str, Any]] = resource(bundle, "ServiceRequest")["category"][0]["coding"]
    return [each for each in codings if each["system"].endswith("usecases-categories-bars")]


def no_use_case(bundle: Bundle) -> None:
    category = resource(bundle, "ServiceRequest")["category"][0]
    category["coding"] = [each for each in category["coding"] if each not in _use_case(bundle)]


def unknown_use_case(bundle: Bundle) -> None:
    _use_case(bundle)[0]["code"] = "a99t99"


def other_category(bundle: Bundle) -> None:
    for each in resource(bundle, "ServiceRequest")["category"][0]["coding"]:
        if each["system"].endswith("message-category-servicerequest"):
            each["code"] = "changed"


def _first_contact(bundle: Bundle) -> dict[str, Any]:
    """Return the contact of rank 1."""
    return next(  # type: ignore[no-any-return]
        each
        for each in resource(bundle, "Patient")["contact"]
        if any(found.get("valuePositiveInt") == 1 for found in each.get("extension", ()))
    )


def no_rank(bundle: Bundle) -> None:
    _first_contact(bundle).pop("extension")


def two_ranks(bundle: Bundle) -> None:
    resource(bundle, "Patient")["contact"].append(copied(_first_contact(bundle)))


def a_brother(bundle: Bundle) -> None:
    role = {"system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "code": "BRO"}
    _first_contact(bundle)["relationship"] = [{"coding": [role]}]


def no_nhs_number(bundle: Bundle) -> None:
    resource(bundle, "Patient").pop("identifier")


def about(nhs_number: str) -> Callable[[Bundle], None]:
    def change(bundle: Bundle) -> None:
        resource(bundle, "Patient")["identifier"][0]["value"] = nhs_number

    return change


def no_version(bundle: Bundle) -> None:
    bundle["meta"].pop("versionId")


def not_direct_care(bundle: Bundle) -> None:
    resource(bundle, "Consent")["category"] = [{"coding": [coding("consent-categories-bars", "X")]}]


def wrong_reason(bundle: Bundle) -> None:
    header(bundle)["reason"]["coding"][0]["code"] = "invalid"


def wrong_event(bundle: Bundle) -> None:
    header(bundle)["eventCoding"]["code"] = "invalid"


def care_plan(status: str) -> Callable[[Bundle], None]:
    def change(bundle: Bundle) -> None:
        resource(bundle, "CarePlan")["status"] = status

    return change


def encounter_cancelled(bundle: Bundle) -> None:
    resource(bundle, "Encounter")["status"] = "cancelled"


def no_location(bundle: Bundle) -> None:
    bundle["entry"] = [e for e in bundle["entry"] if e["resource"]["resourceType"] != "Location"]
    resource(bundle, "ServiceRequest").pop("locationReference", None)


def nowhere(bundle: Bundle) -> None:
    places = (e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Location")
    for place in places:
        for name in ("identifier", "address", "position", "extension"):
            place.pop(name, None)


def unsafe(bundle: Bundle) -> None:
    resource(bundle, "Flag")["code"] = {"coding": [coding("scene-safety-codes-bars", "unsafe")]}


def placed(*names: str, address: bool) -> Callable[[Bundle], None]:
    """Say where it is by these parts of the extension, and by an address or not."""

    def change(bundle: Bundle) -> None:
        written = copied(resource(bundle, "Location")).get("address")
        nowhere(bundle)
        parts = [{"url": each, "valueString": _PLACES[each]} for each in names]
        url = f"{NHS}/StructureDefinition/LocationExtension"
        resource(bundle, "Location")["extension"] = [{"url": url, "extension": parts}]
        if address:
            resource(bundle, "Location")["address"] = written

    return change


_PLACES = {
    "UPRN": "0000000001",
    "eastings": "0.33424",
    "northings": "0.55634",
    "what3words": "invented.words.here",
}


def updated(bundle: Bundle) -> None:
    bundle["id"] = str(uuid.uuid4())
    header(bundle)["reason"]["coding"][0]["code"] = "update"


def updated_from_the_past(bundle: Bundle) -> None:
    updated(bundle)
    for entry in bundle["entry"]:
        entry["resource"].setdefault("meta", {})["lastUpdated"] = "2001-01-01T00:00:00+00:00"


_CANCELLED = ("MessageHeader", "ServiceRequest", "Patient", "Organization")


def cancelled(bundle: Bundle) -> None:
    updated(bundle)
    bundle["entry"] = [e for e in bundle["entry"] if e["resource"]["resourceType"] in _CANCELLED]
    request = resource(bundle, "ServiceRequest")
    for name in ("basedOn", "encounter", "performer", "locationReference"):
        request.pop(name, None)
    request["status"] = "revoked"
    cites(bundle, "servicerequest-request-cancelled")


def cancelled_with(**elements: str) -> Callable[[Bundle], None]:
    def change(bundle: Bundle) -> None:
        cancelled(bundle)
        resource(bundle, "ServiceRequest").update(elements)

    return change


def cancelled_in_another_category(bundle: Bundle) -> None:
    cancelled(bundle)
    other_category(bundle)


def appointment_cancelled(bundle: Bundle) -> None:
    bundle |= json.loads(change_of(bundle, status="cancelled"))


def appointment_cancelled_and_changed(bundle: Bundle) -> None:
    bundle |= json.loads(change_of(bundle, status="cancelled", comment="Another comment."))


def nothing(_bundle: Bundle) -> None:
    """Leave the message as it is."""


CHANGES: Mapping[str | None, Callable[[Bundle], None]] = {
    None: nothing,
    "6_OOA_3_1": nothing,
    "6_OOA_3_2": updated,
    "booking_request_basic": nothing,
    "cancel_appointment": appointment_cancelled,
    "cancel_appointment_and_change_details": appointment_cancelled_and_changed,
    "cancel_service_request": cancelled,
    "cancel_service_request_change_category": cancelled_in_another_category,
    "cancel_service_request_invalid_status": cancelled_with(status="completed"),
    "create_referral_request": nothing,
    "create_service_request": nothing,
    "create_service_request_and_change_rank": two_ranks,
    "create_service_request_and_change_relationship_to_brother": a_brother,
    "create_service_request_and_remove_rank1": no_rank,
    "create_service_request_and_remove_versionid": no_version,
    "create_service_request_400": about("9658499066"),
    "create_service_request_405": about("9675199962"),
    "create_service_request_422": about("9658499120"),
    "create_service_request_500": about("9658499074"),
    "create_service_request_501": about("9658499090"),
    "create_service_request_basic": nothing,
    "create_service_request_change_careplan_status_active": care_plan("active"),
    "create_service_request_change_careplan_status_completed": care_plan("completed"),
    "create_service_request_change_category": other_category,
    "create_service_request_change_encounter_status": encounter_cancelled,
    "create_service_request_invalid_ucc": unknown_use_case,
    "create_service_request_invalidate_event_code": wrong_event,
    "create_service_request_invalidate_reason_code": wrong_reason,
    "create_service_request_leave_ids": nothing,
    "create_service_request_no_location": no_location,
    "create_service_request_no_location_address_postcode_eastings_northings": nowhere,
    "create_service_request_no_nhs_no": no_nhs_number,
    "create_service_request_no_ucc": no_use_case,
    "create_service_request_not_direct_care": not_direct_care,
    "create_service_request_resend_bundleid": nothing,
    "create_service_request_ss_unsafe": unsafe,
    "create_service_request_uprn_address": placed("UPRN", address=True),
    "create_service_request_uprn_address_en_w3w": placed(*_PLACES, address=True),
    "create_service_request_w3w": placed("what3words", address=False),
    "validation_response": nothing,
    "remove_appt_id": nothing,
    "remove_appt_id_and_change_rank": two_ranks,
    "remove_appt_id_and_nhs_no": no_nhs_number,
    "remove_appt_id_and_rank1": no_rank,
    "remove_appt_id_and_versionid": no_version,
    "remove_appt_id_invalidate_event_code": wrong_event,
    "remove_appt_id_resend_bundleid": nothing,
    "update_service_request": updated,
    "update_service_request_invalid_last_updated": updated_from_the_past,
}


def message(body: str, change: str | None, sofar: Sofar) -> Bundle:
    """Return what a script sends."""
    bundle = template(body, sofar)
    CHANGES[change](bundle)
    if change is not None and change.endswith("resend_bundleid"):
        bundle["id"] = sofar.bundle["id"]
    return bundle
