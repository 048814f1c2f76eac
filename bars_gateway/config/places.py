"""
What lies where a file, a folder or a socket of ours belongs, and is none.

    path of a setting ──► nothing │ Fault: what is needed there, what is there, and the cure

SQLite, the kernel and OpenSSL say of it no more than that they could not open something.
"""

import stat
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from bars_gateway.config.values import Fault

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFREG: "a file",
    stat.S_IFSOCK: "a socket",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFLNK: "a link that leads to nothing",
}


class Wanted(Enum):
    """What belongs at a place, once it is there."""

    FILE = stat.S_IFREG
    FOLDER = stat.S_IFDIR
    SOCKET = stat.S_IFSOCK

    def __str__(self) -> str:
        """Return it in words."""
        return _KINDS[self.value]


def misplaced(key: tuple[str, ...], path: Path, wanted: Wanted) -> Iterator[Fault]:
    """Yield what lies at *path*, or on the way to it, and keeps *wanted* from being there."""
    way = [(each, Wanted.FOLDER) for each in reversed(path.parents)]
    for place, belongs in [*way, (path, wanted)]:
        kind = _kind(place)
        if kind not in {None, belongs.value}:
            at = "there" if place == path else f"at {place}"
            cause = f"needs {wanted} at {path}, and {at} is {_KINDS.get(kind or 0, 'a device')}"
            yield Fault(key=key, cause=cause, cure="Move that away, or name another place.")
            return


def _kind(path: Path) -> int | None:
    """Return what is at *path*; None where nothing is, or nothing can be seen."""
    try:
        return stat.S_IFMT(path.stat().st_mode)
    except FileNotFoundError:
        return stat.S_IFLNK if path.is_symlink() else None
    except OSError:
        return None
