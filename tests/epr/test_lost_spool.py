"""A spool folder whose share or disk goes away, and what may come in its place."""

import errno
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import messages
import pytest
from epr_side import OWNER, PROVIDER, Hospital, at_work
from store_values import NOW, arrival
from structlog.testing import capture_logs

from bars_gateway.config.spool_folder import SpoolOwner
from bars_gateway.epr.drop import DropFolder
from bars_gateway.epr.folders import Folder, SpoolRoot
from bars_gateway.epr.inbox import LeftCopies
from bars_gateway.epr.spool import Spool
from bars_gateway.errors import FolderInUse
from bars_gateway.store.store import Store

STALE = os.strerror(errno.ESTALE)
ANOTHER = SpoolOwner(provider="south", ods_code="ZX902")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[SpoolRoot]:
    with closing(SpoolRoot(tmp_path / "spool", OWNER)) as opened:
        yield opened


def files(folder: Path) -> dict[str, bytes]:
    found = (each for each in folder.rglob("*") if each.is_file())
    return {str(each.relative_to(folder)): each.read_bytes() for each in found}


def as_another_device(root: Path) -> None:
    """Put the same files there in another folder: another number is all that can be seen of it."""
    away = root.with_name("away")
    root.rename(away)
    shutil.copytree(away, away.with_name("copied"))
    away.with_name("copied").rename(root)


def test_what_lies_in_place_of_a_lost_share_is_no_old_copy_of_ours(root: SpoolRoot) -> None:
    """Its numbers are another gateway's, whose EPR may not have read them."""
    root.make(["inbox", "inbox/new"])
    new = root.path / "inbox" / "new"
    left = new / "000000000001.message.json"
    left.write_text("{}")
    os.utime(left, (0, 0))
    copies = LeftCopies(new, root.is_in_place)
    ours = copies.numbers(NOW)
    as_another_device(root.path)
    theirs = copies.numbers(NOW)
    copies.remove([1])

    assert ([1], [], True) == (ours, theirs, left.exists())


async def test_a_share_that_comes_back_as_another_device_is_used_again(
    folder: DropFolder, hospital: Hospital, store: Store
) -> None:
    """Nobody restarts anything: what waited is delivered, what lies there taken, once."""
    hospital.drop("one.json", messages.referral())
    as_another_device(hospital.root)
    await store.inbound.receive(arrival(provider=PROVIDER), NOW)
    with capture_logs() as lines:
        async with at_work(folder.stop, folder.deliver(), folder.collect()):
            await hospital.sees("inbox/new/000000000001.message.json", "outbox/accepted/one.json")

    assert [("epr.folder_back", str(hospital.root))] == [
        (line["event"], line["path"]) for line in lines if line["event"] == "epr.folder_back"
    ]
    assert files(hospital.root.with_name("away") / "outbox" / "accepted") == {}
    assert 1 == len(await store.messages.queue(PROVIDER, 9))


def nothing(root: Path) -> None:
    root.mkdir()


def nothing_at_all(_root: Path) -> None:
    """Leave no folder there."""


def another_providers(root: Path) -> None:
    Spool(root, ANOTHER).close()


def opened_by_another_gateway(root: Path) -> None:
    shutil.copytree(root.with_name("away"), root)
    SpoolRoot(root, OWNER).close()


def from_before_the_start(root: Path) -> None:
    shutil.copytree(root.with_name("away"), root)
    (root / ".lock").write_text("")


@pytest.mark.parametrize(
    "there",
    [nothing, nothing_at_all, another_providers, opened_by_another_gateway, from_before_the_start],
    ids=lambda each: each.__name__,
)
def test_what_is_not_the_same_folder_is_left_as_it_is(
    root: SpoolRoot, there: Callable[[Path], None]
) -> None:
    """It may be another patient's place: neither made, taken nor written is anything there."""
    root.make(["outbox"])
    root.path.rename(root.path.with_name("away"))
    there(root.path)
    before = files(root.path)
    with pytest.raises(OSError, match=STALE):
        root.require_in_place()

    assert before == files(root.path)


def test_what_another_gateway_holds_is_not_taken_from_it(root: SpoolRoot) -> None:
    """Though it has our mark: that one has locked it and is about to write its own."""
    as_another_device(root.path)
    with (root.path / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(OSError, match=STALE):
            root.require_in_place()
    root.require_in_place()


def test_what_is_made_meanwhile_is_made_in_the_folder_that_is_gone(root: SpoolRoot) -> None:
    """A share that goes between the look and the writing leaves nothing in its mount point."""
    away = root.path.with_name("away")
    root.path.rename(away)
    root.path.mkdir()
    root.make(["inbox"])
    with closing(Folder(root, "inbox/tmp", 0o700)) as folder:
        folder.write("1.outcome.json", b"{}")

    assert ([], True) == ([*root.path.iterdir()], (away / "inbox/tmp/1.outcome.json").exists())


def test_a_folder_that_is_back_is_locked_again(root: SpoolRoot) -> None:
    """Two gateways on it would each take what the other has claimed."""
    as_another_device(root.path)
    root.require_in_place()
    with pytest.raises(Exception, match="held by another gateway"):
        SpoolRoot(root.path, OWNER)


def test_a_lock_whose_file_was_removed_is_made_anew(root: SpoolRoot) -> None:
    """Or a second gateway would take what this one has claimed; the log tells of it, once."""
    (root.path / ".lock").unlink()
    with capture_logs() as lines:
        root.require_in_place()
        root.require_in_place()

    assert [("lock.taken_anew", f"{root.path}/.lock")] == [(e["event"], e["path"]) for e in lines]
    with pytest.raises(FolderInUse):
        SpoolRoot(root.path, OWNER)


def test_a_folder_that_another_gateway_has_once_its_lock_was_removed_is_left_to_it(
    root: SpoolRoot,
) -> None:
    """This one takes and writes nothing there any more, and waits for a person."""
    (root.path / ".lock").unlink()
    with closing(SpoolRoot(root.path, OWNER)), pytest.raises(OSError, match=STALE):
        root.require_in_place()
    with pytest.raises(OSError, match=STALE):
        root.require_in_place()


def by_another_path(root: Path) -> None:
    """Let another folder lie there whose lock is the very file that we hold."""
    as_another_device(root)
    (root / ".lock").unlink()
    (root / ".lock").hardlink_to(root.with_name("away") / ".lock")


def test_a_lock_that_we_hold_ourselves_keeps_us_from_nothing(root: SpoolRoot) -> None:
    """A mount that was only taken from its path stands behind what we have open, with its lock."""
    by_another_path(root.path)
    root.require_in_place()

    assert root.is_in_place()
    with pytest.raises(FolderInUse, match="held by another gateway"):
        SpoolRoot(root.path, OWNER)


def test_what_is_not_taken_leaves_us_the_lock_that_we_had(root: SpoolRoot) -> None:
    """The folder that is away may be opened by others by its other path."""
    as_another_device(root.path)
    with (root.path / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(OSError, match=STALE):
            root.require_in_place()
    with pytest.raises(FolderInUse, match="held by another gateway"):
        SpoolRoot(root.path.with_name("away"), OWNER)


def test_what_another_gateway_has_opened_between_look_and_lock_is_left_to_it(
    root: SpoolRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has started and stopped: its mark is there, and nobody holds the lock."""
    as_another_device(root.path)
    flock = fcntl.flock

    def opened_meanwhile(lock: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        SpoolRoot(root.path, OWNER).close()
        fcntl.flock(lock, how)

    monkeypatch.setattr(fcntl, "flock", opened_meanwhile)
    with pytest.raises(OSError, match=STALE):
        root.require_in_place()


MOUNTS = """
import pathlib, shutil, subprocess, sys
from bars_gateway.config.spool_folder import SpoolOwner
from bars_gateway.epr.spool import Spool

def sh(*command):
    subprocess.run(command, check=True)

base = pathlib.Path(sys.argv[1])
point, kept = base / "spool", base / "kept"
point.mkdir()
sh("mount", "-t", "tmpfs", "share", str(point))
spool = Spool(point, SpoolOwner(provider="trust", ods_code="ZX901"))
first = point.stat().st_dev
spool.inbox_new.write("1.outcome.json", b"{}")
shutil.copytree(point, kept)
sh("umount", "--lazy", str(point))
for _ in range(2):
    try:
        spool.require_in_place()
    except OSError as error:
        print(error.errno, sorted(point.iterdir()))
sh("mount", "-t", "tmpfs", "other", str(point))
Spool(point, SpoolOwner(provider="other", ods_code="ZX902")).close()
try:
    spool.require_in_place()
except OSError as error:
    print(error.errno, (point / "inbox/new/1.outcome.json").exists())
sh("umount", str(point))
sh("mount", "-t", "tmpfs", "share", str(point))
shutil.copytree(kept, point, dirs_exist_ok=True)
spool.require_in_place()
spool.inbox_new.refresh()
print(first != point.stat().st_dev, spool.inbox_new.has("1.outcome.json"))
spool.close()
sh("umount", str(point))
"""


def test_real_mounts_that_go_and_come_back(tmp_path: Path) -> None:
    """In a mount namespace of its own: the empty point, another share, and the same one again."""
    alone = ["unshare", "--mount", "--map-root-user"]
    if subprocess.run([*alone, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody have mounts of their own")
    done = subprocess.run(
        [*alone, sys.executable, "-c", MOUNTS, str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    stale = errno.ESTALE

    assert ("", [f"{stale} []", f"{stale} []", f"{stale} False", "True True"]) == (
        done.stderr,
        [line for line in done.stdout.splitlines() if "folder_back" not in line],
    )
