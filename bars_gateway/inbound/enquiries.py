"""
Answers reads, and preview writes: every one of them is a question to the EPR.

    GET ─► ids ─► target ─► Accept ─► parameters ─► ask ─► what the EPR has
            400    400│404    406      400│404│422    │ 425 · 408 · 503 · its refusal
    POST · PUT · PATCH · DELETE ─► … ─► resource ─────┘ 409 duplicate

A read is asked whenever it comes. Nothing is answered from what the gateway has seen pass:
a referral may have been cancelled at the EPR's own screen (D-who-answers), and slots are never
cached.
A preview write is guarded by its X-Request-Id as a message is; a read may be repeated.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta

from structlog.contextvars import bind_contextvars

from bars_gateway.inbound.asking import Asking
from bars_gateway.inbound.exchange import InboundRequest, Reply
from bars_gateway.inbound.hosts import Hosted, Hosts
from bars_gateway.inbound.replies import NOT_OFFERED, problem_reply, refused
from bars_gateway.model.messages import Payload
from bars_gateway.model.questions import Enquiry
from bars_gateway.standard import searches, structure
from bars_gateway.standard.bundle import MalformedBundle, Resource, text_of
from bars_gateway.standard.formats import to_tree
from bars_gateway.standard.headers import Ids, read_ids
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.searches import SearchProblem

_NO_PARAMETERS: Mapping[str, object] = {}


@dataclass(frozen=True, slots=True)
class _Understood:
    resource_id: str | None
    parameters: Mapping[str, object]


class Enquiries:
    """Answers what is asked about resources, for every provider of this install."""

    def __init__(
        self,
        hosted: Sequence[Hosted],
        asking: Asking,
        *,
        longest_slot_search: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        self._hosts = Hosts(hosted)
        self._asking = asking
        self._longest = longest_slot_search
        self._now = now

    async def __call__(self, request: InboundRequest) -> Reply:
        """Return what the EPR says to *request*."""
        ids = read_ids(request.headers)
        if not isinstance(ids, Ids):
            return refused(ids)
        host = self._hosts.open_to(request.headers)
        if isinstance(host, Issue):
            return refused([host])
        bind_contextvars(provider=host.provider)
        if isinstance(request.answer_in, Issue):
            return refused([request.answer_in])
        if not host.asks:
            return problem_reply(NOT_OFFERED)
        try:
            understood = self._understood(request, host)
        except SearchProblem as search:
            return refused(search.issues)
        enquiry = _enquiry(request, ids, host, understood)
        return await self._asking.enquire(enquiry, request.received_at, self._now())

    def _understood(self, request: InboundRequest, host: Hosted) -> _Understood:
        """Return what *request* asks for, or raise SearchProblem with all that is wrong."""
        if request.resource_id is not None:
            resource_id = searches.known_id(request.resource_id)
            _check_resource(request, resource_id)
            return _Understood(resource_id, _NO_PARAMETERS)
        if request.method != "GET":
            _check_resource(request, None)
            return _Understood(None, _NO_PARAMETERS)
        if request.name == "Slot":
            ids = [service.partition("|")[2] for service in host.offer.services]
            found = searches.slots(request.query, services=ids, longest=self._longest)
            return _Understood(None, _told(found))
        return _Understood(None, _told(searches.patient(request.query)))


def _told(search: searches.SlotSearch | searches.PatientSearch) -> dict[str, object]:
    """Return a search as JSON can hold it."""
    return {field.name: _plain(getattr(search, field.name)) for field in fields(search)}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else value


def _check_resource(request: InboundRequest, resource_id: str | None) -> None:
    """Raise SearchProblem where what is to be written is no such resource."""
    if not request.body:
        if request.method in {"POST", "PUT", "PATCH"}:
            raise SearchProblem([_wrong("is missing", request.name, "required")])
        return
    try:
        resource = to_tree(request.body, request.written_in)
    except MalformedBundle as malformed:
        raise SearchProblem([malformed.issue]) from None
    found = structure.check(resource, path=request.name)
    if request.method == "PATCH":  # it brings what is to change, and no more
        found = [issue for issue in found if not _is_left_out(issue, resource)]
    raise_if = [*found, *_misnamed(resource, request)]
    if resource_id is not None and text_of(resource, "id") not in {"", resource_id}:
        raise_if.append(_wrong("has another id than the path", f"{request.name}.id", "value"))
    if raise_if:
        raise SearchProblem(raise_if)


def _is_left_out(issue: Issue, resource: Resource) -> bool:
    """Tell whether the issue is that an element of the resource itself is missing."""
    _, _, element = issue.path.partition(".")
    return element.isidentifier() and not {element, f"_{element}"} & resource.keys()


def _misnamed(resource: Resource, request: InboundRequest) -> list[Issue]:
    if text_of(resource, "resourceType") == request.name:
        return []
    return [_wrong("is another type of resource", f"{request.name}.resourceType", "value")]


def _wrong(text: str, path: str, issue: str) -> Issue:
    return Issue(rule="B01", path=path, text=text, issue=issue)


def _enquiry(request: InboundRequest, ids: Ids, host: Hosted, understood: _Understood) -> Enquiry:
    operation = f"{request.method} {request.name}"
    changes = request.method != "GET"
    named = "\n".join((operation, understood.resource_id or "", request.query, ""))
    kept = Payload(media_type=request.written_in, headers={}, body=request.body)
    return Enquiry(
        provider=host.provider,
        request_id=ids.request_id,
        correlation_id=ids.correlation_id,
        operation=operation,
        changes=changes,
        resource_id=understood.resource_id,
        parameters=understood.parameters,
        query=request.query,
        fingerprint=hashlib.sha256(named.encode() + request.body).hexdigest(),
        body=kept if request.body and changes else None,
    )
