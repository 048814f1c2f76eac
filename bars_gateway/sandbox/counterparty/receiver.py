"""
The counterparty's HTTP side: what the proxy calls, over mutual TLS.

    request ─► path ─► method ─► target ─► Reception │ Reads ─► in the format asked for
                404      405       404                          and the two ids, always
"""

import asyncio
from collections.abc import Mapping

from aiohttp import web

from bars_gateway.sandbox.counterparty import replies
from bars_gateway.sandbox.counterparty.reads import Enquiry, Reads
from bars_gateway.sandbox.counterparty.reception import Incoming, Reception
from bars_gateway.sandbox.counterparty.replies import Reply
from bars_gateway.sandbox.counterparty.services import SERVICES, Service
from bars_gateway.standard.formats import Format, as_asked, format_of, to_tree
from bars_gateway.standard.headers import TARGET, HeaderProblem, TargetIdentifier, echo
from bars_gateway.standard.issues import Issue
from bars_gateway.standard.negotiation import negotiate

BASE = "/FHIR/R4"
_METHODS: Mapping[str, str] = {
    "$process-message": "POST",
    "metadata": "GET",
    "MessageDefinition": "GET",
    "Slot": "GET",
    "Appointment": "GET",
    "ServiceRequest": "GET",
}
_WITH_IDS = frozenset({"Appointment", "ServiceRequest"})


class Receiver:
    """Answers everything below the base path."""

    def __init__(self, reception: Reception, reads: Reads) -> None:
        self._reception = reception
        self._reads = reads

    async def handle(self, request: web.Request) -> web.Response:
        """Return the answer to one call."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        wanted = negotiate(headers.get("accept"), request.query.get("_format"))
        if isinstance(wanted, Issue):
            reply = replies.wrong([wanted])
        else:
            reply = await self._reply(request, headers)
        await asyncio.sleep(reply.then_wait_seconds)
        return _response(reply, wanted if isinstance(wanted, Format) else Format.JSON, headers)

    async def _reply(self, request: web.Request, headers: dict[str, str]) -> Reply:
        name, stroke, resource_id = request.path.removeprefix(f"{BASE}/").partition("/")
        if name not in _METHODS or (stroke and name not in _WITH_IDS):
            return replies.refused(replies.NOTHING_HERE)
        if request.method != _METHODS[name]:
            return replies.refused(replies.WRONG_METHOD)
        service = _target(headers)
        if service is None:
            return replies.refused(replies.NO_SUCH_SERVICE)
        if request.method == "GET":
            query = request.rel_url.raw_query_string
            enquiry = Enquiry(
                service=service,
                headers=headers,
                name=name,
                resource_id=resource_id if stroke else None,
                query=query,
            )
            return self._reads.answer(enquiry)
        written_in = format_of(headers.get("content-type", ""))
        if written_in is None:
            return replies.refused(replies.NO_FHIR)
        body = await request.read()
        incoming = Incoming(service=service, headers=headers, written_in=written_in, body=body)
        return await self._reception.answer(incoming)


def _target(headers: Mapping[str, str]) -> Service | None:
    try:
        return SERVICES.get(TargetIdentifier.decode(headers.get(TARGET.lower(), "")).value)
    except HeaderProblem:
        return None


def _response(reply: Reply, wanted: Format, headers: Mapping[str, str]) -> web.Response:
    body, written_in = reply.body, Format.JSON
    if wanted is Format.XML:
        body, written_in = as_asked(to_tree(reply.body, Format.JSON), wanted)
    fields = {"Content-Type": written_in.value, **echo(headers)}
    return web.Response(status=reply.http_status, body=body, headers=fields)
