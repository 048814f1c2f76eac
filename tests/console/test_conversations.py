"""Conversations: a drawing, the same in words, and what is owed."""

import re
from datetime import timedelta

from console_side import TALK, Console, busy, sent
from store_values import NOW, arrival, owed, payload, submission

from bars_gateway.standard.workflow import Move


async def test_a_conversation_is_told_in_both_directions(console: Console) -> None:
    """What was sent and what came back, what the EPR was told, and each leads to its message."""
    await busy(console)
    page = (await console.get(f"/conversations/{TALK}")).text
    words = page[page.index('id="steps"') :]

    assert "Taken from the EPR: request a3t1." in words
    assert "Received: progress a3t1." in words
    assert "Notice 1 (outcome) was written for the EPR." in words
    assert {"/messages/1", "/messages/2"} == set(re.findall(r'href="(/messages/\d+)"', words))


async def test_the_drawing_has_the_numbers_of_the_list(console: Console) -> None:
    """Whoever hears the page misses nothing of it."""
    await busy(console)
    page = (await console.get(f"/conversations/{TALK}")).text
    drawn = re.findall(r">(\d+)\. [^<]+</text>", page)
    listed = page[page.index('id="steps"') :].count("<li>")

    assert [str(number) for number in range(1, listed + 1)] == drawn


async def test_of_a_long_conversation_the_end_is_drawn(console: Console) -> None:
    """And said to be; the list has all of it."""
    await sent(console.store, correlation_id=TALK, bundle_id="b1")
    for _ in range(65):
        came = arrival(correlation_id=TALK, responds_to="b1", move=Move.PROGRESS)
        await console.store.responses.respond(came, payload(), NOW)
    page = (await console.get(f"/conversations/{TALK}")).text
    listed = page[page.index('id="steps"') :].count("<li>")

    assert f"The last 120 of {listed} steps are drawn" in page
    assert f">{listed}. " in page


async def test_a_conversation_that_nobody_had_is_said(console: Console) -> None:
    """An id that leads nowhere is no fault of the page."""
    assert 404 == (await console.get("/conversations/nothing")).status


async def test_what_is_owed_is_listed_overdue_first(console: Console) -> None:
    """To us and by us, each with its request; the overview lists the first of it."""
    store = console.store
    await store.outbound.submit(submission(owed=owed(NOW + timedelta(hours=1))), NOW)
    await store.inbound.receive(arrival(owed=owed(NOW - timedelta(minutes=5))), NOW)
    for path in ("/owed", "/"):
        page = (await console.get(path)).text

        assert page.index("we owe it") < page.index("they owe it to us")
        assert 1 == page.count("overdue since then")
        assert '<a href="/messages/2">message 2</a>' in page
