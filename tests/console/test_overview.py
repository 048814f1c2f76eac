"""The overview: what flows, what waits, and where each thing leads."""

import re
import threading
from dataclasses import replace
from datetime import timedelta

import jinja2
import pytest
from console_side import STATE, THIRD, Console, refused, sent, tried
from store_values import NOW, THEIRS, arrival, submission

from bars_gateway.console import rendering
from bars_gateway.model.nodes import Node
from bars_gateway.store.readings import EprCondition, Unread, UnreadNotice


def plain(page: str) -> str:
    """Return what people read of it."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


async def test_all_pages_are_compiled_beside_the_loop_when_the_first_is_asked_for(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that monitoring alone looks after compiles none; messages go on meanwhile."""
    compiled: dict[str, int] = {}
    really = jinja2.Environment.compile

    def noted(*args: object, **named: object) -> object:
        compiled[str(args[2])] = threading.get_ident()
        return really(*args, **named)  # type: ignore[arg-type,call-overload]

    monkeypatch.setattr(jinja2.Environment, "compile", noted)
    rendering._environment.cache_clear()
    asked = [(await console.get(path)).status for path in ("/healthz", "/metrics", "/console.css")]
    before = set(compiled)
    shown = (await console.get("/audit")).status

    assert ([200] * 3, set(), 200) == (asked, before, shown)
    assert set(rendering.page_names()) == set(compiled)
    assert threading.get_ident() not in compiled.values()


async def test_mail_that_flows_is_told_for_each_way(console: Console) -> None:
    """
    When the last one went, how many in a day, and how many in its best hour.

    A message that a later answer has shown to be there is in no attempt, and is not counted.
    """
    await sent(console.store, NOW - timedelta(minutes=90))
    await sent(console.store, NOW - timedelta(minutes=3))
    await console.store.inbound.receive(arrival(), NOW - timedelta(hours=30))
    page = plain((await console.get("/")).text)

    assert "2 attempts acknowledged in 24 hours" in page
    assert "The last 2 min ago" in page
    assert "0 messages received in 24 hours" in page
    assert "The last 1 d ago" in page


@pytest.mark.parametrize(
    ("minutes", "overview", "message"),
    [
        pytest.param(-1, "The next is due.", "Next attempt due", id="its-time-has-come"),
        pytest.param(
            1, "Next due 02 Mar 09:01:00 .", "Next attempt 02 Mar 09:01:00", id="in-a-minute"
        ),
    ],
)
async def test_an_attempt_whose_time_has_come_is_due(
    console: Console, minutes: int, overview: str, message: str
) -> None:
    """A time that is past reads as if the gateway had stopped."""
    await console.store.outbound.submit(submission(), NOW + timedelta(minutes=minutes))

    assert overview in plain((await console.get("/")).text)
    assert message in plain((await console.get("/messages/1")).text)


async def test_the_drawing_has_a_column_for_each_hour(console: Console) -> None:
    """And says in words what it is of."""
    await sent(console.store)
    page = (await console.get("/")).text

    assert "<title>Attempts acknowledged in each of the last 24 hours</title>" in page
    assert 47 == page.count('<rect class="none"')
    assert 1 == page.count('<rect class="some"')


async def test_the_backlog_is_told_by_age_and_destination(console: Console) -> None:
    """Who waits longest stands first, and leads to what waits."""
    await console.store.outbound.submit(submission(receiver=THEIRS), NOW - timedelta(minutes=3))
    await console.store.outbound.submit(submission(receiver=THIRD), NOW - timedelta(hours=9))
    page = (await console.get("/")).text
    backlog = page[page.index('id="backlog"') : page.index('id="queue"')]
    rows = re.findall(r'<th scope="row">.*?</tr>', backlog, flags=re.DOTALL)

    assert "2000000303 1 0 0 0 0 0 1" == plain(rows[0]).strip()
    assert "2000000202 1 0 1 0 0 0 0" == plain(rows[1]).strip()
    assert "counterparty=https%3A//fhir.nhs.uk/Id/dos-service-id%7C2000000303" in rows[0]


async def test_speed_is_told_against_what_the_standard_asks(console: Console) -> None:
    """Nine of ten within 2.1 s, all within 5 s; silence is no answer in time."""
    for seconds in (2.1, 2.2, 5.1):
        await sent(console.store, seconds=seconds)
    await tried(console.store)
    page = plain((await console.get("/")).text)

    assert "24 hours 50.0 % missed 50.0 % 2 of 4 75.0 % missed 75.0 % 3 of 4" in page


async def test_nothing_is_said_of_speed_where_nothing_was_sent(console: Console) -> None:
    """No figure is made of nothing."""
    assert "24 hours nothing was sent" in plain((await console.get("/")).text)


async def test_what_is_left_of_the_minute_is_told(console: Console) -> None:
    """Used and left, by whoever shares the quota."""
    page = plain((await console.get("/")).text)

    assert "trust : 41 of 300 calls used in the last minute, 259 left." in page


async def test_a_concern_leads_to_what_it_speaks_of(console: Console) -> None:
    """A Receiver that is silent to what waits for it; an alarm to its message."""
    console.running = replace(STATE, silent={THEIRS: NOW - timedelta(minutes=20)})
    request_id = await refused(console.store)
    page = (await console.get("/")).text
    (link,) = re.findall(rf'href="(/messages\?id={request_id})"', page.partition('id="flow-1"')[0])

    assert "dos-service-id%7C2000000202&amp;state=queued" in page
    assert "/messages/1" == (await console.get(link)).path


NODES = [
    Node(
        name="north",
        version="0.1.0",
        started_at=NOW - timedelta(days=2),
        seen_at=NOW,
        silent=timedelta(0),
        clock_ahead=timedelta(seconds=0.4),
        leases=["housekeeping"],
        is_this=True,
    ),
    Node(
        name="south",
        version="0.1.0",
        started_at=NOW - timedelta(days=1),
        seen_at=NOW - timedelta(minutes=5),
        silent=timedelta(minutes=5),
        clock_ahead=timedelta(seconds=-7),
        leases=["folder trust"],
    ),
]


async def test_the_gateways_of_a_database_are_listed(console: Console) -> None:
    """Who, since when, last seen, how far each clock is off; nothing of it where there is one."""
    alone = plain((await console.get("/")).text)
    console.running = replace(STATE, nodes=NODES)
    page = plain((await console.get("/")).text)

    assert "The gateways of this database" not in alone
    assert "north (this one) yes 28 Feb 09:00:00 02 Mar 09:00:00 +0.4 s from the server's" in page
    assert "south away 01 Mar 09:00:00 02 Mar 08:55:00 -7.0 s from the server's" in page


@pytest.mark.parametrize("another", [False, True])
async def test_a_folder_that_no_living_gateway_has_is_named(
    console: Console, *, another: bool
) -> None:
    """With what lies uncollected for too long; another that has it now writes there."""
    notice = UnreadNotice(
        notice_id=7, request_id="r", workflow_id=3, created_at=NOW - timedelta(hours=1)
    )
    minutes = timedelta(minutes=5)
    unread = Unread(use_case="a3t1", count=2, late_after=minutes, oldest=[notice])
    epr = EprCondition(provider="trust", asks=False, unread=[unread], known=True)
    here = replace(NODES[0], leases=["folder trust"] if another else [])
    console.running = replace(STATE, nodes=[here, NODES[1]], eprs=[epr])
    page = plain((await console.get("/")).text)

    assert "The EPR of trust has not taken 2 notices of a3t1" in page
    assert another is not ("its folder: south did, and is away" in page)
