"""
The hazard log holds what it says: each control is shown by tests that run, and is counted.

A test that is skipped where a tool or the reference data is missing shows nothing there: so no
control rests on such tests alone.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from figures import collected, counters

from bars_gateway.model.alarms import ALARMS
from bars_gateway.model.interventions import Verb
from bars_gateway.model.messages import OutboundState
from bars_gateway.safety.counters import COUNTERS, CounterName
from bars_gateway.safety.hazards import HAZARDS
from bars_gateway.safety.risk import MEANINGS, RATINGS, Harm, Likelihood, Risk
from bars_gateway.standard.verdict import ROWS

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "bars_gateway"
PAGES = TESTS.parent / "docs" / "safety"
MAY_BE_LEFT_OUT = ("mark.needs", "reference_data", "mark.skip", "mark.xfail")
CONTROLS = [
    pytest.param(control, id=f"{hazard.code}-{number}")
    for hazard in HAZARDS.values()
    for number, control in enumerate(hazard.controls, 1)
]


@cache
def run_by(file: str) -> dict[str, bool]:
    """Return the tests of a file, and whether each runs on whatever machine."""
    tree = ast.parse((TESTS / file).read_text("utf-8"))
    whole = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Assign)]
    may_be = any(_is_conditional(each) for each in whole if each.startswith("pytestmark"))
    return {
        node.name: not (may_be or _is_conditional(_head(node)))
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    }


def _head(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return "\n".join([*map(ast.unparse, node.decorator_list), ast.unparse(node.args)])


def _is_conditional(text: str) -> bool:
    return any(each in text for each in MAY_BE_LEFT_OUT)


def _named(test: str) -> tuple[str, str]:
    file, _, name = test.partition("::")
    return file, name


@pytest.mark.parametrize("control", CONTROLS)
def test_each_control_is_shown_by_tests_that_are_there(control) -> None:
    """A control that lost its test shows nothing any more, and somebody hears of it here."""
    assert control.tests
    assert [] == [
        test
        for test in control.tests
        for file, name in [_named(test)]
        if not (TESTS / file).is_file() or name not in run_by(file)
    ]


@pytest.mark.parametrize("control", CONTROLS)
def test_each_control_is_shown_wherever_the_tests_are_run(control) -> None:
    """One of its tests at least asks for no tool and no data that a machine may lack."""
    assert any(run_by(file)[name] for file, name in map(_named, control.tests))


def test_a_test_that_may_be_skipped_is_known_as_one() -> None:
    """By a mark of the whole file, of the test alone, or by what it asks for."""
    assert not run_by("scenarios/test_power_cut.py")["test_a_gateway_goes_on_from_what_was_synced"]
    assert not run_by("standard/test_patients.py")["test_every_place_that_is_published_is_read"]
    assert run_by("standard/test_patients.py")["test_whether_it_is_the_same_patient"]


def test_codes_stand_in_their_order_and_once() -> None:
    """A code that was given stays that hazard's, in every copy of the log."""
    assert [f"HAZ-{number:02}" for number in range(1, len(HAZARDS) + 1)] == list(HAZARDS)


@pytest.mark.parametrize("code", HAZARDS)
def test_a_hazard_says_everything(code: str) -> None:
    """How it comes, what it does, what is not shown, and what is left to whoever deploys."""
    hazard = HAZARDS[code]
    said = (hazard.title, hazard.causes, hazard.effect, hazard.not_shown, hazard.left)

    assert [] == [text for text in said if not (text[:1].isupper() and len(text) > 20)]
    assert [] == [text for text in said[1:] if not text.endswith(".")]
    assert hazard.controls
    assert hazard.counters


@pytest.mark.parametrize("code", HAZARDS)
def test_controls_make_a_hazard_less_likely(code: str) -> None:
    """And no less bad: what comes true all the same hurts as much as without them."""
    before, after = HAZARDS[code].before, HAZARDS[code].after

    assert before.harm is after.harm
    assert list(Likelihood).index(after.likelihood) < list(Likelihood).index(before.likelihood)
    assert after.rating <= min(3, before.rating)


def test_what_is_left_with_a_3_says_why() -> None:
    """It is borne only where bringing it down further is not practicable: somebody asks that."""
    assert [each.code for each in HAZARDS.values() if each.after.rating == 3] == [
        each.code for each in HAZARDS.values() if each.borne
    ]


def test_the_pages_name_hazards_that_are_there() -> None:
    """And there is something to decide, to do or to test about each, before it is used."""
    pages = {page.stem: page.read_text("utf-8") for page in sorted(PAGES.glob("*.md"))}
    named = {page: set(re.findall(r"HAZ-\d\d", text)) for page, text in pages.items()}

    assert [] == [page for page, codes in named.items() if codes - HAZARDS.keys()]
    assert set() == HAZARDS.keys() - named["deploying"]


def test_every_counter_belongs_to_a_hazard_or_to_all() -> None:
    """What is counted and means nothing to anybody is not counted."""
    used = {name for hazard in HAZARDS.values() for name in hazard.counters}
    of_all = {CounterName.RECEIVED, CounterName.ACKNOWLEDGED}

    assert set(CounterName) == set(COUNTERS) == used | of_all


def test_each_counter_counts_what_the_gateway_writes() -> None:
    """An event that nothing writes would stand at nought for ever, whatever happens."""
    written = set(_events())
    counted = {kind for counter in COUNTERS.values() for kind in counter.events}
    rows = {row for counter in COUNTERS.values() for row in counter.rows}

    assert set() == counted - written
    assert set() == rows - {row.name for row in ROWS}


def _events() -> Iterator[str]:
    """Yield each kind of event: by what triggers compose it of, or as it stands in the source."""
    yield from (f"message.{state}" for state in (*OutboundState, "received"))
    acts = {Verb.HOLD: "held", Verb.RELEASE: "released", Verb.WITHDRAW: "withdrawn"}
    acts |= {Verb.RETRY: "retried", Verb.RESEND: "resent"}
    for role in ("operator", "epr"):
        yield from (f"{role}.{act}" for act in (*acts.values(), "attached", "confirmed"))
    yield from ALARMS
    for path in sorted((PACKAGE / "store").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_what_alarms_is_counted_somewhere() -> None:
    """No kind of alarm is missing from what a safety officer reads."""
    counted = {kind for counter in COUNTERS.values() for kind in counter.events}

    assert set() == set(ALARMS) - counted


def test_each_figure_is_one_of_the_gateways() -> None:
    """Whoever builds a dashboard from the log finds each."""
    there = {each.name for each in collected()}
    there |= {f"{each.name}_total" for each in collected() if each.type == "counter"}
    for each in counters():
        there |= {each._name, f"{each._name}_total"}
    named = {figure for hazard in HAZARDS.values() for figure in hazard.figures}

    assert set() == named - there


def test_the_matrix_grows_with_harm_and_with_likelihood() -> None:
    """A worse or likelier thing is never rated as less."""
    rows = [[Risk(harm, likelihood).rating for harm in Harm] for likelihood in Likelihood]

    assert [] == [row for row in rows if row != sorted(row)]
    assert [] == [
        (less, more)
        for less, more in pairwise(rows)
        if any(one > other for one, other in zip(less, more, strict=True))
    ]
    assert set(MEANINGS) == {rating for row in RATINGS.values() for rating in row}
