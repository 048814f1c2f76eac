"""
A night on call: eight things are wrong, and somebody who knows nothing of it has one page.

Who, since when, how many, whose fault, and what may I do: each is in one look at the overview, or
one click from it, and after a restart, too. `docs/console.md` tells it, with these clicks.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from bad_night import (
    CERTIFICATE,
    DOWN,
    OVERDUE,
    OWING,
    REFUSED,
    REFUSING,
    WAITING,
    after_a_restart,
    bad_night,
)
from console_side import CANARY, browser, served
from console_visitors import PASSWORD, users
from playwright.async_api import Page

from bars_gateway.console.visitor import UserRole

DOCUMENT = Path(__file__).parents[2] / "docs" / "console.md"


@dataclass(frozen=True)
class Trouble:
    """One thing that is wrong: what the overview says of it, and what one click adds."""

    name: str  # as the document has it
    at_a_look: tuple[str, ...]
    click: str = ""  # the words of a link
    then: tuple[str, ...] = ()
    after_restart: tuple[str, ...] | None = None  # where that reads otherwise

    @property
    def clicks(self) -> int:
        """How many it takes until all is answered."""
        return 1 if self.click else 0


def short(service: str) -> str:
    return service.rpartition("|")[2]


_WAIT = f"{WAITING} messages of {WAITING} workflows wait"
TROUBLES = (
    Trouble(
        "a Receiver that does not answer",
        (
            f"{DOWN} has not answered since 02 Mar 08:40 UTC",
            _WAIT,
            "Look first at the other side",
            "Tell whoever runs it",
        ),
        "What waits for it",
        (short(DOWN), "queued", "Withdraw all that fit…"),
        (
            f"{DOWN} had given no good answer before this start: none since 02 Mar 08:40 UTC",
            _WAIT,
            "Look first at the other side",
            "Tell whoever runs it",
        ),
    ),
    Trouble(
        "a Receiver that refuses",
        (
            f"{REFUSED} messages got a refusal",
            "02 Mar 08:45",
            "Look first here and at the other side",
            "nobody has taken this patient on. Act now.",
        ),
        "What was refused",
        (short(REFUSING), "REC_UNPROCESSABLE_ENTITY"),
    ),
    Trouble(
        "a token service that does not know our key",
        (
            "No access token for trust since 02 Mar 08:56 UTC",
            "the token service does not know our key",
            _WAIT,
            "Look first here",
            "Check that key_id names a key in the registered JWKS",
        ),
    ),
    Trouble(
        "a certificate that ends",
        (f"{CERTIFICATE.name} ends in 5 days", "Look first here", "Order its successor now"),
    ),
    Trouble(
        "a disk that fills",
        (
            "The disk of the database is filling up",
            "MiB are free beside /",
            "/gateway.db. Make room",
            "open since 02 Mar 08:59",
            "Look first here",
            "Make room",
        ),
    ),
    Trouble(
        "an EPR that does not read",
        (
            "The EPR of trust has not taken 2 notices of a3t1, the oldest since 02 Mar 08:20 UTC",
            "Look first here",
            "See why the EPR does not take it, and telephone",
        ),
    ),
    Trouble(
        "an answer to nothing",
        (
            "1 response came that no request of ours asked for",
            "02 Mar 08:48",
            "Look first at the other side",
            "Find out with them whose patient it is about",
        ),
        "The quarantine",
        ("2000000202", "it answers nothing that was sent from here", "Attach 1…"),
    ),
    Trouble(
        "answers that are overdue",
        (
            f"Overdue: {OVERDUE} answers owed to us",
            "Look first at the other side",
            "Start your fallback now",
        ),
        "All that is owed",
        (short(OWING), "02 Mar 08:46", "overdue since then"),
    ),
)


async def log_in(page: Page, url: str) -> None:
    """Come to the overview as an operator."""
    await page.goto(url)
    await page.fill("#user", "operator")
    await page.fill("#password", PASSWORD)
    await page.click("main button")


def words(text: str) -> str:
    return re.sub(r"\s+", " ", text)


async def answered(page: Page, trouble: Trouble, phrases: tuple[str, ...]) -> list[str]:
    """Return what one look and one click leave unanswered."""
    item = page.locator("ol.concerns > li", has_text=phrases[0].split(" since")[0])
    look = words(await item.inner_text())
    lacking = [phrase for phrase in phrases if phrase not in look]
    if trouble.click:
        overview = page.url
        await item.get_by_role("link", name=trouble.click, exact=True).click()
        shown = words(await page.inner_text("main"))
        lacking += [phrase for phrase in trouble.then if phrase not in shown]
        assert CANARY not in await page.content()
        await page.goto(overview)
    return lacking


async def unanswered(page: Page, *, restarted: bool) -> Mapping[str, list[str]]:
    """Return of each trouble what one look and one click leave unanswered."""
    lacking = {}
    for trouble in TROUBLES:
        phrases = (trouble.after_restart if restarted else None) or trouble.at_a_look
        lacking[trouble.name] = await answered(page, trouble, phrases)
    return {name: phrases for name, phrases in lacking.items() if phrases}


@pytest.mark.needs("chromium")
async def test_each_trouble_is_answered_in_one_look_or_one_click(tmp_path: Path) -> None:
    """Who, since when, how many, whose fault and what to do; a restart forgets none of it."""
    file = users(tmp_path, operator=UserRole.OPERATOR)
    async with browser() as chromium:
        context = await chromium.new_context(java_script_enabled=False)
        page = await context.new_page()
        async with served(tmp_path, users=file) as console:
            await bad_night(console)
            await log_in(page, console.url)
            before = await unanswered(page, restarted=False)
        async with served(tmp_path, users=file) as console:
            await after_a_restart(console)
            await log_in(page, console.url)
            after = await unanswered(page, restarted=True)

    assert ({}, {}) == (before, after)


def test_the_document_tells_it_with_these_clicks() -> None:
    """What is promised there is what was clicked here."""
    told = re.findall(
        r"^\| (an? [^|]+|answers [^|]+) \| .*\| (\d) \|$", DOCUMENT.read_text(), re.MULTILINE
    )

    assert {each.name: str(each.clicks) for each in TROUBLES} == dict(told)
