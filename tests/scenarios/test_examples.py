"""
What becomes of each published message, JSON and XML, handed to one gateway for another.

The table was reviewed message by message against the guide. `Arrives`: byte for byte
into the other EPR's folder. `RefusedHere`: by which rules and at which FHIR paths,
before anything left. `RefusedThere`: with which status and code, in the outcome.
"""

import hashlib
import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from world import Node, World, eventually, world_in

from bars_gateway.standard.bundle import read

pytestmark = pytest.mark.both_engines

HEADER = "Bundle.entry[0].resource"


@dataclass(frozen=True)
class Arrives:
    """It is acknowledged, and lies in the other EPR's folder."""


@dataclass(frozen=True)
class RefusedHere:
    """It never left: every rule that it breaks, with the path."""

    issues: frozenset[tuple[str, str]]


@dataclass(frozen=True)
class RefusedThere:
    """The other gateway said no."""

    http_status: int
    code: str


Fate = Arrives | RefusedHere | RefusedThere


def here(*issues: tuple[str, str]) -> Fate:
    return RefusedHere(frozenset(issues))


USE_CASE = ("R02", "Bundle.entry[1].resource.category")
DEFINITION = ("M14", f"{HEADER}.definition")
NOT_ASKED = RefusedThere(501, "REC_NOT_IMPLEMENTED")
OVER = here(("G01", HEADER))
REUSED = RefusedThere(400, "REC_BAD_REQUEST")
NO_WORKFLOW = RefusedThere(404, "REC_NOT_FOUND")


def journey(entry: int) -> tuple[str, str]:
    return "B17", f"Bundle.entry[{entry}].resource.episodeOfCare[0].reference"


FATES: dict[str, Fate] = {
    # Only the Receiver's EPR knows whether a slot is free, and this one is not asked.
    "BOOKREQ01-Booking-Request-New-Full": NOT_ASKED,
    # A cancellation that says `new` and names no booking.
    "BOOKREQ02-Booking-Request-Cancelled": here(
        ("K04", f"{HEADER}.reason.coding.code"),
        ("K04", "Bundle.entry[1].resource.id"),
    ),
    # It refers to an Encounter that it does not contain.
    "TKW-New-Booking-Request-HappyPath-Full": here(
        ("B17", "Bundle.entry[2].resource.encounter.reference"),
        ("K06", "Bundle.entry[1].resource.serviceCategory"),
    ),
    "REFREQ01-Referral-Service-Request-New-Full-111-to-ED": Arrives(),
    "REFREQ03-Referral-Service-Request-New-Full-GP-to-CPCS-Minor-Illness": Arrives(),
    "REFREQ04-Referral-Service-Request-CAD-Out-of-Area": Arrives(),
    # Application 5 withdrew the use case with 1.2.0; an agreement lets it through (scenario 59).
    "REFREQ06-Referral-Service-Request-New-Full-GP-to-BP-ABPM": here(
        ("R03W", "Bundle.entry[1].resource.category"),
    ),
    # It has the Bundle.id of REFREQ04, which went before it from the same service (B05).
    "REFREQ8A-Referral-Service-Request-CAD-Out-of-Area-C1-1-of-4-Initial": REUSED,
    # What they change was refused as REFREQ8A.
    "REFREQ8B-Referral-Service-Request-CAD-Out-of-Area-C1-2-of-4-Update": OVER,
    "REFREQ8C-Referral-Service-Request-CAD-Out-of-Area-C1-3-of-4-Update": OVER,
    "REFREQ8D-Referral-Service-Request-CAD-Out-of-Area-C1-4-of-4-Final-Update": OVER,
    # The no-show response, which Application 1 has withdrawn.
    "REFRESP01-Referral-Service-Request-Response-New-Full-ED-to-111-Safeguarding-DNA-Feedback": (
        here(("G11", HEADER))
    ),
    # Its source has eleven digits, and is nobody's service.
    "REFRESP03-Referral-Service-Request-Response-CAD-Out-of-Area-Response": here(
        ("M06S", f"{HEADER}.source.endpoint"),
    ),
    "REFREQ03-Referral-Service-Request-New-Full-Primary-Care-to-Community-Pharmacy-Minor-Illness": (
        Arrives()
    ),
    # From a service of another system, with references to what it does not contain.
    "REFREQ11-Referral-Service-Request-Internal-broker-AandG-To-e-RS": here(
        ("M06S", f"{HEADER}.source.endpoint"),
        ("B17", "Bundle.entry[3].resource.activity[1].detail.performer[1].reference"),
        ("B17", "Bundle.entry[3].resource.activity[1].detail.performer[2].reference"),
    ),
    # The test kit's messages are older than use cases, and some than today's definitions; they
    # point at an EpisodeOfCare as if it stood in the Bundle.
    "TKW-New-Referral-Service-Request-HappyPath-111-to-ED-Stateful-Linked": here(
        USE_CASE, journey(3)
    ),
    "TKW-New-Referral-Service-Request-HappyPath-111-to-ED-Stateful-UnLinked": here(
        USE_CASE, journey(3)
    ),
    "TKW-New-Referral-Service-Request-HappyPath": here(
        USE_CASE, DEFINITION, journey(3), ("B16", "Bundle.entry[7].fullUrl")
    ),
    "TKW-Update-Referral-Service-Request-HappyPath": here(
        USE_CASE,
        DEFINITION,
        journey(3),
        ("B16", "Bundle.entry[7].fullUrl"),
        ("R10", "Bundle.entry[1].resource.id"),
    ),
    "TKW-New-Validation-Request-HappyPath": here(
        USE_CASE,
        DEFINITION,
        journey(3),
        ("B16", "Bundle.entry[9].fullUrl"),
        ("M06S", f"{HEADER}.source.endpoint"),
    ),
    "TKW-Update-Validation-Request-HappyPath": here(
        USE_CASE, DEFINITION, journey(3), ("B16", "Bundle.entry[9].fullUrl")
    ),
    "TKW-New-Interim-Validation-Response-HappyPath": here(
        USE_CASE, journey(2), journey(3), ("B16", "Bundle.entry[5].fullUrl")
    ),
    "TKW-New-Validation-Response-HappyPath": here(
        USE_CASE, journey(3), journey(4), ("B16", "Bundle.entry[7].fullUrl")
    ),
    # http instead of https, and no use case.
    "API-ValidationRequest-POST": here(
        ("M08", f"{HEADER}.source.endpoint"),
        ("M08", f"{HEADER}.destination[0].endpoint"),
        ("R02", "Bundle.entry[1].resource.category"),
    ),
    # A cancellation that does not name what it cancels.
    "SERVREQ01-Service-Request-Update-Revoked": here(("R10", "Bundle.entry[1].resource.id")),
    "VALREQ01-Validation-Service-Request-New-Full-999-to-CAS": REUSED,  # by REFREQ04, too
    "VALREQ02-Validation-Service-Request-Update-Full-999-to-CAS-Lower-Priority": NOT_ASKED,
    # An acknowledgement reads like the request that it mirrors, but for the second Encounter.
    "VALRESP01-Validation-Response-HTTP-Response-Acknowledgment-CAS-to-999-Planned-0-of-2": here(
        ("B22", "Bundle.entry[4].resource"),
    ),
    # Published unswapped: as if the ambulance answered the hospital, which asked nothing.
    "VALRESP01A-Validation-Response-New-Interim-CAS-to-999-In-progress-1-of-2": NO_WORKFLOW,
    "VALRESP01B-Validation-Response-Update-Full-CAS-to-999-Finished-2-of-2": NO_WORKFLOW,
    "VALRESP05-Validation-Response-Falls-to-999-Finished-copy": NO_WORKFLOW,
}
FROM_THE_HOSPITAL = {name for name in FATES if name.startswith("REFRESP")}


async def fate_of(node: Node, file: Path) -> Fate:
    """Drop the file, what is new in a conversation of its own, and wait for what becomes of it."""
    # The times of published messages are over: that of the envelope counts before them.
    needed_by = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    said, body = {"needed_by": needed_by}, file.read_bytes()
    message = read(body, f"application/fhir+{file.suffix[1:]}")
    if message.reason == "new" and message.event.endswith("-request"):
        said["correlation_id"] = str(uuid.uuid4())  # what comes later goes on in that of its case
    node.drop(file.name, body, json.dumps(said).encode())
    accepted = node.spool / "outbox" / "accepted" / f"{file.stem}.receipt.json"
    refused = node.spool / "outbox" / "refused" / f"{file.stem}.reason.json"
    await eventually(lambda: accepted.exists() or refused.exists())
    if refused.exists():
        issues = json.loads(refused.read_bytes())["issues"]
        return here(*((issue["rule"], issue["path"]) for issue in issues))
    outcome = await node.outcome(json.loads(accepted.read_bytes())["request_id"])
    if outcome["state"] == "acknowledged":
        return Arrives()
    return RefusedThere(outcome["http_status"], outcome["code"])


async def fates_in(world: World, files: list[Path]) -> dict[str, Fate]:
    return {
        file.stem: await fate_of(
            world.hospital if file.stem in FROM_THE_HOSPITAL else world.ambulance, file
        )
        for file in files
    }


def both(world: World) -> list[Path]:
    """Return the messages in either EPR's folder."""
    nodes = (world.hospital, world.ambulance)
    return [file for node in nodes for file in node.files("inbox/new/*.message.*")]


@pytest.mark.reference_data
@pytest.mark.parametrize("written_in", ["json", "xml"])
async def test_each_published_message_has_its_expected_fate(
    tmp_path: Path, reference_data: Path, written_in: str
) -> None:
    """The reviewed table; and what arrives does so byte for byte, in the format it came in."""
    files = sorted((reference_data / "examples" / "messages").glob(f"*/{written_in}/*"))
    async with world_in(tmp_path, services=("2222222222", "111111111")) as world:
        found = await fates_in(world, files)
        expected = [file.read_bytes() for file in files if FATES[file.stem] == Arrives()]
        arrived = await eventually(lambda: len(a := both(world)) >= len(expected) and a)
        digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in arrived]

    assert {file.stem: FATES[file.stem] for file in files} == found
    assert sorted(hashlib.sha256(body).hexdigest() for body in expected) == sorted(digests)
    assert {f".{written_in}"} == {file.suffix for file in arrived}


@pytest.mark.reference_data
def test_the_table_names_every_published_message_and_no_other(reference_data: Path) -> None:
    """A message that appears, or goes, is noticed."""
    files = (reference_data / "examples" / "messages").glob("*/*/*")

    assert set(FATES) == {file.stem for file in files}
