"""
Narrative that names characters as HTML does: `&nbsp;` and its like, which XML does not know.

    bytes ──without_names──► bytes of the same length that XML's parser reads

Only for reading: what is kept is the narrative as it was written, and what is wrong with it is for
the structure checker to say. Outside of narrative such a name is refused where it stands, for
nobody could tell which character of a value it is.
"""

import re
from xml.parsers import expat

from bars_gateway.standard.primitives import HTML_NAMED, XHTML
from bars_gateway.standard.tree import MAX_ELEMENTS, too_wide

_DIV = f"{XHTML} div"
_NAME = re.compile(HTML_NAMED.pattern.encode())


def without_names(body: bytes) -> bytes:
    """Return *body*, its narratives with full stops for what only HTML has a name for."""
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
