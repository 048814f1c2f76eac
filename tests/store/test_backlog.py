"""A long queue: what is due is found as fast as in a short one, however much waits before it."""

import json
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from backlog import SICK, fill

from bars_gateway.model.interventions import IN_BULK, Verb
from bars_gateway.store.figures import AGES
from bars_gateway.store.rows import text
from bars_gateway.store.sqlite.database import SqliteDatabase, open_database
from bars_gateway.store.statements import SQLITE, statements_of
from bars_gateway.store.store import Store


async def steps(
    database: SqliteDatabase, name: str, *, has_result: bool = True, **values: object
) -> int:
    """Return how many hundreds of steps SQLite takes for the statement called *name*."""
    sql = statements_of(SQLITE)[name]

    def work(connection) -> int:
        counted = 0

        def count() -> None:
            nonlocal counted
            counted += 1

        connection.raw.set_progress_handler(count, 100)
        try:
            found = connection.raw.execute(sql, values).fetchall()
        finally:
            connection.raw.set_progress_handler(None, 0)
        assert found or not has_result
        return counted

    return await database.write(work)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the queues lie that are made once, and copied for each test."""
    return tmp_path_factory.mktemp("queues")


@asynccontextmanager
async def queue(
    kept: Path, folder: Path, count: int, *, apart: bool = False
) -> AsyncIterator[SqliteDatabase]:
    """Open a queue of so many messages in *folder*; *apart*: each with a workflow of its own."""
    made = kept / f"{count}{'-apart' if apart else ''}.db"
    if not made.exists():
        half = made.with_suffix(".half")
        async with open_database(half) as database:
            await fill(database, count)
            if apart:
                await database.write(_apart)
        half.rename(made)
    shutil.copyfile(made, folder / f"{count}.db")
    async with open_database(folder / f"{count}.db") as database:
        yield database


CLAIM = {
    "now": text(datetime.now(UTC) + timedelta(hours=1)),
    "providers": json.dumps(["bench"]),
    "singly": "[]",
    "dead": "[]",
    "per_receiver": 4,
    "wanted": 1,
    "most": 9,
}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        pytest.param("foremost", CLAIM | {"not_for": "[]"}, id="foremost"),
        pytest.param("claimable", CLAIM | {"not_for": "[]"}, id="claim"),
        pytest.param("claimable", CLAIM | {"not_for": json.dumps([SICK])}, id="past-the-sick"),
        pytest.param(
            "next_due", {"now": "2020", "providers": json.dumps(["bench"])}, id="next-due"
        ),
    ],
)
async def test_ten_thousand_wait_and_the_next_is_found_as_before(kept, tmp_path, name, values):
    """Half of them are for a Receiver that takes nothing, and were there first."""
    taken = []
    for count in (1000, 10_000):
        async with queue(kept, tmp_path, count) as database:
            taken.append(await steps(database, name, **values))

    assert taken[1] <= taken[0] * 1.5


LATER, FIRST = "2099-01-01T00:00:00.000Z", {"left_out": "[]", "limit": 50}
GO_BY = {"provider": "bench", "up_to": None, "after": 0, "limit": 50, "taken_from": None}
GO_BY |= {"receiver": None, "use_case": None, "correlation_id": None, "taken_before": None}
FROM_FIRST = {"provider": "", "correlation_id": "", "receiver": "", "id": 0, "up_to": 10**9}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("claimable", CLAIM | {"not_for": "[]"}),
        ("foremost", CLAIM | {"not_for": "[]", "most": 9}),
        ("next_due", {"now": "2020", "providers": json.dumps(["bench"])}),
        ("next_due_of_all", {}),
        ("oldest_waiting", {}),
        ("oldest_open", {}),
        ("messages_past_their_time", {"now": LATER} | FIRST),
        ("late_messages", {"now": LATER} | FIRST),
        ("leases_lapsed", {"now": LATER} | FIRST),
        ("own_leases", {"node": "here"} | FIRST),
        ("select_messages", GO_BY | {"states": json.dumps(["held", "queued"])}),
        ("open_after", FROM_FIRST | {"limit": 50}),
        ("put_off", {"until": LATER, "provider": None, "receiver": SICK, "last": 1, "limit": 50}),
        ("hasten_provider", {"now": "2020", "provider": "bench", "limit": 50}),
        ("hasten_receiver", {"now": "2020", "receiver": SICK, "limit": 50}),
        ("recall", {"now": "2020", "beyond": LATER, "limit": 50}),
        ("recall_delays", {"beyond": LATER, "limit": 50}),
        ("recall_reads", {"now": "2020", "beyond": LATER, "limit": 50}),
        ("recall_searches", {"now": "2020", "beyond": LATER, "limit": 50}),
        ("recall_ends", {"now": "2020", "beyond_life": LATER, "limit": 50}),
        ("begin_pause", {"whose": SICK, "until": LATER}),
        ("has_pause", {"whose": SICK}),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
async def test_what_is_done_in_a_pause_costs_no_more_for_a_longer_queue(
    kept, tmp_path, name, values
):
    """Nobody may send, and a look at what waits, or a group of it, takes as many steps as ever."""
    taken = []
    for count in (1000, 10_000):
        async with queue(kept, tmp_path, count, apart=True) as database:
            for whose in ("bench", SICK):
                await steps(database, "begin_pause", has_result=False, whose=whose, until=LATER)
            taken.append(await steps(database, name, has_result=False, **values))

    assert taken[1] <= taken[0] * 1.5 + 1


def _apart(connection) -> None:
    """Give each message a workflow of its own, as nearly all have."""
    connection.raw.execute(
        "INSERT INTO workflows (id, provider, correlation_id, counterparty, role, request_type,"
        " use_case, state, opened_at) SELECT m.id, provider, correlation_id, receiver, 'requester',"
        " 'referral', use_case, 'active', created_at FROM messages AS m WHERE m.id > 1"
    )
    connection.raw.execute("UPDATE messages SET workflow_id = id WHERE true")


STATES = {verb: GO_BY | {"states": json.dumps(sorted(IN_BULK[verb]))} for verb in sorted(Verb)}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        *(pytest.param("select_messages", each, id=verb) for verb, each in STATES.items()),
        pytest.param("foremost", CLAIM | {"not_for": "[]"}, id="foremost"),
        pytest.param("claimable", CLAIM | {"not_for": "[]"}, id="claimable"),
    ],
)
async def test_what_is_known_of_a_long_queue_misleads_nobody(kept, tmp_path, name, values):
    """Everything waits, and somebody had it analysed: no look walks what waits for each other."""
    taken = []
    for count in (100, 1000):
        async with queue(kept, tmp_path, count, apart=True) as database:
            await database.write(lambda connection: connection.raw.execute("ANALYZE").rowcount)
        async with open_database(tmp_path / f"{count}.db") as database:
            taken.append(await steps(database, name, has_result=False, **values))

    assert taken[1] <= taken[0] * 1.5 + 1


@pytest.mark.parametrize("name", ["claimable", "foremost", "next_due"])
async def test_what_waits_for_providers_without_a_token_is_not_walked(kept, tmp_path, name):
    """One of fifty may send: what is due for it is found as if there were no others."""
    values = CLAIM | {"not_for": "[]", "providers": json.dumps(["open"])}
    values |= {"now": "2020"} if name == "next_due" else {}
    taken = []
    for count in (100, 10_000):
        async with queue(kept, tmp_path, count) as database:
            await database.write(partial(_spread, count))
            taken.append(await steps(database, name, **values))

    assert taken[1] <= taken[0] + 1


def _spread(count, connection):
    """Let what waits be of fifty providers, and the last of it of the one that may send."""
    connection.raw.execute("UPDATE messages SET provider = 'closed ' || (id % 49)")
    connection.raw.execute("UPDATE messages SET provider = 'open' WHERE id = ?", [count])


async def test_whatever_waits_is_counted_once_in_the_class_of_its_age(tmp_path):
    """For its Receiver, whichever provider's it is; in a few steps of SQLite's for each message."""
    now = datetime.now(UTC)
    async with open_database(tmp_path / "gateway.db") as database:
        await fill(database, 3_000)
        await database.write(partial(_aged, now))
        store = Store(database, node="here")
        found = (await store.flows.traffic(now)).backlog
        waiting = await store.figures.waiting()
        rows = await database.read(lambda c: c.raw.execute(_OPEN).fetchall())
        classes = {name: text(now - age) for name, age in AGES.items()}
        taken = await steps(database, "backlog", **classes)

    expected = Counter((row["receiver"], _class_of(row["created_at"], now)) for row in rows)
    oldest = {(row["provider"], row["receiver"]): row["created_at"] for row in rows}
    counted = {
        (each.receiver, number): count
        for each in found
        for number, count in enumerate(each.ages)
        if count
    }

    assert expected == counted
    assert sorted(found, key=lambda each: each.oldest_at) == found
    assert oldest == {(each.provider, each.receiver): text(each.since) for each in waiting}
    assert taken < 3_000 * 12 / 100


_OPEN = "SELECT provider, receiver, created_at FROM messages ORDER BY created_at DESC"


def _class_of(created_at: str, now: datetime) -> int:
    return sum(created_at <= text(now - age) for age in AGES.values())


def _aged(now: datetime, connection) -> None:
    """Let what waits be of three providers, and have come over half a day."""
    ages = [(text(now - timedelta(seconds=15 * n)), n % 3, n) for n in range(3_001)]
    connection.raw.executemany(
        "UPDATE messages SET created_at = ?, provider = 'p' || ? WHERE id = ?", ages
    )
