"""
Each page in a real browser: light and dark, narrow and wide, without JavaScript.

One browser, and one console that nobody acts on, serve all tests of a process.
"""

import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import messages
import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from bad_night import bad_night
from console_side import CANARY, TALK, Console, aged, browser, refused, served
from console_visitors import PASSWORD, users
from playwright.async_api import Browser, ConsoleMessage, Page, Request

from bars_gateway.console.visitor import UserRole

VIEWS: tuple[tuple[Literal["light", "dark"], int], ...] = (
    ("light", 1280),
    ("dark", 1280),
    ("light", 400),
    ("dark", 400),
)
# axe looks at either scheme and at either width; a colour is the same wherever it stands.
EXAMINED = (VIEWS[0], VIEWS[-1])
PAGES = (
    "/",
    "/messages",
    "/messages/1",
    "/messages/3",
    "/messages/999",
    "/messages?since=x",
    f"/conversations/{TALK}",
    "/alarms",
    "/alarms?kind=x",
    "/owed",
    "/counterparties",
    "/quarantine",
    "/records",
    "/records?verify=1",
    "/keys",
    "/configuration",
    "/audit",
    "/runbooks",
)
# Where the pictures are kept for whoever wants to see them: an ignored folder.
PICTURES = Path(__file__).parents[2] / "build" / "screenshots"


pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A console as full as it gets, and a page of a browser to look at it with."""

    url: str
    page: Page


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with browser() as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def full(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    async with served(tmp_path_factory.mktemp("looks")) as console:
        await aged(console)
        yield console.url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(full: str, chromium: Browser) -> AsyncIterator[Desk]:
    page = await chromium.new_page()
    yield Desk(url=full, page=page)
    await page.close()


async def complaints_of(page: Page, picture: str, *, axe: bool) -> dict[str, Any]:
    """Return what is wrong with the page as it is seen: nothing is an empty dictionary."""
    if os.environ.get("CI") or os.environ.get("BARS_SCREENSHOTS"):
        PICTURES.mkdir(parents=True, exist_ok=True)
        await page.screenshot(path=PICTURES / picture, full_page=True)
    broken = (await Axe().run(page)).response["violations"] if axe else []
    found = {
        "sideways": await page.evaluate("document.documentElement.scrollWidth > innerWidth"),
        "inaccessible": [(each["id"], each["nodes"][0]["html"][:200]) for each in broken],
        "tells of a patient": CANARY in await page.content(),
    }
    return {name: each for name, each in found.items() if each}


async def looked_at(page: Page, name: str) -> dict[object, object]:
    found = {}
    for scheme, width in VIEWS:
        await page.emulate_media(color_scheme=scheme)
        await page.set_viewport_size({"width": width, "height": 900})
        axe = (scheme, width) in EXAMINED
        wrong = await complaints_of(page, f"{name}-{scheme}-{width}.png", axe=axe)
        if wrong:
            found[scheme, width] = wrong
    return found


@pytest.mark.needs("chromium")
@pytest.mark.parametrize("path", PAGES)
async def test_each_page_is_usable_however_it_is_looked_at(desk: Desk, path: str) -> None:
    """No complaint of the browser's or of axe's, no sideways scrolling, nothing of a patient."""
    page = desk.page
    name = path.strip("/").replace("/", "-").replace("?", "-").replace("=", "-") or "overview"
    noise: list[str] = []

    def told(said: ConsoleMessage) -> None:
        noise.append(said.text)

    def failed(request: Request) -> None:
        # What an open page asks for ends when the page is left.
        if not request.url.endswith("/live") and "x-live" not in request.headers:
            noise.append(f"failed: {request.url}")

    page.on("console", told)
    page.on("requestfailed", failed)
    answered = await page.goto(desk.url + path)
    found = await looked_at(page, name)
    page.remove_listener("console", told)
    page.remove_listener("requestfailed", failed)

    assert answered is not None
    assert [] == [each for each in noise if f"status of {answered.status}" not in each]
    assert {} == found


@pytest.mark.needs("chromium")
async def test_each_page_on_which_somebody_acts_is_usable(
    tmp_path: Path, chromium: Browser
) -> None:
    """From the log-in to what was done: no complaint of axe's, no sideways scrolling."""
    found = {}
    file = users(tmp_path, operator=UserRole.OPERATOR, reveal=UserRole.REVEAL)
    async with served(tmp_path, users=file) as console:
        await refused(console.store, body=messages.referral())
        page = await chromium.new_page()  # with cookies of its own
        await page.goto(f"{console.url}/log-in")
        found["log-in"] = await looked_at(page, "log-in")
        await page.fill("#user", "operator")
        await page.fill("#password", "not the right one")
        await page.click("main button")
        found["not-in"] = await looked_at(page, "log-in-refused")
        await page.fill("#user", "operator")
        await page.fill("#password", PASSWORD)
        await page.click("main button")
        for path in ("/", "/messages?state=refused", "/messages/1"):
            await page.goto(console.url + path)
            found[path] = await looked_at(page, f"operator{path[:12].replace('/', '-')}")
        await page.goto(f"{console.url}/act?verb=resend&of=1")
        found["plan"] = await looked_at(page, "plan")
        await page.fill("#why", "INC-7")
        await page.check("#confirmed")
        await page.click("main button")
        found["done"] = await looked_at(page, "done")
        for path in ("/attach?quarantine=1", "/confirm?workflow=1", "/messages/1/reveal", "/act"):
            await page.goto(console.url + path)
            found[path] = await looked_at(page, f"act{path[:9].replace('/', '-')}")

    assert {} == {name: wrong for name, wrong in found.items() if wrong}


@pytest.mark.needs("chromium")
async def test_a_revealed_payload_is_readable(tmp_path: Path, chromium: Browser) -> None:
    """Narrow and wide, light and dark."""
    file = users(tmp_path, reveal=UserRole.REVEAL)
    async with served(tmp_path, users=file) as console:
        await refused(console.store, body=messages.referral())
        page = await chromium.new_page()  # with cookies of its own
        await page.goto(f"{console.url}/messages/1/reveal")
        await page.fill("#user", "reveal")
        await page.fill("#password", PASSWORD)
        await page.click("main button")
        asked = await looked_at(page, "reveal")
        await page.fill("#why", "INC-7")
        await page.click("main button")
        shown = await looked_at(page, "revealed")
        text = await page.text_content("pre")

    assert ({}, {}) == (asked, shown)
    assert text is not None
    assert '"resourceType": "Bundle"' in text
    assert CANARY not in text


@pytest.mark.needs("chromium")
async def test_every_page_and_form_works_without_javascript(
    tmp_path: Path, chromium: Browser
) -> None:
    """Whoever has a browser that runs nothing can do all that others can."""
    file = users(tmp_path, jo=UserRole.OPERATOR, sam=UserRole.REVEAL)
    async with served(tmp_path, users=file) as console:
        await bad_night(console)
        context = await chromium.new_context(java_script_enabled=False)
        page = await context.new_page()
        await log_in(page, console, "jo")
        paths = [path for path in PAGES if TALK not in path]
        read = {path: await headline(page, console.url + path) for path in paths}
        filtered = [
            await sent_form(page, console, "/messages", {"#state": "refused"}, "Search"),
            await sent_form(page, console, "/audit", {"#kind": "console"}, "Filter"),
            await sent_form(page, console, "/alarms", {"#kind": "workflow.overdue"}, "Filter"),
        ]
        done = [
            await acted(page, console, path)
            for path in (
                "/act?verb=hold&of=20",
                "/act?verb=hold&state=queued",
                "/handle?alarm=1",
                "/acknowledge?alert=1",
            )
        ]
        state = "completed"
        chosen = [
            await sent_form(page, console, "/attach?quarantine=1", {"#workflow": "1"}, "See what"),
            await sent_form(page, console, "/confirm?workflow=1", {"#state": state}, "See what"),
        ]
        await page.goto(console.url)
        await page.click("text=Log out")
        await log_in(page, console, "sam")
        shown = [
            await sent_form(page, console, path, {"#why": "INC-7"}, "Show the payload")
            for path in ("/messages/1/reveal", "/quarantine/1/reveal")
        ]
        await context.close()

    assert {} == {path: said for path, said in read.items() if not said}
    assert ["Messages", "Audit", "Alarms and alerts"] == filtered
    assert ["1 of 1 done.", "29 of 29 done.", "1 of 1 done.", "1 of 1 done."] == done
    assert ["Attach quarantine 1 to workflow 1?", "Say that workflow 1 is completed?"] == chosen
    assert ["Payload of message 1", "Payload of quarantine 1"] == shown


async def log_in(page: Page, console: Console, name: str) -> None:
    await page.goto(f"{console.url}/log-in")
    await page.fill("#user", name)
    await page.fill("#password", PASSWORD)
    await page.click("main button")


async def headline(page: Page, url: str) -> str:
    answered = await page.goto(url)
    assert answered is not None
    assert answered.status in {200, 400, 404}
    return (await page.text_content("h1") or "").strip()


async def sent_form(
    page: Page, console: Console, path: str, filled: Mapping[str, str], button: str
) -> str:
    """Fill in the form of that page and send it; return the headline of what comes."""
    await page.goto(console.url + path)
    for field, value in filled.items():
        if await page.locator(f"select{field}").count():
            await page.select_option(field, value)
        else:
            await page.fill(field, value)
    await page.click(f"main button:has-text('{button}')")
    return (await page.text_content("h1") or "").strip()


async def acted(page: Page, console: Console, path: str) -> str:
    """Do what that page offers; return how many it was done to."""
    await sent_form(page, console, path, {"#why": "INC-7"}, "")
    return (await page.text_content("#did + p") or "").strip()
