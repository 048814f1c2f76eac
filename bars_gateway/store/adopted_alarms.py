"""
Lets a restored database know which alarms the kept one has, and which somebody has seen to there.

    stands there ─────────────► stands here, since when it stood there: nobody has seen to it
    handled, settled there ───► ended here as well, where it is the same alarm

An alarm is the same one where kind, thing and first time are, and it was raised no more often
there. So both can be done again: what was brought over once is known by that, whatever a
person did with it here. Numbers of messages and workflows are those of this database; where
what an alarm is about is not here (yet), it stands for its X-Request-Id, and is tied to the
message once that is handed over.

What the database itself raised as messages were entered is no news: it is replaced by what the
kept one knows of it. The statements walk whole tables, which is why they are none of the named
ones.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from bars_gateway.model.alarms import ALARMS
from bars_gateway.store.aftermath import LEFT_BEHIND
from bars_gateway.store.rows import instant, text

_BORN = frozenset(  # raised by a message's entering or by its id, and not by what happened
    {"message.refused", "message.unconfirmed", "message.not_sent", "message.shared_id"}
)
_QUARANTINED = "inbound.quarantined"
_SEEN_TO = frozenset({"handled", "settled"})
_END = ("ended_at", "ended_how", "ended_by", "why")
_OVERDUE = "workflow.overdue"

Alone = Callable[[Callable[[], object], Callable[[], sqlite3.Row | None]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class StandsAgain:
    """An alarm that the kept database had, and this one had not: ids and codes."""

    kind: str
    provider: str | None
    request_id: str | None
    since: datetime


@dataclass(frozen=True, slots=True)
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
        """Let what stands there stand here, and what was seen to there be ended here."""
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
    """Return what an alarm is about here, and what it is about while its message is not here."""
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
