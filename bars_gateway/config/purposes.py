"""
What each setting is for: the text that stands below it, read once somebody asks.

    Outbound, "max_in_flight" ──► the source of the class ──► "The most messages under way …"

The surprising choice: the library could read these texts for us while it makes the tables,
but then every command would read and parse all of our source before it does anything.
"""

import ast
import inspect
from functools import cache
from itertools import pairwise

from pydantic import BaseModel


def purpose(table: type[BaseModel], name: str) -> str:
    """Return what the setting *name* of *table* is for, in paragraphs; empty: it does not say."""
    return _texts(table).get(name, "")


@cache
def _texts(table: type[BaseModel]) -> dict[str, str]:
    (definition,) = ast.parse(inspect.getsource(table)).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for setting, below in pairwise(definition.body):
        match setting, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = inspect.cleandoc(text)
    return found
