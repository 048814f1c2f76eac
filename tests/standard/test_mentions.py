"""What is seen in all that a message holds is the same, however it was read."""

from typing import Any

import pytest
from generated import a_resource
from hypothesis import HealthCheck, given, settings
from messages import referral, validation_request

from bars_gateway.standard.bundle import from_json
from bars_gateway.standard.mentions import Mentions, mentions_by_type, mentions_in
from bars_gateway.standard.structure import sound
from bars_gateway.standard.tree import objects_in

EDUCATION = {
    "resourceType": "Immunization",
    "status": "completed",
    "vaccineCode": {"text": "x"},
    "patient": {"reference": "Patient/1"},
    "occurrenceString": "x",
    "education": [{"reference": "urn:oid:1.2.3"}],
}
ISSUE = {"resourceType": "DetectedIssue", "status": "final", "reference": "urn:oid:1.2.3"}
EXPRESSION = {"language": "text/cql", "reference": "urn:oid:1.2.3"}
GOVERNED = {"resourceType": "Basic", "code": {"text": "x"}}
GOVERNED |= {"extension": [{"url": "https://gateway.example/x", "valueExpression": EXPRESSION}]}


def seen(tree: Any) -> Mentions:
    found = sound(tree)
    assert found is not None
    return mentions_by_type(found.by_type)


@pytest.mark.parametrize("body", [referral(), validation_request()], ids=["referral", "validation"])
def test_a_message_shows_the_same_by_type(body: bytes) -> None:
    """No second walk is needed to find its references and its Patient."""
    tree = from_json(body)

    assert mentions_in(objects_in(tree)) == seen(tree)


@pytest.mark.parametrize("tree", [EDUCATION, ISSUE, GOVERNED], ids=["education", "issue", "other"])
def test_a_uri_that_r4_calls_reference_is_one(tree: Any) -> None:
    """It stands in a few types beside Reference itself."""
    assert "urn:oid:1.2.3" in seen(tree).references


def test_what_is_referred_to_by_an_identifier_is_seen() -> None:
    """It may say whose something is."""
    tree: Any = from_json(referral())
    tree["entry"][1]["resource"] = EDUCATION | {"patient": {"identifier": {"value": "1"}}}

    assert seen(tree).names_by_identifier


@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(a_resource())
def test_no_reference_is_overlooked(tree: dict[str, Any]) -> None:
    """Whatever type holds it."""
    found = sound(tree)

    assert found is None or mentions_by_type(found.by_type).references == (
        mentions_in(objects_in(tree)).references
    )
