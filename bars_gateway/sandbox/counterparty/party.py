"""The counterparty as a whole: its parts made, its services registered, its tasks run."""

import asyncio
import ssl
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from aiohttp import web

from bars_gateway.sandbox.counterparty.correspondence import Correspondence
from bars_gateway.sandbox.counterparty.holdings import Holdings
from bars_gateway.sandbox.counterparty.reads import Reads
from bars_gateway.sandbox.counterparty.receiver import BASE, Receiver
from bars_gateway.sandbox.counterparty.reception import Reception
from bars_gateway.sandbox.counterparty.scripts import Scripts
from bars_gateway.sandbox.counterparty.sender import Sender, open_session
from bars_gateway.sandbox.counterparty.services import SERVICES
from bars_gateway.sandbox.counterparty.stateful import Stateful

NAME = "counterparty"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the counterparty needs of the national side."""

    proxy_url: Callable[[], str]
    token: Callable[[], str]
    ca_file: Path  # of the proxy
    pause_seconds: float  # before each response
    now: Callable[[], datetime]


class Counterparty:
    """The Receiver and the Requester behind the sandbox's proxy."""

    def __init__(self, around: Surroundings) -> None:
        self.holdings = Holdings()
        self.scripts = Scripts()
        self.stateful = Stateful()
        self.correspondence: Correspondence
        self.url = ""
        self._around = around

    async def open(self, opened: AsyncExitStack) -> web.Application:
        """Begin to correspond, until *opened* is closed; return what the proxy is to call."""
        around = self._around
        session = await opened.enter_async_context(open_session(around.ca_file))
        first_pause = min(around.pause_seconds, 1.0)
        sender = Sender(session, around.proxy_url, around.token, first_pause_seconds=first_pause)
        self.correspondence = Correspondence(
            self.holdings,
            self.scripts,
            sender,
            pause_seconds=around.pause_seconds,
            now=around.now,
        )
        group: asyncio.TaskGroup = await opened.enter_async_context(asyncio.TaskGroup())
        opened.callback(group.create_task(self.correspondence.run()).cancel)
        application = web.Application(client_max_size=2**24)
        application.router.add_route("*", BASE + "{path:.*}", self._receiver().handle)
        return application

    def _receiver(self) -> Receiver:
        around = self._around
        reception = Reception(
            self.holdings,
            self.scripts,
            self.stateful,
            self.correspondence.begin,
            now=around.now,
            new_id=_new_id,
        )
        reads = Reads(self.holdings, url=lambda: self.url, since=around.now(), new_id=_new_id)
        return Receiver(reception, reads)

    def forget(self) -> None:
        """Begin again, as the official test service does every night."""
        self.holdings.forget()
        self.stateful.forget()


def identifiers() -> list[str]:
    """Return `system|value` of each service that is to lead to the counterparty."""
    return [service.identifier for service in SERVICES.values()]


def server_context(folder: Path, client_ca_file: Path) -> ssl.SSLContext:
    """Return what the counterparty shows, and asks for: the proxy's certificate, always."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    context.load_verify_locations(client_ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _new_id() -> str:
    return str(uuid.uuid4())
