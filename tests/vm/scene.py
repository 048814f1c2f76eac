"""
The world around the machine that is tried: the national side, the far side, and who writes to it.

    Sender ─────────────────► the machine ──► sandbox ──► ambulance, a gateway of its own
    Epr ──► its EPR's socket ─┘

All but the machine is in this process, and keeps what it heard where no power is cut.
"""

import asyncio
import logging
import socket
import ssl
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from facts import Facts, NotSo
from machine import Machine, relay
from messages import RECEIVER, SENDER
from traffic import Epr, Sender, Traffic
from volatile_disk import VolatileDisk
from world import Node

from bars_gateway.demo.stage import free_ports
from bars_gateway.sandbox.server import Sandbox, SandboxSettings

NATIONAL = "/srv/national"  # in there
PROVIDER = "trust"
_RECEIVING, _SUBMITTING = 8443, 9000  # ports in there


@dataclass
class Scene:
    """Everything, while it runs."""

    machine: Machine
    disk: VolatileDisk
    sandbox: Sandbox
    ambulance: Node
    folder: Path
    receiving: int
    submitting: int

    @property
    def receiver(self) -> str:
        """Where the machine receives, as the proxy calls it."""
        return f"https://127.0.0.1:{self.receiving}/FHIR/R4"

    @property
    def national(self) -> Path:
        """The folder of the national side, out here."""
        return self.sandbox.ca_file.parent.parent

    def as_proxy(self) -> ssl.SSLContext:
        """Return what makes a client, to a gateway, the proxy."""
        context = ssl.create_default_context(cafile=str(self.sandbox.client_ca_file))
        own = self.national / "national"
        context.load_cert_chain(own / "proxy-client.pem", own / "proxy-client.key")
        return context

    def traffic(self, pause: float) -> Traffic:
        """Return traffic that is to flow; each pauses for so many seconds after a message."""
        return Traffic(
            Epr(f"http://127.0.0.1:{self.submitting}", pause),
            Sender(self.receiver, self.as_proxy(), pause),
        )

    def at_far_side(self) -> Counter[str]:
        """Return how often each X-Request-Id has come in at the ambulance's."""
        asked = "SELECT request_id FROM messages WHERE direction = 'inbound'"
        return Counter(str(each) for (each,) in self.ambulance.ask(asked))

    async def furnish(self) -> None:
        """Give the machine its wires, and the national side's files as they were handed over."""
        await self.machine.wire()
        user = "printf 'u epr - -\\nm epr bars-gateway-epr\\n' | systemd-sysusers -"
        made = await self.machine.run(user)  # useradd is not there on every release's smallest
        assert made.code == 0, made.said
        to = f"/run/bars-gateway/{PROVIDER}.sock"
        await relay(self.machine, "submitting", f"10.0.2.15:{_SUBMITTING}", to, user="epr")
        files = {"sandbox.json": (self.national / "sandbox.json").read_bytes()}
        for name in ("national", "receivers"):
            files[f"authorities/{name}.pem"] = (
                self.national / "authorities" / f"{name}.pem"
            ).read_bytes()
        told = files["sandbox.json"].replace(str(self.national).encode(), NATIONAL.encode())
        await self.machine.put(
            {f"{NATIONAL}/{name}": content for name, content in files.items()}
            | {f"{NATIONAL}/sandbox.json": told}
        )


def _port_of(national: Path) -> int:
    """Return the port of the national side: the machine's settings name it, also next time."""
    kept = national.with_suffix(".port")
    if not kept.exists():
        kept.write_text(str(*free_ports(1)), "utf-8")
    return int(kept.read_text("utf-8"))


@asynccontextmanager
async def scene(
    boot: Path,
    image: Path,
    folder: Path,
    *,
    national: Path | None = None,
    lies: float = 0.0,
    options: str = "",
) -> AsyncIterator[Scene]:
    """
    Let everything run but the machine, which is off; in the end it is ended, too.

    *national*: the folder of the national side, if not the one that `service` has registered with.
    """
    quiet = structlog.make_filtering_bound_logger(logging.WARNING)
    structlog.configure(wrapper_class=quiet)
    national, folder = national or boot / "national", folder.resolve()
    settings = SandboxSettings(folder=national.resolve(), port=_port_of(national), key_bits=2048)
    async with AsyncExitStack() as opened:
        group = await opened.enter_async_context(asyncio.TaskGroup())
        sandbox = await opened.enter_async_context(Sandbox(settings))
        disk = await opened.enter_async_context(VolatileDisk(image, folder / "disk", lies=lies))
        ambulance = Node("ambulance", RECEIVER.rpartition("|")[2], folder / "ambulance", sandbox)
        await ambulance.register()
        await ambulance.start(group)
        opened.push_async_callback(ambulance.stop)
        receiving, submitting = free_ports(2)
        machine = Machine(
            boot,
            disk,
            folder,
            inward={receiving: _RECEIVING, submitting: _SUBMITTING},
            outward=[int(sandbox.token_url.split(":")[2].partition("/")[0])],
            options=options,
        )
        opened.push_async_callback(machine.kill)
        made = Scene(machine, disk, sandbox, ambulance, folder, receiving, submitting)
        await sandbox.register(PROVIDER, [SENDER], made.receiver)
        yield made


async def go_through(
    opened: AbstractAsyncContextManager[Scene], tried: Callable[[Scene, Facts], Awaitable[None]]
) -> None:
    """See all that *tried* sees in that scene; or print what was not so, and fail."""
    async with opened as made:
        facts = Facts(made.machine)
        try:
            await tried(made, facts)
        except (NotSo, TimeoutError) as error:
            await _last_words(made, error)
            raise SystemExit(1) from None
    print(f"{facts.seen} facts were seen.")


async def _last_words(scene: Scene, error: Exception) -> None:
    """Print what went wrong, and what the gateway said last."""
    done = await scene.machine.run("journalctl -u bars-gateway.service -n 40 --no-pager", 60)
    print(f"{done.said}\n{error!r}\n{error}", file=sys.stderr)


def shown_at(port: int, context: ssl.SSLContext) -> bytes:
    """Return the certificate, as DER, that is shown to a new connection."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        return connection.getpeercert(binary_form=True) or b""
