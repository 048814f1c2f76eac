"""
Holds the database's file: for one gateway at a time, and never an empty one in its place.

    FILE.lock   held for as long as FILE is open
                what stands in it says that FILE has been in use

Where FILE is missing and has been in use, it was taken away, and perhaps lost. To begin
with an empty one would make every duplicate new again, so somebody must say so first.

Decisions: D-one-instance.
"""

import contextlib
import fcntl
import os
from pathlib import Path

from bars_gateway.errors import DatabaseDamaged, DatabaseInUse
from bars_gateway.store.backup import sync_folder

_IN_USE = b"The database beside this file has been in use.\n"


def hold(path: Path, stack: contextlib.ExitStack | contextlib.AsyncExitStack) -> int:
    """
    Return a descriptor of the lock, which *stack* lets go of; create what is missing.

    Raises DatabaseInUse, or DatabaseDamaged where an empty file would replace one with content.
    """
    if not path.parent.exists():
        path.parent.mkdir(parents=True)
        sync_folder(path.parent.parent)
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    stack.callback(os.close, descriptor)
    belong(descriptor, path.parent)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DatabaseInUse(f"{path} is held by another gateway") from None
    if not _has_content(path):
        _refuse_to_forget(path, descriptor)
    if not path.exists():
        empty = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        belong(empty, path.parent)
        os.close(empty)
    return descriptor


def belong(descriptor: int, folder: Path) -> None:
    """Where root works, give the file to whoever has the folder: the gateway must open it."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def mark_in_use(lock: int) -> None:
    """Write down that there is a database now, once and on disk."""
    # A full disk may have no room for it: the database holds without it, as it did before.
    with contextlib.suppress(OSError):
        if not os.fstat(lock).st_size:
            os.pwrite(lock, _IN_USE, 0)
            os.fsync(lock)


def _refuse_to_forget(path: Path, lock: int) -> None:
    log = Path(f"{path}-wal")
    if _has_content(log):  # SQLite would throw it away
        raise DatabaseDamaged(f"{path} is empty or missing, and its log {log.name} is not")
    if os.fstat(lock).st_size:
        raise DatabaseDamaged(
            f"{path} is empty or missing, and has been in use; to begin with an empty one all the"
            f" same, remove {path.name}.lock"
        )


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0
