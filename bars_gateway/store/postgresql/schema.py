"""
Makes the tables, or brings them to this release's, whichever node comes first.

    one transaction each ─► migrations/NNNN.sql ─► schema_version

The schema is SQLite's, table by table and constraint by constraint; `migrations` beside this says
it in PostgreSQL's words.
"""

from contextlib import ExitStack
from typing import Any

import psycopg
import structlog

from bars_gateway import __version__
from bars_gateway.errors import DatabaseInUse
from bars_gateway.keyring import Vault
from bars_gateway.model.alarms import ALARMS
from bars_gateway.model.nodes import AWAY_AFTER, Node
from bars_gateway.store.copying import require_no_copy
from bars_gateway.store.encryption import require
from bars_gateway.store.migrating import POSTGRESQL, migrations, told_apart, unreleased
from bars_gateway.store.postgresql import (
    PostgresConnection,
    Raw,
    require_known,
    say,
    schema_of,
    translated,
)
from bars_gateway.store.postgresql.nodes import ServerNodes

log = structlog.get_logger(__name__)
_ALONE = "SELECT pg_advisory_xact_lock(hashtext('bars-gateway schema'))"


def prepare(raw: Raw, name: str, vault: Vault, node: ServerNodes | None = None) -> None:
    """
    Let the database of *raw* have this release's schema.

    Raises DatabaseNewer where it is of a later one, DatabaseUnfit where it is of none, KeyMissing
    where *vault* cannot open what is stored there, and CopyRefused where it is half a copy, or was
    copied away; nothing was changed. *node*: which of several this is; None: there is no other.
    Raises DatabaseInUse where others are at work who could not read what this one would encrypt, or
    do not know the schema that it would get. Whoever comes next sees that this one is at work.
    """
    try:
        say(raw, f"BEGIN; {_ALONE}")
        with ExitStack() as unless_ready:
            unless_ready.callback(say, raw, "ROLLBACK")
            _refuse_copies(raw, name)
            _migrate(raw, name, node)
            _learn_alarms(raw)
            within = PostgresConnection(raw, vault)
            needed = [(row["key_id"], row["proof"]) for row in within.rows("keys_needed")]
            require(needed, vault, name)
            if vault.key_id is not None and vault.key_id not in dict(needed):
                _require_no_others(raw, name, vault.key_id, node)
                within.run("enter_key", key_id=vault.key_id, proof=vault.proof(vault.key_id))
            if node is not None:
                node.enter(raw)
            unless_ready.pop_all()
        say(raw, "COMMIT")
    except psycopg.Error as error:
        raise translated(error) from error


def _require_no_others(raw: Raw, name: str, key_id: str, node: ServerNodes | None) -> None:
    if others := _others(raw, node):
        names = ", ".join(each.name for each in others)
        raise DatabaseInUse(
            f"{names} work on {name} without the key {key_id}",
            "Put the key ring on each node, stop all of them, and start them again.",
        )


def _require_all_stopped(raw: Raw, name: str, node: ServerNodes | None) -> None:
    """Refuse to change the schema under a node that began to work with the one that is there."""
    if others := _others(raw, node):
        at_work = ", ".join(
            f"{each.name} (version {each.version}, seen {each.silent.total_seconds():.0f} s ago)"
            for each in others
        )
        raise DatabaseInUse(
            f"version {__version__} changes the schema of {name}, and others work on it: {at_work}",
            "Stop the gateway on each of those machines, and start this one again. One that was"
            f" killed counts as stopped {AWAY_AFTER.total_seconds():.0f} s after it was last seen.",
        )


def _others(raw: Raw, node: ServerNodes | None) -> list[Node]:
    return [] if node is None else node.others_at_work(raw)


def _refuse_copies(raw: Raw, name: str) -> None:
    def ask(sql: str) -> list[tuple[Any, ...]]:
        return [tuple(each.values()) for each in raw.execute(sql.encode()).fetchall()]

    tables = [
        name for (name,) in ask("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    ]
    require_no_copy(ask, tables, name)


def _migrate(raw: Raw, name: str, node: ServerNodes | None) -> None:
    known = migrations(POSTGRESQL)
    require_known(raw, name)
    version = schema_of(raw)
    if version and made_by_of(raw) != told_apart(known, version):
        raise unreleased(name)
    missing = sorted(number for number in known if number > version)
    if version and missing:
        _require_all_stopped(raw, name, node)
    for number in missing:
        say(raw, known[number])
        row_of_it = f"({number}, {told_apart(known, number)})"
        say(raw, f"DELETE FROM schema_version; INSERT INTO schema_version VALUES {row_of_it}")  # noqa: S608
        log.info("store.migrated", version=number)


def made_by_of(raw: Raw) -> int:
    """Return what tells its schema from another of that number; 0: a build had none yet."""
    found = raw.execute(b"SELECT to_jsonb(s) AS found FROM schema_version AS s").fetchone()
    return int(found["found"].get("made_by", 0)) if found else 0


def _learn_alarms(raw: Raw) -> None:
    """Enter, for the triggers, which kinds of event are alarming in this release."""
    kinds = {(kind, str(each.about)) for kind, each in ALARMS.items()}
    ends = {(event, kind) for kind, each in ALARMS.items() for event in each.ended_by}
    for table, (one, other), wanted in (
        ("alarm_kinds", ("kind", "about"), kinds),
        ("alarm_ends", ("event", "kind"), ends),
    ):
        rows = raw.execute(f"SELECT {one}, {other} FROM {table}".encode()).fetchall()  # noqa: S608
        if {(row[one], row[other]) for row in rows} != wanted:
            raw.execute(f"DELETE FROM {table}".encode())  # noqa: S608
            query = f"INSERT INTO {table} ({one}, {other}) VALUES (%s, %s)"  # noqa: S608
            raw.cursor().executemany(query.encode(), sorted(wanted))
