"""
Puts a file under its name at one moment, and on disk: whole, or not at all.

    content ──► .NAME.PID.tmp, synced ──► renamed to NAME ──► the folder, synced

A rename takes the place of what was there, so whoever reads NAME meets the one or the other. It is
the folder that keeps names: until that is synced, a power cut may bring the old one back, though
the new file is on disk. So whoever makes, moves or removes a file in another way syncs its folder.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bars_gateway.ownership import belong


def put_in_place(path: Path, content: bytes, mode: int = 0o600, *, belongs: bool = False) -> None:
    """
    Write *path* over whatever is there; return once that is on disk. Raises OSError.

    With *belongs*, a file that root writes is the gateway's (`ownership`).
    """
    half = half_written(path, content, mode, belongs=belongs)
    with _gone_unless_done(half):
        half.rename(path)
    sync_folder(path.parent)


def half_written(path: Path, content: bytes, mode: int, *, belongs: bool = False) -> Path:
    """
    Return where, beside *path*, its *content* is on disk, to be renamed or linked to it.

    Where that fails, nothing of it is left: it may be a part of a key.
    """
    half = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    half.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(half, flags, mode)
    with _gone_unless_done(half), os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)  # whatever the umask took
        if belongs:
            belong(file.fileno(), path.parent)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return half


@contextmanager
def _gone_unless_done(half: Path) -> Iterator[None]:
    with ExitStack() as unless_done:
        unless_done.callback(half.unlink, missing_ok=True)
        yield
        unless_done.pop_all()


def sync_folder(folder: Path) -> None:
    """Put the names in *folder* on disk, where its filesystem can."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync_names(descriptor)
    finally:
        os.close(descriptor)


def sync_names(descriptor: int) -> None:
    """Put the names in an open folder on disk, where its filesystem can."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network filesystems sync no folders
            raise


def room(count: float) -> str:
    """Return so many bytes of a disk in words: everywhere in MiB, so that two can be compared."""
    found = count / 2**20
    return f"{found:,.1f} MiB" if abs(found) < 10 else f"{found:,.0f} MiB"  # noqa: PLR2004
