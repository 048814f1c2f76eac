"""
What the national side answered, newest last: for tests, the demo, and a person at a terminal.

    proxy, token service ──add──► the last so many calls ──after──► GET /calls, which may wait

A call says who asked for what, under which ids, and how it ended: never with a body.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from urllib.parse import unquote

import structlog

from bars_gateway.frozen import frozen

KEPT_CALLS = 10_000
TOKEN_PATH = "/oauth2/token"  # noqa: S105 - an address
_FIRST_SEGMENTS = frozenset(
    "$process-message Appointment DocumentReference MessageDefinition ServiceRequest Slot"
    " metadata _cache _ping _status".split()
)

log = structlog.get_logger(__name__)


@frozen(kw_only=True)
class Call:
    """One call that the national side answered: never with a body."""

    number: int
    at: str  # UTC
    method: str
    path: str  # below the base, without the query
    target: str | None  # value of the service; None for the token endpoint
    request_id: str | None
    correlation_id: str | None
    receiver_status: int | None  # None: it was not forwarded, or nothing came back
    answered_status: int | None  # None: the connection was closed instead
    fault: str | None


class CallLog:
    """The calls that were answered, newest last."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=KEPT_CALLS)
        self._more = asyncio.Event()
        self._number = 0

    def next_number(self) -> int:
        """Return the number of the next call."""
        self._number += 1
        return self._number

    def add(self, call: Call, *, seconds: float) -> None:
        """Remember and log a call that took *seconds*, and wake who waits for one."""
        self._calls.append(call)
        log.info(
            "sandbox.call_ended",
            method=call.method,
            route=route_of(call.path),
            http_status=call.answered_status,
            fault=call.fault,
            request_id=call.request_id,
            correlation_id=call.correlation_id,
            seconds=round(seconds, 3),
        )
        self._more.set()
        self._more = asyncio.Event()

    async def after(self, number: int, seconds: float) -> Sequence[dict[str, object]]:
        """Return the calls after *number*; wait up to *seconds* until there is one."""
        more = self._more
        found = self._listed(number)
        if not found and seconds > 0:
            try:
                async with asyncio.timeout(seconds):
                    await more.wait()
            except TimeoutError:
                return []
            found = self._listed(number)
        return found

    def _listed(self, number: int) -> list[dict[str, object]]:
        return [asdict(call) for call in self._calls if call.number > number]


def route_of(path: str) -> str:
    """Return *path* as it may be logged: its kind, and nothing that a Sender wrote into it."""
    if path == TOKEN_PATH:
        return path
    first, _, rest = unquote(path).removeprefix("/").partition("/")
    if first not in _FIRST_SEGMENTS:
        return "other"
    return f"/{first}/{{id}}" if rest else f"/{first}"
