"""Open pages follow what changes: by a stream that says so, and nothing of what has changed."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from console_side import Console, browser, refused, served
from console_visitors import person, users
from store_values import NOW, submission

from bars_gateway.console import live
from bars_gateway.store.figures import Flows

TICK = 0.02


@pytest.fixture
async def console(tmp_path: Path) -> AsyncIterator[Console]:
    async with served(tmp_path, live_seconds=TICK) as found:
        yield found


@asynccontextmanager
async def stream(console: Console, **headers: str) -> AsyncIterator[aiohttp.ClientResponse]:
    async with (
        aiohttp.ClientSession(trust_env=False) as session,
        session.get(console.url + live.PLACE, headers=headers) as answer,
    ):
        yield answer


async def event(answer: aiohttp.ClientResponse) -> str:
    """Return the next event, comments left out; nothing: the stream has ended."""
    while line := await answer.content.readline():
        if line.startswith(b"event:"):
            data = await answer.content.readline()
            return f"{line.decode()}{data.decode()}".strip()
    return ""


async def test_a_stream_says_that_something_has_changed(console: Console) -> None:
    """Not what: nothing of a message goes through it."""
    async with stream(console) as answer:
        await answer.content.readline()
        await refused(console.store)
        said = await event(answer)

    assert "text/event-stream" == answer.content_type
    assert "event: changed\ndata:" == said


async def test_a_stop_ends_every_stream(console: Console) -> None:
    """With a word, and without delay: the gateway does not wait for pages that are open."""
    async with stream(console) as one, stream(console) as two:
        await one.content.readline()
        await two.content.readline()
        await asyncio.wait_for(console.server.stop(), 5)
        said = [await event(each) for each in (one, two)]
        ends = [await event(each) for each in (one, two)]

    assert ["event: over\ndata: stopping"] * 2 == said
    assert ["", ""] == ends


async def test_all_streams_share_one_look(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many pages are open, the store is read once a tick."""
    looks = 0
    look = Flows.last_changes

    async def counted(self: Flows) -> object:
        nonlocal looks
        looks += 1
        return await look(self)

    monkeypatch.setattr(Flows, "last_changes", counted)
    monkeypatch.setattr(console.site.live, "_every_seconds", 0.2)
    async with stream(console) as one, stream(console) as two, stream(console) as three:
        for answer in (one, two, three):
            for _ in range(6):  # two lines each: at once, and after each of two ticks
                await answer.content.readline()

    assert 1 < looks < 7


async def test_there_is_an_end_to_how_many_there_are(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One too many is told so, and a page that has been closed makes room."""
    monkeypatch.setattr(live, "MOST", 1)
    async with stream(console) as first:
        await first.content.readline()
        async with stream(console) as second:
            refused_with = second.status
    while True:
        async with stream(console) as third:
            if third.status == 200:
                break

    assert (200, 503) == (first.status, refused_with)


async def test_a_stream_is_for_who_may_look(tmp_path: Path) -> None:
    """Whoever has not logged in is led to the log-in; another host's name gets nothing."""
    async with served(tmp_path, users=users(tmp_path), live_seconds=TICK) as console:
        async with person(console) as somebody:
            page = await somebody.get(live.PLACE)
        async with person(console, "viewer") as somebody:
            elsewhere = await somebody.get(live.PLACE, Host="evil.example")

    assert 303 == page.status
    assert 421 == elsewhere.status


async def test_a_page_that_is_left_open_keeps_nobody_logged_in(tmp_path: Path) -> None:
    """Its stream and what it asks for are no use of the session, which ends; so does the stream."""
    async with (
        served(tmp_path, users=users(tmp_path), live_seconds=TICK) as console,
        person(console, "viewer") as somebody,
        somebody.session.get(console.url + live.PLACE) as answer,
    ):
        await answer.content.readline()
        console.at += timedelta(minutes=29)
        followed = await somebody.get("/", X_Live="yes")
        console.at += timedelta(minutes=2)
        said = await event(answer)
        after = await somebody.get("/", X_Live="yes")

    assert 200 == followed.status
    assert "event: over\ndata: logged-out" == said
    assert 303 == after.status


async def test_a_role_that_is_taken_away_ends_the_stream(tmp_path: Path) -> None:
    """With the next tick: nobody goes on following who may not look."""
    file = users(tmp_path)
    async with (
        served(tmp_path, users=file, live_seconds=TICK) as console,
        person(console, "viewer") as somebody,
        somebody.session.get(console.url + live.PLACE) as answer,
    ):
        await answer.content.readline()
        file.change(lambda found: found.pop("viewer"))
        said = await event(answer)

    assert "event: over\ndata: logged-out" == said


@pytest.mark.needs("chromium")
async def test_an_open_page_follows(tmp_path: Path) -> None:
    """
    In a real browser, without being loaded again: a new message, and what needs a person.

    Nothing is taken from under somebody: the part in which their focus is waits, and a filter that
    is being typed stays. A stop ends the stream, and the page says so.
    """
    noise: list[str] = []
    async with served(tmp_path, live_seconds=TICK) as console, browser() as chromium:
        await console.store.outbound.submit(submission(), NOW)
        page = await chromium.new_page()
        page.on("pageerror", lambda error: noise.append(str(error)))
        page.on("console", lambda said: noise.append(said.text))
        await page.goto(f"{console.url}/messages")
        await page.locator("#live-state", has_text=re.compile("^Live$")).wait_for()
        await page.evaluate("window.loadedOnce = true")
        await page.fill("#id", "half an id")
        await console.store.outbound.submit(submission(), NOW)
        await page.wait_for_selector("a[href='/messages/2']")
        typed = await page.input_value("#id")
        await page.focus("a[href='/messages/2']")
        async with page.expect_response(lambda answer: answer.url.endswith("/messages")):
            await console.store.outbound.submit(submission(), NOW)
        kept = await page.evaluate("document.activeElement.getAttribute('href')")
        await page.focus("#id")
        await page.wait_for_selector("a[href='/messages/3']")
        same = await page.evaluate("window.loadedOnce")

        await page.goto(console.url)
        await page.locator("#live-state", has_text=re.compile("^Live$")).wait_for()
        await console.store.outbound.submit(submission(), NOW - timedelta(minutes=10))
        await page.wait_for_selector("text=1 thing needs a person")
        said = await page.text_content("#live-said")
        assert [] == noise
        await console.server.stop()
        await page.locator("#live-state", has_text=re.compile("^Not live")).wait_for()

    assert ("half an id", "/messages/2", True) == (typed, kept, same)
    assert said is not None
    assert "1 thing needs a person" in said
