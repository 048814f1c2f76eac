"""
An answer that is owed does not come: everybody is told. It comes late, and is flagged.

No clock is set: the request names a clinical time that is a few seconds away.
"""

import asyncio
import html
import re
from datetime import UTC, datetime, timedelta

import aiohttp

from bars_gateway.demo.eprs import Document
from bars_gateway.demo.messages import validation_request
from bars_gateway.demo.processes import Organisation
from bars_gateway.demo.stage import CALLER, DEPARTMENT, Chapter, Stage

_SECONDS = 2  # from the request to its clinical time
_CONCERN = re.compile(r"<li><strong>(.*?)</strong>")
_CALM = "No action needed"
_LOOK_SECONDS = 0.1
_PLAN = {
    "resourceType": "CarePlan",
    "activity": [{"outcomeCodeableConcept": [{"text": "Seen by an invented clinician."}]}],
}


async def play(stage: Stage) -> None:
    """Let the department say nothing until it is too late, and then answer."""
    needed_by = datetime.now(UTC) + timedelta(seconds=_SECONDS)
    stage.caller.drop("urgent.json", validation_request(needed_by=needed_by, **stage.ends))
    stage.timeline.say(CALLER, f"drops urgent.json: an answer is needed in {_SECONDS} s")
    receipt = await stage.caller.receipt("urgent.json")
    taken = await stage.department.notice(lambda found: found["use_case"] == "a4t1")
    stage.timeline.say(DEPARTMENT, f"takes it as {taken['reference']}, and says nothing", "taken")
    await _silence(stage, receipt)
    await _too_late(stage, receipt, taken)


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


CHAPTER = Chapter(
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
    play=play,
)
