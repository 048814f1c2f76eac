"""
What nobody foresaw ends one unit of work, and neither the process nor the next unit.

Each function of a door is made to fail once, between two real gateways, while a message passes;
the next message has to pass all the same, with an alarm, and without a word of the payload.
"""

import json
from functools import partial
from itertools import count

import aiohttp
import pytest
from messages import referral
from poison import SECRET, Injector, PoisonError, passed, steps_of
from structlog.testing import capture_logs
from world import World, eventually, in_time

from bars_gateway.daemon import gateway
from bars_gateway.model.alarms import ALARMS
from bars_gateway.upkeep.loops import enduring

# The doors that a referral, its acknowledgement and its notices pass through, in both gateways.
DOORS = (
    *("epr.drop", "epr.outbox", "epr.intake", "epr.spool", "epr.envelope", "epr.documents"),
    *("epr.inbox", "outbound.dispatcher", "outbound.circuit_breaker"),
    *("outbound.proxy", "outbound.token", "inbound.message_handler", "inbound.exchange"),
    "inbound.server",
    *("store.submissions", "store.outbound", "store.inbound", "store.readings", "store.notices"),
    *("store.rows", "store.records", "standard.examination"),
    *("standard.answers", "standard.verdict", "store.pacing"),
)
OF_STORE = tuple(door for door in DOORS if door.startswith("store."))
OURS = {"message.set_aside", "payload.damaged", "notice.set_aside", "file.set_aside"} | {
    *("answer.set_aside", "inbound.failed", "request.failed", "work.failed")
}


@pytest.fixture
def injector():
    made = Injector()
    yield made
    made.disarm()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    """Let a loop that has failed begin again at once."""
    monkeypatch.setattr(gateway, "enduring", partial(enduring, pause_seconds=0.05))


async def page(node) -> str:
    url = f"http://127.0.0.1:{node.gateway.status.port}/"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.text()


async def alarms(*nodes) -> set[str]:
    return {each.kind for node in nodes for each in (await node.overview()).standing} & OURS


async def passes(world: World, name: str) -> bool:
    """Tell whether a message goes out, arrives and is answered."""
    receipt = await world.ambulance.sent(name, referral())
    return "acknowledged" == (await world.ambulance.outcome(receipt["request_id"]))["state"]


def _is_over(world: World, injector: Injector, before: int) -> bool:
    """Tell whether the step has failed, or the message has passed without it."""
    return injector.fired or len(world.ambulance.files("inbox/new/*.outcome.json")) > before


@pytest.mark.parametrize("door", [door for door in DOORS if door not in OF_STORE])
@pytest.mark.long
async def test_a_failure_at_any_step_of_a_door_ends_one_unit(world, injector, door):
    """The daemon lives, the next message passes, and nothing of a payload is told."""
    await fails_at_each_step(world, injector, door)


@pytest.mark.both_engines
@pytest.mark.parametrize("door", OF_STORE)
@pytest.mark.long
async def test_a_failure_at_any_step_of_the_store_ends_one_unit(world, injector, door):
    """A server runs a work once more that failed among others; either way the next one passes."""
    await fails_at_each_step(world, injector, door)


async def fails_at_each_step(world: World, injector: Injector, door: str) -> None:
    names = count(1)
    fired, stuck = [], []
    with passed(steps_of(door)) as reached:
        world.ambulance.drop(f"poison{next(names)}.json", referral(), b"{}")
        assert await passes(world, f"good{next(names)}.json")
    with capture_logs() as logs:
        for step in (step for step in steps_of(door) if step in reached):
            before = len(world.ambulance.files("inbox/new/*.outcome.json"))
            injector.arm(step)
            world.ambulance.drop(f"poison{next(names)}.json", referral(), b"{}")
            await eventually(partial(_is_over, world, injector, before))
            injector.disarm()
            fired += [str(step)] if injector.fired else []
            try:
                await passes(world, f"good{next(names)}.json")
            except TimeoutError:
                stuck.append(str(step))
    text = await page(world.ambulance) + await page(world.hospital)

    assert [] == stuck
    assert fired, "no step of this door was passed"
    assert SECRET not in json.dumps(logs, default=str) + text


@pytest.mark.both_engines
@pytest.mark.each_fact_once
@pytest.mark.parametrize(
    ("step", "kind"),
    [
        ("epr.intake.Intake.found_or_prepared", "file.set_aside"),
        ("epr.intake.Intake.commit", "file.set_aside"),
        ("outbound.dispatcher.Dispatcher._post", "message.set_aside"),
        ("outbound.dispatcher.Dispatcher._settlement", "message.set_aside"),
        ("inbound.message_handler.MessageHandler._take", "inbound.failed"),
        ("epr.inbox.Deliveries._files", "notice.set_aside"),
        ("upkeep.housekeeping.Housekeeper._follow_clock", "work.failed"),
        ("upkeep.housekeeping.Housekeeper._release_lapsed", "work.failed"),
        ("upkeep.housekeeping.Housekeeper._tell_delays", "work.failed"),
        ("upkeep.housekeeping.Housekeeper._tell_unread", "work.failed"),
        ("upkeep.housekeeping.Housekeeper._tell_due", "work.failed"),
        ("upkeep.housekeeping.Housekeeper._give_up", "work.failed"),
        ("upkeep.housekeeping.Housekeeper._look_at_expiries", "work.failed"),
        ("upkeep.housekeeping.Housekeeper.look_at_questions", "work.failed"),
    ],
)
async def test_each_kind_of_unit_raises_its_alarm(world, injector, step, kind):
    """With type and place of the error on the page, and in the log."""
    module, owner, name = step.rsplit(".", 2)
    (found,) = [s for s in steps_of(module) if (s.owner, s.name) == (owner, name)]
    injector.arm(found)
    with capture_logs() as logs:
        world.ambulance.drop("poison.json", referral())
        await in_time(lambda: alarms(world.ambulance, world.hospital))
    shown = await page(world.ambulance) + await page(world.hospital)

    assert {kind} == await alarms(world.ambulance, world.hospital)
    assert PoisonError.__name__ in shown
    assert PoisonError.__name__ in {line.get("exception") for line in logs}
    assert SECRET not in json.dumps(logs, default=str) + shown


def test_all_that_is_set_aside_is_alarming():
    """Whatever a door may say of a unit has a row that tells a person what to do."""
    assert OURS <= set(ALARMS)
