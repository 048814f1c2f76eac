"""What a disk does to a database: one bit, in the middle of what is stored of a message."""

import sqlite3
from contextlib import closing
from pathlib import Path


def spoil(path: Path, column: str, part: str) -> None:
    """Flip one bit in the middle of what is stored of the first message."""
    with closing(sqlite3.connect(path)) as connection, connection:
        (was,) = connection.execute(
            f"SELECT {column} FROM payloads WHERE message_id = 1 AND part = ?", [part]
        ).fetchone()
        spoilt = bytearray(was if isinstance(was, bytes) else was.encode())
        spoilt[len(spoilt) // 2] ^= 1
        value = bytes(spoilt) if isinstance(was, bytes) else spoilt.decode()
        connection.execute(
            f"UPDATE payloads SET {column} = ? WHERE message_id = 1 AND part = ?", [value, part]
        )
