"""Whether two messages are about one patient: the table, from either side."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from messages import referral, validation_request
from variants import keep, resource

from bars_gateway.standard.bundle import Message, read, said_by
from bars_gateway.standard.formats import Format
from bars_gateway.standard.patients import (
    NHS_NUMBER_SYSTEM,
    ONE_PATIENT,
    Patient,
    Sameness,
    compare,
    compare_with,
    is_nhs_number,
    is_placeholder,
    numbered,
    numbers_where,
    numbers_written,
    patient_of,
    sameness_among,
    strangers,
)
from bars_gateway.standard.r4 import ABOUT, members

ONE, OTHER, THIRD = "9990000018", "9990000026", "9990000034"
WRONG = "9990000019"
PLACEHOLDERS = [str(digit) * 10 for digit in range(10)]
TWIN = [{"use": "official", "family": "TESTCASE", "given": ["Martha"]}]
SPELT = [{"use": "official", "family": " Testcase", "given": ["MARY Ann"]}]
MARRIED = [{"use": "official", "family": "NEWNAME", "given": ["Mary"]}]
BOTH_NAMES = [*MARRIED, {"use": "maiden", "family": "TESTCASE", "given": ["Mary"]}]


def message(*numbers: str, **changes: Any) -> Message:
    """Return a referral whose patient has these numbers and members; None takes one out."""
    bundle = json.loads(referral())
    found = resource(bundle, "Patient")
    found |= changes
    kept = found["identifier"][0]
    found["identifier"] = [kept | {"value": number} for number in numbers]
    for name in [name for name, value in changes.items() if value is None]:
        del found[name]
    return read(json.dumps(bundle).encode())


def without_patient() -> Message:
    bundle = json.loads(referral())
    keep(bundle, "ServiceRequest")
    bundle["entry"] = [e for e in bundle["entry"] if e["resource"]["resourceType"] != "Patient"]
    return read(json.dumps(bundle).encode())


def named_in(kind: str, number: str, **patient: Any) -> Message:
    """Return a referral, with one of its records said by number to be somebody's."""
    bundle = json.loads(validation_request())
    identifier = {"system": NHS_NUMBER_SYSTEM, "value": number}
    resource(bundle, kind).setdefault("subject", {})["identifier"] = identifier
    resource(bundle, "Patient").update(patient)
    return read(json.dumps(bundle).encode())


def with_record(record: dict[str, Any], **patient: Any) -> Message:
    """Return a referral with one more record in it."""
    bundle = json.loads(referral())
    bundle["entry"].append({"fullUrl": "urn:uuid:added", "resource": record})
    resource(bundle, "Patient").update(patient)
    return read(json.dumps(bundle).encode())


def record_about(kind: str, member: str, reference: dict[str, Any]) -> dict[str, Any]:
    """Return a record of *kind* (or of a part of one) that says by that member whom it is about."""
    name, *parts = kind.split(".")
    told: Any = {member: [reference] if kind == "Schedule" else reference}
    for part in parts:
        told = {part: [told] if part == "participant" else told}
    return {"resourceType": name, **told}


PLACES = [(kind, member) for member, kinds in ABOUT.items() for kind in sorted(kinds)]
FORMS_OF_REFERENCE = {
    "identifier": {"identifier": {"system": NHS_NUMBER_SYSTEM, "value": OTHER}},
    "relative": {"reference": f"Patient/{OTHER}"},
    "absolute": {"reference": f"https://x.example/FHIR/R4/Patient/{OTHER}/_history/2"},
    "both": {
        "reference": f"Patient/{OTHER}",
        "identifier": {"system": NHS_NUMBER_SYSTEM, "value": ONE},
    },
}


def beside(second: str | None, *, at_the_front: bool = False, **changes: Any) -> Message:
    """Return a referral with a second Patient in it, of that number, or of none."""
    bundle = json.loads(referral())
    found = next(e for e in bundle["entry"] if e["resource"]["resourceType"] == "Patient")
    added = json.loads(json.dumps(found)) | {"fullUrl": "urn:uuid:second"}
    added["resource"]["identifier"][0]["value"] = second or ""
    added["resource"] |= changes
    bundle["entry"].insert(1 if at_the_front else len(bundle["entry"]), added)
    return read(json.dumps(bundle).encode())


S = Sameness
FORMATS = {".json": Format.JSON, ".xml": Format.XML}
ACTING = {"source", "performer"}  # who may be the patient


def named(family: str, given: str) -> Message:
    return message(name=[{"family": family, "given": [given]}])


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        pytest.param(("Müller", "José"), ("MULLER", "Jose"), S.SAME, id="accents"),
        pytest.param(("Mu\u0308ller", "Ann"), ("M\u00fcller", "Ann"), S.SAME, id="in-two"),
        pytest.param(("O'Brien", "Ann"), ("O\u2019Brien", "Ann"), S.SAME, id="apostrophes"),
        pytest.param(("O'Brien", "Ann"), ("OBRIEN", "Ann"), S.SAME, id="no-apostrophe"),
        pytest.param(("Smith-Jones", "Ann"), ("Smith Jones", "Ann"), S.SAME, id="hyphen"),
        pytest.param(
            ("Smith", "Anne-Marie"), ("Smith", "Anne-Louise"), S.OTHER_PATIENT, id="twins"
        ),
        pytest.param(("राम", "Ann"), ("रमा", "Ann"), S.OTHER_PATIENT, id="vowels-are-no-accents"),
    ],
)
def test_a_name_is_the_same_with_or_without_what_systems_leave_out(
    one: tuple[str, str], other: tuple[str, str], expected: S
) -> None:
    """Of the same birth date, where nobody has a number."""
    found = compare(patient_of(named(*one)), patient_of(named(*other)))

    assert expected is found


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        pytest.param(message(ONE), message(ONE), S.SAME, id="one-number"),
        pytest.param(message(ONE), message(ONE, name=TWIN), S.SAME, id="the-number-decides"),
        pytest.param(message(ONE), message(OTHER), S.OTHER_PATIENT, id="another-number"),
        pytest.param(message(ONE), message(ONE, OTHER), S.SAME, id="merged-contains-it"),
        pytest.param(message(ONE), message("999 000 0018"), S.SAME, id="written-as-on-a-card"),
        pytest.param(
            message(ONE, OTHER), message(OTHER, THIRD), S.OTHER_PATIENT, id="overlap-only"
        ),
        pytest.param(message(ONE), message(), S.NEWLY_TRACED, id="traced-since"),
        pytest.param(message(ONE), message(WRONG), S.NEWLY_TRACED, id="wrong-check-digit-is-none"),
        pytest.param(
            message(ONE), message(WRONG, name=TWIN), S.OTHER_PATIENT, id="wrong-digit-of-a-twin"
        ),
        pytest.param(message(WRONG), message(WRONG), S.SAME, id="neither-has-one-names-equal"),
        pytest.param(message(), message(), S.SAME, id="both-without"),
        pytest.param(message(), message(name=TWIN), S.OTHER_PATIENT, id="both-without-a-twin"),
        pytest.param(message(ONE), message(name=SPELT), S.NEWLY_TRACED, id="spelt-otherwise"),
        pytest.param(message(ONE), message(name=BOTH_NAMES), S.NEWLY_TRACED, id="a-maiden-name"),
        pytest.param(message(ONE), message(name=MARRIED), S.OTHER_PATIENT, id="a-married-name"),
        pytest.param(message(ONE), message(name=TWIN), S.OTHER_PATIENT, id="a-twin"),
        pytest.param(
            message(ONE), message(birthDate="1951-02-27"), S.OTHER_PATIENT, id="another-day"
        ),
        pytest.param(message(ONE), message(birthDate="1951"), S.UNKNOWN_PATIENT, id="a-year-only"),
        pytest.param(message(ONE), message(birthDate=None), S.UNKNOWN_PATIENT, id="no-birth-date"),
        pytest.param(message(ONE), message(name=None), S.UNKNOWN_PATIENT, id="no-name"),
        pytest.param(message(ONE), message(name="x"), S.UNKNOWN_PATIENT, id="a-name-that-is-none"),
        pytest.param(message(ONE), without_patient(), S.UNKNOWN_PATIENT, id="no-patient-at-all"),
        pytest.param(without_patient(), without_patient(), S.UNKNOWN_PATIENT, id="neither-has-one"),
        pytest.param(
            message(ONE), named_in("CarePlan", OTHER), S.OTHER_PATIENT, id="another-in-a-record"
        ),
        pytest.param(
            message(ONE),
            named_in("Encounter", OTHER),
            S.OTHER_PATIENT,
            id="another-in-an-encounter",
        ),
        pytest.param(message(ONE), named_in("CarePlan", ONE), S.SAME, id="ours-in-a-record-too"),
        pytest.param(
            message(ONE), named_in("CarePlan", WRONG), S.SAME, id="nobodys-number-in-a-record"
        ),
        pytest.param(
            message(ONE),
            named_in("CarePlan", ONE, identifier=[]),
            S.SAME,
            id="ours-in-a-record-alone",
        ),
        pytest.param(
            named_in("CarePlan", OTHER), named_in("CarePlan", OTHER), S.SAME, id="the-same-two"
        ),
        pytest.param(
            message(ONE, OTHER), named_in("CarePlan", OTHER), S.SAME, id="both-are-one-persons"
        ),
        pytest.param(message(ONE), beside(OTHER), S.OTHER_PATIENT, id="a-second-patient"),
        pytest.param(
            message(ONE), beside(OTHER, at_the_front=True), S.OTHER_PATIENT, id="in-either-order"
        ),
        pytest.param(message(ONE), beside(ONE), S.SAME, id="the-patient-twice"),
        pytest.param(message(ONE), beside(None), S.SAME, id="once-without-the-number"),
        pytest.param(
            message(ONE), beside(None, name=TWIN), S.OTHER_PATIENT, id="a-second-without-number"
        ),
        pytest.param(
            message(ONE), beside(None, name=[]), S.UNKNOWN_PATIENT, id="a-second-of-no-name"
        ),
    ],
)
def test_whether_it_is_the_same_patient(one: Message, other: Message, expected: Sameness) -> None:
    """By NHS number where both have one, else by name and birth date, else nobody knows."""
    assert expected is compare(patient_of(one), patient_of(other))
    assert expected is compare(patient_of(other), patient_of(one))


@pytest.mark.parametrize("form", FORMS_OF_REFERENCE.values(), ids=FORMS_OF_REFERENCE)
@pytest.mark.parametrize(("kind", "member"), PLACES, ids=".".join)
def test_whoever_a_record_is_about_is_named_by_the_message(
    kind: str, member: str, form: dict[str, Any]
) -> None:
    """Wherever R4 has a record say so, by whichever form of reference; and the path is told."""
    found = with_record(record_about(kind, member, form))
    numbers = {n for each in patient_of(found).everybody for n in each.nhs_numbers}

    assert {ONE, OTHER} == numbers
    assert [True] == [f".{member}" in where for where in strangers(found)]


@pytest.mark.parametrize(("kind", "member"), PLACES, ids=".".join)
def test_a_number_is_looked_at_wherever_it_names_the_patient(kind: str, member: str) -> None:
    """Beside a right Patient, too: whoever reads the record alone goes by that."""
    form = {"identifier": {"system": NHS_NUMBER_SYSTEM, "value": WRONG}}
    found = with_record(record_about(kind, member, form))
    (where,) = numbers_where(found, lambda each: each["value"] == WRONG)

    assert {ONE, WRONG} == numbers_written(found)
    assert f".{member}" in where
    assert where.endswith(".identifier")


HELD = {"resourceType": "Patient", "identifier": [{"system": NHS_NUMBER_SYSTEM, "value": WRONG}]}


def test_the_number_of_a_patient_within_a_record_is_looked_at() -> None:
    """As that of the Patient beside it."""
    found = with_record({"resourceType": "CarePlan", "contained": [HELD]})

    assert {ONE, WRONG} == numbers_written(found)
    assert [".contained[0].identifier[0]"] == [
        where[where.index(".contained") :]
        for where in numbers_where(found, lambda each: each["value"] == WRONG)
    ]


@pytest.mark.parametrize(
    "reference",
    [
        pytest.param({"reference": f"Patient/{WRONG}"}, id="an-id"),
        pytest.param({"identifier": {"system": "urn:x", "value": WRONG}}, id="another-system"),
        pytest.param(
            {"type": "Group", "identifier": {"system": NHS_NUMBER_SYSTEM, "value": WRONG}},
            id="of-a-group",
        ),
        pytest.param({"display": WRONG}, id="a-text"),
    ],
)
def test_what_is_not_said_to_be_the_patients_number_is_none(reference: dict[str, Any]) -> None:
    """Ten digits may be any id; nobody is warned of it."""
    assert {ONE} == numbers_written(with_record(record_about("Task", "for", reference)))


@pytest.mark.parametrize(
    "reference",
    [
        pytest.param({"reference": f"Patient/{ONE}"}, id="ours"),
        pytest.param({"reference": f"Practitioner/{OTHER}"}, id="no-patient"),
        pytest.param({"reference": f"Patient/{OTHER}", "type": "Group"}, id="said-to-be-a-group"),
        pytest.param({"reference": f"Patient/{WRONG}"}, id="no-nhs-number"),
        pytest.param({"reference": f"Patient/{PLACEHOLDERS[0]}"}, id="a-placeholder"),
        pytest.param({"reference": f"urn:uuid:{OTHER}"}, id="no-type"),
        pytest.param({"reference": "#p"}, id="contained"),
    ],
)
def test_what_names_nobody_else(reference: dict[str, Any]) -> None:
    """An id is a number only where a Patient is referred to by it, and it can be one."""
    found = with_record(record_about("Task", "for", reference))

    assert () == patient_of(found).beside


THEIRS = {"identifier": {"system": NHS_NUMBER_SYSTEM, "value": OTHER}}
TYPES = "http://hl7.org/fhir/StructureDefinition"
MOTHER = {"resourceType": "RelatedPerson", "identifier": [THEIRS["identifier"]]}


def booked_with(reference: dict[str, Any], *, held: dict[str, Any] | None = None) -> Message:
    """Return a referral with an Appointment of somebody, and with a mother and what is *held*."""
    bundle = json.loads(referral())
    appointment = record_about("Appointment.participant", "actor", reference)
    appointment |= {"contained": [held]} if held else {}
    bundle["entry"].append({"fullUrl": "urn:uuid:added", "resource": appointment})
    bundle["entry"].append({"fullUrl": "urn:uuid:mother", "resource": MOTHER})
    return read(json.dumps(bundle).encode())


@pytest.mark.parametrize(
    ("reference", "held"),
    [
        pytest.param(THEIRS | {"type": "RelatedPerson"}, None, id="said"),
        pytest.param(THEIRS | {"type": f"{TYPES}/RelatedPerson"}, None, id="said-in-full"),
        pytest.param(THEIRS | {"reference": "RelatedPerson/m"}, None, id="by-its-reference"),
        pytest.param(
            THEIRS | {"reference": "https://x.example/RelatedPerson/m"}, None, id="by-its-address"
        ),
        pytest.param(THEIRS | {"reference": "urn:uuid:mother"}, None, id="beside"),
        pytest.param(THEIRS | {"reference": "#m"}, MOTHER | {"id": "m"}, id="within"),
        pytest.param(THEIRS, None, id="by-her-number"),
    ],
)
def test_a_relative_has_a_number_of_their_own(
    reference: dict[str, Any], held: dict[str, Any] | None
) -> None:
    """A mother who takes part may be told by what she is referred to, without a type."""
    found = patient_of(booked_with(reference, held=held))

    assert ({ONE}, ()) == (found.nhs_numbers, found.beside)


@pytest.mark.parametrize(
    ("kind", "member", "reference"),
    [
        pytest.param(
            "Appointment.participant", "actor", {"type": f"{TYPES}/Patient"}, id="said-in-full"
        ),
        pytest.param(
            "Appointment.participant",
            "actor",
            {"type": "Patient", "reference": "RelatedPerson/m"},
            id="said",
        ),
        pytest.param("Task", "for", {}, id="of-whom-a-record-is"),
        pytest.param(
            "Appointment.participant",
            "actor",
            {"reference": "https://x.example/id/1"},
            id="no-type",
        ),
    ],
)
def test_who_may_be_a_patient_is_looked_at(
    kind: str, member: str, reference: dict[str, Any]
) -> None:
    """Whatever does not say that it is somebody or something else."""
    found = with_record(record_about(kind, member, THEIRS | reference))

    assert 1 == len(patient_of(found).beside)


def test_a_record_is_not_about_a_relative_whose_number_it_gives() -> None:
    """A mother who is a RelatedPerson is whom an actor may be, and a subject never."""
    bundle = json.loads(referral())
    task = record_about("Task", "for", THEIRS)
    bundle["entry"].append({"fullUrl": "urn:uuid:added", "resource": task})
    bundle["entry"].append({"fullUrl": "urn:uuid:mother", "resource": MOTHER})

    assert 1 == len(patient_of(read(json.dumps(bundle).encode())).beside)


@pytest.mark.parametrize("by", [{"id": OTHER}, {}], ids=["its-id", "its-url"])
def test_the_id_of_a_patient_in_the_message_is_that_patients(by: dict[str, str]) -> None:
    """Some number their patients with ten digits: whose that is, the Patient itself says."""
    bundle = json.loads(referral())
    patient = next(e for e in bundle["entry"] if e["resource"]["resourceType"] == "Patient")
    patient["fullUrl"] = f"https://x.example/Patient/{OTHER}"
    patient["resource"] |= by
    task = record_about("Task", "for", {"reference": f"Patient/{OTHER}"})
    bundle["entry"].append({"fullUrl": "urn:uuid:added", "resource": task})
    found = patient_of(read(json.dumps(bundle).encode()))

    assert ({ONE}, ()) == (found.nhs_numbers, found.beside)


def test_whose_a_message_is_is_found_out_once() -> None:
    """Rules, remarks and the store ask for it, each for itself; two messages share nothing."""
    one, other = message(ONE), message(OTHER)

    assert patient_of(one) is patient_of(one)
    assert (numbered(ONE).nhs_numbers, numbered(OTHER).nhs_numbers) == (
        patient_of(one).nhs_numbers,
        patient_of(other).nhs_numbers,
    )


@pytest.mark.parametrize(("kind", "member"), PLACES, ids=".".join)
def test_each_place_is_a_reference_of_r4(kind: str, member: str) -> None:
    """The table names elements that there are."""
    assert "Reference" == members(kind)[member].type


@pytest.mark.exhaustive
@pytest.mark.reference_data
def test_no_published_message_names_two_patients(reference_data: Path) -> None:
    """Each is about one: a place that were read wrongly would make two of them."""
    files = (reference_data / "examples" / "messages").rglob("*")
    found = [read(f.read_bytes(), FORMATS[f.suffix]) for f in files if f.suffix in FORMATS]
    messages = [each for each in found if each.event]

    assert 40 < len(messages)
    assert [] == [each.bundle_id for each in messages if patient_of(each).beside]


@pytest.mark.reference_data
def test_every_place_that_is_published_is_read(reference_data: Path) -> None:
    """Whatever refers to a Patient by that name says whom it is about, or who acted."""
    found: set[str] = set()
    for file in (reference_data / "examples").rglob("*.json"):
        found |= set(_referring(json.loads(file.read_bytes())))

    assert {"subject", "patient", "actor"} <= found
    assert set() == found - ABOUT.keys() - ACTING


def _referring(tree: Any) -> Iterator[str]:
    """Yield the names of the members that refer to a Patient of the Bundle."""
    patients = {
        each["fullUrl"]
        for each in tree.get("entry", ())
        if each["resource"]["resourceType"] == "Patient" and "fullUrl" in each
    }
    level: list[tuple[str, Any]] = [("", tree)]
    for name, node in level:
        if isinstance(node, list):
            level += [(name, each) for each in node]
        elif isinstance(node, dict):
            level += node.items()
            reference = str(node.get("reference"))
            if reference in patients or "Patient/" in reference:
                yield name


def test_who_was_traced_is_known_by_what_was_said_before_and_after() -> None:
    """One message that names both numbers is about nobody else; one of them alone is neither."""
    known = [patient_of(message(ONE)), patient_of(message(OTHER))]
    both, third = named_in("CarePlan", OTHER), named_in("CarePlan", THIRD)

    assert S.SAME is compare_with(patient_of(both), known)
    assert S.SAME is compare_with(patient_of(message(OTHER)), known)
    assert S.OTHER_PATIENT is compare_with(patient_of(third), known)
    assert S.OTHER_PATIENT is compare_with(patient_of(message(ONE)), [patient_of(both)])
    assert S.UNKNOWN_PATIENT is compare_with(patient_of(message(ONE)), [])


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        pytest.param(message(ONE), S.UNKNOWN_PATIENT, id="the-first"),
        pytest.param(message(OTHER), S.UNKNOWN_PATIENT, id="the-second"),
        pytest.param(named_in("CarePlan", OTHER), S.SAME, id="both"),
        pytest.param(message(THIRD), S.OTHER_PATIENT, id="neither"),
        pytest.param(named_in("CarePlan", THIRD), S.OTHER_PATIENT, id="one-and-a-stranger"),
    ],
)
def test_who_is_one_of_two_that_were_named_is_no_stranger(
    later: Message, expected: Sameness
) -> None:
    """Nobody can tell which of the two is meant; that it is another patient is not so."""
    first = patient_of(named_in("CarePlan", OTHER))

    assert expected is sameness_among(patient_of(later), [first])


@pytest.mark.exhaustive
def test_a_message_that_names_everybody_is_looked_at_in_no_time() -> None:
    """Ten thousand people in one message are no work: after a few it is nobody's."""
    bundle = json.loads(referral())
    (plan,) = (e for e in bundle["entry"] if e["resource"]["resourceType"] == "CarePlan")
    people = [
        {
            "resourceType": "CarePlan",
            "subject": {"identifier": {"system": NHS_NUMBER_SYSTEM, "value": n}},
        }
        for n in (str(number) for number in range(9_000_000_000, 9_000_100_000))
        if is_nhs_number(n)
    ]
    bundle["entry"] += [plan | {"resource": each} for each in people]

    assert len(people) > 5_000
    assert 16 == len(patient_of(said_by(bundle)).everybody)


@pytest.mark.parametrize("placeholder", PLACEHOLDERS)
def test_a_placeholder_is_nobodys_number(placeholder: str) -> None:
    """Any one digit ten times checks, and two strangers who have it are not one person."""
    strangers = message(placeholder), message(placeholder, name=TWIN, birthDate="1962-03-04")

    assert is_placeholder(placeholder)
    assert not is_nhs_number(placeholder)
    assert Sameness.OTHER_PATIENT is compare(*map(patient_of, strangers))


@pytest.mark.parametrize(
    "system",
    [
        "http://fhir.nhs.uk/Id/nhs-number",
        "https://fhir.nhs.uk/id/nhs-number",
        "HTTPS://FHIR.NHS.UK/Id/NHS-Number",
        " https://fhir.nhs.uk/Id/nhs-number/",
    ],
)
def test_a_number_is_seen_however_its_system_is_spelt(system: str) -> None:
    """What were passed over for its spelling would hide that it is another patient's."""
    bundle = json.loads(referral())
    resource(bundle, "Patient")["identifier"][0].update(system=system, value=OTHER)

    assert S.OTHER_PATIENT is compare(
        patient_of(message(ONE)), patient_of(read(json.dumps(bundle).encode()))
    )


@pytest.mark.parametrize(
    "system",
    [
        "https://fhir.nhs.uk/Id/nhs-numbers",
        "https://x.example/Id/nhs-number",
        "",
        "ftp://fhir.nhs.uk/Id/nhs-number",
    ],
)
def test_a_number_of_another_system_is_no_nhs_number(system: str) -> None:
    """A hospital's own number may have ten digits as well."""
    bundle = json.loads(referral())
    resource(bundle, "Patient")["identifier"][0]["system"] = system

    assert frozenset() == patient_of(read(json.dumps(bundle).encode())).nhs_numbers


@pytest.mark.parametrize("number", ["", "999000001", "99900000180", WRONG, "١٢٣٤٥٦٧٨٩٠", "one"])
def test_what_is_no_number(number: str) -> None:
    """What cannot be issued proves nothing about anybody."""
    assert not is_nhs_number(number)
    assert patient_of(message(number)).nhs_numbers == frozenset()


def test_only_two_answers_say_that_it_is_one_patient() -> None:
    """Where nobody can tell, nothing is taken for granted."""
    assert {Sameness.SAME, Sameness.NEWLY_TRACED} == ONE_PATIENT


def test_nothing_shows_a_patient_by_accident() -> None:
    """What is compared may end up in a traceback; number, name and birth date may not."""
    assert "Patient()" == repr(patient_of(message(ONE)))
    assert "Patient()" == repr(patient_of(named_in("CarePlan", OTHER)))
    assert Patient() != patient_of(message(ONE))
