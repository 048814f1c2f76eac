"""What another program has put back is made safe to start on: `restore` without FILE."""

import os
import pwd
import shutil
import signal

import mortal
import pytest
from store.test_restoring import (
    LATER,
    OPERATOR,
    PAST,
    Home,
    history,
    home,
    killed,
    notices,
    overview,
    queue,
    rows,
    sent_by,
    takes,
    verb,
)

from bars_gateway.errors import DatabaseDamaged, DatabaseInUse, StoreError
from bars_gateway.model.interventions import Verb
from bars_gateway.model.trail import LEAP
from bars_gateway.store.aftermath import Became, PutBack
from bars_gateway.store.chain import walked
from bars_gateway.store.sqlite import SqliteConnection
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.sqlite.integrity import examine, reading
from bars_gateway.store.sqlite.put_back import make_safe

__all__ = ["home"]  # a fixture


def gone_back(home: Home) -> None:
    """Put the copy in the place of the database, as a backup program does with a whole machine."""
    for suffix in ("-wal", "-shm"):
        home.database.with_name(f"gateway.db{suffix}").unlink(missing_ok=True)
    shutil.copyfile(home.backup, home.database)


def safe(home: Home, told: int = 0) -> PutBack:
    return make_safe(home.database, LATER, actor=OPERATOR, told=told)


async def test_what_was_withdrawn_since_goes_out_where_nobody_says_that_it_went_back(
    home: Home,
) -> None:
    """And not where somebody does: it is held, with an alarm, and counts as tried."""
    (accepted,) = await home.backed_up(queue())
    await home.does(verb(Verb.WITHDRAW, accepted))
    gone_back(home)
    (unsaid,) = await home.does(sent_by)
    gone_back(home)
    done = safe(home)
    sent, found, page = await home.does(sent_by, history(accepted.request_id), overview)

    assert [accepted.request_id] == [each.request_id for each in unsaid]
    assert [(accepted.request_id, Became.HELD)] == [(e.request_id, e.fate) for e in done.lines]
    assert ([], "held", 1) == (sent, found.message.state, found.message.attempts)
    assert {"restore.held", "restore.forgotten"} <= {alarm.kind for alarm in page.alarms}


async def test_no_number_is_given_twice(home: Home) -> None:
    """The EPR knows a notice by its number, and had one since that nobody here knows."""
    await home.backed_up(takes())
    _, since = await home.does(takes(), notices)
    gone_back(home)
    _, unsaid = await home.does(takes(), notices)
    gone_back(home)
    safe(home)
    _, now = await home.does(takes(), notices)

    assert (
        since[-1].notice_id == unsaid[-1].notice_id
    )  # a new referral would be dropped as one that was seen
    assert now[-1].notice_id > LEAP


async def test_the_trail_goes_on_beyond_what_others_know_of_it(home: Home) -> None:
    """The file of heads tells of lines that are gone; and the trail says why there is a gap."""
    await home.backed_up(queue())
    gone_back(home)
    safe(home, told=5 * LEAP)
    ((line, detail),) = rows(
        home.database, "SELECT id, detail FROM events WHERE kind = 'operator.restored'"
    )
    with reading(home.database) as connection:
        walk = walked(SqliteConnection(connection))

    assert line > 6 * LEAP
    assert OPERATOR.why in detail
    assert [] == walk.breaches


async def test_done_twice_it_says_the_same(home: Home) -> None:
    """Somebody wants to read it once more, or types it at each of two starts that failed."""
    await home.backed_up(queue())
    gone_back(home)
    first, second = safe(home), safe(home)

    assert first.last_change_at == second.last_change_at
    assert [each.request_id for each in first.lines] == [each.request_id for each in second.lines]


@pytest.mark.parametrize("place", range(1, 8, 2))
async def test_killed_in_the_middle_it_is_done_by_the_next(home: Home, place: int) -> None:
    """Nothing of it is there, or all of it."""
    (accepted,) = await home.backed_up(queue())
    gone_back(home)
    rehearsal = home.database.with_name("rehearsal.db")
    shutil.copyfile(home.backup, rehearsal)
    total = mortal.steps("make_safe", rehearsal, rehearsal, PAST)
    at = max(1, total * (2 * place + 1) // 16)
    code = killed("make_safe", home.database, home.database, at, LATER)
    between = examine(home.database)
    safe(home)
    sent, found = await home.does(sent_by, history(accepted.request_id))

    assert -signal.SIGKILL == code
    assert [] == between.problems
    assert ([], "held") == (sent, found.message.state)


async def test_it_is_refused_under_a_gateway_that_runs(home: Home) -> None:
    """It would count on from its own numbers."""
    async with open_database(home.database):
        with pytest.raises(DatabaseInUse):
            safe(home)


async def test_what_is_no_whole_database_is_refused(home: Home) -> None:
    """Half of a file, as of a copy that was broken off."""
    await home.backed_up(*(takes() for _ in range(5)))
    whole = home.backup.read_bytes()
    home.database.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatabaseDamaged):
        safe(home)

    assert home.database.read_bytes() == whole[: len(whole) // 2]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
async def test_what_root_has_put_back_is_the_gateways(home: Home) -> None:
    """A file that was moved there is root's, and the next start could not write it."""
    daemon = pwd.getpwnam("daemon").pw_uid
    await home.backed_up(queue())
    gone_back(home)
    os.chown(home.database.parent, daemon, -1)
    os.chown(home.database, 0, -1)
    safe(home)

    assert daemon == home.database.stat().st_uid


async def test_where_there_is_none_none_is_made(home: Home) -> None:
    """An empty one would begin again with everything."""
    with pytest.raises(StoreError, match="there is no file"):
        safe(home)

    assert not home.database.exists()
