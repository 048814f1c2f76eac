"""
The console's pages: what is asked for, read from the store, and shown.

    GET /              Overview: what needs a person, what flows, what waits
    GET /console.css   how all of them look

Nobody's clinical data is in what is read here, so none can be shown: ids, states, codes and counts.
A page is made again for each request and offers a link to load it again; it never reloads itself
under a reader's eyes.

Decisions: D-local-page, D-alarms-stay.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from aiohttp import web

from bars_gateway.console.rendering import STYLE, Frame, file_beside, render
from bars_gateway.status.concerns import RuntimeState, concerns
from bars_gateway.store.store import Store


class Site:
    """Every page, over one store and what the running parts know of themselves."""

    def __init__(
        self,
        store: Store,
        running: Callable[[], RuntimeState],
        *,
        now: Callable[[], datetime],
        first_days: int = 90,
    ) -> None:
        """*first_days*: how many days before its end a thing becomes news."""
        self._store, self._runtime_state = store, running
        self._now, self._first_days = now, first_days

    def routes(self) -> Sequence[web.RouteDef]:
        """Return what can be asked for."""
        return [
            web.get("/", self._overview),
            web.get(f"/{STYLE}", _style),
            web.get("/icon.svg", _icon),
        ]

    def _frame(self, here: str) -> Frame:
        return Frame(running=self._runtime_state(), at=self._now(), here=here)

    async def _overview(self, _request: web.Request) -> web.Response:
        frame = self._frame("/")
        overview = await self._store.overview(frame.at)
        return shown(
            "overview.html",
            frame,
            overview=overview,
            concerns=concerns(overview, frame.running, self._first_days),
        )


async def _style(_request: web.Request) -> web.Response:
    return web.Response(text=file_beside(STYLE), content_type="text/css")


async def _icon(_request: web.Request) -> web.Response:
    return web.Response(text=file_beside("icon.svg"), content_type="image/svg+xml")


def shown(name: str, frame: Frame, **what: object) -> web.Response:
    """Return the answer that shows that page."""
    return web.Response(text=render(name, frame, **what), content_type="text/html")
