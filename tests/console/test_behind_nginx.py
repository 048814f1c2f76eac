"""The console behind nginx, set as `docs/console.md` has it: whom nginx names is believed."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import certs
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from console_side import Console, served
from console_visitors import Page, Person, audit
from pages import block
from store_values import submission
from typed import settings_text
from world import eventually

from bars_gateway.config import load
from bars_gateway.console import live
from bars_gateway.daemon.console import rules_of
from bars_gateway.demo.stage import free_ports

pytestmark = pytest.mark.needs("nginx")
SECRET = "what only the server in front knows"
PASSWORD = "correct horse battery"
AROUND = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
    uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
    {lines}
}}
"""


class HereAlone(AbstractResolver):
    """Every name is one of this machine's."""

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        found = ResolveResult(
            hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0
        )
        return [found]

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """Nginx, and the console behind it."""

    console: Console
    url: str
    trusts: ssl.SSLContext


def set_as_the_page_says(folder: Path) -> Path:
    """Write the gateway's settings; return the file."""
    written = block("console.md", "proxy_secret_file", "[console]")
    secret = folder / "console-proxy"
    secret.write_text(f"{SECRET}\n", "utf-8")
    secret.chmod(0o600)
    file = folder / "settings.toml"
    written = written.replace("/etc/bars-gateway/console-proxy", str(secret))
    file.write_text(settings_text(folder, rest=f"[inbound]\nenabled = false\n{written}"), "utf-8")
    return file


def nginx_as_the_page_says(folder: Path, port: int, behind: int) -> Path:
    """Write its settings, with the page's lines as they are but for places; return the file."""
    lines = block("console.md", "proxy_pass")
    for there, here in {
        "/etc/nginx/": f"{folder}/",
        "listen 443": f"listen 127.0.0.1:{port}",
        "127.0.0.1:8480": f"127.0.0.1:{behind}",
        "what console.proxy_secret_file holds": SECRET,
    }.items():
        assert there in lines
        lines = lines.replace(there, here)
    file = folder / "nginx.conf"
    file.write_text(AROUND.format(folder=folder, lines=lines), "utf-8")
    return file


def certificate(folder: Path) -> ssl.SSLContext:
    """Write one for nginx, and what its users know; return what trusts it."""
    chain = certs.Chain.of()
    (folder / "console.crt").write_bytes(certs.pem(chain.leaf("bars.trust.example"), chain.middle))
    (folder / "console.key").write_bytes(certs.key_pem())
    people = ("jo.bloggs", "ann.other", "nobody.yet")
    users = "".join(f"{name}:{{PLAIN}}{PASSWORD}\n" for name in people)
    (folder / "console.users").write_text(users, "utf-8")
    context = ssl.create_default_context(cadata=certs.pem(chain.root).decode())
    # From 3.13 on Python asks for an authority's key identifier, which the chain has none of.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    rules = rules_of(load(set_as_the_page_says(tmp_path), {}))
    async with served(tmp_path, rules=rules, live_seconds=0.02) as console:
        (port,) = free_ports(1)
        trusts = certificate(tmp_path)
        file = nginx_as_the_page_says(tmp_path, port, console.server.port)
        nginx = await asyncio.create_subprocess_exec("nginx", "-p", tmp_path, "-c", file)
        try:
            await eventually(lambda: takes_connections(port))
            yield Front(console=console, url=f"https://bars.trust.example:{port}", trusts=trusts)
        finally:
            nginx.terminate()
            await nginx.wait()


def takes_connections(port: int) -> bool:
    with socket.socket() as asks:
        return asks.connect_ex(("127.0.0.1", port)) == 0


@asynccontextmanager
async def browser_of(front: Front, name: str, password: str = PASSWORD) -> AsyncIterator[Person]:
    """Yield somebody's, who has typed that name and password when nginx asked."""
    connector = aiohttp.TCPConnector(ssl=front.trusts, resolver=HereAlone())
    typed = {"Authorization": aiohttp.encode_basic_auth(name, password)}
    async with aiohttp.ClientSession(
        trust_env=False, connector=connector, headers=typed
    ) as session:
        yield Person(front, session)


async def test_whom_nginx_names_is_logged_in(front: Front) -> None:
    """With the roles of the groups that nginx names; the cookie goes over TLS alone."""
    async with browser_of(front, "jo.bloggs") as somebody:
        page = await somebody.get("/")

    assert 200 == page.status
    assert "jo.bloggs (operator)" in page.words
    assert "Secure" in page.headers["Set-Cookie"].split("; ")


async def test_without_a_password_nothing_is_seen(front: Front) -> None:
    """It is nginx that refuses."""
    async with browser_of(front, "jo.bloggs", "not the right one") as somebody:
        page = await somebody.get("/")

    assert 401 == page.status


async def test_who_stands_in_no_group_sees_nothing(front: Front) -> None:
    """A password alone is no leave."""
    async with browser_of(front, "nobody.yet") as somebody:
        page = await somebody.get("/")

    assert 403 == page.status


async def test_an_open_page_follows_what_changes(front: Front) -> None:
    """Nginx keeps nothing of the stream back."""
    async with (
        browser_of(front, "ann.other") as somebody,
        asyncio.timeout(10),  # kept back, it would come once a buffer is full
        somebody.session.get(front.url + live.PLACE) as answer,
    ):
        there = await answer.content.readline()
        await front.console.store.outbound.submit(submission(), front.console.at)
        events = (line async for line in answer.content if line.startswith(b"event:"))
        said = await anext(events, b"")
    assert there
    assert b"event: changed\n" == said


async def held(somebody: Person) -> Page:
    """Hold the first message, as the form for it has it."""
    plan = await somebody.get("/act?verb=hold&of=1")
    form = {"csrf": plan.field("csrf"), "plan": plan.field("plan"), "why": "INC-7"}
    return await somebody.post("/do", form)


async def test_a_form_is_taken(front: Front) -> None:
    """It comes from the name it was asked for under, and the audit trail has who sent it."""
    await front.console.store.outbound.submit(submission(), front.console.at)
    async with browser_of(front, "jo.bloggs") as somebody:
        answer = await held(somebody)
    (told,) = await audit(front.console, "operator.held")

    assert 303 == answer.status, answer.words
    assert "jo.bloggs (console)" == told["who"]


@pytest.mark.parametrize("mark", ["-", "_"])
async def test_what_a_browser_says_of_itself_is_not_believed(front: Front, mark: str) -> None:
    """Neither a name, nor groups, nor that it is the server in front."""
    claims = {"Remote-User": "jo.bloggs", "Remote-Groups": "bars-operators"}
    claims |= {"Gateway-Secret": SECRET}
    given = {f"X-{name}".replace("-", mark): value for name, value in claims.items()}
    async with browser_of(front, "ann.other") as somebody:
        somebody.session.headers.update(given)
        page = await somebody.get("/")
    async with browser_of(front, "nobody.yet") as somebody:
        somebody.session.headers.update(given)
        refused = await somebody.get("/")

    assert "ann.other (viewer)" in page.words
    assert 403 == refused.status


@pytest.mark.parametrize(
    ("secret", "status"), [({}, 403), ({"X_Gateway_Secret": "x"}, 403), (None, 303)]
)
async def test_past_nginx_nobody_is_believed(
    front: Front, secret: dict[str, str] | None, status: int
) -> None:
    """A program of this machine that names somebody is refused; one that does not, may log in."""
    named = {"X_Remote_User": "jo.bloggs", "X_Remote_Groups": "bars-operators"}
    given = {} if secret is None else named | secret
    async with aiohttp.ClientSession(trust_env=False) as session:
        page = await Person(front.console, session).get("/", **given)
    told = [each["reason"] for each in await audit(front.console, "console.refused")]

    assert status == page.status
    assert (["proxy_secret"] if given else []) == told
