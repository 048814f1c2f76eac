"""A message arrives, and its answer does not: it is sent again, and nothing is doubled."""

from bars_gateway.demo.messages import validation_request
from bars_gateway.demo.stage import CALLER, DEPARTMENT, Chapter, Stage


async def play(stage: Stage) -> None:
    """Lose one answer, and wait until the EPR knows all the same that the message arrived."""
    await stage.arm(kind="drop_after", count=1)
    stage.timeline.say("demo", "will let the next answer get lost on its way back")
    stage.caller.drop("lost.json", validation_request(**stage.ends))
    receipt = await stage.caller.receipt("lost.json")
    stage.timeline.say(CALLER, f"has its receipt: X-Request-Id {receipt['request_id']}", "receipt")
    taken = await stage.department.notice(lambda found: found["use_case"] == "a4t1")
    stage.timeline.say(DEPARTMENT, f"takes it; its case number is {taken['reference']}", "taken")
    _, outcome = await stage.caller.notice(
        lambda found: found["request_id"] == receipt["request_id"], "outcome"
    )
    stage.timeline.say(
        CALLER,
        f"reads the outcome: {outcome['state']}, after {outcome['attempts']} attempts",
        f"outcome {outcome['state']}",
    )
    waiting = await stage.department.waiting()
    again = "nothing else has arrived" if not waiting else f"{waiting} MORE HAVE ARRIVED"
    stage.timeline.say(DEPARTMENT, again, "once" if not waiting else None)


CHAPTER = Chapter(
    name="lost-answer",
    title="An answer gets lost, and nothing is doubled",
    steps=frozenset({"receipt", "lost", "taken", "duplicate", "outcome acknowledged", "once"}),
    play=play,
)
