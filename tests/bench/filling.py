"""
Databases that are full before anything is measured: made by plain SQL, in a gateway's own file.

    queued    messages that wait to be sent, for forty Receivers
    stored    what was acknowledged and received long ago, a workflow each, with payload and notice

What a gateway counts with triggers is counted at the end, and `ANALYZE` tells SQLite how much there
is, as a person may: no gateway does. Only columns that must have a value are named: a build that
has others fills them itself.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bars_gateway.store.rows import digest_of

AT_ONCE = 50_000
NOW, HOURS = timedelta(), timedelta(hours=6)
BODY = bytes(3_000)  # as much as a referral of 12.9 kB is kept, compressed
_SERVICE = "https://fhir.nhs.uk/Id/dos-service-id|"
_N = "WITH RECURSIVE n (i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :last)"
_THEIRS = f"'{_SERVICE}20000099' || substr('0' || (i % 40), -2)"
_OURS = f"'{_SERVICE}2000000201'"
_CASE, _REQUEST, _BUNDLE, _FOCUS = (
    f"printf('{of:08x}-0000-4000-8000-%012x', i)" for of in range(4)
)
# `i` is the number of the message and of its workflow; `:open` says which are queued.
_WORKFLOWS = f"""{_N}
INSERT INTO workflows (id, provider, correlation_id, counterparty, role, request_type, use_case,
                       focus_id, state, opened_at)
SELECT i, 'p0', {_CASE}, {_THEIRS}, iif(i % 2 OR :open, 'requester', 'responder'), 'referral',
       'a1t1', {_FOCUS}, iif(:open, 'requested', 'active'), :at FROM n"""
_MESSAGES = f"""{_N}
INSERT INTO messages (id, workflow_id, provider, direction, request_id, correlation_id, bundle_id,
                      move, use_case, sender, receiver, fingerprint, state, attempts,
                      next_attempt_at, give_up_at, delay_due_at, created_at, settled_at)
SELECT i, i, 'p0', iif(i % 2 OR :open, 'outbound', 'inbound'), {_REQUEST}, {_CASE},
       {_BUNDLE}, 'request', 'a1t1', iif(i % 2 OR :open, {_OURS}, {_THEIRS}),
       iif(i % 2 OR :open, {_THEIRS}, {_OURS}), 'p-' || i,
       iif(:open, 'queued', iif(i % 2, 'acknowledged', 'received')), iif(i % 2 AND NOT :open, 1, 0),
       iif(:open, :due, NULL), iif(:open, :give_up, NULL), iif(:open, :delay, NULL), :at,
       iif(:open, NULL, :at) FROM n"""
_PAYLOADS = f"""{_N}
INSERT INTO payloads (message_id, part, media_type, headers, encoding, body, digest)
SELECT i, 'request', 'application/fhir+json', '{{}}', 'identity', :body, :digest
  FROM n"""
_ATTEMPTS = f"""{_N}
INSERT INTO attempts (message_id, number, receiver, started_at, ended_at, verdict, verdict_row,
                      http_status, ids_echoed, table_version)
SELECT i, 1, {_THEIRS}, :at, :at, 'acknowledged', 'acknowledged', 200, 1, 1 FROM n
 WHERE i % 2 AND NOT :open"""
_NOTICES = f"""{_N}
INSERT INTO notices (provider, kind, message_id, created_at, collected_at)
SELECT 'p0', iif(i % 2, 'outcome', 'message'), i, :at, :at FROM n WHERE NOT :open"""
_EVENTS = f"""{_N}
INSERT INTO events (at, provider, kind, message_id, request_id)
SELECT :at, 'p0', 'message.' || iif(:open, 'queued', iif(i % 2, 'acknowledged', 'received')), i,
       {_REQUEST} FROM n"""
_STATEMENTS = (_WORKFLOWS, _MESSAGES, _PAYLOADS, _ATTEMPTS, _NOTICES, _EVENTS)
_TALLY = (
    "DELETE FROM tallies",
    """INSERT INTO tallies (of, state, n)
       SELECT direction, state, count(*) FROM messages GROUP BY direction, state""",
    """INSERT INTO tallies (of, state, n)
       SELECT 'workflow', state, count(*) FROM workflows GROUP BY state""",
)


def fill(
    path: Path,
    *,
    stored: int = 0,
    queued: int = 0,
    due: timedelta = NOW,
    give_up: timedelta = HOURS,
) -> None:
    """
    Add so many messages to the database of a gateway that does not run.

    *due*: in how long the queued ones are to be sent; *give_up*: how long they have, from now;
    below nothing, their time is over.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        triggers = _without_triggers(connection)
        (top,) = connection.execute("SELECT coalesce(max(id), 0) FROM workflows").fetchone()
        (most,) = connection.execute("SELECT coalesce(max(id), 0) FROM messages").fetchone()
        start = max(top, most)
        now = datetime.now(UTC)
        long_ago, before = now - timedelta(days=30), now - timedelta(minutes=1)
        _add(connection, start, stored, _values(long_ago, now) | {"open": 0, "due": None})
        queued_at = before if give_up > NOW else before + give_up - timedelta(hours=1)
        waiting = _values(queued_at, now + give_up) | {"open": 1, "due": _text(now + due)}
        _add(connection, start + stored, queued, waiting)
        after = (*_TALLY, *triggers.values(), "ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)")
        for statement in after:
            connection.execute(statement)


def _without_triggers(connection: sqlite3.Connection) -> Mapping[str, str]:
    """Take them away, for they would take most of the time; return how they are made again."""
    made = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
    triggers = dict(connection.execute(made).fetchall())
    for name in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    return triggers


def _values(at: datetime, give_up: datetime) -> dict[str, object]:
    return {
        "at": _text(at),
        "give_up": _text(give_up),
        "delay": _text(min(give_up, at + timedelta(minutes=15))),
        "body": BODY,
        "digest": digest_of("application/fhir+json", "{}", BODY),
    }


def _add(
    connection: sqlite3.Connection, start: int, count: int, values: Mapping[str, object]
) -> None:
    for first in range(start + 1, start + count + 1, AT_ONCE):
        numbers = {"first": first, "last": min(first + AT_ONCE - 1, start + count)}
        connection.execute("BEGIN")
        for statement in _STATEMENTS:
            connection.execute(statement, {**values, **numbers})
        connection.execute("COMMIT")


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


def count(path: Path, asked: str, values: Sequence[object] = ()) -> int:
    """Return the one number that *asked* gives, read beside the gateway that runs."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
        found: int = connection.execute(asked, values).fetchone()[0]
        return found
