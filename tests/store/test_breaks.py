"""What the store remembers of those who do not answer."""

from datetime import timedelta

from store_values import NOW

from bars_gateway.store.store import Store


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
