"""
The folders that a provider shares with its EPR: the one that holds all others, and each of those.

    SPOOL/.provider  whose it is (`config.spool_folder`): nobody else's gateway begins in it
    SPOOL/.reached   how far the database was (`store.reached`)
    SPOOL/.lock      held while a gateway has the folder; in it stands the mark of this start
    SPOOL/…          opened below it, by its descriptor: never by a path that may lead elsewhere

A share that is lost leaves us with its empty mount point, or with what somebody mounted there by
mistake. Nothing is made, taken or written there. It may come back as another device, which no
number tells from another folder. So each start writes a mark into the lock, drawn anew, and the
folder that has it is the one that this run has opened, and that no gateway has opened since:

    at its path lies      its mark      what is done
    the one we hold       -             goes on
    another               ours          locked, and held from now on: the share is back
    another               none, other   waits: a mount point, another provider's, another gateway's
    the one we hold       no lock       locked anew: somebody has removed it

What another gateway has opened meanwhile has that one's mark, and what was restored from before
the start has an older one: both wait for a person, who starts this gateway again where it is meant.

A share's server may lose our lock (it was started again; nobody heard of us for too long), or have
never heard of it (`nobrl`, `nolock`). So at each look the mark is read through the lock: a client
that has to ask the server asks for the lock again, too, and whoever started after us is seen.

Everything here blocks, and is called from threads: several at a time.

Decisions: D-folders, D-one-instance.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import secrets
import stat
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import structlog

from bars_gateway.config.spool_folder import (
    LOCK_FILE,
    OWNER_FILE,
    SpoolOwner,
    is_marked,
    of_another,
)
from bars_gateway.disk import sync_names
from bars_gateway.errors import FolderInUse, FolderOfAnother
from bars_gateway.frozen import frozen

SHARED, PRIVATE = 0o2770, 0o700  # the group of a shared folder is the EPR's: its files inherit it
_ENTERED = 0o2750  # the group passes through, and does not write
_NOBODYS = 0o701  # a mode that no folder has
FILE_MODE = 0o640
_MARK_BYTES = 16
_MANY_FILES = 4  # files: from here on one syncfs is cheaper than an fsync each (D-durable)
_CLONE_FS = 0x200  # sched.h: a thread's umask and folder are its own
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LIBC = ctypes.CDLL(None, use_errno=True)
_OF_THE_MACHINE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_LOCKED = frozenset({errno.EWOULDBLOCK, errno.EACCES})  # the second is SMB's word for it
_OPEN_ELSEWHERE = frozenset({errno.EBUSY, errno.ETXTBSY})
log = structlog.get_logger(__name__)


def is_of_the_file(error: OSError) -> bool:
    """Tell whether a file is the cause of *error*, and not a machine that has nothing left."""
    return error.errno not in _OF_THE_MACHINE


def is_open_elsewhere(error: OSError) -> bool:
    """Tell whether another program has the file open and shares it with nobody, as Windows lets."""
    return error.errno in _OPEN_ELSEWHERE


class SpoolRoot:
    """The folder that all others of one provider are in, held by its lock until `close`."""

    def __init__(self, path: Path, owner: SpoolOwner) -> None:
        """
        Make it for its *owner* where it is missing.

        Raise FolderInUse or FolderOfAnother where somebody else has it, else OSError.
        """
        self.path = path
        self._swapping = threading.Lock()  # nobody opens anything below it meanwhile
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _make(path, _ENTERED, path)
        _sync(os.fspath(path.parent), None)
        self._descriptor = os.open(path, _FOLDER)
        with contextlib.ExitStack() as unless_held:
            unless_held.callback(os.close, self._descriptor)
            self._require_own(owner)  # or another's start would find its lock taken
            self._lock = self._locked()
            unless_held.callback(os.close, self._lock)
            self._own(owner)
            unless_held.pop_all()
        self._mark = _marked(self._lock)

    def close(self) -> None:
        """Let go of it and of its lock."""
        os.close(self._lock)
        os.close(self._descriptor)

    def is_in_place(self) -> bool:
        """Tell whether what lies at its path is what we hold."""
        with self._swapping, contextlib.suppress(OSError):
            return os.path.samestat(self.path.stat(), os.fstat(self._descriptor))
        return False

    def require_in_place(self) -> None:
        """
        Raise OSError (ESTALE) where another lies at its path than the one that we may use.

        One that is back as another device is held from now on; then `Folder.refresh` is due.
        """
        with self._swapping:
            found = self.path.stat() if self.path.exists() else None
            is_same = found and os.path.samestat(found, os.fstat(self._descriptor))
            named = self._is_named() if is_same and self._is_held() else False
            if named is None:
                self._lock_anew()
            elif not named:
                self._hold_what_is_back()

    def make(self, names: Iterable[str]) -> None:
        """Make each of these folders below it that is not there, for its group; raise OSError."""
        for name in names:
            if not self._has(name):
                os.close(self.opened(name, SHARED))

    def put(self, name: str, content: bytes) -> None:
        """Put a file of ours into it, in place of what was there, whole and on disk; or OSError."""
        half = f"{name}.tmp"
        with contextlib.closing(Folder(self, ".", SHARED)) as folder:
            folder.write(half, content)
            folder.flush([half])
            folder.move(half, folder, name)
            folder.sync()

    def stat(self, name: str) -> os.stat_result:
        """Return what *name* below it is; raise OSError."""
        with self._swapping:
            return os.stat(name, dir_fd=self._descriptor)

    def opened(self, name: str, mode: int) -> int:
        """Return a folder below it, open, and made with that *mode* where it is not there."""
        with self._swapping:
            at = self._descriptor
            try:
                os.stat(name, dir_fd=at)
            except FileNotFoundError:
                _make(name, mode, self.path / name, at)
            # Or a power cut takes the folder with all that was synced in it.
            _sync(str(Path(name).parent), at)
            return os.open(name, _FOLDER, dir_fd=at)

    def _has(self, name: str) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return stat.S_ISDIR(self.stat(name).st_mode)
        return False

    def _require_own(self, owner: SpoolOwner) -> None:
        flaw = of_another(self._descriptor, self.path, owner)
        if flaw is not None:
            raise FolderOfAnother(f"spool_dir {flaw.cause}", flaw.cure)

    def _own(self, owner: SpoolOwner) -> None:
        """Write down whose it is, unless that stands there; another may have begun in it since."""
        self._require_own(owner)
        # A full disk keeps no gateway from starting: the next start marks it.
        with contextlib.suppress(OSError):
            if not is_marked(self._descriptor):
                self.put(OWNER_FILE, owner.written)

    def _locked(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        lock = os.open(LOCK_FILE, flags, 0o600, dir_fd=self._descriptor)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            if error.errno in _LOCKED:
                raise FolderInUse(f"{self.path} is held by another gateway") from None
            raise OSError(error.errno, error.strerror, str(self.path / LOCK_FILE)) from None
        return lock

    def _is_held(self) -> bool:
        """Tell whether our mark still stands in our lock: who opens the folder writes another."""
        with contextlib.suppress(OSError):
            return self._mark is None or self._has_mark(self._lock)
        return False

    def _is_named(self) -> bool | None:
        """Tell whether the lock that we hold has a name still; None: no other is there either."""
        try:
            os.stat(LOCK_FILE, dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None
        # By no number: on SMB with `noserverino` the same file has another one at each look.
        return os.fstat(self._lock).st_nlink > 0

    def _lock_anew(self) -> None:
        """Make the lock again that somebody has removed, before another gateway does."""
        try:
            lock = self._locked()
        except FolderInUse:
            raise _another(self.path) from None
        os.close(self._lock)
        self._lock, self._mark = lock, _marked(lock)
        log.error("lock.taken_anew", path=str(self.path / LOCK_FILE))

    def _hold_what_is_back(self) -> None:
        """Take the folder at our path in place of the one that is gone, if it has our mark."""
        with contextlib.ExitStack() as opened:
            try:
                descriptor, lock = self._found_again(opened)
            except OSError as error:  # a mount point of root's may be shut, or have a file instead
                if not is_of_the_file(error):
                    raise
                raise _another(self.path) from error
            opened.pop_all()
        gone = self._lock, self._descriptor
        self._descriptor, self._lock = descriptor, lock
        for each in gone:
            with contextlib.suppress(OSError):  # of a server that does not answer any more
                os.close(each)
        log.info("epr.folder_back", path=str(self.path))

    def _found_again(self, opened: contextlib.ExitStack) -> tuple[int, int]:
        """Return the folder at our path and its lock, which has our mark; raise OSError."""
        descriptor = os.open(self.path, _FOLDER)
        opened.callback(os.close, descriptor)
        lock = os.open(LOCK_FILE, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
        opened.callback(os.close, lock)
        # On SMB nobody reads what is locked; and the lock may be our own, by another path.
        with contextlib.suppress(PermissionError):
            self._require_mark(lock)
        with contextlib.suppress(OSError):  # of a server that does not answer any more
            fcntl.flock(self._lock, fcntl.LOCK_UN)  # or, by another path, it is in our own way
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._require_mark(lock)  # another gateway may have had it between
        except OSError:
            with contextlib.suppress(OSError):
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            raise
        return descriptor, lock

    def _require_mark(self, lock: int) -> None:
        if not self._has_mark(lock):
            raise _another(self.path)

    def _has_mark(self, lock: int) -> bool:
        mark = self._mark
        return mark is not None and os.pread(lock, 2 * len(mark), 0) == mark


@frozen
class Sheet:
    """A file as it was read."""

    body: bytes | None  # None where it is larger than was allowed
    inode: tuple[int, int]
    stamp: tuple[int, int]  # size and when it was last written to: equal when nobody did between


@dataclass(frozen=True, slots=True, order=True)
class FolderEntry:
    """What lies in a folder; the oldest sorts first."""

    changed: int  # nanoseconds
    name: str
    is_regular: bool  # neither a link, nor a folder, nor a pipe


class Folder:
    """One open folder. Everything goes through its descriptor, so that nobody can swap it."""

    def __init__(self, root: SpoolRoot, name: str, mode: int) -> None:
        """Open what is called *name* below *root*; raise OSError."""
        self.path = root.path / name
        self._root, self._name, self._mode = root, name, mode
        self._descriptor = root.opened(name, mode)

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._descriptor)

    def refresh(self) -> bool:
        """Open it again where somebody has removed it or put another there; tell whether so."""
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(self._root.stat(self._name), os.fstat(self._descriptor)):
                return False
        fresh = self._root.opened(self._name, self._mode)
        os.close(self._descriptor)
        self._descriptor = fresh
        return True

    def entries(self) -> Iterator[FolderEntry]:
        """Yield everything that lies there."""
        # Anew: on a share, what is open goes on showing what lay there when it was opened.
        descriptor = os.open(".", _FOLDER, dir_fd=self._descriptor)
        try:
            with os.scandir(descriptor) as found:
                for each in found:
                    with contextlib.suppress(FileNotFoundError):  # the EPR took it back
                        changed = each.stat(follow_symlinks=False).st_mtime_ns
                        yield FolderEntry(changed, each.name, each.is_file(follow_symlinks=False))
        finally:
            os.close(descriptor)

    def files(self) -> Iterator[tuple[tuple[int, str], str]]:
        """Yield (time of change and name, name) of each regular file; links are none."""
        for entry in self.entries():
            if entry.is_regular:
                yield (entry.changed, entry.name), entry.name

    def has(self, name: str) -> bool:
        """Tell whether anything of that name is there."""
        try:
            os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def may_write(self, name: str, body: bytes) -> bool:
        """Tell whether the name is free, or a crash left there what is to be written."""
        return not self.has(name) or self.read(name, len(body)).body == body

    def named_at(self, name: str) -> float | None:
        """Return when it got its name there, or was last changed; None where it is not there."""
        try:
            found = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except OSError:
            return None
        return found.st_ctime  # a rename sets it, and nobody who keeps an old date does

    def inode(self, name: str) -> tuple[int, int]:
        """Return what tells this file from another of the same name."""
        found = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        return found.st_dev, found.st_ino

    def read(self, name: str, max_bytes: int) -> Sheet:
        """Return the file's bytes; raise OSError where it cannot be read or is not regular."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(name, flags, dir_fd=self._descriptor)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise OSError("not a regular file")
            body = file.read(max_bytes + 1) if found.st_size <= max_bytes else None
            if body is not None and len(body) > max_bytes:
                body = None
            inode = (found.st_dev, found.st_ino)
            # Not its date: whoever copies it may give it the old one, while it is written.
            return Sheet(body, inode, (found.st_size, found.st_ctime_ns))

    def write(self, name: str, body: bytes) -> None:
        """Write a new file, in place of any that a crash left over; `flush` puts it on disk."""
        self.remove(name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, FILE_MODE, dir_fd=self._descriptor)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, FILE_MODE)  # whatever the umask says
            file.write(body)

    def append(self, name: str, content: bytes) -> None:
        """Write at the end of a file of ours, made where there is none; on disk when it returns."""
        is_new = not self.has(name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, 0o600, dir_fd=self._descriptor)
        try:
            os.pwrite(descriptor, content, os.fstat(descriptor).st_size)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if is_new:
            self.sync()

    def flush(self, names: Sequence[str]) -> None:
        """Put files that were written on disk: each by itself, or all with one syncfs."""
        if len(names) >= _MANY_FILES and self._is_on_a_disk() and _syncfs(self._descriptor):
            return
        for name in names:
            # For writing: of one that is open to read, no share tells its server to sync it.
            flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(name, flags, dir_fd=self._descriptor)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _is_on_a_disk(self) -> bool:
        """Tell whether a disk of this machine is below it; syncfs tells no server of a share."""
        return os.major(os.fstat(self._descriptor).st_dev) != 0

    def move(self, name: str, to: "Folder", new_name: str) -> None:
        """Rename a file into *to*; what has that name there is replaced."""
        target = to._descriptor  # noqa: SLF001
        os.rename(name, new_name, src_dir_fd=self._descriptor, dst_dir_fd=target)

    def remove(self, name: str) -> None:
        """Remove a file, if there is one."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._descriptor)

    def sync(self) -> None:
        """Put the names on disk."""
        sync_names(self._descriptor)


def _another(path: Path) -> OSError:
    return OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))


def _marked(lock: int) -> bytes | None:
    """Return the mark that this start has left in its lock; None where it could not be left."""
    mark = secrets.token_hex(_MARK_BYTES).encode()
    try:
        os.pwrite(lock, mark, 0)
        os.ftruncate(lock, len(mark))
        os.fsync(lock)
    except OSError:  # a full disk keeps no gateway from starting: it does not know it again
        return None
    return mark


def _sync(folder: str, at: int | None) -> None:
    """Put the names in *folder* on disk, which is below *at*."""
    descriptor = os.open(folder, _FOLDER, dir_fd=at)
    try:
        sync_names(descriptor)
    finally:
        os.close(descriptor)


def _make(name: Path | str, mode: int, path: Path, at: int | None = None) -> None:
    """
    Make a folder with its mode, whatever the umask says; *name* is below *at*.

    Under systemd's RestrictSUIDSGID= nobody sets a set-group-ID bit. What is made in a folder that
    has it has it, too; chmod would take it away there. So it is made with all the rest of its mode.
    """
    with ThreadPoolExecutor(1) as apart:
        apart.submit(_make_unmasked, name, mode & 0o777, at).result()
    folder = os.open(name, _FOLDER, dir_fd=at)
    try:
        has = stat.S_IMODE(os.fstat(folder).st_mode)
        if has != mode:
            os.fchmod(folder, mode)
    except PermissionError:
        if not _keeps_modes(folder):
            return
        os.rmdir(name, dir_fd=at)  # or it would be taken as it is next time
        why = f"root has to make it: install -d -o USER -g GROUP -m {mode:o} {path}"
        if not has & stat.S_ISGID:
            why = f"no set-group-ID bit to inherit. As root: chmod g+s {path.parent}"
        raise PermissionError(errno.EPERM, why, str(path)) from None
    finally:
        os.close(folder)


def _make_unmasked(name: Path | str, mode: int, at: int | None) -> None:
    """Make a folder, in a thread that ends with this: its umask is its own, where that may be."""
    unshare = getattr(_LIBC, "unshare", None)
    if unshare is not None and unshare(_CLONE_FS) == 0:
        os.umask(0)
    os.mkdir(name, mode, dir_fd=at)


def _keeps_modes(folder: int) -> bool:
    """Tell whether it takes a mode: on a share of SMB all have the one that its mount says."""
    os.fchmod(folder, _NOBODYS)
    return stat.S_IMODE(os.fstat(folder).st_mode) == _NOBODYS


def _syncfs(descriptor: int) -> bool:
    """Put the whole filesystem on disk; return False where the system has no such call."""
    call = getattr(_LIBC, "syncfs", None)
    if call is None:
        return False
    if call(descriptor) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return True
