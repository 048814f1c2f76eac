"""Claims for many senders at once: they are those that would be made one by one."""

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from own_words import said
from store_values import NOW, attempt, submission

from bars_gateway.errors import DatabaseDamaged
from bars_gateway.model.messages import Claim, OutboundState, Settled, TryAgain
from bars_gateway.standard.verdict import Before, ProxyAnswer
from bars_gateway.standard.workflow import Move
from bars_gateway.store.claims import Openings
from bars_gateway.store.connection import Database
from bars_gateway.store.sqlite import SqliteConnection
from bars_gateway.store.store import Store

LATER = NOW + timedelta(seconds=60)
PROVIDERS = ("trust", "other", "third")
RECEIVERS = ("a|1", "a|2", "a|3", "a|4")
SPOIL = "UPDATE payloads SET body = ? WHERE message_id = ?"


def opening(places: dict[str, int] | int = 32, **changes: Any) -> Openings:
    found = places if isinstance(places, dict) else {"trust": places}
    return Openings(**({"at": LATER, "places": found} | changes))


async def queue(store: Store, rng: random.Random) -> None:
    """Queue messages of some conversations, in an order of their own, and try some of them."""
    for number in range(40):
        urgent = rng.random() < 0.3
        receiver, provider = rng.choice(RECEIVERS), rng.choice(PROVIDERS)
        conversation = f"{provider}-{receiver}-{rng.randrange(4)}"
        at = NOW + timedelta(seconds=rng.choice((0, 1, 2, 3, 90)))
        sent = submission(
            request_id=f"id-{number}",
            body=f"body-{number}".encode(),
            bundle_id=f"bundle-{number}",
            provider=provider,
            receiver=receiver,
            correlation_id=conversation,
            urgent=urgent,
        )
        await store.outbound.submit(sent, at)
    for claim in await store.outbound.claim(3, opening(dict.fromkeys(PROVIDERS, 9), at=NOW)):
        again = TryAgain(at=NOW + timedelta(seconds=rng.choice((5, 90))))
        await store.outbound.settle(
            claim, ProxyAnswer(status=None), attempt=attempt(claim), settlement=again
        )


async def one_by_one(store: Store, wanted: int, openings: Openings) -> list[Claim]:
    """Claim as a sender would that knows of no other."""
    places, not_for, found = dict(openings.places), set(openings.not_for), []
    for _ in range(wanted):
        left = {name: 1 for name, count in places.items() if count}
        alone = Openings(at=openings.at, places=left, not_for=not_for)
        for claim in await store.outbound.claim(1, alone):
            found.append(claim)
            places[claim.provider] -= 1
            not_for |= {claim.receiver} & set(openings.singly)
    return found


def names(claims: Sequence[Claim]) -> list[str]:
    return [claim.request_id for claim in claims]


@pytest.mark.parametrize("seed", range(12))
async def test_a_batch_is_what_would_be_claimed_one_by_one(empty_database, seed: int) -> None:
    """In the same order, with the same limits: conversations, Receivers, places, probes."""
    found = []
    for way in (one_by_one, lambda store, wanted, openings: store.outbound.claim(wanted, openings)):
        rng = random.Random(seed)
        async with empty_database() as database:
            store = Store(database, node="here", per_receiver=2)
            await queue(store, rng)
            places = {name: rng.choice((0, 1, 2, 9)) for name in PROVIDERS}
            singly, not_for = [rng.choice(RECEIVERS)], [rng.choice(RECEIVERS)]
            openings = opening(places, singly=singly, not_for=not_for)
            found.append(names(await way(store, rng.choice((1, 3, 20)), openings)))

    assert found[0] == found[1]


async def test_what_cannot_be_read_is_held_and_the_others_are_claimed(
    store: Store, database: Database
) -> None:
    """One spoilt message of a batch is its own trouble, and nobody else's."""
    sent = [await store.outbound.submit(submission(receiver=str(n)), NOW) for n in range(3)]
    spoilt = sent[1].message_id
    await said(database, SPOIL, b"\x00", spoilt)
    claims = await store.outbound.claim(3, opening())
    _, held, _ = await store.messages.queue("trust", 9)

    assert [sent[0].request_id, sent[2].request_id] == names(claims)
    assert (sent[1].request_id, "held", 0) == (held.request_id, held.state, held.attempts)
    assert {"trust": [LATER] * 2} == await store.calls.since(NOW)


@pytest.mark.of_sqlite
async def test_where_the_disk_has_spoilt_some_bytes_each_message_is_read_by_itself(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are read together: a page that is gone must keep none of the others."""
    sent = [await store.outbound.submit(submission(receiver=str(n)), NOW) for n in range(3)]
    rows, one = SqliteConnection.rows, SqliteConnection.one

    def spoilt_rows(connection: SqliteConnection, statement: str, /, **values: object) -> Any:
        if statement == "requests_of":
            raise DatabaseDamaged("a page is gone")
        return rows(connection, statement, **values)

    def spoilt_one(connection: SqliteConnection, statement: str, /, **values: object) -> Any:
        if statement == "payload" and values["message_id"] == sent[1].message_id:
            raise DatabaseDamaged("a page is gone")
        return one(connection, statement, **values)

    monkeypatch.setattr(SqliteConnection, "rows", spoilt_rows)
    monkeypatch.setattr(SqliteConnection, "one", spoilt_one)
    claims = await store.outbound.claim(3, opening())

    assert [sent[0].request_id, sent[2].request_id] == names(claims)


async def test_where_only_spoilt_ones_were_found_the_next_are_looked_for(
    store: Store, database: Database
) -> None:
    """A sender does not go to sleep over a message that it cannot have."""
    spoilt = await store.outbound.submit(submission(receiver="1"), NOW)
    whole = await store.outbound.submit(submission(receiver="2"), NOW)
    await said(database, SPOIL, b"\x00", spoilt.message_id)

    assert [whole.request_id] == names(await store.outbound.claim(1, opening()))


async def test_whoever_dies_with_a_batch_has_lost_none_of_it(store: Store) -> None:
    """Each is queued again at the start, under its own id, and counts as attempted."""
    sent = {
        (await store.outbound.submit(submission(receiver=str(n)), NOW)).request_id for n in range(5)
    }
    await store.outbound.claim(5, opening())
    assert 5 == await store.outbound.release_own(LATER)
    again = await store.outbound.claim(5, opening())

    assert sent == set(names(again))
    assert {(2, 2, Before.UNKNOWN)} == {(each.claim, each.attempt, each.before) for each in again}


async def test_where_nobody_may_send_nothing_is_asked(
    store: Store, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token outage costs no transaction, however much waits."""
    await store.outbound.submit(submission(), NOW)
    monkeypatch.setattr(database, "write", None)

    assert [] == await store.outbound.claim(5, opening({}))
    assert [] == await store.outbound.claim(5, opening(0))


async def test_each_claim_of_a_batch_counts_for_the_quota_until_it_is_put_back(
    store: Store,
) -> None:
    """A restart counts those that may have left, and no others."""
    for n in range(3):
        await store.outbound.submit(submission(receiver=str(n)), NOW)
    claims = await store.outbound.claim(3, opening())
    assert {"trust": [LATER] * 3} == await store.calls.since(NOW)
    await store.outbound.put_back(claims[1], LATER)

    assert {"trust": [LATER] * 2} == await store.calls.since(NOW)


async def test_a_batch_takes_one_of_a_conversation(store: Store) -> None:
    """An update does not leave beside its request."""
    first = submission(correlation_id="c", focus_id="f")
    await store.outbound.submit(first, NOW)
    await store.outbound.submit(submission(correlation_id="c", move=Move.CANCEL), NOW)
    claims = await store.outbound.claim(9, opening())
    assert [first.request_id] == names(claims)
    settled = Settled(state=OutboundState.ACKNOWLEDGED)
    await store.outbound.settle(
        claims[0], ProxyAnswer(status=200), attempt=attempt(claims[0]), settlement=settled
    )

    assert 1 == len(await store.outbound.claim(9, opening()))
