"""The console of a running gateway: who looks has logged in, and what is done is done by it."""

import asyncio
from types import SimpleNamespace

import aiohttp
import pytest
from console_visitors import person, users
from messages import FAMILY, referral
from world import World

from bars_gateway.standard.workflow import State

pytestmark = pytest.mark.both_engines


async def test_an_operator_acts_on_a_running_gateway(world: World) -> None:
    """The users are taken without a restart; the patient's name is on the revealed page alone."""
    node = world.ambulance
    receipt = await node.sent("request.json", referral())
    await node.outcome(receipt["request_id"])
    console = SimpleNamespace(url=f"http://127.0.0.1:{node.gateway.status.port}")
    async with person(console) as somebody:
        before = await somebody.get("/messages/1")
    users(node.folder / "state")
    async with person(console) as somebody:
        shut = await somebody.get("/messages/1")
    async with person(console, "operator") as somebody:
        shown = await somebody.get("/messages/1")
        plan = await somebody.get("/act?verb=hold&of=1")
    async with person(console, "reveal") as somebody:
        form = {"csrf": await somebody.csrf(), "part": "request", "why": "INC-7"}
        revealed = await somebody.post("/messages/1/reveal", form)
    history = await node.history(receipt["request_id"])

    assert (200, 303, 200) == (before.status, shut.status, shown.status)
    assert "Not done: its state does not allow for that" in plan.words
    assert FAMILY in revealed.text
    assert not any(FAMILY in page.text for page in (before, shut, shown, plan))
    assert history is not None
    assert State.ACTIVE == history.workflow.state
    assert ["console.revealed"] == [
        event.kind for event in history.events if event.kind.startswith("console.")
    ]


async def test_an_open_page_holds_no_stop_up(world: World) -> None:
    """Its stream is told that the gateway stops, and ends."""
    status = world.ambulance.gateway.status
    url = f"http://127.0.0.1:{status.port}/live"
    async with aiohttp.ClientSession(trust_env=False) as session, session.get(url) as stream:
        await stream.content.readline()
        await asyncio.wait_for(status.stop(), 5)
        rest = await stream.content.read()

    assert rest.endswith(b"event: over\ndata: stopping\n\n")
