import asyncio
import ssl
from collections.abc import AsyncIterator

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from national_side import Clock, Service, acknowledging, granting, served
from sandbox.around import SERVICE, Box, opened

from bars_gateway.outbound.egress import open_session
from bars_gateway.sandbox.server import Sandbox, SandboxSettings
from bars_gateway.tls.contexts import client_context


@pytest.fixture(scope="session")
def key() -> rsa.RSAPrivateKey:
    """Return a signing key: short, because making a long one takes seconds."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def trusted() -> ssl.SSLContext:
    """Return what a session trusts: once, because reading every authority takes a while."""
    return client_context(None)


@pytest.fixture
async def session(trusted: ssl.SSLContext) -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session(trusted, connections=64, connect_seconds=5) as opened:
        yield opened


@pytest.fixture
async def token_service() -> AsyncIterator[Service]:
    async with served(granting()) as service:
        yield service


@pytest.fixture
async def national_proxy() -> AsyncIterator[Service]:
    async with served(acknowledging) as service:
        yield service


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> SandboxSettings:
    """Return the settings of a sandbox that knows one gateway: keys take long to make."""
    made = SandboxSettings(folder=tmp_path_factory.mktemp("national") / "box", key_bits=2048)
    asyncio.run(Sandbox(made).register("trust", [SERVICE], "https://127.0.0.1:1/base"))
    return made


@pytest.fixture
async def box(settings: SandboxSettings) -> AsyncIterator[Box]:
    async with opened(settings) as made:
        yield made
