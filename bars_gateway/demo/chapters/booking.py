"""A slot is looked for, booked, cancelled and booked anew, each time with the EPR's word."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from bars_gateway.demo.bookings import booking, change_of, focus, free_slot, searchset
from bars_gateway.demo.eprs import Document
from bars_gateway.demo.stage import CALLER, DEPARTMENT, Chapter, Stage


async def play(stage: Stage) -> None:
    """Play the caller, with the department's EPR answering what it is asked."""
    async with asyncio.TaskGroup() as group:
        deciding = group.create_task(_Diary(stage).answer())
        await _look(stage)
        acknowledged = await _send(stage, "booking.json", _booking(stage, "slot001"), "booked")
        cancellation = change_of(acknowledged, status="cancelled")
        await _send(stage, "cancellation.json", cancellation, "cancelled")
        await _send(stage, "rebooking.json", _booking(stage, "slot002"), "rebooked")
        deciding.cancel()


async def _look(stage: Stage) -> None:
    """Ask for free slots, through the caller's own gateway and BaRS."""
    now = datetime.now(UTC)
    query = [
        ("to", stage.ends["receiver"]),
        ("Schedule.actor:HealthcareService", stage.hospital.service),
        ("start", f"ge{now:%Y-%m-%dT%H:%M:%SZ}"),
        ("start", f"le{now + timedelta(days=3):%Y-%m-%dT%H:%M:%SZ}"),
        ("status", "free"),
        ("_include", "Slot:schedule"),
        ("_include", "Schedule:actor:HealthcareService"),
    ]
    found = await stage.caller_socket.get(f"/bars/Slot?{urlencode(query)}")
    slots = [entry["resource"]["id"] for entry in found["entry"]]
    stage.timeline.say(CALLER, f"is offered {', '.join(slots)}", "offered")


def _booking(stage: Stage, slot: str) -> bytes:
    return booking(sender=stage.ends["sender"], receiver=stage.ends["receiver"], slot=slot)


async def _send(stage: Stage, name: str, body: bytes, step: str) -> Document:
    """Hand in a message; return the acknowledgement, once it is there."""
    stage.caller.drop(name, body)
    stage.timeline.say(CALLER, f"drops {name}")
    receipt = await stage.caller.receipt(name)
    number, outcome = await stage.caller.notice(
        lambda found: found["request_id"] == receipt["request_id"], "outcome"
    )
    seen = step if outcome["state"] == "acknowledged" else None
    stage.timeline.say(CALLER, f"reads the outcome: {outcome['state']}", seen)
    return stage.caller.answer(number)


class _Diary:
    """The department's EPR: it says yes, and shows what it has when it is read."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._appointments: dict[str, Document] = {}

    async def answer(self) -> None:
        """Answer every question."""
        number = 0
        while True:
            question = await self._stage.department.question(number)
            number = question["question_id"]
            self._stage.timeline.say(DEPARTMENT, f"is asked: {question['meaning']}", "asked")
            answer = await self._answer(question)
            decided = await self._stage.department.answer(number, answer)
            told = f"answers; the Sender hears {decided['http_status']}"
            self._stage.timeline.say(DEPARTMENT, told)

    async def _answer(self, question: Document) -> Document:
        if question["operation"] == "GET Slot":
            return searchset(free_slot("slot001"), free_slot("slot002"))
        if question["operation"] == "GET Appointment":
            return self._appointments[question["resource_id"]]
        if question["move"] == "request":
            path = f"/questions/{question['question_id']}/request"
            appointment = focus(json.loads(await self._stage.department.read(path)))
            number = question["proposed_focus_id"]
            self._appointments[number] = appointment | {"id": number}
        return {"accept": True}


CHAPTER = Chapter(
    name="booking",
    title="A slot is looked for, booked, cancelled and booked anew",
    steps=frozenset({"asked", "offered", "booked", "cancelled", "rebooked"}),
    play=play,
)
