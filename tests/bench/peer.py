"""
What many would build instead: a quorum queue of RabbitMQ, drained by aio-pika and aiohttp.

    published, confirmed ──► quorum queue ──► 32 under way ──POST──► sink.py ──► acked

It looks at nothing, answers nobody, keeps no record of what was sent and tries nothing again. The
broker is a process of this benchmark's own, on 127.0.0.1 with folders of its own, and is ended with
it. Where there is none (`apt install rabbitmq-server`), or where the client cannot be installed
(`peer.lock`), a loud line says that this was left out; `PEER=none` leaves it out.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from builds import HERE, ROOT
from staging import OURS, Ground, Sink

from bars_gateway.demo.stage import free_ports

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
EPMD = Path("/usr/bin/epmd")
_START_SECONDS = 90
Drain = Callable[[], Awaitable[float]]


def _missing(folder: Path) -> str | None:
    """Install the client; return what is missing, in words."""
    if os.environ.get("PEER") == "none":
        return "PEER=none says so"
    if not (SERVER.exists() and EPMD.exists()):
        return "RabbitMQ is not installed (Debian: rabbitmq-server)"
    return None if installed(HERE / "peer.lock", folder) else "aio-pika cannot be installed"


def installed(lock: Path, folder: Path) -> bool:
    """Install what *lock* pins into *folder*; return whether that could be."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    how = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--target", str(folder)]
    done = subprocess.run([*pip, *how, "--requirement", str(lock)], check=False)
    return not done.returncode


@asynccontextmanager
async def pipeline(at: Ground, sink: Sink, count: int) -> AsyncIterator[Drain | None]:
    """Yield what publishes and drains *count* messages, and returns the seconds of the drain."""
    folder = at.folder / "peer"
    folder.mkdir()
    if why := _missing(folder / "client"):
        print(f"\n*** LEFT OUT: the pipeline over RabbitMQ. {why}. ***\n", file=sys.stderr)
        yield None
        return
    async with _broker(folder) as port, _worker(folder, port, at, sink, count) as drain:
        yield drain


@asynccontextmanager
async def _broker(folder: Path) -> AsyncIterator[int]:
    port, distribution, names = free_ports(3)
    environment = _environment(folder, port, distribution, names)
    with (folder / "broker.log").open("ab") as log:
        register = await _started([str(EPMD), "-address", "127.0.0.1"], environment, log)
        broker = await _started([str(SERVER)], environment, log)
    try:
        async with asyncio.timeout(_START_SECONDS):
            while not _listens(port):
                await asyncio.sleep(0.1)
        yield port
    finally:
        for process in (broker, register):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)  # a session of its own: nobody else's
            await process.wait()


def _environment(folder: Path, port: int, distribution: int, names: int) -> Mapping[str, str]:
    settings = {"rabbitmq.conf": "loopback_users.guest = true\n", "plugins": "[].\n", "env": ""}
    for name, said in settings.items():
        (folder / name).write_text(said, "ascii")
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(names),
        "RABBITMQ_NODENAME": "bars-bench@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "env"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
    }


async def _started(command: list[str], environment: Mapping[str, str], log: object):
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=dict(environment),
        start_new_session=True,
    )


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@asynccontextmanager
async def _worker(
    folder: Path, port: int, at: Ground, sink: Sink, count: int
) -> AsyncIterator[Drain]:
    told = {
        "amqp": f"amqp://guest:guest@127.0.0.1:{port}/",
        "url": f"https://127.0.0.1:{sink.port}/$process-message",
        "authority": str(at.made / "authorities" / "national.pem"),
        "count": count,
        "receiver": OURS,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(HERE / "peer_drain.py"), json.dumps(told)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=dict(os.environ) | {"PYTHONPATH": f"{folder / 'client'}:{ROOT}"},
    )

    async def drain() -> float:
        process.stdin.write(b"go\n")
        line = await process.stdout.readline()
        if not line:
            raise SystemExit("The pipeline over RabbitMQ ended early: see above.")
        return float(line)

    try:
        yield drain
    finally:
        process.stdin.close()
        await process.wait()
