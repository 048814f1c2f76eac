"""
The body of a message of others: as long as is allowed, as late as is allowed.

    chunks ──inflated──► bytes │ Problem: 408 late, 413 long, 400 broken
"""

import asyncio

from aiohttp import web

from bars_gateway.inbound import problems
from bars_gateway.request_bodies import BodyTooLong, BrokenPacking, unpacked
from bars_gateway.standard.answers import Problem


async def body_of(request: web.BaseRequest, *, max_bytes: int, seconds: float) -> bytes | Problem:
    """Return the whole body, inflated, or what is wrong with it; never more than *max_bytes*."""
    try:
        async with asyncio.timeout(seconds):
            await _invite(request)
            return await unpacked(request, max_bytes)
    except TimeoutError:
        return problems.BODY_LATE
    except BodyTooLong:
        return problems.TOO_LARGE
    except web.RequestPayloadError:
        return problems.NO_HTTP
    except BrokenPacking:
        return problems.NO_GZIP


async def _invite(request: web.BaseRequest) -> None:
    """Tell a caller who asks before sending a body that it may."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun
