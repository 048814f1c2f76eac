"""
Sees what happens to the files between an EPR and a gateway, whoever does it: Linux's inotify.

    the kernel ──event: folder, name, what──► EprSightings.note_file

That a file was renamed, written in place or read can be seen in no other way: to look again and
again would see whichever state it met. The folders are on this machine's own disk, where inotify
tells everything; over a network it would tell what this side does alone.
"""

import asyncio
import ctypes
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bars_gateway.epr_check.sightings import FileEvent
from bars_gateway.errors import SandboxError

WATCHED = (
    *("outbox/new", "outbox/accepted", "outbox/refused", "inbox/new"),
    *("answers/new", "answers/accepted", "answers/refused", "questions/new"),
)
_EVENTS = {  # as inotify(7) numbers them
    0x001: FileEvent.READ,
    0x002: FileEvent.WRITTEN,
    0x008: FileEvent.CLOSED,
    0x040: FileEvent.RENAMED_OUT,
    0x080: FileEvent.RENAMED_IN,
    0x100: FileEvent.CREATED,
    0x200: FileEvent.REMOVED,
}
_OF_A_FOLDER = 0x40000000
_HEAD = struct.Struct("iIII")  # watch, what, cookie, length of the name
_BYTES = 64 * 1024
_LIBC = ctypes.CDLL(None, use_errno=True)
Note = Callable[[str, str, FileEvent], None]


@contextmanager
def watched(root: Path, folders: Sequence[str], note: Note) -> Iterator[None]:
    """Tell *note* of each event in *folders* below *root*, those that are there, in the block."""
    descriptor = _LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor < 0:
        reason = os.strerror(ctypes.get_errno())
        raise SandboxError(f"nobody can watch folders on this machine (inotify): {reason}")
    loop = asyncio.get_running_loop()
    try:
        there = [each for each in folders if (root / each).is_dir()]
        names = {_added(descriptor, root / each): each for each in there}
        loop.add_reader(descriptor, _read, descriptor, names, note)
        yield
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _added(descriptor: int, folder: Path) -> int:
    watch: int = _LIBC.inotify_add_watch(descriptor, os.fsencode(folder), sum(_EVENTS))
    if watch < 0:
        raise SandboxError(f"{folder} cannot be watched: {os.strerror(ctypes.get_errno())}")
    return watch


def _read(descriptor: int, names: dict[int, str], note: Note) -> None:
    content = os.read(descriptor, _BYTES)
    at = 0
    while at < len(content):
        watch, what, _, length = _HEAD.unpack_from(content, at)
        at += _HEAD.size + length
        name = os.fsdecode(content[at - length : at].rstrip(b"\0"))
        if name and not what & _OF_A_FOLDER and watch in names:
            for bit, event in _EVENTS.items():
                if what & bit:
                    note(names[watch], name, event)
