"""What comes with a ServiceRequest (rules R17 to R24)."""

import re
from collections.abc import Iterator

from bars_gateway.standard.bundle import Message, Number, Resource, map_of, maps_of, text_of
from bars_gateway.standard.checks.kinds import TAKEN_BACK, is_change, is_new_request, is_of
from bars_gateway.standard.checks.looking import (
    concept_of,
    extensions,
    is_coded,
    missing,
    references_of,
)
from bars_gateway.standard.checks.offer import Offer

_CODES = "https://fhir.nhs.uk/CodeSystem/"
_SNOMED = "http://snomed.info/sct"
_PLACE = "https://fhir.nhs.uk/StructureDefinition/LocationExtension"
_INCIDENT = "https://fhir.hl7.org.uk/StructureDefinition/BARSLocation-incident-location"
_MOST_SERVICES = 20
_POINTS = ("subject", "encounter", "requester", "performer", "locationReference")
_UPRN = re.compile(r"\d{1,12}", re.ASCII)
_DECIMAL = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


def points_nowhere(message: Message, _offer: Offer) -> Iterator[str]:
    """R17: of a new request, whose whole story has to be in it."""
    if not is_new_request(message):
        return
    for path, resource in message.all("ServiceRequest"):
        for element in _POINTS:
            for at, reference in references_of(resource, element):
                if message.resolve(reference) is None:
                    yield f"{path}.{at}"
        plans = {e.full_url for e in message.entries if e.type == "CarePlan"}
        named = {reference for _, reference in references_of(resource, "basedOn")}
        if plans and not plans & named:
            yield f"{path}.basedOn"


def no_direct_care(message: Message, _offer: Offer) -> Iterator[str]:
    """R18."""
    if is_new_request(message):
        consents = list(message.all("Consent"))
        system = f"{_CODES}consent-categories-bars"
        if not any(is_coded(maps_of(each, "category"), system, {"DRC"}) for _, each in consents):
            yield f"{consents[0][0]}.category" if consents else missing("Consent")


def scene_not_told(message: Message, _offer: Offer) -> Iterator[str]:
    """R19: whoever drives there must know whether it is safe."""
    if _asks_for_validation(message):
        flags = [
            path
            for path, each in message.all("Flag")
            if is_coded(maps_of(each, "category"), f"{_CODES}flag-categories-bars", {"SS"})
        ]
        if not flags:
            yield missing("Flag")
        yield from (f"{path}.category" for path in flags[1:])


def place_not_told(message: Message, _offer: Offer) -> Iterator[str]:
    """R19: one way to find the place is enough."""
    if _asks_for_validation(message):
        places = list(message.all("Location"))
        if not any(_can_be_found(each) for _, each in places):
            yield places[0][0] if places else missing("Location")


def _asks_for_validation(message: Message) -> bool:
    asks = is_new_request(message, "validation") or (
        is_change(message) and message.category == "validation"
    )
    return asks and message.focus_status not in TAKEN_BACK


def _can_be_found(location: Resource) -> bool:
    said = _said(location)
    position = map_of(location, "position")
    return bool(
        "UPRN" in said
        or {"eastings", "northings"} <= said.keys()
        or any("what3words" in name.lower() or name.lower() == "w3w" for name in said)
        or text_of(map_of(location, "address"), "postalCode")
        or ("longitude" in position and "latitude" in position)
    )


def _said(location: Resource) -> dict[str, str]:
    return {
        text_of(each, "url"): text_of(each, "valueString")
        for place in extensions(location, _PLACE)
        for each in maps_of(place, "extension")
    }


def place_misspelt(message: Message, _offer: Offer) -> Iterator[str]:
    """R20."""
    for path, location in message.all("Location"):
        said = _said(location)
        forms = {"UPRN": _UPRN, "eastings": _DECIMAL, "northings": _DECIMAL}
        if any(name in said and not form.fullmatch(said[name]) for name, form in forms.items()):
            yield f"{path}.extension"
        position = map_of(location, "position")
        for name in ("longitude", "latitude"):
            if name in position and not isinstance(position[name], Number):
                yield f"{path}.position.{name}"


def no_incident_place(message: Message, _offer: Offer) -> Iterator[str]:
    """R21: Application 6."""
    if is_new_request(message, "referral") and is_of(message, "a6"):
        places = list(message.all("Location"))
        if not any(_claims(place, _INCIDENT) for _, place in places):
            yield f"{places[0][0]}.meta.profile" if places else missing("Location")
        for path, each in message.all("QuestionnaireResponse"):
            if text_of(each, "status") != "completed":
                yield f"{path}.status"


def _claims(resource: Resource, profile: str) -> bool:
    profiles = map_of(resource, "meta").get("profile")
    return isinstance(profiles, list) and profile in profiles


def no_pharmacy_task(message: Message, _offer: Offer) -> Iterator[str]:
    """R22: Application 5."""
    if is_new_request(message, "referral") and is_of(message, "a5"):
        yield from _uncoded(message, "Task", "code")
        yield from _uncoded(message, "Condition", "category")


def _uncoded(message: Message, resource_type: str, element: str) -> Iterator[str]:
    found = list(message.all(resource_type))
    if not found:
        yield missing(resource_type)
    for path, each in found:
        concepts = maps_of(each, element) or concept_of(each, element)
        if not is_coded(concepts, _SNOMED):
            yield f"{path}.{element}"


def too_many_services(message: Message, _offer: Offer) -> Iterator[str]:
    """R22, of Application 8: the broker offers the patient what the CarePlan names."""
    if not (is_new_request(message, "referral") and is_of(message, "a8")):
        return
    for path, plan in message.all("CarePlan"):
        named = {
            reference
            for activity in maps_of(plan, "activity")
            for _, reference in references_of(map_of(activity, "detail"), "performer")
        }
        if len(named) > _MOST_SERVICES:
            yield f"{path}.activity"


def no_journey(message: Message, _offer: Offer) -> Iterator[str]:
    """R24."""
    if is_new_request(message):
        for path, encounter in list(message.all("Encounter"))[:1]:
            if not maps_of(encounter, "identifier"):
                yield f"{path}.identifier"
            if not maps_of(encounter, "episodeOfCare"):
                yield f"{path}.episodeOfCare"
