"""What a disk may lose, and nobody may delete: for tests of what is noticed then."""

import sqlite3


def let_delete(connection: sqlite3.Connection) -> None:
    """Take away what refuses a DELETE of records, in the file of *connection*."""
    found = "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name GLOB '*_stay*'"
    for (name,) in connection.execute(found).fetchall():
        connection.execute(f"DROP TRIGGER {name}")
