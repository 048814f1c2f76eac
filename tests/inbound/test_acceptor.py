import asyncio
import datetime as dt
import gc
import os
import resource
import socket
import ssl
from collections.abc import Callable

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from inbound_callers import (
    PROXY,
    Receiver,
    World,
    calling,
    eventually,
    now,
    post,
    serving,
)
from structlog.testing import capture_logs

from bars_gateway.errors import AddressUnusable
from bars_gateway.inbound import acceptor
from bars_gateway.inbound.connection import Failure, InboundLimits
from bars_gateway.tls.contexts import Identity

ContextOf = Callable[[World], ssl.SSLContext | None]


def without_certificate(world: World) -> ssl.SSLContext:
    return world.caller_context(None)


def of_another_authority(world: World) -> ssl.SSLContext:
    leaf = world.other_authority.issue_cert(PROXY, common_name=PROXY)
    return world.caller_context(leaf)


def expired(world: World) -> ssl.SSLContext:
    leaf = world.certificate_for(PROXY, ends=now() - dt.timedelta(days=1))
    return world.caller_context(leaf)


def of_tomorrow(world: World) -> ssl.SSLContext:
    return world.caller_context(world.hand_made(PROXY, begins=now() + dt.timedelta(days=1)))


def for_servers(world: World) -> ssl.SSLContext:
    return world.caller_context(world.hand_made(PROXY, usage=ExtendedKeyUsageOID.SERVER_AUTH))


def with_another_name(world: World) -> ssl.SSLContext:
    return world.caller_context(world.certificate_for("somebody.example.nhs.uk"))


def with_a_wildcard(world: World) -> ssl.SSLContext:
    return world.caller_context(world.hand_made("*.example.nhs.uk"))


def with_old_ciphers(world: World) -> ssl.SSLContext:
    context = world.caller_context(world.certificate_for(PROXY))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AES+SHA256:!AESGCM")
    return context


def in_plain_http(_: World) -> None:
    return None


@pytest.mark.parametrize(
    ("context_of", "reason"),
    [
        pytest.param(without_certificate, Failure.NO_CERTIFICATE, id="no-certificate"),
        pytest.param(of_another_authority, Failure.UNKNOWN_ISSUER, id="unknown-issuer"),
        pytest.param(expired, Failure.EXPIRED, id="expired"),
        pytest.param(of_tomorrow, Failure.NOT_YET_VALID, id="not-yet-valid"),
        pytest.param(for_servers, Failure.WRONG_PURPOSE, id="wrong-purpose"),
        pytest.param(with_old_ciphers, Failure.NO_AGREEMENT, id="no-common-cipher"),
        pytest.param(in_plain_http, Failure.PLAIN_HTTP, id="plain-http"),
        pytest.param(with_another_name, Failure.REFUSED, id="name-not-listed"),
        pytest.param(with_a_wildcard, Failure.REFUSED, id="wildcard"),
    ],
)
async def test_who_may_not_call_is_cut_off_and_seen(
    context_of: ContextOf, reason: Failure, world: World, identity: Identity
):
    """The message of a caller without the right certificate is never read, and the log says why."""
    receiver = Receiver()
    with capture_logs() as events:
        async with serving(receiver, identity) as server:
            answered = await ask_if_possible(server.port, context_of(world))
            await eventually(lambda: server.failures)

    seen = [(e["reason"], e["peer"]) for e in events if e["event"].startswith("tls.")]
    assert b"" == answered
    assert [] == receiver.requests
    assert {reason: 1} == server.failures
    assert [(reason, "127.0.0.1")] == seen


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("context_of", "alert"),
    [
        pytest.param(without_certificate, {"HANDSHAKE_FAILURE", "CERTIFICATE_REQUIRED"}, id="none"),
        pytest.param(of_another_authority, {"UNKNOWN_CA"}, id="unknown-issuer"),
        pytest.param(expired, {"CERTIFICATE_EXPIRED"}, id="expired"),
        pytest.param(for_servers, {"UNSUPPORTED_CERTIFICATE"}, id="wrong-purpose"),
    ],
)
async def test_who_is_refused_hears_why(
    context_of: ContextOf,
    alert: set[str],
    version: ssl.TLSVersion,
    world: World,
    identity: Identity,
):
    """In TLS's own words: without them the caller's desk sees a connection that was reset."""
    context = context_of(world)
    assert context is not None
    context.minimum_version = context.maximum_version = version
    async with serving(Receiver(), identity) as server:
        heard = await asyncio.to_thread(alert_for, server.port, context)

    assert heard.partition("ALERT_")[2] in alert


async def test_a_caller_who_leaves_without_a_request_is_seen(world: World, identity: Identity):
    """As those of Node.js do that do not accept our certificate: they tell nobody else."""
    context = world.caller_context(world.certificate_for(PROXY))
    with capture_logs() as events:
        async with serving(Receiver(), identity) as server:
            async with calling(server.port, context):
                await eventually(lambda: server.connections)
            await eventually(lambda: server.failures)

    left = [(e["log_level"], e["name"]) for e in events if e["event"] == "tls.client_left"]
    assert {Failure.LEFT: 1} == server.failures
    assert [("info", PROXY)] == left


async def test_a_caller_who_is_sent_away_has_not_left(world: World, identity: Identity):
    """Neither when its header comes too late, nor when we stop."""
    limits = InboundLimits(header_seconds=0.1)
    context = world.caller_context(world.certificate_for(PROXY))
    async with serving(Receiver(), identity, limits=limits) as server:
        async with calling(server.port, context) as caller:
            assert b"" == await caller.rest()
        async with calling(server.port, context):
            await eventually(lambda: server.connections)
            server.stop()

    assert {} == server.failures


def alert_for(port: int, context: ssl.SSLContext) -> str:
    """Return what a request ends with, as OpenSSL calls it."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        try:
            with context.wrap_socket(sock, server_hostname="localhost") as connection:
                connection.sendall(post())
                connection.recv(1000)
        except ssl.SSLError as error:
            return str(error.reason)
        except ConnectionError as error:
            return type(error).__name__
    return "nothing"


async def ask_if_possible(port: int, context: ssl.SSLContext | None) -> bytes:
    """Return what a caller gets for a request. In TLS 1.3 it may think that it got through."""
    try:
        async with calling(port, context) as caller:
            await caller.send(post())
            return await caller.rest()
    except (ConnectionError, ssl.SSLError):
        return b""


async def test_a_refused_name_is_told_to_the_operator(world: World, identity: Identity):
    """The name that the certificate gives is logged, for that is what belongs on the list."""
    with capture_logs() as events:
        async with serving(Receiver(), identity) as server:
            await ask_if_possible(server.port, with_another_name(world))
            await eventually(lambda: server.failures)

    named = [e["name"] for e in events if e["event"] == "tls.client_refused"]
    assert ["somebody.example.nhs.uk"] == named


async def test_a_name_among_the_alternative_ones_is_enough(world: World, identity: Identity):
    """The proxy's certificate may be called otherwise and list its name as a SAN."""
    context = world.caller_context(world.certificate_for("bars.dev.example", PROXY))
    async with (
        serving(Receiver(), identity) as server,
        calling(server.port, context) as caller,
    ):
        answer = await caller.ask(post())

    assert 200 == answer.status


async def test_a_caller_that_does_not_trust_us_is_seen(world: World, identity: Identity):
    """When the proxy does not know our issuer, our log says so too."""
    suspicious = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    world.other_authority.configure_trust(suspicious)
    async with serving(Receiver(), identity) as server:
        await asyncio.to_thread(shake_hands, server.port, suspicious)
        await eventually(lambda: server.failures)

    assert {Failure.NOT_TRUSTED: 1} == server.failures


def shake_hands(port: int, context: ssl.SSLContext) -> None:
    # asyncio would keep the alert to itself; a blocking socket sends it, as the proxy does.
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as sock,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        context.wrap_socket(sock, server_hostname="localhost")


async def test_a_port_probe_is_counted(identity: Identity):
    """A load balancer that connects and leaves is counted, and disturbs nothing."""
    async with serving(Receiver(), identity) as server:
        async with calling(server.port, None):
            pass
        await eventually(lambda: server.failures)

    assert {Failure.GONE: 1} == server.failures


async def test_garbage_is_counted(identity: Identity):
    """Bytes that are no TLS end their connection and nothing else."""
    async with serving(Receiver(), identity) as server:
        async with calling(server.port, None) as caller:
            await caller.send(b"\x00\x01\x02\x03 nothing that anybody speaks \r\n\r\n")
            await caller.rest()
        await eventually(lambda: server.failures)

    assert {Failure.NO_TLS: 1} == server.failures


async def test_a_failed_handshake_disturbs_nobody(
    world: World, identity: Identity, proxy: ssl.SSLContext
):
    """The next caller is served as if nothing had been."""
    async with serving(Receiver(), identity) as server:
        await ask_if_possible(server.port, without_certificate(world))
        async with calling(server.port, proxy) as caller:
            answer = await caller.ask(post())

    assert 200 == answer.status


async def test_a_new_identity_counts_from_the_next_connection(world: World, proxy: ssl.SSLContext):
    """A certificate is replaced without a restart, and open connections go on."""
    receiver = Receiver()
    async with (
        serving(receiver, world.identity("first.example")) as server,
        calling(server.port, proxy) as early,
    ):
        await early.ask(post())
        server.identity.identity = world.identity("second.example")
        async with calling(server.port, proxy) as late:
            name = common_name(late.writer.get_extra_info("peercert"))
        await early.ask(post())

    assert "second.example" == name
    assert 2 == len(receiver.requests)


def common_name(certificate: dict[str, tuple[tuple[tuple[str, str], ...], ...]]) -> str:
    return next(v for part in certificate["subject"] for k, v in part if k == "commonName")


async def test_the_limit_of_connections_holds_before_tls(identity: Identity, proxy: ssl.SSLContext):
    """A caller beyond the limit waits unanswered, and is served when there is room."""
    async with serving(Receiver(), identity, limits=InboundLimits(max_connections=1)) as server:
        async with calling(server.port, proxy) as first:
            await first.ask(post())
            second = asyncio.create_task(ask_if_possible(server.port, proxy))
            await eventually(lambda: server.failures)
            finished, _ = await asyncio.wait({second}, timeout=0.1)
        await eventually(lambda: server.answered[200] == 2)
        server.stop()
        await second

    assert set() == finished
    assert {Failure.FULL: 2} == server.failures


async def test_accepting_survives_a_lack_of_file_descriptors(
    identity: Identity, proxy: ssl.SSLContext
):
    """When the process may open no more files, the acceptor pauses and goes on."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with serving(
        Receiver(), identity, limits=InboundLimits(accept_pause_seconds=0.05)
    ) as server:
        with socket.socket() as waiting:
            waiting.setblocking(False)
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free_descriptor(), before[1]))
                await asyncio.get_running_loop().sock_connect(waiting, ("127.0.0.1", server.port))
                await eventually(lambda: server.failures)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, before)
        async with calling(server.port, proxy) as caller:
            answer = await caller.ask(post())

    assert 200 == answer.status
    assert server.failures[Failure.NO_RESOURCES] >= 1


@pytest.mark.parametrize("steps", range(5))
async def test_who_knocks_while_the_door_is_shut_is_not_left_standing_inside(steps: int):
    """At whatever step accepting ends, a connection that was accepted is handed on or never was."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        accepting = asyncio.create_task(acceptor.next_caller(listener))
        await asyncio.sleep(0)
        with socket.create_connection(listener.getsockname()):
            for _ in range(steps):
                await asyncio.sleep(0)
            accepting.cancel()
            (ended,) = await asyncio.gather(accepting, return_exceptions=True)
            if isinstance(ended, tuple):
                ended[0].close()
            gc.collect()  # a socket that nobody has would say so here


def lowest_free_descriptor() -> int:
    found = os.dup(0)
    os.close(found)
    return found


async def test_a_port_in_use_is_a_setting_to_correct(identity: Identity):
    """Two gateways on one port: the second says which setting is wrong."""
    async with serving(Receiver(), identity) as server:
        with pytest.raises(AddressUnusable, match=r"inbound\.listen: 127\.0\.0\.1 port"):
            async with serving(Receiver(), identity, port=server.port):
                pass
