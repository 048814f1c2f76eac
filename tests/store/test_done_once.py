"""What tests of the flows alone see of the store: each work runs twice, and does it once."""

from datetime import timedelta
from pathlib import Path

import pytest
from store_values import NOW, arrival, claim_next, payload, submission

from bars_gateway.model.messages import Claim, Part
from bars_gateway.store.audit import Sought
from bars_gateway.store.reports import DoneBeside
from bars_gateway.store.store import Store

SECOND = timedelta(seconds=1)


async def claimed(store: Store) -> Claim:
    await store.outbound.submit(submission(), NOW)
    claim = await claim_next(store, NOW, {"trust"})
    assert claim is not None
    return claim


async def test_a_claim_that_is_renewed_lasts_from_then_on(store: Store) -> None:
    """Its POST begins only now."""
    claim = await claimed(store)
    await store.outbound.renew(claim, NOW + 80 * SECOND)

    assert 0 == await store.outbound.release_lapsed(NOW + 100 * SECOND)
    assert 1 == await store.outbound.release_lapsed(NOW + 171 * SECOND)


async def test_what_nobody_has_in_hand_is_queued_again(store: Store) -> None:
    """By its node; and what somebody has stays claimed."""
    claim = await claimed(store)

    assert 0 == await store.outbound.release_unheld([claim.message_id], NOW)
    assert 1 == await store.outbound.release_unheld([], NOW)
    assert 0 == await store.outbound.release_unheld([], NOW)


@pytest.mark.impure  # the database says what time it is
async def test_a_notice_that_was_kept_back_is_given_after_a_start(store: Store) -> None:
    """Once; until then its EPR has the others."""
    await store.inbound.receive(arrival(), NOW)
    (notice,) = await store.notices.pending("trust", 9)
    await store.asides.keep_back("trust", notice.notice_id, ValueError())
    kept_back = await store.notices.pending("trust", 9)

    assert [] == kept_back
    assert 1 == await store.asides.begin_again()
    assert [notice] == await store.notices.pending("trust", 9)


async def test_a_pause_ends_with_a_start(store: Store) -> None:
    """What was never tried goes at once, to whomever it is for."""
    await store.waiting.put_off(NOW + 60 * SECOND, provider="trust")
    await store.outbound.submit(submission(), NOW)
    waits = await claim_next(store, NOW, {"trust"})
    await store.waiting.forget()

    assert waits is None
    assert await claim_next(store, NOW, {"trust"}) is not None


async def test_what_was_done_beside_the_gateway_is_entered_once(store: Store) -> None:
    """However often its report is found."""
    done = DoneBeside(path=Path("1-restored"), kind="store.restored", detail={"by": "jo"})
    entered = [await store.reports.enter(done, NOW) for _ in range(2)]

    assert [True, False] == entered
    assert ["store.restored"] == await kinds(store)


async def test_whoever_looks_at_a_payload_is_in_the_trail(store: Store) -> None:
    """Before the bytes are there; of what is not kept nothing is entered."""
    taken = await store.outbound.submit(submission(body=b"{}"), NOW)
    detail = {"user": "jo"}
    found = await store.visits.reveal(taken.message_id, Part.REQUEST, detail, NOW)
    none = await store.visits.reveal(taken.message_id, Part.ANSWER, detail, NOW)
    await store.visits.note("console.refused", detail, NOW)

    assert found is not None
    assert (b"{}", None) == (found.body, none)
    assert 1 == (await kinds(store)).count("console.revealed")
    assert 1 == (await kinds(store)).count("console.refused")


async def test_whoever_looks_into_quarantine_is_in_the_trail(store: Store) -> None:
    """As with a message that was taken."""
    await store.responses.respond(arrival(responds_to="nothing", body=b"{}"), payload(), NOW)
    found = await store.visits.reveal_quarantined(1, {"user": "jo"}, NOW)

    assert found is not None
    assert b"{}" == found.body
    assert 1 == (await kinds(store)).count("console.revealed")


async def kinds(store: Store) -> list[str]:
    """Return of which kinds the lines of the trail are."""
    return [each.kind for each in await store.audit.lines(Sought(), 99)]
