"""Reads and preview writes: what others ask of a provider's EPR, over real mutual TLS."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asked_epr import YES, answering, epr_at
from bookings import booking, searchset, slot_query
from pages import block
from terminals import typed
from world import World, get, headers, issue, post, world_in

pytestmark = [pytest.mark.both_engines, pytest.mark.each_fact_once]

PATIENT = "patient:identifier=https://fhir.nhs.uk/Id/nhs-number%7C9990000018"
ANOTHER = {"system": "http://fhir.nhs.uk/id/nhs-number", "value": "9990000026"}
ID = "95e58add-0b10-4a8c-817c-2729eb0cab75"
REQUEST = {
    "resourceType": "ServiceRequest",
    "id": ID,
    "status": "active",
    "intent": "plan",
    "subject": {"display": "Invented"},
}
APPOINTMENT = {
    "resourceType": "Appointment",
    "id": ID,
    "status": "booked",
    "participant": [{"status": "accepted"}],
}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_in(tmp_path, asked='questions = "socket"') as running:
        yield running


@pytest.fixture
async def writable(tmp_path: Path) -> AsyncIterator[World]:
    inbound = "preview_writes = true"
    async with world_in(tmp_path, asked='questions = "socket"', inbound=inbound) as running:
        yield running


async def test_slots_come_from_the_epr(world: World) -> None:
    """The EPR gets the parameters as they were understood; its Bundle is the answer."""
    slot = {
        "resourceType": "Slot",
        "schedule": {"reference": f"urn:uuid:{ID}"},
        "status": "free",
        "start": "2026-03-02T09:00:00.0000001+00:00",
        "end": "2026-03-02T09:20:00+00:00",
    }
    slots = searchset(slot)
    async with answering(world.hospital.socket, lambda _: slots) as epr:
        status, echoed, answer = await get(world, f"/Slot?{slot_query()}", headers())
    (question,) = epr.seen

    assert (200, slots) == (status, answer)
    assert "X-Request-Id" in echoed
    assert ("GET Slot", "2000000202", ["free"]) == (
        question["operation"],
        question["parameters"]["service"],
        question["parameters"]["statuses"],
    )
    assert "2026-03-02T09:00:00Z" == question["parameters"]["begins_from"]


@pytest.mark.parametrize("path", ["/ServiceRequest/", "/Appointment/"])
async def test_a_read_without_an_id_is_told_what_is_missing(world: World, path: str) -> None:
    """The stroke at the end makes it a read, and no search: 400, as published."""
    status, _, outcome = await get(world, path, headers())

    assert (400, ("REC_BAD_REQUEST", "required")) == (status, issue(outcome))


@pytest.mark.needs("curl")
async def test_reads_are_typed_as_they_are_written(world: World) -> None:
    """Both of `docs/sending.md`: what the other side can, and a record of it in XML."""
    written = block("sending.md", "/bars/metadata").replace("/ID?", f"/{ID}?")
    async with answering(world.hospital.socket, lambda _: REQUEST):
        done, said = await typed(written.replace("run/trust.sock", str(world.ambulance.socket)))
    statement, _, record = said.partition("<?xml")

    assert 0 == done, said
    assert "CapabilityStatement" == json.loads(statement)["resourceType"]
    assert "<ServiceRequest " in record
    assert ID in record


async def test_slots_are_never_cached(world: World) -> None:
    """CS-172: the same search under another X-Request-Id is another question."""
    async with answering(world.hospital.socket, lambda _: searchset()) as epr:
        for _ in range(2):
            await get(world, f"/Slot?{slot_query()}", headers())

    assert 2 == len(epr.seen)


async def test_no_slots_are_said_in_so_many_words(world: World) -> None:
    """CS-173: a searchset without matches, and an outcome that says so."""
    async with answering(world.hospital.socket, lambda _: searchset()):
        status, _, answer = await get(world, f"/Slot?{slot_query()}", headers())
    (entry,) = answer["entry"]

    assert (200, "searchset", 0) == (status, answer["type"], answer["total"])
    assert ("OperationOutcome", "outcome") == (
        entry["resource"]["resourceType"],
        entry["search"]["mode"],
    )


@pytest.mark.parametrize("kind", ["Appointment", "ServiceRequest"])
async def test_a_patients_resources_come_from_the_epr(world: World, kind: str) -> None:
    """Nothing is answered from what has passed through the gateway."""
    found = searchset({"Appointment": APPOINTMENT, "ServiceRequest": REQUEST}[kind])
    async with answering(world.hospital.socket, lambda _: found) as epr:
        status, _, answer = await get(world, f"/{kind}?{PATIENT}", headers())

    assert (200, found) == (status, answer)
    assert "9990000018" == epr.seen[0]["parameters"]["identifier_value"]


@pytest.mark.parametrize(
    "found",
    [
        [REQUEST],
        [{"resourceType": "Patient", "id": ID}],
        [{**APPOINTMENT, "contained": [{"resourceType": "Patient", "identifier": [ANOTHER]}]}],
    ],
    ids=["another-type", "patients", "another-patient"],
)
async def test_what_was_not_searched_for_is_no_answer(
    world: World, found: list[dict[str, Any]]
) -> None:
    """The EPR hears what to give instead; who asked never sees it."""
    async with epr_at(world.hospital.socket) as epr, asyncio.TaskGroup() as group:
        await epr.questions(wait=0)
        reading = group.create_task(get(world, f"/Appointment?{PATIENT}", headers()))
        number = (await epr.question())["question_id"]
        refused, problem = await epr.answer(number, searchset(*found))
        await epr.answer(number, {"refuse": "not-found"})
    status, _, _ = reading.result()

    assert (422, 404) == (refused, status)
    assert ["Bundle.entry"] == [each["path"] for each in problem["issues"]]
    assert "no entry" in problem["issues"][0]["problem"]


FAILED = {"severity": "error", "code": "exception"}
IN_VAIN = {
    "total": searchset() | {"total": 3},
    "entry": searchset({"resourceType": "OperationOutcome", "issue": [FAILED]}) | {"total": 0},
    "link": searchset() | {"link": [{"relation": "next", "url": "https://epr.invented.example"}]},
}


@pytest.mark.parametrize("place", IN_VAIN)
async def test_that_nothing_was_found_is_told_only_where_the_epr_says_so(
    world: World, place: str
) -> None:
    """Three that are not there, an error and a further page are no word that there is nothing."""
    async with epr_at(world.hospital.socket) as epr, asyncio.TaskGroup() as group:
        await epr.questions(wait=0)
        reading = group.create_task(get(world, f"/Appointment?{PATIENT}", headers()))
        number = (await epr.question())["question_id"]
        refused, problem = await epr.answer(number, IN_VAIN[place])
        _, shown = await epr.shown(number)
        await epr.answer(number, {"refuse": "not-done"})
    status, _, outcome = reading.result()

    assert (422, "open") == (refused, shown["state"])
    assert [f"Bundle.{place}"] == [each["path"] for each in problem["issues"]]
    assert (422, ("REC_UNPROCESSABLE_ENTITY", "processing")) == (status, issue(outcome))


@pytest.mark.parametrize(
    "path",
    [
        f"/Slot?{slot_query()}",
        f"/Appointment?{PATIENT}",
        f"/ServiceRequest?{PATIENT}",
        f"/Appointment/{ID}",
        f"/ServiceRequest/{ID}",
    ],
)
async def test_a_mere_yes_answers_nothing_that_was_asked(world: World, path: str) -> None:
    """Who asked does not hear that the patient has nothing; the EPR hears why, and may correct."""
    async with epr_at(world.hospital.socket) as epr, asyncio.TaskGroup() as group:
        await epr.questions(wait=0)
        reading = group.create_task(get(world, path, headers()))
        number = (await epr.question())["question_id"]
        refused, problem = await epr.answer(number, YES)
        _, shown = await epr.shown(number)
        await epr.answer(number, {"refuse": "not-found"})
    status, _, outcome = reading.result()

    assert (422, "open") == (refused, shown["state"])
    assert "must be what was asked for" in problem["issues"][0]["problem"]
    assert (404, ("REC_NOT_FOUND", "not-found")) == (status, issue(outcome))


async def test_a_resource_is_read_by_its_id(world: World) -> None:
    """Whatever base path the proxy calls below."""
    async with answering(world.hospital.socket, lambda _: APPOINTMENT):
        status, _, answer = await get(world, f"/FHIR/R4/Appointment/{ID}", headers())

    assert (200, APPOINTMENT) == (status, answer)


async def test_another_resource_is_no_answer(world: World) -> None:
    """The EPR is told that the id is not the one that was asked for."""
    async with epr_at(world.hospital.socket) as epr, asyncio.TaskGroup() as group:
        await epr.questions(wait=0)
        reading = group.create_task(get(world, f"/Appointment/{ID}", headers()))
        number = (await epr.question())["question_id"]
        refused, problem = await epr.answer(number, APPOINTMENT | {"id": str(uuid.uuid4())})
        unclear, _ = await epr.answer(number, YES)
        await epr.answer(number, {"refuse": "not-found"})

    assert (422, "Appointment.id") == (refused, problem["issues"][0]["path"])
    assert 422 == unclear
    assert (404, ("REC_NOT_FOUND", "not-found")) == (
        reading.result()[0],
        issue(reading.result()[2]),
    )


WRONG = [
    pytest.param("/Slot", {}, 400, ("REC_BAD_REQUEST", "required"), id="slots-of-nothing"),
    pytest.param(
        f"/Slot?{slot_query(status='status=x')}",
        {},
        400,
        ("REC_BAD_REQUEST", "value"),
        id="unknown-status",
    ),
    pytest.param(
        f"/Slot?{slot_query(start='start=ge2020-01-01T00:00:00Z&start=le2026-01-01T00:00:00Z')}",
        {},
        422,
        ("REC_UNPROCESSABLE_ENTITY", "too-costly"),
        id="too-wide",
    ),
    pytest.param(
        f"/Slot?{slot_query(service='Schedule.actor:HealthcareService=2000000999')}",
        {},
        404,
        ("REC_NOT_FOUND", "not-found"),
        id="unknown-service",
    ),
    pytest.param(
        "/Slot?Schedule.actor:HealthcareService=2000000999",
        {},
        404,
        ("REC_NOT_FOUND", "not-found"),
        id="unknown-service-and-no-more",
    ),
    pytest.param("/Appointment/XXXXXXXXX", {}, 400, ("REC_BAD_REQUEST", "value"), id="no-uuid"),
    pytest.param("/ServiceRequest", {}, 400, ("REC_BAD_REQUEST", "required"), id="no-patient"),
    pytest.param(
        f"/Appointment?{PATIENT}",
        {"X_Request_Id": None},
        400,
        ("REC_BAD_REQUEST", "required"),
        id="no-request-id",
    ),
    pytest.param(
        f"/Appointment?{PATIENT}",
        {"X_Correlation_Id": "x"},
        400,
        ("REC_BAD_REQUEST", "value"),
        id="correlation-id-is-no-uuid",
    ),
    pytest.param(
        f"/Appointment?{PATIENT}",
        {"NHSD_Target_Identifier": None},
        400,
        ("REC_BAD_REQUEST", "structure"),
        id="no-target",
    ),
    pytest.param(
        f"/Appointment?{PATIENT}",
        {"Accept": "application/fhir+json; version=2.0.0"},
        406,
        ("REC_NOT_ACCEPTABLE", "processing"),
        id="another-core",
    ),
]


@pytest.mark.parametrize(("path", "changes", "status", "expected"), WRONG)
async def test_what_cannot_be_answered_is_not_asked(
    world: World, path: str, changes: dict[str, Any], status: int, expected: tuple[str, str]
) -> None:
    """The guide's answer, without the EPR."""
    found, _, outcome = await get(world, path, headers(**changes))

    assert (status, expected) == (found, issue(outcome))
    assert 0 == await world.hospital.rows("questions")


async def test_a_read_may_be_repeated(world: World) -> None:
    """The very same request has the very same answer for a minute; never a 409."""
    sent = headers()
    async with answering(world.hospital.socket, lambda _: searchset()) as epr:
        first = await get(world, f"/Appointment?{PATIENT}", sent)
        second = await get(world, f"/Appointment?{PATIENT}", sent)

    assert (200, 200, first[2]) == (first[0], second[0], second[2])
    assert 1 == len(epr.seen)


async def test_a_read_does_not_use_up_the_id_of_a_message(world: World) -> None:
    """The ledger is of what changes something."""
    sent = headers()
    says = {"GET Appointment": searchset()}
    async with answering(world.hospital.socket, lambda of: says.get(of["operation"], YES)):
        read, _, _ = await get(world, f"/Appointment?{PATIENT}", sent)
        booked, _, _ = await post(world, booking(), sent)

    assert (200, 200) == (read, booked)


async def test_an_epr_that_is_not_asked_cannot_be_read(tmp_path: Path) -> None:
    """501: the Receiver is there, the function is not."""
    async with world_in(tmp_path) as world:
        status, _, outcome = await get(world, f"/Slot?{slot_query()}", headers())

    assert (501, ("REC_NOT_IMPLEMENTED", "not-supported")) == (status, issue(outcome))


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        pytest.param("POST", "/Slot", "GET", id="slot"),
        pytest.param("PUT", "/$process-message", "POST", id="message"),
        pytest.param("DELETE", "/Appointment", "GET", id="appointments"),
        pytest.param("POST", f"/Appointment/{ID}", "GET", id="appointment"),
    ],
)
async def test_another_method_is_not_allowed(
    world: World, method: str, path: str, allow: str
) -> None:
    """405 says what there is instead."""
    status, answered, outcome = await get(world, path, headers(), method=method)

    assert (405, allow) == (status, answered["Allow"])
    assert ("REC_METHOD_NOT_ALLOWED", "not-supported") == issue(outcome)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("POST", "/Appointment", id="appointment"),
        pytest.param("PUT", f"/Appointment/{ID}", id="appointment-id"),
        pytest.param("PATCH", f"/ServiceRequest/{ID}", id="request-id"),
        pytest.param("DELETE", f"/ServiceRequest/{ID}", id="delete"),
        pytest.param("GET", "/Endpoint/$template", id="template"),
        pytest.param("DELETE", f"/Endpoint/{ID}/$template", id="template-id"),
        pytest.param("GET", "/HealthcareService", id="catalogue"),
        pytest.param("GET", f"/DocumentReference/{ID}", id="pointer"),
    ],
)
async def test_previews_are_off(world: World, method: str, path: str) -> None:
    """501: the function is the API's, and not here."""
    status, _, outcome = await get(world, path, headers(), method=method)

    assert (501, ("REC_NOT_IMPLEMENTED", "not-supported")) == (status, issue(outcome))


async def written(
    world: World, method: str, path: str, body: dict[str, Any] | None, sent: dict[str, str]
) -> tuple[int, dict[str, Any]]:
    data = None if body is None else json.dumps(body).encode()
    async with (
        world.as_proxy() as session,
        session.request(method, world.hospital.url + path, data=data, headers=sent) as response,
    ):
        return response.status, json.loads(await response.read())


async def test_a_preview_booking_is_the_eprs_to_make(writable: World) -> None:
    """201 with an id; the retry is a duplicate, as of a message."""
    new = {name: value for name, value in APPOINTMENT.items() if name != "id"}
    sent = headers()
    async with answering(writable.hospital.socket, lambda _: YES | {"focus_id": ID}) as epr:
        first = await written(writable, "POST", "/Appointment", new, sent)
        status, outcome = await written(writable, "POST", "/Appointment", new, sent)

    assert (201, APPOINTMENT) == first
    assert (409, ("REC_CONFLICT", "duplicate")) == (status, issue(outcome))
    assert 1 == len(epr.seen)


@pytest.mark.parametrize(
    ("method", "says", "expected"),
    [
        pytest.param("PUT", YES, APPOINTMENT, id="put"),
        pytest.param("PATCH", APPOINTMENT, APPOINTMENT, id="patch"),
    ],
)
async def test_a_preview_change_is_answered_with_the_resource(
    writable: World, method: str, says: dict[str, Any], expected: dict[str, Any]
) -> None:
    """200, as the EPR has it."""
    async with answering(writable.hospital.socket, lambda _: says):
        found = await written(writable, method, f"/Appointment/{ID}", APPOINTMENT, headers())

    assert (200, expected) == found


async def test_a_preview_patch_brings_what_changes_and_no_more(writable: World) -> None:
    """The API's own example has neither participant nor time; a PUT without them is refused."""
    part = {"resourceType": "Appointment", "id": ID, "status": "booked"}
    async with answering(writable.hospital.socket, lambda _: APPOINTMENT):
        path = f"/Appointment/{ID}"
        patched, _ = await written(writable, "PATCH", path, part, headers())
        put, outcome = await written(writable, "PUT", path, part, headers())

    assert (200, 400, ("REC_BAD_REQUEST", "structure")) == (patched, put, issue(outcome))


async def test_a_preview_removal_is_answered_with_an_outcome(writable: World) -> None:
    """200 and an OperationOutcome of information."""
    async with answering(writable.hospital.socket):
        status, outcome = await written(
            writable, "DELETE", f"/ServiceRequest/{ID}", None, headers()
        )

    assert (200, "information") == (status, outcome["issue"][0]["severity"])


async def test_what_is_written_must_be_the_resource(writable: World) -> None:
    """400 names the place; the EPR is not asked."""
    other = {"resourceType": "Patient"}
    status, outcome = await written(writable, "POST", "/Appointment", other, headers())

    assert (400, ("REC_BAD_REQUEST", "value")) == (status, issue(outcome))


async def test_a_write_of_another_type_of_body_is_refused(writable: World) -> None:
    """415, as of messages."""
    sent = headers(Content_Type="text/plain")
    status, _ = await written(writable, "PUT", f"/Appointment/{ID}", APPOINTMENT, sent)

    assert 415 == status
