"""
The rules of the Patient (P01 to P10).

What an NHS number must be holds wherever the message gives its patient one (P01, P01S, P02, P02P):
in the Patient, and where a record names by identifier whom it is about. How a number is known, and
that there is one, is the Patient's alone to say (P03, P04).
"""

from collections.abc import Iterator

from bars_gateway.standard.applications import Offer
from bars_gateway.standard.bundle import Message, Number, Resource, maps_of, text_of
from bars_gateway.standard.issues import Severity
from bars_gateway.standard.patients import (
    NHS_NUMBER_SYSTEM,
    has_check_digit,
    has_nhs_number,
    has_ten_digits,
    is_placeholder,
    numbers_where,
    strangers,
)
from bars_gateway.standard.rule import (
    concept_of,
    extensions,
    is_of,
    rule,
)

_WARN = Severity.WARNING
_UK_CORE = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-"
_STATUS = f"{_UK_CORE}NHSNumberVerificationStatus"
_RANK = f"{_UK_CORE}ContactRank"
_BIRTH_SEX = f"{_UK_CORE}BirthSex"
_VERIFIED = "number-present-and-verified"
_UNTRACED = "number-present-but-not-traced"


@rule(
    "P01",
    "an NHS number has ten digits, and no blanks",
    source="Applications: payload tables",
    receiving=_WARN,
)
def malformed_nhs_number(message: Message, _offer: Offer) -> Iterator[str]:
    """A patient without a number is accepted (P04)."""
    for path in numbers_where(message, lambda each: not has_ten_digits(text_of(each, "value"))):
        yield f"{path}.value"


@rule(
    "P01S",
    f"the system of NHS numbers is {NHS_NUMBER_SYSTEM}, in that spelling: in another, a receiving"
    " service may not see that there is a number",
    source="Core: Cancellation",
    sending=_WARN,
    receiving=_WARN,
)
def misspelt_system(message: Message, _offer: Offer) -> Iterator[str]:
    """It is read in any spelling; nobody's referral is held back for it."""
    for path in numbers_where(message, lambda each: text_of(each, "system") != NHS_NUMBER_SYSTEM):
        yield f"{path}.system"


@rule(
    "P01T",
    "the message names two patients: let every record be of the one Patient. Where two NHS numbers"
    " are one person's, write both as identifier of the Patient",
    source="Core: Cancellation (the Receiver cross-checks the patient)",
    receiving=_WARN,
    fixed=True,
)
def two_patients(message: Message, _offer: Offer) -> Iterator[str]:
    """Whoever files it by its Patient files somebody else's record there."""
    yield from strangers(message)


@rule(
    "P02",
    "the check digit of the NHS number is wrong",
    source="this project",
    sending=_WARN,
    receiving=_WARN,
)
def wrong_check_digit(message: Message, _offer: Offer) -> Iterator[str]:
    """The guide's own sample number fails it."""
    for path in numbers_where(message, lambda each: _fails_its_check(text_of(each, "value"))):
        yield f"{path}.value"


def _fails_its_check(number: str) -> bool:
    return has_ten_digits(number) and not has_check_digit(number)


@rule(
    "P02P",
    "the NHS number is a placeholder, one digit ten times: leave the identifier out where"
    " there is no number",
    source="this project",
    sending=_WARN,
    receiving=_WARN,
)
def placeholder(message: Message, _offer: Offer) -> Iterator[str]:
    """One digit ten times has a right check digit, and is issued to nobody."""
    for path in numbers_where(message, lambda each: is_placeholder(text_of(each, "value"))):
        yield f"{path}.value"


@rule(
    "P03",
    "the NHS number must be verified, or present but not traced; Application 8: verified."
    f" The extension {_STATUS} says so, with the code {_VERIFIED} or {_UNTRACED}",
    source="Applications: Scope-and-Requirements",
    receiving=_WARN,
    of="Patient",
)
def number_not_traced(message: Message, _offer: Offer) -> Iterator[str]:
    """A number may be somebody else's; the Patient says of it, and no record, how it is known."""
    allowed = {_VERIFIED} if is_of(message, "a8") else {_VERIFIED, _UNTRACED}
    for path, identifier in _nhs_numbers(message):
        if not any(_status(each) in allowed for each in extensions(identifier, _STATUS)):
            yield f"{path}.extension"


def _status(extension: Resource) -> str:
    concepts = concept_of(extension, "valueCodeableConcept")
    return next(
        (text_of(coding, "code") for each in concepts for coding in maps_of(each, "coding")), ""
    )


@rule(
    "P04",
    "Application 8 needs an NHS number",
    source="Application 8: Scope-and-Requirements",
    of="Patient",
)
def number_missing(message: Message, _offer: Offer) -> Iterator[str]:
    """Application 8 only; every other takes a patient without a number."""
    if is_of(message, "a8") and not any(_nhs_numbers(message)):
        yield from (f"{path}.identifier" for path, _ in message.all("Patient"))


@rule(
    "P05",
    "contact details stand in Patient.contact, not in Patient.telecom",
    source="tests: patient_contact",
    receiving=_WARN,
    of="Patient",
)
def own_telecom(message: Message, _offer: Offer) -> Iterator[str]:
    for path, patient in message.all("Patient"):
        if "telecom" in patient:
            yield f"{path}.telecom"


@rule(
    "P06",
    "one contact of the Patient, and one only, has rank 1",
    source="tests: NoRank1, TwoRank1",
    of="Patient",
)
def no_first_contact(message: Message, _offer: Offer) -> Iterator[str]:
    """Whom to call first must be one, who need not be the patient."""
    for path, patient in message.all("Patient"):
        contacts = maps_of(patient, "contact")
        if contacts and sum(_ranks(each) == ["1"] for each in contacts) != 1:
            yield f"{path}.contact"


@rule(
    "P06N",
    "the Patient has no contact",
    source="tests: patient_contact",
    sending=_WARN,
    receiving=_WARN,
    of="Patient",
)
def no_contact(message: Message, _offer: Offer) -> Iterator[str]:
    """There is nobody to call."""
    for path, patient in message.all("Patient"):
        if not maps_of(patient, "contact"):
            yield f"{path}.contact"


@rule(
    "P07",
    "the contact has no rank",
    source="tests: patient_contact",
    sending=_WARN,
    receiving=_WARN,
    of="Patient",
)
def unranked_contact(message: Message, _offer: Offer) -> Iterator[str]:
    for path, patient in message.all("Patient"):
        for index, contact in enumerate(maps_of(patient, "contact")):
            if not _ranks(contact):
                yield f"{path}.contact[{index}]"


def _ranks(contact: Resource) -> list[str]:
    ranks = [each.get("valuePositiveInt") for each in extensions(contact, _RANK)]
    return [rank.text for rank in ranks if isinstance(rank, Number)]


@rule(
    "P09",
    "birthSex is sent as an Observation, not as an extension",
    source="tests: provider_simulator",
    sending=_WARN,
    receiving=_WARN,
    of="Patient",
)
def birth_sex(message: Message, _offer: Offer) -> Iterator[str]:
    for path, patient in message.all("Patient"):
        if extensions(patient, _BIRTH_SEX):
            yield f"{path}.extension"


# An error before sending would hold back who is unknown: a published emergency is.
@rule(
    "P10",
    "the Patient has one official name",
    source="tests: provider_simulator",
    sending=_WARN,
    receiving=_WARN,
    of="Patient",
)
def no_official_name(message: Message, _offer: Offer) -> Iterator[str]:
    for path, patient in message.all("Patient"):
        uses = [text_of(name, "use") for name in maps_of(patient, "name")]
        if uses.count("official") != 1:
            yield f"{path}.name"


def _nhs_numbers(message: Message) -> Iterator[tuple[str, Resource]]:
    """Yield the NHS numbers of the Patient itself, which says how each is known."""
    for path, patient in message.all("Patient"):
        for index, identifier in enumerate(maps_of(patient, "identifier")):
            if has_nhs_number(identifier):
                yield f"{path}.identifier[{index}]", identifier
