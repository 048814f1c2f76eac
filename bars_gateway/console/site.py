"""
The console's pages: what is asked for, read from the store, and shown.

    GET /              `overview`: what needs a person, what flows, what waits
    GET /alarms        `alarms`; what each thing leads to: `leads`
    GET /messages…     `messages`; /conversations/…, /owed: `conversations`; all others: `registers`
    GET /runbooks      what to do about each code
    GET /log-in        `access`: who may see and do what
    GET /act, …        `acts`: first what would happen, then it is done
    GET /…/NUMBER/reveal  `reveal`: a payload, with a reason
    GET /live          `live`: tells an open page that something has changed
    GET /console.css, /console.js   how all of them look, and how an open page follows

Nobody's clinical data is in what is read here, so none can be shown: ids, states, codes and counts.
A page is made again for each request and offers a link to load it again. Where there is JavaScript
its parts follow what changes, but for those in which somebody is, and for forms.

Decisions: D-local-page, D-alarms-stay.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

from aiohttp import web

from bars_gateway.config import Described, Settings, describe, in_words
from bars_gateway.console.access import Access, Handler, Rules, is_page
from bars_gateway.console.acts import ActPages
from bars_gateway.console.conversations import ConversationPages
from bars_gateway.console.desk import Desk, Publication, shown
from bars_gateway.console.hands import Hands
from bars_gateway.console.live import EVERY_SECONDS, Live
from bars_gateway.console.messages import MessagePages
from bars_gateway.console.overview import OverviewPage
from bars_gateway.console.records import RecordPages
from bars_gateway.console.registers import AlarmPages, RegisterPages
from bars_gateway.console.rendering import SCRIPT, STYLE, compile_page, file_beside, page_names
from bars_gateway.console.reveal import RevealPage
from bars_gateway.console.users import NO_USERS, UserFile
from bars_gateway.status.runbooks import PAGE, RUNBOOKS
from bars_gateway.status.running import RuntimeState
from bars_gateway.store.store import Store


class Site:
    """Every page, over one store and what the running parts know of themselves."""

    def __init__(
        self,
        store: Store,
        running: Callable[[], RuntimeState],
        *,
        now: Callable[[], datetime],
        users: UserFile | None = None,
        rules: Rules | None = None,
        hands: Hands | None = None,
        first_days: int = 90,
        settings: Callable[[], Settings] | None = None,
        published: Callable[[], Sequence[Publication]] = tuple,
        live_seconds: float = EVERY_SECONDS,
    ) -> None:
        """
        Take what the pages tell of.

        *first_days*: how many days before its end a thing becomes news. *settings*: those in force.
        *hands*: what does as operators ask; None: nobody can ask.
        *published*: what is kept of what others say about themselves. *live_seconds*: how often
        it is looked at whether something has changed.
        """
        self._desk = Desk(store=store, running=running, now=now, first_days=first_days)
        self._settings, self._hands, self._published = settings, hands, published
        self.access = Access(self._desk, users or NO_USERS, rules or Rules())
        self._compiling, self._compiled = asyncio.Lock(), False
        self.live = Live(self._desk, self.access.may_look, every_seconds=live_seconds)

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer, or refuse; whoever asks for the first page waits until all are compiled."""
        if is_page(request):
            await self._compile()
        return await self.access.guard(request, handler)

    async def _compile(self) -> None:
        """Make all pages ready beside the loop, once."""
        async with self._compiling:
            if not self._compiled:
                for name in await asyncio.to_thread(page_names):
                    await asyncio.to_thread(compile_page, name)
                await asyncio.to_thread(self._described)  # which reads why each setting is there
                self._compiled = True

    def stop(self) -> None:
        """End what is sent to open pages."""
        self.live.stop()

    def routes(self) -> Sequence[web.RouteDef]:
        """Return what can be asked for."""
        return [
            *OverviewPage(self._desk).routes(),
            *AlarmPages(self._desk).routes(),
            *MessagePages(self._desk).routes(),
            *ConversationPages(self._desk).routes(),
            *RegisterPages(self._desk, self._described, self._published).routes(),
            *RecordPages(self._desk).routes(),
            web.get(PAGE, self._runbooks),
            *self.access.routes(),
            *RevealPage(self._desk).routes(),
            *(ActPages(self._desk, self.access, self._hands).routes() if self._hands else ()),
            *self.live.routes(),
            web.get(f"/{STYLE}", _style),
            web.get(f"/{SCRIPT}", _script),
            web.get("/icon.svg", _icon),
        ]

    async def _runbooks(self, _request: web.Request) -> web.Response:
        return shown("runbooks.html", self._desk.frame(PAGE), runbooks=RUNBOOKS.values())

    def _described(self) -> Sequence[Described]:
        """Return every setting that is in force, its value in words."""
        if self._settings is None:
            return ()
        return [each._replace(value=in_words(each)) for each in describe(self._settings())]


async def _style(_request: web.Request) -> web.Response:
    return web.Response(text=file_beside(STYLE), content_type="text/css")


async def _script(_request: web.Request) -> web.Response:
    return web.Response(text=file_beside(SCRIPT), content_type="text/javascript")


async def _icon(_request: web.Request) -> web.Response:
    return web.Response(text=file_beside("icon.svg"), content_type="image/svg+xml")
