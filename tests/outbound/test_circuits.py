"""Whoever does not answer is left in peace, and found again."""

from datetime import timedelta

import pytest
from national_side import NOW, Clock

from bars_gateway.outbound.circuits import FOR_PROVIDERS, FOR_RECEIVERS, Circuits


@pytest.fixture
def circuits(clock: Clock) -> Circuits:
    return Circuits(FOR_RECEIVERS, now=clock.now)


def test_a_few_failures_mean_nothing(circuits: Circuits) -> None:
    """Each message has its own pauses; four lost answers are no pattern."""
    assert [None] * 4 == [circuits.failed("one") for _ in range(4)]


def test_pauses_double_up_to_a_minute(circuits: Circuits) -> None:
    """From the fifth failure in a row, and for ever if need be."""
    pauses = [circuits.failed("one") for _ in range(4 + 2000)][4:]

    assert [10, 20, 40, 60, 60] == [pause.total_seconds() for pause in pauses[:5] if pause]
    assert timedelta(seconds=60) == pauses[-1]


def test_one_answer_begins_anew(circuits: Circuits) -> None:
    """Whatever it says: somebody is there."""
    for _ in range(7):
        circuits.failed("one")
    was_open = circuits.answered("one")

    assert (True, False) == (was_open, circuits.answered("one"))
    assert circuits.failed("one") is None


def test_one_receiver_is_not_another(circuits: Circuits) -> None:
    """Failures are counted for each."""
    for _ in range(5):
        circuits.failed("one")

    assert circuits.failed("another") is None
    assert {"one": NOW} == circuits.open


def test_our_own_trouble_is_asked_about_ever_more_slowly(clock: Clock) -> None:
    """A token or registration that is refused needs a person: a minute, at the most fifteen."""
    circuits = Circuits(FOR_PROVIDERS, now=clock.now)
    pauses = [circuits.failed("trust") for _ in range(6)]

    assert [1, 2, 4, 8, 15, 15] == [pause.total_seconds() / 60 for pause in pauses if pause]
