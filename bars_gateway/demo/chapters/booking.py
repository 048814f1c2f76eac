"""
A patient is referred, and a slot booked, cancelled and booked again, each time with the EPR's word.

What is booked again does not belong to the old referral: that is revoked, and a new one is sent.
"""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from bars_gateway.demo.bookings import booking, change_of, focus, free_slot, searchset
from bars_gateway.demo.eprs import Document
from bars_gateway.demo.messages import referral
from bars_gateway.demo.stage import CALLER, DEPARTMENT, Chapter, Stage

_READS = frozenset({"GET Appointment", "GET ServiceRequest"})


async def play(stage: Stage) -> None:
    """Play the caller, with the department's EPR answering what it is asked."""
    diary = _Diary(stage)
    async with asyncio.TaskGroup() as group:
        deciding = group.create_task(diary.answer())
        old, first = await _refer(stage, diary, "referral.json", "referred")
        await _look(stage)
        _, booked = await _send(stage, "booking.json", _booking(stage, "slot001", first), "booked")
        cancellation = change_of(booked, status="cancelled")
        await _send(stage, "cancellation.json", cancellation, "cancelled")
        await _revoke(stage, old)
        _, second = await _refer(stage, diary, "new-referral.json", "referred again")
        await _send(stage, "rebooking.json", _booking(stage, "slot002", second), "rebooked")
        deciding.cancel()


async def _refer(stage: Stage, diary: "_Diary", name: str, step: str) -> tuple[int, str]:
    """Refer the patient; return our workflow, and the id that the department gave it."""
    workflow, acknowledged = await _send(stage, name, referral(**stage.ends), step)
    return workflow, diary.keep(focus(acknowledged))


async def _revoke(stage: Stage, workflow: int) -> None:
    """Cancel a referral in a few words: the gateway reads it first, and makes the message."""
    words = {"submission_id": "revoked", "in_reply_to": workflow, "move": "cancel"}
    made = await stage.caller_socket.move(words | {"text": "Invented: another time suits better"})
    stage.timeline.say(CALLER, "POST /moves: cancel, for the referral")
    await _outcome(stage, made, "revoked")


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


def _booking(stage: Stage, slot: str, referred: str) -> bytes:
    """Return a booking of *slot* that names the referral it belongs to."""
    ends = stage.ends
    bundle = json.loads(booking(sender=ends["sender"], receiver=ends["receiver"], slot=slot))
    focus(bundle)["basedOn"] = [{"reference": f"ServiceRequest/{referred}"}]
    return json.dumps(bundle).encode()


async def _send(stage: Stage, name: str, body: bytes, step: str) -> tuple[int, Document]:
    """Submit a message; return its workflow and its acknowledgement, once that is there."""
    stage.caller.drop(name, body)
    stage.timeline.say(CALLER, f"drops {name}")
    receipt = await stage.caller.receipt(name)
    return receipt["workflow_id"], await _outcome(stage, receipt, step)


async def _outcome(stage: Stage, receipt: Document, step: str) -> Document:
    """Wait for what became of a message; return its acknowledgement."""
    number, outcome = await stage.caller.notice(
        lambda found: found["request_id"] == receipt["request_id"], "outcome"
    )
    seen = step if outcome["state"] == "acknowledged" else None
    stage.timeline.say(CALLER, f"reads the outcome: {outcome['state']} ({step})", seen)
    return stage.caller.answer(number)


class _Diary:
    """The department's EPR: it says yes, and shows what it has when it is read."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._records: dict[str, Document] = {}

    def keep(self, record: Document) -> str:
        """Have a record, to be shown when it is read; return its id."""
        self._records[record["id"]] = record
        return str(record["id"])

    async def answer(self) -> None:
        """Answer every question."""
        number = 0
        while True:
            question = await self._stage.department.question(number)
            number = question["question_id"]
            answer = await self._answer(question)
            decided = await self._stage.department.answer(number, answer)
            heard = f"{question['means']}: it gets {decided['http_status']}"
            self._stage.timeline.say(DEPARTMENT, f"is asked: {heard}", "asked")

    async def _answer(self, question: Document) -> Document:
        if question["operation"] == "GET Slot":
            return searchset(free_slot("slot001"), free_slot("slot002"))
        if question["operation"] in _READS:
            return self._records[question["resource_id"]]
        if question["move"] == "request":
            path = f"/questions/{question['question_id']}/request"
            appointment = focus(json.loads(await self._stage.department.read(path)))
            referred = appointment["basedOn"][0]["reference"]
            known = "linked" if referred.rpartition("/")[2] in self._records else None
            self._stage.timeline.say(
                DEPARTMENT, f"reads a booking that belongs to {referred}", known
            )
            self.keep(appointment | {"id": question["proposed_focus_id"]})
        return {"accept": True}


CHAPTER = Chapter(
    name="booking",
    title="A patient is referred; a slot is booked, cancelled and booked again",
    steps=frozenset(
        {
            "asked",
            "referred",
            "linked",
            "offered",
            "booked",
            "cancelled",
            "revoked",
            "referred again",
            "rebooked",
        }
    ),
    play=play,
)
