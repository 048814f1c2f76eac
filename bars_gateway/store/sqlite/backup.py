"""
Writes a copy of the database that can be trusted, while the gateway goes on working.

    one snapshot ──► FILE.partial (0600) ──► checked ──► on disk ──► FILE

Everything that was committed before the copy began is in it, and nothing that came
later: the snapshot is held from the first page to the last. Writers do not wait for
it; only the write-ahead log grows meanwhile. The copy is one file without a log of
its own, so that `cp` and tape are good enough for it, which they are not for the
original.

FILE appears only when its check has passed and every byte is on disk. It is never put
over another file: yesterday's backup is worth more than today's that failed.
"""

import errno
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bars_gateway.disk import sync_folder
from bars_gateway.errors import BackupFailed
from bars_gateway.store.integrity import DatabaseReport, counts
from bars_gateway.store.sqlite import FileConnection, require_known
from bars_gateway.store.sqlite.integrity import contents_of, examined, is_damage, reading

_STEP = 1024  # pages: between two steps, Ctrl-C is heard
_SIDE_FILES = ("-journal", "-wal", "-shm")
Advance = Callable[[int, int | None], None]  # how much of how much
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})


def back_up(database: Path, target: Path, advance: Advance | None = None) -> DatabaseReport:
    """
    Write a checked copy of *database* to *target*, and return what is in it.

    *advance* is told how many pages of how many are copied.
    Raises BackupFailed, after which there is nothing at *target* that was not there
    before, and StoreError or DatabaseDamaged where *database* cannot be read.
    """
    _require_free(target)
    partial = beside(target, ".partial")
    try:
        with fresh_file(partial) as descriptor, reading(database) as source:
            require_known(source, database)
            copy = copied(source, partial, descriptor, advance)
            _appear(partial, target)
        sync_folder(target.parent)
    except BlockingIOError:
        raise BackupFailed(f"another backup is writing {partial}") from None
    except OSError as error:
        raise BackupFailed(f"{target} could not be written: {error.strerror}") from None
    return copy


def beside(path: Path, suffix: str) -> Path:
    """Return the path of a file next to *path* whose name goes on with *suffix*."""
    return path.with_name(f"{path.name}{suffix}")


@contextmanager
def fresh_file(path: Path) -> Iterator[int]:
    """
    Yield the descriptor of an empty *path* that is ours alone, mode 0600.

    What is still there under that name at the end is removed; what a crash left there
    is written over. Raises BlockingIOError while another process has it.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.fchmod(descriptor, 0o600)
        os.ftruncate(descriptor, 0)
        try:
            yield descriptor
        finally:
            for name in (path, *(beside(path, suffix) for suffix in _SIDE_FILES)):
                name.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def copied(
    source: FileConnection, path: Path, descriptor: int, advance: Advance | None = None
) -> DatabaseReport:
    """
    Copy the snapshot of *source* into *path*, see that it is whole, and sync it.

    Raises BackupFailed where the copy is not what was to be copied, and OSError or
    sqlite3.Error, as damage of *source*, where it cannot be made.
    """
    expected = counts(contents_of(source))
    try:
        _copy_pages(source, path, advance)
    except sqlite3.Error as error:
        if is_damage(error):
            raise
        raise OSError(errno.EIO, str(error)) from None
    with reading(path) as copy:
        found = examined(copy, contents=False)
    if found.damage:
        raise BackupFailed(f"the copy failed its check: {'; '.join(found.damage)}")
    if found.counts != expected:
        raise BackupFailed("the copy does not hold what the database holds")
    os.fsync(descriptor)
    return found


def _copy_pages(source: sqlite3.Connection, path: Path, advance: Advance | None) -> None:
    def told(_status: int, remaining: int, total: int) -> None:
        if advance is not None:
            advance(total - remaining, total)

    uri = f"{path.absolute().as_uri()}?mode=rw"  # rw: SQLite itself must not create it, open to all
    target = sqlite3.connect(uri, uri=True, isolation_level=None)
    try:
        target.execute("PRAGMA synchronous = OFF")  # synced once, at the end
        source.backup(target, pages=_STEP, progress=told)
    finally:
        target.close()
    target = sqlite3.connect(uri, uri=True, isolation_level=None)
    try:
        target.execute("PRAGMA journal_mode = DELETE")  # one file, complete in itself
    finally:
        target.close()


def _require_free(target: Path) -> None:
    if os.path.lexists(target):
        raise BackupFailed(f"{target} is there already")


def _appear(partial: Path, target: Path) -> None:
    """Give *partial* the name *target* as well, unless somebody has taken it meanwhile."""
    try:
        os.link(partial, target)
    except FileExistsError:
        raise BackupFailed(f"{target} is there already") from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _require_free(target)  # a filesystem without links: as close as it can be had
        partial.rename(target)
