"""
A disk that forgets what nobody synced: rebuilt from the system calls of a real program.

    openat · pwrite64 · rename … ──► changes of each file and each folder, in order
    fsync · fdatasync · syncfs   ──► how many of them are on disk for certain
    power_cut(root, to) ───────────► those, and nothing else

It is meaner than a real disk. A write counts once its call has ended, and is kept only
where a sync *began* after that. A new name is kept only where its folder was synced, not
already where the file was. The halves of a rename from one folder into another are kept
or lost each by itself. A call that changes files in a way that is not followed here ends
the replay, so that nothing is believed that was not looked at.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tracing import Call

OPTIONS = ("-yy", "-xx", "-s", "9999999")  # every path, and all data, in hexadecimal
HEXADECIMAL = 4  # characters of the trace for each byte
CALLS = (
    "openat,open,creat,write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync,syncfs,rename,"
    "renameat,renameat2,truncate,ftruncate,fallocate,unlink,unlinkat,mkdir,mkdirat,rmdir,link,"
    "linkat,symlink,symlinkat,copy_file_range,sendfile,splice,mmap,sendto,sendmsg"
)
_SYNCS = frozenset({"fsync", "fdatasync", "syncfs"})
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_DESCRIPTOR = re.compile(r"(\w+)<((?:\\x[0-9a-f]{2})+)>(\(deleted\))?")
# A name, below the folder of the descriptor before it, if there is one.
_NAMED = re.compile(rf"(?:\w+<((?:\\x[0-9a-f]{{2}})+)>, )?{_STRING.pattern}")


@dataclass(slots=True, eq=False)
class _File:
    changes: list[tuple[int, bytes | None]] = field(default_factory=list)  # None: cut to there
    synced: int = 0

    def kept(self) -> bytes:
        return self._after(self.synced)

    @property
    def size(self) -> int:
        """How long it is for whoever looks before the power is cut."""
        return len(self._after(len(self.changes)))

    def _after(self, changes: int) -> bytes:
        content = bytearray()
        for offset, data in self.changes[:changes]:
            content.extend(bytes(max(0, offset - len(content))))
            if data is None:
                del content[offset:]
            else:
                content[offset : offset + len(data)] = data
        return bytes(content)


@dataclass(slots=True, eq=False)
class _Folder:
    changes: list[tuple[str, "_File | _Folder | None"]] = field(default_factory=list)
    synced: int = 0

    def kept(self) -> dict[str, "_File | _Folder"]:
        left = dict(self.changes[: self.synced])
        return {name: node for name, node in left.items() if node is not None}


class ForgetfulDisk:
    """The folders *roots*, empty at first, and what became of them, call by call."""

    def __init__(self, *roots: Path, dropped: Mapping[Path, bytes]) -> None:
        """Expect *dropped* to be put there, synced, by somebody else: the program renames it."""
        self._roots = {str(root): _Folder() for root in roots}
        self._nodes: dict[str, _File | _Folder] = dict(self._roots)
        self._dropped = {str(path): body for path, body in dropped.items()}
        self._positions: dict[str, int] = {}
        self._syncing: dict[str, list[tuple[_File | _Folder, int]]] = {}
        self._followed = {
            "openat": self._opened,
            "write": self._written,
            "pwrite64": self._written,
            "ftruncate": self._cut,
            "mmap": self._mapped,
            "mkdir": self._made,
            "mkdirat": self._made,  # what Debian 13 makes of a mkdir
            "rename": self._renamed,
            "renameat": self._renamed,
            "unlink": self._removed,
            "unlinkat": self._removed,
        }

    def follow(self, call: Call) -> None:
        """Take in one half of a call."""
        if call.name in _SYNCS:
            self._sync(call)
        elif call.succeeded:
            self._followed.get(call.name, self._other)(call)

    def power_cut(self, root: Path, to: Path) -> None:
        """Write what is left of *root* below *to*."""
        self._rebuild(self._roots[str(root)], to)

    def _rebuild(self, folder: _Folder, to: Path) -> None:
        to.mkdir(parents=True, exist_ok=True)
        for name, node in folder.kept().items():
            if isinstance(node, _Folder):
                self._rebuild(node, to / name)
            else:
                (to / name).write_bytes(node.kept())

    def _sync(self, call: Call) -> None:
        if not call.ended:
            covered = self._nodes.values() if call.name == "syncfs" else self._node(call)
            self._syncing[call.thread] = [(node, len(node.changes)) for node in covered]
        elif call.succeeded:
            for node, count in self._syncing.pop(call.thread):
                node.synced = max(node.synced, count)

    def _node(self, call: Call) -> list["_File | _Folder"]:
        """Return the file or folder of the call's descriptor, if it is one of ours."""
        _, path = _descriptor(call.text)
        return [self._nodes[path]] if path in self._nodes else []

    def _ours(self, path: str) -> bool:
        return any(path.startswith(f"{root}/") for root in self._roots)

    def _link(self, path: str, node: "_File | _Folder | None") -> None:
        """Give *node* that name, or take the name away."""
        folder, name = os.path.split(path)
        self._nodes[folder].changes.append((name, node))
        if node is None:
            del self._nodes[path]
        else:
            self._nodes[path] = node

    def _opened(self, call: Call) -> None:
        descriptor, path = _descriptor(call.text.rpartition(" = ")[2])
        self._positions[descriptor] = 0
        if self._ours(path) and "O_CREAT" in call.text and path not in self._nodes:
            self._link(path, _File())
        if "O_TRUNC" in call.text and path in self._nodes:
            self._nodes[path].changes.append((0, None))
        node = self._nodes.get(path)
        if "O_APPEND" in call.text and isinstance(node, _File):  # one descriptor at a time
            self._positions[descriptor] = node.size

    def _written(self, call: Call) -> None:
        descriptor, _ = _descriptor(call.text)
        count = int(call.text.rpartition(" = ")[2])
        for file in self._node(call):
            offset = self._positions.get(descriptor, 0)
            if call.name == "pwrite64":
                offset = _last_number(call)
            else:
                self._positions[descriptor] = offset + count
            file.changes.append((offset, _bytes(_STRING.search(call.text)[1])[:count]))

    def _cut(self, call: Call) -> None:
        for file in self._node(call):
            file.changes.append((_last_number(call), None))

    def _mapped(self, call: Call) -> None:
        # Connections find one another in the -shm; SQLite makes it again from the log.
        if "PROT_WRITE" in call.text and "MAP_SHARED" in call.text:
            _, path = _descriptor(call.text)
            assert path.endswith("-shm") or not self._ours(path), path

    def _made(self, call: Call) -> None:
        (path,) = names(call)
        if self._ours(path):
            self._link(path, _Folder())

    def _renamed(self, call: Call) -> None:
        source, target = names(call)
        if not self._ours(target):
            return
        if source not in self._nodes:  # somebody else's
            file = _File([(0, self._dropped[source])], synced=1)
            place, name = os.path.split(source)
            folder = self._nodes[place]
            folder.changes.insert(0, (name, file))
            folder.synced += 1
            self._nodes[source] = file
        node = self._nodes[source]
        self._link(source, None)
        self._link(target, node)

    def _removed(self, call: Call) -> None:
        (path,) = names(call)
        if path in self._nodes:
            self._link(path, None)

    def _other(self, call: Call) -> None:
        _, path = _descriptor(call.text)
        touched = [name for name in (path, *names(call)) if self._ours(name)]
        assert not touched, f"{call.name} of {touched} is not followed"


def _bytes(hexadecimal: str) -> bytes:
    return bytes.fromhex(hexadecimal.replace("\\x", ""))


def _descriptor(text: str) -> tuple[str, str]:
    """Return number and path of the first descriptor; no path where its file is removed."""
    found = _DESCRIPTOR.search(text)
    if found is None:
        return "", ""
    number, path, deleted = found.groups()
    return number, "" if deleted else os.fsdecode(_bytes(path))


def names(call: Call) -> list[str]:
    """Return the paths that the call names."""
    return [
        str(Path(os.fsdecode(_bytes(folder or ""))) / os.fsdecode(_bytes(name)))
        for folder, name in _NAMED.findall(call.text)
    ]


def _last_number(call: Call) -> int:
    """Return the call's last argument: an offset, a length."""
    return int(call.text.rpartition(")")[0].replace("(", ", ").rpartition(", ")[2])
