"""An appointment is booked, cancelled and booked anew, each time with the EPR's yes."""

import asyncio

from bars_gateway.demo.bookings import booking, change_of
from bars_gateway.demo.eprs import Document
from bars_gateway.demo.stage import CALLER, DEPARTMENT, Chapter, Stage

_YES: Document = {"accept": True}


async def play(stage: Stage) -> None:
    """Play the caller, with the department's EPR deciding what it is asked."""
    async with asyncio.TaskGroup() as group:
        deciding = group.create_task(_decide(stage))
        acknowledged = await _send(stage, "booking.json", _booking(stage, "slot001"), "booked")
        cancellation = change_of(acknowledged, status="cancelled")
        await _send(stage, "cancellation.json", cancellation, "cancelled")
        await _send(stage, "rebooking.json", _booking(stage, "slot002"), "rebooked")
        deciding.cancel()


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


async def _decide(stage: Stage) -> None:
    """Say yes to everything, and show what is booked, as an EPR would that looks into its diary."""
    number = 0
    while True:
        question = await stage.department.question(number)
        number = question["question_id"]
        stage.timeline.say(DEPARTMENT, f"is asked: {question['meaning']}", "asked")
        reads = question["operation"].startswith("GET")
        answer = _booked(question["resource_id"]) if reads else _YES
        decided = await stage.department.answer(number, answer)
        said = "shows it" if reads else "says yes"
        stage.timeline.say(DEPARTMENT, f"{said}; the Sender hears {decided['http_status']}")


def _booked(appointment: str) -> Document:
    """Return the appointment as the diary has it, for the read before a cancellation."""
    accepted = [{"status": "accepted"}]
    return {
        "resourceType": "Appointment",
        "id": appointment,
        "status": "booked",
        "participant": accepted,
    }


CHAPTER = Chapter(
    name="booking",
    title="An appointment is booked, cancelled and booked anew",
    steps=frozenset({"asked", "booked", "cancelled", "rebooked"}),
    play=play,
)
