"""
What to say to a user who may not use a file: which, whose it is, who they are, and the cure.

    anything that failed ──behind──► the PermissionError below it ──explained──► Denial
    a file                ──require──► PermissionError that names what stands in the way

The system says "permission denied" of the file that was wanted, and not of the folder above it
that nobody may enter; SQLite says "unable to open database file". So each part of the path is
looked at again, from the top, and the first that does not let us pass is named.

Who that is, the audit trail is told, too. Whoever works as `root`, or as the gateway's user, has
logged in under a name of their own: the kernel keeps that over `su` and `sudo`, and where it does
not (a container), `sudo` says so. The environment's own name for the user says nothing: anybody
may set it.
"""

import errno
import grp
import os
import pwd
import shlex
import stat
from collections.abc import Collection, Mapping
from pathlib import Path

from bars_gateway import ownership
from bars_gateway.frozen import frozen

LONGEST_AUTHOR = 64  # characters, as of whoever acts by the socket
_LOGGED_IN = Path("/proc/self/loginuid")
_NOBODY_LOGGED_IN = 2**32 - 1
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


@frozen(kw_only=True)
class Denial:
    """A lack of permission, in an operator's words."""

    cause: str
    cure: str


def whoever_types() -> str:
    """Return who types: the user, and before that whoever logged in, where that is another."""
    user, behind = _name_of(os.geteuid()), _logged_in() or os.environ.get("SUDO_USER")
    who = user if behind in {None, "", user} else f"{behind} as {user}"
    return "".join(each for each in who if each.isprintable())[:LONGEST_AUTHOR]


def _logged_in() -> str | None:
    """Return who logged in, as the kernel keeps it; None: nobody did, or it does not."""
    try:
        number = int(_LOGGED_IN.read_bytes())
    except (OSError, ValueError):
        return None
    return None if number == _NOBODY_LOGGED_IN else _name_of(number)


def _name_of(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # a user without a name, as in many a container
        return f"uid {number}"


def require(*paths: Path, write: bool = False) -> None:
    """Raise PermissionError, with what stands in the way, where one of *paths* may not be used."""
    for path in paths:
        found = _barrier(path, os.R_OK | (os.W_OK if write else 0))
        if found is not None:
            raise _shut(found)


def require_database(path: Path, *, write: bool) -> None:
    """Raise PermissionError where the database at *path*, or what is kept beside it, is shut."""
    beside = [path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm")]
    require(path, *(each for each in beside if os.path.lexists(each)), write=write)
    if not all(map(os.path.lexists, beside)):  # SQLite makes them, also for reading
        require_making(path)


def require_making(path: Path) -> None:
    """Raise PermissionError where nothing may be made in the folder of *path*."""
    found = _barrier(path.parent, os.W_OK | os.X_OK)
    if found is not None:
        raise _shut(found)


def files_in(folder: Path, pattern: str) -> list[Path]:
    """Return what fits *pattern* in *folder*; where that may not be seen, raise PermissionError."""
    require(folder)  # a glob says that nothing is there
    return sorted(folder.glob(pattern))


def behind(error: BaseException | None) -> OSError | None:
    """Return the lack of permission that *error* came of, with the name of a file; else None."""
    looked_at: set[int] = set()  # a group is the context of what it holds
    to_look_at = [error]
    while to_look_at:
        found = to_look_at.pop()
        if found is None or id(found) in looked_at:
            continue
        looked_at.add(id(found))
        if isinstance(found, OSError) and found.errno in _DENIED and found.filename is not None:
            return found
        to_look_at.append(found.__cause__ or found.__context__)
        if isinstance(found, BaseExceptionGroup):
            to_look_at += reversed(found.exceptions)
    return None


def explained(error: OSError, command: Collection[str] = ()) -> Denial:
    """Say what *error* (from `behind`) means; *command* is what was typed, for the cure."""
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if _is_name(name)]
    paths = [Path(name).absolute() for name in names]
    if error.errno == errno.EROFS:
        cause = f"{paths[0]} may not be written: it is on a file system that is mounted read-only"
        return Denial(cause=cause, cure="Name another place, or see why it is so mounted: findmnt")
    for path in paths:
        found = _stands_in_the_way(path)
        if found is not None:
            return _denied(path, found, command)
    cause = f"{paths[0]} may not be used: {error.strerror}, though its mode lets {_you()} pass"
    cure = "Look for an access list (getfacl), an attribute (lsattr), SELinux or AppArmor."
    return Denial(cause=cause, cure=cure)


# Each of these is of one file: it waits, and the folder goes on.
OPEN_ELSEWHERE = frozenset({"EBUSY", "ETXTBSY"})
_CLOSE_IT = (
    "Another program has a file of it open, and shares it with nobody: close that program,"
    " or what it has open (on a Windows server: Open Files). Only that file waits, with what"
    " follows in its workflow."
)
_CURES_OF_STALLED: Mapping[str, str] = {
    "ESTALE": "The folder is gone, another lies in its place, or another gateway has opened it: see"
    " what is mounted there (findmnt). What the EPR drops meanwhile may lie where nobody looks."
    " Once it is back, as whatever device, it goes on by itself; where it does not within two"
    " minutes, restart the gateway. Else restart only where another folder, or a copy from before"
    " the start, is to be used for good.",
    "EACCES": "The gateway may not use the folder: see whose it is (ls -ld), and give it back to"
    " the gateway's user and the group bars-gateway-epr, mode 2770.",
    **dict.fromkeys(OPEN_ELSEWHERE, _CLOSE_IT),
    "ENOSPC": "Make room on its disk (df -h, df -i).",
    "EDQUOT": "Make room within its quota.",
}


_AWAY = frozenset({"EHOSTDOWN", "EHOSTUNREACH", "ENETUNREACH", "ENOTCONN", "ETIMEDOUT"})


def cure_of_stalled(reason: str) -> str:
    """Return what lets a folder move again that stands still for that *reason*."""
    if reason in _AWAY:
        return "The share's server does not answer: see whether it runs, and what is in between."
    if reason in {"EMFILE", "ENFILE"}:
        return "Look for what holds files open; raise LimitNOFILE= of the unit."
    if reason.startswith("the store "):
        return "It is the database, and not the folder: do what is said of that."
    return _CURES_OF_STALLED.get(reason, "Make the folder usable, or room on its disk.")


def _is_name(name: object) -> bool:
    return isinstance(name, str | bytes)


def _stands_in_the_way(path: Path) -> Path | None:
    """Return what keeps us from reading, else from writing, else from making or moving *path*."""
    wanted = (os.R_OK, os.R_OK | os.W_OK)
    tried = [_barrier(path, mode) for mode in wanted] + [_barrier(path.parent, os.W_OK | os.X_OK)]
    return next(filter(None, tried), None)


def _barrier(path: Path, mode: int) -> Path | None:
    """Return the first part of *path* that does not let us pass; None: all of them do."""
    path = Path(os.path.realpath(path))
    for folder in reversed(path.parents):
        if not folder.is_dir():
            return None  # it is missing, or in the way: another matter
        if not _lets(folder, os.X_OK):
            return folder
    if not os.path.lexists(path):
        return None
    if path.is_dir():
        mode |= os.X_OK
    shut = not _lets(path, mode) and os.path.lexists(path)  # whoever closes last removes a log
    return path if shut else None


def _shut(found: Path) -> PermissionError:
    """Return why *found* is: its whole file system lets nobody write, or it is somebody's."""
    read_only = os.statvfs(found).f_flag & os.ST_RDONLY
    why = errno.EROFS if read_only and _lets(found, os.R_OK) else errno.EACCES
    return PermissionError(why, os.strerror(why), str(found))


def _lets(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=True)


def _denied(wanted: Path, found: Path, command: Collection[str]) -> Denial:
    status = found.stat()
    owner, group = _user(status.st_uid), _group(status.st_gid)
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), "file")
    within = f", on the way to {wanted}," if found in wanted.parents else ""
    cause = (
        f"the {kind} {found}{within} belongs to {owner} (group {group}, mode"
        f" {stat.S_IMODE(status.st_mode):04o}), and you are {_you()}: you may not use it"
    )
    return Denial(cause=cause, cure=_cure(found, status, command))


_KINDS = {stat.S_IFDIR: "folder", stat.S_IFSOCK: "socket"}


def _cure(found: Path, status: os.stat_result, command: Collection[str]) -> str:
    name, typed = shlex.quote(str(found)), shlex.join(command) if command else "bars-gateway …"
    if status.st_uid == os.geteuid():
        return f"It is yours: chmod u+rw{'x' if stat.S_ISDIR(status.st_mode) else ''} {name}"
    if ownership.heir(found.parent).user == os.geteuid():
        return f"As root: chown {_for_chown()} {name}"
    if status.st_uid:
        cure = f"Do it as its owner: sudo -u {shlex.quote(_user(status.st_uid))} {typed}"
        return f"{cure} (or give it to somebody else, as root: chown USER {name})"
    if status.st_gid and status.st_mode & stat.S_IRGRP:
        group = _group(status.st_gid)
        if _member(group) == _you():
            return f"Do it as root, which leaves what it makes to {_you()}: sudo {typed}"
        return f"Do it as a user of the group {group}: sudo -u {_member(group)} {typed}"
    return f"Name another, or let root give it to the gateway's user: chown USER {name}"


def _member(group: str) -> str:
    """Return the user that is called as its group, as services are; else a word for any."""
    try:
        return pwd.getpwnam(group).pw_name
    except KeyError:
        return "USER"


def _you() -> str:
    return _user(os.geteuid())


def _for_chown() -> str:
    return _you().removeprefix("#")  # it takes a bare number, where sudo wants the sign


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"#{number}"  # as sudo takes it


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return f"#{number}"
