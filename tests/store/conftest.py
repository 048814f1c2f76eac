from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bars_gateway.store.sqlite.database import SqliteDatabase, open_database
from bars_gateway.store.store import Store


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    async with open_database(tmp_path / "gateway.db") as opened:
        yield opened


@pytest.fixture
async def store(database: SqliteDatabase) -> Store:
    return Store(database, node="here")
