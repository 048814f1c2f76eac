"""What all tests of the console share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from console_side import Console, served


@pytest.fixture
async def console(tmp_path: Path) -> AsyncIterator[Console]:
    async with served(tmp_path) as found:
        yield found
