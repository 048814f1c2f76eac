"""What a service publishes that it takes, held against a message."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from messages import RECEIVER, referral

from bars_gateway.standard.bundle import from_json, read
from bars_gateway.standard.checks.offer import Offer
from bars_gateway.standard.formats import Format, to_bytes
from bars_gateway.standard.message_definitions import Asked, searchset
from bars_gateway.standard.targets import objection

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
        ({"a1": ["1.0.0"]}, "Bundle.meta.versionId"),
        ({"a5": ["2.0.0"]}, "ServiceRequest.category"),
        ({"a4": ["2.0.0"]}, "MessageHeader.definition"),
        ({}, None),
    ],
)
def test_an_objection_names_what_is_not_taken(
    offered: dict[str, list[str]], place: str | None
) -> None:
    """The definition, its version, or the use case; nothing published is no objection."""
    found = objection(read(referral()), published(**offered))

    assert place == (found and found.path)


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
