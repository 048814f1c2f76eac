"""A database that went back is known by what a spool folder tells of it; no other one ever is."""

import asyncio
import json
import threading
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path

import pytest
from epr_side import eventually
from store.test_chain import found, tampered
from store.test_put_back import gone_back, safe
from store.test_restoring import Home, home, queue, takes
from store_values import NOW
from structlog.testing import capture_logs

from bars_gateway.config.spool_folder import SpoolOwner
from bars_gateway.daemon.recording import ReachTeller
from bars_gateway.epr.folders import SpoolRoot
from bars_gateway.errors import DatabaseAway, DatabaseSetBack
from bars_gateway.model.trail import LEAP, BreachKind
from bars_gateway.store.reached import REACHED_FILE, Reached, last_line_in, told_at, told_in
from bars_gateway.store.store import Store

__all__ = ["home"]  # a fixture

OWNER = SpoolOwner(provider="north", ods_code="ZX901")


class Spool:
    """A spool folder that a gateway tells of its database."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self.path, self.file = path, path / REACHED_FILE

    def told(self, days: int = 0):
        async def tell(store: Store) -> None:
            found = await store.reaches.reached(told_at(self.path), NOW + timedelta(days=days))
            assert found is not None
            self.file.write_bytes(found.written)

        return tell

    async def starts(self, store: Store) -> None:
        await store.reaches.require_not_gone_back(told_in([self.path]), "the database")


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


async def test_a_database_that_went_back_is_refused_until_it_is_made_safe(
    home: Home, spool: Spool
) -> None:
    """With since when, and the cure; then its numbers are far beyond what was told."""
    await home.backed_up(queue(), spool.told())
    await home.does(takes(), spool.told())
    gone_back(home)
    with pytest.raises(DatabaseSetBack) as refused:
        await home.does(spool.starts)
    safe(home, told=last_line_in([spool.path]))
    await home.does(spool.starts, spool.told(), spool.starts)

    assert f"of {NOW:%Y-%m-%d %H:%M:%S} UTC" in str(refused.value)
    assert "restore --why TEXT`, without FILE" in refused.value.advice
    assert last_line_in([spool.path]) > LEAP


async def test_one_that_has_grown_beyond_what_was_told_since_it_went_back_is_refused_as_well(
    home: Home, spool: Spool
) -> None:
    """Its trail has that line, and it is another: what was withdrawn may have left meanwhile."""
    await home.backed_up(queue(), spool.told())
    await home.does(takes(), spool.told())
    gone_back(home)
    await home.does(queue(), queue(), queue())
    with pytest.raises(DatabaseSetBack) as refused:
        await home.does(spool.starts)
    safe(home, told=last_line_in([spool.path]))
    await home.does(spool.starts, spool.told(), spool.starts)

    assert "another line" in str(refused.value)
    assert "audit verify" in refused.value.advice
    assert "restore --why TEXT`, without FILE" in refused.value.advice


async def test_a_line_whose_hash_was_spoilt_keeps_no_gateway_from_starting(
    home: Home, spool: Spool
) -> None:
    """It does not fit the line before it: who walks the trail says so, and nothing went back."""
    await home.does(queue(), takes(), spool.told(), takes())
    line = last_line_in([spool.path])
    tampered(home.database, f"UPDATE chain SET hash = '{'0' * 64}' WHERE line = {line}")
    await home.does(spool.starts)

    assert (BreachKind.CHANGED, line) in found(home.database)


async def test_a_restore_of_a_file_starts_well(home: Home, spool: Spool) -> None:
    """Numbers leap beyond what the database had that is kept."""
    await home.backed_up(queue(), spool.told())
    await home.does(takes(), spool.told())
    home.restored()
    await home.does(spool.starts, spool.told(), spool.starts)


async def test_one_that_goes_on_is_never_refused(home: Home, spool: Spool) -> None:
    """Started again, killed before it could tell, or with one folder that was away for long."""
    away = Spool(spool.path.with_name("away"))
    await home.does(queue(), spool.told(), away.told())
    await home.does(spool.starts, takes(), spool.told())
    await home.does(spool.starts, away.starts, takes())
    await home.does(spool.starts, away.starts)


async def test_another_database_is_never_refused(home: Home, spool: Spool) -> None:
    """Begun anew it has fewer lines; and whoever returns to the first finds it as it was left."""
    await home.does(queue(), takes(), spool.told(), spool.told(days=1))
    first = home.database.rename(home.database.with_name("first.db"))
    home.database.with_name("gateway.db.lock").unlink()  # it is meant
    await home.does(spool.starts, queue(), spool.told())
    await home.does(*(takes() for _ in range(9)), spool.told(days=1))
    first.rename(home.database)
    await home.does(spool.starts, spool.told(), spool.starts)


async def test_it_is_known_by_the_mark_of_a_day_where_the_first_lines_have_left(
    home: Home, spool: Spool
) -> None:
    """The oldest lines leave by their rule; a copy from before that day cannot be known by them."""
    await home.does(queue(), spool.told(), takes(), spool.told(days=1))
    await home.backed_up(takes(), spool.told(days=2))
    await home.does(takes(), spool.told(days=3))
    told = json.loads(spool.file.read_bytes())
    told["marks"][0][1] = "0" * 64  # as of a line that is gone
    spool.file.write_text(json.dumps(told))
    gone_back(home)

    with pytest.raises(DatabaseSetBack):
        await home.does(spool.starts)


async def test_there_is_a_mark_of_each_day_and_not_of_each_hour(home: Home, spool: Spool) -> None:
    """The file stays small, whatever it has lived through."""
    for day in range(105):
        await home.does(spool.told(day) if day else queue(), takes(), spool.told(day))
    told = told_at(spool.path)

    assert told is not None
    assert 101 == len(told.marks)
    assert 1 == told.marks[0].line
    assert len(told.written) < 10_000


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        '{"at": "2026-01-01T00:00:00Z", "line": 9}',
        '{"at": null, "line": 9, "hash": "%s", "marks": []}' % ("0" * 64),
        '{"at": "2026-01-01T00:00:00Z", "line": 9, "hash": "%s", "marks": []}' % ("0" * 64),
        '{"at": "2026-01-01T00:00:00Z", "line": 9, "hash": "%s", "marks": [[1]]}' % ("0" * 64),
        '{"at": "2026-01-01T00:00:00Z", "line": 1e99, "hash": "x", "marks": [[1, "x"]]}',
    ],
)
async def test_what_tells_nothing_keeps_no_gateway_from_starting(
    home: Home, spool: Spool, content: str
) -> None:
    """A disk has spoilt it, or somebody has written it; the next turn writes it anew."""
    spool.file.write_text(content)
    await home.does(queue(), spool.starts, spool.told())

    assert isinstance(told_at(spool.path), Reached)


async def test_a_folder_that_cannot_be_written_keeps_nothing_from_running(
    home: Home, spool: Spool
) -> None:
    """The log says where; the other provider's folder is told all the same."""
    other = Spool(spool.path.with_name("other"))
    spool.file.mkdir()  # nothing can be renamed over it, not even by root
    with ExitStack() as stack:
        roots = [
            stack.enter_context(closing(SpoolRoot(each.path, OWNER))) for each in (spool, other)
        ]

        async def tell(store: Store) -> None:
            await ReachTeller(store, roots, lambda: NOW, "the database").tell()

        with capture_logs() as logged:
            await home.does(queue(), spool.starts, tell, tell)

    assert [str(spool.file)] * 2 == [each["path"] for each in logged if "path" in each]
    assert isinstance(told_at(other.path), Reached)
    assert [other.file] == list(other.path.glob(".reached*"))


async def test_what_goes_back_under_a_gateway_does_not_take_the_witness_with_it(
    home: Home, spool: Spool
) -> None:
    """A snapshot with memory: the log says so at the next turn, and the next start is refused."""
    await home.backed_up(queue(), spool.told())
    await home.does(takes(), spool.told())
    told = spool.file.read_bytes()
    gone_back(home)
    with closing(SpoolRoot(spool.path, OWNER)) as root:

        async def tell(store: Store) -> None:
            await ReachTeller(store, [root], lambda: NOW, "the database").tell()

        with capture_logs() as logged:
            await home.does(tell)

    assert ["store.gone_back"] == [each["event"] for each in logged if "advice" in each]
    assert told == spool.file.read_bytes()
    with pytest.raises(DatabaseSetBack):
        await home.does(spool.starts)


async def test_a_stop_ends_well_where_the_store_does_not_answer(
    home: Home, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the folder was told before stays, and the log says why."""

    async def away(*_arguments: object) -> None:
        raise DatabaseAway("the disk is gone")

    with closing(SpoolRoot(spool.path, OWNER)) as root:

        async def stop(store: Store) -> None:
            with monkeypatch.context() as patched:
                patched.setattr(type(store.reaches), "reached", away)
                await ReachTeller(store, [root], lambda: NOW, "the database").tell()

        with capture_logs() as logged:
            await home.does(queue(), spool.told(), stop)

    assert [("store.unavailable", "the disk is gone")] == [
        (each["event"], each["reason"]) for each in logged if each["log_level"] == "error"
    ]
    assert isinstance(told_at(spool.path), Reached)


async def test_a_share_that_hangs_takes_the_witness_from_no_other_folder(
    home: Home, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may hang for days; the other providers' folders are told meanwhile."""
    other, answers = Spool(spool.path.with_name("other")), threading.Event()
    with ExitStack() as stack:
        roots = [
            stack.enter_context(closing(SpoolRoot(each.path, OWNER))) for each in (spool, other)
        ]
        put = SpoolRoot.put

        def hangs(root: SpoolRoot, name: str, content: bytes) -> None:
            if root.path == spool.path:
                answers.wait(60)
            put(root, name, content)

        async def tell(store: Store) -> None:
            teller = ReachTeller(store, roots, lambda: NOW, "the database")
            running = asyncio.create_task(teller.run())
            try:
                await eventually(other.file.exists)
                assert not spool.file.exists()
            finally:
                answers.set()
                teller.stop()
                await running

        monkeypatch.setattr(SpoolRoot, "put", hangs)
        await home.does(queue(), tell)
