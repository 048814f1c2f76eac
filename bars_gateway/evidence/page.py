"""The page of an export for people: statement by statement, with links to what shows it."""

from collections import Counter
from collections.abc import Collection, Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from bars_gateway.evidence.gaps import gaps_of, known_gaps
from bars_gateway.evidence.pieces import PIECES
from bars_gateway.evidence.questions import questions
from bars_gateway.standard.requirements import UNSHOWN, statements

if TYPE_CHECKING:
    import jinja2


def index(summary: Mapping[str, object], shown: Collection[str]) -> str:
    """Return the first page of an export: what *summary* tells of it, and what was *shown*."""
    return _template().render(
        summary=summary,
        shown=shown,
        statements=statements(),
        states=Counter(each.state for each in statements()),
        questions=questions(),
        unshown=UNSHOWN,
        pieces=PIECES,
        lacking=list(gaps_of(shown)),
        known=len(list(known_gaps())),
    )


@cache
def _template() -> "jinja2.Template":
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = files("bars_gateway.evidence").joinpath("index.html").read_text("utf-8")
    return environment.from_string(source)
