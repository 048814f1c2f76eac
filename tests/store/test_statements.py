"""One file of statements for both engines: who reads which text, and how values are bound."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import bars_gateway
from bars_gateway.store.statements import POSTGRESQL, SQLITE, for_libpq, statements_of

PACKAGE = Path(bars_gateway.__file__).parent
VERBS = ("run", "put", "one", "rows", "inserted")


def test_each_engine_has_every_statement():
    """A second text stands beside a first one, and never alone."""
    assert set(statements_of(SQLITE)) == set(statements_of(POSTGRESQL))


def test_no_text_of_one_engine_reaches_the_other():
    """What heads a second text ends the first."""
    texts = [*statements_of(SQLITE).values(), *statements_of(POSTGRESQL).values()]

    assert [] == [text for text in texts if "-- name:" in text or "-- postgresql:" in text]


@pytest.mark.parametrize("of", [SQLITE, POSTGRESQL])
def test_what_texts_have_in_common_stands_in_each(of):
    """It is no statement itself, and nothing of it but the SQL comes along."""
    texts = statements_of(of)

    assert texts["foremost"].endswith(texts["claimable"][-400:])
    assert "with_a_place" not in texts
    assert [] == [name for name, text in texts.items() if "{" in text or "-- Of those," in text]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        pytest.param("id = :id", "id = $1", id="a-value"),
        pytest.param(":at::text", "$1::text", id="a-cast"),
        pytest.param("x = ':no' || '%'", "x = ':no' || '%'", id="a-literal"),
        pytest.param("a -- of :id, 5 %\n+ 1", "a \n+ 1", id="a-comment"),
        pytest.param("n % 2", "n % 2", id="a-remainder"),
        pytest.param("m INDEXED BY of WHERE", "m WHERE", id="an-index"),
        pytest.param("m NOT INDEXED WHERE", "m WHERE", id="no-index"),
        pytest.param("WHERE +m.id = 1 + 2", "WHERE m.id = 1 + 2", id="a-plus"),
        pytest.param("a CROSS JOIN b ON c", "a JOIN b ON c", id="an-order"),
        pytest.param("CAST(e.at AS BLOB)", "convert_to(e.at, 'UTF8')", id="bytes"),
    ],
)
def test_libpq_is_given_its_own_words(sql, expected):
    """Values are marked as it asks for, and what SQLite alone understands is left out."""
    assert expected == for_libpq(sql)[0]


def test_a_value_that_stands_twice_is_bound_once():
    """In the order in which they are met."""
    assert ("$1 < $2 OR $1 > $2", ["now", "then"]) == for_libpq(":now < :then OR :now > :then")


def calls() -> Iterator[tuple[str, str, set[str]]]:
    """Yield place, statement and values of each call that names all of them where it stands."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr=verb), args=[ast.Constant(value=str(name))]
                ) if verb in VERBS and all(each.arg for each in node.keywords):
                    place = f"{path.relative_to(PACKAGE)}:{node.lineno}"
                    yield place, name, {str(each.arg) for each in node.keywords}


@pytest.mark.parametrize("of", [SQLITE, POSTGRESQL])
def test_each_statement_is_given_what_it_asks_for(of: str) -> None:
    """A value that no statement knows, or that one lacks, fails in the middle of a message."""
    asked = {name: set(for_libpq(text)[1]) for name, text in statements_of(of).items()}
    known = [(place, name, given) for place, name, given in calls() if name in asked]

    assert len(known) > 300
    assert [] == [
        (place, name, sorted(given ^ asked[name]))
        for place, name, given in known
        if given != asked[name]
    ]
