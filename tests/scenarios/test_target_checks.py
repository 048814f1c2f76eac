"""What a service publishes decides, before a request is accepted, whether it goes there."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from messages import RECEIVER, referral
from moving import socket_of
from scripted_receiver import Said, answering_reads
from structlog.testing import capture_logs
from world import Node, World, world_in

pytestmark = pytest.mark.both_engines

CHECKED = "target_check_seconds = 5"
INVALID = "https://fhir.nhs.uk/Id/dos-service-id|2000071898"  # the official service of that kind


def calls(world: World) -> list[str]:
    """Return what reached a Receiver: the resource, or the operation."""
    return [call["path"].removeprefix("/") for call in world.forwarded()]


async def refused(node: Node, name: str, body: bytes) -> dict[str, Any]:
    """Drop what is not taken; return the only issue."""
    node.drop(f"{name}.json", body)
    reason = await node.document(f"outbox/refused/{name}.reason.json")
    (issue,) = reason["issues"]
    return dict(issue)


async def acknowledged(node: Node, name: str, body: bytes) -> None:
    receipt = await node.sent(f"{name}.json", body)
    outcome = await node.outcome(receipt["request_id"])
    assert "acknowledged" == outcome["state"]


async def published_versions(node: Node) -> set[str]:
    """Ask, as an EPR does that wants to know in which version to write."""
    asked = f"/bars/MessageDefinition?to={quote(RECEIVER)}&context={quote(RECEIVER)}"
    async with socket_of(node) as session, session.get(asked) as answer:
        found = json.loads(await answer.read())
    return {entry["resource"]["version"] for entry in found["entry"]}


async def test_scenario_2_what_a_service_publishes_is_asked_for_once(tmp_path: Path) -> None:
    """The second request costs no look at the definitions, not even after a restart."""
    async with world_in(tmp_path, outbound=CHECKED) as world:
        await acknowledged(world.ambulance, "first", referral())
        await world.ambulance.restart()
        await acknowledged(world.ambulance, "second", referral())

        assert ["MessageDefinition", "$process-message", "$process-message"] == calls(world)


async def test_scenario_3_a_use_case_that_is_not_published(tmp_path: Path) -> None:
    """The user is told, and nothing is sent."""
    only_pharmacy = 'applications = {a5 = ["2.0.0"]}'
    async with world_in(tmp_path, outbound=CHECKED, asked=only_pharmacy) as world:
        issue = await refused(world.ambulance, "r", referral())

        assert ("E05", "ServiceRequest.category") == (issue["rule"], issue["path"])
        assert ["MessageDefinition"] == calls(world)


async def test_scenario_4_a_service_of_an_older_minor_version(tmp_path: Path) -> None:
    """The EPR can read which one, to write that; what is newer is taken as well."""
    older = 'applications = {a1 = ["2.0.0"]}'
    async with world_in(tmp_path, outbound=CHECKED, asked=older) as world:
        versions = await published_versions(world.ambulance)
        for number, version in enumerate([*versions, "2.1.0"]):
            await acknowledged(world.ambulance, f"r{number}", referral(version=version))

        assert {"2.0.0"} == versions
        assert 2 == (await world.hospital.overview()).inbound


async def test_scenario_5_a_service_of_another_major_version(tmp_path: Path) -> None:
    """Refused with the version that it takes, until it has been released again."""
    async with world_in(tmp_path, outbound=CHECKED, asked='applications = {a1 = ["1.0.0"]}') as w:
        issue = await refused(w.ambulance, "r", referral())
        w.hospital.asked = 'applications = {a1 = ["1.0.0", "2.0.0"]}'
        await w.hospital.restart()
        await acknowledged(w.ambulance, "again", referral())

        assert ("E05", "Bundle.meta.versionId") == (issue["rule"], issue["path"])
        assert "in version 1.0.0" in issue["problem"]
        assert ["MessageDefinition", "MessageDefinition", "$process-message"] == calls(w)


def enter_twice(world: World) -> None:
    """Give the hospital's service a second address, as a mistake in the catalogue would."""
    file = next((world.folder / "sandbox").rglob("targets.json"))
    document = json.loads(file.read_bytes())
    services = document["NHSD-Target-Identifier"]["https://fhir.nhs.uk/Id/dos-service-id"]
    services["2000000202"] = [services["2000000202"]] * 2
    file.write_text(json.dumps(document), "utf-8")


async def test_scenario_8_a_service_that_is_entered_twice(tmp_path: Path) -> None:
    """The proxy sends nothing to either address; the user is told what is wrong with it."""
    async with world_in(tmp_path, outbound=CHECKED) as world:
        enter_twice(world)
        issue = await refused(world.ambulance, "r", referral())

        assert "Bundle.entry[0].resource.destination[0].endpoint" == issue["path"]
        assert "two addresses" in issue["problem"]
        assert [] == world.forwarded()


async def test_scenario_8_without_the_check_it_is_the_proxys_refusal(world: World) -> None:
    """404 ends the message, and the outcome says that the fault is BaRS's."""
    enter_twice(world)
    receipt = await world.ambulance.sent("r.json", referral())
    outcome = await world.ambulance.outcome(receipt["request_id"])

    assert ("refused", 404, "PROXY") == (
        outcome["state"],
        outcome["http_status"],
        outcome["fault"],
    )


async def test_junk_that_a_service_publishes_is_forgotten_within_minutes(tmp_path: Path) -> None:
    """The request is sent, marked as unchecked; and once the service makes sense, it is asked."""
    only_pharmacy = 'applications = {a5 = ["2.0.0"]}'
    junk = Said({"resourceType": "OperationOutcome"})
    async with world_in(tmp_path, outbound=CHECKED, asked=only_pharmacy) as world:
        async with answering_reads(world, lambda _kind, _of: junk):
            receipt = await world.ambulance.sent("first.json", referral())
        await world.ambulance.restart()  # which forgets the pause, and no answer that was kept
        issue = await refused(world.ambulance, "second", referral())

        assert "not what it was asked for" in receipt["target_unchecked"]
        assert ("E05", "ServiceRequest.category") == (issue["rule"], issue["path"])


async def test_scenario_9_definitions_that_nobody_can_believe(tmp_path: Path) -> None:
    """They keep no request back, and the operator reads that it went unchecked."""
    with capture_logs() as lines:
        async with world_in(tmp_path, outbound=CHECKED, counterparty=True) as world:
            await acknowledged(world.ambulance, "r", referral(receiver=INVALID))
    (told,) = [line for line in lines if line["event"] == "epr.target_unchecked"]

    assert (INVALID, "warning") == (told["receiver"], told["log_level"])
    assert "its definitions" in told["reason"]
