#!/usr/bin/env bash
# asyncio (CPython 3.11 to 3.13): who is let in while a server closes is served never, and told never.
#
# One expects that a connection is either refused, as those that wait in the kernel's queue are when
# the listening socket is closed, or accepted, and then served or closed.
#
# Seen: asyncio accepts in one turn of its loop and makes the connection in a later one. Where the
# server is closed between them, making it fails with an AssertionError that is shown to nobody, and
# the socket lies about open until garbage is collected: whoever called hears nothing. An EPR would
# wait for its own patience to end. Not to look at the listening socket any more, and to close the
# server a turn later, leaves nobody standing there.
#
# This fails if any of that changes.
set -eu
python3 - <<'PYTHON'
import asyncio
import gc
import socket
import sys
import warnings

SHUT, NOTHING = "connection shut", "nothing"
EXPECTED = {"at once": {SHUT, NOTHING}, "a turn later": {SHUT}}


async def called(turns, *, later):
    """Return what somebody hears who has called that many turns before a server is closed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    (listener,) = server.sockets
    with socket.create_connection(listener.getsockname()) as caller:
        for _ in range(turns):
            await asyncio.sleep(0)
        if later:
            loop.remove_reader(listener.fileno())
            await asyncio.sleep(0)
        server.close()
        await asyncio.sleep(0.2)
        for transport in list(loop._transports.values()):
            transport.abort()  # whoever has been let in after all
        await asyncio.sleep(0.2)
        caller.setblocking(False)
        try:
            return SHUT if not caller.recv(1) else "an answer"
        except ConnectionResetError:
            return SHUT
        except BlockingIOError:
            return NOTHING


warnings.simplefilter("ignore", ResourceWarning)
gc.disable()  # which would close it at some time or other
print("Python", sys.version.split()[0])
for kind, expected in EXPECTED.items():
    heard = {asyncio.run(called(turns, later=kind != "at once")) for turns in range(5)}
    print(f"closed {kind}: {', '.join(sorted(heard))}")
    assert heard == expected, heard
PYTHON
