"""
The file that an EPR connects to, and who is on the other end of it.

The file's owner, group and mode (0660) are the authorisation. The mode is set between
bind and listen, when nobody can connect yet. What a crash left behind is removed, but
only if it is a socket that nobody listens on.
"""

import os
import socket
import stat
import struct
from pathlib import Path

from aiohttp import web

from bars_gateway import permissions
from bars_gateway.errors import ConfigurationError

MODE = 0o660


def bound(path: Path) -> socket.socket:
    """Return a socket bound to *path*; raise ConfigurationError where that is not ours to take."""
    _make_way(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(os.fspath(path))
        path.chmod(MODE)
    except OSError as error:
        listener.close()
        permissions.require_making(path)
        raise ConfigurationError(f"no socket at {path}: {error.strerror or error}") from None
    return listener


def _make_way(path: Path) -> None:
    """Remove a socket that a crash left over; raise ConfigurationError for all else."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConfigurationError(f"{path} exists and is no socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            probe.connect(os.fspath(path))
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        path.unlink(missing_ok=True)
    except OSError as error:
        permissions.require(path, write=True)
        raise ConfigurationError(f"no socket at {path}: {error.strerror or error}") from None
    else:
        raise ConfigurationError(f"another process listens on {path}")


def uid_of(request: web.Request) -> int | None:
    """Return who is on the other end, as the kernel knows it."""
    peer = request.transport.get_extra_info("socket") if request.transport else None
    if peer is None:
        return None
    size = struct.calcsize("3i")
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    uid: int = struct.unpack("3i", credentials)[1]
    return uid
