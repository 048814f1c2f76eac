"""What falls due for many: one that fails is told and left out for a while, the others go on."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from poison import SECRET, Injector, PoisonError, Step
from store_values import NOW, TERMS, arrival, claim_next, owed, submission
from structlog.testing import capture_logs

from bars_gateway.errors import StorageFull
from bars_gateway.standard.workflow import Move, RequestType
from bars_gateway.store import asides, outbound
from bars_gateway.store.asides import FAILED_AGAIN_AFTER
from bars_gateway.store.sqlite import SqliteConnection
from bars_gateway.store.sqlite.database import SqliteDatabase, open_database
from bars_gateway.store.statements import SQLITE, statements_of
from bars_gateway.store.store import Store

DUE = NOW + timedelta(minutes=20)
VALIDATION = {"request_type": RequestType.VALIDATION, "use_case": "a4t1", "owed": owed(DUE)}


async def _message(store: Store) -> None:
    await store.outbound.submit(submission(), NOW)


async def _claimed(store: Store) -> None:
    await store.outbound.submit(submission(), NOW)
    await claim_next(store, NOW, ["trust"])


async def _cancellation(store: Store) -> None:
    handed_in = submission(move=Move.CANCEL, focus_id=str(uuid4()), read_first=True)
    taken = await store.outbound.submit(handed_in, NOW)
    again = NOW + timedelta(seconds=10)
    await store.cancellations.postpone(taken.message_id, again, NOW, alike=False)


async def _owed_message(store: Store) -> None:
    await store.outbound.submit(submission(**VALIDATION), NOW)


async def _owed_later(store: Store) -> None:
    late = VALIDATION | {"owed": owed(NOW + timedelta(minutes=80))}
    await store.outbound.submit(submission(**late), NOW)


async def _question(store: Store) -> None:
    store.questions.attend("trust", NOW)
    await store.questions.ask_about(arrival(), None, TERMS, NOW)


@dataclass(frozen=True)
class Due:
    """A step of housekeeping: who makes a row for it, and what the database refuses of one."""

    make: Callable[[Store], Awaitable[None]]
    step: Callable[[Store, datetime], Awaitable[object]]
    now: datetime
    refused: str  # BEFORE this, of the first row
    kind: str = "notice.set_aside"
    done: object = 1
    nothing: object = 0


_NOTICE = "INSERT ON notices WHEN NEW.message_id = 1"
_STATE = "UPDATE OF state ON messages WHEN NEW.id = 1"
STEPS = {
    "give_up": Due(
        _message, lambda s, now: s.outbound.give_up(now), NOW + timedelta(minutes=16), _NOTICE
    ),
    "tell_delays": Due(
        _message, lambda s, now: s.outbound.tell_delays(now), NOW + timedelta(minutes=2), _NOTICE
    ),
    "tell_unread": Due(
        _cancellation,
        lambda s, now: s.cancellations.tell_unread(now),
        NOW + timedelta(minutes=2),
        _NOTICE,
    ),
    "tell_overdue": Due(
        _owed_message,
        lambda s, now: s.conversations.tell_due(now),
        DUE,
        _NOTICE,
        done=(0, 1),
        nothing=(0, 0),
    ),
    "tell_due_soon": Due(
        _owed_later,
        lambda s, now: s.conversations.tell_due(now),
        NOW + timedelta(minutes=60),
        _NOTICE,
        done=(1, 0),
        nothing=(0, 0),
    ),
    "tell_unanswered": Due(
        _question,
        lambda s, now: s.questions.tell_unanswered(now),
        NOW + timedelta(minutes=16),
        "UPDATE ON questions WHEN NEW.id = 1",
        kind="answer.set_aside",
    ),
    "release_lapsed": Due(
        _claimed,
        lambda s, now: s.outbound.release_lapsed(now),
        NOW + timedelta(minutes=2),
        _STATE,
        kind="message.set_aside",
    ),
    "release_own": Due(
        _claimed, lambda s, now: s.outbound.release_own(now), NOW, _STATE, kind="message.set_aside"
    ),
}
STEP = pytest.mark.parametrize("due", STEPS.values(), ids=STEPS.keys())


async def poison(database: SqliteDatabase, refused: str) -> None:
    """Let the database refuse that of the first row."""
    trigger = f"CREATE TRIGGER poison BEFORE {refused} BEGIN SELECT RAISE(ABORT, '{SECRET}'); END"
    await database.write(lambda connection: connection.raw.execute(trigger))


async def cure(database: SqliteDatabase) -> None:
    await database.write(lambda connection: connection.raw.execute("DROP TRIGGER poison"))


async def of_ours(store: Store, due: Due) -> list[tuple[str, str | None]]:
    alarms = (await store.overview(due.now)).alarms
    return [(alarm.kind, alarm.request_id) for alarm in alarms if alarm.kind == due.kind]


@pytest.mark.of_sqlite
@STEP
async def test_one_that_fails_is_told_and_the_next_is_done(
    store: Store, database: SqliteDatabase, due: Due
) -> None:
    """With an alarm that names it, and nothing of what the error says."""
    await due.make(store)
    await due.make(store)
    await poison(database, due.refused)
    with capture_logs() as logs:
        done = await due.step(store, due.now)
    ((kind, request_id),) = await of_ours(store, due)

    assert (due.done, due.kind) == (done, kind)
    assert request_id is not None
    assert ["unit.set_aside"] == [line["event"] for line in logs]
    assert SECRET not in repr(logs)


@pytest.mark.of_sqlite
@STEP
async def test_it_is_left_out_for_a_while_and_then_done(
    store: Store, database: SqliteDatabase, due: Due
) -> None:
    """What is cured meanwhile is done, and nobody is told twice of what is not."""
    await due.make(store)
    await poison(database, due.refused)
    with capture_logs() as logs:
        for after in (timedelta(), timedelta(seconds=1), FAILED_AGAIN_AFTER):
            await due.step(store, due.now + after)
    await cure(database)
    early = await due.step(store, due.now + FAILED_AGAIN_AFTER + timedelta(seconds=1))
    told = await of_ours(store, due)

    assert (due.nothing, due.done) == (
        early,
        await due.step(store, due.now + 2 * FAILED_AGAIN_AFTER),
    )
    assert 2 == len([line for line in logs if line["event"] == "unit.set_aside"])
    assert 1 == len(told)


@pytest.mark.parametrize(
    "step",
    [
        Step("store.outbound", None, "tell_outcome"),
        Step("store.outbound", None, "move_workflow"),
        Step("store.outbound", None, "_past_its_time"),
        Step("store.conversations", None, "_tell"),
        Step("store.records", None, "notify"),
    ],
    ids=str,
)
@pytest.mark.unrehearsed
async def test_a_failure_of_our_own_ends_one(store: Store, step: Step) -> None:
    """At any place of a step: of three messages that fall due, two are told as ever."""
    await store.outbound.submit(submission(**VALIDATION), NOW)
    await store.outbound.submit(submission(**VALIDATION), NOW)
    await store.outbound.submit(submission(**VALIDATION), NOW)
    injector = Injector()
    injector.arm(step)
    try:
        with capture_logs() as logs:
            await tell_all(store)
    finally:
        injector.disarm()

    assert [PoisonError.__name__] == [line["exception"] for line in logs if "exception" in line]
    assert ["notice.set_aside"] == [
        a.kind for a in (await store.overview(NOW)).alarms if "set_aside" in a.kind
    ]


async def tell_all(store: Store) -> None:
    late = NOW + timedelta(minutes=16)
    await store.outbound.tell_delays(NOW + timedelta(minutes=14))
    await store.conversations.tell_due(late)
    await store.outbound.give_up(late)


async def test_a_full_disk_is_nobody_s_fault(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is set aside for it: the step is done once there is room."""
    await store.outbound.submit(submission(), NOW)
    late = NOW + timedelta(minutes=16)
    with monkeypatch.context() as full:
        full.setattr(outbound, "tell_outcome", _no_room)
        with pytest.raises(StorageFull):
            await store.outbound.give_up(late)

    assert 1 == await store.outbound.give_up(late)


def _no_room(*_: object) -> None:
    raise StorageFull("database or disk is full")  # as the seam has it


@pytest.fixture
def in_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asides, "MOST_AT_ONCE", 2)


@pytest.mark.usefixtures("in_pairs")
async def test_many_are_done_in_several_transactions(
    store: Store, database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that nobody who submits a message waits for all of them."""
    for _ in range(5):
        await store.outbound.submit(submission(), NOW)
    transactions: list[object] = []
    write = database.write

    async def counting(work: Callable[[SqliteConnection], object]) -> object:
        transactions.append(work)
        return await write(work)

    monkeypatch.setattr(database, "write", counting)
    told = await store.outbound.tell_delays(NOW + timedelta(minutes=2))

    assert (5, 3) == (told, len(transactions))


@pytest.mark.usefixtures("in_pairs")
async def test_what_was_done_before_a_death_stays_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next start goes on where this one ended, and does not begin again."""
    late = NOW + timedelta(minutes=16)
    async with open_database(tmp_path / "g.db") as database:
        store = Store(database, node="here")
        for _ in range(5):
            await store.outbound.submit(submission(), NOW)
        pairs, give_up = iter(range(2)), outbound.give_up

        def dying(connection: SqliteConnection, look: asides.Look) -> object:
            if next(pairs, None) is None:
                raise StorageFull("as good as dead")
            return give_up(connection, look)

        monkeypatch.setattr(outbound, "give_up", dying)
        with pytest.raises(StorageFull):
            await store.outbound.give_up(late)
        monkeypatch.undo()
    async with open_database(tmp_path / "g.db") as database:
        assert 1 == await Store(database, node="here").outbound.give_up(late)


@pytest.mark.usefixtures("in_pairs")
async def test_others_have_their_turn_before_all_are_done(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step says that there is more, once, and where it ends says nothing."""
    monkeypatch.setattr(asides, "MOST_GROUPS", 1)
    for _ in range(3):
        await store.outbound.submit(submission(), NOW)
    late = NOW + timedelta(minutes=2)
    seen = [(await store.outbound.tell_delays(late), store.rounds.more()) for _ in range(2)]

    assert [(2, True), (1, False)] == seen
    assert not store.rounds.more()


@pytest.mark.of_sqlite
@pytest.mark.usefixtures("in_pairs")
async def test_what_fails_is_not_gone_on_with_at_once(
    store: Store, database: SqliteDatabase
) -> None:
    """Where one fails, all of a million may: a second later is soon enough."""
    for _ in range(5):
        await store.outbound.submit(submission(), NOW)
    await poison(database, _NOTICE)
    late = NOW + timedelta(minutes=2)

    assert [1, 3] == [await store.outbound.tell_delays(late) for _ in range(2)]
    assert not store.rounds.more()


@pytest.mark.of_sqlite
async def test_what_failed_long_ago_is_remembered_no_more(
    store: Store, database: SqliteDatabase
) -> None:
    """What is listed as left out does not grow with every failure that there ever was."""
    await store.outbound.submit(submission(), NOW)
    await poison(database, _NOTICE)
    late = NOW + timedelta(minutes=2)
    await store.outbound.tell_delays(late)
    await cure(database)
    await store.outbound.tell_delays(late + 2 * FAILED_AGAIN_AFTER + timedelta(seconds=1))

    assert [{}] == list(store.rounds._again_at.values())


@pytest.mark.of_sqlite
@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("messages_past_their_time", "messages_ageing"),
        ("late_messages", "messages_late"),
        ("unread_cancellations", "messages_unread"),
        ("workflows_due_soon", "workflows_warned"),
        ("workflows_overdue", "workflows_overdue"),
        ("unanswered_questions", "questions_alarms"),
        ("leases_lapsed", "messages_flying"),
        ("own_leases", "messages_flying"),
    ],
)
async def test_what_is_due_is_found_by_an_index_of_what_waits(
    database: SqliteDatabase, name: str, index: str
) -> None:
    """A round costs what is due, and never what was ever stored."""
    sql = statements_of(SQLITE)[name]
    names = dict.fromkeys(re.findall(r":(\w+)", sql))
    plan = await database.read(
        lambda c: [row["detail"] for row in c.raw.execute(f"EXPLAIN QUERY PLAN {sql}", names)]
    )

    assert any(index in step for step in plan), plan


async def test_what_a_disk_has_spoilt_stops_no_clock(
    store: Store, database: SqliteDatabase
) -> None:
    """A time that cannot be read stays as it is, and all the others move with the clock."""
    for _ in range(2):
        await store.outbound.submit(submission(), NOW)
    spoil = "UPDATE messages SET next_attempt_at = '0x26', give_up_at = '0x26' WHERE id = 1"
    await database.write(lambda c: c.raw.execute(spoil))

    assert 2 == await store.waiting.reschedule(timedelta(hours=1))
    await store.waiting.put_off(NOW + timedelta(hours=2), provider="trust")


@pytest.mark.of_sqlite
async def test_what_a_disk_has_spoilt_is_left_as_it_is(
    store: Store, database: SqliteDatabase
) -> None:
    """A row that may not be written any more keeps no other from being moved."""
    for _ in range(2):
        await store.outbound.submit(submission(), NOW)
    await database.write(_spoil_a_state)

    assert 1 == await store.waiting.reschedule(timedelta(hours=1))


def _spoil_a_state(connection: SqliteConnection) -> None:
    connection.raw.execute("PRAGMA ignore_check_constraints = 1")
    connection.raw.execute("UPDATE messages SET state = 'qveued' WHERE id = 1")
    connection.raw.execute("PRAGMA ignore_check_constraints = 0")


async def test_a_start_is_not_stopped_by_one(tmp_path: Path) -> None:
    """What was being sent when we died goes out again, but for what cannot be touched."""
    async with open_database(tmp_path / "g.db") as database:
        store = Store(database, node="here")
        for _ in range(3):
            await _claimed(store)
        await poison(database, _STATE)

        assert 2 == await store.outbound.release_own(NOW)
