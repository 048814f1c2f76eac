"""
One ambulance service asks another to take a case, and is told each time that things move.

`call_assistance()` returns a Bundle that passes every rule, with a Bundle.id of its own.
"""

import json
from typing import Any, NamedTuple

from bars_gateway.demo.messages import CORE, NHS, referral
from bars_gateway.demo.stage import CALLER, NEIGHBOUR, Chapter, Stage


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


async def play(stage: Stage) -> None:
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


CHAPTER = Chapter(
    name="control-rooms",
    title="One ambulance service asks another to take a case, and is kept informed",
    steps=frozenset({"taken", "workflow completed", *(step.words for step in _STREAM)}),
    play=play,
)
