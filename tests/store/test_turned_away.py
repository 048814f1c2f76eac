"""What the store keeps of a cancellation that nobody could be asked about."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from store_values import (
    ANSWER,
    NOW,
    OURS,
    TERMS,
    arrival,
    attempt,
    claim_next,
    decision,
    submission,
)

from bars_gateway.model.messages import Arrival, NoticeKind, OutboundState, Settled
from bars_gateway.model.questions import QuestionOpen, Unattended
from bars_gateway.standard.remarks import OF_MODIFIERS, Remark
from bars_gateway.standard.workflow import Move
from bars_gateway.store.store import Store


async def taken(store: Store) -> Arrival:
    request = arrival()
    await store.inbound.receive(request, NOW)
    return request


def cancel_of(request: Arrival, **changes: object) -> Arrival:
    values: dict[str, object] = {"move": Move.CANCEL, "focus_id": request.focus_id}
    return arrival(**(values | changes))


async def answer(store: Store, request: Arrival, move: Move) -> None:
    """Have our EPR say its last word, and its Sender take it."""
    final = submission(
        move=move,
        responds_to=request.bundle_id,
        correlation_id=request.correlation_id,
        bundle_id="final",
    )
    await store.outbound.submit(final, NOW)
    claim = await claim_next(store, NOW, ("trust",))
    assert claim is not None
    settled = Settled(state=OutboundState.ACKNOWLEDGED)
    await store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=settled)


async def told(store: Store) -> int:
    notices = await store.notices.pending("trust", 99)
    return sum(each.kind is NoticeKind.CANCEL_TURNED_AWAY for each in notices)


async def raised(store: Store) -> list[int]:
    """Return how often the alarm was raised, for each that stands."""
    alarms = (await store.overview(NOW)).alarms
    return [each.times for each in alarms if each.kind == "cancel.turned_away"]


async def collect(store: Store) -> None:
    notices = await store.notices.pending("trust", 99)
    await store.notices.collect("trust", [each.notice_id for each in notices], NOW)


async def test_the_retries_of_one_attempt_are_one(store: Store) -> None:
    """The Sender repeats itself every half minute under the same X-Request-Id."""
    cancel = cancel_of(await taken(store))
    for _ in range(3):
        await store.questions.turn_away(cancel, NOW)
    await collect(store)
    await store.questions.turn_away(cancel, NOW + timedelta(minutes=5))

    assert ([1], 0) == (await raised(store), await told(store))


async def test_another_attempt_is_told_again(store: Store) -> None:
    """After the EPR has taken the first notice; before, that one says it all."""
    request = await taken(store)
    for _ in range(2):
        await store.questions.turn_away(cancel_of(request), NOW)
    before = await told(store)
    await collect(store)
    await store.questions.turn_away(cancel_of(request), NOW)

    assert (1, 1, [3]) == (before, await told(store), await raised(store))


async def test_what_is_not_known_here_raises_the_alarm_alone(store: Store) -> None:
    """The EPR may have it from before; a notice would have nothing to be about."""
    cancel = arrival(move=Move.CANCEL)
    for _ in range(2):
        await store.questions.turn_away(cancel, NOW)

    assert ([1], 0) == (await raised(store), await told(store))


async def test_an_id_that_comes_back_in_capitals_is_known(store: Store) -> None:
    """It is told in a notice about its request, as in the letters in which it was given."""
    given = "6f1d0c52-0000-4000-8000-00000000000a"
    request = arrival(focus_id=given)
    await store.inbound.receive(request, NOW)
    await store.questions.turn_away(cancel_of(request, focus_id=given.upper()), NOW)

    assert 1 == await told(store)


async def test_the_record_of_another_sender_is_not_said_to_be_cancelled(
    store: Store,
) -> None:
    """An id is unique to its Receiver; who asked for it is another matter."""
    await store.questions.turn_away(cancel_of(await taken(store), sender=OURS), NOW)

    assert 0 == await told(store)


@pytest.mark.parametrize("as_written", [str.lower, str.upper])
async def test_the_epr_is_asked_about_the_record_of_another_sender(
    store: Store, as_written: Callable[[str], str]
) -> None:
    """Whoever cancels from its other service is not told that there is no such record."""
    request = arrival(focus_id="6f1d0c52-0000-4000-8000-00000000000a")
    await store.inbound.receive(request, NOW)
    store.questions.attend("trust", NOW)
    cancel = cancel_of(request, sender=OURS, focus_id=as_written(str(request.focus_id)))

    assert isinstance(await store.questions.ask_about(cancel, None, TERMS, NOW), QuestionOpen)


async def test_what_was_cancelled_before_is_no_news(store: Store) -> None:
    """Somebody has done it already."""
    request = await taken(store)
    store.questions.attend("trust", NOW)
    first = cancel_of(request)
    met = await store.questions.ask_about(first, None, TERMS, NOW)
    assert isinstance(met, QuestionOpen)
    await store.questions.decide("trust", met.question_id, decision(), NOW)
    await store.questions.turn_away(cancel_of(request), NOW)

    assert ([], 0) == (await raised(store), await told(store))


@pytest.mark.parametrize("known", [True, False])
async def test_what_may_change_its_meaning_is_not_said_of_its_request(
    store: Store, *, known: bool
) -> None:
    """The notice is about the request, and nobody has the cancellation to read it whole."""
    request = await taken(store) if known else arrival()
    doubts = (Remark.TWO_PATIENTS, *sorted(OF_MODIFIERS))
    await store.questions.turn_away(cancel_of(request, doubts=doubts), NOW)
    notices = await store.notices.pending("trust", 99)
    remarks = [each.remarks for each in notices if each.kind is NoticeKind.CANCEL_TURNED_AWAY]
    alarms = {each.kind for each in (await store.overview(NOW)).alarms}

    assert ([[Remark.TWO_PATIENTS]] if known else []) == remarks
    assert {"cancel.turned_away", "patient.two"} == alarms


@pytest.mark.parametrize("move", [Move.CONCLUDE, Move.DECLINE])
async def test_the_alarm_ends_when_our_epr_ends_the_case(store: Store, move: Move) -> None:
    """Nothing of it goes on here, and nobody has to telephone about stopping it."""
    request = await taken(store)
    await store.questions.turn_away(cancel_of(request), NOW)
    before = await raised(store)
    await answer(store, request, move)

    assert ([1], []) == (before, await raised(store))


@pytest.mark.parametrize("move", [Move.CONCLUDE, Move.DECLINE])
async def test_of_what_is_over_nothing_is_said_to_go_on(store: Store, move: Move) -> None:
    """Our own EPR has ended it: nobody here has to stop anything."""
    request = await taken(store)
    await answer(store, request, move)
    await store.questions.turn_away(cancel_of(request), NOW)

    assert ([], 0) == (await raised(store), await told(store))


@pytest.mark.parametrize("move", [Move.UPDATE, Move.CANCEL])
async def test_only_a_cancellation_leaves_word_where_nobody_is_there(
    store: Store, move: Move
) -> None:
    """An update's Sender goes on trying, and is told when it gives up."""
    change = cancel_of(await taken(store), move=move)
    met = await store.questions.ask_about(change, None, TERMS, NOW)

    assert Unattended() == met
    assert (1 if move is Move.CANCEL else 0) == await told(store)


async def test_the_alarm_ends_when_the_epr_is_asked(store: Store) -> None:
    """Then it knows, whatever it decides."""
    request = await taken(store)
    cancel = cancel_of(request)
    await store.questions.ask_about(cancel, None, TERMS, NOW)
    before = await raised(store)
    store.questions.attend("trust", NOW)
    await store.questions.ask_about(cancel, None, TERMS, NOW)

    assert ([1], []) == (before, await raised(store))
