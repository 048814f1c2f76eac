"""The operator's page, health and metrics over a real store, and in a real browser."""

import asyncio
import json
import re
import shutil
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import aiohttp
import pytest
from playwright.async_api import Browser, Page, async_playwright
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from store_values import (
    ANSWER,
    NOW,
    SILENCE,
    arrival,
    attempt,
    claim_next,
    decision,
    owed,
    payload,
    submission,
)

from bars_gateway.console.site import Site
from bars_gateway.errors import AddressUnusable, StorageFull
from bars_gateway.model.messages import Claim, OutboundState, Settled, TryAgain, Warned
from bars_gateway.model.questions import QuestionOpen, Terms
from bars_gateway.model.readings import Inspected, Inspection, StuckLog
from bars_gateway.standard.timing import shipped_timing
from bars_gateway.standard.verdict import FaultSide, Verdict
from bars_gateway.standard.workflow import Move
from bars_gateway.status import server
from bars_gateway.status.running import (
    EgressState,
    KeptOutState,
    Lying,
    RuntimeState,
    TokenState,
    UnavailableState,
)
from bars_gateway.status.server import StatusServer
from bars_gateway.store.asides import Aside
from bars_gateway.store.readings import EprCondition, LyingRefusals, Unread, UnreadNotice
from bars_gateway.store.sqlite import SqliteConnection
from bars_gateway.store.sqlite.database import SqliteDatabase, open_database
from bars_gateway.store.store import Store
from bars_gateway.upkeep.housekeeping import ClockStep, ExpiringKind, Expiry

CANARY = "CANARY-OF-A-PATIENT"
TALK = "00000000-0000-4000-8000-0000000000aa"
LONG_AGO = NOW - timedelta(hours=1)
TOKEN = TokenState(
    refused_keys=(),
    provider="trust",
    key_id="int-1",
    expires_at=NOW + timedelta(minutes=9),
    failing_since=None,
    reason=None,
    advice=None,
    clock_skew_seconds=-0.4,
)


def lying(seconds: float) -> Lying:
    folder, cure = "/spool/trust/outbox/new", "they are links: drop the files themselves"
    means = "nothing of it was sent"
    return Lying(folder=folder, count=2, seconds=seconds, means=means, cure=cure)


STRAY = lying(seconds=180)


def ending(left: timedelta, life: timedelta = timedelta(days=365)) -> Expiry:
    ends = NOW + left
    name = "The certificate for receiving"
    return Expiry(kind=ExpiringKind.CERTIFICATE, name=name, begins_at=ends - life, ends_at=ends)


def full(reason: str) -> UnavailableState:
    return UnavailableState(reason=reason, advice=StorageFull.advice)


WELL = RuntimeState(
    version="0.1.0",
    environment="int",
    node="gateway-1",
    started_at=LONG_AGO,
    address="0.0.0.0:8443",
    stopping=False,
    tokens=[TOKEN],
    expiries=[ending(timedelta(days=200))],
    clock_step=None,
    stalled={},
    handshake_failures={},
)
BLOCKED = EgressState(
    since=NOW, reason="the egress proxy says 407", advice="Set outbound.egress_user."
)
KEPT_OUT = KeptOutState(provider="trust", since=NOW, reason="no registration", advice="Ask.")
FAILING = replace(
    TOKEN,
    expires_at=None,
    failing_since=LONG_AGO,
    reason="the token service does not know the key id",
    advice="Check that the key id (kid) names a public key registered for this application.",
)


class Answered:
    """What one GET brought."""

    def __init__(self, status: int, headers: dict[str, str], text: str) -> None:
        self.status = status
        self.headers = headers
        self.text = text


class Shown:
    """A status server over a store; its running can be changed while it runs."""

    def __init__(self, store: Store, database: SqliteDatabase, port: int = 0) -> None:
        self.store = store
        self.database = database
        self.running = WELL
        site = Site(store, lambda: self.running, now=lambda: NOW)
        self._server = StatusServer(
            store,
            lambda: self.running,
            host="127.0.0.1",
            port=port,
            now=lambda: NOW,
            registry=CollectorRegistry(),
            pages=site.routes(),
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    async def get(self, path: str, **headers: str) -> Answered:
        async with (
            aiohttp.ClientSession(trust_env=False) as session,
            session.get(self.url + path, headers=headers) as response,
        ):
            return Answered(response.status, dict(response.headers), await response.text())

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop()


@pytest.fixture
async def shown(tmp_path: Path) -> AsyncIterator[Shown]:
    async with open_database(tmp_path / "gateway.db") as database:
        status = Shown(Store(database, node="here"), database)
        await status.start()
        yield status
        await status.stop()


async def test_a_page_that_comes_to_no_end_holds_up_no_stop(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that asks a database that says nothing: systemd kills what stops for a minute."""
    monkeypatch.setattr(server, "STOP_SECONDS", 0.1)
    begun = asyncio.Event()

    async def hang() -> None:
        begun.set()
        await asyncio.Event().wait()

    status = Shown(shown.store, shown.database)
    monkeypatch.setattr(shown.store, "prove_readable", hang)
    await status.start()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        asked = group.create_task(_left_alone(status.get("/readyz")))
        await begun.wait()
        await status.stop()
        assert await asked is None


async def _left_alone(asking: Awaitable[Answered]) -> Answered | None:
    try:
        return await asking
    except aiohttp.ClientError:
        return None


def plain(page: str) -> str:
    """Return what people read of it."""
    return re.sub(r"<[^>]+>", "", page)


async def claimed(store: Store, **changes: object) -> Claim:
    body = f'{{"note":"{CANARY} {uuid.uuid4()}"}}'.encode()
    await store.outbound.submit(submission(body=body, **changes), NOW)
    claim = await claim_next(store, NOW, ["trust"])
    assert claim is not None
    return claim


async def settled(store: Store, state: OutboundState, verdict: Verdict) -> None:
    claim = await claimed(store)
    values: dict[str, object] = {}
    if state is OutboundState.REFUSED:
        code = "REC_UNPROCESSABLE_ENTITY"
        values = {"http_status": 422, "code": code, "row": "refused", "fault": FaultSide.REC}
    await store.outbound.settle(
        claim,
        ANSWER if verdict is Verdict.ACKNOWLEDGED else SILENCE,
        attempt=attempt(claim, verdict, **values),
        settlement=Settled(state=state),
    )


async def of_every_kind(shown: Shown) -> None:
    """Leave messages in every state, inbound ones, a reused id, and notices."""
    store = shown.store
    await settled(store, OutboundState.ACKNOWLEDGED, Verdict.ACKNOWLEDGED)
    await settled(store, OutboundState.REFUSED, Verdict.REFUSED)
    await settled(store, OutboundState.UNCONFIRMED, Verdict.RETRY)
    await store.outbound.submit(submission(give_up_at=LONG_AGO), LONG_AGO)
    await store.outbound.give_up(NOW)
    for state in (OutboundState.HELD, OutboundState.WITHDRAWN):
        await store.outbound.submit(submission(), NOW)
        await shown.database.write(_moved_to(state))
    claim = await claimed(store)
    later = TryAgain(at=NOW + timedelta(seconds=30))
    await store.outbound.settle(
        claim, SILENCE, attempt=attempt(claim, Verdict.RETRY, http_status=503), settlement=later
    )
    await claimed(store)
    taken = arrival(body=CANARY.encode())
    await store.inbound.receive(taken, NOW)
    await store.inbound.receive(arrival(request_id=taken.request_id), NOW)


def _moved_to(state: OutboundState) -> Callable[[Any], None]:
    settled_at = "NULL" if state is OutboundState.HELD else "created_at"

    def move(connection: Any) -> None:
        connection.raw.execute(
            f"UPDATE messages SET state = ?, next_attempt_at = NULL, settled_at = {settled_at}"
            " WHERE state = 'queued'",
            [state],
        )

    return move


async def test_a_port_that_is_taken_is_named_with_its_setting_and_a_cure(shown: Shown) -> None:
    """The second gateway on a machine has the same default, and whoever starts it knows no port."""
    taken = int(shown.url.rpartition(":")[2])
    with pytest.raises(AddressUnusable, match="status") as met:
        await Shown(shown.store, shown.database, taken).start()

    assert f"status.listen: 127.0.0.1 port {taken} cannot be used: Address" in str(met.value)
    assert f"ss -ltnp 'sport = :{taken}'" in met.value.advice
    assert "status.listen" in met.value.advice


async def test_nothing_to_do_is_said_first(shown: Shown) -> None:
    """An operator who has nothing to do reads that before anything else."""
    page = (await shown.get("/")).text

    assert "<title>No action needed: bars_gateway on gateway-1</title>" in page
    assert "Nothing waits for a person." in page


async def test_what_needs_a_person_comes_first(shown: Shown) -> None:
    """The page leads with what somebody must do, and with the most severe of it."""
    await of_every_kind(shown)
    page = (await shown.get("/")).text
    order = [
        page.index(text)
        for text in (
            "5 things need",
            "1 message never left this organisation",
            "1 message may or may not have arrived",
            "1 message got a refusal",
            "1 message held, by hand or set aside",
            "1 inbound message came with the X-Request-Id of another message",
            "Outbound messages",
        )
    ]

    assert sorted(order) == order
    assert "<title>Action needed:" in page


async def test_every_state_has_its_count(shown: Shown) -> None:
    """What is on its way and how it ended can be read at a glance."""
    await of_every_kind(shown)
    page = (await shown.get("/")).text

    assert [] == [
        state
        for state in OutboundState
        if f"<dt>{state.replace('_', ' ')}</dt><dd>1</dd>" not in page
    ]


@pytest.mark.parametrize(
    ("running", "text"),
    [
        pytest.param(
            replace(WELL, tokens=[FAILING]),
            "No access token for trust since 02 Mar 08:00 UTC: the token service does not know",
            id="token",
        ),
        pytest.param(
            replace(WELL, expiries=[ending(timedelta(days=9))]),
            "The certificate for receiving ends in 9 days",
            id="expiring",
        ),
        pytest.param(
            replace(WELL, expiries=[ending(timedelta())]),
            "Nothing is received since 02 Mar 2026 09:00 UTC: the certificate for receiving has",
            id="expired",
        ),
        pytest.param(
            replace(WELL, observes_until=NOW + timedelta(hours=1)),
            "Callers whose names are not listed are let in until",
            id="observing",
        ),
        pytest.param(
            replace(WELL, refused={"the signing key of trust": "it is no RSA key"}),
            "A change of the signing key of trust was not taken: it is no RSA key",
            id="refused",
        ),
        pytest.param(
            replace(WELL, clock_step=ClockStep(seconds=-3600, at=NOW)),
            "The clock was set back by 3600 s at 02 Mar 09:00 UTC",
            id="clock",
        ),
        pytest.param(
            replace(WELL, silent={"https://fhir.nhs.uk/Id/dos-service-id|2000000202": NOW}),
            "dos-service-id|2000000202 has not answered since 02 Mar 09:00 UTC",
            id="silent",
        ),
        pytest.param(
            replace(WELL, failing={"https://fhir.nhs.uk/Id/dos-service-id|2000000202": NOW}),
            "dos-service-id|2000000202 has answered with errors only since 02 Mar 09:00 UTC",
            id="failing",
        ),
        pytest.param(
            replace(WELL, egress=BLOCKED),
            "Nothing has got out since 02 Mar 09:00 UTC: the egress proxy says 407",
            id="egress",
        ),
        pytest.param(
            replace(WELL, stuck_log=StuckLog(seconds=180.0, size=200 * 2**20)),
            "write-ahead log has grown to 200 MiB: a program has been reading it for 3 min",
            id="stuck-log",
        ),
        pytest.param(
            replace(WELL, lines_stuck_seconds=180.0, lines_lost=7),
            "Nobody has taken what the gateway says to its log for 3 min,"
            " and 7 lines of it are lost",
            id="unread-log",
        ),
        pytest.param(
            replace(WELL, kept_out=[KEPT_OUT]),
            "Nothing from trust has got past the national proxy since 02 Mar 09:00 UTC:"
            " no registration",
            id="kept-out",
        ),
        pytest.param(
            replace(WELL, stalled={"/spool/trust": "ENOSPC"}),
            "/spool/trust stands still: ENOSPC",
            id="folder",
        ),
        pytest.param(
            replace(WELL, stalled={"/spool/trust": "the store takes nothing more"}),
            "It is the database, and not the folder: do what is said of that.",
            id="no-store",
        ),
        pytest.param(
            replace(WELL, stalled={"/spool/trust": "EMFILE"}),
            "Look for what holds files open; raise LimitNOFILE= of the unit. Whatever is to go",
            id="no-descriptor",
        ),
        pytest.param(
            replace(WELL, unavailable=full("9 bytes are free beside gateway.db")),
            "Nothing can be stored: 9 bytes are free beside gateway.db",
            id="full",
        ),
        pytest.param(
            replace(WELL, minimum_free_bytes=2**60),
            "The disk of the database is filling up: ",
            id="disk-low",
        ),
        pytest.param(
            replace(WELL, lying=[lying(seconds=180)]),
            "2 in /spool/trust/outbox/new not taken, the first for 3 min: nothing of it was sent",
            id="lying",
        ),
        pytest.param(
            replace(WELL, lying=[lying(seconds=3 * 86400)]),
            "2 in /spool/trust/outbox/new not taken, the first for 3 d: nothing of it was sent",
            id="lying-for-days",
        ),
    ],
)
async def test_what_a_part_knows_to_be_wrong_is_a_concern(
    shown: Shown, running: RuntimeState, text: str
) -> None:
    """A token that fails and a certificate that ends need a person before messages do."""
    shown.running = running
    page = (await shown.get("/")).text

    assert "1 thing needs a person" in page
    assert text in page


@pytest.mark.parametrize(
    "running",
    [
        replace(WELL, observes_until=NOW),
        replace(WELL, lying=[lying(seconds=3)]),
        replace(WELL, expiries=[ending(timedelta(days=4), life=timedelta(days=7))]),
    ],
)
async def test_what_is_over_or_still_to_come_is_none(shown: Shown, running: RuntimeState) -> None:
    """A page that always warns teaches people not to look."""
    shown.running = running

    assert "No action needed" in (await shown.get("/")).text


async def test_a_message_that_waits_for_long_is_a_concern(shown: Shown) -> None:
    """A queue that does not move is news, although nothing has failed for good."""
    await shown.store.outbound.submit(submission(), LONG_AGO)
    page = (await shown.get("/")).text

    assert "A message has waited since 02 Mar 08:00 UTC" in page


async def test_a_message_that_is_only_held_is_not_said_to_be_tried(shown: Shown) -> None:
    """Nothing leaves of it until a person releases it, and that is a concern of its own."""
    accepted = await shown.store.outbound.submit(submission(), LONG_AGO)
    await shown.store.asides.hold(accepted.message_id, ValueError(), LONG_AGO)
    page = (await shown.get("/")).text

    assert "1 message held" in page
    assert "A message has waited" not in page


async def test_a_message_that_has_come_in_since_is_none(shown: Shown) -> None:
    """What is on its way for a minute is as it should be."""
    await shown.store.outbound.submit(submission(), NOW - timedelta(minutes=1))
    page = (await shown.get("/")).text

    assert "No action needed" in page


async def asked(store: Store, at: datetime) -> int:
    """Ask the EPR about a message at that moment; the proxy waits for 4.5 s."""
    store.questions.attend("trust", at)
    terms = Terms(answer_by=at + timedelta(seconds=4.5), alarm_at=at + timedelta(minutes=15))
    put = await store.questions.ask_about(arrival(), None, terms, at)
    assert isinstance(put, QuestionOpen)
    return put.question_id


async def test_a_question_is_shown_with_its_age(shown: Shown) -> None:
    """As long as the proxy waits, it is nobody's concern."""
    await asked(shown.store, NOW - timedelta(seconds=3))
    page = (await shown.get("/")).text

    assert "trust has 1 open question, the oldest asked 3 s ago." in page
    assert "request of a referral" in page
    assert "No action needed" in page


async def test_a_question_that_outlived_its_proxy_is_a_concern(shown: Shown) -> None:
    """The Sender was told 408 and does not know what became of it."""
    await asked(shown.store, NOW - timedelta(seconds=5))

    assert "1 question without an answer" in (await shown.get("/")).text


async def test_what_was_decided_late_is_a_concern(shown: Shown) -> None:
    """Whether the EPR said yes or no: the Sender may not have heard it."""
    number = await asked(shown.store, NOW - timedelta(seconds=5))
    await shown.store.questions.decide("trust", number, decision(), NOW)

    assert "1 question decided after" in (await shown.get("/")).text


async def test_an_answer_that_is_owed_and_late_is_a_concern(shown: Shown) -> None:
    """By whom it is owed: what a person has to do is not the same."""
    due = NOW - timedelta(seconds=1)
    await shown.store.outbound.submit(submission(owed=owed(due)), NOW - timedelta(minutes=1))
    await shown.store.inbound.receive(arrival(owed=owed(due)), NOW)
    await shown.store.conversations.tell_due(NOW)
    page = (await shown.get("/")).text

    assert "Overdue: 1 answer owed to us" in page
    assert "Overdue: 1 answer that we owe" in page


async def test_the_workflow_that_is_overdue_is_marked_in_its_row(shown: Shown) -> None:
    """Of two that run, only the one whose time is over."""
    for minutes in (-10, 10):
        due = NOW + timedelta(minutes=minutes)
        await shown.store.outbound.submit(submission(owed=owed(due)), NOW - timedelta(hours=1))
    page = plain((await shown.get("/")).text.partition('id="workflows"')[2])

    assert 1 == page.count("overdue since")
    assert f"overdue since {NOW - timedelta(minutes=10):%d %b %H:%M}" in page


async def test_an_odd_response_is_a_concern(shown: Shown) -> None:
    """It was delivered; somebody has to look at it."""
    await shown.store.outbound.submit(submission(bundle_id="b1"), NOW)
    for move in (Move.CONCLUDE, Move.CONCLUDE):
        came = arrival(move=move, responds_to="b1", focus_id=None)
        await shown.store.responses.respond(came, payload(), NOW)

    assert "2 responses came with a remark" in (await shown.get("/")).text


async def test_open_questions_are_counted_for_monitoring(shown: Shown) -> None:
    """By provider, with the age of the oldest."""
    await asked(shown.store, NOW - timedelta(seconds=3))
    text = (await shown.get("/metrics")).text

    assert 'bars_questions_open{provider="trust"} 1.0' in text
    assert "bars_oldest_question_seconds 3.0" in text


async def test_nothing_of_a_payload_is_shown(shown: Shown) -> None:
    """The page and the metrics know ids, states, codes and counts; never content."""
    await of_every_kind(shown)
    found = [(await shown.get(path)).text for path in ("/", "/metrics")]

    assert [False, False] == [CANARY in text for text in found]


async def test_metrics_are_read_by_prometheus(shown: Shown) -> None:
    """The figures for a machine are those of the page."""
    await of_every_kind(shown)
    answered = await shown.get("/metrics")
    states = {
        sample.labels["state"]: sample.value
        for family in text_string_to_metric_families(answered.text)
        for sample in family.samples
        if family.name == "bars_outbound_messages"
    }

    assert "text/plain" in answered.headers["Content-Type"]
    assert dict.fromkeys(OutboundState, 1.0) == states


async def test_health_tells_each_thing_and_decides_nothing(shown: Shown) -> None:
    """Whoever reads it sees what is out of order; a balancer asks /readyz."""
    shown.running = replace(WELL, tokens=[FAILING])
    answered = await shown.get("/health")
    document = json.loads(answered.text)
    names = {each["name"]: each["state"] for each in document["dependencies"]}

    assert (200, "failing") == (answered.status, document["state"])
    assert ("failing", "ok") == (names["token_service"], names["database"])


async def test_metrics_have_no_ids(shown: Shown) -> None:
    """An id as a label would make a series of its own for each message, and tell who asked."""
    await of_every_kind(shown)
    names = {
        name
        for family in text_string_to_metric_families((await shown.get("/metrics")).text)
        for sample in family.samples
        for name in sample.labels
    }

    of_this = {"version", "environment", "node"}
    assert {"state", "provider", "kind", "name", "bucket", *of_this} == names


async def test_a_living_gateway_is_healthy(shown: Shown) -> None:
    """A monitor that asks whether the process answers gets an answer."""
    answered = await shown.get("/healthz")

    assert (200, '{"status": "alive"}') == (answered.status, answered.text)


@pytest.mark.parametrize(
    ("path", "extra", "status"), [("/" + "x" * 8200, "", 414), ("/healthz", "x" * 16400, 431)]
)
async def test_what_is_too_long_is_told_in_json(
    shown: Shown, path: str, extra: str, status: int
) -> None:
    """As on every other listener, and with the bound."""
    answered = await shown.get(path, X_Long=extra)

    assert status == answered.status
    assert {"error", "cure"} == json.loads(answered.text).keys()


async def test_a_gateway_that_can_work_is_ready(shown: Shown) -> None:
    """Whoever sends traffic here learns that it may."""
    receiving, sending = await shown.get("/readyz"), await shown.get("/readyz/sending")
    ready = {"ready": True, "receiving": True, "sending": True, "reasons": []}

    assert (200, ready) == (receiving.status, json.loads(receiving.text))
    assert (200, ready) == (sending.status, json.loads(sending.text))


@pytest.mark.parametrize(
    ("path", "looks"),
    [
        ("/", {True}),
        ("/health", {True}),
        ("/healthz", set()),
        ("/metrics", {True}),
        ("/readyz", {False}),
        ("/readyz/sending", {False}),
    ],
)
async def test_only_readiness_reads_where_messages_do(
    shown: Shown, monkeypatch: pytest.MonkeyPatch, path: str, looks: set[bool]
) -> None:
    """It is to know what they meet, and asks one row; what takes longer reads beside them."""
    seen: list[tuple[bool, str]] = []
    ask = SqliteConnection._ask

    def noted(self: SqliteConnection, take: Any, statement: str, values: Any) -> Any:
        seen.append((threading.current_thread() in serving, statement))
        return ask(self, take, statement, values)

    serving: list[threading.Thread] = []
    await shown.store._database.read(lambda _: serving.append(threading.current_thread()))
    monkeypatch.setattr(SqliteConnection, "_ask", noted)
    await shown.get(path)

    assert looks == {not messages_do for messages_do, _ in seen}
    assert looks != {False} or [(True, "newest_message")] == seen


@pytest.mark.parametrize(
    ("running", "reason"),
    [
        pytest.param(replace(WELL, stopping=True), "stopping", id="stopping"),
        pytest.param(
            replace(WELL, unavailable=full("9 bytes are free")), "9 bytes are free", id="full"
        ),
    ],
)
async def test_what_stops_everything_takes_the_gateway_out_of_service(
    shown: Shown, running: RuntimeState, reason: str
) -> None:
    """A balancer sends its Senders elsewhere, or lets them wait."""
    shown.running = running
    receiving, sending = await shown.get("/readyz"), await shown.get("/readyz/sending")
    told = {"ready": False, "receiving": False, "sending": False, "reasons": [reason]}

    assert (503, told) == (receiving.status, json.loads(receiving.text))
    assert (503, told) == (sending.status, json.loads(sending.text))


@pytest.mark.parametrize(
    ("running", "reason"),
    [
        pytest.param(
            replace(WELL, tokens=[FAILING]),
            "no access token for trust: the token service does not know the key id",
            id="token",
        ),
        pytest.param(
            replace(WELL, egress=BLOCKED),
            "nothing gets out: the egress proxy says 407",
            id="egress",
        ),
        pytest.param(
            replace(WELL, kept_out=[KEPT_OUT]),
            "the national proxy refuses trust: no registration",
            id="kept-out",
        ),
        pytest.param(
            replace(WELL, stalled={"/spool/trust": "ENOSPC"}),
            "/spool/trust stands still: ENOSPC",
            id="folder",
        ),
        pytest.param(
            replace(WELL, lying=[replace(lying(seconds=180), may_be_all=True)]),
            "2 in /spool/trust/outbox/new not taken: they are links: drop the files themselves",
            id="lying",
        ),
    ],
)
async def test_trouble_with_sending_turns_no_sender_away(
    shown: Shown, running: RuntimeState, reason: str
) -> None:
    """Receiving goes on, and the reason is said where a monitor shows it."""
    shown.running = running
    receiving, sending = await shown.get("/readyz"), await shown.get("/readyz/sending")
    told = {"receiving": True, "sending": False, "reasons": [reason]}

    assert (200, {"ready": True} | told) == (receiving.status, json.loads(receiving.text))
    assert (503, {"ready": False} | told) == (sending.status, json.loads(sending.text))


async def test_one_file_that_is_open_elsewhere_stops_nothing(shown: Shown) -> None:
    """All others go on: a monitor is told of it, and takes no node away."""
    shown.running = replace(WELL, stalled={"/spool/trust": "EBUSY"})
    sending, health = await shown.get("/readyz/sending"), await shown.get("/health")
    reason = "a file in /spool/trust stands still: EBUSY"
    told = {"ready": True, "receiving": True, "sending": True, "reasons": [reason]}
    of_folder = {each["name"]: each["state"] for each in json.loads(health.text)["dependencies"]}

    assert (200, told) == (sending.status, json.loads(sending.text))
    assert "warning" == of_folder["epr_folder"]


async def test_what_strays_into_an_outbox_stops_nothing(shown: Shown) -> None:
    """All else is sent: a monitor is told of it, and takes no node away."""
    shown.running = replace(WELL, lying=[STRAY])
    receiving, sending = await shown.get("/readyz"), await shown.get("/readyz/sending")
    reason = "2 in /spool/trust/outbox/new not taken: they are links: drop the files themselves"
    told = {"ready": True, "receiving": True, "sending": True, "reasons": [reason]}

    assert (200, told) == (receiving.status, json.loads(receiving.text))
    assert (200, told) == (sending.status, json.loads(sending.text))


async def test_an_ended_certificate_stops_what_is_received_alone(shown: Shown) -> None:
    """No caller gets in, and what is to be sent is sent: both are said, and since when."""
    shown.running = replace(WELL, expiries=[ending(timedelta())])
    receiving, sending = await shown.get("/readyz"), await shown.get("/readyz/sending")
    ended = "the certificate for receiving has ended"
    reasons = [f"Nothing is received since 02 Mar 2026 09:00 UTC: {ended}"]
    told = {"receiving": False, "sending": True, "reasons": reasons}

    assert (503, {"ready": False} | told) == (receiving.status, json.loads(receiving.text))
    assert (200, {"ready": True} | told) == (sending.status, json.loads(sending.text))


async def test_an_ended_certificate_is_said_first(shown: Shown) -> None:
    """Above all that can wait, and once."""
    shown.running = replace(WELL, lying=[STRAY], expiries=[ending(timedelta())])
    page = (await shown.get("/")).text

    assert page.index("Nothing is received since") < page.index("not taken")
    assert 1 == page.count("the certificate for receiving has ended")


@pytest.mark.parametrize(
    ("retry_at", "told"),
    [
        (
            NOW + timedelta(seconds=20),
            "The next try is at 09:00:20 UTC, or with a reload (systemctl reload bars-gateway)",
        ),
        (None, "The next try is with the next message."),
    ],
)
async def test_when_a_token_is_asked_for_again_is_told(
    shown: Shown, retry_at: datetime | None, told: str
) -> None:
    """Whoever has put the key right knows how long to wait for it."""
    shown.running = replace(WELL, tokens=[replace(FAILING, retry_at=retry_at)])

    assert told in plain((await shown.get("/")).text)


async def test_no_token_is_promised_with_a_message_while_none_can_be_stored(shown: Shown) -> None:
    """Those that wait are not tried before that, however many come."""
    shown.running = replace(WELL, tokens=[FAILING], unavailable=full("9 bytes are free"))
    told = "The next try is with the next message, once something can be stored again."

    assert told in plain((await shown.get("/")).text)


@pytest.mark.parametrize(("hosted", "blamed"), [({"s|1"}, False), (set(), True)])
async def test_our_own_silence_is_blamed_on_nobody_else(
    shown: Shown, hosted: set[str], *, blamed: bool
) -> None:
    """A service that we receive for ourselves is silent because of us."""
    shown.running = replace(WELL, silent={"s|1": LONG_AGO}, hosted=frozenset(hosted))
    page = (await shown.get("/")).text

    assert blamed is ("Tell whoever runs it" in page)
    assert blamed is ("Look first <strong>at the other side</strong>" in page)
    assert blamed is not ("It is a service of this gateway itself" in page)


UNINSPECTED = Inspection(after_orderly_stop=False, waits_since=LONG_AGO, last=None)
INSPECTED = Inspected(began_at=LONG_AGO, ended_at=NOW - timedelta(hours=2), found=[])


async def test_a_database_that_is_not_compared_yet_turns_nobody_away(shown: Shown) -> None:
    """A monitor may read it; a balancer sends on."""
    shown.running = replace(WELL, inspection=UNINSPECTED)
    answered = await shown.get("/readyz")
    told = json.loads(answered.text)

    assert (200, True, True) == (answered.status, told["ready"], told["sending"])
    assert told["reasons"][0].startswith("The database is being compared with its indexes")


async def test_a_database_that_is_not_compared_yet_is_said(shown: Shown) -> None:
    """Until it is; and after a kill what was looked at before the doors opened."""
    shown.running = replace(WELL, inspection=UNINSPECTED)
    text = (await shown.get("/")).text

    assert "The database is being compared with its indexes, in the background, since" in text
    assert "a kill or a power cut: what waits was compared first" in text


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], "compared with its indexes 2 h ago: nothing was missing."),
        (["messages_due: 1 row lacked"], "2 h ago: messages_due: 1 row lacked."),
    ],
)
async def test_the_last_comparison_is_shown(shown: Shown, found: list[str], expected: str) -> None:
    """When it was, and what it found; and that alone needs nobody."""
    inspection = Inspection(
        after_orderly_stop=True, waits_since=None, last=replace(INSPECTED, found=found)
    )
    shown.running = replace(WELL, inspection=inspection)
    text = (await shown.get("/")).text

    assert expected in text
    assert "No action needed" in text


async def test_an_index_that_cannot_be_rebuilt_needs_a_person(shown: Shown) -> None:
    """With what it lacks, and what to do."""
    inspection = replace(UNINSPECTED, waits_since=None, left=["messages_same: 1 row"])
    shown.running = replace(WELL, inspection=inspection)

    assert "lacks rows where it looks for them: messages_same: 1 row" in (await shown.get("/")).text


async def test_a_gateway_without_its_database_is_not_ready(shown: Shown) -> None:
    """The reason is said where a monitor shows it."""
    await shown.database.write(
        lambda connection: connection.raw.execute("ALTER TABLE messages RENAME TO gone")
    )
    answered = await shown.get("/readyz")

    assert 503 == answered.status
    assert "the database refused" in answered.text


async def test_a_page_without_its_database_says_so(shown: Shown) -> None:
    """The page that cannot be made says why, and what to do."""
    await shown.database.write(lambda connection: connection.raw.execute("DROP TABLE attempts"))
    answered = await shown.get("/")

    assert 503 == answered.status
    assert "run `bars-gateway verify`" in answered.text


@pytest.mark.parametrize(
    "path", ["/", "/console.css", "/healthz", "/readyz", "/readyz/sending", "/metrics"]
)
async def test_every_answer_is_safe_to_show(shown: Shown, path: str) -> None:
    """No script runs, nothing is kept by a browser, and the next site learns nothing."""
    headers = (await shown.get(path)).headers
    expected = {
        "Content-Security-Policy": (
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self';"
            " img-src 'self'; form-action 'self';"
            " base-uri 'none'; frame-ancestors 'none'"
        ),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Server": "bars-gateway",
    }

    assert expected == {name: headers.get(name) for name in expected}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost:8480", 200),
        ("[::1]:8480", 200),
        ("elsewhere.example", 421),
        ("localhost.elsewhere.example", 421),
        ("", 421),
        ("a:b:1", 421),
    ],
)
async def test_a_page_from_elsewhere_cannot_read_this_one(
    shown: Shown, host: str, status: int
) -> None:
    """D-local-page: a name that somebody else lets lead here is not answered; an address is."""
    await settled(shown.store, OutboundState.REFUSED, Verdict.REFUSED)
    answer = await shown.get("/", Host=host)

    assert status == answer.status
    assert (status == 200) == ("got a refusal" in answer.text)


async def test_names_are_text(shown: Shown) -> None:
    """What settings and counterparties call themselves is never taken for markup."""
    await shown.store.outbound.submit(submission(provider="<script>alert(1)</script>"), NOW)
    await shown.store.inbound.receive(arrival(provider="<script>alert(2)</script>"), NOW)
    page = (await shown.get("/")).text

    assert "<script>" not in page
    assert "&lt;script&gt;alert(2)" in page


# In a browser. One is started for each test: its loop is the test's.

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=ARGUMENTS
        )
        yield started
        await started.close()


async def busy(shown: Shown) -> None:
    """Make the page as full as it gets."""
    await of_every_kind(shown)
    shown.running = replace(
        WELL,
        tokens=[TOKEN, replace(FAILING, provider="another-trust-with-a-rather-long-name")],
        expiries=[ending(timedelta(days=3))],
        handshake_failures={"unknown authority": 3, "name not allowed": 1},
    )


def complaints(page: Page) -> list[str]:
    """Return the list that what the browser complains about will be added to."""
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text))
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("requestfailed", lambda request: found.append(f"failed: {request.url}"))
    return found


VIEWS: dict[str, tuple[Literal["light", "dark"], int]] = {
    "light": ("light", 1280),
    "dark": ("dark", 1280),
    "light, narrow": ("light", 360),
    "dark, narrow": ("dark", 360),
}
# WCAG 2: text of this size needs a contrast of 4.5 with what is behind it.
CONTRAST = """
() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => {
    const [r, g, b] = rgb.slice(0, 3).map((v) => v / 255)
      .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own) continue;
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${node.tagName} ${node.className} ${ratio.toFixed(2)}`);
  }
  return poor;
}
"""


@pytest.mark.needs("chromium")
async def test_the_page_is_usable_however_it_is_looked_at(shown: Shown) -> None:
    """Light, dark and on a telephone: no complaint, no sideways scrolling, enough contrast."""
    await busy(shown)
    found: dict[str, object] = {}
    async with browser() as chromium:
        for name, (scheme, width) in VIEWS.items():
            context = await chromium.new_context(
                color_scheme=scheme, viewport={"width": width, "height": 800}
            )
            page = await context.new_page()
            noise = complaints(page)
            await page.goto(shown.url)
            wide = await page.evaluate("document.documentElement.scrollWidth > innerWidth")
            found[name] = (noise, wide, await page.evaluate(CONTRAST))
            await context.close()

    assert dict.fromkeys(found, ([], False, [])) == found


@pytest.mark.needs("chromium")
async def test_the_page_is_usable_without_a_mouse_or_eyes(shown: Shown) -> None:
    """The first Tab skips to the figures, and every table says what its columns are."""
    await busy(shown)
    async with browser() as chromium:
        page = await chromium.new_page()
        await page.goto(shown.url)
        await page.keyboard.press("Tab")
        await page.wait_for_function("document.activeElement !== document.body")
        first = await page.evaluate("document.activeElement.textContent")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/#main")
        tables = await page.locator("table").count()
        headed = await page.locator("table:has(thead th[scope=col])").count()
        language = await page.locator("html").get_attribute("lang")

    assert "Skip to the main content" == first
    assert tables == headed == 6
    assert "en-GB" == language


def lying(use_case: str, minutes: float) -> Unread:
    """Return one notice of that use case that has lain there for so long."""
    notice = UnreadNotice(
        notice_id=7, request_id=TALK, workflow_id=3, created_at=NOW - timedelta(minutes=minutes)
    )
    late_after = shipped_timing(use_case).unread_after
    return Unread(use_case=use_case, count=1, late_after=late_after, oldest=[notice])


def attended(*unread: Unread, **changes: Any) -> RuntimeState:
    values: dict[str, Any] = {"asks": False, "known": True, "unread": unread} | changes
    return replace(WELL, eprs=[EprCondition(provider="trust", **values)])


@pytest.mark.parametrize(
    ("use_case", "minutes", "concerning"),
    [("a3t1", 4, False), ("a3t1", 5, True), ("a1t1", 29, False), ("a1t1", 30, True)],
)
async def test_what_lies_unread_is_a_concern_by_its_use_case(
    shown: Shown, use_case: str, minutes: float, *, concerning: bool
) -> None:
    """What is urgent must be read sooner."""
    shown.running = attended(lying(use_case, minutes))
    page = plain((await shown.get("/")).text)

    assert concerning is (f"The EPR of trust has not taken 1 notice of {use_case}" in page)
    assert concerning is ("notice 7 02 Mar" in page and TALK in page)


def refusals(use_case: str, minutes: float) -> LyingRefusals:
    """Return two files of that use case, the first refused so long ago."""
    late_after = shipped_timing(use_case).unread_after
    since = NOW - timedelta(minutes=minutes)
    return LyingRefusals(use_case=use_case, count=2, since=since, late_after=late_after)


@pytest.mark.parametrize(
    ("use_case", "minutes", "concerning"),
    [("a3t1", 4, False), ("a3t1", 5, True), ("a1t1", 29, False), ("a1t1", 30, True), ("", 5, True)],
)
async def test_what_was_refused_and_lies_there_is_a_concern(
    shown: Shown, use_case: str, minutes: float, *, concerning: bool
) -> None:
    """Nothing of it was sent, and nobody may know."""
    shown.running = attended(refused=[refusals(use_case, minutes)])
    page = plain((await shown.get("/")).text)
    named = use_case or "no known use case"

    assert concerning is (f"2 files of {named} refused to the EPR of trust" in page)
    assert f"until it takes the reason away: 2 of {named}, the oldest" in page


async def test_how_often_an_epr_was_refused_something_is_shown(shown: Shown) -> None:
    """On the socket it has heard each, and nothing of them lies anywhere."""
    shown.running = attended(refusals=3, refused_at=NOW - timedelta(seconds=9))
    page = plain((await shown.get("/")).text)

    assert "Refused to it since the gateway started: 3, the last 9 s ago." in page
    assert "No action needed" in page


async def test_machines_read_what_was_refused(shown: Shown) -> None:
    """How many at either door, and what lies in the folder, by provider and use case."""
    shown.running = attended(refused=[refusals("a3t1", 5)], refusals=3, refused_at=NOW)
    lines = (await shown.get("/metrics")).text.splitlines()

    assert {
        'bars_submissions_refused_total{provider="trust"} 3.0',
        'bars_refused_files{provider="trust",use_case="a3t1"} 2.0',
        'bars_oldest_refused_seconds{provider="trust",use_case="a3t1"} 300.0',
    } <= set(lines)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        pytest.param(
            {"asks": True}, "has not asked for questions since the gateway started", id="never"
        ),
        pytest.param(
            {"asks": True, "asked_at": NOW - timedelta(minutes=3)},
            "has stopped asking for questions: last at 02 Mar 08:57 UTC",
            id="stopped",
        ),
    ],
)
async def test_an_epr_that_asks_no_more_is_a_concern(
    shown: Shown, changes: dict[str, Any], text: str
) -> None:
    """Senders are told 503, and nobody at the EPR notices."""
    shown.running = attended(**changes)

    assert text in (await shown.get("/")).text


@pytest.mark.parametrize("changes", [{"asks": True, "asked_at": NOW}, {"asks": False}])
async def test_an_epr_that_asks_or_need_not_is_none(shown: Shown, changes: dict[str, Any]) -> None:
    """Not every EPR decides."""
    shown.running = attended(**changes)

    assert "No action needed" in (await shown.get("/")).text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        pytest.param({}, "has not been seen since the gateway started; when that was", id="never"),
        pytest.param({"seen_at": NOW - timedelta(seconds=3)}, "was last seen 3 s ago", id="seen"),
        pytest.param({"known": False}, "what lies there for it cannot be seen", id="unknown"),
    ],
)
async def test_when_an_epr_was_last_seen_is_shown(
    shown: Shown, changes: dict[str, Any], text: str
) -> None:
    """And that this is not known from before the start."""
    shown.running = attended(**changes)

    assert text in (await shown.get("/")).text


async def test_what_is_to_be_collected_was_not_taken(shown: Shown) -> None:
    """What lies there is looked at now and then: what came since is told from the store."""
    shown.running = attended()
    before = (await shown.get("/")).text
    await shown.store.inbound.receive(arrival(), NOW)
    after = (await shown.get("/")).text

    assert "it had taken every notice" in before
    assert "1 notice to collect" in after
    assert "taken every notice" not in after


async def test_machines_read_what_lies_unread(shown: Shown) -> None:
    """Number and age, by provider and use case; and when the EPR was last seen."""
    shown.running = attended(lying("a3t1", 5), seen_at=NOW - timedelta(seconds=9))
    lines = (await shown.get("/metrics")).text.splitlines()

    assert {
        'bars_unread_notices{provider="trust",use_case="a3t1"} 1.0',
        'bars_oldest_unread_seconds{provider="trust",use_case="a3t1"} 300.0',
        'bars_epr_seen_seconds{provider="trust"} 9.0',
    } <= set(lines)


async def test_machines_read_what_nobody_has_seen(shown: Shown) -> None:
    """However long ago it was."""
    await settled(shown.store, OutboundState.UNCONFIRMED, Verdict.RETRY)
    lines = (await shown.get("/metrics")).text.splitlines()

    assert 'bars_alarms{kind="message.unconfirmed",provider="trust"} 1.0' in lines


async def test_a_concern_names_exactly_what_it_speaks_of(shown: Shown) -> None:
    """By the ids that an operator types, and with the command that clears no more than those."""
    await settled(shown.store, OutboundState.UNCONFIRMED, Verdict.RETRY)
    await settled(shown.store, OutboundState.UNCONFIRMED, Verdict.RETRY)
    ids = {attempt.request_id for attempt in (await shown.store.overview(NOW)).last_attempts}
    page = (await shown.get("/")).text
    top = page[: page.index("Outbound messages")]

    assert 2 == len(ids)
    assert all(request_id in top for request_id in ids)
    assert "mark-handled --all --kind message.unconfirmed --up-to 2 --provider trust --why" in top


async def test_what_concerns_no_provider_is_marked_at_the_door_of_any(shown: Shown) -> None:
    """The command asks a socket, and wants to know which where there are several."""
    await shown.store.asides.tell(Aside.WORK, ValueError(), NOW)
    alone = (await shown.get("/")).text
    eprs = [replace(attended().eprs[0], provider=name) for name in ("trust", "other")]
    shown.running = replace(WELL, eprs=eprs)
    several = (await shown.get("/")).text

    assert "mark-handled 1 --why" in alone
    assert "mark-handled 1 --provider trust --why" in several


async def test_of_many_the_newest_are_listed_and_the_rest_counted(shown: Shown) -> None:
    """The page stays readable in a bad night."""
    for _ in range(12):
        await settled(shown.store, OutboundState.UNCONFIRMED, Verdict.RETRY)
    page = (await shown.get("/")).text

    assert "12 messages may or may not have arrived" in page
    assert 10 == page.count("<b>alarm ")
    assert 'And <a href="/alarms?kind=message.unconfirmed">2 more</a>' in page


async def test_a_change_of_nothing_that_is_known_here_waits_for_a_person(shown: Shown) -> None:
    """The EPR reads that somebody is to telephone: the page does not say that nothing waits."""
    warned = [Warned(rule="L12", path="MessageHeader.focus", problem="of nothing")]
    for focus_id, warnings in (("sr-8", warned), ("sr-9", [])):
        submitted = submission(move=Move.CANCEL, focus_id=focus_id, warnings=warnings)
        await shown.store.outbound.submit(submitted, NOW)
        claim = await claim_next(shown.store, NOW, {"trust"})
        assert claim is not None
        taken = Settled(state=OutboundState.ACKNOWLEDGED)
        await shown.store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=taken)
    text = (await shown.get("/")).text

    assert "1 change acknowledged under a number that no request here has" in text
    assert "Nothing waits for a person" not in text


async def test_what_was_cancelled_in_vain_is_a_concern_of_its_own(shown: Shown) -> None:
    """Of a request that never left somebody has to act now, and of a cancellation in vain not."""
    await shown.store.outbound.submit(submission(bundle_id="b1", use_case="a6t2"), NOW)
    claim = await claim_next(shown.store, NOW, {"trust"})
    assert claim is not None
    taken = Settled(state=OutboundState.ACKNOWLEDGED, focus_id="sr-1")
    await shown.store.outbound.settle(claim, ANSWER, attempt=attempt(claim), settlement=taken)
    changes = {"use_case": "a6t2", "move": Move.CANCEL, "focus_id": "sr-1"}
    for each in (submission(**changes), submission()):
        await shown.store.outbound.submit(each, NOW)
    declined = arrival(move=Move.DECLINE, responds_to="b1", use_case="a6t2")
    await shown.store.responses.respond(declined, payload(b"{}"), NOW)
    await shown.store.outbound.give_up(NOW + timedelta(minutes=15))
    text = (await shown.get("/")).text

    assert "1 message never left this organisation" in text
    assert "1 message did not leave this organisation, and the case went on regardless" in text
    assert 1 == text.count("Act now by other means")
    assert "--all --kind message.not_sent" not in text
