"""Our own clock was wrong, and is set right: what was stamped meanwhile silences nothing."""

from datetime import datetime, timedelta

import pytest
from store_values import (
    ANSWER,
    NOW,
    arrival,
    attempt,
    claim_next,
    owed,
    payload,
    submission,
    wording,
)

from bars_gateway.model.messages import OutboundState, Settled
from bars_gateway.model.readings import MessageHistory
from bars_gateway.standard.meaning import Said
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.workflow import Move, RequestType, State
from bars_gateway.store.store import Store

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
AHEAD = NOW + HOUR  # what both clocks say at NOW, before they are set right
TRANSFER = {"request_type": RequestType.REFERRAL, "use_case": "a6t2"}
REQUEST = "0f8fad5b-d9cb-469f-a165-70867728950e"


async def requested(store: Store, at: datetime) -> None:
    """Send a request, and have it acknowledged."""
    ids, ends = {"request_id": REQUEST, "bundle_id": "b1"}, at + 5 * HOUR
    request = submission(**ids, owed=owed(ends), give_up_at=ends, **TRANSFER)
    await store.outbound.submit(request, at)
    await acknowledged(store, at)


async def acknowledged(store: Store, at: datetime) -> None:
    claim = await claim_next(store, at, {"trust"})
    assert claim is not None
    settled = Settled(state=OutboundState.ACKNOWLEDGED, focus_id="sr-1")
    await store.outbound.settle(
        claim, ANSWER, attempt=attempt(claim, ended_at=at), settlement=settled
    )


async def told(
    store: Store, encounter: str, stamp: datetime, came_at: datetime
) -> tuple[Said | None, list[Remark], State]:
    """Take a response; return what it says, what is remarked, and where the workflow is then."""
    words = wording(encounter, stamp)
    values = {"responds_to": "b1", "focus_id": "sr-1", "wording": words, **TRANSFER}
    await store.responses.respond(arrival(move=Move.UNCLEAR, **values), payload(), came_at)
    notice = list(await store.notices.pending("trust", 20))[-1]
    return notice.says, list(notice.remarks), (await history(store)).workflow.state


async def history(store: Store) -> MessageHistory:
    (found,) = await store.messages.history("trust", REQUEST)
    return found


async def test_a_stamp_that_was_kept_and_lies_ahead_silences_nothing(store: Store) -> None:
    """Both clocks were an hour ahead: the stand-down, and what comes after it, are heard."""
    await requested(store, AHEAD - MINUTE)
    await told(store, "in-progress", AHEAD, AHEAD)
    courses = [
        await told(store, word, NOW + minutes * MINUTE, NOW + minutes * MINUTE)
        for word, minutes in (("planned", 1), ("arrived", 2), ("finished", 3))
    ]

    assert [
        (Said.STOOD_DOWN, [Remark.CLOCK_AHEAD, Remark.STOOD_DOWN], State.ACTIVE),
        (Said.ON_SCENE, [], State.IN_PROGRESS),
        (Said.FINISHED, [], State.COMPLETED),
    ] == courses


async def test_what_holds_is_not_what_a_wrong_clock_had_stamped(store: Store) -> None:
    """Whoever looks reads the stand-down; and the hour that comes makes nothing of it older."""
    await requested(store, AHEAD - MINUTE)
    await told(store, "in-progress", AHEAD, AHEAD)
    await told(store, "planned", NOW + MINUTE, NOW + MINUTE)
    looked_at = (await history(store)).message.newest
    later = await told(store, "in-progress", AHEAD - 5 * MINUTE, AHEAD + MINUTE)

    assert Said.STOOD_DOWN is looked_at
    assert (Said.ASSIGNED, [], State.IN_PROGRESS) == later


async def test_what_was_rightly_stamped_keeps_its_order(store: Store) -> None:
    """Beside a doubted one, what is older than the first still changes nothing."""
    await requested(store, NOW - 10 * MINUTE)
    await told(store, "in-progress", NOW - 5 * MINUTE, NOW - 5 * MINUTE)
    await told(store, "arrived", AHEAD, AHEAD)
    older = await told(store, "cancelled", NOW - 8 * MINUTE, NOW)

    assert (Said.REJECTED, State.IN_PROGRESS) == (older[0], older[2])
    assert Remark.OUT_OF_ORDER in older[1]
    assert Remark.CLOCK_AHEAD in older[1]


@pytest.mark.parametrize(
    ("stamp", "came_at", "expected"),
    [
        pytest.param(NOW, NOW + MINUTE, State.CONTRADICTED, id="ours-was-ahead"),
        pytest.param(AHEAD - MINUTE, AHEAD + MINUTE, State.CANCELLED, id="it-crossed"),
    ],
)
async def test_an_end_that_is_yet_to_come_hides_no_activity(
    store: Store, stamp: datetime, came_at: datetime, expected: State
) -> None:
    """Cancelled by a clock that was ahead: what is said after that is not what crossed it."""
    await requested(store, AHEAD - 5 * MINUTE)
    cancel = submission(move=Move.CANCEL, focus_id="sr-1", give_up_at=AHEAD + HOUR, **TRANSFER)
    await store.outbound.submit(cancel, AHEAD)
    await acknowledged(store, AHEAD)
    *_, state = await told(store, "arrived", stamp, came_at)

    assert expected is state
