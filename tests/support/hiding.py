"""
Makes an index lack a row that its table has, or hold one that it should not: what races leave.

    hide(database, "messages_due", 7)   message 7 is there, and nobody finds it by that index

The words of the index are changed in the schema, so that they leave the row out; the index is
built by them; and then the old words are put back. SQLite believes what stands there.
"""

import re
import sqlite3
from contextlib import closing
from pathlib import Path


def hide(database: Path, index: str, row: int, key: str = "rowid") -> None:
    """Let *index* lack that row, of a database that nobody has open."""
    _build(database, index, lambda condition: f"({condition}) AND {key} <> {row}")


def hold_too_much(database: Path, index: str, row: int) -> None:
    """Let *index* hold that row, which it is not about."""
    _build(database, index, lambda condition: f"({condition}) OR rowid = {row}")


def _build(database: Path, index: str, changed) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        (sql,) = connection.execute(
            "SELECT sql FROM sqlite_schema WHERE name = ?", [index]
        ).fetchone()
    columns, _, condition = re.sub(r"\s+", " ", sql).partition(" WHERE ")
    _say(database, index, f"{columns} WHERE {changed(condition or '1')}")
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute(f"REINDEX {index}")
    _say(database, index, sql)


def _say(database: Path, index: str, sql: str) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", [sql, index])
        connection.execute("PRAGMA writable_schema = RESET")


def stopped_in_order(database: Path) -> bool:
    """Tell whether the mark of an orderly stop is there."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        (stopped,) = connection.execute("SELECT stopped FROM soundness").fetchone()
    return bool(stopped)


def as_after_a_kill(database: Path) -> None:
    """Take the mark of an orderly stop away, as whoever dies leaves it away."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE soundness SET stopped = 0")
