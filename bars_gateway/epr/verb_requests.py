"""
Verbs on the socket: what the EPR and the operator's commands ask to have done.

    POST /messages/{request_id}/{verb}   200 done · 409 why not · 404
    POST /verbs/{verb}                   200 what was done to each that was meant, or would be

The body says why, and for many messages which. Whoever sends `Bars-Operator` acts as an
operator: the name goes into the audit trail with the uid that the kernel knows, and the
EPR is told. The reason is kept in the audit trail and nowhere else, for people write
what they should not.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime

import orjson
from aiohttp import web

from bars_gateway.epr import documents
from bars_gateway.epr.documents import Document
from bars_gateway.epr.interventions import CONSEQUENCES, Interventions, Report
from bars_gateway.epr.listener import uid_of
from bars_gateway.standard.headers import is_uuid
from bars_gateway.store.port import OutboundState
from bars_gateway.store.verbs import Order, Selection, Verb

OPERATOR_HEADER = "Bars-Operator"
LONGEST_REASON = 500  # characters
MOST_NAMED = 200  # messages in one request
_BODY_SECONDS = 30.0
_VERBS = "|".join(Verb)
_STATES = frozenset(OutboundState)


class Unreadable(ValueError):
    """The body does not say what is to be done; the text says what is missing, and the cure."""


class VerbRequests:
    """Serves one provider's verbs on its socket."""

    def __init__(self, interventions: Interventions, *, provider: str) -> None:
        self._interventions = interventions
        self._provider = provider

    def routes(self) -> list[web.RouteDef]:
        """Return what the socket has to serve."""
        return [
            web.post(f"/messages/{{request_id}}/{{verb:{_VERBS}}}", self._one),
            web.post(f"/verbs/{{verb:{_VERBS}}}", self._many),
        ]

    async def _one(self, request: web.Request) -> web.Response:
        request_id = request.match_info["request_id"]
        try:
            body = await _body(request)
            order = self._order(request, body)
        except Unreadable as problem:
            return _unreadable(problem)
        if not is_uuid(request_id):
            raise web.HTTPNotFound(reason="no message has that request id")
        selection = Selection(provider=self._provider, request_ids=(request_id.lower(),))
        report = await self._interventions.carry_out(order, selection, dry_run=_dry_run(body))
        if not report.results:
            raise web.HTTPNotFound(reason="no message has that request id")
        left = any(each.obstacle for each in report.results)
        return _json(_document(report), 409 if left else 200)

    async def _many(self, request: web.Request) -> web.Response:
        try:
            body = await _body(request)
            order = self._order(request, body)
            selection = _selection(self._provider, body)
        except Unreadable as problem:
            return _unreadable(problem)
        report = await self._interventions.carry_out(order, selection, dry_run=_dry_run(body))
        return _json(_document(report))

    def _order(self, request: web.Request, body: Mapping[str, object]) -> Order:
        operator = _printable(request.headers.get(OPERATOR_HEADER, ""))
        reason = body.get("reason")
        if not isinstance(reason, str) or not reason.strip() or len(reason) > LONGEST_REASON:
            raise Unreadable(f"reason is missing: say why, in {LONGEST_REASON} characters at most")
        uid = uid_of(request)
        return Order(
            verb=Verb(request.match_info["verb"]),
            provider=self._provider,
            by_operator=bool(operator),
            who=f"{operator or 'EPR'} (uid {uid})",
            reason=reason.strip(),
        )


async def _body(request: web.Request) -> Mapping[str, object]:
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            found = orjson.loads(await request.read() or b"{}")
    except TimeoutError:
        raise Unreadable("the body did not arrive in time: send it again") from None
    except orjson.JSONDecodeError:
        raise Unreadable('the body is no JSON: send {"reason": "…"}') from None
    if not isinstance(found, dict):
        raise Unreadable('the body is no JSON object: send {"reason": "…"}')
    unknown = found.keys() - _MEMBERS
    if unknown:
        raise Unreadable(f"the body has a member that nobody knows; there are {', '.join(_KNOWN)}")
    return found


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _state(value: object) -> OutboundState | None:
    return OutboundState(value) if isinstance(value, str) and value in _STATES else None


def _instant(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None


_FILTERS: Mapping[str, tuple[Callable[[object], object], str]] = {
    "receiver": (_text, "the id of a service, or system|value"),
    "use_case": (_text, "the code of a use case"),
    "state": (_state, "the state of an outbound message"),
    "correlation_id": (_text, "an X-Correlation-Id"),
    "taken_before": (_instant, "an instant with an offset"),
}
_KNOWN = ("reason", "dry_run", "request_ids", "all", "after", *_FILTERS)
_MEMBERS = frozenset(_KNOWN)


def _selection(provider: str, body: Mapping[str, object]) -> Selection:
    """Return which messages *body* means; raise Unreadable, lest a slip of the pen mean all."""
    filters: dict[str, object] = {}
    for name, (reader, wanted) in _FILTERS.items():
        if name in body:
            filters[name] = reader(body[name])
            if filters[name] is None:
                raise Unreadable(f"{name} must be {wanted}")
    ids = body.get("request_ids", [])
    if not isinstance(ids, list) or not all(isinstance(i, str) and is_uuid(i) for i in ids):
        raise Unreadable("request_ids must be a list of X-Request-Ids")
    if len(ids) > MOST_NAMED:
        raise Unreadable(f"request_ids has more than {MOST_NAMED}: send them in several parts")
    after = body.get("after", 0)
    if not isinstance(after, int) or not 0 <= after < 2**62:
        raise Unreadable("after must be the more_after of the answer before")
    if (ids and filters) or not (ids or filters or body.get("all") is True):
        raise Unreadable("which messages: name request_ids, or filters, or say all = true")
    named = tuple(each.lower() for each in ids)
    return Selection(provider=provider, request_ids=named, after=after, **filters)  # type: ignore[arg-type]


def _dry_run(body: Mapping[str, object]) -> bool:
    return body.get("dry_run", False) is not False


def _printable(name: str) -> str:
    return "".join(letter for letter in name.strip()[:64] if letter.isprintable())


def _document(report: Report) -> Document:
    left = sum(each.obstacle is not None for each in report.results)
    return {
        "verb": report.verb,
        "dry_run": report.dry_run,
        "done": len(report.results) - left,
        "left": left,
        "meaning": CONSEQUENCES[report.verb],
        "more_after": report.more_after,
        "messages": [
            {
                "request_id": each.request_id,
                "state": each.state,
                "obstacle": each.obstacle,
                "resent_as": each.resent_as,
            }
            for each in report.results
        ],
    }


def _unreadable(problem: Unreadable) -> web.Response:
    error, _, cure = str(problem).partition(": ")
    return _json(documents.problem(error, cure or "correct it, and ask again"), 422)


def _json(document: Document, status: int = 200) -> web.Response:
    body = documents.encode(document)
    return web.Response(body=body, status=status, content_type="application/json")
