"""An EPR that decides about responses, too: asked while the Responder waits, and never twice."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from asked_epr import YES, answering, epr_at
from messages import NHS_NUMBER, SENDER, validation_request
from telling import emptied
from telling import told as stamped
from world import World, answered_in_time, eventually, headers, post, world_in

from bars_gateway.demo.messages import response
from bars_gateway.standard import xml
from bars_gateway.standard.bundle import from_json
from bars_gateway.standard.workflow import State

pytestmark = pytest.mark.both_engines

XML = "application/fhir+xml"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_in(tmp_path) as running:
        running.ambulance.asked = f'questions = "socket"\nacknowledged_by_epr = ["{SENDER}"]'
        await running.ambulance.restart()
        yield running


async def requested(world: World) -> tuple[str, bytes]:
    """Send a validation request; return its X-Request-Id and the hospital's acknowledgement."""
    receipt = await world.ambulance.sent("request.json", validation_request())
    await world.ambulance.outcome(receipt["request_id"])
    (answer,) = await eventually(lambda: world.hospital.files("inbox/new/*.answer.json"))
    return receipt["request_id"], answer.read_bytes()


async def responded(world: World, body: bytes, sent: dict[str, str]) -> tuple[int, dict[str, Any]]:
    status, _, answer = await post(world, body, sent, node=world.ambulance)
    return status, answer


async def state(world: World, request_id: str) -> State:
    history = await world.ambulance.history(request_id)
    assert history is not None
    return history.workflow.state


def issue(outcome: dict[str, Any]) -> tuple[str, str]:
    (found,) = outcome["issue"]
    return found["details"]["coding"][0]["code"], found["code"]


def to_us(**changes: str | None) -> dict[str, str]:
    return headers(SENDER, **changes)


async def told(world: World) -> list[dict[str, Any]]:
    """Return the notices about what came to the ambulance, in order."""
    files = world.ambulance.files("inbox/new/*.notice.json")
    return [json.loads(file.read_bytes()) for file in files]


async def test_a_response_is_acknowledged_when_the_epr_says_yes(world: World) -> None:
    """The mirror image of the response; the workflow moves, and no notice repeats it."""
    request_id, acknowledgement = await requested(world)
    body = response(acknowledgement, encounter="finished")
    async with answering(world.ambulance.socket) as epr:
        status, answer = await responded(world, body, to_us())

    assert (200, json.loads(body)) == (status, answer)
    assert State.COMPLETED is await state(world, request_id)
    (asked,) = epr.seen
    assert ("conclude", []) == (asked["move"], asked["remarks"])
    assert "waits for your yes or no" in asked["means"]
    assert [] == await told(world)


async def test_that_a_care_plan_says_nothing_is_told_before_the_epr_decides(world: World) -> None:
    """And it alarms as soon as the EPR has said yes: the case has ended by it."""
    request_id, acknowledgement = await requested(world)
    body = emptied(stamped(acknowledgement, "finished", plan="completed"))
    async with answering(world.ambulance.socket) as epr:
        status, _ = await responded(world, body, to_us())
    (asked,) = epr.seen

    assert (200, ["empty_plan"]) == (status, asked["remarks"])
    assert "Do not close the case on this" in asked["means"]
    assert "Say no if it is not yours" in asked["means"]
    assert State.COMPLETED is await state(world, request_id)
    assert ["response.remarked"] == [a.kind for a in (await world.ambulance.overview()).alarms]


async def test_a_response_in_xml_is_acknowledged_in_xml(world: World) -> None:
    """D-formats: as it came."""
    _, acknowledgement = await requested(world)
    tree = from_json(response(acknowledgement, encounter="in-progress"))
    body = xml.from_tree(tree)
    async with answering(world.ambulance.socket), world.as_proxy() as session:
        sent = to_us(Content_Type=XML, Accept=XML)
        url = world.ambulance.url + "/$process-message"
        async with session.post(url, data=body, headers=sent) as answer:
            status, came = answer.status, await answer.read()

    assert (200, tree) == (status, xml.to_tree(came).tree)


async def test_a_response_that_the_epr_refuses_moves_nothing(world: World) -> None:
    """The Responder hears no, now and again; the request has arrived all the same (71)."""
    request_id, acknowledgement = await requested(world)
    body, sent = response(acknowledgement, encounter="finished"), to_us()
    async with answering(world.ambulance.socket, lambda _: {"refuse": "invalid"}) as epr:
        status, outcome = await responded(world, body, sent)
        again, _ = await responded(world, body, sent)

    assert (400, ("REC_BAD_REQUEST", "invariant"), 400) == (status, issue(outcome), again)
    assert State.ACTIVE is await state(world, request_id)
    assert 1 == len(epr.seen)


def modified(body: bytes) -> bytes:
    return json.dumps(json.loads(body) | {"implicitRules": "https://gateway.example/r"}).encode()


def of_another(body: bytes) -> bytes:
    return body.replace(NHS_NUMBER.encode(), b"9990000026")


@pytest.mark.parametrize(("says", "status"), [(YES, 200), ({"refuse": "invalid"}, 400)])
@pytest.mark.parametrize(
    ("changed", "kind"), [(modified, "inbound.modified"), (of_another, "patient.other")]
)
async def test_a_response_that_may_mean_something_else_is_told_once(
    world: World, says: dict[str, Any], status: int, changed: Callable[[bytes], bytes], kind: str
) -> None:
    """To a person as well, and whatever the EPR then says of it; so is another patient's."""
    _, acknowledgement = await requested(world)
    body = changed(response(acknowledgement, encounter="finished"))
    async with answering(world.ambulance.socket, lambda _: says):
        answered, _ = await responded(world, body, to_us())
    alarms = [(a.kind, a.times) for a in (await world.ambulance.overview()).alarms]

    assert status == answered
    assert [(kind, 1)] == [each for each in alarms if each[0] == kind]


async def test_nobody_is_asked_about_a_response_to_nothing(world: World) -> None:
    """404 and quarantine come before any question."""
    _, acknowledgement = await requested(world)
    body = response(
        acknowledgement,
        encounter="finished",
        responds_to="6f1c2f5a-5f0b-4e62-9f0b-2b1de9d1ac11",
    )
    async with answering(world.ambulance.socket) as epr:
        status, _ = await responded(world, body, to_us())

    assert (404, []) == (status, epr.seen)
    assert 1 == await world.ambulance.rows("quarantine")


async def test_without_the_epr_a_response_is_to_be_sent_again(world: World) -> None:
    """503 with nothing kept; but it proves that the request arrived."""
    _, acknowledgement = await requested(world)
    body, sent = response(acknowledgement, encounter="finished"), to_us()
    away, _ = await responded(world, body, sent)
    async with answering(world.ambulance.socket):
        there, _ = await responded(world, body, sent)

    assert (503, 200) == (away, there)


async def test_what_is_remarkable_is_said_with_the_question(world: World) -> None:
    """An EPR that is asked can only look at what it is told (scenario 74)."""
    _, acknowledgement = await requested(world)
    async with answering(world.ambulance.socket) as epr:
        for _ in range(2):
            await responded(world, response(acknowledgement, encounter="finished"), to_us())
    asked = epr.seen[-1]

    assert ["amended"] == asked["remarks"]
    assert "compare the two" in asked["means"]


async def test_an_answer_after_the_deadline_still_moves_the_workflow(world: World) -> None:
    """The Responder's retry hears that it was taken; the EPR is told that it was late."""
    world.ambulance.inbound = "answer_within_seconds = 0.5"
    await world.ambulance.restart()
    request_id, acknowledgement = await requested(world)
    body, sent = response(acknowledgement, encounter="finished"), to_us()
    async with epr_at(world.ambulance.socket) as epr, asyncio.TaskGroup() as group:
        await epr.questions(wait=0)
        first = group.create_task(responded(world, body, sent))
        number = (await epr.question())["question_id"]
        late, _ = await first
        early, _ = await answered_in_time(partial(responded, world, body, sent))
        _, receipt = await epr.answer(number, YES)
        after, _ = await answered_in_time(partial(responded, world, body, sent))
    notice = await world.ambulance.document("inbox/new/000000000002.decided_late.json")

    assert (408, 425, True, 409) == (late, early, receipt["late"], after)
    assert State.COMPLETED is await state(world, request_id)
    assert "decided_late" == notice["kind"]


async def test_a_response_is_judged_by_the_workflow_as_it_is_when_it_is_taken(
    world: World,
) -> None:
    """Two wait for a yes; the second to get it finds that the first has ended the workflow."""
    request_id, acknowledgement = await requested(world)
    earlier = stamped(acknowledgement, "in-progress", ago=timedelta(seconds=5))
    bodies = [earlier, response(acknowledgement, encounter="finished")]
    async with epr_at(world.ambulance.socket) as epr, asyncio.TaskGroup() as group:
        await epr.questions(wait=0)
        interim = group.create_task(responded(world, bodies[0], to_us()))
        first = (await epr.question())["question_id"]
        final = group.create_task(responded(world, bodies[1], to_us()))
        second = (await epr.question(after=first))["question_id"]
        await epr.answer(second, YES)
        await epr.answer(first, YES)

    assert (200, 200) == (interim.result()[0], final.result()[0])
    assert State.COMPLETED is await state(world, request_id)
