"""A real mail server of this machine, what it has taken, and a gateway's alerts by it."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import trustme
from aiosmtpd.smtp import SMTP, Envelope, Session
from figures import AT_REST
from store_values import NOW

from bars_gateway.config.alerts import AlertSettings
from bars_gateway.config.local import Status
from bars_gateway.daemon.alerting import Alerting
from bars_gateway.status.deliveries import MailServer
from bars_gateway.store.store import Store


class Box:
    """A mail server's inbox."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.secured: list[bool] = []
        self.refused: dict[str, str] = {}  # by address, what is said to it
        self.taken_for: list[list[str]] = []  # of each mail

    async def handle_RCPT(  # noqa: N802 - the library's name
        self,
        _server: SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        _options: list[str],
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - the library's name
        self, _server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        self.mails.append(message_from_bytes(envelope.content or b"", policy=default))
        self.secured.append(session.ssl is not None)
        self.taken_for.append(list(envelope.rcpt_tos))
        return "250 taken"


@asynccontextmanager
async def mail_server(tmp_path: Path, box: Box, **how: Any) -> AsyncIterator[MailServer]:
    """Run a real mail server that wants STARTTLS; yield how it is reached."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    loop = asyncio.get_running_loop()

    served: list[SMTP] = []

    def serving() -> SMTP:
        served.append(SMTP(box, tls_context=context, require_starttls=True, loop=loop, **how))
        return served[-1]

    server = await loop.create_server(serving, "127.0.0.1", 0)
    async with server:
        yield MailServer(
            host="localhost",
            port=server.sockets[0].getsockname()[1],
            security="starttls",
            ca_file=tmp_path / "ca.pem",
            user=None,
            password_file=None,
            sender="gateway@example-trust.nhs.uk",
            recipients=["on-call@example-trust.nhs.uk", "it@example-trust.nhs.uk"],
            seconds=20,
        )
        for each in served:  # one that ended within the handshake is left open by the library
            # Python 3.11.2, Debian 12's, cannot abort what was closed twice, and does not say so.
            with suppress(AttributeError):
                each.transport.abort()
        await asyncio.sleep(0)


def plain_server(listener: asyncio.Server, *, seconds: float) -> MailServer:
    """Return how *listener* is reached, as a mail server without TLS that has so long."""
    return MailServer(
        host="127.0.0.1",
        port=listener.sockets[0].getsockname()[1],
        security="none",
        ca_file=None,
        user=None,
        password_file=None,
        sender="a@example.org",
        recipients=["b@example.org"],
        seconds=seconds,
    )


class AlertingByMail:
    """What tells people of a gateway by mail, from its settings, at a time that a test sets."""

    def __init__(self, store: Store, server: MailServer, **set_to: object) -> None:
        alerts = {
            "mail_server": server.host,
            "mail_port": server.port,
            "mail_ca_file": server.ca_file,
            "mail_from": server.sender,
            "mail_to": list(server.recipients),
        }
        self.settings: Any = SimpleNamespace(
            node="gateway-1",
            environment="int",
            page_url="http://127.0.0.1:8480",
            status=Status(),
            alerts=AlertSettings.model_validate(alerts | set_to),
        )
        self.at, self.running = NOW, replace(AT_REST, started_at=NOW - timedelta(hours=1))
        self.alerting = Alerting(
            lambda: self.settings, store, lambda: self.running, lambda: self.at
        )
