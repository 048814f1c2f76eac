"""What an EPR decides as Receiver, named by the number of the scenario in the guide's list."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asked_epr import YES, Document, Epr, answering, epr_at
from bookings import booking, change_of, focus
from messages import RECEIVER, referral
from moving import transfer
from world import World, headers, issue, post, world_in

pytestmark = pytest.mark.both_engines


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_in(tmp_path, asked='questions = "socket"') as running:
        yield running


def states(world: World) -> list[tuple[Any, ...]]:
    """Return how the hospital's workflows stand."""
    return world.hospital.ask("SELECT state FROM workflows")


async def commit_slots(epr: Epr, count: int) -> list[str]:
    """Answer so many bookings: each slot is given to who asks first; return the slots given."""
    given: list[str] = []
    after = 0
    for _ in range(count):
        number = after = (await epr.question(after=after))["question_id"]
        bundle = json.loads(await epr.request(number))
        (slot,) = (
            entry["resource"]["id"]
            for entry in bundle["entry"]
            if entry["resource"]["resourceType"] == "Slot"
        )
        await epr.answer(number, {"refuse": "slot-taken"} if slot in given else YES)
        given.append(slot)
    return given


async def test_scenario_18_two_senders_and_one_slot(world: World) -> None:
    """The EPR gives it once: one Sender gets 200, the other that it is taken."""
    senders = ["2000000101", "2000000109"]
    system = RECEIVER.partition("|")[0]
    bodies = [booking(slot="the-slot", sender=f"{system}|{each}") for each in senders]
    async with epr_at(world.hospital.socket) as epr, asyncio.TaskGroup() as group:
        await epr.questions(wait=0)
        posted = [group.create_task(post(world, body, headers())) for body in bodies]
        given = await commit_slots(epr, 2)
    answers = sorted((task.result() for task in posted), key=lambda answer: answer[0])

    assert [200, 409] == [status for status, _, _ in answers]
    assert ("REC_CONFLICT", "conflict") == issue(answers[1][2])
    assert ["the-slot"] * 2 == given
    assert 1 == await world.hospital.rows("workflows")


async def test_scenario_19_a_booking_without_nhs_number(world: World) -> None:
    """It is taken; the EPR finds the patient by name and birth date."""
    bundle = json.loads(booking())
    (patient,) = (
        entry["resource"]
        for entry in bundle["entry"]
        if entry["resource"]["resourceType"] == "Patient"
    )
    del patient["identifier"]
    body = json.dumps(bundle).encode()
    async with epr_at(world.hospital.socket) as epr, asyncio.TaskGroup() as group:
        await epr.questions(wait=0)
        posted = group.create_task(post(world, body, headers()))
        number = (await epr.question())["question_id"]
        seen = await epr.request(number)
        await epr.answer(number, YES)
    status, _, answer = posted.result()

    assert body == seen
    assert (200, "booked") == (status, focus(answer)["status"])
    assert [("active",)] == states(world)


async def test_scenario_98_an_update_that_is_older_than_what_the_epr_has(world: World) -> None:
    """The EPR changed it since: 409, and its workflow stays as it is."""
    says: dict[str, Document] = {"request": YES, "update": {"refuse": "changed-here"}}
    async with answering(world.hospital.socket, lambda asked: says[asked["move"]]):
        _, _, taken = await post(world, transfer("a6t1"), headers())
        status, _, outcome = await post(world, change_of(taken), headers())

    assert (409, ("REC_CONFLICT", "conflict")) == (status, issue(outcome))
    assert [("active",)] == states(world)
    assert 1 == await world.hospital.rows("messages")


async def test_scenario_33_an_acknowledgement_without_second_encounter(tmp_path: Path) -> None:
    """A Receiver that opens no Encounter has the referral all the same."""
    asked = f'questions = "socket"\nacknowledged_by_epr = ["{RECEIVER}"]'
    async with world_in(tmp_path, asked=asked) as world, epr_at(world.hospital.socket) as epr:
        await epr.questions(wait=0)
        receipt = await world.ambulance.sent("r.json", referral())
        number = (await epr.question())["question_id"]
        bundle = json.loads(await epr.request(number))
        focus(bundle)["id"] = str(uuid.uuid4())
        await epr.answer(number, bundle)
        outcome = await world.ambulance.outcome(receipt["request_id"])
        history = await world.ambulance.history(receipt["request_id"])

    assert "acknowledged" == outcome["state"]
    assert history is not None
    assert "active" == history.workflow.state
    assert focus(bundle)["id"] == outcome["focus_id"]


@pytest.mark.parametrize(
    ("request_body", "status"),
    [
        pytest.param(booking(), "cancelled", id="cancellation"),
        pytest.param(transfer("a6t1"), "active", id="update"),
    ],
)
async def test_scenario_51_a_change_of_what_is_another_patients(
    world: World, request_body: bytes, status: str
) -> None:
    """The EPR is asked, and told that it names another patient; so is a person."""
    no = {"refuse": "changed-here"}
    says = {"request": YES, "cancel": no, "update": no}
    async with answering(world.hospital.socket, lambda asked: says[asked["move"]]) as epr:
        _, _, taken = await post(world, request_body, headers())
        asked_before = len(epr.seen)
        body = change_of(taken, status=status).replace(b"9990000018", b"9990000026")
        http_status, _, outcome = await post(world, body, headers())
        overview = await world.hospital.overview()

    assert (409, ("REC_CONFLICT", "conflict")) == (http_status, issue(outcome))
    assert ["other_patient"] == epr.seen[asked_before]["remarks"]
    assert ["patient.other"] == [alarm.kind for alarm in overview.alarms]
    assert [("active",)] == states(world)


UNKNOWN_CHANGES = pytest.mark.parametrize(
    ("request_body", "status"),
    [
        pytest.param(booking(), "cancelled", id="cancellation"),
        pytest.param(transfer("a6t1"), "active", id="update"),
    ],
)


@UNKNOWN_CHANGES
async def test_scenario_50_a_change_of_an_id_that_we_never_gave(
    world: World, request_body: bytes, status: str
) -> None:
    """404 again and again; a copy is kept, a person is told, and the EPR is not asked."""
    sent = headers()
    async with answering(world.hospital.socket) as epr:
        _, _, taken = await post(world, request_body, headers())
        asked_before = len(epr.seen)
        body = change_of(taken, status=status, id=str(uuid.uuid4()))
        answers = [await post(world, body, sent) for _ in range(2)]
        overview = await world.hospital.overview()

    assert [(404, ("REC_NOT_FOUND", "not-found"))] * 2 == [(s, issue(o)) for s, _, o in answers]
    assert [] == epr.seen[asked_before:]
    assert ["change.unknown"] == [alarm.kind for alarm in overview.alarms]
    assert (1, 1) == (
        await world.hospital.rows("messages"),
        await world.hospital.rows("quarantine"),
    )


async def test_it_is_not_found_while_the_epr_is_away(world: World) -> None:
    """No EPR is needed to know what we gave."""
    async with answering(world.hospital.socket):
        _, _, taken = await post(world, booking(), headers())
    await world.hospital.restart()
    body = change_of(taken, status="cancelled", id=str(uuid.uuid4()))
    status, _, _ = await post(world, body, headers())

    assert 404 == status


@UNKNOWN_CHANGES
async def test_an_epr_with_earlier_records_is_asked(
    tmp_path: Path, request_body: bytes, status: str
) -> None:
    """And told whether the gateway knows the record, too."""
    asked = 'questions = "socket"\nearlier_records = true'
    async with (
        world_in(tmp_path, asked=asked) as world,
        answering(world.hospital.socket) as epr,
    ):
        _, _, taken = await post(world, request_body, headers())
        asked_before = len(epr.seen)
        for number in (str(uuid.uuid4()), focus(taken)["id"]):
            await post(world, change_of(taken, status=status, id=number), headers())

    assert [False, True] == [each["known"] for each in epr.seen[asked_before:]]
    assert {None} >= {each["known"] for each in epr.seen[:asked_before]}
