"""How long to ask."""

from datetime import UTC, datetime, timedelta

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
