"""
What a check asks of the machine itself: clock, limits, disk, names, units.

It stands apart so that a test can have a machine whose clock nobody sets and whose disk
is full, without breaking its own.
"""

import ctypes
import os
import socket
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_UNSYNCHRONISED = 5  # TIME_ERROR of adjtimex(2)
_TIMEX_BYTES = 512  # more than the structure has on any machine; all zero: only ask


def clock_is_set() -> bool | None:
    """Tell whether the kernel knows that somebody sets its clock; None: it does not say."""
    ask = getattr(ctypes.CDLL(None), "adjtimex", None)
    if ask is None:
        return None
    state = ask(ctypes.create_string_buffer(_TIMEX_BYTES))
    return None if state < 0 else state != _UNSYNCHRONISED


def seconds_to_disk(folder: Path) -> float:
    """Return how long it takes until a small file in *folder* is on disk; it is removed again."""
    path = folder / f".doctor-{os.getpid()}"
    begun = time.monotonic()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, b"doctor")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    finally:
        path.unlink(missing_ok=True)
    return time.monotonic() - begun


def addresses_of(host: str) -> frozenset[str]:
    """Return the addresses that *host* leads to; raise OSError where there are none."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return frozenset(str(entry[4][0]) for entry in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The machine that is looked at."""

    clock_is_set: Callable[[], bool | None] = clock_is_set
    seconds_to_disk: Callable[[Path], float] = seconds_to_disk
    addresses_of: Callable[[str], frozenset[str]] = addresses_of
    disk: Callable[[Path], os.statvfs_result] = os.statvfs
    sqlite_version: tuple[int, ...] = sqlite3.sqlite_version_info
    systemd: Path = Path("/run/systemd/system")  # there where systemd manages the machine
    unit: Path = Path("/etc/systemd/system/bars-gateway.service")
    credentials: Path = Path("/run/credentials")
