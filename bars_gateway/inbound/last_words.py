"""
Lets out what TLS says to a caller whom it refuses.

    handshake fails ─► OpenSSL has written an alert ─► asyncio drops it ─► it is sent from here

Without the alert the caller's desk sees a connection that was reset, which may mean anything,
and the live proxy tells its Sender 502 where an alert makes it 503. By the time that anybody
hears of the failure asyncio has emptied its buffers and closed its socket: so the context of
our certificate notes the alert (`tls.SpeakingContext`), and a second descriptor is kept.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from bars_gateway.tls.contexts import last_words

LINGER_SECONDS = 1.0  # for the caller to read it, and to stop sending
_DRAINED_BYTES = 64 * 1024  # of what it still sends: unread, they would reset the connection


class LastWords:
    """What is left to say to one caller."""

    def __init__(self, sock: socket.socket, noted: list[bytes]) -> None:
        self._socket = sock
        self._noted = noted

    async def say(self) -> None:
        """Send what the handshake had written and could not send; never raises OSError."""
        words = b"".join(self._noted)
        if not words:
            return
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                await loop.sock_sendall(self._socket, words)
                self._socket.shutdown(socket.SHUT_WR)
                left = _DRAINED_BYTES
                while left > 0 and (chunk := await loop.sock_recv(self._socket, left)):
                    left -= len(chunk)


@contextmanager
def kept(sock: socket.socket) -> Iterator[LastWords]:
    """Note what a handshake on *sock* says at its end, and keep a way to its caller meanwhile."""
    noted: list[bytes] = []
    token = last_words.set(noted)
    spare = sock.dup()
    spare.setblocking(False)
    try:
        yield LastWords(spare, noted)
    finally:
        spare.close()  # the connection itself goes on, if it came to one
        last_words.reset(token)
