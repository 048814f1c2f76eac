"""
Each service that we write to or that writes to us: how it stands, since when, what waits for it.

    attempts, by service and row ──run_of──► Standing      messages ──► what waits, what came last

What it publishes about itself is no message, and is kept apart (`outbound.cache`).
"""

import json
from datetime import datetime, timedelta

from bars_gateway.model.counterparties import JUDGED, STANDINGS, Counterparty, Standing, run_of
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.rows import attempt_of, instant, text
from bars_gateway.store.work import Noun, reads

DAY = timedelta(hours=24)
_ROWS = json.dumps(JUDGED)


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
    since = None
    if run is not None:
        values = {"rows": json.dumps(run.of_rows), "after": text(run.after) or ""}
        began = connection.one("run_began", service=service, **values)
        since = instant(began["at"]) if began and began["at"] else run.newest_at
    return Counterparty(
        service=service,
        standing=run.standing if run else Standing.UNTRIED,
        since=since,
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
