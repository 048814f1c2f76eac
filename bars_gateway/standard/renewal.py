"""
Gives a Bundle a new id, and changes no other byte of it.

    bytes ──renewed──► the same bytes, but for Bundle.id

A resend of a new message needs a Bundle.id of its own (B05). To parse and to write again
would change numbers, instants and white space (D-lossless), so the id is found where it stands
and cut out. What came of it is read again: if anything but the id differs, it is refused.
"""

import re

from bars_gateway.standard.bundle import MalformedBundle, read

# What JSON is made of as far as nesting goes: texts, brackets, and what separates.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]:]', re.DOTALL)
_XML_ID = re.compile(rb"<(?:[\w.-]+:)?id\s[^>]*?value\s*=\s*([\"'])(.*?)\1", re.DOTALL)


def renewed(body: bytes, media_type: str, bundle_id: str) -> bytes:
    """Return *body* with that Bundle.id; raise MalformedBundle where it has none to replace."""
    place = _place_in_xml(body) if "xml" in media_type else _place_in_json(body)
    if place is None:
        raise MalformedBundle("the Bundle has no id to replace", "Bundle.id")
    start, end = place
    changed = body[:start] + bundle_id.encode("ascii") + body[end:]
    before, after = read(body, media_type), read(changed, media_type)
    if {**before.root, "id": bundle_id} != after.root:
        raise MalformedBundle("the Bundle's id cannot be told from other content", "Bundle.id")
    return changed


def _place_in_json(body: bytes) -> tuple[int, int] | None:
    """Return where the text of the outermost member `id` begins and ends, without its quotes."""
    depth, name, is_id = 0, b"", False
    for token in _TOKEN.finditer(body):
        word = token[0]
        if word in {b"{", b"["}:
            depth += 1
        elif word in {b"}", b"]"}:
            depth -= 1
        elif word == b":":
            is_id = depth == 1 and name == b'"id"'
            continue
        elif is_id:
            return token.start() + 1, token.end() - 1
        name, is_id = word, False
    return None


def _place_in_xml(body: bytes) -> tuple[int, int] | None:
    """Return where the value of the first `id` begins and ends: R4 puts the Bundle's own first."""
    found = _XML_ID.search(body)
    return None if found is None else found.span(2)
