"""Breaks on SQLite: a row each, until an answer comes."""

import sqlite3
from collections.abc import Mapping
from datetime import datetime

from bars_gateway.store.database import Database
from bars_gateway.store.rows import instant, text
from bars_gateway.store.statements import rows, run


class SqliteBreaks:
    """The `Breaks` of one open database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def began(self, name: str, since: datetime) -> None:
        """Keep that nothing came from *name* since then, unless an earlier moment is kept."""
        await self._database.write(
            lambda connection: run(connection, "begin_break", whose=name, since=text(since))
        )

    async def ended(self, name: str) -> None:
        """Forget it: an answer came."""
        await self._database.write(lambda connection: run(connection, "end_break", whose=name))

    async def known(self) -> Mapping[str, datetime]:
        """Return who had not answered, and since when."""
        return await self._database.read(_known)


def _known(connection: sqlite3.Connection) -> Mapping[str, datetime]:
    return {row["name"]: instant(row["since"]) for row in rows(connection, "breaks")}
