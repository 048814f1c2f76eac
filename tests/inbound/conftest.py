import ssl

import pytest
from inbound_callers import PROXY, World

from bars_gateway.tls.contexts import Identity


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def identity(world: World) -> Identity:
    return world.identity()


@pytest.fixture(scope="session")
def proxy(world: World) -> ssl.SSLContext:
    """Return the context of a caller that may call."""
    return world.caller_context(world.certificate_for(PROXY))
