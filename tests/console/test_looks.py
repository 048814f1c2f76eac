"""Each page in a real browser: light and dark, narrow and wide, without JavaScript."""

import os
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.async_playwright import Axe
from console_side import CANARY, TALK, Console, browser, busy
from playwright.async_api import Page

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
