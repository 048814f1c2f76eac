"""
Gives a Bundle another id and leaves every other byte of it as it was.

    bytes + new id ──renamed──► bytes │ None

A request that is sent again on purpose is another message, and a Receiver refuses a new
message under a Bundle.id that it has seen (B05, M11b). The value of the root's own `id`
is replaced where it stands, because to write the Bundle anew would change numbers and
instants. What was made is read again before it is returned.
"""

import re
from collections.abc import Iterator
from xml.parsers import expat

from bars_gateway.standard.bundle import MalformedBundle, bare_id, read

_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)
_JSON_ID = re.compile(rb'"id"\s*:\s*("[^"\\]*")')
_XML_ID = re.compile(rb"<id\s[^>]*?value\s*=\s*[\"']([^\"'<]*)[\"']")


def renamed(body: bytes, media_type: str, new_id: str) -> bytes | None:
    """Return *body* with *new_id* as its Bundle.id, or None where that cannot be done safely."""
    find = _in_xml if "xml" in media_type else _in_json
    try:
        spans = list(find(body))
        if len(spans) != 1:
            return None
        begin, end = spans[0]
        made = body[:begin] + new_id.encode("ascii") + body[end:]
        return made if read(made, media_type).bundle_id == bare_id(new_id) else None
    except (MalformedBundle, expat.ExpatError):
        return None


def _in_json(body: bytes) -> Iterator[tuple[int, int]]:
    """Yield where the value of each `id` of the root begins and ends, without its quotes."""
    depth = 0
    for token in _TOKENS.finditer(body):
        first = token[0][:1]
        if first in b"{[":
            depth += 1
        elif first in b"}]":
            depth -= 1
        elif depth == 1 and (found := _JSON_ID.match(body, token.start())):
            yield found.start(1) + 1, found.end(1) - 1


def _in_xml(body: bytes) -> Iterator[tuple[int, int]]:
    starts: list[int] = []
    depth = 0
    parser = expat.ParserCreate()

    def begin(name: str, _attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth == 2 and name == "id":  # noqa: PLR2004 - a child of the root
            starts.append(parser.CurrentByteIndex)

    def end(_name: str) -> None:
        nonlocal depth
        depth -= 1

    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.Parse(body, True)
    for start in starts:
        if found := _XML_ID.match(body, start):
            yield found.span(1)
