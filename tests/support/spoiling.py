"""What a disk does to a database: one bit, in the middle of what is stored of a message."""

import sqlite3
from contextlib import closing
from pathlib import Path

from own_words import said

from bars_gateway.store.connection import Database
from bars_gateway.store.sqlite.database import SqliteDatabase

_WAS = "SELECT {} FROM payloads WHERE message_id = 1 AND part = ?"
_IS = "UPDATE payloads SET {} = ? WHERE message_id = 1 AND part = ?"


def spoil(path: Path, column: str, part: str) -> None:
    """Flip one bit in the middle of what is stored of the first message."""
    with closing(sqlite3.connect(path)) as connection, connection:
        (was,) = connection.execute(_WAS.format(column), [part]).fetchone()
        connection.execute(_IS.format(column), [_spoilt(was), part])


async def spoilt_there(database: Database, column: str, part: str) -> None:
    """Do that to a database that is open, of either engine."""
    ((was,),) = await said(database, _WAS.format(column), part)
    await said(database, _IS.format(column), _spoilt(was), part)


async def no_text_there(database: Database, column: str, part: str) -> None:
    """Flip a bit so that it is no UTF-8 any more: neither engine looks at what it keeps."""
    ((was,),) = await said(database, _WAS.format(column), part)
    bits = bytearray(was.encode())
    bits[len(bits) // 2] ^= 0x80
    as_text = "CAST(? AS TEXT)"
    if not isinstance(database, SqliteDatabase):
        await said(database, "CREATE CAST (bytea AS text) WITHOUT FUNCTION")
        as_text = "CAST(CAST(? AS bytea) AS text)"
    await said(database, _IS.format(column).replace("= ?", f"= {as_text}", 1), bytes(bits), part)


def _spoilt(was: bytes | str) -> bytes | str:
    bits = bytearray(was if isinstance(was, bytes) else was.encode())
    bits[len(bits) // 2] ^= 1
    return bytes(bits) if isinstance(was, bytes) else bits.decode()
