"""What a service publishes that it takes, held against a message."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from messages import RECEIVER, referral

from bars_gateway.standard.answers import Outcome
from bars_gateway.standard.bundle import from_json, read
from bars_gateway.standard.formats import Format, to_bytes
from bars_gateway.standard.message_definitions import Asked, searchset
from bars_gateway.standard.offer import Offer
from bars_gateway.standard.targets import are_believable, objection, unreachable

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def published(**applications: list[str]) -> Mapping[str, Any]:
    offer = Offer(services=frozenset({RECEIVER}), applications=applications)
    bundle = searchset(Asked(RECEIVER, frozenset()), offer, "https://x", NOW)
    return from_json(to_bytes(bundle, Format.JSON))


@pytest.mark.parametrize(
    ("offered", "place"),
    [
        ({"a1": ["2.0.0"]}, None),
        ({"a1": ["1.0.0", "2.0.0"]}, None),
        ({"a1": ["2.1.3"]}, None),
        ({"a1": ["10.0.0"]}, "Bundle.meta.versionId"),
        ({"a1": ["1.0.0"]}, "Bundle.meta.versionId"),
        ({"a5": ["2.0.0"]}, "ServiceRequest.category"),
        ({"a4": ["2.0.0"]}, "MessageHeader.definition"),
        ({}, None),
    ],
)
def test_an_objection_names_what_is_not_taken(
    offered: dict[str, list[str]], place: str | None
) -> None:
    """The definition, its major version, or the use case; nothing published is no objection."""
    found = objection(read(referral()), published(**offered))

    assert place == (found and found.path)


def test_a_use_case_of_another_version_is_none_of_this_one() -> None:
    """Of what a service publishes only the versions count that the message could be of."""
    first, second = published(a1=["1.0.0"]), published(a5=["2.0.0"])
    both = {"entry": [*first["entry"], *second["entry"]]}
    found = objection(read(referral()), both)

    assert found is not None
    assert "ServiceRequest.category" == found.path


@pytest.mark.parametrize(("kind", "expected"), [("Patient", True), ("Invoice", False)])
def test_what_asks_for_a_foreign_resource_is_not_believed(kind: str, *, expected: bool) -> None:
    """No message of BaRS holds an Invoice: whoever wants one publishes something else."""
    definition = {"resourceType": "MessageDefinition", "focus": [{"code": kind}]}

    assert expected is are_believable({"entry": [{"resource": definition}]})


@pytest.mark.parametrize(
    ("code", "issue", "expected"),
    [
        ("PROXY_NOT_FOUND", "not-found", "not-found"),
        ("NOT_FOUND", "multiple-matches", "multiple-matches"),
        ("PROXY_NOT_FOUND", "multiple-matches", "multiple-matches"),
        ("REC_NOT_FOUND", "multiple-matches", None),
        ("REC_NOT_FOUND", "not-found", None),
        ("NOT_FOUND", "not-found", None),
    ],
)
def test_what_the_proxy_has_not_one_address_of(code: str, issue: str, expected: str | None) -> None:
    """Its own words count, and no Receiver's."""
    found = unreachable(Outcome(is_outcome=True, code=code, issue=issue))

    assert expected == (found and found.issue)


def test_what_is_left_open_is_taken() -> None:
    """To refuse what a Receiver would have taken does more harm than its own refusal."""
    message = read(referral())
    definition = {"resourceType": "MessageDefinition", "url": message.definition}

    assert objection(message, {"entry": [{"resource": definition}]}) is None


def test_others_words_are_shown_only_if_they_are_a_version() -> None:
    """They come from elsewhere, and would be read in this organisation's log and screens."""
    message = read(referral())
    definition = {
        "resourceType": "MessageDefinition",
        "url": message.definition,
        "version": "<b>2</b>",
    }
    found = objection(message, {"entry": [{"resource": definition}]})

    assert found is not None
    assert "in version another" in found.text
