"""
Lets callers in, one TLS connection at a time, and says why others were not.

    listener ──accept──► room? ──► address? ──handshake──► certificate? ──► CallerConnection
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

A load balancer that passes TLS through hides the caller's address behind its own. It can say the
real one before the first byte of TLS (PROXY protocol, version 2); from those that are named in the
settings that is demanded, and from nobody else is it read: it proves nothing. A connection that it
opens for itself, to see whether we are there, is `LOCAL`: it brings no caller, gets a handshake
that asks for no certificate, and is closed after that.

A stop waits for requests, and for nobody who has not come to one: a handshake that is not over, and
a load balancer that has not said for whom it calls, are called off (`_strangers`).

A caller whom TLS refuses gets its alert (`LastWords`). Without it the caller's desk sees a
connection that was reset, which may mean anything, and the live proxy tells its Sender 502 where an
alert makes it 503. By the time that anybody hears of the failure asyncio has emptied its buffers
and closed its socket: so the context of our certificate notes the alert (`tls.SpeakingContext`),
and a second descriptor is kept.
"""

import asyncio
import contextlib
import select
import socket
import ssl
from collections import Counter as Tally
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any, cast

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram

from bars_gateway import listeners
from bars_gateway.errors import ConfigurationError, unforeseen
from bars_gateway.inbound.connection import (
    Admission,
    CallerConnection,
    CallerRefused,
    Failure,
    InboundLimits,
    reason_of,
)
from bars_gateway.tls.contexts import AuthorityOutOfForce, CurrentIdentity, last_words
from bars_gateway.tls.sightings import Sightings

log = structlog.get_logger(__name__)

# The standard wants nine answers of ten within 2.1 s and all within 5 s.
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.1, 4.5, 5.0, 10.0)
LINGER_SECONDS = 1.0  # for the caller to read it, and to stop sending
_DRAINED_BYTES = 64 * 1024  # of what it still sends: unread, they would reset the connection
_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_VERSION_1 = b"PROXY "
_LOCAL, _PROXIED = 0x20, 0x21
_ADDRESS_BYTES = {0x11: 4, 0x21: 16}  # TCP over IPv4, over IPv6: two addresses, two ports
_LONGEST = 1024  # bytes after the first 16: addresses, and extensions that are passed over
_NAMES_SHOWN = 5
_BACKLOG = 512


class InboundMetrics:
    """Counts since the start; answers also as metrics in *registry*."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.answered: Tally[int] = Tally()  # requests by HTTP status
        self.failures: Tally[str] = Tally()  # connections without a request, by reason
        self._requests = Counter(
            "bars_inbound_requests",
            "Requests answered, by HTTP status.",
            ["http_status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "bars_inbound_seconds",
            "From the header of a request to its answer, in seconds.",
            buckets=_SECONDS,
            registry=registry,
        )

    def note_answer(self, http_status: int, seconds: float) -> None:
        """Count one answered request."""
        self.answered[http_status] += 1
        self._requests.labels(http_status).inc()
        self._seconds.observe(seconds)

    def note_failure(self, reason: str) -> None:
        """Count one connection that brought no request, or had to wait for room."""
        self.failures[reason] += 1


class LastWords:
    """What is left to say to one caller."""

    def __init__(self, sock: socket.socket, noted: list[bytes]) -> None:
        self._socket = sock
        self._noted = noted

    async def say(self) -> None:
        """Send what the handshake had written and could not send; never raises OSError."""
        words = b"".join(self._noted)
        if not words:
            return
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                await loop.sock_sendall(self._socket, words)
                self._socket.shutdown(socket.SHUT_WR)
                left = _DRAINED_BYTES
                while left > 0 and (chunk := await loop.sock_recv(self._socket, left)):
                    left -= len(chunk)


@contextmanager
def kept(sock: socket.socket) -> Iterator[LastWords]:
    """Note what a handshake on *sock* says at its end, and keep a way to its caller meanwhile."""
    noted: list[bytes] = []
    token = last_words.set(noted)
    spare = sock.dup()
    spare.setblocking(False)
    try:
        yield LastWords(spare, noted)
    finally:
        spare.close()  # the connection itself goes on, if it came to one
        last_words.reset(token)


async def caller_address(sock: socket.socket, seconds: float) -> str | None:
    """
    Return the caller's address; None for a load balancer's own check.

    Raises CallerRefused where the load balancer does not say for whom it calls.
    """
    try:
        async with asyncio.timeout(seconds):
            return await _said(sock)
    except (TimeoutError, ConnectionError) as error:
        raise CallerRefused(Failure.NO_ADDRESS) from error


async def _said(sock: socket.socket) -> str | None:
    head = await _exactly(sock, 16)
    if head.startswith(_VERSION_1):
        raise CallerRefused(Failure.OLD_PROXY_PROTOCOL)
    length = int.from_bytes(head[14:16])
    if head[:12] != _SIGNATURE or length > _LONGEST:
        raise CallerRefused(Failure.NO_ADDRESS)
    rest = await _exactly(sock, length)
    if head[12] == _LOCAL:
        return None
    size = _ADDRESS_BYTES.get(head[13], 0)
    if head[12] != _PROXIED or not size or length < 2 * size + 4:
        raise CallerRefused(Failure.NO_ADDRESS)
    return str(ip_address(rest[:size]))


async def _exactly(sock: socket.socket, count: int) -> bytes:
    """Read no byte more than *count*: the next one is TLS."""
    read = b""
    while len(read) < count:
        chunk = await asyncio.get_running_loop().sock_recv(sock, count - len(read))
        if not chunk:
            raise CallerRefused(Failure.NO_ADDRESS)
        read += chunk
    return read


class Acceptor:
    """A listening socket, and every connection that came in by it."""

    def __init__(
        self,
        *,
        identity: CurrentIdentity,
        admission: Admission,
        connection: Callable[[], CallerConnection],
        limits: InboundLimits,
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
        self._open: set[CallerConnection] = set()
        self._strangers: dict[asyncio.Task[Any], CallerConnection | None] = {}  # not yet met
        self._by_address: Tally[str] = Tally()
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._stopping = False
        self._beat: Callable[[], None] = lambda: None

    def listen(self, host: str, port: int) -> int:
        """Open the listening socket; return its port. Raise AddressUnusable if it cannot be."""
        self._listener = listeners.opened("inbound.listen", host, port, _BACKLOG)
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
    def connections(self) -> Collection[CallerConnection]:
        """The connections that are open, handshakes included."""
        return self._open

    def stop(self) -> None:
        """Accept nobody else; end what is idle or not yet met, and the rest after its answer."""
        self._stopping = True
        if self._accepting is not None:
            self._accepting.cancel()  # which closes the listening socket
        for task, connection in self._strangers.items():
            # Its request may have come with the last of the handshake, before the task knows.
            if connection is None or connection.judgement is None:
                task.cancel()
        for connection in list(self._open):
            connection.finish()

    @contextmanager
    def _not_yet_met(self, connection: CallerConnection | None = None) -> Iterator[None]:
        """Let `stop` call off what is awaited here: no request can be under way."""
        task = asyncio.current_task()
        assert task is not None
        self._strangers[task] = connection
        try:
            yield
        finally:
            del self._strangers[task]

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
            if self._stopping:
                return  # let in at the last moment
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
        except CallerRefused as refused:
            self._report_refused(refused.failure, neighbour)
        except Exception as error:  # unit of work
            what = unforeseen(error)
            log.error("tls.connection_failed", exception=what.exception, place=what.place)
        finally:
            sock.close()  # where asyncio has it, a second time does nothing
            self._room.release()

    async def _greet(self, sock: socket.socket) -> None:
        """Shake hands with a load balancer that looks whether we are there; take no request."""
        probe, identity = _Probe(), self._identity.identity
        with contextlib.suppress(OSError), kept(sock) as words:
            try:
                with self._not_yet_met():
                    transport = await self._over_tls(probe, sock, identity.probe_context)
            except OSError:
                await words.say()
                raise
            else:
                transport.close()
                await probe.lost
            finally:
                probe.abort()

    async def _address_of(self, sock: socket.socket, neighbour: str) -> str | None:
        if not self._admission.speaks_for_others(neighbour):
            return neighbour
        with self._not_yet_met():
            return await caller_address(sock, self._limits.handshake_seconds)

    def _check_address(self, peer: str) -> None:
        if not self._admission.admits_address(peer):
            raise CallerRefused(Failure.ADDRESS)
        if self._by_address[peer] > self._admission.callers.connections_per_address:
            raise CallerRefused(Failure.CROWDED)

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
            self._report_left(connection)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            # A certificate may hold text that Python cannot decode: ValueError.
            self._report_failed(error, peer)
        finally:
            connection.abort()
            self._open.discard(connection)

    async def _shake_hands(self, connection: CallerConnection, sock: socket.socket) -> None:
        with kept(sock) as words:
            try:
                with self._not_yet_met(connection):
                    await self._over_tls(connection, sock, self._identity.identity.context)
            except (OSError, ValueError):
                await words.say()
                raise
        if connection.judgement is None:
            raise ConnectionResetError("the client left during the handshake")

    async def _over_tls(
        self, protocol: asyncio.Protocol, sock: socket.socket, context: ssl.SSLContext
    ) -> asyncio.BaseTransport:
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(  # uvloop: its own
            lambda: protocol,
            sock,
            ssl=context,
            ssl_handshake_timeout=self._limits.handshake_seconds,
            ssl_shutdown_timeout=self._limits.shutdown_seconds,
        )
        return transport

    def _report_judgement(self, connection: CallerConnection) -> None:
        judgement = connection.judgement
        assert judgement is not None
        name = ", ".join(sorted(connection.caller.names)[:_NAMES_SHOWN])
        if judgement.refusal is not None:
            self._report_refused(judgement.refusal, connection.peer, name)
        elif judgement.remark is not None:
            reason = judgement.remark.value
            log.warning("tls.client_let_in", reason=reason, name=name, peer=connection.peer)

    def _report_left(self, connection: CallerConnection) -> None:
        judgement = connection.judgement
        if judgement is None or judgement.refusal is not None or not connection.has_left:
            return
        self._metrics.note_failure(Failure.LEFT)
        name = ", ".join(sorted(connection.caller.names)[:_NAMES_SHOWN])
        log.info("tls.client_left", reason=Failure.LEFT.value, name=name, peer=connection.peer)

    def _report_refused(self, failure: Failure, peer: str, name: str | None = None) -> None:
        self._metrics.note_failure(failure)
        report: Any = log.debug if failure is Failure.PROBE else log.warning  # every few seconds
        report("tls.client_refused", reason=failure.value, name=name, peer=peer)

    def _report_failed(self, error: Exception, peer: str) -> None:
        reason = reason_of(error)
        self._metrics.note_failure(reason)
        # Whoever only looks whether the port is open leaves like this, every few seconds.
        report: Any = log.debug if reason is Failure.GONE else log.warning
        name = error.name if isinstance(error, AuthorityOutOfForce) else None
        report("tls.handshake_failed", reason=reason.value, name=name, peer=peer)


class _Probe(asyncio.Protocol):
    """A connection that brings no request."""

    def __init__(self) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def abort(self) -> None:
        """End at once, also where the handshake was over as it was called off."""
        if self._transport is not None:
            self._transport.abort()

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
