"""
Answers reads, preview writes, and what a Sender asks before it sends.

    GET Slot · Appointment · ServiceRequest
        Addressed ─► parameters ─► ask ─► what the EPR has
                     400│404│422    │ 425 · 408 · 503 · its refusal
    POST · PUT · PATCH · DELETE ─► resource ─┘ 409 duplicate
    GET metadata · MessageDefinition
        Addressed ─► context ─► made of the settings in force
                     400│404

A read of a record is a question to the EPR, whenever it comes. Nothing is answered from what the
gateway has seen pass: a referral may have been cancelled at the EPR's own screen (D-who-answers),
and slots are never cached. A preview write is guarded by its X-Request-Id as a message is; a read
may be repeated.

What a provider takes is made of the same Offer that the rules enforce (D-metadata), so nothing has
to be kept in step, and nothing is stored.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from urllib.parse import parse_qs

from bars_gateway.frozen import frozen
from bars_gateway.inbound.asking import Asking
from bars_gateway.inbound.exchange import NOT_OFFERED, InboundRequest, Reply, problem_reply, refused
from bars_gateway.inbound.providers import Addressed, Hosted, Providers
from bars_gateway.model.messages import Payload
from bars_gateway.model.questions import ResourceRequest
from bars_gateway.standard import publications, reads, structure
from bars_gateway.standard.bundle import MalformedBundle, Resource, text_of
from bars_gateway.standard.formats import Format, to_bytes, to_tree
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.publications import About
from bars_gateway.standard.reads import SearchProblem
from bars_gateway.standard.tree import Json

_NO_PARAMETERS: Mapping[str, object] = {}


@frozen
class _Understood:
    resource_id: str | None
    parameters: Mapping[str, object]


class ReadHandler:
    """Answers what is asked about resources, for every provider of this install."""

    def __init__(
        self,
        hosted: Sequence[Hosted],
        asking: Asking,
        *,
        longest_slot_search: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        self._providers = Providers(hosted)
        self._asking = asking
        self._longest = longest_slot_search
        self._now = now

    async def __call__(self, request: InboundRequest) -> Reply:
        """Return what the EPR says to *request*."""
        addressed = self._providers.addressed(request)
        if isinstance(addressed, Reply):
            return addressed
        if not addressed.host.asks:
            return problem_reply(NOT_OFFERED)
        try:
            understood = self._understood(request, addressed.host)
        except SearchProblem as search:
            return refused(search.issues)
        wanted = _resource_request(addressed, understood)
        return await self._asking.ask_for_resource(wanted, request.received_at, self._now())

    def _understood(self, request: InboundRequest, host: Hosted) -> _Understood:
        """Return what *request* asks for, or raise SearchProblem with all that is wrong."""
        if request.resource_id is not None:
            resource_id = reads.known_id(request.resource_id)
            _check_resource(request, resource_id)
            return _Understood(resource_id, _NO_PARAMETERS)
        if request.method != "GET":
            _check_resource(request, None)
            return _Understood(None, _NO_PARAMETERS)
        if request.name == "Slot":
            ids = [service.partition("|")[2] for service in host.offer.services]
            found = reads.slots(request.query, services=ids, longest=self._longest)
            return _Understood(None, _told(found))
        return _Understood(None, _told(reads.patient(request.query)))


def _told(search: reads.SlotSearch | reads.PatientSearch) -> dict[str, object]:
    """Return a search as JSON can hold it."""
    return {field.name: _plain(getattr(search, field.name)) for field in fields(search)}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else value


def _check_resource(request: InboundRequest, resource_id: str | None) -> None:
    """Raise SearchProblem where what is to be written is not such a resource."""
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
    issues = [*found, *_misnamed(resource, request)]
    if resource_id is not None and text_of(resource, "id") not in {"", resource_id}:
        issues.append(_wrong("has another id than the path", f"{request.name}.id", "value"))
    if issues:
        raise SearchProblem(issues)


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


def _resource_request(addressed: Addressed, understood: _Understood) -> ResourceRequest:
    request, ids = addressed.request, addressed.ids
    operation = f"{request.method} {request.name}"
    changes = request.method != "GET"
    named = "\n".join((operation, understood.resource_id or "", request.query, ""))
    kept = Payload(media_type=request.written_in, headers={}, body=request.body)
    return ResourceRequest(
        provider=addressed.host.provider,
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


class Publications:
    """Answers what a Sender asks before it sends, for every provider of this install."""

    def __init__(self, hosted: Sequence[Hosted], about: Callable[[str], About]) -> None:
        self._providers = Providers(hosted)
        self._only = hosted[0] if len(hosted) == 1 else None
        self._about = about  # by provider

    async def __call__(self, request: InboundRequest) -> Reply:
        """Return the document that *request* asks for."""
        # The guide leaves the target out of the headers that this one needs.
        only = self._only if request.name == "metadata" else None
        addressed = self._providers.addressed(request, without_target=only)
        if isinstance(addressed, Reply):
            return addressed
        found = self._document(request, addressed.host)
        if isinstance(found, Issue):
            return refused([found])
        body = to_bytes(found, Format.JSON)
        return Reply(http_status=200, written_in=Format.JSON, body=body)

    def _document(self, request: InboundRequest, host: Hosted) -> Mapping[str, Json] | Issue:
        about = self._about(host.provider)
        if request.name == "metadata":
            return publications.capability_statement(host.offer, about)
        contexts = parse_qs(request.query).get("context", [])
        asked = publications.asked_for(contexts, host.offer)
        if isinstance(asked, Issue):
            return asked
        url = f"{about.url}/MessageDefinition?{request.query}"
        return publications.searchset(asked, host.offer, url, about.since)
