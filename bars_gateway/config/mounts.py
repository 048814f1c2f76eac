"""
What is mounted where, and how: read from the tables of the machine, and never asked of a server.

    /proc/self/mounts ──► kind and options of what holds a path
    /etc/fstab ─────────► a mount point at which nothing is mounted
"""

import os
from pathlib import Path

NETWORK_FILESYSTEMS = frozenset(
    "9p afs ceph cifs fuse.ceph fuse.glusterfs fuse.sshfs gfs2 glusterfs lustre nfs nfs4 ocfs2"
    " smb3 smbfs".split()
)
SMB = frozenset({"cifs", "smb3"})  # owners and modes are those that the mount names


def mounts_now() -> str:
    """Return /proc/self/mounts as it stands; empty where nobody can tell."""
    try:
        return Path("/proc/self/mounts").read_text("utf-8", "surrogateescape")
    except OSError:  # not Linux, or hidden from us: nothing to judge by
        return ""


def filesystem_of(path: Path, mounts: str) -> str:
    """Return the kind of filesystem that holds *path*, read from /proc/mounts; "" if unknown."""
    return _held_by(path.resolve(), mounts)[1]


def options_of(path: Path, mounts: str) -> frozenset[str]:
    """Return with which options the filesystem that holds *path* is mounted; none if unknown."""
    return frozenset(_held_by(path.resolve(), mounts)[2].split(","))


def _held_by(real: Path, mounts: str) -> tuple[str, str, str]:
    """Return source, kind and options of the filesystem that holds *real*; empty if unknown."""
    best, held = -1, ("", "", "")
    for line in mounts.splitlines():
        source, folder, kind, options, *_ = [*line.split(), "", "", "", ""]
        folder = _unescaped(folder)
        if folder and real.is_relative_to(folder) and len(folder) >= best:
            best, held = len(folder), (source, kind, options)
    return held


def unmounted(path: Path, fstab: str, mounts: str) -> Path | None:
    """
    Return the mount point at or above *path* that *fstab* mounts, and that is not; None: all is.

    What is to be mounted by hand (`noauto`), and what is bound from elsewhere, is left out.
    """
    real = path.resolve()
    for line in fstab.splitlines():
        _, written, _, options, *_ = [*line.split(), "", "", "", ""]
        point = Path(_unescaped(written))
        if line.lstrip().startswith("#") or not point.is_absolute() or point == point.parent:
            continue
        # One that is mounted is not touched: it may be another's share, whose server is silent.
        if {"noauto", "bind", "rbind"} & set(options.split(",")) or _listed(point, mounts):
            continue
        there = Path(os.path.realpath(point))
        if not (real.is_relative_to(there) and there.is_dir()) or _listed(there, mounts):
            continue
        if there.stat().st_dev == there.parent.stat().st_dev:
            return point
    return None


def _listed(point: Path, mounts: str) -> bool:
    """Return whether it has a source of its own: one server's shares may all have one device."""
    # To stand there is not enough: systemd mounts a folder of ReadWritePaths= on itself.
    return _held_by(point, mounts)[:2] != _held_by(point.parent, mounts)[:2]


def _unescaped(folder: str) -> str:
    return folder.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
