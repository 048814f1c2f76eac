"""
What a Receiver answers, scenario by scenario, over mutual TLS: the rules as a Sender meets them.

They share two gateways, whose EPRs say yes to whatever they are asked, but that the hospital
knows none but its own records. Each test looks only at what is in its own conversation.
"""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from asked_epr import YES, Document, answering
from bookings import booking, cancelled_referral, change_of, slot_query
from breaks import BREAKS
from messages import RECEIVER, SENDER, referral, validation_request
from moving import PLAN, move, sent, state, transfer
from variants import a_pharmacy_referral, resource
from world import World, eventually, get, headers, issue, post, world_in

from bars_gateway.standard.workflow import State

pytestmark = pytest.mark.asyncio(loop_scope="module")
UNKNOWN = "00000000-0000-4000-8000-000000000097"


def says(question: Document) -> Document:
    about = question.get("focus_id")
    return {"refuse": "not-found"} if about == UNKNOWN else YES


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    asked = """
questions = "socket"
refused_use_cases = ["a1t2"]
rules = {"*" = {P03 = "error"}}"""
    async with AsyncExitStack() as stack:
        folder = tmp_path_factory.mktemp("wire")
        running = await stack.enter_async_context(world_in(folder, asked=asked))
        await stack.enter_async_context(answering(running.hospital.socket, says))
        yield running


def broken(rule: str, path: str) -> bytes:
    """Return the message of the table that breaks *rule* in that place."""
    case = next(each for each in BREAKS if (each.rule, each.path) == (rule, path))
    bundle = case.message()
    case.change(bundle)
    return json.dumps(bundle).encode()


def without(kind: str) -> bytes:
    bundle = json.loads(referral())
    bundle["entry"] = [e for e in bundle["entry"] if e["resource"]["resourceType"] != kind]
    return json.dumps(bundle).encode()


BAD, UNFIT = ("REC_BAD_REQUEST", "invariant"), ("REC_UNPROCESSABLE_ENTITY", "not-supported")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(referral(use_case="a1t2"), (422, UNFIT), id="11-use-case-not-served"),
        pytest.param(broken("B08", "Bundle.meta.versionId"), (422, UNFIT), id="12-other-version"),
        pytest.param(broken("B07", "Bundle.meta.versionId"), (400, BAD), id="12-no-version"),
        pytest.param(
            broken("P03", "Patient.identifier[0].extension"), (400, BAD), id="20-number-status"
        ),
        pytest.param(broken("R07", "CarePlan.status"), (400, BAD), id="43-care-plan"),
        pytest.param(without("Consent"), (400, BAD), id="44-no-consent"),
    ],
)
async def test_scenarios_11_12_20_43_and_44_what_is_refused_is_not_kept(
    world: World, body: bytes, expected: tuple[int, tuple[str, str]]
) -> None:
    """With the guide's status and code; and again, if it comes again."""
    asked = headers()
    status, _, outcome = await post(world, body, asked)
    again, _, repeated = await post(world, body, asked)

    assert expected == (status, issue(outcome))
    assert (status, outcome) == (again, repeated)
    assert await world.hospital.history(asked["X-Request-Id"]) is None


async def test_scenario_10_the_format_that_the_parameter_asks_for(world: World) -> None:
    """It wins over the Accept header."""
    asked = headers(Accept="application/fhir+xml")
    status, answered, bundle = await post(
        world, referral(), asked, "/$process-message?_format=application/fhir%2Bjson"
    )

    assert (200, "Bundle") == (status, bundle["resourceType"])
    assert answered["Content-Type"].startswith("application/fhir+json")


async def test_scenario_16_slots_of_an_unknown_service(world: World) -> None:
    """The EPR is not asked about what is not its own."""
    query = slot_query(service="Schedule.actor:HealthcareService=2000000999")
    status, _, outcome = await get(world, f"/Slot?{query}", headers())

    assert (404, ("REC_NOT_FOUND", "not-found")) == (status, issue(outcome))


async def test_scenario_45_a_destination_that_is_not_ours(world: World) -> None:
    """Though the headers name us: whom a message is for, it says itself."""
    body = referral(receiver=RECEIVER.replace("2000000202", "2000000999"))
    status, _, outcome = await post(world, body, headers())

    assert 422 == status
    assert "REC_UNPROCESSABLE_ENTITY" == issue(outcome)[0]


async def test_scenario_26_a_booking_is_cancelled_twice(world: World) -> None:
    """Under a new X-Request-Id the second is a conflict: what it wants is so already."""
    _, _, booked = await post(world, booking(), headers())
    asked = [headers(), headers()]
    answers = [await post(world, change_of(booked, status="cancelled"), each) for each in asked]

    assert [200, 409] == [status for status, _, _ in answers]
    assert ("REC_CONFLICT", "conflict") == issue(answers[1][2])
    assert State.CANCELLED == await state(world.hospital, asked[0]["X-Request-Id"])


async def test_scenario_47_what_was_entered_in_error(world: World) -> None:
    """It is over, as after a cancellation."""
    _, _, taken = await post(world, referral(), headers())
    asked = headers()
    status, _, _ = await post(world, cancelled_referral(taken, "entered-in-error"), asked)

    assert (200, State.CANCELLED) == (
        status,
        await state(world.hospital, asked["X-Request-Id"]),
    )


@pytest.mark.parametrize(
    ("use_case", "expected"), [("a1t1", 400), ("a5t1", 400), ("a3t1", 200)], ids=str
)
async def test_scenarios_54_and_57_an_update_where_there_is_none(
    world: World, use_case: str, expected: int
) -> None:
    """Application 3 contradicts itself, and is forgiven; the others know none."""
    body = referral(use_case=use_case)
    if use_case == "a5t1":
        body = json.dumps(a_pharmacy_referral()).encode()
    asked = headers()
    first, _, taken = await post(world, body, asked)
    status, _, _ = await post(world, change_of(taken), headers())

    assert (200, expected) == (first, status)
    assert State.ACTIVE == await state(world.hospital, asked["X-Request-Id"])


async def test_scenario_58_a_referral_to_a_pharmacy(world: World) -> None:
    """It is taken, with who sent it."""
    asked = headers()
    status, _, _ = await post(world, json.dumps(a_pharmacy_referral()).encode(), asked)
    history = await world.hospital.history(asked["X-Request-Id"])

    assert 200 == status
    assert history is not None
    assert ("a5t1", SENDER) == (history.workflow.use_case, history.workflow.counterparty)


async def test_scenario_97_an_update_of_an_unknown_transfer(world: World) -> None:
    """The EPR knows none such: 404."""
    _, _, taken = await post(world, transfer("a6t1"), headers())
    status, _, outcome = await post(world, change_of(taken, id=UNKNOWN), headers())

    assert (404, ("REC_NOT_FOUND", "not-found")) == (status, issue(outcome))


async def test_scenario_99_an_update_with_two_encounters(world: World) -> None:
    """The acknowledgement had the Receiver's own, and the guide's examples send it back."""
    _, _, taken = await post(world, transfer("a6t1"), headers())
    update = change_of(taken)
    kinds = [e["resource"]["resourceType"] for e in json.loads(update)["entry"]]
    status, _, _ = await post(world, update, headers())

    assert (2, 200) == (kinds.count("Encounter"), status)


async def test_scenario_108_the_same_bundle_id_from_two_senders(world: World) -> None:
    """An id is its sender's, not the world's."""
    bundle_id, other = str(uuid4()), SENDER.replace("2000000101", "2000000109")
    asked = [headers(), headers()]
    statuses = [
        (await post(world, referral(bundle_id=bundle_id, sender=sender), each))[0]
        for sender, each in zip((SENDER, other), asked, strict=True)
    ]
    found = [await world.hospital.history(each["X-Request-Id"]) for each in asked]

    assert [200, 200] == statuses
    assert 2 == len({each.workflow.workflow_id for each in found if each is not None})


async def test_scenario_121_an_instant_goes_back_as_it_came(world: World) -> None:
    """With its offset of summer time and its seven digits."""
    written = "2026-06-01T10:00:00.1234567+01:00"
    bundle = json.loads(referral())
    resource(bundle, "ServiceRequest")["authoredOn"] = written
    status, _, taken = await post(world, json.dumps(bundle).encode(), headers())

    assert 200 == status
    assert written in json.dumps(taken)


class TestBetweenTheTwo:
    """Moves of an EPR, and what they do on both sides."""

    async def test_scenario_69_a_validation_is_cancelled_after_it_began(self, world: World) -> None:
        """It is read first, is current, and is cancelled on both sides."""
        await self._cancelled(world, validation_request())

    async def test_scenario_96_a_transfer_is_cancelled_under_way(self, world: World) -> None:
        """The crew is called back by telephone as well; the record says that it is over."""
        await self._cancelled(world, transfer("a6t1"))

    async def _cancelled(self, world: World, body: bytes) -> None:
        receipt = await self._asked(world, body)
        await sent(world.hospital, move(receipt["request_id"], "progress"))
        document = await sent(world.ambulance, move(receipt["request_id"], "cancel"))

        assert {State.CANCELLED} == {
            await state(world.ambulance, receipt["request_id"]),
            await state(world.hospital, document["request_id"]),
        }

    async def test_scenario_82_a_third_encounter(self, world: World) -> None:
        """The ambulance that was sent out on the case, which the CarePlan names."""
        receipt = await self._asked(world, validation_request())
        other = {
            "resourceType": "Encounter",
            "id": str(uuid4()),
            "identifier": [{"system": "https://example.org/incident", "value": "S2201240528"}],
            "status": "planned",
            "class": {
                "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
                "code": "EMER",
            },
        }
        named = [{"outcomeReference": [{"reference": f"Encounter/{other['id']}"}]}]
        plan = PLAN | {"activity": named}
        asked = move(receipt["request_id"], "conclude", outcome="action", resources=[other, plan])
        document = await sent(world.hospital, asked)
        kinds = [e["resource"]["resourceType"] for e in document["message"]["entry"]]
        got = await eventually(
            lambda: [
                file
                for file in world.ambulance.files("inbox/new/*.message.json")
                if b"S2201240528" in file.read_bytes()
            ]
        )

        assert (3, 1) == (kinds.count("Encounter"), len(got))

    async def test_scenario_87_a_transfer_is_updated(self, world: World) -> None:
        """Twice, and both are of the same workflow at the Receiver."""
        receipt = await self._asked(world, transfer("a6t1"))
        documents = [
            await sent(world.ambulance, move(receipt["request_id"], "update")) for _ in range(2)
        ]
        numbers = [receipt["request_id"], *(each["request_id"] for each in documents)]
        found = [await world.hospital.history(number) for number in numbers]

        assert 1 == len({each.workflow.workflow_id for each in found if each is not None})
        assert None not in found

    async def _asked(self, world: World, body: bytes) -> dict[str, Any]:
        name = str(uuid4())
        receipt = await world.ambulance.sent(f"{name}.json", body)
        outcome = await world.ambulance.outcome(receipt["request_id"])
        assert "acknowledged" == outcome["state"]
        return receipt
