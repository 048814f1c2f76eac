"""
The body of a request: as long as is allowed, as late as is allowed, and inflated.

    chunks ──(gzip)──► bytes │ Problem: 408 late, 413 long, 415 encoded, 400 broken

The limit counts what comes out of the inflating as well as what goes into it, and
inflating stops at the limit: a few kilobytes cannot become gigabytes here. A body may be
packed in several gzip members (RFC 1952), as whoever packs piece by piece does.

Decisions: D-gzip, D-hostile-bodies.
"""

import asyncio
import zlib

from aiohttp import web

from bars_gateway.inbound import problems
from bars_gateway.standard.answers import Problem

_GZIP = zlib.MAX_WBITS | 16
_MOST_MEMBERS = 1000  # each costs time, and may be empty
_ENCODINGS = frozenset({"identity", "gzip", "x-gzip"})


def encoding_of(request: web.BaseRequest) -> str:
    """Return the Content-Encoding in lower case, `identity` where there is none."""
    return request.headers.get("Content-Encoding", "").strip().lower() or "identity"


def is_known(encoding: str) -> bool:
    """Tell whether a body of that Content-Encoding can be read."""
    return encoding in _ENCODINGS


async def body_of(request: web.BaseRequest, *, max_bytes: int, seconds: float) -> bytes | Problem:
    """Return the whole body, inflated, or what is wrong with it; never more than *max_bytes*."""
    inflating = None if encoding_of(request) == "identity" else _Inflating(max_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            await _invite(request)
            while chunk := await request.content.readany():
                body += chunk if inflating is None else inflating.inflated(chunk)
                if len(body) > max_bytes or (inflating and inflating.taken > max_bytes):
                    return problems.TOO_LARGE
    except TimeoutError:
        return problems.BODY_LATE
    except web.RequestPayloadError:
        return problems.NO_HTTP
    except zlib.error:
        return problems.NO_GZIP
    return bytes(body) if inflating is None or inflating.ended else problems.NO_GZIP


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
            more = self._member.decompress(chunk, self._room)
            self._room -= len(more)
            found += more
            chunk = self._member.unused_data
        return bytes(found)

    def _begin_another(self) -> None:
        if self._members == _MOST_MEMBERS:
            raise zlib.error("too many members")
        self._members += 1
        self._member = zlib.decompressobj(_GZIP)


async def _invite(request: web.BaseRequest) -> None:
    """Tell a caller who asks before sending a body that it may."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun
