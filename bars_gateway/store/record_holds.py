"""
Legal hold: what is kept from every purge, by whose word and why.

    X-Request-Id │ workflow │ number in quarantine ──hold──► kept for good ──release──► as ever

What is held is held whole: a workflow with all its messages, those included that come later. The
database itself refuses to let any of it go. Both acts are lines of the audit trail, and a hold that
was released stays to be seen. Nothing of a hold stops a message.

A booking is another workflow than the referral that it is linked to. A tidy-minded reader would
hold one with the other; but what is linked may be anything of years ago, and whoever answers for a
claim decides what belongs to it. So each hold tells what is linked to it, and whether that is held.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from bars_gateway.frozen import frozen
from bars_gateway.model.messages import Actor
from bars_gateway.model.retention import LinkedRecord, RecordHold
from bars_gateway.standard.workflow import RequestType, State
from bars_gateway.store.connection import Connection, Row
from bars_gateway.store.records import EventAbout, add_event
from bars_gateway.store.rows import instant, text
from bars_gateway.store.work import Noun, reads, writes


@frozen(kw_only=True)
class HeldThing:
    """What somebody names: one of these."""

    request_id: str | None = None
    message_id: int | None = None  # the number of a message
    workflow_id: int | None = None
    quarantine_id: int | None = None
    with_linked: bool = False  # and whatever its workflow is linked to


class RecordHolds(Noun):
    """What is kept from every purge."""

    @writes
    def hold_record(
        self,
        connection: Connection,
        provider: str,
        thing: HeldThing,
        actor: Actor,
        now: datetime,
    ) -> list[RecordHold]:
        """Keep all that *thing* names; return each, held now or before. None: nothing is named."""
        kept = [
            _held(connection, each) or _hold(connection, provider, each, actor, now)
            for each in _named(connection, provider, thing)
        ]
        return [_with_linked(connection, each) for each in kept]

    @writes
    def release_record(
        self,
        connection: Connection,
        provider: str,
        thing: HeldThing,
        actor: Actor,
        now: datetime,
    ) -> list[RecordHold]:
        """Keep it no more; return what was held until now."""
        held = [_held(connection, each) for each in _named(connection, provider, thing)]
        released = [_release(connection, each, actor, now) for each in held if each is not None]
        return [_with_linked(connection, each) for each in released]

    @reads
    def held(self, connection: Connection, provider: str, thing: HeldThing) -> list[RecordHold]:
        """Return which of what *thing* names is held, changing nothing."""
        found = [_held(connection, each) for each in _named(connection, provider, thing)]
        return [each for each in found if each is not None]

    @reads
    def named(self, connection: Connection, provider: str, thing: HeldThing) -> int:
        """Return how much of *provider*'s is named by *thing*, changing nothing."""
        return len(_named(connection, provider, thing))

    @reads
    def standing(self, connection: Connection, limit: int) -> list[RecordHold]:
        """Return all that is held, of all providers, oldest first."""
        return holds(connection, None, limit)


def holds(connection: Connection, provider: str | None, limit: int) -> list[RecordHold]:
    """Return all that is held, oldest first, and what is linked to each."""
    found = connection.rows("holds_standing", provider=provider, limit=limit)
    return [_with_linked(connection, _hold_of(row)) for row in found]


def hold_of_workflow(connection: Connection, workflow_id: int) -> RecordHold | None:
    """Return by whom and why a workflow is kept from every purge; None: it is not."""
    held = _held(connection, HeldThing(workflow_id=workflow_id))
    return None if held is None else _with_linked(connection, held)


def _with_linked(connection: Connection, held: RecordHold) -> RecordHold:
    if held.workflow_id is None:
        return held
    return replace(held, linked=_linked(connection, held.workflow_id))


def _linked(connection: Connection, workflow_id: int) -> list[LinkedRecord]:
    return [
        LinkedRecord(
            workflow_id=row["id"],
            request_type=RequestType(row["request_type"]),
            role=row["role"],
            state=State(row["state"]),
            is_held=bool(row["is_held"]),
        )
        for row in connection.rows("linked_with", id=workflow_id)
    ]


def _named(connection: Connection, provider: str, thing: HeldThing) -> Sequence[HeldThing]:
    """Return what is there of what *thing* names, by number."""
    found = _itself(connection, provider, thing)
    if not thing.with_linked:
        return found
    workflows = [each.workflow_id for each in found if each.workflow_id is not None]
    linked = [each.workflow_id for one in workflows for each in _linked(connection, one)]
    more = dict.fromkeys(each for each in linked if each not in workflows)
    return [*found, *(HeldThing(workflow_id=each) for each in more)]


def _itself(connection: Connection, provider: str, thing: HeldThing) -> Sequence[HeldThing]:
    if thing.workflow_id is not None:
        values = {"number": thing.workflow_id, "provider": provider}
        is_there = connection.one("workflow_to_hold", **values)
        return [HeldThing(workflow_id=thing.workflow_id)] if is_there else []
    if thing.quarantine_id is not None:
        values = {"id": thing.quarantine_id, "provider": provider}
        return [thing] if connection.one("quarantined", **values) else []
    if thing.message_id is not None:
        values = {"id": thing.message_id, "provider": provider}
        row = connection.one("workflow_of_numbered", **values)
        return [] if row is None else [HeldThing(workflow_id=row["id"])]
    called = {"name": thing.request_id, "provider": provider}
    workflows = connection.rows("workflows_called", **called)
    quarantined = connection.rows("quarantined_called", **called)
    return [
        *(HeldThing(workflow_id=row["id"]) for row in workflows),
        *(HeldThing(quarantine_id=row["id"]) for row in quarantined),
    ]


def _held(connection: Connection, thing: HeldThing) -> RecordHold | None:
    if thing.workflow_id is not None:
        row = connection.one("hold_of_workflow", id=thing.workflow_id)
    else:
        row = connection.one("hold_of_quarantined", id=thing.quarantine_id)
    return None if row is None else _hold_of(row)


def _hold(
    connection: Connection, provider: str, thing: HeldThing, actor: Actor, now: datetime
) -> RecordHold:
    number = connection.inserted(
        "hold_record",
        provider=provider,
        workflow_id=thing.workflow_id,
        quarantine_id=thing.quarantine_id,
        who=actor.who,
        why=actor.why,
        now=text(now),
    )
    return _told(connection, number, actor, "held_record", now)


def _release(connection: Connection, held: RecordHold, actor: Actor, now: datetime) -> RecordHold:
    values = {"who": actor.who, "why": actor.why, "now": text(now)}
    connection.put("release_record", id=held.number, **values)
    return _told(connection, held.number, actor, "released_record", now)


def _told(
    connection: Connection, number: int, actor: Actor, done: str, now: datetime
) -> RecordHold:
    """Return the hold of that number, with a line in the audit trail about what was *done*."""
    row = connection.one("record_hold", id=number)
    assert row is not None
    held = _hold_of(row)
    about = EventAbout(held.provider, *_first_of(connection, held))
    known = {"workflow": held.workflow_id, "quarantine": held.quarantine_id}
    detail = {
        "who": actor.who,
        "why": actor.why,
        "hold": number,
        **{name: value for name, value in known.items() if value is not None},
    }
    add_event(connection, about, f"{actor.role}.{done}", now, detail)
    return held


def _first_of(connection: Connection, held: RecordHold) -> tuple[int | None, str | None]:
    """Return number and X-Request-Id of the message that began what is held."""
    if held.workflow_id is None:
        values = {"id": held.quarantine_id, "provider": held.provider}
        row = connection.one("quarantined", **values)
        return None, row["request_id"] if row else None
    row = connection.one("request_of", id=held.workflow_id)
    return (row["id"], row["request_id"]) if row else (None, None)


def _hold_of(row: Row) -> RecordHold:
    return RecordHold(
        number=row["id"],
        provider=row["provider"],
        workflow_id=row["workflow_id"],
        quarantine_id=row["quarantine_id"],
        held_at=instant(row["held_at"]),
        held_by=row["held_by"],
        why=row["why"],
        released_at=instant(row["released_at"]),
        released_by=row["released_by"],
        released_why=row["released_why"],
    )
