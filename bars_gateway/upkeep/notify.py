"""
Tells the service manager how the gateway is: ready, stopping, alive.

    Notifier ──READY=1 · STATUS=… · WATCHDOG=1 · STOPPING=1──► the socket that NOTIFY_SOCKET names

It is systemd's protocol: one datagram for each report, lines of `NAME=value`. Without
that socket nothing is sent, so a gateway at a terminal behaves the same. A report that
does not arrive is logged and forgotten: it is the manager's to miss it, and no reason
to leave the EPR unserved.

The surprising choice: written here rather than taken from a library, because the whole
protocol is one call, and what speaks for the watchdog should be readable at one look.
"""

import socket
from pathlib import PurePosixPath

import structlog

log = structlog.get_logger(__name__)

_SEND_SECONDS = 0.5  # a datagram of this size goes at once, or the manager does not read


class Notifier:
    """Speaks to the service manager at *address*, or to nobody where that is None or empty."""

    def __init__(self, address: str | None) -> None:
        self._address = address or None

    def tell(self, *assignments: str) -> None:
        """
        Send *assignments*, such as ``"READY=1", "STATUS=receiving"``, in one datagram.

        A line break in one of them would begin another assignment, so it becomes a space.
        """
        if self._address is None:
            return
        report = "\n".join(" ".join(one.splitlines()) for one in assignments)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(_SEND_SECONDS)
                sender.sendto(report.encode(), _place(self._address))
        except OSError as error:
            log.warning("daemon.report_lost", fault=error.strerror or type(error).__name__)


def _place(address: str) -> str:
    """Return the socket's address for Python: a leading @ stands for the abstract namespace."""
    if address.startswith("@"):
        return f"\0{address[1:]}"
    if not PurePosixPath(address).is_absolute():
        raise OSError(None, "NOTIFY_SOCKET names no socket of this machine")
    return address
