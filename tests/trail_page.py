"""What `docs/records.md` prints: each kind of line in the audit trail that is about a message."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import bars_gateway
from bars_gateway.model.timeline import ACTS, NOTED, act_in_words
from bars_gateway.store.reports import REPORTED

PACKAGE = Path(bars_gateway.__file__).parent
_WRITES = frozenset({"add_event", "_audit", "_tell", "note"})


def lines_of_the_trail() -> str:
    """Return what each says; what somebody did is under whoever did it."""
    rows = [(f"`{kind}`", says) for kind, says in NOTED.items()]
    rows += [(f"`operator.{act}`, `epr.{act}`", act_in_words(act)) for act in ACTS]
    return "\n".join(["| Kind | What it says |", "|---|---|", *(f"| {k} | {w} |" for k, w in rows)])


def kinds_written() -> Iterator[str]:
    """Yield each kind that the code adds by its name, or by a constant."""
    yield from REPORTED
    for path in sorted(PACKAGE.rglob("*.py")):
        calls = [each for each in ast.walk(ast.parse(path.read_text("utf-8"))) if _adds(each)]
        if not calls:
            continue
        dotted = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        known = vars(importlib.import_module(dotted))
        for call in calls:
            for given in call.args:
                said = given.value if isinstance(given, ast.Constant) else None
                said = known.get(given.id) if isinstance(given, ast.Name) else said
                if isinstance(said, str) and "." in said and said.replace(".", "").islower():
                    yield said


def _adds(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    return ast.unparse(node.func).rpartition(".")[2] in _WRITES
