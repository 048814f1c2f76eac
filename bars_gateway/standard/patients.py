"""
Whether two messages are about the same patient: the one place where that is decided.

    message ──patient_of──► Patient          compare(one, other) ──► Sameness

    the NHS numbers of one contain those of the other ─► same
    both have numbers, and these do not fit together  ─► other_patient
    one has none, name and birth date are equal       ─► newly_traced: the same, with a number now
    one has none, name or birth date differs          ─► other_patient
    one has none, and there is too little to compare  ─► unknown_patient

Numbers decide where both sides have them: names are corrected, and whoever was unknown when
the ambulance was called has a name an hour later. A placeholder (one digit, ten times) or a
number with a wrong check digit says nothing about anybody, and counts as none: two strangers
with 0000000000 are not one person.

Decisions: D-same-patient.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from bars_gateway.standard.bundle import Message, map_of, maps_of, text_of
from bars_gateway.standard.tree import Json, Resource

NHS_NUMBER = "https://fhir.nhs.uk/Id/nhs-number"
NHS_NUMBER_DIGITS = 10
_OF_A_PATIENT = ("subject", "patient", "actor")  # members that refer to whom a record is about
_WHOLE_DATE = len("1950-01-31")


class Sameness(StrEnum):
    """What two messages say together about whose they are."""

    SAME = "same"
    NEWLY_TRACED = "newly_traced"  # the same; one of them has the NHS number, the other none
    OTHER_PATIENT = "other_patient"
    UNKNOWN_PATIENT = "unknown_patient"  # there is too little to compare


# Those of whom nothing says that they are somebody else.
ONE_PATIENT = frozenset({Sameness.SAME, Sameness.NEWLY_TRACED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """Whom a message is about: what of it can be compared, and is never shown."""

    nhs_numbers: frozenset[str] = field(default=frozenset(), repr=False)  # those that are some
    names: frozenset[tuple[str, str]] = field(default=frozenset(), repr=False)  # family, given
    birth_dates: frozenset[str] = field(default=frozenset(), repr=False)


def patient_of(message: Message) -> Patient:
    """Return whom *message* is about: by its Patient, or by the number that its records give."""
    patients = [patient for _, patient in message.all("Patient")]
    numbers = _usable(numbers_written(message))
    if not numbers:
        numbers = frozenset().union(*(each.nhs_numbers for each in numbered_in(message.root)))
    return Patient(
        nhs_numbers=numbers,
        names=frozenset(name for patient in patients for name in _names(patient)),
        birth_dates=frozenset(text_of(each, "birthDate") for each in patients) - {""},
    )


def patient_of_record(record: Resource, beside: Message | None = None) -> Patient:
    """Return whom a record is about: by what it says itself, and the Patient *beside* it."""
    actors = [map_of(record, "subject")]
    actors += [map_of(each, "actor") for each in maps_of(record, "participant")]
    entries = [beside.resolve(text_of(each, "reference")) for each in actors] if beside else []
    shown = [*maps_of(record, "contained"), *(entry.resource for entry in entries if entry)]
    held = [each for each in shown if _is_patient(each)]
    identifiers = [map_of(actor, "identifier") for actor in actors]
    written = [text_of(i, "value") for i in identifiers if text_of(i, "system") == NHS_NUMBER]
    return Patient(
        nhs_numbers=_usable({*written, *_written(held)}),
        names=frozenset(name for patient in held for name in _names(patient)),
        birth_dates=frozenset(text_of(each, "birthDate") for each in held) - {""},
    )


def numbered_in(tree: Resource) -> list[Patient]:
    """
    Return everybody to whom *tree* gives an NHS number, each alone: not only in a Patient.

    A record may name its patient by number alone (`subject.identifier`), with no Patient beside
    it; and whoever has mixed up two requests may name both. What is no Bundle is read alike.
    """
    found = [frozenset[str]()]
    level: list[Json] = [tree]
    for node in level:  # which grows while it is read
        if isinstance(node, list):
            level += node
        elif isinstance(node, dict):
            found.append(_usable(_numbers_in(node)))
            level += node.values()
    return [Patient(nhs_numbers=each) for each in dict.fromkeys(found) if each]


def _numbers_in(node: Resource) -> set[str]:
    """Return the numbers that one object gives to its patient, as they are written."""
    if _is_patient(node):
        return _written([node])
    references = [map_of(node, name) for name in _OF_A_PATIENT]
    named = [each for each in references if text_of(each, "type") in {"", "Patient"}]
    identifiers = [map_of(each, "identifier") for each in named]
    return {text_of(i, "value") for i in identifiers if text_of(i, "system") == NHS_NUMBER}


def _usable(numbers: Iterable[str]) -> frozenset[str]:
    """Return those that can be somebody's, as they are compared."""
    return frozenset(filter(is_nhs_number, map(_digits, numbers)))


def _is_patient(resource: Resource) -> bool:
    return text_of(resource, "resourceType") == "Patient"


def compare(one: Patient, other: Patient) -> Sameness:
    """Return whether they are one; the order in which they are given makes no difference."""
    ours, theirs = one.nhs_numbers, other.nhs_numbers
    if ours and theirs:
        fits = ours <= theirs or theirs <= ours
        return Sameness.SAME if fits else Sameness.OTHER_PATIENT
    equal = _looks_equal(one, other)
    if equal is None:
        return Sameness.UNKNOWN_PATIENT
    if not equal:
        return Sameness.OTHER_PATIENT
    return Sameness.NEWLY_TRACED if ours or theirs else Sameness.SAME


def compare_with(one: Patient, known: Collection[Patient]) -> Sameness:
    """
    Return whether *one* is whom a workflow is about, who may be *known* by several names.

    A patient who was traced or merged since is known by what was said before and after. Who is
    one of those that are known is no stranger to the others.
    """
    found = {compare(one, each) for each in known}
    order = (Sameness.SAME, Sameness.NEWLY_TRACED, Sameness.OTHER_PATIENT)
    return next((each for each in order if each in found), Sameness.UNKNOWN_PATIENT)


def is_nhs_number(number: str) -> bool:
    """Tell whether *number* can be somebody's: ten digits that check, and no placeholder."""
    return has_ten_digits(number) and has_check_digit(number) and not is_placeholder(number)


def has_ten_digits(number: str) -> bool:
    """Tell whether *number* is written as an NHS number."""
    return number.isascii() and number.isdigit() and len(number) == NHS_NUMBER_DIGITS


def has_check_digit(number: str) -> bool:
    """Tell whether the last of ten digits is the one that modulus 11 gives to the others."""
    weighted = sum(int(digit) * weight for digit, weight in zip(number, range(10, 1, -1)))  # noqa: B905 - the tenth is the check
    return (11 - weighted % 11) % 11 == int(number[-1])


def is_placeholder(number: str) -> bool:
    """Tell whether it is one digit ten times, which checks, and is issued to nobody."""
    return has_ten_digits(number) and len(set(number)) == 1


def numbers_written(message: Message) -> set[str]:
    """Return what *message* gives as NHS numbers, whatever they are worth."""
    return _written(patient for _, patient in message.all("Patient"))


def _written(patients: Iterable[Resource]) -> set[str]:
    return {
        text_of(identifier, "value")
        for patient in patients
        for identifier in maps_of(patient, "identifier")
        if text_of(identifier, "system") == NHS_NUMBER
    } - {""}


def _digits(number: str) -> str:
    """Return the number as it is compared: some write it as on a card, 3-3-4."""
    return number.replace(" ", "").replace("-", "")


def _names(patient: Resource) -> Iterator[tuple[str, str]]:
    """Yield the full names: a family name alone is shared by a household."""
    for name in maps_of(patient, "name"):
        given = name.get("given")
        first = given[0] if isinstance(given, list) and given else None
        words = first.casefold().split() if isinstance(first, str) else []
        family = " ".join(text_of(name, "family").casefold().split())
        if family and words:
            yield family, words[0]


def _looks_equal(one: Patient, other: Patient) -> bool | None:
    """Tell whether name and birth date are equal; None where either cannot be compared."""
    if not (one.names and other.names):
        return None
    days = {day[:_WHOLE_DATE] for day in one.birth_dates | other.birth_dates}
    if not (one.birth_dates and other.birth_dates) or any(len(day) < _WHOLE_DATE for day in days):
        return None
    born = not one.birth_dates.isdisjoint(other.birth_dates)
    return born and not one.names.isdisjoint(other.names)
