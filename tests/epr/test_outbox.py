import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import messages
import pytest
from structlog.testing import capture_logs

from bars_gateway.epr.outbox import Outbox
from bars_gateway.epr.spool import Spool

NOBODY = 65534


@pytest.fixture
def root() -> Iterator[Path]:
    """Return a folder that others than root can reach too."""
    with tempfile.TemporaryDirectory(prefix="spool") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "spool"


@pytest.fixture
def spool(root: Path) -> Iterator[Spool]:
    opened = Spool(root)
    yield opened
    opened.close()


def outbox(spool: Spool, settle_seconds: float = 0) -> Outbox:
    return Outbox(
        spool,
        monotonic=time.monotonic,
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


def test_what_does_not_parse_is_taken_in_the_end(spool: Spool, root: Path) -> None:
    """A file that does not parse and does not change is taken, to be refused."""
    (root / "outbox/new/one.json").write_bytes(b"{")
    box = outbox(spool)

    assert ([], [b"{"]) == (box.take(), [drop.body for drop in box.take()])


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
    assert [".m.one.json"] == [path.name[36:] for path in (root / "outbox/claimed").iterdir()]


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
