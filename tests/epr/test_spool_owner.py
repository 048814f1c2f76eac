"""Whose a spool folder is, from one start to the next."""

import errno
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from epr_side import OWNER

from bars_gateway.config.spool_folder import OWNER_FILE, SpoolOwner
from bars_gateway.epr.folders import Folder, SpoolRoot
from bars_gateway.errors import FolderOfAnother

ANOTHER = SpoolOwner(provider="south", ods_code="ZX902")


def files(folder: Path) -> dict[str, bytes]:
    found = (each for each in folder.rglob("*") if each.is_file())
    return {str(each.relative_to(folder)): each.read_bytes() for each in found}


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """Return a folder that another provider's gateway has used."""
    SpoolRoot(tmp_path / "spool", ANOTHER).close()
    return tmp_path / "spool"


def test_the_folder_of_another_provider_is_left_as_it_is(theirs: Path) -> None:
    """Its EPR would read our patients; and its own gateway still has to find its mark there."""
    before = files(theirs)
    with pytest.raises(FolderOfAnother, match=r"is the spool folder of south \(ODS code ZX902\)"):
        SpoolRoot(theirs, OWNER)

    assert before == files(theirs)


def test_another_gateways_start_does_not_take_the_lock_from_its_owner(theirs: Path) -> None:
    """Whose it is, is looked at first: also while the owner's gateway is at work there."""
    with closing(SpoolRoot(theirs, ANOTHER)), pytest.raises(FolderOfAnother):
        SpoolRoot(theirs, OWNER)


@pytest.mark.parametrize(
    "now", [replace(ANOTHER, provider="north"), replace(ANOTHER, ods_code="ZX903")]
)
def test_who_has_another_name_or_code_has_to_say_that_it_is_meant(
    theirs: Path, now: SpoolOwner
) -> None:
    """Two departments may share a code, and two gateways a name; removing the file says so."""
    with pytest.raises(FolderOfAnother) as refused:
        SpoolRoot(theirs, now)
    assert f"remove {theirs / OWNER_FILE} and start again" in refused.value.advice

    (theirs / OWNER_FILE).unlink()
    SpoolRoot(theirs, now).close()
    SpoolRoot(theirs, now).close()


@pytest.mark.parametrize("said", [b"", b"[1]", b"\xff", b'{"provider": "south"}', b'{"provider'])
def test_a_mark_that_cannot_be_read_is_nobodys(theirs: Path, said: bytes) -> None:
    """Somebody has begun in that folder, and may be anybody."""
    (theirs / OWNER_FILE).write_bytes(said)
    with pytest.raises(FolderOfAnother, match="that says nothing"):
        SpoolRoot(theirs, ANOTHER)


def test_nothing_that_steers_a_terminal_is_shown_of_a_mark(theirs: Path) -> None:
    """On a share, others than the gateway may have written it."""
    (theirs / OWNER_FILE).write_text('{"provider": "\\u001b[2J", "ods_code": "ZX901"}')
    with pytest.raises(FolderOfAnother, match="that says nothing"):
        SpoolRoot(theirs, OWNER)


def test_what_a_later_release_adds_to_the_mark_is_passed_over(theirs: Path) -> None:
    """Whoever goes back a release has a gateway that starts."""
    (theirs / OWNER_FILE).write_text('{"since": 1, "provider": "south", "ods_code": "ZX902"}')
    SpoolRoot(theirs, ANOTHER).close()


def test_a_folder_of_release_1_0_0_is_taken_and_marked(theirs: Path) -> None:
    """It has a lock, and nothing that says whose it is."""
    (theirs / OWNER_FILE).unlink()
    SpoolRoot(theirs, OWNER).close()

    assert OWNER.written == (theirs / OWNER_FILE).read_bytes()


def test_a_start_of_release_1_0_0_changes_no_owner(theirs: Path) -> None:
    """It writes its lock anew, and looks at no mark: who comes back finds it as it was."""
    (theirs / ".lock").write_text("0" * 32)
    SpoolRoot(theirs, ANOTHER).close()
    with pytest.raises(FolderOfAnother):
        SpoolRoot(theirs, OWNER)


def test_a_copy_of_a_folder_is_its_owners(theirs: Path) -> None:
    """Whoever sets up a new provider by copying would have the old one's notices in it."""
    copy = theirs.with_name("copy")
    shutil.copytree(theirs, copy)
    with pytest.raises(FolderOfAnother):
        SpoolRoot(copy, OWNER)


def test_a_full_disk_keeps_nobody_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is to be sent is sent; the next start marks the folder."""

    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(Folder, "write", full)
        SpoolRoot(tmp_path / "spool", OWNER).close()
    assert not (tmp_path / "spool" / OWNER_FILE).exists()

    SpoolRoot(tmp_path / "spool", OWNER).close()
    assert OWNER.written == (tmp_path / "spool" / OWNER_FILE).read_bytes()
