"""Which of the records that a Receiver shows is the one that our message made."""

import json
from typing import Any

import pytest
from variants import a_referral, resource

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
