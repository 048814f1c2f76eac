import errno
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import Mock
from uuid import uuid4

import messages
import pytest
from epr_side import OWNER, question_folder_in
from structlog.testing import capture_logs

from bars_gateway.epr.outbox import DropOutcome, Mark, Outbox
from bars_gateway.epr.spool import RECENT_SECONDS, Cause, Spool, Stems, Stuck

NOBODY = 65534


@pytest.fixture
def root() -> Iterator[Path]:
    """Return a folder that others than root can reach too."""
    with tempfile.TemporaryDirectory(prefix="spool") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "spool"


@pytest.fixture
def spool(root: Path) -> Iterator[Spool]:
    opened = Spool(root, OWNER)
    yield opened
    opened.close()


def outbox(spool: Spool, settle_seconds: float = 0) -> Outbox:
    return Outbox(
        spool,
        monotonic=time.monotonic,
        wall=time.time,
        new_id=lambda: str(uuid4()),
        max_bytes=100_000,
        settle_seconds=settle_seconds,
    )


@contextmanager
def without_privileges(root: Path) -> Iterator[None]:
    """Give the folders to nobody and be nobody: root may read everything."""
    if os.getuid() != 0:
        yield
        return
    for path in (root, *root.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_that_cannot_be_read_waits(spool: Spool, root: Path) -> None:
    """A file that the gateway may not read is left, reported once, and taken when it may."""
    path = root / "outbox/new/TESTCASE.json"
    path.write_bytes(messages.referral())
    path.chmod(0)
    box = outbox(spool)
    with without_privileges(root), capture_logs() as lines:
        found = [len(box.take()), len(box.take())]
        path.chmod(0o640)
        found.append(len(box.take()))

    assert [0, 0, 1] == found
    assert ["EACCES"] == [line["reason"] for line in lines]
    assert "TESTCASE" not in str(lines)


def test_what_does_not_parse_is_left_for_a_while(spool: Spool, root: Path) -> None:
    """A file that may be half written is not taken before it has stopped changing."""
    (root / "outbox/new/one.json").write_bytes(b"{")
    box = outbox(spool, settle_seconds=3600)

    assert ([], []) == (box.take(), box.take())


def test_a_byte_order_mark_is_no_half_of_a_file(spool: Spool, root: Path) -> None:
    """It is JSON, as PowerShell writes it, and waits for nothing."""
    (root / "outbox/new/a.json").write_bytes(b"\xef\xbb\xbf{}")

    box = outbox(spool, settle_seconds=3600)

    assert [b"\xef\xbb\xbf{}"] == [drop.body for drop in box.take()]


def test_what_does_not_parse_is_taken_in_the_end(spool: Spool, root: Path) -> None:
    """A file that does not parse and does not change is taken, to be refused."""
    (root / "outbox/new/one.json").write_bytes(b"{")
    box = outbox(spool)

    assert ([], [b"{"]) == (box.take(), [drop.body for drop in box.take()])


def test_what_is_written_under_an_old_date_is_left_alone(spool: Spool, root: Path) -> None:
    """Who copies in place may make it as long as it will be, and date it as it was, at once."""
    file = root / "outbox/new/one.json"
    box = outbox(spool)
    found = []
    for content in (b"{\0\0", b'{"\0'):
        written(file, content)
        found.append(box.take())
    found.append(box.take())

    assert [[], [], [b'{"\0']] == [[drop.body for drop in drops] for drops in found]


def written(file: Path, content: bytes) -> None:
    """Write it, at another moment by the clock of the filesystem than before, with an old date."""
    before = file.stat().st_ctime_ns if file.exists() else 0
    while not file.exists() or file.stat().st_ctime_ns == before:
        file.write_bytes(content)
        os.utime(file, (0, 0))


def test_a_batch_has_a_limit(spool: Spool, root: Path) -> None:
    """A backlog is taken in parts, so that it need not be in memory at once."""
    for number in range(50):
        (root / f"outbox/new/{number}.json").write_bytes(b"{}")

    assert 32 == len(outbox(spool).take())


def test_a_claim_takes_the_file_away(spool: Spool, root: Path) -> None:
    """A claimed file is out of the EPR's reach, and keeps its name in ours."""
    (root / "outbox/new/one.json").write_bytes(b"{}")
    outbox(spool).take()

    assert [] == list((root / "outbox/new").iterdir())
    assert [".m.one.json"] == [path.name[36:] for path in (root / "outbox/claimed").glob("*.json")]


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_only_regular_files_are_read(spool: Spool, root: Path, kind: str) -> None:
    """What turns into a link or a pipe after it was listed is not read, nor waited for."""
    path = root / "outbox/new/one.json"
    if kind == "link":
        path.symlink_to("/etc/passwd")
    else:
        os.mkfifo(path)

    with pytest.raises(OSError, match=r"regular|symbolic"):
        spool.new.read("one.json", 10)


class _Clock:
    def __init__(self, seconds: float = 1000.0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


def _box_at(spool: Spool, clock: _Clock) -> Outbox:
    return Outbox(
        spool,
        monotonic=clock,
        wall=clock,
        new_id=lambda: str(uuid4()),
        max_bytes=100_000,
        settle_seconds=2,
    )


@pytest.mark.parametrize(
    ("name", "mark"), [("one.envelope.json", "no_message"), ("one.txt", "no_kind")]
)
def test_what_waits_for_nothing_is_taken_to_be_refused(
    spool: Spool, root: Path, name: str, mark: str
) -> None:
    """After a minute, in which its message, or a better name, may come."""
    (root / "outbox/new" / name).write_bytes(b"{}")
    clock = _Clock()
    box = _box_at(spool, clock)
    early = box.take()
    clock.seconds += 61
    late = [drop.ticket.mark for drop in box.take()]

    assert ([], [Mark[mark.upper()]]) == (early, late)


def test_half_an_xml_file_is_waited_for(spool: Spool, root: Path) -> None:
    """As half a JSON file is: an EPR that writes in place is given the time to finish."""
    path = root / "outbox/new/one.xml"
    path.write_bytes(b"<Bundle><id")
    clock = _Clock()
    box = _box_at(spool, clock)
    half = box.take()
    clock.seconds += 1
    path.write_bytes(b'<Bundle><id value="1"/></Bundle>')

    assert [] == half
    assert [b'<Bundle><id value="1"/></Bundle>'] == [drop.body for drop in box.take()]


def test_half_an_xml_file_that_stays_so_is_taken_in_the_end(spool: Spool, root: Path) -> None:
    """To be refused with a reason."""
    (root / "outbox/new/one.xml").write_bytes(b"<Bundle><id")
    clock = _Clock()
    box = _box_at(spool, clock)
    first = box.take()
    clock.seconds += 3

    assert [] == first
    assert 1 == len(box.take())


def test_what_can_never_be_taken_is_counted(spool: Spool, root: Path) -> None:
    """By its cause, since it was first seen, until somebody takes it away."""
    new = root / "outbox/new"
    (new / "folder.json").mkdir()
    (new / "link.json").symlink_to("/etc/hostname")
    (new / "one.json.tmp").write_bytes(b"{")
    (new / ".json").write_bytes(b"{}")  # of an EPR whose name for it is empty
    (new / ".nfs0001").write_bytes(b"{}")  # of the system
    clock = _Clock()
    box = _box_at(spool, clock)
    box.take()
    at_first = box.stuck
    clock.seconds += 601
    box.take()
    later = box.stuck
    (new / "folder.json").rmdir()
    (new / "link.json").unlink()
    (new / "one.json.tmp").unlink()
    (new / ".json").unlink()
    box.take()

    assert [Stuck(cause=Cause.IRREGULAR, folder=new, count=2, since=1000.0)] == at_first
    assert [
        Stuck(cause=Cause.IRREGULAR, folder=new, count=2, since=1000.0),
        Stuck(cause=Cause.UNFINISHED, folder=new, count=2, since=1601.0),
    ] == later
    assert [] == box.stuck


@pytest.mark.parametrize("name", ["desktop.ini", "Thumbs.db", "._one.json", ".DS_Store"])
def test_what_a_desktop_leaves_in_a_share_wakes_nobody(spool: Spool, root: Path, name: str) -> None:
    """Somebody has only looked into the folder: nothing of it is refused, or told."""
    path = root / "outbox/new" / name
    path.write_bytes(b"[.ShellClassInfo]")
    clock = _Clock()
    box = _box_at(spool, clock)
    box.take()
    clock.seconds += 61
    taken = box.take()
    clock.seconds += 601

    assert [] == [*taken, *box.take(), *box.stuck]
    assert path.exists()


def test_how_long_something_lies_outlives_us(spool: Spool, root: Path) -> None:
    """Its own time counts where it lay there before we began to look."""
    path = root / "outbox/new/link.json"
    path.symlink_to("/etc/hostname")
    clock = _Clock(time.time() + 3600)
    box = _box_at(spool, clock)
    box.take()

    (found,) = box.stuck
    assert (Cause.IRREGULAR, path.lstat().st_ctime) == (found.cause, found.since)


def test_an_old_date_that_was_kept_is_no_time_in_the_folder(spool: Spool, root: Path) -> None:
    """Whoever moves a file with its date from last year has dropped it now."""
    path = root / "outbox/tmp/one.json.tmp"
    path.write_bytes(b"{")
    os.utime(path, (0, 0))
    before = time.time()
    path.rename(root / "outbox/new" / path.name)
    clock = _Clock(time.time())
    box = _box_at(spool, clock)
    box.take()
    clock.seconds += 601
    box.take()
    (found,) = box.stuck

    assert before - 1 <= found.since <= before + 1


def test_what_can_no_longer_be_read_once_it_is_claimed_is_counted(spool: Spool, root: Path) -> None:
    """At every look, since the same moment, and the log says so once."""
    path = root / "outbox/claimed/one.m.one.json"
    path.write_bytes(messages.referral())
    path.chmod(0)
    clock = _Clock()
    box = _box_at(spool, clock)
    with without_privileges(root), capture_logs() as logs:
        for _ in range(3):
            box.take()
            clock.seconds += 10

    stuck = Stuck(cause=Cause.UNREADABLE, folder=path.parent, count=1, since=1000.0)
    assert [stuck] == box.stuck
    said = [(line["event"], line["path"]) for line in logs]
    assert [("epr.file_unreadable", str(path.parent))] == said


def test_a_claimed_answer_that_cannot_be_read_is_counted(root: Path, spool: Spool) -> None:
    """As a message is: its Sender hears nothing of it."""
    folder = question_folder_in(spool.root)
    path = root / "answers/claimed/7.json"
    path.write_bytes(b"{}")
    path.chmod(0)
    with closing(folder), without_privileges(root), capture_logs() as logs:
        for _ in range(3):
            folder._take()

    since = datetime(2024, 1, 1, tzinfo=UTC).timestamp()
    stuck = Stuck(cause=Cause.UNREADABLE, folder=path.parent, count=1, since=since)
    assert [stuck] == folder.stuck
    said = [(line["event"], line["path"]) for line in logs]
    assert [("epr.file_unreadable", str(path.parent))] == said


def test_what_may_not_be_read_is_counted(spool: Spool, root: Path) -> None:
    """Until it may be."""
    path = root / "outbox/new/one.json"
    path.write_bytes(messages.referral())
    path.chmod(0)
    box = outbox(spool)
    with without_privileges(root):
        box.take()
        before = [(each.cause, each.count) for each in box.stuck]
        path.chmod(0o640)
        box.take()

    assert [(Cause.UNREADABLE, 1)] == before
    assert [] == box.stuck


def test_a_name_is_used_for_ten_minutes(spool: Spool) -> None:
    """After that an envelope of that name waits for its message again."""
    clock = _Clock()
    stems = Stems(spool.claimed, now=clock)
    stems.note(["one"])
    soon = stems.is_used("one")
    clock.seconds += RECENT_SECONDS

    assert (True, False) == (soon, stems.is_used("one"))


def test_names_are_remembered_as_digests(spool: Spool, root: Path) -> None:
    """Some EPRs put patients into the names of their files."""
    Stems(spool.claimed, now=_Clock()).note(["SMITH-9000000009"])

    assert "SMITH" not in (root / "outbox/claimed/.stems").read_text()


def test_a_line_that_was_cut_off_hides_no_other(spool: Spool, root: Path) -> None:
    """A crash may leave half a line; what is noted after it is remembered all the same."""
    clock = _Clock()
    Stems(spool.claimed, now=clock).note(["one"])
    path = root / "outbox/claimed/.stems"
    path.write_bytes(path.read_bytes() + b"used 0123")
    Stems(spool.claimed, now=clock).note(["two"])
    stems = Stems(spool.claimed, now=clock)

    assert (True, True) == (stems.is_used("one"), stems.is_used("two"))


def test_the_memory_of_names_does_not_grow(spool: Spool, root: Path) -> None:
    """What is out of date is dropped as it is written again."""
    clock = _Clock()
    stems = Stems(spool.claimed, now=clock)
    for _ in range(40):
        clock.seconds += 400
        stems.note([str(uuid4()) for _ in range(1000)])

    assert len((root / "outbox/claimed/.stems").read_bytes().split()) < 3 * 16_000


def test_what_was_left_at_a_start_is_worked_on_alone(spool: Spool, root: Path) -> None:
    """It may be what we died of: it bears a mark meanwhile, and nothing else goes with it."""
    for name in ("a.json", "b.json"):
        (root / "outbox" / "new" / name).write_bytes(b"{}")
    assert 2 == len(outbox(spool).take())  # and we die
    (root / "outbox" / "new" / "c.json").write_bytes(b"{}")
    second = outbox(spool)
    (first_try,) = second.take()

    assert first_try.ticket.tried
    assert not first_try.ended_us
    assert 1 == len(
        [each for each in (root / "outbox" / "claimed").iterdir() if ".M." in each.name]
    )


def test_what_we_died_over_twice_is_not_tried_again(spool: Spool, root: Path) -> None:
    """It is set aside, and what came with it goes on."""
    for name in ("a.json", "b.json"):
        (root / "outbox" / "new" / name).write_bytes(b"{}")
    outbox(spool).take()  # and we die
    (tried,) = outbox(spool).take()  # and we die over it
    third = outbox(spool)
    (again,) = third.take()
    third.finish([DropOutcome(drop=again, accepted=False, document=b"{}")])
    (other,) = third.take()

    assert (tried.ticket, True) == (again.ticket, again.ended_us)
    assert not other.ended_us


def test_a_file_that_waits_for_room_bears_no_mark(spool: Spool, root: Path) -> None:
    """A full disk is not what we die of: a start after it tries the file as ever."""
    (root / "outbox" / "new" / "a.json").write_bytes(b"{}")
    outbox(spool).take()  # and we die
    second = outbox(spool)
    (drop,) = second.take()
    second.leave(drop)
    (again,) = outbox(spool).take()

    assert not again.ended_us


def test_a_machine_without_descriptors_is_no_trouble_of_a_file(
    spool: Spool, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told to change its mode: the folder stands still, and it is taken afterwards."""
    (root / "outbox" / "new" / "a.json").write_bytes(b"{}")
    door = outbox(spool)
    with monkeypatch.context() as exhausted:
        error = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        exhausted.setattr(spool.new, "read", Mock(side_effect=error))
        with pytest.raises(OSError, match="Too many open files"):
            door.take()
    (drop,) = door.take()

    assert [] == list(door.stuck)
    assert b"{}" == drop.body
