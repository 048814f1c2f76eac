"""
Messages by what people know of them: an id, with whom, in which state, what went wrong, when.

    MessageFilter ─► the narrowest index ─► numbers, newest first ─► which fit the rest ─► Page
                                     at most 10,000 are looked at for one page

A page never costs more than its bound, whatever is asked for and however many messages there are:
where the bound comes first, the page says how far back it has looked, and the next goes on from
there. Pages are kept apart by numbers (`below`), so that what comes in meanwhile moves nothing.

What did not go well is grouped by what the last attempt came to, and with whom.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime

from bars_gateway.frozen import frozen
from bars_gateway.model.messages import OutboundState
from bars_gateway.model.readings import MessageHistory, MessageRow
from bars_gateway.standard.verdict import FaultSide
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.outcomes import seen
from bars_gateway.store.readings import history_of
from bars_gateway.store.rows import instant, text
from bars_gateway.store.work import Noun, reads

PAGE = 50  # messages
LOOKED_AT = 10_000  # messages, for one page
_AT_ONCE = 1_000
_MIXED = 1_000  # messages that a clock that was set back may have mixed up
_NEWEST = 2**62
_KNOWN = 500  # names to choose from
_GROUPS = 50
_NAMES = {
    "counterparties": "counterparties_known",
    "use_cases": "use_cases_known",
    "troubles": "troubles_known",
}
_DIGITS = 18
RECEIVED = "received"  # the one state of what came
_NEARLY_ALL = frozenset({OutboundState.ACKNOWLEDGED, RECEIVED})  # any other index is narrower


@frozen(kw_only=True)
class MessageFilter:
    """What messages are asked for; None: any."""

    named: str | None = None  # an id of theirs, or their number
    provider: str | None = None
    direction: str | None = None
    counterparty: str | None = None  # system|value
    use_case: str | None = None
    state: str | None = None
    trouble: str | None = None  # a code, or a row of the verdict table
    fault: FaultSide | None = None
    since: datetime | None = None
    before: datetime | None = None


@frozen(kw_only=True)
class FoundMessage:
    """One message of a list."""

    message: MessageRow
    trouble: str | None  # what its last attempt came to, where that was no acknowledgement
    fault: FaultSide | None  # whose that was


@frozen(kw_only=True)
class Page:
    """Some of the messages that fit, the newest first."""

    messages: Sequence[FoundMessage]
    below: int | None  # where the next page begins; None: there is none
    looked_back_to: datetime | None  # so far, where the bound came first


@frozen(kw_only=True)
class Trouble:
    """Messages that did not go well in the same way, with the same Receiver."""

    trouble: str
    receiver: str
    count: int
    waiting: int  # of these: not settled yet
    refused: int
    unconfirmed: int
    first: int  # the numbers of the oldest and the newest
    last: int


@frozen(kw_only=True)
class KeptPart:
    """One part that is kept of a message, without its bytes."""

    part: str
    media_type: str
    headers: Mapping[str, str]  # as on the wire: not to be shown as they are
    size: int  # bytes, as they are kept


@frozen(kw_only=True)
class Whole:
    """One message with all that happened to it, and what is kept of it."""

    history: MessageHistory
    responds_to: str | None  # the Bundle that it answers
    reference: str | None  # the case number that we gave it
    focus_id: str | None  # what the Receiver calls the record
    kept: Sequence[KeptPart]


class Searches(Noun):
    """Messages by what people know of them."""

    @reads
    def page(self, connection: Connection, wanted: MessageFilter, below: int | None) -> Page:
        """Return the newest messages that fit, below that number."""
        return page(connection, wanted, below)

    @reads
    def message(self, connection: Connection, number: int) -> Whole | None:
        """Return the message of that number, or None."""
        return whole(connection, number)

    @reads
    def troubles(self, connection: Connection, since: datetime) -> list[Trouble]:
        """Return what did not go well since then, in groups, the largest first."""
        return troubles(connection, since)

    @reads
    def known(self, connection: Connection) -> Mapping[str, Sequence[str]]:
        """Return the counterparties, use cases and troubles that can be asked for."""
        return {
            name: [row["name"] for row in connection.rows(statement, limit=_KNOWN)]
            for name, statement in _NAMES.items()
        }


def page(connection: Connection, wanted: MessageFilter, below: int | None) -> Page:
    """Return the newest messages that fit, below that number."""
    values = asdict(wanted) | {"since": text(wanted.since), "before": text(wanted.before)}
    upper, lower = _bounds(connection, wanted, below)
    found: list[int] = []
    looked_at, reached = 0, upper
    for numbers in _candidates(connection, wanted, upper):
        room = PAGE + 1 - len(found)
        found += [
            row["id"]
            for row in connection.rows(
                "numbers_fitting",
                numbers=json.dumps([each for each in numbers if each >= lower]),
                **{**values, "below": upper, "limit": room},
            )
        ]
        looked_at, reached = looked_at + len(numbers), numbers[-1]
        if len(found) > PAGE or reached < lower or looked_at >= LOOKED_AT:
            break
    else:
        reached = lower  # there are no more
    return _page(connection, found, reached if reached > lower else None)


def _page(connection: Connection, found: Sequence[int], reached: int | None) -> Page:
    full = len(found) > PAGE
    rows = connection.rows("messages_numbered", numbers=json.dumps(found[:PAGE]))
    looked = None
    if not full and reached is not None:
        row = connection.one("message_numbered", id=reached)
        looked = instant(row["created_at"]) if row else None
    return Page(
        messages=[_found(connection, row) for row in rows],
        below=found[PAGE - 1] if full else reached,
        looked_back_to=looked,
    )


def _bounds(connection: Connection, wanted: MessageFilter, below: int | None) -> tuple[int, int]:
    """Return between which numbers all lie that fit: below the first, from the second on."""
    upper, lower = below or _NEWEST, 0
    if wanted.before is not None:
        values = {"before": text(wanted.before), "limit": _MIXED}
        row = connection.one("last_taken_before", **values)
        upper = min(upper, (row["id"] if row and row["id"] else 0) + 1)
    if wanted.since is not None:
        row = connection.one("first_taken_since", since=text(wanted.since), limit=_MIXED)
        lower = row["id"] if row and row["id"] else _NEWEST
    return upper, lower


def _candidates(connection: Connection, wanted: MessageFilter, below: int) -> Iterator[list[int]]:
    """Yield numbers of what may fit, newest first, by the narrowest index."""
    if wanted.named is not None:
        values = {"named": wanted.named, "number": _number(wanted.named), "limit": LOOKED_AT}
        found = [row["id"] for row in connection.rows("numbers_named", **values)]
        if found:
            yield found
        return
    statement, asked = _narrowest(wanted)
    while True:
        rows = connection.rows(statement, **asked, below=below, limit=_AT_ONCE)
        if not rows:
            return
        below = rows[-1]["id"]
        yield [row["id"] for row in rows]


def _number(named: str) -> int | None:
    """Return the number that this may be of a message; SQLite has none that are longer."""
    return int(named) if named.isdecimal() and len(named) <= _DIGITS else None


def _narrowest(wanted: MessageFilter) -> tuple[str, Mapping[str, object]]:
    """Return the statement that leaves least to look at, and its values."""
    inbound = wanted.state == RECEIVED or wanted.direction == "inbound"
    ways: Sequence[tuple[object, str, Mapping[str, object]]] = (
        (wanted.trouble, "numbers_in_trouble", {"trouble": wanted.trouble}),
        (wanted.fault, "numbers_at_fault", {"fault": wanted.fault}),
        (
            wanted.state and wanted.state not in _NEARLY_ALL,
            "numbers_in_state",
            {"of": "outbound", "state": wanted.state},
        ),
        (wanted.counterparty, "numbers_with", {"counterparty": wanted.counterparty}),
        (wanted.use_case, "numbers_of_use", {"use_case": wanted.use_case}),
        (inbound, "numbers_in_state", {"of": "inbound", "state": RECEIVED}),
    )
    return next(((name, values) for is_asked, name, values in ways if is_asked), ("numbers", {}))


def _found(connection: Connection, row: Row) -> FoundMessage:
    return FoundMessage(
        message=seen(connection, row),
        trouble=row["trouble"],
        fault=FaultSide(row["fault"]) if row["fault"] else None,
    )


def whole(connection: Connection, number: int) -> Whole | None:
    """Return the message of that number with all that happened to it, or None."""
    row = connection.one("message_numbered", id=number)
    if row is None:
        return None
    workflow = connection.one("workflow", id=row["workflow_id"])
    return Whole(
        history=history_of(connection, row),
        responds_to=row["responds_to"],
        reference=row["reference"],
        focus_id=workflow["focus_id"] if workflow else None,
        kept=[_kept(each) for each in connection.rows("kept_parts", message_id=number)],
    )


def _kept(row: Row) -> KeptPart:
    return KeptPart(
        part=row["part"],
        media_type=row["media_type"],
        headers=json.loads(row["headers"]),
        size=row["size"],
    )


def troubles(connection: Connection, since: datetime) -> list[Trouble]:
    """Return what did not go well since then, in groups, the largest first."""
    _, first = _bounds(connection, MessageFilter(since=since), None)
    return [
        Trouble(
            trouble=row["trouble"],
            receiver=row["receiver"],
            count=row["n"],
            **{name: row[name] for name in ("waiting", "refused", "unconfirmed", "first", "last")},
        )
        for row in connection.rows("troubles", first=first, limit=_GROUPS)
    ]
