"""Certificates of both sides, a server that is really listening, and callers that misbehave."""

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from prometheus_client import CollectorRegistry

from bars_gateway.inbound.connection import Callers, InboundLimits
from bars_gateway.inbound.exchange import Answerer, InboundRequest, Reply
from bars_gateway.inbound.server import InboundServer
from bars_gateway.standard.formats import Format
from bars_gateway.tls.contexts import CurrentIdentity, Identity, load_identity

PROXY = "proxy.example.nhs.uk"
REQUEST_ID = "0f9f5d2c-6d0e-4a86-9d2c-0d6a3a1f9b11"
CORRELATION_ID = "7c1d1df5-93c2-4b55-8f0e-3f2b0b6c8a22"
IDS = f"X-Request-Id: {REQUEST_ID}\r\nX-Correlation-Id: {CORRELATION_ID}\r\n"


def now() -> datetime:
    return datetime.now(UTC)


class World:
    """Two authorities, and whatever they issue."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA(organization_name="Example Authority")
        self.other_authority = trustme.CA(organization_name="Another Authority")
        self.ca_file = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(self.ca_file)

    def write(self, name: str, certificate: trustme.LeafCert) -> tuple[Path, Path]:
        """Return the files of the chain and of the key, as an operator would have them."""
        chain, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        chain.write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
        key.write_bytes(certificate.private_key_pem.bytes())
        key.chmod(0o600)
        return chain, key

    def server_certificate(self, name: str = "localhost") -> trustme.LeafCert:
        """Return a certificate for localhost with *name* as its common name."""
        return self.authority.issue_cert("localhost", common_name=name)

    def identity(self, name: str = "localhost") -> Identity:
        """Return that certificate as the server loads it."""
        chain, key = self.write(f"server-{name}", self.server_certificate(name))
        return load_identity(chain, key, self.ca_file, now=now())

    def certificate_for(self, *names: str, ends: datetime | None = None) -> trustme.LeafCert:
        """Return a caller's certificate: the first name is its CN, the rest are SANs."""
        return self.authority.issue_cert(*names, common_name=names[0], not_after=ends)

    def hand_made(
        self,
        common_name: str,
        *,
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
        begins: datetime | None = None,
    ) -> trustme.LeafCert:
        """Return a certificate of the authority with what trustme would not put in."""
        key = ec.generate_private_key(ec.SECP256R1())
        start = begins or now() - dt.timedelta(days=1)
        issuer = x509.load_pem_x509_certificate(self.authority.cert_pem.bytes())
        issuer_key = load_pem_private_key(self.authority.private_key_pem.bytes(), None)
        assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
            .issuer_name(issuer.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + dt.timedelta(days=90))
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .sign(issuer_key, hashes.SHA256())
        )
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return trustme.LeafCert(pem, certificate.public_bytes(Encoding.PEM), [])

    def caller_context(self, certificate: trustme.LeafCert | None) -> ssl.SSLContext:
        """Return the context of a caller who trusts the authority and has this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.authority.configure_trust(context)
        if certificate is not None:
            certificate.configure_cert(context)
        return context


@dataclass
class Receiver:
    """An Answerer that keeps what it was asked."""

    requests: list[InboundRequest] = field(default_factory=list)
    body: bytes = b'{"resourceType":"Bundle"}'

    async def __call__(self, request: InboundRequest) -> Reply:
        """Take the message."""
        self.requests.append(request)
        return Reply(http_status=200, written_in=Format.JSON, body=self.body)


async def nobody_told(_error: BaseException) -> None:
    """Leave it at that."""


@asynccontextmanager
async def serving(
    answer: Answerer,
    identity: Identity,
    *,
    callers: Callers | None = None,
    limits: InboundLimits | None = None,
    port: int = 0,
    tell: Callable[[BaseException], Awaitable[None]] = nobody_told,
) -> AsyncIterator[InboundServer]:
    """Run a server on a free port; stop it, and wait for its end, when the block is left."""
    server = InboundServer(
        answer,
        CurrentIdentity(identity),
        host="127.0.0.1",
        port=port,
        callers=callers or Callers(names=(PROXY,)),
        registry=CollectorRegistry(),
        now=now,
        limits=limits,
        tell=tell,
    )
    server.start()
    running = asyncio.create_task(server.run())
    try:
        yield server
    finally:
        server.stop()
        async with asyncio.timeout(10):
            await running


@dataclass
class Answer:
    """One HTTP answer, as it came."""

    status: int
    headers: dict[str, str]
    body: bytes


class Caller:
    """One connection to the server, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Send bytes, as fast as the server takes them."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> Answer:
        """Return the next answer."""
        async with asyncio.timeout(10):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("ascii")
            first, *lines = head.strip().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines)
            body = await self.reader.readexactly(int(headers.get("Content-Length", "0")))
        return Answer(int(first.split()[1]), headers, body)

    async def ask(self, data: bytes) -> Answer:
        """Send a whole request and return its answer."""
        await self.send(data)
        return await self.answer()

    async def rest(self) -> bytes:
        """Return what comes until the server ends the connection, as it then must."""
        async with asyncio.timeout(10):
            with suppress(ConnectionError, ssl.SSLError):
                return await self.reader.read()
        return b""

    async def drip(self, data: bytes) -> float:
        """Send a byte every 20 ms until the server ends it; return after how many seconds."""
        loop = asyncio.get_running_loop()
        began, ended = loop.time(), asyncio.create_task(self.rest())
        for position in range(len(data)):
            self.writer.write(data[position : position + 1])
            await asyncio.wait({ended}, timeout=0.02)
            if ended.done():
                break
        await ended
        return loop.time() - began


@asynccontextmanager
async def calling(port: int, context: ssl.SSLContext | None) -> AsyncIterator[Caller]:
    async with asyncio.timeout(10):
        name = "localhost" if context else None
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname=name
        )
    try:
        yield Caller(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


def post(
    body: bytes = b"{}",
    *,
    method: str = "POST",
    path: str = "/base/$process-message",
    media_type: str = "application/fhir+json",
    extra: str = "",
) -> bytes:
    """Return a request as it goes over the wire."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{IDS}"
        f"Content-Type: {media_type}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    )
    return head.encode("latin-1") + body


async def eventually(fact: Callable[[], object]) -> None:
    """Wait until *fact* holds: the other side learns of it in its own time."""
    async with asyncio.timeout(10):
        while not fact():
            await asyncio.sleep(0.005)


@dataclass
class Waiting:
    """An Answerer that says when it was asked, and answers when it may."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, request: InboundRequest) -> Reply:
        """Wait, then take the message."""
        self.asked.set()
        await self.may_answer.wait()
        return Reply(http_status=200, written_in=Format.JSON, body=b"{}")
