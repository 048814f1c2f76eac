"""
What a person asks of records, on the socket: to keep them from every purge, or to begin one.

    POST /records/hold       200 what is held now · 404 nothing of that name
    POST /records/release    200 what is held no more · 404 · 409 it was not held
    POST /purges             202 begun, or the one that goes on
    GET  /purges/{id}        200 how far it is, and what it has removed · 404

The body says why and by whom, as with every act (`orders`), and names one thing: a message by its
X-Request-Id or number, a workflow, or what lies in quarantine by its number. A purge that is asked
for here is of this provider's records alone. It goes on by itself: whoever asked looks how far it
is.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import structlog
from aiohttp import web

from bars_gateway.epr.documents import Document, json_answer, problem
from bars_gateway.epr.intervention_requests import via
from bars_gateway.epr.orders import (
    RecordOrder,
    read_hold_order,
    read_purge_order,
    read_release_order,
)
from bars_gateway.listeners import body_of
from bars_gateway.model.retention import Certificate, RecordHold, RetentionRules
from bars_gateway.store.purges import Purges
from bars_gateway.store.record_holds import HeldThing, RecordHolds

log = structlog.get_logger(__name__)
_LISTED = "`bars-gateway purge --certificates` lists all"


class RecordRequests:
    """Serves what is asked of one provider's records."""

    def __init__(
        self,
        holds: RecordHolds,
        purges: Purges,
        rules: RetentionRules,
        wake: Callable[[], None],
        *,
        provider: str,
        now: Callable[[], datetime],
    ) -> None:
        self._holds, self._purges, self._rules = holds, purges, rules
        self._wake, self._provider, self._now = wake, provider, now

    def routes(self) -> list[web.RouteDef]:
        """Return what the socket has to serve."""
        return [
            web.post("/records/hold", self._hold),
            web.post("/records/release", self._release),
            web.post("/purges", self._begin),
            web.get(r"/purges/{id:\d{1,18}}", self._show),
        ]

    async def _hold(self, request: web.Request) -> web.Response:
        order = read_hold_order(await body_of(request))
        thing = thing_of(order)
        named = await self._holds.named(self._provider, thing)
        if not named:
            return _nothing_named(self._provider)
        if order.dry_run:
            every = await self._holds.named(self._provider, replace(thing, with_linked=True))
            return json_answer(_dry(named, every - named))
        held = await self._holds.hold_record(
            self._provider, thing, order.actor(via(request)), self._now()
        )
        log.info("records.held", provider=self._provider, count=len(held))
        return json_answer(_held(named, held))

    async def _release(self, request: web.Request) -> web.Response:
        order = read_release_order(await body_of(request))
        thing = thing_of(order)
        named = await self._holds.named(self._provider, thing)
        if not named:
            return _nothing_named(self._provider)
        if order.dry_run:
            held = await self._holds.held(self._provider, thing)
            return json_answer(_dry(len(held), 0))
        actor = order.actor(via(request))
        released = await self._holds.release_record(self._provider, thing, actor, self._now())
        log.info("records.released", provider=self._provider, count=len(released))
        return json_answer(_held(named, released), 200 if released else 409)

    async def _begin(self, request: web.Request) -> web.Response:
        order = read_purge_order(await body_of(request))
        actor = order.actor(via(request))
        purge = await self._purges.begin_purge(self._provider, actor, self._rules, self._now())
        self._wake()
        return json_answer({"purge_id": purge.number, "provider": purge.provider}, 202)

    async def _show(self, request: web.Request) -> web.Response:
        found = await self._purges.certificate(int(request.match_info["id"]))
        if found is None:
            return json_answer(problem("no purge has that number", _LISTED), 404)
        return json_answer(certificate_document(found))


def _nothing_named(provider: str) -> web.Response:
    cure = (
        "see that it is written as `bars-gateway show` has it: the X-Request-Id or the number of a"
        " message, --workflow with the number of a workflow, or --quarantine with a number of"
        " `bars-gateway quarantine`. What has left by its age cannot be held: keep a backup of it"
    )
    return json_answer(problem(f"nothing of {provider} has that name or number", cure), 404)


def thing_of(order: RecordOrder) -> HeldThing:
    """Return what an order names."""
    return HeldThing(
        request_id=order.request_id,
        message_id=order.message_id,
        workflow_id=order.workflow_id,
        quarantine_id=order.quarantine_id,
        with_linked=order.linked,
    )


def _dry(named: int, linked: int) -> Document:
    return {"dry_run": True, "records": named, "linked_records": linked, "holds": []}


def _held(named: int, holds: list[RecordHold]) -> Document:
    named_too = {each.workflow_id for each in holds}
    linked = {other.workflow_id for each in holds for other in each.linked} - named_too
    return {
        "dry_run": False,
        "records": named,
        "linked_records": len(linked),
        "holds": [hold_document(each) for each in holds],
    }


def hold_document(held: RecordHold) -> Document:
    """Return what a program reads of a hold."""
    return {
        "hold_id": held.number,
        "provider": held.provider,
        "workflow_id": held.workflow_id,
        "quarantine_id": held.quarantine_id,
        "held_at": held.held_at.isoformat(timespec="milliseconds"),
        "held_by": held.held_by,
        "why": held.why,
        "released_at": _moment(held.released_at),
        "released_by": held.released_by,
        "released_why": held.released_why,
        "linked": [
            {
                "workflow_id": each.workflow_id,
                "request_type": each.request_type,
                "role": each.role,
                "state": each.state,
                "is_held": each.is_held,
            }
            for each in held.linked
        ],
    }


def certificate_document(shown: Certificate) -> Document:
    """Return what a program reads of a certificate: all that proves it."""
    purge = shown.purge
    return {
        "purge_id": purge.number,
        "provider": purge.provider,
        "began_by": purge.began_by,
        "why": purge.why,
        "began_at": purge.began_at.isoformat(timespec="milliseconds"),
        "counts_to": purge.counts_to.isoformat(timespec="milliseconds"),
        "ended_at": _moment(purge.ended_at),
        "removed": shown.count,
        "rules": [
            {
                "class": str(each.record_class),
                "provider": each.provider,
                "use_case": each.use_case,
                "days": each.days,
            }
            for each in purge.rules.rules
        ],
        "classes": [
            {
                "class": str(each.record_class),
                "removed": each.count,
                "by_rule": dict(each.by_rule),
                "digest": each.digest,
                "numbers": [list(span) for span in shown.spans.get(each.record_class, ())],
                "ended_at": _moment(each.ended_at),
            }
            for each in shown.classes
        ],
    }


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="milliseconds")
