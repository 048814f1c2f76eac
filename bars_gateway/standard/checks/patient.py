"""The Patient (rules P01 to P10)."""

from collections.abc import Iterator

from bars_gateway.standard.bundle import Message, Number, Resource, maps_of, text_of
from bars_gateway.standard.checks.kinds import is_of
from bars_gateway.standard.checks.looking import concept_of, extensions
from bars_gateway.standard.checks.offer import Offer
from bars_gateway.standard.patients import (
    NHS_NUMBER,
    has_check_digit,
    has_ten_digits,
    is_placeholder,
)

_UK_CORE = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-"
_STATUS = f"{_UK_CORE}NHSNumberVerificationStatus"
_RANK = f"{_UK_CORE}ContactRank"
_BIRTH_SEX = f"{_UK_CORE}BirthSex"
_VERIFIED = "number-present-and-verified"
_UNTRACED = "number-present-but-not-traced"


def malformed_nhs_number(message: Message, _offer: Offer) -> Iterator[str]:
    """P01. A patient without a number is accepted (P04)."""
    for path, identifier in _nhs_numbers(message):
        if not has_ten_digits(text_of(identifier, "value")):
            yield f"{path}.value"


def wrong_check_digit(message: Message, _offer: Offer) -> Iterator[str]:
    """P02: the guide's own sample number fails it."""
    for path, identifier in _nhs_numbers(message):
        number = text_of(identifier, "value")
        if has_ten_digits(number) and not has_check_digit(number):
            yield f"{path}.value"


def placeholder(message: Message, _offer: Offer) -> Iterator[str]:
    """P02P: one digit ten times has a right check digit, and is issued to nobody."""
    for path, identifier in _nhs_numbers(message):
        if is_placeholder(text_of(identifier, "value")):
            yield f"{path}.value"


def number_not_traced(message: Message, _offer: Offer) -> Iterator[str]:
    """P03: a number that is not known to be the patient's own may be somebody else's."""
    allowed = {_VERIFIED} if is_of(message, "a8") else {_VERIFIED, _UNTRACED}
    for path, identifier in _nhs_numbers(message):
        if not any(_status(each) in allowed for each in extensions(identifier, _STATUS)):
            yield f"{path}.extension"


def _status(extension: Resource) -> str:
    concepts = concept_of(extension, "valueCodeableConcept")
    return next(
        (text_of(coding, "code") for each in concepts for coding in maps_of(each, "coding")), ""
    )


def number_missing(message: Message, _offer: Offer) -> Iterator[str]:
    """P04: Application 8 only; every other takes a patient without a number."""
    if is_of(message, "a8") and not any(_nhs_numbers(message)):
        yield from (f"{path}.identifier" for path, _ in message.all("Patient"))


def own_telecom(message: Message, _offer: Offer) -> Iterator[str]:
    """P05."""
    for path, patient in message.all("Patient"):
        if "telecom" in patient:
            yield f"{path}.telecom"


def no_first_contact(message: Message, _offer: Offer) -> Iterator[str]:
    """P06: whom to call first must be one, who need not be the patient."""
    for path, patient in message.all("Patient"):
        contacts = maps_of(patient, "contact")
        if contacts and sum(_ranks(each) == ["1"] for each in contacts) != 1:
            yield f"{path}.contact"


def no_contact(message: Message, _offer: Offer) -> Iterator[str]:
    """P06, where there is nobody to call."""
    for path, patient in message.all("Patient"):
        if not maps_of(patient, "contact"):
            yield f"{path}.contact"


def unranked_contact(message: Message, _offer: Offer) -> Iterator[str]:
    """P07."""
    for path, patient in message.all("Patient"):
        for index, contact in enumerate(maps_of(patient, "contact")):
            if not _ranks(contact):
                yield f"{path}.contact[{index}]"


def _ranks(contact: Resource) -> list[str]:
    ranks = [each.get("valuePositiveInt") for each in extensions(contact, _RANK)]
    return [rank.text for rank in ranks if isinstance(rank, Number)]


def birth_sex(message: Message, _offer: Offer) -> Iterator[str]:
    """P09."""
    for path, patient in message.all("Patient"):
        if extensions(patient, _BIRTH_SEX):
            yield f"{path}.extension"


def no_official_name(message: Message, _offer: Offer) -> Iterator[str]:
    """P10."""
    for path, patient in message.all("Patient"):
        uses = [text_of(name, "use") for name in maps_of(patient, "name")]
        if uses.count("official") != 1:
            yield f"{path}.name"


def _nhs_numbers(message: Message) -> Iterator[tuple[str, Resource]]:
    for path, patient in message.all("Patient"):
        for index, identifier in enumerate(maps_of(patient, "identifier")):
            if text_of(identifier, "system") == NHS_NUMBER:
                yield f"{path}.identifier[{index}]", identifier
