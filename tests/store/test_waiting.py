"""For whom messages wait: a pause is one row, and the clock moves what is open in small steps."""

import asyncio
from datetime import datetime, timedelta
from unittest.mock import AsyncMock

import pytest
from store_values import NOW, OURS, SILENCE, THEIRS, attempt, claim_next, submission
from structlog.testing import capture_logs

from bars_gateway.errors import StorageFull
from bars_gateway.model.messages import Accepted, Claim, TryAgain
from bars_gateway.outbound.circuit_breaker import LAST_TRY, LONGEST_BACK_OFF, CircuitBreakers
from bars_gateway.standard.timing import URGENT
from bars_gateway.standard.verdict import UNFIT, Judgement, Verdict
from bars_gateway.store import waiting
from bars_gateway.store.connection import Database
from bars_gateway.store.sqlite import SqliteConnection
from bars_gateway.store.sqlite.database import SqliteDatabase
from bars_gateway.store.store import Store

pytestmark = pytest.mark.each_fact_once
PROVIDERS = ["other", "trust"]
MINUTE = timedelta(minutes=1)
UNTIL = NOW + MINUTE
WHOSE = pytest.mark.parametrize(
    "whose", [{"provider": "trust"}, {"receiver": THEIRS}], ids=["provider", "receiver"]
)


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database, node="here", per_receiver=100)


async def queued(store: Store, count: int = 1, **changes: object) -> list[Accepted]:
    return [await store.outbound.submit(submission(**changes), NOW) for _ in range(count)]


async def unanswered(store: Store, claim: Claim, again: datetime) -> None:
    """Let that attempt have met silence, and the next one be due then."""
    await store.outbound.settle(
        claim,
        SILENCE,
        attempt=attempt(claim, Verdict.RETRY),
        settlement=TryAgain(at=again),
    )


async def claimed(store: Store, now: datetime) -> list[int]:
    """Return what may leave then, in that order."""
    found = []
    while (claim := await claim_next(store, now, PROVIDERS)) is not None:
        found.append(claim.message_id)
    return found


async def changed(database: SqliteDatabase) -> int:
    """Return how many rows were changed since the file was opened."""

    def count(connection: SqliteConnection) -> int:
        return int(connection.raw.total_changes)

    return await database.write(count)


@pytest.mark.of_sqlite  # it counts the rows that were changed
@pytest.mark.unrehearsed  # those that were changed and undone, too
@WHOSE
async def test_a_pause_is_one_row_however_many_wait(
    store: Store, database: SqliteDatabase, whose: dict[str, str]
) -> None:
    """It begins, is made longer, and ends, and no message is written for it."""
    await queued(store, 20)
    before = await changed(database)
    await store.waiting.put_off(UNTIL, **whose)
    await store.waiting.put_off(UNTIL + MINUTE, **whose)
    await store.waiting.hasten(NOW, **whose)

    assert 3 == await changed(database) - before


@WHOSE
async def test_nothing_leaves_in_a_pause_and_all_of_it_after(
    store: Store, whose: dict[str, str]
) -> None:
    """Also what was taken since it began; others go as ever."""
    first = await queued(store)
    await store.waiting.put_off(UNTIL, **whose)
    others = await queued(store, provider="other", receiver=OURS)
    then = await queued(store)
    early = await claimed(store, UNTIL - timedelta(milliseconds=1))

    assert [each.message_id for each in others] == early
    assert [each.message_id for each in [*first, *then]] == await claimed(store, UNTIL)


async def test_two_pauses_end_with_the_later(store: Store) -> None:
    """An answer from one says nothing of the other."""
    await queued(store)
    await store.waiting.put_off(UNTIL, receiver=THEIRS)
    await store.waiting.put_off(UNTIL + MINUTE, provider="trust")
    early = await claimed(store, UNTIL)
    await store.waiting.hasten(UNTIL, provider="trust")

    assert [] == early
    assert 1 == len(await claimed(store, UNTIL))


async def test_what_waited_goes_in_the_order_it_was_taken_in(store: Store) -> None:
    """Once an answer came: what was tried meanwhile has lost no place."""
    taken = [each.message_id for each in await queued(store, 3)]
    tried = await claim_next(store, NOW, PROVIDERS)
    assert tried is not None
    await unanswered(store, tried, UNTIL)
    await store.waiting.put_off(UNTIL, receiver=THEIRS, last=tried.message_id)
    await store.waiting.hasten(NOW + timedelta(seconds=1), receiver=THEIRS)

    assert taken == await claimed(store, NOW + timedelta(seconds=1))


async def test_what_would_be_too_late_after_a_pause_goes_in_it(store: Store) -> None:
    """A few seconds before its time is over, and not sooner."""
    ends_at = NOW + timedelta(seconds=30)
    (ending,) = await queued(store, give_up_at=ends_at)
    await queued(store)
    await store.waiting.put_off(UNTIL, receiver=THEIRS)
    early = await claimed(store, ends_at - LAST_TRY - timedelta(milliseconds=1))

    assert [] == early
    assert ends_at - LAST_TRY == await store.outbound.next_due(NOW, PROVIDERS)
    assert [ending.message_id] == await claimed(store, ends_at - LAST_TRY)


async def test_in_a_pause_no_message_overtakes_its_conversation(store: Store) -> None:
    """Not even for its last try."""
    await queued(store, correlation_id="c")
    await queued(store, correlation_id="c", give_up_at=NOW + timedelta(seconds=30))
    await store.waiting.put_off(UNTIL, receiver=THEIRS)

    assert [] == await claimed(store, NOW + timedelta(seconds=29))


async def test_whoever_sleeps_is_woken_at_the_end_of_a_pause(store: Store) -> None:
    """What waits in it is due, and has no later time by which it would be found."""
    await queued(store)
    await store.waiting.put_off(UNTIL, receiver=THEIRS)

    assert UNTIL == await store.outbound.next_due(NOW, PROVIDERS)


@WHOSE
async def test_whoever_looks_sees_when_it_goes(store: Store, whose: dict[str, str]) -> None:
    """The end of the pause, or its last try in it; and its own time once an answer came."""
    ends_at = NOW + timedelta(seconds=30)
    await queued(store)
    await queued(store, give_up_at=ends_at)
    await store.waiting.put_off(UNTIL, **whose)
    during = [each.next_attempt_at for each in await store.messages.queue("trust", 10)]
    await store.waiting.hasten(NOW, **whose)
    after = [each.next_attempt_at for each in await store.messages.queue("trust", 10)]

    assert {UNTIL, ends_at - LAST_TRY} == set(during)
    assert {NOW} == set(after)


@pytest.mark.parametrize(
    ("others", "due_at"), [(0, UNTIL), (1, NOW)], ids=["all wait", "another goes"]
)
async def test_the_page_says_when_the_next_is_due(
    store: Store, others: int, due_at: datetime
) -> None:
    """At the end of a pause, where there is nothing but what waits for that."""
    await queued(store, 2)
    await queued(store, others, provider="other", receiver=OURS)
    await store.waiting.put_off(UNTIL, receiver=THEIRS)

    assert due_at == (await store.overview(NOW)).next_due_at


async def test_a_start_finds_out_by_itself_who_answers(store: Store) -> None:
    """Somebody may have mended what kept us out, and started the gateway because of it."""
    await queued(store)
    await store.waiting.put_off(UNTIL, receiver=THEIRS)
    await CircuitBreakers(store, now=lambda: NOW).remember()

    assert 1 == len(await claimed(store, NOW))


async def judged(breakers: CircuitBreakers, claim: Claim, verdict: Verdict, row: str) -> None:
    judgement = Judgement(verdict=verdict, row=row, fault=None, ids_echoed=True)
    await breakers.judged(claim, judgement, began=claim.claimed_at or NOW, timing=URGENT)


async def test_a_pause_that_could_not_be_ended_at_a_start_ends_with_an_answer(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database took nothing then; that somebody was silent is known all the same."""
    await queued(store, 2)
    tried = await claim_next(store, NOW, PROVIDERS)
    assert tried is not None
    await store.breaks.began(THEIRS, NOW)
    await store.waiting.put_off(UNTIL, receiver=THEIRS)
    monkeypatch.setattr(store.waiting, "forget", AsyncMock(side_effect=StorageFull("no room")))
    breakers = CircuitBreakers(store, now=lambda: NOW)
    with capture_logs() as events:
        await breakers.remember()
    early = await claimed(store, NOW)
    await judged(breakers, tried, Verdict.ACKNOWLEDGED, "acknowledged")

    assert ([], 1) == (early, len(await claimed(store, NOW)))
    assert ["store.unavailable"] == [event["event"] for event in events]  # and nobody is alarmed


async def test_what_was_never_tried_looks_each_minute_whether_a_provider_is_let_in(
    store: Store,
) -> None:
    """However long what was refused waits: somebody may have mended it just now."""
    now = NOW
    breakers = CircuitBreakers(store, now=lambda: now)
    give_up_at = NOW + timedelta(days=1)
    for _ in range(6):  # by then, each is put off for a quarter of an hour
        await queued(store, give_up_at=give_up_at)
        refused = await claim_next(store, now, PROVIDERS)
        assert refused is not None
        await unanswered(store, refused, NOW + timedelta(days=1))
        await judged(breakers, refused, Verdict.FORBIDDEN, "access-forbidden")
        now += timedelta(hours=1)
    now -= timedelta(hours=1)
    await queued(store, give_up_at=give_up_at)
    early = await claimed(store, now + LONGEST_BACK_OFF - timedelta(seconds=1))

    assert (0, 1) == (len(early), len(await claimed(store, now + LONGEST_BACK_OFF)))


@pytest.mark.parametrize(("messages", "answers", "open_"), [(2, 0, 0), (3, 0, 1), (3, 1, 0)])
async def test_what_lets_no_message_pass_for_its_size_is_silence_from_the_third(
    store: Store, messages: int, answers: int, open_: int
) -> None:
    """Two may be too large; what answers so to every one has nothing to do with their size."""
    await queued(store, messages + answers)
    large = [await claim_next(store, NOW, PROVIDERS) for _ in range(messages + answers)]
    breakers = CircuitBreakers(store, now=lambda: NOW)
    for _ in range(6):
        for each in large[:messages]:
            assert each is not None
            await judged(breakers, each, Verdict.RETRY, UNFIT)
            for other in filter(None, large[messages:]):
                await judged(breakers, other, Verdict.ACKNOWLEDGED, "acknowledged")

    assert open_ == len(breakers.receivers.open) == len(breakers.receivers.silent)


async def test_a_pause_is_as_long_when_the_clock_is_set(store: Store) -> None:
    """Ten seconds are ten seconds, whatever the clock says meanwhile."""
    await queued(store, give_up_at=NOW + timedelta(days=1))
    await store.waiting.put_off(UNTIL, receiver=THEIRS)
    await store.waiting.reschedule(timedelta(hours=1))

    assert [] == await claimed(store, UNTIL + timedelta(minutes=59))
    assert 1 == len(await claimed(store, UNTIL + timedelta(hours=1)))


async def test_a_pause_that_no_answer_could_bring_is_over(store: Store) -> None:
    """The clock was set back while no gateway ran: nobody waits for an hour."""
    await queued(store)
    await store.waiting.put_off(NOW + timedelta(hours=1), receiver=THEIRS)
    await store.waiting.recall(NOW, timedelta(minutes=15))

    assert 1 == len(await claimed(store, NOW))


@pytest.fixture
def in_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MOST_AT_ONCE", 2)


async def broken_off(store: Store, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Move what waits by a minute, on a disk that is full after two works of it."""
    write, left = database.write, iter([None, None])

    async def filling(work: object) -> object:
        if next(left, 0) is not None:
            raise StorageFull("no room")
        return await write(work)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(database, "write", filling)
        with pytest.raises(StorageFull):
            await store.waiting.reschedule(MINUTE)


@pytest.mark.usefixtures("in_pairs")
async def test_a_step_moves_each_message_once(
    store: Store, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some at a time; and after a disk that was full it goes on with the others."""
    await queued(store, 5, give_up_at=NOW + timedelta(days=1))
    await broken_off(store, database, monkeypatch)
    await queued(store, give_up_at=NOW + timedelta(days=1))
    moved = await store.waiting.reschedule(MINUTE)
    times = [each.next_attempt_at for each in await store.messages.queue("trust", 10)]

    assert 3 == moved
    assert [NOW, *[UNTIL] * 5] == sorted(each for each in times if each is not None)


@pytest.mark.usefixtures("in_pairs")
async def test_a_clock_that_is_set_again_meanwhile_moves_by_the_rest(
    store: Store, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was moved by the first step is moved by the second alone."""
    await queued(store, 3, give_up_at=NOW + timedelta(days=1))
    await broken_off(store, database, monkeypatch)
    await store.waiting.reschedule(3 * MINUTE)
    times = [each.next_attempt_at for each in await store.messages.queue("trust", 10)]

    assert [NOW + 3 * MINUTE] * 3 == times


@pytest.mark.usefixtures("in_pairs")
@WHOSE
async def test_all_that_was_put_back_for_a_pause_is_hastened(
    store: Store, whose: dict[str, str]
) -> None:
    """Some at a time: they were on the way when it began."""
    taken = await queued(store, 5)
    claims = [await claim_next(store, NOW, PROVIDERS) for _ in taken]
    for claim in claims:
        assert claim is not None
        await store.outbound.put_back(claim, UNTIL)
    await store.waiting.hasten(NOW, **whose)

    assert [each.message_id for each in taken] == await claimed(store, NOW)


@pytest.mark.usefixtures("in_pairs")
@WHOSE
@pytest.mark.parametrize("later", ["put off", "hastened"])
async def test_what_is_put_off_and_hastened_at_once_is_what_was_said_last(
    store: Store, whose: dict[str, str], later: str
) -> None:
    """Some at a time: else either would undo the other's for ever, and nothing would leave."""
    for _ in await queued(store, 7):
        claim = await claim_next(store, NOW, PROVIDERS)
        assert claim is not None
        await unanswered(store, claim, NOW + timedelta(seconds=1))
    steps = {
        "put off": lambda: store.waiting.put_off(UNTIL, **whose),
        "hastened": lambda: store.waiting.hasten(NOW, **whose),
    }
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for name in sorted(steps, key=lambda each: each == later):
            group.create_task(steps[name]())
    times = [each.next_attempt_at for each in await store.messages.queue("trust", 10)]

    assert 7 == sum(at is not None and (at >= UNTIL) is (later == "put off") for at in times)


@pytest.mark.usefixtures("in_pairs")
async def test_many_that_were_scheduled_by_a_wrong_clock_are_all_recalled(store: Store) -> None:
    """Some at a time, until none is left."""
    later = NOW + timedelta(hours=1)
    for _ in range(5):
        await store.outbound.submit(submission(give_up_at=later + MINUTE), later)

    assert 5 == await store.waiting.recall(NOW, timedelta(minutes=15))
    assert 5 == len(await claimed(store, NOW))
