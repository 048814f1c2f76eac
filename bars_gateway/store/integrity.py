"""
What a database must hold, whichever engine keeps it: its bytes, its states, its audit trail.

    a snapshot ─► every payload against its fingerprint · states that contradict · the trail, walked

An engine looks at its own structure (`store.sqlite.integrity`, `store.postgresql.integrity`), and
hands its snapshot here. No engine can tell a byte that the disk turned over in a Bundle from the
byte that came: only the fingerprint that was taken when the Bundle came can.

The checks walk whole tables, which is why their statements stand here and not in named statements,
of which none may. Both engines read each of them.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

import zstandard

from bars_gateway.errors import PayloadDamaged, StoreError
from bars_gateway.frozen import frozen
from bars_gateway.keyring import Vault
from bars_gateway.model.readings import Inspected
from bars_gateway.store.chain import walked
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.migrating import migrations, told_apart
from bars_gateway.store.rows import decrypted, digest_of, instant, place_of

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


@frozen(kw_only=True)
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


@frozen(kw_only=True)
class Contents:
    """One snapshot of a database that cannot be written to."""

    each: Callable[[str], Iterable[Row]]  # runs a statement; yields its rows, of whole tables too
    connection: Connection  # the same, for works

    @property
    def vault(self) -> Vault:
        """What opens what is encrypted there."""
        return self.connection.vault


Check = Callable[[Contents], Iterator[str]]


def counts(held: Contents) -> dict[str, int]:
    """Return how many rows each table has."""
    return {
        table: int(row["n"])
        for table in COUNTED
        for row in held.each(f"SELECT count(*) AS n FROM {table}")  # noqa: S608
    }


def last_change_at(held: Contents) -> datetime | None:
    """Return when something last happened, by the audit trail."""
    (row,) = held.each("SELECT max(at) AS at FROM events")
    at: str | None = row["at"]
    return instant(at)


def unknown_schema(engine: str, schema: int, made_by: int) -> str | None:
    """Return why a database of that *schema* cannot be looked at here; None: it can."""
    if schema < 1:
        return "it is not a database of this gateway"
    known = migrations(engine)
    if schema > max(known):
        return f"its schema {schema} is of a later release; this one knows {max(known)}"
    if made_by != told_apart(known, schema):
        return "it was made by a build that was never released: its schema is another one"
    return None


def _payloads(held: Contents) -> Iterator[str]:
    found = held.each(
        "SELECT p.message_id, p.part, p.media_type, p.headers, p.encoding, p.body, p.digest,"
        "       m.request_id,"
        "       CASE p.part WHEN 'request' THEN m.fingerprint END AS fingerprint"
        "  FROM payloads AS p JOIN messages AS m ON m.id = p.message_id ORDER BY m.id"
    )
    for row in found:
        wrong = wrong_with(row, held.vault)
        if wrong:
            yield f"X-Request-Id {row['request_id']}: its {row['part']} {wrong}"


def _quarantine(held: Contents) -> Iterator[str]:
    found = held.each(
        "SELECT id, provider, request_id, headers, encoding, body, fingerprint"
        "  FROM quarantine ORDER BY id"
    )
    for row in found:
        wrong = wrong_with(row, held.vault, "quarantine")
        if wrong:
            yield f"quarantine {row['id']}: its Bundle {wrong}"


def _questions(held: Contents) -> Iterator[str]:
    found = held.each(
        "SELECT id, provider, request_id, fingerprint, about, answer, encoding, body FROM questions"
    )
    for row in found:
        place = place_of("questions", row)
        try:
            held.vault.open_text(row["about"], *place, "about")
            held.vault.open(bytes(row["answer"] or b""), *place, "answer")
            if row["body"] is not None:
                _unpacked(*decrypted(bytes(row["body"]), row["encoding"], held.vault, place))
        except (PayloadDamaged, zstandard.ZstdError):
            yield f"question {row['id']}: what it holds cannot be decrypted or decompressed"


def _refusals(held: Contents) -> Iterator[str]:
    query = "SELECT provider, request_id, answer FROM ledger WHERE answer IS NOT NULL"
    for row in held.each(query):
        try:
            held.vault.open(bytes(row["answer"]), *place_of("ledger", row))
        except PayloadDamaged:
            yield f"X-Request-Id {row['request_id']}: its refusal cannot be decrypted"


def wrong_with(row: Row, vault: Vault, table: str = "payloads") -> str | None:
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


def _states(held: Contents) -> Iterator[str]:
    for contradiction, query in _CONTRADICTIONS.items():
        ids = [row["request_id"] for row in held.each(query)]
        if ids:
            more = ", …" if len(ids) > _NAMED else ""
            listed = ", ".join(ids[:_NAMED])
            yield f"{len(ids)} messages {contradiction}: X-Request-Id {listed}{more}"


def _trail(held: Contents) -> Iterator[str]:
    try:
        walk = walked(held.connection)
    except StoreError as error:
        yield f"its audit trail cannot be walked to its end: {error}"
        return
    yield from (f"audit trail: {breach.says}" for breach in walk.breaches[:_NAMED])
    if walk.found > _NAMED:
        yield f"audit trail: {walk.found - _NAMED} more; see `bars-gateway audit verify`"


CHECKS: Sequence[Check] = (_payloads, _quarantine, _questions, _refusals, _states, _trail)
