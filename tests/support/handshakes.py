"""A caller who does step by step what a library does at once, and stops where a test wants it."""

import asyncio
import socket
import ssl

PATIENCE = 20.0
MOST = 2**24  # bytes, of whatever comes at once


class ByHand:
    """TLS on a socket that does not block, spoken by hand."""

    def __init__(self, client: socket.socket, context: ssl.SSLContext, name: str) -> None:
        self._client = client
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._came, self._goes, server_hostname=name)

    async def all_but_the_end(self) -> bytes:
        """Return the last of it, which is not sent."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await loop.sock_sendall(self._client, self._goes.read())
                self._came.write(await loop.sock_recv(self._client, MOST))
            else:
                return self._goes.read()

    async def shake_hands(self) -> None:
        """Return once the last of it is sent."""
        last = await self.all_but_the_end()
        await asyncio.get_running_loop().sock_sendall(self._client, last)


async def is_hung_up_on(client: socket.socket) -> bool:
    """Wait for the end of a connection; what comes before it is passed over."""
    async with asyncio.timeout(PATIENCE):
        try:
            while await asyncio.get_running_loop().sock_recv(client, MOST):
                pass
        except ConnectionResetError:
            pass
    return True


def called(listener: socket.socket) -> socket.socket:
    """Return a connection to *listener*, as somebody begins one who says nothing yet."""
    client = socket.socket(listener.family)
    client.connect(listener.getsockname())
    client.setblocking(False)
    return client
