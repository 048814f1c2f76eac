"""
What passes between the HTTP side and the one who decides about a message.

    server ──InboundRequest──► Answerer ──Reply──► server ──► in the format that was asked for

Neither knows the other: the server of HTTP, limits and deadlines, the Answerer of BaRS
and the store.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from bars_gateway.standard.formats import Format
from bars_gateway.standard.issues import Issue


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
