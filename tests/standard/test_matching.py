"""Which of the records that a Receiver shows is the one that our message made."""

import json
from typing import Any

import pytest
from messages import FAMILY, NHS_NUMBER
from variants import a_booking, a_referral, resource

from bars_gateway.standard.bundle import Message, read
from bars_gateway.standard.matching import matches


def ours(authored_on: str) -> Message:
    bundle = a_referral()
    resource(bundle, "ServiceRequest")["authoredOn"] = authored_on
    return read(json.dumps(bundle).encode())


def shown(*authored_on: str) -> Message:
    records: list[dict[str, Any]] = [
        {"resource": {"resourceType": "ServiceRequest", "id": str(number), "authoredOn": moment}}
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
    assert ["0"] == matches(ours("2026-03-02T09:00:00.1239000+00:00"), shown(kept))


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
    found = matches(ours(f"2026-03-02T{written}Z"), shown(f"2026-03-02T{kept}Z"))

    assert ["0"] == found


@pytest.mark.parametrize(
    "kept", ["09:00:01", "08:59:59", "09:00:00.122", "09:00:00.5", "09:00:00.1"]
)
def test_another_instant_is_not_ours(kept: str) -> None:
    """However near it is: a wrong id cancels somebody else's referral."""
    assert [] == matches(ours("2026-03-02T09:00:00.1239Z"), shown(f"2026-03-02T{kept}Z"))


def test_the_very_instant_counts_before_a_rounded_one() -> None:
    """Whoever keeps all digits shows which of two within a second it is."""
    found = shown("2026-03-02T09:00:00Z", "2026-03-02T09:00:00.1239Z")

    assert ["1"] == matches(ours("2026-03-02T09:00:00.1239Z"), found)


def test_two_that_were_cut_to_the_same_are_two() -> None:
    """A person asks which one it is."""
    found = shown("2026-03-02T09:00:00Z", "2026-03-02T09:00:00Z")

    assert ["0", "1"] == matches(ours("2026-03-02T09:00:00.1239Z"), found)


MOMENT, END = "2026-03-02T09:00:00Z", "2026-03-02T09:15:00Z"
NUMBER = "https://fhir.nhs.uk/Id/nhs-number"
PATIENT = "urn:uuid:0b6a2a55-5c1e-4bb6-8a57-1f2f9ac5d777"


def with_number(*numbers: str) -> dict[str, Any]:
    return {"identifier": [{"system": NUMBER, "value": each} for each in numbers]}


def named(number: str) -> dict[str, Any]:
    return {"type": "Patient", "identifier": {"system": NUMBER, "value": number}}


def beside(subject: dict[str, Any], **patient: Any) -> Message:
    """Show our referral's instant under an id, of *subject*, with a Patient in the searchset."""
    record = {
        "resourceType": "ServiceRequest",
        "id": "0",
        "authoredOn": MOMENT,
        "subject": subject,
    }
    entries = [
        {"resource": record},
        {"fullUrl": PATIENT, "resource": {"resourceType": "Patient", **patient}},
    ]
    return read(json.dumps({"resourceType": "Bundle", "entry": entries}).encode())


REFERS: dict[str, Any] = {"reference": PATIENT}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(beside(named(NHS_NUMBER)), ["0"], id="by-its-number"),
        pytest.param(beside(named("999 000 0018")), ["0"], id="as-on-a-card"),
        pytest.param(beside(named("0000000000")), ["0"], id="a-placeholder-says-nothing"),
        pytest.param(beside(named("9990000026")), [], id="by-anothers-number"),
        pytest.param(beside(REFERS, **with_number(NHS_NUMBER, "9990000026")), ["0"], id="merged"),
        pytest.param(beside(REFERS, **with_number("9990000026")), [], id="another-beside-it"),
        pytest.param(
            beside(REFERS, name=[{"family": "Other", "given": ["One"]}], birthDate="1950-01-31"),
            [],
            id="another-without-a-number",
        ),
        pytest.param(beside(REFERS, name=[{"family": FAMILY}]), ["0"], id="too-little-to-compare"),
    ],
)
def test_a_record_of_another_patient_is_not_ours(found: Message, expected: list[str]) -> None:
    """Though it was made at the very instant: whose it is, is decided as everywhere."""
    assert expected == matches(ours(MOMENT), found)


@pytest.mark.parametrize(("number", "expected"), [(NHS_NUMBER, ["0"]), ("9990000026", [])])
def test_a_booking_of_another_patient_is_not_ours(number: str, expected: list[str]) -> None:
    """An Appointment names its patient among the participants."""
    bundle = a_booking()
    resource(bundle, "Appointment").update(start=MOMENT, end=END)
    record = {
        "resourceType": "Appointment",
        "id": "0",
        "start": MOMENT,
        "end": END,
        "participant": [{"actor": named(number)}],
    }
    found = read(json.dumps({"resourceType": "Bundle", "entry": [{"resource": record}]}).encode())

    assert expected == matches(read(json.dumps(bundle).encode()), found)
