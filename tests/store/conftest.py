from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bars_gateway.store.database import Database, open_database
from bars_gateway.store.sqlite import SqliteStore


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(tmp_path / "gateway.db") as opened:
        yield opened


@pytest.fixture
async def store(database: Database) -> SqliteStore:
    return SqliteStore(database, node="here")
