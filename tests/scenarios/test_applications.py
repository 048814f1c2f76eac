"""Scenarios about what single Applications take, each by its number, between real gateways."""

import json
from pathlib import Path

import pytest
from moving import arrived, made, move, requested, state
from variants import (
    Bundle,
    a_broker_referral,
    a_pharmacy_referral,
    a_validation,
    add,
    offer_choices,
    resource,
)
from world import Node, World, headers, issue, post, world_in

from bars_gateway.demo.messages import response
from bars_gateway.standard.workflow import State

pytestmark = pytest.mark.both_engines

WITHDRAWN = ["a5t2", "a5t3", "referraltopharmacy"]


def written(bundle: Bundle) -> bytes:
    return json.dumps(bundle).encode()


def pharmacy(use_case: str) -> bytes:
    return written(a_pharmacy_referral()).replace(b"a5t1", use_case.encode())


async def refused_rules(node: Node, name: str, body: bytes) -> list[str]:
    """Drop what is not taken; return the rules that it breaks."""
    node.drop(f"{name}.json", body)
    reason = await node.document(f"outbox/refused/{name}.reason.json")
    return [issue["rule"] for issue in reason["issues"]]


async def test_scenario_59_what_was_withdrawn_is_not_sent(world: World) -> None:
    """The user is told at once, whichever of the old codes it is."""
    rules = [await refused_rules(world.ambulance, code, pharmacy(code)) for code in WITHDRAWN]

    assert [["R03W"]] * 3 == rules
    assert [] == world.forwarded()


async def test_scenario_59_what_was_withdrawn_may_be_refused(tmp_path: Path) -> None:
    """422 not-supported, where a provider will have none of it: nothing is stored."""
    async with world_in(tmp_path, asked='rules = {"*" = {R03W = "error"}}') as world:
        answers = [await post(world, pharmacy(code), headers()) for code in WITHDRAWN]
        expected = (422, ("REC_UNPROCESSABLE_ENTITY", "not-supported"))

        assert [expected] * 3 == [(status, issue(outcome)) for status, _, outcome in answers]
        assert 0 == (await world.hospital.overview()).inbound


async def test_scenario_59_what_still_comes_is_taken(tmp_path: Path) -> None:
    """An agreement lets it out, and on receipt it is a warning: a patient stands behind it."""
    softened = '[providers.ambulance.rules."*"]\nR03W = "warning"'
    async with world_in(tmp_path, ambulance=softened) as world:
        receipts = [
            await world.ambulance.sent(f"{code}.json", pharmacy(code)) for code in WITHDRAWN
        ]
        outcomes = [await world.ambulance.outcome(each["request_id"]) for each in receipts]
        notices = await arrived(world.hospital, 3)

        assert ["acknowledged"] * 3 == [outcome["state"] for outcome in outcomes]
        assert set(WITHDRAWN) == {notice["use_case"] for notice in notices}


async def as_broker(world: World) -> str:
    """Have the hospital answer under the broker's own kind of identifier; return that."""
    world.hospital.more = ("https://fhir.nhs.uk/Id/ers-dos-service-id|1",)
    await world.hospital.restart()
    return world.hospital.more[0]


async def test_scenario_60_a_referral_to_the_broker(world: World) -> None:
    """Twenty services to choose from, for a patient whose NHS number is verified."""
    body = written(a_broker_referral(receiver=await as_broker(world)))
    receipt, notice = await requested(world, body)
    (came,) = world.hospital.files("inbox/new/*.message.json")

    assert State.ACTIVE == await state(world.ambulance, receipt["request_id"])
    assert ("a8t1", body) == (notice["use_case"], came.read_bytes())


async def test_scenario_61_what_the_broker_does_not_take(world: World) -> None:
    """Too many services, and a number that may be another patient's: neither leaves."""
    crowded, untraced = a_broker_referral(), a_broker_referral()
    offer_choices(crowded, 21)
    number = resource(untraced, "Patient")["identifier"][0]["extension"][0]
    number["valueCodeableConcept"]["coding"][0]["code"] = "number-present-but-not-traced"
    rules = [
        await refused_rules(world.ambulance, name, written(bundle))
        for name, bundle in (("crowded", crowded), ("untraced", untraced))
    ]

    assert [["R22B"], ["P03"]] == rules
    assert [] == world.forwarded()


async def test_scenario_61_a_broker_is_telephoned(world: World) -> None:
    """It knows no cancellation: the user reads what to do, and the referral stands."""
    receipt, _ = await requested(world, written(a_broker_referral()))
    words = move(receipt["request_id"], "cancel", text="Invented: got better")
    status, refused = await made(world.ambulance, words)

    assert 422 == status
    assert ["G12"] == [each["rule"] for each in refused["issues"]]
    assert "telephone the broker" in refused["issues"][0]["problem"]
    assert State.ACTIVE == await state(world.ambulance, receipt["request_id"])


def crowded_response(acknowledgement: bytes) -> bytes:
    """Return a final response that tells of two Encounters more than it has Responders."""
    bundle: Bundle = json.loads(response(acknowledgement, encounter="finished", reason="update"))
    for number in (3, 4):
        add(bundle, "Encounter", number, **{"class": {"code": "EMER"}}, status="finished")
    return written(bundle)


async def test_scenario_83_four_encounters_are_not_sent(world: World) -> None:
    """The Responder's user is told, and can say which of them it is about."""
    await requested(world, written(a_validation()))
    (answer,) = world.hospital.files("inbox/new/*.answer.json")
    rules = await refused_rules(world.hospital, "final", crowded_response(answer.read_bytes()))

    assert "B22" in rules


@pytest.mark.parametrize(
    ("agreed", "expected", "then"),
    [
        pytest.param("", (200, None), State.UNCLEAR, id="lenient"),
        pytest.param("error", (400, "invariant"), State.ACTIVE, id="strict"),
    ],
)
async def test_scenario_83_four_encounters_come(
    tmp_path: Path, agreed: str, expected: tuple[int, str | None], then: State
) -> None:
    """
    They are the only word about a patient; who wants them refused can have it so.

    Which of them says how far things are, nobody can tell: a person has to read it.
    """
    rules = f'[providers.ambulance.rules."*"]\nB22 = "{agreed}"' if agreed else ""
    async with world_in(tmp_path, ambulance=rules) as world:
        receipt, _ = await requested(world, written(a_validation()))
        (answer,) = world.hospital.files("inbox/new/*.answer.json")
        body = crowded_response(answer.read_bytes())
        asked = headers(world.ambulance.service)
        status, _, outcome = await post(world, body, asked, node=world.ambulance)
        code = issue(outcome)[1] if "issue" in outcome else None

        assert expected == (status, code)
        assert then == await state(world.ambulance, receipt["request_id"])
