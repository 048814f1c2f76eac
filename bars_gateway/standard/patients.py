"""
Whether two messages, or a record and a message, are about one patient: decided here alone.

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

What is an NHS number is told by its system, and others spell that with http or /id/ as well:
a number that is passed over for its spelling would make of two patients one.

Whose a record is that a Receiver shows is told by all that it says of its patient.

    our Patient + record + what came beside it ──sameness_of──► Sameness

A record names its patient by number (`subject.identifier`, the actor of an Appointment), holds a
Patient, or refers to one that came beside it, by its fullUrl or as `Patient/id`. Whoever mixes up
two records may name one patient here and another there: then it is another's. Where it says
nothing at all, the Patients that came with it are whom the answer is about.

That nothing is said, as in the answers that the guide shows, proves nothing and contradicts
nothing (`unknown_patient`). An id that we know stands then; none is learnt from such a record.

Decisions: D-same-patient, D-duplicate.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from bars_gateway.standard.bundle import Entry, Message, bare_id, map_of, maps_of, text_of
from bars_gateway.standard.headers import is_uuid
from bars_gateway.standard.tree import Json, Resource

NHS_NUMBER = "https://fhir.nhs.uk/Id/nhs-number"
NHS_NUMBER_DIGITS = 10
_OF_A_PATIENT = ("subject", "patient", "actor")  # members that refer to whom a record is about
_BETWEEN_DIGITS = re.compile(r"[\s\u2010-\u2015-]")  # every space and hyphen there is
_WHOLE_DATE = len("1950-01-31")
_PATIENT = "patient"
_VERSION = re.compile(r"/_history/[^/]*$")
_TO_A_TYPE = re.compile(r"(?:^|/)([a-z]+)/([^/]+)$")


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
    said = _together([patient_in(patient) for _, patient in message.all("Patient")])
    if said.nhs_numbers:
        return said
    return _together([said, *numbered_in(message.root)])


def patient_in(resource: Resource) -> Patient:
    """Return whom one Patient resource is."""
    return Patient(
        nhs_numbers=_usable(_written([resource])),
        names=frozenset(_names(resource)),
        birth_dates=frozenset({text_of(resource, "birthDate")}) - {""},
    )


def numbered(number: str) -> Patient:
    """Return somebody of whom only an NHS number is known; nobody where it is none."""
    return Patient(nhs_numbers=_usable({_digits(number)}))


def are_one(people: Iterable[Patient]) -> list[Patient]:
    """Return *people* with those made one who share a number, as somebody does who was merged."""
    found: list[Patient] = []
    for each in people:
        same = [other for other in found if not each.nhs_numbers.isdisjoint(other.nhs_numbers)]
        apart = [other for other in found if other not in same]
        found = [*apart, _together([*same, each])]
    return found


def _together(people: Collection[Patient]) -> Patient:
    return Patient(
        nhs_numbers=frozenset().union(*(each.nhs_numbers for each in people)),
        names=frozenset().union(*(each.names for each in people)),
        birth_dates=frozenset().union(*(each.birth_dates for each in people)),
    )


def numbered_in(tree: Resource) -> list[Patient]:
    """
    Return everybody to whom *tree* gives an NHS number: not only in a Patient.

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
    return are_one(Patient(nhs_numbers=each) for each in dict.fromkeys(found) if each)


def _numbers_in(node: Resource) -> set[str]:
    """Return the numbers that one object gives to its patient, as they are written."""
    if _is_patient(node):
        return _written([node])
    references = [map_of(node, name) for name in _OF_A_PATIENT]
    named = [each for each in references if text_of(each, "type") in {"", "Patient"}]
    return _numbers(map_of(each, "identifier") for each in named)


def _usable(numbers: Iterable[str]) -> frozenset[str]:
    """Return those that can be somebody's."""
    return frozenset(filter(is_nhs_number, numbers))


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


def has_nhs_number(identifier: Resource) -> bool:
    """Tell whether an identifier is of the system of NHS numbers, however that is spelt."""
    return is_nhs_system(text_of(identifier, "system"))


def is_nhs_system(system: str) -> bool:
    """Tell whether it is the system of NHS numbers: with http, /id/ or capitals as well."""
    return _bare(system) == _bare(NHS_NUMBER)


def _bare(system: str) -> str:
    return re.sub(r"^https?://|/$", "", system.strip().lower())


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
    """Return what *message* gives as NHS numbers, as they are compared, whatever they are worth."""
    return _written(patient for _, patient in message.all("Patient"))


def _written(patients: Iterable[Resource]) -> set[str]:
    return _numbers(each for patient in patients for each in maps_of(patient, "identifier"))


def _numbers(identifiers: Iterable[Resource]) -> set[str]:
    return {_digits(text_of(each, "value")) for each in identifiers if has_nhs_number(each)} - {""}


def _digits(number: str) -> str:
    """Return the number as it is compared: some write it as on a card, 3-3-4."""
    return _BETWEEN_DIGITS.sub("", number)


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


def sameness_of(ours: Patient, record: Resource, beside: Sequence[Entry] = ()) -> Sameness:
    """Return whether *record* is of our patient; *beside*: what came in the same Bundle."""
    people = are_one(_people(record, beside))
    numbered = [each for each in people if each.nhs_numbers]
    deciding = numbered if ours.nhs_numbers and numbered else people
    found = {compare(ours, each) for each in deciding}
    order = (Sameness.OTHER_PATIENT, Sameness.SAME, Sameness.NEWLY_TRACED)
    return next((each for each in order if each in found), Sameness.UNKNOWN_PATIENT)


def refers_to_ours(message: Message, record: Resource) -> bool:
    """
    Tell whether *record* refers to the very Patient of *message*, by the UUID that we gave.

    The guide's own answers show nothing else of whom they are about.
    """
    ours = {bare_id(each.full_url) for each in message.entries if each.type == "Patient"}
    return any(is_uuid(each) and each in ours for each in map(bare_id, _references(record)))


def _people(record: Resource, beside: Sequence[Entry]) -> list[Patient]:
    patients = [each for each in beside if each.type == "Patient"]
    references = list(_references(record))
    held = [each for each in maps_of(record, "contained") if _is_patient(each)]
    held += [each.resource for each in patients if any(_is_at(each, ref) for ref in references)]
    said = [*numbered_in(record), *map(patient_in, held)]
    if any(each != Patient() for each in said):
        return said
    return [patient_in(each.resource) for each in patients]


def _references(record: Resource) -> Iterator[str]:
    """Yield what it says that it is about; the reference of an actor may be to a clinician."""
    actors = [map_of(each, "actor") for each in maps_of(record, "participant")]
    for each in (map_of(record, "subject"), map_of(record, "patient"), *actors):
        if text_of(each, "reference"):
            yield text_of(each, "reference")


def _is_at(patient: Entry, reference: str) -> bool:
    """Tell whether *reference* is to that entry: by its fullUrl, or as `Patient/id`."""
    if reference == patient.full_url:
        return True
    known = {_typed(patient.full_url), (_PATIENT, text_of(patient.resource, "id").lower())}
    bare = (_PATIENT, bare_id(reference))  # of a urn:uuid, which has no type
    return (_typed(reference) or bare) in known


def _typed(url: str) -> tuple[str, str] | None:
    found = _TO_A_TYPE.search(_VERSION.sub("", url.strip().lower()))
    return (found[1], found[2]) if found else None
