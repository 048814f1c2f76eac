"""
A stand-in for the token service, the proxy and the Receiver that costs as little as possible.

It echoes the ids at once and names the record, as a Receiver should (one that does not is asked
for it, by a read for each message), or keeps everybody waiting while it is shut. One that is `far`
takes 100 ms over each answer. What it is to do comes as lines on its input (`shut`, `open`, `seen`,
`clear`, `far`, `near`), and to each there is one line back: how many messages it has answered since
it was last opened or cleared, and when the first and the last of them went.
"""

import asyncio
import json
import re
import ssl
import sys
import time
from collections.abc import Callable

import uvloop

FAR_SECONDS = 0.1
NOTHING = b'{"resourceType":"Bundle","type":"searchset"}'
ANSWER = (
    b'{"resourceType":"Bundle","type":"message","entry":'
    b'[{"fullUrl":"%s","resource":{"resourceType":"ServiceRequest","id":"%s"}}]}'
)
FOCUS = re.compile(rb'"focus":\s*\[\s*\{\s*"reference":\s*"([^"]+)"')
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\n"
    b"X-Request-Id: %s\r\nX-Correlation-Id: %s\r\nContent-Length: %d\r\n\r\n%s"
)


class Sink:
    """What was answered, and whether anything is to be answered now."""

    def __init__(self, token_seconds: int) -> None:
        self._token = json.dumps(
            {"access_token": "t" * 28, "expires_in": str(token_seconds), "token_type": "Bearer"}
        ).encode()
        self._open = asyncio.Event()
        self._open.set()
        self._done: list[float] = []
        self._seconds = 0.0  # that it takes over an answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer what comes on one connection."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.split(b"\r\n")
                fields = dict(line.lower().split(b": ", 1) for line in lines[1:] if b": " in line)
                body = await reader.readexactly(int(fields.get(b"content-length", 0)))
                writer.write(await self._answer(lines[0], fields, body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _answer(self, request: bytes, fields: dict[bytes, bytes], body: bytes) -> bytes:
        if b"/token" in request:
            return HEAD % (b"-", b"-", len(self._token), self._token)
        await self._open.wait()
        if self._seconds:
            await asyncio.sleep(self._seconds)
        answer = NOTHING
        if request.startswith(b"POST"):
            self._done.append(time.monotonic())
            url = found[1] if (found := FOCUS.search(body)) else b""
            answer = ANSWER % (url, url.rpartition(b":")[2])
        ids = fields.get(b"x-request-id", b"-"), fields.get(b"x-correlation-id", b"-")
        return HEAD % (*ids, len(answer), answer)

    def obey(self, word: str) -> str:
        """Do as told; return what was answered."""
        if word == "shut":
            self._open.clear()
        elif word in {"open", "clear"}:
            self._done.clear()
            self._open.set()
        elif word in {"far", "near"}:
            self._seconds = FAR_SECONDS if word == "far" else 0.0
        first, last = (self._done[0], self._done[-1]) if self._done else (0.0, 0.0)
        opened = time.monotonic() if word == "open" else 0.0
        return json.dumps({"count": len(self._done), "first": first, "last": last, "now": opened})


async def main(certificate: str, key: str, token_seconds: str = "600") -> None:
    """Serve until the input ends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    sink = Sink(int(token_seconds))
    server = await asyncio.start_server(sink.serve, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await obey(sink.obey)


async def obey(do: Callable[[str], str]) -> None:
    """Answer each line of the input with one."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        print(do(line.decode().strip()), flush=True)


uvloop.run(main(*sys.argv[1:]))
