"""
Each service that we write to or that writes to us: how it stands, since when, what waits for it.

    row of the verdict table ──STANDINGS──► Standing     last of each row ──run_of──► since when
    messages ──► what waits, what came last

It is read from the attempts that are kept, so that no restart forgets since when. What our own
token, registration or quota was refused for says nothing of the service.
What it publishes about itself is not a message, and is kept apart (`outbound.cache`).
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from bars_gateway.frozen import frozen
from bars_gateway.model.messages import Attempt
from bars_gateway.standard.verdict import ROWS, SILENCE, UNFIT
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.rows import attempt_of, instant, text
from bars_gateway.store.work import Noun, reads

DAY = timedelta(hours=24)


class Standing(StrEnum):
    """What the last attempt to a service has met."""

    TAKES = "takes"  # it has the last message that was sent
    REFUSES = "refuses"  # the last message was refused, by it or on the way
    UNPROVEN = "unproven"  # an answer came, and does not prove that it has the message
    BUSY = "busy"  # it, or what is on the way, asked us to come again later
    FAILS = "fails"  # a server had an error
    SILENT = "silent"  # no answer of its own came
    KEPT_OUT = "kept_out"  # the platform did not let us through: nothing is known of the service
    UNTRIED = "untried"  # nothing was sent to it


IN_WORDS: Mapping[Standing, str] = {
    Standing.TAKES: "takes messages",
    Standing.REFUSES: "the last message was refused",
    Standing.UNPROVEN: "answers, without proof that it has the message",
    Standing.BUSY: "busy: asks to come again later",
    Standing.FAILS: "answers with errors only",
    Standing.SILENT: "gives no answer",
    Standing.KEPT_OUT: "not known: the platform does not let us through",
    Standing.UNTRIED: "nothing was sent to it",
}
STANDINGS: Mapping[str, Standing] = {
    "foreign-ack-again": Standing.UNPROVEN,
    "foreign-ack": Standing.UNPROVEN,
    "ok-with-an-error": Standing.FAILS,
    "acknowledged-by-another-bundle": Standing.TAKES,
    "acknowledged": Standing.TAKES,
    "ok-without-our-ids": Standing.UNPROVEN,
    "duplicate-after-foreign-ack": Standing.UNPROVEN,
    "duplicate-at-first": Standing.UNPROVEN,
    "duplicate": Standing.TAKES,
    "token-refused-by-platform": Standing.KEPT_OUT,
    "application-refused-by-platform": Standing.KEPT_OUT,
    "access-denied": Standing.KEPT_OUT,
    "access-forbidden": Standing.KEPT_OUT,
    "unfit-on-the-way": Standing.SILENT,
    "intermediary": Standing.SILENT,
    "too-early": Standing.BUSY,
    "timeout": Standing.SILENT,
    "too-many-requests": Standing.BUSY,
    "unavailable": Standing.SILENT,
    "quota-as-500": Standing.BUSY,
    "server-error": Standing.FAILS,
    "not-implemented-in-doubt": Standing.REFUSES,
    "not-implemented": Standing.REFUSES,
    "other-5xx": Standing.FAILS,
    "token-refused": Standing.KEPT_OUT,
    "not-enabled": Standing.KEPT_OUT,
    "refused-in-doubt": Standing.REFUSES,
    "conflict": Standing.REFUSES,
    "receiver-unauthorized": Standing.REFUSES,
    "refused": Standing.REFUSES,
    "redirect": Standing.SILENT,
    "unknown-status": Standing.SILENT,
    "silence": Standing.SILENT,
}
JUDGED = tuple(row.name for row in (*ROWS, SILENCE))
_ROWS = json.dumps(JUDGED)
_SAID_SOMETHING = frozenset({Standing.TAKES, Standing.REFUSES, Standing.UNPROVEN, Standing.BUSY})
# What ends a run of attempts that met the same: silence and errors are one trouble.
_ENDED_BY: Mapping[Standing, frozenset[Standing]] = {
    Standing.TAKES: frozenset(Standing) - {Standing.TAKES, Standing.KEPT_OUT},
    Standing.REFUSES: frozenset(Standing) - {Standing.REFUSES, Standing.KEPT_OUT},
    Standing.UNPROVEN: frozenset(Standing) - {Standing.UNPROVEN, Standing.KEPT_OUT},
    Standing.BUSY: frozenset(Standing) - {Standing.BUSY, Standing.KEPT_OUT},
    Standing.FAILS: _SAID_SOMETHING,
    Standing.SILENT: _SAID_SOMETHING,
    Standing.KEPT_OUT: frozenset(Standing) - {Standing.KEPT_OUT},
}


@frozen(kw_only=True)
class Run:
    """The attempts that met the same, up to now: what they met, and where they begin."""

    standing: Standing
    newest_at: datetime  # the last of them
    of_rows: Sequence[str]  # the rows that count for it
    after: datetime | None  # they began after that; None: with the first attempt


def run_of(last_of: Mapping[str, datetime]) -> Run | None:
    """Return what was met last, by when each row last judged an attempt; None: nothing was sent."""
    if not last_of:
        return None
    # What does not pass for its size says nothing of who gets it, unless nothing else was met.
    last_of = {row: at for row, at in last_of.items() if row != UNFIT} or last_of
    # Of two at one moment the worse counts.
    newest = max(last_of, key=lambda row: (last_of[row], STANDINGS[row] is not Standing.TAKES))
    standing = STANDINGS[newest]
    ends = _ENDED_BY[standing]
    after = [at for row, at in last_of.items() if STANDINGS[row] in ends]
    same = [row for row in last_of if STANDINGS[row] not in ends]
    if standing is not Standing.KEPT_OUT:
        same = [row for row in same if STANDINGS[row] is not Standing.KEPT_OUT]
    return Run(
        standing=standing,
        newest_at=last_of[newest],
        of_rows=same,
        after=max(after, default=None),
    )


@frozen(kw_only=True)
class Counterparty:
    """One service at the other side, as it stands now."""

    service: str  # system|value
    standing: Standing
    since: datetime | None  # None: nothing was sent to it
    backed_off_since: datetime | None  # what is for it waits, but for a probe; None: it does not
    waiting: int  # messages for it that are not settled
    oldest_at: datetime | None  # when the first of these was taken
    attempts: int  # of the last 24 hours
    acknowledged: int  # of those
    last: Attempt | None  # the last attempt
    last_request_id: str | None  # and its message
    last_taken_at: datetime | None  # when it last had a message of ours
    last_received_at: datetime | None  # when a message of its last came

    @property
    def success(self) -> float | None:
        """The share of the attempts of 24 hours that were acknowledged; None: there were none."""
        return self.acknowledged / self.attempts if self.attempts else None


class Counterparties(Noun):
    """The services at the other side."""

    @reads
    def all(self, connection: Connection, now: datetime) -> list[Counterparty]:
        """Return every one, by name."""
        return counterparties(connection, now)


def counterparties(connection: Connection, now: datetime) -> list[Counterparty]:
    """Return every service that was written to, or has written, by name."""
    waiting = {row["receiver"]: row for row in connection.rows("count_backlog")}
    breaks = {row["name"]: instant(row["since"]) for row in connection.rows("breaks")}
    return [
        _counterparty(
            connection, row["service"], waiting.get(row["service"]), breaks.get(row["service"]), now
        )
        for row in connection.rows("services_met")
    ]


def _counterparty(
    connection: Connection,
    service: str,
    waiting: Row | None,
    backed_off_since: datetime | None,
    now: datetime,
) -> Counterparty:
    judged = connection.rows("judged", service=service, rows=_ROWS, since=text(now - DAY))
    last_of = {row["name"]: instant(row["last_at"]) for row in judged if row["last_at"]}
    taken = [row["name"] for row in judged if STANDINGS[row["name"]] is Standing.TAKES]
    last = connection.one("last_attempt_to", service=service, rows=_ROWS)
    received = connection.one("last_received_from", service=service)
    run = run_of(last_of)
    return Counterparty(
        service=service,
        standing=run.standing if run else Standing.UNTRIED,
        since=_began(connection, service, run) if run else None,
        backed_off_since=backed_off_since,
        waiting=waiting["n"] if waiting else 0,
        oldest_at=instant(waiting["oldest"]) if waiting else None,
        attempts=sum(row["n"] for row in judged),
        acknowledged=sum(row["n"] for row in judged if row["name"] in taken),
        last=attempt_of(last) if last else None,
        last_request_id=last["request_id"] if last else None,
        last_taken_at=max((last_of[row] for row in taken if row in last_of), default=None),
        last_received_at=instant(received["created_at"]) if received else None,
    )


def _began(connection: Connection, service: str, run: Run) -> datetime | None:
    """Return when the first of the attempts was made that *run* is of."""
    values = {"rows": json.dumps(run.of_rows), "after": text(run.after) or ""}
    began = connection.one("run_began", service=service, **values)
    return instant(began["at"]) if began and began["at"] else run.newest_at
