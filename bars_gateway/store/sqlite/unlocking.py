"""
Whether the keys at hand open what is stored here, before anything is written or promised.

    every key that is needed ─► in the ring? ─► decrypts its proof? ─► the file is opened
                                    └─no──────────────┴─► KeyMissing: which key, ring, and cure

A gateway that began without a key would set aside each message that it cannot read, one by one,
and an operator would look for a fault of the disk. So it does not begin.

Decisions: D-encryption.
"""

import sqlite3
from contextlib import suppress
from pathlib import Path

from bars_gateway.errors import PayloadDamaged
from bars_gateway.keyring import Vault
from bars_gateway.store.encryption import require
from bars_gateway.store.records import note_subjects
from bars_gateway.store.rows import decrypted, encrypted, place_of, unpacked
from bars_gateway.store.sqlite import SqliteConnection

_NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"


def require_keys(
    connection: sqlite3.Connection, vault: Vault, path: Path, schema: str = "main"
) -> None:
    """Raise KeyMissing where *vault* lacks a key that *path* needs, opened as *schema*."""
    if not _has_keyring(connection, schema):
        return
    needed = connection.execute(
        f"SELECT key_id, proof FROM {schema}.keyring WHERE done_at IS NULL ORDER BY since"  # noqa: S608
    ).fetchall()
    require(needed, vault, str(path))


def note_key(connection: sqlite3.Connection, vault: Vault) -> None:
    """Enter the key that encrypts from now on, before anything is encrypted by it."""
    if vault.key_id is None:
        return
    values = {"key_id": vault.key_id, "proof": vault.proof(vault.key_id)}
    known = "SELECT 1 FROM main.keyring WHERE key_id = :key_id AND done_at IS NULL"
    if connection.execute(known, values).fetchone() is None:
        connection.execute(
            f"INSERT INTO main.keyring (key_id, proof, since) VALUES (:key_id, :proof, {_NOW})"  # noqa: S608
            " ON CONFLICT DO UPDATE SET done_at = NULL, since = excluded.since,"
            " proof = excluded.proof",
            values,
        )


def encrypt_anew(connection: sqlite3.Connection, vault: Vault, *, beside: bool) -> None:
    """
    Have the next start go through everything, after rows have come from elsewhere.

    *beside*: rows of the schema `other` will be copied as they are, so that its keys are needed.
    """
    note_key(connection, vault)
    connection.execute("UPDATE main.encryption SET wanted = '', place = NULL, reached = '[]'")
    if beside and _has_keyring(connection, "other"):
        connection.execute(
            "INSERT INTO main.keyring (key_id, proof, since)"
            " SELECT key_id, proof, since FROM other.keyring WHERE done_at IS NULL"
            " ON CONFLICT DO UPDATE SET done_at = NULL"
        )


def rebind(works: SqliteConnection, kept: int, here: int) -> None:
    """Encrypt the bytes of a message from `other` for the number that it has here; note whom."""
    vault = works.vault
    if not vault.has_ring:
        return
    found = works.raw.execute(
        "SELECT here.* FROM other.payloads AS k"
        "  JOIN main.payloads AS here ON here.message_id = ? AND here.part = k.part"
        " WHERE k.message_id = ? AND k.body = here.body",
        [here, kept],
    ).fetchall()
    for row in found:
        there = {**dict(row), "message_id": kept}
        place = place_of("payloads", there)
        body, encoding = decrypted(bytes(row["body"]), row["encoding"], vault, place)
        body, encoding = encrypted(body, encoding, vault, place_of("payloads", row))
        works.raw.execute(
            "UPDATE main.payloads SET body = ?, encoding = ? WHERE message_id = ? AND part = ?",
            [body, encoding, here, row["part"]],
        )
        with suppress(PayloadDamaged):  # it is copied as it is, and told where somebody reads it
            note_subjects(works, "message", here, unpacked(there, vault, "payloads"))


def _has_keyring(connection: sqlite3.Connection, schema: str) -> bool:
    query = f"SELECT 1 FROM {schema}.sqlite_schema WHERE type = 'table' AND name = 'keyring'"  # noqa: S608
    return connection.execute(query).fetchone() is not None
