"""Around a sandbox: a Receiver behind real TLS, and a Sender before it."""

import asyncio
import base64
import json
import random
import ssl
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache

import aiohttp
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from multidict import CIMultiDictProxy
from national_side import CORRELATION_ID, FHIR, REQUEST_ID, Clock, saying, served

from bars_gateway.sandbox.registry import DOS_SERVICE
from bars_gateway.sandbox.server import Sandbox, SandboxSettings

SERVICE = "2000000202"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a Sender got, read to the end."""

    status: int
    headers: CIMultiDictProxy
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def outcome(self):
        """Return status, issue code and details code of an OperationOutcome."""
        issue = self.json["issue"][0]
        return self.status, issue["code"], issue["details"]["coding"][0]["code"]


@dataclass(slots=True)
class Box:
    """The sandbox under test, and who stands around it."""

    sandbox: Sandbox
    receiver: object
    trust: object
    clock: Clock
    session: aiohttp.ClientSession
    tls: ssl.SSLContext
    rng: random.Random
    tokens: list = field(default_factory=list)

    async def ask(self, method, url, **arguments):
        async with self.session.request(
            method, url, ssl=self.tls, allow_redirects=False, **arguments
        ) as got:
            return Reply(got.status, got.headers, await got.read())

    async def call(self, path="/$process-message", method="POST", body=b"{}", without=(), **named):
        """Call the proxy as a Sender does; *named* headers have underscores for hyphens."""
        headers = {
            "Authorization": f"Bearer {await self.token()}",
            "X-Request-Id": REQUEST_ID,
            "X-Correlation-Id": CORRELATION_ID,
            "NHSD-Target-Identifier": target(),
            "Accept": f"{FHIR}; version=1.5.0",
            "Content-Type": FHIR,
        }
        headers |= {name.replace("_", "-"): value for name, value in named.items()}
        kept = {name: value for name, value in headers.items() if name not in without}
        return await self.ask(method, self.sandbox.proxy_url + path, data=body, headers=kept)

    async def token(self):
        if not self.tokens:
            self.tokens.append((await self.ask_token()).json["access_token"])
        return self.tokens[0]

    async def ask_token(self, assertion=None, **form):
        """Ask for a token; a field that is None is left out."""
        fields = {
            "grant_type": "client_credentials",
            "client_assertion_type": JWT_BEARER,
            "client_assertion": assertion or self.jwt(),
        } | form
        sent = {name: value for name, value in fields.items() if value is not None}
        return await self.ask("POST", self.sandbox.token_url, data=sent)

    def jwt(self, header=None, claims=None, key_file=None):
        """Return a good JWT but for *header* and *claims*; a member that is None is left out."""
        now = int(self.clock.now().timestamp())
        first = {"alg": "RS512", "typ": "JWT", "kid": self.trust.key_id} | (header or {})
        second = {
            "iss": self.trust.api_key,
            "sub": self.trust.api_key,
            "aud": self.sandbox.token_url,
            "jti": str(uuid.uuid4()),
            "exp": now + 150,
        } | (claims or {})
        signed = b".".join(segment(json.dumps(without_none(p)).encode()) for p in (first, second))
        key = loaded(key_file or self.trust.private_key_file)
        return (signed + b"." + segment(key.sign(signed, PKCS1v15(), SHA512()))).decode()

    async def admin(self, method, path, document=None):
        data = None if document is None else json.dumps(document)
        return await self.ask(method, self.sandbox.admin_url + path, data=data)

    async def arm(self, **fault):
        return await self.admin("POST", "/faults", fault)

    async def calls(self):
        return (await self.admin("GET", "/calls")).json["calls"]

    def tls_of_receiver(self, *, trusting=None):
        return receiver_tls(self.trust, trusting or self.sandbox.client_ca_file)


@cache
def loaded(key_file):
    """Return the key in a file: checking its consistency takes longer than most tests."""
    return load_pem_private_key(key_file.read_bytes(), None)


def target(value=SERVICE, system=DOS_SERVICE):
    return encoded(json.dumps({"system": system, "value": value}))


def encoded(text, encoding="utf-8"):
    return base64.b64encode(text.encode(encoding)).decode()


def segment(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def without_none(document):
    return {name: value for name, value in document.items() if value is not None}


def receiver_tls(registered, trusted):
    """Return what a Receiver shows and asks for: a client certificate, always."""
    return certified(registered.certificate_file, registered.certificate_key_file, trusted)


def certified(certificate_file, key_file, trusted):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_file, key_file)
    context.load_verify_locations(trusted)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@asynccontextmanager
async def opened(settings):
    """Yield a box whose Receiver takes everything."""
    clock = Clock(wall=datetime.now(UTC))
    changed = SandboxSettings(
        **{name: getattr(settings, name) for name in settings.__slots__ if name != "now"},
        now=clock.now,
    )
    async with Sandbox(changed) as sandbox, aiohttp.ClientSession(auto_decompress=False) as session:
        trust = sandbox.registry.application("trust-sandbox-api-key")
        tls, trusting = usual_tls(trust.folder, sandbox.client_ca_file, sandbox.ca_file)
        async with served(saying(200, b"taken", FHIR), ssl_context=tls) as receiver:
            await sandbox.register("trust", [SERVICE], f"{receiver.url}/base/")
            yield Box(sandbox, receiver, trust, clock, session, trusting, settings.rng)


@cache
def usual_tls(folder, client_ca_file, ca_file):
    """Return what the Receiver and the Sender of most tests use: reading files takes long."""
    context = certified(folder / "server.pem", folder / "server.key", client_ca_file)
    return context, ssl.create_default_context(cafile=str(ca_file))


async def point(box, port):
    """Let the service be received at another port."""
    url = f"https://127.0.0.1:{port}/base"
    await box.sandbox.register("trust", [SERVICE], url)


class talking:  # noqa: N801 - used as a context manager only
    """A listener that says *said* to whatever it hears, and hangs up or resets."""

    def __init__(self, said, tls, *, reset=False):
        self.said, self.tls, self.reset = said, tls, reset
        self.heard = b""

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._talk, "127.0.0.1", 0, ssl=self.tls)
        return self.server.sockets[0].getsockname()[1]

    async def __aexit__(self, *_):
        self.server.close()
        await self.server.wait_closed()

    async def _talk(self, reader, writer):
        self.heard = await reader.readuntil(b"\r\n\r\n")
        writer.write(self.said)
        await writer.drain()
        if self.reset:
            writer.transport.abort()
        writer.close()
