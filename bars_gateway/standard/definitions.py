"""
The MessageDefinitions of BaRS: what each message is about, and how often each resource is in it.

    MessageHeader.definition ──► DEFINITIONS["servicerequest-request-referral"] ──► counts

One table for both ends of it: what is published (`publications`) is what is
counted (rule B22). Keyed by the last part of the URL, for published ids are not unique.

Where the national definitions and the guide's own messages differ, the messages win:
a request's update carries the Encounter that the Receiver added, so one more is let through.
"""

from collections.abc import Mapping

from bars_gateway.frozen import frozen

EVENTS_SYSTEM = "https://fhir.nhs.uk/CodeSystem/message-events-bars"
# Of services. The second is Application 8's; the third is what the test proxies know.
ENDPOINT_SYSTEMS = frozenset(
    {
        "https://fhir.nhs.uk/Id/dos-service-id",
        "https://fhir.nhs.uk/Id/ers-dos-service-id",
        "tests",
    }
)
PREFIX = "https://fhir.nhs.uk/MessageDefinition/bars-message-"
_BARS = "https://fhir.nhs.uk/StructureDefinition/BARS"
_UK_CORE = "https://fhir.hl7.org.uk/StructureDefinition/UKCore-"
MANY = None


@frozen
class Focus:
    """How often a resource is in a message."""

    type: str
    profile: str
    least: int
    most: int | None  # None: as often as one likes


@frozen(kw_only=True)
class Definition:
    """One kind of message."""

    name: str  # the last part of its URL, after bars-message-
    title: str
    event: str
    applications: frozenset[str]  # in which it is used
    focuses: tuple[Focus, ...]

    @property
    def url(self) -> str:
        """What MessageHeader.definition says."""
        return f"{PREFIX}{self.name}"

    @property
    def from_requester(self) -> bool:
        """Whether the side that asks sends it, and the other receives it."""
        return self.event.endswith("-request")


_SPECIAL = {
    "BARSLocation-incident-location": (
        "Location",
        "https://fhir.hl7.org.uk/StructureDefinition/BARSLocation-incident-location",
    ),
    "BARSFlag-scene-safety": ("Flag", f"{_BARS}Flag-scene-safety"),
    "Flag": ("Flag", "http://hl7.org/fhir/StructureDefinition/Flag"),
    "Device": ("Device", "http://hl7.org/fhir/StructureDefinition/Device"),
}


def _focuses(event: str, kind: str, counts: str) -> tuple[Focus, ...]:
    """Return the rows that *counts* writes: `Patient 1..1, Organization 2..*`."""
    rows = [
        Focus("Bundle", f"{_BARS}BundleMessage", 1, 1),
        Focus("MessageHeader", f"{_BARS}MessageHeader-{event}", 1, 1),
    ]
    for written in counts.split(","):
        name, _, count = written.strip().partition(" ")
        least, _, most = count.partition("..")
        resource, profile = _SPECIAL.get(name, (name, f"{_UK_CORE}{name}"))
        if name == "ServiceRequest":
            profile = f"{_BARS}ServiceRequest-request-{kind}"
        rows.append(Focus(resource, profile, int(least), MANY if most == "*" else int(most)))
    return tuple(rows)


def _definition(name: str, title: str, applications: str, counts: str) -> Definition:
    event = "-".join(name.split("-")[:2])
    return Definition(
        name=name,
        title=title,
        event=event,
        applications=frozenset(applications.split()),
        focuses=_focuses(event, "validation" if "-validation" in name else "referral", counts),
    )


_PEOPLE = "Organization 2..*, Practitioner 1..*, PractitionerRole 1..*"
_CLINICAL = (
    "Observation 0..*, BARSFlag-scene-safety 0..*, Flag 0..*, MedicationStatement 0..*,"
    " AllergyIntolerance 0..*, Consent 1..*"
)
_REFERRALS = "a1 a2 a3 a5 a6 a7 a8"

_ALL = (
    _definition(
        "booking-request",
        "Booking - Request",
        "a1 a2 a7",
        "ServiceRequest 0..1, Patient 1..1, Location 0..1, Organization 2..*, Practitioner 0..*,"
        " PractitionerRole 0..*, Consent 0..*, HealthcareService 1..1, Appointment 1..1,"
        " Slot 1..1, Schedule 1..1",
    ),
    _definition(
        "booking-request-cancelled",
        "Booking - Request Cancelled",
        "a1 a2 a7",
        "Patient 1..1, Organization 2..*, Appointment 1..1",
    ),
    _definition(
        "servicerequest-request-referral",
        "ServiceRequest - Request Referral",
        _REFERRALS,
        "ServiceRequest 1..1, Patient 1..1, Encounter 1..1, CarePlan 1..1,"
        f" BARSLocation-incident-location 0..1, Location 0..*, {_PEOPLE}, {_CLINICAL},"
        " Questionnaire 0..*, QuestionnaireResponse 0..*, HealthcareService 1..*, Condition 0..*,"
        " Task 0..*, Communication 0..*, Procedure 0..*, Device 0..1, RelatedPerson 0..*",
    ),
    _definition(
        "servicerequest-request-validation",
        "ServiceRequest - Request Validation",
        "a4",
        "ServiceRequest 1..1, Patient 1..1, Encounter 1..1, CarePlan 1..1, Location 1..1,"
        f" {_PEOPLE}, {_CLINICAL}, HealthcareService 1..1",
    ),
    _definition(
        "servicerequest-request-cancelled",
        "ServiceRequest - Request Cancelled",
        f"{_REFERRALS} a4",
        "ServiceRequest 1..1, Patient 1..1, Organization 2..*",
    ),
    _definition(
        "servicerequest-response-referral",
        "ServiceRequest - Response Referral",
        _REFERRALS,
        "ServiceRequest 1..1, Patient 1..1, Encounter 0..1, CarePlan 0..1, Location 0..1,"
        f" {_PEOPLE}, {_CLINICAL}, QuestionnaireResponse 0..*, HealthcareService 1..1,"
        " Appointment 0..1, Condition 0..*, Task 0..*, RelatedPerson 0..*",
    ),
    _definition(
        "servicerequest-response-referral-short",
        "ServiceRequest - Response Referral Short",
        "a6",
        f"ServiceRequest 1..1, Patient 1..1, Encounter 2..2, {_PEOPLE}, HealthcareService 0..*",
    ),
    _definition(
        "servicerequest-response-validation-interim",
        "ServiceRequest - Response Validation Interim",
        "a4",
        "ServiceRequest 1..1, Patient 1..1, Encounter 2..2, Organization 1..*,"
        " Practitioner 1..*, PractitionerRole 1..*, HealthcareService 0..*",
    ),
    _definition(
        "servicerequest-response-validation-full",
        "ServiceRequest - Response Validation Full",
        "a4",
        "ServiceRequest 1..1, Patient 1..1, Encounter 2..3, CarePlan 1..1, Location 1..1,"
        f" {_PEOPLE}, {_CLINICAL}, HealthcareService 1..1",
    ),
)

DEFINITIONS: Mapping[str, Definition] = {each.name: each for each in _ALL}


def cited(url: str) -> Definition | None:
    """Return the definition that *url* names, or None if BaRS publishes none such."""
    return DEFINITIONS.get(url.removeprefix(PREFIX)) if url.startswith(PREFIX) else None
