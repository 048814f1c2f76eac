"""A response that answered nothing, and the operator who knows where it belongs."""

import json
import uuid
from typing import Any

import pytest
from messages import NHS_NUMBER, validation_request
from world import World, eventually, headers, post

from bars_gateway.demo.messages import response
from bars_gateway.model.interventions import AGAINST
from bars_gateway.standard.workflow import State

pytestmark = pytest.mark.both_engines

NOWHERE = "00000000-0000-4000-8000-000000000000"


async def orphaned(
    world: World, change: dict[str, Any] | None = None
) -> tuple[dict[str, Any], bytes, dict[str, str]]:
    """Quarantine the answer to a request; return the request's receipt, and what came."""
    receipt = await world.ambulance.sent("request.json", validation_request())
    await world.ambulance.outcome(receipt["request_id"])
    (answer,) = await eventually(lambda: world.hospital.files("inbox/new/*.answer.json"))
    body = response(answer.read_bytes(), encounter="finished", responds_to=NOWHERE)
    if change:
        body = json.dumps(json.loads(body) | change).encode()
    sent = headers(world.ambulance.service)
    status, _, _ = await post(world, body, sent, node=world.ambulance)

    assert 404 == status
    return receipt, body, sent


async def typed(world: World, *arguments: str) -> tuple[int, str]:
    done = await world.ambulance.typed(*arguments)
    return done.code, done.out + done.err


async def attached(world: World, workflow: int, *more: str) -> tuple[int, str]:
    order = ("--why", "INC-7", "--by", "jo", *more)
    return await typed(world, "attach", "1", str(workflow), *order)


async def state(world: World, receipt: dict[str, Any]) -> State:
    history = await world.ambulance.history(receipt["request_id"])
    assert history is not None
    return history.workflow.state


async def test_an_operator_attaches_a_response(world: World) -> None:
    """The EPR gets the bytes as they came, flagged; the workflow moves; the concern is gone."""
    receipt, body, sent = await orphaned(world)
    listed = await typed(world, "quarantine")
    dry = await attached(world, receipt["workflow_id"], "--dry-run")
    before = await state(world, receipt)
    done = await attached(world, receipt["workflow_id"])
    (notice,) = await eventually(lambda: world.ambulance.files("inbox/new/*.notice.json"))
    (message,) = world.ambulance.files("inbox/new/*.message.json")
    history = await world.ambulance.history(sent["X-Request-Id"])

    assert (0, True, False) == (listed[0], NOWHERE in listed[1], "Patient" in listed[1])
    assert (0, "1: would be attached\n", State.ACTIVE) == (*dry, before)
    assert (0, "1: attached; the workflow is completed\n") == done
    told = json.loads(notice.read_bytes())
    assert (["attached"], body) == (told["remarks"], message.read_bytes())
    assert "nothing here had asked for it" in told["means"]
    assert (State.COMPLETED, 0) == (
        await state(world, receipt),
        (await world.ambulance.overview()).alarmed("inbound.quarantined"),
    )
    assert history is not None
    assert [("operator.attached", "INC-7")] == [
        (event.kind, json.loads(event.detail)["why"])
        for event in history.events
        if "attached" in event.kind
    ]


async def test_what_is_agreed_on_with_its_sender_holds_as_it_is_attached(world: World) -> None:
    """It says what it would have said, had its workflow been found at once."""
    world.ambulance.extra = '[providers.ambulance.rules."*"]\nB01M = "off"'
    await world.ambulance.restart()
    receipt, _, _ = await orphaned(world, {"implicitRules": "https://gateway.example/agreed"})
    done = await attached(world, receipt["workflow_id"])
    alarms = {each.kind for each in (await world.ambulance.overview()).alarms}

    assert (0, "1: attached; the workflow is completed\n") == done
    assert "inbound.modified" not in alarms


async def test_what_was_attached_comes_again(world: World) -> None:
    """The same X-Request-Id is a duplicate now, and a copy of the bytes is attached with them."""
    receipt, body, sent = await orphaned(world)
    first, _, _ = await post(world, body, sent, node=world.ambulance)
    copy = headers(world.ambulance.service)
    await post(world, body, copy, node=world.ambulance)
    await attached(world, receipt["workflow_id"])
    status, _, outcome = await post(world, body, sent, node=world.ambulance)
    again = await attached(world, receipt["workflow_id"])

    assert 0 == (await world.ambulance.overview()).alarmed("inbound.quarantined")
    assert (404, 409) == (first, status)
    assert "duplicate" == outcome["issue"][0]["code"]
    assert (1, "1: not done: it was attached before") == (again[0], again[1].partition(";")[0])
    assert 1 == len(await eventually(lambda: world.ambulance.files("inbox/new/*.notice.json")))


async def test_what_does_not_fit_is_not_attached(world: World) -> None:
    """Another record, or another NHS number in the right one: nothing is done, and it says why."""
    receipt, body, _ = await orphaned(world)
    other = validation_request(bundle_id=str(uuid.uuid4()))
    theirs = await world.ambulance.sent("other.json", other)
    await world.ambulance.outcome(theirs["request_id"])
    changed = body.replace(NHS_NUMBER.encode(), b"9000000033")
    sent = headers(world.ambulance.service)
    await post(world, changed, sent, node=world.ambulance)
    order = ("--why", "INC-7", "--by", "jo")
    record = await attached(world, theirs["workflow_id"])
    patient = await typed(world, "attach", "2", str(receipt["workflow_id"]), *order)
    unknown = await attached(world, 99)
    missing = await typed(world, "attach", "7", "1", *order)

    assert [AGAINST[code].text for code in ("other_record", "other_patient", "no_workflow")] == [
        line.removeprefix(f"{number}: not done: ").partition(";")[0]
        for number, (_, line) in ((1, record), (2, patient), (1, unknown))
    ]
    assert (
        "7: not done: no quarantined response has that number; `bars-gateway quarantine`"
        in (missing[1])
    )
    assert {1} == {record[0], patient[0], unknown[0], missing[0]}
    assert [State.ACTIVE] * 2 == [await state(world, receipt), await state(world, theirs)]
    assert [] == world.ambulance.files("inbox/new/*.notice.json")
