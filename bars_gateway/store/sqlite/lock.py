"""
The lock beside the file, which keeps a second gateway away from the database.

    FILE.lock   held for as long as FILE is open
                what stands in it says that FILE has been in use

Whoever removes it opens the door to a second gateway, and the first one notices nothing of that: it
holds a file without a name. So it looks every few seconds, and takes it anew; where another has
been quicker, this gateway ends, for two that claim from one queue send each message twice.

Decisions: D-one-instance.
"""

import contextlib
import fcntl
import os
from pathlib import Path

import structlog

from bars_gateway.disk import sync_folder
from bars_gateway.errors import DatabaseDamaged, DatabaseInUse
from bars_gateway.ownership import belong

_IN_USE = b"The database beside this file has been in use.\n"
_REMOVED = (
    "The lock file was removed while this gateway ran, and another has begun on the same database."
    " See which process it is (`fuser` on the lock file), stop it, and find what removes that file."
)
log = structlog.get_logger(__name__)


class DatabaseLock:
    """The lock of one database, held until `close`."""

    def __init__(self, path: Path) -> None:
        """Take the lock of the database at *path*; raise DatabaseInUse where another has it."""
        self._database, self._path = path, Path(f"{path}.lock")
        self._descriptor = self._taken()

    @property
    def says_in_use(self) -> bool:
        """Whether it says that there has been a database."""
        return os.fstat(self._descriptor).st_size > 0

    def mark_in_use(self) -> None:
        """Write down that there is a database now, once and on disk."""
        # A full disk may have no room for it: the database holds without it, as it did before.
        with contextlib.suppress(OSError):
            if not self.says_in_use:
                os.pwrite(self._descriptor, _IN_USE, 0)
                os.fsync(self._descriptor)

    def keep(self) -> None:
        """Take it anew where its file was removed; raise DatabaseInUse where another has it."""
        # Where none can be made, on a disk that is full or gone, the next look tries again.
        with contextlib.suppress(OSError):
            if self._is_in_place():
                return
            fresh = self._taken(_REMOVED)
            os.close(self._descriptor)
            self._descriptor = fresh
            self.mark_in_use()
            log.error("lock.taken_anew", path=str(self._path))

    def close(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)

    def _is_in_place(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(self._path.stat(), os.fstat(self._descriptor))
        return False

    def _taken(self, cure: str = DatabaseInUse.advice) -> int:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with contextlib.ExitStack() as unless_taken:
            unless_taken.callback(os.close, descriptor)
            belong(descriptor, self._path.parent)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                cause = f"{self._database} is held by a gateway that runs"
                raise DatabaseInUse(cause, cure) from None
            unless_taken.pop_all()
        return descriptor


def take_lock(path: Path, stack: contextlib.ExitStack | contextlib.AsyncExitStack) -> DatabaseLock:
    """
    Return the lock of the database at *path*, which *stack* lets go of; create what is missing.

    Raises DatabaseInUse, or DatabaseDamaged where an empty file would replace one with content.
    """
    if not path.parent.exists():
        path.parent.mkdir(parents=True)
        sync_folder(path.parent.parent)
    lock = DatabaseLock(path)
    stack.callback(lock.close)
    if not _has_content(path):
        _refuse_to_forget(path, lock)
    if not path.exists():
        empty = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        belong(empty, path.parent)
        os.close(empty)
    return lock


def _refuse_to_forget(path: Path, lock: DatabaseLock) -> None:
    log_file = Path(f"{path}-wal")
    if _has_content(log_file):  # SQLite would throw it away
        raise DatabaseDamaged(f"{path} is empty or missing, and its log {log_file.name} is not")
    if lock.says_in_use:
        raise DatabaseDamaged(
            f"{path} is empty or missing, and has been in use; to begin with an empty one all the"
            f" same, remove {path.name}.lock"
        )


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0
