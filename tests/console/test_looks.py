"""Each page in a real browser: light and dark, narrow and wide, without JavaScript."""

import os
from pathlib import Path
from typing import Any, Literal

import messages
import pytest
from axe_playwright_python.async_playwright import Axe
from console_side import CANARY, TALK, Console, browser, busy, refused, served
from console_visitors import PASSWORD, users
from playwright.async_api import Page

from bars_gateway.console.visitor import UserRole

VIEWS: tuple[tuple[Literal["light", "dark"], int], ...] = (
    ("light", 1280),
    ("dark", 1280),
    ("light", 400),
    ("dark", 400),
)
PAGES = (
    "/",
    "/messages",
    "/messages/1",
    "/messages/3",
    "/messages/999",
    "/messages?since=x",
    f"/conversations/{TALK}",
    "/owed",
    "/counterparties",
    "/quarantine",
    "/keys",
    "/configuration",
    "/audit",
    "/runbooks",
)
# Where the pictures are kept for whoever wants to see them: an ignored folder.
PICTURES = Path(__file__).parents[2] / "build" / "screenshots"


async def complaints_of(page: Page, picture: str) -> dict[str, Any]:
    """Return what is wrong with the page as it is seen: nothing is an empty dictionary."""
    if os.environ.get("CI") or os.environ.get("BARS_SCREENSHOTS"):
        PICTURES.mkdir(parents=True, exist_ok=True)
        await page.screenshot(path=PICTURES / picture, full_page=True)
    broken = (await Axe().run(page)).response["violations"]
    found = {
        "sideways": await page.evaluate("document.documentElement.scrollWidth > innerWidth"),
        "inaccessible": [(each["id"], each["nodes"][0]["html"][:200]) for each in broken],
        "tells of a patient": CANARY in await page.content(),
    }
    return {name: each for name, each in found.items() if each}


@pytest.mark.needs("chromium")
@pytest.mark.parametrize("path", PAGES)
async def test_each_page_is_usable_however_it_is_looked_at(console: Console, path: str) -> None:
    """No complaint of the browser's or of axe's, no sideways scrolling, nothing of a patient."""
    await busy(console)
    name = path.strip("/").replace("/", "-").replace("?", "-").replace("=", "-") or "overview"
    noise: list[str] = []
    found = {}
    async with browser() as chromium:
        page = await chromium.new_page()
        page.on("console", lambda said: noise.append(said.text))
        page.on("requestfailed", lambda request: noise.append(f"failed: {request.url}"))
        answered = await page.goto(console.url + path)
        for scheme, width in VIEWS:
            await page.emulate_media(color_scheme=scheme)
            await page.set_viewport_size({"width": width, "height": 900})
            found[scheme, width] = await complaints_of(page, f"{name}-{scheme}-{width}.png")

    assert answered is not None
    assert [] == [each for each in noise if f"status of {answered.status}" not in each]
    assert {} == {view: wrong for view, wrong in found.items() if wrong}


@pytest.mark.needs("chromium")
async def test_messages_are_found_without_javascript(console: Console) -> None:
    """A form, a list and links: nothing else is needed."""
    await busy(console)
    async with browser() as chromium:
        context = await chromium.new_context(java_script_enabled=False)
        page = await context.new_page()
        await page.goto(f"{console.url}/messages")
        await page.select_option("#state", "refused")
        await page.click("text=Search")
        await page.click("table >> nth=0 >> tbody a")
        heading = await page.text_content("h1")

    assert heading is not None
    assert ["Message", "3", "refused"] == heading.split()


async def looked_at(page: Page, name: str) -> dict[object, object]:
    found = {}
    for scheme, width in VIEWS:
        await page.emulate_media(color_scheme=scheme)
        await page.set_viewport_size({"width": width, "height": 900})
        wrong = await complaints_of(page, f"{name}-{scheme}-{width}.png")
        if wrong:
            found[scheme, width] = wrong
    return found


@pytest.mark.needs("chromium")
async def test_each_page_on_which_somebody_acts_is_usable(tmp_path: Path) -> None:
    """From the log-in to what was done: no complaint of axe's, no sideways scrolling."""
    found = {}
    file = users(tmp_path, operator=UserRole.OPERATOR, reveal=UserRole.REVEAL)
    async with served(tmp_path, users=file) as console, browser() as chromium:
        await refused(console.store, body=messages.referral())
        page = await chromium.new_page()
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
async def test_a_revealed_payload_is_readable(tmp_path: Path) -> None:
    """Narrow and wide, light and dark."""
    file = users(tmp_path, reveal=UserRole.REVEAL)
    async with served(tmp_path, users=file) as console, browser() as chromium:
        await refused(console.store, body=messages.referral())
        page = await chromium.new_page()
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
