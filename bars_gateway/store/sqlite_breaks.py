"""Breaks on SQLite: a row each, until an answer comes."""

from collections.abc import Mapping
from datetime import datetime

from bars_gateway.store.connection import Connection
from bars_gateway.store.database import Database
from bars_gateway.store.rows import instant, text


class SqliteBreaks:
    """The `Breaks` of one open database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def began(self, name: str, since: datetime) -> None:
        """Keep that nothing came from *name* since then, unless an earlier moment is kept."""
        await self._database.write(
            lambda connection: connection.run("begin_break", whose=name, since=text(since))
        )

    async def ended(self, name: str) -> None:
        """Forget it: an answer came."""
        await self._database.write(lambda connection: connection.run("end_break", whose=name))

    async def known(self) -> Mapping[str, datetime]:
        """Return who had not answered, and since when."""
        return await self._database.read(_known)


def _known(connection: Connection) -> Mapping[str, datetime]:
    return {row["name"]: instant(row["since"]) for row in connection.rows("breaks")}
