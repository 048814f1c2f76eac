"""What the guide asks of Senders and Receivers, and what is there of it: `requirements.tsv`."""

import csv
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

TESTS = Path(__file__).parent
LEVELS = {"MUST", "SHOULD", "MAY"}
STATES = {"done", "partly", "no"}
# How many conformance statements there are: about Senders, about Receivers, and about both.
STATEMENTS = 222


@cache
def rows() -> list[dict[str, str]]:
    text = files("bars_gateway.standard").joinpath("requirements.tsv").read_text("utf-8")
    return list(csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))


def named_tests() -> Iterator[tuple[str, str]]:
    for row in rows():
        yield from ((row["id"], each) for each in row["test"].split(",") if each)


def exists(test: str) -> bool:
    file, _, name = test.partition("::")
    path = TESTS / file
    return path.is_file() and f"def {name}(" in path.read_text("utf-8")


def test_each_statement_has_its_row() -> None:
    """None is forgotten and none stands twice; they are in the order of the guide."""
    numbers = [int(row["id"].removeprefix("CS-")) for row in rows()]

    assert list(range(1, STATEMENTS + 1)) == numbers


def test_each_row_is_well_formed() -> None:
    """An id, a level and a state of those there are; nothing is left over."""
    wrong = [
        row["id"]
        for row in rows()
        if not re.fullmatch(r"CS-\d{3}", row["id"])
        or row["level"] not in LEVELS
        or row["state"] not in STATES
        or None in row.values()
        or None in row
    ]

    assert [] == wrong


def test_what_is_there_is_shown_by_a_test() -> None:
    """Done or partly: a test says so, and it exists."""
    assert [] == [row["id"] for row in rows() if row["state"] != "no" and not row["test"]]
    assert [] == [(number, test) for number, test in named_tests() if not exists(test)]


def test_what_is_not_all_there_says_why() -> None:
    """An operator, or an assessor, reads what is missing."""
    assert [] == [row["id"] for row in rows() if row["state"] != "done" and not row["note"]]
