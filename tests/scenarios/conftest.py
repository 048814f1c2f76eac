from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from world import World, world_in


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_in(tmp_path) as running:
        yield running
