"""
Somebody sees to an alert, and says so on the socket.

    POST /alerts/{id}/acknowledge   200 done · 404 none is open under that number

Alerts are the gateway's own and no provider's: whoever may use one of its sockets may say that
somebody sees to one. It is told of no more until it grows worse, and resolved as ever.
"""

from collections.abc import Callable
from datetime import datetime

import structlog
from aiohttp import web

from bars_gateway.epr.documents import Document, json_answer
from bars_gateway.epr.intervention_requests import refused_order, uid_of
from bars_gateway.epr.orders import OrderProblem, read_acknowledgement
from bars_gateway.listeners import body_of
from bars_gateway.model.alerts import Alert
from bars_gateway.model.messages import Actor
from bars_gateway.store.alerts import Alerts

log = structlog.get_logger(__name__)


class AlertRequests:
    """Serves who sees to alerts."""

    def __init__(self, alerts: Alerts, *, now: Callable[[], datetime]) -> None:
        self._alerts, self._now = alerts, now

    def routes(self) -> list[web.RouteDef]:
        """Return what the socket has to serve."""
        return [web.post(r"/alerts/{id:\d{1,18}}/acknowledge", self._acknowledge)]

    async def _acknowledge(self, request: web.Request) -> web.Response:
        try:
            order = read_acknowledgement(await body_of(request))
        except OrderProblem as problem:
            return refused_order(problem)
        who = f"{order.by or order.role} (uid {uid_of(request)})"
        actor = Actor(role=order.role, who=who, why=order.why)
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
