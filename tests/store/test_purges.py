"""What leaves for its age, and what never does."""

import asyncio
import itertools
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from own_words import said, say
from store_values import NOW, OURS, THEIRS, arrival, attempt, claim_next, owed, payload, submission

from bars_gateway.errors import RowRefused
from bars_gateway.model.messages import Actor, OutboundState, Received, Repeated, Settled
from bars_gateway.model.retention import (
    START,
    Certificate,
    RecordClass,
    RetentionRule,
    RetentionRules,
    digest_after,
    spans,
)
from bars_gateway.model.standing_alarms import Chosen
from bars_gateway.standard.guards import SENT_BEFORE, MoveRefused
from bars_gateway.standard.verdict import ProxyAnswer
from bars_gateway.standard.workflow import Move
from bars_gateway.store.connection import Connection, Database
from bars_gateway.store.purges import (
    flaws_of,
    is_restored_since,
    is_told,
    left_of,
    names_of,
    prospects,
)
from bars_gateway.store.record_holds import HeldThing
from bars_gateway.store.sqlite import SqliteConnection
from bars_gateway.store.sqlite.backup import back_up
from bars_gateway.store.sqlite.compaction import compacted
from bars_gateway.store.sqlite.database import SqliteDatabase, open_database
from bars_gateway.store.sqlite.integrity import examine, reading
from bars_gateway.store.sqlite.restore import DatabaseCondition, restore
from bars_gateway.store.sqlite.space import gives_back
from bars_gateway.store.store import Store
from bars_gateway.upkeep.purging import Purging

DAYS = {
    RecordClass.PAYLOADS: 30,
    RecordClass.ANSWERS: 30,
    RecordClass.MESSAGES: 730,
    RecordClass.CONVERSATIONS: 730,
    RecordClass.QUARANTINE: 90,
    RecordClass.INBOX: 0,
    RecordClass.REFUSALS: 730,
    RecordClass.ALARMS: 730,
}
RULES = RetentionRules([RetentionRule(record_class=of, days=days) for of, days in DAYS.items()])
JO = Actor(role="operator", who="jo", why="IG-7")
MONTHS, YEARS = NOW + timedelta(days=40), NOW + timedelta(days=800)


async def purged(store: Store, now: datetime, rules: RetentionRules = RULES) -> Certificate:
    """Carry out a purge of everything, as fast as it can."""
    purging = Purging(
        store.purges,
        {},
        now=lambda: now,
        monotonic=itertools.count().__next__,
        stopping=asyncio.Event(),
        rests=0.0,
    )
    ended = await purging.carry_out(await store.purges.begin_purge(None, JO, rules, now))
    assert ended is not None
    found = await store.purges.certificate(ended.purge.number)
    assert found is not None
    return found


async def collected(store: Store) -> None:
    notices = await store.notices.pending("trust", 100)
    await store.notices.collect("trust", [each.notice_id for each in notices], NOW)


async def came(store: Store, **changes: object) -> Received:
    """Take a referral that asks for no answer, and that the EPR has."""
    message = arrival(**changes)
    taken = await store.inbound.receive(message, NOW)
    assert isinstance(taken, Received)
    await collected(store)
    return taken


async def sent(store: Store, **changes: object) -> Any:
    """Send a referral that is acknowledged, and whose outcome the EPR has."""
    accepted = await store.outbound.submit(submission(**changes), NOW)
    claim = await claim_next(store, NOW, ["trust"])
    assert claim is not None
    answer = ProxyAnswer(status=200, media_type="application/fhir+json", body=b"{}")
    settled = Settled(state=OutboundState.ACKNOWLEDGED, focus_id="theirs")
    await store.outbound.settle(claim, answer, attempt=attempt(claim), settlement=settled)
    await collected(store)
    return accepted


async def counts(database: Database) -> dict[str, int]:
    tables = ("payloads", "messages", "workflows", "notices", "attempts", "ledger", "quarantine")
    each = (f"SELECT '{table}' AS of, count(*) AS n FROM {table}" for table in tables)
    return dict(await said(database, " UNION ALL ".join(each)))


async def test_bytes_leave_first_and_what_is_known_of_them_stays(
    store: Store, database: Database
) -> None:
    """After a month nobody reads them here; that they came is known for two years."""
    await came(store)
    shown = await purged(store, MONTHS)

    assert {"payloads": 1, "answers": 1} == {
        each.record_class: each.count for each in shown.classes if each.count
    }
    left = await counts(database)
    assert (0, 1, 1, 1) == tuple(
        left[table] for table in ("payloads", "messages", "workflows", "notices")
    )


async def test_all_of_it_leaves_in_the_end(store: Store, database: Database) -> None:
    """But for what tells a repetition from something new."""
    await came(store)
    await sent(store)
    await purged(store, YEARS)

    assert {
        "payloads": 0,
        "messages": 0,
        "workflows": 0,
        "notices": 0,
        "attempts": 0,
        "ledger": 1,
        "quarantine": 0,
    } == await counts(database)


async def test_what_is_young_stays(store: Store, database: Database) -> None:
    """A day before its time nothing leaves."""
    await came(store)
    before = await counts(database)
    await purged(store, NOW + timedelta(days=29))

    assert before == await counts(database)


async def test_an_update_makes_its_conversation_young(store: Store, database: Database) -> None:
    """The request stays with its bytes: the patient of a later change is compared with it."""
    taken = await came(store)
    moved = "UPDATE messages SET created_at = ?, settled_at = ? WHERE id = ?"
    at = (NOW + timedelta(days=20)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    await said(database, moved, at, at, taken.message_id)
    shown = await purged(store, MONTHS)

    assert 0 == shown.count


async def test_what_came_while_the_clock_was_behind_is_young(
    store: Store, database: Database
) -> None:
    """By its stamp it is old enough already; but it came after what is not."""
    young = arrival()
    await store.inbound.receive(young, NOW + timedelta(days=39))
    await came(store)
    before = await counts(database)
    await purged(store, MONTHS)
    early = await counts(database)
    await purged(store, MONTHS + timedelta(days=39))

    assert before == early
    assert 0 == (await counts(database))["payloads"]


async def holds(store: Store, _database: Database) -> None:
    taken = await came(store)
    await store.record_holds.hold_record("trust", HeldThing(workflow_id=taken.workflow_id), JO, NOW)


async def owes(store: Store, _database: Database) -> None:
    await came(store, owed=owed(NOW + timedelta(hours=1)))


async def waits(store: Store, _database: Database) -> None:
    await store.outbound.submit(submission(), NOW)


async def uncollected(store: Store, _database: Database) -> None:
    await store.inbound.receive(arrival(), NOW)


async def alarmed(store: Store, database: Database) -> None:
    taken = await came(store)
    event = "INSERT INTO events (at, provider, kind, message_id) VALUES (?, 'trust', ?, ?)"
    await said(database, event, "2026-03-02T09:00:00.000Z", "patient.other", taken.message_id)


async def unclear(store: Store, database: Database) -> None:
    taken = await came(store)
    unclear_ = "UPDATE workflows SET state = 'unclear' WHERE id = ?"
    await said(database, unclear_, taken.workflow_id)


async def quarantined(store: Store, _database: Database) -> None:
    taken = arrival()
    await store.inbound.receive(taken, NOW)
    await collected(store)
    orphan = arrival(move=Move.CONCLUDE, responds_to="nothing", correlation_id=taken.correlation_id)
    await store.responses.respond(orphan, payload(), NOW)


async def linked(store: Store, database: Database) -> None:
    first, second = await came(store), await came(store)
    open_ = "UPDATE workflows SET state = 'in_progress' WHERE id = ?"
    link = "INSERT INTO links VALUES (?, ?, 'pair', 'Appointment.basedOn', ?, 'now')"
    ids = [second.workflow_id, first.workflow_id, second.message_id]
    await said(database, open_, *ids[:1])
    await said(database, link, *ids)


KEPT: dict[str, Callable[..., Any]] = {
    "held": holds,
    "open": owes,
    "unsettled": waits,
    "uncollected": uncollected,
    "alarmed": alarmed,
    "unclear": unclear,
    "quarantined": quarantined,
    "linked": linked,
}


@pytest.mark.parametrize("why", sorted(KEPT))
async def test_what_somebody_may_need_stays_however_old(
    store: Store, database: Database, why: str
) -> None:
    """Open, owed, alarming, held, or near what is: its age is no matter."""
    await KEPT[why](store, database)
    before = await counts(database)
    await purged(store, YEARS)

    assert before == await counts(database)


TABLES = ("payloads", "messages", "workflows", "notices", "attempts", "ledger")


@pytest.mark.parametrize("table", TABLES)
async def test_a_delete_at_a_prompt_is_refused(
    store: Store, database: Database, table: str
) -> None:
    """By the database itself, whoever asks, and for what is long over as well."""
    await came(store)
    await sent(store)
    with pytest.raises(RowRefused):
        await said(database, f"DELETE FROM {table}")


@pytest.mark.parametrize("why", sorted(KEPT))
async def test_even_a_purge_cannot_delete_what_is_kept(
    store: Store, database: Database, why: str
) -> None:
    """A mistake in what is judged takes nothing with it."""
    await KEPT[why](store, database)
    begun = await store.purges.begin_purge(None, JO, RULES, YEARS)
    with pytest.raises(RowRefused, match="what is open, owed or held stays"):
        await database.write(partial(removing, begun.number, "payloads"))


async def test_even_a_purge_cannot_delete_attempts_at_what_is_held(
    store: Store, database: Database
) -> None:
    """By what was tried, and when, a claim is judged."""
    accepted = await sent(store)
    thing = HeldThing(request_id=accepted.request_id)
    await store.record_holds.hold_record("trust", thing, JO, NOW)
    begun = await store.purges.begin_purge(None, JO, RULES, YEARS)
    with pytest.raises(RowRefused, match="what is open, owed or held stays"):
        await database.write(partial(removing, begun.number, "attempts"))


def removing(number: int, table: str, connection: Connection) -> None:
    """Delete all of a table as a purge would."""
    say(connection, "UPDATE purges SET removing = 1 WHERE id = ?", [number])
    say(connection, f"DELETE FROM {table}")


async def test_a_repetition_after_years_is_a_duplicate(store: Store) -> None:
    """Its Sender is told so, though nobody knows any more what was answered."""
    message = arrival()
    await store.inbound.receive(message, NOW)
    await collected(store)
    await purged(store, YEARS)
    fate = await store.inbound.receive(message, YEARS)

    assert Repeated(reference=None) == fate


async def test_the_same_bytes_are_not_sent_anew_after_years(store: Store) -> None:
    """Whoever means it builds it again: the Receiver has had these."""
    body = b"the same"
    await sent(store, body=body)
    await purged(store, YEARS)
    with pytest.raises(MoveRefused) as refused:
        await store.outbound.submit(submission(body=body), YEARS)

    assert (SENT_BEFORE,) == tuple(refused.value.issues)


async def test_figures_are_right_after_it(store: Store) -> None:
    """What is counted as it comes is counted as it leaves."""
    await came(store)
    await sent(store)
    before = await store.overview(NOW)
    await came(store)
    await purged(store, YEARS)
    await came(store)
    after = await store.overview(YEARS)

    assert (1, 1) == (before.inbound, after.inbound)
    assert 0 == sum(after.outbound.values())


async def test_a_use_case_and_a_provider_have_times_of_their_own(store: Store) -> None:
    """The most particular rule holds."""
    own = RetentionRule(record_class=RecordClass.PAYLOADS, days=0, provider="trust", use_case="a3")
    await came(store)
    await came(store, use_case="a4t1")
    shown = await purged(store, MONTHS, RetentionRules([*RULES.rules, own]))
    (payloads,) = [each for each in shown.classes if each.record_class is RecordClass.PAYLOADS]

    assert {"all: 30 days": 1} == payloads.by_rule


async def test_a_look_removes_nothing(store: Store, database: Database) -> None:
    """It says what would leave, and what is old enough and stays, and why."""
    await came(store)
    await owes(store, database)
    before = await counts(database)
    found = {
        each.record_class: (dict(each.by_rule), dict(each.kept))
        for each in await database.read(
            lambda connection: prospects(connection, RULES, MONTHS, None)
        )
    }

    assert ({"all: 30 days": 1}, {"open": 1}) == found[RecordClass.PAYLOADS]
    assert before == await counts(database)


FORGED = {
    "who": "UPDATE purges SET began_by = 'somebody else'",
    "why": "UPDATE purges SET why = 'another reason'",
    "when": "UPDATE purges SET began_at = '2026-03-02T09:00:00.000Z'",
    "up to": "UPDATE purges SET counts_to = '2026-03-02T09:00:00.000Z'",
    "of whom": "UPDATE purges SET provider = 'trust'",
    "the rules": "UPDATE purges SET rules = replace(rules, '30', '3000')",
    "by which rule": "UPDATE purged_classes SET by_rule = replace(by_rule, '30', '3000')",
    "the hashes": "UPDATE purged_classes SET digest = replace(digest, '1', '2')",
}


@pytest.mark.parametrize("what", sorted(FORGED))
async def test_a_certificate_that_was_changed_is_told_of(
    store: Store, database: Database, what: str
) -> None:
    """The audit trail has each of these, and cannot be changed without that being seen."""
    await came(store)
    number = (await purged(store, YEARS)).purge.number
    before = await flaws(store, database, number)
    await said(database, FORGED[what])
    after = await flaws(store, database, number)

    assert ([], ["the audit trail says otherwise, or nothing"]) == (before, after)


async def flaws(store: Store, database: Database, number: int) -> list[str]:
    shown = await store.purges.certificate(number)
    assert shown is not None
    return await database.read(lambda connection: flaws_of(connection, shown))


@pytest.mark.of_sqlite
async def test_the_certificate_is_proved_by_a_backup(
    store: Store, database: SqliteDatabase, tmp_path: Path
) -> None:
    """Every id that left is in it, in the order of the hash; and nothing of it is left here."""
    await came(store)
    await sent(store)
    await asyncio.to_thread(back_up, database.path, tmp_path / "copy.db")
    shown = await purged(store, YEARS)
    with reading(tmp_path / "copy.db") as copy:
        proved = [
            each.digest
            == digest_after(
                START,
                (
                    f"{number} {name}"
                    for number, name in names_of(SqliteConnection(copy), shown, each.record_class)
                ),
            )
            for each in shown.classes
        ]

    assert [True] * 7 == proved
    assert {} == await database.read(lambda connection: left_of(connection, shown))
    assert await database.read(lambda connection: is_told(connection, shown))


@pytest.mark.of_sqlite
async def test_what_comes_back_by_a_restore_is_noticed(
    tmp_path: Path, store: Store, database: SqliteDatabase
) -> None:
    """The certificate says what is to be here no more."""
    await came(store)
    shown = await purged(store, MONTHS)
    again = "INSERT INTO payloads VALUES (1, 'request', 'a', '{}', 'identity', x'00', 'd')"
    await database.write(lambda c: c.raw.execute(again).rowcount)

    assert {RecordClass.PAYLOADS: 1} == await database.read(
        lambda connection: left_of(connection, shown)
    )


async def test_a_database_that_was_purged_is_whole(tmp_path: Path) -> None:
    """For `verify`; and for a restore: what was purged since the backup was not lost."""
    path, copy = tmp_path / "gateway.db", tmp_path / "copy.db"
    async with open_database(path) as database:
        store = Store(database, node="here")
        await came(store)
        await sent(store)
        await asyncio.to_thread(back_up, path, copy)
        await purged(store, YEARS)
    found = examine(path)
    restored = restore(copy, path, YEARS, older=True)

    assert [] == list(found.problems)
    assert DatabaseCondition.WHOLE is restored.condition


async def test_purged_bytes_are_nowhere_in_the_file(tmp_path: Path) -> None:
    """They are overwritten, and not only unlinked; the log is moved, and begins again."""
    path = tmp_path / "gateway.db"
    planted = b"9000000009 was here"
    async with open_database(path) as database:
        store = Store(database, node="here")
        await came(store, request=payload(planted))
        await purged(store, YEARS)
    files = [path, *path.parent.glob("gateway.db-*")]

    assert not any(planted in file.read_bytes() for file in files)


async def test_space_goes_back_to_the_disk(tmp_path: Path) -> None:
    """The file is smaller afterwards, by about what the bytes took."""
    path = tmp_path / "gateway.db"
    async with open_database(path) as database:
        store = Store(database, node="here")
        for _ in range(10):
            await came(store, request=payload(os.urandom(50_000)))
    full = path.stat().st_size
    async with open_database(path) as database:
        store = Store(database, node="here")
        await purged(store, MONTHS)
        while (await store.purges.give_back(50))[0]:
            pass
    small = path.stat().st_size

    assert full - small > 400_000


async def test_one_purge_goes_on_at_a_time(store: Store) -> None:
    """Whoever begins another is told of the one that is there."""
    first = await store.purges.begin_purge(None, JO, RULES, NOW)
    second = await store.purges.begin_purge("trust", replace(JO, why="other"), RULES, NOW)

    assert first == second


async def test_a_hold_ends_with_a_reason(store: Store, database: Database) -> None:
    """Then it leaves in its time; and both acts are in the audit trail."""
    message = arrival()
    await store.inbound.receive(message, NOW)
    await collected(store)
    thing = HeldThing(request_id=message.request_id)
    await store.record_holds.hold_record("trust", thing, JO, NOW)
    held = await purged(store, YEARS)
    (released,) = await store.record_holds.release_record("trust", thing, JO, NOW)
    gone = await purged(store, YEARS)
    kinds = await said(database, "SELECT kind FROM events WHERE kind LIKE '%_record' ORDER BY id")

    assert 0 == held.count
    assert gone.count > 0
    assert "IG-7" == released.released_why
    assert [("operator.held_record",), ("operator.released_record",)] == kinds


async def test_what_lay_in_quarantine_leaves_once_somebody_has_seen_to_it(
    store: Store, database: Database
) -> None:
    """Until then it stays, however old."""
    orphan = arrival(move=Move.CONCLUDE, responds_to="nothing", sender=THEIRS, receiver=OURS)
    await store.responses.respond(orphan, payload(), NOW)
    before = await purged(store, YEARS)
    (alarm,) = await store.alarms.standing("trust", 10)
    chosen = Chosen(numbers=(alarm.number,))
    await store.alarms.handle("trust", chosen, JO, NOW, dry_run=False, at_once=10)
    await purged(store, YEARS)

    assert 0 == before.count
    assert 0 == (await counts(database))["quarantine"]


@pytest.mark.parametrize("by", ["X-Correlation-Id", "Bundle.id"])
async def test_what_may_belong_to_a_conversation_that_is_held_stays_in_quarantine(
    store: Store, database: Database, by: str
) -> None:
    """Whoever holds a conversation holds what was said in it, and what is told of that."""
    taken = arrival()
    await store.inbound.receive(taken, NOW)
    await collected(store)
    same = {"X-Correlation-Id": {"correlation_id": taken.correlation_id}}
    names = same.get(by, {}) | {"responds_to": taken.bundle_id if by == "Bundle.id" else "nothing"}
    orphan = arrival(move=Move.CONCLUDE, **names)
    await store.responses.respond(orphan, payload(), NOW)
    (alarm,) = await store.alarms.standing("trust", 10)
    chosen = Chosen(numbers=(alarm.number,))
    await store.alarms.handle("trust", chosen, JO, NOW, dry_run=False, at_once=10)
    thing = HeldThing(request_id=taken.request_id)
    await store.record_holds.hold_record("trust", thing, JO, NOW)
    held = await purged(store, YEARS)
    there = (
        (await counts(database))["quarantine"],
        len(await said(database, "SELECT id FROM alarms")),
    )
    await store.record_holds.release_record("trust", thing, JO, NOW)
    await purged(store, YEARS)

    assert (0, (1, 1)) == (held.count, there)
    assert 0 == (await counts(database))["quarantine"]


def test_numbers_that_follow_each_other_are_one_span() -> None:
    """A certificate of a hundred thousand is a line, and not a book."""
    assert [(1, 3), (5, 5)] == spans([1, 2, 3, 5])


async def test_a_restore_takes_over_holds_and_certificates(tmp_path: Path) -> None:
    """What somebody held since the backup is held; what was purged since has its certificate."""
    path, copy = tmp_path / "gateway.db", tmp_path / "copy.db"
    async with open_database(path) as database:
        store = Store(database, node="here")
        taken = await came(store)
        await came(store)
        await asyncio.to_thread(back_up, path, copy)
        thing = HeldThing(workflow_id=taken.workflow_id)
        await store.record_holds.hold_record("trust", thing, JO, NOW)
        await purged(store, MONTHS)
    restore(copy, path, MONTHS, older=True)
    async with open_database(path) as database:
        store = Store(database, node="here")
        (held,) = await store.record_holds.standing(10)
        shown = await store.purges.certificate(1)
        assert shown is not None
        back = await database.read(lambda connection: left_of(connection, shown))
        told = await database.read(lambda connection: is_told(connection, shown))
        aside = await database.read(lambda connection: is_restored_since(connection, shown))
        again = await purged(store, MONTHS)

    assert (taken.workflow_id, "IG-7") == (held.workflow_id, held.why)
    assert {RecordClass.PAYLOADS: 1, RecordClass.ANSWERS: 1} == back
    assert (False, True) == (told, aside)  # the line that told of it was put aside
    assert 2 == again.count


async def test_a_file_that_keeps_its_empty_pages_is_made_one_that_does_not(tmp_path: Path) -> None:
    """It was made by another program, or an earlier release: written again, it gives them back."""
    path = tmp_path / "gateway.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA auto_vacuum = NONE")
        connection.execute("CREATE TABLE other (x)")  # the mode is the file's from now on
    async with open_database(path) as database:
        before = await database.read(lambda connection: gives_back(connection.raw))
    compacted(path)
    async with open_database(path) as database:
        after = await database.read(lambda connection: gives_back(connection.raw))

    assert (False, True) == (before, after)
