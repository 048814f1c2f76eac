"""A cancellation that nobody at the Receiver can be asked about does not die unseen."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from asked_epr import answering
from bookings import booking, cancelled_referral, change_of
from messages import NHS_NUMBER, validation_request
from moving import made, move, requested, socket_of, state
from world import Node, World, eventually, headers, in_time, post, world_in

from bars_gateway.standard.workflow import State

pytestmark = pytest.mark.both_engines

ASKED = 'questions = "socket"'


async def cancel(world: World, of: str) -> str:
    """Have the ambulance service cancel; return the cancellation's id."""
    status, document = await made(world.ambulance, move(of, "cancel", text="Invented: by car"))
    assert 201 == status
    return str(document["request_id"])


async def told(node: Node, count: int = 1) -> list[dict[str, Any]]:
    def found() -> list[Path]:
        files = node.files("inbox/new/*.cancel_turned_away.json")
        return files if len(files) >= count else []

    return [json.loads(file.read_bytes()) for file in await eventually(found)]


async def accepted(node: Node, of: str, answer: str) -> None:
    """Have the EPR answer, and wait until that is acknowledged."""
    status, document = await made(node, move(of, answer, outcome="RRNA"))
    assert 201 == status, document
    await node.outcome(document["request_id"])


async def page(node: Node) -> str:
    url = f"http://127.0.0.1:{node.gateway.status.port}/"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.text()


async def test_an_epr_that_is_never_asked_hears_that_the_sender_tried(tmp_path: Path) -> None:
    """Both EPRs and the page know: refused there, and gone on with here."""
    async with world_in(tmp_path) as world:
        receipt, notice = await requested(world, validation_request())
        outcome = await world.ambulance.outcome(await cancel(world, receipt["request_id"]))
        (tried,) = await told(world.hospital)
        shown = await page(world.hospital)
        here = await state(world.hospital, notice["request_id"])

    assert ("refused", 501) == (outcome["state"], outcome["http_status"])
    assert (notice["request_id"], notice["workflow_id"]) == (
        tried["request_id"],
        tried["workflow_id"],
    )
    assert "has tried to cancel the request for validation and could not" in tried["means"]
    assert "1 cancellation came and nobody here could be asked" in shown
    assert State.ACTIVE == here


async def test_another_attempt_is_told_anew(tmp_path: Path) -> None:
    """Whoever has seen the first has not seen that the Sender still wants it."""
    async with world_in(tmp_path) as world:
        receipt, _ = await requested(world, validation_request())
        for count in (1, 2):
            await world.ambulance.outcome(await cancel(world, receipt["request_id"]))
            await told(world.hospital, count)
        (alarm,) = (await world.hospital.overview()).alarms

    assert ("cancel.turned_away", 2) == (alarm.kind, alarm.times)


async def test_an_epr_that_is_away_is_told_once_and_asked_when_it_is_back(tmp_path: Path) -> None:
    """The Sender goes on trying under one id, and the alarm ends with the question."""
    async with world_in(tmp_path, asked=ASKED) as world:
        receipt, notice = await requested(world, validation_request())
        request_id = await cancel(world, receipt["request_id"])

        async def was_tried_again() -> bool:
            history = await world.ambulance.history(request_id)
            return history is not None and len(history.attempts) > 1

        await in_time(was_tried_again)
        away = [alarm.kind for alarm in (await world.hospital.overview()).alarms]
        async with answering(world.hospital.socket) as epr:
            outcome = await world.ambulance.outcome(request_id)
        back = [alarm.kind for alarm in (await world.hospital.overview()).alarms]
        tried = await told(world.hospital)
        here = await state(world.hospital, notice["request_id"])

    assert (["cancel.turned_away"], []) == (away, back)
    assert (1, ["cancel"]) == (len(tried), [question["move"] for question in epr.seen])
    assert ("acknowledged", State.CANCELLED) == (outcome["state"], here)


async def test_one_that_names_another_patient_says_so(tmp_path: Path) -> None:
    """Whoever reads it must not stop what was begun for somebody else; one that does not, again."""
    async with world_in(tmp_path) as world:
        await requested(world, validation_request())
        (file,) = world.hospital.files("inbox/new/*.answer.json")
        body = cancelled_referral(json.loads(file.read_bytes()))
        others = body.replace(NHS_NUMBER.encode(), b"9990000026")
        for each in (others, body):
            answered, _, _ = await post(world, each, headers())
            assert 501 == answered
        found = await told(world.hospital, 2)
        shown = await page(world.hospital)
        alarms = {alarm.kind for alarm in (await world.hospital.overview()).alarms}

    assert [["other_patient"], []] == [each["remarks"] for each in found]
    assert "The cancellation names another patient than this." in found[0]["means"]
    assert "named another patient than the rest of the case" in shown
    assert {"cancel.turned_away", "patient.other"} == alarms


@pytest.mark.parametrize(
    ("asked", "answered"),
    [pytest.param("", 501, id="never-asked"), pytest.param(ASKED, 409, id="asked")],
)
async def test_one_of_what_is_over_that_names_another_patient_is_told(
    tmp_path: Path, asked: str, answered: int
) -> None:
    """Its Sender means somebody whose referral goes on here; once for its retries."""
    async with world_in(tmp_path, asked=asked) as world:
        _, notice = await requested(world, validation_request())
        (file,) = world.hospital.files("inbox/new/*.answer.json")
        request = json.loads(file.read_bytes())
        await accepted(world.hospital, notice["request_id"], "decline")
        body, cancelling = cancelled_referral(request), headers()
        changed = json.loads(body) | {"implicitRules": "https://gateway.example/rules"}
        others = json.dumps(changed).replace(NHS_NUMBER, "9990000026").encode()
        statuses = [
            (await post(world, each, how))[0]
            for each, how in ((body, headers()), (others, cancelling), (others, cancelling))
        ]
        (tried,) = await told(world.hospital)
        shown = await page(world.hospital)
        alarms = [alarm.kind for alarm in (await world.hospital.overview()).alarms]

    assert [answered] * 3 == statuses
    assert ["cancel_after_end", "other_patient"] == tried["remarks"]
    assert "it is over here. What was meant may be another patient's" in tried["means"]
    assert "goes on here, and may not be wanted" not in tried["means"]
    assert "named another patient than the rest of the case" in shown
    assert ["patient.other"] == alarms


async def test_an_update_of_what_is_over_that_names_another_patient_is_on_the_page(
    tmp_path: Path,
) -> None:
    """Its Sender means somebody whose validation goes on here; once for its retries."""
    async with world_in(tmp_path, asked=ASKED) as world:
        _, notice = await requested(world, validation_request())
        (file,) = world.hospital.files("inbox/new/*.answer.json")
        request = json.loads(file.read_bytes())
        await accepted(world.hospital, notice["request_id"], "decline")
        body, updating = change_of(request), headers()
        others = body.replace(NHS_NUMBER.encode(), b"9990000026")
        own, _, _ = await post(world, body, headers())
        before = [alarm.kind for alarm in (await world.hospital.overview()).alarms]
        another = [(await post(world, others, updating))[0] for _ in range(2)]
        overview = await world.hospital.overview()

    assert [own] * 2 == another
    assert [] == before
    assert [("patient.other", 1)] == [(alarm.kind, alarm.times) for alarm in overview.alarms]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/questions?wait=30"), ("GET", "/questions/1"), ("POST", "/questions/1/answer")],
)
async def test_the_socket_says_that_nobody_is_asked(tmp_path: Path, method: str, path: str) -> None:
    """Whoever polls there would otherwise wait for ever, and believe that all is well."""
    async with (
        world_in(tmp_path) as world,
        socket_of(world.hospital) as session,
        session.request(method, path) as answer,
    ):
        found = await answer.json()

    assert 501 == answer.status
    assert 'providers.hospital.questions is "none"' in found["error"]
    assert "providers.hospital.questions" in found["cure"]


async def test_what_was_asked_before_nobody_was_can_still_be_answered(tmp_path: Path) -> None:
    """Its Sender still waits to hear: a setting that is changed takes no question away."""
    async with world_in(tmp_path, asked='questions = "folder"') as world:
        posting = asyncio.create_task(post(world, booking(), headers()))
        await eventually(lambda: world.hospital.files("questions/new/*.question.json"))
        world.hospital.asked = 'questions = "none"'
        await world.hospital.restart()
        await posting
        async with socket_of(world.hospital) as session:
            async with session.get("/questions") as listed:
                (left,) = (await listed.json())["questions"]
            path = f"/questions/{left['question_id']}/answer"
            async with session.post(path, json={"accept": True}) as answered:
                decided = await answered.json()

    assert (200, True) == (answered.status, decided["accepted"])
