"""How old a record is: an appointment that is to come, and clocks that were wrong."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from own_words import said
from store.test_purges import (
    JO,
    MONTHS,
    RULES,
    YEARS,
    collected,
    counts,
    purged,
    quarantined,
    removing,
)
from store_values import NOW, TERMS, arrival, decision, submission

from bars_gateway.errors import RowRefused
from bars_gateway.model.messages import Received
from bars_gateway.model.retention import RecordClass, RetentionRule, RetentionRules
from bars_gateway.standard.workflow import RequestType
from bars_gateway.store.ages import SLACK, night_counts_to
from bars_gateway.store.connection import Database
from bars_gateway.store.purges import BY_ITSELF, prospects
from bars_gateway.store.store import Store

DAY = timedelta(days=1)
BOOKING = {"request_type": RequestType.BOOKING, "use_case": "a1t1"}
TO_COME = MONTHS + 20 * DAY
SHORT = RetentionRules(
    [
        RetentionRule(record_class=each, days=10)
        for each in (*RecordClass,)
        if each is not RecordClass.AUDIT
    ]
)


async def booked(store: Store, until: datetime | None, at: datetime = NOW, **changes: Any) -> Any:
    """Take a booking that the EPR has."""
    taken = await store.inbound.receive(
        arrival(appointment_until=until, **{**BOOKING, **changes}), at
    )
    assert isinstance(taken, Received)
    await collected(store)
    return taken


async def changed(store: Store, database: Database, workflow: int, until: datetime) -> int:
    """Let a message come in the workflow that names another time; return its number."""
    taken = await booked(store, until)
    await said(
        database, "UPDATE messages SET workflow_id = ? WHERE id = ?", workflow, taken.message_id
    )
    return int(taken.message_id)


async def test_nothing_of_an_appointment_to_come_leaves(store: Store, database: Database) -> None:
    """However short the times are that are set: who meets the patient may have to ask."""
    await booked(store, TO_COME)
    before = await counts(database)
    shown = await purged(store, TO_COME, SHORT)

    assert (0, before) == (shown.count, await counts(database))


async def test_its_time_counts_from_the_appointment(store: Store, database: Database) -> None:
    """Not from when it was booked, months before."""
    await booked(store, TO_COME)
    await purged(store, TO_COME + 29 * DAY)
    before = (await counts(database))["payloads"]
    await purged(store, TO_COME + 31 * DAY)

    assert (2, 0) == (before, (await counts(database))["payloads"])


@pytest.mark.parametrize("table", ["payloads", "messages", "notices", "workflows"])
async def test_the_database_itself_keeps_what_is_to_come(
    store: Store, database: Database, table: str
) -> None:
    """A mistake in what is judged takes nothing with it."""
    await booked(store, TO_COME)
    begun = await store.purges.begin_purge(None, JO, SHORT, TO_COME)
    with pytest.raises(RowRefused, match="what is open, owed or held stays"):
        await database.write(partial(removing, begun.number, table))


async def test_a_look_says_that_an_appointment_is_to_come(store: Store, database: Database) -> None:
    """Beside what would leave."""
    await booked(store, TO_COME)
    await booked(store, None)
    found = await database.read(lambda connection: prospects(connection, RULES, MONTHS, None))

    assert [({"all: 30 days": 1}, {"appointment": 1})] * 2 == [
        (dict(each.by_rule), dict(each.kept)) for each in found[:2]
    ]


@pytest.mark.parametrize(("days", "left"), [(45, 4), (-5, 0)])
async def test_a_later_message_moves_it(
    store: Store, database: Database, days: int, left: int
) -> None:
    """To a later time or an earlier one: the last word that has arrived holds."""
    taken = await booked(store, NOW + 20 * DAY)
    await changed(store, database, taken.workflow_id, NOW + days * DAY)
    await purged(store, MONTHS)

    assert left == (await counts(database))["payloads"]


async def test_what_may_not_have_arrived_moves_it_no_nearer(
    store: Store, database: Database
) -> None:
    """Nor does what names another patient: the later of the two times holds."""
    taken = await booked(store, NOW + 60 * DAY)
    other = await changed(store, database, taken.workflow_id, NOW + DAY)
    await said(database, "UPDATE messages SET patient = 'other' WHERE id = ?", other)
    await purged(store, MONTHS)

    assert 4 == (await counts(database))["payloads"]


async def test_what_a_booking_is_linked_to_stays_with_it(store: Store, database: Database) -> None:
    """The referral says what the appointment is for."""
    referral = await booked(store, None, request_type=RequestType.REFERRAL)
    booking = await booked(store, TO_COME)
    link = "INSERT INTO links VALUES (?, ?, 'pair', 'Appointment.basedOn', ?, 'now')"
    await said(database, link, booking.workflow_id, referral.workflow_id, booking.message_id)
    shown = await purged(store, MONTHS)

    assert (0, 4) == (shown.count, (await counts(database))["payloads"])


@pytest.mark.parametrize(("days", "left"), [(300, 2), (400, 0)])
async def test_a_booking_that_nobody_has_read_is_a_year_to_come(
    store: Store, database: Database, days: int, left: int
) -> None:
    """One that was stored before this was looked at, or is brought over from such a database."""
    taken = await booked(store, None)
    await said(
        database,
        "UPDATE messages SET appointment_until = 'unread' WHERE id = ?",
        taken.message_id,
    )
    await purged(store, NOW + days * DAY)

    assert left == (await counts(database))["payloads"]


async def test_a_referral_that_nobody_has_read_leaves_in_its_time(
    store: Store, database: Database
) -> None:
    """It books nothing."""
    taken = await booked(store, None, request_type=RequestType.REFERRAL)
    await said(
        database, "UPDATE messages SET appointment_until = 'unread' WHERE id = ?", taken.message_id
    )
    await purged(store, MONTHS)

    assert 0 == (await counts(database))["payloads"]


async def test_a_booking_of_ours_is_known_by_its_time(store: Store, database: Database) -> None:
    """It is stored with the message, in the same statement."""
    await store.outbound.submit(submission(appointment_until=TO_COME, **BOOKING), NOW)

    assert ["2026-05-01T09:00:00.000Z"] == await times(database)


async def test_a_booking_that_the_epr_is_asked_about_is_known_by_its_time(
    store: Store, database: Database
) -> None:
    """It was read when it came, and is taken once the EPR says yes."""
    store.questions.attend("trust", NOW)
    arrived = arrival(appointment_until=TO_COME, **BOOKING)
    await store.questions.ask_about(arrived, None, TERMS, NOW)
    (question,) = await store.questions.open_questions("trust", after=0, limit=5)
    await store.questions.decide("trust", question.question_id, decision(), NOW)

    assert ["2026-05-01T09:00:00.000Z"] == await times(database)


async def times(database: Database) -> list[str | None]:
    found = await said(database, "SELECT appointment_until FROM messages ORDER BY id")
    return [until for (until,) in found]


async def test_whatever_came_while_the_clock_was_behind_is_young(
    store: Store, database: Database
) -> None:
    """Of every class: it came after what is young."""
    young = YEARS - 5 * DAY
    await store.inbound.receive(arrival(), young)
    await collected(store)
    await quarantined(store, database)
    await said(database, "UPDATE alarms SET ended_at = since, ended_how = 'settled'")
    await said(database, "UPDATE quarantine SET created_at = ?", "2026-03-02T08:00:00.000Z")
    await said(
        database,
        "INSERT INTO quarantine SELECT 0, provider, 'before', correlation_id, bundle_id,"
        " responds_to, sender, receiver, reason, fingerprint, media_type, headers, encoding, body,"
        " ?, attached_to FROM quarantine",
        (young + DAY).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    )
    before = await counts(database)
    await purged(store, YEARS, SHORT)

    assert before == await counts(database)


async def test_what_came_while_the_clock_was_years_ahead_leaves_in_its_time(
    store: Store, database: Database
) -> None:
    """Its stamp is yet to come: what was written next tells when it was."""
    await booked(store, None, NOW + 4000 * DAY)
    await booked(store, None, NOW + DAY)
    await purged(store, NOW + 32 * DAY)

    assert 0 == (await counts(database))["payloads"]


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        pytest.param(BY_ITSELF, NOW + timedelta(hours=9, minutes=40), id="by-itself"),
        pytest.param(JO, NOW + 4 * DAY, id="a-person-who-has-looked-at-the-clock"),
    ],
)
async def test_ages_are_counted_as_far_as_the_gateway_has_lived(
    store: Store, who: Any, expected: datetime
) -> None:
    """A clock that is four days ahead takes nothing four days early."""
    await store.purges.begin_purge(None, JO, RULES, NOW)
    await ended(store)
    ahead = NOW + 4 * DAY
    await store.uptimes.note_up(
        timedelta(hours=8, minutes=40), NOW + timedelta(hours=8, minutes=40)
    )
    begun = await store.purges.begin_purge(None, who, RULES, ahead)

    assert (ahead, expected) == (begun.began_at, begun.counts_to)


async def test_a_gateway_that_was_up_counts_to_its_clock(store: Store) -> None:
    """A restart of minutes is no matter; nor is a clock that was set right by seconds."""
    await store.purges.begin_purge(None, BY_ITSELF, RULES, NOW)
    await ended(store)
    await store.uptimes.note_up(timedelta(hours=23, minutes=20), NOW + DAY)
    begun = await store.purges.begin_purge(None, BY_ITSELF, RULES, NOW + DAY)

    assert NOW + DAY == begun.counts_to


@pytest.mark.parametrize(("days", "expected"), [(7, True), (8, False)])
async def test_a_clock_that_leapt_by_a_week_is_doubted(
    store: Store, database: Database, days: int, *, expected: bool
) -> None:
    """A look tells to which moment a night would count, or that none begins."""
    await store.purges.begin_purge(None, JO, RULES, NOW)
    await ended(store)
    found = await database.read(partial(night_counts_to, now=NOW + days * DAY))

    assert (NOW + SLACK if expected else None) == found


async def test_a_look_tells_how_what_is_open_stands(store: Store, database: Database) -> None:
    """So that somebody ends it: until then it stays."""
    for state in ("unclear", "unclear", "in_progress"):
        taken = await booked(store, None)
        await said(
            database, "UPDATE workflows SET state = ? WHERE id = ?", state, taken.workflow_id
        )
    found = await database.read(lambda connection: prospects(connection, RULES, MONTHS, None))

    assert ({"open": 3}, {"unclear": 2, "in_progress": 1}) == (found[0].kept, found[0].open)


async def ended(store: Store) -> None:
    purge = await store.purges.unfinished()
    assert purge is not None
    await store.purges.end_purge(purge, purge.began_at)
