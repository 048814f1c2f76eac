"""What to do about each code: there is a section for each, and it says the same as the page."""

import pytest

from bars_gateway.model.alarms import ALARMS
from bars_gateway.status.concern import ConcernKind, FlowKind, OutsideKind
from bars_gateway.status.runbooks import RUNBOOKS


def test_every_code_has_a_runbook() -> None:
    """Whoever is woken finds what to do, for whatever it is."""
    assert {*ALARMS, *ConcernKind, *FlowKind, *OutsideKind} == RUNBOOKS.keys()


@pytest.mark.parametrize("code", RUNBOOKS)
def test_a_runbook_says_everything(code: str) -> None:
    """What it means, how bad it is for patients, where to look, what to do, and how it ends."""
    book = RUNBOOKS[code]
    said = (book.title, book.harm, book.look, book.do, book.ends)

    assert code == book.code
    assert f"/runbooks#{code}" == book.anchor
    assert [] == [text for text in said if not (text[:1].isupper() or text[:1] in "`1")]


@pytest.mark.parametrize("kind", ALARMS)
def test_a_runbook_of_an_alarm_sends_people_where_the_page_does(kind: str) -> None:
    """Two texts that differ at night are worse than one: each way of telling it is there."""
    book, alarm = RUNBOOKS[kind], ALARMS[kind]

    assert (alarm.severe, alarm.whose) == (book.urgent, book.whose)
    assert [] == [words.advice for words in alarm.ways if words.advice not in book.do]
    assert alarm.ends in book.ends
