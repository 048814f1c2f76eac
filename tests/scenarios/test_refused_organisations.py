"""Whom a provider takes nothing from (scenario 102): 401, whatever is asked, and nothing kept."""

from pathlib import Path
from urllib.parse import quote

import pytest
from messages import RECEIVER, referral
from moving import state
from structlog.testing import capture_logs
from world import eventually, get, headers, post, world_in

from bars_gateway.sandbox.counterparty.services import ODS_CODE, own_service
from bars_gateway.standard.bundle import read
from bars_gateway.standard.headers import ODS, encode
from bars_gateway.standard.rule import sender_codes
from bars_gateway.standard.workflow import State

pytestmark = pytest.mark.both_engines

ABSENT = "9658499171"  # the official patient who does not come
AGREED = 'rules = {"*" = {G11 = "off"}}'  # the withdrawn response, by agreement


def organisation(code: str) -> str:
    """Return the header that says who asks."""
    return encode({"resourceType": "Organization", "identifier": [{"system": ODS, "value": code}]})


@pytest.mark.parametrize(
    ("refused", "expected", "then"),
    [([ODS_CODE], 401, State.ACTIVE), ([], 200, State.DECLINED)],
    ids=["refused", "as-everybody"],
)
async def test_scenario_102_a_no_show_response_that_is_not_authorised(
    tmp_path: Path, refused: list[str], expected: int, then: State
) -> None:
    """The referral stands as it was, and the response is not even quarantined."""
    async with world_in(tmp_path, counterparty=True) as world:
        world.ambulance.asked = f"refused_organisations = {refused}\n{AGREED}"
        await world.ambulance.restart()
        body = referral(receiver=own_service("a1").identifier, nhs_number=ABSENT)
        receipt = await world.ambulance.sent("r.json", body)
        await world.ambulance.outcome(receipt["request_id"])
        _, answered = await eventually(lambda: len(f := world.forwarded()) > 1 and f[:2])

        assert expected == answered["receiver_status"]
        assert then == await state(world.ambulance, receipt["request_id"])
        assert 0 == await world.ambulance.rows("quarantine")


OWN = "".join(sender_codes(read(referral())))


@pytest.mark.parametrize(
    ("asked", "code", "expected", "told"),
    [
        ("", "ZX905", 200, 1),
        ("same_organisation = true", "ZX905", 401, 1),
        ("same_organisation = true", OWN, 200, 0),
        ("same_organisation = true", "", 200, 0),
    ],
    ids=["by-default", "where-it-is-asked-for", "the-same", "a-header-without-a-code"],
)
async def test_a_header_that_names_another_organisation_than_the_message(
    tmp_path: Path, asked: str, code: str, expected: int, told: int
) -> None:
    """The log says so; where the provider asks for it, the message is refused, and nothing kept."""
    sent = headers(NHSD_End_User_Organisation=organisation(code))
    with capture_logs() as logs:
        async with world_in(tmp_path, asked=asked) as world:
            status, _, _ = await post(world, referral(), sent)
            kept = await world.hospital.rows("messages")
    events = [entry["event"] for entry in logs]

    assert (expected, told) == (status, events.count("inbound.organisations_differ"))
    assert (expected == 200) == bool(kept)


async def test_whoever_is_refused_is_refused_everything(tmp_path: Path) -> None:
    """Messages, reads, and what is published (CS-198); not even its ids are stored (CS-067)."""
    asked = 'questions = "socket"\nrefused_organisations = ["ZX905"]'
    sent = headers(NHSD_End_User_Organisation=organisation("zx905"))
    async with world_in(tmp_path, asked=asked) as world:
        statuses = [
            (await get(world, path, sent))[0]
            for path in ("/metadata", f"/MessageDefinition?context={quote(RECEIVER)}", "/Slot")
        ]
        status, _, outcome = await post(world, referral(), sent)
        again, _, _ = await post(world, referral(), headers())
        (issue,) = outcome["issue"]

        assert [401] * 4 == [*statuses, status]
        assert ("REC_UNAUTHORIZED", "security") == (
            issue["details"]["coding"][0]["code"],
            issue["code"],
        )
        assert (200, 1) == (again, await world.hospital.rows("ledger"))
