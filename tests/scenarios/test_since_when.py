"""Since when what we need ourselves is out of order: a restart is not the beginning of it."""

import asyncio
from datetime import datetime

import pytest
from egress_side import egress_side
from messages import referral
from world import Node, World, in_time

from bars_gateway.daemon.states import egress_state, token_states
from bars_gateway.status.concerns import concerns
from bars_gateway.store.pacing import EGRESS, token_service_of

pytestmark = pytest.mark.both_engines


async def kept(node: Node) -> dict[str, str]:
    return dict(await asyncio.to_thread(node.ask, "SELECT name, since FROM breaks"))


async def told(node: Node) -> list[datetime]:
    """Wait until both are out of order and kept; return since when the page says that they are."""

    async def both() -> list[datetime | None]:
        egress = egress_state(node.gateway._dispatcher.egress)
        (token,) = token_states(node.gateway._tokens)
        there = egress and token.failing_since and len(await kept(node)) == 2
        return [egress.since, token.failing_since] if egress and there else []

    return [to_the_second(at) for at in await in_time(both)]


def to_the_second(at: datetime) -> datetime:
    return at.replace(microsecond=0)


async def test_since_when_nothing_gets_out_outlasts_a_restart(world: World) -> None:
    """Somebody looks for what was changed at that moment; what comes through again is over."""
    node = world.ambulance
    async with egress_side(says="403 Forbidden") as side:
        node.outbound = f'egress_proxy = "{side.url}"'
        await node.restart()
        await node.sent("one.json", referral())
        first = await told(node)
        await node.restart()
        second = await told(node)
        names = set(await kept(node))
        side.says = "200 Connection established"

        async def over() -> bool:
            return not await kept(node)

        await in_time(over)

    assert first == second
    assert {EGRESS, token_service_of("ambulance")} == names


async def test_a_provider_that_is_not_in_the_settings_any_more_is_missed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renamed, with a message under way: nothing of it is sent or told, and people hear of that."""
    node = world.ambulance
    await world.hospital.stop()
    receipt = await node.sent("one.json", referral())
    written = node._toml
    mark = node.spool / ".provider"  # who renames a provider makes its folder over
    with monkeypatch.context() as patched:
        patched.setattr(
            node, "_toml", lambda: written().replace("[providers.ambulance]", "[providers.other]")
        )
        mark.unlink()
        await node.restart()
        first = node.gateway._runtime_state().missing
        found = concerns(await node.overview(), node.gateway._runtime_state(), 90)
        explained = await node.ran("explain", receipt["request_id"])
        await node.restart()
        second = node.gateway._runtime_state().missing
    mark.unlink()
    await node.restart()

    assert ["ambulance"] == [each.about for each in found if each.kind == "provider.missing"]
    assert "no provider of that name is in the settings" in explained
    assert first.keys() == second.keys() == {"ambulance"}
    assert to_the_second(first["ambulance"]) == to_the_second(second["ambulance"])
    assert {} == node.gateway._runtime_state().missing
    assert "no provider of that name" not in await node.ran("explain", receipt["request_id"])
