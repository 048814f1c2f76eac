"""What later messages are held against, and what tells two workflows apart."""

import json
from typing import Any

import pytest
from messages import referral
from variants import resource

from bars_gateway.standard.bundle import read
from bars_gateway.standard.consistency import CaseDetails, case_details_of, same_case, same_journey
from bars_gateway.standard.patients import Patient, patient_of


def numbered(*numbers: str) -> Patient:
    return Patient(nhs_numbers=frozenset(numbers))


def of(**changes: Any) -> CaseDetails:
    values: dict[str, Any] = {"patient": numbered("9990000018"), "use_case": "a4t1"}
    return CaseDetails(**(values | changes))


def test_a_message_says_it_in_its_patient_and_encounters() -> None:
    """An empty case number says nothing."""
    bundle = json.loads(referral(nhs_number="9990000018", use_case="a1t2"))
    encounter = resource(bundle, "Encounter")
    encounter["identifier"] = [{"value": "S-1"}, {"value": ""}, {"system": "urn:x"}]
    encounter["episodeOfCare"] = [{"reference": "EpisodeOfCare/j-1"}]
    message = read(json.dumps(bundle).encode())
    found = case_details_of(message)

    assert (
        of(
            patient=patient_of(message),
            use_case="a1t2",
            case_numbers=frozenset({"S-1"}),
            journey_id="j-1",
        )
        == found
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        pytest.param({"S-1", "R-1"}, {"S-1"}, True, id="one-in-common"),
        pytest.param({"S-1"}, {"S-2"}, False, id="others"),
        pytest.param(set(), set(), False, id="none"),
    ],
)
def test_a_case_is_known_by_one_of_its_numbers(
    *, ours: set[str], theirs: set[str], expected: bool
) -> None:
    """The Sender's or the Receiver's, whichever comes back."""
    one, other = of(case_numbers=frozenset(ours)), of(case_numbers=frozenset(theirs))

    assert expected is same_case(one, other)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, True, id="both"),
        pytest.param({"journey_id": "j-2"}, False, id="another-journey"),
        pytest.param({"journey_id": None}, False, id="no-journey"),
        pytest.param({"patient": numbered()}, False, id="no-nhs-number"),
        pytest.param({"patient": numbered("9990000026")}, False, id="another-patient"),
    ],
)
def test_a_journey_counts_with_its_patient(*, changes: dict[str, Any], expected: bool) -> None:
    """It spans organisations, and is as good as whoever minted it."""
    assert expected is same_journey(of(journey_id="j-1"), of(**({"journey_id": "j-1"} | changes)))
    assert not same_journey(of(), of())
