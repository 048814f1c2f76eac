"""
Who may ask for which page, and what happens to those who may not: they are refused, and told of.

    request ─► our name? ─► who is it? ─► from our own page? ─► the role of the route? ─► page
               │            │             │                     │
               421          log-in        403                   403        each in the audit trail

NEEDS says for every route which role it takes; what is not in it takes a viewer. Where no users are
configured and no server in front of us logs people in, everybody on this machine is a viewer, and
nobody is more.

Who has logged in is known by a cookie that no other site's page can send (`SameSite=Strict`) and no
script can read, or by the server in front of us: that one is believed by its address and secret
alone. What changes something is a form of our own: it carries the session's token, and its browser
says where it was sent from.

The surprising choice: a request without `Origin` and `Sec-Fetch-Site` may pass. Browsers send them;
who does not is a program, and needs the token all the same.

Decisions: D-local-page.
"""

import asyncio
import hmac
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import field
from datetime import timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

import structlog
from aiohttp import web

from bars_gateway.console.desk import Desk, shown
from bars_gateway.console.refusals import RefusalKind, RefusalReason, Refusals
from bars_gateway.console.sessions import Session, Sessions, Tries
from bars_gateway.console.users import LONGEST, UserFile, Users, checked
from bars_gateway.console.visitor import ANYBODY, VISITING, UserRole, Visitor
from bars_gateway.errors import UsersUnusable
from bars_gateway.frozen import frozen
from bars_gateway.status.server import host_of, is_of_this_machine

log = structlog.get_logger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
COOKIE = "bars_console"
_FORM_COOKIE = "bars_log_in"
_LONGEST_NAME = 64
SESSION = web.RequestKey("session", Session[Any])
LIVE, LIVE_HEADER = "/live", "X-Live"  # asked for by an open page, and by nobody in person
SECRET = "X-Gateway-Secret"  # noqa: S105 - a header's name
# Which role each route takes; None: none at all. What does not stand here takes a viewer.
NEEDS: Mapping[str, UserRole | None] = {
    "/healthz": None,  # of these five monitoring has no session
    "/readyz": None,
    "/readyz/sending": None,
    "/health": None,
    "/metrics": None,
    "/console.css": None,
    "/console.js": None,
    "/icon.svg": None,
    "/log-in": None,
    "/log-out": UserRole.VIEWER,
    "/act": UserRole.OPERATOR,
    "/attach": UserRole.OPERATOR,
    "/confirm": UserRole.OPERATOR,
    "/handle": UserRole.OPERATOR,
    "/acknowledge": UserRole.OPERATOR,
    "/do": UserRole.OPERATOR,
    "/did/{name}": UserRole.OPERATOR,
    "/messages/{number}/reveal": UserRole.REVEAL,
    "/quarantine/{number}/reveal": UserRole.REVEAL,
}
_SAYS: Mapping[RefusalReason, str] = {
    RefusalReason.CROSS_SITE: "It was sent from another site's page.",
    RefusalReason.NO_TOKEN: (
        "The form was not one of this session's. Load the page again, and send it."
    ),
    RefusalReason.NO_SESSION: "Nobody has logged in. Log in, and do it again.",
    RefusalReason.STALE_SESSION: "You were logged out meanwhile. Log in, and do it again.",
    RefusalReason.UNKNOWN_SESSION: "You were logged out meanwhile. Log in, and do it again.",
    RefusalReason.MISSING_ROLE: "Your role does not allow it. Ask somebody whose role does.",
    RefusalReason.PROXY_SECRET: "A user was named, and not by the server that may.",
}


@frozen(kw_only=True)
class Rules:
    """What the settings say of who may come, and how."""

    idle: timedelta = timedelta(minutes=30)
    longest: timedelta = timedelta(hours=12)
    names: Collection[str] = ()  # by which the console may be asked for, beside this machine's
    proxy: str | None = None  # the address of the server that logs people in
    secret: str = field(default="", repr=False)
    user_header: str = "X-Remote-User"
    groups_header: str = "X-Remote-Groups"
    groups: Mapping[UserRole, Collection[str]] = field(default_factory=dict)


@frozen(kw_only=True)
class Came:
    """Who a request comes from."""

    visitor: Visitor
    session: Session[Any] | None = None
    token: str | None = None  # for a new cookie
    trouble: RefusalReason | None = None  # why they are nobody


class Access:
    """Lets people in, and keeps the others out."""

    def __init__(self, desk: Desk, users: UserFile, rules: Rules) -> None:
        self._desk, self._file, self._rules = desk, users, rules
        self._now = desk.now
        self._sessions = Sessions[Any](idle=rules.idle, longest=rules.longest)
        self._refusals = Refusals(desk.store.visits)
        self._tries = Tries()
        self._one_at_a_time = asyncio.Lock()  # a password takes 32 MiB
        self._key = secrets.token_bytes(32)
        self._unusable: str | None = None

    def routes(self) -> Sequence[web.RouteDef]:
        """Return what can be asked for."""
        return [
            web.get("/log-in", self._ask),
            web.post("/log-in", self._log_in),
            web.post("/log-out", self._log_out),
        ]

    async def close(self) -> None:
        """Write down what was counted."""
        await self._refusals.flush(self._now(), whole=True)

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer, or refuse."""
        await self._refusals.flush(self._now())
        if not self._is_ours(request):
            await self._note(request, RefusalReason.OTHER_NAME)
            return web.Response(text="Ask for 127.0.0.1 or localhost.\n", status=421)
        route = route_of(request)
        if _needs(route) is None and not _changes(request):
            return await handler(request)
        came = await self._who(request, in_use=route != LIVE and LIVE_HEADER not in request.headers)
        VISITING.set(came.visitor)
        if came.session is not None:
            request[SESSION] = came.session
        response = await self._refused(request, came, route)
        if response is None:
            response = await self._answered(request, handler, came)
        if came.token is not None:
            self._give(request, response, came.token)
        return response

    async def _answered(
        self, request: web.Request, handler: Handler, came: Came
    ) -> web.StreamResponse:
        try:
            response = await handler(request)
        except web.HTTPException as raised:
            if came.token is not None:
                self._give(request, raised, came.token)
            raise
        if response.status == HTTPStatus.NOT_FOUND and request.match_info:
            await self._note(request, RefusalReason.UNKNOWN_ID, came.visitor)
        return response

    def _is_ours(self, request: web.Request) -> bool:
        host = host_of(request)
        return is_of_this_machine(host) or host.lower() in self._rules.names

    async def _refused(
        self, request: web.Request, came: Came, route: str | None
    ) -> web.StreamResponse | None:
        """Return what to answer instead of the page; None: they may have it."""
        why = await _objection(request, came, _needs(route))
        if why is None:
            return None
        asks = not _changes(request) and why in _LOGGED_OUT
        is_first = asks and why is RefusalReason.NO_SESSION
        if not is_first:  # who comes first has done nothing wrong
            await self._note(request, why, came.visitor)
        if asks:
            there = quote(request.path_qs, safe="/?=&")
            return web.Response(status=303, headers={"Location": f"/log-in?next={quote(there)}"})
        return self.refusal(_SAYS[why])

    def refusal(self, why: str, status: HTTPStatus = HTTPStatus.FORBIDDEN) -> web.StreamResponse:
        """Return the page that says that nothing was done, and why."""
        return shown("refused.html", self._desk.frame(""), status, why=why)

    async def _note(
        self, request: web.Request, why: RefusalReason, visitor: Visitor | None = None
    ) -> None:
        who = visitor.who if visitor and visitor.name else None
        await self._refusals.note(
            RefusalKind(why=why, route=route_of(request), who=who), self._now()
        )

    async def may_look(self, request: web.Request) -> bool:
        """Tell whether whoever has sent it may look still; that is no use of their session."""
        return (await self._who(request, in_use=False)).visitor.may(UserRole.VIEWER)

    async def unknown(self, request: web.Request) -> None:
        """Write down that a form names what is not there, or not this session's."""
        await self._note(request, RefusalReason.UNKNOWN_ID, VISITING.get())

    # Who it is.

    async def _who(self, request: web.Request, *, in_use: bool) -> Came:
        token = request.cookies.get(COOKIE, "")
        if self._rules.proxy is not None and self._rules.user_header in request.headers:
            return await self._who_by_proxy(request, token, in_use=in_use)
        users = self._users()
        session = self._sessions.find(token, self._now(), in_use=in_use)
        if session is not None and not session.by_proxy:
            user = (users or {}).get(session.user)
            if user is not None and user.password == session.mark:
                return Came(visitor=_visitor(session, user.roles), session=session)
            self._sessions.end(token)
        if users is None and self._rules.proxy is None:
            return Came(visitor=ANYBODY)
        trouble = None
        if token:
            ended = self._sessions.has_ended(token)
            trouble = RefusalReason.STALE_SESSION if ended else RefusalReason.UNKNOWN_SESSION
        return Came(visitor=Visitor(), trouble=trouble)

    async def _who_by_proxy(self, request: web.Request, token: str, *, in_use: bool) -> Came:
        rules = self._rules
        given = request.headers.get(SECRET, "").encode("utf-8", "replace")
        if request.remote != rules.proxy or not hmac.compare_digest(given, rules.secret.encode()):
            return Came(visitor=Visitor(), trouble=RefusalReason.PROXY_SECRET)
        name = request.headers[rules.user_header].strip()
        if not (0 < len(name) <= _LONGEST_NAME and name.isprintable()):
            return Came(visitor=Visitor())
        named = {each.strip() for each in request.headers.get(rules.groups_header, "").split(",")}
        roles = frozenset(role for role, groups in rules.groups.items() if named & set(groups))
        session = self._sessions.find(token, self._now(), in_use=in_use)
        if session is not None and session.by_proxy and session.user == name:
            return Came(visitor=_visitor(session, roles), session=session)
        if not in_use:
            return Came(visitor=Visitor(name=name, roles=roles, by_proxy=True))
        token, session = self._sessions.begin(name, None, self._now(), by_proxy=True)
        visitor = _visitor(session, roles)
        if roles:
            await self._tell("console.logged_in", visitor)
        return Came(visitor=visitor, session=session, token=token)

    def _users(self) -> Users | None:
        """Return who may log in; None: no users are configured. By a bad file, nobody may."""
        try:
            users = self._file.read()
        except UsersUnusable as error:
            if self._unusable != str(error):
                log.error("console.users_unusable", reason=str(error), advice=error.advice)
            self._unusable = str(error)
            return {}
        self._unusable = None
        return users

    async def _tell(self, kind: str, visitor: Visitor) -> None:
        roles = ", ".join(sorted(visitor.roles))
        await self._desk.store.visits.note(kind, {"who": visitor.who, "roles": roles}, self._now())

    # Logging in and out.

    async def _ask(self, request: web.Request) -> web.StreamResponse:
        return self._form(request, _local(request.query.get("next", "")))

    def _form(
        self,
        request: web.Request,
        following: str,
        problem: str = "",
        status: HTTPStatus = HTTPStatus.OK,
    ) -> web.Response:
        VISITING.set(Visitor())
        nonce = request.cookies.get(_FORM_COOKIE) or secrets.token_urlsafe(16)
        response = shown(
            "log_in.html",
            self._desk.frame(""),
            status,
            csrf=self._signed(nonce),
            following=following,
            problem=problem,
            possible=self._users() is not None,
            unusable=self._unusable is not None,
        )
        self._give(request, response, nonce, _FORM_COOKIE)
        return response

    async def _log_in(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        name, password = str(form.get("user", "")), str(form.get("password", ""))
        following = _local(str(form.get("next", "")))
        nonce = request.cookies.get(_FORM_COOKIE, "")
        if not (nonce and _same(str(form.get("csrf", "")), self._signed(nonce))):
            await self._note(request, RefusalReason.NO_TOKEN)
            problem = "This form was too old. Please type it again."
            return self._form(request, following, problem, HTTPStatus.FORBIDDEN)
        users = self._users() or {}
        known = Visitor(name=name) if name in users else None
        if not self._tries.allow(name if known else None, self._now()):
            await self._note(request, RefusalReason.TOO_OFTEN, known)
            problem = "There were too many attempts. Wait for a minute, and try again."
            response = self._form(request, following, problem, HTTPStatus.TOO_MANY_REQUESTS)
            response.headers["Retry-After"] = "60"
            return response
        async with self._one_at_a_time:
            user = await asyncio.to_thread(checked, users, name, password[: LONGEST + 1])
        if user is None:
            await self._note(request, RefusalReason.WRONG_PASSWORD, known)
            problem = "Name and password do not belong together."
            return self._form(request, following, problem, HTTPStatus.FORBIDDEN)
        self._sessions.end(request.cookies.get(COOKIE, ""))
        token, session = self._sessions.begin(user.name, user.password, self._now())
        await self._tell("console.logged_in", _visitor(session, user.roles))
        response = web.Response(status=303, headers={"Location": following})
        self._give(request, response, token)
        return response

    async def _log_out(self, request: web.Request) -> web.StreamResponse:
        self._sessions.end(request.cookies.get(COOKIE, ""))
        await self._tell("console.logged_out", VISITING.get())
        response = web.Response(status=303, headers={"Location": "/log-in"})
        response.del_cookie(COOKIE, path="/")
        return response

    def _signed(self, nonce: str) -> str:
        return hmac.new(self._key, nonce.encode("utf-8", "replace"), "sha256").hexdigest()

    @staticmethod
    def _give(
        request: web.Request, response: web.StreamResponse, value: str, name: str = COOKIE
    ) -> None:
        """Set a cookie; that it is sent over TLS alone can be asked for by anybody."""
        tls = request.headers.get("X-Forwarded-Proto", "").lower() == "https"
        response.set_cookie(name, value, path="/", httponly=True, samesite="Strict", secure=tls)


_LOGGED_OUT = frozenset(
    {RefusalReason.NO_SESSION, RefusalReason.STALE_SESSION, RefusalReason.UNKNOWN_SESSION}
)


def _changes(request: web.Request) -> bool:
    return request.method not in {"GET", "HEAD"}


def _needs(route: str | None) -> UserRole | None:
    return NEEDS.get(route or "", UserRole.VIEWER)


async def _objection(
    request: web.Request, came: Came, need: UserRole | None
) -> RefusalReason | None:
    """Return why they may not have a page that takes the role *need*; None: they may."""
    if _changes(request) and not _is_from_here(request):
        return RefusalReason.CROSS_SITE
    if came.trouble is RefusalReason.PROXY_SECRET:
        return came.trouble
    visitor = came.visitor
    if need is not None and not visitor.may(need):
        if visitor.name or visitor.read_only:
            return RefusalReason.MISSING_ROLE
        return came.trouble or RefusalReason.NO_SESSION
    if need is not None and _changes(request) and not await _has_token(request, visitor.csrf):
        return RefusalReason.NO_TOKEN
    return None


def _visitor(session: Session[Any], roles: Collection[UserRole]) -> Visitor:
    return Visitor(
        name=session.user, roles=frozenset(roles), csrf=session.csrf, by_proxy=session.by_proxy
    )


def route_of(request: web.Request) -> str | None:
    """Return the route as it is declared; None: there is no such page."""
    resource = request.match_info.route.resource
    return None if resource is None else resource.canonical


def is_page(request: web.Request) -> bool:
    """Tell whether a page answers it, be it the one that says no: no figure, and no file."""
    route = route_of(request) or ""
    return route == "/log-in" or NEEDS.get(route, UserRole.VIEWER) is not None


def _is_from_here(request: web.Request) -> bool:
    """Tell whether the browser says that a page of ours has sent it; a program says nothing."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
        return False
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc.lower() == request.headers.get("Host", "")


async def _has_token(request: web.Request, csrf: str) -> bool:
    form = await request.post()
    return bool(csrf) and _same(str(form.get("csrf", "")), csrf)


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def _local(path: str) -> str:
    """Return where to go on, if that is a page of ours; else the overview."""
    is_ours = path.startswith("/") and path.isascii() and path.isprintable()
    return path if is_ours and not path.startswith(("//", "/\\", "/log-")) else "/"
