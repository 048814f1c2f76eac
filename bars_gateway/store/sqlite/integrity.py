"""
Looks whether a database is whole, without changing it: the one that is in use, or a backup.

    structure   pages · references · constraints · schema version     a backup is held to this
    contents    every payload against its fingerprint · the states    `verify` looks at both

All of it reads one snapshot, on a connection that cannot write, so that a gateway may
go on working meanwhile. SQLite keeps no checksum of what is in a page: a byte that the
disk turned over in a Bundle passes every check of the database's own, and only the
fingerprint that was taken when the Bundle came can tell.

The checks walk whole tables, which is why their statements stand here and not in
named statements, of which none may.
"""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path

import zstandard

from bars_gateway import permissions
from bars_gateway.errors import DatabaseDamaged, PayloadDamaged, StoreError
from bars_gateway.keyring import CLEAR, Vault
from bars_gateway.model.readings import Inspected
from bars_gateway.store.chain import walked
from bars_gateway.store.rows import decrypted, digest_of, instant, place_of
from bars_gateway.store.sqlite import FileConnection, SqliteConnection, keyed, read_only
from bars_gateway.store.sqlite.inspection import last

DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
COUNTED = (
    *("workflows", "links", "messages", "payloads", "attempts", "notices", "ledger"),
    *("questions", "events"),
)
_LARGEST = 256 * 1024 * 1024  # bytes: a turned bit may claim any size, and would be given it
_NAMED = 5  # ids that stand for the others

# What no constraint of the schema can say, with the ids of the messages of which it is true.
_CONTRADICTIONS: Mapping[str, str] = {
    "wait to be sent, and their Bundle is missing": """
        SELECT m.request_id FROM messages AS m
         WHERE m.settled_at IS NULL
           AND NOT EXISTS (SELECT 1 FROM payloads AS p
                            WHERE p.message_id = m.id AND p.part = 'request')
    """,
    "were received, and the ledger would take them a second time": """
        SELECT m.request_id FROM messages AS m
         WHERE m.direction = 'inbound'
           AND NOT EXISTS (SELECT 1 FROM ledger AS l
                            WHERE l.provider = m.provider AND l.request_id = m.request_id
                              AND l.message_id = m.id AND l.fingerprint = m.fingerprint)
    """,
    "are settled or received, and no notice says so to the EPR": """
        SELECT m.request_id FROM messages AS m
         WHERE m.settled_at IS NOT NULL AND m.state <> 'withdrawn'
           AND NOT EXISTS (SELECT 1 FROM notices AS n
                            WHERE n.message_id = m.id
                              AND n.kind IN ('message', 'amended', 'outcome', 'decided_late'))
    """,
    "are open questions, and the ledger would take them a second time": """
        SELECT q.request_id FROM questions AS q
         WHERE q.state = 'open' AND q.changes = 1
           AND NOT EXISTS (SELECT 1 FROM ledger AS l
                            WHERE l.provider = q.provider AND l.request_id = q.request_id
                              AND l.question_id = q.id AND l.fingerprint = q.fingerprint)
    """,
    "were tried more often than was counted": """
        SELECT m.request_id FROM messages AS m
         WHERE m.attempts < (SELECT coalesce(max(a.number), 0) FROM attempts AS a
                              WHERE a.message_id = m.id)
    """,
    "link workflows that are not of one provider, or not of theirs": """
        SELECT m.request_id FROM links AS l
          JOIN messages AS m ON m.id = l.message_id
          JOIN workflows AS f ON f.id = l.workflow_id JOIN workflows AS t ON t.id = l.to_id
         WHERE f.provider <> t.provider OR m.workflow_id <> l.workflow_id
    """,
    "belong to a workflow of another provider": """
        SELECT m.request_id FROM messages AS m JOIN workflows AS w ON w.id = m.workflow_id
         WHERE w.provider <> m.provider
    """,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseReport:
    """What a database holds, and all that is wrong with it."""

    schema: int  # the last migration that it has had
    counts: Mapping[str, int]  # rows by table; empty where they could not be counted
    last_change_at: datetime | None  # of the audit trail's last line; None: there is none
    damage: Sequence[str]  # in its structure: such a file must not be used
    contradictions: Sequence[str]  # in what it says: a person has to look at them
    inspected: Inspected | None = None  # what the gateway itself found last

    @property
    def problems(self) -> Sequence[str]:
        """Everything that is wrong, the worst first."""
        return [*self.damage, *self.contradictions]


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
            raise DatabaseDamaged(f"{path} is damaged: {error}") from None
        for file in filter(None, (path, beside)):
            permissions.require_database(file, write=False)
        raise StoreError(f"{path} cannot be read: {error}") from None


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
    damage = _tried(connection, _integrity, _references)
    unknown = _unknown_schema(schema)
    checks = _CONTENTS if contents and not unknown else ()
    whole = not (unknown or damage)  # a figure from a damaged table would be a guess
    return DatabaseReport(
        schema=schema,
        counts=counts(connection) if whole else {},
        last_change_at=last_change_at(connection) if whole else None,
        damage=[*damage, unknown] if unknown else damage,
        contradictions=_tried(connection, *checks),
        inspected=last(connection) if whole else None,
    )


def counts(connection: sqlite3.Connection) -> dict[str, int]:
    """Return how many rows each table has."""
    return {
        table: int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608
        for table in COUNTED
    }


def last_change_at(connection: sqlite3.Connection) -> datetime | None:
    """Return when something last happened, by the audit trail."""
    at: str | None = connection.execute("SELECT max(at) FROM events").fetchone()[0]
    return instant(at)


def newest_schema() -> int:
    """Return the number of the last migration that this release knows."""
    folder = resources.files("bars_gateway.store") / "migrations"
    names = (file.name for file in folder.iterdir())
    return max(int(name.removesuffix(".sql")) for name in names if name.endswith(".sql"))


def _unknown_schema(schema: int) -> str | None:
    if schema < 1:
        return "it is not a database of this gateway"
    if schema > newest_schema():
        return f"its schema {schema} is of a later release; this one knows {newest_schema()}"
    return None


Check = Callable[[FileConnection], Iterator[str]]


def _tried(connection: FileConnection, *checks: Check) -> list[str]:
    """Return what *checks* find; damage that ends one of them is found as well."""
    found: list[str] = []
    for check in checks:
        try:
            found.extend(check(connection))
        except sqlite3.DatabaseError as error:
            found.append(f"it cannot be read to its end: {error}")
    return found


def _integrity(connection: sqlite3.Connection) -> Iterator[str]:
    for (line,) in connection.execute("PRAGMA integrity_check(100)"):
        if line != "ok":
            yield from str(line).splitlines()


def _references(connection: sqlite3.Connection) -> Iterator[str]:
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        yield f"row {row} of {table} refers to a row of {parent} that is not there"


def _payloads(connection: FileConnection) -> Iterator[str]:
    cursor = connection.execute(
        "SELECT p.message_id, p.part, p.media_type, p.headers, p.encoding, p.body, p.digest,"
        "       m.request_id,"
        "       CASE p.part WHEN 'request' THEN m.fingerprint END AS fingerprint"
        "  FROM payloads AS p JOIN messages AS m ON m.id = p.message_id ORDER BY m.id"
    )
    for row in cursor:
        wrong = wrong_with(row, connection.vault)
        if wrong:
            yield f"X-Request-Id {row['request_id']}: its {row['part']} {wrong}"


def _quarantine(connection: FileConnection) -> Iterator[str]:
    cursor = connection.execute(
        "SELECT id, provider, request_id, headers, encoding, body, fingerprint"
        "  FROM quarantine ORDER BY id"
    )
    for row in cursor:
        wrong = wrong_with(row, connection.vault, "quarantine")
        if wrong:
            yield f"quarantine {row['id']}: its Bundle {wrong}"


def _questions(connection: FileConnection) -> Iterator[str]:
    cursor = connection.execute(
        "SELECT id, provider, request_id, fingerprint, about, answer, encoding, body FROM questions"
    )
    for row in cursor:
        place = place_of("questions", row)
        try:
            connection.vault.open_text(row["about"], *place, "about")
            connection.vault.open(bytes(row["answer"] or b""), *place, "answer")
            if row["body"] is not None:
                _unpacked(*decrypted(bytes(row["body"]), row["encoding"], connection.vault, place))
        except (PayloadDamaged, zstandard.ZstdError):
            yield f"question {row['id']}: what it holds cannot be decrypted or decompressed"


def _refusals(connection: FileConnection) -> Iterator[str]:
    query = "SELECT provider, request_id, answer FROM ledger WHERE answer IS NOT NULL"
    for row in connection.execute(query):
        try:
            connection.vault.open(bytes(row["answer"]), *place_of("ledger", row))
        except PayloadDamaged:
            yield f"X-Request-Id {row['request_id']}: its refusal cannot be decrypted"


def wrong_with(row: sqlite3.Row, vault: Vault, table: str = "payloads") -> str | None:
    """Return what is wrong with the bytes of *row*, or None if they are those that came."""
    try:
        json.loads(row["headers"])
    except ValueError:
        return "has headers that cannot be read"
    try:
        place = place_of(table, row)
        body = _unpacked(*decrypted(bytes(row["body"]), row["encoding"], vault, place))
    except PayloadDamaged as error:
        return str(error).replace("it is", "is").replace("it cannot", "cannot")
    except zstandard.ZstdError:
        return "cannot be decompressed"
    if row["fingerprint"] not in {None, hashlib.sha256(body).hexdigest()}:
        return "does not match its fingerprint"
    columns = row.keys()
    if "digest" in columns and row["digest"] != digest_of(row["media_type"], row["headers"], body):
        return "does not match its digest"
    return None


def _unpacked(body: bytes, encoding: str) -> bytes:
    if encoding != "zstd":
        return body
    if not 0 <= zstandard.frame_content_size(body) <= _LARGEST:
        raise zstandard.ZstdError("the frame does not say a believable size")
    return zstandard.ZstdDecompressor().decompress(body)


def _states(connection: sqlite3.Connection) -> Iterator[str]:
    for contradiction, query in _CONTRADICTIONS.items():
        ids = [row["request_id"] for row in connection.execute(query)]
        if ids:
            more = ", …" if len(ids) > _NAMED else ""
            listed = ", ".join(ids[:_NAMED])
            yield f"{len(ids)} messages {contradiction}: X-Request-Id {listed}{more}"


def _trail(connection: sqlite3.Connection) -> Iterator[str]:
    try:
        walk = walked(SqliteConnection(connection))
    except StoreError as error:
        yield f"its audit trail cannot be walked to its end: {error}"
        return
    yield from (f"audit trail: {breach.says}" for breach in walk.breaches[:_NAMED])
    if walk.found > _NAMED:
        yield f"audit trail: {walk.found - _NAMED} more; see `bars-gateway audit verify`"


_CONTENTS: Sequence[Check] = (_payloads, _quarantine, _questions, _refusals, _states, _trail)
