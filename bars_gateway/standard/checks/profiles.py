"""What the profiles that a resource claims demand beyond R4 (rule B21)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bars_gateway.standard.bundle import Json, Message, Resource, map_of
from bars_gateway.standard.checks.offer import Offer

_BARS = "https://fhir.nhs.uk/StructureDefinition/BARS"
_UK_CORE = "https://fhir.hl7.org.uk/StructureDefinition/"
_CODES = "https://fhir.nhs.uk/CodeSystem/"


@dataclass(frozen=True, slots=True)
class Demand:
    """What one element must be wherever the element around it is."""

    element: str  # dotted, below the resource
    fixed: str | None = None  # None: it must only be there
    most: int | None = None


_IDENTIFIED = (Demand("identifier.system"), Demand("identifier.value"))
_HEADER = (
    Demand("destination"),
    Demand("destination.receiver.reference"),
    Demand("sender.reference"),
    Demand("reason"),
    Demand("reason.coding.system", f"{_CODES}message-reason-bars"),
    Demand("focus.reference"),
)
_REQUEST = (Demand("intent", "plan"), Demand("category", most=1))

DEMANDS: Mapping[str, tuple[Demand, ...]] = {
    f"{_UK_CORE}BARSLocation-incident-location": (
        Demand("type", most=1),
        Demand("type.coding.system", f"{_CODES}location-types-bars"),
        Demand("type.coding.code", "ILOC"),
    ),
    f"{_BARS}Flag-scene-safety": (
        Demand("category", most=1),
        Demand("category.coding.system", f"{_CODES}flag-categories-bars"),
        Demand("category.coding.code", "SS"),
        Demand("code.coding.system", f"{_CODES}scene-safety-codes-bars"),
    ),
    f"{_BARS}MessageHeader-booking-request": (
        *_HEADER,
        Demand("eventCoding.code", "booking-request"),
    ),
    f"{_BARS}MessageHeader-servicerequest-request": (*_HEADER, Demand("eventCoding.code")),
    f"{_BARS}MessageHeader-servicerequest-response": (
        *_HEADER,
        Demand("eventCoding.code", "servicerequest-response"),
        Demand("response"),
    ),
    f"{_BARS}ServiceRequest-request-referral": (*_REQUEST, Demand("authoredOn")),
    f"{_BARS}ServiceRequest-request-validation": (
        *_REQUEST,
        Demand("occurrencePeriod.start"),
        Demand("occurrencePeriod.end"),
    ),
    f"{_UK_CORE}UKCore-AllergyIntolerance": (Demand("code"),),
    f"{_UK_CORE}UKCore-MedicationStatement": _IDENTIFIED,
    f"{_UK_CORE}UKCore-Practitioner": _IDENTIFIED,
    f"{_UK_CORE}UKCore-PractitionerRole": _IDENTIFIED,
}


def profile_broken(message: Message, _offer: Offer) -> Iterator[str]:
    """B21: presence, number and fixed values; slices and bindings are not looked at."""
    for index, entry in enumerate(message.entries):
        profiles = map_of(entry.resource, "meta").get("profile")
        for profile in profiles if isinstance(profiles, list) else ():
            for demand in DEMANDS.get(profile, ()) if isinstance(profile, str) else ():
                yield from _unmet(demand, entry.resource, f"Bundle.entry[{index}].resource")


def _unmet(demand: Demand, resource: Resource, path: str) -> Iterator[str]:
    parent, _, last = demand.element.rpartition(".")
    for at, owner in _owners(resource, path, parent.split(".") if parent else []):
        values = owner.get(last)
        number = len(values) if isinstance(values, list) else int(values is not None)
        wrong = demand.fixed is not None and values != demand.fixed
        if number == 0 or wrong or (demand.most is not None and number > demand.most):
            yield f"{at}.{last}"


def _owners(node: Json, path: str, names: list[str]) -> Iterator[tuple[str, Resource]]:
    """Yield what stands at the end of *names*, and nothing where the way to it is missing."""
    if isinstance(node, list):
        for index, each in enumerate(node):
            yield from _owners(each, f"{path}[{index}]", names)
    elif isinstance(node, Mapping):
        if names:
            yield from _owners(node.get(names[0]), f"{path}.{names[0]}", names[1:])
        else:
            yield path, node
