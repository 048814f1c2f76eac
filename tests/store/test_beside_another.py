"""Of two records of one request: what is read, and alarms, of the one that nobody answers."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from store.test_looked_at import (
    HELP,
    JO,
    MAY_BE_THERE,
    MINUTE,
    ONE_OVER,
    WHICH,
    answered,
    cancelled,
    looked_at,
    requested,
    second_says,
    two_records,
)
from store_values import ANSWER, NOW, attempt, claim_next, payload, submission

from bars_gateway.model.alarms import Meanwhile
from bars_gateway.model.interventions import Done, Resent, Verb
from bars_gateway.model.messages import Accepted, OutboundState, Settled
from bars_gateway.model.standing_alarms import Alarm
from bars_gateway.standard.sentences import NOTHING_TO_DO, means
from bars_gateway.standard.timing import Limits
from bars_gateway.store.rows import text
from bars_gateway.store.store import Store

pytestmark = pytest.mark.of_sqlite
END = NOW + 15 * MINUTE  # of what is handed in at once
NOBODY_ELSE = "Act now by other means: nobody else knows what it says."
ASK_THEM = "Telephone the Receiver now, and ask whether it has the other one."


async def built_again(store: Store, of: Accepted, at: datetime = NOW) -> Accepted:
    """Hand in a second request that asks for the same."""
    again = submission(
        bundle_id="b2",
        correlation_id=str(uuid4()),
        give_up_at=at + 15 * MINUTE,
        delayed_at=at + MINUTE,
        **HELP,
    )
    second = await store.outbound.submit(again, at)
    tie = (second.workflow_id, of.workflow_id, "record", "likeness", second.message_id, text(at))
    await store._database.write(
        lambda c: c.raw.execute("INSERT INTO links VALUES (?, ?, ?, ?, ?, ?)", tie)
    )
    return second


async def sent_again(store: Store, of: Accepted, at: datetime) -> str:
    """Have it sent again as a new request; return the X-Request-Id of that."""
    resent = Resent(
        request_id=str(uuid4()), bundle_id="b2", fingerprint="f" * 64, request=payload(b"again")
    )
    limits = Limits(give_up_at=at + 15 * MINUTE, delayed_at=at + MINUTE)
    done = await store.interventions.resend(of.message_id, resent, JO, lambda *_: limits, at)
    assert isinstance(done, Done)
    return resent.request_id


async def tried_in_vain(store: Store, at: datetime = NOW) -> None:
    """Let the next message be tried until nobody knows whether it has arrived."""
    claim = await claim_next(store, at, {"trust"})
    assert claim is not None
    lost = Settled(state=OutboundState.UNCONFIRMED)
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=lost)


async def told_last(store: Store, request_id: str) -> str:
    told = [n for n in await store.notices.pending("trust", 99) if n.request_id == request_id]
    return means(told[-1].situation)


async def alarmed(store: Store, of: Accepted) -> Alarm:
    """Return the alarm that it was never sent."""
    found = [
        each
        for each in (await store.overview(END)).alarms
        if (each.kind, each.request_id) == ("message.not_sent", of.request_id)
    ]
    (alarm,) = found
    return alarm


async def test_what_was_never_sent_alarms_in_the_words_of_its_notice(store: Store) -> None:
    """The first may have arrived: whoever acts at once, on the page's word, acts twice."""
    first = await store.outbound.submit(submission(bundle_id="b1", **HELP), NOW)
    await tried_in_vain(store)
    second = await built_again(store, first)
    await store.outbound.give_up(END)
    alarm = await alarmed(store, second)
    counted = [each for each in (await store.overview(END)).standing if each.kind == alarm.kind]

    assert MAY_BE_THERE in await told_last(store, second.request_id)
    assert MAY_BE_THERE in await looked_at(store, second.request_id, END)
    assert alarm.words.advice.startswith(ASK_THEM)
    assert [Meanwhile.ANOTHER] == [each.meanwhile for each in counted]


@pytest.mark.parametrize("verb", [None, Verb.HOLD], ids=["queued", "held"])
async def test_what_was_never_sent_itself_may_not_be_there(store: Store, verb: Verb | None) -> None:
    """Nothing has left: nobody is to telephone first about a patient whom nobody knows of."""
    first = await store.outbound.submit(submission(bundle_id="b1", **HELP), NOW)
    second = await built_again(store, first, NOW + 5 * MINUTE)
    if verb:
        limits = Limits(give_up_at=END + 5 * MINUTE, delayed_at=END)
        await store.interventions.intervene(verb, second.message_id, JO, lambda *_: limits, NOW)
    await store.outbound.give_up(END)
    alarm = await alarmed(store, first)
    texts = [
        await told_last(store, first.request_id),
        await looked_at(store, first.request_id, END),
    ]

    assert NOBODY_ELSE == alarm.words.advice
    assert [True] * 2 == [each.endswith("Act now.") for each in texts]
    assert not any(MAY_BE_THERE in each for each in texts)


async def test_what_has_left_since_may_be_there(store: Store) -> None:
    """The same, once an attempt of the other has begun."""
    first = await store.outbound.submit(submission(bundle_id="b1", **HELP), NOW)
    await built_again(store, first, NOW + 5 * MINUTE)
    await store.outbound.give_up(END)
    await tried_in_vain(store, END)

    assert MAY_BE_THERE in await looked_at(store, first.request_id, END)
    assert (await alarmed(store, first)).words.advice.startswith(ASK_THEM)


async def test_nobody_is_to_act_now_in_place_of_what_was_finished(store: Store) -> None:
    """The one that never left has had its work done under the other's name."""
    first = await store.outbound.submit(submission(bundle_id="b1", **HELP), NOW)
    await built_again(store, first, NOW + 5 * MINUTE)
    await store.outbound.give_up(END)
    await acknowledged_at(store, END)
    await second_says(store, "finished", MINUTE)

    assert MAY_BE_THERE in await looked_at(store, first.request_id, END)


@pytest.mark.parametrize("end", ["cancelled", "finished"])
async def test_who_asks_again_after_an_end_acts_now_if_that_never_leaves(
    store: Store, end: str
) -> None:
    """The earlier one is over, and whoever asked again knew it: nobody there sees to anything."""
    first = await requested(store, **HELP)
    await answered(store, end, MINUTE, **HELP)
    again = await sent_again(store, first, NOW + 12 * MINUTE)
    await store.outbound.give_up(NOW + 30 * MINUTE)
    texts = [await told_last(store, again), await looked_at(store, again, NOW + 30 * MINUTE)]

    assert [True] * 2 == [each.endswith("Act now.") for each in texts]


# What goes on while another record is over.


async def _finished(store: Store, _: Accepted) -> None:
    await second_says(store, "finished", 2 * MINUTE)


async def _turned_down(store: Store, _: Accepted) -> None:
    await second_says(store, "cancelled", 2 * MINUTE)


async def _stood_down(store: Store, _: Accepted) -> None:
    await second_says(store, "in-progress", 3 * MINUTE)
    await second_says(store, "planned", 2 * MINUTE)


async def _in_doubt(store: Store, _: Accepted) -> None:
    await second_says(store, "triaged", 2 * MINUTE)


async def _cancelled(store: Store, second: Accepted) -> None:
    await cancelled(store, second, "sr-2")


async def _refused(store: Store, second: Accepted) -> None:
    await _came_to_nothing(store, second, "refused")


async def _abandoned(store: Store, second: Accepted) -> None:
    await _came_to_nothing(store, second, "abandoned")


async def _came_to_nothing(store: Store, second: Accepted, state: str) -> None:
    closed = f"UPDATE workflows SET state = '{state}', closed_at = '2026-03-02T09:05:00.000Z'"
    of = f" WHERE id = {second.workflow_id}"
    await store._database.write(lambda c: c.raw.execute(closed + of))


@pytest.mark.parametrize(
    ("second_is", "words"),
    [
        (_finished, ONE_OVER),
        (_turned_down, ONE_OVER),
        (_stood_down, WHICH),
        (_in_doubt, WHICH),
        (_cancelled, NOTHING_TO_DO),
        (_refused, NOTHING_TO_DO),
        (_abandoned, NOTHING_TO_DO),
    ],
)
async def test_what_nobody_has_answered_says_what_is_so_beside_it(
    store: Store, second_is: Callable[[Store, Accepted], Awaitable[None]], words: str
) -> None:
    """Whatever became of the other record; what we have cancelled, or never sent, is no news."""
    first, second = await two_records(store)
    await second_is(store, second)
    seen = await looked_at(store, first.request_id, NOW + 11 * MINUTE)

    assert [words] == [each for each in (ONE_OVER, WHICH, NOTHING_TO_DO) if each in seen]


@pytest.mark.parametrize("begun", ["planned", "in-progress", "arrived"])
async def test_who_is_at_work_on_one_may_be_so_for_nothing(store: Store, begun: str) -> None:
    """The other is finished: neither the request nor their word of it reads as done."""
    first, _ = await two_records(store)
    came = await answered(store, begun, 3 * MINUTE, **HELP)
    await second_says(store, "finished", 2 * MINUTE)
    texts = [await looked_at(store, each, NOW) for each in (first.request_id, came)]

    assert not any(NOTHING_TO_DO in each for each in texts)
    assert all("Telephone" in each for each in texts)


@pytest.mark.parametrize("end", ["cancelled", "finished"])
async def test_who_asks_again_after_an_end_has_nothing_to_ask(store: Store, end: str) -> None:
    """It is what they did about it: the new one is waited for like any other."""
    first = await requested(store, **HELP)
    await answered(store, end, MINUTE, **HELP)
    at = NOW + 12 * MINUTE
    again = await sent_again(store, first, at)
    await acknowledged_at(store, at)
    seen = await looked_at(store, again, at)

    assert seen.endswith(NOTHING_TO_DO)


async def test_an_end_that_came_after_somebody_had_asked_again_is_news(store: Store) -> None:
    """Sent again for a doubt; then the first one turns out to have been turned down."""
    first = await store.outbound.submit(submission(bundle_id="b1", **HELP), NOW)
    await tried_in_vain(store)
    again = await sent_again(store, first, NOW + MINUTE)
    await acknowledged_at(store, NOW + MINUTE)
    await answered(store, "cancelled", timedelta(0), **HELP)

    assert ONE_OVER in await looked_at(store, again, NOW + 11 * MINUTE)


async def acknowledged_at(store: Store, at: datetime) -> None:
    claim = await claim_next(store, at, {"trust"})
    assert claim is not None
    fate = Settled(state=OutboundState.ACKNOWLEDGED, focus_id="sr-2")
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=fate)
