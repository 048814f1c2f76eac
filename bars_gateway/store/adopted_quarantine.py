"""
Brings over what lies in quarantine in the kept database, and lies not here.

    there alone ─────────────► here, for a person to attach
    attached there, and here ► here no more in quarantine, once its message is entered

The statements walk whole tables, which is why they are none of the named ones.
"""

import sqlite3

from bars_gateway.store.aftermath import Fate, Line, line_of
from bars_gateway.store.both import columns, insert, is_used
from bars_gateway.store.examination import wrong_with


class AdoptedQuarantine:
    """What a kept database, schema `other` of *connection*, has in quarantine, for this one."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def missing(self) -> sqlite3.Cursor:
        """Return what lies there, is attached to nothing, and lies not here."""
        return self._connection.execute(
            "SELECT k.*, '' AS move, '' AS use_case, 'inbound' AS direction, k.reason AS state"
            "  FROM other.quarantine AS k WHERE k.attached_to IS NULL"
            "   AND NOT EXISTS (SELECT 1 FROM main.quarantine AS h WHERE h.provider = k.provider"
            "                      AND h.request_id = k.request_id"
            "                      AND h.fingerprint = k.fingerprint) ORDER BY k.id"
        )

    def enter(self, row: sqlite3.Row) -> Line:
        """Put one here, unless its bytes are not those that came."""
        if wrong := wrong_with(row):
            return line_of(row, Fate.LEFT, f"its Bundle {wrong}")
        names = [name for name in columns(self._connection, "quarantine") if name != "attached_to"]
        values = {name: row[name] for name in names}
        if is_used(self._connection, "quarantine", row["id"]):
            values["id"] = None
        insert(self._connection, "quarantine", values)
        return line_of(row, Fate.QUARANTINED)

    def attach(self) -> None:
        """Let what was attached there be no longer in quarantine, now that its message is here."""
        self._connection.execute(
            "UPDATE main.quarantine AS q SET attached_to = courses.here FROM other.quarantine AS k"
            "  JOIN courses ON courses.kept = k.attached_to"
            " WHERE q.attached_to IS NULL"
            "   AND q.provider = k.provider"
            "   AND q.request_id = k.request_id"
            "   AND q.fingerprint = k.fingerprint"
            "   AND EXISTS (SELECT 1 FROM main.messages AS m WHERE m.provider = k.provider"
            "                  AND m.fingerprint = k.fingerprint AND m.direction = 'inbound')"
        )
