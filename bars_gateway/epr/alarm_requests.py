"""
What a person has to see, on the socket: the alarms that stand, and the word that they are handled.

    GET  /alarms            200 what stands, newest first
    POST /alarms/handled    200 what became, or would become, of each

The body names alarms by number or by X-Request-Id, or all of some kinds up to the highest
number that was seen: see `orders`. An operator's command line asks the same.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

import structlog
from aiohttp import web

from bars_gateway.epr.documents import Document
from bars_gateway.epr.listener import uid_of
from bars_gateway.epr.orders import Handling, OrderProblem, read_handling
from bars_gateway.epr.verb_requests import json_answer, objection_document, refused_order
from bars_gateway.listeners import body_of
from bars_gateway.model.actors import Actor
from bars_gateway.model.alarms import MOST_AT_ONCE, Alarm, Handled
from bars_gateway.store.alarms import Alarms

log = structlog.get_logger(__name__)


class AlarmRequests:
    """Serves one provider's alarms."""

    def __init__(
        self,
        alarms: Alarms,
        *,
        provider: str,
        now: Callable[[], datetime],
        at_once: int = MOST_AT_ONCE,
    ) -> None:
        self._alarms = alarms
        self._provider = provider
        self._now = now
        self._at_once = at_once

    def routes(self) -> list[web.RouteDef]:
        """Return what the socket has to serve."""
        return [web.get("/alarms", self._list), web.post("/alarms/handled", self._handle)]

    async def _list(self, _request: web.Request) -> web.Response:
        found = await self._alarms.standing(self._provider, MOST_AT_ONCE)
        return json_answer({"alarms": [alarm_document(each) for each in found]})

    async def _handle(self, request: web.Request) -> web.Response:
        try:
            order = read_handling(await body_of(request))
        except OrderProblem as problem:
            return refused_order(problem)
        actor = Actor(
            role=order.role,
            who=f"{order.by or order.role} (uid {uid_of(request)})",
            why=order.why,
        )
        done = await self._alarms.handle(
            self._provider,
            order.chosen,
            actor,
            self._now(),
            dry_run=order.dry_run,
            at_once=self._at_once,
        )
        self._log(order, done)
        return json_answer(_report(order, done, self._at_once))

    def _log(self, order: Handling, done: Sequence[Handled]) -> None:
        count = sum(each.objection is None for each in done)
        if count and not order.dry_run:
            log.info("alarms.handled", provider=self._provider, count=count, kind=order.role)


def alarm_document(alarm: Alarm) -> Document:
    """Return what a program reads of an alarm."""
    return {
        "alarm_id": alarm.number,
        "kind": alarm.kind,
        "role": alarm.role,
        "request_id": alarm.request_id,
        "workflow_id": alarm.workflow_id,
        "use_case": alarm.use_case,
        "quarantine_id": alarm.quarantine,
        "codes": list(alarm.codes),
        "since": alarm.since.isoformat(timespec="milliseconds"),
        "times": alarm.times,
    }


def _report(order: Handling, done: Sequence[Handled], at_once: int) -> Document:
    possible = sum(each.objection is None for each in done)
    more = order.chosen.up_to is not None and len(done) >= at_once
    last = done[-1].alarm if more else None  # those up to a number come behind those named
    return {
        "dry_run": order.dry_run,
        "possible": possible,
        "more": more,
        "next": {"after": last.number} if last else None,
        "alarms": [
            {
                "name": each.name,
                "done": each.objection is None and not order.dry_run,
                "objection": objection_document(each.objection),
                "alarm": alarm_document(each.alarm) if each.alarm else None,
            }
            for each in done
        ],
    }
