"""
For whom a load balancer opened a connection: the PROXY protocol, version 2.

    load balancer ──signature, address of the caller──► caller_address ──► then TLS begins

A load balancer that passes TLS through hides the caller's address behind its own. It
can say the real one before the first byte of TLS; from those that are named in the
settings that is demanded, and from nobody else is it read: it proves nothing.

A connection that it opens for itself, to see whether we are there, is `LOCAL`: it brings no
caller, gets a handshake that asks for no certificate, and is closed after that.
"""

import asyncio
import socket
from ipaddress import ip_address

from bars_gateway.inbound.failures import Failure, Refused

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_VERSION_1 = b"PROXY "
_LOCAL, _PROXIED = 0x20, 0x21
_ADDRESS_BYTES = {0x11: 4, 0x21: 16}  # TCP over IPv4, over IPv6: two addresses, two ports
_LONGEST = 1024  # bytes after the first 16: addresses, and extensions that are passed over


async def caller_address(sock: socket.socket, seconds: float) -> str | None:
    """
    Return the caller's address; None for a load balancer's own check.

    Raises Refused where the load balancer does not say for whom it calls.
    """
    try:
        async with asyncio.timeout(seconds):
            return await _said(sock)
    except (TimeoutError, ConnectionError) as error:
        raise Refused(Failure.NO_ADDRESS) from error


async def _said(sock: socket.socket) -> str | None:
    head = await _exactly(sock, 16)
    if head.startswith(_VERSION_1):
        raise Refused(Failure.OLD_PROXY_PROTOCOL)
    length = int.from_bytes(head[14:16])
    if head[:12] != _SIGNATURE or length > _LONGEST:
        raise Refused(Failure.NO_ADDRESS)
    rest = await _exactly(sock, length)
    if head[12] == _LOCAL:
        return None
    size = _ADDRESS_BYTES.get(head[13], 0)
    if head[12] != _PROXIED or not size or length < 2 * size + 4:
        raise Refused(Failure.NO_ADDRESS)
    return str(ip_address(rest[:size]))


async def _exactly(sock: socket.socket, count: int) -> bytes:
    """Read no byte more than *count*: the next one is TLS."""
    read = b""
    while len(read) < count:
        chunk = await asyncio.get_running_loop().sock_recv(sock, count - len(read))
        if not chunk:
            raise Refused(Failure.NO_ADDRESS)
        read += chunk
    return read
