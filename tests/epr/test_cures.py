"""Each refusal says what to do about it: to correct it is often wrong."""

import pytest

from bars_gateway.epr.cures import OF_A_MESSAGE, OF_A_MOVE, cure_of
from bars_gateway.standard.guards import GUARDS
from bars_gateway.standard.issues import Issue


def issues(*rules: str) -> list[Issue]:
    return [Issue(rule=rule, path="Bundle", text="is wrong") for rule in rules]


@pytest.mark.parametrize("rule", sorted(guard.rule for guard in GUARDS))
def test_what_a_guard_refuses_is_not_corrected(rule: str) -> None:
    """Nothing in the message is wrong: it is not the time, or not the way, for it."""
    assert "Correct what the issues name" not in cure_of(issues(rule))


def test_what_breaks_rules_of_the_content_is_corrected() -> None:
    """Said once, however many there are; a move is asked for anew, and not a message."""
    assert OF_A_MESSAGE == cure_of(issues("B04", "P01"))
    assert OF_A_MOVE == cure_of(issues("C03"), OF_A_MOVE)


def test_where_one_issue_ends_it_nothing_is_submitted_again() -> None:
    """To correct the other would lead nowhere."""
    assert cure_of(issues("G02")) == cure_of(issues("B04", "G02"))


def test_what_can_be_done_of_several_is_all_said() -> None:
    """One after the other, in the order of the issues."""
    assert cure_of(issues("H04", "B04")).endswith(OF_A_MESSAGE)
    assert cure_of(issues("H04", "B04")).startswith("Leave correlation_id out")
