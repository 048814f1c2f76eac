"""What we answer, and how errors of others are read."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from messages import referral

from bars_gateway.standard.answers import (
    Minted,
    Outcome,
    Problem,
    acknowledge,
    acknowledge_change,
    acknowledge_response,
    focus_id_of,
    outcome,
    problem_outcome,
    read_outcome,
)
from bars_gateway.standard.bundle import read
from bars_gateway.standard.formats import Format, converted, to_bytes, to_tree
from bars_gateway.standard.issues import Issue

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
MINTED = Minted(
    focus_id="focus", encounter_id="enc", reference="RAE-7F3K-29QX", reference_system="urn:x"
)


def acknowledged(body: bytes) -> dict[str, Any]:
    numbers = count(1)
    found: dict[str, Any] = json.loads(
        to_bytes(
            acknowledge(read(body), MINTED, lambda: f"minted-{next(numbers)}", NOW), Format.JSON
        )
    )
    return found


def changed(body: bytes) -> dict[str, Any]:
    answer = acknowledge_change(read(body), lambda: "minted", NOW)
    return json.loads(to_bytes(answer, Format.JSON))  # type: ignore[no-any-return]


def responded(body: bytes) -> dict[str, Any]:
    answer = acknowledge_response(read(body), body, Format.JSON)
    return json.loads(answer)  # type: ignore[no-any-return]


def test_of_two_resources_under_one_url_the_first_is_the_record() -> None:
    """It is what the message is about, for everybody who reads it; the other gets another id."""
    bundle = json.loads(referral())
    bundle["entry"][2]["fullUrl"] = bundle["entry"][1]["fullUrl"]
    ids = [
        each["resource"].get("id") for each in acknowledged(json.dumps(bundle).encode())["entry"]
    ]

    assert 1 == ids.count("focus")


def test_the_acknowledgement_mirrors_the_request() -> None:
    """The same Bundle.id, the same fullUrls in the same order, the MessageHeader untouched."""
    body = referral()
    sent, answer = json.loads(body), acknowledged(body)

    assert sent["id"] == answer["id"]
    assert [e["fullUrl"] for e in sent["entry"]] == [e["fullUrl"] for e in answer["entry"][:-1]]
    assert sent["entry"][0] == answer["entry"][0]


def test_every_resource_has_an_id_that_we_gave() -> None:
    """But for the MessageHeader, which nobody points to."""
    resources = [e["resource"] for e in acknowledged(referral())["entry"]]

    assert all("id" in r for r in resources if r["resourceType"] != "MessageHeader")
    assert ["focus"] == [r["id"] for r in resources if r["resourceType"] == "ServiceRequest"]


def test_a_planned_encounter_carries_the_case_number() -> None:
    """A reference that a person can read out on the telephone."""
    encounter = acknowledged(referral())["entry"][-1]["resource"]

    assert ("Encounter", "planned", "RAE-7F3K-29QX") == (
        encounter["resourceType"],
        encounter["status"],
        encounter["identifier"][0]["value"],
    )


def test_an_id_that_the_receiver_must_mint_is_minted_whatever_was_sent() -> None:
    """R06: the ServiceRequest's id is ours to give."""
    body = json.loads(referral())
    for entry in body["entry"]:
        if entry["resource"]["resourceType"] == "ServiceRequest":
            entry["resource"]["id"] = "theirs"
    answer = acknowledged(json.dumps(body).encode())

    assert ["focus"] == [
        e["resource"]["id"]
        for e in answer["entry"]
        if e["resource"]["resourceType"] == "ServiceRequest"
    ]


@pytest.mark.parametrize("write", [acknowledged, changed, responded])
def test_what_is_no_id_is_never_echoed(write: Callable[[bytes], dict[str, Any]]) -> None:
    """D-ignored-ids: in its place stands one of ours, or in a response none."""
    body = json.loads(referral())
    for entry in body["entry"]:
        entry["resource"]["id"] = "__AN_ID__"

    assert "__AN_ID__" not in json.dumps(write(json.dumps(body).encode()))


@pytest.mark.parametrize("format_", list(Format))
def test_a_response_is_acknowledged_by_its_own_bytes(format_: Format) -> None:
    """Where every id is one."""
    body = to_bytes(to_tree(referral(), Format.JSON), format_)

    assert body == acknowledge_response(read(body, format_), body, format_)


@pytest.mark.exhaustive
@given(
    st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)
)
def test_numbers_go_back_as_they_came(number: str) -> None:
    """D-lossless: whatever their precision, size or form."""
    body = referral().replace(
        b'"type": "message"', b'"type": "message", "total": ' + number.encode()
    )
    answer = to_bytes(acknowledge(read(body), MINTED, lambda: "x", NOW), Format.JSON)

    assert f'"total":{number},'.encode() in answer


def test_an_instant_goes_back_as_it_came() -> None:
    """Seven decimals stay seven."""
    body = json.loads(referral())
    body["timestamp"] = "2026-03-02T09:00:00.8185338+00:00"

    assert body["timestamp"] == acknowledged(json.dumps(body).encode())["timestamp"]


def test_the_receivers_id_is_found_in_its_acknowledgement() -> None:
    """By the focus of the MessageHeader: what an update or cancel will carry."""
    answer = to_bytes(acknowledge(read(referral()), MINTED, lambda: "x", NOW), Format.JSON)

    assert "focus" == focus_id_of(answer, "application/fhir+json")
    assert focus_id_of(b"no bundle", "application/fhir+json") is None


def test_a_refusal_names_every_issue_in_the_guides_form() -> None:
    """Severity, code, the national coding, and where it is."""
    issues = [
        Issue(rule="B04", path="Bundle.id", text="must be a UUID"),
        Issue(rule="H01", path="header X-Request-Id", text="is missing", issue="required"),
    ]
    found = json.loads(outcome(issues))

    assert "OperationOutcome" == found["resourceType"]
    assert ["invariant", "required"] == [issue["code"] for issue in found["issue"]]
    assert {
        "system": "https://fhir.nhs.uk/Codesystem/http-error-codes",
        "code": "REC_BAD_REQUEST",
        "display": "400 - REC_BAD_REQUEST",
    } == found["issue"][0]["details"]["coding"][0]
    assert ["Bundle.id"] == found["issue"][0]["expression"]


def test_what_we_write_can_be_read_back() -> None:
    """The codes of our own errors, as a Sender would see them."""
    body = problem_outcome(
        Problem(http_status=409, code="REC_CONFLICT", issue="duplicate", text="x")
    )

    assert Outcome(is_outcome=True, code="REC_CONFLICT", issue="duplicate") == read_outcome(body)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", Outcome(is_outcome=False)),
        (b"<html>Bad gateway</html>", Outcome(is_outcome=False)),
        (b"[1]", Outcome(is_outcome=False)),
        (b'{"resourceType":"OperationOutcome"}', Outcome(is_outcome=False)),
        (b'{"resourceType":"OperationOutcome","issue":[{}]}', Outcome(is_outcome=False)),
        (
            b'{"resourceType":"OperationOutcome","issue":[{"code":"429"}]}',
            Outcome(is_outcome=True, issue="429"),
        ),
        (
            b'{"fault":{"detail":{"errorcode":"keymanagement.service.access_token_expired"}}}',
            Outcome(is_outcome=False, code="keymanagement.service.access_token_expired"),
        ),
        (
            b'{"resourceType":"OperationOutcome","issue":[{"code":"Mary Smith of Leeds"}]}',
            Outcome(is_outcome=True),
        ),
        pytest.param(
            b'{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"value"},'
            b'{"severity":"error","code":"duplicate"},{"severity":"fatal","code":"conflict"}]}',
            Outcome(is_outcome=True, issue="duplicate"),
            id="a-warning-first",
        ),
        pytest.param(
            b'{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"security",'
            b'"details":{"coding":[{"system":"https://supplier.example","code":"E17"},{"system":'
            b'"https://fhir.nhs.uk/CodeSystem/http-error-codes","code":"SEND_UNAUTHORIZED"}]}}]}',
            Outcome(is_outcome=True, code="SEND_UNAUTHORIZED", issue="security"),
            id="a-suppliers-code-first",
        ),
        pytest.param(
            b'{"resourceType":"OperationOutcome","issue":[{"severity":"Error","code":"Duplicate"}]}',
            Outcome(is_outcome=True, issue="duplicate"),
            id="as-an-enumeration-is-called",
        ),
    ],
)
def test_errors_of_others_are_read_leniently(body: bytes, expected: Outcome) -> None:
    """Any bytes give an Outcome; prose in the place of a code is not repeated."""
    assert expected == read_outcome(body)


def test_an_error_in_xml_is_read_too() -> None:
    """Whatever the Content-Type says of it, which may be the proxy's."""
    body = converted(
        outcome([Issue(rule="B01", path="Bundle", text="x", code="REC_BAD_REQUEST")]),
        Format.JSON,
        Format.XML,
    )

    assert Outcome(is_outcome=True, code="REC_BAD_REQUEST", issue="invariant") == read_outcome(
        b"\xef\xbb\xbf\n" + body
    )


@given(st.binary(max_size=300))
def test_no_error_body_crashes_the_reader(body: bytes) -> None:
    """Whatever stands between us and the Receiver may say anything."""
    read_outcome(body)
