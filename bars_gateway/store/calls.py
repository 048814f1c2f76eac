"""
What went out to the platform in the last minute, so that a restart gives us no second quota.

    claim ────────► in the claim's own transaction ─┐
    token, read ──► note, before it is sent ────────┴─► since: what the next start counts

A call is noted before it begins, and so counts even where we died over it. What no
minute can hold any more is forgotten with the next one.
"""

from collections import defaultdict
from datetime import datetime, timedelta

from bars_gateway.store.connection import Connection
from bars_gateway.store.rows import instant, text
from bars_gateway.store.work import Noun, reads, writes

_KEPT = timedelta(seconds=65)  # a call may begin a little after its note


class Calls(Noun):
    """When each provider asked anything of the platform."""

    @writes
    def note(self, connection: Connection, provider: str, now: datetime) -> None:
        """Note a call that is no message."""
        note(connection, provider, now)

    @reads
    def since(self, connection: Connection, since: datetime) -> dict[str, list[datetime]]:
        """Return when the calls since *since* began, by provider: a minute of them at most."""
        found: dict[str, list[datetime]] = defaultdict(list)
        for row in connection.rows("calls_since", since=text(since)):
            found[row["provider"]].append(instant(row["began_at"]))
        return found


def note(connection: Connection, provider: str, now: datetime) -> int:
    """Note a call, and forget those that no minute holds any more; return the note's number."""
    connection.run("forget_calls", before=text(now - _KEPT))
    return connection.inserted("note_call", provider=provider, now=text(now))
