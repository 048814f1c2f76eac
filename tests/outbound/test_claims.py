"""What senders are given to send, where several ask at once."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, cast

import pytest
from national_side import NOW, a_claim

from bars_gateway.errors import StaleState, StoreUnavailable
from bars_gateway.model.messages import Claim
from bars_gateway.outbound.claims import Claims, SendWindow
from bars_gateway.store.claims import Openings

OPEN: Mapping[str, int] = MappingProxyType({"trust": 99})


@dataclass
class Queue:
    """A store that has a queue, and tells what it was asked."""

    queued: list[Claim]
    lapsed: bool = False
    looks: list[int] = field(default_factory=list)
    put_back_: list[Claim] = field(default_factory=list)
    kept: list[Collection[int]] = field(default_factory=list)  # of what else was released
    asked_for: list[Collection[str]] = field(default_factory=list)
    before: asyncio.Event | None = None  # a claim returns after this
    fails: list[Exception] = field(default_factory=list)
    slept: asyncio.Event = field(default_factory=asyncio.Event)
    bell: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def outbound(self) -> "Queue":
        return self

    async def claim(self, wanted: int, openings: Openings) -> list[Claim]:
        self.looks.append(wanted)
        if self.before is not None:
            await self.before.wait()
        if self.fails:
            raise self.fails.pop()
        most = min(wanted, *openings.places.values())
        found, self.queued = self.queued[:most], self.queued[most:]
        return found

    async def put_back(self, claim: Claim, _retry_at: datetime) -> None:
        if self.lapsed:
            raise StaleState("another has it")
        self.put_back_.append(claim)

    async def release_unheld(self, in_hand: Collection[int], _now: datetime) -> int:
        self.kept.append(list(in_hand))
        return 1

    async def next_due(self, _now: datetime, providers: Collection[str]) -> None:
        self.asked_for.append(providers)

    async def wait_for_work(self, _seconds: float) -> None:
        self.slept.set()
        await self.bell.wait()
        self.bell.clear()

    def wake(self) -> None:
        self.bell.set()


def claims_of(queue: Queue, places: Mapping[str, int] = OPEN) -> Claims:
    window = SendWindow(at=NOW, places=places, not_for=(), singly=(), next_at=None)
    return Claims(cast("Any", queue), lambda _wanted: window, now=lambda: NOW)


def messages(count: int) -> list[Claim]:
    return [replace(a_claim(), message_id=number) for number in range(count)]


def beat() -> None:
    """Somebody is alive."""


async def test_all_who_wait_are_given_theirs_by_one_claim() -> None:
    """In the order in which they asked, the first to leave first."""
    queue = Queue(messages(5))
    claims = claims_of(queue)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        asked = [group.create_task(claims.next()) for _ in range(4)]
        await asyncio.sleep(0)  # they have asked
        group.create_task(claims.run(beat))
        given = [await each for each in asked]
        claims.stop()

    assert [0, 1, 2, 3] == [claim.message_id for claim in given if claim]
    assert [4] == queue.looks


async def test_where_no_provider_may_send_the_store_is_asked_nothing() -> None:
    """A token outage costs nothing, however much waits and however often the bell rings."""
    queue = Queue(messages(1))
    claims = claims_of(queue, {})
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        asked = group.create_task(claims.next())
        group.create_task(claims.run(beat))
        await queue.slept.wait()
        queue.slept.clear()
        queue.wake()
        await queue.slept.wait()
        claims.stop()
        queue.wake()

    assert ([], [], None) == (queue.looks, queue.asked_for, asked.result())


@pytest.mark.parametrize("lapsed", [False, True])
async def test_a_claim_that_nobody_waits_for_any_more_goes_back(*, lapsed: bool) -> None:
    """Its sender was cancelled meanwhile: the message leaves by another, and not a lease later."""
    queue = Queue(messages(2), lapsed=lapsed, before=asyncio.Event())
    claims = claims_of(queue)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        gone, there = asyncio.create_task(claims.next()), group.create_task(claims.next())
        group.create_task(claims.run(beat))
        while not queue.looks:
            await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        assert queue.before is not None
        queue.before.set()
        given = await there
        claims.stop()

    assert given is not None
    assert 0 == given.message_id
    assert ([] if lapsed else [1]) == [claim.message_id for claim in queue.put_back_]


async def test_stopping_gives_out_what_is_claimed_and_lets_the_others_go() -> None:
    """What is claimed is sent; whoever still waits is to end, and so is whoever asks later."""
    queue = Queue(messages(1), before=asyncio.Event())
    claims = claims_of(queue)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        asked = [group.create_task(claims.next()) for _ in range(2)]
        group.create_task(claims.run(beat))
        while not queue.looks:
            await asyncio.sleep(0)
        claims.stop()
        assert queue.before is not None
        queue.before.set()
        given = [await each for each in asked]
        late = await claims.next()

    assert ([0, None], None) == ([claim and claim.message_id for claim in given], late)


async def test_whoever_is_about_to_settle_has_the_next_one_claimed_meanwhile() -> None:
    """It asks once: what it asked for early is what it is given."""
    queue = Queue(messages(3))
    claims = claims_of(queue)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(claims.run(beat))
        first = await claims.next()
        assert first is not None
        claims.ask_early(first)
        while len(queue.looks) < 2:
            await asyncio.sleep(0)
        second = await claims.next(after=first)
        claims.stop()

    assert second is not None
    assert ([1, 1], 1) == (queue.looks, second.message_id)


async def test_two_who_had_one_message_in_turn_are_each_given_another() -> None:
    """A lease ran out, and both settle it: no claim is given to a sender that does not wait."""
    queue = Queue(messages(2))
    claims = claims_of(queue)
    lapsed, held = replace(a_claim(), claim=1), replace(a_claim(), claim=2)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        for each in (lapsed, held):
            claims.ask_early(each)
        group.create_task(claims.run(beat))
        given = [await claims.next(after=each) for each in (lapsed, held)]
        claims.stop()

    assert [0, 1] == [claim.message_id for claim in given if claim]


async def test_while_nothing_can_be_stored_it_pauses_and_then_goes_on(monkeypatch) -> None:
    """Nobody is left waiting for a claim that failed."""
    monkeypatch.setattr("bars_gateway.outbound.claims.PAUSE_WITHOUT_ROOM", 0.01)
    queue = Queue(messages(1), fails=[StoreUnavailable("full")])
    claims = claims_of(queue)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        asked = group.create_task(claims.next())
        group.create_task(claims.run(beat))
        given = await asked
        claims.stop()

    assert given is not None
    assert [1, 1] == queue.looks


async def test_what_was_claimed_while_nobody_could_be_told_is_released(monkeypatch) -> None:
    """Once the store can be asked again, and before anything else; what a sender has is kept."""
    monkeypatch.setattr("bars_gateway.outbound.claims.PAUSE_WITHOUT_ROOM", 0.01)
    queue = Queue(messages(3))
    claims = claims_of(queue)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(claims.run(beat))
        ended, held = await claims.next(), await claims.next()
        queue.fails.append(StoreUnavailable("away"))
        given = await claims.next(after=ended)
        claims.stop()

    assert held is not None
    assert given is not None
    assert [[held.message_id]] == queue.kept


async def test_a_settlement_that_is_repeated_asks_for_one_message() -> None:
    """It could not be stored at first: what it has asked for early is given to nobody else."""
    queue = Queue(messages(3))
    claims = claims_of(queue)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(claims.run(beat))
        first = await claims.next()
        assert first is not None
        claims.ask_early(first)
        claims.ask_early(first)
        given = [await claims.next(after=first), await claims.next()]
        claims.stop()

    assert [1, 2] == [claim.message_id for claim in given if claim]


async def test_once_the_places_are_used_up_who_may_send_is_asked_anew() -> None:
    """A place comes free in a moment: whoever found none left does not sleep for the longest."""
    queue = Queue(messages(2))
    claims = claims_of(queue, {"trust": 1})
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        asked = [group.create_task(claims.next()) for _ in range(2)]
        await asyncio.sleep(0)
        group.create_task(claims.run(beat))
        given = [await each for each in asked]
        claims.stop()

    assert ([2, 1], [0, 1]) == (queue.looks, [claim.message_id for claim in given if claim])
    assert not queue.slept.is_set()
