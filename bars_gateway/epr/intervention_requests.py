"""
What a person does, on the socket: with messages, with alarms, with alerts.

    POST /messages/{request_id}/{verb}    200 done, or would be · 404 · 409 and why not
    POST /interventions                   200 how many, and each one of them
    POST /quarantine/{id}/attach          200 done, or would be · 404 · 409 and why not
    POST /workflows/{id}/confirm          200 done, or would be · 404 · 409 and why not
    GET  /alarms                          200 what stands, newest first
    POST /alarms/handled                  200 what became, or would become, of each
    POST /alerts/{id}/acknowledge         200 done · 404 none is open under that number

The body says why, by whom, and whether it is a dry run: see `orders`. It names alarms by number or
by X-Request-Id, or all of some kinds up to the highest number that was seen. The operator's
command line asks the same, under the name of an operator.

Alerts are the gateway's own and no provider's: whoever may use one of its sockets may say that
somebody sees to one. It is told of no more until it grows worse, and resolved as ever.
"""

import socket
import struct
from collections.abc import Callable, Sequence
from datetime import datetime

import structlog
from aiohttp import web

from bars_gateway.epr import documents
from bars_gateway.epr.documents import Document, json_answer
from bars_gateway.epr.interventions import (
    AttachedResponse,
    Attaching,
    ConfirmedWorkflow,
    Confirming,
    Intervention,
    Report,
    Verbs,
)
from bars_gateway.epr.orders import (
    Handling,
    OrderProblem,
    read_acknowledgement,
    read_attachment,
    read_bulk_order,
    read_confirmation,
    read_handling,
    read_order,
)
from bars_gateway.listeners import body_of
from bars_gateway.model.alerts import Alert
from bars_gateway.model.interventions import Selection, Verb
from bars_gateway.model.messages import Objection
from bars_gateway.model.standing_alarms import MOST_AT_ONCE, Alarm, Handled
from bars_gateway.standard.headers import is_uuid
from bars_gateway.store.alarms import Alarms
from bars_gateway.store.alerts import Alerts

log = structlog.get_logger(__name__)

_CURE = 'send {"why": "…"} as it is described in /openapi.json; nothing was done'


class VerbRequests:
    """Serves the verbs of one provider's messages."""

    def __init__(self, verbs: Verbs, attaching: Attaching, confirming: Confirming) -> None:
        self._verbs = verbs
        self._confirming = confirming
        self._attaching = attaching

    def routes(self) -> list[web.RouteDef]:
        """Return what the socket has to serve."""
        return [
            web.post("/messages/{request_id}/{verb}", self._act),
            web.post("/interventions", self._act_on_all),
            web.post(r"/quarantine/{id:\d{1,18}}/attach", self._attach),
            web.post(r"/workflows/{id:\d{1,18}}/confirm", self._confirm),
        ]

    async def _act(self, request: web.Request) -> web.Response:
        request_id, verb = request.match_info["request_id"].lower(), request.match_info["verb"]
        if verb not in list(Verb):
            raise web.HTTPNotFound(reason="there is no such verb")
        order = read_order(await body_of(request), verb)
        done = (
            await self._verbs.act(order, request_id, via(request)) if is_uuid(request_id) else None
        )
        if done is None:
            raise web.HTTPNotFound(reason="no outbound message has that request id")
        return json_answer(_intervention(done), 409 if done.objection else 200)

    async def _act_on_all(self, request: web.Request) -> web.Response:
        order, selection = read_bulk_order(await body_of(request))
        report = await self._verbs.act_on_all(order, selection, via(request))
        return json_answer(_report(report))

    async def _attach(self, request: web.Request) -> web.Response:
        order = read_attachment(await body_of(request))
        number = int(request.match_info["id"])
        done = await self._attaching.attach(order, number, via(request))
        if done is None:
            raise web.HTTPNotFound(reason="no quarantined response has that number")
        return json_answer(_outcome(done, order.dry_run), 409 if done.objection else 200)

    async def _confirm(self, request: web.Request) -> web.Response:
        order = read_confirmation(await body_of(request))
        number = int(request.match_info["id"])
        done = await self._confirming.confirm(order, number, via(request))
        if done is None:
            raise web.HTTPNotFound(reason="no workflow has that number")
        return json_answer(_settlement(done, order.dry_run), 409 if done.objection else 200)


def refused_order(problem: OrderProblem) -> web.Response:
    """Say what is wrong with an order."""
    found = documents.problem(str(problem), _CURE)
    return json_answer({**found, "member": problem.member}, 422)


def objection_document(against: Objection | None) -> Document | None:
    """Return what a program reads of an objection."""
    if against is None:
        return None
    return {"code": against.code, "problem": against.text, "cure": against.cure}


def _outcome(done: AttachedResponse, dry_run: bool) -> Document:  # noqa: FBT001
    return {
        "quarantine_id": done.number,
        "workflow_id": done.workflow_id,
        "dry_run": dry_run,
        "done": done.state is not None,
        "state": done.state,
        "objection": objection_document(done.objection),
    }


def _settlement(done: ConfirmedWorkflow, dry_run: bool) -> Document:  # noqa: FBT001
    return {
        "workflow_id": done.workflow_id,
        "dry_run": dry_run,
        "done": done.state is not None and not dry_run,
        "state": done.state,
        "objection": objection_document(done.objection),
    }


def _intervention(done: Intervention) -> Document:
    return {
        "verb": done.verb,
        "request_id": done.request_id,
        "state": done.state,
        "done": done.done,
        "objection": objection_document(done.objection),
        "may_happen": done.may_happen,
        "resent_as": done.resent_as,
        "also": list(done.also),
    }


def _report(report: Report) -> Document:
    return {
        "verb": report.verb,
        "dry_run": report.dry_run,
        "possible": report.possible,
        "objections": dict(report.objections),
        "more": report.following is not None,
        "next": _next(report.following),
        "messages": [_intervention(each) for each in report.interventions],
    }


def _next(following: Selection | None) -> Document | None:
    if following is None:
        return None
    return {"after": following.after, "up_to": following.up_to}


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
        order = read_handling(await body_of(request))
        done = await self._alarms.handle(
            self._provider,
            order.chosen,
            order.actor(via(request)),
            self._now(),
            dry_run=order.dry_run,
            at_once=self._at_once,
        )
        self._log(order, done)
        return json_answer(_handled(order, done, self._at_once))

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


def _handled(order: Handling, done: Sequence[Handled], at_once: int) -> Document:
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


def via(request: web.Request) -> str:
    """Return how an order came, as the audit trail has it."""
    return f"uid {uid_of(request)}"


def uid_of(request: web.Request) -> int | None:
    """Return who is on the other end, as the kernel knows it."""
    peer = request.transport.get_extra_info("socket") if request.transport else None
    if peer is None:
        return None
    size = struct.calcsize("3i")
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    uid: int = struct.unpack("3i", credentials)[1]
    return uid


class AlertRequests:
    """Serves who sees to alerts."""

    def __init__(self, alerts: Alerts, *, now: Callable[[], datetime]) -> None:
        self._alerts, self._now = alerts, now

    def routes(self) -> list[web.RouteDef]:
        """Return what the socket has to serve."""
        return [web.post(r"/alerts/{id:\d{1,18}}/acknowledge", self._acknowledge)]

    async def _acknowledge(self, request: web.Request) -> web.Response:
        order = read_acknowledgement(await body_of(request))
        actor = order.actor(via(request))
        alert = await self._alerts.acknowledge(int(request.match_info["id"]), actor, self._now())
        if alert is None:
            raise web.HTTPNotFound(reason="no alert is open under that number")
        log.info("alerts.acknowledged", name=alert.number, kind=alert.code)
        return json_answer(alert_document(alert))


def alert_document(alert: Alert) -> Document:
    """Return what a program reads of an alert."""
    return {
        "alert_id": alert.number,
        "code": alert.code,
        "says": alert.says,
        "urgent": alert.urgent,
        "state": alert.state,
        "since": alert.opened_at.isoformat(timespec="milliseconds"),
        "acknowledged_by": alert.acknowledged_by,
    }
