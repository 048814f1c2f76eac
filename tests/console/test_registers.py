"""Registers: who is at the other side, what lies in quarantine, what ends, settings, the audit."""

import re
from dataclasses import replace
from datetime import timedelta

from console_side import STATE, THIRD, Console, busy, refused, sent
from store_values import NOW

from bars_gateway.config import Described, in_words
from bars_gateway.model.messages import Actor
from bars_gateway.model.standing_alarms import Chosen
from bars_gateway.status.runbooks import RUNBOOKS
from bars_gateway.store.chain import Walk
from bars_gateway.upkeep.housekeeping import ExpiringKind, Expiry


def plain(page: str) -> str:
    """Return what people read of it."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


async def test_each_counterparty_tells_how_it_stands_and_since_when(console: Console) -> None:
    """By its attempts, and how many of the day's were acknowledged."""
    await sent(console.store, NOW - timedelta(hours=2), receiver=THIRD)
    await refused(console.store, NOW - timedelta(hours=1), receiver=THIRD)
    page = plain((await console.get("/counterparties")).text)

    assert "2000000303 https://fhir.nhs.uk/Id/dos-service-id" in page
    assert "the last message was refused" in page
    assert "50 % acknowledged 1 of 2 attempts" in page
    assert "metadata kept 3 h ago, good until 02 Mar 18:00:00" in page


async def test_what_lies_in_quarantine_says_why_and_how_to_attach_it(console: Console) -> None:
    """Under the number by which the overview's alarm leads there."""
    await busy(console)
    page = (await console.get("/quarantine")).text
    overview = (await console.get("/")).text

    assert "it answers nothing that was sent from here" in page
    assert "bars-gateway attach 1 WORKFLOW --provider trust --dry-run" in page
    assert 'id="q1"' in page
    assert 'href="/quarantine#q1"' in overview


async def test_what_ends_soon_says_what_to_do(console: Console) -> None:
    """The next to end stands first; what has time says so."""
    begins, soon = NOW - timedelta(days=360), NOW + timedelta(days=5)
    ending = Expiry(
        kind=ExpiringKind.CERTIFICATE, name="The old one", begins_at=begins, ends_at=soon
    )
    console.running = replace(STATE, expiries=[*STATE.expiries, ending])
    page = plain((await console.get("/keys")).text)
    below = page[page.index("What expires") :]

    assert below.index("The old one") < below.index("The certificate for receiving")
    assert "ends in 5 days" in below
    assert "Order its successor now" in below
    assert "nothing yet" in below


async def test_the_audit_tells_who_did_what_and_why(console: Console) -> None:
    """And is filtered by all of it."""
    await refused(console.store)
    actor = Actor(role="operator", who="jo", why="INC-7")
    await console.store.alarms.handle("trust", Chosen(numbers=[1]), actor, NOW, dry_run=False)
    page = plain((await console.get("/audit?kind=operator")).text)
    nobody = plain((await console.get("/audit?actor=sam")).text)

    assert "operator.marked_handled" in page
    assert "jo (operator)" in page
    assert "INC-7" in page
    assert "Nothing fits." in nobody


async def test_the_audit_tells_what_it_comes_to_and_whether_that_holds(console: Console) -> None:
    """Its head, to be noted down, and what the gateway found when it walked it last."""
    await sent(console.store)
    head = await console.store.chain.head()
    assert head is not None
    before = plain((await console.get("/audit")).text)
    walk = Walk(lines=3)
    await console.store.chain.note_walk(walk, NOW)
    well = plain((await console.get("/audit")).text)
    walk.more = 2
    await console.store.chain.note_walk(walk, NOW)
    broken = plain((await console.get("/audit")).text)

    assert f"Its head is line {head.line}, hash {head.hash} ." in before
    assert "The gateway walked 3 lines at 2026-03-02T09:00:00.000Z: each was as written." in well
    assert "At 2026-03-02T09:00:00.000Z the gateway found that it is not as written." in broken


async def test_the_audit_tells_why_somebody_was_refused(console: Console) -> None:
    """And on which page; whoever had not logged in was nobody known, and not the gateway."""
    detail = {"reason": "other_name", "route": "/metrics"}
    await console.store.visits.note("console.refused", detail, NOW)
    await console.store.visits.note("console.logged_in", {"who": "jo (console)"}, NOW)
    page = plain((await console.get("/audit?kind=console")).text)

    assert "Who nobody who had logged in Why reason other_name; route /metrics" in page
    assert "the gateway" not in page
    assert "(console) (console)" not in page


async def test_the_audit_goes_on_where_its_page_ended(console: Console) -> None:
    """Each line stands on one page, whatever is written meanwhile."""
    for _ in range(40):
        await sent(console.store)
    first = (await console.get("/audit")).text
    (older,) = re.findall(r'href="(/audit\?[^"]*after=[^"]*)"', first)
    second = (await console.get(older.replace("&amp;", "&"))).text
    lines = [page.count("<code>message.") for page in (first, second)]

    assert [100, 20] == lines


async def test_the_audit_keeps_what_was_asked_for(console: Console) -> None:
    """By its form, where one filter more is added, and on the way back to the newest."""
    page = (await console.get("/audit?provider=trust&after=9&after_at=2026-03-02T09:00:00")).text

    assert '<input type="hidden" name="provider" value="trust">' in page
    assert '<a href="/audit?provider=trust">The newest</a>' in page


async def test_a_filter_of_the_audit_that_cannot_be_read_is_told(console: Console) -> None:
    """Nothing is listed as if it fitted."""
    answered = await console.get("/audit?since=yesterday")

    assert 400 == answered.status
    assert "must be a date and time" in answered.text


async def test_settings_are_told_with_where_they_came_from(console: Console) -> None:
    """As `bars-gateway config` prints them."""
    page = (await console.get("/configuration")).text

    assert "<code>providers.trust.api_key</code>" in page
    assert "an-api-key" not in page
    assert "gateway.toml:1" in page


def test_no_secret_is_told() -> None:
    """An API key, and whatever an address holds before its host."""
    key = Described("providers.trust.api_key", "abc", "file:1", "")
    proxy = Described("outbound.egress_proxy", "http://me:secret@proxy:3128", "file:2", "")

    assert "(set, not shown)" == in_words(key)
    assert "http://(not shown)@proxy:3128" == in_words(proxy)


async def test_each_concern_leads_to_what_to_do_about_it(console: Console) -> None:
    """Whoever is woken has one click to what it means for patients and what to do."""
    await refused(console.store, NOW)
    overview = (await console.get("/")).text
    page = (await console.get("/runbooks")).text
    lacking = [code for code in RUNBOOKS if f'id="{code}"' not in page]

    assert 'href="/runbooks#message.refused"' in overview
    assert [] == lacking
