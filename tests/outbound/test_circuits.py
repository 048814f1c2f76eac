"""Whoever does not answer is left in peace, and found again."""

from datetime import timedelta

import pytest
from national_side import NOW, Clock

from bars_gateway.outbound.circuits import Circuits, Pauses
from bars_gateway.outbound.standing import FAILURES_OF_A_RECEIVER, PAUSES_FOR_OUR_TROUBLE

PAUSES = Pauses(first=timedelta(seconds=2), longest=timedelta(seconds=60))


@pytest.fixture
def circuits(clock: Clock) -> Circuits:
    return Circuits(FAILURES_OF_A_RECEIVER, now=clock.now)


def test_a_few_failures_mean_nothing(circuits: Circuits, clock: Clock) -> None:
    """Each message has its own pauses; four lost answers are no pattern."""
    assert [None] * 4 == [circuits.failed("one", clock.now(), PAUSES) for _ in range(4)]


def test_pauses_double_up_to_a_minute(circuits: Circuits, clock: Clock) -> None:
    """From the fifth failure in a row, and for ever if need be."""
    pauses = [circuits.failed("one", clock.now(), PAUSES) for _ in range(4 + 2000)][4:]

    assert [2, 4, 8, 16, 32, 60, 60] == [pause.total_seconds() for pause in pauses[:7] if pause]
    assert timedelta(seconds=60) == pauses[-1]


def test_one_answer_begins_anew(circuits: Circuits, clock: Clock) -> None:
    """Whatever it says: somebody is there."""
    for _ in range(7):
        circuits.failed("one", clock.now(), PAUSES)
    was_open = circuits.answered("one")

    assert (True, False) == (was_open, circuits.answered("one"))
    assert circuits.failed("one", clock.now(), PAUSES) is None


def test_one_receiver_is_not_another(circuits: Circuits, clock: Clock) -> None:
    """Failures are counted for each."""
    for _ in range(5):
        circuits.failed("one", clock.now(), PAUSES)

    assert circuits.failed("another", clock.now(), PAUSES) is None
    assert {"one": NOW} == circuits.open


def test_our_own_trouble_is_asked_about_ever_more_slowly(clock: Clock) -> None:
    """A token or registration that is refused needs a person: a minute, at the most fifteen."""
    circuits = Circuits(1, now=clock.now)
    pauses = [circuits.failed("trust", clock.now(), PAUSES_FOR_OUR_TROUBLE) for _ in range(6)]

    assert [1, 2, 4, 8, 15, 15] == [pause.total_seconds() / 60 for pause in pauses if pause]


def test_what_was_under_way_says_nothing_new(circuits: Circuits, clock: Clock) -> None:
    """Four POSTs that fail together are one look, and not four."""
    began = clock.now()
    for _ in range(5):
        clock.advance(1)
        circuits.failed("one", clock.now(), PAUSES)

    assert circuits.failed("one", began, PAUSES) is None
    assert timedelta(seconds=4) == circuits.failed("one", clock.now(), PAUSES)
