"""The guide's 122 scenarios: each is a test that there is."""

import ast
from collections.abc import Iterator
from pathlib import Path

TABLE = Path(__file__).with_name("scenarios.tsv")
TESTS = Path(__file__).parent.parent
SCENARIOS = 122


def rows() -> Iterator[tuple[int, str, str]]:
    """Yield number, what happens, and the tests that play it."""
    for line in TABLE.read_text("utf-8").splitlines()[1:]:
        number, happens, proof = line.split("\t")
        yield int(number), happens, proof


def functions_of(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text("utf-8"))
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_scenario_has_its_row() -> None:
    """In order, each once."""
    assert list(range(1, SCENARIOS + 1)) == [number for number, _, _ in rows()]


def test_every_test_that_is_named_exists() -> None:
    """A test that is renamed or goes is noticed."""
    named = [
        (number, *test.split("::")) for number, _, proof in rows() for test in proof.split(" ")
    ]

    assert len(named) >= SCENARIOS
    assert [] == [(n, file, test) for n, file, test in named if test not in functions_of(file)]
