"""
What the EPR asks of other organisations, on the socket: reads, and the preview operations.

    GET /bars/Slot?to=system|value&…            GET /bars/ServiceRequest/{id}?to=system|value
    preview (D-preview): POST · PUT · PATCH · DELETE of Appointment and ServiceRequest; pointers
    (DocumentReference), and the Endpoint Catalogue with its templates (Endpoint/$template)

What the API does not have is 404 or 405, and what it only previews 501 where it is switched off.

The gateway adds token and headers, and hands on what came: status, media type and bytes,
an OperationOutcome included. `Bars-Answered-By` says whether it is such an answer (`bars`),
one that was kept (`cache`), or the gateway's own word that there is none (`gateway`).
`Bars-Answer-Proved` says whether it names our two ids and, where it went well, is of the type and
id that were asked for: what is not may be the answer to something else, and is handed on all the
same.
`Cache-Control: no-cache` asks for a new one.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from aiohttp import web

from bars_gateway.epr import documents
from bars_gateway.epr.envelope import (
    PRACTITIONER_HEADER,
    EnvelopeProblem,
    envelope_from_headers,
)
from bars_gateway.listeners import body_of
from bars_gateway.standard.headers import (
    CORRELATION_ID,
    HeaderProblem,
    Ids,
    SenderIdentity,
    TargetIdentifier,
    for_asking,
)
from bars_gateway.standard.reads import (
    READABLE,
    TEMPLATE,
    WITHOUT_TARGET,
    BarsAnswer,
    BarsRequest,
    Reads,
    accept_of,
    is_preview,
    methods_of,
    proves_itself,
    without,
)

ANSWERED_BY = "Bars-Answered-By"
PROVED = "Bars-Answer-Proved"
TO = "to"
PATHS = ("/bars/{resource}", "/bars/{resource}/{id}", f"/bars/{{resource}}/{{id}}/{TEMPLATE}")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_LONGEST_ID = 64  # R4's
_ENVELOPE = frozenset({CORRELATION_ID, PRACTITIONER_HEADER})


class NotAsked(Exception):
    """The gateway passes it on to nobody."""

    def __init__(self, http_status: int, error: str, cure: str, allow: Sequence[str] = ()) -> None:
        super().__init__(error)
        self.http_status = http_status
        self.cure = cure
        self.headers = {"Allow": ", ".join(allow)} if allow else {}


class ReadRequests:
    """Serves one provider's questions to others."""

    def __init__(
        self,
        reads: Reads,
        *,
        provider: str,
        identity: SenderIdentity,
        new_id: Callable[[], str],
        previews: bool,
    ) -> None:
        self._reads = reads
        self._provider = provider
        self._identity = identity
        self._new_id = new_id
        self._previews = previews

    def routes(self) -> list[web.RouteDef]:
        """Return what the socket has to serve."""
        return [
            web.route(method, path, self._ask, **({"allow_head": False} if method == "GET" else {}))
            for path in PATHS
            for method in METHODS
        ]

    async def _ask(self, request: web.Request) -> web.Response:
        try:
            bars_request = await self._bars_request(request)
        except NotAsked as problem:
            return _own(problem.http_status, str(problem), problem.cure, problem.headers)
        fresh = "no-cache" in request.headers.get("Cache-Control", "")
        answer = await self._reads.ask(bars_request, fresh=fresh)
        if not isinstance(answer, BarsAnswer):
            return _own(answer.http_status, answer.reason, answer.cure)
        headers = {**answer.headers, "Content-Type": answer.media_type}
        headers[ANSWERED_BY] = "cache" if answer.kept_since else "bars"
        headers[PROVED] = "yes" if proves_itself(bars_request, answer) else "no"
        if answer.kept_since:
            headers["Last-Modified"] = f"{answer.kept_since:%a, %d %b %Y %H:%M:%S GMT}"
        return web.Response(status=answer.http_status, body=answer.body, headers=headers)

    async def _bars_request(self, request: web.Request) -> BarsRequest:
        resource, resource_id = request.match_info["resource"], request.match_info.get("id")
        is_template = request.path.endswith(f"/{TEMPLATE}")
        if resource_id == TEMPLATE:
            resource_id = None
        self._require_known(request.method, resource, resource_id, is_template=is_template)
        query, named = without(request.rel_url.raw_query_string, TO)
        target = _target(named, needed=resource not in WITHOUT_TARGET)
        try:
            envelope = envelope_from_headers(
                {k: v for k, v in request.headers.items() if k in _ENVELOPE}
            )
        except EnvelopeProblem as problem:
            raise NotAsked(400, str(problem), "correct or leave out that header") from None
        body = await body_of(request)
        return BarsRequest(
            provider=self._provider,
            method=request.method,
            resource=resource,
            resource_id=resource_id,
            query=query,
            target=target,
            headers=for_asking(
                target,
                self._identity,
                ids=Ids(self._new_id(), envelope.correlation_id or self._new_id()),
                accept=accept_of(request.headers.get("Accept", ""), self._identity.core_version),
                media_type=request.content_type if body else None,
                practitioner=envelope.practitioner,
            ),
            body=body,
            is_template=is_template,
        )

    def _require_known(
        self, method: str, resource: str, resource_id: str | None, *, is_template: bool
    ) -> None:
        if resource_id is not None and not _is_id(resource_id):
            raise NotAsked(400, "the id is none", "an id has up to 64 letters, digits, - and .")
        allowed = methods_of(resource, has_id=resource_id is not None, is_template=is_template)
        if not allowed:
            known = ", ".join(sorted(READABLE))
            raise NotAsked(404, "nobody is asked for that", f"ask for {known}")
        if method not in allowed:
            cure = f"at this path BaRS knows {', '.join(allowed)}"
            raise NotAsked(405, "that is not passed on", cure, allow=allowed)
        if is_preview(method, resource) and not self._previews:
            cure = "it is a preview operation: outbound.preview_operations lets it pass"
            raise NotAsked(501, "that is not passed on", cure)


def _target(named: list[str], *, needed: bool) -> TargetIdentifier | None:
    if not named and not needed:
        return None
    try:
        (text,) = named
        return TargetIdentifier.parse(text)
    except (ValueError, HeaderProblem):
        cure = "name the service that is asked, once: ?to=system|value, percent-encoded"
        raise NotAsked(400, "to is missing or is not a target identifier", cure) from None


def _is_id(text: str) -> bool:
    plain = text.replace("-", "").replace(".", "")
    return len(text) <= _LONGEST_ID and plain.isascii() and plain.isalnum()


def _own(
    status: int, error: str, cure: str, headers: Mapping[str, str] = MappingProxyType({})
) -> web.Response:
    return web.Response(
        status=status,
        body=documents.encode(documents.problem(error, cure)),
        content_type="application/json",
        headers={**headers, ANSWERED_BY: "gateway"},
    )
