"""A small egress proxy: takes CONNECT, asks for a login where told to, and says what it is told."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class EgressSide:
    """One that runs, and what it was asked for."""

    url: str = ""
    says: str = "200 Connection established"
    login: str | None = None  # USER:PASSWORD
    raw: bytes | None = None  # what it writes in place of an answer, and then closes
    hangs: bool = False  # it does not close
    asked: list[str] = field(default_factory=list)
    serving: set[asyncio.Task[None]] = field(default_factory=set)

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving.add(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head.split()[1])
        if self.raw is not None:
            writer.write(self.raw)
            while self.hangs and await reader.read(65536):
                continue
            return
        says = "407 Proxy Authentication Required" if self._is_stranger(head) else self.says
        extra = "Location: https://portal.example/\r\n" if says.startswith("3") else ""
        extra += "" if says.startswith("200") else "Content-Length: 0\r\n"
        writer.write(f"HTTP/1.1 {says}\r\n{extra}\r\n".encode())
        await writer.drain()
        if says.startswith("200"):
            host, _, port = head.split()[1].rpartition(":")
            there = await asyncio.open_connection(host, int(port))
            async with asyncio.TaskGroup() as group:
                group.create_task(_pass_on(reader, there[1]))
                group.create_task(_pass_on(there[0], writer))

    def _is_stranger(self, head: str) -> bool:
        if self.login is None:
            return False
        known = base64.b64encode(self.login.encode()).decode()
        return f"proxy-authorization: basic {known}".lower() not in head.lower()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def egress_side(**changes: Any) -> AsyncIterator[EgressSide]:
    side = EgressSide(**changes)
    server = await asyncio.start_server(side.serve, "127.0.0.1", 0)
    side.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield side
    finally:
        server.close()
        for each in side.serving:
            each.cancel()
        await asyncio.gather(*side.serving, return_exceptions=True)
