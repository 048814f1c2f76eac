"""A group that conflicts with another node's runs again: so does each work of these tests."""

from store_values import NOW

from bars_gateway.store.connection import Connection, Database
from bars_gateway.store.records import EventAbout, add_event


async def test_what_a_work_keeps_of_the_first_time_is_seen(database: Database) -> None:
    """It runs twice, on either engine, and what it did the first time is undone."""
    ran: list[int] = []

    def impure(connection: Connection) -> list[int]:
        ran.append(1)
        add_event(connection, EventAbout("trust"), "gateway.started", NOW, {"ran": len(ran)})
        return ran

    kept = await database.write(impure)
    lines = await database.read(lambda c: c.rows("oldest_lines", through=9, limit=9))

    assert [1, 1] == kept
    assert 1 == len(lines)
