"""
Whose it is what root makes: the gateway's, which has to read it; and as whom root judges.

    root: init, csr, keys, users, restore … ──belong──► whoever has the folder above
    root: check, doctor ─────────────as_the_gateway──► the user that the gateway runs as

Root may do everything, so a command of root's meets no barrier where the service will; and what
it leaves behind as its own stops the service at the next start, weeks later. So one place decides.
A folder that root has and lets a group into (root:bars-gateway, 0750) is there for the user who is
called as that group. Who runs as root all the time, as in many a container, has folders of root's,
and nothing is given away.

The EPR's user comes in as a member of a group, and finds that at all folders that it shares.
"""

import grp
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bars_gateway.frozen import frozen

SERVICE = "bars-gateway"  # the user that the package makes
OF_THE_EPR = "bars-gateway-epr"  # the group that it makes
_ROOT = 0


@frozen(kw_only=True)
class FileOwner:
    """Whose a file is."""

    user: int
    group: int


def heir(folder: Path) -> FileOwner:
    """Return whose it is to be what root makes in *folder*."""
    found = folder.stat()
    if found.st_uid == _ROOT != found.st_gid:
        namesake = _called_as(found.st_gid)
        if namesake is not None:
            return FileOwner(user=namesake, group=found.st_gid)
    return FileOwner(user=found.st_uid, group=found.st_gid)


def belong(made: int | Path, folder: Path) -> None:
    """Where root works, give what it *made*, a path or a descriptor, to the heir of *folder*."""
    if os.geteuid() == _ROOT:
        owner = heir(folder)
        if isinstance(made, int):
            os.fchown(made, owner.user, owner.group)
        else:
            os.lchown(made, owner.user, owner.group)  # never what a link leads to


def runs_as(state_dir: Path, settings: Path | None) -> FileOwner | None:
    """Return as whom the gateway runs, as its folders tell; None: as root, or they do not."""
    tell = [state_dir, *([settings.absolute().parent] if settings else [])]
    found = next((heir(folder) for folder in tell if folder.is_dir()), None)
    return None if found is None or found.user == _ROOT else found


@contextmanager
def as_the_gateway(state_dir: Path, settings: Path | None) -> Iterator[None]:
    """Let root judge files as the gateway's user meanwhile; others stay who they are."""
    owner = runs_as(state_dir, settings) if os.geteuid() == _ROOT else None
    if owner is None:
        yield
        return
    group, groups = os.getegid(), os.getgroups()
    os.setgroups(_groups_of(owner))
    os.setegid(owner.group)
    os.seteuid(owner.user)
    try:
        yield
    finally:
        os.seteuid(_ROOT)
        os.setegid(group)
        os.setgroups(groups)


def epr_group() -> int | None:
    """Return the group of the EPR's user; None where nobody has made it."""
    try:
        return grp.getgrnam(OF_THE_EPR).gr_gid
    except KeyError:
        return None


def is_member(user: int, group: int) -> bool:
    """Tell whether *user* is in *group*, as far as this machine knows."""
    try:
        entry = pwd.getpwuid(user)
    except KeyError:
        return False
    return group in os.getgrouplist(entry.pw_name, entry.pw_gid)


def own_group(user: int) -> int | None:
    """Return the group that is *user*'s to begin with; None where nobody is called so."""
    try:
        return pwd.getpwuid(user).pw_gid
    except KeyError:
        return None


def _groups_of(owner: FileOwner) -> list[int]:
    try:
        entry = pwd.getpwuid(owner.user)
    except KeyError:  # a user without a name, as in many a container
        return [owner.group]
    # systemd gives the state to the unit's first group, which is the EPR's and not the user's own.
    return [owner.group, *os.getgrouplist(entry.pw_name, entry.pw_gid)]


def _called_as(group: int) -> int | None:
    """Return the user that is called as *group*, as services are."""
    try:
        return pwd.getpwnam(grp.getgrgid(group).gr_name).pw_uid
    except KeyError:
        return None
