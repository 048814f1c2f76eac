"""
Looks whether a database is whole, without changing it: the one that is in use, or a backup.

    structure   pages · references · constraints · schema version     a backup is held to this
    contents    every payload against its fingerprint · the states    `verify` looks at both

All of it reads one snapshot, on a connection that cannot write, so that a gateway may
go on working meanwhile. What a database holds is looked at by `store.integrity`.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bars_gateway import permissions
from bars_gateway.errors import DatabaseDamaged, StoreError
from bars_gateway.keyring import CLEAR, Vault
from bars_gateway.store.integrity import (
    CHECKS,
    Contents,
    DatabaseReport,
    counts,
    last_change_at,
    unknown_schema,
)
from bars_gateway.store.migrating import SQLITE
from bars_gateway.store.sqlite import (
    FileConnection,
    SqliteConnection,
    keyed,
    read_only,
    words_of,
)
from bars_gateway.store.sqlite.inspection import last

DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


@contextmanager
def reading(
    path: Path, *, beside: Path | None = None, vault: Vault = CLEAR
) -> Iterator[FileConnection]:
    """
    Open one snapshot of *path* that cannot be written to, with *beside* as schema `other`.

    *vault* opens what is encrypted there.

    Raises DatabaseDamaged where SQLite finds damage on the way, StoreError where it
    cannot read.
    """
    for file in filter(None, (path, beside)):
        permissions.require(file)
        if not file.is_file():
            raise StoreError(f"there is no file at {file}")
    try:
        connection = keyed(vault, read_only(path), uri=True, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA busy_timeout = 5000")
            connection.execute("PRAGMA trusted_schema = OFF")
            if beside is not None:
                connection.execute("ATTACH ? AS other", [read_only(beside)])
            connection.execute("PRAGMA query_only = ON")
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # the snapshot
            yield connection
        finally:
            connection.close()
    except sqlite3.Error as error:
        if is_damage(error):
            raise DatabaseDamaged(f"{path} is damaged: {words_of(error)}") from None
        for file in filter(None, (path, beside)):
            permissions.require_database(file, write=False)
        raise StoreError(f"{path} cannot be read: {words_of(error)}") from None


def is_damage(error: sqlite3.Error) -> bool:
    """Tell whether SQLite complains of the file and not of how it was asked."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE


def examine(path: Path, vault: Vault = CLEAR) -> DatabaseReport:
    """Return everything that is wrong with *path*; read every byte by the keys of *vault*."""
    with reading(path, vault=vault) as connection:
        return examined(connection, contents=True)


def examined(connection: FileConnection, *, contents: bool) -> DatabaseReport:
    """Examine the snapshot of *connection*; without *contents*, its structure alone."""
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    damage = _tried(_integrity(connection), _references(connection))
    (made_by,) = connection.execute("PRAGMA application_id").fetchone()
    unknown, held = unknown_schema(SQLITE, schema, made_by), contents_of(connection)
    checks = CHECKS if contents and not unknown else ()
    whole = not (unknown or damage)  # a figure from a damaged table would be a guess
    return DatabaseReport(
        schema=schema,
        counts=counts(held) if whole else {},
        last_change_at=last_change_at(held) if whole else None,
        damage=[*damage, unknown] if unknown else damage,
        contradictions=_tried(*(check(held) for check in checks)),
        inspected=last(connection) if whole else None,
    )


def contents_of(connection: FileConnection) -> Contents:
    """Return the snapshot of *connection*, for the checks that both engines share."""
    return Contents(each=connection.execute, connection=SqliteConnection(connection))


def _tried(*checks: Iterator[str]) -> list[str]:
    """Return what *checks* find; damage that ends one of them is found as well."""
    found: list[str] = []
    for check in checks:
        try:
            found.extend(check)
        except sqlite3.DatabaseError as error:
            found.append(f"it cannot be read to its end: {words_of(error)}")
    return found


def _integrity(connection: sqlite3.Connection) -> Iterator[str]:
    for (line,) in connection.execute("PRAGMA integrity_check(100)"):
        if line != "ok":
            yield from str(line).splitlines()


def _references(connection: sqlite3.Connection) -> Iterator[str]:
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        yield f"row {row} of {table} refers to a row of {parent} that is not there"
