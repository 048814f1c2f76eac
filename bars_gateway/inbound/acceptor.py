"""
Lets callers in, one TLS connection at a time, and says why others were not.

    listener ──accept──► room? ──► address? ──handshake──► certificate? ──► Connection
                           │          │          │              │
                         waits   tls.client_refused, tls.handshake_failed

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
import contextlib
import select
import socket
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any

import structlog

from bars_gateway.errors import ConfigurationError
from bars_gateway.inbound.admission import Admission
from bars_gateway.inbound.connection import Connection, Limits
from bars_gateway.inbound.failures import Failure, Refused, reason_of
from bars_gateway.inbound.last_words import kept
from bars_gateway.inbound.load_balancer import caller_address
from bars_gateway.inbound.metrics import InboundMetrics
from bars_gateway.tls.contexts import CurrentIdentity
from bars_gateway.tls.sightings import Sightings
from bars_gateway.unforeseen import unforeseen

log = structlog.get_logger(__name__)

_NAMES_SHOWN = 5
_BACKLOG = 512


class Acceptor:
    """A listening socket, and every connection that came in by it."""

    def __init__(
        self,
        *,
        identity: CurrentIdentity,
        admission: Admission,
        connection: Callable[[], Connection],
        limits: Limits,
        metrics: InboundMetrics,
        sightings: Sightings,
    ) -> None:
        self._identity = identity
        self._sightings = sightings
        self._admission = admission
        self._connection = connection
        self._limits = limits
        self._metrics = metrics
        self._room = asyncio.Semaphore(limits.max_connections)
        self._open: set[Connection] = set()
        self._by_address: Counter[str] = Counter()
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

    @property
    def connections(self) -> Collection[Connection]:
        """The connections that are open, handshakes included."""
        return self._open

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
            sock, address = await next_caller(listener)
        except OSError as error:  # EMFILE and its like: it passes, and those inside go on
            self._metrics.note_failure(Failure.NO_RESOURCES)
            log.warning(
                "tls.accept_paused", reason=Failure.NO_RESOURCES.value, fault=error.strerror
            )
            return None
        return sock, str(address[0])

    async def _serve(self, sock: socket.socket, neighbour: str) -> None:
        try:
            peer = await self._address_of(sock, neighbour)
            if peer is None:
                await self._greet(sock)
                self._report_refused(Failure.PROBE, neighbour)
                return
            self._by_address[peer] += 1
            try:
                self._check_address(peer)
                await self._serve_caller(sock, peer)
            finally:
                self._by_address[peer] -= 1
                if not self._by_address[peer]:
                    del self._by_address[peer]
        except Refused as refused:
            self._report_refused(refused.failure, neighbour)
        except Exception as error:  # unit of work
            what = unforeseen(error)
            log.error("tls.connection_failed", exception=what.exception, place=what.place)
        finally:
            sock.close()  # where asyncio has it, a second time does nothing
            self._room.release()

    async def _greet(self, sock: socket.socket) -> None:
        """Shake hands with a load balancer that looks whether we are there; take no request."""
        loop, probe = asyncio.get_running_loop(), _Probe()
        with contextlib.suppress(OSError), kept(sock) as words:
            try:
                transport, _ = await loop.connect_accepted_socket(  # uvloop gives its own back
                    lambda: probe,
                    sock,
                    ssl=self._identity.identity.probe_context,
                    ssl_handshake_timeout=self._limits.handshake_seconds,
                    ssl_shutdown_timeout=self._limits.shutdown_seconds,
                )
            except OSError:
                await words.say()
                raise
            transport.close()
            await probe.lost

    async def _address_of(self, sock: socket.socket, neighbour: str) -> str | None:
        if not self._admission.speaks_for_others(neighbour):
            return neighbour
        return await caller_address(sock, self._limits.handshake_seconds)

    def _check_address(self, peer: str) -> None:
        if not self._admission.admits_address(peer):
            raise Refused(Failure.ADDRESS)
        if self._by_address[peer] > self._admission.callers.connections_per_address:
            raise Refused(Failure.CROWDED)

    async def _serve_caller(self, sock: socket.socket, peer: str) -> None:
        connection = self._connection()
        connection.peer = peer
        self._open.add(connection)
        try:
            await self._shake_hands(connection, sock)
            if self._stopping:
                connection.finish()
            self._report_judgement(connection)
            if connection.judgement is not None and connection.judgement.refusal is None:
                await self._sightings.note(connection.caller)
            await connection.lost
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            # A certificate may hold text that Python cannot decode: ValueError.
            self._report_failed(error, peer)
        finally:
            connection.abort()
            self._open.discard(connection)

    async def _shake_hands(self, connection: Connection, sock: socket.socket) -> None:
        with kept(sock) as words:
            try:
                await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: connection,
                    sock,
                    ssl=self._identity.identity.context,
                    ssl_handshake_timeout=self._limits.handshake_seconds,
                    ssl_shutdown_timeout=self._limits.shutdown_seconds,
                )
            except (OSError, ValueError):
                await words.say()
                raise
        if connection.judgement is None:
            raise ConnectionResetError("the client left during the handshake")

    def _report_judgement(self, connection: Connection) -> None:
        judgement = connection.judgement
        assert judgement is not None
        name = ", ".join(sorted(connection.caller.names)[:_NAMES_SHOWN])
        if judgement.refusal is not None:
            self._report_refused(judgement.refusal, connection.peer, name)
        elif judgement.remark is not None:
            reason = judgement.remark.value
            log.warning("tls.client_let_in", reason=reason, name=name, peer=connection.peer)

    def _report_refused(self, failure: Failure, peer: str, name: str | None = None) -> None:
        self._metrics.note_failure(failure)
        report: Any = log.debug if failure is Failure.PROBE else log.warning  # every few seconds
        report("tls.client_refused", reason=failure.value, name=name, peer=peer)

    def _report_failed(self, error: Exception, peer: str) -> None:
        reason = reason_of(error)
        self._metrics.note_failure(reason)
        # Whoever only looks whether the port is open leaves like this, every few seconds.
        report: Any = log.debug if reason is Failure.GONE else log.warning
        report("tls.handshake_failed", reason=reason.value, peer=peer)


class _Probe(asyncio.Protocol):
    """A connection that brings no request."""

    def __init__(self) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - of asyncio
        if not self.lost.done():
            self.lost.set_result(None)


async def next_caller(listener: socket.socket) -> tuple[socket.socket, Any]:
    """
    Return who comes next, and from where.

    Cancelled, it has let nobody in: `sock_accept` may lose a connection that it had accepted.
    """
    loop = asyncio.get_running_loop()
    while True:
        knocked = asyncio.Event()
        loop.add_reader(listener, knocked.set)
        try:
            await knocked.wait()
        finally:
            loop.remove_reader(listener)
        with contextlib.suppress(BlockingIOError):  # whoever knocked has left
            sock, address = listener.accept()
            sock.setblocking(False)
            return sock, address
