"""
The courses of the trial, and all who are told of each: both EPRs, the page and the log.

    course ─► the Requester's EPR: a sentence   the Responder's EPR: what it got, or a sentence
              the page: the concern             the log: the alarm, by its kind

Each course was one in which somebody was told something untrue, or was not told. What it means
for the workflow is held elsewhere (`test_meaning`, `test_proof`, `test_whose`, `test_time`).
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from messages import FAMILY, NHS_NUMBER, referral, validation_request
from moving import made, move, transfer
from structlog.testing import capture_logs
from telling import told
from world import Node, World, eventually, headers, in_time, post, world_in

Course = Callable[[World], Awaitable[None]]
MINUTE = timedelta(minutes=1)
ANOTHER = "9990000026"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_in(tmp_path) as made_:
        yield made_


async def asked(world: World, body: bytes, name: str = "request") -> tuple[dict[str, Any], bytes]:
    """Send a request; return its outcome and the hospital's answer to it."""
    known = set(world.hospital.files("inbox/new/*.answer.json"))
    receipt = await world.ambulance.sent(f"{name}.json", body)
    outcome = await world.ambulance.outcome(receipt["request_id"])
    new = await eventually(lambda: set(world.hospital.files("inbox/new/*.answer.json")) - known)
    return outcome, new.pop().read_bytes()


async def reported(world: World, *bodies: bytes) -> None:
    for body in bodies:
        to_us = headers(world.ambulance.service)
        status, _, _ = await post(world, body, to_us, node=world.ambulance)
        assert 200 == status


async def an_answer_about_another_patient(world: World) -> None:
    await asked(world, transfer("a6t2").replace(NHS_NUMBER.encode(), ANOTHER.encode()), "before")
    for _ in range(2):
        world.sandbox.faults.arm({"kind": "other_body", "method": "POST", "count": 1})
    receipt = await world.ambulance.sent("request.json", transfer("a6t2"))
    await world.ambulance.outcome(receipt["request_id"])


async def a_wrong_clock(world: World) -> None:
    _, answer = await asked(world, transfer("a6t2"))
    await reported(world, told(answer, "in-progress", ago=-60 * MINUTE))
    await reported(world, told(answer, "planned"))


async def activity_after_a_rejection(world: World) -> None:
    _, answer = await asked(world, transfer("a6t2"))
    await reported(world, told(answer, "cancelled"), told(answer, "arrived"))


async def an_older_rejection(world: World) -> None:
    _, answer = await asked(world, transfer("a6t2"))
    older = told(answer, "cancelled", ago=MINUTE)
    await reported(world, told(answer, "in-progress"), older)


async def words_that_do_not_add_up(world: World) -> None:
    _, answer = await asked(world, transfer("a6t2"))
    await reported(world, told(answer, "triaged"))


async def a_response_about_another_patient(world: World) -> None:
    _, answer = await asked(world, validation_request())
    body = told(answer, "finished", plan="active")
    await reported(world, body.replace(NHS_NUMBER.encode(), ANOTHER.encode()))


async def the_same_case_built_anew(world: World) -> None:
    body = referral()
    await asked(world, body)
    again = json.loads(body) | {"id": str(uuid4())}
    await asked(world, json.dumps(again).encode(), "again")


async def a_cancellation_that_nobody_is_asked_about(world: World) -> None:
    outcome, _ = await asked(world, validation_request())
    status, document = await made(world.ambulance, move(outcome["request_id"], "cancel"))
    assert 201 == status
    await world.ambulance.outcome(document["request_id"])


async def silence(world: World) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=6)
    bundle = json.loads(validation_request())
    bundle["entry"][1]["resource"]["occurrencePeriod"]["end"] = soon.isoformat(timespec="seconds")
    await asked(world, json.dumps(bundle).encode())
    await eventually(lambda: world.ambulance.files("inbox/new/*.overdue.json"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One course, and what is said of it where."""

    course: Course
    to_requester: str  # in the sentence of one of its notices
    to_responder: str  # likewise, of the other EPR's
    on_the_page: str
    alarm: str  # its kind in the log
    alarm_at: str = "ambulance"


ASKED_FOR_HELP = "Another control room asks you to take a call on."
ROWS = (
    Row(
        course=an_answer_about_another_patient,
        to_requester="two patients may have been mixed up there",
        to_responder=ASKED_FOR_HELP,
        on_the_page="answered with the record of another patient",
        alarm="message.foreign_ack",
    ),
    Row(
        course=a_wrong_clock,
        to_requester="The resource has been stood down. Nobody is on the way now",
        to_responder=ASKED_FOR_HELP,
        on_the_page="came with a remark",
        alarm="response.remarked",
    ),
    Row(
        course=activity_after_a_rejection,
        to_requester="says otherwise: somebody may be on the way after all",
        to_responder=ASKED_FOR_HELP,
        on_the_page="ended, and then the other side went on",
        alarm="workflow.contradicted",
    ),
    Row(
        course=an_older_rejection,
        to_requester="do not act on this one, nor pass over it, until you have",
        to_responder=ASKED_FOR_HELP,
        on_the_page="came with a remark",
        alarm="response.remarked",
    ),
    Row(
        course=words_that_do_not_add_up,
        to_requester="its answer does not add up",
        to_responder=ASKED_FOR_HELP,
        on_the_page="got a response that does not add up",
        alarm="workflow.unclear",
    ),
    Row(
        course=a_response_about_another_patient,
        to_requester="before you file it",
        to_responder="A validation is asked for",
        on_the_page="another patient",
        alarm="patient.other",
    ),
    Row(
        course=the_same_case_built_anew,
        to_requester="two records",
        to_responder="two records",
        on_the_page="who has the same request there already",
        alarm="record.other",
    ),
    Row(
        course=the_same_case_built_anew,
        to_requester="two records",
        to_responder="two records",
        on_the_page="who has the same request there already",
        alarm="record.other",
        alarm_at="hospital",
    ),
    Row(
        course=a_cancellation_that_nobody_is_asked_about,
        to_requester="Telephone",
        to_responder="has tried to cancel the request for validation and could not",
        on_the_page="cancellation came and nobody here could be asked",
        alarm="cancel.turned_away",
        alarm_at="hospital",
    ),
    Row(
        course=silence,
        to_requester="Start your fallback now",
        to_responder="Answer by",
        on_the_page="owed to us",
        alarm="workflow.overdue",
    ),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.course.__name__}-{row.alarm_at}")
async def test_everybody_is_told(world: World, row: Row) -> None:
    """The two EPRs in a sentence each, the operator on the page and in the log."""
    with capture_logs() as lines:
        await row.course(world)
        node: Node = getattr(world, row.alarm_at)
        heard = await in_time(lambda: sentence(world.ambulance, row.to_requester))
        there = await in_time(lambda: sentence(world.hospital, row.to_responder))
        shown = await page(node)
        await eventually(lambda: alarms(lines, row))

    assert heard, there
    assert row.on_the_page in shown
    secret = [word for word in (NHS_NUMBER, ANOTHER, FAMILY) if word in shown + str(lines)]
    assert [] == secret


async def sentence(node: Node, words: str) -> str | None:
    """Return what an EPR was told in these words, if it was."""
    await asyncio.sleep(0)
    for file in node.files("inbox/new/*.json"):
        document = json.loads(file.read_bytes())
        if words in document.get("means", ""):
            return str(document["means"])
    return None


def alarms(lines: list[Any], row: Row) -> list[Any]:
    return [
        line
        for line in lines
        if line["event"] == "alarm.raised"
        and (line["kind"], line["provider"]) == (row.alarm, row.alarm_at)
        and line["advice"]
    ]


async def page(node: Node) -> str:
    url = f"http://127.0.0.1:{node.gateway.status.port}/"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.text()
