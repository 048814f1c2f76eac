"""What stays and what left: legal holds, purges, and whether a certificate proves what it says."""

import re
import sqlite3
from contextlib import closing

from console_side import NOW, Console, aged
from own_words import said

from bars_gateway.model.messages import Actor
from bars_gateway.store.record_holds import HeldThing


def plain(page: str) -> str:
    """Return what people read of it."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


async def test_what_is_held_says_by_whom_why_and_since_when(console: Console) -> None:
    """A conversation and what lies in quarantine, with the command that releases each."""
    await aged(console)
    page = (await console.get("/records")).text
    words = plain(page)

    assert "2 legal holds" in words
    assert 'href="/workflows/2"' in page
    assert 'href="/quarantine#q1"' in page
    assert "jo" in words
    assert "claim 2026/114" in words
    assert "bars-gateway release-record --workflow 2 --provider trust --why …" in words
    assert "bars-gateway release-record --quarantine 1 --provider trust --why …" in words


async def test_what_is_linked_to_a_hold_and_not_held_is_told(console: Console) -> None:
    """Its booking leaves by itself: whoever answers for the claim decides."""
    await aged(console)
    tie = "INSERT INTO links VALUES (3, 2, 'pair', 'Appointment.basedOn', NULL, 'now')"
    await said(console.database, tie)
    told = plain((await console.get("/records")).text)
    jo = Actor(role="operator", who="jo", why="claim 2026/114")
    await console.store.record_holds.hold_record("trust", HeldThing(workflow_id=3), jo, NOW)
    after = plain((await console.get("/records")).text)

    assert "linked to it and not held: " in told
    assert "bars-gateway hold-record --workflow 3 --provider trust --why …" in told
    assert "linked to it" not in after


async def test_what_left_says_when_by_which_rule_and_its_certificate(console: Console) -> None:
    """How many of each class, the hash over their ids, and where to verify it."""
    await aged(console)
    page = (await console.get("/records")).text
    (certificate,) = await console.store.purges.newest(9)
    (payloads,) = [each for each in certificate.classes if each.count]

    assert "IG-7" in page
    assert f"{payloads.count} payloads" in page
    assert f"{payloads.count} by all: 30 days" in page
    assert payloads.digest in page
    assert 'href="/records?verify=1"' in page


async def test_a_certificate_is_verified_from_the_page(console: Console) -> None:
    """What the command says; where it does not hold, each reason stands there."""
    await aged(console)
    well = plain((await console.get("/records?verify=1")).text)
    with closing(sqlite3.connect(console.database.path)) as connection:
        connection.execute("UPDATE purged_classes SET n = n + 1 WHERE n > 0")
        connection.commit()
    wrong = await console.get("/records?verify=1")

    assert "Purge 1 proves what it says" in well
    assert (200, True) == (wrong.status, "Purge 1 does not prove what it says" in wrong.text)
    assert "payloads, and counts" in wrong.text


async def test_a_purge_that_there_was_not_is_told(console: Console) -> None:
    """And nothing is claimed of it; the rest is shown."""
    for number in ("7", "x", "-1"):
        page = await console.get(f"/records?verify={number}")

        assert 400 == page.status
        assert "There is a problem" in page.text
        assert "Nothing was ever purged." in page.text
        assert "Nothing is under legal hold." in plain(page.text)
