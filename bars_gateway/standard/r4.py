"""
R4 as a table: which elements each type has, and the forms of its primitive values.

    r4-element-table.json ──once, when first asked──► members("Patient")["birthDate"]

The table holds every resource, datatype and backbone of FHIR R4 4.0.1. HL7 publishes
the definitions that it was made from under CC0. It is no profile: what BaRS and UK
Core ask beyond R4 are rules (`rules`).

Two names for one thing: an *element* is what R4 defines (`value[x]`), a *member* is
what stands in a resource (`valueQuantity`).

What a date, an id or a code looks like is an expression for each type.

    form("instant")("2026-03-02T09:00:00.1234567+00:00") ──► None: nothing is wrong

Nothing is converted, so nothing is lost: an instant may have as many digits as its
writer cares for, and BaRS's have seven. The expressions are those of FHIR R4, read
as ASCII, so that a no-break space is no white space here either. Four are stricter
than R4's own: days exist in the calendar, Base64 is padded at its end only, what
XML cannot carry (most control characters) is refused in JSON too, and nothing that
names something holds a byte order mark, which nobody sees (HL7's schema: no white space).
"""

import re
from calendar import monthrange
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import orjson

from bars_gateway.standard.narrative import HTML_NAMES, XHTML, is_div, reads_as_div
from bars_gateway.standard.tree import Number

RESOURCE = "Resource"  # the type of an element that holds a whole resource
Form = Callable[[object], str | None]  # what is wrong with a value, without the value
REFERENCE = "reference"  # R4's type for it is string; what it holds names something
_LONGEST = 1024 * 1024  # of a string, in characters
_LARGEST = 2**31 - 1  # of the whole numbers
_MOST_DIGITS = len("-2147483648")
_YEAR = r"([0-9]([0-9]([0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)"
_MONTH = r"(0[1-9]|1[0-2])"
_DAY = r"(0[1-9]|[12][0-9]|3[01])"
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?"
_ZONE = r"(Z|[+-]((0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_BLACK = r"[^\s\x00-\x1f\ufeff\ufffe\uffff]"
_WHOLE = r"0|[1-9][0-9]*"
_TEXTS = {
    "base64Binary": (r"[0-9A-Za-z+/\s]*+={0,2}\s*", "Base64"),
    "canonical": (rf"{_BLACK}*", "canonical: a URI without spaces, seen or unseen (U+FEFF)"),
    "code": (
        rf"{_BLACK}+([ \t\r\n]{_BLACK}+)*",
        "code: no spaces around it, single ones within, and none that are unseen (U+FEFF)",
    ),
    "date": (rf"{_YEAR}(-{_MONTH}(-{_DAY})?)?", "date: YYYY, YYYY-MM or YYYY-MM-DD"),
    "dateTime": (
        rf"{_YEAR}(-{_MONTH}(-{_DAY}(T{_TIME}{_ZONE})?)?)?",
        "dateTime: a date, or YYYY-MM-DDThh:mm:ss with Z or +hh:mm",
    ),
    "id": (r"[A-Za-z0-9\-.]{1,64}", "id: 1 to 64 letters, digits, hyphens and full stops"),
    "instant": (
        rf"{_YEAR}-{_MONTH}-{_DAY}T{_TIME}{_ZONE}",
        "instant: YYYY-MM-DDThh:mm:ss with Z or +hh:mm",
    ),
    "oid": (r"urn:oid:[0-2](\.(0|[1-9][0-9]*))+", "oid: urn:oid: and numbers with full stops"),
    "string": (
        rf"[^\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]{{1,{_LONGEST}}}",
        "string: at most 1048576 characters, and no control characters",
    ),
    "time": (_TIME, "time: hh:mm:ss"),
    "uri": (rf"{_BLACK}*", "uri: no spaces, seen or unseen (U+FEFF)"),
    "uuid": (
        r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "uuid: urn:uuid: and a UUID in lower case",
    ),
}
_TEXTS["url"] = (_TEXTS["uri"][0], _TEXTS["uri"][1].replace("uri", "url"))
_TEXTS[REFERENCE] = (
    rf"[^\x00-\x08\x0b\x0c\x0e-\x1f\ufeff\ufffe\uffff]{{1,{_LONGEST}}}",
    "reference: no control characters, and no unseen space (U+FEFF)",
)
_TEXTS["markdown"] = (_TEXTS["string"][0], _TEXTS["string"][1].replace("string", "markdown"))
_NUMBERS = {
    "decimal": (r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", "decimal number"),
    "integer": (rf"-?({_WHOLE})", "whole number"),
    "positiveInt": (r"[1-9][0-9]*", "whole number above 0"),
    "unsignedInt": (_WHOLE, "whole number that is not negative"),
}
NUMBERS = frozenset(_NUMBERS)


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


@cache
def form(type_name: str, codes: frozenset[str] | None = None) -> Form:
    """Return what looks at a value of that type: None, or what is wrong with it."""
    if type_name == "boolean":
        return _boolean
    if type_name == "xhtml":
        return _narrative
    if type_name in _NUMBERS:
        return _number(type_name)
    return _text(type_name) if codes is None else _coded(codes)


@cache
def matcher(type_name: str) -> Callable[[str], re.Match[str] | None]:
    """Return what matches the written form of a number or text of that type."""
    return re.compile((_NUMBERS | _TEXTS)[type_name][0], re.ASCII).fullmatch


def _boolean(value: object) -> str | None:
    return None if value is True or value is False else "must be true or false"


def _number(type_name: str) -> Form:
    matches = matcher(type_name)
    wrong = f"must be a {_NUMBERS[type_name][1]}, and no text"
    is_whole = type_name != "decimal"

    def number(value: object) -> str | None:
        if not isinstance(value, Number) or not matches(value.text):
            return wrong
        if is_whole and _is_too_large(value.text):
            return "must be a whole number of at most 31 bits"
        return None

    return number


def _is_too_large(digits: str) -> bool:
    return len(digits) > _MOST_DIGITS or not -_LARGEST - 1 <= int(digits) <= _LARGEST


def _text(type_name: str) -> Form:
    matches = matcher(type_name)
    wrong = f"is not a valid {_TEXTS[type_name][1]}"
    more = {
        "base64Binary": _is_padded,
        "date": _is_in_calendar,
        "dateTime": _is_in_calendar,
        "instant": _is_in_calendar,
    }.get(type_name)

    def text(value: object) -> str | None:
        if not isinstance(value, str):
            return "must be a text"
        if not value:
            return "may not be empty: leave it out"
        if not matches(value) or (more and not more(value)):
            return wrong
        return None

    return text


def _is_padded(text: str) -> bool:
    return len("".join(text.split())) % 4 == 0


def _is_in_calendar(text: str) -> bool:
    day = text[8:10]
    return day < "29" or int(day) <= monthrange(int(text[:4]), int(text[5:7]))[1]


def _coded(codes: frozenset[str]) -> Form:
    few = len(codes) <= 12  # noqa: PLR2004 - what still fits a line or two
    wrong = (
        f"must be one of: {', '.join(sorted(codes))}"
        if few
        else "must be one of the codes that R4 lists for it"
    )
    text = _text("code")

    def coded(value: object) -> str | None:
        return None if value.__class__ is str and value in codes else text(value) or wrong

    return coded


def _narrative(value: object) -> str | None:
    if not isinstance(value, str):
        return "must be a text"
    if is_div(value):
        return None
    return HTML_NAMES if reads_as_div(value) else f"must be one well-formed div of {XHTML}"
