"""
What a restored database takes from the kept one beside messages: alarms, quarantine, answers.

    alarm stands there ───────► stands here, since when it stood there: nobody has seen to it
    alarm handled, settled there ─► ended here as well, where it is the same alarm
    quarantined there alone ──► here, for a person to attach
    attached there, and here ─► here no more in quarantine, once its message is entered
    question open here, answered there ─┬─ no ──► refused here, with the same words
                                        └─ yes ─► its message is here, as the kept one has it
    open here, and nobody can say ───────► asked again, with the remark `restored`

Releases differ, and so do numbers: what is brought over is named by the columns that the schemas
`main` and `other` have in common, and keeps its number where that is free.

An alarm is the same one where kind, thing and first time are, and it was raised no more often
there. So both can be done again: what was brought over once is known by that, whatever a
person did with it here. Numbers of messages and workflows are those of this database; where
what an alarm is about is not here (yet), it stands for its X-Request-Id, and is tied to the
message once that is handed over. What the database itself raised as messages were entered is no
news: it is replaced by what the kept one knows of it.

The Sender was told the EPR's answer to a question, and the EPR has done it. Asked a second time
without a word, it might say the other thing: one side cancelled, and the other on its way. So the
first answer holds, and a repetition of the request gets it.

The statements walk whole tables, which is why they are none of the named ones.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial

from bars_gateway.frozen import frozen
from bars_gateway.model.alarms import ALARMS
from bars_gateway.model.questions import PROCESS_MESSAGE
from bars_gateway.store.aftermath import LEFT_BEHIND, Became, Line, line_of
from bars_gateway.store.integrity import wrong_with
from bars_gateway.store.rows import instant, text
from bars_gateway.store.sqlite import FileConnection

_BORN = frozenset(  # raised by a message's entering or by its id, and not by what happened
    {"message.refused", "message.unconfirmed", "message.not_sent", "message.shared_id"}
)
_QUARANTINED = "inbound.quarantined"
_SEEN_TO = frozenset({"handled", "settled"})
_END = ("ended_at", "ended_how", "ended_by", "why")
_OVERDUE = "workflow.overdue"
Alone = Callable[[Callable[[], object], Callable[[], sqlite3.Row | None]], None]
_ANSWER = (
    *("state", "decided_at", "accepted", "http_status", "answer_code", "answer_type", "answer"),
    *("heard_at", "answered_with"),
)
_OPEN = ("alarm_at", "media_type", "headers", "encoding", "body")


def columns(connection: sqlite3.Connection, table: str) -> Sequence[str]:
    """Return the columns that the table has in both."""
    query = "SELECT name FROM pragma_table_info(?, ?)"
    here, there = (
        [name for (name,) in connection.execute(query, [table, schema])]
        for schema in ("main", "other")
    )
    return [name for name in here if name in there]


def insert(connection: sqlite3.Connection, table: str, values: Mapping[str, object]) -> int:
    """Put a row into *table* here, and return its number."""
    names, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
    query = f"INSERT INTO main.{table} ({names}) VALUES ({marks})"  # noqa: S608
    return int(connection.execute(query, values).lastrowid or 0)


def change(
    connection: sqlite3.Connection, table: str, number: int, values: Mapping[str, object]
) -> None:
    """Let row *number* of *table* here have those values."""
    changes = ", ".join(f"{name} = :{name}" for name in values)
    query = f"UPDATE main.{table} SET {changes} WHERE id = :number"  # noqa: S608
    connection.execute(query, {**values, "number": number})


def is_used(connection: sqlite3.Connection, table: str, number: int) -> bool:
    """Tell whether *table* here has a row of that number."""
    query = f"SELECT 1 FROM main.{table} WHERE id = ?"  # noqa: S608
    return connection.execute(query, [number]).fetchone() is not None


@frozen(kw_only=True)
class StandsAgain:
    """An alarm that the kept database had, and this one had not: ids and codes."""

    kind: str
    provider: str | None
    request_id: str | None
    since: datetime


@frozen
class _There:
    """An alarm of the kept database, and what it is about here."""

    row: sqlite3.Row
    about: str
    by_request: str  # what it is kept for while its message is not here


class AdoptedAlarms:
    """The alarms of a kept database, schema `other` of *connection*, for this one."""

    def __init__(self, connection: sqlite3.Connection, now: datetime, alone: Alone) -> None:
        self._connection = connection
        self._now = now
        self._alone = alone
        found = connection.execute("SELECT coalesce(max(id), 0) FROM main.alarms").fetchone()
        self.handled: set[tuple[str | None, str | None]] = set()  # whose copies lie in quarantine
        self._newest = int(found[0])  # beyond it: raised as messages were entered

    def found(self) -> sqlite3.Cursor:
        """Return the alarms there, oldest first, with what they are about here."""
        return self._connection.execute(
            "SELECT k.*, coalesce(e.detail, '{}') AS detail, pairs.here AS message_here,"
            "       courses.here AS workflow_here, m.state AS state_here, n.state AS state_there,"
            "       w.state AS stands_here, v.state AS stands_there, w.answer_due_at AS due_here,"
            "       w.closed_at AS closed_here"
            "  FROM other.alarms AS k LEFT JOIN other.events AS e ON e.id = k.event_id"
            "  LEFT JOIN pairs ON pairs.kept = k.message_id"
            "  LEFT JOIN main.messages AS m ON m.id = pairs.here"
            "  LEFT JOIN other.messages AS n ON n.id = pairs.kept"
            "  LEFT JOIN courses ON courses.kept = k.workflow_id"
            "  LEFT JOIN main.workflows AS w ON w.id = courses.here"
            "  LEFT JOIN other.workflows AS v ON v.id = courses.kept"
            " ORDER BY k.id"
        )

    def bring(self, found: Sequence[sqlite3.Row]) -> list[StandsAgain]:
        """Let the alarms that stand there stand here, and end here what was dealt with there."""
        there = [_There(row, *_abouts(row)) for row in found if row["kind"] in ALARMS]
        known: Mapping[tuple[str, str], list[_There]] = defaultdict(list)
        for each in there:
            for about in {each.about, each.by_request}:
                known[each.row["kind"], about].append(each)
        self.handled = {
            (each.row["provider"], each.row["request_id"])
            for each in there
            if each.row["kind"] == _QUARANTINED and each.row["ended_how"] == "handled"
        }
        self._end_what_was_seen_to(known)
        again: list[StandsAgain] = []
        for each in there:
            if each.row["ended_at"] is None:
                self._alone(partial(self._let_stand, each, again), partial(self._message, each))
        return again

    def _message(self, each: _There) -> sqlite3.Row | None:
        query = "SELECT * FROM main.messages WHERE id = ?"
        found = self._connection.execute(query, [each.row["message_here"]])
        row: sqlite3.Row | None = found.fetchone()
        return row

    def _end_what_was_seen_to(self, known: Mapping[tuple[str, str], list[_There]]) -> None:
        standing = self._connection.execute("SELECT * FROM main.alarms WHERE ended_at IS NULL")
        for alarm in standing.fetchall():
            born = self._is_born(alarm)
            there = known.get((alarm["kind"], alarm["about"]), [])
            same = [each.row for each in there if born or _is_same(each.row, alarm)]
            if same and same[-1]["ended_how"] in _SEEN_TO and self._holds(same[-1]):
                ended = [same[-1][name] for name in _END]
                self._connection.execute(
                    "UPDATE main.alarms SET ended_at = ?, ended_how = ?, ended_by = ?, why = ?"
                    " WHERE id = ?",
                    [*ended, alarm["id"]],
                )

    def _is_born(self, alarm: sqlite3.Row) -> bool:
        return alarm["id"] > self._newest and alarm["kind"] in _BORN

    def _holds(self, ended: sqlite3.Row) -> bool:
        """Tell whether what ended an alarm there is so here, too: a person's word always is."""
        if ended["ended_how"] == "handled" and ended["kind"] not in _BORN:
            return True
        if ended["message_here"] is not None and ended["state_here"] != ended["state_there"]:
            return False
        if ended["ended_how"] == "handled":
            return True
        if ended["workflow_here"] is not None and ended["stands_here"] != ended["stands_there"]:
            return False
        return ended["kind"] != _QUARANTINED or self._is_here(ended, "messages")

    def _is_here(self, alarm: sqlite3.Row, table: str) -> bool:
        query = f"SELECT 1 FROM main.{table} WHERE provider IS ? AND request_id IS ?"  # noqa: S608
        keys = [alarm["provider"], alarm["request_id"]]
        return self._connection.execute(query, keys).fetchone() is not None

    def _let_stand(self, each: _There, again: list[StandsAgain]) -> None:
        row = each.row
        brought = self._brought_before(each)
        if brought is not None:
            self._tie(brought, each)
        elif not self._is_over_here(row):
            self._raise(each)
            again.append(
                StandsAgain(
                    kind=row["kind"],
                    provider=row["provider"],
                    request_id=row["request_id"],
                    since=instant(row["since"]),
                )
            )

    def _brought_before(self, each: _There) -> sqlite3.Row | None:
        row = each.row
        found: sqlite3.Row | None = self._connection.execute(
            "SELECT * FROM main.alarms WHERE kind = ? AND about IN (?, ?) AND since = ?"
            "   AND times >= ? ORDER BY ended_at IS NOT NULL, id DESC LIMIT 1",
            [row["kind"], each.about, each.by_request, row["since"], row["times"]],
        ).fetchone()
        return found

    def _is_over_here(self, row: sqlite3.Row) -> bool:
        """Tell whether it is settled by how things are here."""
        if row["kind"] == LEFT_BEHIND:
            return self._is_here(row, "messages") or self._is_here(row, "quarantine")
        if row["kind"] == _OVERDUE and row["workflow_here"] is not None:
            return row["closed_here"] is not None or row["due_here"] is None
        moved = row["state_here"] != row["state_there"]
        return moved and f"message.{row['state_here']}" in ALARMS[row["kind"]].ended_by

    def _tie(self, alarm: sqlite3.Row, each: _There) -> None:
        """Let an alarm that was brought over before be about the message that has come since."""
        if alarm["ended_at"] is not None or alarm["message_id"] == each.row["message_here"]:
            return
        if alarm["about"] != each.about:
            self._supersede(each, but=alarm["id"])
        here = (each.row["message_here"], each.row["workflow_here"])
        self._connection.execute(
            "UPDATE main.alarms SET about = ?, message_id = ?, workflow_id = ? WHERE id = ?",
            [each.about, *here, alarm["id"]],
        )

    def _supersede(self, each: _There, *, but: int = 0) -> None:
        self._connection.execute(
            "UPDATE main.alarms SET ended_at = ?, ended_how = 'superseded'"
            " WHERE about = ? AND kind = ? AND ended_at IS NULL AND id <> ?",
            [text(self._now), each.about, each.row["kind"], but],
        )

    def _raise(self, each: _There) -> None:
        """Raise it under a number of this database, by an event of its kind."""
        row, times = each.row, each.row["times"]
        query = "SELECT * FROM main.alarms WHERE kind = ? AND about = ? AND ended_at IS NULL"
        before = self._connection.execute(query, [row["kind"], each.about]).fetchone()
        if before is not None and not self._is_born(before) and before["since"] != row["since"]:
            times += before["times"]  # it was raised here as well
        self._supersede(each)
        about = [row["provider"], row["kind"], row["message_here"], row["request_id"]]
        event = self._connection.execute(
            "INSERT INTO main.events (at, provider, kind, message_id, request_id, detail)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [text(self._now), *about, row["detail"]],
        ).lastrowid
        self._connection.execute(
            "UPDATE main.alarms SET about = ?, message_id = ?, workflow_id = ?, since = ?,"
            " times = ? WHERE event_id = ?",
            [
                *(each.about, row["message_here"], row["workflow_here"], row["since"]),
                *(times, event),
            ],
        )


def _abouts(row: sqlite3.Row) -> tuple[str, str]:
    """Return what an alarm is about here, and what as long as its message is missing here."""
    by_request = f"event {row['event_id']} of {row['since']}"
    if row["request_id"] is not None:
        by_request = f"request {row['provider'] or ''} {row['request_id']}"
    what, _, _ = row["about"].partition(" ")
    if what in {"message", "workflow"}:
        here = row[f"{what}_here"]
        return (by_request if here is None else f"{what} {here}"), by_request
    return (by_request if what == "event" else row["about"]), by_request


def _is_same(there: sqlite3.Row, here: sqlite3.Row) -> bool:
    return bool(there["since"] == here["since"] and there["times"] >= here["times"])


class AdoptedQuarantine:
    """What a kept database, schema `other` of *connection*, has in quarantine, for this one."""

    def __init__(self, connection: FileConnection) -> None:
        self._connection = connection

    def missing(self) -> sqlite3.Cursor:
        """Return what lies there, is attached to nothing, and lies not here."""
        return self._connection.execute(
            "SELECT k.*, '' AS move, '' AS use_case, 'inbound' AS direction, k.reason AS state"
            "  FROM other.quarantine AS k WHERE k.attached_to IS NULL"
            "   AND NOT EXISTS (SELECT 1 FROM main.quarantine AS h WHERE h.provider = k.provider"
            "                      AND h.request_id = k.request_id"
            "                      AND h.fingerprint = k.fingerprint) ORDER BY k.id"
        )

    def enter(self, row: sqlite3.Row) -> Line:
        """Put one here, unless its bytes are not those that came."""
        if wrong := wrong_with(row, self._connection.vault, "quarantine"):
            return line_of(row, Became.LEFT, f"its Bundle {wrong}")
        names = [name for name in columns(self._connection, "quarantine") if name != "attached_to"]
        values = {name: row[name] for name in names}
        if is_used(self._connection, "quarantine", row["id"]):
            values["id"] = None
        insert(self._connection, "quarantine", values)
        return line_of(row, Became.QUARANTINED)

    def attach(self) -> None:
        """Take out of quarantine what was attached there, now that its message is here."""
        self._connection.execute(
            "UPDATE main.quarantine AS q SET attached_to = courses.here FROM other.quarantine AS k"
            "  JOIN courses ON courses.kept = k.attached_to"
            " WHERE q.attached_to IS NULL"
            "   AND q.provider = k.provider"
            "   AND q.request_id = k.request_id"
            "   AND q.fingerprint = k.fingerprint"
            "   AND EXISTS (SELECT 1 FROM main.messages AS m WHERE m.provider = k.provider"
            "                  AND m.fingerprint = k.fingerprint AND m.direction = 'inbound')"
        )


class AdoptedQuestions:
    """The questions of a kept database, schema `other` of *connection*, for this one."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def answered(self) -> sqlite3.Cursor:
        """Return what is open here and was answered there, with its number here."""
        return self._connection.execute(
            "SELECT k.*, here.id AS here FROM other.questions AS k"
            "  JOIN main.questions AS here USING (provider, request_id, fingerprint)"
            " WHERE here.state = 'open' AND here.changes = 1 AND k.state = 'answered'"
            " ORDER BY k.id"
        )

    def undecided(self) -> sqlite3.Cursor:
        """Return what the EPR was asked there alone, and had not answered."""
        return self._connection.execute(
            "SELECT k.*, '' AS move, '' AS use_case, '' AS sender, 'inbound' AS direction,"
            "       k.asked_at AS created_at FROM other.questions AS k"
            " WHERE k.state = 'open' AND k.changes = 1"
            "   AND NOT EXISTS (SELECT 1 FROM main.questions AS h WHERE h.provider = k.provider"
            "                      AND h.request_id = k.request_id"
            "                      AND h.fingerprint = k.fingerprint) ORDER BY k.id"
        )

    def message_of(self, row: sqlite3.Row) -> sqlite3.Row:
        """Return the message that was taken with the answer in *row*, or what stands for none."""
        found: sqlite3.Row | None = self._connection.execute(
            "SELECT *, (SELECT min(n.collected_at) FROM other.notices AS n"
            "            WHERE n.message_id = m.id) AS collected_at"
            "  FROM other.messages AS m WHERE m.id = ?",
            [row["message_id"]],
        ).fetchone()
        return found or self._as_line(row)

    def _as_line(self, row: sqlite3.Row) -> sqlite3.Row:
        found: sqlite3.Row = self._connection.execute(
            "SELECT k.*, coalesce(json_extract(it.about, '$.move'), '') AS move,"
            "       coalesce(json_extract(it.about, '$.use_case'), '') AS use_case,"
            "       coalesce(json_extract(it.about, '$.sender'), '') AS sender,"
            "       'inbound' AS direction, k.asked_at AS created_at"
            "  FROM other.questions AS k, (SELECT iif(operation = ?, about, '{}') AS about"
            "                                FROM other.questions WHERE id = ?) AS it"
            " WHERE k.id = ?",
            [PROCESS_MESSAGE, row["id"], row["id"]],
        ).fetchone()
        return found

    def free(self, row: sqlite3.Row) -> None:
        """Let the request in *row* be under question no more: an answer is entered next."""
        self._connection.execute(
            "DELETE FROM main.ledger WHERE provider = ? AND request_id = ? AND question_id = ?",
            [row["provider"], row["request_id"], row["here"]],
        )

    def enter(self, row: sqlite3.Row, message_here: int | None) -> None:
        """Answer the question in *row* as it was there; *message_here*: what was taken, if any."""
        answer: dict[str, object] = {name: row[name] for name in _ANSWER}
        answer |= dict.fromkeys(_OPEN) | {"message_id": message_here}
        change(self._connection, "questions", row["here"], answer)
        if message_here is None:
            self._enter_in_ledger(row)

    def _enter_in_ledger(self, row: sqlite3.Row) -> None:
        kept = self._connection.execute(
            "SELECT * FROM other.ledger WHERE provider = ? AND request_id = ?",
            [row["provider"], row["request_id"]],
        ).fetchone()
        if kept is not None:
            values = {name: kept[name] for name in columns(self._connection, "ledger")}
            values["refusal"] = None  # it is given a number of its own here
            question = row["here"] if kept["question_id"] is not None else None
            insert(self._connection, "ledger", values | {"question_id": question})


def bring_retention(connection: sqlite3.Connection) -> None:
    """Bring over the legal holds, and the certificates of what was purged there."""
    _bring_holds(connection)
    _bring_certificates(connection)


def _bring_holds(connection: sqlite3.Connection) -> None:
    """Keep here what is under legal hold there, where it is here: nobody has released it."""
    connection.execute(
        "INSERT INTO main.record_holds"
        "  (provider, workflow_id, quarantine_id, held_at, held_by, why)"
        " SELECT k.provider, courses.here, q.id, k.held_at, k.held_by, k.why"
        "  FROM other.record_holds AS k LEFT JOIN courses ON courses.kept = k.workflow_id"
        "  LEFT JOIN other.quarantine AS o ON o.id = k.quarantine_id"
        "  LEFT JOIN main.quarantine AS q ON q.provider = o.provider"
        "        AND q.request_id = o.request_id AND q.fingerprint = o.fingerprint"
        " WHERE k.released_at IS NULL AND (courses.here IS NULL) <> (q.id IS NULL)"
        "   AND NOT EXISTS (SELECT 1 FROM main.record_holds AS h WHERE h.released_at IS NULL"
        "                      AND (h.workflow_id = courses.here OR h.quarantine_id = q.id))"
    )


def _bring_certificates(connection: sqlite3.Connection) -> None:
    """Bring over what was purged since: a certificate says what may come back by this restore."""
    connection.execute(
        "CREATE TEMP TABLE certified AS SELECT id FROM other.purges"
        " WHERE ended_at IS NOT NULL AND id NOT IN (SELECT id FROM main.purges)"
    )
    for table, key in (("purges", "id"), ("purged_classes", "purge_id"), ("purged", "purge_id")):
        names = ", ".join(columns(connection, table))
        connection.execute(
            f"INSERT INTO main.{table} ({names}) SELECT {names} FROM other.{table}"  # noqa: S608
            f" WHERE {key} IN (SELECT id FROM certified)"
        )
    connection.execute("DROP TABLE certified")
