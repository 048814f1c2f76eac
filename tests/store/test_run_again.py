"""A group that conflicts with another node's runs again: so does each work of these tests."""

from functools import partial

import pytest
import run_again
from store_values import NOW

from bars_gateway.store.connection import Connection, Database
from bars_gateway.store.records import EventAbout, add_event


@pytest.mark.impure
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


def test_a_work_is_held_against_its_first_run() -> None:
    """By what it asks for, and by its result: either tells that it kept something."""
    watched, ran = run_again.Watched(), list[int]()

    def pure(_connection: object) -> int:
        run_again.asks("add", {"number": 1})
        return 1

    def asks_otherwise(_connection: object) -> None:
        ran.append(1)
        run_again.asks("add", {"number": len(ran)})

    def says_otherwise(_connection: object) -> int:
        ran.append(1)
        return len(ran)

    for work in (pure, asks_otherwise, says_otherwise):
        twice = watched.watching(work)
        twice(None)
        twice(None)
    names = [told.partition(":")[0] for told in watched.differ]
    ours = test_a_work_is_held_against_its_first_run.__name__

    assert [ours, ours] == names  # it has them both


def test_every_work_is_known_by_the_name_that_it_is_written_by() -> None:
    """What was not seen is found by this list: methods of nouns, and what is handed over."""
    found = run_again.works()

    assert {"Alarms.handle", "Responses._respond", "submit", "claim", "tell_overdue"} <= found
    assert not {"work", "step"} & found


def test_a_work_within_others_is_known_by_its_own_name() -> None:
    """Whatever carries it to the database."""

    def work(_connection: object) -> None:
        pass

    def carried(connection: object) -> None:
        work(connection)

    own = test_a_work_within_others_is_known_by_its_own_name.__name__

    assert own == run_again.name_of(carried) == run_again.name_of(partial(carried))
