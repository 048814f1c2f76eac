"""What time does: a schedule when the wall clock is set, an hour either way; alarms in the log."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from national_side import Clock
from store_values import NOW, SILENCE, arrival, attempt, claim_next, owed, submission
from structlog.testing import capture_logs

from bars_gateway.errors import StorageFull
from bars_gateway.model.alarms import ALARMS
from bars_gateway.model.alerts import AlertStep, Channel, Condition, StandingConditions, Telling
from bars_gateway.model.messages import Claim, NoticeKind, OutboundState, Settled, TryAgain
from bars_gateway.model.questions import Terms
from bars_gateway.standard.workflow import RequestType, Role
from bars_gateway.store import asides
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.store import Store
from bars_gateway.upkeep import housekeeping
from bars_gateway.upkeep.housekeeping import STEP_SECONDS, ClockWatch, Housekeeper

PROVIDERS = ("trust",)
HOUR = timedelta(hours=1)
LATER = timedelta(days=1)  # for deadlines that are not looked at here
LONGEST = timedelta(minutes=10)
YEARS = timedelta(days=3650)
LIMITS = {"longest_wait": LONGEST, "longest_life": LATER}
LEASE = timedelta(seconds=90)
BOTH_WAYS = pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["forward", "back"])


@pytest.fixture
def clock() -> Clock:
    return Clock(wall=NOW)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_database(tmp_path / "gateway.db") as database:
        yield Store(database, node="here", lease=LEASE)


@pytest.fixture
def housekeeper(store: Store, clock: Clock) -> Housekeeper:
    return Housekeeper(store, now=clock.now, monotonic=clock.monotonic, **LIMITS)


async def tidy(housekeeper: Housekeeper) -> None:
    """Do once what has fallen due."""
    for step in housekeeper._steps:
        await step()


async def claimed(store: Store, now: datetime = NOW) -> Claim:
    await store.outbound.submit(submission(give_up_at=now + LATER, delayed_at=now + LATER), now)
    claim = await claim_next(store, now, PROVIDERS)
    assert claim is not None
    return claim


async def waiting(store: Store, pause: timedelta, now: datetime = NOW) -> None:
    """Let a message wait for its second attempt."""
    claim = await claimed(store, now)
    again = TryAgain(at=now + pause)
    await store.outbound.settle(claim, SILENCE, attempt=attempt(claim), settlement=again)


async def sent_at(store: Store, now: datetime) -> bool:
    return await claim_next(store, now, PROVIDERS) is not None


@BOTH_WAYS
async def test_a_retry_waits_as_long_as_it_would_have(
    store: Store, housekeeper: Housekeeper, clock: Clock, step: timedelta
) -> None:
    """Ten seconds are ten seconds, whatever the clock says meanwhile."""
    await waiting(store, timedelta(seconds=10))
    clock.wall += step
    await tidy(housekeeper)
    clock.advance(9)
    early = await sent_at(store, clock.now())
    clock.advance(1)

    assert (False, True) == (early, await sent_at(store, clock.now()))


@BOTH_WAYS
async def test_a_lease_lasts_as_long_as_it_would_have(
    store: Store, housekeeper: Housekeeper, clock: Clock, step: timedelta
) -> None:
    """What is being sent is not sent again, and what was left behind is."""
    await claimed(store)
    clock.wall += step
    await tidy(housekeeper)
    clock.advance(LEASE.total_seconds() - 1)
    await tidy(housekeeper)
    early = await sent_at(store, clock.now())
    clock.advance(1)
    await tidy(housekeeper)

    assert (False, True) == (early, await sent_at(store, clock.now()))


async def test_what_the_clock_is_set_to_in_mid_round_is_followed_before_anything_falls_due(
    store: Store, clock: Clock
) -> None:
    """A machine wakes up at any line: what is being sent is not sent again, nor given up."""
    set_forward = [timedelta(), timedelta()]

    def now() -> datetime:
        found = clock.now()
        clock.wall += set_forward.pop() if set_forward else timedelta()
        return found

    housekeeper = Housekeeper(store, now=now, monotonic=clock.monotonic, **LIMITS)
    await tidy(housekeeper)
    claim = await claimed(store)
    await store.outbound.submit(submission(body=b"{}", give_up_at=NOW + HOUR / 2), NOW)
    set_forward.append(HOUR)
    await tidy(housekeeper)
    early = await store.overview(NOW)
    await tidy(housekeeper)
    late = await store.overview(NOW)

    assert claim is not None
    assert [{"queued": 1, "sending": 1}] * 2 == [
        {state: n for state, n in each.outbound.items() if n} for each in (early, late)
    ]


@BOTH_WAYS
async def test_a_delay_is_told_when_it_would_have_been(
    store: Store, housekeeper: Housekeeper, clock: Clock, step: timedelta
) -> None:
    """The EPR hears of it neither an hour late nor at once."""
    delayed_at = NOW + timedelta(seconds=60)
    await store.outbound.submit(submission(give_up_at=NOW + LATER, delayed_at=delayed_at), NOW)
    clock.wall += step
    await tidy(housekeeper)
    early = await store.notices.pending("trust", 10)
    clock.advance(60)
    await tidy(housekeeper)
    notices = await store.notices.pending("trust", 10)

    assert ([], [NoticeKind.DELAYED]) == (early, [notice.kind for notice in notices])


@pytest.mark.parametrize(
    ("by_its_time", "kinds"),
    [(True, [NoticeKind.OUTCOME]), (False, [])],
    ids=["by its time", "since it came"],
)
async def test_the_clock_moves_no_clinical_time(
    store: Store,
    housekeeper: Housekeeper,
    clock: Clock,
    *,
    by_its_time: bool,
    kinds: list[NoticeKind],
) -> None:
    """What a message says is an instant; what follows from its hand-in is a while from then."""
    await store.outbound.submit(
        submission(
            give_up_at=NOW + HOUR,
            delayed_at=NOW + LATER,
            needed_by=NOW + 2 * HOUR,
            by_its_time=by_its_time,
        ),
        NOW,
    )
    clock.wall += HOUR
    await tidy(housekeeper)
    notices = await store.notices.pending("trust", 10)

    assert kinds == [notice.kind for notice in notices]


async def test_a_step_while_no_gateway_ran_makes_nobody_wait(
    store: Store, housekeeper: Housekeeper, clock: Clock
) -> None:
    """No pause is as long as that: what was scheduled by a clock that ran ahead is due."""
    await waiting(store, timedelta(seconds=10), now=NOW + HOUR)
    before = await sent_at(store, NOW)
    await tidy(housekeeper)

    assert (False, True) == (before, await sent_at(store, NOW))


async def test_a_step_while_no_gateway_ran_hides_no_delay(
    store: Store, housekeeper: Housekeeper, clock: Clock
) -> None:
    """The EPR is told after the longest time that any message may take, and not after an hour."""
    delayed_at = NOW + HOUR + timedelta(seconds=60)
    await store.outbound.submit(
        submission(give_up_at=NOW + LATER, delayed_at=delayed_at), NOW + HOUR
    )
    await tidy(housekeeper)
    clock.advance(LONGEST.total_seconds())
    await tidy(housekeeper)
    notices = await store.notices.pending("trust", 10)

    assert [NoticeKind.DELAYED] == [notice.kind for notice in notices]


async def test_a_message_of_a_clock_that_ran_years_ahead_ends_in_its_own_time(
    store: Store, housekeeper: Housekeeper, clock: Clock
) -> None:
    """The clock was set right while no gateway ran: it has as long as it was taken for."""
    ahead = NOW + YEARS
    await store.outbound.submit(
        submission(give_up_at=ahead + HOUR, delayed_at=ahead + HOUR, needed_by=None), ahead
    )
    for _ in range(2):  # and no longer where it is looked for again
        await store.waiting.recall(clock.now(), LONGEST, LATER)
    clock.advance(HOUR.total_seconds())
    await tidy(housekeeper)
    notices = await store.notices.pending("trust", 10)

    assert [("outcome", "not_sent")] == [(each.kind, each.state) for each in notices]


async def test_a_search_of_a_clock_that_ran_ahead_is_due(
    store: Store, housekeeper: Housekeeper
) -> None:
    """Or the EPR would be told after years what the Receiver calls the record."""
    claim = await claimed(store, NOW + YEARS)
    settled = Settled(state=OutboundState.ACKNOWLEDGED)
    late = attempt(claim, started_at=NOW + YEARS, ended_at=NOW + YEARS)
    await store.outbound.settle(claim, SILENCE, attempt=late, settlement=settled)
    before = await store.reconciliations.next()
    await tidy(housekeeper)
    after = await store.reconciliations.next()

    assert before is not None
    assert after is not None
    assert (NOW + YEARS, NOW) == (before.due_at, after.due_at)


async def test_a_question_of_a_clock_that_ran_ahead_alarms(
    store: Store, housekeeper: Housekeeper
) -> None:
    """Nobody has answered it, and the operator hears of it now."""
    store.questions.attend("trust", NOW + YEARS)
    terms = Terms(answer_by=NOW + YEARS, alarm_at=NOW + YEARS + HOUR)
    await store.questions.ask_about(arrival(), None, terms, NOW + YEARS)
    await tidy(housekeeper)

    assert 1 == await store.questions.tell_unanswered(NOW)


async def test_an_alert_of_a_clock_that_ran_ahead_is_told(
    store: Store, housekeeper: Housekeeper
) -> None:
    """What waits for mail is due, and what stands is told again when that is due."""
    telling = Telling(channels=[Channel.MAIL], digest=HOUR, remind=HOUR)
    condition = Condition(code="receiver.silent", about="s|1", says="It is silent", urgent=True)
    conditions = StandingConditions(conditions=[condition])
    await store.alerts.review(conditions, telling, NOW + YEARS)
    before = await store.alerts.due(Channel.MAIL, NOW)
    await tidy(housekeeper)
    due = await store.alerts.due(Channel.MAIL, NOW)
    await store.alerts.delivered([each.delivery_id for each in due], NOW)
    again = await store.alerts.review(conditions, telling, NOW + HOUR)

    assert ([], 1, [AlertStep.REMINDED]) == (before, len(due), again)


async def test_a_pause_that_may_be_is_left_alone(
    store: Store, housekeeper: Housekeeper, clock: Clock
) -> None:
    """A Receiver that asked for the longest pause gets it."""
    await waiting(store, LONGEST)
    await tidy(housekeeper)
    clock.advance(LONGEST.total_seconds() - 1)

    assert not await sent_at(store, clock.now())


async def test_much_that_is_due_at_once_is_done_without_a_pause(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a long stop: round upon round, and the service manager hears of each."""
    monkeypatch.setattr(asides, "MOST_AT_ONCE", 1)
    monkeypatch.setattr(asides, "MOST_GROUPS", 1)
    for _ in range(3):
        await store.outbound.submit(submission(), NOW)
    clock.advance(HOUR.total_seconds())
    heard: list[int] = []

    def proven() -> None:
        heard.append(len(heard))
        if len(heard) > 3:
            housekeeper.stop()

    housekeeper = Housekeeper(
        store,
        now=clock.now,
        monotonic=clock.monotonic,
        **LIMITS,
        every_seconds=0,
        proven=proven,
    )
    paused: list[float] = []

    async def pause(_stopping: asyncio.Event, seconds: float) -> None:
        paused.append(len(heard))

    monkeypatch.setattr(housekeeping, "pause", pause)
    await housekeeper.run()

    assert 3 == len(await store.notices.pending("trust", 10))
    assert [4] == paused


@BOTH_WAYS
async def test_a_step_is_logged_once_and_remembered(
    store: Store, housekeeper: Housekeeper, clock: Clock, step: timedelta
) -> None:
    """The operator is told by how much, and for how many messages."""
    await waiting(store, timedelta(seconds=10))
    clock.wall += step
    with capture_logs() as lines:
        await tidy(housekeeper)
        await tidy(housekeeper)
    told = [(line["seconds"], line["count"]) for line in lines if line["event"] == "clock.stepped"]

    assert [(step.total_seconds(), 1)] == told
    assert housekeeper.clock_step is not None
    assert NOW + step == housekeeper.clock_step.at


async def test_a_step_that_could_not_be_written_is_followed_later(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk does not let the schedule fall behind the clock for good."""
    async with open_database(tmp_path / "gateway.db") as database:
        store = Store(database, node="here", lease=LEASE)
        with_room, no_room = store.waiting.reschedule, iter([StorageFull("no room")])

        async def reschedule(step: timedelta) -> int:
            for error in no_room:
                raise error
            return await with_room(step)

        monkeypatch.setattr(store.waiting, "reschedule", reschedule)
        housekeeper = Housekeeper(store, now=clock.now, monotonic=clock.monotonic, **LIMITS)
        await claimed(store)
        clock.wall += HOUR
        with pytest.raises(StorageFull):
            await tidy(housekeeper)
        await tidy(housekeeper)

        assert not await sent_at(store, clock.now())


async def test_of_several_nodes_one_moves_what_is_scheduled(store: Store, clock: Clock) -> None:
    """By the step, once; who takes over finds what lies too far ahead, and moves nothing twice."""
    leading = [False]
    follows = Housekeeper(
        store, now=clock.now, monotonic=clock.monotonic, **LIMITS, leads=lambda: leading[0]
    )
    leads = Housekeeper(store, now=clock.now, monotonic=clock.monotonic, **LIMITS)
    await waiting(store, timedelta(minutes=2))
    clock.wall += HOUR
    await tidy(follows)
    await tidy(leads)
    leading[0] = True
    await tidy(follows)

    assert not await sent_at(store, clock.now())
    assert await sent_at(store, clock.now() + timedelta(minutes=3))


def test_slow_corrections_are_no_step(clock: Clock) -> None:
    """A clock that is kept right drifts, for as long as one likes."""
    watch = ClockWatch(clock.now, clock.monotonic)
    steps = []
    for _ in range(100):
        clock.wall += timedelta(seconds=STEP_SECONDS / 2)
        steps.append(watch.step())

    assert {None} == set(steps)


async def ended_badly(store: Store) -> None:
    claim = await claimed(store)
    settled = Settled(state=OutboundState.UNCONFIRMED)
    await store.outbound.settle(claim, SILENCE, attempt=attempt(claim), settlement=settled)


async def test_an_alarm_is_said_in_the_log_once(store: Store, housekeeper: Housekeeper) -> None:
    """Whichever work has raised it: ids and kind, and what to do."""
    await tidy(housekeeper)
    with capture_logs() as lines:
        await ended_badly(store)
        await tidy(housekeeper)
        await tidy(housekeeper)

    said = [line for line in lines if line["event"] == "alarm.raised"]
    assert [("message.unconfirmed", "trust", "error")] == [
        (line["kind"], line["provider"], line["log_level"]) for line in said
    ]
    assert said[0]["request_id"]
    assert ALARMS["message.unconfirmed"].advice == said[0]["advice"]


@pytest.mark.parametrize(
    ("role", "advice"),
    [(Role.REQUESTER, "Start your fallback now"), (Role.RESPONDER, "See that it is given")],
)
async def test_the_log_has_each_side_do_its_own_part(
    store: Store, housekeeper: Housekeeper, clock: Clock, role: Role, advice: str
) -> None:
    """Who owes an answer is not told to start the fallback of whoever waits for it."""
    await tidy(housekeeper)
    about = {"request_type": RequestType.VALIDATION, "use_case": "a4t1", "owed": owed(NOW + HOUR)}
    if role is Role.REQUESTER:
        await store.outbound.submit(submission(give_up_at=NOW + 3 * HOUR, **about), NOW)
    else:
        await store.inbound.receive(arrival(**about), NOW)
    clock.advance(2 * HOUR.total_seconds())
    with capture_logs() as lines:
        await tidy(housekeeper)

    (said,) = [line["advice"] for line in lines if line.get("kind") == "workflow.overdue"]
    assert advice in said


async def test_what_stood_before_a_start_is_counted_in_the_log(
    store: Store, housekeeper: Housekeeper
) -> None:
    """By kind and provider: it was said when it was raised, or by a restore; the page has it."""
    await ended_badly(store)
    with capture_logs() as lines:
        await tidy(housekeeper)

    assert [("alarm.standing", "message.unconfirmed", "trust", 1)] == [
        (line["event"], line["kind"], line["provider"], line["count"])
        for line in lines
        if line["event"].startswith("alarm.")
    ]
