"""Which of the records that a Receiver shows is the one that our message made."""

import json
from dataclasses import replace
from typing import Any

import pytest
from messages import FAMILY, NHS_NUMBER
from variants import a_booking, a_referral, resource

from bars_gateway.standard.bundle import Message, read
from bars_gateway.standard.findings import Matched, Reconciliation, matched, search_of
from bars_gateway.standard.patients import NHS_NUMBER_SYSTEM

FOUND = Matched(result=Reconciliation.FOUND, focus_id="0")
NONE = Matched(result=Reconciliation.NONE)
UNNAMED = Matched(result=Reconciliation.UNNAMED)
OURS = "urn:uuid:5a0f3a52-8f13-4b9c-9c1e-2b7a64a10ddd"


def ours(authored_on: str, **changes: object) -> Message:
    bundle = a_referral()
    resource(bundle, "ServiceRequest").update(authoredOn=authored_on, **changes)
    patient = next(e for e in bundle["entry"] if e["resource"]["resourceType"] == "Patient")
    patient["fullUrl"] = OURS
    return read(json.dumps(bundle).encode())


def shown(*authored_on: str) -> Message:
    """Show records that refer to the Patient that we sent, as the guide's answers do."""
    kept = {"resourceType": "ServiceRequest", "subject": {"reference": OURS}}
    records: list[dict[str, Any]] = [
        {"resource": {**kept, "id": str(number), "authoredOn": moment}}
        for number, moment in enumerate(authored_on)
    ]
    return read(json.dumps({"resourceType": "Bundle", "entry": records}).encode())


@pytest.mark.parametrize(
    "kept",
    [
        "2026-03-02T09:00:00.1239+00:00",
        "2026-03-02T10:00:00.1239+01:00",
        "2026-03-02T09:00:00.123Z",
        "2026-03-02T09:00:00.124Z",
        "2026-03-02T09:00:00Z",
    ],
)
def test_what_was_cut_or_rounded_is_still_ours(kept: str) -> None:
    """Databases keep microseconds, milliseconds or whole seconds."""
    assert FOUND == matched(ours("2026-03-02T09:00:00.1239000+00:00"), shown(kept))


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("09:00:00.1234567", "09:00:00.123457"),
        ("09:00:00.9999999", "09:00:01"),
        ("09:00:00.9999999", "09:00:01.000"),
        ("09:00:00.6", "09:00:01"),
        ("09:00:00.6", "09:00:00"),
    ],
)
def test_seven_digits_are_rounded_to_fewer(written: str, kept: str) -> None:
    """Up, into the next second too."""
    found = matched(ours(f"2026-03-02T{written}Z"), shown(f"2026-03-02T{kept}Z"))

    assert FOUND == found


@pytest.mark.parametrize(
    "kept", ["09:00:01", "08:59:59", "09:00:00.122", "09:00:00.5", "09:00:00.1"]
)
def test_another_instant_is_not_ours(kept: str) -> None:
    """However near it is: a wrong id cancels somebody else's referral."""
    assert NONE == matched(ours("2026-03-02T09:00:00.1239Z"), shown(f"2026-03-02T{kept}Z"))


def test_the_very_instant_counts_before_a_rounded_one() -> None:
    """Whoever keeps all digits shows which of two within a second it is."""
    found = shown("2026-03-02T09:00:00Z", "2026-03-02T09:00:00.1239Z")

    assert replace(FOUND, focus_id="1") == matched(ours("2026-03-02T09:00:00.1239Z"), found)


def test_two_that_were_cut_to_the_same_are_two() -> None:
    """A person asks which one it is."""
    found = shown("2026-03-02T09:00:00Z", "2026-03-02T09:00:00Z")

    assert Matched(result=Reconciliation.SEVERAL) == matched(
        ours("2026-03-02T09:00:00.1239Z"), found
    )


MOMENT, END = "2026-03-02T09:00:00Z", "2026-03-02T09:15:00Z"
NUMBER = "https://fhir.nhs.uk/Id/nhs-number"
PATIENT = "urn:uuid:0b6a2a55-5c1e-4bb6-8a57-1f2f9ac5d777"
ANOTHER = "9990000026"
SOMEBODY: dict[str, Any] = {
    "name": [{"family": "Other", "given": ["One"]}],
    "birthDate": "1950-01-31",
}


def with_number(*numbers: str, system: str = NUMBER) -> dict[str, Any]:
    return {"identifier": [{"system": system, "value": each} for each in numbers]}


def named(number: str, system: str = NUMBER) -> dict[str, Any]:
    return {"type": "Patient", "identifier": {"system": system, "value": number}}


def to(reference: str) -> dict[str, Any]:
    return {"reference": reference}


def beside(
    subject: dict[str, Any], url: str = PATIENT, contained: object = None, **patient: Any
) -> Message:
    """Show our referral's instant under an id, of *subject*, with a Patient in the searchset."""
    record = {
        "resourceType": "ServiceRequest",
        "id": "0",
        "authoredOn": MOMENT,
        "subject": subject,
        "contained": [{"resourceType": "Patient", **contained}] if contained else [],
    }
    entries = [
        {"resource": record},
        {"fullUrl": url, "resource": {"resourceType": "Patient", **patient}},
    ]
    return read(json.dumps({"resourceType": "Bundle", "entry": entries}).encode())


REFERS = to(PATIENT)
OF_US, OF_ANOTHER = with_number(NHS_NUMBER), with_number(ANOTHER)
ABSOLUTE = "https://x.example/Patient/p1"


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(beside(named(NHS_NUMBER)), id="by-its-number"),
        pytest.param(beside(named("999 000 0018")), id="as-on-a-card"),
        pytest.param(beside(named("999\u00a0000\u20110018")), id="with-spaces-of-another-kind"),
        pytest.param(beside(named(NHS_NUMBER, NUMBER.replace("https", "http"))), id="http"),
        pytest.param(beside(named(NHS_NUMBER, NUMBER.lower())), id="lower-case"),
        pytest.param(beside(REFERS, **with_number(NHS_NUMBER, ANOTHER)), id="merged"),
        pytest.param(
            beside({**REFERS, **named(ANOTHER)}, **with_number(NHS_NUMBER, ANOTHER)),
            id="merged-and-named-by-the-newer-number",
        ),
        pytest.param(beside(to(f"Patient/{NHS_NUMBER}")), id="by-its-number-as-an-id"),
        pytest.param(beside(to(f"Patient/{ANOTHER}"), id=ANOTHER, **OF_US), id="an-id-like-one"),
        pytest.param(beside(to("Patient/p1"), id="p1", **OF_US), id="by-type-and-id"),
        pytest.param(beside(to(ABSOLUTE), url=ABSOLUTE, **OF_US), id="absolute"),
        pytest.param(beside(to("#p"), contained=OF_US), id="contained"),
        pytest.param(beside(to("Patient/p1"), **OF_US), id="the-only-one-that-came-with-it"),
        pytest.param(beside(to(OURS)), id="the-patient-that-we-sent"),
        pytest.param(
            beside(named(NHS_NUMBER), **OF_ANOTHER), id="another-beside-it-of-whom-it-is-not"
        ),
    ],
)
def test_a_record_that_shows_our_patient_is_ours(found: Message) -> None:
    """In whatever way, and however the number and its system are spelt."""
    assert FOUND == matched(ours(MOMENT), found)


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(beside(named(ANOTHER)), id="by-number"),
        pytest.param(beside(named(ANOTHER, NUMBER.replace("https", "http"))), id="http"),
        pytest.param(beside(named(ANOTHER, NUMBER.lower())), id="lower-case"),
        pytest.param(beside(to(f"Patient/{ANOTHER}")), id="by-number-as-an-id"),
        pytest.param(beside(REFERS, **OF_ANOTHER), id="beside-it"),
        pytest.param(beside(to("Patient/p1"), id="p1", **OF_ANOTHER), id="by-type-and-id"),
        pytest.param(
            beside(to("Patient/p1"), url=ABSOLUTE, **OF_ANOTHER), id="by-the-end-of-its-url"
        ),
        pytest.param(
            beside(to("https://y.example/Patient/p1/_history/2"), id="p1", **OF_ANOTHER),
            id="of-a-version",
        ),
        pytest.param(
            beside(to("urn:uuid:" + PATIENT[9:].upper()), id=PATIENT[9:], url="x", **OF_ANOTHER),
            id="by-id",
        ),
        pytest.param(beside(to("#p"), contained=OF_ANOTHER), id="contained"),
        pytest.param(beside(to("Patient/p1"), **OF_ANOTHER), id="the-only-one-that-came-with-it"),
        pytest.param(beside(to(OURS), **OF_ANOTHER), id="ours-referred-to-and-another-shown"),
        pytest.param(beside(named(NHS_NUMBER), contained=OF_ANOTHER), id="ours-and-another"),
        pytest.param(beside(REFERS, **SOMEBODY), id="without-a-number"),
        pytest.param(beside(to("#p"), contained=SOMEBODY), id="contained-without-a-number"),
    ],
)
def test_a_record_of_another_patient_is_not_ours(found: Message) -> None:
    """Though it was made at the very instant: whose it is, is decided as everywhere."""
    assert NONE == matched(ours(MOMENT), found)


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(beside(named("0000000000")), id="a-placeholder"),
        pytest.param(beside(named("9990000019")), id="a-wrong-check-digit"),
        pytest.param(beside(REFERS, name=[{"family": FAMILY}]), id="too-little-to-compare"),
        pytest.param(beside(to("Patient/p1")), id="nobody-shown"),
        pytest.param(beside({}), id="nobody-at-all"),
    ],
)
def test_a_record_that_does_not_show_whose_it_is_is_nobodys(found: Message) -> None:
    """What two patients share (an incident's number, a time) would make one out of them."""
    assert UNNAMED == matched(ours(MOMENT), found)


CASE = [{"system": "https://cad.example/incident", "value": "INC-1"}]


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (named(NHS_NUMBER), FOUND),
        (named(ANOTHER), NONE),
        (to("Patient/p1"), UNNAMED),
        (to(OURS), FOUND),
    ],
)
def test_two_patients_may_share_the_number_of_an_incident(
    subject: dict[str, Any], expected: Matched
) -> None:
    """So it proves that a record is ours only together with our patient."""
    record = {"resourceType": "ServiceRequest", "id": "0", "identifier": CASE, "subject": subject}
    found = read(json.dumps({"resourceType": "Bundle", "entry": [{"resource": record}]}).encode())

    assert expected == matched(ours(MOMENT, identifier=CASE), found)


@pytest.mark.parametrize(
    ("actor", "expected"),
    [
        (named(NHS_NUMBER), FOUND),
        (named(ANOTHER), NONE),
        (to("Patient/p1"), NONE),
        (to("Practitioner/p1"), NONE),
        (to("#p"), NONE),
    ],
)
def test_a_booking_of_another_patient_is_not_ours(actor: dict[str, Any], expected: Matched) -> None:
    """An Appointment names its patient among the participants, by number or by reference."""
    bundle = a_booking()
    resource(bundle, "Appointment").update(start=MOMENT, end=END)
    contained = [{"resourceType": "Patient", "id": "p", **OF_ANOTHER}]
    record = {
        "resourceType": "Appointment",
        "id": "0",
        "start": MOMENT,
        "end": END,
        "participant": [{"actor": actor}],
        "contained": contained if actor == to("#p") else [],
    }
    patient = {"resource": {"resourceType": "Patient", "id": "p1", **OF_ANOTHER}}
    entries = [{"resource": record}, *([patient] if "reference" in actor else [])]
    found = read(json.dumps({"resourceType": "Bundle", "entry": entries}).encode())

    assert expected == matched(read(json.dumps(bundle).encode()), found)


@pytest.mark.parametrize(
    "status", ["revoked", "completed", "entered-in-error", "active", "on-hold", "draft", None]
)
def test_a_record_that_is_over_is_told_as_that(status: str | None) -> None:
    """It is there: but that nobody acts on it any more must not read as a success."""
    found = beside(named(NHS_NUMBER))
    resource(found.root, "ServiceRequest")["status"] = status
    over = status in {"revoked", "completed", "entered-in-error"}
    expected = replace(FOUND, result=Reconciliation.OVER, status=status) if over else FOUND

    assert expected == matched(ours(MOMENT), found)


def test_of_two_that_fit_none_is_chosen_for_its_status() -> None:
    """One that is over and one that stands are two: a person asks."""
    found = shown(MOMENT, MOMENT)
    resource(found.root, "ServiceRequest")["status"] = "revoked"

    assert Matched(result=Reconciliation.SEVERAL) == matched(ours(MOMENT), found)


WRONG_DIGIT, PLACEHOLDER, OTHER = "9990000019", "0000000000", "9990000026"


@pytest.mark.parametrize(
    ("own", "in_a_record", "searched"),
    [
        pytest.param(NHS_NUMBER, None, NHS_NUMBER, id="the-patients"),
        pytest.param(NHS_NUMBER, NHS_NUMBER, NHS_NUMBER, id="twice-the-same"),
        pytest.param(NHS_NUMBER, PLACEHOLDER, NHS_NUMBER, id="beside-a-placeholder"),
        pytest.param(NHS_NUMBER, WRONG_DIGIT, NHS_NUMBER, id="beside-a-wrong-one"),
        pytest.param(None, NHS_NUMBER, NHS_NUMBER, id="in-a-record-alone"),
        pytest.param(WRONG_DIGIT, None, WRONG_DIGIT, id="a-wrong-one-alone"),
        pytest.param(NHS_NUMBER, OTHER, None, id="two-patients"),
        pytest.param(PLACEHOLDER, None, None, id="a-placeholder-alone"),
        pytest.param(None, None, None, id="none"),
    ],
)
def test_a_record_is_looked_for_by_the_one_number_that_there_is(
    own: str | None, in_a_record: str | None, searched: str | None
) -> None:
    """Of two people nobody can tell which is meant: then a person looks."""
    bundle = a_referral()
    identifiers = resource(bundle, "Patient")["identifier"]
    resource(bundle, "Patient")["identifier"] = [each | {"value": own} for each in identifiers]
    if own is None:
        del resource(bundle, "Patient")["identifier"]
    if in_a_record:
        named = {"identifier": {"system": NHS_NUMBER_SYSTEM, "value": in_a_record}}
        resource(bundle, "ServiceRequest")["subject"] |= named
    found = search_of(read(json.dumps(bundle).encode()))

    assert searched == (found.identifier.rpartition("|")[2] if found else None)
