"""What is counted for `/metrics`, beside what the page shows: each by an index."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from bars_gateway.model.buckets import BUCKETS, bucket_of
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.rows import instant, text
from bars_gateway.store.traffic import last_flowed
from bars_gateway.store.work import Noun, reads


@dataclass(frozen=True, slots=True, kw_only=True)
class Heap:
    """How much lies there, and since when the oldest does."""

    count: int
    oldest_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What waits for one Receiver and is not held, and since when the oldest does."""

    provider: str
    receiver: str
    since: datetime
    messages: int = 1
    workflows: int = 1  # each is about one patient


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What the figures show of one moment."""

    backlog: Mapping[str, Heap]  # outbound messages that are not settled, by bucket of the Receiver
    quarantined: Mapping[str, Heap]  # by provider
    overdue: Mapping[tuple[str, str], Heap]  # answers, by provider and our role
    received_at: datetime | None  # when the last message was received
    acknowledged_at: datetime | None  # when the last one of ours was acknowledged


class Figures(Noun):
    """What is counted for a machine."""

    @reads
    def counted(self, connection: Connection, now: datetime) -> Counted:
        """Return how it stands."""
        return Counted(
            backlog=_backlog(connection),
            quarantined={
                row["provider"]: _heap(row) for row in connection.rows("count_quarantined")
            },
            overdue={
                (row["provider"], row["role"]): _heap(row)
                for row in connection.rows("count_overdue", now=text(now))
            },
            received_at=last_flowed(connection, "inbound"),
            acknowledged_at=last_flowed(connection, "outbound"),
        )

    @reads
    def waiting(self, connection: Connection) -> list[Waiting]:
        """Return what waits for whom and is not held."""
        return [
            Waiting(
                provider=row["provider"],
                receiver=row["receiver"],
                since=instant(row["oldest"]),
                messages=row["n"],
                workflows=row["workflows"],
            )
            for row in connection.rows("waiting_for_receivers")
        ]


def _backlog(connection: Connection) -> dict[str, Heap]:
    found: dict[str, Heap] = {}
    for row in connection.rows("count_backlog"):
        bucket, more = bucket_of(row["receiver"]), _heap(row)
        known = found.get(bucket, Heap(count=0, oldest_at=more.oldest_at))
        oldest = min(known.oldest_at, more.oldest_at)
        found[bucket] = Heap(count=known.count + more.count, oldest_at=oldest)
    return {bucket: found[bucket] for bucket in BUCKETS if bucket in found}


def _heap(row: Row) -> Heap:
    return Heap(count=row["n"], oldest_at=instant(row["oldest"]))
