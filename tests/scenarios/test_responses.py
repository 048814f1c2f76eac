"""The conversation closes: responses find the request that they answer, on two installs."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from messages import SENDER, validation_request
from telling import told
from world import World, eventually, headers, post

from bars_gateway.demo.messages import response
from bars_gateway.standard.formats import Format, converted
from bars_gateway.standard.workflow import State

pytestmark = pytest.mark.both_engines


async def requested(world: World) -> tuple[dict[str, Any], bytes]:
    """Send a validation request; return its receipt and the hospital's acknowledgement."""
    receipt = await world.ambulance.sent("request.json", validation_request())
    await world.ambulance.outcome(receipt["request_id"])
    (answer,) = await eventually(lambda: world.hospital.files("inbox/new/*.answer.json"))
    return receipt, answer.read_bytes()


async def answered(world: World, name: str, body: bytes) -> dict[str, Any]:
    """Send a response from the hospital; return the outcome."""
    receipt = await world.hospital.sent(name, body)
    return await world.hospital.outcome(receipt["request_id"])


async def state(world: World, receipt: dict[str, Any]) -> State:
    history = await world.ambulance.history(receipt["request_id"])
    assert history is not None
    return history.workflow.state


async def received(world: World, count: int) -> list[dict[str, Any]]:
    """Return the notices about what came to the ambulance, in order, once there are so many."""
    files = await eventually(
        lambda: len(f := world.ambulance.files("inbox/new/*.notice.json")) >= count and f
    )
    return [json.loads(file.read_bytes()) for file in files]


async def test_a_validation_runs_from_request_to_final_response(world: World) -> None:
    """Interim, then final as an update: the same conversation, one workflow on either side."""
    receipt, acknowledgement = await requested(world)
    interim = await answered(world, "i.json", response(acknowledgement, encounter="in-progress"))
    halfway = await state(world, receipt)
    final = await answered(
        world, "f.json", response(acknowledgement, encounter="finished", reason="update")
    )

    assert ["acknowledged"] * 2 == [interim["state"], final["state"]]
    assert [State.IN_PROGRESS, State.COMPLETED] == [halfway, await state(world, receipt)]
    notices = await received(world, 2)
    assert ["progress", "conclude"] == [notice["move"] for notice in notices]
    assert {receipt["correlation_id"]} == {notice["correlation_id"] for notice in notices}


async def test_a_conversation_may_be_in_xml(world: World) -> None:
    """D-formats: request, acknowledgement and response, each stored and delivered as it went."""
    request = as_xml(validation_request())
    receipt = await world.ambulance.sent("request.xml", request)
    await world.ambulance.outcome(receipt["request_id"])
    (theirs,) = await eventually(lambda: world.hospital.files("inbox/new/*.answer.xml"))
    (ours,) = await eventually(lambda: world.ambulance.files("inbox/new/*.answer.xml"))
    reply = as_xml(response(as_json(theirs), encounter="finished"))
    await answered(world, "f.xml", reply)
    (arrived,) = await eventually(lambda: world.hospital.files("inbox/new/*.message.xml"))
    (returned,) = await eventually(lambda: world.ambulance.files("inbox/new/*.message.xml"))

    assert (request, reply) == (arrived.read_bytes(), returned.read_bytes())
    assert theirs.read_bytes() == ours.read_bytes()
    assert State.COMPLETED == await state(world, receipt)


def as_xml(body: bytes) -> bytes:
    return converted(body, Format.JSON, Format.XML)


def as_json(file: Path) -> bytes:
    return converted(file.read_bytes(), Format.XML, Format.JSON)


async def test_a_rejection_closes_the_workflow(world: World) -> None:
    """Ownership returns to the Requester, and its EPR is told."""
    receipt, acknowledgement = await requested(world)
    rejection = ("RRNA", "Invented.")
    declined = response(acknowledgement, encounter="cancelled", rejection=rejection)
    await answered(world, "d.json", declined)

    assert State.DECLINED == await state(world, receipt)
    assert ["decline"] == [notice["move"] for notice in await received(world, 1)]


async def test_a_final_response_may_point_back_to_the_interim_one(world: World) -> None:
    """D-correlation: every Bundle.id of the workflow counts, in both directions."""
    receipt, acknowledgement = await requested(world)
    interim = response(acknowledgement, encounter="in-progress")
    await answered(world, "i.json", interim)
    final = response(
        acknowledgement,
        encounter="finished",
        reason="update",
        responds_to=json.loads(interim)["id"],
    )
    await answered(world, "f.json", final)

    assert State.COMPLETED == await state(world, receipt)


async def test_a_response_to_nothing_is_quarantined(world: World) -> None:
    """404 to its Sender, a copy kept, an alarm on the page; no EPR is bothered with it."""
    _, acknowledgement = await requested(world)
    orphan = response(
        acknowledgement,
        encounter="finished",
        responds_to="00000000-0000-4000-8000-000000000000",
    )
    outcome = await answered(world, "o.json", orphan)
    overview = await world.ambulance.overview()

    assert ("refused", 404, "REC_NOT_FOUND") == (
        outcome["state"],
        outcome["http_status"],
        outcome["code"],
    )
    assert 1 == overview.alarmed("inbound.quarantined")
    assert "inbound.quarantined" in [alarm.kind for alarm in overview.alarms]
    assert [] == world.ambulance.files("inbox/new/*.notice.json")


async def test_a_response_that_breaks_a_rule_is_told(world: World) -> None:
    """400 to its Sender, and an alarm here: it may have turned a patient down."""
    _, acknowledgement = await requested(world)
    broken = json.loads(response(acknowledgement, encounter="cancelled"))
    broken["entry"][0]["resource"]["invented"] = "no element of a MessageHeader"
    sent = headers(receiver=SENDER)
    status, _, _ = await post(world, json.dumps(broken).encode(), sent, node=world.ambulance)
    overview = await world.ambulance.overview()

    assert (400, 1) == (status, overview.alarmed("response.refused"))
    assert [sent["X-Request-Id"]] == [alarm.request_id for alarm in overview.alarms]


async def test_a_request_that_breaks_a_rule_is_no_alarm(world: World) -> None:
    """Its Sender knows that it was not taken, and nobody here waits for it."""
    broken = json.loads(validation_request())
    broken["entry"][0]["resource"]["invented"] = "no element of a MessageHeader"
    status, _, _ = await post(world, json.dumps(broken).encode(), headers())
    overview = await world.hospital.overview()

    assert (400, []) == (status, list(overview.alarms))


async def test_a_response_proves_that_its_request_arrived(world: World) -> None:
    """Scenario 71: what still waits for a retry is acknowledged by the response to it."""
    world.ambulance.extra += (
        "\n[timing.a4]\nfirst_retry_seconds = 600\nlongest_retry_seconds = 600\n"
    )
    world.ambulance.extra = world.ambulance.extra.replace("[timing.a4]", "[timing.a6]")
    await world.ambulance.restart()
    world.sandbox.faults.arm({"kind": "drop_after", "count": 1})
    receipt = await world.ambulance.sent(
        "request.json", validation_request(use_case="a6t1", version="1.0.0")
    )
    (answer,) = await eventually(lambda: world.hospital.files("inbox/new/*.answer.json"))
    body = response(answer.read_bytes(), encounter="in-progress")
    await answered(world, "i.json", body)
    outcome = await world.ambulance.outcome(receipt["request_id"])

    assert ("acknowledged", 1) == (outcome["state"], outcome["attempts"])
    assert State.IN_PROGRESS == await state(world, receipt)


async def test_a_late_interim_response_changes_no_state(world: World) -> None:
    """Scenario 72: it is stored and delivered, and nothing goes backwards."""
    receipt, acknowledgement = await requested(world)
    late = told(acknowledgement, "in-progress", ago=timedelta(minutes=1))
    await answered(world, "f.json", response(acknowledgement, encounter="finished"))
    status, _, _ = await post(world, late, headers(world.ambulance.service), node=world.ambulance)

    assert (200, State.COMPLETED) == (status, await state(world, receipt))
    notices = await received(world, 2)
    assert [("conclude", []), ("progress", ["after_end", "out_of_order"])] == [
        (notice["move"], notice["remarks"]) for notice in notices
    ]


async def test_what_is_over_is_not_answered_again(world: World) -> None:
    """The Responder's own user reads it at once, and nothing is sent."""
    _, acknowledgement = await requested(world)
    await answered(world, "f.json", response(acknowledgement, encounter="finished"))
    world.hospital.drop("i.json", response(acknowledgement, encounter="in-progress"))
    reason = await world.hospital.document("outbox/refused/i.reason.json")

    assert ["G04"] == [issue["rule"] for issue in reason["issues"]]


async def test_a_second_final_response_is_an_amendment(world: World) -> None:
    """Scenario 74: a person has to look at it, so the notice says so."""
    _, acknowledgement = await requested(world)
    await answered(world, "f.json", response(acknowledgement, encounter="finished"))
    second = response(acknowledgement, encounter="finished", reason="update")
    await answered(world, "g.json", second)

    assert ["message", "amended"] == [notice["kind"] for notice in await received(world, 2)]


async def test_unswapped_endpoints_are_forgiven(world: World) -> None:
    """Scenario 79: published responses name us as their source still; it goes in with a warning."""
    receipt, acknowledgement = await requested(world)
    bundle = json.loads(response(acknowledgement, encounter="in-progress"))
    header = bundle["entry"][0]["resource"]
    header["source"]["endpoint"], header["destination"][0]["endpoint"] = (
        world.ambulance.service,
        world.hospital.service,
    )
    sent = headers(world.ambulance.service)
    status, _, _ = await post(world, json.dumps(bundle).encode(), sent, node=world.ambulance)

    assert (200, State.IN_PROGRESS) == (status, await state(world, receipt))
