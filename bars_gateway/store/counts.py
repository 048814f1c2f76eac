"""
What happened in a period, counted for whoever looks after safety; read afterwards, by no counter.

    events ─► by kind      attempts ─► by verdict      alarms ─► for how long each stood

It reads as much as there is in the period: seconds for a million events, on a connection of its
own, behind which nothing waits.
"""

from datetime import datetime

from bars_gateway.model.counts import AlarmEnd, AlarmSpan, Counts
from bars_gateway.store.connection import Connection
from bars_gateway.store.rows import instant, text


def counted(
    connection: Connection, provider: str | None, since: datetime, until: datetime
) -> Counts:
    """Return what happened from *since* until before *until*, with *provider* or with all."""
    values = {"provider": provider, "since": text(since), "until": text(until)}
    events = connection.rows("events_by_kind", **values)
    judged = connection.rows("attempts_by_row", **values)
    oldest = connection.one("oldest_event")
    assert oldest is not None  # of a minimum there is always one row
    return Counts(
        since=since,
        until=until,
        trail_since=instant(oldest["at"]) if oldest["at"] else None,
        events={row["kind"]: row["n"] for row in events},
        judged={row["judged"]: row["n"] for row in judged},
        alarms=[
            AlarmSpan(
                kind=row["kind"],
                since=instant(row["since"]),
                ended_at=instant(row["ended_at"]) if row["ended_at"] else None,
                ended_how=AlarmEnd(row["ended_how"]) if row["ended_how"] else None,
            )
            for row in connection.rows("alarms_of_period", **values)
        ],
    )
