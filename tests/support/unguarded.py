"""What a disk may lose, and nobody may delete: for tests of what is noticed then."""

import sqlite3
from pathlib import Path


def let_delete(connection: sqlite3.Connection) -> None:
    """Take away what refuses a DELETE of records, in the file of *connection*."""
    found = "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name GLOB '*_stay*'"
    for (name,) in connection.execute(found).fetchall():
        connection.execute(f"DROP TRIGGER {name}")


def change(path: Path, *statements: str) -> None:
    """Change the file at *path* behind the back of every gateway."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        if any(statement.startswith("DELETE") for statement in statements):
            let_delete(connection)
        for statement in statements:
            connection.execute(statement)
    finally:
        connection.close()
