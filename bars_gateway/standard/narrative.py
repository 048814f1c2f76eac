"""
Narrative: the XHTML that a resource holds as a text, in JSON as in XML.

    bytes of XML ──cut_out──► the div, as it was written, standing alone

Every value stays as it was written (D-lossless). Some writers name a character as HTML does
(`&nbsp;` and its like), which every browser shows and XML does not know: it is told, and the
narrative read for what it means.
"""

import re
from collections.abc import Sequence
from html.entities import name2codepoint
from typing import NoReturn
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from bars_gateway.standard.tree import MAX_ELEMENTS, too_wide

XHTML = "http://www.w3.org/1999/xhtml"
DIV = f"{XHTML} div"  # as expat names it
_OF_XML = {"lt", "gt", "amp", "quot"}
_HTML_NAMED = re.compile(f"&({'|'.join(name2codepoint.keys() - _OF_XML)});")
HTML_NAMES = (
    "names a character as HTML does (&nbsp; and its like): XML does not know it, and many readers"
    " refuse it; write the character, or its number (&#160;)"
)
_NAME = re.compile(_HTML_NAMED.pattern.encode())


def reads_as_div(text: str) -> bool:
    """Tell whether *text* is one XHTML div for whoever knows HTML's names of characters, too."""
    return is_div(text) or is_div(by_number(text))


def by_number(text: str) -> str:
    """Return *text* with `&#160;` for `&nbsp;`, and so with each name that only HTML has."""
    return _HTML_NAMED.sub(lambda name: f"&#{name2codepoint[name[1]]};", text)


def is_div(text: str) -> bool:
    """Tell whether *text* is one XHTML div that needs nothing around it."""
    opened: list[str] = []
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = lambda name, _: opened.append(name)
    parser.StartDoctypeDeclHandler = parser.XmlDeclHandler = _refuse
    try:
        parser.Parse(text.encode(), True)
    except (expat.ExpatError, UnicodeEncodeError):
        return False
    return opened[0] == DIV


def _refuse(*_: object) -> NoReturn:
    raise expat.ExpatError


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


def without_names(body: bytes) -> bytes:
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
        if self._depth or tag == DIV:
            self._depth += 1
            if self._depth == 1:
                self._begin = self._parser.CurrentByteIndex

    def _end(self, _tag: str) -> None:
        if self._depth:
            self._depth -= 1
            if not self._depth:
                self.places.append((self._begin, self._parser.CurrentByteIndex))
