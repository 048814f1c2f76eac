"""The trips through the code, of the page on how it is built: each step is where the page says."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "bars_gateway"
PAGE = ROOT / "docs" / "architecture.md"
TITLE = "## Four trips through the code"
MOST_FILES = (30, 28, 18, 9)  # that a trip may ask a newcomer to open, in the page's order
FEWEST_STEPS, MOST_STEPS = 10, 20
_PLACE = re.compile(r"`([\w/]+\.py)::([\w.]+)`|`([\w/]+\.sql): (\w+)`")
_LOOKS_LIKE_ONE = re.compile(r"`[^`]*(?:::|\.sql:)[^`]*`")


@dataclass(frozen=True)
class Place:
    """Something of the package that a step names."""

    file: str  # below the package
    name: str  # of a function, class, method, table or statement
    at: str  # where on the page, as editors understand it
    line: str

    def __str__(self) -> str:
        return f"{self.at}: {self.file}: {self.name}: {self.line.strip()}"


@dataclass
class Trip:
    """One of them, as the page has it."""

    title: str
    steps: list[str] = field(default_factory=list)  # each with the lines that go on with it
    places: list[Place] = field(default_factory=list)

    @property
    def files(self) -> set[str]:
        """What has to be opened."""
        return {place.file for place in self.places}


def section() -> Iterator[tuple[int, str]]:
    """Yield the lines of the section with their numbers on the page."""
    inside = False
    for number, line in enumerate(PAGE.read_text("utf-8").splitlines(), 1):
        if line.startswith("## "):
            inside = line == TITLE
        elif inside:
            yield number, line


@cache
def trips() -> tuple[Trip, ...]:
    found: list[Trip] = []
    for number, line in section():
        if line.startswith("### "):
            found.append(Trip(line.removeprefix("### ")))
        elif found and re.match(r"\d+\. ", line):
            found[-1].steps.append(line)
        elif found and line:
            found[-1].steps[-1] += f" {line.strip()}"
        if found:
            found[-1].places += _places(line, f"{PAGE.name}:{number}")
    return tuple(found)


def _places(line: str, at: str) -> Iterator[Place]:
    for module, name, statements, statement in _PLACE.findall(line):
        yield Place(module or statements, name or statement, at, line)


def places(ending: str) -> list[Place]:
    return [each for trip in trips() for each in trip.places if each.file.endswith(ending)]


@cache
def defined_in(module: str) -> frozenset[str]:
    """Return what *module* defines: Class, Class.method, function, TABLE; not what it imports."""
    path = PACKAGE / module
    text = path.read_text("utf-8") if path.is_file() else ""
    return frozenset(_defined(ast.parse(text)))


def _defined(scope: ast.Module | ast.ClassDef, within: str = "") -> Iterator[str]:
    for node in scope.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield within + node.name
        if isinstance(node, ast.ClassDef):
            yield from _defined(node, f"{within}{node.name}.")
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield within + node.target.id


@cache
def statements_in(file: str) -> frozenset[str]:
    path = PACKAGE / file
    text = path.read_text("utf-8") if path.is_file() else ""
    return frozenset(re.findall(r"^-- name: (\w+)$", text, re.MULTILINE))


def test_there_are_four_trips() -> None:
    """A file, a request, a question, a verb: one that the test does not find is not checked."""
    assert len(MOST_FILES) == len(trips())


def test_each_function_of_a_trip_is_there() -> None:
    """Whoever moves or renames one meets the step that names it."""
    gone = [str(each) for each in places(".py") if each.name not in defined_in(each.file)]

    assert [] == gone


def test_each_statement_of_a_trip_is_there() -> None:
    """Whoever moves or renames one meets the step that names it."""
    gone = [str(each) for each in places(".sql") if each.name not in statements_in(each.file)]

    assert [] == gone


def test_each_statement_is_run_by_a_module_of_its_trip() -> None:
    """A statement whose caller is not on the way cannot be followed."""
    lost = [
        f"{trip.title}: {place}"
        for trip in trips()
        for place in trip.places
        if place.file.endswith(".sql") and not _is_run_in(trip, place.name)
    ]

    assert [] == lost


def _is_run_in(trip: Trip, statement: str) -> bool:
    modules = [PACKAGE / file for file in trip.files if file.endswith(".py")]
    return any(f'"{statement}"' in each.read_text("utf-8") for each in modules if each.is_file())


def test_whatever_looks_like_a_place_is_checked() -> None:
    """One that is written otherwise would be read past, by this test and by no newcomer."""
    odd = [
        f"{PAGE.name}:{number}: {said}"
        for number, line in section()
        for said in _LOOKS_LIKE_ONE.findall(line)
        if not _PLACE.fullmatch(said)
    ]

    assert [] == odd


def test_each_step_says_where() -> None:
    """A step that names nothing leaves the reader where the last one was."""
    assert [] == [step for trip in trips() for step in trip.steps if not _PLACE.search(step)]


@pytest.mark.parametrize("number", range(len(MOST_FILES)))
def test_a_trip_is_no_longer_than_can_be_read(number: int) -> None:
    """Fewer steps explain nothing, and more are a module's own matter."""
    assert FEWEST_STEPS <= len(trips()[number].steps) <= MOST_STEPS


@pytest.mark.parametrize(("number", "most"), list(enumerate(MOST_FILES)))
def test_a_trip_opens_no_more_files_than_a_newcomer_keeps_in_mind(number: int, most: int) -> None:
    """Whoever scatters one flow over more modules meets this."""
    files = trips()[number].files

    assert len(files) <= most, sorted(files)
