"""We back off from whoever does not answer, and find them again."""

from datetime import datetime, timedelta
from itertools import count

import pytest
from national_side import NOW, Clock

from bars_gateway.outbound.circuit_breaker import (
    FAILURES_OF_A_RECEIVER,
    PAUSES_FOR_OUR_TROUBLE,
    Circuits,
    FailedPost,
    Pauses,
)

PAUSES = Pauses(first=timedelta(seconds=2), longest=timedelta(seconds=60))
MESSAGES = count(1)


@pytest.fixture
def circuits(clock: Clock) -> Circuits:
    return Circuits(FAILURES_OF_A_RECEIVER, now=clock.now)


def failed(
    circuits: Circuits, clock: Clock, message: int | None = None, *, is_error: bool = False
) -> float | None:
    """Fail once, with another message each time if none is named; return the break's seconds."""
    number = next(MESSAGES) if message is None else message
    failure = FailedPost(message_id=number, began=clock.now(), is_error=is_error)
    found = circuits.failed("one", failure, PAUSES)
    return None if found is None else found.pause.total_seconds()


def test_a_few_failures_mean_nothing(circuits: Circuits, clock: Clock) -> None:
    """Each message has its own pauses; four lost answers are no pattern."""
    assert [None] * 4 == [failed(circuits, clock) for _ in range(4)]


def test_pauses_double_up_to_a_minute(circuits: Circuits, clock: Clock) -> None:
    """From the fifth failure in a row, and for ever if need be."""
    pauses = [failed(circuits, clock) for _ in range(4 + 2000)][4:]

    assert [2, 4, 8, 16, 32, 60, 60] == pauses[:7]
    assert 60 == pauses[-1]


def test_one_message_alone_makes_no_break(circuits: Circuits, clock: Clock) -> None:
    """The Receiver may stumble over that one, and the others would wait for nothing."""
    assert {None} == {failed(circuits, clock, 7) for _ in range(100)}
    assert {"one": NOW} == circuits.silent
    assert {} == circuits.open


@pytest.mark.parametrize(("messages", "breaks"), [([1, 2, 1, 2, 1, 2], False), ([1, 2, 3], True)])
def test_a_break_after_500s_needs_three_different_messages(
    circuits: Circuits, clock: Clock, messages: list[int], breaks: object
) -> None:
    """The proxy's own trouble meets every message; a Receiver's fault with one only that."""
    found = [failed(circuits, clock, message, is_error=True) for message in messages]

    assert breaks == any(found)
    assert breaks == ("one" in circuits.failing)


def test_a_look_with_the_same_message_makes_no_break_longer(
    circuits: Circuits, clock: Clock
) -> None:
    """It tells nothing that was not known."""
    opened = [failed(circuits, clock, message, is_error=True) for message in (1, 2, 3)]
    again = failed(circuits, clock, 3, is_error=True)
    another = failed(circuits, clock, 2, is_error=True)

    assert ([None, None, 2], None, 4) == (opened, again, another)


def test_until_its_end_a_break_holds(circuits: Circuits, clock: Clock) -> None:
    """What is submitted meanwhile waits for the look, and no longer."""
    for _ in range(5):
        failed(circuits, clock)
    rests = circuits.next_probe_at("one", timedelta(minutes=1))
    clock.advance(2)

    assert NOW + timedelta(seconds=2) == rests
    assert circuits.next_probe_at("one", timedelta(minutes=1)) is None


def test_one_answer_begins_anew(circuits: Circuits, clock: Clock) -> None:
    """Whatever it says: somebody is there."""
    for _ in range(7):
        failed(circuits, clock)
    was_open = circuits.answered("one")

    assert (True, False) == (was_open, circuits.answered("one"))
    assert circuits.next_probe_at("one", timedelta(minutes=1)) is None
    assert failed(circuits, clock) is None


def test_one_receiver_is_not_another(circuits: Circuits, clock: Clock) -> None:
    """Failures are counted for each."""
    for _ in range(5):
        failed(circuits, clock)
    failure = FailedPost(message_id=99, began=clock.now())

    assert circuits.failed("another", failure, PAUSES) is None
    assert {"one": NOW} == circuits.open


def test_our_own_trouble_is_asked_about_ever_more_slowly(clock: Clock) -> None:
    """A token or registration that is refused needs a person: a minute, at the most fifteen."""
    circuits = Circuits(1, now=clock.now, messages=1)
    failure = FailedPost(message_id=1, began=clock.now())
    found = [circuits.failed("trust", failure, PAUSES_FOR_OUR_TROUBLE) for _ in range(6)]

    assert [1, 2, 4, 8, 15, 15] == [each.pause.total_seconds() / 60 for each in found if each]
    assert NOW + timedelta(minutes=1) == circuits.next_probe_at("trust", timedelta(minutes=1))


def test_what_was_under_way_says_nothing_new(circuits: Circuits, clock: Clock) -> None:
    """Four POSTs that fail together are one look, and not four."""
    began: datetime = clock.now()
    for _ in range(5):
        clock.advance(1)
        failed(circuits, clock)
    late = FailedPost(message_id=77, began=began)

    assert circuits.failed("one", late, PAUSES) is None
    assert 4 == failed(circuits, clock)


@pytest.mark.parametrize("step", [timedelta(seconds=-3), timedelta(days=-3650)])
def test_a_clock_that_is_set_back_makes_no_break_longer(
    circuits: Circuits, clock: Clock, step: timedelta
) -> None:
    """It had been ahead, and was set right: nobody waits until it is as late again."""
    for _ in range(5):
        failed(circuits, clock)
    clock.wall += step
    rests = circuits.next_probe_at("one", timedelta(minutes=1))

    assert rests is None
    assert 4 == failed(circuits, clock)
