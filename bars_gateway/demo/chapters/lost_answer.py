"""
A message arrives, and its answer does not: it is sent again, and nothing is doubled.

What the Receiver calls it was in the lost answer. So it is looked for among the patient's
records, which the department's EPR shows when it is asked.
"""

import asyncio
import json

from bars_gateway.demo.bookings import searchset
from bars_gateway.demo.eprs import Document
from bars_gateway.demo.messages import validation_request
from bars_gateway.demo.stage import CALLER, DEPARTMENT, Chapter, Stage


async def play(stage: Stage) -> None:
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
        record = await _taken(stage)
        outcome = await _told(stage, receipt, "outcome")
        stage.timeline.say(
            CALLER,
            f"reads the outcome: {outcome['state']}, after {outcome['attempts']} attempts",
            f"outcome {outcome['state']}",
        )
        question = await asked
    await stage.department.answer(question["question_id"], searchset(record))
    stage.timeline.say(DEPARTMENT, f"is asked: {question['means']}: it shows the one record")
    found = await _told(stage, receipt, "reconciled")
    same = found["focus_id"] == record["id"]
    stage.timeline.say(CALLER, f"is told: {found['means']}", found["reconciled"] if same else None)
    waiting = await stage.department.waiting()
    again = "nothing else has arrived" if not waiting else f"{waiting} MORE HAVE ARRIVED"
    stage.timeline.say(DEPARTMENT, again, "once" if not waiting else None)


async def _taken(stage: Stage) -> Document:
    """Let the department take it; return its record, as it was acknowledged."""
    taken = await stage.department.notice(lambda found: found["use_case"] == "a4t1")
    stage.timeline.say(DEPARTMENT, f"takes it; its case number is {taken['reference']}", "taken")
    answer = json.loads(await stage.department.read(f"/notices/{taken['notice_id']}/answer"))
    resources = (entry["resource"] for entry in answer["entry"])
    return next(each for each in resources if each["resourceType"] == "ServiceRequest")


async def _told(stage: Stage, receipt: Document, kind: str) -> Document:
    _, found = await stage.caller.notice(
        lambda found: found["request_id"] == receipt["request_id"], kind
    )
    return found


CHAPTER = Chapter(
    name="lost-answer",
    title="An answer gets lost, and nothing is doubled",
    steps=frozenset(
        {"receipt", "lost", "taken", "duplicate", "outcome acknowledged", "found", "once"}
    ),
    play=play,
)
