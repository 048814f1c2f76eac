"""SQL of a test's own, over whichever engine its database is: `?` stands for each value."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from bars_gateway.store.connection import Connection, Database
from bars_gateway.store.sqlite import SqliteConnection


def say(connection: Connection, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    """Run *sql* within a work; return its rows."""
    raw: Any = connection.raw  # type: ignore[attr-defined]
    if isinstance(connection, SqliteConnection):
        return [tuple(row) for row in raw.execute(sql, values)]
    cursor = raw.execute(sql.replace("?", "%s").encode(), values or None)
    return [tuple(row.values()) for row in cursor] if cursor.description else []


async def said(database: Database, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Run *sql* in a transaction of its own; return its rows, or raise what the store would."""
    return await database.write(partial(say, sql=sql, values=values))
