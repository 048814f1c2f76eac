"""
FHIR's XML, read into the tree that JSON is read into.

    bytes ──to_tree──► Document(tree, lines) ──► the same checks and rules as JSON

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
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NoReturn
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from bars_gateway.standard import utf8
from bars_gateway.standard.elements import RESOURCE, Member, members, resources, vocabulary
from bars_gateway.standard.primitives import HTML_NAMED, NUMBERS, XHTML, matcher, reads_as_div
from bars_gateway.standard.tree import (
    MAX_DEPTH,
    MAX_ELEMENTS,
    TOO_DEEP,
    Json,
    MalformedBundle,
    Number,
    Resource,
    Stray,
    too_wide,
)

NAMESPACE = "http://hl7.org/fhir"
_FHIR = f"{NAMESPACE} "  # how expat begins the names of elements in a namespace
_DIV = f"{XHTML} div"
# FHIR has one encoding, and US-ASCII is a part of it. Names are those that IANA has registered, in
# any letter case: at another one an XML reader must stop (XML 1.0, 4.3.3), as the EPR's would.
_UTF_8, _ASCII = "utf-8", "us-ascii"
_UNDEFINED = 11  # expat's number for an entity that was never declared
_BROKEN = re.compile(rb"""<[^<]*?\svalue\s*=\s*(?:"[^"]*?[\t\r\n]|'[^']*?[\t\r\n])""")
_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance "  # schemaLocation and the like: no content
_EMPTY = ""  # what an element without value and content is kept as: the structure checker tells
_TRUTH = {"true": True, "false": False}
_NAME = re.compile(HTML_NAMED.pattern.encode())

_Node = dict[str, Json]
_Place = tuple[int, str, bool, int]  # number of the parent, name, whether in a list, line


@dataclass(frozen=True, slots=True)
class Document:
    """
    A resource that came as XML, and where each of its elements stands: what an operator looks up.

    Places are written down while it is read; paths are made of them only when somebody asks,
    which is when something is wrong.
    """

    tree: Resource
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
        for path, (*_, line) in zip(_paths(self._places), self._places, strict=True):
            found.setdefault(path, line)
        return found


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
    utf8.check(body)
    try:
        return _Reader(body, body).read()
    except _HtmlNameError:
        return _Reader(body, _without_names(body)).read(again=True)


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
        self.depth: int = (
            1 if parent is None else parent.depth
        )  # in the tree: a list is a level too
        if member is not None:
            self.depth += 2 if member.many else 1


@cache
def _by_tag(type_name: str) -> dict[str, Member]:
    """Return the members of a type by the names that expat gives to their elements."""
    if type_name == RESOURCE:
        return {}
    return {
        _DIV if member.type == "xhtml" else f"{_FHIR}{name}": member
        for name, member in members(type_name).items()
        if not member.is_attribute
    }


class _Reader:
    def __init__(self, body: bytes, parsed: bytes) -> None:
        self._body = body
        self._parsed = parsed  # as long, and without what the parser does not know
        self._places: list[_Place] = []
        self._frame: _Frame | None = None
        self._root: _Frame | None = None
        self._late: list[int] = []  # numbers of the places
        self._broken: list[int] = []  # of those with a line break in their attribute
        self._skipped = 0  # levels within an element that is not looked into
        self._narrative: int | None = None  # where a div begins
        self._scope: list[tuple[str | None, str]] = []  # namespaces that are declared
        self._parser = parser = expat.ParserCreate("UTF-8", " ")
        parser.buffer_text = True
        parser.XmlDeclHandler = self._declared
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartNamespaceDeclHandler = lambda prefix, uri: self._scope.append((prefix, uri))
        parser.EndNamespaceDeclHandler = lambda _: self._scope.pop()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text

    def read(self, *, again: bool = False) -> Document:
        try:
            self._parser.Parse(self._parsed, True)
        except expat.ExpatError as error:
            if error.code != _UNDEFINED:
                self._refuse("the body is no well-formed XML")
            if self._narrative is not None and not again:
                raise _HtmlNameError from None
            self._refuse("XML knows no such entity (as &nbsp;): write the character, or &#160;")
        finally:  # it refers to the reader, and the reader to it
            del self._parser
        assert self._root is not None
        return Document(self._root.node, self._places, self._late, self._broken)

    def _refuse(self, text: str) -> NoReturn:
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

    def _doctype(self, *_: object) -> NoReturn:
        self._refuse("a document type or entities may not stand in FHIR's XML")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
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
        places.append((frame.number, name, member.many, self._parser.CurrentLineNumber))
        if member.position < frame.position:
            self._late.append(number)
        frame.position = member.position
        if member.type == "xhtml":
            self._narrative = self._parser.CurrentByteIndex
            self._skip()
        elif not member.many and (name in frame.node or f"_{name}" in frame.node):
            frame.node[f"{Stray.AGAIN}{name}"] = True
            self._skip()
        else:
            self._open(frame, member, attributes, number)

    def _open(self, frame: _Frame, member: Member, attributes: dict[str, str], number: int) -> None:
        if member.is_primitive:
            self._frame = inner = _Frame(frame, member, _by_tag("Element"), number)
            if self._value(inner, member, attributes):
                self._broken.append(number)
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
            self._refuse("the root element is no resource of R4")
        self._places.append((0, name, False, self._parser.CurrentLineNumber))
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
        place = (frame.number, name if known else "?", not known, self._parser.CurrentLineNumber)
        self._places.append(place)

    def _attributes(self, frame: _Frame, type_name: str, attributes: dict[str, str]) -> None:
        allowed = {} if type_name == RESOURCE else members(type_name)
        for name, value in attributes.items():
            member = allowed.get(name)
            if member and member.is_attribute:
                frame.node[name] = value
            elif not name.startswith(_INSTANCE):
                self._stray(frame, Stray.ATTRIBUTE, name.rpartition(" ")[2])

    def _value(self, frame: _Frame, member: Member, attributes: dict[str, str]) -> bool:
        """Keep a value; tell whether a line break is within it, of which XML makes a blank."""
        written = attributes.pop("value", None)
        if attributes:
            self._attributes(frame, "Element", attributes)
        if written is None:
            return False
        frame.value = _value_of(member.type, written)
        if " " not in written:
            return False
        return _BROKEN.match(self._body, self._parser.CurrentByteIndex) is not None

    def _end(self, _tag: str) -> None:
        frame = self._frame
        assert frame is not None
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
            self._frame.node["div"] = _cut_out(self._body, self._narrative, end, self._scope)
            self._narrative = None
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text


def _value_of(type_name: str, written: str) -> Json:
    """Return a primitive's value; what is no such value stays a text, for the checker to tell."""
    if type_name in NUMBERS:
        return Number(written) if matcher(type_name)(written) else written
    return _TRUTH.get(written, written) if type_name == "boolean" else written


def _keep_alone(owner: _Node, name: str, value: Json, extended: _Node) -> None:
    """Put a primitive that may appear once where it belongs."""
    if extended:
        owner[f"_{name}"] = extended
    if value is not None or not extended:
        owner[name] = _EMPTY if value is None else value


def _keep_in_list(owner: _Node, name: str, value: Json, extended: _Node) -> None:
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


def _cut_out(body: bytes, begin: int, end: int, scope: Sequence[tuple[str | None, str]]) -> str:
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


def _without_names(body: bytes) -> bytes:
    """
    Return *body*, its narratives with full stops for what only HTML has a name for.

    `&nbsp;` and its like are read so, and kept as they were written: what is wrong with them is
    for the structure checker to say. Outside of narrative such a name is refused where it stands,
    for nobody could tell which character of a value it is.
    """
    parts: list[bytes] = []
    done = 0
    for begin, end in _Narratives(body).places:
        parts += (body[done:begin], _NAME.sub(_full_stops, body[begin:end]))
        done = end
    return b"".join((*parts, body[done:]))


def _full_stops(name: re.Match[bytes]) -> bytes:
    return b"." * len(name[0])


class _Narratives:
    """Where in a body the narratives are, as far as it can be read."""

    def __init__(self, body: bytes) -> None:
        self.places: list[tuple[int, int]] = []
        self._seen = 0
        self._depth = 0  # within a narrative
        self._begin = 0
        self._parser = parser = expat.ParserCreate("UTF-8", " ")
        parser.UseForeignDTD(True)  # there might be one that has the names: they are passed over
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        try:
            parser.Parse(body, True)
        except expat.ExpatError:
            pass  # whoever reads the rest says so
        finally:  # it refers to this, and this to it
            del self._parser

    def _start(self, tag: str, _attributes: dict[str, str]) -> None:
        self._seen += 1
        if self._seen > MAX_ELEMENTS:
            raise too_wide()
        if self._depth or tag == _DIV:
            self._depth += 1
            if self._depth == 1:
                self._begin = self._parser.CurrentByteIndex

    def _end(self, _tag: str) -> None:
        if self._depth:
            self._depth -= 1
            if not self._depth:
                self.places.append((self._begin, self._parser.CurrentByteIndex))
