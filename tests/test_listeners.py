"""A listener that closes hangs up on everybody: whoever has just come, and whoever says nothing."""

import asyncio
import gc
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from aiohttp import web
from handshakes import ByHand, called, is_hung_up_on

from bars_gateway import listeners

ROOT = Path(__file__).parents[1] / "bars_gateway"
MUCH = 2**24  # bytes: more than fits into the buffers of a connection
ASKING = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
Bound = Callable[[Path], socket.socket]


def on_tcp(_folder: Path) -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def on_unix(folder: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "a.sock"))
    listener.listen()
    return listener


async def much(_request: web.Request) -> web.Response:
    return web.Response(body=bytes(MUCH))


@asynccontextmanager
async def serving(
    listener: socket.socket, tls: ssl.SSLContext | None = None
) -> AsyncIterator[listeners.Listening]:
    """Serve on *listener*, and be closed at the end in any case."""
    application = web.Application()
    application.router.add_get("/", much)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    kind = listeners.QuietConnection
    listening = await listeners.serve(runner, listener, connection=kind, tls=tls)
    try:
        yield listening
    finally:
        await listening.close()


@pytest.mark.parametrize("steps", range(6))
@pytest.mark.parametrize("bound", [on_tcp, on_unix])
async def test_who_calls_while_a_listener_closes_is_hung_up_on(
    bound: Bound, steps: int, tmp_path: Path
) -> None:
    """At whatever step of being let in: an EPR that hears nothing waits on."""
    listener = bound(tmp_path)
    async with serving(listener) as listening:
        with called(listener) as client:
            for _ in range(steps):
                await asyncio.sleep(0)
            await listening.close()

            assert await is_hung_up_on(client)
    gc.collect()  # a connection that nobody has would say so here


@pytest.mark.parametrize("bound", [on_tcp, on_unix])
async def test_who_does_not_take_an_answer_keeps_no_listener_open(
    bound: Bound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had its second; what has not been taken then is lost, as it is where a process ends."""
    monkeypatch.setattr(listeners, "_GOODBYE_SECONDS", 0.01)
    listener = bound(tmp_path)
    async with serving(listener) as listening:
        with called(listener) as client:
            await asyncio.get_running_loop().sock_sendall(client, ASKING)
            await asyncio.get_running_loop().sock_recv(client, 1)
            await listening.close()

            assert not listening._inside
            assert await is_hung_up_on(client)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.mark.parametrize("steps", range(4))
async def test_who_says_no_goodbye_over_tls_keeps_no_listener_open(
    steps: int, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself asyncio waits half a minute for it; and who comes too late is not served."""
    monkeypatch.setattr(listeners, "_GOODBYE_SECONDS", 0.01)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trusting)
    listener = on_tcp(Path())
    async with serving(listener, context) as listening:
        with called(listener) as client:
            await ByHand(client, trusting, "localhost").shake_hands()
            for _ in range(steps):
                await asyncio.sleep(0)
            await listening.close()

            assert await is_hung_up_on(client)


def test_nothing_else_makes_a_server() -> None:
    """But the balancer of a demonstration: asyncio's own may forget a caller as it is closed."""
    making = re.compile(r"(start|unix)_server\(|loop(\(\))?\.create_server\(|(TCP|Unix)Site\(")
    found = {
        str(file.relative_to(ROOT))
        for file in ROOT.rglob("*.py")
        if making.search(file.read_text("utf-8"))
    }

    assert {"demo/nodes.py", "listeners.py"} == found
