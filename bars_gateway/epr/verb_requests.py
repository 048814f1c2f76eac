"""
What a person does to messages, on the socket: one message, or all that fit a filter.

    POST /messages/{request_id}/{verb}    200 done, or would be · 404 · 409 and why not
    POST /interventions                   200 how many, and each one of them
    POST /quarantine/{id}/attach          200 done, or would be · 404 · 409 and why not
    POST /workflows/{id}/confirm          200 done, or would be · 404 · 409 and why not

The body says why, by whom, and whether it is a dry run: see `orders`. The operator's
command line asks the same, under the name of an operator.
"""

from aiohttp import web

from bars_gateway.epr import documents
from bars_gateway.epr.attaching import Attaching, Outcome
from bars_gateway.epr.confirming import Confirming, Settlement
from bars_gateway.epr.documents import Document
from bars_gateway.epr.listener import uid_of
from bars_gateway.epr.orders import (
    OrderProblem,
    read_attachment,
    read_bulk_order,
    read_confirmation,
    read_order,
)
from bars_gateway.epr.verbs import Intervention, Report, Verbs
from bars_gateway.listeners import body_of
from bars_gateway.model.actors import Objection
from bars_gateway.model.interventions import Selection, Verb
from bars_gateway.standard.headers import is_uuid

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
        request_id, verb = request.match_info["request_id"], request.match_info["verb"]
        if verb not in list(Verb):
            raise web.HTTPNotFound(reason="there is no such verb")
        try:
            order = read_order(await body_of(request), verb)
        except OrderProblem as problem:
            return refused_order(problem)
        uid = uid_of(request)
        done = await self._verbs.act(order, request_id, uid) if is_uuid(request_id) else None
        if done is None:
            raise web.HTTPNotFound(reason="no outbound message has that request id")
        return json_answer(_intervention(done), 409 if done.objection else 200)

    async def _act_on_all(self, request: web.Request) -> web.Response:
        try:
            order, selection = read_bulk_order(await body_of(request))
        except OrderProblem as problem:
            return refused_order(problem)
        report = await self._verbs.act_on_all(order, selection, uid_of(request))
        return json_answer(_report(report))

    async def _attach(self, request: web.Request) -> web.Response:
        try:
            order = read_attachment(await body_of(request))
        except OrderProblem as problem:
            return refused_order(problem)
        number = int(request.match_info["id"])
        done = await self._attaching.attach(order, number, uid_of(request))
        if done is None:
            raise web.HTTPNotFound(reason="no quarantined response has that number")
        return json_answer(_outcome(done, order.dry_run), 409 if done.objection else 200)

    async def _confirm(self, request: web.Request) -> web.Response:
        try:
            order = read_confirmation(await body_of(request))
        except OrderProblem as problem:
            return refused_order(problem)
        number = int(request.match_info["id"])
        done = await self._confirming.confirm(order, number, uid_of(request))
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


def _outcome(done: Outcome, dry_run: bool) -> Document:  # noqa: FBT001
    return {
        "quarantine_id": done.number,
        "workflow_id": done.workflow_id,
        "dry_run": dry_run,
        "done": done.state is not None,
        "state": done.state,
        "objection": objection_document(done.objection),
    }


def _settlement(done: Settlement, dry_run: bool) -> Document:  # noqa: FBT001
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


def json_answer(document: Document, status: int = 200) -> web.Response:
    """Return *document* as an answer."""
    body = documents.encode(document)
    return web.Response(body=body, status=status, content_type="application/json")
