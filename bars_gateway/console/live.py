"""
Tells open pages that something has changed, so that they show it without being loaded again.

    one look at the store a tick, for all streams ─► another mark? ─► event: changed ─► console.js
                                                  └ half a minute ───► event: changed    asks for
    session ended · gateway stops ─► event: over, and the stream ends                    its page

Nothing that a page shows goes through here: a stream says "changed" and no more, and the page is
then asked for as ever, with all that this takes. While nobody looks, nothing is read.

There are at most MOST streams; whoever comes then gets 503, and has a page as without
JavaScript. At each tick it is looked at whether its reader may look still, and that does not count
as use: a page that is left open does not keep its session from ending.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus

from aiohttp import web

from bars_gateway.console.desk import Desk
from bars_gateway.errors import StoreError
from bars_gateway.stopping import pause

MOST = 20
EVERY_SECONDS = 2.0
PLACE = "/live"
_ANYWAY_SECONDS = 30.0  # ages grow, and what ends comes nearer
_SEND_SECONDS = 5.0  # whoever reads nothing for so long has left
_CHANGED = b"event: changed\ndata:\n\n"
_THERE = b": still here\n\n"  # whoever has left is found out by it
May = Callable[[web.Request], Awaitable[bool]]


class Live:
    """Streams to open pages."""

    def __init__(self, desk: Desk, may_look: May, *, every_seconds: float = EVERY_SECONDS) -> None:
        """*may_look* says whether the reader of a stream may look still."""
        self._desk, self._may_look, self._every_seconds = desk, may_look, every_seconds
        self._stopping = asyncio.Event()
        self._one_looks = asyncio.Lock()
        self._mark: object = None
        self._looked_at = float("-inf")  # on the loop's clock
        self._streams = 0

    def routes(self) -> Sequence[web.RouteDef]:
        """Return what can be asked for."""
        return [web.get(PLACE, self._stream)]

    def stop(self) -> None:
        """End every stream, and take no more."""
        self._stopping.set()

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if self._stopping.is_set() or self._streams >= MOST:
            text = "Too many pages are open; this one stays as it was loaded.\n"
            return web.Response(text=text, status=HTTPStatus.SERVICE_UNAVAILABLE)
        response = web.StreamResponse()
        response.content_type = "text/event-stream"
        self._streams += 1
        try:
            await response.prepare(request)
            await self._tell(request, response)
        except (ConnectionError, TimeoutError):  # the reader has left
            response.force_close()
        finally:
            self._streams -= 1
        return response

    async def _tell(self, request: web.Request, response: web.StreamResponse) -> None:
        seen, told_at = await self._shared_mark(), _time()
        await _write(response, _THERE)
        while True:
            await pause(self._stopping, self._every_seconds)
            if self._stopping.is_set():
                return await _write(response, _over("stopping"))
            if not await self._may_look(request):
                return await _write(response, _over("logged-out"))
            mark = await self._shared_mark()
            changed = mark != seen or _time() >= told_at + _ANYWAY_SECONDS
            await _write(response, _CHANGED if changed else _THERE)
            if changed:
                seen, told_at = mark, _time()

    async def _shared_mark(self) -> object:
        """Return what differs once something has changed: looked at once a tick, for all."""
        async with self._one_looks:
            if _time() >= self._looked_at + self._every_seconds / 2:
                self._mark, self._looked_at = await self._look(), _time()
            return self._mark

    async def _look(self) -> object:
        running = self._desk.running()
        receivers = (running.silent, running.failing, running.remembered)
        ours = (running.egress, running.kept_out, running.stalled, running.unavailable)
        troubles = repr((receivers, ours, running.stopping))
        try:
            return (troubles, await self._desk.store.flows.last_changes())
        except StoreError as error:
            return (troubles, str(error))


async def _write(response: web.StreamResponse, what: bytes) -> None:
    async with asyncio.timeout(_SEND_SECONDS):
        await response.write(what)


def _over(why: str) -> bytes:
    return f"event: over\ndata: {why}\n\n".encode()


def _time() -> float:
    return asyncio.get_running_loop().time()
