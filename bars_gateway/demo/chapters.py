"""
The chapters of the demo, in the order in which they are played.

    VALIDATION     a validation request goes out, and its two responses come home
    LOST_ANSWER    a message arrives, and its answer does not: nothing is doubled
    BOOKING        a patient is referred; a slot is booked, cancelled and booked again
    CONTROL_ROOMS  one ambulance service asks another to take a case, and is kept informed
    OVERDUE        an answer that is owed does not come: everybody is told; it comes late

Where the answer is lost, so is what the Receiver calls the request: it is looked for among the
patient's records, which the department's EPR shows when it is asked. What is booked again does
not belong to the old referral: that is revoked, and a new one is sent. No clock is set for the
answer that is late: the request names a clinical time that is a few seconds away.
"""

import asyncio
import hashlib
import html
import json
import re
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlencode

import aiohttp

from bars_gateway.demo.messages import (
    CORE,
    NHS,
    booking,
    change_of,
    focus,
    free_slot,
    referral,
    response,
    searchset,
    validation_request,
)
from bars_gateway.demo.stage import (
    CALLER,
    DEPARTMENT,
    NEIGHBOUR,
    Chapter,
    Document,
    Organisation,
    Stage,
)
from bars_gateway.errors import SandboxError

_RESPONSES = (("interim", "progress"), ("final", "conclude"))
_READS = frozenset({"GET Appointment", "GET ServiceRequest"})
_SECONDS, _MORE_SECONDS = 2, 6  # from the request to its clinical time; where it was missed
_MOST_SECONDS = 60  # no machine is so busy: it has another reason
_CONCERN = re.compile(r"<li><strong>(.*?)</strong>")
_CALM = "No action needed"
_LOOK_SECONDS = 0.1
_PLAN = {
    "resourceType": "CarePlan",
    "activity": [{"outcomeCodeableConcept": [{"text": "Seen by an invented clinician."}]}],
}


async def _validation(stage: Stage) -> None:
    """Play both EPRs until the final response is there."""
    body = validation_request(**stage.ends)
    stage.caller.drop("request.json", body)
    stage.timeline.say(
        CALLER, f"drops request.json into outbox/new ({len(body):,} bytes)", "dropped"
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(_asks(stage))
        group.create_task(_answers(stage, body))


async def _asks(stage: Stage) -> None:
    receipt = await stage.caller.receipt("request.json")
    request_id = receipt["request_id"]
    stage.timeline.say(CALLER, f"finds its receipt: X-Request-Id {request_id}", "receipt")
    number, outcome = await stage.caller.notice(
        lambda found: found["request_id"] == request_id, "outcome"
    )
    reference = _case_number(stage.caller.answer(number))
    stage.timeline.say(
        CALLER,
        f"reads the outcome: {outcome['state']}; the Receiver calls it {reference}",
        f"outcome {outcome['state']}",
    )
    for step, move in _RESPONSES:
        _, notice = await stage.caller.notice(partial(_is, move))
        stage.timeline.say(
            CALLER,
            f"finds the {step} response in inbox/new: {notice['move']}, in the conversation of"
            " its request",
            step,
        )


def _is(move: str, notice: Document) -> bool:
    return bool(notice["move"] == move)


async def _answers(stage: Stage, expected: bytes) -> None:
    notice = await stage.department.notice(lambda found: found["use_case"] == "a4t1")
    number = notice["notice_id"]
    body = await stage.department.read(f"/notices/{number}/message")
    same = "is" if body == expected else "IS NOT"
    stage.timeline.say(
        DEPARTMENT,
        f"takes the {notice['use_case']} request from its socket: SHA-256"
        f" {hashlib.sha256(body).hexdigest()[:12]}… {same} the one that was dropped",
        "taken" if body == expected else None,
    )
    stage.timeline.say(
        DEPARTMENT, f"has collected it; its case number is {notice['reference']}", "collected"
    )
    acknowledgement = await stage.department.read(f"/notices/{number}/answer")
    await _responds(stage, "interim", response(acknowledgement, encounter="in-progress"))
    final = response(acknowledgement, encounter="finished", reason="update")
    await _responds(stage, "final", final)


async def _responds(stage: Stage, step: str, body: bytes) -> None:
    stage.timeline.say(DEPARTMENT, f"submits the {step} response")
    receipt = await stage.department.submit(body)
    outcome = await stage.department.notice(
        lambda found: found["request_id"] == receipt["request_id"]
    )
    state = outcome["state"]
    stage.timeline.say(DEPARTMENT, f"is told of the {step} response: {state}", f"{step} {state}")


def _case_number(answer: Document) -> str | None:
    """Return the number by which a person at the Receiver's would look for it."""
    resources = [entry["resource"] for entry in answer["entry"]]
    planned = [resource for resource in resources if resource.get("status") == "planned"]
    return planned[-1]["identifier"][0]["value"] if planned else None


VALIDATION = Chapter(
    name="validation",
    title="A validation request goes out, and its responses come home",
    steps=frozenset(
        {
            "dropped",
            "receipt",
            "token",
            "forwarded",
            "taken",
            "collected",
            "outcome acknowledged",
            "interim acknowledged",
            "interim",
            "final acknowledged",
            "final",
        }
    ),
    play=_validation,
)


async def _lost_answer(stage: Stage) -> None:
    """Lose one answer, and wait until the EPR knows all the same what became of the message."""
    await stage.arm(kind="drop_after", method="POST", count=1)
    stage.timeline.say("demo", "will let the next answer get lost on its way back")
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(stage.department.question(0))
        stage.caller.drop("lost.json", validation_request(**stage.ends))
        receipt = await stage.caller.receipt("lost.json")
        stage.timeline.say(
            CALLER, f"has its receipt: X-Request-Id {receipt['request_id']}", "receipt"
        )
        record = await _record_taken(stage)
        outcome = await _notice_about(stage, receipt, "outcome")
        stage.timeline.say(
            CALLER,
            f"reads the outcome: {outcome['state']}, after {outcome['attempts']} attempts",
            f"outcome {outcome['state']}",
        )
        question = await asked
    await stage.department.answer(question["question_id"], searchset(record))
    stage.timeline.say(DEPARTMENT, f"is asked: {question['means']}: it shows the one record")
    found = await _notice_about(stage, receipt, "reconciled")
    same = found["focus_id"] == record["id"]
    stage.timeline.say(CALLER, f"is told: {found['means']}", found["reconciled"] if same else None)
    waiting = await stage.department.waiting()
    again = "nothing else has arrived" if not waiting else f"{waiting} MORE HAVE ARRIVED"
    stage.timeline.say(DEPARTMENT, again, "once" if not waiting else None)


async def _record_taken(stage: Stage) -> Document:
    """Let the department take it; return its record, as it was acknowledged."""
    taken = await stage.department.notice(lambda found: found["use_case"] == "a4t1")
    stage.timeline.say(DEPARTMENT, f"takes it; its case number is {taken['reference']}", "taken")
    answer = json.loads(await stage.department.read(f"/notices/{taken['notice_id']}/answer"))
    resources = (entry["resource"] for entry in answer["entry"])
    return next(each for each in resources if each["resourceType"] == "ServiceRequest")


async def _notice_about(stage: Stage, receipt: Document, kind: str) -> Document:
    _, found = await stage.caller.notice(
        lambda found: found["request_id"] == receipt["request_id"], kind
    )
    return found


LOST_ANSWER = Chapter(
    name="lost-answer",
    title="An answer gets lost, and nothing is doubled",
    steps=frozenset(
        {"receipt", "lost", "taken", "duplicate", "outcome acknowledged", "found", "once"}
    ),
    play=_lost_answer,
)


async def _bookings(stage: Stage) -> None:
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


BOOKING = Chapter(
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
    play=_bookings,
)


def call_assistance(**changes: Any) -> bytes:
    """Return a new call for assistance to another control room; *changes* as for a referral."""
    values = {"use_case": "a6t2", "version": "1.0.0", "plan": "active"} | changes
    bundle = json.loads(referral(**values))
    kinds = {entry["resource"]["resourceType"]: entry["resource"] for entry in bundle["entry"]}
    place = kinds["Location"]
    place["meta"]["profile"] = [f"{CORE}/BARSLocation-incident-location"]
    system = f"{NHS}/CodeSystem/location-types-bars"
    place["type"] = [{"coding": [{"system": system, "code": "ILOC", "display": "ILOC"}]}]
    return json.dumps(bundle).encode()


class _Step(NamedTuple):
    """What the neighbour says in a few words, and what that is for a person."""

    move: str
    outcome: str | None
    words: str
    status: str  # of its Encounter, as the asker's gateway then knows it


_STREAM = (
    _Step("progress", "allocated", "accepted, and a crew is on its way", "in-progress"),
    _Step("wait", None, "that crew is stood down", "planned"),
    _Step("progress", "allocated", "another crew is on its way", "in-progress"),
    _Step("progress", "arrived", "the crew is with the patient", "arrived"),
    _Step("conclude", None, "the case is closed", "finished"),
)


async def _control_rooms(stage: Stage) -> None:
    """Play both control rooms until the case is closed."""
    stage.caller.drop("assist.json", call_assistance(**stage.ends_with(stage.neighbour)))
    stage.timeline.say(CALLER, "drops assist.json: can the neighbour take this call (a6t2)?")
    receipt = await stage.caller.receipt("assist.json")
    taken = await stage.neighbour_epr.notice(lambda found: found["use_case"] == "a6t2")
    stage.timeline.say(NEIGHBOUR, f"takes it; its case number is {taken['reference']}", "taken")
    read = 0
    for number, step in enumerate(_STREAM):
        await _tells(stage, taken["workflow_id"], number, step)
        read = await _reads(stage, receipt, read, step)
    ended = (await _workflow(stage, receipt["request_id"]))["state"]
    stage.timeline.say(CALLER, f"looks it up: the workflow is {ended}", f"workflow {ended}")


async def _tells(stage: Stage, workflow: int, number: int, step: _Step) -> None:
    """Say in a few words how things are; the gateway makes the message of it."""
    words = {"move": step.move} | ({} if step.outcome is None else {"outcome": step.outcome})
    named = ", ".join(words.values())
    stage.timeline.say(NEIGHBOUR, f"POST /moves: {named} ({step.words})")
    key = {"submission_id": f"assist-{number}", "in_reply_to": workflow}
    made = await stage.neighbour_epr.move(key | words)
    await stage.neighbour_epr.notice(
        lambda found: found["request_id"] == made["request_id"] and found["state"] == "acknowledged"
    )


async def _reads(stage: Stage, receipt: dict[str, str], after: int, step: _Step) -> int:
    """Find the update; return its notice's number."""
    number, notice = await stage.caller.notice(
        lambda found: (
            found["workflow_id"] == receipt["workflow_id"]
            and found["direction"] == "inbound"
            and found["notice_id"] > after
        )
    )
    known = (await _workflow(stage, receipt["request_id"]))["told_status"]
    remarks = f"; remarks: {', '.join(notice['remarks'])}" if notice["remarks"] else ""
    seen = step.words if (notice["move"], known) == (step.move, step.status) else None
    stage.timeline.say(CALLER, f"finds it in inbox/new: {notice['move']}, {known}{remarks}", seen)
    return number


async def _workflow(stage: Stage, request_id: str) -> dict[str, str]:
    workflow: dict[str, str] = (await stage.caller_socket.get(f"/messages/{request_id}"))[
        "workflow"
    ]
    return workflow


CONTROL_ROOMS = Chapter(
    name="control-rooms",
    title="One ambulance service asks another to take a case, and is kept informed",
    steps=frozenset({"taken", "workflow completed", *(step.words for step in _STREAM)}),
    play=_control_rooms,
)


async def _overdue(stage: Stage) -> None:
    """Let the department say nothing until it is too late, and then answer."""
    receipt = await _sent_in_time(stage)
    taken = await stage.department.notice(lambda found: found["use_case"] == "a4t1")
    stage.timeline.say(DEPARTMENT, f"takes it as {taken['reference']}, and says nothing", "taken")
    await _silence(stage, receipt)
    await _too_late(stage, receipt, taken)


async def _sent_in_time(stage: Stage) -> Document:
    """
    Hand the request over until it is sent before its clinical time; return its receipt.

    Raises SandboxError where it would not be sent however much time it had.
    """
    seconds = _SECONDS
    while seconds <= _MOST_SECONDS:
        name = f"urgent-{seconds}.json"
        needed_by = datetime.now(UTC) + timedelta(seconds=seconds)
        stage.caller.drop(name, validation_request(needed_by=needed_by, **stage.ends))
        stage.timeline.say(CALLER, f"drops {name}: an answer is needed in {seconds} s")
        if await stage.caller.is_accepted(name):
            receipt = await stage.caller.receipt(name)
            _, outcome = await stage.caller.notice(partial(_is_of, receipt), "outcome")
            if outcome["state"] == "acknowledged":
                return receipt
        seconds += _MORE_SECONDS
        stage.timeline.say("demo", f"has a busy machine: too late. It is tried with {seconds} s")
    raise SandboxError("a request for validation is not sent: its reason lies in outbox/refused")


def _is_of(receipt: Document, found: Document) -> bool:
    return bool(found["request_id"] == receipt["request_id"])


async def _silence(stage: Stage, receipt: Document) -> None:
    """See everything that tells a person that the answer has not come."""
    _, notice = await stage.caller.notice(
        lambda found: found["request_id"] == receipt["request_id"], "overdue"
    )
    stage.timeline.say(CALLER, f"is told overdue: {notice['means']}", "overdue")
    owing = await stage.department.notice(lambda found: found["kind"] == "overdue")
    stage.timeline.say(DEPARTMENT, f"is told overdue: {owing['means']}", "owing")
    await _page(stage, stage.ambulance, "Overdue: 1 answer owed to us", "alarm here")
    await _page(stage, stage.hospital, "Overdue: 1 answer that we owe", "alarm there")


async def _too_late(stage: Stage, receipt: Document, taken: Document) -> None:
    """Answer after all, and see that it is delivered, flagged, and that the alarm ends."""
    stage.timeline.say(DEPARTMENT, "POST /moves: conclude, no_action; too late, but in full")
    made = await stage.department.move(
        {
            "submission_id": "urgent-concluded",
            "in_reply_to": taken["workflow_id"],
            "move": "conclude",
            "outcome": "no_action",
            "resources": [_PLAN],
        }
    )
    _, late = await stage.caller.notice(
        lambda found: found["workflow_id"] == receipt["workflow_id"] and found["move"] == "conclude"
    )
    seen = "flagged" if "late" in late["remarks"] else None
    remarks = ", ".join(late["remarks"])
    stage.timeline.say(CALLER, f"finds it: {late['move']}, with the remark: {remarks}", seen)
    outcome = await stage.department.notice(
        lambda found: found["request_id"] == made["request_id"] and found["kind"] == "outcome"
    )
    stage.timeline.say(DEPARTMENT, f"is told: {outcome['state']}", f"late {outcome['state']}")
    await _page(stage, stage.ambulance, "came with a remark", "a remark stays")
    await _page(stage, stage.hospital, _CALM, "calm again")


async def _page(stage: Stage, organisation: Organisation, says: str, step: str) -> None:
    """Wait until the organisation's status page *says* so at its head."""
    async with aiohttp.ClientSession(trust_env=False) as session:
        head = await _head(session, organisation)
        while says not in head:
            await asyncio.sleep(_LOOK_SECONDS)
            head = await _head(session, organisation)
    stage.timeline.say(organisation.name, f"its status page: {head}", step)


async def _head(session: aiohttp.ClientSession, organisation: Organisation) -> str:
    """Return what the page shows first: its most severe concern, or that all is well."""
    async with session.get(organisation.status_url) as response:
        concern = _CONCERN.search(await response.text())
    return html.unescape(concern[1]) if concern else _CALM


OVERDUE = Chapter(
    name="overdue",
    title="An answer that is owed does not come in time",
    steps=frozenset(
        {
            "taken",
            "overdue",
            "owing",
            "alarm here",
            "alarm there",
            "flagged",
            "late acknowledged",
            "a remark stays",
            "calm again",
        }
    ),
    play=_overdue,
)

CHAPTERS = (VALIDATION, LOST_ANSWER, BOOKING, CONTROL_ROOMS, OVERDUE)  # as they are played
