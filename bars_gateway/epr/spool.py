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
written there, until it is back (`folders`).

Everything that touches a folder blocks, and is called from a thread.

Decisions: D-folders, D-one-instance.
"""

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

import structlog

from bars_gateway.config.spool_folder import SpoolOwner
from bars_gateway.epr.folders import (
    PRIVATE,
    SHARED,
    Folder,
    SpoolRoot,
    is_of_the_file,
    is_open_elsewhere,
)
from bars_gateway.errors import ConfigurationError
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
_PARENTS = ("outbox", "inbox", "outbox/tmp")  # what others are made in, and what we only make
log = structlog.get_logger(__name__)


class Spool:
    """All folders of one provider, held by a lock until `close`."""

    def __init__(self, root: Path, owner: SpoolOwner) -> None:
        """Create what is missing; raise FolderInUse, or ConfigurationError where that fails."""
        with contextlib.ExitStack() as stack:
            try:
                self.root = SpoolRoot(root, owner)
                stack.callback(self.root.close)
                self.root.make(_PARENTS)
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
        self.root.require_in_place()
        self.root.make(_PARENTS)

    def publish(self, name: str, content: bytes) -> None:
        """Put a file beside the folders, whole; raise ConfigurationError where that fails."""
        try:
            with contextlib.closing(Folder(self.root, ".", SHARED)) as root:
                if root.has(name) and root.may_write(name, content):
                    return
                self.inbox_tmp.write(name, content)
                self.inbox_tmp.flush([name])
                self.inbox_tmp.move(name, root, name)
                root.sync()
        except OSError as error:
            raise ConfigurationError(
                f"spool_dir {self.root.path} cannot be used: {error.strerror} ({name})"
            ) from None

    def close(self) -> None:
        """Let go of the folders and of the lock."""
        self._open.close()

    def _opened(self, name: str, mode: int, stack: contextlib.ExitStack) -> Folder:
        folder = Folder(self.root, name, mode)
        stack.callback(folder.close)
        return folder


class Cause(StrEnum):
    """Why a file cannot be taken."""

    UNREADABLE = "unreadable"
    IRREGULAR = "irregular"
    UNFINISHED = "unfinished"
    FAILING = "failing"
    OPEN_ELSEWHERE = "open_elsewhere"


CURES: Mapping[Cause, str] = {
    Cause.UNREADABLE: "the gateway may not read them: let its group read what the EPR writes"
    " (mode 0640, group bars-gateway-epr)",
    Cause.IRREGULAR: "they are links, folders or pipes, which are never opened: take them away"
    " (`ls -l` shows which), and drop the files themselves",
    Cause.FAILING: "the gateway hits an internal error with them: see its alarm, telephone, and"
    " have them dropped again, as new files; what was taken already is never sent twice",
    Cause.OPEN_ELSEWHERE: "another program has them open, and lets nobody read or move them: let it"
    " close what it has written (on a Windows server, Open Files shows which it is)",
    Cause.UNFINISHED: "they never got their final name: look at the program that writes them",
}


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
        if is_open_elsewhere(error):  # it may be in the middle of it
            self.note(name, Cause.OPEN_ELSEWHERE)
            return
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
