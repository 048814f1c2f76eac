"""What a running gateway has its audit trail tell: starts, stops, changes; nothing of a patient."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from messages import referral
from world import Node, World, eventually, in_time, world_in

from bars_gateway.permissions import whoever_types
from bars_gateway.sandbox.registry import Authority
from bars_gateway.store.chain import walked

pytestmark = pytest.mark.both_engines


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_in(tmp_path) as running:
        yield running


def told(node: Node, kind: str) -> list[dict[str, object]]:
    found = node.ask("SELECT detail FROM events WHERE kind = ? ORDER BY id", kind)
    return [json.loads(detail) for (detail,) in found]


async def test_starts_stops_and_what_changed_are_in_the_trail(world: World) -> None:
    """Which setting, and not into what; how a start found what the stop before it had left."""
    node = world.hospital
    await node.restart()
    node.extra = "[callers]\nmax_connections_per_address = 517"
    await node.restart()

    assert 3 == len(told(node, "gateway.started"))
    assert 2 == len(told(node, "gateway.stopped"))
    assert [True] * 3 == [each["after_orderly_stop"] for each in told(node, "gateway.started")]
    assert [whoever_types()] * 3 == [each["who"] for each in told(node, "gateway.started")]
    changed = [each["names"] for each in told(node, "settings.changed")]
    assert ["callers.max_connections_per_address"] in changed
    assert "517" not in json.dumps(told(node, "settings.changed"))


async def test_a_new_certificate_is_in_the_trail_by_its_fingerprint(world: World) -> None:
    """Taken while the gateway runs, as soon as two looks have found it the same."""
    node, now = world.hospital, datetime.now(UTC)
    folder = world.folder / "new"
    folder.mkdir()
    authority = Authority.at(world.folder / "sandbox" / "authorities", "receivers", now)
    authority.issue(folder, "server", f"{node.name}.sandbox.local", "server", now)
    node.registered.certificate_key_file.write_bytes((folder / "server.key").read_bytes())
    node.registered.certificate_file.write_bytes((folder / "server.pem").read_bytes())
    node.gateway.reloader.ask()
    (line,) = await eventually(lambda: told(node, "certificate.changed"))

    assert ("reload", "for receiving") == (line["by"], line["name"])
    assert line["certificates"]


@pytest.mark.of_sqlite
async def test_what_an_operator_did_beside_the_gateway_is_in_the_trail(world: World) -> None:
    """A backup, an export, a user: who, what and when."""
    node = world.hospital
    await node.ran("backup", str(world.folder / "copy.db"))
    await node.ran(
        "audit", "export", str(world.folder / "trail.jsonl"), "--why", "INC1", "--by", "jo"
    )
    (copy,) = await eventually(lambda: told(node, "operator.backed_up"))
    (exported,) = await eventually(lambda: told(node, "audit.exported"))

    assert str(world.folder / "copy.db") == copy["file"]
    assert ("jo", "INC1", "operator") == (exported["who"], exported["why"], exported["role"])


async def test_the_trail_of_two_gateways_holds_and_has_no_patient(world: World) -> None:
    """A referral that went from one to the other: no name, number, address or date of birth."""
    sent = await world.ambulance.sent("a.json", referral())
    await world.ambulance.outcome(sent["request_id"])

    async def is_there() -> bool:
        return bool(told(world.hospital, "message.received"))

    await in_time(is_there)
    for node in (world.ambulance, world.hospital):
        walk = await node.seen(walked)
        lines = await asyncio.to_thread(node.ask, "SELECT * FROM events")
        text = "\n".join(" ".join(map(str, line)) for line in lines)

        assert [] == walk.breaches
        assert walk.lines >= 2  # its start, and the message
        assert len(PATIENT) > 3
        assert [] == [word for word in PATIENT if word in text]


SAID = {"family", "given", "birthDate", "line", "postalCode"}


def said_of_a_patient(value: object, key: str = "") -> list[str]:
    """Return what a document says of whoever it is about, and every NHS number in it."""
    if isinstance(value, dict):
        return [word for name, each in value.items() for word in said_of_a_patient(each, name)]
    if isinstance(value, list):
        return [word for each in value for word in said_of_a_patient(each, key)]
    is_number = isinstance(value, str) and value.isdigit() and len(value) == 10
    return [str(value)] if key in SAID or is_number else []


(REQUEST,) = (
    entry["resource"]
    for entry in json.loads(referral())["entry"]
    if entry["resource"]["resourceType"] == "Patient"
)
PATIENT = said_of_a_patient(REQUEST)
