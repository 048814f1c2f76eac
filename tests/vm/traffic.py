"""
What comes and goes while a machine is maltreated, and what was promised to whom.

    Epr ──HTTP──► the EPR's socket in there        Sender ──mTLS──► the Receiver in there
     └─ receipts, notices                             └─ 200s               all kept out here

Both keep what was acknowledged where no power is cut, and repeat what was not, with the same bytes.
"""

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from messages import RECEIVER, SENDER, referral
from world import headers

PATIENCE = aiohttp.ClientTimeout(total=40, sock_connect=20)
_AWAY = (aiohttp.ClientError, TimeoutError, OSError)
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass
class Epr:
    """Submits one message after the other, and collects what is told; by the socket."""

    url: str
    pause: float
    receipts: dict[str, bytes] = field(
        default_factory=dict
    )  # by X-Request-Id: what was handed over
    told: dict[int, tuple[str, str]] = field(default_factory=dict)  # by number: kind, X-Request-Id
    by_folder: dict[str, str] = field(default_factory=dict)  # X-Request-Id by name of the file
    heard_again: set[str] = field(default_factory=set)  # since the machine was switched on
    oddities: list[str] = field(default_factory=list)
    flows: asyncio.Event = field(default_factory=asyncio.Event)  # set with each receipt
    enough: bool = False

    async def submit(self) -> None:
        """Submit until it is enough; the last one, too, until it is acknowledged."""
        async with aiohttp.ClientSession(timeout=PATIENCE) as session:
            while not self.enough:
                await self.hand_over(session, referral(sender=SENDER, receiver=RECEIVER))
                self.flows.set()
                await asyncio.sleep(self.pause)

    def heard(self, line: str) -> None:
        """Take down a receipt that an EPR of the folders has found: its name, and an id."""
        name, _, request_id = line.partition(" ")
        if self.by_folder.setdefault(name, request_id) != request_id:
            self.oddities.append(f"{name} has two receipts: {self.by_folder[name]}, {request_id}")
        self._receipt(request_id, name.encode())
        self.heard_again.add(name)

    async def submit_one(self) -> None:
        """Submit one message, until it is acknowledged."""
        async with aiohttp.ClientSession(timeout=PATIENCE) as session:
            await self.hand_over(session, referral(sender=SENDER, receiver=RECEIVER))

    async def hand_over(self, session: aiohttp.ClientSession, body: bytes) -> None:
        """Submit these bytes until somebody says that they have them."""
        kind = {"Content-Type": "application/fhir+json"}
        while True:
            with suppress(*_AWAY):
                async with session.post(self.url + "/messages", data=body, headers=kind) as answer:
                    said = await answer.read()
                    if answer.status in {200, 201}:
                        self._receipt(json.loads(said)["request_id"], body)
                        return
                    if answer.status not in _AGAIN:
                        self.oddities.append(f"submitted: {answer.status} {said[:300]!r}")
                        return
            await asyncio.sleep(0.5)

    def _receipt(self, request_id: str, body: bytes) -> None:
        if self.receipts.setdefault(request_id, body) != body:
            self.oddities.append(f"{request_id} is the receipt of two messages")

    async def collect(self) -> None:
        """Collect for ever: on record first, collected second."""
        async with aiohttp.ClientSession(timeout=PATIENCE) as session:
            while True:
                with suppress(*_AWAY):
                    async with session.get(self.url + "/notices?wait=15") as answer:
                        notices = (await answer.json())["notices"] if answer.status == 200 else []
                    for each in notices:
                        await self._take(session, each)
                    if notices:
                        continue
                await asyncio.sleep(0.2)

    async def _take(self, session: aiohttp.ClientSession, notice: dict[str, Any]) -> None:
        number, seen = notice["notice_id"], (notice["kind"], notice["request_id"])
        if self.told.setdefault(number, seen) != seen:
            self.oddities.append(f"notice {number} was {self.told[number]}, and is {seen}")
        if notice["kind"] == "outcome" and notice["state"] != "acknowledged":
            self.oddities.append(f"{seen[1]} ended {notice['state']}: {notice['means']}")
        async with session.post(f"{self.url}/notices/{number}/collected") as answer:
            await answer.read()


@dataclass
class Sender:
    """Sends one message after the other as BaRS's proxy does."""

    url: str
    tls: ssl.SSLContext
    pause: float
    acknowledged: dict[str, tuple[bytes, dict[str, str]]] = field(default_factory=dict)
    oddities: list[str] = field(default_factory=list)
    flows: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0  # that were made
    enough: bool = False

    def session(self) -> aiohttp.ClientSession:
        """Return a client that is, to a gateway, the proxy."""
        counting = aiohttp.TraceConfig()
        counting.on_connection_create_end.append(self._count)
        connector = aiohttp.TCPConnector(ssl=self.tls)
        return aiohttp.ClientSession(
            connector=connector, timeout=PATIENCE, trace_configs=[counting]
        )

    async def _count(self, *_: object) -> None:
        self.connections += 1

    async def send(self) -> None:
        """Send until it is enough; the last one, too, until it is acknowledged."""
        async with self.session() as session:
            while not self.enough:
                await self.send_one(session)
                self.flows.set()
                await asyncio.sleep(self.pause)

    async def send_one(self, session: aiohttp.ClientSession) -> None:
        """Send one message, until it is acknowledged."""
        body, sent = referral(sender=RECEIVER, receiver=SENDER), headers(SENDER)
        while (status := await self.post(session, body, sent)) not in {200, 409}:
            if status is not None and status not in _AGAIN:
                self.oddities.append(f"sent: {status}")
                return
            await asyncio.sleep(0.5)
        self.acknowledged[sent["X-Request-Id"]] = (body, sent)

    async def post(
        self, session: aiohttp.ClientSession, body: bytes, sent: dict[str, str]
    ) -> int | None:
        """Return what it is answered with; None: nobody answers."""
        with suppress(*_AWAY):
            async with session.post(
                self.url + "/$process-message", data=body, headers=sent
            ) as answer:
                await answer.read()
                return answer.status
        return None


@dataclass
class Traffic:
    """Both, side by side."""

    epr: Epr
    sender: Sender

    async def flows(self) -> None:
        """Return once each has heard of one more message that it was taken."""
        for each in (self.epr, self.sender):
            each.flows.clear()
        await asyncio.gather(self.epr.flows.wait(), self.sender.flows.wait())

    @asynccontextmanager
    async def flowing(self, seconds: float) -> AsyncIterator[None]:
        """
        Let both flow inside the block, and the EPR collect.

        Afterwards nothing new begins; returns once everything that was handed over is acknowledged
        and was told, or those seconds are over.
        """
        collecting = asyncio.create_task(self.epr.collect())
        flowing = [asyncio.create_task(each()) for each in (self.epr.submit, self.sender.send)]
        try:
            yield
            self.epr.enough = self.sender.enough = True
            await asyncio.gather(*flowing)
            await self.all_told(seconds)
        finally:
            for each in (collecting, *flowing):
                each.cancel()

    @property
    def promised(self) -> set[str]:
        """The X-Request-Ids of what was acknowledged, to either."""
        return {*self.epr.receipts, *self.sender.acknowledged}

    def missing(self) -> tuple[set[str], set[str]]:
        """Return what has no outcome yet, and what came in and was not told yet."""
        told = Counter(self.epr.told.values())
        outcomes = {id_ for kind, id_ in told if kind == "outcome"}
        messages = {id_ for kind, id_ in told if kind == "message"}
        return self.epr.receipts.keys() - outcomes, self.sender.acknowledged.keys() - messages

    async def all_told(self, seconds: float) -> None:
        """Return once the EPR has been told of everything, or those seconds are over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while any(self.missing()):
                    await asyncio.sleep(0.5)

    async def problems(self, at_far_side: Callable[[], Counter[str]]) -> list[str]:
        """Return what is not as it was promised, once everything has come to rest."""
        epr, sender = self.epr, self.sender
        no_outcome, not_told = self.missing()
        found = [*epr.oddities, *sender.oddities]
        found += [f"acknowledged to the EPR, and without an outcome: {each}" for each in no_outcome]
        found += [f"acknowledged to the Sender, and never told: {each}" for each in not_told]
        twice = {one: n for one, n in Counter(epr.told.values()).items() if n > 1}
        found += [f"told {n} times under different numbers: {one}" for one, n in twice.items()]
        there = at_far_side()
        for each in epr.receipts.keys() | there.keys():
            if (there[each], each in epr.receipts) != (1, True):
                found.append(f"at the far side {there[each]} times: {each}")
        async with sender.session() as session:
            for each, (body, sent) in sender.acknowledged.items():
                if (status := await sender.post(session, body, sent)) != 409:
                    found.append(f"repeated, it is not a duplicate but {status}: {each}")
        return found
