"""
Which messages may leave now, taken for all senders that have nothing to do, in one work.

    senders that wait, places in the budgets ─► claimable ─► claim ─► Claim, one for each sender
                                                               └─► Spoilt: that one is held

The order is the one in which they would be taken one by one: what is urgent first, and of that what
has been due longest; one at a time within a conversation with a Receiver; no more in flight to
one Receiver than are allowed. No step takes more than the provider with the fewest places has, so
that none gets a message that must wait for its turn: something urgent may come before it.

One that cannot be read is held by itself, and the others are claimed.

Decisions: D-fencing, D-order, D-quota.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from bars_gateway.errors import DatabaseDamaged
from bars_gateway.frozen import frozen
from bars_gateway.model.messages import Claim, Part
from bars_gateway.standard.verdict import FOREIGN, KEPT_OUT, SERVER_ERRORS, Before
from bars_gateway.standard.workflow import Move
from bars_gateway.store.asides import Spoilt, each, hold
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.pacing import note
from bars_gateway.store.rows import instant, payload_of, text

_SERVER_ERRORS = json.dumps(sorted(SERVER_ERRORS))
_KEPT_OUT = json.dumps(sorted(KEPT_OUT))
_FOREIGN = json.dumps(sorted(FOREIGN))
_BESIDE = 8  # so many more are looked at than are wanted: some may have to wait
_NONE_MET: Mapping[str, Any] = {"n": 0, "previous_at": None, "first_error_at": None}


@frozen(kw_only=True)
class Lease:
    """For whom messages are claimed, and how many may be in flight to one Receiver."""

    node: str
    until: datetime
    per_receiver: int
    dead: Collection[str] = ()  # nodes whose claims take no Receiver's place


@frozen(kw_only=True)
class Openings:
    """Who may send at one moment."""

    at: datetime
    places: Mapping[str, int]  # by provider: how many of its messages may leave
    not_for: Collection[str] = ()  # Receivers that nothing goes to
    singly: Collection[str] = ()  # Receivers that no more than one message goes to


def claim(
    connection: Connection, wanted: int, openings: Openings, lease: Lease
) -> list[Claim | Spoilt]:
    """Claim up to *wanted* messages, the first of them first; hold what cannot be read."""
    rows = list(_taken(connection, wanted, openings, lease))
    requests = _requests(connection, rows)
    found = each(rows, partial(_claim, connection, requests, openings.at))
    for row, spoilt in zip(rows, found, strict=True):
        if isinstance(spoilt, Spoilt):
            number = row["claims"]
            hold(connection, spoilt.number, spoilt.error, openings.at, number, began=False)
    calls = Counter(each.provider for each in found if isinstance(each, Claim))
    if calls:
        note(connection, calls, openings.at)
    return found


def _taken(connection: Connection, wanted: int, openings: Openings, lease: Lease) -> Iterator[Row]:
    """Yield the messages that are ours from now on."""
    places = {name: count for name, count in openings.places.items() if count > 0}
    not_for = set(openings.not_for)
    while wanted and places:
        step = min(wanted, *places.values())
        rows = _step(connection, step, places, not_for, openings, lease)
        yield from rows
        if len(rows) < step:
            return
        wanted -= step
        used = Counter(row["provider"] for row in rows)
        places = {name: left for name in places if (left := places[name] - used[name])}
        not_for |= {row["receiver"] for row in rows} & set(openings.singly)


def _step(  # noqa: PLR0917
    connection: Connection,
    wanted: int,
    providers: Collection[str],
    not_for: Collection[str],
    openings: Openings,
    lease: Lease,
) -> Sequence[Row]:
    values = {
        "now": text(openings.at),
        "providers": json.dumps(sorted(providers)),
        "not_for": json.dumps(sorted(not_for)),
        "singly": json.dumps(sorted(openings.singly)),
        "wanted": wanted,
        "per_receiver": lease.per_receiver,
        "dead": json.dumps(sorted(lease.dead)),
    }
    rows = connection.rows("foremost", most=wanted + _BESIDE, **values)
    if len(rows) < wanted:  # some of those wait for others; what may leave stands behind them
        rows = connection.rows("claimable", **values)
    if rows:
        ids = json.dumps([row["id"] for row in rows])
        connection.put("claim", ids=ids, node=lease.node, lease_until=text(lease.until))
    return rows


def _requests(connection: Connection, rows: Sequence[Row]) -> Mapping[int, Row]:
    """Return the bytes by message; none where some are spoilt, so that each is read by itself."""
    ids = json.dumps([row["id"] for row in rows])
    try:
        found = connection.rows("requests_of", ids=ids) if rows else []
    except DatabaseDamaged:
        return {}
    return {row["message_id"]: row for row in found}


def _claim(connection: Connection, requests: Mapping[int, Row], now: datetime, row: Row) -> Claim:
    payload = requests.get(row["id"]) or connection.one(
        "payload", message_id=row["id"], part=Part.REQUEST
    )
    assert payload is not None
    errors = _errors(connection, row)
    return Claim(
        message_id=row["id"],
        provider=row["provider"],
        request_id=row["request_id"],
        correlation_id=row["correlation_id"],
        receiver=row["receiver"],
        move=Move(row["move"]),
        use_case=row["use_case"],
        claim=row["claims"],
        attempt=row["attempts"],
        before=_before(connection, row),
        server_errors=errors["n"] or 0,
        created_at=instant(row["created_at"]),
        give_up_at=instant(row["give_up_at"]),
        request=payload_of(payload, connection.vault),
        previous_at=instant(errors["previous_at"]),
        first_error_at=instant(errors["first_error_at"]),
        claimed_at=now,
    )


def _errors(connection: Connection, row: Row) -> Row | Mapping[str, Any]:
    if row["attempts"] == 1:
        return _NONE_MET
    found = connection.one("server_errors", message_id=row["id"], errors=_SERVER_ERRORS)
    assert found is not None
    return found


def _before(connection: Connection, row: Row) -> Before:
    """
    Return what earlier attempts of the message, or of the one that it resends, have left open.

    An attempt that began and has no end here was cut off, by a crash or by another's claim.
    """
    if row["attempts"] == 1 and row["resend_of"] is None:
        return Before.NOTHING
    found = connection.one("left_open", id=row["id"], kept_out=_KEPT_OUT, foreign=_FOREIGN)
    assert found is not None
    if found["foreign_ack"]:
        return Before.FOREIGN
    return Before.UNKNOWN if found["unknown"] else Before.NOTHING
