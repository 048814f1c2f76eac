"""The rules of what comes with a ServiceRequest (R17 to R24)."""

import re
from collections.abc import Iterator

from bars_gateway.standard.applications import Offer
from bars_gateway.standard.bundle import (
    Message,
    Number,
    Resource,
    map_of,
    maps_of,
    text_of,
)
from bars_gateway.standard.issues import Severity
from bars_gateway.standard.links import names_in
from bars_gateway.standard.rule import (
    CODES,
    asks,
    asks_to_refer,
    asks_to_validate,
    concept_of,
    extensions,
    has_words,
    is_coded,
    is_new_referral,
    is_new_request,
    is_new_transfer,
    is_of,
    missing,
    references_of,
    rule,
)

_WARN = Severity.WARNING
_SNOMED = "http://snomed.info/sct"
_PLACE = "https://fhir.nhs.uk/StructureDefinition/LocationExtension"
_INCIDENT = "https://fhir.hl7.org.uk/StructureDefinition/BARSLocation-incident-location"
_CONSENTS = f"{CODES}consent-categories-bars"
_FLAGS = f"{CODES}flag-categories-bars"
_MOST_SERVICES = 20
_POINTS = ("subject", "encounter", "requester", "performer", "locationReference")
_UPRN = re.compile(r"\d{1,12}", re.ASCII)
_DECIMAL = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


@rule(
    "R17",
    "subject, encounter, requester, performer and locationReference, and the CarePlan in"
    " basedOn, must be in the Bundle",
    source="Applications: payload tables",
    receiving=_WARN,
    when=asks,
    of="ServiceRequest",
)
def points_nowhere(message: Message, _offer: Offer) -> Iterator[str]:
    """A request has its whole story in it, and so has what takes its place."""
    for path, resource in message.all("ServiceRequest"):
        for element in _POINTS:
            for at, reference in references_of(resource, element):
                if message.resolve(reference) is None:
                    yield f"{path}.{at}"
        plans = {e.full_url for e in message.entries if e.type == "CarePlan"}
        named = {reference for _, reference in references_of(resource, "basedOn")}
        if plans and not plans & named:
            yield f"{path}.basedOn"


@rule(
    "R18",
    f"a new request needs a Consent of the category DRC (direct care) of {_CONSENTS}",
    source="tests: NotDirectCare",
    when=is_new_request,
)
def no_direct_care(message: Message, _offer: Offer) -> Iterator[str]:
    yield from _other_consents(message)


@rule(
    "R18U",
    f"an update needs the Consent of the category DRC (direct care) of {_CONSENTS}, as its request"
    " does",
    source="Applications 4 and 6: payload tables",
    receiving=_WARN,
    when=asks,
)
def changed_without_direct_care(message: Message, _offer: Offer) -> Iterator[str]:
    if not is_new_request(message):
        yield from _other_consents(message)


def _other_consents(message: Message) -> Iterator[str]:
    consents = list(message.all("Consent"))
    if not any(is_coded(maps_of(each, "category"), _CONSENTS, {"DRC"}) for _, each in consents):
        yield f"{consents[0][0]}.category" if consents else missing("Consent")


@rule(
    "R19",
    f"a validation needs one Flag of the category SS (scene safety) of {_FLAGS}",
    source="Application 4: Scope-and-Requirements; tests: ValidationRequest_No…",
    when=asks_to_validate,
)
def scene_not_told(message: Message, _offer: Offer) -> Iterator[str]:
    """Whoever drives there must know whether it is safe."""
    flags = [
        path
        for path, each in message.all("Flag")
        if is_coded(maps_of(each, "category"), _FLAGS, {"SS"})
    ]
    if not flags:
        yield missing("Flag")
    yield from (f"{path}.category" for path in flags[1:])


@rule(
    "R19L",
    "a validation needs a Location that can be found: UPRN, postcode, eastings and"
    " northings, position or what3words",
    source="Application 4: Scope-and-Requirements; tests: NoLocation",
    when=asks_to_validate,
)
def place_not_told(message: Message, _offer: Offer) -> Iterator[str]:
    """One way to find the place is enough."""
    places = list(message.all("Location"))
    if not any(_can_be_found(each) for _, each in places):
        yield places[0][0] if places else missing("Location")


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


@rule(
    "R20",
    "UPRN has 1 to 12 digits; eastings, northings, longitude and latitude are numbers",
    source="tests: provider_simulator",
    receiving=_WARN,
    of="Location",
)
def place_misspelt(message: Message, _offer: Offer) -> Iterator[str]:
    for path, location in message.all("Location"):
        said = _said(location)
        forms = {"UPRN": _UPRN, "eastings": _DECIMAL, "northings": _DECIMAL}
        if any(name in said and not form.fullmatch(said[name]) for name, form in forms.items()):
            yield f"{path}.extension"
        position = map_of(location, "position")
        for name in ("longitude", "latitude"):
            if name in position and not isinstance(position[name], Number):
                yield f"{path}.position.{name}"


@rule(
    "R21",
    "a new referral between control rooms needs the Location of the incident, and"
    " answered questionnaires",
    source="tests: NoLocation",
    when=is_new_transfer,
)
def no_incident_place(message: Message, _offer: Offer) -> Iterator[str]:
    yield from _unplaced(message)


@rule(
    "R21U",
    "an update between control rooms needs the Location of the incident, and answered"
    " questionnaires, as its request does",
    source="Application 6: Referral-Payload",
    receiving=_WARN,
    when=asks_to_refer,
)
def changed_without_incident_place(message: Message, _offer: Offer) -> Iterator[str]:
    if not is_new_request(message) and is_of(message, "a6"):
        yield from _unplaced(message)


def _unplaced(message: Message) -> Iterator[str]:
    places = list(message.all("Location"))
    if not any(_claims(place, _INCIDENT) for _, place in places):
        yield f"{places[0][0]}.meta.profile" if places else missing("Location")
    for path, each in message.all("QuestionnaireResponse"):
        if text_of(each, "status") != "completed":
            yield f"{path}.status"


@rule(
    "R21L",
    "each Location of a referral of Application 3 or 6 must say where that is: a position, an"
    " address, a number or words",
    source="Applications 3 and 6: Referral-Payload",
    receiving=_WARN,
    when=asks_to_refer,
)
def place_is_empty(message: Message, _offer: Offer) -> Iterator[str]:
    """A Location that holds nothing is one, and sends nobody anywhere."""
    if is_of(message, "a3") or is_of(message, "a6"):
        places = list(message.all("Location"))
        yield from (path for path, each in places if not _says_where(each))
        if not places and is_of(message, "a3"):  # of Application 6 another rule says so
            yield missing("Location")


def _says_where(location: Resource) -> bool:
    address = map_of(location, "address")
    lines = address.get("line")
    words = [text_of(location, name) for name in ("name", "description")]
    words += [text_of(each, "value") for each in maps_of(location, "identifier")]
    words += [text_of(address, name) for name in ("text", "city", "district", "state")]
    words += [each for each in lines if isinstance(each, str)] if isinstance(lines, list) else []
    return _can_be_found(location) or any(map(has_words, words))


def _claims(resource: Resource, profile: str) -> bool:
    profiles = map_of(resource, "meta").get("profile")
    return isinstance(profiles, list) and profile in profiles


@rule(
    "R22",
    "a referral to a pharmacy needs Task.code and Condition.category in SNOMED",
    source="tests: referraltopharmacy",
    receiving=_WARN,
    when=is_new_referral,
)
def no_pharmacy_task(message: Message, _offer: Offer) -> Iterator[str]:
    if is_of(message, "a5"):
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


@rule(
    "R22B",
    "a referral to the broker names at most 20 services, as performers of its CarePlan",
    source="Application 8: Scope-and-Requirements",
    receiving=_WARN,
    when=is_new_referral,
    of="CarePlan",
)
def too_many_services(message: Message, _offer: Offer) -> Iterator[str]:
    """The broker offers the patient what the CarePlan names."""
    if not is_of(message, "a8"):
        return
    for path, plan in message.all("CarePlan"):
        named = {
            reference
            for activity in maps_of(plan, "activity")
            for _, reference in references_of(map_of(activity, "detail"), "performer")
        }
        if len(named) > _MOST_SERVICES:
            yield f"{path}.activity"


@rule(
    "R23",
    "this service takes referrals with a booking only: make it first, and name it in"
    " supportingInfo as Appointment/id",
    source="this project",
    sending=None,
    when=is_new_referral,
    of="ServiceRequest",
)
def booking_is_missing(message: Message, offer: Offer) -> Iterator[str]:
    if offer.booking_required and not names_in(message):
        yield from (f"{path}.supportingInfo" for path, _ in message.all("ServiceRequest"))


@rule(
    "R24",
    "Encounter needs an identifier (the case number) and episodeOfCare: this one is missing",
    source="Applications: payload tables",
    sending=_WARN,
    receiving=_WARN,
    when=asks,
    of="Encounter",
)
def no_journey(message: Message, _offer: Offer) -> Iterator[str]:
    for path, encounter in list(message.all("Encounter"))[:1]:
        if not maps_of(encounter, "identifier"):
            yield f"{path}.identifier"
        if not maps_of(encounter, "episodeOfCare"):
            yield f"{path}.episodeOfCare"
