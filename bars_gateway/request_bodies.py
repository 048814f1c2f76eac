"""
The body of a request, inflated: the one way in which every listener of ours unpacks.

    chunks ──(gzip)──► bytes │ BodyTooLong │ BrokenPacking

The limit counts what comes out of the inflating as well as what goes into it, and
inflating stops at the limit: a few kilobytes cannot become gigabytes here. A body may be
packed in several gzip members (RFC 1952), as whoever packs piece by piece does. One whose
last bytes are missing is none: what was cut off nobody can know.

Decisions: D-gzip, D-hostile-bodies.
"""

import zlib
from typing import Final

from aiohttp import web

ENCODING: Final = "gzip"  # that is read, and may be called x-gzip
_GZIP = zlib.MAX_WBITS | 16
_MOST_MEMBERS = 1000  # each costs time, and may be empty
_ENCODINGS = frozenset({"identity", ENCODING, "x-gzip"})


class BodyTooLong(Exception):
    """The body is longer than is read here, packed or not."""


class BrokenPacking(Exception):
    """The body is not the whole stream that its Content-Encoding promises."""


def encoding_of(request: web.BaseRequest) -> str:
    """Return the Content-Encoding in lower case, `identity` where there is none."""
    return request.headers.get("Content-Encoding", "").strip().lower() or "identity"


def is_known(encoding: str) -> bool:
    """Tell whether a body of that Content-Encoding can be read."""
    return encoding in _ENCODINGS


async def unpacked(request: web.BaseRequest, max_bytes: int) -> bytes:
    """Return the whole body, or raise BodyTooLong or BrokenPacking; never more than *max_bytes*."""
    inflating = None if encoding_of(request) == "identity" else _Inflating(max_bytes)
    body = bytearray()
    while chunk := await request.content.readany():
        body += chunk if inflating is None else inflating.inflated(chunk)
        if len(body) > max_bytes or (inflating and inflating.taken > max_bytes):
            raise BodyTooLong
    if inflating is not None and not inflating.ended:
        raise BrokenPacking
    return bytes(body)


class _Inflating:
    """Members of gzip that are inflated as they come, to one byte beyond the limit at most."""

    def __init__(self, max_bytes: int) -> None:
        self._member = zlib.decompressobj(_GZIP)
        self._members = 1
        self._room = max_bytes + 1
        self.taken = 0  # bytes, before inflating

    @property
    def ended(self) -> bool:
        """Whether the last member is complete."""
        return self._member.eof

    def inflated(self, chunk: bytes) -> bytes:
        """Return what *chunk* adds to the body, cut off one byte beyond the limit."""
        self.taken += len(chunk)
        found = bytearray()
        while chunk and self._room:  # 0, zlib would read as no limit
            if self._member.eof:
                self._begin_another()
            found += self._more(chunk)
            chunk = self._member.unused_data
        return bytes(found)

    def _more(self, chunk: bytes) -> bytes:
        try:
            more = self._member.decompress(chunk, self._room)
        except zlib.error:
            raise BrokenPacking from None
        self._room -= len(more)
        return more

    def _begin_another(self) -> None:
        if self._members == _MOST_MEMBERS:
            raise BrokenPacking
        self._members += 1
        self._member = zlib.decompressobj(_GZIP)
