"""
What a provider says that it can do: the CapabilityStatement at `/metadata`.

    Offer + About ──statement──► CapabilityStatement, as a tree for JSON or XML

Every line of it comes from what is enforced: the messages are those of the Applications
that are switched on, the operations those that are answered. A date is not made up
either: it is when the settings took effect.

Decisions: D-metadata.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bars_gateway.standard.definitions import DEFINITIONS, Definition
from bars_gateway.standard.offer import Offer
from bars_gateway.standard.tree import Json

PROCESS_MESSAGE = "http://hl7.org/fhir/OperationDefinition/MessageHeader-process-message"
_SECURITY = "http://terminology.hl7.org/CodeSystem/restful-security-service"
_SEARCH, _READ = "search-type", "read"
_PATIENT = (
    ("patient:identifier", "token"),
    ("patient:name", "string"),
    ("patient:birthdate", "date"),
    ("patient:address-postalcode", "string"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the statement says of the gateway itself."""

    url: str  # the base address that others reach it at
    publisher: str  # the organisation
    software: str
    software_version: str
    core_version: str
    since: datetime  # when these settings took effect
    asks: bool = True  # whether the EPR is asked: without it no bookings, and no reads


@dataclass(frozen=True, slots=True)
class _Row:
    type: str
    interactions: tuple[str, ...]
    parameters: tuple[tuple[str, str], ...] = ()
    includes: tuple[str, ...] = ()
    bookings_only: bool = False
    asked: bool = False  # of the EPR


_ROWS = (
    _Row("CapabilityStatement", (_READ,)),
    _Row("MessageDefinition", (_SEARCH,), (("context", "token"),)),
    _Row("Appointment", (_READ, _SEARCH), _PATIENT, bookings_only=True, asked=True),
    _Row("ServiceRequest", (_READ, _SEARCH), _PATIENT, asked=True),
    _Row(
        "Slot",
        (_SEARCH,),
        (("start", "date"), ("status", "token"), ("Schedule.actor:HealthcareService", "token")),
        ("Slot:schedule", "Schedule:actor:HealthcareService"),
        bookings_only=True,
        asked=True,
    ),
)


def statement(offer: Offer, about: About) -> Mapping[str, Json]:
    """Return the CapabilityStatement of a provider that offers *offer*."""
    used = offered(offer)
    bookings = any(each.event == "booking-request" for each in used)
    served = [row for row in _ROWS if about.asks or not row.asked]
    return {
        "resourceType": "CapabilityStatement",
        "url": about.url,
        "version": about.core_version,
        "name": "BarsGateway",
        "status": "active",
        "experimental": False,
        "date": about.since.isoformat(timespec="seconds"),
        "publisher": about.publisher,
        "kind": "instance",
        "software": {"name": about.software, "version": about.software_version},
        "implementation": {"description": about.publisher, "url": about.url},
        "fhirVersion": "4.0.1",
        "format": ["json", "xml"],
        "rest": [
            _rest("server", "Certificates", [r for r in served if bookings or not r.bookings_only]),
            _rest("client", "OAuth", [row for row in _ROWS if row.type == "ServiceRequest"]),
        ],
        "messaging": [_messaging(offer, used, about)],
    }


def offered(offer: Offer) -> list[Definition]:
    """Return the definitions of the messages that the Applications of *offer* know."""
    on = offer.applications.keys()
    return [each for each in DEFINITIONS.values() if not each.applications.isdisjoint(on)]


def _rest(mode: str, security: str, rows: Sequence[_Row]) -> dict[str, Json]:
    return {
        "mode": mode,
        "security": {"service": [{"coding": [{"system": _SECURITY, "code": security}]}]},
        "resource": [_resource(row) for row in rows],
        "operation": [{"name": "process-message", "definition": PROCESS_MESSAGE}],
    }


def _resource(row: _Row) -> dict[str, Json]:
    made: dict[str, Json] = {
        "type": row.type,
        "interaction": [{"code": code} for code in row.interactions],
        "versioning": "no-version",
    }
    if row.includes:
        made["searchInclude"] = list(row.includes)
    if row.parameters:
        made["searchParam"] = [{"name": name, "type": kind} for name, kind in row.parameters]
    return made


def _messaging(offer: Offer, used: Sequence[Definition], about: About) -> dict[str, Json]:
    protocol = {"system": "http://terminology.hl7.org/CodeSystem/message-transport", "code": "http"}
    made: dict[str, Json] = {"endpoint": [{"protocol": protocol, "address": about.url}]}
    if offer.booking_required:
        made["documentation"] = (
            "A new referral is taken only with its booking: make that first, and name it in"
            " ServiceRequest.supportingInfo as Appointment/id."
        )
    made["supportedMessage"] = [
        {"mode": mode, "definition": each.url}
        for each in used
        for mode in ("receiver", "sender")
        if mode == "sender" or about.asks or not _needs_epr(each)
    ]
    return made


def _needs_epr(definition: Definition) -> bool:
    """Tell whether only the EPR can say what becomes of such a message (D-who-answers)."""
    return definition.event == "booking-request" or definition.url.endswith("-cancelled")
