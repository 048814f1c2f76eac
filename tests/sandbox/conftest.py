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
    return SandboxSettings(
        folder=folder, key_bits=2048, connect_seconds=0.3, answer_seconds=0.3, rng=random.Random(7)
    )


@pytest.fixture
async def box(settings):
    async with opened(settings) as made:
        yield made
