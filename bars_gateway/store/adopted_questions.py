"""
Lets a restored database believe what the EPR has answered since the backup.

    open here, answered there ─┬─ no ──► refused here, with the same words
                               └─ yes ─► its message is here, as the kept database has it
    open here, and nobody can say ─────► asked again, with the remark `restored`

The Sender was told that answer, and the EPR has done it. Asked a second time without a word, it
might say the other thing: one side cancelled, and the other on its way. So the first answer
holds, and a repetition of the request gets it.

The statements walk whole tables, which is why they are none of the named ones.
"""

import sqlite3

from bars_gateway.model.questions import PROCESS_MESSAGE
from bars_gateway.standard.remarks import Remark
from bars_gateway.store.both import change, columns, insert

_ANSWER = (
    *("state", "decided_at", "accepted", "http_status", "answer_code", "answer_type", "answer"),
    *("heard_at", "answered_with"),
)
_OPEN = ("alarm_at", "media_type", "headers", "encoding", "body")


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
            "SELECT k.*, coalesce(json_extract(k.about, '$.move'), '') AS move,"
            "       coalesce(json_extract(k.about, '$.use_case'), '') AS use_case,"
            "       coalesce(json_extract(k.about, '$.sender'), '') AS sender,"
            "       'inbound' AS direction, k.asked_at AS created_at"
            "  FROM other.questions AS k WHERE k.id = ?",
            [row["id"]],
        ).fetchone()
        return found

    def free(self, row: sqlite3.Row) -> None:
        """Let the request in *row* be under question no more: an answer is entered next."""
        self._connection.execute(
            "DELETE FROM main.ledger WHERE provider = ? AND request_id = ? AND question_id = ?",
            [row["provider"], row["request_id"], row["here"]],
        )

    def enter(self, row: sqlite3.Row, message_here: int | None) -> None:
        """Let the question in *row* be answered as it was there, with the message, if it is one."""
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
            question = row["here"] if kept["question_id"] is not None else None
            insert(self._connection, "ledger", values | {"question_id": question})


def doubt(connection: sqlite3.Connection, number: int | None = None) -> None:
    """
    Say with each question that is asked again that it may have been answered before.

    *number*: with that one alone. What is no message has no remarks: it is read as it stands.
    """
    connection.execute(
        "UPDATE main.questions SET about = json_set(about, '$.remarks',"
        "       json_insert(coalesce(json_extract(about, '$.remarks'), '[]'), '$[#]', :remark))"
        " WHERE state = 'open' AND operation = :operation AND id = coalesce(:number, id)"
        "   AND coalesce(json_extract(about, '$.remarks'), '[]') NOT LIKE '%' || :remark || '%'",
        {"remark": Remark.RESTORED, "operation": PROCESS_MESSAGE, "number": number},
    )
