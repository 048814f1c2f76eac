"""
What the gateway itself says: which notices and questions there are, and their bytes, to give again.

    gateway's own socket ──GET /notices/1, 2, 3 …──► EprSightings        without collecting anything
                         ──document, bodies──► inbox/new              the same files once more
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from bars_gateway.demo.stage import socket_session
from bars_gateway.epr.documents import encode
from bars_gateway.epr.inbox import file_of
from bars_gateway.epr_check.sightings import EprSightings, SeenNotice
from bars_gateway.model.messages import NoticeKind

_LOOK_SECONDS = 0.1
_AHEAD = 3  # numbers of questions that may have been left out
_OK = 200


class GatewayView:
    """Looks again and again at what the gateway has for its EPR."""

    def __init__(
        self, session: aiohttp.ClientSession, sightings: EprSightings, *, asks: bool
    ) -> None:
        self._session = session
        self._sightings = sightings
        self._asks = asks
        self._notice = self._question = 1  # the next that is not known

    async def run(self) -> None:
        """Learn of notices and questions until cancelled."""
        while True:
            with suppress(aiohttp.ClientError):  # the gateway is being started again
                await self._learn()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _learn(self) -> None:
        while (found := await self._document(f"/notices/{self._notice}")) is not None:
            self._sightings.learn_notice(found)
            self._notice += 1
        if not self._asks:
            return
        for known in list(self._sightings.questions.values()):
            if known.in_time is None:
                await self._learn_question(known.number)
        for number in range(self._question, self._question + _AHEAD):
            if await self._learn_question(number):
                self._question = number + 1

    async def _learn_question(self, number: int) -> bool:
        found = await self._document(f"/questions/{number}")
        if found is not None:
            self._sightings.learn_question(found)
        return found is not None

    async def _document(self, path: str) -> Mapping[str, Any] | None:
        found = await self.bytes_of(path)
        return None if found is None else orjson.loads(found)

    async def bytes_of(self, path: str) -> bytes | None:
        """Return what the gateway has at *path*; None: nothing."""
        async with self._session.get(path) as answer:
            return await answer.read() if answer.status == _OK else None


@asynccontextmanager
async def viewed(
    socket: Path, sightings: EprSightings, *, asks: bool
) -> AsyncIterator[GatewayView]:
    """Look at the gateway of that *socket* in the block."""
    async with socket_session(socket) as session, asyncio.TaskGroup() as group:
        view = GatewayView(session, sightings, asks=asks)
        looking = group.create_task(view.run())
        try:
            yield view
        finally:
            looking.cancel()


async def give_again(view: GatewayView, spool: Path, notice: SeenNotice) -> None:
    """Put the files of a notice that was collected into the inbox once more, as a crash would."""
    for name, content in await _files(notice, view):
        _rename_in(spool / "inbox", name, content)


async def give_what_a_crash_leaves(view: GatewayView, spool: Path, notice: SeenNotice) -> None:
    """Put the file to act on there once more, alone: whoever is killed then finds it so."""
    *_, (name, content) = await _files(notice, view)
    _rename_in(spool / "inbox", name, content)


async def give_made_up(spool: Path, notice: SeenNotice) -> None:
    """Put a notice there that the gateway does not have, as a later version may have it."""
    name = f"{notice.number:012d}.{notice.document['kind']}.json"
    _rename_in(spool / "inbox", name, encode(dict(notice.document)))


def _rename_in(inbox: Path, name: str, content: bytes) -> None:
    half = inbox / "tmp" / name
    half.write_bytes(content)
    half.rename(inbox / "new" / name)


async def _files(notice: SeenNotice, view: GatewayView) -> list[tuple[str, bytes]]:
    """Return the files of a notice as they were, in the order in which they must appear."""
    document, number = dict(notice.document), f"{notice.number:012d}"
    kind = NoticeKind(document["kind"])
    own = (file_of(kind, number), encode(document | {"collected_at": None}))
    bodies = []
    for part in ("answer", "message"):
        body = await view.bytes_of(f"/notices/{notice.number}/{part}")
        media_type = document["answer_media_type" if part == "answer" else "media_type"]
        if body is not None:
            bodies.append(
                (f"{number}.{part}.{'xml' if 'xml' in str(media_type) else 'json'}", body)
            )
    if own[0].endswith(".notice.json"):
        return [own, *bodies]
    return [*bodies[:1], own] if document["answer_media_type"] else [own]
