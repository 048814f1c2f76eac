"""
UTF-8, the one encoding of FHIR: whether bytes are in it, and what to say where they are not.

    bytes ──check──► nothing │ MalformedBundle: which encoding, from which byte, and the cure

.NET, PowerShell and some editors put a byte order mark before UTF-8. It says nothing, and whoever
only reads passes over it (`unmarked`). What is sent on goes as it came, mark and all: in JSON it
must not (RFC 8259), and many readers refuse it, so a message to be sent may not begin with one.
"""

import codecs

from bars_gateway.standard.tree import MalformedBundle

MARK = codecs.BOM_UTF8
_OTHERS = (  # the longer ones first: UTF-32 begins as UTF-16 does
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def unmarked(body: bytes) -> bytes:
    """Return *body* without the byte order mark of UTF-8 at its head."""
    return body.removeprefix(MARK)


def check(body: bytes) -> None:
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


def _other(head: bytes) -> str | None:
    """Return which other encoding the first bytes are in, where they show it."""
    for mark, name in _OTHERS:
        if head.startswith(mark):
            return name
    # Without a mark, the first characters show it: they are ASCII, in JSON as in XML.
    zeros = head.count(b"\0")
    return _BY_ZEROS.get(zeros)


_BY_ZEROS = {1: "UTF-16", 2: "UTF-16", 3: "UTF-32"}  # among four bytes
