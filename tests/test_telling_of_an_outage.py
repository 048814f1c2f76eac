"""That nothing can be stored is told all the same: once, and that it is over, under one number."""

import re
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from mail_side import AlertingByMail, Box, mail_server
from store_values import NOW

from bars_gateway.errors import DatabaseDamaged, DatabaseHeld, StoreError, StoreUnavailable
from bars_gateway.model.alerts import (
    Alert,
    Channel,
    Condition,
    ReservedNumbers,
    StandingConditions,
    Telling,
)
from bars_gateway.status.alerts import Watch
from bars_gateway.status.deliveries import Courier, Mail, MailServer, Whence
from bars_gateway.status.outage import StoreOutage
from bars_gateway.status.running import UnavailableState
from bars_gateway.store.alerts import alert_of
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.store import Store

AN_HOUR = timedelta(hours=1)
WAITING = Condition(code="message.waiting", says="Messages wait", urgent=True)
ROUNDS = 3  # a loop comes round more than once


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_database(tmp_path / "gateway.db", busy_seconds=0.02) as database:
        yield Store(database, node="here")


@pytest.fixture
def box() -> Box:
    return Box()


@pytest.fixture
async def server(tmp_path: Path, box: Box) -> AsyncIterator[MailServer]:
    async with mail_server(tmp_path, box) as opened:
        yield opened


@contextmanager
def held(tmp_path: Path) -> Iterator[None]:
    """Let nobody write to the database meanwhile."""
    with closing(sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


class Teller(AlertingByMail):
    """One whose loops come round at each minute that a test sets, whether they can or not."""

    async def at_minutes(self, *minutes: float) -> None:
        """Let each loop come round at each of them, whether it can or not."""
        parts = self.alerting.parts
        watch, outage = parts["alerts"], parts["store-outage"]
        assert isinstance(watch, Watch)
        assert isinstance(outage, StoreOutage)
        for minute in minutes:
            self.at = NOW + timedelta(minutes=minute)
            with suppress(StoreError):  # another than StoreUnavailable begins the loop anew
                await watch.look()
            outage.look()
            for name, each in parts.items():
                if "mail" in name and isinstance(each, Courier):
                    with suppress(StoreUnavailable):
                        await each.tell_due()


def subjects(box: Box) -> list[str]:
    return [" ".join(mail["Subject"].split()).split("] ")[1] for mail in box.mails]


def numbers(box: Box) -> set[str]:
    return {
        found for mail in box.mails for found in re.findall(r"alert (\d+),", mail.get_content())
    }


async def alerts(store: Store) -> list[Alert]:
    return await store._database.read(
        lambda connection: [
            alert_of(row)
            for row in connection.raw.execute("SELECT * FROM alerts ORDER BY id")  # type: ignore[attr-defined]
        ]
    )


OPENED, RESOLVED = "OPENED: Nothing can be stored", "RESOLVED: Nothing can be stored"


async def test_that_nothing_can_be_stored_is_mailed_once_and_that_it_is_over(
    store: Store, tmp_path: Path, server: MailServer, box: Box
) -> None:
    """While it is so, after a minute; whoever was told hears the end of that same alert."""
    teller = Teller(store, server)
    await teller.at_minutes(0)
    with held(tmp_path):
        await teller.at_minutes(1, 1.9)
        early = subjects(box)
        await teller.at_minutes(2.1, 3, 10, 90)
        during = subjects(box)
    await teller.at_minutes(91, 92, 100)
    (alert,) = await alerts(store)

    assert ([], [OPENED]) == (early, during)
    assert [OPENED, RESOLVED] == subjects(box)
    assert {str(alert.number)} == numbers(box)
    assert alert.resolved_at is not None


async def test_what_is_over_within_a_minute_is_told_to_nobody(
    store: Store, tmp_path: Path, server: MailServer, box: Box
) -> None:
    """A backup program that holds the database for a moment wakes nobody, however often."""
    teller = Teller(store, server)
    await teller.at_minutes(0)
    for minute in (1, 3, 5):
        with held(tmp_path):
            await teller.at_minutes(minute, minute + 0.9)
        await teller.at_minutes(minute + 1)

    assert [] == subjects(box)
    assert [] == await alerts(store)


async def test_each_outage_is_told_by_a_number_of_its_own(
    store: Store, tmp_path: Path, server: MailServer, box: Box
) -> None:
    """Whoever takes the same number for the same telling hears of the second one, too."""
    teller = Teller(store, server)
    await teller.at_minutes(0)
    for minute in (10, 20):
        with held(tmp_path):
            await teller.at_minutes(minute, minute + 2)
        await teller.at_minutes(minute + 3, minute + 4)
    told = [re.findall(r"delivery (\d+)", mail.get_content()) for mail in box.mails]

    assert [OPENED, RESOLVED] * 2 == subjects(box)
    assert 2 == len(numbers(box))
    assert 4 == len({number for each in told for number in each})


async def test_a_gateway_that_could_never_store_anything_tells_it(
    store: Store, tmp_path: Path, server: MailServer, box: Box
) -> None:
    """It has no number yet, and gets one with the first review."""
    teller = Teller(store, server)
    with held(tmp_path):
        await teller.at_minutes(0, 1, 2)
    await teller.at_minutes(3, 4)
    (alert,) = await alerts(store)

    assert [OPENED, RESOLVED] == subjects(box)
    assert {"0", str(alert.number)} == numbers(box)


async def test_an_address_that_was_refused_meanwhile_is_told_and_no_other_twice(
    store: Store, tmp_path: Path, server: MailServer, box: Box
) -> None:
    """What had not reached it goes on from the store, where memory left off."""
    first, second = server.recipients
    teller = Teller(store, server)
    await teller.at_minutes(0)
    box.refused[second] = "450 later"
    with held(tmp_path):
        await teller.at_minutes(1, 2.1, 2.3)
    await teller.at_minutes(3, 4)
    del box.refused[second]
    await teller.at_minutes(60, 90, 91)
    for address in (first, second):
        mails = zip(box.mails, box.taken_for, strict=True)
        texts = "".join(mail.get_content() for mail, who in mails if address in who)
        assert (1, 1) == (texts.count(OPENED), texts.count(RESOLVED))


async def test_what_still_stands_once_it_can_be_stored_goes_on_as_one_alert(
    store: Store, tmp_path: Path, server: MailServer, box: Box
) -> None:
    """Below the room that is to be free small writes pass: no second mail says the same."""
    teller = Teller(store, server, remind_minutes=60)
    await teller.at_minutes(0)
    low = UnavailableState(reason="12 MB are free", advice="Make room.")
    teller.running = replace(teller.running, unavailable=low)
    with held(tmp_path):
        await teller.at_minutes(1, 3)
    await teller.at_minutes(4, 5, 10)
    before = subjects(box)
    await teller.at_minutes(64)
    teller.running = replace(teller.running, unavailable=None)
    await teller.at_minutes(65, 66)

    assert [OPENED] == before
    assert [OPENED, OPENED.replace("OPENED", "REMINDED"), RESOLVED] == subjects(box)
    assert 1 == len(numbers(box))


async def test_what_the_store_tells_already_is_not_told_from_memory(
    store: Store, tmp_path: Path, server: MailServer, box: Box
) -> None:
    """A disk that is nearly full, and then quite full: that is one outage."""
    teller = Teller(store, server)
    low = UnavailableState(reason="12 MB are free", advice="Make room.")
    teller.running = replace(teller.running, unavailable=low)
    await teller.at_minutes(0, 2)
    with held(tmp_path):
        await teller.at_minutes(3, 5, 9)
    teller.running = replace(teller.running, unavailable=None)
    await teller.at_minutes(10, 11)

    assert [OPENED, RESOLVED] == subjects(box)


async def test_planned_work_on_the_database_wakes_nobody(
    store: Store, tmp_path: Path, server: MailServer, box: Box
) -> None:
    """Within the maintenance that is set, as with all that is no patient's; it ends in time."""
    window = {"maintenance_from": NOW, "maintenance_until": NOW + 2 * AN_HOUR}
    teller = Teller(store, server, **window)
    await teller.at_minutes(0)
    with held(tmp_path):
        await teller.at_minutes(1, 3, 100)
    await teller.at_minutes(101, 102, 130)

    assert [] == subjects(box)


async def test_what_was_told_and_cannot_be_written_down_is_not_told_again(
    store: Store, tmp_path: Path, server: MailServer, box: Box
) -> None:
    """A full disk can be read: nobody gets a mail each half minute for that."""
    telling = Telling(channels=[Channel.MAIL], digest=timedelta(), remind=timedelta())
    await store.alerts.review(StandingConditions(conditions=[WAITING]), telling, NOW)
    whence = Whence(node="n", environment="int", page_url="http://127.0.0.1:8480")
    courier = Courier(store.alerts, Mail(server, whence), now=lambda: NOW)
    with held(tmp_path):
        for _ in range(ROUNDS):
            with pytest.raises(DatabaseHeld):
                await courier.tell_due()
    still = await courier.tell_due()

    assert ["OPENED: Messages wait"] == subjects(box)
    assert not still
    assert [] == await store.alerts.due(Channel.MAIL, NOW)


async def test_mails_that_failed_in_an_outage_and_were_taken_after_it_are_no_trouble_any_more(
    store: Store, tmp_path: Path, server: MailServer, box: Box
) -> None:
    """While it lasts the page says that no mail arrives; the store's mail ends that."""
    teller = Teller(store, server)
    await teller.at_minutes(0)
    box.refused = dict.fromkeys(server.recipients, "450 later")
    with held(tmp_path):
        await teller.at_minutes(1, 2.1, 4)
        during = set(teller.alerting.undelivered)
    box.refused = {}
    await teller.at_minutes(60, 90, 91)

    assert {"mail"} == during
    assert {f"{OPENED} (and 1 more)"} == set(subjects(box))
    assert {} == teller.alerting.undelivered


async def damaged(*_arguments: object) -> None:
    raise DatabaseDamaged("a page of its tables cannot be read")


async def test_what_cannot_be_handed_over_to_the_store_goes_on_from_memory(
    store: Store, tmp_path: Path, server: MailServer, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its review fails of: nobody else tells of it."""
    teller = Teller(store, server)
    await teller.at_minutes(0)
    box.refused = dict.fromkeys(server.recipients, "450 later")
    with held(tmp_path):
        await teller.at_minutes(1, 2.1)
    box.refused = {}
    monkeypatch.setattr(type(store.alerts), "review", damaged)
    await teller.at_minutes(60)

    assert {OPENED} == set(subjects(box))


async def test_that_what_stands_cannot_be_seen_is_told_by_the_same_words(
    store: Store, server: MailServer, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it fails of: the store tells of nothing then, and somebody is to look."""
    teller = Teller(store, server)
    await teller.at_minutes(0)
    monkeypatch.setattr(type(store.alerts), "review", damaged)
    await teller.at_minutes(1, 2.1, 3.2)

    assert store.unavailable() is None
    assert [OPENED] == subjects(box)


async def test_an_outage_that_follows_at_once_has_a_number_of_its_own(
    store: Store, tmp_path: Path, server: MailServer, box: Box
) -> None:
    """One review lies between the two, and that is enough."""
    teller = Teller(store, server)
    await teller.at_minutes(0)
    with held(tmp_path):
        await teller.at_minutes(1, 3)
    await teller.at_minutes(4)
    with held(tmp_path):
        await teller.at_minutes(5, 7)
    await teller.at_minutes(8, 9)

    assert [OPENED, RESOLVED] * 2 == subjects(box)
    assert 2 == len(numbers(box) - {"0"}) == len(numbers(box))


async def test_what_is_told_without_a_number_ends_though_a_number_comes_meanwhile() -> None:
    """Whoever is being told hears of 0; the number is for what comes afterwards."""
    telling = Telling(channels=[Channel.MAIL], digest=timedelta(), remind=timedelta())
    at = NOW
    outage = StoreOutage(
        lambda: DatabaseHeld("held"),
        lambda: WAITING,
        lambda: telling,
        now=lambda: at,
        every_seconds=1.0,
        patience=1.0,
    )
    outage.look()
    at += timedelta(minutes=2)
    outage.look()
    due = await outage.due(Channel.MAIL, at)
    outage.number(ReservedNumbers(alert=7, deliveries={Channel.MAIL: 8}))
    await outage.delivered([each.delivery_id for each in due], at)

    assert [0] == [each.alert.number for each in due]
    assert not outage.is_being_told


async def test_two_outages_soon_after_a_start_are_told_as_the_one_alert_that_is_open(
    store: Store, tmp_path: Path, server: MailServer, box: Box
) -> None:
    """Nothing of the kind ends within three minutes of a start, and each that is told ends."""
    teller = Teller(store, server)
    teller.running = replace(teller.running, started_at=NOW)
    await teller.at_minutes(0)
    for back in (1.5, 2.9):
        with held(tmp_path):
            await teller.at_minutes(back - 1.3, back - 0.1)
        await teller.at_minutes(back)
    await teller.at_minutes(3.5, 4)

    assert [OPENED, RESOLVED] == subjects(box)
    assert 1 == len(numbers(box))
