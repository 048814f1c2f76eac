"""Searches cost no more than their bound, whatever is asked for."""

from datetime import timedelta

import pytest
from store_values import NOW, submission

from bars_gateway.store import searches
from bars_gateway.store.searches import Wanted
from bars_gateway.store.store import Store


async def test_a_search_says_how_far_back_it_has_looked(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing fits within the bound, the next page goes on from there."""
    monkeypatch.setattr(searches, "LOOKED_AT", 4)
    monkeypatch.setattr(searches, "_AT_ONCE", 2)
    for minute in range(7):
        provider = "another" if minute == 0 else "trust"
        at = NOW + timedelta(minutes=minute)
        await store.outbound.submit(submission(provider=provider), at)
    wanted = Wanted(provider="another")
    first = await store.searches.page(wanted, None)
    second = await store.searches.page(wanted, first.below)

    assert ([], 4, NOW + timedelta(minutes=3)) == (
        list(first.messages),
        first.below,
        first.looked_back_to,
    )
    assert [1] == [each.message.message_id for each in second.messages]
    assert second.below is None


async def test_a_clock_that_was_set_back_hides_nothing(store: Store) -> None:
    """What was taken under an earlier time comes later in the order of numbers."""
    for minutes in (0, 60, 5, 70):
        await store.outbound.submit(submission(), NOW + timedelta(minutes=minutes))
    wanted = Wanted(since=NOW, before=NOW + timedelta(minutes=30))
    page = await store.searches.page(wanted, None)

    assert [3, 1] == [each.message.message_id for each in page.messages]


async def test_what_can_be_asked_for_is_known(store: Store) -> None:
    """Each name once, from one look into an index for each."""
    for receiver in ("https://x|1", "https://x|2", "https://x|1"):
        await store.outbound.submit(submission(receiver=receiver), NOW)
    known = await store.searches.known()

    assert ["https://x|1", "https://x|2"] == known["counterparties"]
    assert ["a3t1"] == known["use_cases"]
    assert [] == known["troubles"]
