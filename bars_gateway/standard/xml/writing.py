"""
FHIR's XML, written from the tree that JSON or XML was read into.

    tree ──from_tree──► bytes: UTF-8, elements in the order of R4

Every value goes out as it came in (D-lossless). Only what the structure checker finds nothing
wrong with can be written: XML has no place for an element that R4 does not know.
"""

import re
from collections.abc import Mapping
from itertools import zip_longest
from xml.sax.saxutils import escape

from bars_gateway.standard.elements import RESOURCE, Member, members, resources
from bars_gateway.standard.primitives import by_number, is_div, reads_as_div
from bars_gateway.standard.tree import Json, MalformedBundle, Number, Resource
from bars_gateway.standard.xml.reading import NAMESPACE

_IN_ATTRIBUTES = {'"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def from_tree(tree: Json) -> bytes:
    """Return *tree* as XML; raise MalformedBundle, with the path, where it is no R4."""
    out = ['<?xml version="1.0" encoding="UTF-8"?>']
    _resource(tree, "", out, f' xmlns="{NAMESPACE}"')
    return "".join(out).encode()


def _resource(tree: Json, path: str, out: list[str], attributes: str = "") -> None:
    kind = tree.get("resourceType") if isinstance(tree, dict) else None
    if not isinstance(tree, dict) or not isinstance(kind, str) or kind not in resources():
        raise MalformedBundle("is no resource of R4", path or "Bundle")
    inner = {name: value for name, value in tree.items() if name != "resourceType"}
    _tag(f"{kind}{attributes}", inner, kind, path or kind, out)


def _tag(opening: str, node: Resource, type_name: str, path: str, out: list[str]) -> None:
    at = len(out)
    out.append(f"<{opening}>")
    if node:
        _members(node, type_name, path, out)
    if len(out) > at + 1:
        out.append(f"</{opening.partition(' ')[0]}>")
    else:
        out[at] = f"<{opening}/>"


def _members(node: Resource, type_name: str, path: str, out: list[str]) -> None:
    known = members(type_name)
    if not all(name in known or _extends(name, known) for name in node):
        raise MalformedBundle("holds an element that R4 does not know", path)
    for name in sorted({n.removeprefix("_") for n in node}, key=lambda n: known[n].position):
        member = known[name]
        if member.is_attribute:
            continue
        if member.is_primitive:
            _primitives(node.get(name), node.get(f"_{name}"), member, f"{path}.{name}", out)
        else:
            for each in _listed(node[name], f"{path}.{name}", many=member.many):
                _element(each, member, f"{path}.{name}", out)


def _extends(name: str, known: Mapping[str, Member]) -> bool:
    member = known.get(name[1:]) if name.startswith("_") else None
    return member is not None and member.is_primitive and not member.is_attribute


def _listed(value: Json, path: str, *, many: bool) -> list[Json]:
    if isinstance(value, list) is not many:
        raise MalformedBundle("must be a list" if many else "may appear only once", path)
    return value if isinstance(value, list) else [value]


def _element(value: Json, member: Member, path: str, out: list[str]) -> None:
    if not isinstance(value, dict):
        raise MalformedBundle("must be an object", path)
    if member.type == RESOURCE:
        out.append(f"<{member.name}>")
        _resource(value, path, out)
        out.append(f"</{member.name}>")
    else:
        opening = f"{member.name}{_attributes(value, member.type, path)}"
        _tag(opening, value, member.type, path, out)


def _attributes(node: Resource, type_name: str, path: str) -> str:
    known = members(type_name)
    return "".join(
        f' {name}="{_text(node[name], path)}"'
        for name in ("id", "url")
        if name in node and name in known and known[name].is_attribute
    )


def _primitives(value: Json, under: Json, member: Member, path: str, out: list[str]) -> None:
    if value is None and under is None:
        return
    values = [] if value is None else _listed(value, path, many=member.many)
    unders = [] if under is None else _listed(under, path, many=member.many)
    for written, extended in zip_longest(values, unders):
        if member.type == "xhtml":
            out.append(_narrative(written, path))
        else:
            _primitive(written, {} if extended is None else extended, member.name, path, out)


def _primitive(value: Json, under: Json, name: str, path: str, out: list[str]) -> None:
    if not isinstance(under, dict):
        raise MalformedBundle("must be an object", path)
    written = "" if value is None else f' value="{_text(value, path)}"'
    attributes = _attributes(under, "Element", path) if under else ""
    _tag(f"{name}{attributes}{written}", under, "Element", path, out)


def _text(value: Json, path: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = value.text if isinstance(value, Number) else value
    if not isinstance(text, str) or _NOT_XML.search(text):
        raise MalformedBundle("holds what XML cannot carry", path)
    return escape(text, _IN_ATTRIBUTES)


def _narrative(value: Json, path: str) -> str:
    if not isinstance(value, str) or not reads_as_div(value):
        raise MalformedBundle("is no well-formed div", path)
    return (value if is_div(value) else by_number(value)).strip()
