"""
Calls a Receiver over mutual TLS from 32 connections; prints each answer's milliseconds.

As fast as it can, or where a rate is given so many a second, whether the last has been
answered or not: what a caller waits for then is in the figure.
"""

import asyncio
import json
import ssl
import sys
import time
import uuid

import aiohttp

from bars_gateway.demo.messages import RECEIVER, referral
from bars_gateway.standard.headers import TargetIdentifier

CALLERS = 32


async def call(session: aiohttp.ClientSession, url: str, body: bytes) -> float:
    headers = {
        "X-Request-Id": str(uuid.uuid4()),
        "X-Correlation-Id": str(uuid.uuid4()),
        "NHSD-Target-Identifier": TargetIdentifier.parse(RECEIVER).encode(),
        "Content-Type": "application/fhir+json",
    }
    started = time.perf_counter()
    async with session.post(url, data=body, headers=headers) as response:
        await response.read()
        assert response.status == 200, response.status
    return (time.perf_counter() - started) * 1000


async def main(  # noqa: PLR0917
    url: str, authority: str, certificate: str, key: str, count: str, rate: str = "0"
) -> None:
    context = ssl.create_default_context(cafile=authority)
    context.load_cert_chain(certificate, key)
    first = [referral() for _ in range(CALLERS)]
    bodies = [referral() for _ in range(int(count))]
    spent: list[float] = []

    async def caller() -> None:
        while bodies:
            spent.append(await call(session, url, bodies.pop()))

    async def one_at(seconds: float) -> None:
        await asyncio.sleep(seconds)
        spent.append(await call(session, url, bodies.pop()))

    connector = aiohttp.TCPConnector(ssl=context, limit=CALLERS)
    async with aiohttp.ClientSession(connector=connector) as session:
        # The handshakes, which cost more than a message each, are no part of the figure.
        async with asyncio.TaskGroup() as group:
            for body in first:
                group.create_task(call(session, url, body))
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(len(bodies) if float(rate) else CALLERS):
                group.create_task(one_at(number / float(rate)) if float(rate) else caller())
        print(json.dumps({"seconds": time.perf_counter() - started, "ms": spent}))


asyncio.run(main(*sys.argv[1:]))
