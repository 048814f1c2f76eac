"""
Conversations: everything under one X-Correlation-Id, as a sequence and as a list; and what is owed.

    GET /conversations/CORRELATION   who did what towards whom, in order, both directions
    GET /workflows/NUMBER            leads to the conversation of that workflow
    GET /owed                        every answer that is owed, overdue first

The drawing has the numbers of the list, and says nothing that the list does not.
"""

from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import quote

from aiohttp import web

from bars_gateway.console.charts import Arrow, Course
from bars_gateway.console.desk import Desk, missing, shown
from bars_gateway.model.timeline import Party, TimelineStep

LISTED = 100  # debts
_DRAWN = 120  # steps: the last of them, where there are more
_LANES = {
    Party.EPR: "our EPR",
    Party.GATEWAY: "this gateway",
    Party.OTHER: "proxy and other side",
    Party.PERSON: "a person here",
}


class ConversationPages:
    """The pages about conversations."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._store = desk, desk.store

    def routes(self) -> Sequence[web.RouteDef]:
        """Return what can be asked for."""
        return [
            web.get("/conversations/{correlation}", self._show),
            web.get(r"/workflows/{number:\d{1,18}}", self._workflow),
            web.get("/owed", self._owed),
        ]

    async def _show(self, request: web.Request) -> web.Response:
        frame = self._desk.frame("/messages")
        correlation = request.match_info["correlation"]
        found = await self._store.timelines.timeline(correlation)
        if found is None:
            why = "Nothing here has that X-Correlation-Id, in either direction."
            return missing(frame, "such conversation", why)
        steps = found.steps
        return shown(
            "conversation.html",
            frame,
            talk=found,
            drawing=course(steps),
            left_out=max(0, len(steps) - _DRAWN),
        )

    async def _workflow(self, request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        correlation = await self._store.timelines.correlation_of(number)
        if correlation is None:
            why = "Numbers are never used twice: no workflow has had it yet."
            return missing(self._desk.frame("/messages"), f"workflow {number}", why)
        there = f"/conversations/{quote(correlation, safe='')}#workflow-{number}"
        return web.Response(status=HTTPStatus.FOUND, headers={"Location": there})

    async def _owed(self, _request: web.Request) -> web.Response:
        frame = self._desk.frame("/owed")
        debts = await self._store.debts.owed(LISTED)
        return shown("owed.html", frame, debts=debts, listed=LISTED)


def course(steps: Sequence[TimelineStep]) -> Course:
    """Return the drawing of the last of *steps*."""
    drawn = steps[-_DRAWN:]
    parties = [each for each in _LANES if each is not Party.PERSON or _acts(each, drawn)]
    lane = {party: number for number, party in enumerate(parties)}
    return Course(
        lanes=[_LANES[party] for party in parties],
        arrows=[
            Arrow(source=lane[step.source], target=lane[step.target], label=_label(step))
            for step in drawn
        ],
        first=len(steps) - len(drawn) + 1,
        title="Who did what towards whom, downwards in time; the list below has the same numbers",
    )


def _acts(party: Party, steps: Sequence[TimelineStep]) -> bool:
    return any(party in (step.source, step.target) for step in steps)


def _label(step: TimelineStep) -> str:
    number = f" {step.number}" if step.number is not None else ""
    return f"{step.kind.rpartition('.')[2].replace('_', ' ')}{number}, {step.at:%H:%M:%S}"
