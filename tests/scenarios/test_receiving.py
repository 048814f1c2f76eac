"""What another organisation's message meets, over real mutual TLS."""

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from messages import referral, validation_request
from variants import a_booking
from world import JSON, World, eventually, headers, post

from bars_gateway.standard.headers import TargetIdentifier

pytestmark = [pytest.mark.both_engines, pytest.mark.each_fact_once]


def issues(outcome: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(issue["details"]["coding"][0]["code"], issue["code"]) for issue in outcome["issue"]]


async def test_an_acknowledgement_echoes_the_ids_and_the_bundle(world: World) -> None:
    """200, both ids, the same Bundle.id, our case number."""
    body, sent = referral(), headers()
    status, echoed, answer = await post(world, body, sent)

    assert 200 == status
    assert (sent["X-Request-Id"], sent["X-Correlation-Id"]) == (
        echoed["X-Request-Id"],
        echoed["X-Correlation-Id"],
    )
    assert json.loads(body)["id"] == answer["id"]
    assert "planned" == answer["entry"][-1]["resource"]["status"]


async def test_the_escaped_dollar_is_the_same_operation(world: World) -> None:
    """%24process-message is what some clients send."""
    status, _, _ = await post(world, referral(), headers(), "/%24process-message")

    assert 200 == status


async def test_what_others_write_oddly_is_taken_and_handed_on_as_it_came(world: World) -> None:
    """A byte order mark, and HTML's names in a narrative: a warning, and the same bytes."""
    bundle = json.loads(referral())
    div = '<div xmlns="http://www.w3.org/1999/xhtml">a&nbsp;b</div>'
    bundle["entry"][1]["resource"]["text"] = {"status": "generated", "div": div}
    body = b"\xef\xbb\xbf" + json.dumps(bundle).encode()
    status, _, answer = await post(world, body, headers())
    (arrived,) = await eventually(lambda: world.hospital.files("inbox/new/*.message.json"))

    assert (200, "Bundle") == (status, answer["resourceType"])
    assert body == arrived.read_bytes()


async def test_the_first_issue_is_the_one_that_the_status_is_of(world: World) -> None:
    """Senders go by it: one that is told 400 must not read that its version is not taken."""
    bundle = json.loads(referral())
    bundle["meta"]["versionId"] = "9.0.0"
    bundle["entry"][0]["resource"]["eventCoding"]["system"] = "another"
    status, _, outcome = await post(world, json.dumps(bundle).encode(), headers())

    assert (400, ("REC_BAD_REQUEST", "invariant")) == (status, issues(outcome)[0])
    assert ("REC_UNPROCESSABLE_ENTITY", "not-supported") in issues(outcome)


async def test_a_repeat_is_a_duplicate_with_its_reference(world: World) -> None:
    """409, so that the Sender knows that its first attempt arrived."""
    body, sent = referral(), headers()
    _, _, first = await post(world, body, sent)
    status, _, second = await post(world, body, sent)
    reference = first["entry"][-1]["resource"]["identifier"][0]["value"]

    assert (409, [("REC_CONFLICT", "duplicate")]) == (status, issues(second))
    assert reference in second["issue"][0]["diagnostics"]


async def test_an_id_in_another_letter_case_is_the_same(world: World) -> None:
    """A UUID is a number: the repeat is a duplicate, and hears its id as it spelt it."""
    body, sent = referral(), headers(X_Request_Id=str(uuid.uuid4()).upper())
    repeated = {**sent, "X-Request-Id": sent["X-Request-Id"].lower()}
    first, echoed, _ = await post(world, body, sent)
    status, again, outcome = await post(world, body, repeated)
    found = await world.hospital.history(sent["X-Request-Id"])

    assert (200, 409, [("REC_CONFLICT", "duplicate")]) == (first, status, issues(outcome))
    assert [sent["X-Request-Id"], repeated["X-Request-Id"]] == [
        each["X-Request-Id"] for each in (echoed, again)
    ]
    assert found is not None
    assert 1 == await world.hospital.rows("messages")


async def test_the_same_id_with_other_bytes_is_a_conflict(world: World) -> None:
    """D-same-request-id: never `duplicate` for content that was not processed."""
    sent = headers()
    await post(world, referral(), sent)
    status, _, outcome = await post(world, referral(), sent)

    assert (409, [("REC_CONFLICT", "conflict")]) == (status, issues(outcome))
    assert 1 == await world.hospital.rows("messages")


@pytest.mark.parametrize("body", [referral(), validation_request()], ids=["referral", "validation"])
async def test_the_same_made_anew_is_a_duplicate(world: World, body: bytes) -> None:
    """D-same-request-id: another Bundle.id, other ids and times, and nothing else."""
    sent = headers()
    bundle = json.loads(body)
    await post(world, body, sent)
    bundle |= {"id": str(uuid.uuid4()), "timestamp": "2026-03-02T12:00:00+00:00"}
    for entry in bundle["entry"][1:]:
        entry["resource"]["id"] = str(uuid.uuid4())
    status, _, outcome = await post(world, json.dumps(bundle).encode(), sent)

    assert (409, [("REC_CONFLICT", "duplicate")]) == (status, issues(outcome))
    assert 1 == await world.hospital.rows("messages")


async def test_the_same_for_another_conversation_is_a_conflict(world: World) -> None:
    """D-same-request-id: the correlation id is compared as it is written."""
    sent, body = headers(), referral()
    await post(world, body, sent)
    again = json.dumps(json.loads(body) | {"id": str(uuid.uuid4())}).encode()
    other = sent | {"X-Correlation-Id": str(uuid.uuid4())}
    status, _, outcome = await post(world, again, other)

    assert (409, [("REC_CONFLICT", "conflict")]) == (status, issues(outcome))


@pytest.mark.parametrize(
    "context",
    [None, "", "|||", "a1|b|c", "a4t1|validation|servicerequest-response|update"],
    ids=["absent", "empty", "bars", "malformed", "contradictory"],
)
async def test_use_context_is_read_by_nobody(world: World, context: str | None) -> None:
    """CS-009: whatever it says, the message says what it is."""
    status, _, _ = await post(world, referral(), headers(use_context=context))
    moves = world.hospital.ask("SELECT move FROM messages")

    assert (200, [("request",)]) == (status, moves)


@pytest.mark.parametrize("query", ["?async=true", "?async=false&response-url=https%3A%2F%2Fx"])
async def test_the_answer_is_never_put_off(world: World, query: str) -> None:
    """CS-121: the acknowledgement is the answer to the very request."""
    body = referral()
    status, _, answer = await post(world, body, headers(), f"/$process-message{query}")

    assert (200, json.loads(body)["id"]) == (status, answer["id"])


async def test_twenty_identical_requests_at_once_make_one_record(world: World) -> None:
    """One 200 and nineteen 409."""
    body, sent = referral(), headers()
    answers = await asyncio.gather(*(post(world, body, sent) for _ in range(20)))

    assert {200: 1, 409: 19} == Counter(status for status, _, _ in answers)
    assert 1 == await world.hospital.rows("messages")


def changed(body: bytes, **members: object) -> bytes:
    return json.dumps(json.loads(body) | members).encode()


def with_header(body: bytes, **members: object) -> bytes:
    bundle = json.loads(body)
    bundle["entry"][0]["resource"] |= members
    return json.dumps(bundle).encode()


MALFORMED = [
    pytest.param(b"{", {}, 400, ("REC_BAD_REQUEST", "structure"), id="no-json"),
    pytest.param(
        referral(), {"X_Request_Id": None}, 400, ("REC_BAD_REQUEST", "required"), id="no-request-id"
    ),
    pytest.param(
        referral(),
        {"X_Correlation_Id": "x"},
        400,
        ("REC_BAD_REQUEST", "value"),
        id="bad-correlation-id",
    ),
    pytest.param(
        referral(),
        {"NHSD_Target_Identifier": None},
        400,
        ("REC_BAD_REQUEST", "structure"),
        id="no-target",
    ),
    pytest.param(
        referral(),
        {
            "NHSD_Target_Identifier": TargetIdentifier(
                "https://fhir.nhs.uk/Id/dos-service-id", "1"
            ).encode()
        },
        404,
        ("REC_NOT_FOUND", "not-found"),
        id="another-target",
    ),
    pytest.param(
        referral(receiver="https://fhir.nhs.uk/Id/dos-service-id|1"),
        {},
        422,
        ("REC_UNPROCESSABLE_ENTITY", "not-supported"),
        id="another-destination",
    ),
    pytest.param(
        referral(),
        {"Accept": f"{JSON}; version=2.0.0"},
        406,
        ("REC_NOT_ACCEPTABLE", "processing"),
        id="another-core",
    ),
    pytest.param(
        changed(referral(), id="x"), {}, 400, ("REC_BAD_REQUEST", "invariant"), id="no-bundle-id"
    ),
    pytest.param(
        changed(referral(), meta={"id": "1"}),
        {},
        400,
        ("REC_BAD_REQUEST", "invariant"),
        id="no-version",
    ),
    pytest.param(
        referral(version="7.0.0"),
        {},
        422,
        ("REC_UNPROCESSABLE_ENTITY", "not-supported"),
        id="another-version",
    ),
    pytest.param(
        with_header(
            referral(),
            eventCoding={
                "system": "https://fhir.nhs.uk/CodeSystem/message-events-bars",
                "code": "booking-response",
            },
        ),
        {},
        400,
        ("REC_BAD_REQUEST", "invariant"),
        id="booking-response",
    ),
    pytest.param(
        referral(status="revoked"), {}, 400, ("REC_BAD_REQUEST", "invariant"), id="new-but-revoked"
    ),
]


@pytest.mark.parametrize(("body", "changes", "status", "issue"), MALFORMED)
async def test_what_is_malformed_gets_the_guides_answer(
    world: World, body: bytes, changes: dict[str, Any], status: int, issue: tuple[str, str]
) -> None:
    """Status, code and issue code; and nothing is taken."""
    found, _, outcome = await post(world, body, headers(**changes))

    assert (status, issue) == (found, issues(outcome)[0])
    assert 0 == await world.hospital.rows("messages")


async def test_a_refusal_is_repeated_and_a_corrected_message_is_another(world: World) -> None:
    """D-asked-once: the same request, the same refusal; a new X-Request-Id starts afresh."""
    bad, sent = changed(referral(), id="x"), headers()
    first = await post(world, bad, sent)
    second = await post(world, bad, sent)
    status, _, _ = await post(world, referral(), headers())

    assert (first[0], first[2]) == (second[0], second[2])
    assert 200 == status


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        pytest.param(json.dumps(a_booking()).encode(), 501, "REC_NOT_IMPLEMENTED", id="booking"),
        pytest.param(validation_request(reason="update"), 501, "REC_NOT_IMPLEMENTED", id="update"),
        pytest.param(
            referral(reason="update", status="revoked"), 501, "REC_NOT_IMPLEMENTED", id="cancel"
        ),
    ],
)
async def test_what_this_release_does_not_take_leaves_nothing_behind(
    world: World, body: bytes, status: int, code: str
) -> None:
    """501; no message, no ledger entry: a later release may take it."""
    found, _, outcome = await post(world, body, headers())
    kept = [await world.hospital.rows(table) for table in ("messages", "ledger", "workflows")]

    assert (status, code, [0, 0, 0]) == (found, issues(outcome)[0][0], kept)


async def test_a_warning_does_not_stop_a_patient(world: World) -> None:
    """On receipt, what only the strict side asks for is let through."""
    body = json.loads(referral())
    del body["timestamp"]
    body["entry"][0]["resource"]["sender"] = {"display": "somebody"}
    status, _, _ = await post(world, json.dumps(body).encode(), headers())

    assert 200 == status
