"""
What passes between the HTTP side and the one who decides about a request.

    server ──InboundRequest──► Answerer ──Reply──► rendered: as asked for, packed ──► server

Neither knows the other: the server of HTTP, limits and deadlines, the Answerer of BaRS
and the store. An answer that XML cannot carry leaves in the format in which it was composed: what
was decided, and is on disk, is worth more to the Sender than its format.
"""

import asyncio
import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from bars_gateway.standard.formats import LONG, Format, as_asked, to_tree
from bars_gateway.standard.issues import Issue

_GZIP_FROM_BYTES = 1024  # below, the packet is the same
_GZIP_LEVEL = 1
_NOT_WELCOME = frozenset({"q=0", "q=0.0", "q=0.00", "q=0.000"})


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundRequest:
    """One request, complete, from a caller that may call."""

    headers: Mapping[str, str]  # names in lower case, values in ASCII, without Authorization
    written_in: Format
    answer_in: Format | Issue  # the issue: what is wrong with what was asked for (H11)
    body: bytes  # as it came
    received_at: datetime  # UTC; when its last byte had come
    peer: str  # the caller's address
    name: str = "$process-message"  # what is asked for, as `routes` calls it: Slot, …
    method: str = "POST"
    resource_id: str | None = None  # of the path, as it came
    query: str = ""  # as it came, still encoded


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What goes back. The two ids are added to it, whatever it is."""

    http_status: int
    written_in: Format  # the server converts it for those who asked for the other one
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)  # beside the two ids
    code: str | None = None  # REC_CONFLICT, …: for the log line of the request


class Answerer(Protocol):
    """Decides about one request, and has that on disk before it says so."""

    async def __call__(self, request: InboundRequest) -> Reply:
        """Return the answer. Cancelled after `answer_within_seconds`: the Sender gets 408."""


class ByName:
    """Lets each request be answered by who answers for its name."""

    def __init__(self, answerers: Mapping[str, Answerer]) -> None:
        self._answerers = answerers

    async def __call__(self, request: InboundRequest) -> Reply:
        """Return the answer."""
        return await self._answerers[request.name](request)


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


def _takes_gzip(accept_encoding: str) -> bool:
    choices = (choice.split(";") for choice in accept_encoding.lower().split(","))
    return any(
        name.strip() == "gzip" and "".join(parameters).replace(" ", "") not in _NOT_WELCOME
        for name, *parameters in choices
    )
