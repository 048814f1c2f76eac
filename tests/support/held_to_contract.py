"""
What a gateway writes for an EPR in any test, held against the schemas of the contract.

    documents.receipt, .notice, … ──► noted, where it is not as described ──► the test fails
    a spool folder at the end of a world ──► each file has a name of the contract, and its schema

It is noted, and not raised, for a gateway would take it for a failure of its own and go on.
"""

from collections.abc import Callable, Iterator
from functools import cache, wraps
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson

from bars_gateway.epr import documents
from bars_gateway.epr.contract import FILES, DocumentWriter, strict
from bars_gateway.epr.documents import Document

# By the name of the function that composes it: which document it is.
COMPOSED = {
    "contract": "Contract",
    "receipt": "Receipt",
    "made": "Made",
    "refusal": "Refusal",
    "unknown": "Refusal",
    "move_refusal": "MoveRefusal",
    "problem": "Problem",
    "not_asked": "Problem",
    "notice": "Notice",
    "told": "Notices",
    "state": "Message",
    "row": "Row",
    "question": "Question",
    "listed": "Questions",
    "decided": "Decided",
    "answer_refusal": "AnswerRefusal",
}
_TO_BE_KNOWN = ("inbox/new", "questions/new")  # where nobody but the gateway writes
_ENDINGS = (".receipt.json", ".reason.json", ".decided.json")


@cache
def validator(name: str) -> Any:
    """Return what holds a document against its schema, as this version writes it."""
    return jsonschema_rs.validator_for(strict(name))


def faults(name: str, content: bytes) -> list[str]:
    """Return what is otherwise in *content* than the schema *name* says."""
    found = validator(name).iter_errors(orjson.loads(content))
    return [f"{name}: {each.message} at {each.instance_path}" for each in found]


def watching(
    compose: Callable[..., Document], name: str, found: list[str]
) -> Callable[..., Document]:
    """Return *compose*, with what is not as described put into *found*."""

    @wraps(compose)
    def composed(*arguments: Any, **named: Any) -> Document:
        document = compose(*arguments, **named)
        found.extend(faults(name, documents.encode(document)))
        return document

    return composed


def faults_of_files(spool: Path) -> Iterator[str]:
    """Yield what is otherwise in a spool folder than the contract says."""
    for path in sorted(each for each in spool.rglob("*") if each.is_file()):
        folder = str(path.parent.relative_to(spool)).removeprefix(".")
        meant = next((each for each in FILES if each.fits(folder, path.name)), None)
        if meant is None:
            if folder in _TO_BE_KNOWN or path.name.endswith(_ENDINGS):
                yield f"{folder}: the contract knows no such name as that of a file there"
        elif meant.writer is DocumentWriter.GATEWAY and meant.schema is not None:
            yield from faults(meant.schema, path.read_bytes())
