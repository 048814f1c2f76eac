"""A long queue: what is due is found as fast as in a short one, however much waits before it."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from bench.backlog import SICK, fill

from bars_gateway.store.rows import text
from bars_gateway.store.sqlite import named_queries
from bars_gateway.store.sqlite.database import SqliteDatabase, open_database


async def steps(database: SqliteDatabase, name: str, **values: object) -> int:
    """Return how many hundreds of steps SQLite takes for the statement called *name*."""
    sql = named_queries()[name]

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
        assert found
        return counted

    return await database.write(work)


CLAIM = {
    "now": text(datetime.now(UTC) + timedelta(hours=1)),
    "providers": json.dumps(["bench"]),
    "singly": "[]",
    "per_receiver": 4,
    "wanted": 1,
}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        pytest.param("claimable", CLAIM | {"not_for": "[]"}, id="claim"),
        pytest.param("claimable", CLAIM | {"not_for": json.dumps([SICK])}, id="past-the-sick"),
        pytest.param(
            "next_due", {"now": "2020", "providers": json.dumps(["bench"])}, id="next-due"
        ),
    ],
)
async def test_ten_thousand_wait_and_the_next_is_found_as_before(tmp_path, name, values):
    """Half of them are for a Receiver that takes nothing, and were there first."""
    taken = []
    for count in (1000, 10_000):
        async with open_database(tmp_path / f"{count}.db") as database:
            await fill(database, count)
            taken.append(await steps(database, name, **values))

    assert taken[1] <= taken[0] * 1.5
