"""
The answer as it leaves: in the format and the encoding that were asked for.

    Reply, in the format that it was composed in ──rendered──► Reply, as asked for, packed
                                                 ──response──► HTTP: the two ids, no name

An answer that XML cannot carry leaves as it is: what was decided, and is on disk, is
worth more to the Sender than its format.
"""

import asyncio
import gzip
from collections.abc import Mapping
from dataclasses import replace

from aiohttp import web

from bars_gateway.inbound.exchange import Reply
from bars_gateway.standard.formats import LONG, Format, as_asked, to_tree
from bars_gateway.standard.headers import echo

_GZIP_FROM_BYTES = 1024  # below, the packet is the same
_GZIP_LEVEL = 1


async def rendered(reply: Reply, wanted: Format, accept_encoding: str) -> Reply:
    """Return *reply* in the format that was asked for, packed where that is welcome."""
    packs = len(reply.body) >= _GZIP_FROM_BYTES and _takes_gzip(accept_encoding)
    if len(reply.body) < LONG:
        return rendered_at_once(reply, wanted, packs=packs)
    return await asyncio.to_thread(rendered_at_once, reply, wanted, packs=packs)


def rendered_at_once(reply: Reply, wanted: Format, *, packs: bool = False) -> Reply:
    """Return *reply* in the format that was asked for; for answers that are short."""
    if reply.written_in is not wanted:
        body, written_in = as_asked(to_tree(reply.body, reply.written_in), wanted)
        reply = replace(reply, written_in=written_in, body=body)
    if packs:
        body = gzip.compress(reply.body, _GZIP_LEVEL, mtime=0)
        reply = replace(reply, body=body, headers={**reply.headers, "Content-Encoding": "gzip"})
    return reply


def response(request: web.BaseRequest, reply: Reply, headers: Mapping[str, str]) -> web.Response:
    """Return *reply* for aiohttp to send, with the two ids of the caller's *headers*."""
    fields = {
        "Content-Type": reply.written_in.value,
        "Cache-Control": "no-store",
        "Vary": "Accept, Accept-Encoding",
        **reply.headers,
        **echo(headers),
    }
    answer = _Answer(status=reply.http_status, body=reply.body, headers=fields)
    if not request.content.is_eof():
        answer.force_close()  # what is still to come of the body belongs to nothing
    return answer


class _Answer(web.Response):
    """A response that does not say which software wrote it (core page, 1.2)."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall("Server", None)


def _takes_gzip(accept_encoding: str) -> bool:
    choices = (choice.split(";") for choice in accept_encoding.lower().split(","))
    return any(
        name.strip() == "gzip" and "".join(parameters).replace(" ", "") not in _REFUSED
        for name, *parameters in choices
    )


_REFUSED = frozenset({"q=0", "q=0.0", "q=0.00", "q=0.000"})
