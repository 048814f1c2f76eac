"""Searches cost no more than their bound, whatever is asked for."""

from datetime import timedelta

import pytest
from store_values import ANSWER, NOW, arrival, attempt, claim_next, submission

from bars_gateway.model.messages import OutboundState, Settled
from bars_gateway.store import searches
from bars_gateway.store.searches import MessageFilter
from bars_gateway.store.sqlite import SqliteConnection
from bars_gateway.store.sqlite.database import SqliteDatabase
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
    wanted = MessageFilter(provider="another")
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
    wanted = MessageFilter(since=NOW, before=NOW + timedelta(minutes=30))
    page = await store.searches.page(wanted, None)

    assert [3, 1] == [each.message.message_id for each in page.messages]


@pytest.mark.of_sqlite
async def test_what_can_be_asked_for_is_known(store: Store) -> None:
    """Each name once, from one look into an index for each."""
    for receiver in ("https://x|1", "https://x|2", "https://x|1"):
        await store.outbound.submit(submission(receiver=receiver), NOW)
    known = await store.searches.known()

    assert ["https://x|1", "https://x|2"] == known["counterparties"]
    assert ["a3t1"] == known["use_cases"]
    assert [] == known["troubles"]


@pytest.mark.of_sqlite
async def test_the_tallies_are_what_a_count_would_find(
    store: Store, database: SqliteDatabase
) -> None:
    """After messages and workflows have come, moved and gone: the page counts nothing itself."""
    for _ in range(3):
        await store.outbound.submit(submission(), NOW)
    claim = await claim_next(store, NOW, ["trust"])
    assert claim is not None
    taken = Settled(state=OutboundState.ACKNOWLEDGED)
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=taken)
    await store.inbound.receive(arrival(), NOW)
    await store.notices.collect("trust", [1], NOW)
    late = NOW + timedelta(hours=1)
    await store.outbound.give_up(late)
    await store.outbound.submit(submission(), late)

    def tallied(connection: SqliteConnection) -> list[list[tuple[str, str, int]]]:
        raw = connection.raw
        return [
            [tuple(row) for row in raw.execute(query)]
            for query in (
                "SELECT of, state, n FROM tallies WHERE n > 0 ORDER BY of, state",
                """SELECT direction, state, count(*) FROM messages GROUP BY direction, state
                    UNION ALL SELECT 'workflow', state, count(*) FROM workflows GROUP BY state
                    UNION ALL SELECT 'open', receiver, count(*) FROM messages
                               WHERE settled_at IS NULL GROUP BY receiver
                    UNION ALL SELECT 'notice', provider, count(*) FROM notices
                               WHERE collected_at IS NULL GROUP BY provider
                    ORDER BY 1, 2""",
            )
        ]

    found, counted = await database.read(tallied)

    assert found == counted
    assert 9 == len(counted)
