"""Every link of every page leads somewhere, and so does every filter."""

import re
from collections import deque
from dataclasses import replace
from datetime import timedelta
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from bad_night import OWING, bad_night
from console_side import CANARY, Console, served
from console_visitors import Page, Person, person, users
from store_values import NOW, arrival, payload, submission

from bars_gateway.console.live import PLACE as LIVE
from bars_gateway.standard.workflow import Move
from bars_gateway.upkeep.housekeeping import ClockStep

_MOST = 1000


async def followed(somebody: Person, path: str) -> tuple[Page, str]:
    """Return the page of that path, and the fragment that it led to."""
    fragment = urlsplit(path).fragment
    for _ in range(3):
        page = await somebody.get(path.partition("#")[0])
        if page.status not in {302, 303}:
            break
        path = page.headers["Location"]
        fragment = urlsplit(path).fragment or fragment
    return page, fragment


def links_of(page: Page, path: str) -> set[str]:
    """Return where its links and its filters lead."""
    found = re.findall(r'(?:href|src)="([^"]*)"', page.text)
    found += re.findall(r'<form method="get" action="([^"]*)" class="card filters"', page.text)
    assert 'id="main"' in page.text
    return {urljoin(path, unescape(each)) for each in found if each != "#main"}


async def crawled(somebody: Person) -> dict[str, str]:
    """Follow every link from the overview on; return what is wrong with which."""
    wrong: dict[str, str] = {}
    pages: dict[str, Page] = {}
    waiting = deque(["/"])
    seen = {"/"}
    while waiting and len(pages) < _MOST:
        path = waiting.popleft()
        page, fragment = await followed(somebody, path)
        pages[path] = page
        if page.status != 200:
            wrong[path] = str(page.status)
        elif fragment and f'id="{unquote(fragment)}"' not in unescape(page.text):
            wrong[path] = f"no #{fragment}"
        elif CANARY in page.text:
            wrong[path] = "tells of a patient"
        if "text/html" not in page.headers["Content-Type"] or path.startswith("/act?"):
            continue  # what somebody may do has the same links for each of many messages
        for link in links_of(page, path) - seen - {LIVE}:
            seen.add(link)
            waiting.append(link)
    assert not waiting, f"{len(waiting)} links more"
    assert len(pages) > 100
    return wrong


@pytest.mark.parametrize("role", ["viewer", "operator"])
async def test_every_link_leads_somewhere(tmp_path: Path, role: str) -> None:
    """And to the place on its page that it names; none of it tells of a patient."""
    async with served(tmp_path, users=users(tmp_path)) as console:
        await full(console)
        async with person(console, role) as somebody:
            wrong = await crawled(somebody)

    assert {} == wrong


async def full(console: Console) -> None:
    """Let everything be wrong at once, and a few things go as they should."""
    store = console.store
    await store.outbound.submit(submission(give_up_at=NOW - timedelta(hours=1)), NOW)
    await store.outbound.give_up(NOW)
    await bad_night(console)
    said = {"correlation_id": "talk 0", "responds_to": "b0", "sender": OWING}
    answer = arrival(move=Move.PROGRESS, body=CANARY.encode(), **said)
    await store.responses.respond(answer, payload(), NOW)
    console.running = replace(console.running, clock_step=ClockStep(seconds=60, at=NOW))
