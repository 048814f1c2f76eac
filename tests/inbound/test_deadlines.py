import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_network

import left_open
import pytest
from handshakes import ByHand, is_hung_up_on
from inbound_callers import (
    CORRELATION_ID,
    PROXY,
    REQUEST_ID,
    Receiver,
    Waiting,
    calling,
    eventually,
    post,
    serving,
)
from structlog.testing import capture_logs

from bars_gateway.inbound.acceptor import Failure
from bars_gateway.inbound.connection import CallerJudgement, Callers, InboundLimits
from bars_gateway.inbound.exchange import InboundRequest, Reply
from bars_gateway.inbound.server import InboundServer
from bars_gateway.tls.contexts import Caller, Identity

LATE = 5  # seconds; the deadlines below are shorter, the shipped ones longer


@dataclass
class Sleeping:
    """An Answerer that never comes to an answer, and says when it was called off."""

    called_off: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, request: InboundRequest) -> Reply:
        """Wait until cancelled."""
        try:
            await asyncio.Event().wait()
        finally:
            self.called_off.set()
        raise AssertionError


def test_an_idle_connection_outlives_the_proxys_own():
    """The proxy drops its connections after 60 s: ours must not be the first to go."""
    assert InboundLimits().idle_seconds > 60


def test_the_answer_comes_before_the_standards_limit():
    """A Receiver has 5 s, and some of them are the way's."""
    assert InboundLimits().answer_within_seconds < 5


async def test_a_caller_that_says_nothing_in_tls_is_cut_off(identity: Identity):
    """A connection without a handshake ends, and is seen."""
    async with (
        serving(Receiver(), identity, limits=InboundLimits(handshake_seconds=0.2)) as server,
        calling(server.port, None) as caller,
    ):
        await caller.rest()
        await eventually(lambda: server.failures)

    assert {Failure.TIMEOUT: 1} == server.failures


async def test_a_dripped_handshake_is_cut_off(identity: Identity, proxy: ssl.SSLContext):
    """Bytes now and then do not buy time."""
    async with (
        serving(Receiver(), identity, limits=InboundLimits(handshake_seconds=0.2)) as server,
        calling(server.port, None) as caller,
    ):
        seconds = await caller.drip(greeting_of(proxy))
        await eventually(lambda: server.failures)

    assert 0.2 <= seconds < LATE
    assert {Failure.TIMEOUT: 1} == server.failures


async def test_a_caller_that_sends_no_header_is_cut_off(identity: Identity, proxy: ssl.SSLContext):
    """A connection is for a request."""
    async with (
        serving(Receiver(), identity, limits=InboundLimits(header_seconds=0.2)) as server,
        calling(server.port, proxy) as caller,
    ):
        seconds = await caller.drip(b"")

    assert 0.1 <= seconds < LATE


async def test_a_dripped_header_is_cut_off(identity: Identity, proxy: ssl.SSLContext):
    """The time counts from the connection, not from the last byte."""
    receiver = Receiver()
    async with (
        serving(receiver, identity, limits=InboundLimits(header_seconds=0.2)) as server,
        calling(server.port, proxy) as caller,
    ):
        seconds = await caller.drip(post())

    assert 0.1 <= seconds < LATE
    assert [] == receiver.requests


async def test_the_header_of_a_later_request_has_the_same_time(
    identity: Identity, proxy: ssl.SSLContext
):
    """On a connection that is kept, the time counts from the request's first byte."""
    with capture_logs() as events:
        async with (
            serving(Receiver(), identity, limits=InboundLimits(header_seconds=0.2)) as server,
            calling(server.port, proxy) as caller,
        ):
            await caller.ask(post())
            seconds = await caller.drip(post())

    assert 0.1 <= seconds < LATE
    assert ["127.0.0.1"] == [e["peer"] for e in events if e["event"] == "inbound.header_late"]


async def test_a_header_dripped_during_a_request_does_not_cost_its_answer(
    identity: Identity, proxy: ssl.SSLContext
):
    """The request before is answered; then the connection is closed."""
    waiting = Waiting()
    async with (
        serving(waiting, identity, limits=InboundLimits(header_seconds=0.1)) as server,
        calling(server.port, proxy) as caller,
    ):
        await caller.send(post())
        await waiting.asked.wait()
        await caller.send(b"POST ")
        await asyncio.sleep(0.2)
        waiting.may_answer.set()
        answer = await caller.answer()
        rest = await caller.rest()

    assert 200 == answer.status
    assert b"" == rest


async def test_a_kept_connection_may_idle_longer_than_a_header_takes(
    identity: Identity, proxy: ssl.SSLContext
):
    """Idling and dawdling are different things, and have different limits."""
    async with (
        serving(Receiver(), identity, limits=InboundLimits(header_seconds=0.1)) as server,
        calling(server.port, proxy) as caller,
    ):
        await caller.ask(post())
        await asyncio.sleep(0.25)
        answer = await caller.ask(post())

    assert 200 == answer.status


async def test_an_idle_connection_ends(identity: Identity, proxy: ssl.SSLContext):
    """Nobody keeps a connection for ever."""
    async with (
        serving(Receiver(), identity, limits=InboundLimits(idle_seconds=0.2)) as server,
        calling(server.port, proxy) as caller,
    ):
        await caller.ask(post())
        seconds = await caller.drip(b"")

    assert 0.1 <= seconds < LATE


async def test_a_connection_that_has_ended_does_not_linger(
    identity: Identity, proxy: ssl.SSLContext
):
    """A caller that has not noticed would lose its next request in it, as long as it is open."""
    limits = InboundLimits(idle_seconds=0.2)
    async with serving(Receiver(), identity, limits=limits) as server:
        seconds = await asyncio.to_thread(lingering, server.port, proxy)

    assert seconds < limits.shutdown_seconds + 1


def lingering(port: int, context: ssl.SSLContext) -> float:
    """Return how long TCP stays open after TLS has ended, to a caller that says no goodbye."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        plain = sock.dup()
        with plain, context.wrap_socket(sock, server_hostname="localhost") as connection:
            connection.sendall(post())
            while connection.recv(10_000):
                pass
            ended = time.monotonic()
            with contextlib.suppress(ConnectionError):
                plain.recv(1000)
            return time.monotonic() - ended


async def test_a_stop_waits_for_no_goodbye(identity: Identity, proxy: ssl.SSLContext):
    """An idle caller that does not answer costs a second, and not ten."""
    async with serving(Receiver(), identity) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as sock:
            wrapped = partial(proxy.wrap_socket, sock, server_hostname="localhost")
            with await asyncio.to_thread(wrapped):
                await eventually(lambda: server.connections)
                began = time.monotonic()
                server.stop()
                await eventually(lambda: not server.connections)
                seconds = time.monotonic() - began

    assert seconds < InboundLimits().shutdown_seconds + 1


@pytest.fixture(params=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    """Return what runs a test as the daemon runs: on either loop."""
    factory = None
    if request.param == "uvloop":
        factory = pytest.importorskip("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as made:
        yield made


def greeting_of(context: ssl.SSLContext) -> bytes:
    """Return the ClientHello of a caller."""
    outgoing = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


GREETING = greeting_of(ssl.create_default_context())
ANNOUNCED = b"\r\n\r\n\x00\r\nQUIT\n"  # how a load balancer begins
PROBE = ANNOUNCED + b"\x20\x00\x00\x00"
FOR_ANOTHER = ANNOUNCED + b"\x21\x11\x00\x0c" + bytes([192, 0, 2, 9] * 2) + b"\x30\x39\x20\xfb"
DIRECT = Callers(names=(PROXY,))
BALANCED = Callers(names=(PROXY,), load_balancers=(ip_network("127.0.0.1"),))
UNMET = {  # what somebody says who breaks off before there is a request
    "nothing": (DIRECT, b""),
    "half a greeting": (DIRECT, half(GREETING)),
    "of a load balancer: nothing": (BALANCED, b""),
    "half of how it begins": (BALANCED, half(ANNOUNCED)),
    "half of an address": (BALANCED, FOR_ANOTHER[:-10]),
    "an address": (BALANCED, FOR_ANOTHER),
    "an address, half a greeting": (BALANCED, FOR_ANOTHER + half(GREETING)),
    "a probe": (BALANCED, PROBE),
    "a probe, half a greeting": (BALANCED, PROBE + half(GREETING)),
}


@pytest.mark.parametrize(("callers", "said"), UNMET.values(), ids=UNMET)
def test_a_stop_waits_for_no_handshake(
    runner: asyncio.Runner, identity: Identity, callers: Callers, said: bytes
):
    """Whoever only looks whether the port is open, or breaks off, holds up no restart."""
    assert b"" == runner.run(heard_of_a_stop(identity, callers, said))


async def heard_of_a_stop(identity: Identity, callers: Callers, said: bytes) -> bytes:
    """Return what a caller that says no more hears, from the stop to the server's end."""
    with capture_logs() as events:
        async with asyncio.timeout(LATE):
            async with (
                serving(
                    Receiver(),
                    identity,
                    callers=callers,
                    limits=InboundLimits(handshake_seconds=600),
                ) as server,
                calling(server.port, None) as caller,
            ):
                await caller.send(said)
                await eventually(server.rests)  # it has been let in
                await asyncio.sleep(0.05)  # and what it said has been read
                server.stop()
                rest = await caller.rest()

    assert [] == [event for event in events if event["log_level"] != "info"]
    return rest


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("said", [b"", PROBE], ids=["a caller", "a probe"])
async def test_a_handshake_that_ends_as_the_stop_comes_leaves_no_connection(
    identity: Identity, proxy: ssl.SSLContext, said: bytes, turns: int
):
    """At whatever turn of the loop: none is half closed, in the hands of nobody, at the end."""
    async with serving(Receiver(), identity, callers=BALANCED if said else DIRECT) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.setblocking(False)
            client.send(said)
            client.send(await ByHand(client, proxy, "localhost").all_but_the_end())
            for _ in range(turns):
                await asyncio.sleep(0)
            server.stop()
            await is_hung_up_on(client)

    assert [] == left_open.connections(asyncio.get_running_loop())


async def test_a_request_that_comes_with_the_end_of_the_handshake_has_its_answer(
    identity: Identity, proxy: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
):
    """The stop finds it under way, before whoever waits for the handshake knows of its end."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = proxy.wrap_bio(incoming, outgoing, server_hostname="localhost")
    async with serving(Receiver(), identity) as server, calling(server.port, None) as caller:
        monkeypatch.setattr(server.admission, "judge", stopping(server))
        while not shaken(tls):
            await caller.send(outgoing.read())
            incoming.write(await caller.reader.read(65536))
        tls.write(post())
        await caller.send(outgoing.read())  # in one segment with the last of the handshake
        incoming.write(await caller.rest())

    assert b"HTTP/1.1 200 OK" == tls.read(65536).partition(b"\r\n")[0]


def stopping(server: InboundServer) -> Callable[[Caller], CallerJudgement]:
    """Return a judge that has *server* stop next, before anything that is scheduled later."""
    judge = server.admission.judge

    def stops_and_judges(caller: Caller) -> CallerJudgement:
        asyncio.get_running_loop().call_soon(server.stop)
        return judge(caller)

    return stops_and_judges


def shaken(tls: ssl.SSLObject) -> bool:
    """Tell whether a caller's own half of the handshake is over."""
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


async def test_idling_ends_with_the_first_byte_of_a_request(
    identity: Identity, proxy: ssl.SSLContext
):
    """A request that has begun is not cut off because the connection idled before."""
    limits = InboundLimits(idle_seconds=0.2, header_seconds=1)
    async with (
        serving(Receiver(), identity, limits=limits) as server,
        calling(server.port, proxy) as caller,
    ):
        await caller.ask(post())
        await asyncio.sleep(0.1)
        await caller.send(post()[:10])
        await asyncio.sleep(0.3)
        answer = await caller.ask(post()[10:])

    assert 200 == answer.status


async def test_a_dripped_body_is_answered_408(identity: Identity, proxy: ssl.SSLContext):
    """The caller hears of it, with its ids, and the connection is closed."""
    limits = InboundLimits(body_seconds=0.2, linger_seconds=0.1)
    receiver = Receiver()
    async with (
        serving(receiver, identity, limits=limits) as server,
        calling(server.port, proxy) as caller,
    ):
        answer = await caller.ask(post(b"x" * 50)[:-10])
        seconds = await caller.drip(b"x" * 9)

    assert 408 == answer.status
    assert REQUEST_ID == answer.headers["X-Request-Id"]
    assert "close" == answer.headers["Connection"]
    assert b'"REC_TIMEOUT"' in answer.body
    assert seconds < LATE
    assert [] == receiver.requests


async def test_an_answer_that_is_late_is_408(identity: Identity, proxy: ssl.SSLContext):
    """The Sender is told in time to come again, and the Answerer is called off."""
    sleeping = Sleeping()
    async with (
        serving(sleeping, identity, limits=InboundLimits(answer_within_seconds=0.1)) as server,
        calling(server.port, proxy) as caller,
    ):
        answer = await caller.ask(post())
        called_off = sleeping.called_off.is_set()

    assert 408 == answer.status
    assert b'"REC_TIMEOUT"' in answer.body
    assert b'"timeout"' in answer.body
    assert REQUEST_ID == answer.headers["X-Request-Id"]
    assert CORRELATION_ID == answer.headers["X-Correlation-Id"]
    assert called_off


async def test_the_time_of_the_body_is_not_the_answers(identity: Identity, proxy: ssl.SSLContext):
    """The answer's time counts from the last byte of the body."""
    receiver = Receiver()
    async with (
        serving(receiver, identity, limits=InboundLimits(answer_within_seconds=0.1)) as server,
        calling(server.port, proxy) as caller,
    ):
        await caller.send(post()[:-1])
        await asyncio.sleep(0.2)
        answer = await caller.ask(post()[-1:])

    assert 200 == answer.status


async def test_an_answer_that_nobody_takes_is_given_up(identity: Identity, proxy: ssl.SSLContext):
    """A caller that asks and asks and never reads cannot hold its connection for ever."""
    receiver = Receiver(body=b"x" * 30_000_000)
    with capture_logs() as events:
        async with (
            serving(receiver, identity, limits=InboundLimits(write_seconds=0.2)) as server,
            calling(server.port, proxy) as caller,
        ):
            caller.writer.transport.pause_reading()
            await caller.send(post() + post())
            await eventually(
                lambda: [e for e in events if e["event"] == "inbound.answer_not_taken"]
            )
            caller.writer.transport.resume_reading()
            rest = await caller.rest()

    assert len(rest) < len(receiver.body)
