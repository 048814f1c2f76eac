"""A sandbox on keys that are made once, with a Receiver and a Sender around it."""

import asyncio
import random

import pytest
from sandbox.around import SERVICE, opened

from bars_gateway.sandbox.server import Sandbox, SandboxSettings


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Return a sandbox's folder with the keys of one gateway in it."""
    made = tmp_path_factory.mktemp("national") / "sandbox"
    sandbox = Sandbox(SandboxSettings(folder=made, key_bits=2048))
    asyncio.run(sandbox.register("trust", [SERVICE], "https://127.0.0.1:1/base"))
    return made


@pytest.fixture(scope="session")
def settings(folder):
    """Return settings with patience: on a busy machine a handshake may take half a second."""
    return SandboxSettings(
        folder=folder, key_bits=2048, connect_seconds=20, answer_seconds=20, rng=random.Random(7)
    )


@pytest.fixture
async def box(settings):
    async with opened(settings) as made:
        yield made
