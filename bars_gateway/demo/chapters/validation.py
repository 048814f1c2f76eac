"""A validation request goes out, and its two responses come home."""

import asyncio
import hashlib
from functools import partial

from bars_gateway.demo.eprs import Document
from bars_gateway.demo.messages import validation_request
from bars_gateway.demo.responses import response
from bars_gateway.demo.stage import CALLER, DEPARTMENT, Chapter, Stage

_RESPONSES = (("interim", "progress"), ("final", "conclude"))


async def play(stage: Stage) -> None:
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


CHAPTER = Chapter(
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
    play=play,
)
