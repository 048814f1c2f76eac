"""What a provider publishes about itself: its capabilities, and the messages that it takes."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import oracles
import pytest
from messages import RECEIVER
from oracles import as_json
from variants import KINDS, header

from bars_gateway.standard import publications, structure, xml
from bars_gateway.standard.applications import Offer
from bars_gateway.standard.definitions import DEFINITIONS
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.publications import About, PublicationRequest, asked_for, searchset
from bars_gateway.standard.timing import application_of

URL = "https://gateway.example.nhs.uk/FHIR/R4"
SINCE = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
USE_CASES = "https://fhir.nhs.uk/CodeSystem/usecases-categories-bars"
OFFER = Offer(
    services=frozenset({RECEIVER}),
    applications={"a1": ("1.0.0", "2.0.0"), "a4": ("2.0.0",), "a5": ("1.0.0",)},
)
VALIDATIONS = replace(OFFER, applications={"a4": ("2.0.0",)})
ABOUT = About(
    url=URL,
    publisher="Northshire General Hospital",
    software="bars_gateway",
    software_version="1",
    core_version="1.5.0",
    since=SINCE,
)


def published(asked: PublicationRequest | Issue, offer: Offer = OFFER) -> list[dict[str, Any]]:
    assert isinstance(asked, PublicationRequest)
    bundle = json.loads(as_json(searchset(asked, offer, URL, SINCE)))
    assert len(bundle["entry"]) == bundle["total"]
    return [entry["resource"] for entry in bundle["entry"]]


EVERYTHING = PublicationRequest(RECEIVER, frozenset())


def contexts_of(definition: dict[str, Any]) -> list[tuple[str, str]]:
    codings = [
        each["valueCodeableConcept"]["coding"][0]
        for each in definition["useContext"]
        if each["code"]["code"] == "workflow"
    ]
    return [(coding["system"], coding["code"]) for coding in codings]


def documents(offer: Offer) -> list[Any]:
    return [
        publications.capability_statement(offer, ABOUT),
        searchset(EVERYTHING, offer, URL, SINCE),
    ]


@pytest.mark.parametrize(
    "offer", [OFFER, VALIDATIONS, replace(OFFER, booking_required=True)], ids=str
)
def test_what_is_published_is_r4(offer: Offer) -> None:
    """The structure checker finds nothing, and both formats say the same."""
    for tree in documents(offer):
        assert [] == structure.check(tree, path=tree["resourceType"])
        assert json.loads(as_json(tree)) == json.loads(
            as_json(xml.to_tree(xml.from_tree(tree)).tree)
        )


@pytest.mark.reference_data
def test_others_find_it_to_be_r4_too(reference_data: Path) -> None:
    """HL7's schema knows both resources; its list of versions ends before 4.0.1."""
    valid = oracles.schema(reference_data / "fhir-r4" / "fhir.schema.json")
    statement, messages = documents(OFFER)

    assert valid({**statement, "fhirVersion": "4.0.0"})
    assert valid(messages)


def supported(offer: Offer) -> set[str]:
    statement: Any = json.loads(as_json(publications.capability_statement(offer, ABOUT)))
    messages = statement["messaging"][0]["supportedMessage"]
    return {each["definition"].rpartition("-message-")[2] for each in messages}


def test_only_messages_of_what_is_switched_on_are_supported() -> None:
    """What is not assured for is refused, and not advertised."""
    assert {
        "servicerequest-request-validation",
        "servicerequest-request-cancelled",
        "servicerequest-response-validation-interim",
        "servicerequest-response-validation-full",
    } == supported(VALIDATIONS)


def resources_of(offer: Offer) -> set[str]:
    statement: Any = json.loads(as_json(publications.capability_statement(offer, ABOUT)))
    return {each["type"] for each in statement["rest"][0]["resource"]}


def test_slots_are_offered_where_bookings_are() -> None:
    """Without Applications that book, there is nothing to ask for."""
    assert {"Slot", "Appointment"} <= resources_of(OFFER)
    assert set() == {"Slot", "Appointment"} & resources_of(VALIDATIONS)


def test_the_version_is_that_of_core() -> None:
    """CS-037: Senders compare its major with their own."""
    assert "1.5.0" == publications.capability_statement(OFFER, ABOUT)["version"]


def test_a_required_booking_is_announced() -> None:
    """Whoever would be refused can know it before."""
    plain = as_json(publications.capability_statement(OFFER, ABOUT))
    told = as_json(publications.capability_statement(replace(OFFER, booking_required=True), ABOUT))

    assert (False, True) == (b"supportingInfo" in plain, b"supportingInfo" in told)


def test_a_service_publishes_the_requests_that_it_takes() -> None:
    """One definition for each version that is switched on; responses are for who asked."""
    found = {(d["url"].rpartition("-message-")[2], d["version"]) for d in published(EVERYTHING)}

    assert {
        ("booking-request", "1.0.0"),
        ("booking-request", "2.0.0"),
        ("booking-request-cancelled", "1.0.0"),
        ("booking-request-cancelled", "2.0.0"),
        ("servicerequest-request-referral", "1.0.0"),
        ("servicerequest-request-referral", "2.0.0"),
        ("servicerequest-request-validation", "2.0.0"),
        ("servicerequest-request-cancelled", "1.0.0"),
        ("servicerequest-request-cancelled", "2.0.0"),
    } == found


def test_a_definition_names_its_service_and_use_cases() -> None:
    """CS-043: in the form that Senders look for, and the service in the old form as well."""
    (validation,) = [d for d in published(EVERYTHING) if d["url"].endswith("-validation")]
    system, _, value = RECEIVER.partition("|")

    assert [(system, value), *((USE_CASES, f"a4t{n}") for n in range(1, 5))] == contexts_of(
        validation
    )
    assert {"system": system, "code": value} == validation["useContext"][0]["code"]


@pytest.mark.parametrize(
    ("contexts", "expected"),
    [
        pytest.param([RECEIVER], PublicationRequest(RECEIVER, frozenset()), id="service"),
        pytest.param(
            [f"{USE_CASES}|a4t1", RECEIVER],
            PublicationRequest(RECEIVER, frozenset({"a4t1"})),
            id="both",
        ),
        pytest.param(
            [f"{USE_CASES}|A4T1"], PublicationRequest(RECEIVER, frozenset({"a4t1"})), id="case"
        ),
        pytest.param(
            [f"{USE_CASES}|a4t1&context={RECEIVER}"],
            PublicationRequest(RECEIVER, frozenset({"a4t1"})),
            id="both-in-one-value",
        ),
        pytest.param(
            [RECEIVER.replace("https", "http").replace("/Id/", "/id/")],
            PublicationRequest(RECEIVER, frozenset()),
            id="in-another-spelling",
        ),
        pytest.param(
            [RECEIVER.partition("|")[2]],
            PublicationRequest(RECEIVER, frozenset()),
            id="bare-service",
        ),
        pytest.param(
            ["a4t1"], PublicationRequest(RECEIVER, frozenset({"a4t1"})), id="bare-use-case"
        ),
        pytest.param(
            ["referraltopharmacy"],
            PublicationRequest(RECEIVER, frozenset({"referraltopharmacy"})),
            id="old-name",
        ),
        pytest.param([], (400, "required"), id="missing"),
        pytest.param(["", " "], (400, "required"), id="empty"),
        pytest.param(["XXXXXXX"], (400, "value"), id="neither"),
        pytest.param(["https://example.org|1"], (400, "value"), id="another-system"),
        pytest.param([RECEIVER.partition("|")[0] + "|"], (400, "value"), id="without-value"),
        pytest.param([RECEIVER + "9"], (404, "not-found"), id="unknown-service"),
        pytest.param([RECEIVER, RECEIVER + "9"], (404, "not-found"), id="two-services"),
        pytest.param([f"{USE_CASES}|a8t1", RECEIVER], (404, "not-found"), id="switched-off"),
        pytest.param([f"{USE_CASES}|a9t9", RECEIVER], (404, "not-found"), id="unknown-use-case"),
    ],
)
def test_what_is_asked_for(
    contexts: list[str], expected: PublicationRequest | tuple[int, str]
) -> None:
    """`context` in all its published forms, and the guide's refusals of others."""
    found = asked_for(contexts, OFFER)

    assert expected == (
        found if isinstance(found, PublicationRequest) else (found.http_status, found.issue)
    )


def test_a_use_case_chooses_whole_definitions() -> None:
    """Who asks for one workflow gets its definitions, with all that they are published for."""
    found = published(PublicationRequest(RECEIVER, frozenset({"a5t1"})))
    everything = published(EVERYTHING)

    assert {"servicerequest-request-referral", "servicerequest-request-cancelled"} == {
        d["url"].rpartition("-message-")[2] for d in found
    }
    assert [d for d in everything if (USE_CASES, "a5t1") in contexts_of(d)] == found


def test_what_was_withdrawn_is_told_to_those_only_who_ask() -> None:
    """R03W: nobody is led to it, and the official tests still ask for the old name."""
    cases = {code for d in published(EVERYTHING) for _, code in contexts_of(d)}

    assert {"a5t1"} == {code for code in cases if application_of(code) == "a5"}
    assert published(PublicationRequest(RECEIVER, frozenset({"referraltopharmacy"})))


def test_a_use_case_that_is_switched_off_is_not_published() -> None:
    """Nor found by who asks for it alone: the others of its Application are."""
    offer = replace(OFFER, refused_use_cases=frozenset({"a4t3"}))
    cases = {code for d in published(EVERYTHING, offer) for _, code in contexts_of(d)}
    alone = asked_for(["a4t3"], offer)

    assert ("a4t1" in cases, "a4t3" in cases) == (True, False)
    assert isinstance(alone, Issue)
    assert (404, "not-found") == (alone.http_status, alone.issue)


def test_the_same_document_has_the_same_id() -> None:
    """At every start and on every node, and never that of another."""
    ids = [d["id"] for d in published(EVERYTHING)]

    assert ids == [d["id"] for d in published(EVERYTHING)]
    assert len(ids) == len(set(ids))


def test_what_is_published_can_be_sent() -> None:
    """Each kind of message that the tests know cites a definition that counts it."""
    cited = {header(make())["definition"].rpartition("-message-")[2] for make in KINDS}

    assert cited == DEFINITIONS.keys()


@pytest.mark.reference_data
def test_the_counts_are_those_of_the_national_definitions(reference_data: Path) -> None:
    """Restated as a table of our own, and compared with what was published."""
    document = json.loads((reference_data / "derived" / "message-definitions.json").read_bytes())
    theirs = {
        each["url"].rpartition("-message-")[2]: sorted(
            (f["code"], f["min"], f["max"]) for f in each["focus"]
        )
        for each in document["messageDefinitions"]
    }
    ours = {
        name: sorted(
            (f.type, f.least, "*" if f.most is None else str(f.most)) for f in each.focuses
        )
        for name, each in DEFINITIONS.items()
    }

    assert theirs == ours
