"""Whether an EPR takes what it is given, and when it was last seen."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
import messages
import pytest
from epr_side import PROVIDER, Hospital, at_work, intake_of
from store_values import NOW, arrival

from bars_gateway.epr.drop import DropFolder
from bars_gateway.epr.envelope import Envelope
from bars_gateway.epr.inbox import Attendance
from bars_gateway.epr.intake import SubmissionRefused
from bars_gateway.epr.refusals import RefusedFiles
from bars_gateway.epr.socket import EprSocket
from bars_gateway.standard.formats import Format
from bars_gateway.standard.timing import shipped_timing
from bars_gateway.store.store import Store


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at = NOW

    def __call__(self) -> datetime:
        return self.at


def watching(
    store: Store,
    inbox: Path | None,
    clock: Clock | None = None,
    *,
    most: int = 100,
    delivers: bool = True,
    refused: Path | None = None,
) -> Attendance:
    return Attendance(
        store,
        provider=PROVIDER,
        asks=True,
        inbox=inbox or Path("/no/such/folder"),
        refusals=RefusedFiles(refused or Path("/no/such/folder"), max_bytes=1024 * 1024),
        delivers=delivers and inbox is not None,
        late_after=lambda use_case: shipped_timing(use_case).unread_after,
        now=clock or Clock(),
        most=most,
    )


async def taken(store: Store, use_case: str, at: datetime = NOW) -> None:
    await store.inbound.receive(arrival(provider=PROVIDER, use_case=use_case), at)


def counts(watch: Attendance) -> Mapping[str, int]:
    return {each.use_case: each.count for each in watch.condition.unread}


async def test_what_lies_in_the_inbox_is_unread(
    folder: DropFolder, hospital: Hospital, store: Store
) -> None:
    """Written counts as collected, and says nothing of anybody having looked."""
    for use_case in ("a3t1", "a1t1", "a1t1"):
        await taken(store, use_case)
    async with at_work(folder.stop, folder.deliver()):
        await hospital.sees("inbox/new/000000000003.message.json")
    watch = watching(store, hospital.inbox / "new")
    await watch.look()
    pending = await store.notices.pending(PROVIDER, 10)

    assert ([], {"a3t1": 1, "a1t1": 2}) == (list(pending), counts(watch))


async def test_what_is_not_collected_on_the_socket_is_unread(store: Store) -> None:
    """There is no folder then; what is owed is what waits."""
    await taken(store, "a3t1")
    watch = watching(store, None)
    await watch.look()
    (unread,) = watch.condition.unread

    assert ("a3t1", 1, NOW) == (unread.use_case, unread.count, unread.since)
    assert [1] == [notice.notice_id for notice in unread.oldest]


async def test_a_share_that_is_away_is_no_empty_folder(
    folder: DropFolder, hospital: Hospital, store: Store
) -> None:
    """What lay there unread keeps its alarm: nobody has taken it."""
    await taken(store, "a3t1")
    async with at_work(folder.stop, folder.deliver()):
        await hospital.sees("inbox/new/000000000001.message.json")
    watch = watching(store, hospital.inbox / "new", refused=hospital.outbox / "refused")
    watch.looks_while(folder.root.is_in_place)
    await watch.look()
    hospital.root.rename(hospital.root.with_name("away"))
    for each in (hospital.inbox, hospital.outbox / "refused"):
        (each / "new").mkdir(parents=True)
    await watch.look()

    assert ({"a3t1": 1}, False) == (counts(watch), watch.condition.known)


async def test_what_lies_there_from_before_is_unread_on_the_socket_too(
    folder: DropFolder, hospital: Hospital, store: Store
) -> None:
    """An EPR that goes over to the socket is given those no more, and nobody may have read them."""
    await taken(store, "a3t1")
    async with at_work(folder.stop, folder.deliver()):
        await hospital.sees("inbox/new/000000000001.message.json")
    await taken(store, "a1t1")
    watch = watching(store, hospital.inbox / "new", delivers=False)
    await watch.look()

    assert (True, {"a3t1": 1, "a1t1": 1}) == (watch.condition.known, counts(watch))


async def test_what_was_refused_lies_there_until_it_is_taken_away(
    store: Store, tmp_path: Path
) -> None:
    """What is urgent is late sooner; and whoever takes a reason away was seen."""
    (tmp_path / "one.json").write_bytes(messages.validation_request())
    (tmp_path / "one.reason.json").touch()
    watch = watching(store, None, refused=tmp_path)
    await watch.look()
    ((lying,), before) = (watch.condition.refused, watch.condition.seen_at)
    (tmp_path / "one.reason.json").unlink()
    await watch.look()

    assert ("a4t1", 1, timedelta(minutes=5)) == (lying.use_case, lying.count, lying.late_after)
    assert (None, NOW, []) == (before, watch.condition.seen_at, watch.condition.refused)


async def test_what_is_refused_at_either_door_is_counted(store: Store) -> None:
    """On the socket nothing of it lies anywhere."""
    watch = watching(store, None)
    intake = intake_of(store, refused=watch.refused)
    with pytest.raises(SubmissionRefused):
        await intake.submit(b"{", Format.JSON, Envelope())

    assert (1, NOW) == (watch.condition.refusals, watch.condition.refused_at)


async def test_a_folder_that_cannot_be_read_is_not_said_to_be_empty(store: Store) -> None:
    """Whether notices are written into it, or lie there from before."""
    folder, no_folder = Path("/no/such/folder"), Path("/dev/null")
    found = []
    for inbox, delivers in ((folder, True), (no_folder, True), (no_folder, False)):
        watch = watching(store, inbox, delivers=delivers)
        await watch.look()
        found.append(watch.condition.known)

    assert [False, False, False] == found


async def test_whoever_takes_a_file_away_was_seen(
    folder: DropFolder, hospital: Hospital, store: Store
) -> None:
    """An EPR that uses the folders never says that it is there."""
    await taken(store, "a1t1")
    async with at_work(folder.stop, folder.deliver()):
        await hospital.sees("inbox/new/000000000001.message.json")
    clock = Clock()
    watch = watching(store, hospital.inbox / "new", clock)
    await watch.look()
    before = watch.condition.seen_at
    for file in (hospital.inbox / "new").iterdir():
        file.unlink()
    clock.at = NOW + timedelta(minutes=3)
    await watch.look()

    assert (None, NOW + timedelta(minutes=3), {}) == (
        before,
        watch.condition.seen_at,
        counts(watch),
    )


async def test_a_crowded_folder_is_not_read_to_its_end(store: Store, tmp_path: Path) -> None:
    """It says that there is more, and how many it has looked at."""
    inbox = tmp_path / "new"
    inbox.mkdir()
    for number in range(1, 6):
        await taken(store, "a1t1")
        (inbox / f"{number:012d}.message.json").touch()
    await store.notices.collect(PROVIDER, range(1, 6), NOW)
    watch = watching(store, inbox, most=3)
    await watch.look()

    assert (3, True) == (watch.condition.lying, watch.condition.more)


async def test_many_are_looked_up_in_turns(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """In whatever pieces, each is counted once and the oldest comes first."""
    monkeypatch.setattr("bars_gateway.store.readings._AT_ONCE", 2)
    for minutes in range(5):
        await taken(store, "a1t1", NOW + timedelta(minutes=minutes))
    watch = watching(store, None)
    await watch.look()
    (unread,) = watch.condition.unread

    assert (5, NOW, [1, 2, 3, 4, 5]) == (
        unread.count,
        unread.since,
        [notice.notice_id for notice in unread.oldest],
    )


async def test_what_else_lies_there_is_no_notice(store: Store, tmp_path: Path) -> None:
    """A file of the EPR's own, or a number that nobody gave."""
    for name in ("readme.txt", "12.message.json", "000000000777.message.json"):
        (tmp_path / name).touch()
    watch = watching(store, tmp_path)
    await watch.look()

    assert ({}, True) == (counts(watch), watch.condition.known)


async def test_a_folder_that_is_gone_is_not_taken_for_an_empty_one(
    store: Store, tmp_path: Path
) -> None:
    """Nobody may read that all was taken."""
    watch = watching(store, tmp_path / "gone")
    await watch.look()

    assert not watch.condition.known


async def test_the_thread_of_the_loop_reads_no_folder(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share that hangs must not keep messages from being sent."""
    threads = []

    async def elsewhere(work: object, *given: object) -> frozenset[int]:
        threads.append(work)
        return frozenset()

    monkeypatch.setattr("bars_gateway.epr.inbox.asyncio.to_thread", elsewhere)
    await watching(store, tmp_path).look()

    assert 3 == len(threads)


@pytest.mark.parametrize(
    ("path", "seen", "asked"),
    [("/notices", True, False), ("/questions", True, True), ("/queue", False, False)],
)
async def test_an_epr_that_asks_is_seen(
    door: EprSocket, epr: aiohttp.ClientSession, path: str, *, seen: bool, asked: bool
) -> None:
    """An operator who looks at the queue is no EPR."""
    async with epr.get(path) as answer:
        await answer.read()
    condition = door.attendance.condition

    assert (seen, asked) == (condition.seen_at is not None, condition.asked_at is not None)
