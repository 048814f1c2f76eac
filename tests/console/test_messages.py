"""Messages: found by anything that people know of them, and told without what they hold."""

import json
import re
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from console_side import CANARY, THIRD, Console, busy, claimed, refused, sent, tried
from store_values import NOW, THEIRS, arrival, payload, submission

from bars_gateway.standard.headers import TargetIdentifier


def listed(page: str) -> list[int]:
    """Return the numbers of the messages in the list, in its order."""
    below = page.partition('id="list"')[2]
    return [int(number) for number in re.findall(r'href="/messages/(\d+)"', below)]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        pytest.param({}, [4, 3, 2, 1], id="all"),
        pytest.param({"state": "refused"}, [2], id="state"),
        pytest.param({"state": "received"}, [4], id="received"),
        pytest.param({"counterparty": THIRD}, [4, 3], id="counterparty"),
        pytest.param({"counterparty": THIRD, "direction": "inbound"}, [4], id="direction"),
        pytest.param({"use_case": "a1t1"}, [1], id="use-case"),
        pytest.param({"code": "REC_TIMEOUT"}, [3], id="code"),
        pytest.param({"fault": "REC"}, [3, 2], id="fault"),
        pytest.param({"provider": "nobody"}, [], id="provider"),
        pytest.param({"before": "2026-03-02T08:30"}, [1], id="before"),
        pytest.param({"since": "2026-03-02T08:30"}, [4, 3, 2], id="since"),
        pytest.param({"since": "2026-03-02T08:30+01:00"}, [4, 3, 2, 1], id="offset"),
        pytest.param({"fault": "REC", "state": "queued"}, [3], id="both"),
    ],
)
async def test_messages_are_found_by_what_is_known_of_them(
    console: Console, filters: dict[str, str], expected: list[int]
) -> None:
    """Each filter alone and several together; the address says which."""
    store = console.store
    await sent(store, NOW - timedelta(minutes=60), use_case="a1t1")
    await refused(store)
    await tried(store, receiver=THIRD)
    await store.inbound.receive(arrival(sender=THIRD), NOW)

    assert expected == listed((await console.get(f"/messages?{urlencode(filters)}")).text)


async def test_an_id_leads_to_its_message(console: Console) -> None:
    """Whichever of its ids it is; in capitals, too, and as its number."""
    request_id = await sent(console.store, correlation_id="c1", bundle_id="b1")
    await console.store.inbound.receive(arrival(reference="RAE-7", focus_id="sr-1"), NOW)
    ids = (request_id, request_id.upper(), "c1", "b1", "1", "RAE-7", "sr-1")
    found = [(await console.get(f"/messages?id={each}")).path for each in ids]

    assert ["/messages/1"] * 5 + ["/messages/2"] * 2 == found


async def test_an_id_of_nothing_says_where_else_to_look(console: Console) -> None:
    """It may lie in quarantine, or was refused before it was taken."""
    page = (await console.get("/messages?id=nothing")).text

    assert "No message fits." in page
    assert "/audit?of=nothing" in page


async def test_a_page_goes_on_where_the_one_before_ended(console: Console) -> None:
    """By number: what comes in meanwhile moves nothing."""
    for _ in range(60):
        await console.store.outbound.submit(submission(), NOW)
    first = (await console.get("/messages?state=queued")).text
    (older,) = re.findall(r'href="([^"]*below=[^"]*)"', first)
    await console.store.outbound.submit(submission(), NOW)
    second = (await console.get(older.replace("&amp;", "&"))).text

    assert list(range(60, 10, -1)) == listed(first)
    assert list(range(10, 0, -1)) == listed(second)
    assert "Older" not in second


@pytest.mark.parametrize(
    "wrong",
    [
        "since=x",
        "since=0001-01-01T00:00%2B14:00",
        "below=-1",
        "below=1e9",
        "fault=US",
        "before=2026-02-31",
    ],
)
async def test_a_filter_that_cannot_be_read_is_told(console: Console, wrong: str) -> None:
    """With what it must be; nothing is listed as if it fitted."""
    await sent(console.store)
    answered = await console.get(f"/messages?{wrong}")

    assert 400 == answered.status
    assert "There is a problem" in answered.text
    assert [] == listed(answered.text)


async def test_what_did_not_go_well_is_grouped(console: Console) -> None:
    """By what it came to and with whom; what was acknowledged since is none of it."""
    for _ in range(3):
        await tried(console.store, receiver=THIRD)
    await refused(console.store)
    await sent(console.store)
    page = (await console.get("/messages")).text
    groups = page[page.index('id="troubles"') : page.index('id="list"')]
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", groups))

    assert "Came to REC_TIMEOUT With 2000000303 Messages 3 Of these 3 waiting" in text
    assert "Came to REC_UNPROCESSABLE_ENTITY With 2000000202 Messages 1 Of these 1 refused" in text
    assert text.index("REC_TIMEOUT") < text.index("REC_UNPROCESSABLE_ENTITY")


async def test_a_message_tells_its_attempts_and_hides_what_it_holds(console: Console) -> None:
    """What came back is told by its codes; the bodies of both are hidden."""
    await refused(console.store)
    page = (await console.get("/messages/1")).text

    assert "HTTP 422, <code>REC_UNPROCESSABLE_ENTITY</code>" in page
    assert 2 == page.count("<strong>hidden</strong> (")
    assert "In its own words: <strong>hidden</strong>" in page
    assert "nobody has taken this patient on. Act now." in page


async def test_headers_are_shown_only_in_the_form_that_they_should_have(console: Console) -> None:
    """A Sender may have put anything there: ids, services and media types are shown, in words."""
    target = TargetIdentifier.parse(THEIRS)
    headers = {
        "X-Request-Id": "9876543210",
        "NHSD-Target-Identifier": target.encode(),
        "Content-Type": "application/fhir+json; version=1.1.0",
        "NHSD-End-User-Organisation": CANARY,
        "use-context": f"a3t1|{CANARY}|booking-request|new",
        CANARY: CANARY,
    }
    sent_so = submission(request=replace_headers(headers), body=CANARY.encode())
    await console.store.outbound.submit(sent_so, NOW)
    page = (await console.get("/messages/1")).text
    kept = re.sub(r"<[^>]+>", " ", page[page.index('id="kept"') : page.index('id="events"')])

    assert THEIRS in kept
    assert "application/fhir+json; version=1.1.0" in kept
    assert "9876543210" not in kept
    assert CANARY not in page
    assert "1 more" in kept


def replace_headers(headers: dict[str, str]):
    return type(payload())(
        media_type="application/fhir+json", headers=headers, body=json.dumps(CANARY).encode()
    )


async def test_a_number_that_no_message_has_is_said(console: Console) -> None:
    """With where to look instead."""
    answered = await console.get("/messages/7")

    assert 404 == answered.status
    assert "There is no message 7" in answered.text


async def test_names_of_others_are_text(console: Console) -> None:
    """Nothing that others call themselves is taken for markup."""
    await claimed(console.store, receiver="https://x|<script>alert(1)</script>")
    for path in ("/", "/messages", "/messages/1", "/messages?id=<script>"):
        assert "<script>" not in (await console.get(path)).text


async def test_no_page_tells_of_a_patient(console: Console) -> None:
    """Whatever was sent and whatever came back."""
    await busy(console)
    paths = ("/", "/messages", *(f"/messages/{number}" for number in range(1, 12)))

    assert [] == [path for path in paths if CANARY in (await console.get(path)).text]
