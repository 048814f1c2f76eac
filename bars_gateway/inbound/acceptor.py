"""
Lets callers in, one TLS connection at a time, and says why others were not.

    listener ──accept──► room? ──handshake──► name on the list? ──► Connection
                           │        │                │
                        waits    tls.handshake_failed, tls.client_refused

asyncio's own server says nothing about a handshake that failed, and then nobody can
tell why the proxy does not get through. Here the handshake is awaited, so its error
arrives in our hands, and is logged in our words with the caller's address. Each
connection is met with the identity of the moment, which is all that a reload takes.

What goes wrong with one connection is that connection's end and nobody else's: this is
the one place that keeps going, because a caller who is refused is no reason to stop.
When all connections are in use the next one waits in the kernel's queue, unanswered:
the limit holds before any work is done for a caller whom we do not know.
"""

import asyncio
import select
import socket
import ssl
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import structlog

from bars_gateway.errors import ConfigurationError
from bars_gateway.inbound.connection import Connection, Limits
from bars_gateway.inbound.metrics import InboundMetrics
from bars_gateway.tls import CurrentIdentity

log = structlog.get_logger(__name__)

_NAMES_SHOWN = 5
_BACKLOG = 512


class Failure(StrEnum):
    """Why a connection brought no request, in the operator's words."""

    EXPIRED = "client certificate expired"
    NOT_YET_VALID = "client certificate not yet valid"
    UNKNOWN_ISSUER = "client certificate of an unknown issuer"
    REVOKED = "client certificate revoked"
    WRONG_PURPOSE = "client certificate not meant for clients"
    UNREADABLE = "client certificate unreadable"
    NO_CERTIFICATE = "no client certificate"
    NOT_TRUSTED = "the client did not accept our certificate"
    PLAIN_HTTP = "plain HTTP instead of TLS"
    NO_AGREEMENT = "no TLS version or cipher in common"
    NO_TLS = "no TLS"
    TIMEOUT = "the handshake took too long"
    GONE = "the client closed the connection"
    REFUSED = "client name not on the list"
    FULL = "all connections in use"
    NO_RESOURCES = "no file descriptor or memory for another connection"


# X509_V_ERR_… of OpenSSL
_BY_VERIFY_CODE = {
    2: Failure.UNKNOWN_ISSUER,
    9: Failure.NOT_YET_VALID,
    10: Failure.EXPIRED,
    18: Failure.UNKNOWN_ISSUER,
    19: Failure.UNKNOWN_ISSUER,
    20: Failure.UNKNOWN_ISSUER,
    21: Failure.UNKNOWN_ISSUER,
    23: Failure.REVOKED,
    26: Failure.WRONG_PURPOSE,
}

_BY_REASON = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": Failure.NO_CERTIFICATE,
    "HTTP_REQUEST": Failure.PLAIN_HTTP,
    "HTTPS_PROXY_REQUEST": Failure.PLAIN_HTTP,
    "UNSUPPORTED_PROTOCOL": Failure.NO_AGREEMENT,
    "NO_SHARED_CIPHER": Failure.NO_AGREEMENT,
    "NO_SHARED_SIGNATURE_ALGORITHMS": Failure.NO_AGREEMENT,
    "TLSV1_ALERT_UNKNOWN_CA": Failure.NOT_TRUSTED,
    "SSLV3_ALERT_BAD_CERTIFICATE": Failure.NOT_TRUSTED,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": Failure.NOT_TRUSTED,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": Failure.NOT_TRUSTED,
    "TLSV1_ALERT_PROTOCOL_VERSION": Failure.NO_AGREEMENT,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": Failure.NO_AGREEMENT,
}


def reason_of(error: Exception) -> Failure:
    """Return what a handshake failed of."""
    match error:
        case ssl.SSLCertVerificationError():
            return _BY_VERIFY_CODE.get(error.verify_code, Failure.UNREADABLE)
        case ssl.SSLEOFError():
            return Failure.GONE
        case ssl.SSLError():
            return _BY_REASON.get(error.reason or "", Failure.NO_TLS)
        case ConnectionAbortedError():
            return Failure.TIMEOUT  # asyncio's word for it
        case ValueError():
            return Failure.UNREADABLE
    return Failure.GONE


class Acceptor:
    """A listening socket, and every connection that came in by it."""

    def __init__(
        self,
        *,
        identity: CurrentIdentity,
        connection: Callable[[], Connection],
        limits: Limits,
        metrics: InboundMetrics,
    ) -> None:
        self._identity = identity
        self._connection = connection
        self._limits = limits
        self._metrics = metrics
        self._room = asyncio.Semaphore(limits.max_connections)
        self._open: set[Connection] = set()
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._stopping = False
        self._beat: Callable[[], None] = lambda: None

    def listen(self, host: str, port: int) -> int:
        """Open the listening socket; return its port. Raise ConfigurationError if it cannot be."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        except OSError as error:
            raise ConfigurationError(
                f"inbound.listen: {host} port {port} cannot be used: {error.strerror}"
            ) from error
        self._listener.setblocking(False)
        return int(self._listener.getsockname()[1])

    async def run(self, beat: Callable[[], None] = lambda: None) -> None:
        """
        Serve callers until `stop`, with a *beat* for each; return once the last answer is out.

        That takes no longer than the deadlines of one request: each phase has its own.
        """
        self._beat = beat
        listener = self._listener
        if listener is None:
            raise ConfigurationError("inbound.listen: the acceptor does not listen yet")
        with listener:
            async with asyncio.TaskGroup() as connections:
                accepting = self._accept_each(listener, connections)
                self._accepting = connections.create_task(accepting, name="inbound-acceptor")
                if self._stopping:
                    self.stop()

    def rests(self) -> bool:
        """Tell whether nobody stands at the door, or nobody may come in for now."""
        if self._listener is None or self._stopping or self._room.locked():
            return True
        door = select.poll()
        door.register(self._listener, select.POLLIN)
        return not door.poll(0)

    def stop(self) -> None:
        """Accept nobody else; end what is idle, and the rest after its answer."""
        self._stopping = True
        if self._accepting is not None:
            self._accepting.cancel()  # which closes the listening socket
        for connection in list(self._open):
            connection.finish()

    async def _accept_each(self, listener: socket.socket, connections: asyncio.TaskGroup) -> None:
        with listener:
            while True:
                self._beat()
                await self._wait_for_room()
                accepted = await self._accept(listener)
                if accepted is None:
                    self._room.release()
                    await asyncio.sleep(self._limits.accept_pause_seconds)
                    continue
                connections.create_task(self._serve(*accepted), name="inbound-connection")

    async def _wait_for_room(self) -> None:
        if self._room.locked():
            self._metrics.note_failure(Failure.FULL)
            log.warning("tls.connections_full", count=self._limits.max_connections)
        await self._room.acquire()

    async def _accept(self, listener: socket.socket) -> tuple[socket.socket, str] | None:
        try:
            sock, address = await asyncio.get_running_loop().sock_accept(listener)
        except OSError as error:  # EMFILE and its like: it passes, and those inside go on
            self._metrics.note_failure(Failure.NO_RESOURCES)
            log.warning(
                "tls.accept_paused", reason=Failure.NO_RESOURCES.value, fault=error.strerror
            )
            return None
        return sock, str(address[0])

    async def _serve(self, sock: socket.socket, peer: str) -> None:
        connection = self._connection()
        self._open.add(connection)
        try:
            await self._shake_hands(connection, sock)
            if self._stopping:
                connection.finish()
            if not connection.admitted:
                self._report_refused(connection, peer)
            await connection.lost
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            # A certificate may hold text that Python cannot decode: ValueError.
            self._report_failed(error, peer)
        finally:
            connection.abort()
            self._open.discard(connection)
            self._room.release()

    async def _shake_hands(self, connection: Connection, sock: socket.socket) -> None:
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: connection,
            sock,
            ssl=self._identity.identity.context,
            ssl_handshake_timeout=self._limits.handshake_seconds,
            ssl_shutdown_timeout=self._limits.write_seconds,
        )
        if connection.admitted is None:
            raise ConnectionResetError("the client left during the handshake")

    def _report_refused(self, connection: Connection, peer: str) -> None:
        self._metrics.note_failure(Failure.REFUSED)
        names = ", ".join(sorted(connection.names)[:_NAMES_SHOWN])
        log.warning("tls.client_refused", reason=Failure.REFUSED.value, name=names, peer=peer)

    def _report_failed(self, error: Exception, peer: str) -> None:
        reason = reason_of(error)
        self._metrics.note_failure(reason)
        # Whoever only looks whether the port is open leaves like this, every few seconds.
        report: Any = log.info if reason is Failure.GONE else log.warning
        report("tls.handshake_failed", reason=reason.value, peer=peer)
