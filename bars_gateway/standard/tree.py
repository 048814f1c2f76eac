"""
What a resource is once it is read, whichever of the two formats it came in.

    JSON bytes ──bundle──┐                  ┌──► structure, rules, answers
                         ├──► dict of Json ─┤
    XML bytes ───xml─────┘                  └──► xml, for who asked for it

The shape is that of FHIR's JSON. Numbers are kept as they were written (`Number`),
because BaRS's seven-digit instants and clinical decimals do not survive a round trip
through Python's floats (D-lossless). Texts, instants and narrative are kept as texts.

What XML can say and R4 does not know (an element too many, text between elements) is
kept too, under a name that begins with one of the marks of `Stray`. So the structure
checker finds it where it stands, and nothing is dropped unseen.

UTF-8 is the one encoding of FHIR: what is not in it is refused, with the place and the cure.

    bytes ──check_utf8──► nothing │ MalformedBundle: which encoding, from which byte, and the cure

.NET, PowerShell and some editors put a byte order mark before UTF-8. It says nothing, and whoever
only reads passes over it (`unmarked`). What is sent on goes as it came, mark and all: in JSON it
must not (RFC 8259), and many readers refuse it, so a message to be sent may not begin with one.

This module, `r4`, `structure` and `xml` go through every element, and may be compiled.

Decisions: D-compiled.
"""

import codecs
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isinf
from typing import Any, NoReturn

import orjson

from bars_gateway.standard.issues import Issue

MAX_DEPTH = 64
TOO_DEEP = f"the body is nested deeper than {MAX_DEPTH} levels"
MAX_OBJECTS = 100_000  # objects and lists; the largest that is published has about two thousand
MAX_ELEMENTS = 4 * MAX_OBJECTS  # of XML, where each value is one, too
TOO_WIDE = "the body holds more elements than can be looked at in time; send less in one message"
BYTE_ORDER_MARK = codecs.BOM_UTF8
_OTHERS = (  # the longer ones first: UTF-32 begins as UTF-16 does
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_MOST_DIGITS = 300  # of a number without an exponent that is for sure finite
_BY_ZEROS = {1: "UTF-16", 2: "UTF-16", 3: "UTF-32"}  # among four bytes


@dataclass(frozen=True, slots=True)
class Number:
    """A number, as it was written."""

    text: str


Json = None | bool | str | Number | Sequence["Json"] | Mapping[str, "Json"]


Resource = Mapping[str, Json]


class Stray(StrEnum):
    """How the name of a member begins that stands for something XML may not hold."""

    ELEMENT = "<"  # R4 has no such element here
    AGAIN = "+"  # it has, but only one
    ATTRIBUTE = "@"
    TEXT = "&"


class MalformedBundle(ValueError):
    """The bytes are no Bundle that can be read; `issue` says what to answer."""

    def __init__(
        self,
        text: str,
        path: str = "Bundle",
        line: int | None = None,
        *,
        http_status: int = 400,
        issue: str = "structure",
    ) -> None:
        super().__init__(text)
        self.line = line  # of XML
        self.issue = Issue(
            rule="B01",
            path=path,
            text=text,
            http_status=http_status,
            code="REC_BAD_REQUEST",
            issue=issue,
        )


def too_wide() -> MalformedBundle:
    """Return what is wrong with a body that nobody could look at in time."""
    return MalformedBundle(TOO_WIDE, http_status=413, issue="too-costly")


def unmarked(body: bytes) -> bytes:
    """Return *body* without the byte order mark of UTF-8 at its head."""
    return body.removeprefix(BYTE_ORDER_MARK)


def is_kept(root: object, written: bytes) -> bool:
    """
    Tell whether orjson has kept all of what was *written* when it read it as *root*.

    It has if what it would write is, but for blanks, what came: then there were as many members,
    and each number looks as it would be written. Of `1.20` or a member that stands twice it
    keeps less than came. What is too deep it reads, and does not write.
    """
    try:
        again = orjson.dumps(root)
    except orjson.JSONEncodeError:
        return False
    return again == written or _unspaced(again) == _unspaced(written)


def as_number(value: object) -> Number:
    """Return a number of orjson's as it was written, in what it has kept all of."""
    return Number(orjson.dumps(value).decode())


def number_of(written: str) -> Number:
    """Return the number as it was *written*; refuse one that no reader can hold, as orjson does."""
    if (len(written) > _MOST_DIGITS or "e" in written or "E" in written) and isinf(float(written)):
        no_number(written)
    return Number(written)


def no_number(_written: str) -> NoReturn:
    """Refuse what stands where a number may and is none: NaN, and what is infinite."""
    raise MalformedBundle("the body is not valid JSON: it has a number that is none")


def _unspaced(written: bytes) -> bytes:
    return written.translate(None, b" \t\r\n")


def check_utf8(body: bytes) -> None:
    """Raise MalformedBundle, with the place and the cure, where *body* is not in UTF-8."""
    other = _other(body[:4])
    if other is not None:
        raise MalformedBundle(f"the body is in {other}, from line 1: write it in UTF-8", line=1)
    try:
        body.decode()
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        text = (
            f"the body is not in UTF-8 (line {line}, byte offset {error.start}); it may be in"
            " Windows-1252 or Latin-1: write it in UTF-8"
        )
        raise MalformedBundle(text, line=line) from None


def plain_object(content: bytes) -> dict[str, Any]:
    """
    Return the JSON object of a few words that *content* is; raise MalformedBundle with the cure.

    Nobody may choose between two members of one name: of an order, the later may be its opposite.
    """
    check_utf8(content)
    written = unmarked(content)
    try:
        found = orjson.loads(written)
        has_twice = _has_twice(written.decode())
    except (ValueError, RecursionError):  # what is nested too deeply for either, too
        raise MalformedBundle("the body is not valid JSON") from None
    if not isinstance(found, dict):
        raise MalformedBundle("the body is not a JSON object")
    if has_twice:
        raise MalformedBundle("the body has a member twice in one object: leave one out")
    return found


def _has_twice(written: str) -> bool:
    """Tell whether an object within valid JSON has two members of one name."""
    found: list[bool] = []

    def look(pairs: list[tuple[str, object]]) -> None:
        found.append(len(dict(pairs)) < len(pairs))

    json.loads(written, object_pairs_hook=look)
    return any(found)


def _other(head: bytes) -> str | None:
    """Return which other encoding the first bytes are in, where they show it."""
    for mark, name in _OTHERS:
        if head.startswith(mark):
            return name
    # Without a mark, the first characters show it: they are ASCII, in JSON as in XML.
    zeros = head.count(b"\0")
    return _BY_ZEROS.get(zeros)


def objects_in(resource: Resource) -> list[Resource]:
    """Return every object within *resource*, itself first."""
    found: list[Any] = [resource]
    for each in found:  # which grows while it is read
        for value in each.values():
            kind = value.__class__
            if kind is str:  # as most are
                continue
            if kind is dict:
                found.append(value)
            elif kind is list:
                found += [item for item in value if item.__class__ is dict]
    return found


def text_of(resource: object, element: str) -> str:
    """Return the text of *element*, or an empty one where it is missing or no text."""
    value = resource.get(element) if isinstance(resource, dict) else None
    return value if isinstance(value, str) else ""


def map_of(resource: object, element: str) -> Resource:
    """Return the object at *element*, or an empty one."""
    value = resource.get(element) if isinstance(resource, dict) else None
    return value if isinstance(value, dict) else {}


def maps_of(resource: object, element: str) -> Sequence[Resource]:
    """Return the objects in the list at *element*; what is not an object is left out."""
    value = resource.get(element) if isinstance(resource, dict) else None
    if not isinstance(value, list):
        return []
    for each in value:
        if not isinstance(each, dict):
            return [item for item in value if isinstance(item, dict)]
    return value  # as nearly always
