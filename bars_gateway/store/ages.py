"""
How old a record is: by what is written with it, by what came before it, and to which moment.

    when it came to rest ─┐
    its appointment ──────┴─► the later of the two ─► days ─► due
    what came before it, and is younger by its stamp ──────► it is younger, too
    what the database has lived through since the last purge ─► to which moment ages are counted

All stamps are of the wall clock, and that may have been wrong. What came while it was *behind*
looks older than it is: so nothing is old enough that came after something which is not. What came
while it was *ahead* looks younger, and may stay longer; where its stamp is yet to come, the first
stamp after it that is not counts instead.

Where the clock is ahead *now*, everything looks older. So a purge that nobody has asked for counts
ages no further than the gateway is known to have been up since the last one, and an hour. A stop
that was meant is made up for an hour each night, or at once by a person who has looked at the
clock.

Decisions: D-retention.
"""

from datetime import datetime, timedelta

from bars_gateway.model.retention import RecordClass, RetentionRules, is_due
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.rows import hour_of, instant, text

DOUBTED_AFTER = timedelta(days=7)  # since the last purge: by then a person has heard of it
SLACK = timedelta(hours=1)  # of a night: what a restart takes, and by how much a lag grows less

# The statement that finds the last of a class that can be old enough, and the column to compare.
_LAST_BEFORE = {
    RecordClass.CONVERSATIONS: ("last_workflow_opened_before", "number"),
    RecordClass.QUARANTINE: ("last_quarantined_before", "number"),
    RecordClass.REFUSALS: ("last_refusal_before", "number"),
    RecordClass.ALARMS: ("last_alarm_before", "number"),
}
_OF_MESSAGES = ("last_message_before", "last_id")


class Ages:
    """Judges the age of records of one class."""

    def __init__(
        self,
        connection: Connection,
        record_class: RecordClass,
        rules: RetentionRules,
        counts_to: datetime,
        provider: str | None,
        *,
        by_order: bool = True,
    ) -> None:
        """Judge as of *counts_to*; *by_order*: False for what was judged by its order before."""
        self._connection, self._rules, self._now = connection, rules, counts_to
        self._class, self._provider, self._by_order = record_class, provider, by_order
        self._statement, self._compared = _LAST_BEFORE.get(record_class, _OF_MESSAGES)
        self._last: dict[int, int] = {}  # by days of a rule

    def is_old(self, row: Row) -> bool:
        """Tell whether its time would be over, were there no appointment to come."""
        return self._is_due(row, self._rested_at(row))

    def is_due(self, row: Row) -> bool:
        """Tell whether its time is over: since it came to rest, and since its appointment."""
        until = instant(row["appointment_until"])
        rested_at = self._rested_at(row)
        return self._is_due(row, max(rested_at, until) if until else rested_at)

    def is_to_come(self, row: Row) -> bool:
        """Tell whether its appointment is yet to come."""
        until = instant(row["appointment_until"])
        return until is not None and until >= self._now

    def _is_due(self, row: Row, since: datetime) -> bool:
        if self._provider not in {None, row["provider"]}:
            return False
        rule = self._rules.rule_for(self._class, row["provider"], row["use_case"])
        if not is_due(rule, since, self._now):
            return False
        return not self._by_order or (row[self._compared] or 0) <= self._last_before(rule.days)

    def _rested_at(self, row: Row) -> datetime:
        written: datetime = instant(row["rested_at"])
        if written <= self._now:
            return written
        values = {"id": row["last_id"], "now": text(self._now)}
        after = self._connection.one("stamp_after", **values)
        found: datetime = written if after is None else instant(after["at"])
        return found

    def _last_before(self, days: int) -> int:
        if days not in self._last:
            before = self._now - timedelta(days=days)
            values = {"before": text(before), "now": text(self._now)}
            row = self._connection.one(self._statement, **values)
            self._last[days] = (row["id"] if row else None) or 0
        return self._last[days]


def counted_to(connection: Connection, now: datetime) -> datetime:
    """Return to which moment ages are counted at most, where nobody vouches for the clock."""
    before = connection.one("counted_before") or connection.one("trail_began")
    if before is None:
        return now
    began_at = instant(before["began_at"])
    hours = {"since": hour_of(began_at), "until": hour_of(now)}
    up = connection.one("up_between", **hours)
    lived = timedelta(milliseconds=up["up_ms"] if up else 0)
    lately: datetime = instant(before["counts_to"]) + lived + SLACK
    return min(now, lately)


def last_moment(connection: Connection) -> datetime | None:
    """Return when a purge last began, or the audit trail, where none did; None: neither has."""
    before = connection.one("counted_before") or connection.one("trail_began")
    return instant(before["began_at"]) if before is not None else None


def night_counts_to(connection: Connection, now: datetime) -> datetime | None:
    """Return to which moment a purge of this night would count; None: by itself none begins."""
    known = last_moment(connection)
    if known is not None and now - known > DOUBTED_AFTER:
        return None
    return counted_to(connection, now)
