"""
R4 as a table: which elements each type has, in which order, and how often.

    r4-element-table.json ──once, when first asked──► members("Patient")["birthDate"]

The table holds every resource, datatype and backbone of FHIR R4 4.0.1. HL7 publishes
the definitions that it was made from under CC0. It is no profile: what BaRS and UK
Core ask beyond R4 are rules (`rules`).

Two names for one thing: an *element* is what R4 defines (`value[x]`), a *member* is
what stands in a resource (`valueQuantity`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import orjson

RESOURCE = "Resource"  # the type of an element that holds a whole resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One element of a type. `names` are the members that it may appear as."""

    name: str  # value[x] where the type can be chosen
    names: tuple[str, ...]
    required: bool
    position: int  # among the elements of its type: XML keeps this order


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """What may stand in a resource under one name."""

    name: str
    type: str  # a primitive, a datatype, a backbone such as Bundle.entry, or RESOURCE
    many: bool  # a list, even of one
    codes: frozenset[str] | None  # of a required binding
    position: int
    is_primitive: bool
    is_attribute: bool  # in XML: the id of an element, and the url of an extension


@cache
def _table() -> dict[str, Any]:
    content = files("bars_gateway.standard").joinpath("r4-element-table.json").read_bytes()
    table: dict[str, Any] = orjson.loads(content)
    return table


@cache
def resources() -> frozenset[str]:
    """Return the names of all resources of R4."""
    return frozenset(_table()["resources"])


@cache
def elements(type_name: str) -> tuple[Element, ...]:
    """Return the elements of a resource, datatype or backbone, in the order of R4."""
    return tuple(
        Element(name=name, names=_names(name, types), required=least > 0, position=position)
        for position, (name, (types, least, *_)) in enumerate(_table()["types"][type_name].items())
    )


@cache
def members(type_name: str) -> Mapping[str, Member]:
    """Return what may stand in a resource, datatype or backbone, by name."""
    rows = _table()["types"][type_name]
    return {
        name: Member(
            name=name,
            type=kind,
            many=rows[element.name][2] == "*",
            codes=frozenset(codes) if (codes := rows[element.name][4]) else None,
            position=element.position,
            is_primitive=kind[0].islower(),
            is_attribute=_is_attribute(type_name, name),
        )
        for element in elements(type_name)
        for name, kind in zip(element.names, _kinds(rows[element.name]), strict=True)
    }


@cache
def vocabulary() -> frozenset[str]:
    """Return every name that R4 gives to any member: none of them tells of a patient."""
    rows = (item for elements_of in _table()["types"].values() for item in elements_of.items())
    names = {name for element, (types, *_) in rows for name in _names(element, types)}
    return frozenset(names | resources() | {"resourceType"})


def _names(name: str, types: list[str]) -> tuple[str, ...]:
    if not name.endswith("[x]"):
        return (name,)
    return tuple(f"{name[:-3]}{kind[0].upper()}{kind[1:]}" for kind in types)


def _kinds(row: list[Any]) -> list[str]:
    types, _, _, backbone, _ = row
    return types or [backbone]


def _is_attribute(type_name: str, name: str) -> bool:
    if name == "id":
        return type_name not in resources()
    return (type_name, name) == ("Extension", "url")
