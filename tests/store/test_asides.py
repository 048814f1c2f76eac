"""What a disk has spoilt, or the gateway fails over, is set aside; the rest goes on."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import store_values
from structlog.testing import capture_logs

from bars_gateway.errors import PayloadDamaged
from bars_gateway.standard.remarks import Remark
from bars_gateway.store.database import open_database
from bars_gateway.store.port import NoticeKind, Part
from bars_gateway.store.sqlite import SqliteStore

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture
async def store(tmp_path):
    async with open_database(tmp_path / "gateway.db") as database:
        yield SqliteStore(database, node="here")


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


@pytest.mark.parametrize("column", ["body", "headers", "media_type"])
@pytest.mark.parametrize("size", [10, 5000])
async def test_a_message_with_spoilt_bytes_is_held_and_the_next_is_claimed(
    store, tmp_path, column, size
):
    """Whichever bit: it never leaves, a person is told, and nothing waits behind it."""
    body = b'{"a": "' + b"x" * size + b'"}'
    request = store_values.payload(body)
    await store.submit(store_values.submission(request=request), NOW)
    good = await store.submit(store_values.submission(), NOW)
    spoil(tmp_path / "gateway.db", column, "request")
    with capture_logs() as logs:
        claim = await store.claim_next(NOW, ["trust"])
    (held,) = await store.pending_notices("trust", 10)

    assert good.request_id == claim.request_id
    assert (NoticeKind.HELD, [Remark.SET_ASIDE], 0) == (held.kind, held.remarks, held.attempts)
    assert ["payload.damaged"] == [each.kind for each in (await store.overview(NOW)).standing]
    assert "unit.set_aside" in [line["event"] for line in logs]


async def test_a_spoilt_payload_is_never_shown(store, tmp_path):
    """Whoever asks for it hears that it is damaged."""
    await store.submit(store_values.submission(), NOW)
    spoil(tmp_path / "gateway.db", "body", "request")

    with pytest.raises(PayloadDamaged):
        await store.payload(1, Part.REQUEST)
