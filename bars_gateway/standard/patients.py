"""
Whether two messages, or a record and a message, are about one patient: decided here alone.

    message ──patient_of──► Patient          compare(one, other) ──► Sameness

    the NHS numbers of one contain those of the other ─► same
    both have numbers, and these do not fit together  ─► other_patient
    one has none, name and birth date are equal       ─► newly_traced: the same, with a number now
    one has none, name or birth date differs          ─► other_patient
    one has none, and there is too little to compare  ─► unknown_patient

Whoever mixes up two requests names both patients in one message: ours in the Patient, and another
in a record (`subject.identifier`), or in a second Patient. So a message is about everybody whom
it names, wherever that stands, and each has to be found in the other message: one who is not is
another patient, however many are ours. A request that names two is answered all the same: a later
message that names either is about somebody whom its workflow knows (`sameness_among`).

Numbers decide where both sides have them: names are corrected, and whoever was unknown when
the ambulance was called has a name an hour later. A placeholder (one digit, ten times) or a
number with a wrong check digit says nothing about anybody, and counts as none: two strangers
with 0000000000 are not one person. A name is the same with or without capitals, accents and
apostrophes, a family name without hyphens, too: systems differ in what they keep of them.

Who takes part in an appointment (`actor`) may be a relative, with a number of their own: the type
of the reference says so, or else what it is to.

What is an NHS number is told by its system, and others spell that with http or /id/ as well:
a number that is passed over for its spelling would make of two patients one.

Whose a record is that a Receiver shows is told by all that it says of its patient.

    our Patient + record + what came beside it ──sameness_of──► Sameness

A record names its patient by number (`subject.identifier`, or `Patient/` and the number; where,
`r4.ABOUT` has), holds a Patient, or refers to one that came beside it, by its fullUrl or as
`Patient/id`.
Whoever mixes up two records may name one patient here and another there: then it is another's.
Where it says nothing at all, the Patients that came with it are whom the answer is about.

That nothing is said, as in the answers that the guide shows, proves nothing and contradicts
nothing (`unknown_patient`). An id that we know stands then; none is learnt from such a record.

Decisions: D-same-patient, D-duplicate.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import field, replace
from enum import StrEnum
from functools import cache
from itertools import islice

from bars_gateway.frozen import frozen
from bars_gateway.standard.bundle import Entry, Message, bare_id, map_of, maps_of, once, text_of
from bars_gateway.standard.headers import is_uuid
from bars_gateway.standard.r4 import ABOUT, resources
from bars_gateway.standard.tree import Json, Resource

NHS_NUMBER_SYSTEM = "https://fhir.nhs.uk/Id/nhs-number"
NHS_NUMBER_DIGITS = 10
_MOST = 16  # who are compared: a message that names more is about nobody in particular
_BETWEEN = re.compile(r"[\s\u2010-\u2015-]")  # every space and hyphen there is
_NOT_IN_NAMES = re.compile(r"[\u0300-\u036f'`\u2018\u2019\u02bc]")  # accents, apostrophes
_WHOLE_DATE = len("1950-01-31")
_PATIENT = "patient"
_WHOM = frozenset(ABOUT)
_SPELLING = re.compile(r"^https?://|/$")  # what writers of one system differ in
_VERSION = re.compile(r"/_history/[^/]*$")
_TO_A_TYPE = re.compile(r"(?:^|/)([a-z]+)/([^/]+)$")


class Sameness(StrEnum):
    """What two messages say together about whose they are."""

    SAME = "same"
    NEWLY_TRACED = "newly_traced"  # the same; one of them has the NHS number, the other none
    OTHER_PATIENT = "other_patient"
    UNKNOWN_PATIENT = "unknown_patient"  # there is too little to compare, or one of two is named


# Those of whom nothing says that they are somebody else.
ONE_PATIENT = frozenset({Sameness.SAME, Sameness.NEWLY_TRACED})


@frozen(kw_only=True)
class Patient:
    """Whom a message is about: what of it can be compared, and is never shown."""

    nhs_numbers: frozenset[str] = field(default=frozenset(), repr=False)  # those that are some
    names: frozenset[tuple[str, str]] = field(default=frozenset(), repr=False)  # family, given
    birth_dates: frozenset[str] = field(default=frozenset(), repr=False)
    beside: tuple["Patient", ...] = field(default=(), repr=False)  # others whom a message names

    @property
    def everybody(self) -> tuple["Patient", ...]:
        """Whom a message names: one, unless it has mixed up two."""
        return (replace(self, beside=()), *self.beside)


NOBODY = Patient()  # of whom nothing is said: nobody else can be told from that


@once
def patient_of(message: Message) -> Patient:
    """Return whom *message* is about: by its Patient, and by the numbers that its records give."""
    if _names_one_at_most(message):  # as nearly always
        return next((patient_in(each) for each in message.telling if _is_patient(each)), NOBODY)
    came_with = _came_with([(each.full_url, each.resource) for each in message.entries])
    named = (who for each in message.telling for _, who in _named_by(each, came_with))
    first, *beside = _apart(named) or [NOBODY]
    return replace(first, beside=tuple(beside)) if beside else first


def strangers(message: Message) -> list[str]:
    """Return where *message* names somebody else than its patient, as FHIR paths."""
    if _names_one_at_most(message):
        return []  # as nearly always
    whose = patient_of(message)
    if not whose.beside:
        return []
    named = _named(message.root, _beside(message.root))
    return [where for where, who in named if not _is_of(who, whose)]


def _names_one_at_most(message: Message) -> bool:
    first, *others = message.telling or [{}]
    return not others and not any(_about(first))


def _is_of(who: Patient, one: Patient) -> bool:
    """Tell whether *who* is a part of *one*, who was put together from such parts."""
    if who.nhs_numbers:
        return who.nhs_numbers <= one.nhs_numbers
    return who.names <= one.names and who.birth_dates <= one.birth_dates


def patient_in(resource: Resource) -> Patient:
    """Return whom one Patient resource is."""
    return Patient(
        nhs_numbers=_usable(_numbers(maps_of(resource, "identifier"))),
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


def _apart(people: Iterable[Patient]) -> list[Patient]:
    """
    Return *people*, each once: who has no number is whoever nothing tells apart.

    So is a Patient without one, in whose records there is a number and no more.
    """
    said = list(islice(dict.fromkeys(each for each in people if each != NOBODY), _MOST))
    if len(said) <= 1:
        return said  # as nearly always
    found = are_one(each for each in said if each.nhs_numbers)
    for each in (each for each in said if not each.nhs_numbers):
        same = next((one for one in found if _may_be(each, one)), None)
        found = [_together([one, each]) if one is same else one for one in found]
        found += [each] if same is None else []
    first = next(iter(said), NOBODY)
    return sorted(found, key=lambda one: not _is_of(first, one))


def _may_be(one: Patient, other: Patient) -> bool:
    by_number_alone = not (other.names or other.birth_dates)
    return by_number_alone or _compare_two(one, other) in ONE_PATIENT


def _together(people: Collection[Patient]) -> Patient:
    return Patient(
        nhs_numbers=frozenset().union(*(each.nhs_numbers for each in people)),
        names=frozenset().union(*(each.names for each in people)),
        birth_dates=frozenset().union(*(each.birth_dates for each in people)),
    )


def numbered_in(tree: Resource, beside: Sequence[Entry] = ()) -> list[Patient]:
    """
    Return everybody to whom *tree* gives an NHS number: not only in a Patient.

    A record may name its patient by number alone (`subject.identifier`, or `Patient/` and the
    number), with no Patient beside it; and whoever has mixed up two requests may name both. What is
    no Bundle is read alike. *beside*: what came with it.
    """
    named = _named(tree, _beside(tree, beside))
    people = (Patient(nhs_numbers=who.nhs_numbers) for _, who in named if who.nhs_numbers)
    return are_one(dict.fromkeys(people))


def _named(tree: Resource, beside: "_Beside") -> Iterator[tuple[str, Patient]]:
    """Yield where *tree* names somebody, and whom."""
    for where, node in _objects(tree):
        if "resourceType" in node or not _WHOM.isdisjoint(node):  # most are of neither kind
            yield from ((where + name, who) for name, who in _named_by(node, beside))


def _objects(tree: Resource) -> Iterator[tuple[str, Resource]]:
    """Yield every object within *tree*, and where it stands."""
    level: list[tuple[str, Json]] = [(text_of(tree, "resourceType"), tree)]
    for where, node in level:  # which grows while it is read
        if isinstance(node, list):
            level += [(f"{where}[{number}]", each) for number, each in enumerate(node)]
        elif isinstance(node, dict):
            for name, each in node.items():  # written out: every object of an answer passes through
                if each.__class__ is dict or each.__class__ is list:
                    level.append((f"{where}.{name}", each))
            yield where, node


def _named_by(node: Resource, beside: "_Beside") -> Iterator[tuple[str, Patient]]:
    """Yield whom one object names itself, and in which of its members."""
    if _is_patient(node):
        yield "", patient_in(node)
    for where, reference in _about(node):
        for numbers in _numbers_in(reference, beside.patients):
            if not (where.startswith(".actor") and _is_another_actor(reference, numbers, beside)):
                yield where, Patient(nhs_numbers=numbers)


def _is_another_actor(reference: Resource, numbers: frozenset[str], beside: "_Beside") -> bool:
    """Tell whether what an actor is referred to by, without a type, is no Patient's: a mother's."""
    literal = text_of(reference, "reference")
    kind, _ = _typed(literal) or ("", "")
    other = literal in beside.others or (kind in _types() and kind != _PATIENT)
    by_number_alone = not literal and numbers <= beside.relatives
    return not text_of(reference, "type") and (other or by_number_alone)


@cache
def _types() -> frozenset[str]:
    return frozenset(each.lower() for each in resources())


def _about(node: Resource) -> Iterator[tuple[str, Resource]]:
    """Yield the references of an object to whom it is about, and in which of its members."""
    for name in sorted(_WHOM & node.keys()):
        many = maps_of(node, name)
        yield from ((f".{name}[{number}]", each) for number, each in enumerate(many))
        if not many:
            yield f".{name}", map_of(node, name)


def _numbers_in(reference: Resource, held: Collection[str]) -> Iterator[frozenset[str]]:
    """
    Yield the numbers by which a reference names a patient; the actor may be a relative.

    `Patient/` and an NHS number is how that service itself refers to somebody who is not *held*
    beside it; an id of a Patient who is, is that one's, whatever it looks like.
    """
    if not _may_be_to_a_patient(reference):
        return
    kind, literal = _typed(text_of(reference, "reference")) or ("", "")
    named = {literal} if kind == _PATIENT and literal not in held else set()
    for numbers in map(_usable, (_numbers([map_of(reference, "identifier")]), named)):
        if numbers:
            yield numbers


def _may_be_to_a_patient(reference: Resource) -> bool:
    said = text_of(reference, "type").rpartition("/")[2]  # R4 also allows the address of a type
    return said in {"", "Patient"}


@frozen(kw_only=True)
class _Beside:
    """What came with a record, and may be meant by what it refers to."""

    patients: frozenset[str]  # the ids of Patients
    others: frozenset[str]  # the references to what is no Patient
    relatives: frozenset[str]  # the NHS numbers of RelatedPersons


def _beside(tree: Resource, more: Sequence[Entry] = ()) -> _Beside:
    """Return what stands in a Bundle, or within a record, and what came with it."""
    entries = [
        (text_of(each, "fullUrl"), map_of(each, "resource")) for each in maps_of(tree, "entry")
    ]
    return _came_with([("", tree), *entries, *((each.full_url, each.resource) for each in more)])


def _came_with(shown: Sequence[tuple[str, Resource]]) -> _Beside:
    """Return what records, each with its fullUrl, are to what refers to them."""
    within = [each for _, one in shown for each in maps_of(one, "contained")]
    known = [*shown, *((f"#{text_of(each, 'id')}", each) for each in within)]
    patients = [(url, one) for url, one in shown if _is_patient(one)]
    not_others = {"", "#", *(url for url, one in known if _is_patient(one))}
    relatives = (one for _, one in known if text_of(one, "resourceType") == "RelatedPerson")
    return _Beside(
        patients=frozenset(name for url, one in patients for name in _ids(url, one)),
        others=frozenset(url for url, _ in known) - not_others,
        relatives=_usable(n for one in relatives for n in _numbers(maps_of(one, "identifier"))),
    )


def _ids(full_url: str, patient: Resource) -> Iterator[str]:
    """Yield the ids by which a reference of the form `Patient/id` is to that Patient."""
    yield text_of(patient, "id").lower()
    kind, literal = _typed(full_url) or ("", "")
    if kind == _PATIENT:
        yield literal


def _usable(numbers: Iterable[str]) -> frozenset[str]:
    """Return those that can be somebody's."""
    return frozenset(filter(is_nhs_number, numbers))


def _is_patient(resource: Resource) -> bool:
    return text_of(resource, "resourceType") == "Patient"


def compare(one: Patient, other: Patient) -> Sameness:
    """Return whether they are one; the order in which they are given makes no difference."""
    return compare_with(one, [other])


def compare_with(one: Patient, known: Collection[Patient]) -> Sameness:
    """
    Return whether *one* is whom a workflow is about, who may be *known* by several names.

    A patient who was traced or merged since is known by what was said before and after. Who is
    one of those that are known is no stranger to the others. A message that names two is about
    whom a workflow is about only if both are known, and so is one that follows on such a message.
    """
    everybody = [each for message in known for each in message.everybody]
    there = [_nearest(each, everybody) for each in one.everybody]
    back = [_worst(_nearest(each, one.everybody) for each in them.everybody) for them in known]
    return _worst([*there, _best(back)])


def sameness_among(one: Patient, known: Collection[Patient]) -> Sameness:
    """
    Return whose a message is that came into a workflow, of all who are *known* there.

    Where that began with a message about two, one of them is no stranger: nobody can tell which
    of the two is meant.
    """
    found = compare_with(one, known)
    if found is not Sameness.OTHER_PATIENT:
        return found
    return Sameness.UNKNOWN_PATIENT if is_among(one, known) else found


def is_among(one: Patient, known: Collection[Patient]) -> bool:
    """Tell whether everybody whom a message names is named by one of the *known*, or by several."""
    everybody = [each for message in known for each in message.everybody]
    return {_nearest(each, everybody) for each in one.everybody} <= ONE_PATIENT


def _nearest(one: Patient, people: Iterable[Patient]) -> Sameness:
    return _best(_compare_two(one, each) for each in people)


def _best(found: Iterable[Sameness]) -> Sameness:
    return _first_of((Sameness.SAME, Sameness.NEWLY_TRACED, Sameness.OTHER_PATIENT), found)


def _worst(found: Iterable[Sameness]) -> Sameness:
    order = (Sameness.OTHER_PATIENT, Sameness.UNKNOWN_PATIENT, Sameness.NEWLY_TRACED, Sameness.SAME)
    return _first_of(order, found)


def _first_of(order: Sequence[Sameness], found: Iterable[Sameness]) -> Sameness:
    those = set(found)
    return next((each for each in order if each in those), Sameness.UNKNOWN_PATIENT)


def _compare_two(one: Patient, other: Patient) -> Sameness:
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


def has_nhs_number(identifier: Resource) -> bool:
    """Tell whether an identifier is of the system of NHS numbers, however that is spelt."""
    return is_nhs_system(text_of(identifier, "system"))


def is_nhs_system(system: str) -> bool:
    """Tell whether it is the system of NHS numbers: with http, /id/ or capitals as well."""
    return system == NHS_NUMBER_SYSTEM or _bare(system) == _BARE_NHS_NUMBER_SYSTEM


def _bare(system: str) -> str:
    return _SPELLING.sub("", system.strip().lower())


_BARE_NHS_NUMBER_SYSTEM = _bare(NHS_NUMBER_SYSTEM)


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
    return _numbers(_numbers_given(message))


def numbers_where(message: Message, is_meant: Callable[[Resource], bool]) -> list[str]:
    """
    Return where *message* gives its patient an NHS number by an identifier that *is_meant*.

    In a Patient, and wherever a record names by identifier whom it is about: whoever reads that
    record alone goes by that.
    """
    if not any(map(is_meant, _numbers_given(message))):
        return []  # as nearly always: paths are made where somebody reads them
    return [
        where + name
        for where, node in _objects(message.root)
        for name, each in _numbers_by(node)
        if is_meant(each)
    ]


@once
def _numbers_given(message: Message) -> tuple[Resource, ...]:
    return tuple(each for node in message.telling for _, each in _numbers_by(node))


def _numbers_by(node: Resource) -> Iterator[tuple[str, Resource]]:
    """Yield the identifiers by which one object gives an NHS number, and where in it."""
    held = maps_of(node, "identifier") if _is_patient(node) else ()
    named = [(f".identifier[{number}]", each) for number, each in enumerate(held)]
    named += [
        (f"{where}.identifier", map_of(reference, "identifier"))
        for where, reference in _about(node)
        if _may_be_to_a_patient(reference)
    ]
    yield from ((where, each) for where, each in named if has_nhs_number(each))


def _numbers(identifiers: Iterable[Resource]) -> set[str]:
    return {_digits(text_of(each, "value")) for each in identifiers if has_nhs_number(each)} - {""}


def _digits(number: str) -> str:
    """Return the number as it is compared: some write it as on a card, 3-3-4."""
    return _BETWEEN.sub("", number)


def _names(patient: Resource) -> Iterator[tuple[str, str]]:
    """Yield the full names: a family name alone is shared by a household."""
    for name in maps_of(patient, "name"):
        given = name.get("given")
        first = given[0] if isinstance(given, list) and given else None
        words = _words(first) if isinstance(first, str) else []  # Anne-Marie's twin: Anne-Louise
        family = " ".join(_words(_BETWEEN.sub(" ", text_of(name, "family"))))
        if family and words:
            yield family, words[0]


def _words(name: str) -> list[str]:
    """Return the words of a name as they are compared: not every system keeps what is left out."""
    return _NOT_IN_NAMES.sub("", unicodedata.normalize("NFKD", name.casefold())).split()


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
    said = [*numbered_in(record, beside), *map(patient_in, held)]
    if any(each != NOBODY for each in said):
        return said
    return [patient_in(each.resource) for each in patients]


def _references(record: Resource) -> Iterator[str]:
    """Yield what it says that it is about; the reference of an actor may be to a clinician."""
    for _, node in _objects(record):
        yield from filter(None, (text_of(each, "reference") for _, each in _about(node)))


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
