"""What the store remembers of the platform's quota."""

from datetime import timedelta

from store_values import NOW, claim_next, submission

from bars_gateway.store.store import Store

MINUTE = timedelta(minutes=1)


async def test_a_claim_counts_from_the_moment_that_it_is_on_disk(store: Store) -> None:
    """Whoever dies between the claim and the POST has used a place, for all that we know."""
    await store.outbound.submit(submission(), NOW)
    await claim_next(store, NOW, ("trust",))

    assert {"trust": [NOW]} == await store.calls.since(NOW - MINUTE)


async def test_a_look_that_finds_nothing_is_no_call(store: Store) -> None:
    """An idle gateway uses nothing up."""
    await claim_next(store, NOW, ("trust",))

    assert {} == await store.calls.since(NOW - MINUTE)


async def test_calls_of_every_kind_are_told_by_provider(store: Store) -> None:
    """Tokens and reads share the quota with messages."""
    await store.calls.note("trust", NOW)
    await store.calls.note("other", NOW)
    await store.calls.note("trust", NOW + timedelta(seconds=5))

    found = await store.calls.since(NOW - MINUTE)

    assert {"trust": [NOW, NOW + timedelta(seconds=5)], "other": [NOW]} == found


async def test_what_no_minute_holds_any_more_is_forgotten(store: Store) -> None:
    """Or a year of calls would lie there."""
    await store.calls.note("trust", NOW)
    await store.calls.note("trust", NOW + timedelta(seconds=66))

    assert {"trust": [NOW + timedelta(seconds=66)]} == await store.calls.since(NOW - MINUTE)


async def test_a_claim_of_which_no_post_began_is_no_call(store: Store) -> None:
    """What waits for a Receiver that rests uses nothing up."""
    await store.outbound.submit(submission(), NOW)
    claim = await claim_next(store, NOW, ("trust",))
    assert claim is not None
    await store.outbound.put_back(claim, NOW)

    assert {} == await store.calls.since(NOW - MINUTE)
