"""
Brings into a restored database what only the kept one knows.

    kept, as schema `other` ─┬─► how messages ended that both have       what waited goes nowhere
                             ├─► messages that it alone has              sent ones, or all of them
                             └─► their notices, answers, workflows       the EPR hears of them

A kept database is the last witness of what was promised since the backup. Whatever it says
of our own messages holds at once, so that nothing leaves again that was withdrawn, cancelled
or acknowledged. What was *received* since is entered by a person's word, for it is handed to
the EPR with that (`restore --hand-over`).

Everything happens in the caller's transaction. What stands here already, under the same
X-Request-Id, is left alone: so it can be done again. Each message has a savepoint of its own:
one that cannot be taken over is listed with the reason, and keeps no other from it. A Bundle
whose bytes are not those that came is not entered. The statements walk whole tables, which is why
they are none of the named ones.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial

from bars_gateway.model.messages import NoticeKind, OutboundState
from bars_gateway.standard.remarks import Remark
from bars_gateway.standard.workflow import Move, Role, State
from bars_gateway.store import aftermath
from bars_gateway.store.aftermath import OPEN, OPEN_STATES, Became, Line, failed, line_of
from bars_gateway.store.asides import is_of_one_row
from bars_gateway.store.integrity import wrong_with
from bars_gateway.store.record_ids import name_focus
from bars_gateway.store.records import EventAbout, add_event, move_workflow, notify
from bars_gateway.store.rows import text
from bars_gateway.store.sqlite import FileConnection, SqliteConnection, adopted, translated
from bars_gateway.store.sqlite.adopted import change, columns, insert, is_used
from bars_gateway.store.sqlite.rejudgement import happened_since, judge_again, keeps_its_clock
from bars_gateway.store.sqlite.unlocking import rebind

# Where our own messages lead a workflow. Any other state was made by what was received: it is
# for the EPR to hear of that, and until then the workflow's clock must not stop.
_OURS: Mapping[str, frozenset[str]] = {
    Role.REQUESTER: frozenset(
        {
            *(State.REQUESTED, State.UNCONFIRMED, State.ACTIVE),
            *(State.CANCELLED, State.REFUSED, State.ABANDONED),
        }
    ),
    Role.RESPONDER: frozenset({State.ACTIVE, State.IN_PROGRESS, State.COMPLETED, State.DECLINED}),
}
# What the EPR is given once more; the others told how something stood at the time.
_FOR_GOOD = frozenset(
    {
        *(NoticeKind.MESSAGE, NoticeKind.AMENDED, NoticeKind.DECIDED_LATE),
        *(NoticeKind.OUTCOME, NoticeKind.RECONCILED, NoticeKind.RESENT),
    }
)
_IDS = frozenset({"focus_id", "claimed_id"})  # of the Receiver's record: judged, never copied
_OF_OPEN = ("next_attempt_at", "delay_due_at", "claimed_by", "claimed_until")
_KEYS = frozenset({"id", "workflow_id", "provider", "direction", "request_id", "resend_of"})
_NOT_UNIQUE = {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY}
_DAMAGED = "it cannot be read: the kept database is damaged there"


class Adoption:
    """What the kept database at schema `other` of *connection* knows, brought over."""

    def __init__(self, connection: FileConnection, now: datetime) -> None:
        self._connection = connection
        self._works = SqliteConnection(connection)
        self._now = now
        self._changed: list[int] = []  # numbers here of messages that were changed or entered
        self._entered: list[int] = []  # of those, what was not here before
        self._remarked: dict[int, Sequence[Remark]] = {}  # what their notices have to say as well
        connection.row_factory = sqlite3.Row
        connection.execute("CREATE TEMP TABLE pairs (kept INTEGER PRIMARY KEY, here INTEGER)")
        connection.execute("CREATE TEMP TABLE courses (kept INTEGER PRIMARY KEY, here INTEGER)")
        self.failed: list[Line] = []  # what could not be taken over
        self.alarms: list[adopted.StandsAgain] = []  # what nobody has seen to, and was not here
        self.handled: frozenset[tuple[str | None, str | None]] = frozenset()  # of the quarantined
        self._alarms = adopted.AdoptedAlarms(connection, now, self._alone)
        self._questions = adopted.AdoptedQuestions(connection)
        self._quarantine = adopted.AdoptedQuarantine(connection)
        self.whole = self._pair()  # whether all of the kept database could be read

    def _pair(self) -> bool:
        """Note which messages and workflows both have; tell whether all could be looked at."""
        found = self._connection.execute(
            "SELECT k.id, k.workflow_id, here.id, here.workflow_id FROM other.messages AS k"
            "  JOIN main.messages AS here USING (provider, direction, request_id) ORDER BY k.id"
        )
        try:
            for kept, kept_workflow, here, workflow in found:
                self._note(kept, here)
                self._note_workflow(kept_workflow, workflow)
        except sqlite3.DatabaseError:
            return False
        return True

    def _alone(self, do: Callable[[], object], of: Callable[[], sqlite3.Row | None]) -> None:
        """
        Do something for one message; where that fails, undo it alone, and list it as failed.

        *of*: the message. A disk that has no room fails the whole: nothing is in place yet.
        """
        self._connection.execute("SAVEPOINT alone")
        try:
            do()
        except Exception as error:  # unit of work
            if not is_of_one_row(translated(error)):
                raise
            self._connection.execute("ROLLBACK TO alone")
            row = of()
            self.failed += [] if row is None else [failed(row, error)]
        self._connection.execute("RELEASE alone")

    def _message(self, here: int) -> sqlite3.Row | None:
        query = "SELECT * FROM main.messages WHERE id = ?"
        found: sqlite3.Row | None = self._connection.execute(query, [here]).fetchone()
        return found

    def _first_of(self, workflow: int) -> sqlite3.Row | None:
        query = "SELECT * FROM main.messages WHERE workflow_id = ? ORDER BY id LIMIT 1"
        found: sqlite3.Row | None = self._connection.execute(query, [workflow]).fetchone()
        return found

    def _note(self, kept: int, here: int) -> None:
        self._connection.execute("INSERT INTO pairs VALUES (?, ?)", [kept, here])

    def _note_workflow(self, kept: int, here: int) -> None:
        self._connection.execute("INSERT OR IGNORE INTO courses VALUES (?, ?)", [kept, here])

    def of_sent(self, *, ends_only: bool) -> list[Line]:
        """
        Bring over all that is known of outbound messages, and return what that changed.

        *ends_only*: of messages that both have, believe only that they have ended; for the
        kept database may be older in other things.
        """
        lines = [*self._agree(ends_only=ends_only), *self._enter_all("outbound", Became.ENTERED)]
        lines += self._decide()
        self._follow(ends_only=ends_only)
        lines += self._stop_cancelled()
        self._tell(all_=not ends_only)
        self._bring_alarms()
        return [*lines, *self.failed]

    def _bring_alarms(self) -> None:
        """Forget nothing that nobody has seen to: it would be gone with the kept database."""
        adopted.bring_retention(self._connection)
        self.alarms = self._alarms.bring(self._readable(self._alarms.found()))
        self.handled = frozenset(self._alarms.handled)

    def of_received(self) -> list[Line]:
        """Enter what was received, and what was sent and is not here; return each message."""
        lines = [
            *self._agree(ends_only=True, held_only=True),
            *self._enter_all("outbound", Became.ENTERED, held=True),
            *self._decide(),
            *self._enter_all("inbound", Became.HANDED_OVER),
            *self._enter_quarantined(),
        ]
        self._quarantine.attach()
        self._follow(ends_only=True, again=True)
        lines += self._stop_cancelled()
        self._tell(all_=True)
        self._bring_alarms()
        return [*lines, *self.failed]

    def to_hand_over(self) -> list[Line]:
        """Return what was received and is not here, changing nothing."""
        lines = [line_of(row, Became.TO_HAND_OVER) for row in self._missing("inbound")]
        lines += [
            line_of(row, Became.QUARANTINED) for row in self._readable(self._quarantine.missing())
        ]
        lines += [
            line_of(row, Became.UNDECIDED) for row in self._readable(self._questions.undecided())
        ]
        return lines

    def _agree(self, *, ends_only: bool, held_only: bool = False) -> list[Line]:
        """Let what both have be as the kept database knows it."""
        names = [name for name in columns(self._connection, "messages") if name not in _KEYS]
        differing = " OR ".join(f"k.{name} IS NOT here.{name}" for name in names)
        found = self._connection.execute(
            f"SELECT k.*, here.id AS here, here.state AS was, here.restored_at AS held_since"  # noqa: S608
            f"  FROM pairs JOIN other.messages AS k ON k.id = pairs.kept"
            f"  JOIN main.messages AS here ON here.id = pairs.here"
            f" WHERE k.direction = 'outbound' AND ({differing})"
        ).fetchall()
        lines: list[Line] = []
        for row in found:

            def follow(row: sqlite3.Row = row) -> None:
                if _believed(row, ends_only=ends_only, held_only=held_only):
                    lines.extend(self._let_agree(row, names))

            self._alone(follow, partial(_given, row))
        return lines

    def _let_agree(self, row: sqlite3.Row, names: Sequence[str]) -> list[Line]:
        """Let one message be as the kept database knows it; return its line if it has ended."""
        change(self._connection, "messages", row["here"], {name: row[name] for name in names})
        self._copy_parts(row["id"], row["here"])
        self._changed.append(row["here"])
        if row["was"] not in OPEN or row["state"] in OPEN:
            return []
        self._audit(row, row["here"], Became.SETTLED)
        return [line_of(row, Became.SETTLED)]

    def _enter_all(self, direction: str, fate: Became, *, held: bool = False) -> list[Line]:
        """Enter each message of that direction that is not here."""
        same_numbers = self._numbers_are_free("messages", "pairs")
        lines: list[Line] = []
        for row in self._missing(direction):

            def enter(row: sqlite3.Row = row) -> None:
                here = row["id"] if same_numbers else None
                why = self._enter_or_undo(row, here, fate, held=held)
                lines.append(line_of(row, fate if why is None else Became.LEFT, why))

            self._alone(enter, partial(_given, row))
        return lines

    def _decide(self) -> list[Line]:
        """Let what the EPR has answered since be answered; the Sender and it know of no other."""
        lines: list[Line] = []
        for row in self._readable(self._questions.answered()):
            message = self._questions.message_of(row)

            def decide(row: sqlite3.Row = row, message: sqlite3.Row = message) -> None:
                lines.append(self._decide_one(row, message))

            self._alone(decide, partial(_given, message))
        return lines

    def _decide_one(self, row: sqlite3.Row, message: sqlite3.Row) -> Line:
        if row["message_id"] is None:
            self._questions.free(row)
            self._questions.enter(row, None)
            return line_of(message, Became.DECIDED)
        here = None if is_used(self._connection, "messages", message["id"]) else message["id"]
        why = self._enter_or_undo(message, here, Became.DECIDED, question=row)
        if why is not None:
            aftermath.doubt(self._works, row["here"])
            return line_of(message, Became.LEFT, why)
        return line_of(message, Became.DECIDED)

    def _enter_or_undo(
        self,
        row: sqlite3.Row,
        here: int | None,
        fate: Became,
        *,
        held: bool = False,
        question: sqlite3.Row | None = None,
    ) -> str | None:
        """Enter one message, with the *question* that it was taken for; or say why not."""
        self._connection.execute("SAVEPOINT entry")
        if question is not None:
            self._questions.free(question)
        why = self._try_to_enter(row, here, fate, held=held)
        if why is not None:
            self._connection.execute("ROLLBACK TO entry")
        elif question is not None:
            number = self._entered[-1]
            self._questions.enter(question, number)
            workflow = self._workflow_of(row["workflow_id"])
            move_workflow(self._works, workflow, Move(row["move"]), self._now)
        self._connection.execute("RELEASE entry")
        return why

    def _try_to_enter(
        self, row: sqlite3.Row, here: int | None, fate: Became, *, held: bool
    ) -> str | None:
        """Enter one message; return why that cannot be, after which it has to be undone."""
        try:
            why = self._against(row)
            if why is not None:
                return why
            values = {name: row[name] for name in columns(self._connection, "messages")}
            values |= {"id": here, "workflow_id": self._workflow_of(row["workflow_id"])}
            values["resend_of"] = self._here(row["resend_of"])
            number = insert(self._connection, "messages", values)
            self._copy_parts(row["id"], number)
            if row["direction"] == "inbound":
                self._enter_in_ledger(row, number)
            elif held and row["state"] in OPEN:
                aftermath.hold_one(self._works, row, number, self._now)
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode not in _NOT_UNIQUE:
                raise
            return "the same bytes were submitted again since, under another X-Request-Id"
        except sqlite3.DatabaseError:
            return _DAMAGED
        self._note(row["id"], number)
        self._changed.append(number)
        self._entered.append(number)
        self._audit(row, number, fate)
        return None

    def _against(self, row: sqlite3.Row) -> str | None:
        """Return what stands against entering a message."""
        parts = self._connection.execute(
            "SELECT message_id, part, media_type, headers, encoding, body, digest,"
            "       CASE part WHEN 'request' THEN ? END AS fingerprint"
            "  FROM other.payloads WHERE message_id = ?",
            [row["fingerprint"], row["id"]],
        ).fetchall()
        for part in parts:
            if wrong := wrong_with(part, self._connection.vault):
                return f"its {part['part']} {wrong}"
        needed = row["direction"] == "inbound" or row["state"] in OPEN
        if needed and all(part["part"] != "request" for part in parts):
            return "its Bundle is missing"
        asked = self._connection.execute(
            "SELECT 1 FROM main.ledger WHERE provider = ? AND request_id = ?"
            " AND state = 'processing'",
            [row["provider"], row["request_id"]],
        ).fetchone()
        if asked and row["direction"] == "inbound":
            return "it was sent again since, and the EPR is being asked about it"
        return None

    def _workflow_of(self, kept: int) -> int:
        """Return the workflow's number here, entering it where it is missing."""
        found = self._connection.execute("SELECT here FROM courses WHERE kept = ?", [kept])
        row = found.fetchone()
        if row is not None:
            return int(row["here"])
        query = "SELECT * FROM other.workflows WHERE id = ?"
        values = dict(self._connection.execute(query, [kept]).fetchone())
        if not self._numbers_are_free("workflows", "courses"):
            values["id"] = None
        if values["role"] == Role.REQUESTER:
            values |= dict.fromkeys(_IDS)
        if values["state"] not in _OURS[values["role"]]:
            values |= {"state": State.ACTIVE, "closed_at": None}  # until the rest of it is entered
        here = insert(
            self._connection,
            "workflows",
            {n: values[n] for n in columns(self._connection, "workflows")},
        )
        self._note_workflow(kept, here)
        return here

    def _here(self, kept: int | None) -> int | None:
        row = self._connection.execute("SELECT here FROM pairs WHERE kept = ?", [kept]).fetchone()
        return None if row is None else int(row["here"])

    def _copy_parts(self, kept: int, here: int) -> None:
        """Copy bytes and attempts of a message, but for those that are here."""
        for table in ("payloads", "attempts"):
            listed = ", ".join(n for n in columns(self._connection, table) if n != "message_id")
            self._connection.execute(
                f"INSERT OR IGNORE INTO main.{table} (message_id, {listed})"  # noqa: S608
                f" SELECT ?, {listed} FROM other.{table} WHERE message_id = ?",
                [here, kept],
            )
        rebind(self._works, kept, here)

    def _enter_in_ledger(self, row: sqlite3.Row, here: int) -> None:
        """Let a repetition be a duplicate; a refusal that was given since is overruled."""
        key = [row["provider"], row["request_id"]]
        self._connection.execute(
            "DELETE FROM main.ledger WHERE provider = ? AND request_id = ? AND state = 'refused'",
            key,
        )
        self._connection.execute(
            "INSERT INTO main.ledger (provider, request_id, fingerprint, state, message_id,"
            " created_at) VALUES (?, ?, ?, 'done', ?, ?)",
            [*key, row["fingerprint"], here, row["created_at"]],
        )

    def _follow(self, *, ends_only: bool, again: bool = False) -> None:
        """
        Let workflows be as the kept database knows them, unless more happened here.

        *again*: what happened here came later, and is judged once more as what followed that.
        """
        self._link()
        names = [name for name in columns(self._connection, "workflows") if name != "id"]
        differing = " OR ".join(f"k.{name} IS NOT here.{name}" for name in names)
        found = self._connection.execute(
            f"SELECT k.*, here.id AS here, here.focus_id AS named_here,"  # noqa: S608
            f"       EXISTS (SELECT 1 FROM other.messages AS m WHERE m.workflow_id = k.id"
            f"                  AND m.id NOT IN (SELECT kept FROM pairs)) AS more_there,"
            f"       EXISTS (SELECT 1 FROM main.messages AS m WHERE m.workflow_id = here.id"
            f"                  AND m.id NOT IN (SELECT here FROM pairs)) AS more_here"
            f"  FROM courses JOIN other.workflows AS k ON k.id = courses.kept"
            f"  JOIN main.workflows AS here ON here.id = courses.here"
            f" WHERE ({differing} OR more_here)"
        ).fetchall()
        touched = self._workflows_changed()
        followed = [
            row
            for row in found
            if (not ends_only or row["here"] in touched) and (again or not row["more_here"])
        ]
        for row in followed:
            follow = self._follow_anew if again else self._follow_one
            first = partial(self._first_of, row["here"])
            self._alone(partial(follow, row, names), first)
        for row in sorted(followed, key=lambda row: row["focus_id"] is not None):
            if row["role"] == Role.REQUESTER:
                self._alone(partial(self._name, row), partial(self._first_of, row["here"]))

    def _follow_anew(self, row: sqlite3.Row, names: Sequence[str]) -> None:
        """Let one workflow be as it was there, and then follow what has come here since."""
        happened = happened_since(self._works, row["here"])
        if not happened:
            self._follow_one(row, names)
        elif not row["more_there"]:
            kept = keeps_its_clock(happened)
            self._follow_one(row, [name for name in names if name not in kept])
            judge_again(self._works, happened, self._now)

    def _follow_one(self, row: sqlite3.Row, names: Sequence[str]) -> None:
        ours = row["role"] == Role.REQUESTER
        if not row["more_there"] or row["state"] in _OURS[row["role"]]:
            copied = [name for name in names if not (ours and name in _IDS)]
            change(self._connection, "workflows", row["here"], {name: row[name] for name in copied})
        elif ours:  # an answer that was not handed over yet proves it
            move_workflow(self._works, row["here"], Move.REQUEST, self._now)

    def _name(self, row: sqlite3.Row) -> None:
        """Give a workflow the id that it has there, unless here that is another patient's."""
        kept = {name: row[name] for name in _IDS}
        if row["focus_id"] is None or row["focus_id"] == row["named_here"]:
            change(self._connection, "workflows", row["here"], kept)
            return
        change(self._connection, "workflows", row["here"], dict.fromkeys(_IDS))
        message = self._first_of(row["here"])
        if message is not None:
            remarks = name_focus(self._works, message, row["focus_id"], self._now)
            self._remarked[message["id"]] = remarks

    def _workflows_changed(self) -> set[int]:
        found = self._connection.execute("SELECT id, workflow_id FROM main.messages")
        changed = set(self._changed)
        return {workflow for number, workflow in found if number in changed}

    def _link(self) -> None:
        """Copy what ties workflows together, where both of them are here."""
        self._connection.execute(
            "INSERT OR IGNORE INTO main.links (workflow_id, to_id, kind, by, message_id, made_at)"
            " SELECT one.here, two.here, l.kind, l.by, m.here, l.made_at FROM other.links AS l"
            "  JOIN courses AS one ON one.kept = l.workflow_id"
            "  JOIN courses AS two ON two.kept = l.to_id JOIN pairs AS m ON m.kept = l.message_id"
        )

    def _stop_cancelled(self) -> list[Line]:
        """Send nothing of what a cancellation that came since the backup takes back."""
        waiting = self._connection.execute(
            f"SELECT * FROM main.messages AS m WHERE m.direction = 'outbound'"  # noqa: S608
            f"   AND m.state IN {OPEN_STATES} AND m.move IN ('request', 'update') ORDER BY m.id"
        ).fetchall()
        cancelled = self._cancelled_since()
        lines: list[Line] = []
        for row in waiting:
            if row["workflow_id"] in cancelled:

                def stop(row: sqlite3.Row = row) -> None:
                    lines.append(self._stop_one(row))

                self._alone(stop, partial(_given, row))
        return lines

    def _stop_one(self, row: sqlite3.Row) -> Line:
        values = dict.fromkeys(_OF_OPEN) | {
            "state": OutboundState.UNCONFIRMED,
            "settled_at": text(self._now),
            "restored_at": text(self._now),
            "attempts": max(1, row["attempts"]),
        }
        change(self._connection, "messages", row["id"], values)
        if row["move"] == Move.REQUEST:
            move_workflow(self._works, row["workflow_id"], Move.LAPSE, self._now)
        notify(self._works, NoticeKind.OUTCOME, row, self._now, [Remark.FATE_UNKNOWN])
        self._audit(row, row["id"], Became.CANCELLED)
        return line_of(row, Became.CANCELLED)

    def _cancelled_since(self) -> set[int]:
        found = self._connection.execute(
            "SELECT id, workflow_id FROM main.messages WHERE direction = 'outbound'"
            " AND move = 'cancel' AND state NOT IN ('withdrawn', 'refused', 'not_sent')"
        )
        entered = set(self._entered)
        return {workflow for number, workflow in found if number in entered}

    def _tell(self, *, all_: bool) -> None:
        """
        Give the EPR the notices of what has changed, under the numbers that they had.

        *all_*: those that it has not had yet of anything else, too.
        """
        names = [
            name
            for name in columns(self._connection, "notices")
            if name not in {"id", "message_id"}
        ]
        for here in [*self._changed, *(self._untold() if all_ else ())]:
            self._alone(partial(self._tell_of, here, names), partial(self._message, here))

    def _untold(self) -> list[int]:
        """Return the messages that both have, and of which only there a notice waits."""
        found = self._connection.execute(
            "SELECT DISTINCT pairs.here FROM other.notices AS n"
            "  JOIN pairs ON pairs.kept = n.message_id WHERE n.collected_at IS NULL"
            "   AND NOT EXISTS (SELECT 1 FROM main.notices AS o WHERE o.message_id = pairs.here"
            "                      AND o.kind = n.kind AND o.created_at = n.created_at)"
        )
        changed = set(self._changed)
        return [here for (here,) in self._readable(found) if here not in changed]

    def _tell_of(self, here: int, names: Sequence[str]) -> None:
        found = self._connection.execute(
            "SELECT n.* FROM pairs JOIN other.notices AS n ON n.message_id = pairs.kept"
            " WHERE pairs.here = :here"
            "   AND NOT EXISTS (SELECT 1 FROM main.notices AS o WHERE o.message_id = :here"
            "                      AND o.kind = n.kind AND o.created_at = n.created_at)"
            " ORDER BY n.id",
            {"here": here},
        ).fetchall()
        for row in found:
            values = {name: row[name] for name in names} | {"message_id": here}
            new = self._remarked.get(here, ()) if row["kind"] == NoticeKind.OUTCOME else ()
            values["remarks"] = " ".join([row["remarks"], Remark.RESTORED, *new]).strip()
            if row["kind"] in _FOR_GOOD:
                values["collected_at"] = None
            values["id"] = None if is_used(self._connection, "notices", row["id"]) else row["id"]
            insert(self._connection, "notices", values)

    def _missing(self, direction: str) -> list[sqlite3.Row]:
        """Return the messages there that are missing here, as far as they can be read."""
        found = self._connection.execute(
            "SELECT k.*, (SELECT min(n.collected_at) FROM other.notices AS n"
            "              WHERE n.message_id = k.id AND n.kind IN ('message', 'amended',"
            "                    'decided_late')) AS collected_at"
            "  FROM other.messages AS k"
            " WHERE k.direction = ? AND k.id NOT IN (SELECT kept FROM pairs) ORDER BY k.id",
            [direction],
        )
        return self._readable(found)

    def _readable(self, found: sqlite3.Cursor) -> list[sqlite3.Row]:
        read = []
        try:
            for row in found:
                read.append(row)  # noqa: PERF402  # what came before the damage is kept
        except sqlite3.DatabaseError:
            self.whole = False
        return read

    def _enter_quarantined(self) -> list[Line]:
        lines: list[Line] = []
        for row in self._readable(self._quarantine.missing()):

            def enter(row: sqlite3.Row = row) -> None:
                lines.append(self._quarantine.enter(row))

            self._alone(enter, partial(_given, row))
        return lines

    def _numbers_are_free(self, table: str, known: str) -> bool:
        """Tell whether rows that are missing here can keep their numbers, and so their order."""
        clash = self._connection.execute(
            f"SELECT 1 FROM other.{table} AS k JOIN main.{table} AS here ON here.id = k.id"  # noqa: S608
            f" WHERE k.id NOT IN (SELECT kept FROM {known}) LIMIT 1"
        )
        return clash.fetchone() is None

    def _audit(self, row: sqlite3.Row, here: int, fate: Became) -> None:
        about = EventAbout(row["provider"], here, row["request_id"])
        detail = {"state": row["state"]}
        add_event(self._works, about, f"restore.{fate}", self._now, detail)


def _given(row: sqlite3.Row) -> sqlite3.Row:
    return row


def _believed(row: sqlite3.Row, *, ends_only: bool, held_only: bool) -> bool:
    """Tell whether the kept database's word on a message holds against what stands here."""
    was, state = OutboundState(row["was"]), OutboundState(row["state"])
    if held_only:
        return was is OutboundState.HELD and row["held_since"] is not None and state not in OPEN
    if ends_only:
        return was in OPEN and state not in OPEN
    # What the Receiver has, it has. And what a restore left open says nothing against an end.
    if was is OutboundState.ACKNOWLEDGED:
        return state is OutboundState.ACKNOWLEDGED
    return was in OPEN or state not in OPEN or row["restored_at"] is None
