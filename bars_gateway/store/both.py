"""
The tables that a restored database and the kept one have in common, schemas `main` and `other`.

Releases differ, and so do numbers: what is brought over is named by the columns of both, and
keeps its number where that is free.
"""

import sqlite3
from collections.abc import Mapping, Sequence


def columns(connection: sqlite3.Connection, table: str) -> Sequence[str]:
    """Return the columns that the table has in both."""
    query = "SELECT name FROM pragma_table_info(?, ?)"
    here, there = (
        [name for (name,) in connection.execute(query, [table, schema])]
        for schema in ("main", "other")
    )
    return [name for name in here if name in there]


def insert(connection: sqlite3.Connection, table: str, values: Mapping[str, object]) -> int:
    """Put a row into *table* here, and return its number."""
    names, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
    query = f"INSERT INTO main.{table} ({names}) VALUES ({marks})"  # noqa: S608
    return int(connection.execute(query, values).lastrowid or 0)


def change(
    connection: sqlite3.Connection, table: str, number: int, values: Mapping[str, object]
) -> None:
    """Let row *number* of *table* here have those values."""
    changes = ", ".join(f"{name} = :{name}" for name in values)
    query = f"UPDATE main.{table} SET {changes} WHERE id = :number"  # noqa: S608
    connection.execute(query, {**values, "number": number})


def is_used(connection: sqlite3.Connection, table: str, number: int) -> bool:
    """Tell whether *table* here has a row of that number."""
    query = f"SELECT 1 FROM main.{table} WHERE id = ?"  # noqa: S608
    return connection.execute(query, [number]).fetchone() is not None
