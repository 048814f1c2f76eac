"""Calls on SQLite: a row each, for a minute and a little."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from bars_gateway.store.connection import Connection
from bars_gateway.store.database import Database
from bars_gateway.store.rows import instant, text

_KEPT = timedelta(seconds=65)  # a call may begin a little after its note


class SqliteCalls:
    """The `Calls` of one open database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(self, provider: str, now: datetime) -> None:
        """Note a call that is no message."""
        await self._database.write(lambda connection: note(connection, provider, now))

    async def since(self, since: datetime) -> Mapping[str, Sequence[datetime]]:
        """Return when the calls since *since* began, by provider: a minute of them at most."""
        return await self._database.read(lambda connection: _since(connection, since))


def note(connection: Connection, provider: str, now: datetime) -> int:
    """Note a call, and forget those that no minute holds any more; return the note's number."""
    connection.run("forget_calls", before=text(now - _KEPT))
    return connection.inserted("note_call", provider=provider, now=text(now))


def _since(connection: Connection, since: datetime) -> Mapping[str, Sequence[datetime]]:
    found: dict[str, list[datetime]] = defaultdict(list)
    for row in connection.rows("calls_since", since=text(since)):
        found[row["provider"]].append(instant(row["began_at"]))
    return found
