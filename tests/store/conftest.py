from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bars_gateway.store.sqlite import SqliteConnection
from bars_gateway.store.sqlite.database import SqliteDatabase, open_database
from bars_gateway.store.store import Store


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    async with open_database(tmp_path / "gateway.db") as opened:
        yield opened


@pytest.fixture
async def store(database: SqliteDatabase) -> Store:
    return Store(database, node="here")


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the statements that run from now on: a group's end is none of them."""
    of_groups = {"newest_event", "unchained", "chain_lines"}
    ran: list[str] = []
    ask = SqliteConnection._ask  # type: ignore[attr-defined]

    def asked(connection: SqliteConnection, take: object, statement: str, values: object) -> object:
        if statement not in of_groups:
            ran.append(statement)
        return ask(connection, take, statement, values)

    monkeypatch.setattr(SqliteConnection, "_ask", asked)
    return ran
