"""
Alarms and alerts: everything that waits for a person to have seen it, each listed.

    GET /alarms?kind=KIND   alarms that stand, of one kind or of all, the most harmful kind first;
                            alerts that are open, and who sees to them

An alarm names what it speaks of, and stands until somebody has seen to it. An alert is what people
are told beyond this machine: one for each condition, and nothing in it names a message.
"""

from collections.abc import Sequence
from http import HTTPStatus

from aiohttp import web

from bars_gateway.console.desk import Asked, Desk, shown
from bars_gateway.model.alarms import ALARMS
from bars_gateway.status.runbooks import RUNBOOKS

PLACE = "/alarms"
_LISTED = 200  # of one kind
_OF_EACH = 50


class AlarmPages:
    """The page about alarms and alerts."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._store = desk, desk.store

    def routes(self) -> Sequence[web.RouteDef]:
        """Return what can be asked for."""
        return [web.get(PLACE, self._show)]

    async def _show(self, request: web.Request) -> web.Response:
        frame, asked = self._desk.frame(PLACE), Asked(request.query)
        kind = asked.text("kind")
        if kind is not None and kind not in ALARMS:
            asked.problems["kind"] = "must be one of the list"
        alarms = []
        most = _LISTED if kind else _OF_EACH
        if not asked.problems:
            alarms = await self._store.alarms.listed(kind, most)
        overview = await self._store.watched(frame.at)
        return shown(
            "alarms.html",
            frame,
            HTTPStatus.BAD_REQUEST if asked.problems else HTTPStatus.OK,
            alarms=alarms,
            alerts=await self._store.alerts.standing(),
            kind=kind or "",
            kinds={each: overview.alarmed(each) for each in ALARMS if overview.alarmed(each)},
            nouns={each: found.noun for each, found in ALARMS.items()},
            problems=asked.problems,
            books=RUNBOOKS,
            most=most,
        )
