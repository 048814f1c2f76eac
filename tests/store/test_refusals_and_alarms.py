"""What was refused is remembered for a time, and so is an alarm that has ended."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from own_words import said, say
from store.test_purges import (
    JO,
    RULES,
    YEARS,
    collected,
    counts,
    purged,
    quarantined,
    removing,
)
from store_values import NOW, TERMS, arrival, decision, refusal

from bars_gateway.errors import RowRefused
from bars_gateway.model.messages import Arrival, Received, RefusedBefore
from bars_gateway.model.questions import QuestionOpen
from bars_gateway.model.retention import Certificate, RecordClass
from bars_gateway.store.connection import Database
from bars_gateway.store.record_holds import HeldThing
from bars_gateway.store.store import Store

DAY = timedelta(days=1)


def removed(shown: Certificate, of: RecordClass) -> int:
    return next((each.count for each in shown.classes if each.record_class is of), 0)


async def refused(store: Store) -> Arrival:
    message = arrival()
    await store.inbound.refuse(refusal(message), NOW)
    return message


async def said_no(store: Store, **changes: Any) -> Arrival:
    """Ask the EPR about a message, which it refuses."""
    message = arrival(**changes)
    store.questions.attend("trust", NOW)
    asked = await store.questions.ask_about(message, None, TERMS, NOW)
    assert isinstance(asked, QuestionOpen)
    no = decision(accepted=False, word="slot-taken", http_status=409)
    await store.questions.decide("trust", asked.question_id, no, NOW)
    return message


async def test_a_refusal_is_said_again_until_its_time_is_over(store: Store) -> None:
    """Then the same request is judged again: it was never taken."""
    message = await refused(store)
    before = await store.inbound.receive(message, NOW + 700 * DAY)
    shown = await purged(store, YEARS)
    after = await store.inbound.receive(message, YEARS)

    assert isinstance(before, RefusedBefore)
    assert 1 == removed(shown, RecordClass.REFUSALS)
    assert isinstance(after, Received)


async def test_what_the_epr_has_refused_leaves_with_the_question(
    store: Store, database: Database
) -> None:
    """Nothing of it is left but the lines of the audit trail."""
    await said_no(store)
    await purged(store, YEARS)
    ((questions,),) = await said(database, "SELECT count(*) AS n FROM questions")

    assert (0, 0) == (questions, (await counts(database))["ledger"])


async def held(store: Store, taken: Received, _database: Database) -> None:
    await store.record_holds.hold_record("trust", HeldThing(workflow_id=taken.workflow_id), JO, NOW)


async def open_(_store: Store, taken: Received, database: Database) -> None:
    await said(database, "UPDATE workflows SET state = 'unclear' WHERE id = ?", taken.workflow_id)


async def to_come(_store: Store, _taken: Received, database: Database) -> None:
    await said(database, "UPDATE messages SET appointment_until = '2029-01-01T00:00:00.000Z'")


@pytest.mark.parametrize("keep", [held, open_, to_come])
async def test_what_was_refused_stays_as_long_as_its_conversation(
    store: Store, database: Database, keep: Any
) -> None:
    """A cancellation that was refused tells why the booking stands."""
    taken = await store.inbound.receive(arrival(correlation_id="one"), NOW)
    assert isinstance(taken, Received)
    await collected(store)
    await said_no(store, correlation_id="one")
    await keep(store, taken, database)
    shown = await purged(store, YEARS)

    assert 0 == removed(shown, RecordClass.REFUSALS)


async def test_what_lies_in_quarantine_keeps_its_refusal(store: Store, database: Database) -> None:
    """Its Sender, who repeats it, is refused, and no second copy is kept."""
    await quarantined(store, database)
    shown = await purged(store, YEARS)

    assert 0 == removed(shown, RecordClass.REFUSALS)


async def test_the_number_of_a_refusal_is_given_once(store: Store, database: Database) -> None:
    """So that a certificate names nothing that came after it."""
    await refused(store)
    await purged(store, YEARS)
    await store.inbound.refuse(refusal(arrival()), YEARS)

    assert [(2,)] == await said(database, "SELECT refusal FROM ledger")


async def alarmed(database: Database, kind: str, *, ended: bool) -> None:
    put = "INSERT INTO events (at, provider, kind, detail) VALUES (?, 'trust', ?, ?)"
    await said(database, put, "2026-03-02T09:00:00.000Z", kind, '{"place": 1}')
    if ended:
        end = "UPDATE alarms SET ended_at = since, ended_how = 'settled' WHERE kind = ?"
        await said(database, end, kind)


@pytest.mark.parametrize(
    ("kind", "ended", "left"),
    [
        pytest.param("inbound.request_id_reused", True, 0, id="ended"),
        pytest.param("inbound.request_id_reused", False, 1, id="stands"),
        pytest.param("audit.broken", True, 1, id="told-of-once"),
    ],
)
async def test_an_alarm_leaves_once_it_has_ended_for_long(
    store: Store, database: Database, kind: str, left: int, *, ended: bool
) -> None:
    """What stands is never removed, nor is what would be raised again."""
    await alarmed(database, kind, ended=ended)
    await purged(store, YEARS)

    assert [(left,)] == await said(database, "SELECT count(*) AS n FROM alarms")


async def test_an_alarm_stays_with_what_is_held(store: Store, database: Database) -> None:
    """Who dealt with it, and why, belongs to the record."""
    taken = await store.inbound.receive(arrival(), NOW)
    assert isinstance(taken, Received)
    await collected(store)
    put = "INSERT INTO events (at, provider, kind, message_id) VALUES (?, 'trust', ?, ?)"
    await said(database, put, "2026-03-02T09:00:00.000Z", "patient.other", taken.message_id)
    await said(database, "UPDATE alarms SET ended_at = since, ended_how = 'settled'")
    await held(store, taken, database)
    shown = await purged(store, YEARS)

    assert 0 == shown.count


@pytest.mark.parametrize("ended", [True, False])
async def test_no_alarm_is_deleted_at_a_prompt(
    store: Store, database: Database, *, ended: bool
) -> None:
    """By the database itself; and by no purge while it stands."""
    await alarmed(database, "inbound.request_id_reused", ended=ended)
    begun = await store.purges.begin_purge(None, JO, RULES, YEARS)
    delete = partial(say, sql="DELETE FROM alarms")
    with pytest.raises(RowRefused):
        await database.write(delete if ended else partial(removing, begun.number, "alarms"))
