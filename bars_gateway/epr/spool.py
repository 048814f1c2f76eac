"""
The folders that one provider shares with its EPR, what lies in them, and what it is called.

    SPOOL/outbox/  tmp  new  accepted  refused     the EPR writes in tmp, renames into new
    SPOOL/outbox/  claimed                         ours alone: what is being taken in
    SPOOL/inbox/   tmp  new                        we write in tmp, rename into new

Names come from listings only; no name is ever made from content. A file is opened without
following links, never waits for a pipe's other end, and must be regular. What we write is on
disk before it gets its final name, and the name is on disk before anybody is told. One lock
per spool folder: two gateways on one folder would each take what the other has claimed.

Files that can never be taken are neither moved nor refused, for the gateway may not touch them, or
must not. So a person has to hear how many there are, since when, and why (`StuckFiles`): who
dropped them believes that they were sent.

In outbox/new a file is called what the EPR wants:

    NAME.json, NAME.XML ───────► a message       whatever is in NAME: it is only ever renamed
    NAME.envelope.json ────────► its envelope
    .NAME, NAME.tmp, NAME.part ► being written: left alone, and told of if it stays so
    all else ──────────────────► nothing that is sent

A name is at most 255 bytes to the system, and ours are longer than the EPR's by a ticket or an
ending. What would not fit is cut, and ends in a mark that tells it from others cut alike.

    taken ──► used for ten minutes        a late envelope of it ──► barred: so is the next message

An envelope that comes after its message would attach to the next one of that name, which may be
another patient's. So a name that was used a moment ago takes no envelope, also after a restart
(`Stems`). Only digests of names are written down, for some EPRs put patients into them.

Where the whole spool folder is gone, or another lies in its place, nothing is made, taken or
written there: a share that was lost would leave us with its mount point, and the EPR with nothing.

Everything that touches a folder blocks, and is called from a thread.

Decisions: D-folders, D-one-instance.
"""

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
import stat
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import structlog

from bars_gateway.disk import require_same, sync_folder, sync_names
from bars_gateway.errors import ConfigurationError, FolderInUse
from bars_gateway.frozen import frozen

ENVELOPES: Final = ".envelope.json"
CUT: Final = "~"  # stands in every name that was cut, before its mark
_MESSAGES = (".json", ".xml")
_MOVE = ".move"  # at the end of a NAME: a move of a few words, and no Bundle
_OF_DESKTOPS = frozenset({"desktop.ini", "thumbs.db"})  # in a share that somebody looks into
_UNFINISHED = (".tmp", ".part", ".partial", ".filepart", ".crdownload", ".swp", ".lock", "~")
_LONGEST_STEM, _LONGEST_ENDING = 170, 20  # bytes
_KEPT = 150  # bytes of a stem that is longer
RECENT_SECONDS: Final = 600.0
_FILE, _NEXT = ".stems", ".stems.next"
_MAX_BYTES = 64 * 1024 * 1024
_MANY_LINES = 10_000  # lines
_USED, _BARRED, _FREED = "used", "barred", "freed"

SHARED, PRIVATE = 0o2770, 0o700  # the group of a shared folder is the EPR's: its files inherit it
_PARENTS = ("outbox", "inbox", "outbox/tmp")  # what others are made in, and what we only make
_ENTERED = 0o2750  # the group passes through, and does not write
FILE_MODE = 0o640
_MANY_FILES = 4  # files: from here on one syncfs is cheaper than an fsync each (D-durable)
_ACCESS_LIST = "system.posix_acl_access"
_OWNER, _GROUP, _OTHERS, _NO_ID = 1, 4, 32, 0xFFFFFFFF  # of an entry in it
_LIBC = ctypes.CDLL(None, use_errno=True)
log = structlog.get_logger(__name__)
_OF_THE_MACHINE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


@frozen
class Sheet:
    """A file as it was read."""

    body: bytes | None  # None where it is larger than was allowed
    inode: tuple[int, int]
    stamp: tuple[int, int]  # size and time of change: equal when nobody wrote between


@dataclass(frozen=True, slots=True, order=True)
class FolderEntry:
    """What lies in a folder; the oldest sorts first."""

    changed: int  # nanoseconds
    name: str
    is_regular: bool  # neither a link, nor a folder, nor a pipe


class Folder:
    """One open folder. Everything goes through its descriptor, so that nobody can swap it."""

    def __init__(self, path: Path, mode: int) -> None:
        self.path = path
        self._mode = mode
        self._descriptor = self._opened()

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._descriptor)

    def refresh(self) -> None:
        """Open the folder again where somebody has removed it or put another in its place."""
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(self.path.stat(), os.fstat(self._descriptor)):
                return
        fresh = self._opened()
        os.close(self._descriptor)
        self._descriptor = fresh

    def _opened(self) -> int:
        if not self.path.exists():
            self.path.mkdir(parents=True)
            _give_mode(self.path, self._mode)
        # Or a power cut takes the folder with all that was synced in it.
        sync_folder(self.path.parent)
        return os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def entries(self) -> Iterator[FolderEntry]:
        """Yield everything that lies there."""
        with os.scandir(self._descriptor) as found:
            for each in found:
                with contextlib.suppress(FileNotFoundError):  # the EPR took it back
                    changed = each.stat(follow_symlinks=False).st_mtime_ns
                    yield FolderEntry(changed, each.name, each.is_file(follow_symlinks=False))

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
            return Sheet(body, inode, (found.st_size, found.st_mtime_ns))

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
        if len(names) >= _MANY_FILES and _syncfs(self._descriptor):
            return
        for name in names:
            descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._descriptor)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

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


class Spool:
    """All folders of one provider, held by a lock until `close`."""

    def __init__(self, root: Path) -> None:
        """Create what is missing; raise FolderInUse, or ConfigurationError where that fails."""
        self.root = root
        with contextlib.ExitStack() as stack:
            try:
                Folder(root, _ENTERED).close()
                stack.callback(os.close, _lock(root))
                self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                stack.callback(os.close, self._root)
                make_shared(root, _PARENTS)
                self.new = self._opened("outbox/new", SHARED, stack)
                self.accepted = self._opened("outbox/accepted", SHARED, stack)
                self.refused = self._opened("outbox/refused", SHARED, stack)
                self.claimed = self._opened("outbox/claimed", PRIVATE, stack)
                self.inbox_tmp = self._opened("inbox/tmp", PRIVATE, stack)
                self.inbox_new = self._opened("inbox/new", SHARED, stack)
            except OSError as error:
                raise ConfigurationError(
                    f"spool_dir {root} cannot be used: {error.strerror} ({error.filename})"
                ) from None
            self._open = stack.pop_all()

    def require_in_place(self) -> None:
        """Raise OSError where the folder is not the one that was opened; make what it lacks."""
        require_same(self.root, self._root)
        make_shared(self.root, _PARENTS)

    def publish(self, name: str, content: bytes) -> None:
        """Put a file beside the folders, whole; raise ConfigurationError where that fails."""
        try:
            with contextlib.closing(Folder(self.root, SHARED)) as root:
                if root.has(name) and root.may_write(name, content):
                    return
                self.inbox_tmp.write(name, content)
                self.inbox_tmp.flush([name])
                self.inbox_tmp.move(name, root, name)
                root.sync()
        except OSError as error:
            raise ConfigurationError(
                f"spool_dir {self.root} cannot be used: {error.strerror} ({name})"
            ) from None

    def close(self) -> None:
        """Let go of the folders and of the lock."""
        self._open.close()

    def _opened(self, name: str, mode: int, stack: contextlib.ExitStack) -> Folder:
        folder = Folder(self.root / name, mode)
        stack.callback(folder.close)
        return folder


def make_shared(root: Path, names: Iterable[str]) -> None:
    """Make each of these folders below *root* that is not there, for its group; raise OSError."""
    for name in names:
        if not (root / name).is_dir():
            Folder(root / name, SHARED).close()


def _give_mode(folder: Path, mode: int) -> None:
    """
    Give a folder that was just made its mode, whatever the umask says.

    Under systemd's RestrictSUIDSGID= nobody sets a set-group-ID bit. What is made in a folder that
    has it has it, too; chmod would take it away there, and an access list leaves it.
    """
    try:
        folder.chmod(mode)
    except PermissionError:
        entries = ((_OWNER, mode >> 6), (_GROUP, mode >> 3), (_OTHERS, mode))
        packed = b"".join(struct.pack("<HHI", who, bits & 7, _NO_ID) for who, bits in entries)
        with contextlib.suppress(OSError):  # a filesystem that has no such lists
            os.setxattr(folder, _ACCESS_LIST, struct.pack("<I", 2) + packed)
        has = stat.S_IMODE(folder.stat().st_mode)
        if has != mode:
            folder.rmdir()  # or it would be taken as it is next time
            why = f"root has to make it: install -d -o USER -g GROUP -m {mode:o} {folder}"
            if not has & stat.S_ISGID:
                why = f"no set-group-ID bit to inherit. As root: chmod g+s {folder.parent}"
            raise PermissionError(errno.EPERM, why, str(folder)) from None


def _lock(root: Path) -> int:
    descriptor = os.open(root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise FolderInUse(f"{root} is held by another gateway") from None
    return descriptor


def _syncfs(descriptor: int) -> bool:
    """Put the whole filesystem on disk; return False where the system has no such call."""
    call = getattr(_LIBC, "syncfs", None)
    if call is None:
        return False
    if call(descriptor) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return True


class Cause(StrEnum):
    """Why a file cannot be taken."""

    UNREADABLE = "unreadable"
    IRREGULAR = "irregular"
    UNFINISHED = "unfinished"
    FAILING = "failing"


CURES: Mapping[Cause, str] = {
    Cause.UNREADABLE: "the gateway may not read them: let its group read what the EPR writes"
    " (mode 0640, group bars-gateway-epr)",
    Cause.IRREGULAR: "they are links, folders or pipes, which are never opened: take them away"
    " (`ls -l` shows which), and drop the files themselves",
    Cause.FAILING: "the gateway hits an internal error with them: see its alarm, telephone, and"
    " have them dropped again, as new files; what was taken already is never sent twice",
    Cause.UNFINISHED: "they never got their final name: look at the program that writes them",
}


def is_of_the_file(error: OSError) -> bool:
    """Tell whether a file is the cause of *error*, and not a machine that has nothing left."""
    return error.errno not in _OF_THE_MACHINE


@frozen(kw_only=True)
class Stuck:
    """Files of one folder that cannot be taken, for one cause."""

    cause: Cause
    folder: Path
    count: int
    since: float  # when the first of them was dropped, in seconds of the epoch


class StuckFiles:
    """
    What of some folders cannot be taken, by name; the names are never shown.

    Since when is the file's own time where that is before our first look: we may have just started.
    """

    def __init__(self, *folders: Folder, wall: Callable[[], float]) -> None:
        """*folders*: the last is where whatever lies in none of the others is."""
        self._folders, self._wall = folders, wall
        self._found: dict[str, tuple[Cause, Path, float]] = {}

    def note(self, name: str, cause: Cause) -> Path | None:
        """Remember that a file cannot be taken; return where it lies, if that is news."""
        if name in self._found:
            return None
        since, folder = self._wall(), self._folders[-1]
        for each in self._folders:
            at = each.named_at(name)
            if at is not None:
                since, folder = min(since, at), each
        self._found[name] = (cause, folder.path, since)
        return folder.path

    def unreadable(self, name: str, error: OSError) -> None:
        """Say once that a file cannot be read; raise what is the machine's and not the file's."""
        if not is_of_the_file(error):
            raise error
        path = self.note(name, Cause.UNREADABLE)
        if path is not None:
            reason = errno.errorcode.get(error.errno or 0, "not a regular file")
            log.warning("epr.file_unreadable", path=str(path), reason=reason)

    def taken(self, name: str) -> None:
        """Forget a file that could be taken after all."""
        self._found.pop(name, None)

    def keep(self, names: Collection[str]) -> None:
        """Forget all others: somebody has taken them away."""
        for name in self._found.keys() - names:
            del self._found[name]

    @property
    def by_cause(self) -> Sequence[Stuck]:
        """What cannot be taken now."""
        found: dict[tuple[Cause, Path], list[float]] = {}
        for cause, folder, since in self._found.values():
            found.setdefault((cause, folder), []).append(since)
        return [
            Stuck(cause=cause, folder=folder, count=len(times), since=min(times))
            for (cause, folder), times in sorted(found.items())
        ]


class Sort(StrEnum):
    """What a file is, by its name."""

    MESSAGE = "message"
    ENVELOPE = "envelope"
    UNFINISHED = "unfinished"
    OTHER = "other"


def sort_of(name: str) -> Sort:
    """Return what a file of that name in outbox/new is."""
    plain = name.casefold()
    if plain.startswith(".") or plain.endswith(_UNFINISHED) or plain in _OF_DESKTOPS:
        return Sort.UNFINISHED
    if plain.endswith(ENVELOPES):
        return Sort.ENVELOPE
    return Sort.MESSAGE if plain.endswith(_MESSAGES) else Sort.OTHER


def is_move(name: str) -> bool:
    """Tell whether a message of that name is a move of a few words, and no Bundle."""
    return name.casefold().endswith(f"{_MOVE}.json")


def is_told(name: str) -> bool:
    """
    Tell whether somebody is to hear of a file of that name that is not taken.

    A hidden one belongs to the system or to a program, unless it is called as a message is: `.json`
    is what an EPR writes whose NAME is empty. So does what a desktop leaves in a share.
    """
    plain = name.casefold()
    if plain in _OF_DESKTOPS or plain.startswith("._"):  # before a name: macOS's, about that file
        return False
    return not plain.startswith(".") or plain.endswith(_MESSAGES)


def split(name: str) -> tuple[str, str]:
    """Return NAME and its ending with the point: what belongs together has the same NAME."""
    if sort_of(name) is Sort.ENVELOPE:
        return name[: -len(ENVELOPES)], name[-len(ENVELOPES) :]
    stem, point, ending = name.rpartition(".")
    return (stem, point + ending) if stem else (name, "")


def numbered(stem: str, number: int) -> str:
    """Return the NAME of whatever comes as *number* under this one; the first keeps it."""
    own, mark = _of_move(stem)
    return stem if number == 1 else f"{own}.{number}{mark}"


def _of_move(stem: str) -> tuple[str, str]:
    """Return a NAME without its mark of a move, and that mark."""
    own = stem[: -len(_MOVE)]
    return (own, stem[len(own) :]) if own and stem.casefold().endswith(_MOVE) else (stem, "")


def is_xml(name: str) -> bool:
    """Tell whether a message of that name is XML."""
    return name.casefold().endswith(".xml")


def kept(name: str) -> str:
    """Return what *name* is called in our folders: itself, unless that would not fit."""
    stem, ending = split(name)
    if len(os.fsencode(stem)) <= _LONGEST_STEM and len(os.fsencode(ending)) <= _LONGEST_ENDING:
        return name
    mark = hashlib.sha256(os.fsencode(stem)).hexdigest()[:8]
    own, move = _of_move(stem)
    cut = os.fsencode(own)[:_KEPT].decode("utf-8", "ignore") + CUT + mark + move
    return cut + (ending if len(os.fsencode(ending)) <= _LONGEST_ENDING else "")


def stem_of(name: str) -> str:
    """Return what is the same of a message and its envelope, as it is kept."""
    return split(kept(name))[0]


class Stems:
    """The names that one provider's EPR has used; blocks."""

    def __init__(self, folder: Folder, *, now: Callable[[], float]) -> None:
        """Read what is remembered in *folder*; *now* is in seconds since 1970."""
        self._folder = folder
        self._now = now
        self._used: dict[str, float] = {}
        self._barred: dict[str, float] = {}
        self._lines, self._most = 0, _MANY_LINES  # before the file is written again
        for word, digest, at in self._remembered():
            self._apply(word, digest, at)

    def is_used(self, stem: str) -> bool:
        """Tell whether a message of that name was taken a moment ago."""
        return self._is_recent(self._used.get(_digest(stem)))

    def is_barred(self, stem: str) -> bool:
        """Tell whether the next message of that name is not to be taken."""
        return self._is_recent(self._barred.get(_digest(stem)))

    def note(self, stems: Iterable[str]) -> None:
        """Remember that messages of these names were taken; on disk when this returns."""
        self._write(_USED, stems)

    def bar(self, stem: str) -> None:
        """Let the next message of that name not be taken."""
        self._write(_BARRED, [stem])

    def free(self, stem: str) -> None:
        """Undo `bar`."""
        self._write(_FREED, [stem])

    def _is_recent(self, at: float | None) -> bool:
        # A clock that was set back makes no name recent for ever.
        return at is not None and abs(self._now() - at) < RECENT_SECONDS

    def _write(self, word: str, stems: Iterable[str]) -> None:
        now = self._now()
        lines = [(word, _digest(stem), now) for stem in stems]
        if not lines:
            return
        for line in lines:
            self._apply(*line)
        # A full disk holds up no message: until there is room, names are known to this run alone.
        with contextlib.suppress(OSError):
            self._keep(lines)

    def _keep(self, lines: list[tuple[str, str, float]]) -> None:
        self._lines += len(lines)
        if self._lines <= self._most:
            self._folder.append(_FILE, b"\n" + _encoded(lines))  # after a line that was cut off
            return
        self._forget()
        lines = [(_USED, *item) for item in self._used.items()]
        lines += [(_BARRED, *item) for item in self._barred.items()]
        self._lines, self._most = len(lines), _MANY_LINES + 2 * len(lines)
        self._folder.write(_NEXT, _encoded(lines))
        self._folder.flush([_NEXT])
        self._folder.move(_NEXT, self._folder, _FILE)

    def _apply(self, word: str, digest: str, at: float) -> None:
        if word == _USED:
            self._used[digest] = at
        elif word == _BARRED:
            self._barred[digest] = at
        else:
            self._barred.pop(digest, None)

    def _forget(self) -> None:
        for known in (self._used, self._barred):
            for digest in [each for each, at in known.items() if not self._is_recent(at)]:
                del known[digest]

    def _remembered(self) -> Iterator[tuple[str, str, float]]:
        if not self._folder.has(_FILE):
            return
        for line in (self._folder.read(_FILE, _MAX_BYTES).body or b"").splitlines():
            self._lines += 1
            try:  # a line that a crash cut off says nothing
                word, digest, at = line.decode("ascii").split()
                yield word, digest, float(at)
            except ValueError:
                continue


def _digest(stem: str) -> str:
    return hashlib.sha256(os.fsencode(stem)).hexdigest()[:32]


def _encoded(lines: Iterable[tuple[str, str, float]]) -> bytes:
    return "".join(f"{word} {digest} {at:.3f}\n" for word, digest, at in lines).encode("ascii")
