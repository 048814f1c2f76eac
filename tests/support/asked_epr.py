"""An EPR that answers questions on its gateway's socket, as tests want it to."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

Document = dict[str, Any]
YES: Document = {"accept": True}


class Epr:
    """One EPR, with one connection to its gateway."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self.seen: list[Document] = []  # each question once

    async def questions(self, wait: float = 10, after: int = 0) -> list[Document]:
        """Return the open questions beyond *after*, waiting for one."""
        async with self._session.get(f"/questions?wait={wait}&after={after}") as response:
            found: list[Document] = (await response.json())["questions"]
        self.seen += [each for each in found if each not in self.seen]
        return found

    async def question(self, after: int = 0) -> Document:
        """Wait for the next question."""
        (found, *_) = await self.questions(after=after)
        return found

    async def request(self, number: int) -> bytes:
        """Return the bytes that a question is about."""
        async with self._session.get(f"/questions/{number}/request") as response:
            return await response.read()

    async def shown(self, number: int) -> tuple[int, Document]:
        async with self._session.get(f"/questions/{number}") as response:
            return response.status, await response.json()

    async def answer(
        self, number: int, answer: Document | bytes, media_type: str = "application/fhir+json"
    ) -> tuple[int, Document]:
        """Answer a question; return the status and the receipt."""
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        async with self._session.post(
            f"/questions/{number}/answer", data=body, headers={"Content-Type": media_type}
        ) as response:
            return response.status, await response.json()

    async def answer_all(self, says: Callable[[Document], Document]) -> None:
        """Answer each question with what *says* returns, until cancelled."""
        after = 0
        while True:
            for question in await self.questions(after=after):
                after = question["question_id"]
                await self.answer(after, says(question))


@asynccontextmanager
async def epr_at(socket: Path) -> AsyncIterator[Epr]:
    """Connect to a gateway."""
    connector = aiohttp.UnixConnector(path=str(socket))
    async with aiohttp.ClientSession("http://gateway", connector=connector) as session:
        yield Epr(session)


@asynccontextmanager
async def answering(
    socket: Path, says: Callable[[Document], Document] = lambda _: YES
) -> AsyncIterator[Epr]:
    """Connect, and answer every question while the block runs; it counts as there at once."""
    async with epr_at(socket) as epr, asyncio.TaskGroup() as group:
        await epr.questions(wait=0)
        task = group.create_task(epr.answer_all(says))
        try:
            yield epr
        finally:
            task.cancel()
