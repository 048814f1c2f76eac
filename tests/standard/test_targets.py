"""What a service publishes that it takes, held against a message."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import pytest
from messages import RECEIVER, referral

from bars_gateway.standard.answers import Outcome
from bars_gateway.standard.applications import Offer
from bars_gateway.standard.bundle import from_json, map_of, maps_of, read
from bars_gateway.standard.formats import Format, to_bytes
from bars_gateway.standard.publications import (
    PublicationRequest,
    are_believable,
    objection,
    of_service,
    question,
    searchset,
    unreachable,
)
from bars_gateway.standard.tree import Json, Resource

NOW = datetime(2026, 3, 2, tzinfo=UTC)


ANOTHER = "https://fhir.nhs.uk/Id/dos-service-id|2000099999"


def published(service: str = RECEIVER, **applications: tuple[str, ...]) -> list[Resource]:
    """Return what a gateway like this one publishes of that service."""
    offer = Offer(services=frozenset({service}), applications=applications)
    bundle = searchset(PublicationRequest(service, frozenset()), offer, "https://x", NOW)
    tree = from_json(to_bytes(bundle, Format.JSON))
    return [map_of(entry, "resource") for entry in maps_of(tree, "entry")]


def naming(service: str | None, **changes: object) -> Resource:
    """Return a definition as the guide writes it: the service is a value of useContext."""
    system, _, code = (service or "").partition("|")
    named = {"valueCodeableConcept": {"coding": [{"system": system, "code": code}]}}
    definition: Resource = {
        "resourceType": "MessageDefinition",
        "url": read(referral()).definition,
        "version": "2.0.0",
    }
    return definition | {"useContext": [named] if service else []} | changes  # type: ignore[dict-item]


def in_one(*definitions: Resource) -> Resource:
    entries: list[Json] = [{"resource": each} for each in definitions]
    return {"resourceType": "Bundle", "type": "searchset", "entry": entries}


@pytest.mark.parametrize("theirs", [naming(ANOTHER), *published(ANOTHER, a5=("9.0.0",))[:1]])
@pytest.mark.parametrize(
    "ours",
    [
        naming(RECEIVER),
        naming(RECEIVER.replace("https", "http").replace("Id", "id")),
        naming(None),
        published(a1=("2.0.0",))[0],
    ],
    ids=["guide", "spelt", "open", "this-gateway"],
)
def test_what_another_service_publishes_says_nothing_of_this_one(
    ours: Resource, theirs: Resource
) -> None:
    """Several live behind one address, and one answer may hold what is of them all (CS-043)."""
    assert [ours] == of_service(in_one(theirs, ours), [RECEIVER])


@pytest.mark.parametrize(
    "theirs",
    [
        {"url": "https://fhir.nhs.uk/MessageDefinition/bars-message-booking-request"},
        {"version": "9.0.0"},
        {"useContext": published(ANOTHER, a5=("2.0.0",))[0]["useContext"]},
    ],
    ids=["definition", "version", "use-case"],
)
def test_no_referral_is_refused_by_what_another_service_takes(theirs: dict[str, Any]) -> None:
    """The patient would be told to go elsewhere, for what was never said of that service."""
    found = in_one(naming(ANOTHER, **theirs))

    assert objection(read(referral()), of_service(found, [RECEIVER])) is None


@pytest.mark.parametrize(
    ("offered", "place"),
    [
        ({"a1": ("2.0.0",)}, None),
        ({"a1": ("1.0.0", "2.0.0")}, None),
        ({"a1": ("2.1.3",)}, None),
        ({"a1": ("10.0.0",)}, "Bundle.meta.versionId"),
        ({"a1": ("1.0.0",)}, "Bundle.meta.versionId"),
        ({"a5": ("2.0.0",)}, "ServiceRequest.category"),
        ({"a4": ("2.0.0",)}, "MessageHeader.definition"),
        ({}, None),
    ],
)
def test_an_objection_names_what_is_not_taken(
    offered: dict[str, tuple[str, ...]], place: str | None
) -> None:
    """The definition, its major version, or the use case; nothing published is no objection."""
    found = objection(read(referral()), published(**offered))

    assert place == (found and found.path)


def test_a_use_case_of_another_version_is_none_of_this_one() -> None:
    """Of what a service publishes only the versions count that the message could be of."""
    first, second = published(a1=("1.0.0",)), published(a5=("2.0.0",))
    found = objection(read(referral()), [*first, *second])

    assert found is not None
    assert "ServiceRequest.category" == found.path


@pytest.mark.parametrize(("kind", "expected"), [("Patient", True), ("Invoice", False)])
def test_what_asks_for_a_foreign_resource_is_not_believed(kind: str, *, expected: bool) -> None:
    """No message of BaRS holds an Invoice: whoever wants one publishes something else."""
    definition: Resource = {"resourceType": "MessageDefinition", "focus": [{"code": kind}]}

    assert expected is are_believable([definition])


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
    definition: Resource = {"resourceType": "MessageDefinition", "url": message.definition}

    assert objection(message, [definition]) is None


def test_others_words_are_shown_only_if_they_are_a_version() -> None:
    """They come from elsewhere, and would be read in this organisation's log and screens."""
    message = read(referral())
    definition: Resource = {
        "resourceType": "MessageDefinition",
        "url": message.definition,
        "version": "<b>2</b>",
    }
    found = objection(message, [definition])

    assert found is not None
    assert "in version another" in found.text


def test_a_service_is_asked_for_whatever_is_in_its_number() -> None:
    """A value of others' stays one parameter, and one service."""
    service = "https://fhir.nhs.uk/Id/dos-service-id|2000 0&context=x#1"
    (asked,) = parse_qs(question(service), strict_parsing=True)["context"]

    assert service == asked
