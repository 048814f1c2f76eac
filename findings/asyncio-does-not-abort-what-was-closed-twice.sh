#!/usr/bin/env bash
# asyncio (CPython 3.11 to 3.13): over TLS, abort() does nothing after close() was called twice.
#
# The documentation says of abort() that it closes the transport immediately, and of a transport that
# is being closed nothing else: so one expects it to end a close() that waits for the other side.
#
# Seen: after one close() it does. The second close() makes the transport forget its connection, and
# abort() then does nothing: the connection stays until the other side says goodbye over TLS, or for
# ssl_shutdown_timeout, which is 30 seconds. A second close() is easily come by: asyncio calls the
# first where a handshake is called off that was over in the same turn, and aiohttp's force_close()
# is another.
#
# This fails if any of that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install 'trustme==1.2.1'
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import socket
import ssl
import sys
import threading

import trustme

EXPECTED = {1: True, 2: False}  # by the number of close(): whether abort() has ended it
authority = trustme.CA()
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
authority.issue_cert("localhost").configure_cert(context)
trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
authority.configure_trust(trusting)


class Served(asyncio.Protocol):
    def __init__(self):
        self.transport, self.lost = asyncio.Future(), asyncio.Event()

    def connection_made(self, transport):
        self.transport.set_result(transport)

    def connection_lost(self, exc):
        self.lost.set()


def call(sock, over):
    """Shake hands, and say nothing from there on, not even goodbye."""
    with trusting.wrap_socket(sock, server_hostname="localhost"):
        over.wait()


async def ended(closes):
    ours, theirs = socket.socketpair()
    over = threading.Event()
    caller = threading.Thread(target=call, args=[theirs, over])
    caller.start()
    loop = asyncio.get_running_loop()
    _, served = await loop.connect_accepted_socket(Served, ours, ssl=context)
    transport = await served.transport
    for _ in range(closes):
        transport.close()
    transport.abort()
    try:
        await asyncio.wait_for(served.lost.wait(), 0.5)
    except TimeoutError:
        pass
    over.set()
    await asyncio.to_thread(caller.join)
    return served.lost.is_set()


print("Python", sys.version.split()[0])
for closes, expected in EXPECTED.items():
    seen = asyncio.run(ended(closes))
    print(f"close() {closes} times, then abort(): {'ended' if seen else 'still open'}")
    assert seen is expected
PYTHON
