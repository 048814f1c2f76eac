"""
Calls a gateway from outside, as an EPR on its socket or as the proxy over mutual TLS.

It reads what to do as one JSON document on its input and prints the seconds that it took, and the
milliseconds of each call. It calls as fast as the callers can, or where a rate is given so many
times a second, whether the last has been answered or not: what a caller waits for then is in the
figure. Handshakes are not: they cost more than a message each, and come before.
"""

import asyncio
import json
import ssl
import sys
import time
import uuid
from collections.abc import Sequence
from typing import Any

import aiohttp
import uvloop
from bodies import body_of

from bars_gateway.standard.headers import TargetIdentifier

_SYSTEM = "https://fhir.nhs.uk/Id/dos-service-id|"
Work = tuple[bytes, str]  # the body, and the service that it is for


def headers_of(receiver: str, *, by_proxy: bool) -> dict[str, str]:
    """Return what goes with a message."""
    told = {"Content-Type": "application/fhir+json"}
    if by_proxy:
        target = TargetIdentifier.parse(receiver).encode()
        told |= {name: str(uuid.uuid4()) for name in ("X-Request-Id", "X-Correlation-Id")}
        told |= {"NHSD-Target-Identifier": target}
    return told


class Caller:
    """Calls one address, and notes how long each call took."""

    def __init__(self, session: aiohttp.ClientSession, url: str, *, by_proxy: bool) -> None:
        self._session, self._url, self._by_proxy = session, url, by_proxy
        self.good = {200, 201, 202}
        self.spent: list[float] = []

    async def call(self, work: Work) -> None:
        """Hand over one message; anything but a yes is a fault of the benchmark."""
        body, receiver = work
        headers = headers_of(receiver, by_proxy=self._by_proxy)
        started = time.perf_counter()
        async with self._session.post(self._url, data=body, headers=headers) as response:
            told = await response.read()
            if response.status not in self.good:
                sys.exit(f"{self._url} answered {response.status}: {told[:2000]!r}")
        self.spent.append((time.perf_counter() - started) * 1000)

    async def as_fast_as_it_can(self, works: Sequence[Work], callers: int) -> None:
        """Share the works among so many callers."""
        waiting = list(reversed(works))

        async def caller() -> None:
            while waiting:
                await self.call(waiting.pop())

        async with asyncio.TaskGroup() as group:
            for _ in range(callers):
                group.create_task(caller())

    async def at_a_rate(self, works: Sequence[Work], rate: float) -> None:
        """Call so many times a second, whatever comes back."""

        async def one(seconds: float, work: Work) -> None:
            await asyncio.sleep(seconds)
            await self.call(work)

        async with asyncio.TaskGroup() as group:
            for number, work in enumerate(works):
                group.create_task(one(number / rate, work))


def connector_of(told: dict[str, Any]) -> aiohttp.BaseConnector:
    """Return the way there: a socket, or mutual TLS."""
    if "socket" in told:
        return aiohttp.UnixConnector(told["socket"], limit=told["callers"])
    context = ssl.create_default_context(cafile=told["authority"])
    context.load_cert_chain(told["certificate"], told["key"])
    return aiohttp.TCPConnector(ssl=context, limit=told["callers"])


def works_of(told: dict[str, Any], count: int) -> list[Work]:
    """Make the messages, in turn for each of the services."""
    services: list[str] = [f"{_SYSTEM}{value}" for value in told["services"]]
    turns = (services[number % len(services)] for number in range(count))
    return [(body_of(told["bytes"], receiver), receiver) for receiver in turns]


async def main(told: dict[str, Any]) -> None:
    """Do it, and print what it took."""
    warm, works = works_of(told, told["warm"]), works_of(told, told["count"])
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(
        connector=connector_of(told), trust_env=False, timeout=timeout
    ) as session:
        caller = Caller(session, told["url"], by_proxy="socket" not in told)
        caller.good |= set(told["good"])
        await caller.as_fast_as_it_can(warm, told["callers"])
        caller.spent.clear()
        print("warm", flush=True)
        sys.stdin.readline()
        started = time.perf_counter()
        if told["rate"]:
            await caller.at_a_rate(works, told["rate"])
        else:
            await caller.as_fast_as_it_can(works, told["callers"])
        print(json.dumps({"seconds": time.perf_counter() - started, "ms": caller.spent}))


uvloop.run(main(json.loads(sys.stdin.readline())))
