"""Every word of a closed set that somebody meets is explained, in one place."""

from pathlib import Path

import pytest
from closed_sets import GLOSSARY, MET, UNMET, closed_sets, meanings

ROOT = Path(__file__).parent.parent


def test_the_glossary_knows_every_closed_set() -> None:
    """Or it says why nobody meets its words; what is gone from the code is gone from here."""
    assert closed_sets().keys() == MET.keys() | UNMET.keys()
    assert set() == MET.keys() & UNMET.keys()


@pytest.mark.parametrize("name", sorted(MET))
def test_each_word_stands_on_the_page_that_explains_it(name: str) -> None:
    """As it is written in lists, logs and notices."""
    page = (ROOT / MET[name][1]).read_text("utf-8")

    assert [] == [word for word in closed_sets()[name] if f"`{word}`" not in page]


@pytest.mark.parametrize(
    "name", sorted(name for name, (_, page) in MET.items() if page == GLOSSARY)
)
def test_each_word_without_a_page_has_a_meaning(name: str) -> None:
    """Beside it in the code, from where the glossary has it."""
    assert [] == [word for word, meaning in meanings(closed_sets()[name]) if not meaning]
