"""One file of statements for both engines: who reads which text, and how values are bound."""

import pytest

from bars_gateway.store.statements import POSTGRESQL, SQLITE, for_libpq, statements_of


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
