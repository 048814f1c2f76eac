"""
Says what a provider takes, before anybody sends it: `/metadata` and `/MessageDefinition`.

    GET ─► ids ─► target ─► Accept ─► context ─► made of the settings in force
            400    400│404    406      400│404

Both are made of the same Offer that the rules enforce (D-metadata), so nothing has to be kept
in step, and nothing is stored.
"""

from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qs

from structlog.contextvars import bind_contextvars

from bars_gateway.inbound.exchange import InboundRequest, Reply
from bars_gateway.inbound.hosts import Hosted, Hosts
from bars_gateway.inbound.replies import refused
from bars_gateway.standard import capability, message_definitions
from bars_gateway.standard.capability import About
from bars_gateway.standard.formats import Format, to_bytes
from bars_gateway.standard.headers import TARGET, Ids, read_ids
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.tree import Json


class Publications:
    """Answers what a Sender asks before it sends, for every provider of this install."""

    def __init__(self, hosted: Sequence[Hosted], about: Callable[[str], About]) -> None:
        self._hosts = Hosts(hosted)
        self._only = hosted[0] if len(hosted) == 1 else None
        self._about = about  # by provider

    async def __call__(self, request: InboundRequest) -> Reply:
        """Return the document that *request* asks for."""
        ids = read_ids(request.headers)
        if not isinstance(ids, Ids):
            return refused(ids)
        host = self._host(request)
        if isinstance(host, Issue):
            return refused([host])
        bind_contextvars(provider=host.provider)
        if isinstance(request.answer_in, Issue):
            return refused([request.answer_in])
        found = self._document(request, host)
        if isinstance(found, Issue):
            return refused([found])
        body = to_bytes(found, Format.JSON)
        return Reply(http_status=200, written_in=Format.JSON, body=body)

    def _host(self, request: InboundRequest) -> Hosted | Issue:
        # The guide leaves the target out of the headers that this one needs.
        if request.name == "metadata" and self._only and TARGET.lower() not in request.headers:
            return self._only
        return self._hosts.open_to(request.headers)

    def _document(self, request: InboundRequest, host: Hosted) -> Mapping[str, Json] | Issue:
        about = self._about(host.provider)
        if request.name == "metadata":
            return capability.statement(host.offer, about)
        contexts = parse_qs(request.query).get("context", [])
        asked = message_definitions.asked_for(contexts, host.offer)
        if isinstance(asked, Issue):
            return asked
        url = f"{about.url}/MessageDefinition?{request.query}"
        return message_definitions.searchset(asked, host.offer, url, about.since)
