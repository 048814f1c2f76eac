"""The figures for a machine: every concern has one, and none names anybody."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from figures import AT, AT_REST, EMPTY, NOTHING, TOKEN, collected, every_name
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
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

from bars_gateway.model.alarms import ALARMS
from bars_gateway.model.messages import Attempt, OutboundState, Settled, TryAgain
from bars_gateway.model.nodes import Node
from bars_gateway.model.questions import OpenQuestions, QuestionOpen, Terms
from bars_gateway.model.readings import Inspection, StuckLog
from bars_gateway.model.standing_alarms import StandingAlarms
from bars_gateway.model.trail import BreachKind
from bars_gateway.standard.verdict import FaultSide, Verdict
from bars_gateway.standard.workflow import Move
from bars_gateway.status.concern import ConcernKind
from bars_gateway.status.concerns import concerns
from bars_gateway.status.metrics import ALARMS_FIGURE, FIGURE_OF, Measured
from bars_gateway.status.runbooks import RUNBOOKS
from bars_gateway.status.running import (
    BudgetState,
    EgressState,
    KeptOutState,
    Lying,
    UnavailableState,
)
from bars_gateway.store.figures import BUCKETS, bucket_of
from bars_gateway.store.readings import EprCondition, LyingRefusals, Unread, UnreadNotice
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.store import Store
from bars_gateway.upkeep.housekeeping import ClockStep, ExpiringKind, Expiry
from bars_gateway.upkeep.loops import LoopLag
from bars_gateway.upkeep.purging import PurgeState
from bars_gateway.upkeep.trail import TrailState

AN_HOUR = timedelta(hours=1)
SERVICE = "https://fhir.nhs.uk/Id/dos-service-id|2000000202"
LATE = Unread(
    use_case="a4t1",
    count=1,
    late_after=timedelta(minutes=5),
    oldest=[
        UnreadNotice(notice_id=1, request_id="r", workflow_id=1, created_at=AT - AN_HOUR),
    ],
)
REFUSED = LyingRefusals(
    use_case="a4t1", count=1, since=AT - AN_HOUR, late_after=timedelta(minutes=5)
)
EPR = EprCondition(provider="trust", asks=False)
ENDS = Expiry(
    kind=ExpiringKind.CERTIFICATE,
    name="The certificate for receiving",
    begins_at=AT - timedelta(days=360),
    ends_at=AT + timedelta(days=5),
)
OTHER_NODE = Node(
    name="south",
    version="1",
    started_at=AT - AN_HOUR,
    seen_at=AT - timedelta(minutes=1),
    silent=timedelta(minutes=1),
    clock_ahead=timedelta(0),
)
LYING = Lying(folder="/spool/new", count=2, seconds=60, means="nothing was sent", cure="drop them")


def running(**changes: object):
    return EMPTY, replace(AT_REST, **changes)


def seen(**changes: object):
    return replace(EMPTY, **changes), AT_REST


def asked(**changes: object):
    token = replace(TOKEN, **changes)
    return running(tokens=[token])


def inspected(**changes: object):
    values = {"after_orderly_stop": True, "waits_since": None, "last": None, "left": ()}
    return running(inspection=Inspection(**{**values, **changes}))


# One way in which each kind comes to be.
SITUATIONS = {
    ConcernKind.STORE_UNAVAILABLE: running(
        unavailable=UnavailableState(reason="full", advice="room")
    ),
    ConcernKind.NOTICE_UNREAD: running(eprs=[replace(EPR, unread=[LATE])]),
    ConcernKind.REFUSAL_UNREAD: running(eprs=[replace(EPR, refused=[REFUSED])]),
    ConcernKind.EPR_NOT_ASKING: running(eprs=[replace(EPR, asks=True, asked_at=AT - AN_HOUR)]),
    ConcernKind.MESSAGE_HELD: seen(outbound={**EMPTY.outbound, OutboundState.HELD: 1}),
    ConcernKind.DATABASE_GAP: inspected(left=["messages_due"]),
    ConcernKind.DATABASE_LOG_STUCK: running(stuck_log=StuckLog(seconds=180, size=2**28)),
    ConcernKind.LOG_STUCK: running(lines_stuck_seconds=90.0),
    ConcernKind.EGRESS_BLOCKED: running(egress=EgressState(since=AT, reason="407", advice="ask")),
    ConcernKind.TOKEN_MISSING: asked(failing_since=AT, reason="no", advice="see"),
    ConcernKind.PROVIDER_MISSING: running(missing={"trust": AT}),
    ConcernKind.PROVIDER_KEPT_OUT: running(
        kept_out=[KeptOutState(provider="trust", since=AT, reason="no", advice="ask")]
    ),
    ConcernKind.KEY_UNKNOWN: asked(refused_keys=["int-1"]),
    ConcernKind.CLOCK_SKEWED: asked(clock_skew_seconds=-60.0),
    ConcernKind.FOLDER_STALLED: running(stalled={"/spool/trust": "ENOSPC"}),
    ConcernKind.FILE_NOT_TAKEN: running(lying=[LYING]),
    ConcernKind.RECEIVER_SILENT: running(silent={SERVICE: AT}),
    ConcernKind.RECEIVER_FAILING: running(failing={SERVICE: AT}),
    ConcernKind.QUESTION_LATE: seen(
        questions_open={"trust": OpenQuestions(count=1, late=1, oldest_at=AT)}
    ),
    ConcernKind.CALLER_OBSERVED: running(observes_until=AT + AN_HOUR),
    ConcernKind.CALLER_SHUT_OUT: running(shut_out=["bars.example.org, of another authority"]),
    ConcernKind.RENEWAL_REFUSED: running(refused={"the signing key of trust": "no RSA key"}),
    ConcernKind.EXPIRY_OVER: running(expiries=[replace(ENDS, ends_at=AT)]),
    ConcernKind.EXPIRY_IMMINENT: running(expiries=[ENDS]),
    ConcernKind.EXPIRY_NEAR: running(expiries=[replace(ENDS, ends_at=AT + timedelta(days=12))]),
    ConcernKind.CLOCK_STEPPED: running(clock_step=ClockStep(seconds=-60.0, at=AT)),
    ConcernKind.DATABASE_UNCOMPARED: inspected(waits_since=AT - AN_HOUR),
    ConcernKind.PURGE_LATE: running(purges=PurgeState(nightly=True, since=AT - timedelta(days=4))),
    ConcernKind.AUDIT_LATE: running(trail=TrailState(since=AT - timedelta(hours=4))),
    ConcernKind.NODE_AWAY: running(nodes=[OTHER_NODE]),
    ConcernKind.DISK_LOW: (replace(EMPTY, free_bytes=1), replace(AT_REST, minimum_free_bytes=1)),
    ConcernKind.ALERT_UNDELIVERED: running(undelivered={"mail": AT}),
    ConcernKind.MESSAGE_WAITING: seen(oldest_waiting_at=AT - AN_HOUR),
}


def values(metrics: Sequence[Metric], name: str) -> dict[tuple[str, ...], float]:
    """Return what a figure says, by its labels."""
    return {
        tuple(sample.labels.values()): sample.value
        for metric in metrics
        for sample in metric.samples
        if sample.name == name
    }


@pytest.mark.parametrize("kind", ConcernKind)
def test_every_concern_moves_its_figure(kind: ConcernKind) -> None:
    """What the page says, a machine can be told to watch for: no concern is seen by people only."""
    overview, state = SITUATIONS[kind]
    at_rest, now = collected(), collected(overview, NOTHING, state)
    figure = FIGURE_OF[kind]

    assert [kind] == [each.kind for each in concerns(overview, state, first_days=90)]
    assert values(at_rest, figure) != values(now, figure)


def test_where_the_runbook_has_somebody_telephone_the_page_does() -> None:
    """Whoever sees the page alone, at night, telephones before the cause is found."""
    silent = [
        kind
        for kind, (overview, state) in SITUATIONS.items()
        for concern in concerns(overview, state, first_days=90)
        if "elephone" in RUNBOOKS[kind].do and "elephone" not in concern.advice
        if kind is not ConcernKind.EXPIRY_IMMINENT  # there the certificate is ordered so
    ]

    assert [] == silent


@pytest.mark.parametrize("kind", ALARMS)
def test_every_kind_of_alarm_is_counted(kind: str) -> None:
    """What somebody has to see to is a figure by its kind, whoever's patient it is about."""
    standing = StandingAlarms(
        kind=kind, provider="trust", role=None, meanwhile=None, count=3, oldest_at=AT, newest=9
    )
    now = collected(replace(EMPTY, standing=[standing]))

    assert {(kind, "trust"): 3.0} == values(now, ALARMS_FIGURE)


def test_an_alarm_and_a_concern_never_share_a_code() -> None:
    """One code is one section of the runbooks."""
    assert set() == set(ConcernKind) & ALARMS.keys()


def test_no_label_names_a_receiver() -> None:
    """A Receiver is in a bucket: what a label has is kept for years, and read by many."""
    state = replace(AT_REST, silent={SERVICE: AT}, failing={SERVICE: AT})
    labels = {
        value
        for metric in collected(EMPTY, NOTHING, state)
        for sample in metric.samples
        for value in sample.labels.values()
    }

    assert [] == [label for label in labels if "2000000202" in label]


def test_a_restart_does_not_end_a_silence() -> None:
    """Who was silent before it, and has said nothing since, counts once: an alert goes on."""
    state = replace(AT_REST, remembered={SERVICE: AT, "s|1": AT}, silent={"s|1": AT})

    assert {(): 2.0} == values(collected(EMPTY, NOTHING, state), "bars_receivers_silent")


def test_a_receiver_keeps_its_bucket() -> None:
    """A line in a graph goes on after a restart, and on another machine."""
    assert "e" == bucket_of(SERVICE)
    assert set(BUCKETS) == {bucket_of(f"s|{number}") for number in range(500)}


def test_providers_that_share_a_key_share_its_figures() -> None:
    """The platform counts by key, and so does the figure."""
    budget = BudgetState(providers=["a", "b"], per_minute=300, used=299, paused_seconds=4.0)
    now = collected(EMPTY, NOTHING, replace(AT_REST, budgets=[budget]))
    names = ("bars_budget_per_minute", "bars_budget_used", "bars_budget_paused_seconds")

    assert [{("a b",): 300}, {("a b",): 299}, {("a b",): 4}] == [values(now, n) for n in names]


def test_the_audit_trail_tells_how_it_is_looked_after() -> None:
    """When it was sealed, kept elsewhere and walked, and what that found, by its kind."""
    trail = TrailState(
        since=AT - AN_HOUR,
        sealed_to=AT - 9 * AN_HOUR,
        kept_at=AT - timedelta(minutes=5),
        walked_at=AT - AN_HOUR,
        found={BreachKind.ANCHOR: 2},
    )
    now = collected(EMPTY, replace(NOTHING, last_line=17), replace(AT_REST, trail=trail))
    names = ("last_line", "sealed_seconds", "head_kept_seconds", "verified_seconds", "late_seconds")
    breaches = values(now, "bars_audit_breaches")

    assert [17, 32400, 300, 3600, 0] == [values(now, f"bars_audit_{n}")[()] for n in names]
    assert {("anchor",): 2.0} == {kind: count for kind, count in breaches.items() if count}
    assert len(BreachKind) == len(breaches)


@pytest.mark.parametrize(
    ("trail", "is_late"),
    [
        (TrailState(since=AT - timedelta(hours=2)), False),
        (TrailState(since=AT - timedelta(hours=4)), True),
        (TrailState(since=AT - timedelta(days=3), kept_at=AT, walked_at=AT), False),
        (TrailState(since=AT - timedelta(days=3), kept_at=AT), True),
        (TrailState(since=AT - timedelta(days=3), walked_at=AT), True),
    ],
    ids=["new", "untold", "well", "unwalked", "walked-untold"],
)
def test_a_trail_that_nobody_walks_or_tells_is_late(trail: TrailState, is_late: bool) -> None:  # noqa: FBT001
    """After two days without a walk, or three hours without its head elsewhere."""
    assert is_late == (trail.late_since(AT) is not None)


def test_an_age_is_never_negative() -> None:
    """A clock that was set back makes nothing younger than nothing; an alert on it stays true."""
    later = replace(EMPTY, oldest_waiting_at=AT + AN_HOUR, oldest_open_at=AT + AN_HOUR)

    assert {(): 0.0} == values(collected(later), "bars_oldest_waiting_seconds")
    assert {(): 0.0} == values(collected(later), "bars_oldest_open_seconds")


def test_the_names_are_one_family() -> None:
    """Whoever looks for our figures finds them all by one word."""
    assert [] == [name for name in every_name() if not name.startswith("bars_")]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_database(tmp_path / "gateway.db") as database:
        yield Store(database, node="here")


async def test_what_waits_is_counted_by_bucket(store: Store) -> None:
    """A heap for one Receiver is seen, with its age, and nobody is named."""
    await store.outbound.submit(submission(receiver="s|1"), NOW - AN_HOUR)
    await store.outbound.submit(submission(receiver="s|1"), NOW)
    await store.outbound.submit(submission(receiver="s|2"), NOW)
    counted = await store.figures.counted(NOW)
    now = collected(replace(EMPTY, at=NOW), counted)
    backlog, oldest = (values(now, f"bars_{x}") for x in ("backlog", "oldest_backlog_seconds"))
    one, two = (bucket_of("s|1"),), (bucket_of("s|2"),)

    assert (2.0, 1.0, 3.0) == (backlog[one], backlog[two], sum(backlog.values()))
    assert (3600.0, 0.0) == (oldest[one], oldest[two])


async def test_what_is_quarantined_is_counted(store: Store) -> None:
    """A response that nobody has attached is a patient's answer that nobody reads."""
    await store.responses.respond(arrival(move=Move.CONCLUDE), payload(), NOW - AN_HOUR)
    now = collected(replace(EMPTY, at=NOW), await store.figures.counted(NOW))

    assert {("trust",): 1.0} == values(now, "bars_quarantined")
    assert {("trust",): 3600.0} == values(now, "bars_oldest_quarantined_seconds")


async def test_an_overdue_answer_is_counted_until_it_comes(store: Store) -> None:
    """It is late, whether or not somebody has marked the alarm as handled."""
    await sent(store, owed=owed(NOW - AN_HOUR))
    now = collected(replace(EMPTY, at=NOW), await store.figures.counted(NOW))

    assert {("trust", "requester"): 1.0} == values(now, "bars_answers_overdue")
    assert {("trust", "requester"): 3600.0} == values(now, "bars_oldest_overdue_seconds")


async def test_when_messages_flowed_last_is_told_each_way(store: Store) -> None:
    """Silence is seen, and whose it is; before the first message there is nothing to tell."""
    before = await store.figures.counted(NOW)
    await sent(store)
    await store.inbound.receive(arrival(), NOW + AN_HOUR)
    after = await store.figures.counted(NOW + AN_HOUR)
    now = collected(replace(EMPTY, at=NOW + AN_HOUR), after)

    assert (None, None) == (before.received_at, before.acknowledged_at)
    assert {(): 0.0} == values(now, "bars_last_received_seconds")
    assert {(): 3599.0} == values(now, "bars_last_acknowledged_seconds")


async def sent(store: Store, **changes: object) -> None:
    """Send one message, which its Receiver acknowledges."""
    await store.outbound.submit(submission(**changes), NOW)
    claim = await claim_next(store, NOW, ["trust"])
    assert claim is not None
    await store.outbound.settle(
        claim,
        ANSWER,
        attempt=attempt(claim, Verdict.ACKNOWLEDGED),
        settlement=Settled(state=OutboundState.ACKNOWLEDGED),
    )


class Noted:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.commits: list[tuple[float, float]] = []
        self.attempts: list[Attempt] = []
        self.answers: list[float] = []

    def committed(self, seconds: float, flush_seconds: float) -> None:
        self.commits.append((seconds, flush_seconds))

    def attempted(self, attempt: Attempt) -> None:
        self.attempts.append(attempt)

    def answered(self, seconds: float) -> None:
        self.answers.append(seconds)


async def test_each_attempt_is_told_by_verdict_and_fault(store: Store) -> None:
    """Whose fault it is that messages do not arrive is seen without looking into one."""
    registry = CollectorRegistry()
    store.measure(Measured(registry))
    await sent(store)
    await store.outbound.submit(submission(), NOW)
    claim = await claim_next(store, NOW, ["trust"])
    assert claim is not None
    silent = attempt(claim, Verdict.RETRY, fault=FaultSide.REC)
    later = TryAgain(at=NOW + AN_HOUR)
    await store.outbound.settle(claim, SILENCE, attempt=silent, settlement=later)
    found = values(list(registry.collect()), "bars_attempts_total")

    assert {("acknowledged", "none"): 1.0, ("retry", "REC"): 1.0} == found


async def test_a_group_is_measured_with_its_flush(store: Store) -> None:
    """A disk that grows slow is seen before it is full of excuses."""
    noted = Noted()
    store.measure(noted)
    await store.outbound.submit(submission(), NOW)
    ((seconds, flush_seconds),) = noted.commits

    assert 0 < flush_seconds <= seconds


async def test_an_answer_is_measured_once(store: Store) -> None:
    """An EPR that says the same again has not answered faster, nor slower."""
    noted = Noted()
    store.measure(noted)
    store.questions.attend("trust", NOW)
    terms = Terms(answer_by=NOW + AN_HOUR, alarm_at=NOW + AN_HOUR)
    put = await store.questions.ask_about(arrival(), None, terms, NOW)
    assert isinstance(put, QuestionOpen)
    for seconds in (3, 9):
        at = NOW + timedelta(seconds=seconds)
        await store.questions.decide("trust", put.question_id, decision(), at)

    assert [3.0] == noted.answers


async def test_a_loop_that_is_held_up_is_seen() -> None:
    """What all others wait for is measured: how much later than due the process comes round."""
    noted: list[float] = []
    clock = iter([0.0, 0.75, 1.0, 1.01])
    lag = LoopLag(noted.append, lambda: next(clock, 9.0), every_seconds=0.01)
    async with asyncio.TaskGroup() as group:
        group.create_task(lag.run())
        while len(noted) < 2:
            await asyncio.sleep(0.005)
        lag.stop()

    assert [0.74, 0.0] == [round(each, 3) for each in noted[:2]]
