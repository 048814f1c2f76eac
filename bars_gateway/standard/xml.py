"""
FHIR's XML, read into the tree that JSON is read into, and written from it.

    bytes ──to_tree──► Document(tree, lines) ──► the same checks and rules as JSON
    tree ──from_tree──► bytes: UTF-8, elements in the order of R4

Every value stays as it was written (D-lossless): numbers become `Number`, instants stay
texts, and narrative is cut out of the bytes as it is. Comments and processing
instructions are passed over; an indentation is no content. A value and what extends it stand
side by side under two names, as in FHIR's JSON, and lists are filled with null so that the two
are of one length:

    <given value="A"/> <given id="x"/>  ──►  given: ["A", null], _given: [null, {"id": "x"}]

The parser is expat, of Python's own library. It would read UTF-16 unasked, and XML 1.1
as if it were 1.0: both are refused before. It tells lines and byte positions, and
reads as it goes, so that a document type, entities or a depth of more than 64 levels
end the reading where they begin (D-hostile-bodies). What is well-formed and still no R4 (unknown
elements, text between them) is kept under the marks of `tree.Stray`, and the
structure checker says so together with everything else that is wrong.

Every value goes out as it came in. Only what the structure checker finds nothing
wrong with can be written: XML has no place for an element that R4 does not know.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from typing import ClassVar, NoReturn
from xml.parsers import expat

from bars_gateway.standard.r4 import (
    DIV,
    NUMBERS,
    RESOURCE,
    Member,
    as_attribute,
    by_number,
    cut_out,
    is_div,
    matcher,
    members,
    reads_as_div,
    resources,
    vocabulary,
    without_names,
)
from bars_gateway.standard.tree import (
    MAX_DEPTH,
    MAX_ELEMENTS,
    TOO_DEEP,
    Json,
    MalformedBundle,
    Number,
    Resource,
    Stray,
    check_utf8,
    too_wide,
)

NAMESPACE = "http://hl7.org/fhir"
_FHIR = f"{NAMESPACE} "  # how expat begins the names of elements in a namespace
# FHIR has one encoding, and US-ASCII is a part of it. Names are those that IANA has registered, in
# any letter case: at another one an XML reader must stop (XML 1.0, 4.3.3), as the EPR's would.
_UTF_8, _ASCII = "utf-8", "us-ascii"
_UNDEFINED = 11  # expat's number for an entity that was never declared
_BROKEN = re.compile(rb"""<[^<]*?\svalue\s*=\s*(?:"[^"]*?[\t\r\n]|'[^']*?[\t\r\n])""")
_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance "  # schemaLocation and the like: no content
_EMPTY = ""  # what an element without value and content is kept as: the structure checker tells
_TRUTH = {"true": True, "false": False}

_Node = dict[str, Json]
_Place = tuple[int, str, bool, int]  # number of the parent, name, whether in a list, first byte
_NOT_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Document:
    """
    A resource that came as XML, and where each of its elements stands: what an operator looks up.

    Places are written down while it is read; paths are made of them only when somebody asks,
    which is when something is wrong.
    """

    tree: Resource
    _body: bytes
    _places: list[_Place]
    _late: list[int]
    _broken: list[int]

    @property
    def out_of_order(self) -> list[str]:
        """
        Return the FHIR path of each element that stands later than R4 has it.

        Nothing is lost by it, and official test messages do it: at most a warning.
        """
        known = _paths(self._places) if self._late else []
        return [known[number] for number in self._late]

    @property
    def broken_lines(self) -> list[str]:
        """
        Return the FHIR path of each value with a line break or a tab in its attribute.

        XML has every reader take that as a blank: who wrote it meant something else.
        """
        known = _paths(self._places) if self._broken else []
        return [known[number] for number in self._broken]

    @property
    def lines(self) -> Mapping[str, int]:
        """Return the line of each element, by its FHIR path; made when asked for."""
        found: dict[str, int] = {}
        line, before = 1, 0
        for path, (*_, at) in zip(_paths(self._places), self._places, strict=True):
            line += _lines_ended(self._body[before:at])
            before = at
            found.setdefault(path, line)
        return found


def _lines_ended(written: bytes) -> int:
    """Return how many lines end in what was *written*, by a CR, a LF or both."""
    return written.count(b"\n") + written.count(b"\r") - written.count(b"\r\n")


def _paths(places: list[_Place]) -> list[str]:
    """Return the FHIR path of each place."""
    found: list[str] = []
    counts: dict[str, int] = {}
    for parent, name, many, _ in places:
        path = f"{found[parent]}.{name}" if found else name
        if many:
            counts[path] = counts.get(path, -1) + 1
            path = f"{path}[{counts[path]}]"
        found.append(path)
    return found


def to_tree(body: bytes) -> Document:
    """
    Return the resource in *body*, or raise MalformedBundle, which names path and line.

    Refused here is only what nobody could read: the rest is for `structure.check`.
    """
    check_utf8(body)
    try:
        return _Reader(body, body).read()
    except _HtmlNameError:
        return _Reader(body, without_names(body)).read(again=True)


class _HtmlNameError(Exception):
    """A narrative names a character as HTML does."""


class _Frame:
    """An element that was begun and not yet ended. Made a thousand times a message: kept slim."""

    __slots__ = (
        "depth",
        "known",
        "member",
        "node",
        "nulls",
        "number",
        "parent",
        "position",
        "value",
    )

    def __init__(
        self, parent: "_Frame | None", member: Member | None, known: dict[str, Member], number: int
    ) -> None:
        self.parent = parent
        self.member = member  # None for a resource, which stands within its element
        self.known = known
        self.number = number  # of its place
        self.node: dict[str, Json] = {}
        self.position = -1  # of the last element in it
        self.value: Json = None  # of a primitive
        self.nulls: list[str] | None = None  # lists in it that hold a null
        # In the tree: a list is a level too.
        self.depth: int = 1 if parent is None else parent.depth
        if member is not None:
            self.depth += 2 if member.many else 1


@cache
def _by_tag(type_name: str) -> dict[str, Member]:
    """Return the members of a type by the names that expat gives to their elements."""
    if type_name == RESOURCE:
        return {}
    return {
        DIV if member.type == "xhtml" else f"{_FHIR}{name}": member
        for name, member in members(type_name).items()
        if not member.is_attribute
    }


class _Reader:
    # Where this is compiled, nothing else can be deleted.
    __deletable__: ClassVar = ["_parser"]

    def __init__(self, body: bytes, parsed: bytes) -> None:
        self._body = body
        self._has_breaks = any(each in body for each in (b"\t", b"\r", b"\n"))
        self._parsed = parsed  # as long, and without what the parser does not know
        self._places: list[_Place] = []
        self._frame: _Frame | None = None
        self._root: _Frame | None = None
        # A value that was begun, and as most has nothing in it: it gets no frame of its own.
        self._leaf: Member | None = None
        self._leaf_value: Json = None
        self._late: list[int] = []  # numbers of the places
        self._broken: list[int] = []  # of those with a line break in their attribute
        self._skipped = 0  # levels within an element that is not looked into
        self._narrative: int | None = None  # where a div begins
        self._scope: list[tuple[str | None, str]] = []  # namespaces that are declared
        self._parser = parser = expat.ParserCreate("UTF-8", " ")
        parser.buffer_text = True
        parser.XmlDeclHandler = self._declared
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartNamespaceDeclHandler = self._declare
        parser.EndNamespaceDeclHandler = self._undeclare
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text

    def read(self, *, again: bool = False) -> Document:
        try:
            self._parser.Parse(self._parsed, True)
        except expat.ExpatError as error:
            if error.code != _UNDEFINED:
                self._refuse("the body is not well-formed XML")
            if self._narrative is not None and not again:
                raise _HtmlNameError from None
            self._refuse("XML has no such entity (as &nbsp;): write the character, or &#160;")
        finally:  # it refers to the reader, and the reader to it
            del self._parser
        assert self._root is not None
        return Document(self._root.node, self._body, self._places, self._late, self._broken)

    def _refuse(self, text: str) -> NoReturn:
        if self._leaf is not None:
            self._unfold(self._leaf)
        path = _paths(self._places)[self._frame.number] if self._frame else "Bundle"
        line = self._parser.ErrorLineNumber
        raise MalformedBundle(f"{text}: line {line}", path, line) from None

    def _declared(self, version: str, encoding: str | None, _standalone: int) -> None:
        declared = (encoding or _UTF_8).lower()
        if declared not in {_UTF_8, _ASCII}:
            self._refuse(
                "XML must be written in UTF-8, and declare no other encoding: write"
                ' encoding="UTF-8" (with that hyphen), or leave it out'
            )
        if declared == _ASCII and not self._body.isascii():
            self._refuse(
                "XML that declares US-ASCII may hold no other characters, and this does: write"
                ' encoding="UTF-8", or leave it out'
            )
        if version != "1.0":
            self._refuse("XML must be written, and declared, as version 1.0")

    def _declare(self, prefix: str | None, uri: str) -> None:
        self._scope.append((prefix, uri))

    def _undeclare(self, _prefix: str | None) -> None:
        self._scope.pop()

    def _doctype(self, *_: object) -> NoReturn:
        self._refuse("a document type or entities may not stand in FHIR's XML")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if self._leaf is not None:
            self._unfold(self._leaf)
        frame = self._frame
        if frame is None:
            self._begin(tag, attributes)
            return
        member = frame.known.get(tag)
        if member is None:
            self._start_other(frame, tag, attributes)
            return
        name = member.name
        places = self._places
        number = len(places)
        if number > MAX_ELEMENTS:
            raise too_wide()
        places.append((frame.number, name, member.many, self._parser.CurrentByteIndex))
        before = frame.position
        if member.position < before:
            self._late.append(number)
        frame.position = member.position
        if member.is_narrative:
            self._narrative = self._parser.CurrentByteIndex
            self._skip()
        elif not member.many and (member.position <= before or self._late) and _is_in(frame, name):
            frame.node[f"{Stray.AGAIN}{name}"] = True
            self._skip()
        elif member.is_primitive and len(attributes) == 1 and "value" in attributes:
            written = attributes["value"]
            is_plain = member.is_text and not (self._has_breaks and " " in written)
            self._leaf = member
            self._leaf_value = written if is_plain else self._value(member, written, number)
        else:
            self._open(frame, member, attributes, number)

    def _unfold(self, member: Member) -> None:
        """Make a frame of the value that was begun last, for there is something in it."""
        self._leaf = None
        inner = _Frame(self._frame, member, _by_tag("Element"), len(self._places) - 1)
        inner.value = self._leaf_value
        self._frame = inner

    def _open(self, frame: _Frame, member: Member, attributes: dict[str, str], number: int) -> None:
        if member.is_primitive:
            self._frame = inner = _Frame(frame, member, _by_tag("Element"), number)
            written = attributes.pop("value", None)
            self._attributes(inner, "Element", attributes)
            if written is not None:
                inner.value = self._value(member, written, number)
            return
        self._frame = inner = _Frame(frame, member, _by_tag(member.type), number)
        if inner.depth > MAX_DEPTH:
            self._refuse(TOO_DEEP)
        if member.many:
            frame.node.setdefault(member.name, []).append(inner.node)  # type: ignore[union-attr]
        else:
            frame.node[member.name] = inner.node
        if attributes:
            self._attributes(inner, member.type, attributes)

    def _begin(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.removeprefix(_FHIR)
        if name == tag:
            self._refuse(f"the root element must be of the namespace {NAMESPACE}")
        if name not in resources():
            self._refuse("the root element is not a resource of R4")
        self._places.append((0, name, False, self._parser.CurrentByteIndex))
        self._frame = self._root = _Frame(None, None, _by_tag(name), 0)
        self._root.node["resourceType"] = name
        self._attributes(self._root, name, attributes)

    def _start_other(self, frame: _Frame, tag: str, attributes: dict[str, str]) -> None:
        """Begin a resource within its element, or what R4 does not know."""
        name = tag.removeprefix(_FHIR)
        if frame.member and frame.member.type == RESOURCE and not frame.node and name != tag:
            frame.node["resourceType"] = name
            if name in resources():
                inner = _Frame(frame, None, _by_tag(name), frame.number)
                inner.node = frame.node
                self._frame = inner
                self._attributes(inner, name, attributes)
            else:
                self._skip()
            return
        self._stray(frame, Stray.ELEMENT, name.rpartition(" ")[2])
        self._skip()

    def _stray(self, frame: _Frame, mark: Stray, name: str) -> None:
        number = len(self._places)
        known = name in vocabulary()
        frame.node[f"{mark}{name}#{number}"] = True
        place = (frame.number, name if known else "?", not known, self._parser.CurrentByteIndex)
        self._places.append(place)

    def _attributes(self, frame: _Frame, type_name: str, attributes: dict[str, str]) -> None:
        allowed = {} if type_name == RESOURCE else members(type_name)
        for name, value in attributes.items():
            member = allowed.get(name)
            if member and member.is_attribute:
                frame.node[name] = value
            elif not name.startswith(_INSTANCE):
                self._stray(frame, Stray.ATTRIBUTE, name.rpartition(" ")[2])

    def _value(self, member: Member, written: str, number: int) -> Json:
        """Return a value; note where a line break is within it, of which XML makes a blank."""
        may_be_one = self._has_breaks and " " in written
        if may_be_one and _BROKEN.match(self._body, self._parser.CurrentByteIndex):
            self._broken.append(number)
        return _value_of(member.type, written)

    def _end(self, _tag: str) -> None:
        frame = self._frame
        assert frame is not None
        leaf = self._leaf
        if leaf is not None:
            self._leaf = None
            if leaf.many:
                _keep_in_list(frame.node, leaf.name, self._leaf_value, None)
            else:
                frame.node[leaf.name] = self._leaf_value
            return
        member = frame.member
        self._frame = frame.parent
        if member is not None and member.is_primitive:
            assert frame.parent is not None
            keep = _keep_in_list if member.many else _keep_alone
            keep(frame.parent.node, member.name, frame.value, frame.node)
            if member.many and frame.value is None:
                frame.parent.nulls = [*(frame.parent.nulls or ()), member.name]
        elif frame.nulls:
            _drop_empty(frame.node, frame.nulls)

    def _text(self, data: str) -> None:
        if self._frame is not None and not data.isspace():
            if self._leaf is not None:
                self._unfold(self._leaf)
            self._frame.node[f"{Stray.TEXT}text"] = True

    def _skip(self) -> None:
        """Look no further into the element that begins here."""
        self._skipped = 1
        self._parser.StartElementHandler = self._start_skipped
        self._parser.EndElementHandler = self._end_skipped
        self._parser.CharacterDataHandler = None

    def _start_skipped(self, _tag: str, _attributes: dict[str, str]) -> None:
        self._skipped += 1
        if self._skipped > MAX_DEPTH:
            self._refuse(TOO_DEEP)

    def _end_skipped(self, _tag: str) -> None:
        self._skipped -= 1
        if self._skipped:
            return
        if self._narrative is not None:
            assert self._frame is not None
            end = self._parser.CurrentByteIndex
            self._frame.node["div"] = cut_out(self._body, self._narrative, end, self._scope)
            self._narrative = None
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text


def _is_in(frame: _Frame, name: str) -> bool:
    return name in frame.node or f"_{name}" in frame.node


def _value_of(type_name: str, written: str) -> Json:
    """Return a primitive's value; else the text, for the checker to tell."""
    if type_name in NUMBERS:
        return Number(written) if matcher(type_name)(written) else written
    return _TRUTH.get(written, written) if type_name == "boolean" else written


def _keep_alone(owner: _Node, name: str, value: Json, extended: _Node) -> None:
    """Put a primitive that may appear once where it belongs."""
    if extended:
        owner[f"_{name}"] = extended
    if value is not None or not extended:
        owner[name] = _EMPTY if value is None else value


def _keep_in_list(owner: _Node, name: str, value: Json, extended: _Node | None) -> None:
    """Add a primitive to the others of its name."""
    values: list[Json] = owner.setdefault(name, [])  # type: ignore[assignment]
    values.append(_EMPTY if value is None and not extended else value)
    under = f"_{name}"
    if extended and under not in owner:
        owner[under] = [None] * (len(values) - 1)
    if under in owner:
        owner[under].append(extended or None)  # type: ignore[union-attr]


def _drop_empty(node: _Node, names: list[str]) -> None:
    """Leave out the lists that hold nothing but nulls: only their extensions say something."""
    for name in names:
        values = node.get(name)
        if isinstance(values, list) and all(value is None for value in values):
            del node[name]


def from_tree(tree: Json) -> bytes:
    """Return *tree* as XML; raise MalformedBundle, with the path, where it is no R4."""
    out = ['<?xml version="1.0" encoding="UTF-8"?>']
    _resource(tree, "", out, f' xmlns="{NAMESPACE}"')
    return "".join(out).encode()


def _resource(tree: Json, path: str, out: list[str], attributes: str = "") -> None:
    kind = tree.get("resourceType") if isinstance(tree, dict) else None
    if not isinstance(tree, dict) or not isinstance(kind, str) or kind not in resources():
        raise MalformedBundle("is not a resource of R4", path or "Bundle")
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
    return as_attribute(text)


def _narrative(value: Json, path: str) -> str:
    if not isinstance(value, str) or not reads_as_div(value):
        raise MalformedBundle("is not a well-formed div", path)
    return (value if is_div(value) else by_number(value)).strip()
