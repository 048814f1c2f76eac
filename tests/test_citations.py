"""What the project cites can be looked up: decisions, rules, requirements, sources."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from bars_gateway.standard.guards import GUARDS
from bars_gateway.standard.links import LINK_RULES
from bars_gateway.standard.rule import Rule
from bars_gateway.standard.rules import RULES

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "decisions.md"
REQUIREMENTS = ROOT / "bars_gateway" / "standard" / "requirements.tsv"
CARRIED_OUT = ("bars_gateway", "config", "documentation", "systemd", "tests")
DECISION = re.compile(r"\bD-[a-z0-9]+(?:-[a-z0-9]+)*")
REQUIREMENT = re.compile(r"\bCS-\d+")
SCENARIOS = ROOT / "tests" / "scenarios" / "scenarios.tsv"
SCENARIO = re.compile(r"\bscenarios? \d+(?:(?:, | and )\d+)*")
SHORT_ID = re.compile(r"(?<![\w/.-])(?:[A-Z]{1,2}\d{1,2}[A-Za-z]?|TI)(?![\w-])")
# Words of the field that look like ids: Applications, FHIR and HL7, licences, the series of the
# NHS's authorities, categories of ambulance calls.
WORDS = re.compile(r"A[1-8]|R4B?|R5|HL7|CC0|G[12]|C[1-5]")


@cache
def texts() -> dict[str, str]:
    """Return every text of the project that may cite, by its path."""
    places = (*CARRIED_OUT, "docs", "examples")
    files = [path for place in places for path in sorted((ROOT / place).rglob("*"))]
    files += sorted(ROOT.glob("*.md"))
    return {
        str(path.relative_to(ROOT)): path.read_text("utf-8")
        for path in files
        if path.suffix in {".py", ".sql", ".toml", ".md", ".service", ".html", ".tsv", ".sh"}
        and path != Path(__file__)
    }


@cache
def decisions() -> frozenset[str]:
    """Return the ids that have a heading on the page."""
    headings = re.findall(r"^### (\S+)$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert len(headings) == len(set(headings))
    return frozenset(headings)


@cache
def rules() -> frozenset[str]:
    """Return the ids of the rules that `docs/rules.md` explains."""
    page = (ROOT / "docs" / "rules.md").read_text("utf-8")
    return frozenset(re.findall(r"`([A-Z]\d\d[A-Za-z]?)`", page))


@cache
def sources() -> frozenset[str]:
    """Return the sources of the key, as a citation may begin."""
    _, key = PAGE.read_text("utf-8").split("\n## Sources\n")
    cells = re.findall(r"^\| (`.*?) \|", key, re.MULTILINE)
    return frozenset(source for cell in cells for source in re.findall(r"`([^`]+)`", cell))


def prose(name: str, text: str) -> Iterator[str]:
    """Yield what is written for people: a document, or the comments and docstrings of code."""
    if name.endswith(".md"):
        yield text
    elif name.endswith(".py"):
        yield from docstrings(text)
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                yield token.string
    elif name.endswith((".sql", ".toml", ".service")):
        yield from re.findall(r"(?m)(?:--|#) .*$", text)


def docstrings(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def test_every_decision_that_is_cited_is_on_the_page() -> None:
    """Whoever meets an id in code, documents or tests finds its reason."""
    cited = {(name, found) for name, text in texts().items() for found in DECISION.findall(text)}

    assert len(decisions()) > 40
    assert [] == sorted((name, each) for name, each in cited if each not in decisions())


def test_every_scenario_that_is_cited_is_in_the_table() -> None:
    """Whoever meets a number in the code finds what happens in it, and the tests of it."""
    rows = SCENARIOS.read_text("utf-8").splitlines()[1:]
    known = {row.partition("\t")[0] for row in rows}
    cited = {
        (name, number)
        for name, text in texts().items()
        for found in SCENARIO.findall(text)
        for number in re.findall(r"\d+", found)
    }

    assert len(cited) > 5
    assert [] == sorted((name, each) for name, each in cited if each not in known)


def test_every_decision_is_carried_out_somewhere() -> None:
    """One that nothing cites is not in force, or its place does not say so."""
    cited = {
        found
        for name, text in texts().items()
        if name.startswith(CARRIED_OUT)
        for found in DECISION.findall(text)
    }

    assert set() == decisions() - cited


def test_every_decision_says_what_else_was_considered() -> None:
    """What was decided and why is of use only beside the other way."""
    page, _ = PAGE.read_text("utf-8").split("\n## Sources\n")
    sections = re.split(r"^### ", page, flags=re.MULTILINE)[1:]

    assert [] == [each.split("\n")[0] for each in sections if "Considered:" not in each]


def test_every_requirement_that_is_cited_is_on_the_list() -> None:
    """CS-… are rows of requirements.tsv."""
    listed = set(REQUIREMENT.findall(REQUIREMENTS.read_text("utf-8")))
    cited = {
        found
        for name, text in texts().items()
        if not name.endswith(REQUIREMENTS.name)
        for found in REQUIREMENT.findall(text)
    }

    assert cited
    assert set() == cited - listed


@pytest.mark.parametrize("row", [*RULES, *GUARDS, *LINK_RULES], ids=lambda row: row.rule)
def test_every_source_is_in_the_key(row: Rule) -> None:
    """A rule says who asks for it, in words that lead to a document and its version."""
    cited = re.split(r"; (?=[A-Z]|every|tests)", row.source)

    assert [] == [each for each in cited if not each.startswith(tuple(sources()))]


def strange_ids(text: str) -> list[str]:
    """Return what looks like an id and is of no rule."""
    known = rules()
    return [e for e in SHORT_ID.findall(text) if e not in known and not WORDS.fullmatch(e)]


def test_no_other_id_is_cited() -> None:
    """An id in prose is of a rule that is explained: no other document is needed to read it."""
    known = rules()
    found = {
        (name, each)
        for name, text in texts().items()
        if strange_ids(text)  # what holds none need not be taken apart
        for written in prose(name, text)
        for each in strange_ids(written)
    }

    assert "M11" in known
    assert [] == sorted(found)


@pytest.mark.parametrize("written", ["(S2)", "M11b: the same bytes", "see N5.", "S3, TI"])
def test_an_id_of_another_document_would_be_seen(written: str) -> None:
    """The form that ids had which nobody outside could look up."""
    found = SHORT_ID.findall(written)

    assert found
    assert [] == [each for each in found if each in rules() or WORDS.fullmatch(each)]
