"""How long to ask."""

from datetime import UTC, datetime, timedelta

import pytest

from bars_gateway.standard.applications import answer_due
from bars_gateway.standard.timing import ROUTINE, TIMINGS, URGENT, deadline, timing_for

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def test_the_clinical_time_less_its_lead_ends_the_retries() -> None:
    """Early enough for somebody to telephone."""
    needed_by = NOW + timedelta(hours=1)

    assert needed_by - URGENT.lead == deadline(URGENT, needed_by, NOW)


def test_without_a_clinical_time_the_application_decides() -> None:
    """A3, A4 and A6: 15 minutes; the rest: two hours."""
    assert NOW + timedelta(minutes=15) == deadline(URGENT, None, NOW)
    assert NOW + timedelta(hours=2) == deadline(ROUTINE, None, NOW)


def test_a_message_that_is_late_already_is_still_sent() -> None:
    """Late is better than never, and the EPR is told of the delay."""
    assert NOW + URGENT.give_up_after == deadline(URGENT, NOW - timedelta(days=1), NOW)


def test_a_safety_officers_figure_replaces_the_shipped_one() -> None:
    """For one Application, and the others keep theirs."""
    overrides = {"a4": {"lead_minutes": 10.0}}

    assert timedelta(minutes=10) == timing_for("a4t1", overrides).lead
    assert URGENT.lead == timing_for("a3t1", overrides).lead


def test_a_message_without_a_use_case_is_urgent() -> None:
    """To tell too early does less harm."""
    assert URGENT == timing_for("", {})


def test_every_application_has_figures() -> None:
    """One to eight."""
    assert {f"a{n}" for n in range(1, 9)} == set(TIMINGS)


@pytest.mark.parametrize(
    ("use_case", "needed", "overrides", "expected"),
    [
        pytest.param("a4t1", 20, {}, 20, id="80-by-the-clinical-time"),
        pytest.param("a4t1", None, {}, None, id="no-time-is-known"),
        pytest.param("a4t3", None, {}, 120, id="two-hours-for-a-community-service"),
        pytest.param("a4t3", 20, {}, 20, id="the-clinical-time-comes-first"),
        pytest.param("a4t3", None, {"a4": {"answer_within_minutes": 60}}, 60, id="application"),
        pytest.param(
            "a4t3",
            None,
            {"a4": {"answer_within_minutes": 60}, "a4t3": {"answer_within_minutes": 30}},
            30,
            id="the-use-case-wins",
        ),
        pytest.param("a6t1", 20, {}, None, id="a-stream-has-no-end-to-be-late-for"),
        pytest.param("a6t2", 20, {"a6": {"answer_within_minutes": 5}}, 5, id="unless-agreed"),
        pytest.param("a1t1", 20, {"a1": {"answer_within_minutes": 5}}, None, id="nothing-is-owed"),
    ],
)
def test_an_answer_is_owed_by_its_time(
    use_case: str,
    needed: int | None,
    overrides: dict[str, dict[str, float]],
    expected: int | None,
) -> None:
    """The Application says whether; the message, the guide and the provider say when."""
    needed_by = None if needed is None else NOW + timedelta(minutes=needed)
    due = answer_due(use_case, timing_for(use_case, overrides), needed_by, NOW)

    assert due == (None if expected is None else NOW + timedelta(minutes=expected))
