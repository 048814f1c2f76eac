"""The folders that a provider shares with its EPR: whose they are, and who may use them."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import no_set_id
import pytest
from epr_side import OWNER

from bars_gateway.epr.spool import Spool

SHARED = ("outbox", "outbox/tmp", "outbox/new", "inbox/new")


def modes(root: Path) -> set[int]:
    return {stat.S_IMODE((root / each).stat().st_mode) for each in SHARED}


def opened_under_the_unit(root: Path) -> subprocess.CompletedProcess[str]:
    """Open the folders where nobody may set a set-group-ID bit, with the umask of the unit."""
    program = "import pathlib; from bars_gateway.epr.spool import Spool, SpoolOwner; Spool("
    program += f"pathlib.Path({str(root)!r}), SpoolOwner(provider='trust', ods_code='ZX901'))"
    program = f"import os; del os.setxattr; {program}"  # NFS 4 takes no access list of POSIX
    return subprocess.run(
        [sys.executable, no_set_id.__file__, sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        umask=0o077,
    )


def of_another_group(root: Path) -> Path:
    """Make the folder as `init` does; where root may, for a group that is not its own."""
    root.mkdir()
    if os.geteuid() == 0:
        os.chown(root, -1, 12)
    root.chmod(0o2750)
    return root


def test_a_folder_of_the_gateways_own_making_is_its_groups(tmp_path: Path) -> None:
    """By hand and without systemd: the group may enter, and what is made there belongs to it."""
    Spool(tmp_path / "spool", OWNER).close()

    assert 0o2750 == stat.S_IMODE((tmp_path / "spool").stat().st_mode)
    assert {0o2770} == modes(tmp_path / "spool")


def test_the_unit_may_forbid_the_bit_that_new_folders_inherit(tmp_path: Path) -> None:
    """RestrictSUIDSGID= of systemd refuses to set it: each folder has it from the one above."""
    root = of_another_group(tmp_path / "spool")
    done = opened_under_the_unit(root)

    assert (0, "") == (done.returncode, done.stderr)
    assert {0o2770} == modes(root)
    assert {root.stat().st_gid} == {(root / each).stat().st_gid for each in SHARED}


def test_a_folder_that_cannot_be_shared_is_said_with_the_cure(tmp_path: Path) -> None:
    """Nothing is left there that the next start would take as it is."""
    root = tmp_path / "spool"
    root.mkdir(0o750)
    done = opened_under_the_unit(root)

    assert f"As root: chmod g+s {root}" in done.stderr
    assert not (root / "outbox").exists()
    root.chmod(0o2750)
    assert 0 == opened_under_the_unit(root).returncode


@pytest.mark.parametrize("call", ["os.chmod({path!r}, 0o2770)", "os.mkdir({path!r} + 'x', 0o2770)"])
def test_what_is_forbidden_here_is_forbidden(tmp_path: Path, call: str) -> None:
    """Else the tests above would show nothing."""
    program = "import os; " + call.format(path=str(tmp_path))
    command = [sys.executable, no_set_id.__file__, sys.executable, "-c", program]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    assert "PermissionError" in done.stderr
