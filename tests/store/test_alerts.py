"""Alerts in the store: one for each condition, decided once, told at least once."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from store_values import NOW

from bars_gateway.model.alerts import (
    AlertStep,
    Channel,
    Condition,
    Delivery,
    StandingConditions,
    Telling,
)
from bars_gateway.model.messages import Actor
from bars_gateway.store.sqlite.backup import back_up
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.sqlite.restore import restore
from bars_gateway.store.store import Store

A_MINUTE, AN_HOUR = timedelta(minutes=1), timedelta(hours=1)
SILENT = Condition(
    code="receiver.silent", about="s|1", says="A Receiver does not answer", urgent=True
)
LATER = replace(SILENT, code="expiry.near", about="ours", says="It ends soon", urgent=False)
SEVERE = replace(SILENT, code="workflow.overdue", waits_for_maintenance=False)
TELLING = Telling(channels=[Channel.JOURNAL, Channel.MAIL], digest=AN_HOUR, remind=AN_HOUR)
JO = Actor(role="operator", who="jo", why="INC-7")


async def decided(
    store: Store, *conditions: Condition, at: datetime = NOW, telling: Telling = TELLING
) -> list[AlertStep]:
    return await store.alerts.review(StandingConditions(conditions=conditions), telling, at)


def steps(due: Sequence[Delivery]) -> list[tuple[str, str]]:
    return [(each.alert.code, each.step) for each in due]


async def test_a_condition_that_stands_is_opened_once(store: Store) -> None:
    """Whoever is woken is woken once, however often it is looked at, and however many wait."""
    done = [await decided(store, SILENT, at=NOW + n * A_MINUTE) for n in range(3)]

    assert [[AlertStep.OPENED], [], []] == done
    assert [("receiver.silent", "opened")] == steps(await store.alerts.due(Channel.MAIL, NOW))


async def test_numbers_that_are_reserved_are_nobody_elses(store: Store) -> None:
    """For an alert that is told from memory: none stands, and the next has a higher one."""
    first, second = [await store.alerts.reserve(NOW) for _ in range(2)]
    none = await store.alerts.standing()
    await decided(store, SILENT)
    (alert,) = await store.alerts.standing()

    assert [] == none
    assert first.alert < second.alert < alert.number
    assert {*first.deliveries.values()}.isdisjoint(second.deliveries.values())


async def test_two_receivers_are_two_alerts(store: Store) -> None:
    """A second that falls silent is news, although the first still is."""
    await decided(store, SILENT)
    await decided(store, SILENT, replace(SILENT, about="s|2"), at=NOW + A_MINUTE)

    assert 2 == len(await store.alerts.standing())


async def test_what_stands_no_more_is_resolved(store: Store) -> None:
    """The one who was woken hears that it is over; when it comes again, that is a new one."""
    await decided(store, SILENT)
    await decided(store, at=NOW + A_MINUTE)
    await decided(store, SILENT, at=NOW + 2 * A_MINUTE)
    due = await store.alerts.due(Channel.MAIL, NOW + AN_HOUR)

    assert ["opened", "resolved", "opened"] == [each.step for each in due]
    assert [1, 1, 2] == [each.alert.number for each in due]


async def test_a_restart_neither_forgets_nor_repeats(tmp_path: Path) -> None:
    """What was decided is told, and what was told is not told again."""
    async with open_database(tmp_path / "gateway.db") as database:
        store = Store(database, node="here")
        await decided(store, SILENT)
        (one,) = await store.alerts.due(Channel.JOURNAL, NOW)
        await store.alerts.delivered([one.delivery_id], NOW)
    async with open_database(tmp_path / "gateway.db") as database:
        store = Store(database, node="here")
        again = await decided(store, SILENT, at=NOW + A_MINUTE)
        left = [await store.alerts.due(channel, NOW + AN_HOUR) for channel in TELLING.channels]

    assert [] == again
    assert [[], [("receiver.silent", "opened")]] == [steps(each) for each in left]


async def test_what_may_still_be_so_after_a_restart_is_not_resolved(store: Store) -> None:
    """Who did not answer before it has not answered since: nobody has asked yet."""
    kept = replace(SILENT, kept_by="s|1")
    await decided(store, kept)
    unknown = StandingConditions(conditions=[], unknown=frozenset({"s|1"}))
    young = StandingConditions(conditions=[], may_end=frozenset({"workflow.overdue"}))
    done = [
        await store.alerts.review(found, TELLING, NOW + A_MINUTE)
        for found in (unknown, young, StandingConditions(conditions=[]))
    ]

    assert [[], [], [AlertStep.RESOLVED]] == done


async def test_what_only_keeps_opens_nothing(store: Store) -> None:
    """A message that waits for a silent Receiver is no alert of its own; nor is what is brief."""
    brief = replace(SILENT, opens=False)

    assert [] == await decided(store, brief)
    assert [AlertStep.OPENED] == await decided(store, SILENT)
    assert [] == await decided(store, brief)


async def test_what_is_urgent_is_told_again_until_somebody_sees_to_it(store: Store) -> None:
    """A mail that nobody read is no excuse; one that was read is not sent twice."""
    await decided(store, SILENT)
    reminded = await decided(store, SILENT, at=NOW + AN_HOUR)
    await store.alerts.acknowledge(1, JO, NOW + AN_HOUR)
    quiet = await decided(store, SILENT, at=NOW + 5 * AN_HOUR)
    (alert,) = await store.alerts.standing()

    assert ([AlertStep.REMINDED], []) == (reminded, quiet)
    assert ("acknowledged", "jo") == (alert.state, alert.acknowledged_by)


async def test_what_grows_worse_is_news_again(store: Store) -> None:
    """Somebody sees to the first overdue answer: of the next nobody has said so."""
    await decided(store, SEVERE)
    await store.alerts.acknowledge(1, JO, NOW)
    worse = replace(SEVERE, mark=7, says="Overdue: 2 answers owed to us")
    soon = await decided(store, worse, at=NOW + A_MINUTE)
    later = await decided(store, worse, at=NOW + AN_HOUR)
    (alert,) = await store.alerts.standing()

    assert ([], [AlertStep.REMINDED]) == (soon, later)
    assert ("open", "Overdue: 2 answers owed to us") == (alert.state, alert.says)


async def test_what_is_not_urgent_is_told_again_only_where_it_grows_worse(store: Store) -> None:
    """A certificate that ends in a month is told at each stage, and not each hour."""
    await decided(store, LATER)
    same = await decided(store, LATER, at=NOW + 2 * AN_HOUR)
    nearer = await decided(store, replace(LATER, mark=3), at=NOW + 3 * AN_HOUR)

    assert ([], [AlertStep.REMINDED]) == (same, nearer)


async def test_what_is_not_urgent_waits_for_the_digest(store: Store) -> None:
    """It is told together with what else came; the log has it at once."""
    await decided(store, LATER)
    at = (NOW, NOW + AN_HOUR)
    mail = [steps(await store.alerts.due(Channel.MAIL, moment)) for moment in at]

    assert [[], [("expiry.near", "opened")]] == mail
    assert [("expiry.near", "opened")] == steps(await store.alerts.due(Channel.JOURNAL, NOW))


async def test_what_is_over_before_the_digest_is_told_to_nobody(store: Store) -> None:
    """A digest of what came and went is not read a second time."""
    await decided(store, LATER)
    await decided(store, at=NOW + A_MINUTE)

    assert [] == await store.alerts.due(Channel.MAIL, NOW + 9 * AN_HOUR)
    assert 2 == len(await store.alerts.due(Channel.JOURNAL, NOW + AN_HOUR))


async def test_maintenance_holds_back_what_is_no_patients(store: Store) -> None:
    """Planned work wakes nobody; what stands at its end, and what may touch a patient, does."""
    window = (NOW - AN_HOUR, NOW + 2 * AN_HOUR)
    telling = replace(TELLING, maintenance=window)
    await decided(store, SILENT, SEVERE, telling=telling)
    during = steps(await store.alerts.due(Channel.MAIL, NOW + AN_HOUR))
    after = steps(await store.alerts.due(Channel.MAIL, NOW + 2 * AN_HOUR))

    assert [("workflow.overdue", "opened")] == during
    assert {("workflow.overdue", "opened"), ("receiver.silent", "opened")} == set(after)


async def test_a_way_that_fails_is_tried_again_and_keeps_no_other_waiting(store: Store) -> None:
    """A mail server that is away delays the mail alone."""
    await decided(store, SILENT)
    (mail,) = await store.alerts.due(Channel.MAIL, NOW)
    await store.alerts.not_delivered([mail.delivery_id], NOW + A_MINUTE)
    (again,) = await store.alerts.due(Channel.MAIL, NOW + A_MINUTE)

    assert [] == await store.alerts.due(Channel.MAIL, NOW)
    assert (mail.delivery_id, 1) == (again.delivery_id, again.attempts)
    assert 1 == len(await store.alerts.due(Channel.JOURNAL, NOW))


async def test_nobody_hears_that_it_is_over_before_that_it_began(store: Store) -> None:
    """What could not be told keeps its place: the end waits for the beginning."""
    await decided(store, SILENT)
    (mail,) = await store.alerts.due(Channel.MAIL, NOW)
    await store.alerts.not_delivered([mail.delivery_id], NOW + 9 * A_MINUTE)
    await decided(store, at=NOW + A_MINUTE)
    due = [await store.alerts.due(Channel.MAIL, NOW + n * A_MINUTE) for n in (2, 9)]

    assert [[], ["opened", "resolved"]] == [[each.step for each in some] for some in due]


async def test_a_way_that_there_is_no_more_is_forgotten(store: Store) -> None:
    """Whoever sets it again is not told of last year."""
    await decided(store, SILENT)
    await store.alerts.forget_others([Channel.JOURNAL])

    assert [] == await store.alerts.due(Channel.MAIL, NOW)
    assert 1 == len(await store.alerts.due(Channel.JOURNAL, NOW))


async def test_what_is_resolved_cannot_be_acknowledged(store: Store) -> None:
    """Nobody sees to what is over."""
    await decided(store, SILENT)
    await decided(store, at=NOW + A_MINUTE)

    assert None is await store.alerts.acknowledge(1, JO, NOW)


async def rows(store: Store) -> list[tuple[int, str]]:
    """Return what the store keeps of each telling: of which alert, and by which way."""
    query = "SELECT alert_id, channel FROM deliveries ORDER BY id"
    return await store._database.read(lambda c: [tuple(row) for row in c.raw.execute(query)])


async def told(store: Store, at: datetime) -> None:
    """Tell all that is due, by each way."""
    for channel in TELLING.channels:
        due = await store.alerts.due(channel, at)
        await store.alerts.delivered([each.delivery_id for each in due], at)


QUARTER = timedelta(days=90)


@pytest.mark.of_sqlite
async def test_what_was_told_long_ago_is_forgotten(store: Store) -> None:
    """With the next that is told, a quarter later; the alert itself stays."""
    await decided(store, SILENT)
    await decided(store, at=NOW + A_MINUTE)
    await told(store, NOW + A_MINUTE)
    await decided(store, SEVERE, at=NOW + QUARTER)
    await told(store, NOW + QUARTER)
    before = await rows(store)
    await told(store, NOW + QUARTER + AN_HOUR)

    assert {1, 2} == {number for number, _ in before}
    assert {2} == {number for number, _ in await rows(store)}


async def test_nothing_is_forgotten_of_what_is_open(store: Store) -> None:
    """Or nobody would hear that it is over."""
    await decided(store, SILENT)
    await told(store, NOW)
    later = NOW + 2 * QUARTER
    await told(store, later)
    await decided(store, at=later)

    assert [("receiver.silent", "resolved")] == steps(await store.alerts.due(Channel.MAIL, later))


async def test_only_so_many_are_forgotten_at_once(store: Store) -> None:
    """However many there are, one transaction stays short; the next goes on."""
    await decided(store, SILENT)
    await decided(store, at=NOW + A_MINUTE)
    await told(store, NOW + A_MINUTE)
    copies = """
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)
        INSERT INTO deliveries (alert_id, step, channel, decided_at, due_at, delivered_at)
        SELECT d.alert_id, d.step, d.channel, d.decided_at, d.due_at, d.delivered_at
          FROM n, (SELECT * FROM deliveries LIMIT 1) AS d"""
    await store._database.write(lambda c: c.raw.execute(copies))
    left = []
    for hours in range(4):
        await store.alerts.delivered([], NOW + QUARTER + timedelta(hours=hours + 1))
        left.append(len(await rows(store)))

    assert [704, 204, 0, 0] == left


async def test_a_restore_tells_again_what_it_has_forgotten(tmp_path: Path) -> None:
    """What was told before the backup is told no more; what came since is, under new numbers."""
    path, copy = tmp_path / "gateway.db", tmp_path / "copy.db"
    async with open_database(path) as database:
        store = Store(database, node="here")
        await decided(store, SILENT)
        await told(store, NOW)
    back_up(path, copy)
    async with open_database(path) as database:
        store = Store(database, node="here")
        await decided(store, SILENT, SEVERE, at=NOW + A_MINUTE)
        (before,) = await store.alerts.due(Channel.MAIL, NOW + A_MINUTE)
        await told(store, NOW + A_MINUTE)
    restore(copy, path, NOW + 2 * A_MINUTE, older=True)
    async with open_database(path) as database:
        store = Store(database, node="here")
        found = await decided(store, SILENT, SEVERE, at=NOW + 3 * A_MINUTE)
        due = await store.alerts.due(Channel.MAIL, NOW + 3 * A_MINUTE)
        await told(store, NOW + 3 * A_MINUTE)
        over = await decided(store, SEVERE, at=NOW + 4 * A_MINUTE)

    assert [AlertStep.OPENED] == found
    assert [("workflow.overdue", "opened")] == steps(due)
    assert due[0].delivery_id > before.delivery_id
    assert due[0].alert.number > before.alert.number
    assert [AlertStep.RESOLVED] == over
