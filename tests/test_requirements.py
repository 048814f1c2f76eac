"""What the guide asks of Senders and Receivers, and what is there of it: `requirements.tsv`."""

import csv
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from bars_gateway.evidence.pieces import PIECES, SCENES
from bars_gateway.evidence.questions import AnsweredBy, questions
from bars_gateway.standard.requirements import Conformity, statements

TESTS = Path(__file__).parent
LEVELS = {"MUST", "SHOULD", "MAY"}
SIDES = {"sender", "receiver", "both"}
# How many conformance statements there are: about Senders, about Receivers, and about both.
STATEMENTS = 222


def rows() -> list[dict[str, str]]:
    text = files("bars_gateway.standard").joinpath("requirements.tsv").read_text("utf-8")
    return list(csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))


def named_tests() -> Iterator[tuple[str, str]]:
    for each in statements():
        yield from ((each.number, test) for test in each.tests)


def exists(test: str) -> bool:
    file, _, name = test.partition("::")
    path = TESTS / file
    return path.is_file() and f"def {name}(" in path.read_text("utf-8")


def test_each_statement_has_its_row() -> None:
    """None is forgotten and none stands twice; they are in the order of the guide."""
    numbers = [int(each.number.removeprefix("CS-")) for each in statements()]

    assert list(range(1, STATEMENTS + 1)) == numbers


def test_each_row_is_well_formed() -> None:
    """An id, a level, a side and a sentence; nothing is left over."""
    wrong = [each.number for each in statements() if each.level not in LEVELS]
    wrong += [each.number for each in statements() if each.side not in SIDES]
    wrong += [each.number for each in statements() if not re.fullmatch(r"CS-\d{3}", each.number)]
    wrong += [each.number for each in statements() if not each.asks.endswith(".")]
    wrong += [row["id"] for row in rows() if None in row.values() or None in row]

    assert [] == wrong


def test_what_is_there_is_shown_by_a_test() -> None:
    """Conformity or partly: a test says so, and it exists."""
    assert [] == [s.number for s in statements() if s.state is not Conformity.NO and not s.tests]
    assert [] == [(number, test) for number, test in named_tests() if not exists(test)]


def test_what_is_not_all_there_says_why() -> None:
    """An operator, or an assessor, reads what is missing."""
    assert [] == [s.number for s in statements() if s.state is not Conformity.DONE and not s.note]


def test_what_is_there_has_evidence_or_says_why_there_can_be_none() -> None:
    """One of the two, and never both; of what is not there, neither."""
    wrong = [
        each.number
        for each in statements()
        if bool(each.evidence) + (each.unshown is not None) != (each.state is not Conformity.NO)
    ]

    assert [] == wrong


def test_evidence_is_what_an_export_brings() -> None:
    """Each name, of a statement's or of a question's, is that of a scene or of a piece."""
    named = {name for each in (*statements(), *questions()) for name in each.evidence}

    assert set() == named - SCENES.keys() - PIECES.keys()


def test_each_scene_is_evidence_of_something() -> None:
    """Nothing is played that nobody asks for."""
    named = {name for each in (*statements(), *questions()) for name in each.evidence}

    assert set() == SCENES.keys() - named


def test_a_question_that_the_run_answers_has_evidence() -> None:
    """What is a person's may have a part of it, and says whose it is."""
    assert [] == [q.item for q in questions() if q.by is AnsweredBy.RUN and not q.evidence]
    assert len(questions()) == len({question.item for question in questions()})
