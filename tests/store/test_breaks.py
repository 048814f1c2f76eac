"""What the store remembers of those who do not answer."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from national_side import a_claim
from store_values import NOW, arrival, submission

from bars_gateway.errors import StorageFull
from bars_gateway.outbound.circuit_breaker import (
    FAILURES_OF_A_RECEIVER,
    CircuitBreakers,
    FailedPost,
    Pauses,
)
from bars_gateway.standard.timing import TIMINGS
from bars_gateway.standard.verdict import Judgement, Verdict
from bars_gateway.store.store import Store

MINUTE = timedelta(minutes=1)


async def test_a_break_is_known_until_it_ends(store: Store) -> None:
    """By name, and nothing else of it."""
    await store.breaks.began("s|1", NOW)
    await store.breaks.began("trust", NOW)
    await store.breaks.ended("s|1")

    assert {"trust": NOW} == await store.breaks.known()


async def test_the_earlier_moment_stands(store: Store) -> None:
    """Who was silent before a restart has been so all the time."""
    await store.breaks.began("s|1", NOW)
    await store.breaks.began("s|1", NOW + timedelta(hours=1))

    assert {"s|1": NOW} == await store.breaks.known()


async def test_who_is_taken_out_of_the_settings_with_work_is_known_since_when(store: Store) -> None:
    """Over further starts, until it is put back, or until nothing of it is left."""
    await store.outbound.submit(submission(), NOW)
    first = await store.breaks.without_settings(["another"], NOW)
    again = await store.breaks.without_settings(["another"], NOW + MINUTE)
    back = await store.breaks.without_settings(["trust"], NOW + MINUTE)
    gone = await store.breaks.without_settings([], NOW + 2 * MINUTE)

    assert {"trust": NOW} == first == again
    assert ({}, {"trust": NOW + 2 * MINUTE}) == (back, gone)


async def test_a_provider_of_which_nothing_is_left_may_go(store: Store) -> None:
    """What it sent and received stays where it is, and its EPR was told all of it."""
    await store.inbound.receive(arrival(), NOW)
    owed = await store.breaks.without_settings([], NOW)
    await store.notices.collect("trust", [1], NOW)

    assert {"trust": NOW} == owed
    assert {} == await store.breaks.without_settings([], NOW)


async def test_a_break_that_could_not_be_written_is_written_at_the_next_failure(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or no other node hears of it, and no restart."""
    breakers = CircuitBreakers(store, now=lambda: NOW)
    began, full = store.breaks.began, [StorageFull("no room")]

    async def written(name: str, since: datetime) -> None:
        if full:
            raise full.pop()
        await began(name, since)

    monkeypatch.setattr(store.breaks, "began", written)
    silence = Judgement(verdict=Verdict.RETRY, row="silence", fault=None, ids_echoed=False)
    timing, told = TIMINGS["a3"], 0
    for number in range(FAILURES_OF_A_RECEIVER + 1):
        claim = replace(a_claim(), message_id=number)
        try:
            await breakers.judged(claim, silence, began=NOW, timing=timing)
        except StorageFull:
            told += 1

    assert 1 == told
    assert {claim.receiver: NOW} == await store.breaks.known()


async def test_a_receiver_that_another_node_backs_off_from_gets_one_at_a_time(store: Store) -> None:
    """And once the other had an answer, this one closes its circuit, too."""
    pauses = Pauses(first=timedelta(seconds=2), longest=timedelta(seconds=60))
    here, there = (CircuitBreakers(store, now=lambda: NOW) for _ in range(2))
    for number in range(3):
        failure = FailedPost(message_id=number, began=NOW, is_error=True)
        here.receivers.failed("a|b", failure, pauses)
    await store.breaks.began("a|b", NOW)
    for each in (here, there):
        await each.learn()
    assert ({"a|b"}, {"a|b"}) == (here.singly, there.singly)

    await store.breaks.ended("a|b")
    for each in (here, there):
        await each.learn()
    assert (set(), set()) == (here.singly, there.singly)
