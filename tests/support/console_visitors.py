"""People at a console: who may come, and a browser of theirs without a window."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from console_side import Console

from bars_gateway.console.users import User, UserFile, hashed
from bars_gateway.console.visitor import UserRole
from bars_gateway.store.audit import Sought

PASSWORD = "correct horse battery"
_KEPT = hashed(PASSWORD, cost=2)  # quick to check


def users(folder: Path, **roles: UserRole) -> UserFile:
    """Return a file of users, each with one role: by name, viewer, operator and reveal."""
    given = roles or {each.value: each for each in UserRole}
    file = UserFile(folder / "users.json")
    made = {n: User(name=n, roles=frozenset({role}), password=_KEPT) for n, role in given.items()}
    file.change(lambda found: found.update(made))
    return file


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a request brought, redirects not followed."""

    status: int
    text: str
    headers: Mapping[str, str] = field(repr=False)

    @property
    def words(self) -> str:
        """Its text without markup."""
        return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", self.text))

    def field(self, name: str) -> str:
        """Return what a hidden field of it holds."""
        found = re.search(rf'name="{name}" value="([^"]*)"', self.text)
        assert found is not None, name
        return found[1]


class Person:
    """Somebody at a console, with cookies."""

    def __init__(self, console: Any, session: aiohttp.ClientSession) -> None:
        self.console, self.session = console, session

    async def get(self, path: str, **headers: str) -> Page:
        return await self._ask("GET", path, headers=_named(headers))

    async def post(self, path: str, form: Mapping[str, Any], **headers: str) -> Page:
        """Send a form as a page of the console's own would."""
        from_here = {"Origin": self.console.url, "Sec-Fetch-Site": "same-origin"}
        return await self._ask("POST", path, data=form, headers=from_here | _named(headers))

    async def _ask(self, method: str, path: str, **given: Any) -> Page:
        url = self.console.url + path
        async with self.session.request(method, url, allow_redirects=False, **given) as answer:
            headers = dict(answer.headers)
            return Page(status=answer.status, text=await answer.text(), headers=headers)

    async def log_in(self, name: str, password: str = PASSWORD, **more: str) -> Page:
        page = await self.get("/log-in")
        form = {"csrf": page.field("csrf"), "user": name, "password": password, **more}
        return await self.post("/log-in", form)

    async def csrf(self) -> str:
        return (await self.get("/")).field("csrf")


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


@asynccontextmanager
async def person(console: Any, name: str | None = None) -> AsyncIterator[Person]:
    """Yield somebody, logged in under that name; None: not logged in."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(trust_env=False, cookie_jar=jar) as session:
        found = Person(console, session)
        if name is not None:
            assert (await found.log_in(name)).status == 303
        yield found


async def audit(console: Console, kind: str) -> list[Mapping[str, Any]]:
    """Return what the audit trail tells of that kind, in order."""
    await console.site.access.close()
    found = await console.store.audit.lines(Sought(kind=kind), 1000)
    return [{**line.detail, "message": line.message_id} for line in reversed(found)]
