"""
What the EPR calls its files in outbox/new, what they are called in ours, and which came lately.

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
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import Final

from bars_gateway.epr.spool import Folder

ENVELOPES: Final = ".envelope.json"
CUT: Final = "~"  # stands in every name that was cut, before its mark
_MESSAGES = (".json", ".xml")
_UNFINISHED = (".tmp", ".part", ".partial", ".filepart", ".crdownload", ".swp", ".lock", "~")
_LONGEST_STEM, _LONGEST_ENDING = 170, 20  # bytes
_KEPT = 150  # bytes of a stem that is longer
RECENT_SECONDS: Final = 600.0
_FILE, _NEXT = ".stems", ".stems.next"
_MAX_BYTES = 64 * 1024 * 1024
_MANY = 10_000  # lines
_USED, _BARRED, _FREED = "used", "barred", "freed"


class Sort(StrEnum):
    """What a file is, by its name."""

    MESSAGE = "message"
    ENVELOPE = "envelope"
    UNFINISHED = "unfinished"
    OTHER = "other"


def sort_of(name: str) -> Sort:
    """Return what a file of that name in outbox/new is."""
    plain = name.casefold()
    if plain.startswith(".") or plain.endswith(_UNFINISHED):
        return Sort.UNFINISHED
    if plain.endswith(ENVELOPES):
        return Sort.ENVELOPE
    return Sort.MESSAGE if plain.endswith(_MESSAGES) else Sort.OTHER


def is_told(name: str) -> bool:
    """
    Tell whether somebody is to hear of a file of that name that is not taken.

    A hidden one belongs to the system or to a program, unless it is called as a message is: `.json`
    is what an EPR writes whose NAME is empty.
    """
    return not name.startswith(".") or name.casefold().endswith(_MESSAGES)


def split(name: str) -> tuple[str, str]:
    """Return NAME and its ending with the point: what belongs together has the same NAME."""
    if sort_of(name) is Sort.ENVELOPE:
        return name[: -len(ENVELOPES)], name[-len(ENVELOPES) :]
    stem, point, ending = name.rpartition(".")
    return (stem, point + ending) if stem else (name, "")


def is_xml(name: str) -> bool:
    """Tell whether a message of that name is XML."""
    return name.casefold().endswith(".xml")


def kept(name: str) -> str:
    """Return what *name* is called in our folders: itself, unless that would not fit."""
    stem, ending = split(name)
    if len(os.fsencode(stem)) <= _LONGEST_STEM and len(os.fsencode(ending)) <= _LONGEST_ENDING:
        return name
    mark = hashlib.sha256(os.fsencode(stem)).hexdigest()[:8]
    cut = os.fsencode(stem)[:_KEPT].decode("utf-8", "ignore")
    return f"{cut}{CUT}{mark}{ending if len(os.fsencode(ending)) <= _LONGEST_ENDING else ''}"


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
        self._lines, self._most = 0, _MANY  # before the file is written again
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
        self._lines, self._most = len(lines), _MANY + 2 * len(lines)
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
