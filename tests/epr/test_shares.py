"""What the server of a network share does otherwise than a disk, one call at a time."""

import asyncio
import contextlib
import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from unittest.mock import AsyncMock, Mock
from uuid import uuid4

import messages
import pytest
from epr_side import (
    OWNER,
    PROVIDER,
    at_work,
    eventually,
    question_folder_in,
    utc_now,
)
from store_values import NOW, arrival
from structlog.testing import capture_logs
from world import world_in

from bars_gateway.epr import documents, drop, inbox
from bars_gateway.epr.answering import AnswerRefused
from bars_gateway.epr.drop import DropFolder
from bars_gateway.epr.folders import SpoolRoot
from bars_gateway.epr.inbox import Deliveries
from bars_gateway.epr.outbox import DropOutcome, Mark, Outbox
from bars_gateway.epr.questions import QuestionFolder
from bars_gateway.epr.spool import Cause, Spool, stem_of
from bars_gateway.errors import ConfigurationError, FolderInUse
from bars_gateway.permissions import cure_of_stalled
from bars_gateway.store.store import Store

STALE = os.strerror(errno.ESTALE)


def failing(number: int) -> Mock:
    return Mock(side_effect=OSError(number, os.strerror(number)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def spool(root: Path) -> Iterator[Spool]:
    with closing(Spool(root, OWNER)) as opened:
        yield opened


@pytest.fixture
def box(spool: Spool) -> Outbox:
    return started(spool)


def started(spool: Spool) -> Outbox:
    """Return what a start makes of the folder."""
    return Outbox(
        spool,
        monotonic=time.monotonic,
        wall=time.time,
        new_id=lambda: str(uuid4()),
        max_bytes=100_000,
        settle_seconds=0,
    )


@pytest.fixture
def questions(spool: Spool) -> Iterator[QuestionFolder]:
    with closing(question_folder_in(spool.root)) as opened:
        yield opened


@pytest.fixture
def _lists_as_when_it_was_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an open folder go on showing what its first look has found, as Linux does on SMB."""
    shown: dict[int, list[os.DirEntry[str]]] = {}
    scandir, close = os.scandir, os.close

    def listed(folder: int) -> contextlib.nullcontext[list[os.DirEntry[str]]]:
        if folder not in shown:
            with scandir(folder) as found:
                shown[folder] = list(found)
        return contextlib.nullcontext(shown[folder])

    def closed(descriptor: int) -> None:
        shown.pop(descriptor, None)
        close(descriptor)

    monkeypatch.setattr(os, "scandir", listed)
    monkeypatch.setattr(os, "close", closed)


@pytest.mark.usefixtures("_lists_as_when_it_was_opened")
def test_what_another_machine_writes_is_seen_at_the_next_look(box: Outbox, root: Path) -> None:
    """Though the folder was listed before, and nothing of this machine has changed it since."""
    at_first = box.take()
    (root / "outbox/new/one.json").write_bytes(b"{}")

    assert ([], [b"{}"]) == (at_first, [drop.body for drop in box.take()])


def test_a_server_is_told_to_sync_each_file(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It hears of no syncfs, nor on SMB of an fsync by whoever has the file open to read."""
    monkeypatch.setattr(os, "major", lambda _device: 0)  # as of every share
    syncs: list[tuple[str, int]] = []

    def fsync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        syncs.append((name, fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE))

    monkeypatch.setattr(os, "fsync", fsync)
    names = [f"{number}.json" for number in range(5)]
    for name in names:
        spool.inbox_tmp.write(name, b"{}")
    spool.inbox_tmp.flush(names)

    assert [(name, os.O_WRONLY) for name in names] == syncs


@pytest.mark.parametrize("said", [errno.EAGAIN, errno.EACCES])
def test_a_lock_that_another_machine_has_is_said_in_two_ways(
    root: Path, monkeypatch: pytest.MonkeyPatch, said: int
) -> None:
    """NFS says that it is held, and SMB that it may not be had."""
    monkeypatch.setattr(fcntl, "flock", failing(said))
    with pytest.raises(FolderInUse, match="held by another gateway"):
        Spool(root, OWNER)


def test_a_share_without_locks_is_said_with_the_name_of_the_lock(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where rpc.statd does not run: the operator hears which file it was about."""
    monkeypatch.setattr(fcntl, "flock", failing(errno.ENOLCK))
    with pytest.raises(ConfigurationError, match=rf"No locks available \({root}/\.lock\)"):
        Spool(root, OWNER)


def test_a_gateway_that_no_lock_kept_out_is_seen_at_the_next_look(spool: Spool, root: Path) -> None:
    """The mount may tell its server of no locks: the one that was there before stands still."""
    (root / ".lock").write_bytes(b"f" * 32)  # the mark of whoever has opened it since
    with pytest.raises(OSError, match=STALE):
        spool.require_in_place()


def test_a_lock_that_the_server_has_lost_is_asked_for_again(
    spool: Spool, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS answers EIO for it from then on; nobody has opened the folder meanwhile."""
    lost, pread = spool.root._lock, os.pread

    def read(descriptor: int, count: int, at: int) -> bytes:
        if descriptor == lost:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread(descriptor, count, at)

    monkeypatch.setattr(os, "pread", read)
    with capture_logs() as lines:
        spool.require_in_place()
        monkeypatch.undo()
        spool.require_in_place()

    assert ["epr.folder_back"] == [line["event"] for line in lines]
    with pytest.raises(FolderInUse):
        SpoolRoot(root, OWNER)


def test_our_own_lock_by_another_path_does_not_keep_us_out(
    spool: Spool, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SMB others may not read what is locked; the mount that has our lock is still there."""
    away = root.with_name("away")
    root.rename(away)
    root.mkdir()
    (root / ".lock").hardlink_to(away / ".lock")
    pread = os.pread

    def read(descriptor: int, count: int, at: int) -> bytes:
        if descriptor != spool.root._lock:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None
        return pread(descriptor, count, at)

    monkeypatch.setattr(os, "pread", read)
    spool.require_in_place()

    assert spool.root.is_in_place()


@pytest.mark.parametrize("call", ["open", "rename"])
def test_a_file_that_is_open_elsewhere_is_taken_once_it_is_closed(
    box: Outbox, root: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """A program on Windows shares it with nobody while it writes: nobody is told of its mode."""
    (root / "outbox/new/one.json").write_bytes(messages.referral())
    plain = getattr(os, call)

    def shut(name: object, *rest: object, **where: object) -> object:
        if name == "one.json":
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        return plain(name, *rest, **where)

    with monkeypatch.context() as elsewhere, capture_logs() as lines:
        elsewhere.setattr(os, call, shut)
        taken = box.take()
        causes = [(each.cause, each.count) for each in box.stuck]

    assert ([], [], [(Cause.OPEN_ELSEWHERE, 1)]) == (taken, lines, causes)
    assert (1, []) == (len(box.take()), list(box.stuck))


def test_a_name_stays_barred_until_its_message_is_claimed(
    box: Outbox, spool: Spool, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one that could not be moved at first would be sent, though an envelope missed it."""
    (root / "outbox/new/one.json").write_bytes(messages.referral())
    box._stems.bar(stem_of("one.json"))
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(spool.new, "move", failing(errno.EBUSY))
        box.take()

    assert [Mark.REUSED] == [drop.ticket.mark for drop in box.take()]
    assert not box._stems.is_barred(stem_of("one.json"))


def busy(what: Callable[..., object], *names: str) -> Callable[..., object]:
    """Let a call fail that is about one of these names, as while a virus scanner has it open."""

    def call(name: object, *rest: object, **where: object) -> object:
        if str(name).endswith(names):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        return what(name, *rest, **where)

    return call


def finished(box: Outbox) -> int:
    """Take what there is, and tell the EPR that it was accepted."""
    drops = box.take()
    return box.finish([DropOutcome(drop=each, accepted=True, document=b"{}") for each in drops])


@pytest.mark.parametrize(
    ("call", "names"),
    [
        ("rename", [".m.one.json"]),
        ("rename", [".f.one.json"]),
        ("unlink", [".f.one.json"]),
        ("open", [".f.one.json"]),
    ],
)
def test_a_claimed_file_that_is_open_elsewhere_keeps_no_other_waiting(
    box: Outbox, root: Path, monkeypatch: pytest.MonkeyPatch, call: str, names: list[str]
) -> None:
    """Its message is in the store; the file follows once it is closed, and the page says so."""
    for name in ("one.json", "two.json"):
        (root / "outbox/new" / name).write_bytes(messages.referral())
    with monkeypatch.context() as scanner:
        scanner.setattr(os, call, busy(getattr(os, call), *names))
        placed = [finished(box)]
        (root / "outbox/new/three.json").write_bytes(messages.referral())
        placed += [finished(box), finished(box)]
        there = sorted(each.name for each in (root / "outbox/accepted").glob("t*"))
        causes = [(each.cause, each.count) for each in box.stuck]
    placed += [finished(box), finished(box)]

    assert ["three.json", "three.receipt.json", "two.json", "two.receipt.json"] == there
    assert [1, 1, 0, 1, 0] == placed
    assert [(Cause.OPEN_ELSEWHERE, 1)] == causes
    assert [] == list(box.stuck)
    assert [] == [each for each in (root / "outbox/claimed").iterdir() if "one" in each.name]


def drop_enveloped(root: Path) -> None:
    (root / "outbox/new/one.envelope.json").write_bytes(b'{"submission_id": "1"}')
    (root / "outbox/new/one.json").write_bytes(messages.referral())


def test_an_envelope_that_is_open_elsewhere_follows_its_message(
    box: Outbox, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes to lie beside it once it is closed, as if it had never been open."""
    drop_enveloped(root)
    with monkeypatch.context() as scanner:
        scanner.setattr(os, "rename", busy(os.rename, ".v.one.envelope.json"))
        placed = [finished(box), finished(box)]
        lying = sorted(each.name for each in (root / "outbox/accepted").iterdir())
    placed.append(finished(box))

    assert [1, 0, 0] == placed
    assert ["one.json", "one.receipt.json"] == lying
    assert b"submission_id" in (root / "outbox/accepted/one.envelope.json").read_bytes()
    assert [] == list((root / "outbox/claimed").glob("*.one.*"))


def test_an_envelope_that_was_open_replaces_no_later_one(
    box: Outbox, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The EPR has taken its message away, and another of that name lies there by now."""
    drop_enveloped(root)
    with monkeypatch.context() as scanner:
        scanner.setattr(os, "rename", busy(os.rename, ".v.one.envelope.json"))
        finished(box)
    later = root / "outbox/accepted/one.envelope.json"
    later.write_bytes(b'{"submission_id": "2"}')
    finished(box)

    assert b'{"submission_id": "2"}' == later.read_bytes()
    assert [] == list((root / "outbox/claimed").glob("*.one.*"))


def test_what_lay_there_at_the_start_and_is_open_elsewhere_is_not_taken_for_what_ended_us(
    box: Outbox, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again for as long as it takes, and is not refused for it."""
    for name in ("one.json", "two.json"):
        (root / "outbox/claimed" / f"token-{name[0]}.m.{name}").write_bytes(messages.referral())
    with monkeypatch.context() as scanner:
        scanner.setattr(os, "rename", busy(os.rename, ".m.one.json", ".M.one.json"))
        placed = [finished(box) for _ in range(4)]
    last = box.take()

    assert 1 == sum(placed)
    assert [("one.json", False)] == [(each.ticket.name, each.ended_us) for each in last]


def test_what_lay_there_at_the_start_is_tried_alone_though_another_file_is_open_elsewhere(
    box: Outbox, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a message that ends the process would do so at each start, while a scanner goes on."""
    for name in ("token-d.f.done.json", "token-o.m.one.json"):
        (root / "outbox/claimed" / name).write_bytes(messages.referral())
    with monkeypatch.context() as scanner:
        scanner.setattr(os, "unlink", busy(os.unlink, ".f.done.json"))
        taken = box.take()

    assert [("one.json", True)] == [(each.ticket.name, each.ticket.tried) for each in taken]


@pytest.mark.parametrize("call", ["rename", "open"])
def test_an_envelope_that_is_open_elsewhere_is_not_lost(
    box: Outbox, root: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Its message waits until it can be read: without it, it would say less than was meant."""
    (root / "outbox/new/one.envelope.json").write_bytes(b'{"practitioner": "P"}')
    (root / "outbox/new/one.json").write_bytes(messages.referral())
    with monkeypatch.context() as scanner:
        scanner.setattr(os, call, busy(getattr(os, call), "one.envelope.json"))
        taken = box.take()
        causes = [each.cause for each in box.stuck]
    (drop,) = box.take()

    assert ([], [Cause.OPEN_ELSEWHERE]) == (taken, causes)
    assert (b'{"practitioner": "P"}', False) == (drop.envelope, drop.envelope_lost)


def test_a_message_that_waits_for_its_envelope_over_a_start_is_not_taken_for_what_ended_us(
    box: Outbox, spool: Spool, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has worked on it yet: the next start takes it as the one before found it."""
    (root / "outbox/new/one.envelope.json").write_bytes(b"{}")
    (root / "outbox/new/one.json").write_bytes(messages.referral())
    box.take()
    with monkeypatch.context() as scanner:
        scanner.setattr(os, "open", busy(os.open, ".one.envelope.json"))
        taken = started(spool).take()
    (drop,) = started(spool).take()

    assert ([], False, b"{}") == (taken, drop.ended_us, drop.envelope)


async def test_a_claimed_answer_that_is_open_elsewhere_keeps_no_question_waiting(
    questions: QuestionFolder, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor another answer: it is refused, or taken away, once it is closed."""
    monkeypatch.setattr(questions._answering, "answer", AsyncMock(side_effect=AnswerRefused([])))

    async def look() -> None:
        for given in questions._take():
            await questions._submit_or_refuse(given)

    (root / "answers/claimed/7.json").write_bytes(b"{}")
    (root / "answers/new/8.json").write_bytes(b"{}")
    with monkeypatch.context() as scanner:
        scanner.setattr(os, "rename", busy(os.rename, "7.json"))
        await look()
        refused = sorted(each.name for each in (root / "answers/refused").glob("8*"))
        causes = [(each.cause, each.count) for each in questions.stuck]
    await look()

    assert ["8.json", "8.reason.json"] == refused
    assert [(Cause.OPEN_ELSEWHERE, 1)] == causes
    assert (root / "answers/refused/7.json").exists()


def test_the_reason_of_a_misnamed_answer_that_is_open_elsewhere_is_written_once(
    questions: QuestionFolder, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not at each look: whoever watches the folder would read it again each time."""
    (root / "answers/new/seven.xml").write_bytes(b"{}")
    reason = root / "answers/refused/seven.reason.json"
    with monkeypatch.context() as scanner:
        scanner.setattr(os, "rename", busy(os.rename, "seven.xml"))
        questions._take()
        first = reason.stat().st_ino
        questions._take()

    assert first == reason.stat().st_ino


@pytest.mark.parametrize("name", ["7.json", "seven.xml"])
def test_an_answer_that_is_open_elsewhere_keeps_no_other_waiting(
    questions: QuestionFolder, root: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Neither one that is to be taken, nor one that is to be refused for its name."""
    for each in (name, "8.json"):
        (root / "answers/new" / each).write_bytes(b"{}")
    move = questions._answers.move

    def moved(what: str, *to: object) -> None:
        if what == name:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        move(what, *to)

    monkeypatch.setattr(questions._answers, "move", moved)

    assert ["8.json"] == [given.name for given in questions._take()]
    assert [(Cause.OPEN_ELSEWHERE, 1)] == [(each.cause, each.count) for each in questions.stuck]


@pytest.mark.parametrize("call", ["open", "rename", "unlink"])
def test_a_question_that_is_open_elsewhere_keeps_no_other_waiting(
    questions: QuestionFolder, root: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """It is put once the other program has closed it."""
    asked = {number: Mock(question_id=number, request=None) for number in (7, 8)}
    name = "000000000007.question.json"
    (root / "questions/tmp" / name).write_bytes(b"left over")
    monkeypatch.setattr(documents, "question", lambda _: {})
    with monkeypatch.context() as scanner:
        scanner.setattr(os, call, busy(getattr(os, call), name))
        failed = questions._offer(asked, gives=True)
        lay = sorted(each.name for each in (root / "questions/new").iterdir())
    questions._offer(asked, gives=True)

    assert ([], ["000000000008.question.json"]) == (failed, lay)
    assert 2 == len(list((root / "questions/new").iterdir()))


@pytest.mark.parametrize(
    "open_at",
    [
        ("rename", "000000000002.message.json"),
        ("rename", "000000000002.notice.json"),
        ("open", "000000000002.message.json"),
        ("unlink", "000000000002.message.json"),
    ],
)
async def test_a_notice_that_is_open_elsewhere_keeps_no_other_waiting(
    folder: DropFolder,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    open_at: tuple[str, str],
) -> None:
    """The page says that one waits, for as long as it does, and then it is delivered."""
    call, name = open_at
    new = tmp_path / "spool/inbox/new"
    (tmp_path / "spool/inbox/tmp" / name).write_bytes(b"left over")
    folder._deliveries._pause_seconds = 0.02
    for _ in range(3):
        await store.inbound.receive(arrival(provider=PROVIDER), NOW)
    with capture_logs() as lines:
        async with at_work(folder.stop, folder.deliver()):
            with monkeypatch.context() as scanner:
                scanner.setattr(os, call, busy(getattr(os, call), name))
                await eventually((new / "000000000003.message.json").exists)
                await eventually(lambda: folder.trouble == "EBUSY")
                await store.inbound.receive(arrival(provider=PROVIDER), NOW)
                await eventually((new / "000000000004.message.json").exists)
                lay = (new / "000000000002.message.json").exists()
                told = folder.trouble
            await eventually((new / "000000000002.message.json").exists)
            await eventually(lambda: folder.trouble is None)
    said = [each["reason"] for each in lines if each["event"] == "epr.delivery_failed"]

    assert (False, "EBUSY", ["EBUSY"]) == (lay, told, said)
    assert [] == await store.notices.pending(PROVIDER, 9)


@pytest.mark.parametrize("call", ["open", "rename"])
def test_what_follows_in_a_workflow_overtakes_no_notice_that_is_open_elsewhere(
    spool: Spool, root: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """A cancellation must not come before the request that it is about."""
    notices = [(1, "first"), (2, "first"), (3, "second"), (4, "first")]
    composed = [
        (Mock(notice_id=number, workflow_id=workflow), [inbox._File(f"{number}.json", b"{}")])
        for number, workflow in notices
    ]
    deliveries = Deliveries(Mock(), spool, provider="trust", now=utc_now)
    with monkeypatch.context() as scanner:
        scanner.setattr(os, call, busy(getattr(os, call), "2.json"))
        written = [each.notice_id for each in deliveries._write(composed)]
    lay = sorted(each.name for each in (root / "inbox/new").iterdir())

    assert [1, 3] == written
    assert ["1.json", "3.json"] == lay


async def test_what_follows_overtakes_nothing_where_each_is_written_by_itself(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a failure that nobody foresaw: one that waits then is told, too."""
    notices = [(1, "first", b"{}"), (2, "first", b"{}"), (3, "other", Mock()), (4, "third", b"{}")]
    composed = [
        (Mock(notice_id=number, workflow_id=workflow), [inbox._File(f"{number}.json", body)])
        for number, workflow, body in notices
    ]
    deliveries = Deliveries(AsyncMock(), spool, provider="trust", now=utc_now)
    monkeypatch.setattr(os, "rename", busy(os.rename, "1.json"))
    written = [each.notice_id for each in await deliveries._written(composed)]

    assert ([4], "EBUSY") == (written, deliveries._held)


async def test_what_is_large_and_waits_keeps_no_other_waiting(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What follows one that is open elsewhere is not in memory, which is for all others."""
    monkeypatch.setattr(inbox, "_BATCH_BYTES", 2)
    monkeypatch.setattr(os, "rename", busy(os.rename, "1.json"))
    deliveries = Deliveries(Mock(), spool, provider="trust", now=utc_now)
    notices = [Mock(notice_id=number, workflow_id=number // 3) for number in (1, 2, 3)]
    read = AsyncMock(side_effect=lambda each: [inbox._File(f"{each.notice_id}.json", b"1")])
    monkeypatch.setattr(deliveries, "_files_or_none", read)
    looks = [await deliveries._deliver(notices) for _ in range(3)]

    assert [[], [3], [3]] == [[each.notice_id for each in look] for look in looks]


@pytest.mark.parametrize(
    ("batch", "batch_bytes", "of_first"),
    [(2, 99, 9), (64, 1, 1)],
    ids=["many behind it", "large by itself"],
)
async def test_what_waits_in_one_workflow_keeps_no_other_waiting_for_long(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, batch: int, batch_bytes: int, of_first: int
) -> None:
    """However many notices follow it there, and however large it is."""
    monkeypatch.setattr(inbox, "_BATCH", batch)
    monkeypatch.setattr(inbox, "_BATCH_BYTES", batch_bytes)
    monkeypatch.setattr(os, "rename", busy(os.rename, "1.json"))
    of_whom = dict.fromkeys(range(1, of_first + 1), "first") | {99: "second"}
    due = [Mock(notice_id=n, workflow_id=of_whom[n], created_at=utc_now()) for n in of_whom]
    notices = AsyncMock()
    notices.pending = AsyncMock(side_effect=lambda _provider, limit: due[:limit])
    deliveries = Deliveries(
        Mock(notices=notices), spool, provider="trust", now=utc_now, pause_seconds=0.01
    )
    read = AsyncMock(side_effect=lambda each: [inbox._File(f"{each.notice_id}.json", b"1")])
    monkeypatch.setattr(deliveries, "_files_or_none", read)
    async with at_work(deliveries.stop, deliveries.run()):
        await eventually((spool.inbox_new.path / "99.json").exists)

    assert ["99.json"] == [each.name for each in spool.inbox_new.path.iterdir()]


def test_a_question_that_is_over_may_lie_while_the_epr_has_it_open(
    questions: QuestionFolder, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are asked meanwhile, and it is removed once it can be."""
    question = root / "questions/new/000000000007.question.json"
    question.write_bytes(b"{}")
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(os, "unlink", failing(errno.EBUSY))
        failed = questions._offer({}, gives=True)
    lay = question.exists()
    questions._offer({}, gives=True)

    assert ([], True, False) == (failed, lay, question.exists())


def test_a_share_whose_modes_are_its_mounts_needs_no_set_group_id(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is made on SMB belongs to the group that the mount names: nothing is inherited."""

    def changes_nothing(_descriptor: int, mode: int) -> None:
        if mode & 0o6000:  # as under the unit
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "fchmod", changes_nothing)
    Spool(root, OWNER).close()

    assert (root / "outbox/new").is_dir()


async def test_a_share_that_hangs_is_told(
    folder: DropFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No call fails there: without this nobody would hear of it before the watchdog ends us."""
    answers = threading.Event()
    monkeypatch.setattr(drop, "HANGS_SECONDS", 0.05)
    with monkeypatch.context() as silent:
        silent.setattr(folder._outbox, "take", lambda: answers.wait(10) and [])
        async with at_work(folder.stop, folder.collect()):
            await eventually(lambda: folder.trouble == "ETIMEDOUT")
            answers.set()
            await eventually(lambda: folder.trouble is None)

    assert "server does not answer" in cure_of_stalled("ETIMEDOUT")


async def test_a_share_that_hangs_leaves_all_else_its_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the five that Python gives one processor its loops may hold all: no token is signed."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    answers = threading.Event()
    async with world_in(tmp_path):
        loop = asyncio.get_running_loop()
        hanging = [loop.run_in_executor(None, answers.wait, 60) for _ in range(5)]
        try:
            async with asyncio.timeout(10):
                await asyncio.to_thread(int)
        finally:
            answers.set()
        await asyncio.gather(*hanging)
