"""What a Receiver says that it takes, over real mutual TLS: /metadata and /MessageDefinition."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from messages import RECEIVER, referral
from world import JSON, World, get, headers, issue, post, world_in

USE_CASES = "https://fhir.nhs.uk/CodeSystem/usecases-categories-bars"
CONTEXT = f"/MessageDefinition?context={quote(RECEIVER)}"


@pytest.fixture
async def asked(tmp_path: Path) -> AsyncIterator[World]:
    async with world_in(tmp_path, asked='questions = "socket"') as running:
        yield running


def received(statement: Mapping[str, Any]) -> set[str]:
    """Return the last part of each definition that is taken."""
    (messaging,) = statement["messaging"]
    return {
        each["definition"].rpartition("/")[2].removeprefix("bars-message-")
        for each in messaging["supportedMessage"]
        if each["mode"] == "receiver"
    }


def read(statement: Mapping[str, Any]) -> set[str]:
    return {each["type"] for each in statement["rest"][0]["resource"]}


async def test_the_statement_needs_no_access_control_headers(world: World) -> None:
    """CS-015, CS-035: the two ids are enough, and the version is that of Core (CS-037)."""
    status, _, statement = await get(world, "/metadata", headers(NHSD_Target_Identifier=None))

    assert (200, "CapabilityStatement") == (status, statement["resourceType"])
    assert "1.5.0" == statement["version"]


async def test_what_the_epr_is_not_asked_about_is_not_advertised(world: World) -> None:
    """Bookings and reads would be 501 here: nobody is told that they could be sent."""
    _, _, statement = await get(world, "/metadata", headers())

    assert {"CapabilityStatement", "MessageDefinition"} == read(statement)
    assert "servicerequest-request-referral" in received(statement)
    assert not {name for name in received(statement) if "booking-request" in name}


async def test_what_the_epr_is_asked_about_is_advertised(asked: World) -> None:
    """CS-036: interactions and messages that are answered."""
    _, _, statement = await get(asked, "/metadata", headers())

    assert {"Appointment", "ServiceRequest", "Slot"} <= read(statement)
    assert "booking-request" in received(statement)


async def test_definitions_are_those_of_the_service(world: World) -> None:
    """CS-038, CS-043: a searchset, with the service and its use cases in useContext."""
    status, _, found = await get(world, f"{CONTEXT}%26context={USE_CASES}%7Ca4t1", headers())
    contexts = {
        coding["code"]
        for entry in found["entry"]
        for each in entry["resource"]["useContext"]
        for coding in each["valueCodeableConcept"]["coding"]
    }

    assert (200, "searchset") == (status, found["type"])
    assert {RECEIVER.partition("|")[2], "a4t1"} <= contexts


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/MessageDefinition", (400, ("REC_BAD_REQUEST", "required"))),
        ("/MessageDefinition?context=nonsense", (400, ("REC_BAD_REQUEST", "value"))),
        (f"{CONTEXT}9", (404, ("REC_NOT_FOUND", "not-found"))),
    ],
)
async def test_a_context_that_will_not_do(
    world: World, path: str, expected: tuple[int, tuple[str, str]]
) -> None:
    """CS-040 to CS-042: missing, malformed, unknown."""
    status, _, outcome = await get(world, path, headers())

    assert expected == (status, issue(outcome))


ID = "95e58add-0b10-4a8c-817c-2729eb0cab75"


@pytest.mark.parametrize(
    "path",
    [
        "/metadata",
        CONTEXT,
        "/Slot",
        "/Appointment",
        "/ServiceRequest",
        f"/Appointment/{ID}",
        f"/ServiceRequest/{ID}",
    ],
)
async def test_every_endpoint_asks_for_its_own_major_version(world: World, path: str) -> None:
    """CS-023: the version in Accept counts wherever something is read."""
    sent = headers(Accept=f"{JSON}; version=2.0.0")
    status, _, outcome = await get(world, path, sent)

    assert (406, ("REC_NOT_ACCEPTABLE", "processing")) == (status, issue(outcome))


async def test_so_does_the_door_for_messages(world: World) -> None:
    """CS-023, and nothing is taken."""
    status, _, outcome = await post(world, referral(), headers(Accept=f"{JSON}; version=2.0.0"))

    assert (406, ("REC_NOT_ACCEPTABLE", "processing")) == (status, issue(outcome))
    assert 0 == await world.hospital.rows("messages")
