"""
What stands in an XML element, as it is kept in the tree.

    <given value="A"/> <given id="x"/>  ──►  given: ["A", null], _given: [null, {"id": "x"}]

A value and what extends it stand side by side under two names, as in FHIR's JSON, and
lists are filled with null so that the two are of one length.
"""

import re
from collections.abc import Sequence
from xml.sax.saxutils import quoteattr

from bars_gateway.standard.primitives import NUMBERS, matcher, reads_as_div
from bars_gateway.standard.tree import Json, Number

Node = dict[str, Json]

_EMPTY = ""  # what an element without value and content is kept as: the structure checker tells
_TRUTH = {"true": True, "false": False}


def value_of(type_name: str, written: str) -> Json:
    """Return a primitive's value; what is no such value stays a text, for the checker to tell."""
    if type_name in NUMBERS:
        return Number(written) if matcher(type_name)(written) else written
    return _TRUTH.get(written, written) if type_name == "boolean" else written


def keep_alone(owner: Node, name: str, value: Json, extended: Node) -> None:
    """Put a primitive that may appear once where it belongs."""
    if extended:
        owner[f"_{name}"] = extended
    if value is not None or not extended:
        owner[name] = _EMPTY if value is None else value


def keep_in_list(owner: Node, name: str, value: Json, extended: Node) -> None:
    """Add a primitive to the others of its name."""
    values: list[Json] = owner.setdefault(name, [])  # type: ignore[assignment]
    values.append(_EMPTY if value is None and not extended else value)
    under = f"_{name}"
    if extended and under not in owner:
        owner[under] = [None] * (len(values) - 1)
    if under in owner:
        owner[under].append(extended or None)  # type: ignore[union-attr]


def drop_empty(node: Node, names: list[str]) -> None:
    """Leave out the lists that hold nothing but nulls: only their extensions say something."""
    for name in names:
        values = node.get(name)
        if isinstance(values, list) and all(value is None for value in values):
            del node[name]


def cut_out(body: bytes, begin: int, end: int, scope: Sequence[tuple[str | None, str]]) -> str:
    """
    Return the narrative that begins at *begin*, as it was written.

    *end* is where its last tag begins, or, of an empty element, ends. Namespaces that
    are declared around it (*scope*) are declared in it, so that it can stand alone.
    """
    text = body[begin:end].decode()
    if text.endswith("/>") and reads_as_div(alone := _standing_alone(text, scope)):
        return alone
    return _standing_alone(body[begin : body.index(b">", end) + 1].decode(), scope)


def _standing_alone(text: str, scope: Sequence[tuple[str | None, str]]) -> str:
    if reads_as_div(text):
        return text
    tag = re.match(r"<[^\s/>]+", text)
    assert tag is not None
    opening = text.partition(">")[0]
    names = {f"xmlns:{prefix}" if prefix else "xmlns": uri for prefix, uri in scope}
    declared = "".join(
        f" {name}={quoteattr(uri)}"
        for name, uri in names.items()
        if not re.search(rf"\s{re.escape(name)}\s*=", opening)
    )
    return f"{tag[0]}{declared}{text[tag.end() :]}"
