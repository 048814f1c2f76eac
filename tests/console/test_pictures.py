"""
The pictures that the pages show, taken of a console on a bad night: never older than the code.

`make docs` names the folder in BARS_PICTURES, from which they come into the site.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from bad_night import bad_night
from console_side import CANARY, browser, served
from pages import PAGES
from playwright.async_api import Page


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One look at one page; what it shows has to be in it."""

    path: str
    shows: str
    size: tuple[int, int] = (1280, 800)


PICTURES = {
    "overview": Picture(path="/", shows="5 answers owed to us"),
    "overview-phone": Picture(path="/", shows="5 answers owed to us", size=(400, 800)),
    "alarms": Picture(path="/alarms", shows="mark-handled"),
    "messages": Picture(path="/messages", shows="X-Request-Id"),
    "message": Picture(path="/messages/1", shows="What happened"),
    "owed": Picture(path="/owed", shows="overdue"),
}


async def taken(page: Page, url: str, picture: Picture, file: Path) -> str:
    """Take it, and return the words that it shows."""
    width, height = picture.size
    await page.set_viewport_size({"width": width, "height": height})
    await page.goto(f"{url.rstrip('/')}{picture.path}")
    await page.screenshot(path=file)
    return await page.inner_text("body")


@pytest.mark.needs("chromium")
async def test_the_pictures_show_what_the_pages_say(tmp_path: Path) -> None:
    """Each shows what it is there for, and nothing of a patient."""
    folder = Path(os.environ.get("BARS_PICTURES") or tmp_path / "pictures")
    folder.mkdir(parents=True, exist_ok=True)
    async with browser() as chromium, served(tmp_path) as console:
        page = await chromium.new_page()
        await bad_night(console)
        shown = {
            name: await taken(page, console.url, picture, folder / f"{name}.png")
            for name, picture in PICTURES.items()
        }

    assert [] == [name for name, words in shown.items() if PICTURES[name].shows not in words]
    assert [] == [name for name, words in shown.items() if CANARY in words]


def test_each_picture_is_on_a_page() -> None:
    """And each page shows those that are taken."""
    text = "".join(page.read_text("utf-8") for page in PAGES)
    named = re.findall(r"!\[[^\]]+\]\((?:\.\./)?pictures/([\w-]+)\.png\)", text)

    assert set(PICTURES) == set(named)
